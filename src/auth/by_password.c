/* by_password: a password that a person chose, checked against Argon2id by the hasher.
 *
 * A name that does not exist, or has no password, costs one hash like every other. */
#include <stdlib.h>

#include "auth/chain.h"
#include "base/mem.h"

struct password_check {
	struct auth *auth;
	struct login *login;
	bool known;
	u32 credential;
	enum err otherwise; /* why not, when it is wrong */
};

static bool password_find(struct auth *a, u64 identity, struct credential *found)
{
	struct credential c = {0};

	while (credential_after(a->db, identity, c.number, &c) == E_OK) {
		if (c.type != CRED_PASSWORD || c.state != CRED_ACTIVE || c.hash_len == 0)
			continue;
		*found = c;
		return true;
	}
	return false;
}

/* The store may have changed while the hash was made: what it says now counts. */
static enum answer password_right(struct auth *a, const struct password_check *p, struct login *l)
{
	enum err e = identity_by_id(a->db, l->named.id, &l->who);

	l->why = e;
	if (e != E_OK)
		return ANSWER_DENY;
	l->why = E_REVOKED;
	if (!password_find(a, l->who.id, &l->by) || l->by.number != p->credential)
		return ANSWER_DENY;
	l->person = true;
	return ANSWER_ALLOW;
}

static void password_done(struct hash_job *j, void *arg)
{
	struct password_check *p = arg;
	struct auth *a = p->auth;
	struct login *l = p->login;
	enum answer answer = ANSWER_DENY;

	OBJ_CHECK(a, AUTH_MAGIC);
	l->why = E_BUSY;
	/* The decoy has no password; equality with it would prove nothing. */
	if (j->err == E_OK && p->known) {
		throttle_succeeded(&a->throttle, l->username);
		answer = password_right(a, p, l);
	} else if (j->err == E_OK || j->err == E_CREDENTIAL) {
		throttle_failed(&a->throttle, l->username, l->listener->limits.failed_logins,
				auth_now(a));
		l->why = p->otherwise;
	}
	hash_job_free(&j);
	free(p);
	chain_resume(a, l, answer);
}

/* Is this name under attack, and the source not one of its own? */
static bool password_held_off(struct auth *a, const struct login *l)
{
	u64 last = 0, wall = auth_wall(a);

	if (l->listener->limits_none || l->listener->limits.failed_logins == CONF_NO_LIMIT ||
	    throttle_open(&a->throttle, l->username, auth_now(a)))
		return false;
	if (source_get(a->db, l->named.id, slice_of(l->source, FAIRQ_KEY), &last) != E_OK)
		return true;
	return last + SOURCE_KNOWN_DAYS * 86400000ull < wall;
}

static enum answer deny(struct login *l, enum err why)
{
	l->why = why;
	return ANSWER_DENY;
}

static enum answer password_ask(struct auth *a, struct login *l, bool known,
				const struct credential *c)
{
	bool dead = l->named.id != 0 && !status_lives(l->named.status);
	struct login *kept = login_keep(l);
	struct password_check *p;
	struct hash_job *j;

	if (kept == NULL)
		return deny(l, E_BUSY);
	j = hash_job_new(HASH_VERIFY, l->password, known ? c->hash : a->decoy);
	p = xcalloc(1, sizeof(*p));
	*p = (struct password_check){.auth = a,
				     .login = kept,
				     .known = known,
				     .credential = c->number,
				     .otherwise = dead ? E_REVOKED : E_CREDENTIAL};
	j->done = password_done;
	j->arg = p;
	if (hasher_add(a->hasher, j, slice_of(l->source, FAIRQ_KEY), auth_now(a)) == E_OK)
		return ANSWER_LATER;
	hash_job_free(&j);
	free(p);
	if (kept != l)
		login_drop(&kept);
	return deny(l, E_BUSY);
}

enum answer by_password(struct auth *a, struct login *l)
{
	struct credential c = {0};
	bool known;

	OBJ_CHECK(l, LOGIN_MAGIC);
	if (l->username.n == 0 || l->password.n == 0 || token_shaped(l->password))
		return ANSWER_NOT_MINE;
	known = password_find(a, l->named.id, &c) && status_lives(l->named.status);
	if (password_held_off(a, l))
		return deny(l, E_RATE);
	return password_ask(a, l, known, &c);
}
