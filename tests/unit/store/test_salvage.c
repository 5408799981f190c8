/* salvage: whatever has been done to a store's file, what is whole comes over unchanged and makes
 * sense together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/record.h"
#include "store/salvage.h"

enum { SESSIONS = 40, ENTRIES = 6, SHARED = 10, RETAINED = 30, PAGE = 4096, EPOCH = 7 };
enum { RECORDS = SESSIONS * (1 + 2 + 1 + 1 + ENTRIES) + SHARED * 2 + RETAINED + 2 };

static const u8 key[32] = {1, 2, 3};

/* ---- a store's file -------------------------------------------------------------------------- */

struct made {
	MDB_txn *txn;
	MDB_dbi dbi[KV_DBS];
	struct seal *seal;
};

static void put(struct made *m, enum kv_db db, u64 a, u64 b, enum format_kind kind,
		record_fields *fields, const void *thing)
{
	struct place at = {.db = db, .a = a, .b = b};
	struct seal *seal = kind != REC_FORMAT ? m->seal : NULL;
	u8 k[16], *record;
	struct wr w = wr_count();
	MDB_val mk = {place_key(&at, k), k}, mv;

	fields(&w, thing);
	mv.mv_size = record_size(seal, w.n);
	record = malloc(mv.mv_size);
	mv.mv_data = record;
	w = wr_of(record + record_fields_at(seal), w.n);
	fields(&w, thing);
	record_finish(seal, &at, kind, record, w.n);
	assert_int_equal(mdb_put(m->txn, m->dbi[db], &mk, &mv, 0), 0);
	free(record);
}

static struct slice payload(u32 n)
{
	static u8 bytes[8192];

	memset(bytes, 'p', sizeof(bytes));
	return slice_of(bytes, n % sizeof(bytes));
}

static u64 body_number(u32 i)
{
	return store_number(EPOCH, 1, 100 + i);
}

static void put_queue(struct made *m, u64 sid, u32 n)
{
	static const u32 ids[] = {2, 5, 9};

	for (u32 i = 0; i < ENTRIES; i++) {
		struct record_queued q = {.q = {.qos = 1, .ids = i == 0 ? ids : NULL}};
		q.q.m.topic = SLICE_LIT("a/b");
		q.q.m.payload = payload((n * 97 + i * 31) % (i == 5 ? 6000 : 300));
		q.ref = i % 2 == 1 && i != 5;
		if (q.ref)
			q.q.m.number = body_number((n + i) % SHARED);
		put(m, KV_QUEUE, sid, store_number(EPOCH, 0, i + 1),
		    q.ref ? REC_QUEUED_REF : REC_QUEUED, q.ref ? fields_ref : fields_queued, &q);
	}
}

static void put_session(struct made *m, u32 n)
{
	u64 sid = store_number(EPOCH, 0, n + 1);
	struct store_session s = {.sid = sid,
				  .identity = SLICE_LIT("esp"),
				  .client_id = SLICE_LIT("esp:1"),
				  .created_ms = 1000 + n};
	struct store_sub sub = {.filter = SLICE_LIT("a/#"), .qos = 1};
	struct record_drops d = {{0}};

	d.n[DROP_QUOTA] = n;
	put(m, KV_SESSIONS, sid, 0, REC_SESSION, fields_session, &s);
	put(m, KV_SUBS, sid, 0, REC_SUB, fields_sub, &sub);
	put(m, KV_SUBS, sid, 1, REC_SUB, fields_sub, &sub);
	put(m, KV_PIDS, sid, 12, REC_PID, fields_nothing, NULL);
	put(m, KV_DROPS, sid, 0, REC_DROPS, fields_drops, &d);
	put_queue(m, sid, n);
}

static void put_all(struct made *m)
{
	struct record_format f = {.version = FORMAT_VERSION};
	struct record_state st = {.epoch = EPOCH, .store_ms = 5000};

	put(m, KV_META, META_FORMAT, 0, REC_FORMAT, fields_format, &f);
	put(m, KV_META, META_STATE, 0, REC_STATE, fields_state, &st);
	for (u32 i = 0; i < SESSIONS; i++)
		put_session(m, i);
	for (u32 i = 0; i < SHARED; i++) {
		struct store_msg b = {.number = body_number(i), .topic = SLICE_LIT("s"), .qos = 1};
		u32 count = 1; /* wrong: it is counted anew */
		b.payload = payload(50 + i * 70);
		put(m, KV_BODIES, b.number, 0, REC_BODY, fields_body, &b);
		put(m, KV_REFS, b.number, 0, REC_REFS, fields_count, &count);
	}
	for (u32 i = 0; i < RETAINED; i++) {
		struct store_retained r = {.number = store_number(EPOCH, 2, i), .stored_ms = 2000};
		r.m.topic = SLICE_LIT("r");
		r.m.payload = payload(20 * i);
		put(m, KV_RETAINED, r.number, 0, REC_RETAINED, fields_retained, &r);
	}
}

struct file {
	u8 *bytes;
	size_t n;
	int fd;
};

static struct file file_of(bool sealed)
{
#define X(name, word, numbers) word,
	static const char *const names[] = {KV_DATABASES(X)};
#undef X
	char dir[] = "/tmp/salvage.XXXXXX", path[64];
	struct made m = {.seal = sealed ? seal_new(key) : NULL};
	struct file f = {0};
	struct stat st;
	MDB_env *env;
	int fd;

	if (sealed)
		seal_begin(m.seal, EPOCH);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, KV_DBS), 0);
	assert_int_equal(mdb_env_set_mapsize(env, 64u << 20), 0);
	assert_int_equal(mdb_env_open(env, dir, MDB_NOSYNC, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &m.txn), 0);
	for (u32 i = 0; i < KV_DBS; i++)
		assert_int_equal(mdb_dbi_open(m.txn, names[i], MDB_CREATE, &m.dbi[i]), 0);
	put_all(&m);
	assert_int_equal(mdb_txn_commit(m.txn), 0);
	mdb_env_close(env);
	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	f.n = (size_t)st.st_size;
	f.bytes = malloc(f.n);
	assert_int_equal(pread(fd, f.bytes, f.n, 0), f.n);
	close(fd);
	unlink(path);
	snprintf(path, sizeof(path), "%s/lock.mdb", dir);
	unlink(path);
	rmdir(dir);
	f.fd = memfd_create("salvage", MFD_CLOEXEC);
	assert_int_equal(pwrite(f.fd, f.bytes, f.n, 0), f.n);
	if (m.seal != NULL)
		seal_free(&m.seal);
	return f;
}

static void file_free(struct file *f)
{
	close(f->fd);
	free(f->bytes);
}

static void write_at(const struct file *f, size_t at, const u8 *b, size_t n)
{
	assert_int_equal(pwrite(f->fd, b, n, (off_t)at), n);
}

/* ---- does what came over make sense? --------------------------------------------------------- */

static bool has(struct kv_txn *t, struct kv *kv, enum kv_db db, u64 a)
{
	struct slice v;

	return kv->class->get(t, db, a, 0, &v) == E_OK;
}

struct sum {
	u64 entries[SHARED]; /* that name a body */
	u64 of_nobody, without_body, wrong_count, unreadable;
	struct record_state state;
};

static void check_record(struct kv *kv, struct kv_txn *t, enum kv_db db, const struct kv_item *it,
			 struct seal *seal, struct sum *sum)
{
	struct place at = {.db = db, .a = it->a, .b = it->b};
	struct store_chunk *scratch = NULL;
	struct record_queued q;
	struct slice fields;
	u32 count = 0;
	u8 kind = 0;

	if (record_open(it->a == META_FORMAT && db == KV_META ? NULL : seal, &at, it->value,
			&scratch, &kind, &fields) != E_OK)
		sum->unreadable++;
	else if (kind == REC_STATE)
		assert_int_equal(read_state(fields, &sum->state), E_OK);
	else if (kind == REC_QUEUED_REF && read_queued(fields, kind, &scratch, &q) == E_OK)
		sum->entries[q.q.m.number - body_number(0)]++;
	else if (kind == REC_REFS && read_count(fields, &count) == E_OK)
		sum->wrong_count += sum->entries[it->a - body_number(0)] != count;
	if (kv_pair(db))
		sum->of_nobody += !has(t, kv, KV_SESSIONS, it->a);
	chunk_free(&scratch);
}

static struct sum check(struct kv *kv, struct seal *seal)
{
	struct sum sum = {.of_nobody = 0};
	struct kv_txn *t;

	assert_int_equal(kv->class->begin(kv, KV_READ, &t), E_OK);
	for (u32 db = 0; db < KV_DBS; db++) {
		struct kv_item it;
		u64 a = 0, b = 0;
		/* Another get in between moves the cursor, so each is sought anew. */
		while (kv->class->seek(t, (enum kv_db)db, a, b, &it) == E_OK) {
			check_record(kv, t, (enum kv_db)db, &it, seal, &sum);
			a = it.a + (kv_pair((enum kv_db)db) ? 0 : 1);
			b = kv_pair((enum kv_db)db) ? it.b + 1 : 0;
		}
	}
	for (u32 i = 0; i < SHARED; i++) {
		bool there = has(t, kv, KV_BODIES, body_number(i));
		sum.without_body += there != (sum.entries[i] != 0);
	}
	kv->class->abort(&t);
	return sum;
}

static u64 kept(const struct salvage_report *r)
{
	u64 n = 0;

	for (u32 i = 0; i < KV_DBS; i++)
		n += r->kept[i];
	return n;
}

static enum err run(const struct file *f, struct seal *seal, struct salvage_report *r)
{
	struct kv *kv = kv_memory();
	enum err e = salvage_into(kv, f->fd, seal, r);

	if (e == E_OK) {
		struct sum sum = check(kv, seal);
		assert_int_equal(sum.unreadable, 0);
		assert_int_equal(sum.of_nobody, 0);
		assert_int_equal(sum.without_body, 0);
		assert_int_equal(sum.wrong_count, 0);
		assert_true(sum.state.epoch > EPOCH || r->kept[KV_SESSIONS] == 0);
		assert_false(sum.state.clean);
	}
	kv->class->close(&kv);
	return e;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void whole_store_comes_over_whole(void **state)
{
	(void)state;
	for (u32 sealed = 0; sealed < 2; sealed++) {
		struct file f = file_of(sealed != 0);
		struct seal *seal = sealed ? seal_new(key) : NULL;
		struct salvage_report r;

		assert_int_equal(run(&f, seal, &r), E_OK);
		assert_int_equal(kept(&r), RECORDS);
		assert_int_equal(r.orphans, 0);
		assert_int_equal(r.pages.pages + r.pages.nodes + r.pages.lost, 0);
		if (sealed)
			seal_free(&seal);
		file_free(&f);
	}
}

static void another_key_opens_nothing(void **state)
{
	static const u8 other[32] = {9};
	struct file f = file_of(true);
	struct seal *seal = seal_new(other);
	struct salvage_report r;

	(void)state;
	assert_int_equal(run(&f, seal, &r), E_CORRUPT);
	seal_free(&seal);
	assert_int_equal(run(&f, NULL, &r), E_CORRUPT);
	file_free(&f);
}

static void each_page_in_turn(void **state)
{
	struct file f = file_of(false);
	u8 noise[PAGE];
	u32 some = 0, with_all = 0;

	(void)state;
	memset(noise, 0x5a, sizeof(noise));
	for (size_t at = 0; at < f.n; at += PAGE) {
		struct salvage_report r;
		bool leaf = at >= 2 * PAGE && f.bytes[at + 10] == 2;
		enum err e;

		write_at(&f, at, noise, PAGE);
		e = run(&f, NULL, &r);
		if (leaf && e == E_OK && r.databases_lost == 0) {
			some++;
			/* At most what one page holds is lost, and what belongs to it. */
			assert_true(kept(&r) + r.orphans + PAGE / 20 > RECORDS);
		}
		with_all += e == E_OK && kept(&r) == RECORDS;
		write_at(&f, at, f.bytes + at, PAGE);
	}
	assert_true(some > 5);
	assert_true(with_all > 0); /* free pages, and the older meta page */
	file_free(&f);
}

static void flipped_bits(void **state)
{
	struct file f = file_of(false);
	u32 x = 12345, lost = 0;

	(void)state;
	for (u32 i = 0; i < 3000; i++) {
		struct salvage_report r;
		size_t at;
		u8 b;

		x = x * 1664525u + 1013904223u;
		at = x % f.n;
		b = f.bytes[at] ^ (u8)(1u << (x >> 28) % 8);
		write_at(&f, at, &b, 1);
		if (run(&f, NULL, &r) == E_OK && kept(&r) < RECORDS) {
			lost++;
			assert_true(r.orphans + r.pages.pages + r.pages.nodes + r.pages.lost +
					    r.databases_lost + r.damaged[KV_META] +
					    r.damaged[KV_SESSIONS] + r.damaged[KV_SUBS] +
					    r.damaged[KV_QUEUE] + r.damaged[KV_BODIES] +
					    r.damaged[KV_PIDS] + r.damaged[KV_RETAINED] +
					    r.damaged[KV_DROPS] >
				    0);
		}
		write_at(&f, at, f.bytes + at, 1);
	}
	assert_true(lost > 100);
	file_free(&f);
}

static void foreign_files(void **state)
{
	static const u8 text[] = "SQLite format 3";
	struct kv *kv = kv_memory();
	struct salvage_report r;
	int fd = memfd_create("foreign", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(salvage_into(kv, fd, NULL, &r), E_CORRUPT);
	assert_int_equal(pwrite(fd, text, sizeof(text), 0), sizeof(text));
	assert_int_equal(salvage_into(kv, fd, NULL, &r), E_CORRUPT);
	close(fd);
	kv->class->close(&kv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_store_comes_over_whole),
		cmocka_unit_test(another_key_opens_nothing),
		cmocka_unit_test(each_page_in_turn),
		cmocka_unit_test(flipped_bits),
		cmocka_unit_test(foreign_files),
	};

	return cmocka_run_group_tests_name("store/salvage", tests, NULL, NULL);
}
