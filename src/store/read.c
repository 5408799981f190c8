/* read: what waits in a queue, in batches; and purging, which reads only to delete. */
#include "store/engine.h"

/* Entries that go after the walk, which a deletion would disturb. */
struct doomed {
	u32 n;
	u64 seq[LIM_PURGE];
};
_Static_assert(LIM_READ <= LIM_PURGE, "one answer's damaged entries fit");

static enum err doomed_del(struct store *s, const struct doomed *d, u64 sid, u32 kind)
{
	enum err e = E_OK;

	ASSERT(d->n <= ARRAY_LEN(d->seq));
	for (u32 i = 0; i < d->n && e == E_OK; i++)
		e = queue_del(s, &(struct store_op){.sid = sid, .seq = d->seq[i]});
	return e == E_OK ? drops_add(s, sid, kind, d->n) : e;
}

/* A queue entry with its message.  E_CORRUPT: it, or its body, cannot be read or is not there. */
static enum err entry(struct store *s, const struct kv_item *it, struct record_queued *out)
{
	struct slice fields;
	struct store_msg body;
	enum err e;
	u8 kind;

	e = engine_open(s, &(struct place){KV_QUEUE, it->a, it->b}, it->value, &kind, &fields);
	if (e == E_OK)
		e = read_queued(fields, kind, &s->scratch, out);
	if (e != E_OK)
		return e;
	out->q.sid = it->a;
	out->q.seq = it->b;
	if (!out->ref)
		return E_OK;
	ASSERT(out->q.m.number != 0);
	e = engine_get(s, &(struct place){KV_BODIES, out->q.m.number, 0}, REC_BODY, &fields);
	if (e == E_OK)
		e = read_body(fields, &body);
	if (e == E_OK)
		out->q.m = body;
	return e == E_NOT_FOUND ? E_CORRUPT : e;
}

static enum err first_behind(struct store *s, const struct store_op *op, struct kv_item *it)
{
	ASSERT(op->sid != 0);
	if (op->seq == UINT64_MAX)
		return E_NOT_FOUND;
	return s->kv->class->seek(s->txn, KV_QUEUE, op->sid, op->seq + 1, it);
}

static struct store_read answer(const struct store_op *op, bool purge)
{
	return (struct store_read){.slot = op->slot,
				   .gen = op->gen,
				   .sid = op->sid,
				   .after = op->seq,
				   .last = op->seq,
				   .purge = purge};
}

enum err read_queue(struct store *s, const struct store_op *op, const struct store_sink *sink)
{
	struct store_read r = answer(op, false);
	u32 most = MIN(MAX(op->count, 1u), (u32)LIM_READ);
	struct doomed damaged = {.n = 0};
	struct record_queued q;
	struct kv_item it;
	size_t bytes = 0;
	enum err e = first_behind(s, op, &it);

	r.queued = chunk_alloc(&s->scratch, most * sizeof(*r.queued));
	while (e == E_OK && it.a == op->sid && r.n + damaged.n < most &&
	       (bytes < op->bytes || r.n == 0)) {
		e = entry(s, &it, &q);
		if (e == E_OK)
			r.queued[r.n++] = q.q;
		else if (e == E_CORRUPT)
			damaged.seq[damaged.n++] = it.b;
		else
			return e;
		bytes += e == E_OK ? msg_bytes(&q.q.m) : 0;
		r.last = it.b;
		e = s->kv->class->next(s->txn, KV_QUEUE, &it);
	}
	if (e != E_OK && e != E_NOT_FOUND)
		return e;
	r.end = e == E_NOT_FOUND || it.a != op->sid;
	r.damaged = damaged.n;
	ASSERT(r.n <= most);
	sink->read(sink->arg, op, &r);
	return doomed_del(s, &damaged, op->sid, DROP_DAMAGED);
}

static void purge_one(struct store *s, const struct kv_item *it, struct store_read *r,
		      struct doomed *expired, struct doomed *damaged)
{
	struct record_queued q = {.ref = false};
	struct slice fields;
	u8 kind;

	ASSERT(expired->n < LIM_PURGE && damaged->n < LIM_PURGE);
	chunk_reset(&s->scratch);
	if (engine_open(s, &(struct place){KV_QUEUE, it->a, it->b}, it->value, &kind, &fields) !=
		    E_OK ||
	    read_queued(fields, kind, &s->scratch, &q) != E_OK) {
		damaged->seq[damaged->n++] = it->b;
		return;
	}
	if (q.q.m.expires_ms == 0 || q.q.m.expires_ms > s->now_ms)
		return;
	expired->seq[expired->n++] = it->b;
	r->gone_bytes += q.weight;
}

enum err read_purge(struct store *s, const struct store_op *op, const struct store_sink *sink)
{
	struct store_read r = answer(op, true);
	u32 most = op->count == 0 ? (u32)LIM_PURGE : MIN(op->count, (u32)LIM_PURGE);
	struct doomed expired = {.n = 0}, damaged = {.n = 0};
	struct kv_item it;
	enum err e = first_behind(s, op, &it);

	for (u32 i = 0; e == E_OK && it.a == op->sid && i < most; i++) {
		purge_one(s, &it, &r, &expired, &damaged);
		r.last = it.b;
		e = s->kv->class->next(s->txn, KV_QUEUE, &it);
	}
	if (e != E_OK && e != E_NOT_FOUND)
		return e;
	r.end = e == E_NOT_FOUND || it.a != op->sid;
	r.gone = expired.n;
	r.damaged = damaged.n;
	e = doomed_del(s, &expired, op->sid, DROP_EXPIRED);
	if (e == E_OK)
		e = doomed_del(s, &damaged, op->sid, DROP_DAMAGED);
	ASSERT(r.gone <= most);
	if (e == E_OK)
		sink->read(sink->arg, op, &r);
	return e;
}
