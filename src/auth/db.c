/* db: SQLite, held at arm's length.  See db.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/db.h"
#include "auth/schema.def"
#include "base/mem.h"

#define DB_MAGIC 0x0db5eef0u
enum { APPLICATION_ID = 0x7069636b /* "pick" */ };

struct db {
	u32 magic;
	sqlite3 *h;
	sqlite3_stmt *st[SQL_N];
	bool open_tx;
	char why[200];
};

#define X(name, text) text,
static const char *const sql_text[SQL_N] = {SQL_TABLE(X)};
#undef X
#define X(text) text,
static const char *const schema_step[] = {SCHEMA_STEPS(X)};
#undef X

static enum err db_fail(struct db *d, int rc)
{
	snprintf(d->why, sizeof(d->why), "%s", sqlite3_errstr(rc));
	switch (rc & 0xff) {
	case SQLITE_CONSTRAINT:
		return E_EXISTS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return E_CORRUPT;
	case SQLITE_NOMEM:
		return E_NOMEM;
	default:
		return E_IO;
	}
}

static enum err db_exec(struct db *d, const char *sql)
{
	int rc = sqlite3_exec(d->h, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? E_OK : db_fail(d, rc);
}

/* ---- opening -------------------------------------------------------------------------- */
/* One number from a pragma. */
static enum err pragma_num(struct db *d, const char *sql, u64 *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(d->h, sql, -1, &st, NULL);

	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		*out = col_num(st, 0);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	return rc == SQLITE_OK ? E_OK : db_fail(d, rc);
}

static enum err check_whole(struct db *d)
{
	sqlite3_stmt *st = NULL;
	char word[64] = "";
	int rc = sqlite3_prepare_v2(d->h, "PRAGMA integrity_check(1)", -1, &st, NULL);

	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		col_str(st, 0, word, sizeof(word));
	sqlite3_finalize(st);
	if (rc != SQLITE_ROW)
		return db_fail(d, rc);
	if (strcmp(word, "ok") == 0)
		return E_OK;
	snprintf(d->why, sizeof(d->why), "the file does not pass SQLite's integrity check");
	return E_CORRUPT;
}

/* Is the file ours, or empty? */
static enum err check_owner(struct db *d, u64 version)
{
	u64 app = 0, tables = 0;
	enum err e = pragma_num(d, "PRAGMA application_id", &app);

	if (e == E_OK)
		e = pragma_num(d, "SELECT count(*) FROM sqlite_schema", &tables);
	if (e != E_OK)
		return e;
	if (app != APPLICATION_ID && (version != 0 || tables != 0)) {
		snprintf(d->why, sizeof(d->why), "the file is a database of another program");
		return E_CORRUPT;
	}
	if (version > ARRAY_LEN(schema_step)) {
		snprintf(d->why, sizeof(d->why), "the file was written by a later picket");
		return E_VERSION;
	}
	return E_OK;
}

static enum err schema_upgrade(struct db *d, u64 version)
{
	char sql[128];
	enum err e = E_OK;

	for (; e == E_OK && version < ARRAY_LEN(schema_step); version++) {
		e = db_begin(d);
		if (e == E_OK)
			e = db_exec(d, schema_step[version]);
		snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %u",
			 APPLICATION_ID, (unsigned)version + 1);
		if (e == E_OK)
			e = db_exec(d, sql);
		if (e == E_OK)
			e = db_commit(d);
		else
			db_rollback(d);
	}
	return e;
}

static enum err db_settle(struct db *d)
{
	u64 version = 0;
	enum err e;

	sqlite3_db_config(d->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(d->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(d->h, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	sqlite3_busy_timeout(d->h, 2000);
	/* The first read tells a database from anything else. */
	e = pragma_num(d, "PRAGMA user_version", &version);
	if (e == E_OK)
		e = check_owner(d, version);
	if (e == E_OK)
		e = db_exec(d, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			       "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;"
			       "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON");
	if (e == E_OK)
		e = check_whole(d);
	return e == E_OK ? schema_upgrade(d, version) : e;
}

static enum err prepare_all(struct db *d)
{
	for (u32 i = 0; i < SQL_N; i++) {
		int rc = sqlite3_prepare_v3(d->h, sql_text[i], -1, SQLITE_PREPARE_PERSISTENT,
					    &d->st[i], NULL);
		if (rc != SQLITE_OK)
			return db_fail(d, rc);
	}
	return E_OK;
}

/* SQLite would create it with the umask's rights; its companions take those of the file. */
static enum err file_make(struct db *d, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && fchmod(fd, 0600) == 0;

	if (!ok)
		snprintf(d->why, sizeof(d->why), "%s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok ? E_OK : E_IO;
}

/* SQLite would turn /proc/self/fd/N/… into the path behind it, which our user id may not be allowed
 * to walk. */
static int path_as_it_is(sqlite3_vfs *vfs, const char *path, int cap, char *out)
{
	(void)vfs;
	snprintf(out, (size_t)cap, "%s", path);
	return SQLITE_OK;
}

/* The system's file access, but for that.  Registered once; SQLite keeps the pointer. */
static const char *vfs_name(void)
{
	static sqlite3_vfs vfs;

	if (vfs.zName == NULL) {
		vfs = *sqlite3_vfs_find(NULL);
		vfs.zName = "as-it-is";
		vfs.xFullPathname = path_as_it_is;
		(void)sqlite3_vfs_register(&vfs, 0);
	}
	return vfs.zName;
}

enum err db_open(const char *path, struct db **out, char *why, size_t cap)
{
	struct db *d = xcalloc(1, sizeof(*d));
	enum err e;
	int rc;

	d->magic = DB_MAGIC;
	e = file_make(d, path);
	if (e == E_OK) {
		rc = sqlite3_open_v2(path, &d->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
				     vfs_name());
		e = rc == SQLITE_OK ? db_settle(d) : db_fail(d, rc);
	}
	if (e == E_OK)
		e = prepare_all(d);
	if (why != NULL)
		snprintf(why, cap, "%s", d->why);
	if (e != E_OK)
		db_close(&d);
	*out = d;
	return e;
}

void db_close(struct db **dp)
{
	struct db *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	OBJ_CHECK(d, DB_MAGIC);
	for (u32 i = 0; i < SQL_N; i++)
		sqlite3_finalize(d->st[i]);
	sqlite3_close(d->h);
	d->magic = 0;
	free(d);
}

const char *db_why(const struct db *d)
{
	OBJ_CHECK(d, DB_MAGIC);
	return d->why;
}

/* ---- statements ----------------------------------------------------------------------- */
sqlite3_stmt *db_use(struct db *d, enum sql s)
{
	OBJ_CHECK(d, DB_MAGIC);
	ASSERT(s < SQL_N);
	sqlite3_reset(d->st[s]);
	sqlite3_clear_bindings(d->st[s]);
	return d->st[s];
}

void bind_num(sqlite3_stmt *st, int i, u64 v)
{
	ASSERT(v <= INT64_MAX);
	ASSERT(sqlite3_bind_int64(st, i, (sqlite3_int64)v) == SQLITE_OK);
}

void bind_str(sqlite3_stmt *st, int i, const char *v)
{
	ASSERT(sqlite3_bind_text(st, i, v, -1, SQLITE_STATIC) == SQLITE_OK);
}

void bind_bytes(sqlite3_stmt *st, int i, struct slice v)
{
	ASSERT(v.n <= INT32_MAX);
	ASSERT(sqlite3_bind_blob(st, i, v.n ? (const void *)v.p : "", (int)v.n, SQLITE_STATIC) ==
	       SQLITE_OK);
}

enum err db_row(struct db *d, sqlite3_stmt *st)
{
	int rc;

	OBJ_CHECK(d, DB_MAGIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return E_OK;
	sqlite3_reset(st); /* a read that is over must not hold back the log's reuse */
	return rc == SQLITE_DONE ? E_NOT_FOUND : db_fail(d, rc);
}

enum err db_done(struct db *d, sqlite3_stmt *st)
{
	enum err e;

	do
		e = db_row(d, st);
	while (e == E_OK);
	return e == E_NOT_FOUND ? E_OK : e;
}

u64 db_last_id(const struct db *d)
{
	OBJ_CHECK(d, DB_MAGIC);
	return (u64)sqlite3_last_insert_rowid(d->h);
}

u64 col_num(sqlite3_stmt *st, int i)
{
	sqlite3_int64 v = sqlite3_column_int64(st, i);

	return v < 0 ? 0 : (u64)v;
}

void col_str(sqlite3_stmt *st, int i, char *out, size_t cap)
{
	const unsigned char *s = sqlite3_column_text(st, i);

	snprintf(out, cap, "%s", s == NULL ? "" : (const char *)s);
}

struct slice col_bytes(sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_blob(st, i);

	return slice_of(p, p == NULL ? 0 : (size_t)sqlite3_column_bytes(st, i));
}

/* ---- transactions --------------------------------------------------------------------- */
enum err db_begin(struct db *d)
{
	enum err e;

	OBJ_CHECK(d, DB_MAGIC);
	ASSERT(!d->open_tx);
	e = d->st[SQL_BEGIN] == NULL ? db_exec(d, sql_text[SQL_BEGIN])
				     : db_done(d, db_use(d, SQL_BEGIN));
	d->open_tx = e == E_OK;
	return e;
}

enum err db_commit(struct db *d)
{
	enum err e;

	OBJ_CHECK(d, DB_MAGIC);
	ASSERT(d->open_tx);
	e = d->st[SQL_COMMIT] == NULL ? db_exec(d, sql_text[SQL_COMMIT])
				      : db_done(d, db_use(d, SQL_COMMIT));
	if (e != E_OK)
		db_rollback(d);
	d->open_tx = false;
	return e;
}

/* A failed write may have ended the transaction already. */
void db_rollback(struct db *d)
{
	OBJ_CHECK(d, DB_MAGIC);
	for (u32 i = 0; i < SQL_N; i++)
		sqlite3_reset(d->st[i]);
	if (!sqlite3_get_autocommit(d->h))
		sqlite3_exec(d->h, sql_text[SQL_ROLLBACK], NULL, NULL, NULL);
	d->open_tx = false;
}

/* ---- small values --------------------------------------------------------------------- */
static enum err meta_get(struct db *d, const char *key, sqlite3_stmt **st)
{
	*st = db_use(d, SQL_META_GET);
	bind_str(*st, 1, key);
	return db_row(d, *st);
}

enum err db_meta_num(struct db *d, const char *key, u64 *out)
{
	sqlite3_stmt *st;
	enum err e = meta_get(d, key, &st);

	if (e == E_OK)
		*out = col_num(st, 0);
	sqlite3_reset(st);
	return e;
}

enum err db_meta_text(struct db *d, const char *key, char **out)
{
	sqlite3_stmt *st;
	enum err e = meta_get(d, key, &st);

	if (e == E_OK)
		*out = xslicedup(col_bytes(st, 0));
	sqlite3_reset(st);
	return e;
}

enum err db_meta_put_num(struct db *d, const char *key, u64 v)
{
	sqlite3_stmt *st = db_use(d, SQL_META_PUT);

	bind_str(st, 1, key);
	bind_num(st, 2, v);
	return db_done(d, st);
}

enum err db_meta_put_text(struct db *d, const char *key, const char *v)
{
	sqlite3_stmt *st = db_use(d, SQL_META_PUT);

	bind_str(st, 1, key);
	bind_str(st, 2, v);
	return db_done(d, st);
}

enum err db_meta_del(struct db *d, const char *key)
{
	sqlite3_stmt *st = db_use(d, SQL_META_DEL);

	bind_str(st, 1, key);
	return db_done(d, st);
}
