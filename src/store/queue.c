/* queue: entries of queues.  One that is alone in its transaction with its message holds it; those
 * that share one name a body, whose count refs.c keeps. */
#include "store/engine.h"

/* The number of the body that a record of KV_QUEUE names; 0: none, or it cannot be read. */
static u64 body_of(struct store *s, const struct kv_item *it)
{
	const struct place at = {KV_QUEUE, it->a, it->b};
	struct record_queued q;
	struct slice fields;
	u8 kind;

	/* The kind alone, not checked yet, says whether a closer look is worth its time. */
	if (it->value.n < 2 || it->value.p[1] != REC_QUEUED_REF)
		return 0;
	if (engine_open(s, &at, it->value, &kind, &fields) != E_OK ||
	    read_queued(fields, kind, &s->scratch, &q) != E_OK)
		return 0;
	ASSERT(q.ref);
	return q.q.m.number;
}

enum err queue_forget(struct store *s, const struct kv_item *it)
{
	u64 number = body_of(s, it);

	ASSERT(s->txn != NULL);
	if (number != 0)
		refs_of(s, number)->delta--;
	return E_OK;
}

/* The body is there once, from the first entry on that needs it. */
static enum err body_put(struct store *s, struct ref *ref, const struct store_msg *m)
{
	const struct place at = {KV_BODIES, m->number, 0};
	enum err e = E_OK;

	ASSERT(m->number == ref->number);
	if (!ref->stored)
		e = engine_put(s, &at, KV_NEW, REC_BODY, fields_body, m);
	if (e != E_OK && e != E_EXISTS)
		return e;
	ref->stored = true;
	ref->delta++;
	return E_OK;
}

/* A sequence that is there already, which the cursor stands on, gives way. */
static enum err give_way(struct store *s, const struct place *at)
{
	struct kv_item it = {.a = at->a, .b = at->b};
	enum err e = s->kv->class->get(s->txn, KV_QUEUE, at->a, at->b, &it.value);

	ASSERT(at->db == KV_QUEUE);
	return e == E_OK ? queue_forget(s, &it) : e;
}

enum err queue_put(struct store *s, const struct store_op *op)
{
	const struct store_queued *q = op->queued;
	const struct place at = {KV_QUEUE, q->sid, q->seq};
	struct ref *ref = q->m.number != 0 ? refs_of(s, q->m.number) : NULL;
	bool shared = ref != NULL && ref->seen > 1;
	enum err e = E_OK;

	ASSERT(q->seq != 0);
	if (shared)
		e = body_put(s, ref, &q->m);
	for (u32 how = KV_NEW; e == E_OK; how = KV_REPLACE) {
		e = shared ? engine_put(s, &at, how, REC_QUEUED_REF, fields_ref, q)
			   : engine_put(s, &at, how, REC_QUEUED, fields_queued, q);
		if (e != E_EXISTS)
			return e;
		e = give_way(s, &at);
	}
	return e;
}

enum err queue_del(struct store *s, const struct store_op *op)
{
	struct kv_item it = {.a = op->sid, .b = op->seq};
	enum err e = s->kv->class->get(s->txn, KV_QUEUE, it.a, it.b, &it.value);

	ASSERT(op->sid != 0);
	if (e == E_OK)
		e = queue_forget(s, &it);
	if (e == E_OK)
		e = engine_del(s, KV_QUEUE);
	return e == E_NOT_FOUND ? E_OK : e;
}

enum err queue_release(struct store *s, const struct store_op *op)
{
	const struct place at = {KV_QUEUE, op->sid, op->seq};
	struct store_queued released = {
		.sid = op->sid, .seq = op->seq, .state = SQ_RELEASED, .qos = 2};
	struct kv_item it = {.a = op->sid, .b = op->seq};
	enum err e = s->kv->class->get(s->txn, KV_QUEUE, it.a, it.b, &it.value);

	ASSERT(op->sid != 0);
	if (e == E_OK)
		e = queue_forget(s, &it);
	if (e != E_OK)
		return e == E_NOT_FOUND ? E_OK : e;
	return engine_put(s, &at, KV_REPLACE, REC_QUEUED, fields_queued, &released);
}
