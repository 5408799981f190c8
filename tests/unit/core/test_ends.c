/* When a session ends, when its will is said, and how messages age: across broken connections,
 * takeovers and goodbyes that change the session's expiry. */
#include "peer.h"

static struct wconn *come(struct world *w, u32 expiry_s, i64 delay_s, bool clean)
{
	struct peer_opts o = {.user = "a",
			      .version = MQTT_5,
			      .persistent = !clean,
			      .expiry_s = expiry_s,
			      .will_topic = delay_s >= 0 ? "w" : NULL,
			      .will_delay_s = delay_s > 0 ? (u32)delay_s : 0};

	return peer_connect_on(w, 0, &o);
}

static void goodbye(struct wconn *c, u8 reason, i64 expiry_s)
{
	u8 buf[32];
	struct wr w = wr_of(buf, sizeof(buf));
	struct pkt_disconnect p = {.reason = reason};

	if (expiry_s >= 0) {
		p.props.has = 1ull << PROP_session_expiry;
		p.props.session_expiry = (u32)expiry_s;
	}
	pkt_disconnect_encode(&w, MQTT_5, PKT_DISCONNECT, &p);
	wconn_send(c, wr_done(&w));
	world_run(c->w);
}

enum way { LOST, GOODBYE, TAKEN_OVER, TAKEN_OVER_CLEAN, BACK, BACK_CLEAN };
enum { NEVER = -1, KEEP = -1, BACK_MS = 2000 };

/* The will, and the session where nobody came back, end so many ms after the connection. */
static void ends(enum way way, u32 expiry_s, u32 delay_s, u8 reason, i64 changed_s, i64 will_ms)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "b"), *c = come(w, expiry_s, delay_s, false);
	u64 life = changed_s != KEEP ? (u64)changed_s * 1000 : expiry_s * 1000ull;

	peer_subscribe(s, .filter = "w");
	if (way == GOODBYE)
		goodbye(c, reason, changed_s);
	else if (way == TAKEN_OVER || way == TAKEN_OVER_CLEAN)
		come(w, expiry_s, -1, way == TAKEN_OVER_CLEAN);
	else
		wconn_drop(c, E_EOF);
	if (way == BACK || way == BACK_CLEAN) {
		world_advance(w, BACK_MS);
		peer_expect_nothing(s);
		come(w, expiry_s, -1, way == BACK_CLEAN);
	}
	world_run(w);
	if (will_ms > 0 && way != BACK_CLEAN) {
		world_advance(w, (u64)will_ms - 1);
		peer_expect_nothing(s);
		world_advance(w, 1);
	}
	if (will_ms != NEVER)
		peer_message(s, "w", "gone");
	world_advance(w, 0);
	peer_expect_nothing(s);
	if (way == LOST || way == GOODBYE) {
		u64 now = will_ms > 0 ? (u64)will_ms : 0;
		assert_true(now <= life);
		if (now < life) {
			world_advance(w, life - now - 1);
			assert_int_equal(world_stats(w).sessions, 2);
			world_advance(w, 1);
		}
		assert_int_equal(world_stats(w).sessions, 1);
	}
	world_advance(w, 100000);
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_will_and_session(void **state)
{
	/* expiry, delay; DISCONNECT: its reason and the expiry that it asks for; when */
	ends(LOST, 10, 0, 0, KEEP, 0);
	ends(LOST, 10, 3, 0, KEEP, 3000);
	ends(LOST, 10, 30, 0, KEEP, 10000); /* SPEC MQTT-3.1.2-8 */
	ends(LOST, 10, UINT32_MAX, 0, KEEP, 10000);
	ends(GOODBYE, 10, 3, 0, KEEP, NEVER);
	ends(GOODBYE, 10, 3, 4, KEEP, 3000);
	ends(GOODBYE, 10, 3, 4, 2, 2000);
	ends(GOODBYE, 10, 30, 4, 20, 20000);
	ends(GOODBYE, 10, 30, 4, 60, 30000);
	ends(GOODBYE, 10, 30, 4, 0, 0);
	ends(GOODBYE, 10, 3, 0, 0, NEVER);
	ends(GOODBYE, 10, 3, 0, 40, NEVER);
	ends(TAKEN_OVER, 10, 0, 0, KEEP, 0);
	ends(TAKEN_OVER, 10, 3, 0, KEEP, NEVER); /* SPEC MQTT-3.1.3-9 */
	ends(TAKEN_OVER_CLEAN, 10, 0, 0, KEEP, 0);
	ends(TAKEN_OVER_CLEAN, 10, 3, 0, KEEP, 0);
	ends(BACK, 10, 3, 0, KEEP, NEVER);
	ends(BACK_CLEAN, 10, 3, 0, KEEP, BACK_MS);
}

/* Nothing lives on that was to end with its connection; and it says so. */
static void test_no_life_from_nothing(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = peer_connect(w, .user = "a", .version = MQTT_5);

	goodbye(c, 0, 10);
	assert_int_equal(peer_expect_disconnect(c), 0x82);
	assert_int_equal(world_stats(w).sessions, 0);
	world_free(&w);
}

/* The expiry of the newest connection counts. */
static void test_expiry_of_the_newest(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = come(w, 100, -1, false);

	wconn_drop(c, E_EOF);
	world_advance(w, 50000);
	c = come(w, 10, -1, false);
	world_advance(w, 60000);
	wconn_drop(c, E_EOF);
	world_advance(w, 9999);
	assert_int_equal(world_stats(w).sessions, 1);
	world_advance(w, 1);
	assert_int_equal(world_stats(w).sessions, 0);
	world_free(&w);
}

/* ---- messages age --------------------------------------------------------------------------- */

static u32 left(struct wconn *c, const char *payload)
{
	struct pkt_publish p = peer_message(c, NULL, payload);

	assert_true(PROP_HAS(&p.props, PROP_message_expiry));
	return p.props.message_expiry;
}

/* SPEC MQTT-3.3.2-5, -6: in a queue, in the window of a connection that broke, as retained. */
static void test_messages_age(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *p = peer_connect(w, .user = "b", .version = MQTT_5), *s;

	s = peer_connect_on(
		w, 1, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true});
	peer_subscribe(s, .filter = "t", .qos = 1);
	peer_publish(p, .topic = "t", .payload = "sent", .qos = 1, .pid = 1, .expiry_s = 100);
	assert_int_equal(left(s, "sent"), 100);
	wconn_drop(s, E_EOF);
	peer_publish(p, .topic = "t", .payload = "queued", .qos = 1, .pid = 2, .expiry_s = 100,
		     .retain = true);
	peer_publish(p, .topic = "t", .payload = "short", .qos = 1, .pid = 3, .expiry_s = 10);
	world_advance(w, 30500);
	s = peer_connect_on(
		w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true});
	assert_int_equal(left(s, "sent"), 70);
	assert_int_equal(left(s, "queued"), 70);
	peer_expect_nothing(s);
	s = peer_connect(w, .user = "c", .version = MQTT_5);
	peer_subscribe(s, .filter = "+");
	assert_int_equal(left(s, "queued"), 70);
	world_advance(w, 70000);
	peer_subscribe(s, .filter = "#");
	peer_expect_nothing(s);
	world_free(&w);
}

/* A will's time begins when it is said. */
static void test_wills_age(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0), *s;
	struct pkt_connack ack;
	u8 buf[128];
	struct wr wr = wr_of(buf, sizeof(buf));
	struct pkt_connect p = {.version = MQTT_5,
				.clean_start = true,
				.has_username = true,
				.has_password = true,
				.has_will = true,
				.username = SLICE_LIT("a"),
				.password = SLICE_LIT("pw"),
				.client_id = SLICE_LIT("a")};

	p.will.topic.s = SLICE_LIT("w");
	p.will.payload = SLICE_LIT("gone");
	p.will.retain = true;
	p.will.props.has = 1ull << PROP_message_expiry;
	p.will.props.message_expiry = 50;
	c->version = MQTT_5;
	pkt_connect_encode(&wr, &p);
	wconn_send(c, wr_done(&wr));
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0);
	world_advance(w, 500000);
	wconn_drop(c, E_EOF);
	world_advance(w, 20000);
	s = peer_connect(w, .user = "b", .version = MQTT_5);
	peer_subscribe(s, .filter = "w");
	assert_int_equal(left(s, "gone"), 30);
	world_advance(w, 30000);
	peer_subscribe(s, .filter = "w");
	peer_expect_nothing(s);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_will_and_session),
		cmocka_unit_test(test_no_life_from_nothing),
		cmocka_unit_test(test_expiry_of_the_newest),
		cmocka_unit_test(test_messages_age),
		cmocka_unit_test(test_wills_age),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
