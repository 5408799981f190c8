/* What outlives a connection: sessions, queues, flights, wills, retained messages; takeover. */
#include "peer.h"

static bool present(struct world *w, u32 shard, const struct peer_opts *o, struct wconn **out)
{
	struct pkt_connack ack;

	*out = world_connect(w, shard);
	peer_say_connect(*out, o);
	world_run(w);
	assert_int_equal(peer_connack(*out, &ack), 0);
	return ack.session_present;
}

static void test_resume(void **state)
{
	const struct peer_opts o = {.user = "a", .version = MQTT_311, .persistent = true};
	struct world *w = peer_world(3);
	struct wconn *p = peer_connect_on(w, 2, &(struct peer_opts){.user = "b"}), *s;

	assert_false(present(w, 0, &o, &s));
	peer_subscribe(s, .filter = "t", .qos = 1);
	wconn_drop(s, E_EOF);
	peer_publish(p, .topic = "t", .payload = "1", .qos = 1, .pid = 1);
	peer_publish(p, .topic = "t", .payload = "lost", .qos = 0);
	peer_publish(p, .topic = "t", .payload = "2", .qos = 1, .pid = 2);
	/* From another shard: the connection moves to where the session lives. */
	assert_true(present(w, 1, &o, &s));
	assert_int_equal(s->shard, 0);
	peer_message(s, "t", "1");
	peer_message(s, "t", "2");
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_resend(void **state)
{
	const struct peer_opts o = {.user = "a", .version = MQTT_5, .persistent = true};
	struct world *w = peer_world(1);
	struct wconn *p = peer_connect(w, .user = "b"), *s;
	struct pkt_publish m1, m2, m3, again;

	present(w, 0, &o, &s);
	peer_subscribe(s, .filter = "t", .qos = 2);
	peer_publish(p, .topic = "t", .payload = "1", .qos = 1, .pid = 1);
	peer_publish(p, .topic = "t", .payload = "2", .qos = 2, .pid = 2);
	peer_publish(p, .topic = "t", .payload = "3", .qos = 2, .pid = 3);
	m1 = peer_message(s, "t", "1");
	m2 = peer_message(s, "t", "2");
	m3 = peer_message(s, "t", "3");
	peer_ack(s, PKT_PUBREC, m2.packet_id, 0);
	peer_expect_ack(s, PKT_PUBREL, m2.packet_id);
	world_advance(w, 30000);
	peer_expect_nothing(s); /* SPEC MQTT-4.4.0-1: never on the same connection */
	wconn_drop(s, E_EOF);
	assert_true(present(w, 0, &o, &s));
	if (w->store != NULL) /* what is released is known as soon as it has been read */
		assert_int_equal(peer_expect_ack(s, PKT_PUBREL, m2.packet_id), 0);
	again = peer_message(s, "t", "1");
	assert_true(again.dup);
	assert_int_equal(again.packet_id, m1.packet_id);
	if (w->store == NULL)
		assert_int_equal(peer_expect_ack(s, PKT_PUBREL, m2.packet_id), 0);
	again = peer_message(s, "t", "3");
	assert_int_equal(again.packet_id, m3.packet_id);
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_resend_with_smaller_window(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *p = peer_connect(w, .user = "b"), *s;
	struct pkt_publish m;

	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true}, &s);
	peer_subscribe(s, .filter = "t", .qos = 1);
	for (u16 i = 1; i <= 3; i++)
		peer_publish(p, .topic = "t",
			     .payload = i == 1	 ? "1"
					: i == 2 ? "2"
						 : "3",
			     .qos = 1, .pid = i);
	wconn_drop(s, E_EOF);
	present(w, 0,
		&(struct peer_opts){
			.user = "a", .version = MQTT_5, .persistent = true, .receive_max = 1},
		&s);
	m = peer_message(s, "t", "1");
	peer_expect_nothing(s);
	peer_ack(s, PKT_PUBACK, m.packet_id, 0);
	m = peer_message(s, "t", "2");
	peer_expect_nothing(s);
	peer_ack(s, PKT_PUBACK, m.packet_id, 0);
	m = peer_message(s, "t", "3");
	peer_ack(s, PKT_PUBACK, m.packet_id, 0);
	peer_publish(p, .topic = "t", .payload = "4", .qos = 1, .pid = 4);
	peer_message(s, "t", "4");
	world_free(&w);
}

static void test_clean_start(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s;

	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true}, &s);
	peer_subscribe(s, .filter = "t", .qos = 1);
	wconn_drop(s, E_EOF);
	assert_int_equal(world_stats(w).subscriptions, 1);
	assert_false(present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5}, &s));
	assert_int_equal(world_stats(w).subscriptions, 0);
	assert_int_equal(world_stats(w).sessions, 1);
	world_free(&w);
}

static void test_expiry(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s;

	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .expiry_s = 5}, &s);
	peer_subscribe(s, .filter = "t", .qos = 1);
	wconn_drop(s, E_EOF);
	world_advance(w, 4999);
	assert_int_equal(world_stats(w).sessions, 1);
	world_advance(w, 1);
	assert_int_equal(world_stats(w).sessions, 0);
	assert_int_equal(world_stats(w).subscriptions, 0);
	world_free(&w);
}

/* Sixteen sessions for four connections; what comes after them does not stay. */
static void test_sessions_hoarded(void **state)
{
	struct world *w = peer_world(2);
	struct pkt_connack ack;
	struct wconn *s;
	char id[16];

	for (u32 i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "c%u", i);
		s = world_connect(w, i);
		peer_say_connect(s,
				 &(struct peer_opts){
					 .user = "a", .id = id, .version = MQTT_5, .expiry_s = 60});
		world_run(w);
		assert_int_equal(peer_connack(s, &ack), 0);
		assert_int_equal(PROP_HAS(&ack.props, 0x11), i >= 16);
		wconn_drop(s, E_EOF);
	}
	assert_int_equal(world_stats(w).sessions, 16);
	assert_true(present(
		w, 0,
		&(struct peer_opts){.user = "a", .id = "c3", .version = MQTT_5, .persistent = true},
		&s));
	world_free(&w);
}

static void test_takeover(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *old, *new;

	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true},
		&old);
	peer_subscribe(old, .filter = "t");
	assert_true(present(w, 1,
			    &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true},
			    &new));
	assert_int_equal(peer_expect_disconnect(old), 0x8e);
	peer_publish(new, .topic = "t");
	peer_message(new, "t", NULL);
	assert_int_equal(w->events[EV_TAKEOVER], 1);
	world_free(&w);
}

/* Sessions belong to identities: the same client id of another is another session (I10). */
static void test_same_id_of_another(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *a, *b;

	present(w, 0, &(struct peer_opts){.user = "a", .id = "x", .persistent = true}, &a);
	peer_subscribe(a, .filter = "t");
	assert_false(
		present(w, 1, &(struct peer_opts){.user = "b", .id = "x", .persistent = true}, &b));
	assert_false(peer_gone(a));
	peer_publish(b, .topic = "t");
	peer_message(a, "t", NULL);
	peer_expect_nothing(b);
	world_free(&w);
}

static void test_qos2_in_across_resume(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "b"), *p;

	peer_subscribe(s, .filter = "t");
	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true}, &p);
	peer_publish(p, .topic = "t", .qos = 2, .pid = 1);
	wconn_drop(p, E_EOF);
	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true}, &p);
	peer_publish(p, .topic = "t", .qos = 2, .pid = 1, .dup = true);
	assert_int_equal(peer_expect_ack(p, PKT_PUBREC, 1), 0);
	peer_message(s, "t", NULL);
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_message_expiry(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *p = peer_connect(w, .user = "b", .version = MQTT_5), *s;
	struct pkt_publish m;

	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true}, &s);
	peer_subscribe(s, .filter = "t", .qos = 1);
	wconn_drop(s, E_EOF);
	peer_publish(p, .topic = "t", .payload = "short", .qos = 1, .pid = 1, .expiry_s = 5);
	peer_publish(p, .topic = "t", .payload = "long", .qos = 1, .pid = 2, .expiry_s = 50);
	world_advance(w, 10000);
	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true}, &s);
	m = peer_message(s, "t", "long");
	assert_int_equal(m.props.message_expiry, 40);
	world_free(&w);
}

static void test_queue_limit(void **state)
{
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *p, *s;

	l.offline_messages = 2;
	w = world_new(1, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	world_identity(w, "b", 2, (const u32[]){1, 0});
	p = peer_connect(w, .user = "b");
	present(w, 0, &(struct peer_opts){.user = "a", .persistent = true}, &s);
	peer_subscribe(s, .filter = "t", .qos = 1);
	wconn_drop(s, E_EOF);
	for (u16 i = 1; i <= 4; i++)
		peer_publish(p, .topic = "t", .qos = 1, .pid = i);
	assert_int_equal(world_stats(w).dropped, 2);
	assert_int_equal(w->events[EV_DROPPED], 2);
	present(w, 0, &(struct peer_opts){.user = "a", .persistent = true}, &s);
	peer_message(s, "t", NULL);
	peer_message(s, "t", NULL);
	peer_expect_nothing(s);
	world_free(&w);
}

/* Many sessions of one identity hold no more than one of them may; another's are its own. */
static void test_queue_limit_of_an_identity(void **state)
{
	enum { SESSIONS = 8, EACH = 1000 };
	struct core_limits l = world_limits();
	char id[16], filter[16], payload[EACH + 1];
	struct world *w;
	struct wconn *p, *s;

	l.offline_bytes = l.queue_bytes = 4 * EACH;
	w = world_new(2, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	for (u32 i = 0; i < 3; i++)
		world_identity(
			w, &"a\0b\0c" [2 * i], 2, (const u32[]) { 1, 0 });
	memset(payload, 'x', EACH);
	payload[EACH] = 0;
	for (u32 i = 0; i <= SESSIONS; i++) {
		snprintf(id, sizeof(id), "%u", i);
		snprintf(filter, sizeof(filter), "t/%u", i);
		s = world_connect(w, i);
		peer_say_connect(s, &(struct peer_opts){.user = i < SESSIONS ? "a" : "c",
							.id = id,
							.version = MQTT_5,
							.expiry_s = 60});
		world_run(w);
		assert_int_equal(peer_connack(s, &(struct pkt_connack){0}), 0);
		peer_subscribe(s, .filter = filter, .qos = 1);
		wconn_drop(s, E_EOF);
	}
	p = peer_connect(w, .user = "b");
	for (u16 i = 0; i < SESSIONS; i++) {
		snprintf(filter, sizeof(filter), "t/%u", i);
		peer_publish(p, .topic = filter, .payload = payload, .qos = 1, .pid = i + 1);
	}
	assert_in_range(world_stats(w).dropped, SESSIONS - 4, SESSIONS - 1);
	w->events[EV_DROPPED] = 0;
	peer_publish(p, .topic = "t/8", .payload = payload, .qos = 1, .pid = 99);
	assert_int_equal(w->events[EV_DROPPED], 0);
	world_free(&w);
}

/* SPEC MQTT-2.2.1-4: two deliveries stay unanswered while 65,535 identifiers go round. */
static void test_identifiers_go_round(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "a"), *p = peer_connect(w, .user = "b");
	struct pkt_publish m;

	peer_subscribe(s, .filter = "t", .qos = 1);
	for (u32 i = 0; i < 66000; i++) {
		peer_publish(p, .topic = "t", .qos = 1, .pid = 1);
		p->out_n = p->out_at = 0;
		m = peer_message(s, "t", NULL);
		if (i == 2 || i == 4)
			assert_int_equal(m.packet_id, i + 1);
		else if (m.packet_id == 3 || m.packet_id == 5 || m.packet_id == 0)
			fail_msg("identifier %u twice", m.packet_id);
		else
			peer_ack(s, PKT_PUBACK, m.packet_id, 0);
		s->out_n = s->out_at = 0;
	}
	world_free(&w);
}

/* ---- wills --------------------------------------------------------------------------- */

static void test_will(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *s = peer_connect(w, .user = "b"), *c, *d;

	peer_subscribe(s, .filter = "w/#");
	c = peer_connect_on(w, 1, &(struct peer_opts){.user = "a", .will_topic = "w/a"});
	d = peer_connect_on(
		w, 1, &(struct peer_opts){.user = "c", .will_topic = "w/c", .version = MQTT_5});
	wconn_drop(c, E_EOF);
	world_run(w);
	peer_message(s, "w/a", "gone");
	peer_disconnect(d, 0);
	assert_true(peer_gone(d));
	peer_expect_nothing(s);
	d = peer_connect(w, .user = "c", .will_topic = "w/c", .version = MQTT_5);
	peer_disconnect(d, 4);
	peer_message(s, "w/c", "gone");
	world_free(&w);
}

static void test_will_delay(void **state)
{
	const struct peer_opts o = {.user = "a",
				    .version = MQTT_5,
				    .expiry_s = 60,
				    .will_topic = "w/a",
				    .will_delay_s = 3,
				    .persistent = true};
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "b"), *c;

	peer_subscribe(s, .filter = "w/#");
	present(w, 0, &o, &c);
	wconn_drop(c, E_EOF);
	world_advance(w, 2000);
	present(w, 0, &o, &c); /* in time */
	world_advance(w, 6000);
	peer_expect_nothing(s);
	wconn_drop(c, E_EOF);
	world_advance(w, 2999);
	peer_expect_nothing(s);
	world_advance(w, 1);
	peer_message(s, "w/a", "gone");
	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5, .persistent = true}, &c);
	wconn_drop(c, E_EOF); /* it had no will any more */
	world_advance(w, 10000);
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_will_at_session_end(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "b"), *c;

	peer_subscribe(s, .filter = "w/#");
	present(w, 0,
		&(struct peer_opts){.user = "a",
				    .version = MQTT_5,
				    .expiry_s = 60,
				    .will_topic = "w/a",
				    .will_delay_s = 30,
				    .persistent = true},
		&c);
	wconn_drop(c, E_EOF);
	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5},
		&c); /* clean start ends the old one */
	peer_message(s, "w/a", "gone");
	world_free(&w);
}

static void test_will_on_takeover(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "b"), *c;

	peer_subscribe(s, .filter = "w/#");
	present(w, 0, &(struct peer_opts){.user = "a", .persistent = true, .will_topic = "w/a"},
		&c);
	present(w, 0, &(struct peer_opts){.user = "a", .persistent = true}, &c);
	peer_message(s, "w/a", "gone");
	world_free(&w);
}

/* ---- retained ------------------------------------------------------------------------ */

static void test_retained(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *p = peer_connect(w, .user = "b"), *s;
	struct pkt_publish m;

	peer_publish(p, .topic = "r/1", .payload = "old", .retain = true);
	peer_publish(p, .topic = "r/1", .payload = "new", .retain = true, .qos = 1, .pid = 1);
	peer_publish(p, .topic = "r/2", .payload = "two", .retain = true);
	assert_int_equal(world_stats(w).retained, 2);
	present(w, 1, &(struct peer_opts){.user = "a", .version = MQTT_5}, &s);
	peer_subscribe(s, .filter = "r/1", .qos = 1);
	m = peer_message(s, "r/1", "new");
	assert_true(m.retain);
	assert_int_equal(m.qos, 1);
	peer_subscribe(s, .filter = "r/#", .retain_handling = 1);
	peer_message(s, NULL, NULL);
	peer_message(s, NULL, NULL);
	peer_expect_nothing(s);
	peer_subscribe(s, .filter = "r/#", .retain_handling = 1);
	peer_expect_nothing(s); /* it was there */
	peer_subscribe(s, .filter = "r/+", .retain_handling = 2);
	peer_expect_nothing(s);
	peer_publish(p, .topic = "r/1", .payload = "", .retain = true);
	m = peer_message(s, "r/1", "");
	assert_false(m.retain);
	assert_int_equal(world_stats(w).retained, 1);
	world_free(&w);
}

static void test_retain_as_published(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *p = peer_connect(w, .user = "b"), *s;

	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5}, &s);
	peer_subscribe(s, .filter = "r", .retain_as_published = true);
	peer_publish(p, .topic = "r", .retain = true);
	assert_true(peer_message(s, "r", NULL).retain);
	world_free(&w);
}

static void test_retained_flood_arrives(void **state)
{
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *p, *s;
	char topic[32];

	l.retained_identity = 500;
	l.output_buffer = 2000;
	w = world_new(1, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	world_identity(w, "b", 2, (const u32[]){1, 0});
	p = peer_connect(w, .user = "b");
	for (u32 i = 0; i < 500; i++) {
		snprintf(topic, sizeof(topic), "r/%u", i);
		peer_publish(p, .topic = topic, .retain = true);
	}
	present(w, 0, &(struct peer_opts){.user = "a", .version = MQTT_5}, &s);
	peer_subscribe(s, .filter = "r/#");
	for (u32 i = 0; i < 500; i++)
		peer_message(s, NULL, "x");
	peer_expect_nothing(s);
	world_free(&w);
}

/* RET-STORM: who asks for everything again and again is read again only when that was paid for. */
static void test_replay_holds_back(void **state)
{
	struct core_limits l = world_limits();
	struct wconn *p, *s;
	struct world *w;
	char topic[32];
	u32 rounds = 0;

	l.publish_burst = l.publish_rate = l.retained_identity = 10000;
	w = world_new(1, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	world_identity(w, "b", 2, (const u32[]){1, 0});
	p = peer_connect(w, .user = "a");
	for (u32 i = 0; i < 2000; i++) {
		snprintf(topic, sizeof(topic), "r/%u", i);
		peer_publish(p, .topic = topic, .retain = true);
	}
	s = peer_connect(w, .user = "b", .version = MQTT_5);
	while (!s->paused && rounds < 1000) {
		peer_subscribe(s, .filter = "r/+/none");
		rounds++;
	}
	assert_in_range(rounds, 100, 999);
	world_advance(w, 1000);
	assert_false(s->paused);
	world_free(&w);
}

static void test_retained_limit(void **state)
{
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *p;

	l.retained_identity = 1;
	w = world_new(1, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	p = peer_connect(w, .user = "a", .version = MQTT_5);
	peer_publish(p, .topic = "r/1", .retain = true, .qos = 1, .pid = 1);
	assert_int_equal(peer_expect_ack(p, PKT_PUBACK, 1), 0x10);
	peer_publish(p, .topic = "r/2", .retain = true, .qos = 1, .pid = 2);
	assert_int_equal(peer_expect_ack(p, PKT_PUBACK, 2), 0x97);
	peer_publish(p, .topic = "r/1", .payload = "", .retain = true, .qos = 1, .pid = 3);
	peer_expect_ack(p, PKT_PUBACK, 3);
	peer_publish(p, .topic = "r/2", .retain = true, .qos = 1, .pid = 4);
	assert_int_equal(peer_expect_ack(p, PKT_PUBACK, 4), 0x10);
	world_free(&w);
}

static void test_retained_expires(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *p = peer_connect(w, .user = "b", .version = MQTT_5), *s;

	peer_publish(p, .topic = "r", .retain = true, .expiry_s = 5);
	peer_publish(p, .topic = "q", .retain = true);
	world_advance(w, 6000);
	s = peer_connect(w, .user = "a");
	peer_subscribe(s, .filter = "#");
	peer_message(s, "q", NULL);
	peer_expect_nothing(s);
	world_advance(w, 60000);
	assert_int_equal(world_stats(w).retained, 1);
	world_free(&w);
}

/* Eight sessions of one identity have no more than four of them may. */
static void test_subscription_limit_of_an_identity(void **state)
{
	struct core_limits l = world_limits();
	u32 granted = 0;
	struct world *w;
	struct wconn *s;
	char id[16];

	l.subscriptions = 2;
	w = world_new(2, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	for (u32 i = 0; i < 8; i++) {
		snprintf(id, sizeof(id), "%u", i);
		s = world_connect(w, i);
		peer_say_connect(s, &(struct peer_opts){.user = "a", .id = id, .persistent = true});
		world_run(w);
		assert_int_equal(peer_connack(s, &(struct pkt_connack){0}), 0);
		granted += peer_subscribe(s, .filter = "t/1") == 0;
		granted += peer_subscribe(s, .filter = "t/2") == 0;
		peer_disconnect(s, 0);
	}
	assert_int_equal(granted, 8);
	assert_int_equal(world_stats(w).subscriptions, 8);
	world_free(&w);
}

static void test_subscription_limit(void **state)
{
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *s;

	l.subscriptions = 1;
	w = world_new(1, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	s = peer_connect(w, .user = "a", .version = MQTT_5);
	assert_int_equal(peer_subscribe(s, .filter = "t", .qos = 2), 2);
	assert_int_equal(peer_subscribe(s, .filter = "t", .qos = 1), 1);
	assert_int_equal(peer_subscribe(s, .filter = "u"), 0x97);
	assert_int_equal(peer_subscribe(s, .filter = "a#"), 0x8f);
	world_free(&w);
}

/* Coming to and leaving a topic for ever: as much as publishing. */
static void test_churn_holds_back(void **state)
{
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *s;
	u32 n = 0;

	l.publish_rate = 10;
	l.publish_burst = 6;
	w = world_new(1, &l);
	world_policy(w, "role all { publish #; subscribe # }");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	s = peer_connect(w, .user = "a");
	for (; !s->paused && n < 100; n++)
		peer_subscribe(s, .filter = "t");
	assert_int_equal(n, 7);
	world_advance(w, 1000);
	assert_false(s->paused);
	world_free(&w);
}

static void test_unsubscribe(void **state)
{
	static const u8 unsub[] = {0xa2, 6, 0, 9, 0, 0, 1, 't'},
			again[] = {0xa2, 6, 0, 10, 0, 0, 1, 't'};
	struct world *w = peer_world(1);
	struct wconn *s = peer_connect(w, .user = "a", .version = MQTT_5);
	struct pkt_suback ack;
	struct frame f;
	struct slice body;

	peer_subscribe(s, .filter = "t");
	wconn_send(s, slice_of(unsub, sizeof(unsub)));
	wconn_send(s, slice_of(again, sizeof(again)));
	world_run(w);
	for (u32 i = 0; i < 2; i++) {
		assert_true(wconn_next(s, &f, &body));
		assert_int_equal(f.type, PKT_UNSUBACK);
		assert_int_equal(pkt_suback_decode(&f, MQTT_5, body, &ack), E_OK);
		assert_int_equal(ack.codes.p[0], i == 0 ? 0 : 0x11);
	}
	peer_publish(s, .topic = "t");
	peer_expect_nothing(s);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_resend),
		cmocka_unit_test(test_resend_with_smaller_window),
		cmocka_unit_test(test_clean_start),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_takeover),
		cmocka_unit_test(test_sessions_hoarded),
		cmocka_unit_test(test_same_id_of_another),
		cmocka_unit_test(test_qos2_in_across_resume),
		cmocka_unit_test(test_message_expiry),
		cmocka_unit_test(test_queue_limit),
		cmocka_unit_test(test_queue_limit_of_an_identity),
		cmocka_unit_test(test_identifiers_go_round),
		cmocka_unit_test(test_will),
		cmocka_unit_test(test_will_delay),
		cmocka_unit_test(test_will_at_session_end),
		cmocka_unit_test(test_will_on_takeover),
		cmocka_unit_test(test_retained),
		cmocka_unit_test(test_retain_as_published),
		cmocka_unit_test(test_retained_flood_arrives),
		cmocka_unit_test(test_replay_holds_back),
		cmocka_unit_test(test_retained_limit),
		cmocka_unit_test(test_retained_expires),
		cmocka_unit_test(test_subscription_limit),
		cmocka_unit_test(test_subscription_limit_of_an_identity),
		cmocka_unit_test(test_churn_holds_back),
		cmocka_unit_test(test_unsubscribe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
