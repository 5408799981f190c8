/* refs: how many queue entries need a body, kept in the transaction that changes it; each count is
 * read and written once a transaction however often it changes in it. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/engine.h"

enum { REFS_KEPT = 16384 };

void refs_begin(struct store *s)
{
	ASSERT(s->nrefs <= s->refs_cap);
	table_clear(&s->ref_index);
	s->nrefs = 0;
	if (s->refs_cap <= REFS_KEPT)
		return;
	free(s->ref);
	s->ref = NULL;
	s->refs_cap = 0;
}

/* Valid until the next call. */
struct ref *refs_of(struct store *s, u64 number)
{
	u64 at = table_get(&s->ref_index, number, 0);

	ASSERT(number != 0);
	if (at != 0)
		return &s->ref[at - 1];
	if (s->nrefs == s->refs_cap) {
		s->refs_cap = s->refs_cap ? s->refs_cap * 2 : 64;
		s->ref = xrealloc(s->ref, s->refs_cap * sizeof(*s->ref));
	}
	ASSERT(s->nrefs < s->refs_cap);
	s->ref[s->nrefs++] = (struct ref){.number = number};
	table_put(&s->ref_index, number, 0, s->nrefs);
	return &s->ref[s->nrefs - 1];
}

static enum err body_del(struct store *s, u64 number)
{
	struct slice raw;
	enum err e = s->kv->class->get(s->txn, KV_REFS, number, 0, &raw);

	if (e == E_OK)
		e = engine_del(s, KV_REFS);
	if (e != E_OK && e != E_NOT_FOUND)
		return e;
	e = s->kv->class->get(s->txn, KV_BODIES, number, 0, &raw);
	if (e == E_OK)
		e = engine_del(s, KV_BODIES);
	ASSERT(s->txn != NULL);
	return e == E_NOT_FOUND ? E_OK : e;
}

static enum err settle_one(struct store *s, const struct ref *r)
{
	const struct place at = {KV_REFS, r->number, 0};
	struct slice fields;
	u32 count = 0;
	enum err e = engine_get(s, &at, REC_REFS, &fields);

	if (e == E_OK)
		e = read_count(fields, &count);
	/* A damaged count: the body stays for good, which loses nothing; store_verify finds it. */
	if (e != E_OK && e != E_NOT_FOUND)
		return e == E_CORRUPT ? E_OK : e;
	ASSERT(r->delta <= UINT32_MAX);
	if ((i64)count + r->delta <= 0)
		return body_del(s, r->number);
	count = (u32)MIN((i64)count + r->delta, (i64)UINT32_MAX);
	return engine_put(s, &at, KV_REPLACE, REC_REFS, fields_count, &count);
}

enum err refs_settle(struct store *s)
{
	enum err e = E_OK;

	ASSERT(s->txn != NULL);
	for (u32 i = 0; i < s->nrefs && e == E_OK; i++) {
		if (s->ref[i].delta != 0 || s->ref[i].stored)
			e = settle_one(s, &s->ref[i]);
	}
	return e;
}
