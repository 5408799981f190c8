/* A change of rights reaches everything at once: subscriptions, queues, flights, wills, retained
 * messages. */
#include "peer.h"

static const u32 r1[] = {1, 0}, r2[] = {2, 0};

static struct world *rights_world(u32 shards)
{
	struct world *w = world_new(shards, NULL);

	world_policy(w, "role reader { subscribe #; publish reply/# }\nrole writer { publish #; "
			"publish w/# }\n");
	world_identity(w, "r", 2, r1);
	world_identity(w, "w", 2, r2);
	return w;
}
static const char no_x[] = "role reader { subscribe #; deny subscribe x/#; publish reply/# }\nrole "
			   "writer { publish # }\n";
static const char nothing[] = "role reader { subscribe other }\nrole writer { subscribe other }\n";

static void test_publish_denied(void **state)
{
	struct world *w = rights_world(1);
	struct wconn *v5 = peer_connect(w, .user = "r", .id = "5", .version = MQTT_5);
	struct wconn *v3 = peer_connect(w, .user = "r", .id = "3");

	peer_subscribe(v5, .filter = "#");
	peer_publish(v5, .topic = "t", .qos = 1, .pid = 1);
	assert_int_equal(peer_expect_ack(v5, PKT_PUBACK, 1), 0x87);
	peer_publish(v5, .topic = "t", .qos = 2, .pid = 1);
	assert_int_equal(peer_expect_ack(v5, PKT_PUBREC, 1), 0x87);
	peer_publish(v3, .topic = "t", .qos = 1, .pid = 1);
	peer_expect_ack(v3, PKT_PUBACK, 1); /* 3.x cannot be told */
	peer_expect_nothing(v5);
	assert_int_equal(w->events[EV_DENIED], 3);
	assert_int_equal(world_stats(w).denied_publish, 3);
	world_free(&w);
}

static void test_subscribe_denied(void **state)
{
	struct world *w = rights_world(1);
	struct wconn *v5 = peer_connect(w, .user = "w", .id = "5", .version = MQTT_5);
	struct wconn *v3 = peer_connect(w, .user = "w", .id = "3");

	assert_int_equal(peer_subscribe(v5, .filter = "t"), 0x87);
	assert_int_equal(peer_subscribe(v3, .filter = "t"), 0x80);
	assert_int_equal(world_stats(w).subscriptions, 0);
	world_free(&w);
}

static void test_delivery_withheld(void **state)
{
	struct world *w = rights_world(2);
	struct wconn *s = peer_connect(w, .user = "r"), *p;

	p = peer_connect_on(w, 1, &(struct peer_opts){.user = "w"});
	assert_int_equal(peer_subscribe(s, .filter = "#"), 0);
	peer_publish(p, .topic = "x/1");
	peer_message(s, "x/1", NULL);
	world_policy(w, no_x);
	assert_int_equal(world_stats(w).subscriptions,
			 1); /* still granted: a deny cuts something out */
	peer_publish(p, .topic = "x/1");
	peer_publish(p, .topic = "y/1");
	peer_message(s, "y/1", NULL);
	peer_expect_nothing(s);
	world_policy(w, nothing);
	assert_int_equal(world_stats(w).subscriptions, 0);
	world_free(&w);
}

static void test_queue_and_flight_purged(void **state)
{
	const struct peer_opts o = {
		.user = "r", .version = MQTT_5, .persistent = true, .receive_max = 1};
	struct world *w = rights_world(1);
	struct wconn *s = peer_connect_on(w, 0, &o), *p = peer_connect(w, .user = "w");

	peer_subscribe(s, .filter = "#", .qos = 1);
	peer_publish(p, .topic = "x/flight", .qos = 1, .pid = 1);
	peer_publish(p, .topic = "x/queued", .qos = 1, .pid = 2);
	peer_publish(p, .topic = "y/queued", .qos = 1, .pid = 3);
	peer_message(s, "x/flight", NULL);
	wconn_drop(s, E_EOF);
	world_policy(w, no_x);
	s = peer_connect_on(w, 0, &o);
	peer_message(s, "y/queued", NULL);
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_will_void(void **state)
{
	struct world *w = rights_world(1);
	struct wconn *c = peer_connect(w, .user = "w", .will_topic = "x/w"), *s;

	world_policy(w, "role reader { subscribe # }\nrole writer { subscribe other }\n");
	assert_int_equal(w->events[EV_WILL], 1);
	assert_int_equal(w->last_why[EV_WILL], E_DENIED);
	s = peer_connect(w, .user = "r");
	peer_subscribe(s, .filter = "#");
	wconn_drop(c, E_EOF);
	world_run(w);
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_retained_rejudged(void **state)
{
	struct world *w = rights_world(2);
	struct wconn *p = peer_connect(w, .user = "w"),
		     *s = peer_connect_on(w, 1, &(struct peer_opts){.user = "r"});

	peer_publish(p, .topic = "x/1", .retain = true);
	peer_publish(p, .topic = "y/1", .retain = true);
	world_policy(w, "role reader { subscribe # }\nrole writer { publish y/# }\n");
	peer_subscribe(s, .filter = "#");
	peer_message(s, "y/1", NULL); /* its author may no longer say x/1 */
	peer_expect_nothing(s);
	world_free(&w);
}

static void test_revoked(void **state)
{
	struct world *w = rights_world(2);
	struct wconn *s = peer_connect(w, .user = "r"), *p, *away;

	peer_subscribe(s, .filter = "#");
	p = peer_connect_on(
		w, 1,
		&(struct peer_opts){
			.user = "w", .version = MQTT_5, .will_topic = "w/1", .persistent = true});
	away = peer_connect_on(w, 0,
			       &(struct peer_opts){.user = "w", .id = "away", .persistent = true});
	wconn_drop(away, E_EOF);
	peer_publish(p, .topic = "x", .retain = true);
	peer_message(s, "x", NULL);
	w->identity[1].status = 0;
	world_identity_changed(w, &w->identity[1]);
	world_run(w);
	assert_int_equal(peer_expect_disconnect(p), 0x98);
	peer_expect_nothing(s); /* no will */
	assert_int_equal(world_stats(w).sessions, 1);
	assert_int_equal(world_stats(w).retained, 0);
	world_free(&w);
}

/* An answer that was given before the change arrives after it. */
static void test_stale_answer(void **state)
{
	struct world *w = rights_world(1);
	struct wconn *c = world_connect(w, 0);
	struct identity *i = &w->identity[1];
	struct login_answer a = {.verdict = E_OK,
				 .identity_id = i->id,
				 .generation = 1,
				 .kind = 2,
				 .identity = slice_str("w"),
				 .username = slice_str("w"),
				 .roles = r2,
				 .nroles = 1};
	u64 id;

	w->hold_logins = true;
	peer_say_connect(c, &(struct peer_opts){.user = "w"});
	world_run(w);
	id = w->logins->id;
	i->status = 0;
	world_identity_changed(w, i);
	core_login_done(w->core[0], id, &a);
	world_advance(w, 300);
	assert_true(peer_gone(c));
	assert_int_equal(w->last_why[EV_REFUSED], E_REVOKED);
	world_free(&w);
}

/* A replaced credential: what it opened is closed, the session waits; an answer on its way is void.
 */
static void test_credential_replaced(void **state)
{
	struct world *w = rights_world(2);
	struct identity *i = &w->identity[0];
	struct wconn *old, *kept, *late;
	struct login_answer a = {.verdict = E_OK,
				 .identity_id = i->id,
				 .generation = 1,
				 .kind = 2,
				 .credential = 1,
				 .identity = slice_str("r"),
				 .username = slice_str("r"),
				 .roles = r1,
				 .nroles = 1};
	u64 id;

	i->credential = 1;
	old = peer_connect_on(
		w, 0,
		&(struct peer_opts){
			.user = "r", .id = "old", .version = MQTT_5, .persistent = true});
	world_identity_changed(w, i); /* nothing replaced yet */
	world_run(w);
	assert_false(peer_gone(old));
	w->hold_logins = true;
	late = world_connect(w, 0);
	peer_say_connect(late, &(struct peer_opts){.user = "r", .id = "late"});
	world_run(w);
	id = w->logins->id;
	i->credential = 2;
	world_identity_changed(w, i);
	world_run(w);
	assert_int_equal(peer_expect_disconnect(old), 0x87);
	assert_int_equal(world_stats(w).sessions, 1);
	core_login_done(w->core[0], id, &a);
	world_advance(w, 300);
	assert_true(peer_gone(late));
	assert_int_equal(w->last_why[EV_REFUSED], E_REVOKED);
	w->hold_logins = false;
	kept = peer_connect_on(w, 1,
			       &(struct peer_opts){.user = "r", .id = "old", .persistent = true});
	world_identity_changed(w, i);
	world_run(w);
	assert_false(peer_gone(kept));
	world_free(&w);
}

/* Users of this machine are a series of their own: the one ends without the other. */
static void test_local_user_ends(void **state)
{
	struct world *w = rights_world(2);
	struct identity *i = &w->identity[0];
	struct wconn *local, *token;

	i->credential = CREDENTIAL_LOCAL | 5;
	local = peer_connect_on(w, 0, &(struct peer_opts){.user = "r", .id = "local"});
	i->credential = 1;
	token = peer_connect_on(w, 1, &(struct peer_opts){.user = "r", .id = "token"});
	i->local_min = CREDENTIAL_LOCAL | 5;
	world_identity_changed(w, i);
	world_run(w);
	assert_false(peer_gone(local));
	i->credential = 2; /* the token is replaced */
	world_identity_changed(w, i);
	world_run(w);
	assert_true(peer_gone(token));
	assert_false(peer_gone(local));
	token = peer_connect_on(w, 1, &(struct peer_opts){.user = "r", .id = "token"});
	i->local_min = UINT32_MAX; /* it is nobody of this machine any more */
	world_identity_changed(w, i);
	world_run(w);
	assert_true(peer_gone(local));
	assert_false(peer_gone(token));
	world_free(&w);
}

static void test_roles_taken(void **state)
{
	struct world *w = rights_world(2);
	struct wconn *s = peer_connect_on(w, 1, &(struct peer_opts){.user = "r"}),
		     *p = peer_connect(w, .user = "w");

	peer_subscribe(s, .filter = "#");
	w->identity[0].roles[0] = 2;
	world_identity_changed(w, &w->identity[0]);
	assert_int_equal(world_stats(w).subscriptions, 0);
	peer_publish(p, .topic = "x");
	peer_expect_nothing(s);
	assert_false(peer_gone(s));
	world_free(&w);
}

/* A condition takes QoS away and gives it back. */
static void test_qos_lowered(void **state)
{
	struct world *w = rights_world(1);
	struct wconn *s = peer_connect(w, .user = "r"), *p = peer_connect(w, .user = "w");

	assert_int_equal(peer_subscribe(s, .filter = "#", .qos = 1), 1);
	world_policy(w, "role reader { subscribe # if qos 0..0 }\nrole writer { publish # }\n");
	peer_publish(p, .topic = "x", .qos = 1, .pid = 1);
	assert_int_equal(peer_message(s, "x", NULL).qos, 0);
	world_policy(w, "role reader { subscribe # }\nrole writer { publish # }\n");
	peer_publish(p, .topic = "x", .qos = 1, .pid = 2);
	assert_int_equal(peer_message(s, "x", NULL).qos, 1);
	world_free(&w);
}

static void test_no_policy(void **state)
{
	struct world *w = world_new(1, NULL);
	struct wconn *c;

	world_identity(w, "a", 2, r1);
	c = peer_connect(w, .user = "a", .version = MQTT_5);
	assert_int_equal(peer_subscribe(c, .filter = "t"), 0x87);
	world_free(&w);
}

static void test_kick(void **state)
{
	struct world *w = rights_world(1);
	struct wconn *s = peer_connect(w, .user = "r", .version = MQTT_5),
		     *p = peer_connect(w, .user = "w");

	assert_int_equal(core_kick(w->core[0], slice_str("r"), SLICE_NONE, E_ADMIN), 1);
	world_run(w);
	assert_int_equal(peer_expect_disconnect(s), 0x98);
	assert_false(peer_gone(p));
	world_free(&w);
}

static bool count_one(void *arg, const struct client_info *i)
{
	u32 *n = arg;

	*n += i->online ? 1 : 100;
	assert_true(slice_eq(i->identity, slice_str("r")) || slice_eq(i->identity, slice_str("w")));
	return true;
}

static void test_list(void **state)
{
	struct world *w = rights_world(1);
	struct wconn *s = peer_connect(w, .user = "r", .persistent = true);
	u32 n = 0;

	peer_connect(w, .user = "w");
	wconn_drop(s, E_EOF);
	core_each(w->core[0], count_one, &n);
	assert_int_equal(n, 101);
	world_free(&w);
}

static void count_publish(struct world *w, const struct core_event *e)
{
	if (e->kind == EV_PUBLISH)
		*(u32 *)w->user += 1;
}

static void test_watch(void **state)
{
	struct world *w = rights_world(1);
	struct wconn *p = peer_connect(w, .user = "w");
	u32 n = 0;

	w->user = &n;
	w->on_event = count_publish;
	peer_publish(p, .topic = "t");
	assert_int_equal(n, 0);
	hub_watch(w->hub, slice_str("w"), true);
	peer_publish(p, .topic = "t");
	assert_int_equal(n, 1);
	hub_watch(w->hub, slice_str("w"), false);
	peer_publish(p, .topic = "t");
	assert_int_equal(n, 1);
	world_free(&w);
}

static void test_shutdown(void **state)
{
	struct world *w = rights_world(1);
	struct wconn *s = peer_connect(w, .user = "r", .version = MQTT_5),
		     *new = world_connect(w, 0);

	core_shutdown(w->core[0]);
	world_run(w);
	assert_int_equal(peer_expect_disconnect(s), 0x8b);
	assert_true(peer_gone(new));
	assert_int_equal(new->out_n, 0);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_publish_denied),
		cmocka_unit_test(test_subscribe_denied),
		cmocka_unit_test(test_delivery_withheld),
		cmocka_unit_test(test_queue_and_flight_purged),
		cmocka_unit_test(test_will_void),
		cmocka_unit_test(test_retained_rejudged),
		cmocka_unit_test(test_revoked),
		cmocka_unit_test(test_stale_answer),
		cmocka_unit_test(test_credential_replaced),
		cmocka_unit_test(test_local_user_ends),
		cmocka_unit_test(test_roles_taken),
		cmocka_unit_test(test_qos_lowered),
		cmocka_unit_test(test_no_policy),
		cmocka_unit_test(test_kick),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_shutdown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
