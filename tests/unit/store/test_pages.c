/* pages: what is whole in an LMDB file is found, whatever else has been done to it. */
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

#include "store/pages.h"

enum { SMALL = 40, MANY = 3000 };

/* ---- a real file -----------------------------------------------------------------------------
 */
static void fill(u8 *v, size_t n, u32 i)
{
	for (size_t k = 0; k < n; k++)
		v[k] = (u8)(i * 31 + k);
}

static size_t value_size(u32 i)
{
	return i % 50 == 7 ? 9000 + i : 20 + i % 60;
}

static void key_of(u8 key[8], u32 i)
{
	for (u32 k = 0; k < 8; k++)
		key[k] = k < 4 ? 0 : (u8)(i >> 8 * (7 - k));
}

static void put_all(MDB_env *env, const char *name, u32 from, u32 to)
{
	static u8 v[16384];
	MDB_txn *txn;
	MDB_dbi db;
	u8 k[8];

	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, name, MDB_CREATE, &db), 0);
	for (u32 i = from; i < to; i++) {
		MDB_val key = {8, k}, value = {value_size(i), v};
		key_of(k, i);
		fill(v, value.mv_size, i);
		assert_int_equal(mdb_put(txn, db, &key, &value, 0), 0);
	}
	assert_int_equal(mdb_txn_commit(txn), 0);
}

static void delete_some(MDB_env *env, const char *name, u32 from, u32 to)
{
	MDB_txn *txn;
	MDB_dbi db;
	u8 k[8];

	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, name, 0, &db), 0);
	for (u32 i = from; i < to; i++) {
		MDB_val key = {8, k};
		key_of(k, i);
		assert_int_equal(mdb_del(txn, db, &key, NULL), 0);
	}
	assert_int_equal(mdb_txn_commit(txn), 0);
}

struct file {
	u8 *bytes;
	size_t n;
	int fd; /* a copy to damage, in memory */
};

/* n entries in "a", of which the first tenth was deleted again; as many in "b". */
static struct file file_of(u32 n)
{
	char dir[] = "/tmp/pages.XXXXXX", path[64];
	struct file f = {0};
	struct stat st;
	MDB_env *env;
	int fd;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
	assert_int_equal(mdb_env_set_mapsize(env, 64u << 20), 0);
	assert_int_equal(mdb_env_open(env, dir, MDB_NOSYNC, 0600), 0);
	put_all(env, "a", 0, n);
	put_all(env, "b", 0, n);
	delete_some(env, "a", 0, n / 10);
	mdb_env_close(env);
	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	f.n = (size_t)st.st_size;
	f.bytes = malloc(f.n);
	assert_int_equal(pread(fd, f.bytes, f.n, 0), f.n);
	close(fd);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/lock.mdb", dir);
	unlink(path);
	rmdir(dir);
	f.fd = memfd_create("pages", MFD_CLOEXEC);
	assert_int_equal(pwrite(f.fd, f.bytes, f.n, 0), f.n);
	return f;
}

static void file_free(struct file *f)
{
	close(f->fd);
	free(f->bytes);
}

static void poke(const struct file *f, size_t at, u8 with)
{
	u8 b = f->bytes[at] ^ with;

	assert_int_equal(pwrite(f->fd, &b, 1, (off_t)at), 1);
}

/* ---- what is found ---------------------------------------------------------------------------
 */
struct found {
	u32 n, wrong;
	u8 *have; /* by number */
	u32 most;
};

static bool on_entry(void *arg, struct slice key, struct slice value)
{
	struct found *f = arg;
	u32 i = 0;
	u8 *want;

	f->n++;
	for (size_t k = 0; k < key.n; k++)
		i = i << 8 | key.p[k];
	if (key.n != 8 || i >= f->most || value.n != value_size(i)) {
		f->wrong++;
		return true;
	}
	want = malloc(value.n);
	fill(want, value.n, i);
	if (memcmp(want, value.p, value.n) != 0)
		f->wrong++;
	else
		f->have[i] = 1;
	free(want);
	return true;
}

struct result {
	enum err open, a, b;
	struct found in_a, in_b;
	struct pages_damage damage;
};

static struct result read_all(int fd, u32 n)
{
	struct result r = {.in_a = {.have = calloc(n, 1), .most = n},
			   .in_b = {.have = calloc(n, 1), .most = n}};
	struct pages *p;

	r.open = pages_open(&p, fd);
	if (r.open != E_OK)
		return r;
	r.a = pages_walk(p, slice_str("a"), on_entry, &r.in_a);
	r.b = pages_walk(p, slice_str("b"), on_entry, &r.in_b);
	r.damage = pages_damage(p);
	pages_close(&p);
	return r;
}

static void result_free(struct result *r)
{
	free(r->in_a.have);
	free(r->in_b.have);
}

static void whole_file_is_read_whole(void **state)
{
	(void)state;
	for (u32 n = SMALL; n <= MANY; n += MANY - SMALL) {
		struct file f = file_of(n);
		struct result r = read_all(f.fd, n);

		assert_int_equal(r.open, E_OK);
		assert_int_equal(r.a, E_OK);
		assert_int_equal(r.b, E_OK);
		assert_int_equal(r.in_a.n, n - n / 10);
		assert_int_equal(r.in_b.n, n);
		assert_int_equal(r.in_a.wrong + r.in_b.wrong, 0);
		assert_int_equal(r.damage.pages + r.damage.nodes + r.damage.lost, 0);
		result_free(&r);
		file_free(&f);
	}
}

/* What is missing was counted, and what was deleted never comes back, unless the newest meta page
 * is lost: then the file is as it was one transaction before. */
static void check_damaged(const struct result *r, u32 n, bool meta)
{
	for (u32 i = 0; r->open == E_OK && !meta && i < n / 10; i++)
		assert_int_equal(r->in_a.have[i], 0);
	if (meta || r->open != E_OK || r->a != E_OK || r->b != E_OK)
		return; /* of those or of the tree of names there is no second count */
	if (r->in_a.n == n - n / 10 && r->in_b.n == n)
		return;
	assert_true(r->damage.pages + r->damage.nodes + r->damage.lost > 0);
}

static void every_flipped_byte_is_survived(void **state)
{
	struct file f = file_of(SMALL);
	u32 lost = 0;

	(void)state;
	for (size_t at = 0; at < f.n; at++) {
		struct result r;

		poke(&f, at, (u8)(1u << at % 8));
		r = read_all(f.fd, SMALL);
		check_damaged(&r, SMALL, at < 2 * 4096);
		lost += r.open != E_OK || r.in_b.n != SMALL;
		result_free(&r);
		poke(&f, at, 0);
	}
	assert_true(lost > 0); /* some bytes matter */
	assert_true(lost < f.n / 4);
	file_free(&f);
}

/* A page that is nothing but noise takes no entry of another leaf with it. */
static void one_leaf_lost_is_one_leaf_lost(void **state)
{
	struct file f = file_of(MANY);
	u32 hurt = 0;

	(void)state;
	for (size_t page = 2; page < f.n / 4096; page += 7) {
		u8 noise[4096];
		struct result r;
		bool leaf = f.bytes[page * 4096 + 10] == 2;

		memset(noise, 0xa5, sizeof(noise));
		assert_int_equal(pwrite(f.fd, noise, 4096, (off_t)page * 4096), 4096);
		r = read_all(f.fd, MANY);
		check_damaged(&r, MANY, false);
		if (leaf && r.open == E_OK && r.a == E_OK && r.b == E_OK) {
			assert_true(r.in_b.n + 300 > MANY);
			assert_int_equal(r.in_b.wrong, 0);
			hurt += r.in_b.n < MANY;
		}
		result_free(&r);
		assert_int_equal(pwrite(f.fd, f.bytes + page * 4096, 4096, (off_t)page * 4096),
				 4096);
	}
	assert_true(hurt > 0);
	file_free(&f);
}

static void every_length_is_survived(void **state)
{
	struct file f = file_of(SMALL);

	(void)state;
	for (size_t n = f.n; n-- > 0;) {
		struct result r;

		if (n > 9000 && n % 97 != 0)
			continue;
		assert_int_equal(ftruncate(f.fd, (off_t)n), 0);
		r = read_all(f.fd, SMALL);
		check_damaged(&r, SMALL, false);
		if (n < 2 * 4096)
			assert_true(r.open == E_CORRUPT || r.b != E_OK);
		result_free(&r);
	}
	file_free(&f);
}

static void foreign_file_is_refused(void **state)
{
	int fd = memfd_create("foreign", MFD_CLOEXEC);
	struct pages *p;
	char text[8192];

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(pages_open(&p, fd), E_CORRUPT);
	assert_null(p);
	assert_int_equal(pwrite(fd, text, sizeof(text), 0), sizeof(text));
	assert_int_equal(pages_open(&p, fd), E_CORRUPT);
	close(fd);
}

static void missing_name_is_said(void **state)
{
	struct file f = file_of(SMALL);
	struct found none = {0};
	struct pages *p;

	(void)state;
	assert_int_equal(pages_open(&p, f.fd), E_OK);
	assert_int_equal(pages_walk(p, slice_str("c"), on_entry, &none), E_NOT_FOUND);
	assert_true(pages_txn(p) > 0);
	pages_close(&p);
	file_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_file_is_read_whole),
		cmocka_unit_test(every_flipped_byte_is_survived),
		cmocka_unit_test(one_leaf_lost_is_one_leaf_lost),
		cmocka_unit_test(every_length_is_survived),
		cmocka_unit_test(foreign_file_is_refused),
		cmocka_unit_test(missing_name_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
