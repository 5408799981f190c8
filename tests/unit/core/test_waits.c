/* What waits for the disk, and what does not: the table of docs/decisions/0005-durability.md, row
 * by row.  The disk stands still (hold_store) until a test lets it go on. */
#include "peer.h"

static const struct peer_opts durable_a = {.user = "a", .version = MQTT_5, .persistent = true};

static struct wconn *receiver(struct world *w, u32 shard, u8 qos)
{
	struct wconn *c = peer_connect_on(w, shard, &durable_a);

	assert_int_equal(peer_subscribe(c, .filter = "t", .qos = qos), qos);
	return c;
}

static void disk_stops(struct world *w)
{
	w->hold_store = true;
}

static void disk_goes_on(struct world *w)
{
	w->hold_store = false;
	world_run(w);
}

/* ---- PUBACK, PUBREC ------------------------------------------------------------------ */

/* For the queue entries of receivers that the store knows, here or on another shard. */
static void test_puback_waits_for_queues(void **state)
{
	for (u32 shard = 0; shard < 3; shard++) {
		struct world *w = peer_world_stored(3, NULL);
		struct wconn *s = receiver(w, shard, 1), *p = peer_connect(w, .user = "b");

		wconn_drop(s, E_EOF);
		world_run(w);
		disk_stops(w);
		peer_publish(p, .topic = "t", .qos = 1, .pid = 1);
		peer_publish(p, .topic = "t", .qos = 2, .pid = 2);
		peer_expect_nothing(p);
		disk_goes_on(w);
		peer_expect_ack(p, PKT_PUBACK, 1);
		peer_expect_ack(p, PKT_PUBREC, 2);
		world_free(&w);
	}
}

/* The publisher's own batch is on disk, the other shard has not heard of the message yet. */
static void test_puback_waits_for_other_shards(void **state)
{
	struct world *w = peer_world_stored(2, NULL);
	struct wconn *s = receiver(w, 1, 1), *p;

	wconn_drop(s, E_EOF);
	p = peer_connect_on(w, 0, &(struct peer_opts){.user = "b"});
	receiver(w, 0, 1);
	w->hold_posts = true;
	peer_publish(p, .topic = "t", .qos = 1, .pid = 1);
	while (world_commit(w))
		;
	world_run(w);
	peer_expect_nothing(p);
	/* It has heard of it; its disk has not. */
	w->hold_posts = false;
	disk_stops(w);
	world_run(w);
	peer_expect_nothing(p);
	disk_goes_on(w);
	peer_expect_ack(p, PKT_PUBACK, 1);
	world_free(&w);
}

/* Nothing is written for what ends with its connection, and nobody waits. */
static void test_what_is_not_durable_costs_nothing(void **state)
{
	struct world *w = peer_world_stored(2, NULL);
	struct wconn *s = peer_connect_on(w, 1, &(struct peer_opts){.user = "a"});
	struct wconn *p = peer_connect(w, .user = "b"), *d;
	u64 before;

	d = peer_connect(w, .user = "c", .id = "d", .version = MQTT_5, .persistent = true);
	peer_subscribe(d, .filter = "t", .qos = 1);
	peer_subscribe(s, .filter = "t", .qos = 2);
	peer_subscribe(s, .filter = "u", .qos = 2);
	disk_stops(w);
	before = w->submitted;
	peer_publish(p, .topic = "u", .payload = "1", .qos = 1, .pid = 1);
	peer_expect_ack(p, PKT_PUBACK, 1);
	peer_publish(p, .topic = "u", .payload = "2", .qos = 2, .pid = 2);
	peer_expect_ack(p, PKT_PUBREC, 2);
	peer_ack(p, PKT_PUBREL, 2, 0);
	peer_expect_ack(p, PKT_PUBCOMP, 2);
	peer_publish(p, .topic = "t", .payload = "0", .qos = 0); /* QoS 0, to a durable one too */
	peer_message(s, "u", "1");
	peer_message(s, "u", "2");
	peer_message(s, "t", "0");
	peer_message(d, "t", "0");
	assert_int_equal(peer_subscribe(p, .filter = "v"), 0);
	peer_connect(w, .user = "c", .id = "e", .version = MQTT_5);
	assert_int_equal(w->submitted, before);
	world_free(&w);
}

/* Retained, QoS 2 identifiers of a session that lasts. */
static void test_puback_waits_for_its_own(void **state)
{
	struct world *w = peer_world_stored(2, NULL);
	struct wconn *p = peer_connect(w, .user = "b"), *q = peer_connect_on(w, 1, &durable_a);

	disk_stops(w);
	peer_publish(p, .topic = "r", .qos = 1, .pid = 1, .retain = true);
	peer_expect_nothing(p);
	peer_publish(q, .topic = "nobody", .qos = 2, .pid = 2);
	peer_expect_nothing(q);
	disk_goes_on(w);
	peer_expect_ack(p, PKT_PUBACK, 1);
	peer_expect_ack(q, PKT_PUBREC, 2);
	/* And when it is deleted. */
	disk_stops(w);
	peer_publish(p, .topic = "r", .payload = "", .qos = 1, .pid = 3, .retain = true);
	peer_expect_nothing(p);
	disk_goes_on(w);
	peer_expect_ack(p, PKT_PUBACK, 3);
	world_free(&w);
}

/* Else a crash would take a new message with that identifier for the old one. */
static void test_pubcomp_waits(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *q = peer_connect_on(w, 0, &durable_a);

	peer_publish(q, .topic = "nobody", .qos = 2, .pid = 2);
	peer_expect_ack(q, PKT_PUBREC, 2);
	disk_stops(w);
	peer_ack(q, PKT_PUBREL, 2, 0);
	peer_expect_nothing(q);
	disk_goes_on(w);
	assert_int_equal(peer_expect_ack(q, PKT_PUBCOMP, 2), 0);
	/* One that is not known waits for nothing. */
	disk_stops(w);
	peer_ack(q, PKT_PUBREL, 9, 0);
	assert_int_equal(peer_expect_ack(q, PKT_PUBCOMP, 9), 0x92);
	world_free(&w);
}

/* SPEC MQTT-4.6.0-2: one that waits for nothing stands behind those that do. */
static void test_answers_keep_their_order(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *p = peer_connect(w, .user = "b"), *s = receiver(w, 0, 1);

	wconn_drop(s, E_EOF);
	world_run(w);
	disk_stops(w);
	peer_publish(p, .topic = "t", .qos = 1, .pid = 1);
	peer_publish(p, .topic = "nobody", .qos = 1, .pid = 2);
	peer_publish(p, .topic = "nobody", .qos = 2, .pid = 3);
	peer_expect_nothing(p);
	disk_goes_on(w);
	for (u16 i = 1; i <= 2; i++)
		peer_expect_ack(p, PKT_PUBACK, i);
	peer_expect_ack(p, PKT_PUBREC, 3);
	disk_stops(w);
	peer_publish(p, .topic = "nobody", .qos = 1, .pid = 4);
	peer_expect_ack(p, PKT_PUBACK, 4);
	world_free(&w);
}

/* A receiver's limit dropped it: that has to be on record before it is acknowledged. */
static void test_puback_waits_for_the_record_of_a_drop(void **state)
{
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *p, *s;

	l.offline_messages = 1;
	w = peer_world_stored(2, &l);
	s = receiver(w, 1, 1);
	wconn_drop(s, E_EOF);
	p = peer_connect(w, .user = "b");
	peer_publish(p, .topic = "t", .qos = 1, .pid = 1);
	peer_expect_ack(p, PKT_PUBACK, 1);
	disk_stops(w);
	peer_publish(p, .topic = "t", .qos = 1, .pid = 2);
	peer_expect_nothing(p);
	disk_goes_on(w);
	peer_expect_ack(p, PKT_PUBACK, 2);
	world_free(&w);
}

/* ---- deliveries ---------------------------------------------------------------------- */

static void test_qos_1_does_not_wait(void **state)
{
	struct world *w = peer_world_stored(2, NULL);
	struct wconn *s = receiver(w, 1, 1), *p = peer_connect(w, .user = "b");

	disk_stops(w);
	peer_publish(p, .topic = "t", .payload = "1", .qos = 1, .pid = 1);
	assert_false(peer_message(s, "t", "1").dup);
	world_free(&w);
}

/* Its identifier must mean the same message after a crash; what comes after it stays behind it. */
static void test_qos_2_waits(void **state)
{
	struct world *w = peer_world_stored(2, NULL);
	struct wconn *s = receiver(w, 1, 2), *p = peer_connect(w, .user = "b");
	struct pkt_publish m;

	disk_stops(w);
	peer_publish(p, .topic = "t", .payload = "2", .qos = 2, .pid = 1);
	peer_publish(p, .topic = "t", .payload = "1", .qos = 1, .pid = 2);
	peer_expect_nothing(s);
	disk_goes_on(w);
	m = peer_message(s, "t", "2");
	peer_message(s, "t", "1");
	/* PUBREL: that it is released. */
	disk_stops(w);
	peer_ack(s, PKT_PUBREC, m.packet_id, 0);
	peer_expect_nothing(s);
	disk_goes_on(w);
	assert_int_equal(peer_expect_ack(s, PKT_PUBREL, m.packet_id), 0);
	disk_stops(w);
	peer_ack(s, PKT_PUBCOMP, m.packet_id, 0);
	peer_publish(p, .topic = "t", .payload = "3", .qos = 1, .pid = 3);
	peer_message(s, "t", "3");
	world_free(&w);
}

/* A retained message of QoS 2 as well. */
static void test_retained_qos_2_waits(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *s = peer_connect_on(w, 0, &durable_a), *p = peer_connect(w, .user = "b");

	peer_publish(p, .topic = "t", .payload = "r", .qos = 2, .pid = 1, .retain = true);
	disk_stops(w);
	peer_say_subscribe(s, &(struct peer_sub){.filter = "t", .qos = 2});
	peer_expect_nothing(s);
	w->hold_told = true;
	disk_goes_on(w);
	peer_expect_nothing(s);
	w->hold_told = false;
	world_run(w);
	assert_int_equal(peer_suback(s), 2);
	assert_true(peer_message(s, "t", "r").retain);
	world_free(&w);
}

/* A message that was acknowledged before the store saw it was never on disk, nor has its publisher
 * to wait for one. */
static void test_fast_subscribers_cost_no_writes(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *s = receiver(w, 0, 1), *p = peer_connect(w, .user = "b");
	struct pkt_publish m;

	disk_stops(w);
	peer_publish(p, .topic = "r", .qos = 0, .retain = true); /* the store is busy */
	peer_publish(p, .topic = "t", .payload = "1", .qos = 1, .pid = 1);
	m = peer_message(s, "t", "1");
	assert_int_equal(w->ops[SO_QUEUE_PUT], 0);
	peer_ack(s, PKT_PUBACK, m.packet_id, 0);
	disk_goes_on(w);
	peer_expect_ack(p, PKT_PUBACK, 1);
	assert_int_equal(w->ops[SO_QUEUE_PUT], 0);
	assert_int_equal(w->ops[SO_QUEUE_DEL], 0);
	/* One that is too late for that is deleted. */
	peer_publish(p, .topic = "t", .payload = "2", .qos = 1, .pid = 2);
	m = peer_message(s, "t", "2");
	peer_ack(s, PKT_PUBACK, m.packet_id, 0);
	assert_int_equal(w->ops[SO_QUEUE_PUT], 1);
	assert_int_equal(w->ops[SO_QUEUE_DEL], 1);
	assert_int_equal(peer_stored(w).queued, 0);
	world_free(&w);
}

/* ---- SUBACK, UNSUBACK, CONNACK ------------------------------------------------------- */

static void test_suback_waits(void **state)
{
	static const u8 unsub[] = {0xa2, 6, 0, 9, 0, 0, 1, 't'};
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *s = peer_connect_on(w, 0, &durable_a);
	struct pkt_suback ack;
	struct slice body;
	struct frame f;

	disk_stops(w);
	peer_say_subscribe(s, &(struct peer_sub){.filter = "t", .qos = 1});
	peer_expect_nothing(s);
	disk_goes_on(w);
	assert_int_equal(peer_suback(s), 1);
	disk_stops(w);
	wconn_send(s, slice_of(unsub, sizeof(unsub)));
	world_run(w);
	peer_expect_nothing(s);
	disk_goes_on(w);
	assert_true(wconn_next(s, &f, &body));
	assert_int_equal(f.type, PKT_UNSUBACK);
	assert_int_equal(pkt_suback_decode(&f, MQTT_5, body, &ack), E_OK);
	assert_int_equal(peer_stored(w).subs, 0);
	world_free(&w);
}

/* Nothing comes before it, and nothing that was sent after CONNECT is looked at. */
static void test_connack_waits(void **state)
{
	struct world *w = peer_world_stored(2, NULL);
	struct wconn *p = peer_connect(w, .user = "b"), *s = receiver(w, 1, 1);
	struct pkt_connack ack;

	wconn_drop(s, E_EOF);
	peer_publish(p, .topic = "t", .payload = "1", .qos = 1, .pid = 1);
	peer_expect_ack(p, PKT_PUBACK, 1);
	disk_stops(w);
	s = world_connect(w, 1);
	peer_say_connect(s, &durable_a);
	world_run(w);
	peer_say_subscribe(s, &(struct peer_sub){.filter = "u", .qos = 1});
	peer_publish(p, .topic = "t", .payload = "0", .qos = 0);
	peer_publish(p, .topic = "t", .payload = "2", .qos = 1, .pid = 2);
	peer_expect_nothing(s);
	assert_int_equal(world_stats(w).subscriptions, 1);
	disk_goes_on(w);
	assert_int_equal(peer_connack(s, &ack), 0);
	assert_true(ack.session_present);
	peer_message(s, "t", "1");
	peer_message(s, "t", "2");
	assert_int_equal(peer_suback(s), 1);
	peer_expect_nothing(s);
	world_free(&w);
}

/* A session that was ended for a new one is gone for good before the client is told so, even when
 * it was the connection before this one that ended it. */
static void test_connack_waits_for_the_end_of_another(void **state)
{
	for (u32 twice = 0; twice < 2; twice++) {
		struct world *w = peer_world_stored(2, NULL);
		struct wconn *s = receiver(w, 1, 1);
		struct pkt_connack ack;

		wconn_drop(s, E_EOF);
		world_run(w);
		disk_stops(w);
		for (u32 i = 0; i <= twice; i++) {
			s = world_connect(w, 0);
			peer_say_connect(s, &(struct peer_opts){.user = "a", .version = MQTT_5});
			world_run(w);
			peer_expect_nothing(s);
			if (i < twice)
				wconn_drop(s, E_EOF);
		}
		disk_goes_on(w);
		assert_int_equal(peer_connack(s, &ack), 0);
		assert_int_equal(peer_stored(w).sessions, 0);
		/* From now on nothing has to be waited for. */
		disk_stops(w);
		peer_connect(w, .user = "a", .version = MQTT_5);
		world_free(&w);
	}
}

/* A connection that goes while its CONNACK waits leaves nothing behind. */
static void test_gone_before_connack(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *s = world_connect(w, 0), *t;
	struct pkt_connack ack;

	disk_stops(w);
	peer_say_connect(
		s, &(struct peer_opts){
			   .user = "a", .version = MQTT_5, .persistent = true, .keep_alive_s = 1});
	world_run(w);
	world_advance(w, 60000); /* no deadline of its own while we are to blame */
	peer_expect_nothing(s);
	assert_false(peer_gone(s));
	t = world_connect(w, 0);
	peer_say_connect(t, &durable_a);
	world_run(w);
	assert_true(peer_gone(s));
	peer_expect_nothing(s); /* SPEC MQTT-3.14.0-1 */
	disk_goes_on(w);
	assert_int_equal(peer_connack(t, &ack), 0);
	assert_true(ack.session_present);
	world_free(&w);
}

/* Two shards that each wait for the other's part of a group do not wait for good. */
static void test_parts_are_not_held_back(void **state)
{
	struct world *w = peer_world_stored(2, NULL);
	struct wconn *a = peer_connect_on(w, 0, &durable_a), *b, *p, *q;

	b = peer_connect_on(
		w, 1, &(struct peer_opts){.user = "b", .version = MQTT_5, .persistent = true});
	peer_subscribe(a, .filter = "#", .qos = 1);
	peer_subscribe(b, .filter = "#", .qos = 1);
	wconn_drop(a, E_EOF);
	wconn_drop(b, E_EOF);
	p = peer_connect_on(w, 0, &(struct peer_opts){.user = "c", .id = "p"});
	q = peer_connect_on(w, 1, &(struct peer_opts){.user = "c", .id = "q"});
	w->hold_told = true; /* no batch comes back */
	for (u16 i = 1; i <= 20; i++) {
		peer_publish(p, .topic = "p", .qos = 1, .pid = i);
		peer_publish(q, .topic = "q", .qos = 1, .pid = i);
	}
	assert_int_equal(peer_stored(w).queued, 80);
	w->hold_told = false;
	world_run(w);
	for (u16 i = 1; i <= 20; i++) {
		peer_expect_ack(p, PKT_PUBACK, i);
		peer_expect_ack(q, PKT_PUBACK, i);
	}
	world_free(&w);
}

/* What has to wait is bounded: who sends on and on is not read for a while. */
static void test_waiting_is_bounded(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *s = receiver(w, 0, 1), *p = peer_connect(w, .user = "b");
	u32 acks = 0;
	struct slice body;
	struct frame f;

	wconn_drop(s, E_EOF);
	world_run(w);
	disk_stops(w);
	for (u32 i = 0; i < 3000; i++)
		peer_publish(p, .topic = "t", .qos = 1, .pid = (u16)(i + 1));
	assert_true(p->paused);
	assert_in_range(p->in_n, 1, SIZE_MAX);
	disk_goes_on(w);
	world_run(w);
	while (wconn_next(p, &f, &body))
		acks += f.type == PKT_PUBACK;
	assert_int_equal(acks, 3000);
	assert_false(p->paused);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_puback_waits_for_queues),
		cmocka_unit_test(test_puback_waits_for_other_shards),
		cmocka_unit_test(test_what_is_not_durable_costs_nothing),
		cmocka_unit_test(test_puback_waits_for_its_own),
		cmocka_unit_test(test_pubcomp_waits),
		cmocka_unit_test(test_answers_keep_their_order),
		cmocka_unit_test(test_puback_waits_for_the_record_of_a_drop),
		cmocka_unit_test(test_qos_1_does_not_wait),
		cmocka_unit_test(test_qos_2_waits),
		cmocka_unit_test(test_retained_qos_2_waits),
		cmocka_unit_test(test_fast_subscribers_cost_no_writes),
		cmocka_unit_test(test_suback_waits),
		cmocka_unit_test(test_connack_waits),
		cmocka_unit_test(test_connack_waits_for_the_end_of_another),
		cmocka_unit_test(test_gone_before_connack),
		cmocka_unit_test(test_parts_are_not_held_back),
		cmocka_unit_test(test_waiting_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
