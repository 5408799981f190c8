/* login: from LOGIN to VERDICT.  See login.h. */
#include <stdlib.h>

#include "auth/login.h"
#include "auth/verdict.h"
#include "base/log.h"
#include "base/rd.h"

enum { HELD_OLD_MS = 8000 };

/* One login on its way: what the client said, and what the store says of it. */
struct login {
	u64 id;
	const struct conf_listener *listener;
	struct slice client_id, username, password;
	u8 source[FAIRQ_KEY]; /* the source's prefix: /32 or /64 */
};

/* What outlives a turn: a password is being hashed. */
struct password_login {
	struct auth *auth;
	u64 id, identity; /* identity 0: the name does not exist */
	u32 credential;
	u64 failures_max;
	enum err otherwise; /* why not, when nobody could come in with any password */
	size_t client_id_len, username_len;
	u8 source[FAIRQ_KEY];
	u8 text[LIM_CLIENT_ID + LIM_NAME]; /* client id, user name */
};

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
	rd_bytes(&r, (size_t)m->cert_cn_len + m->cert_san_len);
	if (r.err != E_OK || rd_left(&r) != 0 || m->listener >= c->listeners)
		return E_IPC;
	l->listener = &c->listener[m->listener];
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

static void seen_note(struct auth *a, const struct identity *i, u32 credential, const u8 *person)
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

/* ---- the end of every chain ----------------------------------------------------------- */
/* The credential was right: may this identity come in, as this client?  person: the source, of a
 * chosen password. */
static void login_admit(struct auth *a, u64 login_id, const struct identity *i,
			const struct credential *c, struct slice client_id, const u8 *person)
{
	if (!status_lives(i->status) || i->removed) {
		verdict_deny(a, login_id, E_REVOKED);
	} else if (c->expires != 0 && c->expires <= auth_wall(a)) {
		verdict_deny(a, login_id, E_CREDENTIAL);
	} else if (!client_id_fits(i, client_id)) {
		verdict_deny(a, login_id, E_CLIENT_ID);
	} else {
		seen_note(a, i, c->number, person);
		verdict_allow(a, login_id, i, c->number, c->expires);
	}
}

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

/* ---- tokens --------------------------------------------------------------------------- */
/* Look through all slots whatever is in them: the time does not tell how many there are.  For a
 * name that does not exist i->id is 0, which has no credentials. */
static bool token_find(struct auth *a, const struct identity *i, struct slice password,
		       struct credential *found)
{
	u8 want[TOKEN_HASH], none[TOKEN_HASH] = {0};
	struct credential c = {0};
	bool hit = false;
	enum err e = E_OK;

	token_hash(a->token_key, password, want);
	for (u32 slot = 0; slot < LIM_TOKENS; slot++) {
		bool live;
		do {
			e = credential_after(a->db, i->id, c.number, &c);
			live = e == E_OK && c.type == CRED_TOKEN && c.state == CRED_ACTIVE &&
			       c.hash_len == TOKEN_HASH;
		} while (e == E_OK && !live);
		if (mem_eq_const(want, live ? (const u8 *)c.hash : none, TOKEN_HASH) && live) {
			*found = c;
			hit = true;
		}
	}
	mem_wipe(want, sizeof(want));
	return hit;
}

/* ---- passwords ------------------------------------------------------------------------ */
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
static void password_right(struct auth *a, const struct password_login *p)
{
	struct slice client_id = slice_of(p->text, p->client_id_len);
	struct identity i;
	struct credential c;
	enum err e = identity_by_id(a->db, p->identity, &i);

	if (e != E_OK)
		verdict_deny(a, p->id, e);
	else if (!password_find(a, i.id, &c) || c.number != p->credential)
		verdict_deny(a, p->id, E_REVOKED);
	else
		login_admit(a, p->id, &i, &c, client_id, p->source);
}

static void password_done(struct hash_job *j, void *arg)
{
	struct password_login *p = arg;
	struct auth *a = p->auth;
	struct slice username = slice_of(p->text + p->client_id_len, p->username_len);

	OBJ_CHECK(a, AUTH_MAGIC);
	/* The decoy has no password; equality with it would prove nothing. */
	if (j->err == E_OK && p->identity != 0) {
		throttle_succeeded(&a->throttle, username);
		password_right(a, p);
	} else if (j->err == E_OK || j->err == E_CREDENTIAL) {
		throttle_failed(&a->throttle, username, p->failures_max, auth_now(a));
		verdict_deny(a, p->id, p->otherwise);
	} else {
		verdict_deny(a, p->id, E_BUSY);
	}
	hash_job_free(&j);
	free(p);
}

/* Is this name under attack, and the source not one of its own? */
static bool password_held_off(struct auth *a, const struct login *l, const struct identity *i)
{
	u64 last = 0, wall = auth_wall(a);

	if (l->listener->limits_none || l->listener->limits.failed_logins == CONF_NO_LIMIT ||
	    throttle_open(&a->throttle, l->username, auth_now(a)))
		return false;
	if (source_get(a->db, i->id, slice_of(l->source, FAIRQ_KEY), &last) != E_OK)
		return true;
	return last + SOURCE_KNOWN_DAYS * 86400000ull < wall;
}

static void login_password(struct auth *a, const struct login *l, const struct identity *i)
{
	struct password_login *p;
	struct credential c = {0};
	struct hash_job *j;
	bool known = password_find(a, i->id, &c) && status_lives(i->status);

	if (password_held_off(a, l, i)) {
		verdict_deny(a, l->id, E_RATE);
		return;
	}
	j = hash_job_new(HASH_VERIFY, l->password, known ? c.hash : a->decoy);
	p = xcalloc(1, sizeof(*p));
	p->auth = a;
	p->id = l->id;
	p->identity = known ? i->id : 0;
	p->credential = c.number;
	p->failures_max = l->listener->limits.failed_logins;
	p->otherwise = i->id != 0 && !status_lives(i->status) ? E_REVOKED : E_CREDENTIAL;
	p->client_id_len = l->client_id.n;
	p->username_len = l->username.n;
	memcpy(p->source, l->source, FAIRQ_KEY);
	memcpy(p->text, l->client_id.p, l->client_id.n);
	memcpy(p->text + l->client_id.n, l->username.p, l->username.n);
	j->done = password_done;
	j->arg = p;
	if (hasher_add(a->hasher, j, slice_of(l->source, FAIRQ_KEY), auth_now(a)) != E_OK) {
		hash_job_free(&j);
		free(p);
		verdict_deny(a, l->id, E_BUSY);
	}
}

/* ---- the chain ------------------------------------------------------------------------ */
static void login_named(struct auth *a, const struct login *l)
{
	struct identity i = {0};
	struct credential c;
	enum err e = identity_by_name(a->db, l->username, &i);
	bool token;

	if (e != E_OK && e != E_NOT_FOUND) {
		verdict_deny(a, l->id, e); /* I01: a store that does not answer admits nobody */
		return;
	}
	token = token_find(a, &i, l->password, &c);
	if (token && l->listener->allow_token)
		login_admit(a, l->id, &i, &c, l->client_id, NULL);
	else if (l->listener->allow_password && !token_shaped(l->password))
		login_password(a, l, &i);
	else
		verdict_deny(a, l->id,
			     e == E_OK && !status_lives(i.status) ? E_REVOKED : E_CREDENTIAL);
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
		login_anonymous(a, &l);
	else if (!m->has_username || !m->has_password || l.username.n == 0 || l.password.n == 0 ||
		 l.username.n > LIM_NAME || l.password.n > sizeof((struct secret){0}.b))
		verdict_deny(a, id, E_CREDENTIAL); /* empty never authenticates (I19) */
	else
		login_named(a, &l);
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
