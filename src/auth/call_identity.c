/* call_identity: the calls about devices, users and services.  See call.h. */
#include <stdio.h>
#include <stdlib.h>

#include "auth/call.h"
#include "auth/expiry.h"
#include "auth/login.h"
#include "auth/verdict.h"
#include "base/log.h"
#include "base/mem.h"

enum { ALL_NUMBERS = INT32_MAX, LINE = 700 };

/* ---- showing -------------------------------------------------------------------------- */
static json_t *roles_json(struct auth *a, const struct identity *i)
{
	json_t *list = json_array();
	char name[LIM_NAME + 1];

	for (u32 n = 0; n < i->nroles; n++) {
		if (role_name_of(a->db, i->role[n], name) == E_OK)
			json_array_append_new(list, json_string(name));
	}
	return list;
}

static void client_id_words(const struct identity *i, char *out, size_t cap)
{
	if (i->client_id[0] != '\0')
		snprintf(out, cap, "%s", i->client_id);
	else if (i->kind == KIND_DEVICE)
		snprintf(out, cap, "%s, %s:*", i->name, i->name);
	else
		snprintf(out, cap, "*");
}

json_t *identity_json(struct auth *a, const struct identity *i)
{
	char client_id[LIM_CLIENT_ID + LIM_NAME + 8];
	json_t *j;

	client_id_words(i, client_id, sizeof(client_id));
	j = json_pack("{s:I, s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:I, s:i}", "id", (json_int_t)i->id,
		      "name", i->name, "kind", kind_word(i->kind), "status", status_word(i->status),
		      "roles", roles_json(a, i), "group", i->group, "client_id", client_id,
		      "created", (json_int_t)i->created, "last_seen", (json_int_t)i->last_seen,
		      "credentials", (int)i->credentials);
	if (i->uid_serial != 0)
		json_object_set_new(j, "unix_user", json_integer((json_int_t)i->uid));
	return j;
}

static json_t *credentials_json(struct auth *a, const struct identity *i)
{
	json_t *list = json_array();
	struct credential c = {0};

	while (credential_after(a->db, i->id, c.number, &c) == E_OK) {
		json_array_append_new(
			list, json_pack("{s:i, s:s, s:I, s:I, s:I, s:s}", "number", (int)c.number,
					"type", credential_type_word(c.type), "created",
					(json_int_t)c.created, "expires", (json_int_t)c.expires,
					"last_used", (json_int_t)c.last_used, "state",
					credential_state_word(c.state)));
		mem_wipe(c.hash, sizeof(c.hash));
	}
	return list;
}

/* The identity as it is now, in the answer. */
static void show_again(struct auth *a, struct call *c, u64 id)
{
	struct identity i;

	if (identity_by_id(a->db, id, &i) == E_OK)
		call_set(c, "identity", identity_json(a, &i));
}

void op_identity_show(struct auth *a, struct call *c)
{
	struct identity i;
	json_t *j;

	login_seen_flush(a);
	if (!call_identity(a, c, "name", &i))
		return;
	j = identity_json(a, &i);
	json_object_set_new(j, "credentials", credentials_json(a, &i));
	call_set(c, "identity", j);
}

static bool list_wants(const struct identity *i, const char *kind, const char *prefix, bool never)
{
	return (kind[0] == '\0' || strcmp(kind, kind_word(i->kind)) == 0) &&
	       strncmp(i->name, prefix, strlen(prefix)) == 0 && (!never || i->last_seen == 0);
}

void op_identity_list(struct auth *a, struct call *c)
{
	const char *kind = call_str(c, "kind", false), *prefix = call_str(c, "prefix", false);
	bool never = call_flag(c, "never");
	struct identity i = {0};
	json_t *list;
	enum err e = E_OK;

	if (c->stopped)
		return;
	if (c->after[0] == '\0') {
		login_seen_flush(a);
		call_set(c, "identities", json_array());
	}
	list = json_object_get(c->reply, "identities");
	memcpy(i.name, c->after, sizeof(i.name));
	for (u32 n = 0; n < LIM_LIST_TURN && e == E_OK; n++) {
		e = identity_after(a->db, i.name, &i);
		if (e == E_OK && list_wants(&i, kind, prefix, never))
			json_array_append_new(list, identity_json(a, &i));
	}
	memcpy(c->after, i.name, sizeof(c->after));
	if (e == E_OK)
		call_again(a, c);
	else if (e != E_NOT_FOUND)
		call_failed(a, c, e);
}

/* ---- adding --------------------------------------------------------------------------- */
/* What identity.add asks for, checked. */
struct adding {
	struct identity like; /* all but the name */
	const char *name, *prefix;
	u32 count;
	int width;
	bool password;
};

static void add_name(const struct adding *p, u32 n, char out[static LIM_NAME + 1])
{
	if (p->count == 0)
		snprintf(out, LIM_NAME + 1, "%s", p->name);
	else
		snprintf(out, LIM_NAME + 1, "%s%0*u", p->prefix, p->width, n + 1);
}

static void add_names(struct call *c, struct adding *p)
{
	u64 count = call_num(c, "count", 0);
	bool many = json_object_get(c->req, "prefix") != NULL;
	size_t n;

	p->prefix = call_str(c, "prefix", false);
	p->name = call_str(c, "name", !many);
	n = strlen(many ? p->prefix : p->name);
	if (many && count == 0)
		call_refuse(c, CODE_ARGUMENT, "a prefix needs a count");
	if (count > LIM_ADD)
		call_refuse(c, CODE_TOO_BIG, "at most %d at once", LIM_ADD);
	if (!policy_name_ok(slice_str(many ? p->prefix : p->name)) ||
	    n > LIM_NAME - (many ? 5u : 0u))
		call_refuse(c, CODE_BAD_NAME, "the name cannot be used");
	p->count = many ? (u32)MIN(count, (u64)LIM_ADD) : 0;
	p->width = p->count > 9999 ? 5 : p->count > 999 ? 4 : p->count > 99 ? 3 : 2;
}

static void copy_text(struct call *c, const char *key, enum auth_code code, bool ok, char *out,
		      size_t cap)
{
	const char *s = call_str(c, key, false);

	if (s[0] != '\0' && !ok)
		call_refuse(c, code, "%s: \"%s\" cannot be used", c->op, key);
	else
		snprintf(out, cap, "%s", s);
}

static void add_attributes(struct auth *a, struct call *c, struct adding *p)
{
	const char *kind = call_str(c, "kind", true), *group = call_str(c, "group", false);
	const char *client_id = call_str(c, "client_id", false);

	if (!kind_parse(kind, &p->like.kind))
		call_refuse(c, CODE_BAD_KIND, "the kind is device, user or service");
	copy_text(c, "group", CODE_BAD_NAME, policy_name_ok(slice_str(group)), p->like.group,
		  sizeof(p->like.group));
	copy_text(c, "client_id", CODE_BAD_CLIENT_ID, client_id_pattern_ok(slice_str(client_id)),
		  p->like.client_id, sizeof(p->like.client_id));
	call_roles(a, c, p->like.role, &p->like.nroles);
}

static bool add_read(struct auth *a, struct call *c, struct adding *p)
{
	const char *auth = call_str(c, "auth", false);

	add_names(c, p);
	add_attributes(a, c, p);
	p->password = json_object_get(c->req, "password") != NULL;
	if (p->password && p->count != 0)
		call_refuse(c, CODE_ARGUMENT, "several identities must not share a password");
	if (auth[0] != '\0' && strcmp(auth, "token") != 0 && strcmp(auth, "password") != 0)
		call_refuse(c, CODE_ARGUMENT, "auth is token or password");
	if (strcmp(auth, "password") == 0 && !p->password)
		call_refuse(c, CODE_ARGUMENT, "a password login needs a \"password\"");
	if (strcmp(auth, "token") == 0 && p->password)
		call_refuse(c, CODE_ARGUMENT, "a token is generated, not chosen");
	return !c->stopped;
}

/* A credential for an identity in the open transaction; token is filled for a generated one. */
static enum err credential_give(struct auth *a, struct call *c, u64 id, bool password, u32 *number,
				char token[static TOKEN_CHARS + 1])
{
	u8 hash[TOKEN_HASH];

	token[0] = '\0';
	if (password)
		return credential_add(a->db, id, CRED_PASSWORD, slice_str(c->hash), auth_wall(a),
				      number);
	token_make(token);
	token_hash(a->token_key, slice_of(token, TOKEN_CHARS), hash);
	return credential_add(a->db, id, CRED_TOKEN, slice_of(hash, sizeof(hash)), auth_wall(a),
			      number);
}

static enum err add_one(struct auth *a, struct call *c, const struct adding *p, u32 n, json_t *list)
{
	struct identity i = p->like;
	char token[TOKEN_CHARS + 1];
	json_t *j;
	u32 number;
	enum err e;

	add_name(p, n, i.name);
	e = identity_add(a->db, &i, auth_wall(a));
	if (e == E_EXISTS) {
		call_refuse(c, CODE_NAME_TAKEN, "\"%s\" exists already; nothing was changed",
			    i.name);
		return E_OK;
	}
	if (e == E_OK)
		e = credential_give(a, c, i.id, p->password, &number, token);
	if (e != E_OK)
		return e;
	i.credentials = 1;
	j = identity_json(a, &i);
	if (token[0] != '\0' && !c->dry)
		json_object_set_new(j, "token", json_string(token));
	json_array_append_new(list, j);
	mem_wipe(token, sizeof(token));
	return E_OK;
}

static void add_say(struct call *c, const struct adding *p)
{
	const char *kind = kind_word(p->like.kind);
	char first[LIM_NAME + 1], last[LIM_NAME + 1], what[LINE], undo[LINE], next[LINE];

	add_name(p, 0, first);
	add_name(p, p->count == 0 ? 0 : p->count - 1, last);
	if (p->count == 0)
		snprintf(what, sizeof(what), "%s %s added", kind, first);
	else
		snprintf(what, sizeof(what), "%u %ss added: %s..%s", p->count, kind, first, last);
	snprintf(undo, sizeof(undo), "picket %s remove %s", kind, first);
	snprintf(next, sizeof(next), "picket wait %s", first);
	call_say(c, what,
		 p->like.nroles == 0 ? "may log in, but no role lets it do anything yet"
				     : "may log in at once and do what its roles allow",
		 undo, next);
}

void op_identity_add(struct auth *a, struct call *c)
{
	struct adding p = {0};
	json_t *list;
	enum err e = E_OK;

	if (!add_read(a, c, &p) || (p.password && call_password(a, c, p.name) != PASSWORD_GO) ||
	    !call_begin(a, c))
		return;
	list = json_array();
	for (u32 n = 0; e == E_OK && !c->stopped && n < MAX(p.count, 1u); n++)
		e = add_one(a, c, &p, n, list);
	if (!call_end(a, c, e)) {
		json_decref(list);
		return;
	}
	call_set(c, "identities", list);
	add_say(c, &p);
}

/* ---- credentials ---------------------------------------------------------------------- */
/* A new credential in force now; the old ones end now or at ends_ms. */
static enum err credential_replace(struct auth *a, struct call *c, u64 id, bool password,
				   u64 ends_ms, char token[static TOKEN_CHARS + 1])
{
	u64 now = auth_wall(a);
	u32 number = 0;
	enum err e = E_OK;

	if (ends_ms != 0)
		e = credential_expire_at(a->db, id, ends_ms);
	if (e == E_OK)
		e = credential_give(a, c, id, password, &number, token);
	if (e != E_OK)
		return e;
	if (ends_ms == 0)
		return credential_end_below(a->db, id, number, CRED_REPLACED, now);
	/* A password never overlaps; of tokens a few do. */
	e = credential_end_type(a->db, id, CRED_PASSWORD, CRED_REPLACED, now);
	if (e == E_OK && number > LIM_TOKENS)
		e = credential_end_below(a->db, id, number - LIM_TOKENS + 1, CRED_REPLACED, now);
	return e;
}

/* The common end of all that gives a credential. */
static bool credential_finish(struct auth *a, struct call *c, const struct identity *i, enum err e,
			      char token[static TOKEN_CHARS + 1])
{
	bool done;

	if (e == E_OK)
		e = change_identity(a, &c->change, i->id);
	done = call_end(a, c, e);
	if (done) {
		show_again(a, c, i->id);
		if (token[0] != '\0' && !c->dry)
			call_set(c, "token", json_string(token));
	}
	mem_wipe(token, TOKEN_CHARS + 1);
	expiry_schedule(a);
	return done;
}

static bool lives_or_refuse(struct call *c, const struct identity *i)
{
	if (!status_lives(i->status))
		call_refuse(c, CODE_NOT_ACTIVE, "\"%s\" is %s", i->name, status_word(i->status));
	return !c->stopped;
}

static bool rotate_password(struct auth *a, struct call *c, const struct identity *i, u64 overlap_s,
			    bool *password)
{
	enum password_step step;

	if (json_object_get(c->req, "password") != NULL && overlap_s != 0)
		call_refuse(c, CODE_OVERLAP, "a chosen password cannot overlap with the old one");
	if (c->stopped)
		return false;
	step = call_password(a, c, i->name);
	*password = step == PASSWORD_GO;
	return step != PASSWORD_WAIT;
}

void op_identity_rotate(struct auth *a, struct call *c)
{
	u64 overlap_s = call_num(c, "overlap_s", 0);
	struct identity i;
	char token[TOKEN_CHARS + 1] = "", what[LINE], effect[LINE];
	bool password;
	enum err e;

	if (overlap_s > 366ull * 86400)
		call_refuse(c, CODE_ARGUMENT, "the overlap is at most a year");
	if (!call_identity(a, c, "name", &i) || !lives_or_refuse(c, &i) ||
	    !rotate_password(a, c, &i, overlap_s, &password) || !call_begin(a, c))
		return;
	e = credential_replace(a, c, i.id, password,
			       overlap_s == 0 ? 0 : auth_wall(a) + overlap_s * 1000, token);
	if (!credential_finish(a, c, &i, e, token))
		return;
	snprintf(what, sizeof(what), "%s %s has a new %s", kind_word(i.kind), i.name,
		 password ? "password" : "token");
	if (overlap_s == 0)
		snprintf(effect, sizeof(effect),
			 "the old credential is refused from now on; its connections are closed");
	else
		snprintf(effect, sizeof(effect), "the old credential works for another %llu s",
			 (unsigned long long)overlap_s);
	call_say(c, what, effect, "none: a replaced credential is gone; rotate again instead",
		 "bring the new credential to it");
}

void op_identity_password(struct auth *a, struct call *c)
{
	struct identity i;
	char token[TOKEN_CHARS + 1] = "", what[LINE];
	enum err e;

	call_str(c, "password", true);
	if (!call_identity(a, c, "name", &i) || !lives_or_refuse(c, &i) ||
	    call_password(a, c, i.name) != PASSWORD_GO || !call_begin(a, c))
		return;
	e = credential_replace(a, c, i.id, true, 0, token);
	if (!credential_finish(a, c, &i, e, token))
		return;
	snprintf(what, sizeof(what), "password of %s %s set", kind_word(i.kind), i.name);
	call_say(c, what,
		 "all its older credentials are refused from now on; their connections are closed",
		 "none: set another one", NULL);
}

/* ---- status --------------------------------------------------------------------------- */
void op_identity_revoke(struct auth *a, struct call *c)
{
	const char *reason = call_str(c, "reason", false);
	struct identity i;
	char what[LINE], undo[LINE], next[LINE];
	enum err e;

	if (!call_identity(a, c, "name", &i))
		return;
	if (i.status == STATUS_REVOKED)
		call_refuse(c, CODE_ALREADY, "\"%s\" is revoked already", i.name);
	if (strlen(reason) > 256)
		call_refuse(c, CODE_ARGUMENT, "the reason is longer than 256 bytes");
	if (!call_begin(a, c))
		return;
	e = identity_set_status(a->db, i.id, STATUS_REVOKED, reason);
	if (e == E_OK)
		e = credential_end_below(a->db, i.id, ALL_NUMBERS, CRED_REVOKED, auth_wall(a));
	if (e == E_OK)
		e = identity_clear_uid(a->db, i.id);
	if (e == E_OK)
		e = change_identity(a, &c->change, i.id);
	if (!call_end(a, c, e))
		return;
	show_again(a, c, i.id);
	snprintf(what, sizeof(what), "%s %s revoked, %u credential%s void", kind_word(i.kind),
		 i.name, i.credentials, i.credentials == 1 ? "" : "s");
	snprintf(undo, sizeof(undo), "picket %s restore %s (gives a new token)", kind_word(i.kind),
		 i.name);
	snprintf(next, sizeof(next), "picket client list --identity %s", i.name);
	call_say(c, what,
		 "its connections are closed, its sessions and wills dropped, new logins refused",
		 undo, next);
}

void op_identity_restore(struct auth *a, struct call *c)
{
	struct identity i;
	char token[TOKEN_CHARS + 1] = "", what[LINE], undo[LINE];
	enum err e;

	if (!call_identity(a, c, "name", &i))
		return;
	if (i.status == STATUS_ACTIVE)
		call_refuse(c, CODE_ALREADY, "\"%s\" is active already", i.name);
	if (!call_begin(a, c))
		return;
	e = identity_set_status(a->db, i.id, STATUS_ACTIVE, "");
	if (e == E_OK)
		e = credential_replace(a, c, i.id, false, 0, token);
	if (!credential_finish(a, c, &i, e, token))
		return;
	snprintf(what, sizeof(what), "%s %s is active again, with a new token", kind_word(i.kind),
		 i.name);
	snprintf(undo, sizeof(undo), "picket %s revoke %s", kind_word(i.kind), i.name);
	call_say(c, what, "it may log in with the new token only", undo,
		 "bring the new token to it");
}

void op_identity_remove(struct auth *a, struct call *c)
{
	struct identity i;
	char what[LINE];
	enum err e;

	if (!call_identity(a, c, "name", &i) || !call_begin(a, c))
		return;
	e = credential_end_below(a->db, i.id, ALL_NUMBERS, CRED_REVOKED, auth_wall(a));
	if (e == E_OK)
		e = identity_remove(a->db, i.id);
	if (e == E_OK)
		e = change_identity(a, &c->change, i.id);
	if (!call_end(a, c, e))
		return;
	call_set(c, "identity", identity_json(a, &i));
	snprintf(what, sizeof(what), "%s %s removed", kind_word(i.kind), i.name);
	call_say(c, what,
		 "its connections are closed, its sessions and wills dropped; the name is free",
		 "none: add it again, as another identity with a new credential", NULL);
}

void op_identity_roles(struct auth *a, struct call *c)
{
	struct identity i;
	u32 roles[LIM_ROLES], n;
	char what[LINE], undo[LINE], role[LIM_NAME + 1];
	size_t at;
	enum err e;

	if (json_object_get(c->req, "roles") == NULL)
		call_refuse(c, CODE_ARGUMENT, "identity.roles: \"roles\" must be a list");
	if (!call_identity(a, c, "name", &i) || !call_roles(a, c, roles, &n) || !call_begin(a, c))
		return;
	e = identity_set_roles(a->db, i.id, roles, n);
	if (e == E_OK)
		e = change_identity(a, &c->change, i.id);
	if (!call_end(a, c, e))
		return;
	show_again(a, c, i.id);
	snprintf(what, sizeof(what), "%s %s has %u role%s", kind_word(i.kind), i.name, n,
		 n == 1 ? "" : "s");
	at = (size_t)snprintf(undo, sizeof(undo), "picket %s roles %s", kind_word(i.kind), i.name);
	for (u32 k = 0; k < i.nroles && at < sizeof(undo); k++) {
		if (role_name_of(a->db, i.role[k], role) == E_OK)
			at += (size_t)snprintf(undo + at, sizeof(undo) - at, " --role %s", role);
	}
	call_say(c, what, "subscriptions, queues and wills of live clients were judged again", undo,
		 NULL);
}
