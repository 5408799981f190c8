/* fixture: a whole auth state over a real store in a folder of its own; time, broker and admin are
 * the test's.  Only what a test file uses of it matters, so all is static inline. */
#ifndef PICKET_TEST_AUTH_FIXTURE_H
#define PICKET_TEST_AUTH_FIXTURE_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/bootstrap.h"
#include "auth/call.h"
#include "auth/expiry.h"
#include "auth/login.h"
#include "auth/policy.h"
#include "auth/verdict.h"
#include "base/addr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ipc/ipc.h"

#define WALL0 1800000000000ull

struct sent {
	enum ipc_type type;
	u64 id;
	u8 body[128];
	size_t n;
	u8 tail[2048];
};

struct fx {
	struct auth *a;
	struct auth_env env;
	struct wheel wheel;
	char dir[64], db[96];
	u64 now, wall;
	bool broker;  /* is there one? */
	bool confirm; /* and does it confirm at once? */
	u32 nsent;
	struct sent sent[4096];
	u64 reply_id;
	enum err reply_err;
	json_t *reply; /* the last answer to a call */
	u32 nfiles;
	struct {
		enum file_name file;
		u32 index;
	} files[16];
};

static inline u64 fx_now(void *arg)
{
	return ((struct fx *)arg)->now;
}

static inline u64 fx_wall(void *arg)
{
	return ((struct fx *)arg)->wall;
}

static inline enum err fx_broker(void *arg, enum ipc_type type, u64 id, const void *body,
				 struct slice tail, int fd)
{
	struct fx *f = arg;
	struct sent *s = &f->sent[f->nsent % 4096];

	/* What leaves must pass the table of messages, or the real link would end. */
	assert_true(
		ipc_allowed(type, ROLE_AUTH, ROLE_BROKER, ipc_body_size(type), tail.n, fd >= 0));
	if (!f->broker)
		return E_STATE;
	assert_true(ipc_body_size(type) <= sizeof(s->body));
	s->type = type;
	s->id = id;
	memcpy(s->body, body, ipc_body_size(type));
	s->n = tail.n;
	if (tail.n != 0)
		memcpy(s->tail, tail.p, tail.n);
	f->nsent++;
	return E_OK;
}

static inline void fx_reply(void *arg, u64 id, enum err err, struct slice json)
{
	struct fx *f = arg;

	json_decref(f->reply);
	f->reply_id = id;
	f->reply_err = err;
	f->reply = json_loadb((const char *)json.p, json.n, 0, NULL);
	assert_non_null(f->reply);
}

static inline enum err fx_file(void *arg, enum file_name file, u32 index)
{
	struct fx *f = arg;

	assert_true(f->nfiles < 16);
	f->files[f->nfiles].file = file;
	f->files[f->nfiles++].index = index;
	return E_OK;
}

/* Open the store and everything over it; key and first policy are there unless a test says other.
 */
static inline void fx_open(struct fx *f, bool ready)
{
	f->env = (struct auth_env){f, fx_now, fx_wall, fx_broker, fx_reply, fx_file};
	wheel_init(&f->wheel, f->now);
	f->a = auth_new(&f->env, &f->wheel);
	conf_defaults(&f->a->conf);
	f->a->has_conf = true;
	f->a->conf.bootstrap[0] = '\0';
	assert_int_equal(password_hash(SLICE_LIT("nobody's"), f->a->decoy), E_OK);
	assert_int_equal(db_open(f->db, &f->a->db, NULL, 0), E_OK);
	assert_int_equal(policy_load(f->a), E_OK);
	f->a->hasher = hasher_new(2);
	memset(f->a->token_key, 0x5a, 32);
	f->a->has_key = f->a->has_boot = ready;
	policy_confirm_resume(f->a);
	expiry_schedule(f->a);
}

static inline int fx_setup(void **state)
{
	struct fx *f = xcalloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/picket-auth-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->db, sizeof(f->db), "%s/auth.db", f->dir);
	f->now = clock_mono_ms(); /* the hashing threads have the real one */
	f->wall = WALL0;
	f->broker = f->confirm = true;
	fx_open(f, true);
	change_linked(f->a);
	*state = f;
	return 0;
}

static inline void fx_close(struct fx *f)
{
	auth_free(&f->a);
}

static inline int fx_teardown(void **state)
{
	struct fx *f = *state;
	char cmd[128];

	fx_close(f);
	json_decref(f->reply);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
	free(f);
	return 0;
}

static inline void fx_restart(struct fx *f)
{
	fx_close(f);
	f->nsent = 0;
	fx_open(f, true);
}

/* Confirm all that was sent and not confirmed yet. */
static inline void fx_confirm(struct fx *f)
{
	for (u32 i = 0; i < f->nsent; i++) {
		u64 g = 0;
		struct m_policy p;
		struct m_identity d;
		if (f->sent[i].type == IPC_POLICY) {
			memcpy(&p, f->sent[i].body, sizeof(p));
			g = p.generation;
		} else if (f->sent[i].type == IPC_IDENTITY) {
			memcpy(&d, f->sent[i].body, sizeof(d));
			g = d.generation;
		}
		if (g != 0)
			change_confirmed(f->a, g);
	}
}

/* Let the hashing threads finish what they have. */
static inline void fx_hash(struct fx *f)
{
	struct pollfd p = {.fd = hasher_fd(f->a->hasher), .events = POLLIN};

	assert_int_equal(poll(&p, 1, 20000), 1);
	hasher_collect(f->a->hasher);
}

static inline void fx_pass(struct fx *f, u64 ms)
{
	f->now += ms;
	f->wall += ms;
	wheel_advance(&f->wheel, f->now);
}

/* A call as administrator, answered: hashing and broker's confirmation included. */
static inline json_t *fx_call_as(struct fx *f, bool admin, const char *json)
{
	static u64 id = 100;
	struct m_call m = {.uid = 1000, .admin = admin};

	id++;
	call_start(f->a, id, &m, slice_str(json));
	for (u32 tries = 0; f->reply_id != id && tries < 4; tries++) {
		struct call *c = TAILQ_FIRST(&f->a->calls);
		if (c != NULL && c->hashing)
			fx_hash(f);
		if (f->confirm)
			fx_confirm(f);
	}
	assert_int_equal(f->reply_id, id);
	return f->reply;
}

PRINTF(2, 3) static inline json_t *fx_call(struct fx *f, const char *fmt, ...)
{
	char json[4096];
	va_list ap;

	va_start(ap, fmt);
	assert_true(vsnprintf(json, sizeof(json), fmt, ap) < (int)sizeof(json));
	va_end(ap);
	for (char *p = json; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	return fx_call_as(f, true, json);
}

/* A text of the last answer, "" when it is not there. */
static inline const char *fx_text(struct fx *f, const char *object, const char *key)
{
	json_t *o = object == NULL ? f->reply : json_object_get(f->reply, object);
	const char *s;

	if (json_is_array(o))
		o = json_array_get(o, 0);
	s = json_string_value(json_object_get(o, key));
	return s == NULL ? "" : s;
}

static inline void fx_ok(struct fx *f)
{
	if (f->reply_err != E_OK)
		print_error("%s\n", json_dumps(f->reply, 0));
	assert_int_equal(f->reply_err, E_OK);
}

static inline void fx_refused(struct fx *f, const char *code)
{
	assert_int_not_equal(f->reply_err, E_OK);
	assert_string_equal(fx_text(f, "error", "code"), code);
	assert_string_not_equal(fx_text(f, "error", "text"), "");
	assert_string_not_equal(fx_text(f, "error", "next"), "");
}

/* ---- logins ------------------------------------------------------------------------------------
 */
static inline u64 fx_ask(struct fx *f, const char *client_id, const char *user,
			 const char *password)
{
	static u64 id = 1;
	struct m_login m = {.version = 4, .tls = 1};
	u8 tail[2048];
	struct wr w = wr_of(tail, sizeof(tail));

	m.addr[10] = m.addr[11] = 0xff;
	m.addr[12] = 192;
	m.client_id_len = (u16)strlen(client_id);
	m.has_username = user != NULL;
	m.has_password = password != NULL;
	m.username_len = user == NULL ? 0 : (u16)strlen(user);
	m.password_len = password == NULL ? 0 : (u16)strlen(password);
	wr_bytes(&w, client_id, m.client_id_len);
	wr_bytes(&w, user, m.username_len);
	wr_bytes(&w, password, m.password_len);
	assert_int_equal(w.err, E_OK);
	login_request(f->a, ++id, &m, wr_done(&w));
	return id;
}

/* The same through a unix socket, by that user. */
static inline struct m_verdict fx_local(struct fx *f, u32 uid, const char *client_id,
					const char *user, const char *password)
{
	static u64 id = 1u << 20;
	struct m_login m = {.version = 4};
	struct m_verdict v = {0};
	u8 tail[2048];
	struct wr w = wr_of(tail, sizeof(tail));

	addr_of_uid(uid, m.addr);
	m.client_id_len = (u16)strlen(client_id);
	m.has_username = user != NULL;
	m.has_password = password != NULL;
	m.username_len = user == NULL ? 0 : (u16)strlen(user);
	m.password_len = password == NULL ? 0 : (u16)strlen(password);
	wr_bytes(&w, client_id, m.client_id_len);
	wr_bytes(&w, user, m.username_len);
	wr_bytes(&w, password, m.password_len);
	login_request(f->a, ++id, &m, wr_done(&w));
	for (u32 i = 0; i < MIN(f->nsent, 4096u); i++) {
		if (f->sent[i].type == IPC_VERDICT && f->sent[i].id == id)
			memcpy(&v, f->sent[i].body, sizeof(v));
	}
	return v;
}

static inline const struct sent *fx_verdict_of(struct fx *f, u64 id)
{
	for (u32 i = 0; i < MIN(f->nsent, 4096u); i++) {
		if (f->sent[i].type == IPC_VERDICT && f->sent[i].id == id)
			return &f->sent[i];
	}
	return NULL;
}

/* What the listener takes: one or two; AUTHENTICATOR_N: no second. */
static inline void fx_authenticators(struct fx *f, enum authenticator first,
				     enum authenticator second)
{
	struct conf_listener *l = &f->a->conf.listener[0];

	l->authenticator[0] = (u8)first;
	l->authenticator[1] = (u8)second;
	l->authenticators = second == AUTHENTICATOR_N ? 1 : 2;
}

static inline struct m_verdict fx_login(struct fx *f, const char *client_id, const char *user,
					const char *password)
{
	struct m_verdict m;
	u64 id = fx_ask(f, client_id, user, password);

	if (fx_verdict_of(f, id) == NULL)
		fx_hash(f);
	assert_non_null(fx_verdict_of(f, id));
	memcpy(&m, fx_verdict_of(f, id)->body, sizeof(m));
	assert_true((m.verdict == ALLOW) == (m.reason == E_OK));
	return m;
}

/* A device with a role to publish to its own topics; its token into out. */
static inline void fx_device(struct fx *f, const char *name, char out[static TOKEN_CHARS + 1])
{
	fx_call(f, "{'op':'role.set','name':'sensor','text':'role sensor { publish "
		   "home/${device}/tele/#; "
		   "subscribe home/${device}/cmd/# }'}");
	fx_ok(f);
	fx_call(f,
		"{'op':'identity.add','kind':'device','name':'%s','roles':['sensor'],'auth':'token'"
		"}",
		name);
	fx_ok(f);
	snprintf(out, TOKEN_CHARS + 1, "%s", fx_text(f, "identities", "token"));
	assert_true(token_shaped(slice_str(out)));
}

#define FX(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

#endif
