/* What only a store on disk can do: be foreign, cut, sealed with another key, killed, copied,
 * checked. */
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "help.h"
#include "store/format.h"
#include "store/kv.h"
#include "store/record.h"

static int setup(void **state)
{
	struct house *h = malloc(sizeof(*h));

	house_make(h, ON_DISK);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	house_free(*state);
	free(*state);
	return 0;
}

static char *data_of(struct house *h, off_t *n)
{
	int fd = openat(h->dir_fd, "data.mdb", O_RDONLY);
	struct stat st;
	char *b;

	assert_int_equal(fstat(fd, &st), 0);
	b = malloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, b, (size_t)st.st_size), st.st_size);
	close(fd);
	*n = st.st_size;
	return b;
}

static void set_data(struct house *h, const char *b, off_t n)
{
	int fd = openat(h->dir_fd, "data.mdb", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, b, (size_t)n), n);
	close(fd);
}

static void refused_as(struct house *h, const u8 *key, enum err e, const char *why)
{
	off_t n, m;
	char *before = data_of(h, &n), *after;

	assert_int_equal(house_open(h, key), e);
	assert_null(h->s);
	if (strstr(h->text, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", h->text, why);
	after = data_of(h, &m);
	assert_int_equal(n, m);
	assert_memory_equal(before, after, (size_t)n);
	free(before);
	free(after);
}

static void refused(struct house *h, const u8 *key, const char *why)
{
	refused_as(h, key, E_CORRUPT, why);
}

static void files_are_private(void **state)
{
	static const char *const name[] = {"data.mdb", "lock.mdb", "ballast"};
	struct house *h = *state;
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		assert_int_equal(fstatat(h->dir_fd, name[i], &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
}

static void foreign_files_are_refused_and_left_alone(void **state)
{
	static const char text[] = "this is not a database, and a rather short text at that";
	struct house *h = *state;
	char *big = calloc(1, 1 << 20);

	store_close(&h->s);
	set_data(h, text, sizeof(text));
	refused(h, NULL, "of another program");
	set_data(h, big, 1 << 20);
	refused(h, NULL, "of another program");
	memset(big, 0xff, 1 << 20);
	set_data(h, big, 1 << 20);
	refused(h, NULL, "of another program");
	set_data(h, "", 0); /* an empty file is a new store */
	assert_int_equal(house_open(h, NULL), E_OK);
	free(big);
}

/* An LMDB file, but not ours. */
static void another_programs_databases_are_refused(void **state)
{
	struct house *h = *state;
	MDB_val v = {1, "x"};
	MDB_txn *txn;
	MDB_env *env;
	MDB_dbi dbi;

	store_close(&h->s);
	(void)unlinkat(h->dir_fd, "data.mdb", 0);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 2), 0);
	assert_int_equal(mdb_env_open(env, h->dir, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "theirs", MDB_CREATE, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &v, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	refused(h, NULL, "no database \"meta\"");
	(void)unlinkat(h->dir_fd, "data.mdb", 0);
	assert_int_equal(house_open(h, NULL), E_OK);
}

static void a_file_that_was_cut_is_refused(void **state)
{
	struct house *h = *state;
	char *b, *payload = calloc(1, 50001);
	off_t n;

	memset(payload, 'x', 50000);
	house_session(h, 1);
	(void)house_put(h, 1, 1, 0, payload);
	house_commit(h);
	store_close(&h->s);
	b = data_of(h, &n);
	for (off_t cut = 1; cut < n; cut += 4096 * 3 + 1) {
		set_data(h, b, cut);
		refused(h, NULL, "cut short");
	}
	set_data(h, b, n);
	assert_int_equal(house_open(h, NULL), E_OK);
	free(b);
	free(payload);
}

/* LMDB does not write pages at the end that a transaction took and freed again, and a kill at the
 * right moment leaves such a file. */
static void a_file_may_end_before_its_last_page(void **state)
{
	enum { META_LAST = 136 };
	struct house *h = *state;
	char *b;
	off_t n;

	house_session(h, 1);
	(void)house_put(h, 1, 1, 0, "here");
	house_commit(h);
	store_close(&h->s);
	b = data_of(h, &n);
	for (u32 page = 0; page < 2; page++)
		b[page * 4096 + META_LAST] = (char)(b[page * 4096 + META_LAST] + 8);
	set_data(h, b, n);
	assert_int_equal(house_open(h, NULL), E_OK);
	assert_string_equal(house_queue(h, 1), "1:here");
	free(b);
}

static void a_key_is_needed_and_has_to_be_the_right_one(void **state)
{
	struct house *h = *state;
	u8 other[32] = "another key, 32 bytes long ....";
	char *b;
	off_t n;

	store_close(&h->s);
	refused_as(h, house_key, E_CREDENTIAL, "is not sealed");
	(void)unlinkat(h->dir_fd, "data.mdb", 0);
	h->kind = SEALED;
	assert_int_equal(house_open(h, house_key), E_OK);
	house_session(h, 1);
	(void)house_put(h, 1, 1, 0, "a secret payload");
	house_commit(h);
	store_close(&h->s);
	refused_as(h, NULL, E_CREDENTIAL, "no key");
	refused_as(h, other, E_CREDENTIAL, "another key");
	b = data_of(h, &n);
	assert_null(memmem(b, (size_t)n, "secret payload", 14));
	assert_null(memmem(b, (size_t)n, "client", 6));
	free(b);
	assert_int_equal(house_open(h, house_key), E_OK);
	assert_string_equal(house_queue(h, 1), "1:a secret payload");
}

/* Change a record of the closed store behind its back. */
static void put_raw(struct house *h, const char *db, const void *key, size_t nkey,
		    const void *value, size_t n)
{
	MDB_val k = {nkey, NULL}, v = {n, NULL};
	u8 copy[16];
	MDB_txn *txn;
	MDB_env *env;
	MDB_dbi dbi;

	memcpy(copy, key, nkey);
	k.mv_data = copy;
	v.mv_data = malloc(MAX(n, 1u));
	memcpy(v.mv_data, value, n);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, KV_DBS), 0);
	assert_int_equal(mdb_env_open(env, h->dir, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, db, 0, &dbi), 0);
	if (n == 0)
		assert_int_equal(mdb_del(txn, dbi, &k, NULL), 0);
	else
		assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	free(v.mv_data);
}

static void a_later_release_is_not_touched(void **state)
{
	static const u8 key[8] = {0, 0, 0, 0, 0, 0, 0, META_FORMAT};
	const struct place at = {KV_META, META_FORMAT, 0};
	struct house *h = *state;
	u8 record[64], *f = record + FORMAT_HEAD;
	struct wr w = wr_of(f, 32);

	store_close(&h->s);
	wr_slice(&w, SLICE_LIT(FORMAT_NAME));
	wr_u32(&w, FORMAT_VERSION + 1);
	wr_u64(&w, 0);
	wr_u8(&w, 42); /* something that only the later one knows */
	record_finish(NULL, &at, REC_FORMAT, record, w.n);
	put_raw(h, "meta", key, sizeof(key), record, record_size(NULL, w.n));
	refused(h, NULL, "later release");
	put_raw(h, "meta", key, sizeof(key), "rubbish", 7);
	refused(h, NULL, "does not say");
	(void)unlinkat(h->dir_fd, "data.mdb", 0);
	assert_int_equal(house_open(h, NULL), E_OK);
}

/* ---- damaged records ------------------------------------------------------------------------- */

static bool count_problem(void *arg, const char *text)
{
	++*(u32 *)arg;
	return true;
}

static bool keep_drops(void *arg, const struct store_session *x)
{
	*(u32 *)arg = x->dropped[DROP_DAMAGED];
	return true;
}

static void damaged_records_are_counted_and_left_out(void **state)
{
	static const u8 entry[16] = {[7] = 1, [15] = 2}, body[8] = {[6] = 4, [7] = 210};
	struct house *h = *state;
	u32 problems = 0, drops = 0;
	const struct store_witness w = {&problems, count_problem};
	struct store_report r;
	u64 damaged;

	house_session(h, 1);
	house_session(h, 2);
	for (u64 seq = 1; seq <= 3; seq++)
		(void)house_put(h, 1, seq, 0, "fine");
	(void)house_put(h, 1, 4, 1234, "shared"); /* 4 << 8 | 210 */
	(void)house_put(h, 2, 4, 1234, "shared");
	house_commit(h);
	store_close(&h->s);
	put_raw(h, "queue", entry, sizeof(entry), "\1\5", 2);
	put_raw(h, "bodies", body, sizeof(body), "", 0);
	assert_int_equal(house_open(h, NULL), E_OK);
	assert_int_equal(store_verify(h->s, &w, &r), E_OK);
	assert_int_equal(r.queued, 5);
	assert_int_equal(r.damaged, 1);
	assert_int_equal(r.lost, 2);
	assert_int_equal(r.miscount, 1);
	assert_int_equal(problems, 4);
	assert_string_equal(house_queue(h, 1), "1:fine 3:fine");
	assert_int_equal(h->read[0].damaged, 2);
	assert_string_equal(house_queue(h, 1), "1:fine 3:fine"); /* and deleted */
	assert_int_equal(h->read[0].damaged, 0);
	assert_int_equal(store_each_session(h->s, keep_drops, &drops, &damaged), E_OK);
	(void)house_op(h, SO_SESSION_DEL, 2, 0);
	house_commit(h);
	problems = 0;
	assert_int_equal(store_verify(h->s, &w, &r), E_OK);
	assert_int_equal(problems, 0); /* the count went with the last who needed it */
}

static bool first_problem(void *arg, const char *text)
{
	(void)snprintf(arg, 128, "%s", text);
	return false;
}

static void verify_names_what_does_not_fit(void **state)
{
	static const u8 session[8] = {[7] = 1}, refs[8] = {[7] = 99};
	const struct place at = {KV_REFS, 99, 0};
	struct house *h = *state;
	char text[128] = "";
	const struct store_witness w = {text, first_problem};
	u8 record[32];
	struct store_report r;

	house_session(h, 1);
	(void)house_put(h, 1, 7, 0, "x");
	house_commit(h);
	store_close(&h->s);
	put_raw(h, "sessions", session, sizeof(session), "", 0);
	assert_int_equal(house_open(h, NULL), E_OK);
	assert_int_equal(store_verify(h->s, &w, &r), E_STATE);
	assert_string_equal(text, "no such session: 1/7");
	house_session(h, 1);
	house_session(h, 2);
	(void)house_put(h, 1, 8, 99, "x");
	(void)house_put(h, 2, 8, 99, "x");
	house_commit(h);
	store_close(&h->s);
	memcpy(record + FORMAT_HEAD, "\0\0\0\3", 4);
	record_finish(NULL, &at, REC_REFS, record, 4);
	put_raw(h, "refs", refs, sizeof(refs), record, record_size(NULL, 4));
	assert_int_equal(house_open(h, NULL), E_OK);
	assert_int_equal(store_verify(h->s, &w, &r), E_STATE);
	assert_string_equal(text, "a message with a wrong count: 99");
}

/* ---- copies ---------------------------------------------------------------------------------- */

static void a_copy_is_a_store(void **state)
{
	struct house *h = *state, copy;
	u32 problems = 0;
	const struct store_witness w = {&problems, count_problem};
	struct store_report r;
	int fd;

	house_session(h, 1);
	for (u64 seq = 1; seq <= 50; seq++)
		(void)house_put(h, 1, seq, seq == 50 ? 0 : 77, "x");
	house_commit(h);
	for (u64 seq = 1; seq <= 48; seq++)
		(void)house_op(h, SO_QUEUE_DEL, 1, seq);
	house_commit(h);
	house_make(&copy, ON_DISK);
	store_close(&copy.s);
	fd = openat(copy.dir_fd, "data.mdb", O_WRONLY | O_TRUNC);
	assert_int_equal(store_copy(h->s, fd), E_OK);
	close(fd);
	(void)house_op(h, SO_QUEUE_DEL, 1, 49); /* not in the copy any more */
	house_commit(h);
	assert_int_equal(house_open(&copy, NULL), E_OK);
	assert_int_equal(store_epoch(copy.s), store_epoch(h->s) + 1);
	assert_false(store_was_clean(copy.s)); /* it was made of one in use */
	assert_string_equal(house_queue(&copy, 1), "49:x 50:x");
	assert_int_equal(store_verify(copy.s, &w, &r), E_OK);
	assert_int_equal(problems, 0);
	house_free(&copy);
	fd = open("/dev/full", O_WRONLY);
	assert_int_equal(store_copy(h->s, fd), E_QUOTA);
	close(fd);
	assert_string_equal(house_queue(h, 1), "50:x"); /* the store itself goes on */
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void a_clean_end_is_remembered_once(void **state)
{
	struct house *h = *state;

	assert_true(store_was_clean(h->s)); /* new */
	house_reopen(h);
	assert_true(store_was_clean(h->s));
	house_session(h, 1);
	house_commit(h);
	house_reopen(h);
	assert_true(store_was_clean(h->s));
}

/* Commits as fast as it can and says how far it came: round i puts i in three queues, shared, and
 * deletes i - 10. */
static void NORETURN write_until_killed(struct house *h, int fd, u64 round)
{
	for (;; round++) {
		for (u64 sid = 1; sid <= 3; sid++) {
			house_session(h, sid);
			(void)house_put(h, sid, round, 1000 + round, "x");
			if (round > 10)
				(void)house_op(h, SO_QUEUE_DEL, sid, round - 10);
		}
		house_commit(h);
		if (write(fd, &round, sizeof(round)) != sizeof(round))
			_exit(1);
	}
}

static u64 run_and_kill(struct house *h, u64 round, u64 more)
{
	u64 told = round;
	int fd[2], status;
	pid_t pid;

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (house_open(h, NULL) != E_OK)
			_exit(1);
		write_until_killed(h, fd[1], round + 1);
	}
	close(fd[1]);
	while (told < round + more)
		assert_int_equal(read(fd[0], &told, sizeof(told)), sizeof(told));
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (read(fd[0], &told, sizeof(told)) == sizeof(told))
		;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	close(fd[0]);
	return told;
}

static void what_was_committed_survives_a_kill(void **state)
{
	struct house *h = *state;
	u32 problems = 0;
	const struct store_witness w = {&problems, count_problem};
	struct store_report r;
	u64 round = 0;

	store_close(&h->s);
	for (u32 i = 0; i < 25; i++) {
		u64 told = run_and_kill(h, round, 1 + i * 7 % 30), last;

		assert_int_equal(house_open(h, NULL), E_OK);
		assert_false(store_was_clean(h->s));
		for (u64 sid = 1; sid <= 3; sid++) {
			house_read(h, sid, 0, 1000);
			house_commit(h);
			assert_int_equal(h->read[0].n, MIN(10u, h->read[0].last));
			last = h->read[0].last;
			assert_in_range(last, told, told + 1);
			round = sid == 1 ? last : round;
			assert_int_equal(last, round); /* all or none of a transaction */
		}
		assert_int_equal(store_verify(h->s, &w, &r), E_OK);
		assert_int_equal(problems, 0);
		assert_int_equal(r.bodies, MIN(10u, round));
		store_close(&h->s);
		assert_int_equal(house_open(h, NULL), E_OK);
		assert_true(store_was_clean(h->s));
		store_close(&h->s);
	}
	assert_int_equal(house_open(h, NULL), E_OK);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(files_are_private),
		T(foreign_files_are_refused_and_left_alone),
		T(another_programs_databases_are_refused),
		T(a_file_that_was_cut_is_refused),
		T(a_file_may_end_before_its_last_page),
		T(a_key_is_needed_and_has_to_be_the_right_one),
		T(a_later_release_is_not_touched),
		T(damaged_records_are_counted_and_left_out),
		T(verify_names_what_does_not_fit),
		T(a_copy_is_a_store),
		T(a_clean_end_is_remembered_once),
		T(what_was_committed_survives_a_kill),
	};
	return RUN_TESTS(tests);
}
