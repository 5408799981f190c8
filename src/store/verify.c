/* verify: a look at every record and at what has to fit between them.  Reads in a transaction and
 * with a seal of its own, so that the store thread does not wait.
 *
 * Counts of references are compared in windows of messages: a window is filled from the bodies, all
 * queues are walked once for it, then it is compared.  Memory is that of one window. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/engine.h"

enum { WINDOW = 1 << 20 }; /* messages; the queues are walked once for each million */

struct body {
	u64 number;
	u32 found;
};

struct check {
	const struct store *s;
	const struct kv_class *kv;
	struct kv_txn *txn;
	struct store_chunk *scratch;
	const struct store_witness *witness;
	struct store_report *report;
	u64 sid; /* whether this session is there has been asked last */
	bool there;
	struct body *window;
	u32 n;
};

static enum err say(struct check *c, u64 *counter, const char *what, const struct place *at)
{
	char text[128];

	ASSERT(*counter < UINT64_MAX);
	++*counter;
	if (kv_pair(at->db))
		(void)snprintf(text, sizeof(text), "%s: %" PRIu64 "/%" PRIu64, what, at->a, at->b);
	else
		(void)snprintf(text, sizeof(text), "%s: %" PRIu64, what, at->a);
	return c->witness->problem(c->witness->arg, text) ? E_OK : E_STATE;
}

static bool is_there(struct check *c, enum kv_db db, u64 a, struct slice *raw)
{
	ASSERT(!kv_pair(db));
	return c->kv->get(c->txn, db, a, 0, raw) == E_OK;
}

/* ---- one record ------------------------------------------------------------------------------ */

/* Readable, and of a kind that belongs there? */
static enum err parse(struct check *c, const struct place *at, struct slice raw)
{
	const bool plain = at->db == KV_META && at->a == META_FORMAT;
	union {
		struct record_format format;
		struct record_state state;
		struct store_session session;
		struct store_sub sub;
		struct record_queued queued;
		struct store_msg body;
		struct store_retained retained;
		struct record_drops drops;
		u32 count;
	} x;
	static const u8 want[KV_DBS] = {REC_STATE, REC_SESSION, REC_SUB, REC_QUEUED,
					REC_BODY,  REC_REFS,	REC_PID, REC_RETAINED,
					REC_DROPS, REC_ENDED};
	struct slice f;
	u8 kind;
	enum err e = record_open(plain ? NULL : c->s->eye, at, raw, &c->scratch, &kind, &f);

	if (e != E_OK)
		return e;
	if (kind != want[at->db] && !(plain && kind == REC_FORMAT) &&
	    !(at->db == KV_QUEUE && kind == REC_QUEUED_REF))
		return E_CORRUPT;
	switch ((enum format_kind)kind) {
	case REC_FORMAT:
		return read_format(f, &x.format);
	case REC_STATE:
		return read_state(f, &x.state);
	case REC_SESSION:
		return read_session(f, &x.session);
	case REC_SUB:
		return read_sub(f, &x.sub);
	case REC_QUEUED:
	case REC_QUEUED_REF:
		return read_queued(f, kind, &c->scratch, &x.queued);
	case REC_BODY:
		return read_body(f, &x.body);
	case REC_REFS:
		return read_count(f, &x.count);
	case REC_RETAINED:
		return read_retained(f, &x.retained);
	case REC_DROPS:
		return read_drops(f, &x.drops);
	case REC_PID:
	case REC_ENDED:
		return f.n == 0 ? E_OK : E_CORRUPT;
	}
	return E_CORRUPT;
}

/* The message that a queue entry names; 0: it holds its own, or cannot be read. */
static u64 names(struct check *c, const struct kv_item *it)
{
	const struct place at = {KV_QUEUE, it->a, it->b};
	struct record_queued q;
	struct slice f;
	u8 kind;

	if (it->value.n < 2 || it->value.p[1] != REC_QUEUED_REF)
		return 0;
	if (record_open(c->s->eye, &at, it->value, &c->scratch, &kind, &f) != E_OK ||
	    read_queued(f, kind, &c->scratch, &q) != E_OK)
		return 0;
	ASSERT(q.ref);
	return q.q.m.number;
}

/* What belongs to a session belongs to one that is there, or to one that is being deleted. */
static enum err owner(struct check *c, const struct place *at)
{
	struct slice raw;

	ASSERT(at->db != KV_SESSIONS);
	if (at->a != c->sid) {
		c->sid = at->a;
		c->there =
			is_there(c, KV_SESSIONS, at->a, &raw) || is_there(c, KV_ENDED, at->a, &raw);
	}
	return c->there ? E_OK : say(c, &c->report->orphans, "no such session", at);
}

static enum err one(struct check *c, const struct place *at, const struct kv_item *it)
{
	static const char *const word[KV_DBS] = {
#define X(name, text, numbers) "damaged record in " text,
		KV_DATABASES(X)
#undef X
	};
	struct slice raw;
	u64 number;
	enum err e;

	ASSERT(at->a == it->a && at->b == it->b);
	if (parse(c, at, it->value) != E_OK)
		return say(c, &c->report->damaged, word[at->db], at);
	e = kv_pair(at->db) || at->db == KV_DROPS ? owner(c, at) : E_OK;
	if (at->db == KV_REFS && !is_there(c, KV_BODIES, it->a, &raw))
		return say(c, &c->report->miscount, "a count without its message", at);
	number = at->db == KV_QUEUE ? names(c, it) : 0;
	if (e == E_OK && number != 0 && !is_there(c, KV_BODIES, number, &raw))
		return say(c, &c->report->lost, "its message is not there", at);
	return e;
}

static enum err all_of(struct check *c, enum kv_db db, u64 *counter)
{
	struct kv_item it;
	enum err e = c->kv->seek(c->txn, db, 0, 0, &it);

	ASSERT(db < KV_DBS);
	c->sid = 0;
	c->there = false;
	while (e == E_OK) {
		const struct place at = {db, it.a, it.b};

		chunk_reset(&c->scratch);
		++*counter;
		e = one(c, &at, &it);
		if (e == E_OK)
			e = c->kv->next(c->txn, db, &it);
	}
	return e == E_NOT_FOUND ? E_OK : e;
}

/* ---- references ------------------------------------------------------------------------------ */

/* The next messages from *from on; E_NOT_FOUND: these were the last. */
static enum err window_fill(struct check *c, u64 *from)
{
	struct kv_item it;
	enum err e = c->kv->seek(c->txn, KV_BODIES, *from, 0, &it);

	c->n = 0;
	while (e == E_OK && c->n < WINDOW) {
		c->window[c->n++] = (struct body){it.a, 0};
		*from = it.a + 1;
		e = c->kv->next(c->txn, KV_BODIES, &it);
	}
	ASSERT(c->n <= WINDOW);
	return e;
}

static int body_cmp(const void *a, const void *b)
{
	const struct body *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static enum err window_count(struct check *c)
{
	struct kv_item it;
	enum err e = c->kv->seek(c->txn, KV_QUEUE, 0, 0, &it);

	while (e == E_OK) {
		struct body key = {.number = names(c, &it)}, *b;

		chunk_reset(&c->scratch);
		b = key.number == 0 ? NULL : bsearch(&key, c->window, c->n, sizeof(key), body_cmp);
		if (b != NULL)
			b->found++;
		e = c->kv->next(c->txn, KV_QUEUE, &it);
	}
	ASSERT(c->n > 0);
	return e == E_NOT_FOUND ? E_OK : e;
}

static enum err window_compare(struct check *c)
{
	enum err e = E_OK;

	for (u32 i = 0; i < c->n && e == E_OK; i++) {
		const struct place at = {KV_REFS, c->window[i].number, 0};
		struct slice raw, f;
		u32 count = 0;
		u8 kind;

		if (!is_there(c, KV_REFS, at.a, &raw) ||
		    record_open(c->s->eye, &at, raw, &c->scratch, &kind, &f) != E_OK ||
		    read_count(f, &count) != E_OK || count != c->window[i].found)
			e = say(c, &c->report->miscount, "a message with a wrong count", &at);
	}
	ASSERT(c->n <= WINDOW);
	return e;
}

static enum err references(struct check *c)
{
	u64 from = 0;
	enum err e, more = E_OK;

	ASSERT(c->txn != NULL);
	c->window = malloc(WINDOW * sizeof(*c->window));
	if (c->window == NULL)
		return E_NOMEM;
	for (e = E_OK; e == E_OK && more == E_OK;) {
		more = window_fill(c, &from);
		if (more != E_OK && more != E_NOT_FOUND)
			e = more;
		else if (c->n > 0)
			e = window_count(c);
		if (e == E_OK && c->n > 0)
			e = window_compare(c);
	}
	free(c->window);
	return e;
}

/* ---------------------------------------------------------------------------------------------- */

enum err store_verify(struct store *s, const struct store_witness *w, struct store_report *out)
{
	struct check c = {.s = s, .kv = s->kv->class, .witness = w, .report = out};
	u64 meta = 0, refs = 0;
	u64 *const counter[KV_DBS] = {&meta,	    &out->sessions, &out->subs, &out->queued,
				      &out->bodies, &refs,	    &out->pids, &out->retained,
				      &out->drops,  &out->ended};
	enum err e;

	OBJ_CHECK(s, STORE_MAGIC);
	*out = (struct store_report){.sessions = 0};
	e = c.kv->begin(s->kv, KV_READ, &c.txn);
	if (e != E_OK)
		return e;
	for (u32 db = 0; db < KV_DBS && e == E_OK; db++)
		e = all_of(&c, db, counter[db]);
	if (e == E_OK)
		e = references(&c);
	c.kv->abort(&c.txn);
	chunk_free(&c.scratch);
	ASSERT(c.txn == NULL);
	return e;
}
