/* login: from CONNECT to CONNACK.
 *
 * Until auth has answered and the client is home nothing has happened (I03): the CONNECT is copied
 * aside, the client reads nothing more.  A refused credential is answered on a grid of fixed times
 * after CONNECT and always with the same bytes, so neither says why (I31). */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum {
	P_SESSION_EXPIRY = 0x11,
	P_ASSIGNED_ID = 0x12,
	P_SERVER_KEEP_ALIVE = 0x13,
	P_AUTH_METHOD = 0x15,
	P_RECEIVE_MAXIMUM = 0x21,
	P_ALIAS_MAXIMUM = 0x22,
	P_RETAIN_AVAILABLE = 0x25,
	P_PACKET_MAXIMUM = 0x27
};
enum { V3_ACCEPTED, V3_VERSION, V3_CLIENT_ID, V3_UNAVAILABLE, V3_NOT_AUTHORIZED = 5 };
enum { SHARD_SHIFT = 56, SLOT_BITS = 20, CONNACK_MAX = 512, ASSIGNED_RANDOM = 20 };
/* Sessions of one identity, those without a connection too. */
enum { SESSIONS_A_CONNECTION = 4, SESSIONS_MIN = 16, SESSIONS_ANONYMOUS = 10000 };
_Static_assert(WAIT_SLOTS_MAX == 1 << SLOT_BITS, "a login's id holds its slot");

/* ---- refusing ------------------------------------------------------------------------ */

static u8 v3_code(enum err why)
{
	switch (err_reason(why)) {
	case 0x84:
		return V3_VERSION;
	case 0x85:
		return V3_CLIENT_ID;
	case 0x87:
		return V3_NOT_AUTHORIZED;
	default:
		return V3_UNAVAILABLE;
	}
}

static void connack_refuse(struct core *c, struct client *cl, enum err why)
{
	bool v5 = cl->version == MQTT_5;
	struct pkt_connack p = {.code = v5 ? err_reason(why) : v3_code(why)};
	struct wr w = client_wr(c, cl, 16);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	pkt_connack_encode(&w, (enum mqtt_version)cl->version, &p);
	client_wr_done(c, cl, &w);
}

static void refused_event(struct core *c, struct client *cl, enum err why)
{
	struct core_event e = event_of_client(cl, EV_REFUSED, why);
	struct pkt_connect p;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	c->stats.logins_refused++;
	if (cl->hello != NULL && cl->hello->who == NULL &&
	    pkt_connect_decode(&cl->hello->frame, slice_of(cl->hello->body, cl->hello->body_len),
			       &p) == E_OK) {
		e.client_id = p.client_id;
		e.username = p.username;
		e.watched = hub_watches(c->hub, p.username);
	}
	event_emit(c, &e);
}

/* At once: what is refused says nothing about a credential. */
static void refuse_now(struct core *c, struct client *cl, enum err why)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	refused_event(c, cl, why);
	if (cl->version != MQTT_NONE)
		connack_refuse(c, cl, why);
	cl->state = C_REFUSED;
	client_end(c, cl, why);
}

static u64 grid_next(const struct client *cl, u64 now_ms)
{
	u64 grid = MAX(cl->listener->device.refusal_grid_ms, 1u), at = cl->hello->at_ms;

	return at + grid * (1 + (now_ms - at) / grid);
}

/* Later, and as every refusal of a credential. */
static void refuse_on_grid(struct core *c, struct client *cl, enum err why)
{
	struct hello *h = cl->hello;

	ASSERT(h != NULL);
	cl->state = C_REFUSED;
	h->why = why;
	refused_event(c, cl, why);
	h->at_ms = grid_next(cl, c->now_ms); /* from here on: when it leaves */
	timer_stop(&c->wheel, &cl->timer);
	client_arm(c, cl);
}

static void refuse(struct core *c, struct client *cl, enum err why)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (why == E_BUSY || why == E_UNAVAILABLE || why == E_QUOTA || why == E_NOMEM)
		refuse_now(c, cl, why);
	else
		refuse_on_grid(c, cl, why);
}

u64 login_next_ms(const struct client *cl)
{
	u32 login_ms = cl->listener->device.login_ms;

	ASSERT(cl->hello != NULL);
	if (cl->state == C_REFUSED)
		return cl->hello->at_ms;
	return login_ms == UINT32_MAX ? UINT64_MAX : cl->hello->at_ms + login_ms;
}

void login_due(struct core *c, struct client *cl)
{
	enum err why = cl->hello->why;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->state == C_LOGIN) {
		login_forget(c, cl);
		refuse_now(c, cl, E_UNAVAILABLE);
		return;
	}
	connack_refuse(c, cl, E_CREDENTIAL);
	client_end(c, cl, why);
}

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
	u32 slot;

	if (cl->hello == NULL || cl->hello->login_id == 0)
		return;
	slot = login_slot(cl->hello->login_id);
	ASSERT(slot < c->waiting_cap);
	ASSERT(c->waiting[slot] == cl);
	c->waiting[slot] = NULL;
	c->nwaiting--;
	cl->hello->login_id = 0;
}

static void hello_decode(const struct hello *h, struct pkt_connect *p)
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
	h->frame = *f;
	h->at_ms = c->now_ms;
	h->body_len = (u32)body.n;
	memcpy(h->body, body.p, body.n);
	cl->hello = h;
	return true;
}

static bool user_properties_fit(const struct core_limits *l, const struct props *p)
{
	return p->user_count <= l->user_properties && p->user_bytes <= l->user_property_bytes;
}

static enum err connect_check(const struct client *cl, const struct pkt_connect *p)
{
	const struct core_limits *l = &cl->listener->device;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (p->version != MQTT_5)
		return E_OK;
	if (PROP_HAS(&p->props, P_AUTH_METHOD)) /* SPEC MQTT-4.12.0-1: we offer none */
		return E_AUTH_METHOD;
	if (!user_properties_fit(l, &p->props))
		return E_TOO_LARGE;
	return p->has_will && !user_properties_fit(l, &p->will.props) ? E_TOO_LARGE : E_OK;
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
	if (!p.has_username && !p.has_password && !cl->listener->anonymous) {
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

static void login_home(struct core *c, struct client *cl);

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

/* ---- home ---------------------------------------------------------------------------- */

/* How many connections the identity would have with this one. */
static bool connections_fit(const struct session *old, const struct who *w, const struct limits *l,
			    u32 kind)
{
	u32 n = atomic_load(&w->pr->connections);

	OBJ_CHECK(w, WHO_MAGIC);
	if (kind == WHO_ANONYMOUS)
		return true;
	if (old != NULL && old->client != NULL)
		n--;
	return n < l->v.connections_identity;
}

static u32 expiry_wanted(const struct pkt_connect *p)
{
	if (p->version != MQTT_5)
		return p->clean_start ? 0 : UINT32_MAX;
	return PROP_HAS(&p->props, P_SESSION_EXPIRY) ? p->props.session_expiry : 0;
}

/* How long the session may outlive its connection.  An identity that leaves ever new ones behind
 * (SESS-HOARD) is still let in, but what it leaves from then on ends with its connection. */
static u32 expiry_given(const struct session *s, const struct pkt_connect *p, u32 kind)
{
	const struct core_limits *l = &s->lim->v;
	u64 most = kind == WHO_ANONYMOUS ? SESSIONS_ANONYMOUS
					 : MAX(SESSIONS_A_CONNECTION * (u64)l->connections_identity,
					       SESSIONS_MIN);

	OBJ_CHECK(s, SESSION_MAGIC);
	if (atomic_load(&s->who->pr->sessions) > most)
		return 0;
	return MIN(expiry_wanted(p), l->session_expiry_max_s);
}

/* The keep alive in force: MQTT 5 is told ours, 3 keeps its own. */
static void keep_alive_set(struct client *cl, const struct pkt_connect *p, struct pkt_connack *ack)
{
	u32 most = cl->session->lim->v.keep_alive_max_s;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	cl->keep_alive_s = p->keep_alive_s;
	if (p->keep_alive_s != 0 && p->keep_alive_s <= most)
		return;
	if (p->version != MQTT_5) {
		cl->keep_alive_s = 0; /* TCP probes decide */
		return;
	}
	if (most > UINT16_MAX)
		return;
	cl->keep_alive_s = (u16)most;
	ack->props.server_keep_alive = (u16)most;
	ack->props.has |= 1ull << P_SERVER_KEEP_ALIVE;
}

/* What the client may rely on, and no more than is true. */
static void connack_limits(const struct session *s, const struct pkt_connect *p,
			   struct pkt_connack *ack)
{
	const struct core_limits *l = &s->lim->v;
	struct props *q = &ack->props;
	u32 wanted = expiry_wanted(p);

	OBJ_CHECK(s, SESSION_MAGIC);
	q->has |= 1ull << P_RECEIVE_MAXIMUM;
	q->receive_maximum = (u16)l->receive_maximum;
	if (l->max_packet <=
	    VBI_MAX) { /* above it there is nothing to tell, and clients refuse it */
		q->has |= 1ull << P_PACKET_MAXIMUM;
		q->maximum_packet_size = l->max_packet;
	}
	if (l->topic_aliases != 0) {
		q->has |= 1ull << P_ALIAS_MAXIMUM;
		q->topic_alias_maximum = (u16)l->topic_aliases;
	}
	if (wanted != s->expiry_s) {
		q->has |= 1ull << P_SESSION_EXPIRY;
		q->session_expiry = s->expiry_s;
	}
	if (l->retained_identity == 0) {
		q->has |= 1ull << P_RETAIN_AVAILABLE;
		q->retain_available = 0;
	}
}

static void connack_accept(struct core *c, struct client *cl, const struct pkt_connect *p,
			   bool present)
{
	struct session *s = cl->session;
	struct pkt_connack ack = {.session_present = present && p->version != MQTT_31};
	struct wr w;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(s != NULL);
	keep_alive_set(cl, p, &ack);
	if (p->version == MQTT_5) {
		connack_limits(s, p, &ack);
		if (cl->hello->assigned) {
			ack.props.has |= 1ull << P_ASSIGNED_ID;
			ack.props.assigned_client_id = s->who->client_id;
		}
	}
	w = client_wr(c, cl, CONNACK_MAX);
	pkt_connack_encode(&w, p->version, &ack);
	client_wr_done(c, cl, &w);
}

static void client_accepts(struct core *c, struct client *cl, const struct pkt_connect *p)
{
	u32 window = client_limits(cl)->inflight;
	u64 wall = c->env.wall_ms(c->env.arg);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	cl->receive_max = (u16)window;
	if (p->version == MQTT_5) {
		if (PROP_HAS(&p->props, P_RECEIVE_MAXIMUM))
			cl->receive_max = (u16)MIN(window, p->props.receive_maximum);
		if (PROP_HAS(&p->props, P_PACKET_MAXIMUM))
			cl->max_packet = p->props.maximum_packet_size;
		if (PROP_HAS(&p->props, P_ALIAS_MAXIMUM))
			cl->alias_max_out = p->props.topic_alias_maximum;
	}
	cl->connected_wall_ms = wall;
	cl->credential = cl->hello->credential;
	if (cl->hello->expires_wall_ms != 0)
		cl->expires_ms =
			c->now_ms +
			(cl->hello->expires_wall_ms > wall ? cl->hello->expires_wall_ms - wall : 0);
}

/* The session that this login gets: its old one, taken over, or a new one. */
static struct session *login_session(struct core *c, struct hello *h, bool clean, bool *present)
{
	struct session *s = h->home->session;

	if (s != NULL && s->client != NULL) {
		struct client *old = s->client;
		event_session(c, s, EV_TAKEOVER, E_TAKEN_OVER, SLICE_NONE);
		/* SPEC MQTT-3.1.4-3: the older connection goes. */
		client_end(c, old, E_TAKEN_OVER);
		s = h->home->session;
	}
	if (s != NULL && clean)
		session_end(c, &s);
	ASSERT(s == NULL || s->client == NULL);
	*present = s != NULL;
	if (s == NULL)
		return session_new(c, h->home, who_ref(h->who));
	directory_release(&c->hub->directory, &h->home); /* the session has a claim of its own */
	if (s->will != NULL) /* SPEC MQTT-3.1.3-9: it came back in time */
		will_free(&s->will);
	who_unref(&s->who);
	s->who = who_ref(h->who);
	return s;
}

static void login_accept(struct core *c, struct client *cl, const struct pkt_connect *p,
			 struct limits *lim)
{
	struct hello *h = cl->hello;
	struct session *s;
	bool present;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	s = login_session(c, h, p->clean_start, &present);
	h->home = NULL;
	if (s->lim != NULL)
		limits_unref(c, &s->lim);
	s->lim = lim;
	s->version = (u8)p->version;
	s->clean = p->clean_start;
	s->expiry_s = expiry_given(s, p, h->kind);
	s->will = p->has_will ? will_new(p, s->who, s->expiry_s) : NULL;
	cl->state = C_LIVE;
	session_attach(c, s, cl);
	client_accepts(c, cl, p);
	connack_accept(c, cl, p, present);
	c->stats.logins_ok++;
	event_client(c, cl, EV_CONNECT, E_OK, present ? "session resumed" : "session new");
	hello_free(cl);
	subs_rejudge(c, s);
	session_resend(c, s);
	timer_stop(&c->wheel, &cl->timer);
	client_arm(c, cl);
	client_resume(c, cl, P_LOGIN);
}

/* On the home shard: the last questions, then everything happens at once. */
static void login_finish(struct core *c, struct client *cl)
{
	struct hello *h = cl->hello;
	const struct grant *g = principal_grant(h->who->pr);
	struct limits *lim;
	struct pkt_connect p;
	enum err e = E_OK;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	hello_decode(h, &p);
	lim = limits_of(c, cl->listener, g);
	if (!status_acts(g->status) || credential_ended(g, h->credential))
		e = E_REVOKED;
	else if (p.has_will &&
		 judge_publish(h->who, &p.will.topic, p.will.qos, p.will.retain) != ALLOW)
		e = E_DENIED;
	else if (!connections_fit(h->home->session, h->who, lim, h->kind))
		e = E_QUOTA;
	if (e == E_OK) {
		login_accept(c, cl, &p, lim);
		return;
	}
	limits_unref(c, &lim);
	directory_release(&c->hub->directory, &h->home);
	refuse(c, cl, e);
}

static void login_home(struct core *c, struct client *cl)
{
	struct hello *h = cl->hello;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	h->home = directory_claim(&c->hub->directory, h->who->pr->id, h->who->client_id, c->shard);
	if (h->home->shard == c->shard) {
		login_finish(c, cl);
		return;
	}
	client_unlink(c, cl);
	cl->core = NULL;
	c->env.move(c->env.arg, cl, cl->conn, h->home->shard);
}

void core_adopt(struct core *c, struct client *cl, void *conn)
{
	OBJ_CHECK(c, CORE_MAGIC);
	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(cl->core == NULL);
	ASSERT(cl->hello->home->shard == c->shard);
	core_enter(c);
	cl->core = c;
	cl->conn = conn;
	cl->dirty = false;
	TAILQ_INSERT_TAIL(&c->clients, cl, link);
	c->stats.clients++;
	login_finish(c, cl);
	core_leave(c);
}
