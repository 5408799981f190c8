/* people: identities, their credentials and the roles they hold, as rows of the store.
 *
 * Owns the queries and their meaning; decides nothing about who may what, hashes nothing. Functions
 * that write want an open transaction (db_begin) unless they say otherwise.  E_IO, E_CORRUPT and
 * E_NOMEM mean that the store failed: roll back. */
#ifndef PICKET_AUTH_PEOPLE_H
#define PICKET_AUTH_PEOPLE_H

#include "auth/db.h"
#include "ipc/messages.h"

enum {
	LIM_NAME = 128,
	LIM_CLIENT_ID = 256,
	LIM_ROLES = 64,	     /* of one identity */
	LIM_PASSWORDS = 1,   /* in force at once, so that a check is always one hash */
	LIM_TOKENS = 8,	     /* in force at once: old ones that overlap with the newest */
	UID_UNKNOWN = 65534, /* whom the kernel names instead of a user it does not know */
};

enum credential_type { CRED_TOKEN = 1, CRED_PASSWORD = 2 };
enum credential_state { CRED_REVOKED = 0, CRED_ACTIVE = 1, CRED_REPLACED = 2, CRED_EXPIRED = 3 };
const char *credential_type_word(enum credential_type t);
const char *credential_state_word(enum credential_state s);

struct credential {
	u32 number;
	enum credential_type type;
	enum credential_state state;
	u64 created, expires, last_used; /* wall ms; expires 0: never */
	char hash[160]; /* token: 32 bytes; password: the encoded Argon2id string */
	size_t hash_len;
};

struct identity {
	u64 id; /* never used again */
	char name[LIM_NAME + 1];
	enum identity_kind kind;
	enum identity_status status;
	char group[LIM_NAME + 1];
	char client_id[LIM_CLIENT_ID + 1]; /* the pattern; "": the default of the kind */
	u64 created, last_seen;		   /* wall ms; 0: never */
	u64 generation;			   /* of its last change of rights; 0: as it was made */
	bool removed;
	u32 credentials;    /* in force */
	u32 credential_min; /* the lowest number in force; 0: none */
	u32 role[LIM_ROLES], nroles;
	u32 uid, uid_serial; /* the user of this machine who it is; serial 0: none */
};

const char *kind_word(enum identity_kind k);
bool kind_parse(const char *word, enum identity_kind *out);
const char *status_word(enum identity_status s);
/* May this identity log in at all? */
bool status_lives(enum identity_status s);

/* E_NOT_FOUND.  With roles.  No transaction needed to read. */
enum err identity_by_name(struct db *d, struct slice name, struct identity *out) MUST;
enum err identity_by_id(struct db *d, u64 id, struct identity *out) MUST;
/* The next by name after that one (start with ""). */
enum err identity_after(struct db *d, const char *name, struct identity *out) MUST;
/* The next by id that broker may have to be told: changed after generation since, or not active. */
enum err identity_resend(struct db *d, u64 after_id, u64 since, u64 *id) MUST;

/* name, kind, group, client_id and roles of in; fills in->id.  E_EXISTS. */
enum err identity_add(struct db *d, struct identity *in, u64 now_ms) MUST;
enum err identity_set_roles(struct db *d, u64 id, const u32 *roles, u32 nroles) MUST;
enum err identity_set_attributes(struct db *d, u64 id, const char *group,
				 const char *client_id) MUST;
enum err identity_set_status(struct db *d, u64 id, enum identity_status s, const char *reason) MUST;
enum err identity_set_generation(struct db *d, u64 id, u64 generation) MUST;
/* The name is free again, the id stays used. */
enum err identity_remove(struct db *d, u64 id) MUST;

/* Which user of this machine it is; serial is higher than any before.  E_EXISTS: somebody else is.
 */
enum err identity_set_uid(struct db *d, u64 id, u32 uid, u32 serial) MUST;
enum err identity_clear_uid(struct db *d, u64 id) MUST;
enum err identity_by_uid(struct db *d, u32 uid, struct identity *out) MUST;

enum err credential_add(struct db *d, u64 identity, enum credential_type t, struct slice hash,
			u64 now_ms, u32 *number) MUST;
/* The next after number (start with 0), in force or not. */
enum err credential_after(struct db *d, u64 identity, u32 number, struct credential *out) MUST;
/* Take all in force below number out of it, and forget their hashes. */
enum err credential_end_below(struct db *d, u64 identity, u32 number, enum credential_state to,
			      u64 now_ms) MUST;
enum err credential_end_type(struct db *d, u64 identity, enum credential_type t,
			     enum credential_state to, u64 now_ms) MUST;
/* All in force end at that time at the latest. */
enum err credential_expire_at(struct db *d, u64 identity, u64 wall_ms) MUST;
enum err credential_next_expiry(struct db *d, u64 *wall_ms) MUST; /* 0: none */
/* End one that is past its time.  E_NOT_FOUND: none left. */
enum err credential_expire_one(struct db *d, u64 now_ms, u64 *identity) MUST;

/* It logged in: identity and credential last seen at now_ms. */
enum err people_seen(struct db *d, u64 identity, u32 credential, u64 now_ms) MUST;
/* Where persons logged in from, for throttling by name that is no weapon (I21). */
enum err source_put(struct db *d, u64 identity, struct slice prefix, u64 now_ms) MUST;
enum err source_get(struct db *d, u64 identity, struct slice prefix, u64 *last_ms) MUST;

struct role_row {
	u32 id; /* never used again */
	char name[LIM_NAME + 1];
	char *text; /* canonical; role_row_clear frees */
	u32 identities;
};
void role_row_clear(struct role_row *r);
/* The number alone: of use many times in one call, where counting who holds it is not. */
enum err role_id(struct db *d, const char *name, u32 *id) MUST;
enum err role_by_name(struct db *d, const char *name, struct role_row *out) MUST;
enum err role_after(struct db *d, const char *name, struct role_row *out) MUST;
enum err role_name_of(struct db *d, u32 id, char out[static LIM_NAME + 1]) MUST;
enum err role_put(struct db *d, const char *name, const char *text) MUST; /* add or replace */
enum err role_del(struct db *d, u32 id) MUST; /* E_EXISTS: somebody holds it */

struct people_count {
	u64 kind[KIND_ANONYMOUS], never, roles;
};
enum err people_count(struct db *d, struct people_count *out) MUST;

#endif
