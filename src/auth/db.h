/* db: SQLite, held at arm's length: opening, checking and upgrading the file; statements of sql.def
 * with bound parameters; transactions that are durable when they end.
 *
 * Knows no identities.  One thread.  After an error the transaction is gone and db_why says what
 * was wrong, in words of ours. */
#ifndef PICKET_AUTH_DB_H
#define PICKET_AUTH_DB_H

#include <sqlite3.h>

#include "auth/sql.def"
#include "base/err.h"

#define X(name, text) SQL_##name,
enum sql { SQL_TABLE(X) SQL_N };
#undef X

struct db;

/* Open or create path (0600), check it, bring it to today's schema.  E_CORRUPT: damaged or not
 * ours; E_VERSION: made by a later picket; E_IO.  On an error *out is NULL and why, when given,
 * says it. */
enum err db_open(const char *path, struct db **out, char *why, size_t cap) MUST;
void db_close(struct db **d);
const char *db_why(const struct db *d);

/* Reset statement s and clear its parameters; then bind (1-based) and step. */
sqlite3_stmt *db_use(struct db *d, enum sql s);
void bind_num(sqlite3_stmt *st, int i, u64 v);
void bind_str(sqlite3_stmt *st, int i, const char *v); /* borrows until the next step */
void bind_bytes(sqlite3_stmt *st, int i, struct slice v);
/* E_OK: a row is there; E_NOT_FOUND: no (more) row; E_EXISTS: a constraint; E_IO, E_CORRUPT. */
enum err db_row(struct db *d, sqlite3_stmt *st) MUST;
/* Run to the end, ignoring rows. */
enum err db_done(struct db *d, sqlite3_stmt *st) MUST;
u64 db_last_id(const struct db *d);
u64 col_num(sqlite3_stmt *st, int i);
/* A copy, cut to cap - 1. */
void col_str(sqlite3_stmt *st, int i, char *out, size_t cap);
struct slice col_bytes(sqlite3_stmt *st, int i); /* views until the next step */

enum err db_begin(struct db *d) MUST;
enum err db_commit(struct db *d) MUST; /* durable on E_OK; rolled back on an error */
void db_rollback(struct db *d);	       /* harmless outside a transaction */

/* Small values by name.  E_NOT_FOUND. */
enum err db_meta_num(struct db *d, const char *key, u64 *out) MUST;
enum err db_meta_text(struct db *d, const char *key, char **out) MUST; /* the caller frees */
enum err db_meta_put_num(struct db *d, const char *key, u64 v) MUST;
enum err db_meta_put_text(struct db *d, const char *key, const char *v) MUST;
enum err db_meta_del(struct db *d, const char *key) MUST;

#endif
