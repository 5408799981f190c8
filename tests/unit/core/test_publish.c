/* What is published arrives: QoS 0, 1 and 2, one shard and several, all versions. */
#include "peer.h"

static void test_qos0(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "a"),
		     *p = peer_connect(w, .user = "b", .version = MQTT_5);

	assert_int_equal(peer_subscribe(s, .filter = "x/+"), 0);
	peer_publish(p, .topic = "x/1", .payload = "hello");
	peer_publish(p, .topic = "y/1", .payload = "not for you");
	peer_message(s, "x/1", "hello");
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_versions_mixed(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *s3 =
		peer_connect_on(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_31});
	struct wconn *s5 =
		peer_connect_on(w, 1, &(struct peer_opts){.user = "b", .version = MQTT_5});
	struct wconn *p =
		peer_connect_on(w, 1, &(struct peer_opts){.user = "c", .version = MQTT_5});
	struct pkt_publish m;

	peer_subscribe(s3, .filter = "#", .qos = 1);
	peer_subscribe(s5, .filter = "#", .qos = 1, .id = 9);
	peer_publish(p, .topic = "t", .payload = "pay", .qos = 1, .pid = 5, .expiry_s = 100);
	assert_int_equal(peer_expect_ack(p, PKT_PUBACK, 5), 0);
	peer_message(s3, "t", "pay");
	m = peer_message(s5, "t", "pay");
	assert_int_equal(m.qos, 1);
	assert_int_equal(m.props.subscription_id, 9);
	assert_int_equal(m.props.message_expiry, 100);
	world_free(&w);
}

static void test_nobody(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *p = peer_connect(w, .user = "c", .version = MQTT_5);

	peer_publish(p, .topic = "t", .qos = 1, .pid = 5);
	assert_int_equal(peer_expect_ack(p, PKT_PUBACK, 5), 0x10);
	world_free(&w);
}

static void test_qos2(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *s =
		peer_connect_on(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5});
	struct wconn *p =
		peer_connect_on(w, 1, &(struct peer_opts){.user = "b", .version = MQTT_5});
	struct pkt_publish m;

	peer_subscribe(s, .filter = "t", .qos = 2);
	peer_publish(p, .topic = "t", .qos = 2, .pid = 9);
	assert_int_equal(peer_expect_ack(p, PKT_PUBREC, 9), 0);
	peer_publish(p, .topic = "t", .qos = 2, .pid = 9, .dup = true);
	assert_int_equal(peer_expect_ack(p, PKT_PUBREC, 9), 0);
	peer_ack(p, PKT_PUBREL, 9, 0);
	assert_int_equal(peer_expect_ack(p, PKT_PUBCOMP, 9), 0);
	peer_ack(p, PKT_PUBREL, 9, 0);
	assert_int_equal(peer_expect_ack(p, PKT_PUBCOMP, 9), 0x92);
	m = peer_message(s, "t", NULL);
	assert_int_equal(m.qos, 2);
	peer_expect_nothing(s); /* once */
	peer_ack(s, PKT_PUBREC, m.packet_id, 0);
	assert_int_equal(peer_expect_ack(s, PKT_PUBREL, m.packet_id), 0);
	peer_ack(s, PKT_PUBCOMP, m.packet_id, 0);
	peer_publish(p, .topic = "t", .qos = 2, .pid = 9);
	peer_message(s, "t", NULL);
	world_free(&w);
}

static void test_large_payload(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *s = peer_connect_on(w, 0, &(struct peer_opts){.user = "a"});
	struct wconn *s2 =
		peer_connect_on(w, 1, &(struct peer_opts){.user = "b", .version = MQTT_5});
	struct wconn *p = peer_connect_on(w, 1, &(struct peer_opts){.user = "c"});
	char big[3000];

	memset(big, 'z', sizeof(big));
	big[sizeof(big) - 1] = 0;
	peer_subscribe(s, .filter = "t");
	peer_subscribe(s2, .filter = "t");
	peer_publish(p, .topic = "t", .payload = big);
	peer_publish(p, .topic = "t", .payload = "small");
	peer_message(s, "t", big);
	peer_message(s, "t", "small");
	peer_message(s2, "t", big);
	peer_message(s2, "t", "small");
	world_free(&w);
}

static void test_window(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "a", .version = MQTT_5, .receive_max = 1);
	struct wconn *p = peer_connect(w, .user = "b");
	struct pkt_publish m;

	peer_subscribe(s, .filter = "t", .qos = 1);
	for (u16 i = 1; i <= 3; i++)
		peer_publish(p, .topic = "t",
			     .payload = i == 1	 ? "1"
					: i == 2 ? "2"
						 : "3",
			     .qos = 1, .pid = i);
	m = peer_message(s, "t", "1");
	peer_expect_nothing(s); /* SPEC MQTT-3.3.4-9 */
	peer_ack(s, PKT_PUBACK, m.packet_id, 0);
	m = peer_message(s, "t", "2");
	peer_expect_nothing(s);
	peer_ack(s, PKT_PUBACK, m.packet_id, 0x80);
	peer_message(s, "t", "3");
	world_free(&w);
}

static void test_alias(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "a"),
		     *p = peer_connect(w, .user = "b", .version = MQTT_5);

	peer_subscribe(s, .filter = "t/1");
	peer_publish(p, .topic = "t/1", .payload = "1", .alias = 3);
	peer_publish(p, .payload = "2", .alias = 3);
	peer_message(s, "t/1", "1");
	peer_message(s, "t/1", "2");
	peer_publish(p, .payload = "3", .alias = 4); /* never set */
	assert_int_equal(peer_expect_disconnect(p), 0x82);
	world_free(&w);
}

static void test_alias_too_high(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *p = peer_connect(w, .user = "b", .version = MQTT_5);

	peer_publish(p, .topic = "t/1", .payload = "1", .alias = 17);
	assert_int_equal(peer_expect_disconnect(p), 0x94);
	world_free(&w);
}

static void test_overlap_once(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "a", .version = MQTT_5),
		     *p = peer_connect(w, .user = "b");
	struct pkt_publish m;

	peer_subscribe(s, .filter = "t/#", .qos = 0, .id = 1);
	peer_subscribe(s, .filter = "t/+", .qos = 1, .id = 2);
	peer_publish(p, .topic = "t/1", .qos = 1, .pid = 1);
	m = peer_message(s, "t/1", NULL);
	assert_int_equal(m.qos, 1);
	assert_int_equal(m.props.raw.n, 4); /* two identifiers */
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_no_local(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "a", .version = MQTT_5);

	peer_subscribe(s, .filter = "t", .no_local = true);
	peer_publish(s, .topic = "t");
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_too_large_is_skipped(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s =
		peer_connect(w, .user = "a", .version = MQTT_5, .max_packet = 40, .receive_max = 1);
	struct wconn *p = peer_connect(w, .user = "b");

	peer_subscribe(s, .filter = "t", .qos = 1);
	peer_publish(p, .topic = "t",
		     .payload = "a payload that does not fit into forty bytes at all", .qos = 1,
		     .pid = 1);
	peer_publish(p, .topic = "t", .payload = "fits", .qos = 1, .pid = 2);
	peer_message(s, "t", "fits"); /* SPEC MQTT-3.1.2-25 */
	assert_int_equal(world_stats(w).dropped, 1);
	world_free(&w);
}

static void test_dollar(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "a", .version = MQTT_5);

	peer_subscribe(s, .filter = "#");
	peer_publish(s, .topic = "$SYS/x", .qos = 1, .pid = 1);
	assert_int_equal(peer_expect_ack(s, PKT_PUBACK, 1), 0x87);
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_shared_takes_turns(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *s1 =
		peer_connect_on(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5});
	struct wconn *s2 =
		peer_connect_on(w, 1, &(struct peer_opts){.user = "b", .version = MQTT_5});
	struct wconn *p = peer_connect(w, .user = "c");

	peer_subscribe(s1, .filter = "$share/g/t");
	peer_subscribe(s2, .filter = "$share/g/t");
	peer_publish(p, .topic = "t", .payload = "1");
	peer_publish(p, .topic = "t", .payload = "2");
	peer_message(s1, "t", NULL);
	peer_message(s2, "t", NULL);
	peer_expect_nothing(s1);
	peer_expect_nothing(s2);
	peer_disconnect(s1, 0);
	peer_publish(p, .topic = "t", .payload = "3");
	peer_publish(p, .topic = "t", .payload = "4");
	peer_message(s2, "t", "3");
	peer_message(s2, "t", "4");
	world_free(&w);
}

static void test_shared_hands_on(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *s1 = peer_connect_on(
		w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true});
	struct wconn *s2 =
		peer_connect_on(w, 1, &(struct peer_opts){.user = "b", .version = MQTT_5});
	struct wconn *p = peer_connect(w, .user = "c");

	peer_subscribe(s1, .filter = "$share/g/t", .qos = 1);
	peer_subscribe(s2, .filter = "$share/g/t", .qos = 1);
	wconn_drop(s1, E_EOF); /* its session stays a member */
	for (u16 i = 1; i <= 4; i++)
		peer_publish(p, .topic = "t", .qos = 1, .pid = i);
	for (u16 i = 1; i <= 4; i++)
		peer_message(s2, "t", NULL);
	world_free(&w);
}

/* What another shard matched is looked at again where it arrives: the number of a subscription may
 * mean another by then. */
static void test_match_grows_old(void **state)
{
	static const u8 unsub[] = {0xa2, 6, 0, 9, 0, 0, 1, 't'};
	struct world *w = peer_world(2);
	struct wconn *s =
		peer_connect_on(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5});
	struct wconn *p = peer_connect_on(w, 1, &(struct peer_opts){.user = "b"});
	struct frame f;
	struct slice body;

	peer_subscribe(s, .filter = "t");
	w->hold_posts = true;
	peer_publish(p, .topic = "t");
	wconn_send(s, slice_of(unsub, sizeof(unsub)));
	world_run(w);
	assert_true(wconn_next(s, &f, &body));
	peer_subscribe(s, .filter = "u");
	w->hold_posts = false;
	world_run(w);
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_rate_holds_back(void **state)
{
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *p;

	l.publish_rate = 10;
	l.publish_burst = 2;
	w = world_new(1, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	p = peer_connect(w, .user = "a", .version = MQTT_5);
	for (u16 i = 1; i <= 5; i++)
		peer_publish(p, .topic = "t", .qos = 1, .pid = i);
	for (u16 i = 1; i <= 3; i++)
		peer_expect_ack(p, PKT_PUBACK, i);
	peer_expect_nothing(p);
	assert_true(p->paused);
	world_advance(w, 1000);
	peer_expect_ack(p, PKT_PUBACK, 4);
	peer_expect_ack(p, PKT_PUBACK, 5);
	world_free(&w);
}

/* A new connection brings no new burst (FLOOD-CONNECT). */
static void test_rate_outlives_the_connection(void **state)
{
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *p;

	l.publish_rate = 10;
	l.publish_burst = 2;
	w = world_new(1, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	for (u16 round = 0; round < 3; round++) {
		p = peer_connect(w, .user = "a", .version = MQTT_5);
		for (u16 i = 1; i <= 3; i++)
			peer_publish(p, .topic = "t", .qos = 1, .pid = i);
		assert_true(p->paused);
		/* What was beyond the burst holds back after one message. */
		for (u16 i = 1; i <= (round == 0 ? 3 : 1); i++)
			peer_expect_ack(p, PKT_PUBACK, i);
		peer_expect_nothing(p);
		wconn_drop(p, E_EOF);
	}
	world_free(&w);
}

/* Coming and going with a will is publishing, too (WILL-FLOOD). */
static void test_wills_are_charged(void **state)
{
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *p;

	l.publish_rate = 10;
	l.publish_burst = 2;
	w = world_new(1, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	for (u32 i = 0; i < 5; i++) {
		p = peer_connect(w, .user = "a", .will_topic = "t");
		wconn_drop(p, E_EOF);
	}
	p = peer_connect(w, .user = "a");
	assert_false(p->paused);
	peer_publish(p, .topic = "t");
	assert_true(p->paused);
	world_free(&w);
}

static void test_slow_reader(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "a", .version = MQTT_5),
		     *p = peer_connect(w, .user = "b");
	static char big[4000];

	memset(big, 'z', sizeof(big) - 1);
	peer_subscribe(s, .filter = "t");
	s->blocked = true;
	for (u32 i = 0; i < 100; i++)
		peer_publish(p, .topic = "t", .payload = big);
	assert_in_range(world_stats(w).dropped, 30, 40); /* 256 KiB held 66 */
	world_advance(w, 9000);
	assert_false(peer_gone(s));
	world_advance(w, 2000);
	assert_true(peer_gone(s));
	assert_int_equal(s->why, E_QUOTA);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_qos0),
		cmocka_unit_test(test_versions_mixed),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_qos2),
		cmocka_unit_test(test_large_payload),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_alias_too_high),
		cmocka_unit_test(test_overlap_once),
		cmocka_unit_test(test_no_local),
		cmocka_unit_test(test_too_large_is_skipped),
		cmocka_unit_test(test_dollar),
		cmocka_unit_test(test_shared_takes_turns),
		cmocka_unit_test(test_shared_hands_on),
		cmocka_unit_test(test_match_grows_old),
		cmocka_unit_test(test_rate_holds_back),
		cmocka_unit_test(test_rate_outlives_the_connection),
		cmocka_unit_test(test_wills_are_charged),
		cmocka_unit_test(test_slow_reader),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
