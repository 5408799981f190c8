/* login: from LOGIN to VERDICT.  See login.h. */
#include <stdlib.h>

#include "auth/chain.h"
#include "auth/login.h"
#include "auth/verdict.h"
#include "base/addr.h"
#include "base/log.h"
#include "base/rd.h"

enum { HELD_OLD_MS = 8000 };

/* ---- reading the request -------------------------------------------------------------- */
static void source_prefix(const u8 addr[16], u8 out[FAIRQ_KEY])
{
	static const u8 v4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	bool is_v4 = memcmp(addr, v4, sizeof(v4)) == 0;

	memset(out, 0, FAIRQ_KEY);
	out[0] = is_v4 ? 4 : 6;
	memcpy(out + 1, addr, is_v4 ? 16 : 8);
}

const struct conf *login_conf(const struct auth *a, u64 generation)
{
	OBJ_CHECK(a, AUTH_MAGIC);
	if (generation == a->conf_generation)
		return &a->conf;
	for (u32 i = 0; i < LIM_CONFS_BEFORE; i++) {
		if (a->before[i].generation == generation)
			return &a->before[i].conf;
	}
	return NULL;
}

void login_conf_set(struct auth *a, const struct conf *c, u64 generation)
{
	OBJ_CHECK(a, AUTH_MAGIC);
	memmove(&a->before[1], &a->before[0], (LIM_CONFS_BEFORE - 1) * sizeof(a->before[0]));
	a->before[0].generation = a->conf_generation;
	a->before[0].conf = a->conf;
	a->conf = *c;
	a->conf_generation = generation;
}

static enum err login_read(struct auth *a, struct login *l, const struct m_login *m,
			   struct slice tail)
{
	const struct conf *c = login_conf(a, m->conf_generation);
	struct rd r = rd_of(tail);

	if (c == NULL)
		return E_BUSY;
	l->client_id = rd_bytes(&r, m->client_id_len);
	l->username = rd_bytes(&r, m->username_len);
	l->password = rd_bytes(&r, m->password_len);
	l->cert_cn = rd_bytes(&r, m->cert_cn_len);
	l->cert_san = rd_bytes(&r, m->cert_san_len);
	if (r.err != E_OK || rd_left(&r) != 0 || m->listener >= c->listeners)
		return E_IPC;
	l->listener = &c->listener[m->listener];
	l->tls = m->tls != 0;
	l->local = addr_is_uid(m->addr, &l->uid);
	source_prefix(m->addr, l->source);
	return E_OK;
}

/* ---- remembering who was here --------------------------------------------------------- */
void login_seen_flush(struct auth *a)
{
	enum err e;

	timer_stop(a->wheel, &a->seen_timer);
	if (a->nseen == 0)
		return;
	e = db_begin(a->db);
	for (u32 i = 0; e == E_OK && i < a->nseen; i++) {
		struct seen *s = &a->seen[i];
		e = people_seen(a->db, s->identity, s->credential, s->wall_ms);
		if (e == E_OK && s->person)
			e = source_put(a->db, s->identity, slice_of(s->prefix, FAIRQ_KEY),
				       s->wall_ms);
	}
	if (e == E_OK)
		e = db_commit(a->db);
	else
		db_rollback(a->db);
	/* It is lost then, and nobody's right depends on it. */
	if (e != E_OK)
		log_msg(LOG_WARN, "store", "last seen not written: %s", db_why(a->db));
	a->nseen = 0;
}

void login_seen_timer(struct timer *t)
{
	login_seen_flush(CONTAINER_OF(t, struct auth, seen_timer));
}

void login_seen(struct auth *a, const struct identity *i, u32 credential, const u8 *person)
{
	u64 now = auth_wall(a);
	struct seen *s;

	if (person == NULL && i->last_seen + SEEN_COARSE_MS > now)
		return;
	if (a->nseen == LIM_SEEN)
		login_seen_flush(a);
	s = &a->seen[a->nseen++];
	*s = (struct seen){.identity = i->id, .wall_ms = now, .credential = credential};
	s->person = person != NULL;
	if (person != NULL)
		memcpy(s->prefix, person, FAIRQ_KEY);
	if (!timer_running(&a->seen_timer))
		timer_start(a->wheel, &a->seen_timer, auth_now(a) + SEEN_FLUSH_MS);
}

/* ---- from the request to the chain ---------------------------------------------------- */
static void login_anonymous(struct auth *a, const struct login *l)
{
	struct identity i = {.kind = KIND_ANONYMOUS, .status = STATUS_ACTIVE};
	enum err e = E_DENIED;

	if (l->listener->anonymous_role[0] != '\0')
		e = role_id(a->db, l->listener->anonymous_role, &i.role[0]);
	if (e != E_OK) {
		verdict_deny(a, l->id, e == E_NOT_FOUND ? E_DENIED : e);
		return;
	}
	i.nroles = 1;
	verdict_allow(a, l->id, &i, 0, 0);
}

/* A user of this machine needs no secret where the listener asks the kernel. */
static bool login_by_peer(const struct login *l, const struct m_login *m)
{
	return l->local && !m->has_password && (!m->has_username || l->username.n != 0) &&
	       conf_authenticates(l->listener, AUTHENTICATOR_PEER);
}

/* No word of who it is: whoever its user id says, else nobody in particular. */
static void login_silent(struct auth *a, struct login *l, const struct m_login *m)
{
	struct identity i;

	if (login_by_peer(l, m) && identity_by_uid(a->db, l->uid, &i) != E_NOT_FOUND)
		chain_start(a, l);
	else
		login_anonymous(a, l);
}

static void login_check(struct auth *a, u64 id, const struct m_login *m, struct slice tail)
{
	struct login l = {.id = id};
	bool claims = m->has_username || m->has_password;
	enum err e = login_read(a, &l, m, tail);

	if (e != E_OK)
		verdict_deny(a, id, e);
	else if (l.client_id.n > LIM_CLIENT_ID)
		verdict_deny(a, id, E_CLIENT_ID);
	else if (!claims)
		login_silent(a, &l, m);
	else if (login_by_peer(&l, m) && l.username.n <= LIM_NAME)
		chain_start(a, &l);
	else if (!m->has_username || !m->has_password || l.username.n == 0 || l.password.n == 0 ||
		 l.username.n > LIM_NAME || l.password.n > sizeof((struct secret){0}.b))
		verdict_deny(a, id, E_CREDENTIAL); /* empty never authenticates (I19) */
	else
		chain_start(a, &l);
}

bool login_ready(const struct auth *a)
{
	return a->has_conf && a->has_key && a->has_boot && a->policy != NULL;
}

static void login_hold(struct auth *a, u64 id, const struct m_login *m, struct slice tail)
{
	struct held_login *h;

	if (a->nheld >= LIM_HELD || (h = malloc(sizeof(*h) + tail.n)) == NULL) {
		verdict_deny(a, id, E_UNAVAILABLE);
		return;
	}
	h->id = id;
	h->since_ms = auth_now(a);
	h->m = *m;
	h->n = tail.n;
	if (tail.n != 0)
		memcpy(h->tail, tail.p, tail.n);
	TAILQ_INSERT_TAIL(&a->held, h, next);
	a->nheld++;
}

void login_request(struct auth *a, u64 id, const struct m_login *m, struct slice tail)
{
	OBJ_CHECK(a, AUTH_MAGIC);
	if (login_ready(a))
		login_check(a, id, m, tail);
	else
		login_hold(a, id, m, tail);
}

static struct held_login *held_take(struct auth *a)
{
	struct held_login *h = TAILQ_FIRST(&a->held);

	if (h != NULL) {
		TAILQ_REMOVE(&a->held, h, next);
		a->nheld--;
	}
	return h;
}

static void held_free(struct held_login *h)
{
	mem_wipe(h->tail, h->n);
	free(h);
}

void login_release(struct auth *a)
{
	struct held_login *h;

	OBJ_CHECK(a, AUTH_MAGIC);
	ASSERT(login_ready(a));
	while ((h = held_take(a)) != NULL) {
		if (auth_now(a) - h->since_ms > HELD_OLD_MS)
			verdict_deny(a, h->id, E_BUSY);
		else
			login_check(a, h->id, &h->m, slice_of(h->tail, h->n));
		held_free(h);
	}
}

void login_free(struct auth *a)
{
	struct held_login *h;

	while ((h = held_take(a)) != NULL)
		held_free(h);
	timer_stop(a->wheel, &a->seen_timer);
}
