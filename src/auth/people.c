/* people: identities, credentials and roles as rows.  See people.h. */
#include <stdio.h>
#include <stdlib.h>

#include "auth/people.h"
#include "base/mem.h"

static const char *const kind_words[] = {"device", "user", "service", "anonymous"};
static const char *const status_words[] = {"revoked", "active", "must_rotate", "quarantined",
					   "suspended"};

const char *kind_word(enum identity_kind k)
{
	ASSERT(k < ARRAY_LEN(kind_words));
	return kind_words[k];
}

bool kind_parse(const char *word, enum identity_kind *out)
{
	for (u32 i = 0; i < KIND_ANONYMOUS; i++) {
		if (strcmp(word, kind_words[i]) != 0)
			continue;
		*out = (enum identity_kind)i;
		return true;
	}
	return false;
}

const char *status_word(enum identity_status s)
{
	ASSERT(s < ARRAY_LEN(status_words));
	return status_words[s];
}

bool status_lives(enum identity_status s)
{
	return s == STATUS_ACTIVE || s == STATUS_MUST_ROTATE || s == STATUS_QUARANTINED;
}

const char *credential_type_word(enum credential_type t)
{
	return t == CRED_TOKEN ? "token" : "password";
}

const char *credential_state_word(enum credential_state s)
{
	static const char *const words[] = {"revoked", "active", "replaced", "expired"};

	ASSERT(s < ARRAY_LEN(words));
	return words[s];
}

/* ---- identities ----------------------------------------------------------------------- */
static enum err roles_fill(struct db *d, struct identity *out)
{
	sqlite3_stmt *st = db_use(d, SQL_HOLDS_OF);
	enum err e;

	out->nroles = 0;
	bind_num(st, 1, out->id);
	while ((e = db_row(d, st)) == E_OK && out->nroles < LIM_ROLES)
		out->role[out->nroles++] = (u32)col_num(st, 0);
	sqlite3_reset(st);
	return e == E_NOT_FOUND ? E_OK : e;
}

static enum err identity_fill(struct db *d, sqlite3_stmt *st, struct identity *out)
{
	enum err e = db_row(d, st);

	if (e != E_OK)
		return e;
	out->id = col_num(st, 0);
	col_str(st, 1, out->name, sizeof(out->name));
	out->kind = (enum identity_kind)col_num(st, 2);
	out->status = (enum identity_status)col_num(st, 3);
	col_str(st, 4, out->group, sizeof(out->group));
	col_str(st, 5, out->client_id, sizeof(out->client_id));
	out->created = col_num(st, 6);
	out->last_seen = col_num(st, 7);
	out->generation = col_num(st, 8);
	out->removed = col_num(st, 9) != 0;
	out->credentials = (u32)col_num(st, 10);
	out->credential_min = (u32)col_num(st, 11);
	out->uid = (u32)col_num(st, 12);
	out->uid_serial = (u32)col_num(st, 13);
	sqlite3_reset(st);
	/* The file's own checks say so too; a file may lie (I28). */
	if (out->kind >= KIND_ANONYMOUS || out->status > STATUS_SUSPENDED)
		return E_CORRUPT;
	return roles_fill(d, out);
}

enum err identity_by_name(struct db *d, struct slice name, struct identity *out)
{
	sqlite3_stmt *st = db_use(d, SQL_IDENTITY_BY_NAME);
	char text[LIM_NAME + 1];

	if (name.n == 0 || name.n > LIM_NAME || memchr(name.p, 0, name.n) != NULL)
		name = SLICE_NONE; /* the same question to the store, for nobody's name */
	snprintf(text, sizeof(text), "%.*s", (int)name.n, name.n ? (const char *)name.p : "");
	bind_str(st, 1, text);
	return identity_fill(d, st, out);
}

enum err identity_by_id(struct db *d, u64 id, struct identity *out)
{
	sqlite3_stmt *st = db_use(d, SQL_IDENTITY_BY_ID);

	bind_num(st, 1, id);
	return identity_fill(d, st, out);
}

enum err identity_after(struct db *d, const char *name, struct identity *out)
{
	sqlite3_stmt *st = db_use(d, SQL_IDENTITY_AFTER);
	char after[LIM_NAME + 1];

	snprintf(after, sizeof(after), "%s", name); /* name may be out->name */
	bind_str(st, 1, after);
	return identity_fill(d, st, out);
}

enum err identity_resend(struct db *d, u64 after_id, u64 since, u64 *id)
{
	sqlite3_stmt *st = db_use(d, SQL_IDENTITY_RESEND);
	enum err e;

	bind_num(st, 1, after_id);
	bind_num(st, 2, since);
	e = db_row(d, st);
	if (e == E_OK)
		*id = col_num(st, 0);
	sqlite3_reset(st);
	return e;
}

enum err identity_add(struct db *d, struct identity *in, u64 now_ms)
{
	sqlite3_stmt *st = db_use(d, SQL_IDENTITY_ADD);
	enum err e;

	ASSERT(in->kind < KIND_ANONYMOUS);
	bind_str(st, 1, in->name);
	bind_num(st, 2, in->kind);
	bind_str(st, 3, in->group);
	bind_str(st, 4, in->client_id);
	bind_num(st, 5, now_ms);
	e = db_done(d, st);
	if (e != E_OK)
		return e;
	in->id = db_last_id(d);
	in->status = STATUS_ACTIVE;
	in->created = now_ms;
	return identity_set_roles(d, in->id, in->role, in->nroles);
}

enum err identity_set_roles(struct db *d, u64 id, const u32 *roles, u32 nroles)
{
	sqlite3_stmt *st = db_use(d, SQL_HOLDS_CLEAR);
	enum err e;

	ASSERT(nroles <= LIM_ROLES);
	bind_num(st, 1, id);
	e = db_done(d, st);
	for (u32 i = 0; e == E_OK && i < nroles; i++) {
		st = db_use(d, SQL_HOLDS_ADD);
		bind_num(st, 1, id);
		bind_num(st, 2, roles[i]);
		e = db_done(d, st);
	}
	return e;
}

enum err identity_set_attributes(struct db *d, u64 id, const char *group, const char *client_id)
{
	sqlite3_stmt *st = db_use(d, SQL_IDENTITY_ATTRIBUTES);

	bind_num(st, 1, id);
	bind_str(st, 2, group);
	bind_str(st, 3, client_id);
	return db_done(d, st);
}

enum err identity_set_uid(struct db *d, u64 id, u32 uid, u32 serial)
{
	sqlite3_stmt *st = db_use(d, SQL_LOCAL_PUT);

	ASSERT(serial != 0);
	bind_num(st, 1, id);
	bind_num(st, 2, uid);
	bind_num(st, 3, serial);
	return db_done(d, st);
}

enum err identity_clear_uid(struct db *d, u64 id)
{
	sqlite3_stmt *st = db_use(d, SQL_LOCAL_DEL);

	bind_num(st, 1, id);
	return db_done(d, st);
}

enum err identity_by_uid(struct db *d, u32 uid, struct identity *out)
{
	sqlite3_stmt *st = db_use(d, SQL_LOCAL_BY_UID);
	enum err e;
	u64 id;

	bind_num(st, 1, uid);
	e = db_row(d, st);
	id = e == E_OK ? col_num(st, 0) : 0;
	sqlite3_reset(st);
	return e == E_OK ? identity_by_id(d, id, out) : e;
}

enum err identity_set_status(struct db *d, u64 id, enum identity_status s, const char *reason)
{
	sqlite3_stmt *st = db_use(d, SQL_IDENTITY_STATUS);

	bind_num(st, 1, id);
	bind_num(st, 2, s);
	bind_str(st, 3, reason);
	return db_done(d, st);
}

enum err identity_set_generation(struct db *d, u64 id, u64 generation)
{
	sqlite3_stmt *st = db_use(d, SQL_IDENTITY_GENERATION);

	bind_num(st, 1, id);
	bind_num(st, 2, generation);
	return db_done(d, st);
}

enum err identity_remove(struct db *d, u64 id)
{
	sqlite3_stmt *st = db_use(d, SQL_IDENTITY_REMOVE);
	enum err e;

	bind_num(st, 1, id);
	e = db_done(d, st);
	if (e == E_OK)
		e = identity_set_roles(d, id, NULL, 0);
	if (e == E_OK)
		e = identity_clear_uid(d, id);
	if (e != E_OK)
		return e;
	st = db_use(d, SQL_SOURCE_DEL);
	bind_num(st, 1, id);
	return db_done(d, st);
}

/* ---- credentials ---------------------------------------------------------------------- */
enum err credential_add(struct db *d, u64 identity, enum credential_type t, struct slice hash,
			u64 now_ms, u32 *number)
{
	sqlite3_stmt *st = db_use(d, SQL_CREDENTIAL_ADD);
	enum err e;

	bind_num(st, 1, identity);
	bind_num(st, 2, t);
	bind_bytes(st, 3, hash);
	bind_num(st, 4, now_ms);
	e = db_row(d, st);
	if (e != E_OK)
		return e;
	*number = (u32)col_num(st, 0);
	return db_done(d, st);
}

enum err credential_after(struct db *d, u64 identity, u32 number, struct credential *out)
{
	sqlite3_stmt *st = db_use(d, SQL_CREDENTIAL_AT);
	struct slice hash;
	enum err e;

	bind_num(st, 1, identity);
	bind_num(st, 2, number);
	e = db_row(d, st);
	if (e != E_OK)
		return e;
	memset(out, 0, sizeof(*out));
	out->number = (u32)col_num(st, 0);
	out->type = (enum credential_type)col_num(st, 1);
	hash = col_bytes(st, 2);
	out->hash_len = hash.n < sizeof(out->hash) ? hash.n : 0;
	if (out->hash_len != 0)
		memcpy(out->hash, hash.p, out->hash_len);
	out->created = col_num(st, 3);
	out->expires = col_num(st, 4);
	out->last_used = col_num(st, 5);
	out->state = (enum credential_state)col_num(st, 6);
	sqlite3_reset(st);
	return out->state <= CRED_EXPIRED ? E_OK : E_CORRUPT;
}

enum err credential_end_below(struct db *d, u64 identity, u32 number, enum credential_state to,
			      u64 now_ms)
{
	sqlite3_stmt *st = db_use(d, SQL_CREDENTIAL_STATE);

	bind_num(st, 1, identity);
	bind_num(st, 2, to);
	bind_num(st, 3, now_ms);
	bind_num(st, 4, number);
	return db_done(d, st);
}

enum err credential_end_type(struct db *d, u64 identity, enum credential_type t,
			     enum credential_state to, u64 now_ms)
{
	sqlite3_stmt *st = db_use(d, SQL_CREDENTIAL_STATE_TYPE);

	bind_num(st, 1, identity);
	bind_num(st, 2, to);
	bind_num(st, 3, now_ms);
	bind_num(st, 4, t);
	return db_done(d, st);
}

enum err credential_expire_at(struct db *d, u64 identity, u64 wall_ms)
{
	sqlite3_stmt *st = db_use(d, SQL_CREDENTIAL_EXPIRES);

	bind_num(st, 1, identity);
	bind_num(st, 2, wall_ms);
	return db_done(d, st);
}

enum err credential_next_expiry(struct db *d, u64 *wall_ms)
{
	sqlite3_stmt *st = db_use(d, SQL_CREDENTIAL_NEXT_EXPIRY);
	enum err e = db_row(d, st);

	if (e == E_OK)
		*wall_ms = col_num(st, 0);
	sqlite3_reset(st);
	return e;
}

enum err credential_expire_one(struct db *d, u64 now_ms, u64 *identity)
{
	sqlite3_stmt *st = db_use(d, SQL_CREDENTIAL_EXPIRED);
	u64 number;
	enum err e;

	bind_num(st, 1, now_ms);
	e = db_row(d, st);
	if (e != E_OK)
		return e;
	*identity = col_num(st, 0);
	number = col_num(st, 1);
	sqlite3_reset(st);
	st = db_use(d, SQL_CREDENTIAL_END);
	bind_num(st, 1, *identity);
	bind_num(st, 2, number);
	bind_num(st, 3, CRED_EXPIRED);
	return db_done(d, st);
}

enum err people_seen(struct db *d, u64 identity, u32 credential, u64 now_ms)
{
	sqlite3_stmt *st = db_use(d, SQL_IDENTITY_SEEN);
	enum err e;

	bind_num(st, 1, identity);
	bind_num(st, 2, now_ms);
	e = db_done(d, st);
	if (e != E_OK)
		return e;
	st = db_use(d, SQL_CREDENTIAL_USED);
	bind_num(st, 1, identity);
	bind_num(st, 2, credential);
	bind_num(st, 3, now_ms);
	return db_done(d, st);
}

enum err source_put(struct db *d, u64 identity, struct slice prefix, u64 now_ms)
{
	sqlite3_stmt *st = db_use(d, SQL_SOURCE_PUT);

	bind_num(st, 1, identity);
	bind_bytes(st, 2, prefix);
	bind_num(st, 3, now_ms);
	return db_done(d, st);
}

enum err source_get(struct db *d, u64 identity, struct slice prefix, u64 *last_ms)
{
	sqlite3_stmt *st = db_use(d, SQL_SOURCE_GET);
	enum err e;

	bind_num(st, 1, identity);
	bind_bytes(st, 2, prefix);
	e = db_row(d, st);
	if (e == E_OK)
		*last_ms = col_num(st, 0);
	sqlite3_reset(st);
	return e;
}

/* ---- roles ---------------------------------------------------------------------------- */
void role_row_clear(struct role_row *r)
{
	free(r->text);
	r->text = NULL;
}

static enum err role_fill(struct db *d, sqlite3_stmt *st, struct role_row *out)
{
	enum err e = db_row(d, st);

	out->text = NULL;
	if (e != E_OK)
		return e;
	out->id = (u32)col_num(st, 0);
	col_str(st, 1, out->name, sizeof(out->name));
	out->text = xslicedup(col_bytes(st, 2));
	out->identities = (u32)col_num(st, 3);
	sqlite3_reset(st);
	return E_OK;
}

enum err role_id(struct db *d, const char *name, u32 *id)
{
	sqlite3_stmt *st = db_use(d, SQL_ROLE_ID);
	enum err e;

	bind_str(st, 1, name);
	e = db_row(d, st);
	if (e == E_OK)
		*id = (u32)col_num(st, 0);
	sqlite3_reset(st);
	return e;
}

enum err role_by_name(struct db *d, const char *name, struct role_row *out)
{
	sqlite3_stmt *st = db_use(d, SQL_ROLE_BY_NAME);

	bind_str(st, 1, name);
	return role_fill(d, st, out);
}

enum err role_after(struct db *d, const char *name, struct role_row *out)
{
	sqlite3_stmt *st = db_use(d, SQL_ROLE_AFTER);
	char after[LIM_NAME + 1];

	snprintf(after, sizeof(after), "%s", name); /* name may be out->name */
	bind_str(st, 1, after);
	return role_fill(d, st, out);
}

enum err role_name_of(struct db *d, u32 id, char out[static LIM_NAME + 1])
{
	sqlite3_stmt *st = db_use(d, SQL_ROLE_NAME);
	enum err e;

	out[0] = '\0';
	bind_num(st, 1, id);
	e = db_row(d, st);
	if (e == E_OK)
		col_str(st, 0, out, LIM_NAME + 1);
	sqlite3_reset(st);
	return e;
}

enum err role_put(struct db *d, const char *name, const char *text)
{
	u32 id = 0;
	enum err e = role_id(d, name, &id);
	sqlite3_stmt *st;

	if (e != E_OK && e != E_NOT_FOUND)
		return e;
	st = db_use(d, e == E_OK ? SQL_ROLE_TEXT : SQL_ROLE_ADD);
	if (e == E_OK)
		bind_num(st, 1, id);
	else
		bind_str(st, 1, name);
	bind_str(st, 2, text);
	return db_done(d, st);
}

enum err role_del(struct db *d, u32 id)
{
	sqlite3_stmt *st = db_use(d, SQL_ROLE_DEL);

	bind_num(st, 1, id);
	return db_done(d, st);
}

/* ---- counts --------------------------------------------------------------------------- */
enum err people_count(struct db *d, struct people_count *out)
{
	sqlite3_stmt *st = db_use(d, SQL_COUNT_ROLES);
	enum err e = db_row(d, st);

	memset(out, 0, sizeof(*out));
	if (e == E_OK)
		out->roles = col_num(st, 0);
	sqlite3_reset(st);
	for (u32 k = 0; e == E_OK && k < KIND_ANONYMOUS; k++) {
		st = db_use(d, SQL_COUNT_KIND);
		bind_num(st, 1, k);
		e = db_row(d, st);
		if (e == E_OK) {
			out->kind[k] = col_num(st, 0);
			out->never += col_num(st, 1);
		}
		sqlite3_reset(st);
	}
	return e;
}
