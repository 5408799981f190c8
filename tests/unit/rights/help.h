/* help: what the tests of rights share: text → opened policy, subjects, short questions. */
#ifndef PICKET_TEST_RIGHTS_HELP_H
#define PICKET_TEST_RIGHTS_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "rights/rights.h"

struct rig {
	struct policy_doc *doc;
	const struct policy *p;
	u8 *block;
	size_t len;
};

static inline struct policy_doc *doc_of(const char *text)
{
	struct policy_doc *doc;
	struct policy_error err;

	if (policy_parse(slice_str(text), POLICY_FIRST, &doc, &err) != E_OK)
		fail_msg("line %u column %u: %s: '%s' (%s)", err.line, err.column, err.what,
			 err.near, err.hint);
	return doc;
}

/* Roles get the numbers 10, 20, 30 … in the order of their names. */
static inline struct rig rig_of(const char *text)
{
	struct rig rig = {.doc = doc_of(text)};
	u32 ids[256];

	for (u32 i = 0; i < policy_role_count(rig.doc) && i < ARRAY_LEN(ids); i++)
		ids[i] = (i + 1) * 10;
	assert_int_equal(policy_compile(rig.doc, ids, 7, &rig.block, &rig.len), E_OK);
	assert_int_equal(policy_open(slice_of(rig.block, rig.len), &rig.p), E_OK);
	return rig;
}

static inline void rig_free(struct rig *rig)
{
	free(rig->block);
	policy_doc_free(&rig->doc);
	rig->p = NULL;
}

static inline struct subject subject_of(const char *device, const u32 *roles, u32 nroles)
{
	return (struct subject){.device = slice_str(device), .roles = roles, .nroles = nroles};
}

static inline struct topic topic_of(const char *s)
{
	struct topic t;

	if (topic_parse(slice_str(s), &t) != E_OK)
		fail_msg("not a topic: %s", s);
	return t;
}

static inline struct filter filter_of(const char *s)
{
	struct filter f;

	if (filter_parse(slice_str(s), &f) != E_OK)
		fail_msg("not a filter: %s", s);
	return f;
}

#endif
