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
	enum err e =
		t->a->env->to_broker(t->a->env->arg, IPC_RIGHTS, t->id, &m, wr_done(&t->w), -1);

	t->count = 0;
	t->w = wr_of(t->buf, sizeof(t->buf));
	return e;
}

/* Strangers have no identity, and what they hold is what their listener gives.  Which one it was is
 * not asked: where all give the same role, they keep it; else what they had stored goes. */
static enum err anonymous_find(struct auth *a, struct identity *i)
{
	const char *role = NULL;

	for (u32 k = 0; k < a->conf.listeners; k++) {
		const char *this = a->conf.listener[k].anonymous_role;
		if (this[0] == '\0')
			continue;
		if (role != NULL && strcmp(role, this) != 0)
			return E_NOT_FOUND;
		role = this;
	}
	if (role == NULL)
		return E_NOT_FOUND;
	*i = (struct identity){.kind = KIND_ANONYMOUS, .status = STATUS_ACTIVE, .nroles = 1};
	return role_id(a->db, role, &i->role[0]);
}

static enum err owner_find(struct auth *a, u64 id, struct identity *i)
{
	enum err e = id == 0 ? anonymous_find(a, i) : identity_by_id(a->db, id, i);

	if (e == E_OK && !i->removed)
		return E_OK;
	*i = (struct identity){.status = STATUS_REVOKED};
	return e == E_NOT_FOUND ? E_OK : e;
}

static enum err tell_one(struct telling *t, u64 id)
{
	struct identity i;
	enum err e = owner_find(t->a, id, &i);
	struct rights_row row = {.identity_id = id,
				 .generation = i.generation,
				 .status = i.status,
				 .kind = i.kind,
				 .credential_min =
					 i.credential_min == 0 ? UINT32_MAX : i.credential_min};

	if (e == E_OK && sizeof(t->buf) - t->w.n < ROW_MAX)
		e = flush(t, false);
	if (e != E_OK)
		return e;
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
		log_msg(LOG_ERROR, "rights_lost",
			"broker is not told of stored sessions' owners: %s", err_text(e));
	return E_OK;
}
