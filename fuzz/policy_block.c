/* Any bytes as a compiled policy: refused, or asked without a step outside.  So that the bytes come
 * near to a block, an input with a NUL is a policy text before it, compiled, and behind it the
 * changes to make to the block: two bytes where (modulo its length) and one byte what. */
#include <stdlib.h>

#include "policy_ask.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void open_and_ask(const u8 *bytes, size_t n)
{
	static const u32 roles[] = {0, 1, 2, 3, 0x01010101};
	u8 *copy = malloc(n != 0 ? n : 1);
	const struct policy *p;

	ASSERT(copy != NULL);
	memcpy(copy, bytes, n);
	if (policy_open(slice_of(copy, n), &p) == E_OK)
		ask_all(p, BLOCK_DAMAGED, roles, ARRAY_LEN(roles));
	free(copy);
}

static void change(u8 *block, size_t len, struct slice edits)
{
	for (size_t i = 0; i + 3 <= edits.n; i += 3)
		block[((size_t)edits.p[i] << 8 | edits.p[i + 1]) % len] = edits.p[i + 2];
}

static void from_text(struct slice text, struct slice edits)
{
	struct policy_error err;
	struct policy_doc *doc;
	u32 ids[64];
	u8 *block;
	size_t len;

	if (policy_parse(text, POLICY_FIRST, &doc, &err) != E_OK)
		return;
	for (u32 i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = i;
	if (policy_role_count(doc) <= ARRAY_LEN(ids)) {
		ASSERT(policy_compile(doc, ids, 1, &block, &len) == E_OK);
		change(block, len, edits);
		open_and_ask(block, len);
		free(block);
	}
	policy_doc_free(&doc);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const u8 *nul = size != 0 ? memchr(data, 0, size) : NULL;

	if (size != 0)
		open_and_ask(data, size);
	if (nul != NULL)
		from_text(slice_of(data, (size_t)(nul - data)),
			  slice_skip(slice_of(data, size), (size_t)(nul - data) + 1));
	return 0;
}
