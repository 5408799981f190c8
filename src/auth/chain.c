/* chain: from the first authenticator to the verdict.  See chain.h. */
#include "auth/chain.h"

#include <stdlib.h>

#include "auth/login.h"
#include "auth/verdict.h"
#include "base/wr.h"

/* No listener asks for a client's certificate yet, so there is none to answer for. */
static enum answer by_certificate(struct auth *a, struct login *l)
{
	OBJ_CHECK(a, AUTH_MAGIC);
	OBJ_CHECK(l, LOGIN_MAGIC);
	return ANSWER_NOT_MINE;
}

static enum answer (*const authenticators[AUTHENTICATOR_N])(struct auth *a, struct login *l) = {
	[AUTHENTICATOR_PEER] = by_peer,
	[AUTHENTICATOR_CERTIFICATE] = by_certificate,
	[AUTHENTICATOR_TOKEN] = by_token,
	[AUTHENTICATOR_PASSWORD] = by_password,
};

/* ---- the end of every chain ----------------------------------------------------------- */
/* The credential was right: may this identity come in, as this client? */
static void chain_admit(struct auth *a, const struct login *l)
{
	const struct identity *i = &l->who;

	if (!status_lives(i->status) || i->removed) {
		verdict_deny(a, l->id, E_REVOKED);
	} else if (l->by.expires != 0 && l->by.expires <= auth_wall(a)) {
		verdict_deny(a, l->id, E_CREDENTIAL);
	} else if (!client_id_fits(i, l->client_id)) {
		verdict_deny(a, l->id, E_CLIENT_ID);
	} else {
		login_seen(a, i, l->by.number, l->person ? l->source : NULL);
		verdict_allow(a, l->id, i, l->by.number, l->by.expires);
	}
}

/* Nobody answered for it. */
static void chain_end(struct auth *a, const struct login *l)
{
	bool dead = l->named.id != 0 && !status_lives(l->named.status);

	verdict_deny(a, l->id, dead ? E_REVOKED : E_CREDENTIAL);
}

/* False: somebody has the login and will come back. */
static bool chain_step(struct auth *a, struct login *l)
{
	while (l->step < l->listener->authenticators) {
		u8 which = l->listener->authenticator[l->step++];
		enum answer answer = authenticators[which](a, l);
		if (answer == ANSWER_LATER)
			return false;
		if (answer == ANSWER_ALLOW)
			chain_admit(a, l);
		else if (answer != ANSWER_NOT_MINE)
			verdict_deny(a, l->id, l->why);
		if (answer != ANSWER_NOT_MINE)
			return true;
	}
	chain_end(a, l);
	return true;
}

void chain_start(struct auth *a, struct login *l)
{
	enum err e = E_NOT_FOUND;

	OBJ_CHECK(a, AUTH_MAGIC);
	l->magic = LOGIN_MAGIC;
	l->step = 0;
	ASSERT(!l->kept);
	if (l->username.n != 0)
		e = identity_by_name(a->db, l->username, &l->named);
	if (e == E_OK || e == E_NOT_FOUND)
		chain_step(a, l);
	else
		verdict_deny(a, l->id, e); /* I01: a store that does not answer admits nobody */
}

void chain_resume(struct auth *a, struct login *l, enum answer answer)
{
	bool over = true;

	OBJ_CHECK(l, LOGIN_MAGIC);
	ASSERT(l->kept);
	ASSERT(answer != ANSWER_LATER);
	if (answer == ANSWER_ALLOW)
		chain_admit(a, l);
	else if (answer == ANSWER_NOT_MINE)
		over = chain_step(a, l);
	else
		verdict_deny(a, l->id, l->why);
	if (over)
		login_drop(&l);
}

/* ---- a login that is kept ------------------------------------------------------------- */
static void keep(struct wr *w, struct slice *s)
{
	u8 *at = w->p + w->n;

	wr_bytes(w, s->p, s->n);
	*s = slice_of(at, s->n);
}

struct login *login_keep(struct login *l)
{
	size_t n = l->client_id.n + l->username.n + l->password.n + l->cert_cn.n + l->cert_san.n;
	struct login *k;
	struct wr w;

	OBJ_CHECK(l, LOGIN_MAGIC);
	if (l->kept)
		return l;
	k = malloc(sizeof(*k) + n);
	if (k == NULL)
		return NULL;
	*k = *l;
	k->kept = true;
	k->n = n;
	w = wr_of(k->bytes, n);
	keep(&w, &k->client_id);
	keep(&w, &k->username);
	keep(&w, &k->password);
	keep(&w, &k->cert_cn);
	keep(&w, &k->cert_san);
	ASSERT(w.err == E_OK);
	k->own = malloc(sizeof(*k->own));
	if (k->own == NULL) {
		login_drop(&k);
		return NULL;
	}
	*k->own = *l->listener;
	k->listener = k->own;
	return k;
}

void login_drop(struct login **lp)
{
	struct login *l = *lp;

	*lp = NULL;
	OBJ_CHECK(l, LOGIN_MAGIC);
	ASSERT(l->kept);
	mem_wipe(l->bytes, l->n);
	free(l->own);
	l->magic = 0;
	free(l);
}
