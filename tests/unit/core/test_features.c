/* What a listener does not serve, what it tells, and Response Information. */
#include "core/hub.h"
#include "peer.h"

static struct world *world_with(struct core_features f)
{
	struct world *w = peer_world(1);

	w->listener.features = f;
	hub_set_listeners(w->hub, &w->listener, 1, true);
	return w;
}

static struct pkt_connack connack_of(struct world *w, const struct peer_opts *o, struct wconn **out)
{
	struct pkt_connack ack;

	*out = world_connect(w, 0);
	peer_say_connect(*out, o);
	world_run(w);
	assert_int_equal(peer_connack(*out, &ack), 0);
	return ack;
}

static void test_all_by_default(void **state)
{
	struct world *w = world_with(core_features_all());
	struct wconn *c;
	struct pkt_connack ack =
		connack_of(w, &(struct peer_opts){.user = "a", .version = MQTT_5}, &c);

	for (u32 id = PROP_maximum_qos; id <= PROP_shared_available; id++)
		assert_int_equal(PROP_HAS(&ack.props, id), id == PROP_maximum_packet_size);
	world_free(&w);
}

static void test_maximum_qos(void **state)
{
	struct core_features f = core_features_all();
	struct world *w;
	struct wconn *c, *old, *p;
	struct pkt_connack ack;

	f.maximum_qos = 1;
	w = world_with(f);
	ack = connack_of(w, &(struct peer_opts){.user = "a", .version = MQTT_5}, &c);
	assert_true(PROP_HAS(&ack.props, PROP_maximum_qos));
	assert_int_equal(ack.props.maximum_qos, 1);
	/* SPEC MQTT-3.2.2-10: any QoS may be asked for. */
	assert_int_equal(peer_subscribe(c, .filter = "t", .qos = 2), 1);
	old = peer_connect(w, .user = "c");
	assert_int_equal(peer_subscribe(old, .filter = "t", .qos = 2), 1);
	p = peer_connect(w, .user = "b", .version = MQTT_5);
	peer_publish(p, .topic = "t", .qos = 1, .pid = 1);
	assert_int_equal(peer_expect_ack(p, PKT_PUBACK, 1), 0);
	assert_int_equal(peer_message(c, "t", NULL).qos, 1);
	peer_publish(p, .topic = "t", .qos = 2, .pid = 2);
	assert_int_equal(peer_expect_disconnect(p), 0x9b);
	peer_publish(old, .topic = "t", .qos = 2, .pid = 2);
	assert_true(peer_gone(old));
	peer_expect_nothing(c);
	world_free(&w);
}

/* SPEC MQTT-3.2.2-12. */
static void test_will_above_it(void **state)
{
	static const u8 connect[] = {0x10, 0x1f, 0,   4, 'M', 'Q', 'T', 'T', 5,	  0xce,
				     0,	   0,	 0,   0, 1,   'a', 0,	0,   1,	  't',
				     0,	   1,	 'x', 0, 1,   'a', 0,	2,   'p', 'w'};
	struct core_features f = core_features_all();
	struct world *w;
	struct wconn *c;
	struct pkt_connack ack;
	u8 bytes[sizeof(connect)];

	f.maximum_qos = 0;
	w = world_with(f);
	memcpy(bytes, connect, sizeof(bytes));
	bytes[1] = sizeof(bytes) - 2;
	c = world_connect(w, 0);
	c->version = MQTT_5;
	wconn_send(c, slice_of(bytes, sizeof(bytes)));
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0x9b);
	assert_true(peer_gone(c));
	assert_int_equal(world_stats(w).sessions, 0);
	world_free(&w);
}

/* MQTT 5 was told, so it breaks the protocol; 3 gets its answer and goes on. */
static void refuses(struct core_features f, const char *filter, u32 id, enum prop_id prop,
		    u8 reason)
{
	struct world *w = world_with(f);
	struct wconn *c, *old;
	struct pkt_connack ack =
		connack_of(w, &(struct peer_opts){.user = "a", .version = MQTT_5}, &c);

	assert_true(PROP_HAS(&ack.props, prop));
	assert_int_equal(peer_subscribe(c, .filter = "plain"), 0);
	peer_say_subscribe(c, &(struct peer_sub){.filter = filter, .id = id});
	assert_int_equal(peer_expect_disconnect(c), reason);
	old = peer_connect(w, .user = "b");
	if (id == 0) {
		assert_int_equal(peer_subscribe(old, .filter = filter), 0x80);
		assert_int_equal(peer_subscribe(old, .filter = "plain"), 0);
	}
	assert_int_equal(world_stats(w).subscriptions, id == 0);
	world_free(&w);
}

static void test_wildcards(void **state)
{
	struct core_features f = core_features_all();

	f.wildcards = false;
	refuses(f, "a/+", 0, PROP_wildcard_available, 0xa2);
	refuses(f, "a/#", 0, PROP_wildcard_available, 0xa2);
	refuses(f, "$share/g/a/#", 0, PROP_wildcard_available, 0xa2);
}

static void test_shared(void **state)
{
	struct core_features f = core_features_all();

	f.shared = false;
	refuses(f, "$share/g/a", 0, PROP_shared_available, 0x9e);
}

static void test_subscription_ids(void **state)
{
	struct core_features f = core_features_all();

	f.subscription_ids = false;
	refuses(f, "a", 5, PROP_subscription_id_available, 0xa1);
}

/* ---- Response Information ------------------------------------------------------------------ */

static bool response_is(struct world *w, const char *user, const char *id, int asks,
			const char *wanted)
{
	u8 buf[512];
	struct wr wr = wr_of(buf, sizeof(buf));
	struct wconn *c = world_connect(w, 0);
	struct pkt_connect p = {.version = MQTT_5,
				.clean_start = true,
				.has_username = true,
				.has_password = true,
				.username = slice_str(user),
				.password = SLICE_LIT("pw"),
				.client_id = slice_str(id)};
	struct pkt_connack ack;

	if (asks >= 0) {
		p.props.has = 1ull << PROP_request_response_info;
		p.props.request_response_info = (u8)asks;
	}
	c->version = MQTT_5;
	pkt_connect_encode(&wr, &p);
	wconn_send(c, wr_done(&wr));
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0);
	wconn_drop(c, E_EOF);
	if (!PROP_HAS(&ack.props, PROP_response_info))
		return wanted == NULL;
	return wanted != NULL && slice_eq(ack.props.response_info, slice_str(wanted));
}

static struct world *response_world(const char *topic)
{
	struct core_features f = core_features_all();
	struct world *w;

	snprintf(f.response_topic, sizeof(f.response_topic), "%s", topic);
	w = world_with(f);
	world_policy(w, "role all { publish # ; subscribe # }\n"
			"role some { subscribe response/${device}/# }\n"
			"role narrow { subscribe response/${device}/+ }\n"
			"deny * subscribe response/c/#\n");
	w->identity[3].roles[0] = 3; /* roles are numbered by name */
	return w;
}

/* SPEC MQTT-3.1.2-28; and what is promised may be subscribed to. */
static void test_response(void **state)
{
	struct world *w = response_world("response/{device}");

	assert_true(response_is(w, "a", "a", 1, "response/a"));
	assert_true(response_is(w, "a", "a", 0, NULL));
	assert_true(response_is(w, "a", "a", -1, NULL));
	assert_true(response_is(w, "c", "c", 1, NULL));
	assert_true(response_is(w, "d", "d", 1, "response/d"));
	w->identity[3].roles[0] = 2;
	world_identity_changed(w, &w->identity[3]);
	assert_true(response_is(w, "d", "d", 1, NULL));
	world_free(&w);
}

/* A client id is the client's own choice: it is one level or none. */
static void test_response_of_a_client_id(void **state)
{
	struct world *w = response_world("response/{device}/{clientid}");

	assert_true(response_is(w, "a", "x", 1, "response/a/x"));
	assert_true(response_is(w, "a", "x/y", 1, NULL));
	assert_true(response_is(w, "a", "+", 1, NULL));
	assert_true(response_is(w, "a", "#", 1, NULL));
	assert_true(response_is(w, "a", "x+", 1, NULL));
	world_free(&w);
	w = response_world("{clientid}/r");
	assert_true(response_is(w, "a", "x", 1, "x/r"));
	assert_true(response_is(w, "a", "$SYS", 1, NULL));
	world_free(&w);
	w = response_world("");
	assert_true(response_is(w, "a", "x", 1, NULL));
	world_free(&w);
}

/* ---- words -------------------------------------------------------------------------------- */

/* The Reason String with which a client is turned out; "-": none. */
static void turned_out(u8 asks, u32 max_packet, bool by_admin, const char *wanted)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0);
	struct pkt_connect p = {.version = MQTT_5,
				.clean_start = true,
				.has_username = true,
				.has_password = true,
				.username = SLICE_LIT("a"),
				.password = SLICE_LIT("pw"),
				.client_id = SLICE_LIT("a")};
	u8 buf[128];
	struct wr wr = wr_of(buf, sizeof(buf));
	struct pkt_disconnect bye;
	struct pkt_connack ack;
	struct slice body;
	struct frame f;

	if (asks <= 1) {
		p.props.has |= 1ull << PROP_request_problem_info;
		p.props.request_problem_info = asks;
	}
	if (max_packet != 0) {
		p.props.has |= 1ull << PROP_maximum_packet_size;
		p.props.maximum_packet_size = max_packet;
	}
	c->version = MQTT_5;
	pkt_connect_encode(&wr, &p);
	wconn_send(c, wr_done(&wr));
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0);
	if (by_admin)
		core_kick(w->core[0], SLICE_NONE, SLICE_NONE, E_ADMIN);
	else
		wconn_send(c, SLICE_LIT("\x30\x05\x00\x01+\x00x")); /* a wildcard in a name */
	world_run(w);
	assert_true(wconn_next(c, &f, &body));
	assert_int_equal(pkt_disconnect_decode(&f, MQTT_5, FROM_SERVER, body, &bye), E_OK);
	assert_int_equal(bye.reason, by_admin ? 0x98 : 0x90);
	assert_true(PROP_HAS(&bye.props, PROP_reason_string) == (*wanted != '-'));
	if (*wanted != '-')
		assert_true(slice_eq(bye.props.reason_string, slice_str(wanted)));
	assert_true(peer_gone(c));
	world_free(&w);
}

static void test_words(void **state)
{
	turned_out(2, 0, false, "topic name not valid");
	turned_out(1, 0, false, "topic name not valid");
	turned_out(0, 0, false, "-");
	turned_out(2, 20, false, "-"); /* SPEC MQTT-3.14.2-3 */
	turned_out(2, 0, true, "-");   /* nothing about what operators do */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_by_default),
		cmocka_unit_test(test_maximum_qos),
		cmocka_unit_test(test_will_above_it),
		cmocka_unit_test(test_wildcards),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_subscription_ids),
		cmocka_unit_test(test_response),
		cmocka_unit_test(test_response_of_a_client_id),
		cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
