/* From CONNECT to CONNACK: what is let in, what is refused, when and with which bytes. */
#include "peer.h"

static void raw(struct wconn *c, const void *bytes, size_t n)
{
	wconn_send(c, slice_of(bytes, n));
	world_run(c->w);
}

static void test_connack_tells_limits(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0);
	struct pkt_connack ack;

	peer_say_connect(
		c, &(struct peer_opts){.user = "a", .version = MQTT_5, .expiry_s = UINT32_MAX});
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0);
	assert_int_equal(ack.props.receive_maximum, 64);
	assert_int_equal(ack.props.maximum_packet_size, 1 << 20);
	assert_int_equal(ack.props.topic_alias_maximum, 16);
	assert_int_equal(ack.props.server_keep_alive, 1200);
	assert_int_equal(ack.props.session_expiry, 604800);
	assert_int_equal(w->events[EV_CONNECT], 1);
	world_free(&w);
}

/* Nothing may come before a CONNACK, so where it does not fit nothing comes. */
static void test_connack_too_large(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0), *d = world_connect(w, 0);
	struct pkt_connack ack;

	peer_say_connect(c, &(struct peer_opts){.user = "a", .version = MQTT_5, .max_packet = 4});
	peer_say_connect(d, &(struct peer_opts){.user = "b", .version = MQTT_5, .max_packet = 8});
	world_run(w);
	assert_int_equal(c->out_n, 0);
	assert_null(c->cl);
	assert_int_equal(peer_connack(d, &ack), 0x95);
	assert_null(d->cl);
	assert_int_equal(w->events[EV_CONNECT], 0);
	assert_int_equal(w->events[EV_REFUSED], 2);
	world_free(&w);
}

/* Who keeps nothing says so, and means it. */
static void test_no_retain(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c;
	struct pkt_connack ack;

	w->listener.service.retained_identity = 0; /* a is a service */
	hub_set_listeners(w->hub, &w->listener, 1, true);
	c = world_connect(w, 0);
	peer_say_connect(c, &(struct peer_opts){.user = "a",
						.version = MQTT_5,
						.will_topic = "t/1",
						.will_retain = true});
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0x9a);
	c = world_connect(w, 0);
	peer_say_connect(c, &(struct peer_opts){.user = "a", .version = MQTT_5});
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0);
	assert_int_equal(ack.props.retain_available, 0);
	peer_publish(c, .topic = "t/1", .payload = "x", .retain = true);
	assert_int_equal(peer_expect_disconnect(c), 0x9a);
	world_free(&w);
}

static void test_assigned_id(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0), *d = world_connect(w, 0);
	struct pkt_connack ack;

	peer_say_connect(c, &(struct peer_opts){.user = "a", .id = "", .version = MQTT_5});
	peer_say_connect(d, &(struct peer_opts){.user = "d", .id = "", .version = MQTT_5});
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0);
	assert_int_equal(ack.props.assigned_client_id.n, 20);
	assert_int_equal(peer_connack(d, &ack), 0);
	assert_int_equal(ack.props.assigned_client_id.n, 22);
	assert_memory_equal(ack.props.assigned_client_id.p, "d:", 2);
	world_free(&w);
}

/* I31: every refusal is the same bytes at the same time after CONNECT. */
static void refusal(const struct peer_opts *o, bool anonymous, enum err why)
{
	static const u8 v3[] = {0x20, 2, 0, 5}, v5[] = {0x20, 3, 0, 0x87, 0};
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0);

	peer_say_connect(c, o);
	world_advance(w, 299);
	assert_int_equal(c->out_n, 0);
	world_advance(w, 1);
	if (o->version == MQTT_5)
		assert_memory_equal(c->out, v5, sizeof(v5));
	else
		assert_memory_equal(c->out, v3, sizeof(v3));
	assert_int_equal(c->out_n, o->version == MQTT_5 ? sizeof(v5) : sizeof(v3));
	assert_true(peer_gone(c));
	assert_int_equal(w->last_why[EV_REFUSED], why);
	assert_int_equal(w->events[EV_REFUSED], 1);
	assert_int_equal(w->events[EV_DISCONNECT], 0);
	assert_int_equal(world_stats(w).sessions, 0);
	world_free(&w);
}

static void test_refusals_are_alike(void **state)
{
	for (u8 v = MQTT_31; v <= MQTT_5; v++) {
		refusal(&(struct peer_opts){.user = "a", .version = v, .password = "no"}, false,
			E_CREDENTIAL);
		refusal(&(struct peer_opts){.user = "zz", .version = v}, false, E_CREDENTIAL);
		refusal(&(struct peer_opts){.user = "a", .version = v, .no_credential = true},
			false, E_CREDENTIAL);
		refusal(&(struct peer_opts){.user = "d", .id = "a", .version = v}, false,
			E_CLIENT_ID);
		refusal(&(struct peer_opts){.user = "d", .id = "dd", .version = v}, false,
			E_CLIENT_ID);
		refusal(&(struct peer_opts){.user = "a", .version = v, .will_topic = "$SYS/x"},
			false, E_DENIED);
	}
}

static void test_late_answer_stays_on_the_grid(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0);

	w->hold_logins = true;
	peer_say_connect(c, &(struct peer_opts){.user = "a", .password = "no"});
	world_advance(w, 310);
	w->hold_logins = false;
	world_advance(w, 289);
	assert_int_equal(c->out_n, 0);
	world_advance(w, 1);
	assert_int_equal(c->out_n, 4);
	world_free(&w);
}

static void test_no_answer(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0);
	struct pkt_connack ack;

	w->hold_logins = true;
	peer_say_connect(c, &(struct peer_opts){.user = "a", .version = MQTT_5});
	world_advance(w, 15000);
	assert_int_equal(peer_connack(c, &ack), 0x88);
	w->hold_logins = false;
	world_run(w); /* the answer comes for nobody */
	world_free(&w);
}

static void test_asked_again(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0);
	struct pkt_connack ack;

	w->hold_logins = true;
	peer_say_connect(c, &(struct peer_opts){.user = "a"});
	world_run(w);
	core_login_again(w->core[0]);
	w->hold_logins = false;
	world_run(w); /* two answers for one question */
	assert_int_equal(peer_connack(c, &ack), 0);
	peer_expect_nothing(c);
	world_free(&w);
}

static void test_device_ids(void **state)
{
	struct world *w = peer_world(1);

	peer_connect(w, .user = "d", .id = "d");
	peer_connect(w, .user = "d", .id = "d:2");
	assert_int_equal(world_stats(w).sessions, 2);
	world_free(&w);
}

/* Nothing of a refused CONNECT is seen: no takeover, no wipe, no will (I03). */
static void test_refused_changes_nothing(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *s =
		peer_connect(w, .user = "a", .id = "x", .version = MQTT_5, .persistent = true);
	struct wconn *c = world_connect(w, 1);

	peer_subscribe(s, .filter = "#");
	peer_say_connect(c, &(struct peer_opts){.user = "a",
						.id = "x",
						.password = "no",
						.version = MQTT_5,
						.will_topic = "w"});
	world_advance(w, 400);
	assert_true(peer_gone(c));
	assert_false(peer_gone(s));
	peer_expect_nothing(s);
	assert_int_equal(world_stats(w).subscriptions, 1);
	world_free(&w);
}

static void test_before_connect(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0), *d = world_connect(w, 0), *e = world_connect(w, 0);

	raw(c, "\xc0\0", 2);
	assert_true(peer_gone(c));
	assert_int_equal(c->out_n, 0);
	raw(d, "\x30\x10", 2); /* a PUBLISH is refused by its first byte */
	assert_true(peer_gone(d));
	raw(e, "\x10\xff\xff\x7f", 4); /* a CONNECT that claims two megabytes */
	assert_true(peer_gone(e));
	assert_int_equal(e->why, E_TOO_LARGE);
	world_free(&w);
}

static void test_versions_refused(void **state)
{
	static const u8 v6[] = {0x10, 15, 0,  4, 'M', 'Q', 'T', 'T', 6,
				2,    0,  60, 0, 3,   'd', 'e', 'v'};
	static const u8 name[] = {0x10, 15, 0,	4, 'M', 'Q', 'T', 'X', 4,
				  2,	0,  60, 0, 3,	'd', 'e', 'v'};
	static const u8 answer[] = {0x20, 2, 0, 1};
	static const u8 method[] = {0x10, 23, 0, 4,   'M', 'Q', 'T', 'T', 5, 2,	  0,   60, 7,
				    0x15, 0,  4, 'n', 'o', 'p', 'e', 0,	  3, 'd', 'e', 'v'};
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0), *d = world_connect(w, 0), *e = world_connect(w, 0);
	struct pkt_connack ack;

	raw(c, v6, sizeof(v6));
	assert_int_equal(c->out_n, 4);
	assert_memory_equal(c->out, answer, 4);
	raw(d, name, sizeof(name));
	assert_int_equal(d->out_n, 0);
	raw(e, method, sizeof(method));
	e->version = MQTT_5;
	assert_int_equal(peer_connack(e, &ack), 0x8c);
	assert_true(peer_gone(c) && peer_gone(d) && peer_gone(e));
	world_free(&w);
}

static void test_second_connect(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = peer_connect(w, .user = "a", .version = MQTT_5);

	peer_say_connect(c, &(struct peer_opts){.user = "a", .version = MQTT_5});
	world_run(w);
	assert_int_equal(peer_expect_disconnect(c), 0x82);
	world_free(&w);
}

/* What follows CONNECT in the same bytes waits for the answer. */
static void test_pipelined(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *c = world_connect(w, 0);
	struct pkt_connack ack;
	struct frame f;
	struct slice body;

	w->hold_logins = true;
	peer_say_connect(c, &(struct peer_opts){.user = "a"});
	raw(c, "\xc0\0", 2);
	assert_int_equal(c->out_n, 0);
	w->hold_logins = false;
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0);
	assert_true(wconn_next(c, &f, &body));
	assert_int_equal(f.type, PKT_PINGRESP);
	world_free(&w);
}

static void test_split_everywhere(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0);
	struct pkt_connack ack;
	u8 all[256];
	size_t n;

	peer_say_connect(c, &(struct peer_opts){.user = "a"});
	n = c->in_n;
	memcpy(all, c->in, n);
	c->in_n = 0;
	for (size_t i = 0; i < n; i++)
		raw(c, all + i, 1);
	assert_int_equal(peer_connack(c, &ack), 0);
	world_free(&w);
}

static void test_deadlines(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *idle = world_connect(w, 0),
		     *half = peer_connect(w, .user = "a", .version = MQTT_5);

	raw(half, "\x30\x20\0", 3);
	world_advance(w, 9999);
	assert_false(peer_gone(idle));
	raw(half, "\x01", 1); /* a drop does not move the deadline */
	world_advance(w, 1);
	assert_true(peer_gone(idle));
	world_advance(w, 10003); /* and a millisecond for 16 bytes */
	assert_true(peer_gone(half));
	assert_int_equal(half->why, E_TIMEOUT);
	world_free(&w);
}

static void test_keep_alive(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = peer_connect(w, .user = "a", .version = MQTT_5, .keep_alive_s = 2);

	world_advance(w, 2900);
	raw(c, "\xc0\0", 2);
	world_advance(w, 2900);
	assert_false(peer_gone(c));
	world_advance(w, 200);
	assert_true(peer_gone(c));
	assert_int_equal(c->why, E_KEEPALIVE);
	world_free(&w);
}

/* A client of 3.1.1 cannot be told another one: also above the longest its own holds; 0 is none. */
static void test_keep_alive_of_3(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = peer_connect(w, .user = "a", .keep_alive_s = 3600),
		     *never = peer_connect(w, .user = "b");

	world_advance(w, 5399000);
	assert_false(peer_gone(c));
	world_advance(w, 2000);
	assert_true(peer_gone(c));
	assert_int_equal(c->why, E_KEEPALIVE);
	assert_false(peer_gone(never));
	world_free(&w);
}

static void test_connections_of_an_identity(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *c[4], *fifth;
	char id[8];
	struct pkt_connack ack;

	for (u32 i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "c%u", i);
		c[i] = peer_connect_on(w, i, &(struct peer_opts){.user = "a", .id = id});
	}
	fifth = world_connect(w, 0);
	peer_say_connect(fifth, &(struct peer_opts){.user = "a", .id = "c5", .version = MQTT_5});
	world_run(w);
	assert_int_equal(peer_connack(fifth, &ack), 0x97);
	peer_connect(w, .user = "a", .id = "c1"); /* takes over: no more than before */
	assert_true(peer_gone(c[1]));
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connack_tells_limits),
		cmocka_unit_test(test_connack_too_large),
		cmocka_unit_test(test_no_retain),
		cmocka_unit_test(test_assigned_id),
		cmocka_unit_test(test_refusals_are_alike),
		cmocka_unit_test(test_late_answer_stays_on_the_grid),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_asked_again),
		cmocka_unit_test(test_device_ids),
		cmocka_unit_test(test_refused_changes_nothing),
		cmocka_unit_test(test_before_connect),
		cmocka_unit_test(test_versions_refused),
		cmocka_unit_test(test_second_connect),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_split_everywhere),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_keep_alive_of_3),
		cmocka_unit_test(test_connections_of_an_identity),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
