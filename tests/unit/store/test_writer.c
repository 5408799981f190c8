/* The writer on a store in memory, stepped by hand and with its thread under several shards. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "help.h"
#include "store/writer.h"

enum { SHARDS = 3 };

/* What came for one shard. */
struct shard {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	u64 committed, serial;
	u32 returned, notices, reads, messages, counts;
	u32 open; /* batches that are under way */
};

static struct shard shards[SHARDS];
static _Atomic u64 wall, mono;
static _Atomic int fulls, fatals;

static void on_notice(void *arg, u32 shard, struct store_notice *n)
{
	struct shard *s = &shards[shard];

	assert_true(shard < SHARDS);
	pthread_mutex_lock(&s->lock);
	assert_true(n->committed >= s->committed);
	s->committed = n->committed;
	s->notices++;
	while (n->returned != NULL) {
		struct store_batch *b = n->returned;

		n->returned = b->next;
		assert_int_equal(b->shard, shard);
		store_batch_free(&b);
		s->returned++;
		s->open--;
	}
	s->reads += n->nreads;
	for (u32 i = 0; i < n->nreads; i++)
		s->messages += n->reads[i].n;
	s->counts += n->ncounts;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	store_notice_free(&n);
}

static void on_full(void *arg, bool full)
{
	fulls += full ? 1 : -1;
}

static void on_fatal(void *arg, enum err e)
{
	fatals++;
}

static u64 wall_ms(void *arg)
{
	return wall;
}

static u64 mono_ms(void *arg)
{
	return mono;
}

static const struct writer_env env = {.notice = on_notice,
				      .full = on_full,
				      .fatal = on_fatal,
				      .wall_ms = wall_ms,
				      .mono_ms = mono_ms};

static int setup(void **state)
{
	memset(shards, 0, sizeof(shards));
	for (u32 i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&shards[i].lock, NULL);
		pthread_cond_init(&shards[i].wake, NULL);
	}
	wall = 1000000;
	mono = 1000;
	fulls = fatals = 0;
	return 0;
}

static struct store_batch *fresh(u32 shard)
{
	return store_batch_new(shard, ++shards[shard].serial);
}

static void submit(struct writer *w, struct store_batch *b)
{
	pthread_mutex_lock(&shards[b->shard].lock);
	shards[b->shard].open++;
	pthread_mutex_unlock(&shards[b->shard].lock);
	writer_submit(w, b);
}

static void run(struct writer *w)
{
	while (writer_step(w))
		;
}

static void group_op(struct store_batch *b, enum store_op_kind kind, u64 group, u32 count)
{
	struct store_op *op = batch_op(b, kind, 0, 0);

	op->group = group;
	op->count = count;
}

static void batches_are_committed_and_come_back(void **state)
{
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, false);
	struct store_batch *b;
	struct store_op *op;

	run(w);
	assert_false(writer_step(w));
	b = fresh(0);
	(void)batch_session(b, 1);
	(void)batch_put(b, 1, 1, 0, "hello");
	submit(w, b);
	b = fresh(2);
	(void)batch_session(b, 2);
	submit(w, b);
	assert_int_equal(shards[0].committed, 0);
	assert_true(writer_step(w)); /* one transaction for both */
	assert_int_equal(shards[0].committed, 1);
	assert_int_equal(shards[2].committed, 1);
	assert_int_equal(shards[1].notices, 0);
	b = fresh(0);
	op = batch_op(b, SO_READ, 1, 0);
	op->count = 5;
	op->bytes = 100;
	submit(w, b);
	run(w);
	assert_int_equal(shards[0].committed, 2);
	assert_int_equal(shards[0].returned, 2);
	assert_int_equal(shards[0].reads, 1);
	assert_int_equal(shards[0].messages, 1);
	writer_free(&w, false);
}

static void an_empty_batch_is_durable_too(void **state)
{
	struct writer *w = writer_new(store_memory(mono), &env, SHARDS, false);

	submit(w, fresh(1));
	run(w);
	assert_int_equal(shards[1].committed, 1);
	writer_free(&w, false);
}

static void a_serial_waits_for_its_groups(void **state)
{
	struct writer *w = writer_new(store_memory(mono), &env, SHARDS, false);
	struct store_batch *b = fresh(0);

	(void)batch_session(b, 1);
	submit(w, b);
	b = fresh(0);
	(void)batch_put(b, 1, 1, 0, "x");
	b->op[0].group = 9;
	group_op(b, SO_GROUP_OPEN, 9, 1);
	submit(w, b);
	submit(w, fresh(0)); /* behind it */
	run(w);
	assert_int_equal(shards[0].committed, 1);
	assert_int_equal(shards[0].open, 2);
	b = fresh(1);
	group_op(b, SO_GROUP_PART, 9, 0);
	submit(w, b);
	run(w);
	assert_int_equal(shards[0].committed, 3);
	assert_int_equal(shards[1].committed, 1);
	writer_free(&w, false);
}

static void what_is_not_whole_comes_back_uncommitted(void **state)
{
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, false);
	struct store_batch *b = fresh(0);
	struct store_stats stats;

	(void)batch_session(b, 1);
	(void)batch_put(b, 1, 1, 0, "x");
	b->op[1].group = 9;
	group_op(b, SO_GROUP_PART, 9, 0);
	submit(w, b);
	run(w);
	writer_free(&w, true);
	assert_int_equal(shards[0].committed, 0);
	assert_int_equal(shards[0].open, 0);
	store_crash(s, mono);
	store_stats(s, &stats);
	assert_int_equal(stats.sessions, 1); /* this much of the batch was */
	assert_int_equal(stats.queued, 0);
	store_close(&s);
}

static void unclean_forgets_what_was_not_committed(void **state)
{
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, false);
	struct store_stats stats;
	struct store_batch *b;

	b = fresh(0);
	(void)batch_session(b, 1);
	submit(w, b);
	run(w);
	b = fresh(0);
	(void)batch_session(b, 2);
	submit(w, b);
	writer_free(&w, true);
	assert_int_equal(shards[0].committed, 1);
	assert_int_equal(shards[0].returned, 2);
	store_crash(s, mono);
	store_stats(s, &stats);
	assert_int_equal(stats.sessions, 1);
	store_close(&s);
}

static void a_clean_end_commits_everything(void **state)
{
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, false);
	struct store_batch *b = fresh(0);

	(void)batch_session(b, 1);
	submit(w, b);
	writer_free(&w, false);
	assert_int_equal(shards[0].committed, 1);
	assert_int_equal(shards[0].open, 0);
}

static void counts_go_to_every_shard(void **state)
{
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, false);
	struct store_batch *b = fresh(0);

	for (u64 sid = 1; sid <= 5; sid++)
		(void)batch_session(b, sid);
	submit(w, b);
	run(w);
	assert_int_equal(shards[0].counts, 0); /* none were there at its start */
	writer_free(&w, true);
	store_crash(s, mono);
	(void)setup(state);
	w = writer_new(s, &env, SHARDS, false);
	run(w);
	for (u32 i = 0; i < SHARDS; i++)
		assert_int_equal(shards[i].counts, 5);
	writer_free(&w, false);
}

static void a_large_session_ends_without_being_asked(void **state)
{
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, false);
	struct store_batch *b = fresh(0);
	struct store_stats stats;

	(void)batch_session(b, 1);
	for (u64 seq = 1; seq <= 2000; seq++)
		(void)batch_put(b, 1, seq, 0, "x");
	submit(w, b);
	run(w);
	b = fresh(0);
	(void)batch_op(b, SO_SESSION_DEL, 1, 0);
	submit(w, b);
	(void)writer_step(w);
	assert_int_equal(shards[0].committed, 2); /* at once */
	store_stats(s, &stats);
	assert_int_equal(stats.sessions, 0);
	assert_true(stats.queued > 0);
	run(w);
	store_stats(s, &stats);
	assert_int_equal(stats.queued, 0);
	writer_free(&w, false);
}

static void full_keeps_what_it_has_and_lets_deletions_through(void **state)
{
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, false);
	struct store_batch *b = fresh(0);
	struct store_stats stats;
	struct store_op *op;

	(void)batch_session(b, 1);
	(void)batch_put(b, 1, 1, 0, "x");
	(void)batch_put(b, 1, 2, 0, "y");
	submit(w, b);
	run(w);
	store_memory_full(s, true);
	b = fresh(0);
	(void)batch_put(b, 1, 3, 0, "z");
	op = batch_op(b, SO_READ, 1, 0); /* must wait for the put */
	op->count = op->bytes = 100;
	submit(w, b);
	b = fresh(1);
	(void)batch_op(b, SO_QUEUE_DEL, 1, 1);
	submit(w, b);
	assert_false(writer_step(w));
	assert_true(writer_full(w));
	assert_int_equal(fulls, 1);
	store_stats(s, &stats);
	assert_int_equal(stats.queued, 1);
	assert_int_equal(shards[0].committed, 1);
	assert_int_equal(shards[1].committed, 0); /* a row is a row */
	assert_int_equal(shards[0].reads, 0);
	b = fresh(2);
	op = batch_op(b, SO_READ, 1, 0);
	op->count = op->bytes = 100;
	(void)batch_op(b, SO_QUEUE_DEL, 1, 3); /* and the put is gone */
	submit(w, b);
	run(w);
	assert_int_equal(shards[0].committed, 2);
	assert_int_equal(shards[0].reads, 1);
	assert_int_equal(shards[0].messages, 1);
	assert_int_equal(shards[1].committed, 1);
	assert_int_equal(shards[2].reads, 1);
	assert_true(writer_full(w)); /* still no room for more */
	store_memory_full(s, false);
	b = fresh(0);
	(void)batch_put(b, 1, 4, 0, "z");
	submit(w, b);
	run(w);
	assert_int_equal(shards[0].committed, 3);
	assert_false(writer_full(w));
	assert_int_equal(fulls, 0);
	writer_free(&w, false);
}

/* However much waits in front of them: without them there never is room again. */
static void deletions_get_through_behind_any_number_of_puts(void **state)
{
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, false);
	struct store_batch *b = fresh(0);
	struct store_stats stats;

	(void)batch_session(b, 1);
	(void)batch_put(b, 1, 1, 0, "x");
	submit(w, b);
	run(w);
	store_memory_full(s, true);
	for (u64 k = 0; k < 5; k++) {
		b = fresh(0);
		for (u64 seq = 2; seq < 3000; seq++)
			(void)batch_put(b, 1, k * 3000 + seq, 0, "x");
		submit(w, b);
	}
	b = fresh(1);
	(void)batch_op(b, SO_QUEUE_DEL, 1, 1);
	submit(w, b);
	for (u32 i = 0; i < 5; i++)
		(void)writer_step(w);
	store_stats(s, &stats);
	assert_int_equal(stats.queued, 0);
	store_memory_full(s, false);
	run(w);
	store_stats(s, &stats);
	assert_int_equal(stats.queued, 5 * 2998);
	writer_free(&w, false);
}

/* A transaction is held in memory: large messages share it with few others. */
static void large_messages_make_small_transactions(void **state)
{
	enum { LARGE = 1 << 20, MANY = 40 };
	char *payload = calloc(1, LARGE + 1);
	struct writer *w = writer_new(store_memory(mono), &env, SHARDS, false);
	struct store_batch *b = fresh(0);
	u32 steps = 0;

	memset(payload, 'x', LARGE);
	(void)batch_session(b, 1);
	submit(w, b);
	run(w);
	for (u64 seq = 1; seq <= MANY; seq++) {
		b = fresh(0);
		(void)batch_put(b, 1, seq, 0, payload);
		submit(w, b);
	}
	while (writer_step(w))
		steps++;
	assert_int_equal(steps, 3); /* sixteen MiB each */
	assert_int_equal(shards[0].committed, MANY + 1);
	writer_free(&w, false);
	free(payload);
}

static void a_full_store_can_be_left(void **state)
{
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, false);

	store_memory_full(s, true);
	for (u32 k = 0; k < 3; k++) {
		struct store_batch *b = fresh(0);

		for (u64 sid = 1; sid < 6000; sid++)
			(void)batch_session(b, sid + k * 6000);
		submit(w, b);
	}
	writer_free(&w, false);
	assert_int_equal(shards[0].committed, 0);
	assert_int_equal(shards[0].open, 0);
}

static void on_task(struct store *s, void *arg)
{
	struct store_stats stats;

	store_stats(s, &stats);
	*(_Atomic u64 *)arg = stats.sessions + 1;
}

static void tasks_run_between_transactions(void **state)
{
	struct writer *w = writer_new(store_memory(mono), &env, SHARDS, false);
	_Atomic u64 seen = 0;

	writer_do(w, on_task, &seen);
	assert_true(writer_step(w));
	assert_int_equal(seen, 1);
	writer_free(&w, false);
}

/* A clock that somebody sets is written down, so that a crash does not take the jump for time. */
static void a_wall_clock_that_jumps_is_noted(void **state)
{
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, false);
	struct store_stats stats;
	u64 before, time;

	run(w);
	store_stats(s, &stats);
	before = stats.commits;
	wall += 60000; /* both went on */
	mono += 60000;
	run(w);
	store_stats(s, &stats);
	assert_int_equal(stats.commits, before);
	wall += 3600000;
	run(w);
	run(w);
	store_stats(s, &stats);
	assert_int_equal(stats.commits, before + 1);
	wall -= 7200000;
	run(w);
	store_stats(s, &stats);
	assert_int_equal(stats.commits, before + 2);
	time = store_time(s, mono);
	writer_free(&w, true);
	store_crash(s, mono);
	assert_int_equal(store_time(s, mono), time);
	store_close(&s);
}

/* ---- with a thread --------------------------------------------------------------------------- */

struct load {
	struct writer *w;
	u32 shard;
	u32 rounds;
};

/* No more than a few batches of a shard are under way, as in the broker. */
static void wait_for_room(struct shard *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->open > 3)
		pthread_cond_wait(&s->wake, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* Each shard puts, reads and deletes in sessions of its own; every third round is a group of all
 * shards, opened by shard 0. */
static void *loader(void *arg)
{
	struct load *l = arg;
	struct shard *s = &shards[l->shard];
	u64 sid = 10 + l->shard;

	for (u32 i = 1; i <= l->rounds; i++) {
		struct store_batch *b = fresh(l->shard);
		u64 group = i % 3 == 0 ? i : 0;
		struct store_op *op;

		if (i == 1)
			(void)batch_session(b, sid);
		batch_put(b, sid, i, group ? group : 0, "payload")->group = group;
		if (group != 0 && l->shard == 0)
			group_op(b, SO_GROUP_OPEN, group, SHARDS);
		if (group != 0)
			group_op(b, SO_GROUP_PART, group, 0);
		if (i > 5)
			(void)batch_op(b, SO_QUEUE_DEL, sid, i - 5);
		if (i % 10 == 0) {
			op = batch_op(b, SO_READ, sid, 0);
			op->count = op->bytes = 1000;
		}
		wait_for_room(s);
		submit(l->w, b);
	}
	return NULL;
}

static void shards_in_threads(void **state)
{
	enum { ROUNDS = 600 };
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, true);
	struct load load[SHARDS];
	pthread_t thread[SHARDS];
	_Atomic u64 seen = 0;

	for (u32 i = 0; i < SHARDS; i++) {
		load[i] = (struct load){w, i, ROUNDS};
		assert_int_equal(pthread_create(&thread[i], NULL, loader, &load[i]), 0);
	}
	writer_do(w, on_task, &seen);
	for (u32 i = 0; i < SHARDS; i++)
		pthread_join(thread[i], NULL);
	writer_free(&w, false);
	assert_true(seen > 0);
	assert_int_equal(fatals, 0);
	for (u32 i = 0; i < SHARDS; i++) {
		assert_int_equal(shards[i].committed, ROUNDS);
		assert_int_equal(shards[i].returned, ROUNDS);
		assert_int_equal(shards[i].reads, ROUNDS / 10);
		/* Five each, but for what was put or deleted while a reading waited. */
		assert_in_range(shards[i].messages, ROUNDS / 10 * 2, ROUNDS / 10 * 8);
	}
}

static bool no_problem(void *arg, const char *text)
{
	fail_msg("%s", text);
	return false;
}

/* On disk: copies and checks read while the shards write. */
static void others_read_while_shards_write(void **state)
{
	enum { ROUNDS = 60 };
	const struct store_witness witness = {NULL, no_problem};
	struct store_report report;
	struct load load[SHARDS];
	pthread_t thread[SHARDS];
	struct house h;
	struct writer *w;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	house_make(&h, SEALED);
	w = writer_new(h.s, &env, SHARDS, true);
	for (u32 i = 0; i < SHARDS; i++) {
		load[i] = (struct load){w, i, ROUNDS};
		assert_int_equal(pthread_create(&thread[i], NULL, loader, &load[i]), 0);
	}
	for (u32 i = 0; i < 10; i++) {
		assert_int_equal(store_copy(h.s, fd), E_OK);
		assert_int_equal(store_verify(h.s, &witness, &report), E_OK);
	}
	for (u32 i = 0; i < SHARDS; i++)
		pthread_join(thread[i], NULL);
	writer_free(&w, false);
	assert_int_equal(fatals, 0);
	for (u32 i = 0; i < SHARDS; i++)
		assert_int_equal(shards[i].committed, ROUNDS);
	close(fd);
	assert_int_equal(house_open(&h, house_key), E_OK);
	assert_true(store_was_clean(h.s));
	assert_int_equal(store_verify(h.s, &witness, &report), E_OK);
	assert_int_equal(report.queued, SHARDS * 5);
	house_free(&h);
}

static void a_crash_in_the_middle_keeps_what_was_told(void **state)
{
	enum { ROUNDS = 300 };
	struct store *s = store_memory(mono);
	struct writer *w = writer_new(s, &env, SHARDS, true);
	struct store_stats stats;
	u64 told;

	for (u32 i = 1; i <= ROUNDS; i++) {
		struct store_batch *b = fresh(0);

		(void)batch_session(b, i);
		submit(w, b);
	}
	writer_free(&w, true);
	told = shards[0].committed;
	assert_int_equal(shards[0].open, 0);
	store_crash(s, mono);
	store_stats(s, &stats);
	assert_int_equal(stats.sessions, told);
	store_close(&s);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(batches_are_committed_and_come_back),
		T(an_empty_batch_is_durable_too),
		T(a_serial_waits_for_its_groups),
		T(what_is_not_whole_comes_back_uncommitted),
		T(unclean_forgets_what_was_not_committed),
		T(a_clean_end_commits_everything),
		T(counts_go_to_every_shard),
		T(a_large_session_ends_without_being_asked),
		T(full_keeps_what_it_has_and_lets_deletions_through),
		T(deletions_get_through_behind_any_number_of_puts),
		T(large_messages_make_small_transactions),
		T(a_full_store_can_be_left),
		T(tasks_run_between_transactions),
		T(a_wall_clock_that_jumps_is_noted),
		T(shards_in_threads),
		T(others_read_while_shards_write),
		T(a_crash_in_the_middle_keeps_what_was_told),
	};
	return RUN_TESTS(tests);
}
