/* kv_lmdb: LMDB, one environment, one named database a row of kv.h.
 *
 * Durable as LMDB is by default: the pages of a commit are written and synced (fdatasync) before
 * its meta page is (through a descriptor with O_DSYNC).  Pages are zeroed when they are made, so
 * nothing of this process gets to the disk with them.  The table of readers (lock.mdb) stays in use
 * although one process opens the store: it is what lets a copy be read while others write.
 *
 * Owns the bound on the file and what happens at it: the map is a little larger than the store may
 * grow, and what is above stays for deletions, as the ballast does on the disk. */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rd.h"
#include "store/ballast.h"
#include "store/kv_lmdb.h"

#define LMDB_MAGIC 0x4c4d4442u
enum {
	MAP_RESERVE = 32 << 20,
	READERS = 8,
	LOCK_BYTES = 4096, /* of the table of readers, at least */
	ROOM_MS = 200,	   /* how often a full store looks for room */
};
_Static_assert(MAP_RESERVE >= 4 * BALLAST_BYTES, "what is kept fits above the bound");

struct kv_txn {
	struct lmdb *l;
	MDB_txn *txn;
	MDB_cursor *cursor[KV_DBS];
	bool writes;
};

struct lmdb {
	struct kv kv;
	u32 magic;
	MDB_env *env;
	MDB_dbi dbi[KV_DBS];
	u64 limit, page;
	u64 commits;
	struct ballast ballast;
	bool full;
	u64 looked_ms; /* for room */
	struct kv_txn writer;
};

static const char *const db_name[KV_DBS] = {
#define X(name, word, numbers) word,
	KV_DATABASES(X)
#undef X
};

static struct lmdb *lmdb_of(struct kv *kv)
{
	struct lmdb *l = CONTAINER_OF(kv, struct lmdb, kv);

	OBJ_CHECK(l, LMDB_MAGIC);
	return l;
}

static enum err err_of(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return E_OK;
	case MDB_NOTFOUND:
		return E_NOT_FOUND;
	case MDB_KEYEXIST:
		return E_EXISTS;
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return E_QUOTA;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
		return E_CORRUPT;
	case ENOMEM:
		return E_NOMEM;
	default:
		return E_IO;
	}
}

/* ---- keys ------------------------------------------------------------------------------------ */

struct key {
	u8 b[16];
};

static void put_be(u8 *b, u64 v)
{
	v = __builtin_bswap64(v);
	memcpy(b, &v, sizeof(v));
}

/* The machine is little-endian: LMDB's own format is tied to that already. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "keys are turned round");

static MDB_val key_of(struct key *k, enum kv_db db, u64 a, u64 b)
{
	ASSERT(db < KV_DBS);
	ASSERT(b == 0 || kv_pair(db));
	put_be(k->b, a);
	put_be(k->b + 8, b);
	return (MDB_val){kv_pair(db) ? 16 : 8, k->b};
}

static enum err item_of(enum kv_db db, const MDB_val *key, const MDB_val *value,
			struct kv_item *out)
{
	struct rd r = rd_of(slice_of(key->mv_data, key->mv_size));

	ASSERT(db < KV_DBS);
	out->a = rd_u64(&r);
	out->b = kv_pair(db) ? rd_u64(&r) : 0;
	out->value = slice_of(value->mv_data, value->mv_size);
	return r.err || rd_left(&r) != 0 ? E_CORRUPT : E_OK;
}

/* ---- transactions ---------------------------------------------------------------------------- */

static enum err lmdb_begin(struct kv *kv, enum kv_mode mode, struct kv_txn **out)
{
	struct lmdb *l = lmdb_of(kv);
	struct kv_txn *t = &l->writer;
	enum err e;

	if (mode == KV_READ)
		t = xmalloc(sizeof(*t));
	else
		ASSERT(t->txn == NULL);
	*t = (struct kv_txn){.l = l, .writes = mode == KV_WRITE};
	e = err_of(mdb_txn_begin(l->env, NULL, mode == KV_READ ? MDB_RDONLY : 0, &t->txn));
	if (e != E_OK && mode == KV_READ)
		free(t);
	*out = e == E_OK ? t : NULL;
	return e;
}

static void cursors_close(struct kv_txn *t)
{
	ASSERT(t->txn != NULL);
	for (u32 i = 0; i < KV_DBS; i++) {
		if (t->cursor[i] != NULL)
			mdb_cursor_close(t->cursor[i]);
		t->cursor[i] = NULL;
	}
}

static void lmdb_abort(struct kv_txn **tp)
{
	struct kv_txn *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	ASSERT(t->txn != NULL);
	cursors_close(t);
	mdb_txn_abort(t->txn);
	t->txn = NULL;
	if (!t->writes)
		free(t);
}

/* Bytes that a commit can use without the file growing. */
static u64 free_inside(const struct lmdb *l)
{
	MDB_val key, value;
	MDB_cursor *c;
	MDB_txn *txn;
	u64 pages = 0;
	size_t n;

	if (mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn) != 0)
		return 0;
	/* Database 0 is LMDB's list of free pages: each value begins with how many it names. */
	if (mdb_cursor_open(txn, 0, &c) == 0) {
		while (mdb_cursor_get(c, &key, &value, MDB_NEXT) == 0) {
			ASSERT(value.mv_size >= sizeof(n));
			memcpy(&n, value.mv_data, sizeof(n));
			pages += n;
		}
		mdb_cursor_close(c);
	}
	mdb_txn_abort(txn);
	return pages * l->page;
}

static u64 used_bytes(const struct lmdb *l)
{
	MDB_envinfo info = {.me_last_pgno = 0};

	ASSERT(l->page != 0);
	(void)mdb_env_info(l->env, &info);
	return (info.me_last_pgno + 1) * l->page;
}

/* The file should not grow any more: what is free inside it is all there is. */
static bool tight(const struct lmdb *l)
{
	return !l->ballast.there || used_bytes(l) > l->limit;
}

/* LMDB says EIO where a write came out short, which is how a disk says that this was the last of
 * its room.  What was written is not part of anything yet. */
static enum err no_room(struct lmdb *l, enum err e)
{
	if (e == E_IO && !ballast_probe(&l->ballast))
		e = E_QUOTA;
	if (e != E_QUOTA)
		return e;
	ASSERT(l->ballast.fd >= 0);
	(void)ballast_drop(&l->ballast);
	l->full = true;
	return e;
}

static enum err after_commit(struct lmdb *l, enum err e)
{
	ASSERT(l->writer.txn == NULL);
	l->commits += e == E_OK;
	if (e == E_OK && !l->full && tight(l))
		l->full = free_inside(l) < BALLAST_BYTES;
	return no_room(l, e);
}

static enum err lmdb_commit(struct kv_txn **tp)
{
	struct kv_txn *t = *tp;
	struct lmdb *l = t->l;
	enum err e;

	*tp = NULL;
	ASSERT(t->writes && t->txn != NULL);
	cursors_close(t);
	e = err_of(mdb_txn_commit(t->txn));
	t->txn = NULL;
	return after_commit(l, e);
}

static bool lmdb_full(struct kv *kv, u64 mono_ms)
{
	struct lmdb *l = lmdb_of(kv);

	ASSERT(l->writer.txn == NULL);
	if (!l->full || (mono_ms >= l->looked_ms && mono_ms - l->looked_ms < ROOM_MS))
		return l->full;
	l->looked_ms = mono_ms;
	if (!l->ballast.there)
		ballast_make(&l->ballast);
	/* Twice what it takes to become full again. */
	l->full = tight(l) && free_inside(l) < 2 * (u64)BALLAST_BYTES;
	return l->full;
}

/* ---- records --------------------------------------------------------------------------------- */

static enum err cursor_of(struct kv_txn *t, enum kv_db db, MDB_cursor **out)
{
	ASSERT(db < KV_DBS);
	ASSERT(t->txn != NULL);
	*out = t->cursor[db];
	if (*out != NULL)
		return E_OK;
	return err_of(mdb_cursor_open(t->txn, t->l->dbi[db], out)) == E_OK
		       ? (t->cursor[db] = *out, E_OK)
		       : E_IO;
}

static enum err lmdb_get(struct kv_txn *t, enum kv_db db, u64 a, u64 b, struct slice *out)
{
	struct key k;
	MDB_val key = key_of(&k, db, a, b), value;
	MDB_cursor *c;
	enum err e = cursor_of(t, db, &c);

	ASSERT(out != NULL);
	if (e == E_OK)
		e = err_of(mdb_cursor_get(c, &key, &value, MDB_SET_KEY));
	if (e == E_OK)
		*out = slice_of(value.mv_data, value.mv_size);
	return e;
}

static enum err move(struct kv_txn *t, enum kv_db db, MDB_val key, MDB_cursor_op how,
		     struct kv_item *out)
{
	MDB_val value;
	MDB_cursor *c;
	enum err e = cursor_of(t, db, &c);

	ASSERT(out != NULL);
	if (e == E_OK)
		e = err_of(mdb_cursor_get(c, &key, &value, how));
	return e == E_OK ? item_of(db, &key, &value, out) : e;
}

static enum err lmdb_seek(struct kv_txn *t, enum kv_db db, u64 a, u64 b, struct kv_item *out)
{
	struct key k;

	return move(t, db, key_of(&k, db, a, b), MDB_SET_RANGE, out);
}

static enum err lmdb_next(struct kv_txn *t, enum kv_db db, struct kv_item *out)
{
	return move(t, db, (MDB_val){.mv_size = 0}, MDB_NEXT, out);
}

static enum err lmdb_reserve(struct kv_txn *t, enum kv_db db, u64 a, u64 b, enum kv_put how,
			     size_t n, u8 **out)
{
	struct key k;
	MDB_val key = key_of(&k, db, a, b), value = {.mv_size = n};
	MDB_cursor *c;
	enum err e = cursor_of(t, db, &c);

	ASSERT(t->writes);
	if (e == E_OK)
		e = err_of(mdb_cursor_put(c, &key, &value,
					  MDB_RESERVE | (how == KV_NEW ? MDB_NOOVERWRITE : 0)));
	if (e == E_OK)
		*out = value.mv_data;
	return e == E_OK || e == E_EXISTS ? e : no_room(t->l, e);
}

static enum err lmdb_del(struct kv_txn *t, enum kv_db db)
{
	ASSERT(t->writes);
	ASSERT(t->cursor[db] != NULL);
	return no_room(t->l, err_of(mdb_cursor_del(t->cursor[db], 0)));
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum err lmdb_size(struct kv *kv, struct kv_size *out)
{
	struct lmdb *l = lmdb_of(kv);
	MDB_stat st;
	MDB_txn *txn;
	enum err e = err_of(mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn));

	if (e != E_OK)
		return e;
	*out = (struct kv_size){.map_bytes = l->limit, .syncs = 2 * l->commits};
	for (u32 i = 0; i < KV_DBS; i++) {
		if (mdb_stat(txn, l->dbi[i], &st) == 0)
			out->records[i] = st.ms_entries;
	}
	mdb_txn_abort(txn);
	out->bytes = used_bytes(l);
	out->free_bytes = free_inside(l);
	return E_OK;
}

static enum err lmdb_copy(struct kv *kv, int fd)
{
	enum err e = err_of(mdb_env_copyfd2(lmdb_of(kv)->env, fd, MDB_CP_COMPACT));

	ASSERT(fd >= 0);
	/* A pipe has nothing to sync. */
	if (e == E_OK && fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
		e = err_of(errno);
	return e;
}

static void lmdb_close(struct kv **kv)
{
	struct lmdb *l = lmdb_of(*kv);

	*kv = NULL;
	ASSERT(l->writer.txn == NULL);
	mdb_env_close(l->env);
	ballast_close(&l->ballast);
	l->magic = 0;
	free(l);
}

static const struct kv_class lmdb_class = {
	.begin = lmdb_begin,
	.commit = lmdb_commit,
	.abort = lmdb_abort,
	.get = lmdb_get,
	.seek = lmdb_seek,
	.next = lmdb_next,
	.reserve = lmdb_reserve,
	.del = lmdb_del,
	.full = lmdb_full,
	.size = lmdb_size,
	.copy = lmdb_copy,
	.close = lmdb_close,
};

/* ---- opening --------------------------------------------------------------------------------- */

/* Where things stand in the first bytes of a meta page (mdb.c of 0.9: MDB_page, MDB_meta). */
enum { META_BYTES = 152, META_FLAGS = 10, META_MAGIC = 16, META_PAGE = 40 };
enum { META_FREE_ROOT = 80, META_MAIN_ROOT = 128 };
#define META_MAGIC_VALUE 0xbeefc0deu
enum { META_VERSION_VALUE = 1, META_FLAG = 8, PAGE_MIN = 512, PAGE_MAX = 65536 };

static u64 le(const u8 *p, u32 n)
{
	u64 v = 0;

	ASSERT(n <= 8);
	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

/* Is the page in the file, or none?  The last page that a meta page speaks of need not be: when the
 * newest pages of a file are free, they are not written. */
static bool root_ok(const u8 *at, u64 pages)
{
	u64 root = le(at, 8);

	return root < pages || root == UINT64_MAX;
}

static bool meta_ok(int fd, u64 at, u64 bytes, u32 *page)
{
	u8 b[META_BYTES];

	if (pread(fd, b, sizeof(b), (off_t)at) != (ssize_t)sizeof(b))
		return false;
	*page = (u32)le(b + META_PAGE, 4);
	return (le(b + META_FLAGS, 2) & META_FLAG) != 0 &&
	       le(b + META_MAGIC, 4) == META_MAGIC_VALUE &&
	       le(b + META_MAGIC + 4, 4) == META_VERSION_VALUE && *page >= PAGE_MIN &&
	       *page <= PAGE_MAX && (*page & (*page - 1)) == 0 &&
	       root_ok(b + META_FREE_ROOT, bytes / *page) &&
	       root_ok(b + META_MAIN_ROOT, bytes / *page);
}

/* LMDB maps the file and follows what stands in it; what it would trip over at once, such as a file
 * that has been cut, is looked for first. */
static enum err look_before(const struct store_options *o, char *text, size_t cap)
{
	int fd = openat(o->dir_fd, "data.mdb", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	u32 first = 0, second = 0;
	struct stat st;
	bool ok;

	ASSERT(o->dir_fd >= 0);
	if (fd < 0 && errno == ENOENT)
		return E_OK;
	if (fd < 0 || fstat(fd, &st) != 0) {
		(void)snprintf(text, cap, "data.mdb cannot be opened");
		if (fd >= 0)
			close(fd);
		return E_IO;
	}
	ok = st.st_size == 0 || (S_ISREG(st.st_mode) && meta_ok(fd, 0, (u64)st.st_size, &first) &&
				 meta_ok(fd, first, (u64)st.st_size, &second) && first == second);
	close(fd);
	if (!ok)
		(void)snprintf(text, cap, "data.mdb is cut short, damaged or of another program");
	return ok ? E_OK : E_CORRUPT;
}

static enum err env_open(struct lmdb *l, const struct store_options *o)
{
	u64 page = (u64)sysconf(_SC_PAGESIZE), map;
	MDB_stat st;
	int rc;

	ASSERT(o->path != NULL);
	l->limit = MAX(o->map_bytes / page * page, 1ull << 20);
	map = l->limit + MAP_RESERVE;
	rc = mdb_env_create(&l->env);
	if (rc == 0)
		rc = mdb_env_set_mapsize(l->env, map);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(l->env, KV_DBS);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(l->env, READERS);
	if (rc == 0)
		rc = mdb_env_open(l->env, o->path, MDB_NOTLS, 0600);
	if (rc == 0)
		rc = mdb_env_stat(l->env, &st);
	if (rc == 0)
		l->page = st.ms_psize;
	return err_of(rc);
}

/* All databases, or the first that is missing or not as ours are. */
static enum err dbs_open(struct lmdb *l, MDB_txn *txn, unsigned how, const char **which)
{
	unsigned flags;
	int rc = 0;

	ASSERT(txn != NULL);
	for (u32 i = 0; i < KV_DBS && rc == 0; i++) {
		*which = db_name[i];
		rc = mdb_dbi_open(txn, db_name[i], how, &l->dbi[i]);
		if (rc == 0)
			rc = mdb_dbi_flags(txn, l->dbi[i], &flags);
		if (rc == 0 && flags != 0)
			rc = MDB_CORRUPTED;
	}
	return rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE ? E_CORRUPT : err_of(rc);
}

static enum err databases(struct lmdb *l, char *text, size_t cap)
{
	const char *which = "";
	MDB_stat main = {.ms_entries = 0};
	MDB_txn *txn;
	MDB_dbi dbi;
	enum err e;
	int rc = mdb_txn_begin(l->env, NULL, 0, &txn);

	ASSERT(l->page != 0);
	if (rc != 0)
		return err_of(rc);
	rc = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (rc == 0)
		rc = mdb_stat(txn, dbi, &main);
	e = err_of(rc);
	if (e == E_OK)
		e = dbs_open(l, txn, main.ms_entries == 0 ? MDB_CREATE : 0, &which);
	if (e == E_OK)
		return after_commit(l, err_of(mdb_txn_commit(txn)));
	mdb_txn_abort(txn);
	if (e == E_CORRUPT)
		(void)snprintf(text, cap, "it has no database \"%s\" as picket makes them", which);
	return e;
}

enum err kv_lmdb_open(struct kv **out, const struct store_options *o, char *text, size_t cap)
{
	struct lmdb *l;
	enum err e = look_before(o, text, cap);

	*out = NULL;
	if (e != E_OK)
		return e;
	l = xcalloc(1, sizeof(*l));
	l->kv.class = &lmdb_class;
	l->magic = LMDB_MAGIC;
	l->ballast.fd = -1;
	(void)snprintf(text, cap, "LMDB cannot open it");
	/* It is written through a map: on a full disk a block that is missing would end the
	 * process. */
	e = ballast_blocks(o->dir_fd, "lock.mdb", LOCK_BYTES);
	if (e == E_OK)
		e = env_open(l, o);
	if (e == E_OK)
		e = ballast_open(&l->ballast, o->dir_fd);
	if (e == E_OK)
		e = databases(l, text, cap);
	if (e == E_QUOTA)
		(void)snprintf(text, cap, "the disk is full");
	if (e != E_OK) {
		mdb_env_close(l->env);
		ballast_close(&l->ballast);
		free(l);
		return e;
	}
	text[0] = 0;
	*out = &l->kv;
	return E_OK;
}
