/* states: what a first byte leads to in every state of a connection: all 256 of them, alone, with
 * an empty packet behind them, and with a whole one of their type.  The expectations are the tables
 * of the specification, written down once more. */
#include <stdlib.h>

#include "peer.h"

enum state {
	NEW,	 /* nothing has been said */
	ASKED,	 /* CONNECT; its answer is on its way */
	GREETED, /* let in; CONNACK waits for the disk */
	REFUSED, /* not let in; CONNACK waits for its time */
	LIVE_31,
	LIVE_311,
	LIVE_5,
	RESUMED_311, /* messages are under way in both directions */
	RESUMED_5,
	RATED, /* above its rate: nothing is read for a while */
	STATES
};
static const char *const state_names[] = {"new",	 "asked",      "greeted",  "refused",
					  "live 3.1",	 "live 3.1.1", "live 5.0", "resumed 3.1.1",
					  "resumed 5.0", "rated"};
enum form { ALONE, BARE, WHOLE, FORMS };
static const char *const form_names[] = {"alone", "with length 0", "whole"};
enum { UNKNOWN_PID = 0x0909, HELD_PID = 0x0505 };

/* What comes: a packet (0: none) with its reason, and then the end of the connection or not. */
struct outcome {
	u8 packet;
	int code; /* -1: it has none */
	bool closed;
};

/* ---- what is expected ---------------------------------------------------------------- */

static struct outcome error(enum mqtt_version v, u8 code)
{
	if (v != MQTT_5)
		return (struct outcome){.closed = true};
	return (struct outcome){PKT_DISCONNECT, code, true};
}

/* Of tables 2-2 (5.0) and 2.2 (3.1.1); 3.1 has DUP where it has a QoS of 1. */
static bool flags_ok(enum mqtt_version v, u8 first)
{
	u8 flags = first & 15;

	switch (first >> 4) {
	case 0:
		return false;
	case PKT_PUBLISH:
		return (flags & 6) != 6;
	case PKT_PUBREL:
	case PKT_SUBSCRIBE:
	case PKT_UNSUBSCRIBE:
		return flags == 2 || (v == MQTT_31 && flags == 10);
	case PKT_AUTH:
		return v == MQTT_5 && flags == 0;
	default:
		return flags == 0;
	}
}

static struct outcome acknowledged(enum mqtt_version v, u8 packet, u8 code)
{
	return (struct outcome){packet, v == MQTT_5 ? code : 0, false};
}

static struct outcome publish_expected(enum mqtt_version v, u8 first, enum form form)
{
	u8 qos = first >> 1 & 3;

	if (form == BARE || (qos == 0 && first & 8))
		return error(v, 0x81);
	if (qos == 0)
		return (struct outcome){0};
	/* Nobody has subscribed. */
	return acknowledged(v, qos == 1 ? PKT_PUBACK : PKT_PUBREC, 0x10);
}

/* A packet of a client that has its CONNACK. */
static struct outcome live_expected(enum mqtt_version v, u8 first, enum form form)
{
	if (!flags_ok(v, first))
		return error(v, 0x81);
	if (form == ALONE)
		return (struct outcome){0};
	switch (first >> 4) {
	case PKT_PUBLISH:
		return publish_expected(v, first, form);
	case PKT_PUBACK:
	case PKT_PUBCOMP:
		return form == BARE ? error(v, 0x81) : (struct outcome){0};
	case PKT_PUBREC:
		return form == BARE ? error(v, 0x81) : acknowledged(v, PKT_PUBREL, 0x92);
	case PKT_PUBREL:
		return form == BARE ? error(v, 0x81) : acknowledged(v, PKT_PUBCOMP, 0x92);
	case PKT_SUBSCRIBE:
		return form == BARE ? error(v, 0x81) : (struct outcome){PKT_SUBACK, 0, false};
	case PKT_UNSUBSCRIBE:
		return form == BARE
			       ? error(v, 0x81)
			       : (struct outcome){PKT_UNSUBACK, v == MQTT_5 ? 0x11 : -1, false};
	case PKT_PINGREQ:
		return (struct outcome){PKT_PINGRESP, -1, false};
	case PKT_DISCONNECT:
		return (struct outcome){.closed = true};
	default: /* a server's, a second CONNECT, AUTH without a method */
		return error(v, 0x82);
	}
}

/* Before CONNECT nothing but a CONNECT is answered. */
static struct outcome new_expected(u8 first, enum form form)
{
	if (form == ALONE)
		return (struct outcome){.closed = !flags_ok(MQTT_5, first)};
	if (first == PKT_CONNECT << 4 && form == WHOLE)
		return (struct outcome){PKT_CONNACK, 0, false};
	return (struct outcome){.closed = true};
}

/* ---- what is sent -------------------------------------------------------------------- */

static enum mqtt_version version_of(enum state s)
{
	if (s == LIVE_31)
		return MQTT_31;
	return s == LIVE_5 || s == RESUMED_5 || s == GREETED || s == RATED ? MQTT_5 : MQTT_311;
}

/* A packet body that fits the first byte. */
static size_t body_of(enum mqtt_version v, u8 first, u8 *out, size_t cap)
{
	/* What is retained for one is not for the other. */
	const struct slice topic = first >> 4 == PKT_PUBLISH ? SLICE_LIT("t") : SLICE_LIT("s");
	struct wr w = wr_of(out, cap);
	bool five = v == MQTT_5;

	switch (first >> 4) {
	case PKT_CONNECT:
		wr_slice(&w, SLICE_LIT("\0\4MQTT\4\x82\0\0\0\1n\0\1a"));
		break;
	case PKT_PUBLISH:
		wr_u16(&w, (u16)topic.n);
		wr_slice(&w, topic);
		if (first & 6)
			wr_u16(&w, UNKNOWN_PID);
		wr_slice(&w, five ? SLICE_LIT("\0x") : SLICE_LIT("x"));
		break;
	case PKT_SUBSCRIBE:
	case PKT_UNSUBSCRIBE:
		wr_u16(&w, UNKNOWN_PID);
		if (five)
			wr_u8(&w, 0);
		wr_u16(&w, (u16)topic.n);
		wr_slice(&w, topic);
		if (first >> 4 == PKT_SUBSCRIBE)
			wr_u8(&w, 0);
		break;
	case PKT_PINGREQ:
	case PKT_PINGRESP:
	case PKT_DISCONNECT:
		break;
	case PKT_AUTH:
		wr_slice(&w, SLICE_LIT("\x18\4\x15\0\1m"));
		break;
	default:
		wr_u16(&w, UNKNOWN_PID);
	}
	assert_int_equal(w.err, E_OK);
	return w.n;
}

static size_t packet_of(enum mqtt_version v, u8 first, enum form form, u8 *out, size_t cap)
{
	size_t n = form == WHOLE ? body_of(v, first, out + 2, cap - 2) : 0;

	out[0] = first;
	out[1] = (u8)n;
	return form == ALONE ? 1 : 2 + n;
}

/* ---- what comes ---------------------------------------------------------------------- */

static int code_of(const struct frame *f, struct slice body)
{
	switch (f->type) {
	case PKT_CONNACK:
		return body.p[1];
	case PKT_DISCONNECT:
		return body.n != 0 ? body.p[0] : 0;
	case PKT_SUBACK:
		return body.p[body.n - 1];
	case PKT_UNSUBACK:
		return body.n > 2 ? body.p[body.n - 1] : -1;
	case PKT_PINGRESP:
		return -1;
	default:
		return body.n > 2 ? body.p[2] : 0;
	}
}

static void check(const char *state, const char *form, u8 first, struct wconn *c,
		  struct outcome want)
{
	struct outcome got = {.closed = peer_gone(c)};
	struct frame f;
	struct slice body;

	if (wconn_next(c, &f, &body)) {
		got.packet = f.type;
		got.code = code_of(&f, body);
	}
	if (got.packet != want.packet || got.code != want.code || got.closed != want.closed)
		fail_msg("%s, byte %02x %s: packet %u code %d closed %d, not %u %d %d", state,
			 first, form, got.packet, got.code, got.closed, want.packet, want.code,
			 want.closed);
	peer_expect_nothing(c);
}

/* ---- getting there ------------------------------------------------------------------- */

static void leave(struct wconn *c)
{
	wconn_drop(c, E_EOF);
	wconn_free(c);
}

/* pids: filled with the identifiers of three messages to the client (QoS 1, QoS 2, QoS 2 released)
 * and of one from it. */
enum way { Q1, Q2, RELEASED, HELD, WAYS };
static struct wconn *resumed(struct world *w, enum mqtt_version v, u16 pids[WAYS])
{
	struct peer_opts o = {.user = "b", .id = "r", .version = (u8)v};
	struct wconn *c = peer_connect_on(w, 0, &o), *p = peer_connect(w, .user = "a");
	struct frame f;
	struct slice body;

	leave(c); /* whatever was there is gone */
	o.persistent = true;
	c = peer_connect_on(w, 0, &o);
	assert_int_equal(peer_subscribe(c, .filter = "q", .qos = 2), 2);
	for (u16 i = 1; i <= 3; i++)
		peer_publish(p, .topic = "q", .qos = i == 1 ? 1 : 2, .pid = i);
	for (u32 i = 0; i < 3; i++)
		pids[i] = peer_message(c, "q", NULL).packet_id;
	peer_ack(c, PKT_PUBREC, pids[RELEASED], 0);
	assert_int_equal(peer_expect_ack(c, PKT_PUBREL, pids[RELEASED]), 0);
	pids[HELD] = HELD_PID;
	peer_publish(c, .topic = "nobody", .qos = 2, .pid = HELD_PID);
	peer_expect_ack(c, PKT_PUBREC, HELD_PID);
	leave(c);
	leave(p);
	c = peer_connect_on(w, 0, &o);
	for (u32 i = 0; i < 3; i++)
		assert_true(wconn_next(c, &f, &body)); /* again: two messages, one PUBREL */
	return c;
}

static struct wconn *reach(struct world *w, enum state s)
{
	struct peer_opts o = {.user = "a", .version = (u8)version_of(s)};
	struct wconn *c;
	u16 pids[WAYS];

	if (s == RESUMED_311 || s == RESUMED_5)
		return resumed(w, version_of(s), pids);
	if (s == GREETED)
		leave(peer_connect_on(w, 0, &o)); /* the session that was there is gone */
	c = world_connect(w, 0);
	if (s == NEW)
		return c;
	w->hold_logins = s == ASKED;
	w->hold_store = s == GREETED;
	o.persistent = s == GREETED;
	o.password = s == REFUSED ? "wrong" : NULL;
	peer_say_connect(c, &o);
	world_run(w);
	if (s == LIVE_31 || s == LIVE_311 || s == LIVE_5 || s == RATED) {
		struct pkt_connack ack;
		assert_int_equal(peer_connack(c, &ack), 0);
	}
	while (s == RATED && !c->paused)
		peer_publish(c, .topic = "t");
	return c;
}

/* Whether nothing is read in that state, and then what goes on. */
static bool is_deaf(enum state s)
{
	return s == ASKED || s == GREETED || s == REFUSED || s == RATED;
}

static void wake(struct world *w, enum state s)
{
	w->hold_logins = w->hold_store = false;
	world_run(w);
	if (s == REFUSED)
		world_advance(w, 300);
	else if (s == RATED)
		world_advance(w, 15000);
}

/* ---- the whole square ---------------------------------------------------------------- */

static void deaf(struct world *w, enum state s, struct wconn *c, const char *form, u8 first,
		 size_t n)
{
	struct pkt_connack ack;

	assert_int_equal(c->in_n, n); /* nothing was read */
	check(state_names[s], form, first, c, (struct outcome){0});
	wake(w, s);
	if (s == REFUSED)
		check("told", form, first, c, (struct outcome){PKT_CONNACK, 5, true});
	else if (s != RATED)
		assert_int_equal(peer_connack(c, &ack), 0);
}

static void one(struct world *w, enum state s, enum form form, u8 first)
{
	enum mqtt_version v = version_of(s);
	struct wconn *c = reach(w, s);
	u8 b[64];
	size_t n = packet_of(v, first, form, b, sizeof(b));
	struct outcome want = s == NEW ? new_expected(first, form) : live_expected(v, first, form);

	wconn_send(c, slice_of(b, n));
	world_run(w);
	if (s == NEW)
		c->version = MQTT_311;
	if (is_deaf(s))
		deaf(w, s, c, form_names[form], first, n);
	if (s != REFUSED)
		check(state_names[s], form_names[form], first, c, want);
	if (form == ALONE && !want.closed && s != REFUSED) { /* what is begun has to be ended */
		world_advance(w, 25000);
		assert_true(peer_gone(c));
	}
	leave(c);
}

static void every_first_byte_in_every_state(void **arg)
{
	struct core_limits l = world_limits(), slow = l;
	static const u32 all[] = {1, 0};

	slow.publish_rate = slow.publish_burst = 1;
	for (u32 s = 0; s < STATES; s++) {
		struct world *w = s == GREETED ? world_new_stored(1, &l)
					       : world_new(1, s == RATED ? &slow : &l);
		world_policy(w, "role all { publish # ; subscribe # }\n");
		world_identity(w, "a", 2, all);
		world_identity(w, "b", 2, all);
		w->allow_all = s == NEW;
		for (u32 form = 0; form < FORMS; form++) {
			for (u32 first = 0; first < 256; first++)
				one(w, (enum state)s, (enum form)form, (u8)first);
		}
		world_free(&w);
	}
}

/* ---- acknowledgements of what is under way --------------------------------------------- */

static const struct under_way {
	u8 type;
	u8 way;
	u8 reason;	 /* 5.0 only, unless 0 */
	u8 packet, code; /* the answer; 0: none */
	bool error;
} under_way[] = {
	{PKT_PUBACK, Q1, 0, 0, 0, false},
	{PKT_PUBACK, Q1, 0x80, 0, 0, false},
	{PKT_PUBACK, Q2, 0, 0, 0, true},
	{PKT_PUBACK, RELEASED, 0, 0, 0, true},
	{PKT_PUBREC, Q1, 0, 0, 0, true},
	{PKT_PUBREC, Q2, 0, PKT_PUBREL, 0, false},
	{PKT_PUBREC, Q2, 0x10, PKT_PUBREL, 0, false},
	{PKT_PUBREC, Q2, 0x80, 0, 0, false},
	{PKT_PUBREC, RELEASED, 0, PKT_PUBREL, 0, false},
	{PKT_PUBCOMP, Q1, 0, 0, 0, true},
	{PKT_PUBCOMP, Q2, 0, 0, 0, true},
	{PKT_PUBCOMP, RELEASED, 0, 0, 0, false},
	{PKT_PUBREL, HELD, 0, PKT_PUBCOMP, 0, false},
	{PKT_PUBREL, Q1, 0, PKT_PUBCOMP, 0x92, false}, /* identifiers of the other direction */
};

static void what_is_under_way(void **arg)
{
	struct world *w = peer_world(1);

	for (u32 i = 0; i < 2 * ARRAY_LEN(under_way); i++) {
		const struct under_way *u = &under_way[i / 2];
		enum mqtt_version v = i % 2 ? MQTT_5 : MQTT_311;
		struct outcome want = u->error	       ? error(v, 0x82)
				      : u->packet != 0 ? acknowledged(v, u->packet, u->code)
						       : (struct outcome){0};
		struct wconn *c;
		u16 pids[WAYS];
		if (v != MQTT_5 && u->reason != 0)
			continue;
		c = resumed(w, v, pids);
		peer_ack(c, (enum pkt_type)u->type, pids[u->way], u->reason);
		check("under way", "acknowledged", u->type, c, want);
		leave(c);
	}
	world_free(&w);
}

static void a_repeated_qos_2_message_is_acknowledged_again(void **arg)
{
	struct world *w = peer_world(1);
	u16 pids[WAYS];
	struct wconn *c = resumed(w, MQTT_5, pids);

	peer_publish(c, .topic = "q", .qos = 2, .pid = HELD_PID, .dup = true);
	check("under way", "repeated", 0x3c, c, (struct outcome){PKT_PUBREC, 0, false});
	leave(c);
	world_free(&w);
}

/* ---- after DISCONNECT ------------------------------------------------------------------- */

static void nothing_behind_a_goodbye(void **arg)
{
	struct world *w = peer_world(1);

	for (u32 first = 0; first < 256; first++) {
		struct wconn *c = peer_connect(w, .user = "a", .version = MQTT_5);
		u64 before = world_stats(w).msgs_in;
		u8 b[64] = {0xe0, 0};
		size_t n = 2 + packet_of(MQTT_5, (u8)first, WHOLE, b + 2, sizeof(b) - 2);
		wconn_send(c, slice_of(b, n));
		world_run(w);
		check("goodbye", "whole", (u8)first, c, (struct outcome){.closed = true});
		assert_int_equal(world_stats(w).msgs_in, before);
		leave(c);
	}
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_first_byte_in_every_state),
		cmocka_unit_test(what_is_under_way),
		cmocka_unit_test(a_repeated_qos_2_message_is_acknowledged_again),
		cmocka_unit_test(nothing_behind_a_goodbye),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
