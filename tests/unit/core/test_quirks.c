/* Quirks: each is counted when it is shown, and only then; nothing is punished for one. */
#include "core/impl.h"
#include "peer.h"

struct seen {
	const char *id;
	u32 quirks;
	u16 count[QUIRK_N];
	bool found;
};

static bool look(void *arg, const struct client_info *i)
{
	struct seen *s = arg;

	if (!slice_eq(i->client_id, slice_str(s->id)))
		return true;
	s->found = true;
	s->quirks = i->quirks;
	memcpy(s->count, i->quirk, sizeof(s->count));
	return false;
}

static struct seen seen(struct world *w, const char *id)
{
	struct seen s = {.id = id};

	for (u32 i = 0; i < w->n && !s.found; i++)
		core_each(w->core[i], look, &s);
	assert_true(s.found);
	return s;
}

/* This session has shown exactly these, each once at most; the connection is alive. */
static void shows(struct wconn *c, const char *id, u32 wanted)
{
	struct seen s = seen(c->w, id);

	assert_int_equal(s.quirks, wanted);
	for (u32 q = 0; q < QUIRK_N; q++)
		assert_int_equal(s.count[q], wanted >> q & 1);
	assert_false(peer_gone(c));
}
#define ONE(name) (1u << QUIRK_##name)

static void say(struct wconn *c, const char *bytes, size_t n)
{
	wconn_send(c, slice_of((const u8 *)bytes, n));
	world_run(c->w);
}
#define SAY(c, bytes) say(c, bytes, sizeof(bytes) - 1)

static struct wconn *client(struct world *w, u8 version)
{
	return peer_connect(w, .user = "a", .version = version, .keep_alive_s = 60);
}

/* Everything that a good client does, and no quirk; so it costs nothing. */
static void test_none(void **state)
{
	for (u8 v = MQTT_311; v <= MQTT_5; v++) {
		struct world *w = peer_world(1);
		struct wconn *c = client(w, v);
		struct pkt_publish m;
		struct slice body;
		struct frame f;

		peer_subscribe(c, .filter = "t", .qos = 2);
		for (u16 i = 1; i <= 3; i++) {
			peer_publish(c, .topic = "t", .qos = 2, .pid = i);
			m = peer_message(c, "t", "x");
			assert_int_equal(peer_expect_ack(c, PKT_PUBREC, i), 0);
			peer_publish(c, .topic = "t", .qos = 2, .pid = i, .dup = true);
			assert_int_equal(peer_expect_ack(c, PKT_PUBREC, i), 0);
			peer_ack(c, PKT_PUBREL, i, 0);
			assert_int_equal(peer_expect_ack(c, PKT_PUBCOMP, i), 0);
			peer_ack(c, PKT_PUBREC, m.packet_id, 0);
			assert_int_equal(peer_expect_ack(c, PKT_PUBREL, m.packet_id), 0);
			peer_ack(c, PKT_PUBCOMP, m.packet_id, 0);
			world_advance(w, 30000);
			SAY(c, "\xc0\x00");
			assert_true(wconn_next(c, &f, &body));
			world_advance(w, 30000);
		}
		shows(c, "a", 0);
		assert_null(atomic_load(&c->cl->session->who->pr->quirks));
		peer_disconnect(c, 0);
		world_free(&w);
	}
}

static void test_connect(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c;

	shows(client(w, MQTT_31), "a", ONE(protocol_31));
	c = peer_connect(w, .user = "b");
	shows(c, "b", ONE(keep_alive_zero));
	/* It is told what to keep. */
	c = peer_connect(w, .user = "c", .version = MQTT_5);
	shows(c, "c", 0);
	peer_connect(w, .user = "b");
	assert_true(seen(w, "b").quirks & ONE(reconnect_open));
	world_free(&w);
}

static void test_empty_client_id(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = peer_connect(w, .user = "a", .id = "", .keep_alive_s = 60);

	assert_int_equal(c->cl->session->quirks, ONE(client_id_empty));
	c = peer_connect(w, .user = "b", .id = "", .keep_alive_s = 60, .version = MQTT_5);
	assert_int_equal(c->cl->session->quirks, 0);
	world_free(&w);
}

static void test_keep_alive(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = client(w, MQTT_311);

	world_advance(w, 60000);
	SAY(c, "\xc0\x00");
	shows(c, "a", 0);
	world_advance(w, 61000);
	SAY(c, "\xc0\x00");
	shows(c, "a", ONE(keep_alive_late));
	world_advance(w, 6000);
	SAY(c, "\xc0\x00");
	shows(c, "a", ONE(keep_alive_late));
	world_advance(w, 3000);
	SAY(c, "\xc0\x00");
	shows(c, "a", ONE(keep_alive_late) | ONE(ping_often));
	world_free(&w);
}

static void test_dup(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = client(w, MQTT_5);

	peer_publish(c, .topic = "t", .qos = 2, .pid = 1);
	peer_publish(c, .topic = "t", .qos = 2, .pid = 1);
	shows(c, "a", ONE(dup_missing));
	peer_publish(c, .topic = "t", .qos = 1, .pid = 2, .dup = true);
	shows(c, "a", ONE(dup_missing) | ONE(dup_new));
	/* In a session that goes on, that is what DUP is for. */
	c = peer_connect(w, .user = "b", .version = MQTT_5, .persistent = true, .keep_alive_s = 60);
	peer_disconnect(c, 0);
	c = peer_connect(w, .user = "b", .version = MQTT_5, .persistent = true, .keep_alive_s = 60);
	peer_publish(c, .topic = "t", .qos = 1, .pid = 1, .dup = true);
	shows(c, "b", 0);
	world_free(&w);
}

static void test_unknown(void **state)
{
	static const u8 unsub[] = {0xa2, 5, 0, 9, 0, 1, 't'};
	struct world *w = peer_world(1);
	struct wconn *c = client(w, MQTT_311);

	peer_ack(c, PKT_PUBACK, 77, 0);
	shows(c, "a", ONE(ack_unknown));
	peer_ack(c, PKT_PUBREC, 77, 0);
	peer_ack(c, PKT_PUBCOMP, 77, 0);
	assert_int_equal(seen(w, "a").count[QUIRK_ack_unknown], 3);
	c = peer_connect(w, .user = "b", .keep_alive_s = 60);
	peer_ack(c, PKT_PUBREL, 77, 0);
	shows(c, "b", ONE(release_unknown));
	c = peer_connect(w, .user = "c", .keep_alive_s = 60);
	wconn_send(c, slice_of(unsub, sizeof(unsub)));
	world_run(w);
	shows(c, "c", ONE(unsubscribe_unknown));
	world_free(&w);
}

static void test_window(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = client(w, MQTT_311);

	for (u16 i = 1; i <= 64; i++)
		peer_publish(c, .topic = "t", .qos = 2, .pid = i);
	shows(c, "a", 0);
	peer_publish(c, .topic = "t", .qos = 2, .pid = 65);
	shows(c, "a", ONE(window_large));
	world_free(&w);
}

static void test_length(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = client(w, MQTT_311);

	SAY(c, "\x30\x84\x00\x00\x01tx");
	shows(c, "a", ONE(length_padded));
	SAY(c, "\x30\x04\x00\x01tx");
	shows(c, "a", ONE(length_padded));
	world_free(&w);
}

/* A device that connects anew each time is still the same identity; another session of it shows
 * its own. */
static void test_counted_for_the_identity(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *c;

	for (u32 i = 0; i < 5; i++) {
		c = client(w, MQTT_311);
		assert_int_equal(seen(w, "a").count[QUIRK_no_disconnect], i);
		assert_int_equal(seen(w, "a").quirks, 0);
		wconn_drop(c, E_EOF);
	}
	c = client(w, MQTT_311);
	peer_disconnect(c, 0);
	c = client(w, MQTT_311);
	wconn_drop(c, E_IO); /* the network, not the client */
	c = client(w, MQTT_311);
	assert_int_equal(seen(w, "a").count[QUIRK_no_disconnect], 5);
	c = peer_connect_on(w, 1,
			    &(struct peer_opts){.user = "a", .id = "other", .keep_alive_s = 60});
	peer_ack(c, PKT_PUBACK, 1, 0);
	assert_int_equal(seen(w, "other").quirks, ONE(ack_unknown));
	assert_int_equal(seen(w, "a").quirks, 0);
	assert_int_equal(seen(w, "a").count[QUIRK_ack_unknown], 1);
	world_free(&w);
}

static void test_full(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = client(w, MQTT_311);

	for (u32 i = 0; i < 65540; i++)
		quirk(c->cl->session, QUIRK_dup_new);
	assert_int_equal(seen(w, "a").count[QUIRK_dup_new], 65535);
	world_free(&w);
}

static void test_names(void **state)
{
	for (u32 q = 0; q < QUIRK_N; q++) {
		assert_int_equal(quirk_find(quirk_name((enum quirk)q)), q);
		assert_true(strlen(quirk_text((enum quirk)q)) > 10);
	}
	assert_int_equal(quirk_find("nothing"), QUIRK_N);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_empty_client_id),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_dup),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_counted_for_the_identity),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
