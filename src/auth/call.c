/* call: one request of admin from its JSON to its answer.  See call.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/call.h"
#include "auth/login.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/calls.h"
#include "ipc/codes.h"

struct op {
	const char *name;
	call_fn *fn;
};
static const struct op ops[] = {
	{"identity.add", op_identity_add},
	{"identity.list", op_identity_list},
	{"identity.show", op_identity_show},
	{"identity.rotate", op_identity_rotate},
	{"identity.password", op_identity_password},
	{"identity.revoke", op_identity_revoke},
	{"identity.restore", op_identity_restore},
	{"identity.remove", op_identity_remove},
	{"identity.roles", op_identity_roles},
	{"identity.local", op_identity_local},
	{"role.list", op_role_list},
	{"role.show", op_role_show},
	{"role.set", op_role_set},
	{"role.allow", op_role_allow},
	{"role.deny", op_role_deny},
	{"role.remove", op_role_remove},
	{"policy.export", op_policy_export},
	{"policy.check", op_policy_check},
	{"policy.apply", op_policy_apply},
	{"policy.confirm", op_policy_confirm},
	{"policy.rollback", op_policy_rollback},
	{"explain", op_explain},
	{"status", op_status},
};
#define X(op, admin, arguments, reply) {op, admin},
static const struct {
	const char *op;
	int admin;
} call_rules[] = {AUTH_CALL_TABLE(X)};
#undef X
_Static_assert(ARRAY_LEN(ops) == ARRAY_LEN(call_rules), "a handler for every row of ipc/calls.h");

call_fn *call_handler(const char *op, bool *needs_admin)
{
	*needs_admin = true;
	for (size_t i = 0; i < ARRAY_LEN(call_rules); i++) {
		if (strcmp(call_rules[i].op, op) == 0)
			*needs_admin = call_rules[i].admin != 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (strcmp(ops[i].name, op) == 0)
			return ops[i].fn;
	}
	return NULL;
}

/* ---- JSON memory ---------------------------------------------------------------------- */
enum { JSON_HEAD = 16 };

static void *json_alloc(size_t n)
{
	u8 *p = malloc(n + JSON_HEAD);

	if (p == NULL)
		return NULL;
	memcpy(p, &n, sizeof(n));
	return p + JSON_HEAD;
}

static void json_release(void *q)
{
	u8 *p = q;
	size_t n;

	if (p == NULL)
		return;
	p -= JSON_HEAD;
	memcpy(&n, p, sizeof(n));
	mem_wipe(p, n + JSON_HEAD);
	free(p);
}

void call_json_setup(void)
{
	json_set_alloc_funcs(json_alloc, json_release);
}

void call_json_free(char *text)
{
	json_free_t release;

	json_get_alloc_funcs(NULL, &release);
	if (text != NULL)
		release(text);
}

/* ---- refusing ------------------------------------------------------------------------- */
static enum err code_err(enum auth_code code)
{
	if (code == CODE_UNKNOWN_IDENTITY || code == CODE_UNKNOWN_ROLE)
		return E_NOT_FOUND;
	if (code == CODE_NAME_TAKEN)
		return E_EXISTS;
	if (code == CODE_NOT_ADMIN)
		return E_DENIED;
	if (code == CODE_STORE)
		return E_IO;
	if (code == CODE_BUSY || code == CODE_NOT_READY)
		return E_BUSY;
	return code == CODE_POLICY_SYNTAX || code == CODE_CALL || code == CODE_ARGUMENT ? E_SYNTAX
											: E_STATE;
}

void call_refuse(struct call *c, enum auth_code code, const char *fmt, ...)
{
	const struct code_row *row = code_find(code);
	char text[1024], number[16];
	va_list ap;

	ASSERT(row != NULL);
	if (c->stopped)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(number, sizeof(number), "E%u", (unsigned)code);
	json_object_clear(c->reply);
	call_set(c, "error",
		 json_pack("{s:s, s:s, s:s, s:s}", "code", number, "word", row->word, "text", text,
			   "next", row->next));
	c->err = code_err(code);
	c->stopped = true;
}

void call_failed(struct auth *a, struct call *c, enum err e)
{
	if (e == E_QUOTA) {
		call_refuse(c, CODE_TOO_BIG, "one call may change at most %d identities",
			    LIM_CHANGES);
		return;
	}
	log_msg(LOG_ERROR, "store", "%s: %s (%s)", c->op, err_text(e), db_why(a->db));
	call_refuse(c, CODE_STORE, "the store of identities failed: %s (%s); nothing was changed",
		    err_text(e), db_why(a->db));
}

/* ---- arguments ------------------------------------------------------------------------ */
const char *call_str(struct call *c, const char *key, bool must)
{
	const char *s = json_string_value(json_object_get(c->req, key));

	if (s != NULL)
		return s;
	if (must || json_object_get(c->req, key) != NULL)
		call_refuse(c, CODE_ARGUMENT, "%s: \"%s\" must be a text", c->op, key);
	return "";
}

u64 call_num(struct call *c, const char *key, u64 otherwise)
{
	const json_t *v = json_object_get(c->req, key);

	if (v == NULL)
		return otherwise;
	if (json_is_integer(v) && json_integer_value(v) >= 0)
		return (u64)json_integer_value(v);
	call_refuse(c, CODE_ARGUMENT, "%s: \"%s\" must be a whole number", c->op, key);
	return otherwise;
}

bool call_flag(struct call *c, const char *key)
{
	const json_t *v = json_object_get(c->req, key);

	if (v != NULL && !json_is_boolean(v))
		call_refuse(c, CODE_ARGUMENT, "%s: \"%s\" must be true or false", c->op, key);
	return json_is_true(v);
}

bool call_identity(struct auth *a, struct call *c, const char *key, struct identity *out)
{
	const char *name = call_str(c, key, true);
	char shown[LIM_NAME * 4 + 1];
	enum err e;

	if (c->stopped)
		return false;
	e = identity_by_name(a->db, slice_str(name), out);
	log_escape(slice_str(name), shown, sizeof(shown));
	if (e == E_NOT_FOUND)
		call_refuse(c, CODE_UNKNOWN_IDENTITY, "there is no device, user or service \"%s\"",
			    shown);
	else if (e != E_OK)
		call_failed(a, c, e);
	return e == E_OK;
}

bool call_role_found(struct auth *a, struct call *c, const char *name, enum err e)
{
	char shown[LIM_NAME * 4 + 1];

	log_escape(slice_str(name), shown, sizeof(shown));
	if (e == E_NOT_FOUND)
		call_refuse(c, CODE_UNKNOWN_ROLE, "there is no role \"%s\"", shown);
	else if (e != E_OK)
		call_failed(a, c, e);
	return e == E_OK;
}

static bool role_find(struct auth *a, struct call *c, const char *name, u32 *id)
{
	return call_role_found(a, c, name, role_id(a->db, name, id));
}

bool call_roles(struct auth *a, struct call *c, u32 out[static LIM_ROLES], u32 *n)
{
	json_t *list = json_object_get(c->req, "roles");

	*n = 0;
	if (list != NULL && !json_is_array(list))
		call_refuse(c, CODE_ARGUMENT, "%s: \"roles\" must be a list", c->op);
	if (json_array_size(list) > LIM_ROLES)
		call_refuse(c, CODE_TOO_MANY_ROLES, "%zu roles", json_array_size(list));
	for (size_t i = 0; !c->stopped && i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		if (name == NULL)
			call_refuse(c, CODE_ARGUMENT, "%s: \"roles\" must hold names", c->op);
		else if (role_find(a, c, name, &out[*n]))
			(*n)++;
	}
	return !c->stopped;
}

/* ---- chosen passwords ----------------------------------------------------------------- */
static void call_run(struct auth *a, struct call *c);

static void password_hashed(struct hash_job *j, void *arg)
{
	struct call *c = arg;

	c->hashing = false;
	if (j->err == E_OK)
		memcpy(c->hash, j->hash, sizeof(c->hash));
	else
		call_refuse(c, CODE_BUSY, "the password could not be hashed: %s", err_text(j->err));
	hash_job_free(&j);
	call_run(c->auth, c);
}

enum password_step call_password(struct auth *a, struct call *c, const char *name)
{
	const char *password = json_string_value(json_object_get(c->req, "password"));
	struct hash_job *j;
	const char *why;

	if (json_object_get(c->req, "password") == NULL)
		return PASSWORD_NONE;
	if (c->hash[0] != '\0')
		return PASSWORD_GO;
	why = password == NULL ? "it is not text" : password_refuse(slice_str(password), name);
	if (why != NULL) {
		call_refuse(c, CODE_WEAK_PASSWORD, "the password was not taken: %s", why);
		return PASSWORD_WAIT;
	}
	j = hash_job_new(HASH_MAKE, slice_str(password), NULL);
	j->done = password_hashed;
	j->arg = c;
	if (hasher_add(a->hasher, j, SLICE_LIT("admin"), auth_now(a)) != E_OK) {
		hash_job_free(&j);
		call_refuse(c, CODE_BUSY, "too many password checks are waiting");
		return PASSWORD_WAIT;
	}
	c->hashing = true;
	return PASSWORD_WAIT;
}

/* ---- writing -------------------------------------------------------------------------- */
bool call_begin(struct auth *a, struct call *c)
{
	enum err e;

	if (c->stopped)
		return false;
	e = change_begin(a, &c->change);
	if (e != E_OK)
		call_failed(a, c, e);
	return e == E_OK;
}

bool call_end(struct auth *a, struct call *c, enum err e)
{
	if (e == E_OK && !c->stopped && !c->dry)
		e = change_commit(a, &c->change, c);
	if (e != E_OK)
		call_failed(a, c, e);
	change_abort(a, &c->change);
	if (c->dry)
		call_set(c, "dry_run", json_true());
	return !c->stopped;
}

void call_set(struct call *c, const char *key, json_t *value)
{
	if (value == NULL || json_object_set_new(c->reply, key, value) != 0)
		c->err = E_NOMEM;
}

void call_say(struct call *c, const char *changed, const char *effect, const char *undo,
	      const char *next)
{
	call_set(c, "changed", json_string(changed == NULL ? "" : changed));
	call_set(c, "effect", json_string(effect == NULL ? "" : effect));
	call_set(c, "undo", json_string(undo == NULL ? "" : undo));
	call_set(c, "next", json_string(next == NULL ? "" : next));
}

/* ---- from request to answer ----------------------------------------------------------- */
static void call_free(struct auth *a, struct call *c)
{
	TAILQ_REMOVE(&a->calls, c, next);
	timer_stop(a->wheel, &c->timer);
	timer_stop(a->wheel, &c->again);
	json_decref(c->req);
	json_decref(c->reply);
	mem_wipe(c->hash, sizeof(c->hash));
	free(c);
}

static void audit(const struct auth *a, const struct call *c)
{
	static const char *const said[] = {"name", "prefix", "kind", "reason", "action", "filter"};
	struct logline l;

	log_begin(&l, LOG_INFO, "change");
	log_word(&l, "op", c->op);
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		const char *value = json_string_value(json_object_get(c->req, said[i]));
		if (value != NULL)
			log_peer(&l, said[i], slice_str(value));
	}
	log_num(&l, "uid", c->uid);
	log_num(&l, "generation", a->generation);
	if (c->stopped)
		log_err(&l, c->err);
	log_end(&l);
}

void call_answer(struct auth *a, struct call *c)
{
	static const char no_memory[] = "{\"error\":{\"code\":\"E1004\",\"word\":\"store_failed\","
					"\"text\":\"out of memory\",\"next\":\"try again\"}}";
	bool admin = true;
	size_t n = json_dumpb(c->reply, NULL, 0, JSON_COMPACT);
	char *text = c->err == E_NOMEM ? NULL : malloc(MAX(n, (size_t)1));

	ASSERT(c->waiting == 0);
	if (c->req != NULL && call_handler(c->op, &admin) != NULL && admin && !c->dry)
		audit(a, c);
	if (text == NULL) {
		a->env->reply(a->env->arg, c->id, E_NOMEM, slice_str(no_memory));
	} else {
		json_dumpb(c->reply, text, n, JSON_COMPACT);
		a->env->reply(a->env->arg, c->id, c->err, slice_of(text, n));
		mem_wipe(text, n);
	}
	free(text);
	call_free(a, c);
}

/* The change is durable and broker will hear of it; the caller must know that it has not yet. */
static void answer_unconfirmed(struct auth *a, struct call *c, const char *warning)
{
	change_forget(a, c);
	call_set(c, "warning", json_string(warning));
	call_answer(a, c);
}

static void call_timeout(struct timer *t)
{
	struct call *c = CONTAINER_OF(t, struct call, timer);

	answer_unconfirmed(
		c->auth, c,
		"stored, but the broker has not confirmed within 5 s; it is told as soon "
		"as it answers");
}

static void call_settle(struct auth *a, struct call *c)
{
	if (c->hashing || timer_running(&c->again))
		return; /* call_run comes again */
	if (c->waiting == 0) {
		call_answer(a, c);
	} else if (!a->broker_up) {
		answer_unconfirmed(a, c,
				   "stored; the broker is not running and gets it at its start");
	} else {
		timer_start(a->wheel, &c->timer, auth_now(a) + CONFIRM_WAIT_MS);
	}
}

static void call_run(struct auth *a, struct call *c)
{
	bool needs_admin;
	call_fn *fn = call_handler(c->op, &needs_admin);

	if (fn == NULL)
		call_refuse(c, CODE_CALL, "there is no such operation");
	else if (needs_admin && !c->admin)
		call_refuse(c, CODE_NOT_ADMIN, "%s changes rights, and you may only read", c->op);
	else if (!login_ready(a))
		call_refuse(c, CODE_NOT_READY, "auth waits for its keys");
	else
		c->dry = call_flag(c, "dry_run");
	if (!c->stopped)
		fn(a, c);
	ASSERT(!c->change.open);
	call_settle(a, c);
}

static void call_run_again(struct timer *t)
{
	struct call *c = CONTAINER_OF(t, struct call, again);

	call_run(c->auth, c);
}

void call_again(struct auth *a, struct call *c)
{
	ASSERT(!c->stopped);
	timer_start(a->wheel, &c->again, auth_now(a) + 1);
}

void call_start(struct auth *a, u64 id, const struct m_call *m, struct slice json)
{
	struct call *c = xcalloc(1, sizeof(*c));
	json_error_t je;

	OBJ_CHECK(a, AUTH_MAGIC);
	c->id = id;
	c->uid = m->uid;
	c->admin = m->admin == 1;
	c->auth = a;
	c->op = "";
	c->timer.fire = call_timeout;
	c->again.fire = call_run_again;
	c->reply = json_object();
	TAILQ_INSERT_TAIL(&a->calls, c, next);
	if (json.n <= LIM_CALL_BYTES)
		c->req = json_loadb(json.n ? (const char *)json.p : "", json.n,
				    JSON_REJECT_DUPLICATES, &je);
	if (!json_is_object(c->req) || json_string_value(json_object_get(c->req, "op")) == NULL) {
		call_refuse(c, CODE_CALL, "the call is not a JSON object with an \"op\"");
		call_answer(a, c);
		return;
	}
	c->op = json_string_value(json_object_get(c->req, "op"));
	call_run(a, c);
}

void calls_free(struct auth *a)
{
	struct call *c;

	while ((c = TAILQ_FIRST(&a->calls)) != NULL) {
		change_forget(a, c);
		call_free(a, c);
	}
}
