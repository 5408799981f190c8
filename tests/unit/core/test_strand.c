/* Shared messages that wait on disk: of members that are away, that end, that stall; and whatever
 * dies, none that was acknowledged is lost, and none of QoS 2 is had twice. */
#include <stdlib.h>

#include "members.h"

/* So many messages, "0" and up. */
static void say_many(struct wconn *p, u32 from, u32 to, u8 qos)
{
	for (u32 i = from; i < to; i++) {
		char text[12];
		snprintf(text, sizeof(text), "%u", i);
		say(p, text, qos);
	}
}

/* Reads and acknowledges, for so long that everything that is handed on has arrived; how many of
 * each came. */
static u32 count_all(struct wconn *c, u8 *seen, u32 looks)
{
	struct got g;
	u32 n = 0;

	for (u32 i = 0; i < looks; i++) {
		while (hear(c, &g) != 0) {
			for (u32 k = 0; k < g.n; k++)
				seen[atoi(g.text[k])]++;
			n += g.n;
			ack_all(c, &g);
		}
		world_advance(c->w, LOOK_MS);
	}
	return n;
}

static void all_once(const u8 *seen, u32 n)
{
	for (u32 i = 0; i < n; i++)
		assert_int_equal(seen[i], 1);
}

#define TEST(name)                                                                                 \
	static void name(struct world *w);                                                         \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		for (u32 shards = 1; shards <= 3; shards += 2) {                                   \
			struct world *w = peer_world(shards);                                      \
			name(w);                                                                   \
			world_free(&w);                                                            \
		}                                                                                  \
	}                                                                                          \
	static void name(struct world *w)

enum { MANY = 400 /* more than is read at once */ };

TEST(who_comes_first_gets_it_all)
{
	struct wconn *a = member(w, 0, "a", 1, 0), *b = member(w, 1, "b", 1, 0), *p = publisher(w);
	u8 seen[MANY] = {0};

	wconn_drop(a, E_EOF);
	wconn_drop(b, E_EOF);
	say_many(p, 0, MANY, 1);
	world_advance(w, 2000);
	assert_int_equal(count_all(again(w, 2, "b"), seen, 8), MANY);
	all_once(seen, MANY);
	assert_int_equal(count_all(again(w, 0, "a"), seen, 2), 0);
}

/* Its own subscriptions' messages stay, and stay in order. */
TEST(others_stay)
{
	struct wconn *a = member(w, 0, "a", 1, 0), *b, *p = publisher(w);
	u8 seen[8] = {0};
	struct got g;

	peer_subscribe(a, .filter = "own", .qos = 1, .id = 7);
	wconn_drop(a, E_EOF);
	for (u16 i = 0; i < 4; i++) {
		char text[2] = {(char)('0' + i), 0};
		peer_publish(p, .topic = "own", .payload = text, .qos = 1, .pid = i + 100);
		say_many(p, i, i + 1u, 1);
	}
	b = member(w, 1, "b", 1, 0);
	assert_int_equal(count_all(b, seen, 4), 4);
	a = again(w, 0, "a");
	assert_int_equal(hear(a, &g), 4);
	for (u32 i = 0; i < 4; i++)
		assert_int_equal(atoi(g.text[i]), i);
}

/* Nobody is here, and the session of one ends: the other's queue has it all. */
static void ends(struct world *w, void (*end)(struct world *w))
{
	struct wconn *a = member(w, 0, "a", 1, 0), *b, *p;
	u8 seen[MANY] = {0};
	u64 sessions;

	b = peer_connect_on(w, 1,
			    &(struct peer_opts){.user = "c",
						.id = "b",
						.version = MQTT_5,
						.expiry_s = 100000,
						.persistent = true});
	p = publisher(w);
	wconn_drop(a, E_EOF);
	say_many(p, 0, MANY, 1); /* all of it is a's */
	peer_subscribe(b, .filter = "$share/g/t/#", .qos = 1, .id = 7);
	wconn_drop(b, E_EOF);
	peer_disconnect(p, 0);
	sessions = world_stats(w).sessions;
	end(w);
	world_run(w);
	assert_int_equal(world_stats(w).sessions, sessions - 1);
	assert_int_equal(world_stats(w).dropped, 0);
	b = peer_connect_on(
		w, 2,
		&(struct peer_opts){.user = "c", .id = "b", .version = MQTT_5, .persistent = true});
	assert_int_equal(count_all(b, seen, 8), MANY);
	all_once(seen, MANY);
}

static void expires(struct world *w)
{
	world_advance(w, 3600 * 1000);
}
TEST(the_session_expires)
{
	ends(w, expires);
}

/* The new session is there at once, though the old one has not gone quite. */
static void starts_clean(struct world *w)
{
	struct wconn *c = world_connect(w, 0);
	struct pkt_connack ack;

	peer_say_connect(c, &(struct peer_opts){.user = "a", .id = "a", .version = MQTT_5});
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0);
	assert_false(ack.session_present);
	peer_disconnect(c, 0);
}
TEST(the_session_starts_clean)
{
	ends(w, starts_clean);
}

static void is_revoked(struct world *w)
{
	w->identity[0].status = 0;
	world_identity_changed(w, &w->identity[0]);
}
TEST(the_identity_is_revoked)
{
	ends(w, is_revoked);
}

/* What is far behind the window of one that never acknowledges is read and handed on, too. */
TEST(a_long_queue_of_a_stalled_member)
{
	struct wconn *a = member(w, 0, "a", 1, 2), *b, *p = publisher(w);
	u8 seen[MANY] = {0};
	struct got g;

	say_many(p, 0, MANY, 1);
	assert_int_equal(hear(a, &g), 2);
	b = member(w, 1, "b", 1, 0);
	assert_int_equal(count_all(b, seen, 40), MANY - 2);
	assert_int_equal(hear(a, &g), 0);
}

/* ---- everything dies -------------------------------------------------------------------- */

TEST(what_waited_over_a_crash)
{
	struct wconn *a = member(w, 0, "a", 1, 0), *p = publisher(w);
	u8 seen[MANY] = {0};

	wconn_drop(a, E_EOF);
	say_many(p, 0, MANY, 1);
	world_crash(w, w->n);
	assert_int_equal(count_all(member(w, 1, "b", 1, 0), seen, 8), MANY);
	all_once(seen, MANY);
	assert_int_equal(count_all(again(w, 0, "a"), seen, 2), 0);
}

/* Hand on some, die at any point, go on: QoS 1 comes at least once, QoS 2 that was never sent
 * exactly once. */
static void dies_while_handing_on(u32 shards, u32 steps, u8 qos)
{
	struct world *w = peer_world(shards);
	struct wconn *a = member(w, 0, "a", qos, 0), *b, *p = publisher(w);
	u32 n = 0, more[60] = {0};
	struct got g;

	wconn_drop(a, E_EOF);
	say_many(p, 0, 60, qos);
	b = member(w, 1, "b", qos, 0);
	w->hold_store = w->hold_told = w->hold_posts = true;
	world_advance(w, LOOK_MS);
	for (u32 i = 0; i < steps; i++) {
		u32 what = (u32)world_random(w, 4), shard = (u32)world_random(w, w->n);
		if (what == 0)
			world_turn_end(w, shard);
		else if (what == 1)
			world_commit(w);
		else if (what == 2)
			world_tell(w, shard);
		else
			world_some(w);
	}
	world_crash(w, shards);
	w->hold_store = w->hold_told = w->hold_posts = false;
	/* b's own are in its session, those that were not handed on in a's. */
	for (u32 k = 0; k < 2; k++) {
		b = again(w, k, k == 0 ? "b" : "a");
		for (u32 i = 0; i < 8; i++) {
			for (hear(b, &g); g.n != 0; hear(b, &g)) {
				for (u32 m = 0; m < g.n; m++) {
					more[atoi(g.text[m])]++;
					n++;
					if (qos == 1) {
						peer_ack(b, PKT_PUBACK, g.pid[m], 0);
						continue;
					}
					peer_ack(b, PKT_PUBREC, g.pid[m], 0);
					peer_ack(b, PKT_PUBCOMP, g.pid[m], 0);
				}
			}
			world_advance(w, LOOK_MS);
		}
	}
	for (u32 i = 0; i < 60; i++)
		assert_in_range(more[i], 1, qos == 1 ? 2 : 1);
	assert_true(n >= 60);
	world_free(&w);
}

static void test_dies_while_handing_on(void **state)
{
	for (u32 steps = 0; steps < 60; steps++) {
		for (u8 qos = 1; qos <= 2; qos++) {
			dies_while_handing_on(1, steps, qos);
			dies_while_handing_on(3, steps, qos);
		}
	}
}

/* The same with a session that ends, and lingers: it has ended, whatever is left of it. */
static void dies_while_lingering(u32 steps)
{
	struct world *w = peer_world(3);
	struct wconn *a = member(w, 0, "a", 1, 0), *b, *p = publisher(w), *c;
	struct pkt_connack ack;
	u8 seen[60] = {0};

	wconn_drop(a, E_EOF);
	say_many(p, 0, 60, 1);
	b = peer_connect_on(w, 1,
			    &(struct peer_opts){.user = "a",
						.id = "b",
						.version = MQTT_5,
						.expiry_s = 100000,
						.persistent = true});
	peer_subscribe(b, .filter = "$share/g/t/#", .qos = 1, .id = 7);
	wconn_drop(b, E_EOF);
	c = world_connect(w, 0);
	peer_say_connect(c, &(struct peer_opts){.user = "a", .id = "a", .version = MQTT_5});
	w->hold_store = w->hold_told = true;
	world_run(w);
	for (u32 i = 0; i < steps; i++) {
		u32 what = (u32)world_random(w, 4), shard = (u32)world_random(w, w->n);
		if (what == 0)
			world_turn_end(w, shard);
		else if (what == 1)
			world_commit(w);
		else if (what == 2)
			world_tell(w, shard);
		else
			world_run(w);
	}
	/* Who was told that there is nothing left of the old session finds nothing later either. */
	bool told = peer_connack(c, &ack) == 0 && !ack.session_present;
	world_crash(w, 3);
	w->hold_store = w->hold_told = false;
	world_run(w);
	world_advance(w, 1000);
	if (told)
		assert_int_equal(world_stats(w).sessions, 1);
	b = again(w, 0, "b");
	count_all(b, seen, 8);
	if (!told && world_stats(w).sessions == 2)
		count_all(again(w, 0, "a"), seen, 4);
	for (u32 i = 0; i < 60; i++)
		assert_in_range(seen[i], 1, 2);
	world_free(&w);
}

static void test_dies_while_lingering(void **state)
{
	for (u32 steps = 0; steps < 120; steps++)
		dies_while_lingering(steps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_comes_first_gets_it_all),
		cmocka_unit_test(test_others_stay),
		cmocka_unit_test(test_the_session_expires),
		cmocka_unit_test(test_the_session_starts_clean),
		cmocka_unit_test(test_the_identity_is_revoked),
		cmocka_unit_test(test_a_long_queue_of_a_stalled_member),
		cmocka_unit_test(test_what_waited_over_a_crash),
		cmocka_unit_test(test_dies_while_handing_on),
		cmocka_unit_test(test_dies_while_lingering),
	};

	setenv("PICKET_WORLD_STORE", "1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
