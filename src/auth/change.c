/* change: every change of rights, from the transaction to the confirmation.  See change.h. */
#include <stdlib.h>
#include <unistd.h>

#include "auth/call.h"
#include "auth/change.h"
#include "auth/policy.h"
#include "auth/verdict.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/ipc.h"

enum { PUMP_AGAIN_MS = 5 };

/* ---- the transaction ------------------------------------------------------------------ */
enum err change_begin(struct auth *a, struct change *c)
{
	enum err e;

	ASSERT(!c->open);
	e = db_begin(a->db);
	c->open = e == E_OK;
	c->n = 0;
	c->policy = false;
	return e;
}

enum err change_identity(struct auth *a, struct change *c, u64 identity)
{
	u64 generation = a->generation + c->n + 1;

	ASSERT(c->open);
	for (u32 i = 0; i < c->n; i++) {
		if (c->identity[i].id == identity)
			return E_OK;
	}
	if (c->n >= LIM_CHANGES)
		return E_QUOTA;
	if (c->n == c->cap) {
		c->cap = MAX(16u, c->cap * 2);
		c->identity = xrealloc(c->identity, c->cap * sizeof(*c->identity));
	}
	c->identity[c->n].id = identity;
	c->identity[c->n].generation = generation;
	c->n++;
	return identity_set_generation(a->db, identity, generation);
}

u32 change_serial(const struct auth *a, const struct change *c)
{
	ASSERT(c->open);
	ASSERT(a->generation < INT32_MAX);
	return (u32)a->generation + 1;
}

void change_policy(struct change *c)
{
	ASSERT(c->open);
	c->policy = true;
}

void change_abort(struct auth *a, struct change *c)
{
	if (c->open)
		db_rollback(a->db);
	c->open = false;
	free(c->identity);
	c->identity = NULL;
	c->n = c->cap = 0;
}

static void out_add(struct auth *a, u64 generation, u64 identity, struct call *call)
{
	struct out *o = xcalloc(1, sizeof(*o));

	o->generation = generation;
	o->identity = identity;
	o->call = call;
	if (call != NULL)
		call->waiting++;
	TAILQ_INSERT_TAIL(&a->outs, o, next);
}

/* The numbers of this change, in the same transaction as what they number. */
static enum err numbers_write(struct auth *a, const struct change *c, u64 last)
{
	enum err e = db_meta_put_num(a->db, "generation", last);

	if (e == E_OK && c->policy)
		e = db_meta_put_num(a->db, "policy_generation", c->policy_generation);
	if (e == E_OK)
		e = db_meta_put_num(a->db, "confirmed", change_confirmed_upto(a));
	return e;
}

enum err change_commit(struct auth *a, struct change *c, struct call *call)
{
	u64 last = a->generation + c->n + (c->policy ? 1u : 0u);
	u8 *block = NULL;
	size_t len = 0;
	enum err e = E_OK;

	ASSERT(c->open);
	c->policy_generation = last; /* after those of the identities */
	if (c->policy)
		e = policy_build(a, last, &block, &len);
	if (e == E_OK)
		e = numbers_write(a, c, last);
	if (e == E_OK) {
		e = db_commit(a->db);
		c->open = false;
	}
	if (e != E_OK) {
		free(block);
		change_abort(a, c);
		return e;
	}
	a->generation = last;
	/* A block that we compiled ourselves always opens. */
	if (c->policy)
		ASSERT(policy_install(a, block, len, last) == E_OK);
	/* The policy first: a new role has to exist before somebody holds it. */
	if (c->policy)
		out_add(a, last, 0, call);
	for (u32 i = 0; i < c->n; i++)
		out_add(a, c->identity[i].generation, c->identity[i].id, call);
	change_abort(a, c);
	change_pump(a);
	return E_OK;
}

/* ---- to broker ------------------------------------------------------------------------ */
u64 change_confirmed_upto(const struct auth *a)
{
	const struct out *o;
	u64 upto = a->generation;

	TAILQ_FOREACH (o, &a->outs, next)
		upto = MIN(upto, o->generation - 1);
	return upto;
}

static enum err send_policy(struct auth *a)
{
	struct m_policy m = {
		.generation = a->policy_generation, .size = a->block_len, .confirm = 1};
	int fd = ipc_memfd("policy", slice_of(a->block, a->block_len));
	enum err e = E_NOMEM;

	if (fd >= 0) {
		e = a->env->to_broker(a->env->arg, IPC_POLICY, 0, &m, SLICE_NONE, fd);
		close(fd);
	}
	return e;
}

static enum err send_identity(struct auth *a, const struct out *o)
{
	struct m_identity m = {.identity_id = o->identity, .generation = o->generation};
	struct identity i;
	u8 buf[2048];
	struct wr w = wr_of(buf, sizeof(buf));
	enum err e = identity_by_id(a->db, o->identity, &i);

	if (e != E_OK) {
		/* What cannot be read has no rights. */
		log_msg(LOG_ERROR, "store", "identity %llu: %s", (unsigned long long)o->identity,
			err_text(e));
		memset(&i, 0, sizeof(i));
	}
	m.status = i.removed ? STATUS_REVOKED : i.status;
	m.kind = i.kind;
	m.credential_min = i.credential_min == 0 ? UINT32_MAX : i.credential_min;
	m.local_min = i.uid_serial == 0 ? UINT32_MAX : VERDICT_LOCAL | i.uid_serial;
	verdict_rights(&w, &i);
	ASSERT(w.err == E_OK);
	return a->env->to_broker(a->env->arg, IPC_IDENTITY, 0, &m, wr_done(&w), -1);
}

void change_pump_again(struct timer *t)
{
	change_pump(CONTAINER_OF(t, struct auth, pump_timer));
}

void change_pump(struct auth *a)
{
	struct out *o;
	enum err e = E_OK;

	TAILQ_FOREACH (o, &a->outs, next) {
		if (o->sent)
			continue;
		if (o->identity != 0 && a->unconfirmed >= LIM_UNCONFIRMED)
			break;
		e = o->identity == 0 ? send_policy(a) : send_identity(a, o);
		if (e != E_OK)
			break;
		o->sent = true;
		a->unconfirmed++;
	}
	/* Without a link all waits for the next one. */
	if (e == E_STATE || e == E_EOF)
		a->broker_up = false;
	else if (e != E_OK)
		timer_start(a->wheel, &a->pump_timer, auth_now(a) + PUMP_AGAIN_MS);
}

static void out_drop(struct auth *a, struct out *o)
{
	TAILQ_REMOVE(&a->outs, o, next);
	if (o->sent)
		a->unconfirmed--;
	free(o);
}

static void out_done(struct auth *a, struct out *o)
{
	struct call *call = o->call;

	out_drop(a, o);
	if (call != NULL && --call->waiting == 0)
		call_answer(a, call);
}

void change_confirmed(struct auth *a, u64 generation)
{
	struct out *o, *next;

	for (o = TAILQ_FIRST(&a->outs); o != NULL; o = next) {
		next = TAILQ_NEXT(o, next);
		/* A policy stands for all before it; an identity's change for itself. */
		if (o->sent && (o->generation == generation ||
				(o->identity == 0 && o->generation < generation &&
				 generation == a->policy_generation)))
			out_done(a, o);
	}
	change_pump(a);
}

static bool out_has_policy(const struct auth *a)
{
	const struct out *o;

	TAILQ_FOREACH (o, &a->outs, next) {
		if (o->identity == 0)
			return true;
	}
	return false;
}

/* What broker may have missed while there was no link, or before auth itself began anew.  The store
 * remembers every change, so only those that somebody waits for are kept from before. */
static void outs_resend(struct auth *a)
{
	u64 since = 0, id = 0;
	struct out *o, *next;
	struct identity i;

	for (o = TAILQ_FIRST(&a->outs); o != NULL; o = next) {
		next = TAILQ_NEXT(o, next);
		if (o->call == NULL && o->identity != 0)
			out_drop(a, o);
	}
	if (db_meta_num(a->db, "confirmed", &since) != E_OK)
		since = 0;
	while (identity_resend(a->db, id, since, &id) == E_OK) {
		if (identity_by_id(a->db, id, &i) == E_OK)
			out_add(a, i.generation, id, NULL);
	}
}

void change_linked(struct auth *a)
{
	struct out *o;

	a->broker_up = true;
	a->unconfirmed = 0;
	TAILQ_FOREACH (o, &a->outs, next)
		o->sent = false;
	if (a->policy == NULL)
		return;
	if (!out_has_policy(a)) {
		o = xcalloc(1, sizeof(*o));
		o->generation = a->policy_generation;
		TAILQ_INSERT_HEAD(&a->outs, o, next);
	}
	outs_resend(a);
	change_pump(a);
}

void change_forget(struct auth *a, struct call *call)
{
	struct out *o;

	TAILQ_FOREACH (o, &a->outs, next) {
		if (o->call == call)
			o->call = NULL;
	}
	call->waiting = 0;
}

void change_free(struct auth *a)
{
	struct out *o;

	while ((o = TAILQ_FIRST(&a->outs)) != NULL)
		out_drop(a, o);
	timer_stop(a->wheel, &a->pump_timer);
}
