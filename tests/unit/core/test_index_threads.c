/* Readers match while writers add and remove, on real threads: nobody sees what is freed, and
 * nobody misses what is there all the time.  Run under ThreadSanitizer and AddressSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/hub.h"

enum { WRITERS = 2, READERS = 2, ROUNDS = 20000, NAMES = 40, STEADY = 1000000 };

static struct hub *hub;
static struct who *author;
static _Atomic u32 failures;

static struct filter filter_of(const char *text)
{
	struct filter f;

	assert_int_equal(filter_parse(slice_str(text), &f), E_OK);
	return f;
}

static void retain(u32 i)
{
	char text[32];
	struct topic t;
	struct msg view = {.magic = MSG_MAGIC, .payload = SLICE_LIT("p")}, *m = &view, *kept;

	snprintf(text, sizeof(text), "n/%u", i % NAMES);
	if (topic_parse(slice_str(text), &t) != E_OK)
		return;
	view.topic = t.s;
	kept = msg_keep(&m);
	if (retained_set(&hub->retained, &t, kept, author, UINT32_MAX, NULL) != E_OK)
		failures++;
	msg_unref(&kept);
	msg_unref(&m);
	if (i % 3 == 0)
		retained_clear(&hub->retained, &t, NULL);
}

static void *writer(void *arg)
{
	u32 me = *(u32 *)arg;
	char text[32];

	for (u32 i = 0; i < ROUNDS; i++) {
		struct handle h = {me, i, 1};
		struct filter f;
		u64 place;
		snprintf(text, sizeof(text),
			 i % 5 == 0   ? "n/+"
			 : i % 7 == 0 ? "$share/g/n/%u"
				      : "n/%u",
			 i % NAMES);
		f = filter_of(text);
		epoch_enter(&hub->epoch, me);
		place = index_add(&hub->index, &f, &h, i, false);
		retain(i);
		index_remove(&hub->index, &f, &h, place);
		epoch_leave(&hub->epoch, me);
		epoch_collect(&hub->epoch);
	}
	return NULL;
}

static bool count(void *arg, const struct retained *r)
{
	*(u64 *)arg += r->m->payload.n + atomic_load(&r->author->pr->retained);
	return true;
}

static void *reader(void *arg)
{
	u32 me = *(u32 *)arg;
	struct match m;
	struct filter all = filter_of("#");
	u64 sum = 0, gone = 0;

	match_init(&m, WRITERS + READERS);
	for (u32 i = 0; i < ROUNDS; i++) {
		char text[32];
		struct topic t;
		struct path p;
		struct path_hash h;
		struct member got;
		bool steady = false;

		snprintf(text, sizeof(text), "n/%u", i % NAMES);
		if (topic_parse(slice_str(text), &t) != E_OK)
			failures++;
		p = path_topic(&t);
		epoch_enter(&hub->epoch, me);
		tree_hash(&hub->index.tree, &p, &h);
		index_match(&hub->index, &t, &h, &m);
		for (u32 k = 0; k < m.shard[0].n; k++)
			steady |= m.shard[0].v[k].sub == STEADY;
		for (u32 k = 0; k < m.ngroups; k++) {
			struct walk w =
				walk_begin(&hub->shares, m.groups[k], &hub->key, &t, STAND_AWAY);
			if (!walk_next(&hub->shares, m.groups[k], 1, &w, &got))
				gone++;
		}
		if (i % 16 == 0)
			retained_each(&hub->retained, &all, count, &sum);
		epoch_leave(&hub->epoch, me);
		if (!steady)
			failures++;
		if (i % 8 == 0)
			epoch_collect(&hub->epoch);
	}
	match_free(&m);
	return NULL;
}

static void test_threads(void **state)
{
	static const u8 addr[16];
	struct login_answer a = {.identity_id = 1, .generation = 1, .identity = SLICE_LIT("i")};
	struct handle h = {0, 1, 1};
	struct filter f = filter_of("n/+");
	pthread_t t[WRITERS + READERS];
	u32 id[WRITERS + READERS];
	u64 place;

	hub = hub_new(&(struct hub_options){
		.nshards = WRITERS + READERS, .retained_total = 1000, .retained_bytes = 1 << 20});
	author = who_new(hub, principal_of_answer(hub, &a), &(struct who_login){.addr = addr});
	place = index_add(&hub->index, &f, &h, STEADY, false);
	for (u32 i = 0; i < WRITERS + READERS; i++) {
		id[i] = i;
		assert_int_equal(pthread_create(&t[i], NULL, i < WRITERS ? writer : reader, &id[i]),
				 0);
	}
	for (u32 i = 0; i < WRITERS + READERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(failures, 0);
	index_remove(&hub->index, &f, &h, place);
	who_unref(&author);
	hub_free(&hub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
