/* login: from CONNECT to the answer of auth.
 *
 * Until auth has answered and the client is home nothing has happened (I03): the CONNECT is copied
 * aside, the client reads nothing more. */
#include <stdlib.h>

#include "base/addr.h"
#include "base/mem.h"
#include "core/impl.h"

enum { SHARD_SHIFT = 56, SLOT_BITS = 20, ASSIGNED_RANDOM = 20 };
_Static_assert(WAIT_SLOTS_MAX == 1 << SLOT_BITS, "a login's id holds its slot");

/* ---- asking -------------------------------------------------------------------------- */

/* A place among those who wait; false when there are too many. */
static bool login_wait(struct core *c, struct client *cl)
{
	u32 i = 0;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (c->nwaiting >= WAIT_SLOTS_MAX)
		return false;
	if (c->nwaiting == c->waiting_cap) {
		c->waiting_cap = c->waiting_cap != 0 ? c->waiting_cap * 2 : 64;
		c->waiting = xrealloc(c->waiting, c->waiting_cap * sizeof(struct client *));
		for (u32 k = c->nwaiting; k < c->waiting_cap; k++)
			c->waiting[k] = NULL;
	}
	for (i = (u32)(c->login_serial % c->waiting_cap); c->waiting[i] != NULL;)
		i = i + 1 == c->waiting_cap ? 0 : i + 1;
	ASSERT(i < WAIT_SLOTS_MAX);
	ASSERT(cl->hello->login_id == 0);
	c->waiting[i] = cl;
	c->nwaiting++;
	c->login_serial++;
	cl->hello->login_id = (u64)c->shard << SHARD_SHIFT |
			      (c->login_serial << SLOT_BITS & ((1ull << SHARD_SHIFT) - 1)) | i;
	return true;
}

static u32 login_slot(u64 id)
{
	return (u32)(id & (WAIT_SLOTS_MAX - 1));
}

void login_forget(struct core *c, struct client *cl)
{
	struct hello *h = cl->hello;
	u32 slot;

	if (h != NULL && h->held) {
		ASSERT(c->nheld > 0);
		h->held = false;
		c->nheld--;
		TAILQ_REMOVE(&c->held, h, held_link);
	}
	if (h == NULL || h->login_id == 0)
		return;
	slot = login_slot(cl->hello->login_id);
	ASSERT(slot < c->waiting_cap);
	ASSERT(c->waiting[slot] == cl);
	c->waiting[slot] = NULL;
	c->nwaiting--;
	cl->hello->login_id = 0;
}

void hello_decode(const struct hello *h, struct pkt_connect *p)
{
	enum err e = pkt_connect_decode(&h->frame, slice_of(h->body, h->body_len), p);

	ASSERT(e == E_OK); /* it was before */
}

static void login_ask(struct core *c, struct client *cl)
{
	struct login_request r;
	struct pkt_connect p;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	hello_decode(cl->hello, &p);
	r = (struct login_request){.id = cl->hello->login_id,
				   .listener = (u32)(cl->listener - cl->set->l),
				   .version = cl->version,
				   .tls = cl->listener->tls,
				   .has_username = p.has_username,
				   .has_password = p.has_password,
				   .client_id = p.client_id,
				   .username = p.username,
				   .password = p.password,
				   .cert_cn = slice_str(cl->cert_cn != NULL ? cl->cert_cn : ""),
				   .addr = cl->addr};
	c->asking = true;
	c->env.login(c->env.arg, &r);
	c->asking = false;
}

void core_login_again(struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	core_enter(c);
	for (u32 i = 0; i < c->waiting_cap; i++) {
		if (c->waiting[i] != NULL)
			login_ask(c, c->waiting[i]);
	}
	core_leave(c);
}

static bool hello_keep(struct core *c, struct client *cl, const struct frame *f, struct slice body)
{
	struct hello *h = malloc(sizeof(*h) + body.n);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (h == NULL)
		return false;
	memset(h, 0, sizeof(*h));
	h->client = cl;
	h->frame = *f;
	h->at_ms = c->now_ms;
	h->body_len = (u32)body.n;
	memcpy(h->body, body.p, body.n);
	cl->hello = h;
	return true;
}

static enum err connect_check(const struct client *cl, const struct pkt_connect *p)
{
	const struct core_limits *l = &cl->listener->device;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (p->version != MQTT_5)
		return E_OK;
	if (PROP_HAS(&p->props, PROP_auth_method)) /* SPEC MQTT-4.12.0-1: we offer none */
		return E_AUTH_METHOD;
	if (!limits_user_properties(l, &p->props))
		return E_TOO_LARGE;
	return p->has_will && !limits_user_properties(l, &p->will.props) ? E_TOO_LARGE : E_OK;
}

/* May a CONNECT without user name and password be somebody's? */
static bool client_is_somebody(const struct client *cl)
{
	u32 uid;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	return cl->listener->anonymous || cl->cert_cn != NULL || addr_is_uid(cl->addr, &uid);
}

void on_connect(struct core *c, struct client *cl, const struct frame *f, struct slice body)
{
	struct pkt_connect p;
	enum err e = pkt_connect_decode(f, body, &p);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	cl->version = (u8)p.version;
	if (e == E_OK)
		e = connect_check(cl, &p);
	if (e == E_OK && !hello_keep(c, cl, f, body))
		e = E_NOMEM;
	/* A protocol name that we do not know, and what is not a CONNECT of 3.x at all, gets no
	 * answer. */
	if (e != E_OK && p.version != MQTT_5 && e != E_VERSION && e != E_CLIENT_ID)
		cl->version = MQTT_NONE;
	if (e != E_OK) {
		refuse_now(c, cl, e);
		return;
	}
	client_pause(c, cl, P_LOGIN);
	/* What carries no credential is not asked about where nobody may be anonymous. */
	if (!p.has_username && !p.has_password && !client_is_somebody(cl)) {
		refuse_on_grid(c, cl, E_CREDENTIAL);
		return;
	}
	if (!login_wait(c, cl)) {
		refuse_now(c, cl, E_BUSY);
		return;
	}
	if (!cl->listener->tls)
		c->stats.plaintext_logins++;
	cl->state = C_LOGIN;
	client_arm(c, cl);
	login_ask(c, cl);
}

/* ---- the client id ------------------------------------------------------------------- */

static bool starts_with(struct slice s, struct slice head)
{
	return s.n >= head.n && slice_eq(slice_of(s.p, head.n), head);
}

/* The pattern of an identity: a literal, or with '*' at its end. */
static bool client_id_ok(const struct grant *g, struct slice id)
{
	struct slice p = g->pattern;

	if (p.n == 0 && g->kind != WHO_DEVICE)
		return true;
	if (p.n == 0)
		return starts_with(id, g->name) && (id.n == g->name.n || id.p[g->name.n] == ':');
	if (p.p[p.n - 1] == '*')
		return starts_with(id, slice_of(p.p, p.n - 1));
	return slice_eq(id, p);
}

/* A name that nobody else has, in a form that the pattern allows. */
static struct slice client_id_assign(struct core *c, const struct grant *g, u8 *out, size_t cap)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	struct wr w = wr_of(out, cap);
	struct slice p = g->pattern;
	u8 random[ASSIGNED_RANDOM];

	if (p.n != 0 && p.p[p.n - 1] != '*') {
		wr_slice(&w, p);
		return wr_done(&w);
	}
	if (p.n != 0) {
		wr_slice(&w, slice_of(p.p, p.n - 1));
	} else if (g->kind == WHO_DEVICE) {
		wr_slice(&w, g->name);
		wr_u8(&w, ':');
	}
	c->env.random(c->env.arg, random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		wr_u8(&w, (u8)digits[random[i] % 32]);
	return wr_done(&w);
}

/* ---- the answer ---------------------------------------------------------------------- */

/* Who it is and under which client id, or why not. */
static enum err login_identify(struct core *c, struct client *cl, const struct login_answer *a,
			       struct principal *pr)
{
	const struct grant *g = principal_grant(pr);
	struct hello *h = cl->hello;
	struct who_login l;
	struct pkt_connect p;
	u8 assigned[512];

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (g == NULL || !status_acts(g->status))
		return E_REVOKED;
	hello_decode(h, &p);
	l = (struct who_login){.client_id = p.client_id,
			       .username = a->username,
			       .cert_cn = a->cert_cn,
			       .cert_san = a->cert_san,
			       .listener = slice_str(cl->listener->name),
			       .addr = cl->addr,
			       .tls = cl->listener->tls};
	h->assigned = p.client_id.n == 0;
	if (h->assigned)
		l.client_id = client_id_assign(c, g, assigned, sizeof(assigned));
	else if (!client_id_ok(g, p.client_id))
		return E_CLIENT_ID;
	h->kind = g->kind;
	h->credential = a->credential;
	h->expires_wall_ms = a->expires_wall_ms;
	h->who = who_new(c->hub, pr, &l); /* takes pr */
	return E_OK;
}

void core_login_done(struct core *c, u64 id, const struct login_answer *a)
{
	u32 slot = login_slot(id);
	struct client *cl = slot < c->waiting_cap ? c->waiting[slot] : NULL;
	struct principal *pr;
	enum err e = a->verdict;

	OBJ_CHECK(c, CORE_MAGIC);
	ASSERT(!c->asking); /* whoever asks still uses the client, which may move */
	if (cl == NULL || cl->hello->login_id != id)
		return; /* it has gone, or waited too long */
	ASSERT(cl->state == C_LOGIN);
	core_enter(c);
	login_forget(c, cl);
	if (e == E_OK) {
		pr = principal_of_answer(c->hub, a);
		e = login_identify(c, cl, a, pr);
		if (e != E_OK)
			principal_unref(c->hub, &pr);
	}
	if (e != E_OK)
		refuse(c, cl, e);
	else
		login_home(c, cl);
	core_leave(c);
}
