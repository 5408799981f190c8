/* verdict: what auth tells broker about an identity.  See verdict.h. */
#include "auth/verdict.h"
#include "base/log.h"
#include "base/utf8.h"
#include "ipc/ipc.h"

static void put_roles(struct wr *w, const struct identity *i)
{
	wr_u16(w, (u16)i->nroles);
	for (u32 n = 0; n < i->nroles; n++)
		wr_u32(w, i->role[n]);
}

void verdict_rights(struct wr *w, const struct identity *i)
{
	ASSERT(i->nroles <= LIM_ROLES);
	ipc_put_str(w, slice_str(i->name));
	ipc_put_str(w, slice_str(i->group));
	ipc_put_str(w, slice_str(i->client_id));
	put_roles(w, i);
}

bool client_id_pattern_ok(struct slice pattern)
{
	const u8 *star = pattern.n ? memchr(pattern.p, '*', pattern.n) : NULL;

	return pattern.n >= 1 && pattern.n <= LIM_CLIENT_ID && utf8_ok(pattern) &&
	       memchr(pattern.p, '"', pattern.n) == NULL &&
	       memchr(pattern.p, '\\', pattern.n) == NULL && /* so that policy text can hold it */
	       (star == NULL || star == pattern.p + pattern.n - 1);
}

static bool begins(struct slice s, struct slice with)
{
	return s.n >= with.n && memcmp(s.p, with.p, with.n) == 0;
}

bool client_id_fits(const struct identity *i, struct slice client_id)
{
	struct slice own = slice_str(i->client_id), name = slice_str(i->name);

	if (client_id.n == 0)
		return true;
	if (client_id.n > LIM_CLIENT_ID)
		return false;
	if (own.n != 0 && own.p[own.n - 1] == '*')
		return begins(client_id, slice_of(own.p, own.n - 1));
	if (own.n != 0)
		return slice_eq(client_id, own);
	if (i->kind != KIND_DEVICE)
		return true;
	return slice_eq(client_id, name) ||
	       (client_id.n > name.n + 1 && begins(client_id, name) && client_id.p[name.n] == ':');
}

static void verdict_send(struct auth *a, u64 login_id, const struct m_verdict *m, struct slice tail)
{
	enum err e = a->env->to_broker(a->env->arg, IPC_VERDICT, login_id, m, tail, -1);

	/* The client waits until its deadline and is refused: no answer is never a yes. */
	if (e != E_OK)
		log_msg(LOG_WARN, "verdict_lost", "%s", err_text(e));
}

void verdict_allow(struct auth *a, u64 login_id, const struct identity *i, u32 credential,
		   u64 expires_ms)
{
	struct m_verdict m = {.verdict = ALLOW,
			      .identity_id = i->id,
			      .generation = i->generation,
			      .expires_ms = expires_ms,
			      .kind = i->kind,
			      .credential = credential};
	u8 buf[2048];
	struct wr w = wr_of(buf, sizeof(buf));

	ipc_put_str(&w, slice_str(i->name));
	ipc_put_str(&w, slice_str(i->group));
	ipc_put_str(&w, slice_str(i->client_id));
	ipc_put_str(&w, slice_str(i->name)); /* the user name: the one that was proved */
	ipc_put_str(&w, SLICE_NONE);
	ipc_put_str(&w, SLICE_NONE);
	put_roles(&w, i);
	ASSERT(w.err == E_OK);
	verdict_send(a, login_id, &m, wr_done(&w));
}

void verdict_deny(struct auth *a, u64 login_id, enum err why)
{
	struct m_verdict m = {.verdict = DENY, .reason = why};

	ASSERT(why != E_OK);
	verdict_send(a, login_id, &m, SLICE_NONE);
}
