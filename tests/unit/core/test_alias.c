/* Topic aliases towards a client: what it reads always means the topic that was published. */
#include "core/impl.h"
#include "peer.h"

enum { KNOWN_MAX = 1024 };

struct ears { /* a client as strict as the specification */
	u32 most;
	char topic[KNOWN_MAX + 1][64];
	u32 with, told, bytes; /* messages with an alias alone, with an alias that is told; bytes */
};

static struct wconn *listener(struct world *w, struct ears *e, u16 most, bool persistent)
{
	memset(e, 0, sizeof(*e));
	e->most = most;
	return peer_connect(w, .user = "a", .version = MQTT_5, .persistent = persistent,
			    .alias_max = most);
}

/* The topic that the next message means. */
static const char *hear(struct wconn *c, struct ears *e, struct pkt_publish *p)
{
	struct frame f;
	struct slice body;
	u16 alias = 0;
	static char topic[64];

	assert_true(wconn_next(c, &f, &body));
	assert_int_equal(f.type, PKT_PUBLISH);
	assert_int_equal(pkt_publish_decode(&f, MQTT_5, FROM_SERVER, body, p), E_OK);
	e->bytes += f.header_len + f.body_len;
	if (PROP_HAS(&p->props, PROP_topic_alias))
		alias = p->props.topic_alias;
	assert_in_range(alias, 0, e->most);
	if (p->topic_absent) {
		e->with++;
		assert_int_not_equal(alias, 0);
		assert_int_not_equal(e->topic[alias][0], 0);
		return e->topic[alias];
	}
	snprintf(topic, sizeof(topic), "%.*s", (int)p->topic.s.n, (const char *)p->topic.s.p);
	if (alias == 0)
		return topic;
	e->told++;
	memcpy(e->topic[alias], topic, sizeof(topic));
	return topic;
}

static void expect(struct wconn *c, struct ears *e, const char *topic)
{
	struct pkt_publish p;

	assert_string_equal(hear(c, e, &p), topic);
}

static void test_told_once(void **state)
{
	struct world *w = peer_world(1);
	struct ears e, none = {0};
	struct wconn *s = listener(w, &e, 2, false),
		     *plain = peer_connect(w, .user = "c", .version = MQTT_5),
		     *old = peer_connect(w, .user = "d"), *p = peer_connect(w, .user = "b");

	assert_null(s->cl->aliases); /* nothing is kept before it is of use */
	peer_subscribe(s, .filter = "#", .qos = 1);
	peer_subscribe(plain, .filter = "#", .qos = 1);
	peer_subscribe(old, .filter = "#", .qos = 1);
	for (u16 i = 0; i < 6; i++) {
		const char *topic = i % 2 ? "plant/one" : "plant/two";
		peer_publish(p, .topic = topic, .qos = i % 3 == 0, .pid = i % 3 == 0 ? i + 1 : 0);
		expect(s, &e, topic);
		expect(plain, &none, topic);
		peer_message(old, topic, "x");
	}
	assert_int_equal(e.told, 2);
	assert_int_equal(e.with, 4);
	assert_int_equal(none.told + none.with, 0);
	assert_null(plain->cl->aliases);
	peer_publish(p, .topic = "abc");
	expect(s, &e, "abc");
	assert_int_equal(e.told + e.with, 6); /* so short that it saves nothing */
	world_free(&w);
}

static void test_limit_of_the_broker(void **state)
{
	struct world *w = peer_world(1);
	struct ears e;
	struct wconn *s = listener(w, &e, 1000, false), *p = peer_connect(w, .user = "b");
	char topic[16];
	u32 highest = 0;

	peer_subscribe(s, .filter = "#");
	for (u32 i = 0; i < 400; i++) {
		snprintf(topic, sizeof(topic), "topic/%u", i % 20);
		peer_publish(p, .topic = topic);
		expect(s, &e, topic);
	}
	for (u32 i = 1; i <= KNOWN_MAX; i++)
		highest = e.topic[i][0] != 0 ? i : highest;
	assert_int_equal(highest, 16);
	world_free(&w);
}

/* A new connection knows nothing, whatever its session was told: what is sent again, what waited
 * and what is new name their topics. */
static void test_end_with_the_connection(void **state)
{
	struct world *w = peer_world(1);
	struct ears e;
	struct wconn *s = listener(w, &e, 4, true), *p = peer_connect(w, .user = "b");

	peer_subscribe(s, .filter = "#", .qos = 2);
	for (u16 i = 1; i <= 3; i++) {
		peer_publish(p, .topic = "some/topic", .qos = i % 2 + 1, .pid = i);
		expect(s, &e, "some/topic");
	}
	assert_int_equal(e.with, 2);
	wconn_drop(s, E_EOF);
	peer_publish(p, .topic = "some/topic", .qos = 1, .pid = 4);
	s = listener(w, &e, 4, true);
	for (u32 i = 0; i < 4; i++)
		expect(s, &e, "some/topic");
	assert_int_equal(e.told, 1);
	assert_int_equal(e.with, 3);
	wconn_drop(s, E_EOF);
	s = listener(w, &e, 0, true);
	for (u32 i = 0; i < 4; i++)
		expect(s, &e, "some/topic");
	world_free(&w);
}

/* SPEC MQTT-3.1.2-24: where only the message itself fits, it goes without. */
static void test_no_room(void **state)
{
	for (u32 room = 0; room < 8; room++) {
		struct world *w = peer_world(1);
		struct ears e = {.most = 4};
		struct wconn *s, *p = peer_connect(w, .user = "b");
		char payload[120];
		u32 size = 2 + 2 + 10 + 1; /* of the message without its payload */

		memset(payload, 'x', sizeof(payload));
		payload[125 - size] = 0; /* a byte more, and the lengths grow */
		s = peer_connect(w, .user = "a", .version = MQTT_5, .alias_max = 4,
				 .max_packet = 125 + room);
		peer_subscribe(s, .filter = "#");
		for (u32 i = 0; i < 2; i++) {
			peer_publish(p, .topic = "some/topic", .payload = payload);
			expect(s, &e, "some/topic");
			assert_true(e.bytes <= 125 + room);
			e.bytes = 0;
		}
		assert_int_equal(world_stats(w).dropped, 0);
		world_free(&w);
	}
}

/* A payload that is not copied is shared by those with aliases and those without. */
static void test_shared_body(void **state)
{
	struct world *w = peer_world(1);
	struct ears e, none = {0};
	struct wconn *s = listener(w, &e, 1, false),
		     *plain = peer_connect(w, .user = "c", .version = MQTT_5),
		     *p = peer_connect(w, .user = "b");
	struct pkt_publish m;
	static char big[3000];

	memset(big, 'b', sizeof(big) - 1);
	peer_subscribe(s, .filter = "#");
	peer_subscribe(plain, .filter = "#");
	for (u32 i = 0; i < 3; i++) {
		peer_publish(p, .topic = "some/topic", .payload = big, .expiry_s = 60);
		assert_string_equal(hear(s, &e, &m), "some/topic");
		assert_true(slice_eq(m.payload, slice_str(big)));
		assert_string_equal(hear(plain, &none, &m), "some/topic");
		assert_true(slice_eq(m.payload, slice_str(big)));
	}
	assert_int_equal(e.with, 2);
	world_free(&w);
}

/* Topics come and go: what is said often gets an alias in the end; of ever new ones few do. */
static void test_follows_what_is_said(void **state)
{
	struct world *w = peer_world(1);
	struct ears e;
	struct wconn *s = listener(w, &e, 8, false), *p = peer_connect(w, .user = "b");
	char topic[32];

	peer_subscribe(s, .filter = "#");
	for (u32 phase = 0; phase < 3; phase++) {
		for (u32 i = 0; i < 600; i++) {
			snprintf(topic, sizeof(topic), "phase/%u/%u", phase, i % 8);
			peer_publish(p, .topic = topic);
			if (i == 300)
				e.with = 0;
			expect(s, &e, topic);
		}
		assert_in_range(e.with, 290, 300);
	}
	e.told = 0;
	for (u32 i = 0; i < 1000; i++) {
		snprintf(topic, sizeof(topic), "once/%u", i);
		peer_publish(p, .topic = topic);
		expect(s, &e, topic);
	}
	assert_in_range(e.told, 1, 1000 / 4);
	world_free(&w);
}

/* Anything in any order, against the model. */
static void test_model(void **state)
{
	for (u16 most = 1; most <= 16; most++) {
		struct world *w = peer_world(1);
		struct ears e;
		struct wconn *s = listener(w, &e, most, true), *p = peer_connect(w, .user = "b");
		struct pkt_publish m;
		char topic[32], payload[32];
		u32 with = 0;

		peer_subscribe(s, .filter = "#", .qos = 1);
		for (u32 i = 0; i < 1500; i++) {
			bool qos1 = world_random(w, 2) != 0;
			const char *meant;

			snprintf(topic, sizeof(topic), "t/%08u",
				 (u32)(world_random(w, 40) * world_random(w, 40) / 40));
			snprintf(payload, sizeof(payload), "%s", topic);
			peer_publish(p, .topic = topic, .payload = payload, .qos = qos1,
				     .pid = qos1 ? (u16)(i + 1) : 0);
			meant = hear(s, &e, &m);
			assert_true(slice_eq(m.payload, slice_str(meant)));
			if (qos1 && world_random(w, 4) != 0)
				peer_ack(s, PKT_PUBACK, m.packet_id, 0);
			if (world_random(w, 50) != 0)
				continue;
			with += e.with;
			wconn_drop(s, E_EOF);
			s = listener(w, &e, most, true);
			while (s->out_at != s->out_n) {
				meant = hear(s, &e, &m);
				assert_true(slice_eq(m.payload, slice_str(meant)));
				peer_ack(s, PKT_PUBACK, m.packet_id, 0);
			}
		}
		assert_int_not_equal(with, 0);
		world_free(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told_once),
		cmocka_unit_test(test_limit_of_the_broker),
		cmocka_unit_test(test_end_with_the_connection),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_shared_body),
		cmocka_unit_test(test_follows_what_is_said),
		cmocka_unit_test(test_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
