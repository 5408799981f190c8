/* apply: what each operation does to the records, apart from queues (queue.c). */
#include "store/engine.h"

static enum err session_known(struct store *s, u64 sid, bool *yes)
{
	u64 *known = &s->known[sid % STORE_KNOWN];
	struct slice raw;
	enum err e;

	ASSERT(sid != 0);
	ASSERT(s->txn != NULL);
	*yes = true;
	if (*known == sid && sid != 0)
		return E_OK;
	e = s->kv->class->get(s->txn, KV_SESSIONS, sid, 0, &raw);
	*yes = e == E_OK;
	if (e == E_OK)
		*known = sid;
	return e == E_NOT_FOUND ? E_OK : e;
}

/* Delete one record, if it is there. */
static enum err del_at(struct store *s, enum kv_db db, u64 a, u64 b)
{
	struct slice raw;
	enum err e;

	ASSERT(db != KV_QUEUE); /* whose bodies are counted */
	e = s->kv->class->get(s->txn, db, a, b, &raw);
	if (e == E_OK)
		e = engine_del(s, db);
	return e == E_NOT_FOUND ? E_OK : e;
}

static enum err session_put(struct store *s, const struct store_op *op)
{
	const struct place at = {KV_SESSIONS, op->session->sid, 0};

	ASSERT(at.a != 0);
	s->known[at.a % STORE_KNOWN] = at.a;
	return engine_put(s, &at, KV_REPLACE, REC_SESSION, fields_session, op->session);
}

static enum err session_del(struct store *s, const struct store_op *op)
{
	struct slice raw;
	enum err e = s->kv->class->get(s->txn, KV_SESSIONS, op->sid, 0, &raw);

	ASSERT(op->sid != 0);
	if (e != E_OK)
		return e == E_NOT_FOUND ? E_OK : e;
	if (s->known[op->sid % STORE_KNOWN] == op->sid)
		s->known[op->sid % STORE_KNOWN] = 0;
	e = engine_del(s, KV_SESSIONS);
	return e == E_OK ? ended_begin(s, op->sid) : e;
}

static enum err will_del(struct store *s, const struct store_op *op)
{
	const struct place at = {KV_SESSIONS, op->sid, 0};
	struct store_session session;
	struct slice fields;
	enum err e = engine_get(s, &at, REC_SESSION, &fields);

	ASSERT(op->sid != 0);
	if (e == E_OK) {
		/* What it views would be overwritten under it. */
		fields = chunk_copy(&s->scratch, fields);
		e = read_session(fields, &session);
	}
	if (e == E_NOT_FOUND || e == E_CORRUPT)
		return E_OK;
	if (e != E_OK || session.will.m.topic.n == 0 || session.will.m.number != op->seq)
		return e;
	session.will = (struct store_will){.delay_s = 0};
	return engine_put(s, &at, KV_REPLACE, REC_SESSION, fields_session, &session);
}

static enum err sub_put(struct store *s, const struct store_op *op)
{
	const struct place at = {KV_SUBS, op->sub->sid, op->sub->sub};

	ASSERT(op->sub->filter.n != 0);
	return engine_put(s, &at, KV_REPLACE, REC_SUB, fields_sub, op->sub);
}

static enum err sub_del(struct store *s, const struct store_op *op)
{
	return del_at(s, KV_SUBS, op->sid, op->seq);
}

static enum err pid_put(struct store *s, const struct store_op *op)
{
	const struct place at = {KV_PIDS, op->sid, op->seq};

	ASSERT(op->seq >= 1 && op->seq <= UINT16_MAX);
	return engine_put(s, &at, KV_REPLACE, REC_PID, fields_nothing, NULL);
}

static enum err pid_del(struct store *s, const struct store_op *op)
{
	return del_at(s, KV_PIDS, op->sid, op->seq);
}

enum err drops_add(struct store *s, u64 sid, u32 kind, u32 count)
{
	const struct place at = {KV_DROPS, sid, 0};
	struct record_drops drops;
	struct slice fields;
	enum err e;

	ASSERT(kind < DROP_KINDS);
	if (count == 0)
		return E_OK;
	e = engine_get(s, &at, REC_DROPS, &fields);
	if (e == E_OK)
		e = read_drops(fields, &drops);
	if (e != E_OK)
		drops = (struct record_drops){{0}};
	if (e != E_OK && e != E_NOT_FOUND && e != E_CORRUPT)
		return e;
	drops.n[kind] = count > UINT32_MAX - drops.n[kind] ? UINT32_MAX : drops.n[kind] + count;
	return engine_put(s, &at, KV_REPLACE, REC_DROPS, fields_drops, &drops);
}

static enum err dropped(struct store *s, const struct store_op *op)
{
	ASSERT(op->seq < DROP_KINDS);
	return drops_add(s, op->sid, (u32)op->seq, op->count);
}

static enum err retain_put(struct store *s, const struct store_op *op)
{
	const struct place at = {KV_RETAINED, op->retained->number, 0};

	ASSERT(at.a != 0);
	return engine_put(s, &at, KV_REPLACE, REC_RETAINED, fields_retained, op->retained);
}

static enum err retain_del(struct store *s, const struct store_op *op)
{
	return del_at(s, KV_RETAINED, op->sid, 0);
}

/* The session that must be there for the operation to mean anything; 0: none. */
static u64 needs_session(const struct store_op *op)
{
	switch ((enum store_op_kind)op->kind) {
	case SO_SUB_PUT:
		return op->sub->sid;
	case SO_QUEUE_PUT:
		return op->queued->sid;
	case SO_QUEUE_RELEASE:
	case SO_PID_PUT:
	case SO_DROPPED:
		return op->sid;
	case SO_NONE:
	case SO_SESSION_PUT:
	case SO_SESSION_DEL:
	case SO_WILL_DEL:
	case SO_SUB_DEL:
	case SO_QUEUE_DEL:
	case SO_PID_DEL:
	case SO_RETAIN_PUT:
	case SO_RETAIN_DEL:
	case SO_READ:
	case SO_PURGE:
		return 0;
	case SO_GROUP_OPEN:
	case SO_GROUP_PART:
	case SO_KINDS:
		break;
	}
	UNREACHABLE("not an operation of a transaction");
}

typedef enum err apply_fn(struct store *s, const struct store_op *op);
static apply_fn *const apply[SO_KINDS] = {
	[SO_SESSION_PUT] = session_put, [SO_SESSION_DEL] = session_del,
	[SO_WILL_DEL] = will_del,	[SO_SUB_PUT] = sub_put,
	[SO_SUB_DEL] = sub_del,		[SO_QUEUE_PUT] = queue_put,
	[SO_QUEUE_DEL] = queue_del,	[SO_QUEUE_RELEASE] = queue_release,
	[SO_PID_PUT] = pid_put,		[SO_PID_DEL] = pid_del,
	[SO_DROPPED] = dropped,		[SO_RETAIN_PUT] = retain_put,
	[SO_RETAIN_DEL] = retain_del,
};

enum err apply_op(struct store *s, const struct store_op *op, const struct store_sink *sink)
{
	u64 sid = needs_session(op);
	bool known = true;
	enum err e = E_OK;

	ASSERT(op->kind < SO_GROUP_OPEN);
	chunk_reset(&s->scratch);
	if (sid != 0)
		e = session_known(s, sid, &known);
	if (e != E_OK || !known)
		return e;
	if (op->kind == SO_READ)
		return read_queue(s, op, sink);
	if (op->kind == SO_PURGE)
		return read_purge(s, op, sink);
	return apply[op->kind] == NULL ? E_OK : apply[op->kind](s, op);
}
