/* client: one connection, from its first byte to its last.
 *
 * Packets are rows: which states, which versions, who handles them.  All deadlines of a client
 * share one timer, which is set to the nearest and looks at all of them when it fires.  Refuses to
 * know what packets mean. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

typedef void packet_fn(struct core *c, struct client *cl, const struct frame *f, struct slice body);

/* ---- deadlines ----------------------------------------------------------------------- */

const struct core_limits *client_limits(const struct client *cl)
{
	return cl->session != NULL ? &cl->session->lim->v : &cl->listener->device;
}

static u64 after(u64 since_ms, u64 ms)
{
	return since_ms == 0 || ms >= UINT32_MAX ? UINT64_MAX : since_ms + ms;
}

static u64 keep_alive_due(const struct client *cl)
{
	if (cl->keep_alive_s == 0 || cl->paused)
		return UINT64_MAX;
	return cl->last_in_ms + cl->keep_alive_s * 1500ull; /* SPEC MQTT-3.1.2-22 */
}

static u64 packet_due(const struct client *cl)
{
	const u32 bytes_a_ms = 16; /* 16 KiB a second at least */

	if (cl->paused)
		return UINT64_MAX;
	return after(cl->packet_ms,
		     (u64)client_limits(cl)->packet_ms + cl->packet_len / bytes_a_ms);
}

static u64 live_due(const struct client *cl)
{
	u64 due = MIN(keep_alive_due(cl), packet_due(cl));

	due = MIN(due, after(cl->stall_ms, client_limits(cl)->output_stall_ms));
	due = MIN(due, cl->expires_ms);
	return cl->resume_ms != 0 ? MIN(due, cl->resume_ms) : due;
}

static u64 client_due(const struct client *cl)
{
	switch ((enum client_state)cl->state) {
	case C_NEW:
		return after(MAX(cl->accepted_ms, 1u), cl->listener->device.connect_ms);
	case C_LOGIN:
	case C_REFUSED:
		return login_next_ms(cl);
	case C_LIVE:
		return live_due(cl);
	case C_CLOSING:
		return UINT64_MAX;
	case C_STATES:
		break;
	}
	UNREACHABLE("not a state");
}

/* The timer may be early: it looks again when it fires. */
void client_arm(struct core *c, struct client *cl)
{
	u64 due = client_due(cl);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (due == UINT64_MAX || (timer_running(&cl->timer) && cl->timer.at_ms <= due))
		return;
	timer_start(&c->wheel, &cl->timer, due);
}

static void live_timeout(struct core *c, struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->resume_ms != 0 && c->now_ms >= cl->resume_ms) {
		cl->resume_ms = 0;
		client_resume(c, cl, P_RATE);
	}
	if (c->now_ms >= keep_alive_due(cl))
		client_end(c, cl, E_KEEPALIVE);
	else if (c->now_ms >= packet_due(cl))
		client_end(c, cl, E_TIMEOUT);
	else if (c->now_ms >= after(cl->stall_ms, client_limits(cl)->output_stall_ms))
		client_end(c, cl, E_QUOTA);
	else if (c->now_ms >= cl->expires_ms)
		client_end(c, cl, E_CREDENTIAL);
}

static void client_timeout(struct timer *t)
{
	struct client *cl = CONTAINER_OF(t, struct client, timer);
	struct core *c = cl->core;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (c->now_ms >= client_due(cl)) {
		if (cl->state == C_NEW)
			client_end(c, cl, E_TIMEOUT);
		else if (cl->state == C_LIVE)
			live_timeout(c, cl);
		else
			login_due(c, cl);
	}
	client_arm(c, cl);
}

/* ---- life ---------------------------------------------------------------------------- */

struct client *core_open(struct core *c, void *conn, u32 listener, const u8 addr[16], u16 port,
			 u64 accepted_ms, const char *tls)
{
	struct listener_set *set = hub_listeners(c->hub);
	struct client *cl;

	OBJ_CHECK(c, CORE_MAGIC);
	ASSERT(set != NULL);
	ASSERT(listener < set->n);
	cl = calloc(1, sizeof(*cl));
	if (cl == NULL) {
		listener_set_unref(&set);
		return NULL;
	}
	cl->magic = CLIENT_MAGIC;
	cl->state = C_NEW;
	cl->conn = conn;
	cl->core = c;
	cl->set = set;
	cl->listener = &set->l[listener];
	cl->accepted_ms = accepted_ms;
	cl->last_in_ms = c->now_ms;
	cl->expires_ms = UINT64_MAX;
	cl->max_packet = UINT32_MAX;
	cl->tls = tls != NULL ? tls : "";
	cl->port = port;
	memcpy(cl->addr, addr, sizeof(cl->addr));
	cl->timer.fire = client_timeout;
	TAILQ_INSERT_TAIL(&c->clients, cl, link);
	c->stats.clients++;
	client_arm(c, cl);
	return cl;
}

void *client_conn(const struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	return cl->conn;
}

void hello_free(struct client *cl)
{
	struct hello *h = cl->hello;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (h == NULL)
		return;
	cl->hello = NULL;
	if (h->home != NULL)
		directory_release(&h->who->hub->directory, &h->home);
	if (h->who != NULL)
		who_unref(&h->who);
	mem_wipe(h, sizeof(*h) + h->body_len); /* the password is in it */
	free(h);
}

/* Out of this shard: no timer, no list, nothing of its pools. */
void client_unlink(struct core *c, struct client *cl)
{
	timer_stop(&c->wheel, &cl->timer);
	TAILQ_REMOVE(&c->clients, cl, link);
	outq_clear(&cl->out, &c->segs);
	ASSERT(c->stats.clients > 0);
	c->stats.clients--;
}

void client_free(struct core *c, struct client **clp)
{
	struct client *cl = *clp;

	*clp = NULL;
	ASSERT(cl->session == NULL);
	login_forget(c, cl);
	client_unlink(c, cl);
	hello_free(cl);
	aliases_free(cl);
	listener_set_unref(&cl->set);
	cl->magic = 0;
	free(cl);
}

/* SPEC MQTT-3.14.0-1: no DISCONNECT before a CONNACK that accepts; 3.x has none at all. */
static void client_say_goodbye(struct core *c, struct client *cl, enum err why)
{
	struct pkt_disconnect p = {.reason = err_reason(why)};
	struct wr w;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->state != C_LIVE || cl->version != MQTT_5 || why == E_EOF || why == E_IO)
		return;
	w = client_wr(c, cl, 16);
	pkt_disconnect_encode(&w, MQTT_5, PKT_DISCONNECT, &p);
	client_wr_done(c, cl, &w);
}

static void client_gone(struct core *c, struct client *cl, enum err why)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->state != C_REFUSED) /* that was said already */
		event_client(c, cl, EV_DISCONNECT, why, NULL);
	if (cl->session == NULL)
		return;
	session_detach(c, cl->session, DETACH_LOST);
}

void client_end(struct core *c, struct client *cl, enum err why)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->state == C_CLOSING)
		return;
	if (why == E_MALFORM || why == E_SHORT || why == E_PROTO || why == E_UTF8)
		c->stats.malformed++;
	client_say_goodbye(c, cl, why);
	client_gone(c, cl, why);
	cl->state = C_CLOSING;
	timer_stop(&c->wheel, &cl->timer);
	c->env.close(c->env.arg, cl->conn, true, why);
}

void core_closed(struct core *c, struct client *cl, enum err why)
{
	OBJ_CHECK(c, CORE_MAGIC);
	OBJ_CHECK(cl, CLIENT_MAGIC);
	core_enter(c);
	if (cl->state != C_CLOSING)
		client_gone(c, cl, why);
	cl->state = C_CLOSING;
	client_free(c, &cl);
	core_leave(c);
}

/* ---- back-pressure ------------------------------------------------------------------- */

void client_pause(struct core *c, struct client *cl, enum pause_why why)
{
	bool first = cl->paused == 0;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(why != 0);
	cl->paused |= (u8)why;
	if (first)
		c->env.pause(c->env.arg, cl->conn);
}

/* The clocks of what the client owes us stood still. */
void client_resume(struct core *c, struct client *cl, enum pause_why why)
{
	bool was = cl->paused != 0;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	cl->paused &= (u8)~why;
	if (!was || cl->paused != 0 || cl->state == C_CLOSING)
		return;
	cl->last_in_ms = c->now_ms;
	if (cl->packet_ms != 0)
		cl->packet_ms = c->now_ms;
	client_arm(c, cl);
	c->env.resume(c->env.arg, cl->conn);
}

/* ---- output -------------------------------------------------------------------------- */

/* A client that reads nothing and goes on asking is not read either. */
static void output_watch(struct core *c, struct client *cl)
{
	u64 limit = client_limits(cl)->output_buffer;

	if (cl->out.bytes < limit || cl->state != C_LIVE)
		return;
	if (cl->stall_ms == 0) {
		cl->stall_ms = MAX(c->now_ms, 1u);
		client_arm(c, cl);
	}
	client_pause(c, cl, P_OUTPUT);
}

void client_dirty(struct core *c, struct client *cl)
{
	output_watch(c, cl);
	if (cl->dirty)
		return;
	cl->dirty = true;
	c->env.dirty(c->env.arg, cl->conn);
}

struct wr client_wr(struct core *c, struct client *cl, size_t cap)
{
	return wr_of(outq_room(&cl->out, &c->segs, cap), cap);
}

bool client_wr_done(struct core *c, struct client *cl, struct wr *w)
{
	bool ok = w->err == E_OK && w->n <= cl->max_packet;

	ASSERT(w->p != NULL);
	ASSERT(w->n <= w->cap);
	outq_trim(&cl->out, ok ? w->cap - w->n : w->cap);
	if (ok)
		client_dirty(c, cl);
	return ok;
}

int core_output(struct core *c, struct client *cl, struct iovec *iov, int max)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(cl->core == c);
	cl->dirty = false;
	return outq_iov(&cl->out, iov, max);
}

void core_sent(struct core *c, struct client *cl, size_t bytes)
{
	u64 limit = client_limits(cl)->output_buffer;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	outq_sent(&cl->out, &c->segs, bytes);
	cl->bytes_out += bytes;
	c->stats.bytes_out += bytes;
	if (cl->state != C_LIVE || cl->out.bytes > limit / 2)
		return;
	cl->stall_ms = 0;
	core_enter(c);
	client_resume(c, cl, P_OUTPUT);
	session_pump(c, cl->session);
	core_leave(c);
}

/* ---- input --------------------------------------------------------------------------- */

static void on_ping(struct core *c, struct client *cl, const struct frame *f, struct slice body)
{
	struct wr w = client_wr(c, cl, 2);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	pkt_ping_encode(&w, PKT_PINGRESP); /* SPEC MQTT-3.12.4-1 */
	client_wr_done(c, cl, &w);
}

/* A new Session Expiry Interval; it cannot come to life from zero (section 3.14.2.2.2). */
static enum err goodbye_expiry(struct session *s, const struct pkt_disconnect *p)
{
	const u8 prop_session_expiry = 0x11;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (!PROP_HAS(&p->props, prop_session_expiry))
		return E_OK;
	if (s->expiry_s == 0 && p->props.session_expiry != 0)
		return E_PROTO;
	s->expiry_s = MIN(p->props.session_expiry, s->lim->v.session_expiry_max_s);
	return E_OK;
}

static void on_disconnect(struct core *c, struct client *cl, const struct frame *f,
			  struct slice body)
{
	struct pkt_disconnect p;
	enum err e =
		pkt_disconnect_decode(f, (enum mqtt_version)cl->version, FROM_CLIENT, body, &p);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (e == E_OK && cl->version == MQTT_5)
		e = goodbye_expiry(cl->session, &p);
	if (e != E_OK) {
		client_end(c, cl, e);
		return;
	}
	event_client(c, cl, EV_DISCONNECT, E_OK, NULL);
	/* SPEC MQTT-3.14.4-3: a normal goodbye voids the will; 0x04 asks for it. */
	session_detach(c, cl->session, p.reason == 0 ? DETACH_GOODBYE : DETACH_LOST);
	cl->state = C_CLOSING;
	timer_stop(&c->wheel, &cl->timer);
	c->env.close(c->env.arg, cl->conn, true, E_OK);
}

enum { IN_NEW = 1 << C_NEW, IN_LIVE = 1 << C_LIVE };
static const struct packet_row {
	packet_fn *fn;
	u8 states;
} packet_rows[16] = {
	[PKT_CONNECT] = {on_connect, IN_NEW},	   [PKT_PUBLISH] = {on_publish, IN_LIVE},
	[PKT_PUBACK] = {on_ack, IN_LIVE},	   [PKT_PUBREC] = {on_ack, IN_LIVE},
	[PKT_PUBREL] = {on_ack, IN_LIVE},	   [PKT_PUBCOMP] = {on_ack, IN_LIVE},
	[PKT_SUBSCRIBE] = {on_subscribe, IN_LIVE}, [PKT_UNSUBSCRIBE] = {on_unsubscribe, IN_LIVE},
	[PKT_PINGREQ] = {on_ping, IN_LIVE},	   [PKT_DISCONNECT] = {on_disconnect, IN_LIVE},
};

static u32 packet_max(const struct client *cl)
{
	return cl->state == C_NEW ? cl->listener->device.prelogin_bytes
				  : client_limits(cl)->max_packet;
}

/* The rest of an unfinished packet is owed from now on. */
static void packet_begun(struct core *c, struct client *cl, u32 len)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	cl->packet_len = len;
	if (cl->packet_ms != 0)
		return;
	cl->packet_ms = MAX(c->now_ms, 1u);
	client_arm(c, cl);
}

/* One packet; returns its size, 0 when it is not complete or was refused. */
static size_t packet_one(struct core *c, struct client *cl, struct slice in)
{
	const struct packet_row *row;
	struct frame f;
	size_t size;
	enum err e = frame_peek(in, (enum mqtt_version)cl->version, packet_max(cl), &f);

	if (e == E_MORE) {
		packet_begun(c, cl, 0);
		return 0;
	}
	if (e != E_OK) {
		client_end(c, cl, e);
		return 0;
	}
	row = &packet_rows[f.type];
	if (row->fn == NULL || !(row->states >> cl->state & 1)) {
		client_end(c, cl, E_PROTO);
		return 0;
	}
	size = (size_t)f.header_len + f.body_len;
	if (in.n < size) {
		packet_begun(c, cl, f.body_len);
		return 0;
	}
	cl->packet_ms = 0;
	row->fn(c, cl, &f, slice_of(in.p + f.header_len, f.body_len));
	return size;
}

static bool client_reads(const struct client *cl)
{
	return (cl->state == C_NEW || cl->state == C_LIVE) && cl->paused == 0;
}

size_t core_input(struct core *c, struct client *cl, struct slice bytes)
{
	size_t used = 0, n;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(cl->core == c);
	core_enter(c);
	cl->last_in_ms = c->now_ms;
	while (used < bytes.n && client_reads(cl)) {
		n = packet_one(c, cl, slice_skip(bytes, used));
		if (n == 0)
			break;
		used += n;
	}
	if (cl->state == C_CLOSING)
		used = bytes.n; /* whatever else it said */
	cl->bytes_in += used;
	c->stats.bytes_in += used;
	core_leave(c);
	return used;
}
