/* Any text: it is refused with a place in it, or it prints as a text that parses to the same, and
 * compiles to a block that opens and answers. */
#include <stdlib.h>

#include "policy_ask.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void check_error(const struct policy_error *err)
{
	ASSERT(err->line >= 1 && err->column >= 1);
	ASSERT(err->what[0] != '\0');
	for (const char *c = err->near; *c != '\0'; c++)
		ASSERT(*c >= ' ' && *c <= '~');
}

static void check_print(const struct policy_doc *doc)
{
	char *printed, *again, *diff;
	struct policy_error err;
	struct policy_doc *copy;

	ASSERT(policy_print(doc, &printed) == E_OK);
	ASSERT(policy_parse(slice_str(printed), POLICY_FIRST, &copy, &err) == E_OK);
	ASSERT(policy_print(copy, &again) == E_OK);
	ASSERT(strcmp(printed, again) == 0);
	ASSERT(policy_diff(doc, copy, &diff) == E_OK);
	ASSERT(diff[0] == '\0');
	free(diff);
	free(again);
	free(printed);
	policy_doc_free(&copy);
}

static void check_policy(const struct policy_doc *doc)
{
	u32 n = policy_role_count(doc), *ids = calloc(n + 1u, sizeof(*ids));
	const struct policy *p;
	u8 *block;
	size_t len;

	ASSERT(ids != NULL);
	for (u32 i = 0; i < n; i++)
		ids[i] = n - i;
	ASSERT(policy_compile(doc, ids, 1, &block, &len) == E_OK);
	ASSERT(policy_open(slice_of(block, len), &p) == E_OK);
	ask_all(p, BLOCK_MADE, ids, n);
	free(block);
	free(ids);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct policy_error err;
	struct policy_doc *doc;

	if (policy_parse(slice_of(data, size), POLICY_FIRST, &doc, &err) != E_OK) {
		check_error(&err);
		return 0;
	}
	check_print(doc);
	check_policy(doc);
	policy_doc_free(&doc);
	return 0;
}
