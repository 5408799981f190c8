/* input: bytes become packets, and packets are rows: which states, who handles them.
 *
 * One generic check of length, flags and order runs before any handler.  Also the two packets that
 * need none of the others: PINGREQ and DISCONNECT. */
#include "core/impl.h"

typedef void packet_fn(struct core *c, struct client *cl, const struct frame *f, struct slice body);

static void on_ping(struct core *c, struct client *cl, const struct frame *f, struct slice body)
{
	struct wr w = client_wr(c, cl, 2);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	quirks_ping(c, cl);
	pkt_ping_encode(&w, PKT_PINGRESP); /* SPEC MQTT-3.12.4-1 */
	client_wr_done(c, cl, &w);
}

/* A new Session Expiry Interval; it cannot come to life from zero (section 3.14.2.2.2). */
static enum err goodbye_expiry(struct session *s, const struct pkt_disconnect *p)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	if (!PROP_HAS(&p->props, PROP_session_expiry))
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
	ASSERT(f.type < 16);
	ASSERT(cl->state == C_NEW || cl->state == C_LIVE);
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
	ASSERT(size >= 2);
	cl->packet_ms = 0;
	if (UNLIKELY(f.header_len > 2 && in.p[f.header_len - 1] == 0))
		quirks_padded(cl);
	row->fn(c, cl, &f, slice_of(in.p + f.header_len, f.body_len));
	if (UNLIKELY(c->again)) {
		c->again = false;
		ASSERT(cl->paused != 0);
		return 0;
	}
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
	if (UNLIKELY(c->now_ms > cl->last_in_ms + cl->keep_alive_s * 1000ull))
		quirks_silent(cl);
	cl->last_in_ms = c->now_ms;
	while (used < bytes.n && client_reads(cl)) {
		n = packet_one(c, cl, slice_skip(bytes, used));
		if (n == 0)
			break;
		used += n;
	}
	if (cl->state == C_CLOSING)
		used = bytes.n; /* whatever else it said */
	ASSERT(used <= bytes.n);
	cl->bytes_in += used;
	c->stats.bytes_in += used;
	core_leave(c);
	return used;
}
