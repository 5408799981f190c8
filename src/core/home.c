/* home: an allowed login on the shard where its session lives, up to CONNACK.
 *
 * The last questions are asked, then everything happens at once: the older connection goes, the
 * session is found or made, and CONNACK says what the client may rely on. */
#include "core/impl.h"

enum { CONNACK_MAX = 512, RESPONSE_MAX = 512 };
/* Sessions of one identity, those without a connection too. */
enum { SESSIONS_A_CONNECTION = 4, SESSIONS_MIN = 16, SESSIONS_ANONYMOUS = 10000 };

/* Count this connection if the identity may have it; the one that it takes over makes room.  Other
 * shards count at the same time: whoever comes first has the place. */
static bool connection_count(const struct session *old, const struct who *w, const struct limits *l,
			     u32 kind)
{
	u32 n = atomic_fetch_add(&w->pr->connections, 1);

	OBJ_CHECK(w, WHO_MAGIC);
	if (old != NULL && old->client != NULL)
		n--;
	if (kind == WHO_ANONYMOUS || n < l->v.connections_identity)
		return true;
	ASSERT(atomic_fetch_sub(&w->pr->connections, 1) > 0);
	return false;
}

static u32 expiry_wanted(const struct pkt_connect *p)
{
	if (p->version != MQTT_5)
		return p->clean_start ? 0 : UINT32_MAX;
	return PROP_HAS(&p->props, PROP_session_expiry) ? p->props.session_expiry : 0;
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

/* The keep alive in force: MQTT 5 is told ours, 3 keeps its own (SPEC MQTT-3.1.2-24 of 3.1.1).
 * Where there is none, TCP's probes decide. */
static void keep_alive_set(struct client *cl, const struct pkt_connect *p, struct pkt_connack *ack)
{
	u32 most = cl->session->lim->v.keep_alive_max_s;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	cl->keep_alive_s = p->keep_alive_s;
	if (p->version != MQTT_5 || most > UINT16_MAX)
		return;
	if (p->keep_alive_s != 0 && p->keep_alive_s <= most)
		return;
	cl->keep_alive_s = (u16)most;
	ack->props.server_keep_alive = (u16)most;
	ack->props.has |= 1ull << PROP_server_keep_alive;
}

/* What the client may rely on, and no more than is true. */
static void connack_limits(const struct session *s, const struct pkt_connect *p,
			   struct pkt_connack *ack)
{
	const struct core_limits *l = &s->lim->v;
	struct props *q = &ack->props;
	u32 wanted = expiry_wanted(p);

	OBJ_CHECK(s, SESSION_MAGIC);
	q->has |= 1ull << PROP_receive_maximum;
	q->receive_maximum = (u16)l->receive_maximum;
	if (l->max_packet <=
	    VBI_MAX) { /* above it there is nothing to tell, and clients refuse it */
		q->has |= 1ull << PROP_maximum_packet_size;
		q->maximum_packet_size = l->max_packet;
	}
	if (l->topic_aliases != 0) {
		q->has |= 1ull << PROP_topic_alias_maximum;
		q->topic_alias_maximum = (u16)l->topic_aliases;
	}
	if (wanted != s->expiry_s) {
		q->has |= 1ull << PROP_session_expiry;
		q->session_expiry = s->expiry_s;
	}
	if (l->retained_identity == 0) {
		q->has |= 1ull << PROP_retain_available;
		q->retain_available = 0;
	}
}

static bool connack_send(struct core *c, struct client *cl, const struct pkt_connack *ack,
			 u64 ticket)
{
	struct wr w = answer_wr(c, cl, ticket, CONNACK_MAX + ack->props.response_info.n);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	pkt_connack_encode(&w, (enum mqtt_version)cl->version, ack);
	return answer_done(c, cl, ticket, &w);
}

/* False when it does not fit into what the client takes: then nothing may be said at all. */
static bool connack_accept(struct core *c, struct client *cl, const struct pkt_connect *p,
			   bool present, u64 ticket)
{
	struct session *s = cl->session;
	struct pkt_connack ack = {.session_present = present && p->version != MQTT_31};
	u8 response[RESPONSE_MAX];

	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(s != NULL);
	keep_alive_set(cl, p, &ack);
	if (p->version != MQTT_5)
		return connack_send(c, cl, &ack, ticket);
	connack_limits(s, p, &ack);
	features_connack(cl, &ack.props);
	if (cl->hello->assigned) {
		ack.props.has |= 1ull << PROP_assigned_client_id;
		ack.props.assigned_client_id = s->who->client_id;
	}
	ack.props.response_info = features_response(cl, p, response, sizeof(response));
	if (ack.props.response_info.n != 0)
		ack.props.has |= 1ull << PROP_response_info;
	if (connack_send(c, cl, &ack, ticket))
		return true;
	/* It can do without. */
	ack.props.has &= ~(1ull << PROP_response_info);
	return ack.props.response_info.n != 0 && connack_send(c, cl, &ack, ticket);
}

static void client_accepts(struct core *c, struct client *cl, const struct pkt_connect *p)
{
	u32 window = client_limits(cl)->inflight;
	u64 wall = c->env.wall_ms(c->env.arg);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	cl->receive_max = (u16)window;
	if (p->version == MQTT_5) {
		cl->wants_words = !PROP_HAS(&p->props, PROP_request_problem_info) ||
				  p->props.request_problem_info != 0;
		if (PROP_HAS(&p->props, PROP_receive_maximum))
			cl->receive_max = (u16)MIN(window, p->props.receive_maximum);
		if (PROP_HAS(&p->props, PROP_maximum_packet_size))
			cl->max_packet = p->props.maximum_packet_size;
		if (PROP_HAS(&p->props, PROP_topic_alias_maximum))
			cl->alias_max_out = (u16)MIN(p->props.topic_alias_maximum,
						     client_limits(cl)->topic_aliases);
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
	u64 described = c->ops.described, ticket;
	struct session *s = h->home->session;
	bool present, open = s != NULL && s->client != NULL;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	s = login_session(c, h, p->clean_start, &present);
	h->home = NULL;
	if (s->lim != NULL)
		limits_unref(c, &s->lim);
	s->lim = lim;
	s->version = (u8)p->version;
	s->clean = p->clean_start;
	s->expiry_s = expiry_given(s, p, h->kind);
	ASSERT(s->will == NULL); /* of an older connection: said or void */
	/* A goodbye may give the session a longer life; where it ends sooner the will is said then.
	 */
	s->will = p->has_will ? will_new(p, s->who, UINT32_MAX) : NULL;
	cl->state = C_GREETED;
	session_attach(c, s, cl);
	client_accepts(c, cl, p);
	if (ops_on(c) && s->durable == NULL && s->expiry_s != 0)
		record_begin(c, s);
	ASSERT(!present || s->durable != NULL || !ops_on(c));
	if (s->durable != NULL)
		record_put(c, s);
	/* What it says of the session, and of older ones that were ended, has to be so. */
	ticket = c->ops.described != described ? ops_now(c) : s->home->ending;
	if (!connack_accept(c, cl, p, present, ticket)) {
		/* SPEC MQTT-3.2.0-1, MQTT-3.1.2-24: nothing may come before it. */
		session_detach(c, s, DETACH_GOODBYE);
		refuse_now(c, cl, E_TOO_LARGE);
		return;
	}
	c->stats.logins_ok++;
	cl->fresh = !present;
	quirks_login(cl, p, open);
	event_client(c, cl, EV_CONNECT, E_OK, present ? "session resumed" : "session new");
	hello_free(cl);
	if (cl->waits == NULL)
		login_greeted(c, cl);
}

void login_greeted(struct core *c, struct client *cl)
{
	ASSERT(cl->state == C_GREETED);
	ASSERT(cl->waits == NULL);
	cl->state = C_LIVE;
	subs_rejudge(c, cl->session);
	session_resend(c, cl->session);
	timer_stop(&c->wheel, &cl->timer);
	client_arm(c, cl);
	client_resume(c, cl, P_LOGIN);
}

/* Would it be a session that the store does not know yet, now that there is no room for one? */
static bool disk_is_full_for(const struct core *c, const struct hello *h,
			     const struct pkt_connect *p, const struct limits *l)
{
	bool is_new = h->home->session == NULL || p->clean_start;

	ASSERT(l != NULL);
	return c->ops.press == PRESS_FULL && is_new &&
	       MIN(expiry_wanted(p), l->v.session_expiry_max_s) != 0;
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
	lim = limits_of(c, cl->listener, g, cl->addr);
	if (!status_acts(g->status) || credential_ended(g, h->credential))
		e = E_REVOKED;
	else if (p.has_will &&
		 judge_publish(h->who, &p.will.topic, p.will.qos, p.will.retain) != ALLOW)
		e = E_DENIED;
	else if (p.version == MQTT_5 && p.has_will && p.will.retain &&
		 lim->v.retained_identity == 0)
		e = E_NO_RETAIN; /* SPEC MQTT-3.2.2-13 */
	else if (p.has_will && p.will.qos > cl->listener->features.maximum_qos)
		e = E_QOS; /* SPEC MQTT-3.2.2-12 */
	else if (disk_is_full_for(c, h, &p, lim))
		e = E_QUOTA;
	else if (!connection_count(h->home->session, h->who, lim, h->kind))
		e = E_QUOTA;
	if (e == E_OK) {
		login_accept(c, cl, &p, lim);
		return;
	}
	limits_unref(c, &lim);
	directory_release(&c->hub->directory, &h->home);
	refuse(c, cl, e);
}

void login_home(struct core *c, struct client *cl)
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
