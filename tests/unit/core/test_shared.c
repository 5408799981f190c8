/* Shared subscriptions: who gets a message, and what becomes of it when that one goes or stalls.
 * Everything runs on one shard and on three. */
#include "core/hub.h"
#include "members.h"

#define ON_SHARDS(body)                                                                            \
	for (u32 shards = 1; shards <= 3; shards += 2) {                                           \
		struct world *w = peer_world(shards);                                              \
		body(w);                                                                           \
		world_free(&w);                                                                    \
	}
#define TEST(name)                                                                                 \
	static void name(struct world *w);                                                         \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		ON_SHARDS(name)                                                                    \
	}                                                                                          \
	static void name(struct world *w)

/* ---- who is chosen ----------------------------------------------------------------------- */

/* Forty members with sessions are away, and one is here: it gets all, wherever it stands. */
TEST(who_is_away_is_not_chosen)
{
	struct wconn *here, *p = publisher(w);
	struct got g;
	char id[16];

	w->listener.device.connections_identity = w->listener.service.connections_identity = 100;
	hub_set_listeners(w->hub, &w->listener, 1, true);
	for (u32 i = 0; i < 40; i++) {
		snprintf(id, sizeof(id), "m%u", i);
		here = member(w, i, id, 1, 0);
		if (i != 20)
			wconn_drop(here, E_EOF);
		if (i == 20)
			p->user = here;
	}
	here = p->user;
	for (u32 i = 0; i < 50; i++) {
		say(p, "x", i % 2 != 0);
		assert_int_equal(hear(here, &g), 1);
		if (i % 2 != 0)
			ack_all(here, &g);
	}
}

TEST(who_has_a_full_window_is_not_chosen)
{
	struct wconn *a = member(w, 0, "a", 1, 2), *b = member(w, 1, "b", 1, 0), *p = publisher(w);
	struct got g, h;

	for (u32 i = 0; i < 20; i++)
		say(p, "x", 1);
	assert_int_equal(hear(a, &g), 2);
	assert_int_equal(hear(b, &h), 18);
	/* With QoS 0 no window is needed. */
	for (u32 i = 0; i < 4; i++)
		say(p, "x", 0);
	assert_int_equal(hear(a, &g), 2);
	assert_int_equal(hear(b, &h), 2);
}

TEST(who_reads_nothing_is_not_chosen)
{
	struct wconn *a = member(w, 0, "a", 0, 0), *b = member(w, 1, "b", 0, 0), *p = publisher(w);
	static char big[3000];
	u64 n = 0;
	struct got g;

	memset(big, 'z', sizeof(big) - 1);
	a->blocked = true;
	for (u32 i = 0; i < 400; i++) {
		peer_publish(p, .topic = "t", .payload = big);
		n += hear(b, &g);
	}
	assert_int_equal(world_stats(w).dropped, 0);
	assert_in_range(n, 300, 320); /* 256 KiB took the others */
}

/* SPEC MQTT-3.1.2-25: another member may take it. */
TEST(too_large_for_one)
{
	struct wconn *a, *b = member(w, 1, "b", 1, 0), *p = publisher(w);
	struct got g;

	a = peer_connect(w, .user = "a", .id = "a", .version = MQTT_5, .max_packet = 128);
	peer_subscribe(a, .filter = "$share/g/t/#", .qos = 1, .id = 7);
	for (u32 i = 0; i < 6; i++) {
		char text[301];
		memset(text, 'y', 300);
		text[300] = 0;
		say(p, text, 1);
	}
	assert_int_equal(hear(a, &g), 0);
	assert_int_equal(hear(b, &g), 6);
	assert_int_equal(world_stats(w).dropped, 0);
	ack_all(b, &g);
	peer_disconnect(b, 0);
	say(p,
	    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
	    "56789012345678901234567890123456789",
	    0);
	assert_int_equal(world_stats(w).dropped, 1); /* nobody at all */
	assert_int_equal(w->last_why[EV_DROPPED], E_QUOTA);
}

/* ---- strategies -------------------------------------------------------------------------- */

TEST(sticky)
{
	struct wconn *m[3], *p = publisher(w);
	u32 had = 3;
	struct got g;

	hub_set_shared(w->hub, SHARED_STICKY);
	m[0] = member(w, 0, "0", 1, 0);
	m[1] = member(w, 1, "1", 1, 0);
	m[2] = member(w, 2, "2", 1, 0);
	for (u32 round = 0; round < 3; round++) {
		for (u32 i = 0; i < 10; i++)
			say(p, "x", 1);
		for (u32 i = 0; i < 3; i++) {
			if (m[i]->cl == NULL || hear(m[i], &g) == 0)
				continue;
			assert_int_equal(g.n, 10);
			assert_int_not_equal(had, i);
			ack_all(m[i], &g);
			had = i;
		}
		assert_in_range(had, 0, 2);
		peer_disconnect(m[had], 0);
	}
}

static u32 who_has(struct wconn **m, u32 n)
{
	struct got g;

	for (u32 i = 0; i < n; i++) {
		if (m[i]->cl != NULL && hear(m[i], &g) != 0) {
			ack_all(m[i], &g);
			return i;
		}
	}
	return n;
}

TEST(hash_of_the_topic)
{
	struct wconn *m[4], *p = publisher(w);
	u32 owner[40], load[4] = {0}, moved = 0;
	char topic[16];

	hub_set_shared(w->hub, SHARED_HASH_TOPIC);
	for (u32 i = 0; i < 4; i++) {
		char id[2] = {(char)('0' + i), 0};
		m[i] = member(w, i, id, 1, 0);
	}
	for (u32 k = 0; k < 120; k++) {
		u32 who;
		snprintf(topic, sizeof(topic), "t/%u", k % 40);
		peer_publish(p, .topic = topic, .qos = 1, .pid = (u16)(k + 1));
		who = who_has(m, 4);
		assert_in_range(who, 0, 3);
		if (k < 40)
			owner[k] = who;
		assert_int_equal(owner[k % 40], who);
		load[who]++;
	}
	for (u32 i = 0; i < 4; i++)
		assert_in_range(load[i], 9, 60);
	/* One goes: its topics find others, and only these move. */
	peer_disconnect(m[2], 0);
	for (u32 k = 0; k < 40; k++) {
		u32 who;
		snprintf(topic, sizeof(topic), "t/%u", k);
		peer_publish(p, .topic = topic, .qos = 1, .pid = (u16)(k + 200));
		who = who_has(m, 4);
		assert_int_not_equal(who, 2);
		moved += who != owner[k];
		if (owner[k] != 2)
			assert_int_equal(who, owner[k]);
	}
	assert_int_equal(moved, load[2] / 3);
}

/* A full window is no reason to leave: the topic waits for its member. */
TEST(hash_waits_for_a_busy_member)
{
	struct wconn *m[2], *p = publisher(w);
	struct got g;
	u32 who;

	hub_set_shared(w->hub, SHARED_HASH_TOPIC);
	m[0] = member(w, 0, "0", 1, 1);
	m[1] = member(w, 1, "1", 1, 1);
	say(p, "1", 1);
	who = m[0]->out_n - m[0]->out_at > 0 ? 0 : 1;
	say(p, "2", 1);
	say(p, "3", 1);
	world_advance(w, 4 * LOOK_MS);
	assert_int_equal(hear(m[1 - who], &g), 0);
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(hear(m[who], &g), 1);
		ack_all(m[who], &g);
	}
}

TEST(least_loaded)
{
	struct wconn *a = member(w, 0, "a", 1, 0), *b = member(w, 1, "b", 1, 0), *p = publisher(w);
	struct got g, h;
	u32 na = 0, nb = 0;

	hub_set_shared(w->hub, SHARED_LEAST_LOADED);
	for (u32 i = 0; i < 10; i++)
		say(p, "x", 1);
	na = hear(a, &g);
	nb = hear(b, &h);
	assert_int_equal(na, 5);
	assert_int_equal(nb, 5);
	ack_all(b, &h);
	/* b has nothing to do, a has five. */
	for (u32 i = 0; i < 5; i++)
		say(p, "x", 1);
	assert_int_equal(hear(a, &g), 0);
	assert_int_equal(hear(b, &h), 5);
}

/* ---- who dies ---------------------------------------------------------------------------- */

TEST(unacknowledged_qos_1_goes_to_another)
{
	struct wconn *a = member(w, 0, "a", 1, 0), *b = member(w, 1, "b", 1, 0), *p = publisher(w);
	struct got g, h;

	for (u32 i = 0; i < 4; i++) {
		char text[2] = {(char)('0' + i), 0};
		say(p, text, 1);
	}
	assert_int_equal(hear(a, &g), 2);
	assert_int_equal(hear(b, &h), 2);
	ack_all(b, &h);
	peer_ack(a, PKT_PUBACK, g.pid[0], 0);
	wconn_drop(a, E_EOF);
	world_advance(w, LOOK_MS);
	assert_int_equal(hear(b, &h), 1);
	assert_string_equal(h.text[0], g.text[1]);
	ack_all(b, &h);
	a = again(w, 2, "a");
	assert_int_equal(hear(a, &g), 0); /* not a second time */
}

/* Who comes back at once finds its own. */
TEST(qos_1_stays_with_who_comes_back)
{
	struct wconn *a = member(w, 0, "a", 1, 0), *b = member(w, 1, "b", 1, 0), *p = publisher(w);
	struct got g, h;

	say(p, "1", 1);
	say(p, "2", 1);
	assert_int_equal(hear(a, &g), 1);
	assert_int_equal(hear(b, &h), 1);
	wconn_drop(a, E_EOF);
	world_advance(w, LOOK_MS / 2);
	a = again(w, 2, "a");
	world_advance(w, 4 * LOOK_MS);
	assert_int_equal(hear(b, &h), 0);
	assert_int_equal(hear(a, &h), 1);
	assert_string_equal(h.text[0], g.text[0]);
}

/* SPEC MQTT-4.8.2-4, -5: what was sent at QoS 2 stays, whether it was received or not; what only
 * waited goes. */
TEST(qos_2_stays_once_it_was_sent)
{
	struct wconn *a = member(w, 0, "a", 2, 2), *b, *p = publisher(w);
	struct got g;
	u16 received;

	for (u32 i = 0; i < 4; i++) {
		char text[2] = {(char)('0' + i), 0};
		say(p, text, 2);
	}
	assert_int_equal(hear(a, &g), 2);
	received = g.pid[0];
	peer_ack(a, PKT_PUBREC, received, 0);
	assert_int_equal(peer_expect_ack(a, PKT_PUBREL, received), 0);
	b = member(w, 1, "b", 2, 0);
	wconn_drop(a, E_EOF);
	world_advance(w, LOOK_MS);
	assert_int_equal(hear(b, &g), 2);
	assert_true(has(&g, "2") && has(&g, "3"));
	a = again(w, 2, "a");
	assert_int_equal(peer_expect_ack(a, PKT_PUBREL, received), 0);
	assert_true(peer_message(a, "t/1", "1").dup);
	peer_expect_nothing(a);
	wconn_drop(a, E_EOF);
	world_advance(w, 3600 * 1000);
	assert_int_equal(hear(b, &g), 0); /* its session has ended */
}

/* When the session ends, at once; also when nobody else is here. */
TEST(what_a_session_leaves)
{
	struct wconn *a, *b = member(w, 1, "b", 1, 0), *p = publisher(w);
	struct got g;

	wconn_drop(b, E_EOF);
	a = peer_connect(w, .user = "a", .id = "a", .version = MQTT_5, .receive_max = 2);
	peer_subscribe(a, .filter = "$share/g/t/#", .qos = 2, .id = 7);
	for (u32 i = 0; i < 3; i++) {
		char text[2] = {(char)('0' + i), 0};
		say(p, text, i == 0 ? 2 : 1);
	}
	assert_int_equal(hear(a, &g), 2);
	wconn_drop(a, E_EOF); /* a clean session */
	world_run(w);
	b = again(w, 2, "b");
	assert_int_equal(hear(b, &g), 2);
	assert_true(has(&g, "1") && has(&g, "2"));
	assert_int_equal(world_stats(w).dropped, 0);
}

/* ---- who stalls -------------------------------------------------------------------------- */

/* All are busy, then one acknowledges and the other does not: what waits at the latter moves. */
TEST(a_stalled_member_hands_on_what_waits)
{
	struct wconn *a = member(w, 0, "a", 1, 2), *b = member(w, 1, "b", 1, 2), *p = publisher(w);
	struct got g, h;
	u32 n = 0;

	for (u32 i = 0; i < 20; i++)
		say(p, "x", 1);
	assert_int_equal(hear(a, &g), 2);
	for (u32 i = 0; i < 100 && n < 18; i++) {
		n += hear(b, &h);
		ack_all(b, &h);
		if (h.n == 0)
			world_advance(w, LOOK_MS);
	}
	assert_int_equal(n, 18);
	assert_int_equal(hear(a, &g), 0);
}

/* Everybody is away, and all waits; the first who comes gets everything. */
TEST(who_comes_gets_what_waits_for_others)
{
	struct wconn *m[3], *p = publisher(w);
	struct got g;
	u32 n = 0;

	for (u32 i = 0; i < 3; i++) {
		char id[2] = {(char)('a' + i), 0};
		m[i] = member(w, i, id, 1, 0);
		wconn_drop(m[i], E_EOF);
	}
	for (u32 i = 0; i < 30; i++)
		say(p, "x", 1);
	/* They are looked at while there is hope, and then left alone. */
	world_advance(w, 2000);
	for (u32 i = 0; i < w->n; i++)
		assert_in_range(core_next(w->core[i]), w->now_ms + 2000, UINT64_MAX);
	m[0] = again(w, 1, "a");
	for (u32 i = 0; i < 8; i++) {
		n += hear(m[0], &g);
		ack_all(m[0], &g);
		world_advance(w, LOOK_MS);
	}
	assert_int_equal(n, 30);
	peer_disconnect(m[0], 0);
	assert_int_equal(hear(again(w, 0, "b"), &g), 0);
	assert_int_equal(hear(again(w, 0, "c"), &g), 0);
}

TEST(who_unsubscribes_leaves_it_to_others)
{
	static const u8 unsub[] = {0xa2, 17,  0,   9,	0,   0,	  12,  '$', 's', 'h',
				   'a',	 'r', 'e', '/', 'g', '/', 't', '/', '#'};
	struct wconn *a = member(w, 0, "a", 1, 1), *b, *p = publisher(w);
	struct got g, h;

	for (u32 i = 0; i < 3; i++)
		say(p, "x", 1);
	assert_int_equal(hear(a, &g), 1);
	b = member(w, 1, "b", 1, 0);
	wconn_send(a, slice_of(unsub, sizeof(unsub)));
	world_run(w);
	assert_int_equal(hear(b, &h), 2);
	ack_all(a, &g);
	assert_int_equal(hear(a, &g), 0);
}

/* Nobody else: what waits is its own, and stays its own when the number means something else. */
TEST(the_last_one_keeps_what_it_unsubscribes)
{
	static const u8 unsub[] = {0xa2, 17,  0,   9,	0,   0,	  12,  '$', 's', 'h',
				   'a',	 'r', 'e', '/', 'g', '/', 't', '/', '#'};
	struct wconn *a = member(w, 0, "a", 1, 1), *b, *p = publisher(w);
	struct got g, h;

	for (u32 i = 0; i < 3; i++)
		say(p, "x", 1);
	assert_int_equal(hear(a, &g), 1);
	wconn_send(a, slice_of(unsub, sizeof(unsub)));
	world_run(w);
	assert_int_equal(hear(a, &h), 0);
	peer_subscribe(a, .filter = "$share/g/t/#", .qos = 1, .id = 7);
	b = member(w, 1, "b", 1, 0);
	world_advance(w, 4 * LOOK_MS);
	assert_int_equal(hear(b, &h), 0);
	for (u32 i = 0; i < 2; i++) {
		ack_all(a, &g);
		assert_int_equal(hear(a, &g), 1);
	}
}

/* A right that is withdrawn from one is no reason for the others to miss a message (I11). */
TEST(what_one_may_not_have_any_more)
{
	struct wconn *a = member(w, 0, "a", 1, 1), *b, *p = publisher(w);
	struct got g;

	for (u32 i = 0; i < 3; i++)
		say(p, "x", 1);
	assert_int_equal(hear(a, &g), 1);
	b = peer_connect_on(w, 1, &(struct peer_opts){.user = "c", .version = MQTT_5});
	peer_subscribe(b, .filter = "$share/g/t/#", .qos = 1, .id = 7);
	world_policy(w, "role all { publish # ; subscribe # }\nrole not { }\n");
	w->identity[0].roles[0] = 2;
	world_identity_changed(w, &w->identity[0]);
	world_run(w);
	assert_int_equal(hear(b, &g), 2);
	assert_int_equal(hear(a, &g), 0);
	say(p, "x", 1);
	assert_int_equal(hear(b, &g), 1);
}

TEST(what_has_expired_is_not_handed_on)
{
	struct wconn *a = member(w, 0, "a", 1, 1), *b, *p = publisher(w);
	struct got g;

	say(p, "1", 1);
	peer_publish(p, .topic = "t", .payload = "2", .qos = 1, .pid = 9, .expiry_s = 1);
	peer_publish(p, .topic = "t", .payload = "3", .qos = 1, .pid = 10, .expiry_s = 60);
	wconn_drop(a, E_EOF);
	world_advance(w, 1500);
	b = member(w, 1, "b", 1, 0);
	world_advance(w, LOOK_MS);
	assert_int_equal(hear(b, &g), 2);
	assert_true(has(&g, "1") && has(&g, "3"));
}

/* A session's own subscription to the same topic is another thing: two messages, each with its own
 * identifier. */
TEST(shared_beside_plain)
{
	struct wconn *a = member(w, 0, "a", 1, 0), *p = publisher(w);
	u32 ids[2];

	peer_subscribe(a, .filter = "t/1", .qos = 1, .id = 9);
	say(p, "x", 1);
	for (u32 i = 0; i < 2; i++)
		ids[i] = peer_message(a, "t/1", "x").props.subscription_id;
	assert_int_equal(ids[0] + ids[1], 16);
	peer_expect_nothing(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_away_is_not_chosen),
		cmocka_unit_test(test_who_has_a_full_window_is_not_chosen),
		cmocka_unit_test(test_who_reads_nothing_is_not_chosen),
		cmocka_unit_test(test_too_large_for_one),
		cmocka_unit_test(test_sticky),
		cmocka_unit_test(test_hash_of_the_topic),
		cmocka_unit_test(test_hash_waits_for_a_busy_member),
		cmocka_unit_test(test_least_loaded),
		cmocka_unit_test(test_unacknowledged_qos_1_goes_to_another),
		cmocka_unit_test(test_qos_1_stays_with_who_comes_back),
		cmocka_unit_test(test_qos_2_stays_once_it_was_sent),
		cmocka_unit_test(test_what_a_session_leaves),
		cmocka_unit_test(test_a_stalled_member_hands_on_what_waits),
		cmocka_unit_test(test_who_comes_gets_what_waits_for_others),
		cmocka_unit_test(test_who_unsubscribes_leaves_it_to_others),
		cmocka_unit_test(test_the_last_one_keeps_what_it_unsubscribes),
		cmocka_unit_test(test_what_one_may_not_have_any_more),
		cmocka_unit_test(test_what_has_expired_is_not_handed_on),
		cmocka_unit_test(test_shared_beside_plain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
