/* What only happens where things meet: a shutdown and a login, a walk and a writer, a full queue
 * and the clock, a change of rights and an output that stands still, two shards' clocks. */
#include <stdlib.h>

#include "core/impl.h"
#include "peer.h"

static void test_answer_after_shutdown(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = world_connect(w, 0);

	w->hold_logins = true;
	peer_say_connect(c, &(struct peer_opts){.user = "a"});
	world_run(w);
	core_shutdown(w->core[0]);
	w->hold_logins = false;
	world_run(w); /* the answer comes before the connection is gone */
	assert_true(peer_gone(c));
	assert_int_equal(world_stats(w).sessions, 0);
	world_free(&w);
}

/* ---- a walk while the table that it is in grows ---------------------------------------- */

enum { SEEN_MAX = 64 };
struct walker {
	struct world *w;
	struct who *author;
	u32 seen[SEEN_MAX], made;
};

static void retain(struct walker *k, u32 i)
{
	char text[16];
	struct msg view = {.magic = MSG_MAGIC, .payload = SLICE_LIT("x"), .retain = true};
	struct msg *m = &view, *kept;
	struct topic t;

	snprintf(text, sizeof(text), "r/%u", i);
	assert_int_equal(topic_parse(slice_str(text), &t), E_OK);
	view.topic = t.s;
	kept = msg_keep(&m);
	assert_non_null(kept);
	assert_int_equal(retained_set(&k->w->hub->retained, &t, kept, k->author, UINT32_MAX, NULL),
			 E_OK);
	msg_unref(&kept);
	msg_unref(&m);
}

static bool walker_saw(void *arg, const struct retained *e)
{
	struct walker *k = arg;
	u32 i = (u32)strtoul((const char *)e->m->topic.p + 2, NULL, 10);

	assert_true(i < SEEN_MAX);
	k->seen[i]++;
	/* Another shard retains meanwhile, and the table is made anew. */
	for (u32 n = 0; n < 2 && k->made < SEEN_MAX; n++)
		retain(k, k->made++);
	return true;
}

static void test_walk_meets_all_once(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c = peer_connect(w, .user = "a");
	struct walker k = {.w = w, .author = who_ref(c->cl->session->who)};
	struct filter f;

	assert_int_equal(filter_parse(SLICE_LIT("r/#"), &f), E_OK);
	while (k.made < 8)
		retain(&k, k.made++);
	core_enter(w->core[0]);
	retained_each(&w->hub->retained, &f, walker_saw, &k);
	core_leave(w->core[0]);
	for (u32 i = 0; i < SEEN_MAX; i++) {
		if (i < 8)
			assert_int_equal(k.seen[i], 1);
		else
			assert_true(k.seen[i] <= 1);
	}
	who_unref(&k.author);
	world_free(&w);
}

/* ---- queues ---------------------------------------------------------------------------- */

/* What can no longer be delivered does not keep out what can. */
static void test_expired_make_room(void **state)
{
	const struct peer_opts o = {.user = "a", .version = MQTT_5, .persistent = true};
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *s, *p;

	l.offline_messages = 2;
	w = world_new(1, &l);
	world_policy(w, "role all { publish # ; subscribe # }\n");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	s = peer_connect_on(w, 0, &o);
	peer_subscribe(s, .filter = "t", .qos = 1);
	wconn_drop(s, E_EOF);
	p = peer_connect(w, .user = "a", .id = "p", .version = MQTT_5);
	peer_publish(p, .topic = "t", .payload = "1", .qos = 1, .pid = 1, .expiry_s = 5);
	peer_publish(p, .topic = "t", .payload = "2", .qos = 1, .pid = 2, .expiry_s = 5);
	peer_publish(p, .topic = "t", .payload = "full", .qos = 1, .pid = 3, .expiry_s = 60);
	assert_int_equal(w->last_why[EV_DROPPED], E_QUOTA);
	world_advance(w, 6000);
	peer_publish(p, .topic = "t", .payload = "3", .qos = 1, .pid = 4, .expiry_s = 60);
	s = peer_connect_on(w, 0, &o);
	peer_message(s, "t", "3");
	peer_expect_nothing(s);
	world_free(&w);
}

/* What was under way when the connection broke, and cannot be sent again yet, waits; and what waits
 * is judged again. */
static void test_unsent_flight_judged(void **state)
{
	const struct peer_opts o = {.user = "a", .version = MQTT_5, .persistent = true};
	struct core_limits l = world_limits();
	struct world *w;
	struct wconn *s, *p;

	l.output_buffer = 1;
	l.output_stall_ms = UINT32_MAX;
	w = world_new(1, &l);
	world_policy(w, "role all { publish # ; subscribe # }\n");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	s = peer_connect_on(w, 0, &o);
	peer_subscribe(s, .filter = "#", .qos = 2);
	p = peer_connect(w, .user = "a", .id = "p");
	peer_publish(p, .topic = "y/1", .qos = 1, .pid = 1);
	peer_publish(p, .topic = "x/1", .qos = 1, .pid = 2);
	peer_publish(p, .topic = "y/2", .qos = 1, .pid = 3);
	wconn_drop(s, E_EOF);
	s = world_connect(w, 0);
	s->blocked = true;
	peer_say_connect(s, &o);
	world_run(w);
	world_policy(w, "role all { publish # ; subscribe #; deny subscribe x/# }\n");
	s->blocked = false;
	s->dirty = true;
	world_run(w);
	assert_int_equal(peer_connack(s, &(struct pkt_connack){0}), 0);
	assert_true(peer_message(s, "y/1", NULL).dup);
	assert_true(peer_message(s, "y/2", NULL).dup);
	peer_expect_nothing(s);
	world_free(&w);
}

static void flight_put(struct session *s, struct msg *m)
{
	struct flight *x = flights_add(&s->out);

	*x = (struct flight){.m = msg_ref(m), .qos = 1, .pid = session_pid(s)};
}

/* A window that stays full: its table stays as it is, and every identifier is found. */
static void test_full_window(void **state)
{
	struct msg view = {.magic = MSG_MAGIC, .topic = SLICE_LIT("t")}, *m = &view, *kept;
	struct session s = {.magic = SESSION_MAGIC};
	u32 n = 1000, at = 0, moves = 0;

	kept = msg_keep(&m);
	assert_non_null(kept);
	for (u32 i = 0; i < n; i++)
		flight_put(&s, m);
	for (u32 i = 0; i < 100000; i++) {
		assert_ptr_equal(flights_find(&s.out, flights_at(&s.out, 0)->pid),
				 flights_at(&s.out, 0));
		flights_remove(&s.out, flights_at(&s.out, 0));
		flight_put(&s, m);
		moves += s.out.start < at;
		at = s.out.start;
	}
	assert_true(s.out.cap <= 4 * n);
	assert_true(moves <= 100); /* not at every message */
	flights_clear(&s.out);
	msg_unref(&kept);
	msg_unref(&m);
}

/* ---- rights ---------------------------------------------------------------------------- */

/* Every session of a shard is judged, in turns that end. */
static void test_policy_in_turns(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c[4];
	char filter[16];
	u32 turns = 0;

	for (u32 i = 0; i < 4; i++) {
		char id[4] = {(char)('0' + i)};
		c[i] = peer_connect(w, .user = i < 2 ? "a" : "b", .id = id);
		for (u32 k = 0; k < 99; k++) {
			snprintf(filter, sizeof(filter), "x/%u", k);
			assert_int_equal(peer_subscribe(c[i], .filter = filter), 0);
		}
	}
	w->hold_rejudge = true;
	world_policy(w, "role all { publish #; subscribe y/# }\n");
	assert_true(core_rejudging(w->core[0]));
	assert_int_equal(core_next(w->core[0]), w->now_ms); /* there is more to do at once */
	/* What is delivered meanwhile is judged by the new rights already. */
	wconn_send(c[0], slice_of("\x30\x06\x00\x03x/1v", 8));
	wconn_step(c[0]);
	assert_int_equal(world_stats(w).denied_delivery, 4);
	while (core_rejudging(w->core[0])) {
		core_turn(w->core[0], w->now_ms);
		turns++;
	}
	assert_int_equal(world_stats(w).subscriptions, 0);
	world_free(&w);
}

static bool stop_at_once(void *arg, const struct client_info *i)
{
	*(u32 *)arg += 1;
	return true;
}

/* A session with much to judge ends the turn. */
static void test_policy_turn_ends(void **state)
{
	struct core_limits l = world_limits();
	const struct peer_opts o = {.user = "a", .version = MQTT_5, .persistent = true};
	struct world *w;
	struct wconn *p, *s;
	u32 n = 0, turns = 0;

	l.queue_messages = l.offline_messages = 3000;
	w = world_new(1, &l);
	world_policy(w, "role all { publish #; subscribe # }\n");
	world_identity(w, "a", 2, (const u32[]){1, 0});
	for (u32 i = 0; i < 3; i++) {
		char id[4] = {(char)('0' + i)};
		struct peer_opts each = o;
		each.id = id;
		s = peer_connect_on(w, 0, &each);
		peer_subscribe(s, .filter = "x", .qos = 1);
		wconn_drop(s, E_EOF);
	}
	p = peer_connect(w, .user = "a", .id = "p");
	for (u32 i = 0; i < 2500; i++)
		peer_publish(p, .topic = "x", .qos = 1, .pid = 1);
	if (w->store != NULL) { /* what waits on disk is judged when it is read */
		world_free(&w);
		return;
	}
	w->hold_rejudge = true;
	world_policy(w, "role all { publish #; subscribe y }\n");
	for (; core_rejudging(w->core[0]); turns++)
		core_turn(w->core[0], w->now_ms);
	assert_true(turns >= 3);
	assert_int_equal(world_stats(w).denied_delivery, 3 * 2500);
	core_each(w->core[0], stop_at_once, &n);
	assert_int_equal(n, 4);
	world_free(&w);
}

/* An answer newer than the change does not revive what the change ended. */
static void test_credential_stays_ended(void **state)
{
	struct world *w = peer_world(1);
	struct identity *i = &w->identity[0];
	struct wconn *c;

	i->credential = 2;
	world_identity_changed(w, i);
	i->generation++;
	peer_connect(w, .user = "a", .id = "new");
	i->generation = 1;
	i->credential = 1;
	c = world_connect(w, 0);
	peer_say_connect(c, &(struct peer_opts){.user = "a", .id = "old"});
	world_advance(w, 300);
	assert_true(peer_gone(c));
	assert_int_equal(w->last_why[EV_REFUSED], E_REVOKED);
	world_free(&w);
}

/* ---- between shards ---------------------------------------------------------------------- */

/* On its way to a subscription that has become a member of a group meanwhile. */
static void test_stale_target_is_member(void **state)
{
	struct world *w = peer_world(2);
	struct wconn *s = peer_connect(w, .user = "a", .version = MQTT_5), *p;
	u8 buf[64];
	struct wr wr = wr_of(buf, sizeof(buf));
	const struct slice t = SLICE_LIT("t");
	struct slice body;
	struct frame f;

	p = peer_connect_on(w, 1, &(struct peer_opts){.user = "b"});
	assert_int_equal(p->shard, 1);
	peer_subscribe(s, .filter = "t");
	w->hold_posts = true;
	peer_publish(p, .topic = "t");
	pkt_unsubscribe_encode(&wr, MQTT_5, 9, &t, 1);
	wconn_send(s, wr_done(&wr));
	world_run(w);
	assert_true(wconn_next(s, &f, &body));
	assert_int_equal(f.type, PKT_UNSUBACK);
	peer_subscribe(s, .filter = "$share/g/t");
	w->hold_posts = false;
	world_run(w);
	peer_expect_nothing(s);
	world_free(&w);
}

/* The shard where it is refused is a little behind: still on the grid. */
static void test_grid_between_clocks(void **state)
{
	struct world *w = peer_world(2);
	struct identity *i = &w->identity[0];
	struct wconn *first = peer_connect_on(w, 1, &(struct peer_opts){.user = "a", .id = "x"});
	struct wconn *c = world_connect(w, 0);

	assert_int_equal(first->shard, 1);
	peer_say_connect(c, &(struct peer_opts){.user = "a", .id = "x"});
	core_turn(w->core[0], w->now_ms + 7);
	while (!c->moving) {
		wconn_step(c);
		world_some(w);
	}
	i->status = 0;
	world_identity_changed(w, i);
	wconn_step(c);
	core_turn(w->core[1], w->now_ms + 7 + 299);
	wconn_step(c);
	assert_false(peer_gone(c));
	core_turn(w->core[1], w->now_ms + 7 + 300);
	wconn_step(c);
	assert_true(peer_gone(c));
	world_free(&w);
}

/* ---- crowds ------------------------------------------------------------------------------ */

/* Refusals wait for the grid; where too many do, the oldest is told early. */
static void test_refusals_crowd(void **state)
{
	struct world *w = peer_world(1);
	struct wconn *c[REFUSALS_HELD_MAX + 2];
	struct pkt_connack ack;
	u32 n = REFUSALS_HELD_MAX + 2;

	for (u32 i = 0; i < n; i++) {
		c[i] = world_connect(w, 0);
		peer_say_connect(c[i], &(struct peer_opts){.user = "a", .password = "no"});
		if (i == 2 || i + 1 == n)
			world_run(w);
	}
	assert_int_equal(w->events[EV_REFUSED], n);
	assert_int_equal(peer_gone(c[0]) + peer_gone(c[1]) + peer_gone(c[2]), 2);
	for (u32 i = 3; i < n; i++)
		assert_int_equal(c[i]->out_n, 0);
	world_advance(w, 300);
	for (u32 i = 0; i < n; i++)
		assert_int_equal(peer_connack(c[i], &ack), 5);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_after_shutdown),
		cmocka_unit_test(test_walk_meets_all_once),
		cmocka_unit_test(test_expired_make_room),
		cmocka_unit_test(test_unsent_flight_judged),
		cmocka_unit_test(test_full_window),
		cmocka_unit_test(test_policy_in_turns),
		cmocka_unit_test(test_policy_turn_ends),
		cmocka_unit_test(test_credential_stays_ended),
		cmocka_unit_test(test_stale_target_is_member),
		cmocka_unit_test(test_grid_between_clocks),
		cmocka_unit_test(test_refusals_crowd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
