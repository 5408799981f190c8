/* The index finds exactly what filter_matches finds, whatever was added and removed; and ends as it
 * began.  The retained tree the same, the other way round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/hub.h"

enum { SUBS = 300, STEPS = 6000, SHARDS = 3 };

struct want {
	char text[128];
	struct filter f;
	struct handle h;
	u32 sub;
	u64 place;
	bool live;
};

static u64 seed = 42;

static u32 rnd(u32 n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (u32)(seed >> 33) % n;
}

static void random_text(char *out, bool filter)
{
	static const char *const words[] = {"a", "b", "", "$s", "longer-than-eight", "+"};
	u32 n = 1 + rnd(4), at = 0;

	for (u32 i = 0; i < n; i++) {
		u32 k = rnd(filter ? 6 : 5);
		at += (u32)sprintf(out + at, "%s%s", i == 0 ? "" : "/",
				   k == 3 && i != 0 ? "c" : words[k]);
	}
	if (filter && rnd(4) == 0)
		at += (u32)sprintf(out + at, "/#");
	if (filter && rnd(20) == 0)
		at = (u32)sprintf(out, "#");
	if (at == 0)
		sprintf(out, "a");
}

static void random_topic(char *text, struct topic *t)
{
	random_text(text, false);
	assert_int_equal(topic_parse(slice_str(text), t), E_OK);
}

static bool wanted(const struct want *w, const struct topic *t)
{
	return w->live && filter_matches(&w->f, t);
}

static void check_match(struct index *x, struct match *m, const struct want *want)
{
	struct path_hash h;
	struct path p;
	struct topic t;
	char text[128];
	u32 expected = 0, found = 0;

	random_topic(text, &t);
	p = path_topic(&t);
	tree_hash(&x->tree, &p, &h);
	index_match(x, &t, &h, m);
	for (u32 i = 0; i < SUBS; i++)
		expected += wanted(&want[i], &t);
	for (u32 s = 0; s < SHARDS; s++) {
		for (u32 i = 0; i < m->shard[s].n; i++) {
			const struct target *to = &m->shard[s].v[i];
			assert_true(wanted(&want[to->sub], &t));
			assert_int_equal(to->slot, want[to->sub].h.slot);
			assert_int_equal(s, want[to->sub].h.shard);
			found++;
		}
	}
	assert_int_equal(found, expected);
	assert_int_equal(m->found, expected);
}

static void flip(struct index *x, struct want *w, u32 i)
{
	if (w->live) {
		index_remove(x, &w->f, &w->h, w->place);
		w->live = false;
		return;
	}
	random_text(w->text, true);
	assert_int_equal(filter_parse(slice_str(w->text), &w->f), E_OK);
	w->h = (struct handle){rnd(SHARDS), i, 1 + rnd(5)};
	w->sub = i;
	w->live = true;
	w->place = index_add(x, &w->f, &w->h, w->sub, false);
}

static void test_index_is_exact(void **state)
{
	static struct want want[SUBS];
	struct hash_key key = {1, 2};
	struct epoch e;
	struct index x;
	struct match m;

	epoch_init(&e, 1);
	index_init(&x, &e, &key);
	match_init(&m, SHARDS);
	for (u32 i = 0; i < STEPS; i++) {
		flip(&x, &want[i % SUBS], i % SUBS);
		if (rnd(3) == 0) {
			u32 k = rnd(SUBS);
			flip(&x, &want[k], k);
		}
		epoch_enter(&e, 0);
		check_match(&x, &m, want);
		epoch_leave(&e, 0);
		epoch_collect(&e);
	}
	for (u32 i = 0; i < SUBS; i++) {
		if (want[i].live)
			flip(&x, &want[i], i);
	}
	assert_int_equal(x.tree.nodes, 1);
	match_free(&m);
	index_free(&x);
	epoch_free(&e);
}

/* The members of a group are found by the topic and by the filter, and the strategies begin where
 * they say. */
static void test_group_members(void **state)
{
	struct hash_key key = {1, 2};
	struct shares shares;
	struct epoch e;
	struct index x;
	struct match m;
	struct filter f;
	struct topic t;
	struct path p;
	struct path_hash ph;
	struct handle h[3];
	struct member got;
	u64 place[3];
	u32 seen[3] = {0};

	epoch_init(&e, 1);
	index_init(&x, &e, &key);
	shares_init(&shares, SHARDS);
	match_init(&m, SHARDS);
	assert_int_equal(filter_parse(SLICE_LIT("$share/g/a/+"), &f), E_OK);
	assert_int_equal(topic_parse(SLICE_LIT("a/b"), &t), E_OK);
	assert_null(index_group(&x, &f));
	for (u32 i = 0; i < 3; i++) {
		h[i] = (struct handle){i, 10 + i, 1};
		place[i] = index_add(&x, &f, &h[i], i, false);
	}
	p = path_topic(&t);
	tree_hash(&x.tree, &p, &ph);
	epoch_enter(&e, 0);
	index_match(&x, &t, &ph, &m);
	assert_int_equal(m.ngroups, 1);
	assert_int_equal(m.found, 1);
	assert_ptr_equal(index_group(&x, &f), m.groups[0]);
	for (u32 i = 0; i < 9; i++) {
		struct walk w = walk_begin(&shares, m.groups[0], &key, &t, STAND_AWAY);
		assert_true(walk_next(&shares, m.groups[0], 1, &w, &got));
		assert_int_equal(got.h.slot, 10 + got.sub);
		seen[got.sub]++;
	}
	epoch_leave(&e, 0);
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(seen[i], 3);
		index_remove(&x, &f, &h[i], place[i]);
	}
	match_free(&m);
	shares_free(&shares);
	index_free(&x);
	epoch_free(&e);
}

/* ---- retained ------------------------------------------------------------------------ */

struct found {
	const struct filter *f;
	u32 n;
};

static bool found_one(void *arg, const struct retained *r)
{
	struct found *x = arg;
	struct topic t;

	assert_int_equal(topic_parse(r->m->topic, &t), E_OK);
	assert_true(filter_matches(x->f, &t));
	x->n++;
	return true;
}

static void test_retained_is_exact(void **state)
{
	static char texts[100][128];
	static bool there[100];
	struct hub *hub = hub_new(&(struct hub_options){
		.nshards = 1, .retained_total = 50, .retained_bytes = 1 << 20});
	struct login_answer a = {.identity_id = 1, .generation = 1, .identity = SLICE_LIT("i")};
	static const u8 addr[16];
	struct who *w =
		who_new(hub, principal_of_answer(hub, &a), &(struct who_login){.addr = addr});
	struct topic t;

	for (u32 i = 0; i < 100; i++)
		snprintf(texts[i], sizeof(texts[i]), "%s/%u/%s", i % 3 ? "a" : "$s", i,
			 i % 2 ? "x" : "");
	for (u32 step = 0; step < 3000; step++) {
		u32 i = rnd(100), n = 0, expected = 0;
		struct found got = {0};
		struct filter f;
		char text[128];

		for (u32 k = 0; k < 100; k++)
			n += there[k];
		assert_int_equal(topic_parse(slice_str(texts[i]), &t), E_OK);
		if (rnd(3) == 0) {
			retained_clear(&hub->retained, &t, NULL);
			there[i] = false;
		} else {
			struct msg view = {.magic = MSG_MAGIC,
					   .topic = t.s,
					   .payload = SLICE_LIT("p")},
				   *m = &view, *kept;
			enum err e, want = there[i] || n < 50 ? E_OK : E_QUOTA;
			kept = msg_keep(&m);
			e = retained_set(&hub->retained, &t, kept, w, UINT32_MAX, NULL);
			msg_unref(&kept);
			msg_unref(&m);
			assert_int_equal(e, want);
			there[i] |= e == E_OK;
		}
		random_text(text, true);
		assert_int_equal(filter_parse(slice_str(text), &f), E_OK);
		for (u32 k = 0; k < 100; k++) {
			assert_int_equal(topic_parse(slice_str(texts[k]), &t), E_OK);
			expected += there[k] && filter_matches(&f, &t);
		}
		got.f = &f;
		epoch_enter(&hub->epoch, 0);
		retained_each(&hub->retained, &f, found_one, &got);
		epoch_leave(&hub->epoch, 0);
		assert_int_equal(got.n, expected);
		epoch_collect(&hub->epoch);
	}
	who_unref(&w);
	hub_free(&hub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index_is_exact),
		cmocka_unit_test(test_group_members),
		cmocka_unit_test(test_retained_is_exact),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
