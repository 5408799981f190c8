/* stored: see stored.h.  Reads, and changes nothing. */
#include "auth/stored.h"
#include "auth/verdict.h"
#include "base/log.h"
#include "ipc/ipc.h"

enum { ROW_MAX = 2048 }; /* struct rights_row and its tail (messages.def: IDENTITY) */

/* Answers under way; one message at a time. */
struct telling {
	struct auth *a;
	u64 id;
	u32 count;
	struct wr w;
	u8 buf[IPC_TAIL_MAX];
};

static enum err flush(struct telling *t, bool last)
{
	struct m_rights m = {.count = t->count, .last = last};
	enum err e = t->a->env->to_broker(t->a->env->arg, IPC_RIGHTS, t->id, &m, wr_done(&t->w), -1);

	t->count = 0;
	t->w = wr_of(t->buf, sizeof(t->buf));
	return e;
}

static enum err tell_one(struct telling *t, u64 identity)
{
	struct rights_row row = {.identity_id = identity, .status = STATUS_REVOKED};
	struct identity i = {0};
	enum err e = identity_by_id(t->a->db, identity, &i);

	if (e != E_OK && e != E_NOT_FOUND)
		return e;
	if (e == E_OK && !i.removed) {
		row.generation = i.generation;
		row.status = i.status;
		row.kind = i.kind;
		row.credential_min = i.credential_min == 0 ? UINT32_MAX : i.credential_min;
	} else {
		i = (struct identity){0};
	}
	if (sizeof(t->buf) - t->w.n < ROW_MAX) {
		e = flush(t, false);
		if (e != E_OK)
			return e;
	}
	wr_bytes(&t->w, &row, sizeof(row));
	verdict_rights(&t->w, &i);
	ASSERT(t->w.err == E_OK);
	t->count++;
	return E_OK;
}

enum err stored_ask(struct auth *a, u64 id, const struct m_rights_ask *m, struct slice tail)
{
	struct telling t = {.a = a, .id = id};
	enum err e = E_OK;
	u64 identity;

	if (m->count > RIGHTS_ASKED || tail.n != m->count * sizeof(identity))
		return E_IPC;
	t.w = wr_of(t.buf, sizeof(t.buf));
	for (u32 i = 0; i < m->count && e == E_OK; i++) {
		memcpy(&identity, tail.p + i * sizeof(identity), sizeof(identity));
		e = tell_one(&t, identity);
	}
	if (e == E_OK)
		e = flush(&t, true);
	if (e != E_OK)
		log_msg(LOG_ERROR, "rights_lost", "broker is not told of stored sessions' owners: %s",
			err_text(e));
	return E_OK;
}
