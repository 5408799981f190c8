/* What the store gives back: after a crash, after a long time, from a long queue. */
#include <malloc.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"
#include "peer.h"

static const struct peer_opts durable_a = {.user = "a", .version = MQTT_5, .persistent = true};

/* ---- a crash, and everybody comes back ----------------------------------------------- */

static struct restored crash(struct world *w, u32 shards)
{
	struct restored r = world_crash(w, shards);

	while (w->conns != NULL)
		wconn_free(w->conns);
	world_run(w);
	return r;
}

static struct wconn *back(struct world *w, const struct peer_opts *o, bool present)
{
	struct wconn *c = world_connect(w, 0);
	struct pkt_connack ack;

	peer_say_connect(c, o);
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0);
	assert_int_equal(ack.session_present, present);
	return c;
}

static struct client_info info_seen;

static bool see(void *arg, const struct client_info *i)
{
	if (!slice_eq(i->client_id, slice_str(arg)))
		return true;
	info_seen = *i;
	return false;
}

static struct client_info info_of(struct world *w, const char *id)
{
	char *name = xstrdup(id);

	info_seen = (struct client_info){0};
	for (u32 i = 0; i < w->n && info_seen.client_id.n == 0; i++)
		core_each(w->core[i], see, name);
	free(name);
	return info_seen;
}

/* Queue, subscription with all that belongs to it, identifiers: as they were, on fewer shards and
 * on more. */
static void test_session_survives(void **state)
{
	for (u32 shards = 1; shards <= 4; shards++) {
		struct world *w = peer_world_stored(2, NULL);
		struct wconn *s = peer_connect_on(w, 1, &durable_a), *p;
		struct pkt_publish m;
		struct restored r;

		peer_subscribe(s, .filter = "t/+", .qos = 2, .id = 77, .retain_as_published = true);
		peer_subscribe(s, .filter = "u", .qos = 1, .no_local = true);
		wconn_drop(s, E_EOF);
		p = peer_connect(w, .user = "b", .version = MQTT_5);
		peer_publish(p, .topic = "t/1", .payload = "1", .qos = 2, .pid = 1,
			     .expiry_s = 600);
		peer_publish(p, .topic = "t/2", .payload = "2", .qos = 1, .pid = 2, .retain = true);
		r = crash(w, shards);
		assert_int_equal(r.sessions, 1);
		assert_int_equal(r.subscriptions, 2);
		assert_int_equal(r.retained, 1);
		assert_int_equal(r.dropped, 0);
		s = back(w, &durable_a, true);
		m = peer_message(s, "t/1", "1");
		assert_false(m.dup); /* it was never sent */
		assert_int_equal(m.props.subscription_id, 77);
		assert_in_range(m.props.message_expiry, 599, 600);
		m = peer_message(s, "t/2", "2");
		assert_true(m.retain);
		assert_int_equal(m.qos, 1);
		peer_publish(s, .topic = "u", .qos = 1, .pid = 9); /* no local */
		peer_expect_ack(s, PKT_PUBACK, 9);
		peer_expect_nothing(s);
		world_free(&w);
	}
}

/* What may have been sent is sent again, with DUP and its identifier; what was released is released
 * again; what was acknowledged is gone. */
static void test_flights_survive(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct peer_opts o = durable_a;
	struct wconn *s, *p = peer_connect(w, .user = "b");
	struct pkt_publish m[4], again;

	o.receive_max = 3;
	s = peer_connect_on(w, 0, &o);
	peer_subscribe(s, .filter = "t", .qos = 2);
	for (u16 i = 0; i < 4; i++) {
		char text[2] = {(char)('0' + i), 0};
		peer_publish(p, .topic = "t", .payload = text, .qos = i % 2 ? 1 : 2, .pid = i + 1u);
	}
	for (u32 i = 0; i < 3; i++)
		m[i] = peer_message(s, "t", NULL);
	peer_ack(s, PKT_PUBREC, m[0].packet_id, 0);
	peer_expect_ack(s, PKT_PUBREL, m[0].packet_id);
	peer_ack(s, PKT_PUBACK, m[1].packet_id, 0);
	m[3] = peer_message(s, "t", "3");
	crash(w, 2);
	s = back(w, &o, true);
	assert_int_equal(peer_expect_ack(s, PKT_PUBREL, m[0].packet_id), 0);
	again = peer_message(s, "t", "2");
	assert_int_equal(again.packet_id, m[2].packet_id);
	assert_true(again.dup);
	again = peer_message(s, "t", "3");
	assert_int_equal(again.packet_id, m[3].packet_id);
	assert_true(again.dup);
	peer_expect_nothing(s);
	/* A goodbye says how far it had come: what was not sent then has no DUP. */
	peer_ack(s, PKT_PUBCOMP, m[0].packet_id, 0);
	peer_ack(s, PKT_PUBREC, m[2].packet_id, 0);
	peer_expect_ack(s, PKT_PUBREL, m[2].packet_id);
	peer_ack(s, PKT_PUBCOMP, m[2].packet_id, 0);
	peer_disconnect(s, 0);
	p = peer_connect(w, .user = "b");
	peer_publish(p, .topic = "t", .payload = "4", .qos = 1, .pid = 5);
	crash(w, 1);
	s = back(w, &o, true);
	assert_true(peer_message(s, "t", "3").dup);
	assert_false(peer_message(s, "t", "4").dup);
	world_free(&w);
}

/* QoS 2 from a client: once, whenever it dies. */
static void test_publisher_resends(void **state)
{
	for (u32 committed = 0; committed < 2; committed++) {
		struct world *w = peer_world_stored(2, NULL);
		struct peer_opts o = {.user = "b", .version = MQTT_5, .persistent = true};
		struct wconn *s = peer_connect_on(w, 1, &durable_a), *p;

		peer_subscribe(s, .filter = "t", .qos = 2);
		wconn_drop(s, E_EOF);
		p = peer_connect_on(w, 0, &o);
		w->hold_store = committed == 0;
		peer_publish(p, .topic = "t", .payload = "1", .qos = 2, .pid = 1);
		if (committed)
			peer_expect_ack(p, PKT_PUBREC, 1);
		else
			peer_expect_nothing(p);
		w->hold_store = false;
		crash(w, 2);
		p = back(w, &o, true);
		peer_publish(p, .topic = "t", .payload = "1", .qos = 2, .pid = 1, .dup = true);
		peer_expect_ack(p, PKT_PUBREC, 1);
		peer_ack(p, PKT_PUBREL, 1, 0);
		assert_int_equal(peer_expect_ack(p, PKT_PUBCOMP, 1), 0);
		crash(w, 1);
		s = back(w, &durable_a, true);
		peer_message(s, "t", "1");
		peer_expect_nothing(s);
		/* The identifier is free again. */
		p = back(w, &o, true);
		peer_publish(p, .topic = "t", .payload = "2", .qos = 2, .pid = 1);
		peer_message(s, "t", "2");
		world_free(&w);
	}
}

/* ---- time ---------------------------------------------------------------------------- */

/* The clock of expiry goes on while we are away, and begins when the connection broke. */
static void test_expiry_goes_on(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct peer_opts o = durable_a, never = {.user = "b", .persistent = true};

	o.expiry_s = 100;
	wconn_drop(peer_connect_on(w, 0, &o), E_EOF);
	peer_connect_on(w, 0, &never);
	world_advance(w, 60000);
	crash(w, 1);
	world_advance(w, 39000);
	assert_int_equal(world_stats(w).sessions, 2);
	world_advance(w, 2000);
	assert_int_equal(world_stats(w).sessions, 1);
	assert_int_equal(peer_stored(w).sessions, 1);
	back(w, &o, false);
	/* One that had a connection when we died counts from the start; a second start counts from
	 * the first. */
	crash(w, 1);
	world_advance(w, 60000);
	crash(w, 1);
	world_advance(w, 41000);
	assert_int_equal(peer_stored(w).sessions, 1);
	back(w, &never, true);
	world_free(&w);
}

/* A will waits over a start, is said when it is due, and once. */
static void test_will_waits(void **state)
{
	struct world *w = peer_world_stored(2, NULL);
	struct wconn *s, *p;

	peer_connect_on(w, 1,
			&(struct peer_opts){.user = "b",
					    .version = MQTT_5,
					    .persistent = true,
					    .will_topic = "t",
					    .will_payload = "dead",
					    .will_delay_s = 50});
	s = peer_connect_on(w, 0, &durable_a);
	peer_subscribe(s, .filter = "t", .qos = 1);
	crash(w, 2);
	s = back(w, &durable_a, true);
	world_advance(w, 49000);
	peer_expect_nothing(s);
	world_advance(w, 2000);
	peer_message(s, "t", "dead");
	crash(w, 1);
	s = back(w, &durable_a, true);
	world_advance(w, 100000);
	peer_expect_nothing(s);
	/* Who comes back in time has no will any more. */
	p = peer_connect_on(w, 0,
			    &(struct peer_opts){.user = "b",
						.version = MQTT_5,
						.persistent = true,
						.will_topic = "t",
						.will_delay_s = 50});
	crash(w, 2);
	s = back(w, &durable_a, true);
	p = back(w, &(struct peer_opts){.user = "b", .version = MQTT_5, .persistent = true}, true);
	peer_disconnect(p, 0);
	crash(w, 2);
	s = back(w, &durable_a, true);
	world_advance(w, 100000);
	peer_expect_nothing(s);
	world_free(&w);
}

/* Retained messages: the last one of each topic, whichever shard it came through; and they age. */
static void test_retained_survive(void **state)
{
	struct world *w = peer_world_stored(3, NULL);
	struct wconn *p[3], *s;

	for (u32 i = 0; i < 3; i++) {
		char id[2] = {(char)('x' + i), 0};
		p[i] = peer_connect_on(
			w, i, &(struct peer_opts){.user = "b", .id = id, .version = MQTT_5});
	}
	for (u32 i = 0; i < 30; i++) {
		char text[8];
		snprintf(text, sizeof(text), "%u", i);
		peer_publish(p[i % 3], .topic = "r", .payload = text, .retain = true);
		peer_publish(p[i % 3], .topic = "gone", .payload = i == 29 ? "" : text,
			     .retain = true);
	}
	peer_publish(p[0], .topic = "old", .retain = true, .expiry_s = 10);
	peer_publish(p[0], .topic = "young", .retain = true, .expiry_s = 100);
	assert_int_equal(peer_stored(w).retained, 3);
	world_advance(w, 20000);
	assert_int_equal(crash(w, 2).retained, 2);
	assert_int_equal(peer_stored(w).retained, 2);
	s = peer_connect(w, .user = "a", .version = MQTT_5);
	peer_subscribe(s, .filter = "+");
	for (u32 i = 0; i < 2; i++) {
		struct pkt_publish m = peer_message(s, NULL, NULL);
		if (slice_eq(m.topic.s, SLICE_LIT("r")))
			assert_true(slice_eq(m.payload, SLICE_LIT("29")));
		else
			assert_in_range(m.props.message_expiry, 79, 80);
	}
	peer_expect_nothing(s);
	world_advance(w, 200000);
	assert_int_equal(peer_stored(w).retained, 1);
	world_free(&w);
}

/* ---- whose it is --------------------------------------------------------------------- */

/* Of identities that are revoked, suspended or unknown nothing comes back. */
static void test_owner_is_gone(void **state)
{
	struct world *w = peer_world_stored(2, NULL);
	struct wconn *c;

	for (u32 i = 0; i < 3; i++) {
		c = peer_connect_on(w, i,
				    &(struct peer_opts){.user = w->identity[i].name,
							.version = MQTT_5,
							.persistent = true,
							.will_topic = "w"});
		peer_subscribe(c, .filter = "t", .qos = 1);
		peer_publish(c, .topic = w->identity[i].name, .retain = true);
	}
	w->identity[0].status = WHO_REVOKED;
	w->identity[1].status = WHO_SUSPENDED;
	w->identity[2].id = 4711; /* the one of before is not known any more */
	assert_int_equal(crash(w, 2).sessions, 0);
	assert_int_equal(peer_stored(w).sessions, 0);
	assert_int_equal(peer_stored(w).subs, 0);
	assert_int_equal(peer_stored(w).retained, 1); /* of the suspended one */
	assert_int_equal(w->events[EV_WILL], 0);
	world_free(&w);
}

/* Rights that were taken away while a message lay on disk: it is not delivered, it is counted, and
 * that is remembered. */
static void test_denied_when_read(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *s = peer_connect_on(w, 0, &durable_a), *p = peer_connect(w, .user = "b");

	peer_subscribe(s, .filter = "#", .qos = 1);
	wconn_drop(s, E_EOF);
	peer_publish(p, .topic = "no", .qos = 1, .pid = 1);
	peer_publish(p, .topic = "yes", .qos = 1, .pid = 2);
	world_policy(w, "role all { publish # ; subscribe # ; deny subscribe no }\n");
	s = back(w, &durable_a, true);
	peer_message(s, "yes", NULL);
	peer_expect_nothing(s);
	assert_int_equal(info_of(w, "a").drops[DROP_DENIED], 1);
	crash(w, 1);
	assert_int_equal(info_of(w, "a").drops[DROP_DENIED], 1);
	world_free(&w);
}

/* One of QoS 2 that may have arrived is released all the same. */
static void test_denied_but_sent(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *s = peer_connect_on(w, 0, &durable_a), *p = peer_connect(w, .user = "b");
	u16 pid;

	peer_subscribe(s, .filter = "#", .qos = 2);
	peer_publish(p, .topic = "no", .qos = 2, .pid = 1);
	pid = peer_message(s, "no", NULL).packet_id;
	crash(w, 1);
	world_policy(w, "role all { publish # ; subscribe # ; deny subscribe no }\n");
	s = back(w, &durable_a, true);
	assert_int_equal(peer_expect_ack(s, PKT_PUBREL, pid), 0);
	peer_ack(s, PKT_PUBCOMP, pid, 0);
	assert_int_equal(peer_stored(w).queued, 0);
	world_free(&w);
}

/* A client came again while the end of its older session was not on disk yet: there are two.  The
 * older one ends, its will is said, the newer one is the client's. */
static void test_two_sessions_of_one_client(void **state)
{
	struct world *w = peer_world_stored(2, NULL);
	struct wconn *s, *c;

	s = peer_connect_on(w, 0, &durable_a);
	peer_subscribe(s, .filter = "w", .qos = 1);
	c = peer_connect_on(w, 1,
			    &(struct peer_opts){.user = "b",
						.version = MQTT_5,
						.persistent = true,
						.will_topic = "w",
						.will_payload = "old",
						.will_qos = 1,
						.will_delay_s = 600});
	peer_subscribe(c, .filter = "old", .qos = 1);
	wconn_drop(c, E_EOF);
	world_run(w);
	w->hold_posts = true; /* the will comes to no other shard */
	c = world_connect(w, 1);
	peer_say_connect(c, &(struct peer_opts){.user = "b", .version = MQTT_5, .expiry_s = 500});
	world_run(w);
	w->hold_posts = false;
	assert_int_equal(peer_stored(w).sessions, 3);
	assert_int_equal(crash(w, 2).sessions, 3);
	world_advance(w, 100);
	assert_int_equal(peer_stored(w).sessions, 2);
	assert_int_equal(peer_stored(w).subs, 1);
	c = back(w, &(struct peer_opts){.user = "b", .version = MQTT_5, .persistent = true}, true);
	assert_int_equal(info_of(w, "b").subscriptions, 0);
	s = back(w, &durable_a, true);
	peer_message(s, "w", "old");
	peer_expect_nothing(s);
	world_free(&w);
}

/* ---- long queues --------------------------------------------------------------------- */

static void publish_many(struct wconn *p, u32 from, u32 to)
{
	for (u32 i = from; i < to; i++) {
		char text[12];
		snprintf(text, sizeof(text), "%u", i);
		peer_publish(p, .topic = "t", .payload = text, .qos = 1, .pid = 1);
	}
}

/* More than a window comes from disk, in order, with a short read-ahead in memory; also what is
 * published meanwhile. */
static void test_backlog(void **state)
{
	enum { FIRST = 3000, ALL = 3600 };
	struct core_limits l = world_limits();
	struct peer_opts o = durable_a;
	struct client_info i;
	struct world *w;
	struct wconn *s, *p;
	u32 n = 0, said = FIRST;

	l.queue_messages = ALL;
	w = peer_world_stored(2, &l);
	p = peer_connect(w, .user = "b");
	o.receive_max = 7;
	s = peer_connect_on(w, 1, &o);
	peer_subscribe(s, .filter = "t", .qos = 1);
	wconn_drop(s, E_EOF);
	publish_many(p, 0, FIRST);
	assert_int_equal(info_of(w, "a").queued, FIRST);
	crash(w, 2);
	assert_int_equal(info_of(w, "a").queued, FIRST);
	p = peer_connect(w, .user = "b");
	s = back(w, &o, true);
	while (n < ALL) {
		char text[12];
		u16 pid;
		snprintf(text, sizeof(text), "%u", n);
		pid = peer_message(s, "t", text).packet_id;
		i = info_of(w, "a");
		assert_in_range(i.queued - i.stored, 0, AHEAD_MESSAGES);
		assert_in_range(i.inflight, 1, 7);
		peer_ack(s, PKT_PUBACK, pid, 0);
		n++;
		if (n % 5 == 0 && said < ALL) {
			publish_many(p, said, said + 1);
			said++;
		}
	}
	peer_expect_nothing(s);
	i = info_of(w, "a");
	assert_int_equal(i.queued, 0);
	assert_int_equal(i.queued_bytes, 0);
	assert_int_equal(peer_stored(w).queued, 0);
	world_free(&w);
}

/* Limits count what is on disk only, before a start and after it; what has expired makes room;
 * every drop is in the session's record by its name. */
static void test_limits_count_the_disk(void **state)
{
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *s, *p;

	l.offline_messages = 10;
	w = peer_world_stored(1, &l);
	s = peer_connect_on(w, 0, &durable_a);
	peer_subscribe(s, .filter = "#", .qos = 1);
	wconn_drop(s, E_EOF);
	p = peer_connect(w, .user = "b", .version = MQTT_5);
	for (u32 i = 0; i < 4; i++)
		peer_publish(p, .topic = "e", .qos = 1, .pid = 1, .expiry_s = 50);
	publish_many(p, 0, 8);
	assert_int_equal(info_of(w, "a").queued, 10);
	assert_int_equal(info_of(w, "a").drops[DROP_QUOTA], 2);
	crash(w, 1);
	p = peer_connect(w, .user = "b", .version = MQTT_5);
	publish_many(p, 8, 10); /* one of them, for what may have expired */
	assert_int_equal(info_of(w, "a").drops[DROP_QUOTA], 3);
	world_advance(w, 60000);
	publish_many(p, 10, 14); /* the first sees it full */
	crash(w, 1);
	assert_int_equal(info_of(w, "a").drops[DROP_QUOTA], 4);
	assert_int_equal(info_of(w, "a").drops[DROP_EXPIRED], 4);
	assert_int_equal(info_of(w, "a").queued, 10);
	s = back(w, &durable_a, true);
	for (u32 i = 0; i < 14; i++) {
		char text[12];
		snprintf(text, sizeof(text), "%u", i);
		if (i < 6 || i == 8 || i > 10)
			peer_message(s, "t", text);
	}
	peer_expect_nothing(s);
	world_free(&w);
}

/* What is too large for the client is as if delivered, and counted. */
static void test_too_large_when_read(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct peer_opts o = durable_a;
	struct wconn *s = peer_connect_on(w, 0, &o), *p = peer_connect(w, .user = "b");
	char big[300];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	peer_subscribe(s, .filter = "t", .qos = 1);
	wconn_drop(s, E_EOF);
	peer_publish(p, .topic = "t", .payload = big, .qos = 1, .pid = 1);
	peer_publish(p, .topic = "t", .payload = "small", .qos = 1, .pid = 2);
	o.max_packet = 200;
	s = back(w, &o, true);
	peer_message(s, "t", "small");
	peer_expect_nothing(s);
	assert_int_equal(info_of(w, "a").drops[DROP_TOO_LARGE], 1);
	assert_int_equal(peer_stored(w).queued, 1);
	world_free(&w);
}

/* A session that is away costs less than 1 KiB however much waits for it. */
static void test_memory_of_who_is_away(void **state)
{
	enum { SESSIONS = 500, EACH = 40 };
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *s, *p;
	size_t alive, dead;

	l.connections_identity = l.subscriptions = SESSIONS;
	w = peer_world_stored(1, &l);
	p = peer_connect(w, .user = "b");
	for (u32 i = 0; i < SESSIONS; i++) {
		char id[32];
		struct peer_opts o = durable_a;
		snprintf(id, sizeof(id), "sensor-%06u-of-a-plant", i);
		o.id = id;
		s = peer_connect_on(w, 0, &o);
		peer_subscribe(s, .filter = "t", .qos = 1);
		wconn_drop(s, E_EOF);
		wconn_free(s);
	}
	for (u32 i = 0; i < EACH; i++) {
		struct slice body;
		struct frame f;
		publish_many(p, i, i + 1);
		while (wconn_next(p, &f, &body))
			;
	}
	assert_int_equal(peer_stored(w).queued, SESSIONS * EACH);
	alive = mallinfo2().uordblks;
	world_die(w);
	dead = mallinfo2().uordblks;
	if (alive != 0) /* not under a sanitizer, which counts nothing */
		assert_in_range((alive - dead) / SESSIONS, 200, 1279); /* the aim is below 1,024 */
	world_crash(w, 1);
	world_free(&w);
}

/* ---- the disk is full ---------------------------------------------------------------- */

static void test_full_disk(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *s = peer_connect_on(w, 0, &durable_a), *p5, *p3, *n;
	struct pkt_connack ack;

	peer_subscribe(s, .filter = "t", .qos = 1);
	wconn_drop(s, E_EOF);
	p5 = peer_connect(w, .user = "b", .id = "5", .version = MQTT_5, .persistent = true);
	p3 = peer_connect(w, .user = "b", .id = "3", .persistent = true);
	n = peer_connect(w, .user = "c", .version = MQTT_5);
	peer_subscribe(n, .filter = "n");
	peer_publish(p5, .topic = "t", .payload = "before", .qos = 1, .pid = 1);
	peer_expect_ack(p5, PKT_PUBACK, 1);
	world_full(w, true);
	peer_publish(p5, .topic = "t", .payload = "in it", .qos = 1, .pid = 2);
	world_advance(w, 1); /* it waits, and from now on everybody knows */
	peer_expect_nothing(p5);
	/* MQTT 5 is told. */
	peer_publish(p5, .topic = "t", .qos = 1, .pid = 3);
	peer_publish(p5, .topic = "nobody", .qos = 2, .pid = 4);
	peer_publish(p5, .topic = "r", .qos = 1, .pid = 5, .retain = true);
	peer_say_subscribe(p5, &(struct peer_sub){.filter = "x", .qos = 1});
	/* 3.1.1 is not read: nothing that it says later overtakes. */
	peer_publish(p3, .topic = "t", .payload = "held", .qos = 1, .pid = 6);
	peer_publish(p3, .topic = "n", .payload = "behind it", .qos = 0);
	assert_true(p3->paused);
	peer_expect_nothing(n);
	/* What needs no disk goes on. */
	peer_publish(n, .topic = "n", .payload = "on", .qos = 1, .pid = 1);
	peer_message(n, "n", "on");
	peer_expect_ack(n, PKT_PUBACK, 1);
	/* A new session that lasts is refused. */
	s = world_connect(w, 0);
	peer_say_connect(s,
			 &(struct peer_opts){
				 .user = "c", .id = "new", .version = MQTT_5, .persistent = true});
	world_run(w);
	assert_int_equal(peer_connack(s, &ack), 0x97);
	/* It has room again. */
	world_full(w, false);
	world_advance(w, 2000);
	peer_expect_ack(p5, PKT_PUBACK, 2);
	assert_int_equal(peer_expect_ack(p5, PKT_PUBACK, 3), 0x97);
	assert_int_equal(peer_expect_ack(p5, PKT_PUBREC, 4), 0x97);
	assert_int_equal(peer_expect_ack(p5, PKT_PUBACK, 5), 0x97);
	assert_int_equal(peer_suback(p5), 0x97);
	peer_expect_ack(p3, PKT_PUBACK, 6);
	peer_message(n, "n", "behind it");
	s = back(w, &durable_a, true);
	peer_message(s, "t", "before");
	peer_message(s, "t", "in it");
	peer_message(s, "t", "held");
	peer_expect_nothing(s);
	world_free(&w);
}

/* Its queue empties, although nothing new finds room. */
static void test_full_disk_drains(void **state)
{
	struct world *w = peer_world_stored(1, NULL);
	struct wconn *s = peer_connect_on(w, 0, &durable_a), *p = peer_connect(w, .user = "b");
	u16 pid;

	peer_subscribe(s, .filter = "t", .qos = 2);
	publish_many(p, 0, 5);
	world_full(w, true);
	for (u32 i = 0; i < 5; i++) {
		pid = peer_message(s, "t", NULL).packet_id;
		peer_ack(s, PKT_PUBACK, pid, 0);
	}
	world_advance(w, 100);
	assert_int_equal(peer_stored(w).queued, 0);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session_survives),
		cmocka_unit_test(test_flights_survive),
		cmocka_unit_test(test_publisher_resends),
		cmocka_unit_test(test_expiry_goes_on),
		cmocka_unit_test(test_will_waits),
		cmocka_unit_test(test_retained_survive),
		cmocka_unit_test(test_owner_is_gone),
		cmocka_unit_test(test_denied_when_read),
		cmocka_unit_test(test_denied_but_sent),
		cmocka_unit_test(test_two_sessions_of_one_client),
		cmocka_unit_test(test_backlog),
		cmocka_unit_test(test_limits_count_the_disk),
		cmocka_unit_test(test_too_large_when_read),
		cmocka_unit_test(test_memory_of_who_is_away),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_full_disk_drains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
