/* load: everything that is there after an opening: sessions and the rest at once, queues counted
 * slice by slice.  Each call reads in a transaction of its own. */
#include "store/engine.h"

struct load {
	struct store *s;
	struct kv_txn *txn;
	void *arg; /* the caller's struct each_… */
	bool more;
};
typedef enum err load_fn(struct load *l, const struct kv_item *it, struct slice fields);

static enum err walk(struct load *l, enum kv_db db, enum format_kind kind, load_fn *fn,
		     u64 *damaged)
{
	const struct kv_class *kv = l->s->kv->class;
	struct slice fields;
	struct kv_item it;
	enum err e = kv->seek(l->txn, db, 0, 0, &it);
	u8 got;

	ASSERT(l->more);
	while (e == E_OK && l->more) {
		chunk_reset(&l->s->scratch);
		e = engine_open(l->s, &(struct place){db, it.a, it.b}, it.value, &got, &fields);
		if (e == E_OK)
			e = got == kind ? fn(l, &it, fields) : E_CORRUPT;
		*damaged += e == E_CORRUPT;
		if (e != E_OK && e != E_CORRUPT)
			return e;
		e = kv->next(l->txn, db, &it);
	}
	return e == E_NOT_FOUND ? E_OK : e;
}

/* Each record of that kind in a database; those that cannot be read are counted. */
static enum err each(struct store *s, enum kv_db db, enum format_kind kind, load_fn *fn, void *arg,
		     u64 *damaged)
{
	struct load l = {.s = s, .arg = arg, .more = true};
	enum err e;

	OBJ_CHECK(s, STORE_MAGIC);
	ASSERT(s->txn == NULL);
	*damaged = 0;
	e = s->kv->class->begin(s->kv, KV_READ, &l.txn);
	if (e != E_OK)
		return e;
	e = walk(&l, db, kind, fn, damaged);
	s->kv->class->abort(&l.txn);
	return e;
}

struct each_session {
	bool (*cb)(void *arg, const struct store_session *x);
	void *arg;
};

static void load_drops(struct load *l, struct store_session *x)
{
	const struct place at = {KV_DROPS, x->sid, 0};
	struct record_drops drops;
	struct slice raw, fields;
	u8 kind;

	ASSERT(sizeof(x->dropped) == sizeof(drops.n));
	if (l->s->kv->class->get(l->txn, KV_DROPS, x->sid, 0, &raw) != E_OK ||
	    engine_open(l->s, &at, raw, &kind, &fields) != E_OK || kind != REC_DROPS ||
	    read_drops(fields, &drops) != E_OK)
		return;
	memcpy(x->dropped, drops.n, sizeof(x->dropped));
}

static enum err load_session(struct load *l, const struct kv_item *it, struct slice fields)
{
	const struct each_session *each_one = l->arg;
	struct store_session x;
	enum err e = read_session(fields, &x);

	ASSERT(it->b == 0);
	if (e != E_OK)
		return e;
	x.sid = it->a;
	load_drops(l, &x);
	l->more = each_one->cb(each_one->arg, &x);
	return E_OK;
}

enum err store_each_session(struct store *s, bool (*cb)(void *arg, const struct store_session *x),
			    void *arg, u64 *damaged)
{
	struct each_session a = {cb, arg};

	ASSERT(cb != NULL);
	return each(s, KV_SESSIONS, REC_SESSION, load_session, &a, damaged);
}

struct each_sub {
	bool (*cb)(void *arg, const struct store_sub *x);
	void *arg;
};

static enum err load_sub(struct load *l, const struct kv_item *it, struct slice fields)
{
	const struct each_sub *each_one = l->arg;
	struct store_sub x;
	enum err e = read_sub(fields, &x);

	if (e != E_OK || it->b > UINT32_MAX)
		return E_CORRUPT;
	x.sid = it->a;
	x.sub = (u32)it->b;
	l->more = each_one->cb(each_one->arg, &x);
	return E_OK;
}

enum err store_each_sub(struct store *s, bool (*cb)(void *arg, const struct store_sub *x),
			void *arg, u64 *damaged)
{
	struct each_sub a = {cb, arg};

	ASSERT(cb != NULL);
	return each(s, KV_SUBS, REC_SUB, load_sub, &a, damaged);
}

struct each_pid {
	bool (*cb)(void *arg, u64 sid, u16 pid);
	void *arg;
};

static enum err load_pid(struct load *l, const struct kv_item *it, struct slice fields)
{
	const struct each_pid *each_one = l->arg;

	if (it->b == 0 || it->b > UINT16_MAX)
		return E_CORRUPT;
	l->more = each_one->cb(each_one->arg, it->a, (u16)it->b);
	return E_OK;
}

enum err store_each_pid(struct store *s, bool (*cb)(void *arg, u64 sid, u16 pid), void *arg)
{
	struct each_pid a = {cb, arg};
	u64 damaged;

	ASSERT(cb != NULL);
	return each(s, KV_PIDS, REC_PID, load_pid, &a, &damaged);
}

struct each_retained {
	bool (*cb)(void *arg, const struct store_retained *x);
	void *arg;
};

static enum err load_retained(struct load *l, const struct kv_item *it, struct slice fields)
{
	const struct each_retained *each_one = l->arg;
	struct store_retained x;
	enum err e = read_retained(fields, &x);

	if (e != E_OK)
		return e;
	x.number = it->a;
	l->more = each_one->cb(each_one->arg, &x);
	return E_OK;
}

enum err store_each_retained(struct store *s, bool (*cb)(void *arg, const struct store_retained *x),
			     void *arg, u64 *damaged)
{
	struct each_retained a = {cb, arg};

	ASSERT(cb != NULL);
	return each(s, KV_RETAINED, REC_RETAINED, load_retained, &a, damaged);
}

/* ---- counting -------------------------------------------------------------------------------- */

static void count_one(struct store *s, const struct kv_item *it)
{
	struct store_count *c = &s->count;
	struct record_queued q;
	struct slice fields;
	u8 kind;

	chunk_reset(&s->scratch);
	if (engine_open(s, &(struct place){KV_QUEUE, it->a, it->b}, it->value, &kind, &fields) !=
		    E_OK ||
	    read_queued(fields, kind, &s->scratch, &q) != E_OK)
		q.weight = 0; /* the reading will say so */
	ASSERT(c->messages < UINT32_MAX);
	c->messages++;
	c->bytes += q.weight;
	c->last = it->b;
	if (c->first == 0)
		c->first = it->b;
}

/* Go on in the queue of the session that is being counted; E_MORE: not all of it yet. */
static enum err count_queue(struct store *s, struct kv_txn *txn, u32 *left)
{
	struct kv_item it;
	enum err e = s->kv->class->seek(txn, KV_QUEUE, s->count.sid, s->count.last + 1, &it);

	ASSERT(s->count.sid != 0);
	while (e == E_OK && it.a == s->count.sid && it.b <= store_sequence(s->epoch)) {
		if (*left == 0)
			return E_MORE;
		count_one(s, &it);
		--*left;
		e = s->kv->class->next(txn, KV_QUEUE, &it);
	}
	return e == E_NOT_FOUND ? E_OK : e;
}

/* The next session that was there at the start; E_NOT_FOUND: there is none. */
static enum err count_next(struct store *s, struct kv_txn *txn, u64 after)
{
	struct kv_item it;
	enum err e = s->kv->class->seek(txn, KV_SESSIONS, after + 1, 0, &it);

	ASSERT(s->count.sid == 0);
	if (e == E_OK && it.a >= store_number(s->epoch, 0, 0))
		e = E_NOT_FOUND;
	if (e == E_OK)
		s->count = (struct store_count){.sid = it.a};
	return e;
}

static enum err count_session(struct store *s, struct kv_txn *txn, u64 *after, u32 *left,
			      void (*cb)(void *arg, const struct store_count *n), void *arg)
{
	enum err e = E_OK;

	ASSERT(*left > 0);
	if (s->count.sid == 0) {
		e = count_next(s, txn, *after);
		--*left;
	}
	if (e == E_OK)
		e = count_queue(s, txn, left);
	if (e != E_OK)
		return e;
	*after = s->count.sid;
	cb(arg, &s->count);
	s->count = (struct store_count){.sid = 0};
	return E_OK;
}

enum err store_count_some(struct store *s, u64 *after, u32 max,
			  void (*cb)(void *arg, const struct store_count *n), void *arg)
{
	struct kv_txn *txn;
	enum err e;

	OBJ_CHECK(s, STORE_MAGIC);
	ASSERT(max > 0 && *after != UINT64_MAX);
	e = s->kv->class->begin(s->kv, KV_READ, &txn);
	if (e != E_OK)
		return e;
	while (max > 0 && e == E_OK)
		e = count_session(s, txn, after, &max, cb, arg);
	s->kv->class->abort(&txn);
	if (e == E_NOT_FOUND)
		*after = UINT64_MAX;
	return e == E_NOT_FOUND || e == E_MORE ? E_OK : e;
}
