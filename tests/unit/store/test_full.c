/* A disk that is full, and a store that has grown to its bound: nothing is lost, nothing is told
 * that is not so, deletions go on, and afterwards everything does.
 *
 * The disk is a small tmpfs in a mount namespace of this process; where there can be none (no root,
 * no user namespaces), those tests say that they were left out. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "help.h"
#include "store/engine.h"
#include "store/kv.h"
#include "store/seal.h"
#include "store/writer.h"

enum { PAYLOAD = 20000, DISK_MIB = 16, PUTS_MAX = 4000 };

static struct {
	u64 wall, mono, committed, serial, open;
	u32 reads, messages;
	bool full;
} shard;

static void on_notice(void *arg, u32 which, struct store_notice *n)
{
	assert_true(n->committed >= shard.committed);
	shard.committed = n->committed;
	while (n->returned != NULL) {
		struct store_batch *b = n->returned;

		n->returned = b->next;
		store_batch_free(&b);
		shard.open--;
	}
	shard.reads += n->nreads;
	for (u32 i = 0; i < n->nreads; i++)
		shard.messages += n->reads[i].n;
	store_notice_free(&n);
}

static void on_full(void *arg, bool full)
{
	assert_true(shard.full != full);
	shard.full = full;
}

static void on_fatal(void *arg, enum err e)
{
	fail_msg("fatal: %s", err_text(e));
}

static u64 wall_ms(void *arg)
{
	return shard.wall;
}

static u64 mono_ms(void *arg)
{
	return shard.mono;
}

static const struct writer_env env = {.notice = on_notice,
				      .full = on_full,
				      .fatal = on_fatal,
				      .wall_ms = wall_ms,
				      .mono_ms = mono_ms};

/* Half a second, for the store to look for room again. */
static void run(struct writer *w)
{
	shard.mono += 500;
	while (writer_step(w))
		;
}

static struct store_batch *fresh(void)
{
	shard.open++;
	return store_batch_new(0, ++shard.serial);
}

static void put(struct writer *w, u64 seq)
{
	static char payload[PAYLOAD + 1];
	struct store_batch *b = fresh();

	memset(payload, 'x', PAYLOAD);
	(void)batch_put(b, 1, seq, 0, payload);
	writer_submit(w, b);
	run(w);
}

static void del(struct writer *w, u64 seq)
{
	struct store_batch *b = fresh();

	(void)batch_op(b, SO_QUEUE_DEL, 1, seq);
	writer_submit(w, b);
	run(w);
}

static u64 queued(struct store *s)
{
	struct store_stats st;

	store_stats(s, &st);
	return st.queued;
}

static struct writer *begin(struct house *h)
{
	struct writer *w = writer_new(h->s, &env, 1, false);
	struct store_batch *b = fresh();

	(void)batch_session(b, 1);
	writer_submit(w, b);
	run(w);
	return w;
}

/* Put until there is no room; returns the last sequence that is durable. */
static u64 fill(struct writer *w)
{
	u64 seq = 0;

	while (!shard.full) {
		put(w, ++seq);
		assert_in_range(seq, 1, PUTS_MAX);
	}
	assert_true(writer_full(w));
	run(w); /* half a second later there is no more room either */
	assert_true(shard.full);
	return shard.committed == shard.serial ? seq : seq - 1;
}

static void fill_drain_and_go_on(struct house *h)
{
	struct writer *w = begin(h);
	u64 durable = fill(w), first = 1, before, stuck, puts = shard.serial - 1;
	struct store_op *op;
	struct store_batch *b;

	assert_in_range(durable, 50, PUTS_MAX);
	assert_int_equal(queued(h->s), durable);
	put(w, durable + 2); /* waits, and is not told */
	stuck = shard.committed;
	assert_true(shard.open > 0);
	/* Readings and deletions go on. */
	b = fresh();
	op = batch_op(b, SO_READ, 1, 0);
	op->count = 3;
	op->bytes = UINT32_MAX;
	shard.reads = 0;
	writer_submit(w, b);
	run(w);
	before = queued(h->s);
	del(w, first++);
	assert_int_equal(queued(h->s), before - 1);
	assert_int_equal(shard.committed, stuck);
	while (shard.full) {
		del(w, first++);
		assert_in_range(first, 1, durable);
	}
	run(w);
	assert_int_equal(shard.reads, 1); /* behind what it has to see */
	assert_int_equal(shard.committed, shard.serial);
	assert_int_equal(shard.open, 0);
	put(w, durable + 3);
	assert_int_equal(shard.committed, shard.serial);
	/* All that were put, the two since among them, but for what was deleted. */
	assert_int_equal(queued(h->s), puts + 2 - (first - 1));
	writer_free(&w, false);
	h->s = NULL;
}

static bool problem(void *arg, const char *text)
{
	fail_msg("%s", text);
	return false;
}

static void check_sound(struct house *h, u64 seqs)
{
	const struct store_witness w = {NULL, problem};
	struct store_report r;

	assert_int_equal(store_verify(h->s, &w, &r), E_OK);
	assert_int_equal(r.queued, seqs);
}

static void a_store_at_its_bound(void **state)
{
	struct house h;

	memset(&shard, 0, sizeof(shard));
	house_make_in(&h, ON_DISK, "/tmp", 12 << 20);
	fill_drain_and_go_on(&h);
	assert_int_equal(house_open(&h, NULL), E_OK);
	assert_in_range(house_stats(&h).bytes, 10 << 20, 18 << 20);
	house_free(&h);
}

/* A transaction that fails in the middle leaves nothing, not even in memory. */
static void a_transaction_larger_than_the_store(void **state)
{
	char *payload = calloc(1, 60 << 20);
	struct house h;

	memset(payload, 'x', (60 << 20) - 1);
	house_make_in(&h, ON_DISK, "/tmp", 12 << 20);
	house_session(&h, 7);
	(void)house_put(&h, 7, 1, 0, payload);
	assert_int_equal(house_try(&h), E_QUOTA);
	h.b->n = 0;
	h.mono += 1000;
	(void)house_put(&h, 7, 2, 0, "of a session that is not there");
	house_commit(&h);
	assert_int_equal(house_stats(&h).sessions, 0);
	assert_int_equal(house_stats(&h).queued, 0);
	house_session(&h, 7);
	(void)house_put(&h, 7, 3, 0, "fits");
	house_commit(&h);
	assert_string_equal(house_queue(&h, 7), "3:fits");
	house_free(&h);
	free(payload);
}

static void take_the_rest(struct house *h)
{
	int fd = openat(h->dir_fd, "greedy", O_WRONLY | O_CREAT, 0600);

	while (fallocate(fd, 0, lseek(fd, 0, SEEK_END), 4096) == 0)
		;
	close(fd);
}

/* It cannot be made, and says so: a map of a file that has no blocks would end the process. */
static void a_new_store_on_a_full_disk(void **state)
{
	struct house h;

	if (*state == NULL)
		skip();
	house_make_in(&h, ON_DISK, *state, 1ull << 40);
	store_close(&h.s);
	(void)unlinkat(h.dir_fd, "data.mdb", 0);
	(void)unlinkat(h.dir_fd, "lock.mdb", 0);
	(void)unlinkat(h.dir_fd, "ballast", 0);
	take_the_rest(&h);
	assert_int_equal(house_open(&h, NULL), E_QUOTA);
	assert_string_equal(h.text, "the disk is full");
	assert_int_equal(unlinkat(h.dir_fd, "greedy", 0), 0);
	assert_int_equal(house_open(&h, NULL), E_OK);
	house_session(&h, 1);
	house_commit(&h);
	house_free(&h);
}

static void a_full_disk(void **state)
{
	struct house h;

	if (*state == NULL)
		skip();
	memset(&shard, 0, sizeof(shard));
	house_make_in(&h, ON_DISK, *state, 1ull << 40);
	fill_drain_and_go_on(&h);
	assert_int_equal(house_open(&h, NULL), E_OK);
	house_free(&h);
}

/* Ends while it is full: opens again, with the deletions. */
static void a_full_disk_at_the_start(void **state)
{
	struct house h;
	struct writer *w;
	u64 durable;

	if (*state == NULL)
		skip();
	memset(&shard, 0, sizeof(shard));
	house_make_in(&h, ON_DISK, *state, 1ull << 40);
	w = begin(&h);
	durable = fill(w);
	del(w, 1);
	writer_free(&w, true);
	assert_int_equal(shard.open, 0);
	store_close(&h.s);
	/* Somebody else takes the rest. */
	take_the_rest(&h);
	assert_int_equal(house_open(&h, NULL), E_OK);
	check_sound(&h, durable - 1);
	memset(&shard, 0, sizeof(shard));
	w = writer_new(h.s, &env, 1, false);
	run(w);
	for (u64 seq = 2; seq < 12; seq++)
		del(w, seq);
	assert_int_equal(queued(h.s), durable - 11);
	assert_int_equal(shard.committed, shard.serial);
	assert_int_equal(unlinkat(h.dir_fd, "greedy", 0), 0);
	writer_free(&w, false);
	assert_int_equal(house_open(&h, NULL), E_OK);
	check_sound(&h, durable - 11);
	house_free(&h);
}

static struct kv_class fails_once;
static const struct kv_class *real;
static u32 failures;

static enum err commit_fails_once(struct kv_txn **t)
{
	if (failures++ != 0)
		return real->commit(t);
	real->abort(t);
	return E_QUOTA;
}

/* The disk is full when the opening is written down: it is tried again, as another opening. */
static void an_opening_that_finds_room_the_second_time(void **state)
{
	u8 key[32] = {1};

	for (u32 sealed = 0; sealed < 2; sealed++) {
		char text[160] = "";
		struct store_opening o = {.kv = kv_memory(), .text = text, .cap = sizeof(text)};
		struct store *s;
		real = o.kv->class;
		fails_once = *real;
		fails_once.commit = commit_fails_once;
		o.kv->class = &fails_once;
		o.seal = sealed ? seal_new(key) : NULL;
		o.eye = sealed ? seal_new(key) : NULL;
		failures = 0;
		assert_int_equal(engine_start(&s, &o), E_OK);
		assert_int_equal(failures, 2);
		assert_true(store_epoch(s) > 0);
		store_close(&s);
	}
}

/* A tmpfs that only this process sees; NULL: there can be none here. */
static char *small_disk(void)
{
	static char dir[] = "/tmp/picket-disk-XXXXXX";
	char options[64];

	if (mkdtemp(dir) == NULL)
		return NULL;
	(void)snprintf(options, sizeof(options), "size=%dm,mode=0700", DISK_MIB);
	if ((unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("picket", dir, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0)
		return dir;
	print_message("no mount namespace here (%s): full disks are left out\n", strerror(errno));
	(void)rmdir(dir);
	return NULL;
}

int main(void)
{
	char *dir = small_disk();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_store_at_its_bound),
		cmocka_unit_test(a_transaction_larger_than_the_store),
		cmocka_unit_test(an_opening_that_finds_room_the_second_time),
		cmocka_unit_test_prestate(a_new_store_on_a_full_disk, dir),
		cmocka_unit_test_prestate(a_full_disk, dir),
		cmocka_unit_test_prestate(a_full_disk_at_the_start, dir),
	};
	int failed = RUN_TESTS(tests);

	if (dir != NULL && (umount2(dir, MNT_DETACH) != 0 || rmdir(dir) != 0))
		print_message("%s stays behind\n", dir);
	return failed;
}
