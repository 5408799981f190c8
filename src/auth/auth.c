/* auth: the process main: messages in, doors out.  See auth.h and state.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/bootstrap.h"
#include "auth/call.h"
#include "auth/expiry.h"
#include "auth/login.h"
#include "auth/policy.h"
#include "auth/stored.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* The one global of the process: what is left when the supervisor is gone is the system's to free.
 */
static struct process {
	struct auth *auth; /* NULL after an orderly end */
	struct auth_env env;
	int folder; /* of the store; -1 before it came */
} process = {.folder = -1};

/* ---- the doors ------------------------------------------------------------------------ */
static u64 door_now(void *arg)
{
	return child_now(arg);
}

static u64 door_wall(void *arg)
{
	(void)arg;
	return clock_wall_ms();
}

static enum err door_broker(void *arg, enum ipc_type type, u64 id, const void *body,
			    struct slice tail, int fd)
{
	return child_send(arg, ROLE_BROKER, type, id, body, tail, fd);
}

static void door_reply(void *arg, u64 call_id, enum err err, struct slice json)
{
	struct m_call_reply m = {.err = err, .size = (u32)json.n};
	int fd = -1;
	enum err e = E_OK;

	if (json.n > IPC_TAIL_MAX) {
		fd = ipc_memfd("reply", json);
		json = SLICE_NONE;
		e = fd < 0 ? E_NOMEM : E_OK;
	}
	if (e == E_OK)
		e = child_send(arg, ROLE_ADMIN, IPC_CALL_REPLY, call_id, &m, json, fd);
	if (fd >= 0)
		close(fd);
	if (e != E_OK)
		log_msg(LOG_WARN, "reply_lost", "%s", err_text(e));
}

static enum err door_file(void *arg, enum file_name file, u32 index)
{
	struct m_file_get m = {.file = file, .index = index, .mode = FILE_READ};

	return child_send(arg, ROLE_SUP, IPC_FILE_GET, 0, &m, SLICE_NONE, -1);
}

/* ---- messages ------------------------------------------------------------------------- */
static void roles_warn(struct auth *a)
{
	for (u32 i = 0; i < a->conf.listeners; i++) {
		const struct conf_listener *l = &a->conf.listener[i];
		u32 id;
		if (l->anonymous_role[0] == '\0' || role_id(a->db, l->anonymous_role, &id) == E_OK)
			continue;
		log_msg(LOG_WARN, "anonymous_role",
			"listener %s: there is no role \"%s\"; strangers are "
			"refused there",
			l->name, l->anonymous_role);
	}
}

/* Keys, configuration and first policy come in any order; the last of them opens the door. */
static enum err ready_check(struct auth *a)
{
	enum err e;

	if (a->policy == NULL || a->hasher == NULL)
		return E_OK; /* before start */
	e = bootstrap_run(a);
	if (e != E_OK || !login_ready(a))
		return e;
	if (!a->released)
		roles_warn(a);
	a->released = true;
	login_release(a);
	return E_OK;
}

static enum err on_config(struct child *c, struct auth *a, const struct m_config *m, int fd)
{
	struct m_config_done done = {.generation = m->generation};
	struct slice bytes = SLICE_NONE;
	enum err e = m->size == sizeof(struct conf) ? ipc_memfd_map(fd, m->size, &bytes) : E_IPC;

	if (e == E_OK) {
		const struct conf *conf = (const void *)bytes.p;
		e = conf_valid(conf) ? E_OK : E_CONFIG;
		if (e == E_OK)
			login_conf_set(a, conf, m->generation);
		munmap((void *)(uintptr_t)bytes.p, bytes.n);
	}
	if (!m->reload) {
		a->has_conf = e == E_OK;
		return e;
	}
	if (e == E_OK && a->released)
		roles_warn(a);
	done.err = e;
	return child_send(c, ROLE_SUP, IPC_CONFIG_DONE, 0, &done, SLICE_NONE, -1);
}

static enum err on_call(struct auth *a, const struct ipc_msg *m)
{
	const struct m_call *call = m->body;
	struct slice json = m->tail;
	enum err e = E_OK;

	if (m->fd < 0) {
		call_start(a, m->id, call, json);
		return E_OK;
	}
	e = call->size > LIM_CALL_BYTES ? E_TOO_LARGE : ipc_memfd_map(m->fd, call->size, &json);
	call_start(a, m->id, call, e == E_OK ? json : SLICE_NONE);
	if (e == E_OK)
		munmap((void *)(uintptr_t)json.p, json.n);
	return E_OK;
}

static enum err on_file(struct auth *a, struct ipc_msg *m)
{
	const struct m_file *f = m->body;
	enum err e;

	if (f->file == FILE_AUTH_DIR && f->err == E_OK && process.folder < 0) {
		process.folder = m->fd;
		m->fd = -1;
	}
	if (f->file != FILE_BOOTSTRAP && f->file != FILE_BOOTSTRAP_SECRET)
		return E_OK;
	e = bootstrap_file(a, f, m->fd);
	return e == E_OK ? ready_check(a) : e;
}

/* Is it the key under which the tokens of this store were hashed?  When not (a lost or foreign
 * pepper), none of them would be known: to go on would look like a fleet with wrong passwords. */
static enum err key_check(struct auth *a)
{
	static const char hex[] = "0123456789abcdef";
	u8 mark[TOKEN_HASH];
	char now[2 * TOKEN_HASH + 1], *before = NULL;
	enum err e;

	token_hash(a->token_key, SLICE_LIT("picket: which key is this?"), mark);
	for (u32 i = 0; i < TOKEN_HASH; i++) {
		now[2 * i] = hex[mark[i] >> 4];
		now[2 * i + 1] = hex[mark[i] & 15];
	}
	now[2 * TOKEN_HASH] = '\0';
	e = db_meta_text(a->db, "key_mark", &before);
	if (e == E_NOT_FOUND) {
		e = db_meta_put_text(a->db, "key_mark", now);
	} else if (e == E_OK && strcmp(before, now) != 0) {
		log_msg(LOG_ERROR, "token_key",
			"%s/keys/pepper is not the one that the tokens of auth/auth.db were made "
			"with; restore both from the same backup. If that pepper is lost: sqlite3 "
			"auth.db \"DELETE FROM meta WHERE key = 'key_mark'\" accepts this one, and "
			"every token must be made anew",
			a->conf.state_dir);
		e = E_STATE;
	}
	free(before);
	return e;
}

static enum err on_token_key(struct auth *a, const struct m_token_key *m)
{
	enum err e = E_OK;

	if (a->has_key)
		return mem_eq_const(a->token_key, m->key, sizeof(a->token_key)) ? E_OK : E_STATE;
	memcpy(a->token_key, m->key, sizeof(a->token_key));
	a->has_key = true;
	e = key_check(a);
	return e == E_OK ? ready_check(a) : e;
}

static enum err auth_message(struct child *c, enum role from, struct ipc_msg *m)
{
	struct auth *a = ((struct process *)child_arg(c))->auth;
	const struct m_generation *g = m->body;

	switch ((int)m->type) {
	case IPC_CONFIG:
		return on_config(c, a, m->body, m->fd);
	case IPC_FILE:
		return on_file(a, m);
	case IPC_TOKEN_KEY:
		return on_token_key(a, m->body);
	case IPC_LOGIN:
		login_request(a, m->id, m->body, m->tail);
		return E_OK;
	case IPC_CALL:
		return on_call(a, m);
	case IPC_RIGHTS_ASK:
		return stored_ask(a, m->id, m->body, m->tail);
	case IPC_GENERATION_DONE:
		change_confirmed(a, g->generation);
		return E_OK;
	default:
		log_msg(LOG_WARN, "unexpected", "%s from %s", ipc_name(m->type), role_name(from));
		return E_OK;
	}
}

/* ---- start and stop ------------------------------------------------------------------- */
/* The folder came as a descriptor: our user id need not be able to walk the path to it. */
static enum err store_open(struct auth *a)
{
	char path[64], why[200];
	enum err e;

	if (process.folder < 0)
		return E_STATE;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/auth.db", process.folder);
	e = db_open(path, &a->db, why, sizeof(why));
	if (e != E_OK)
		log_msg(LOG_ERROR, "store",
			"%s/auth/auth.db cannot be used: %s (%s); restore it from a backup, or "
			"move it away to begin with no identities",
			a->conf.state_dir, why, err_text(e));
	return e;
}

static enum err auth_prepare(struct child *c, const struct m_start *start)
{
	struct auth *a = ((struct process *)child_arg(c))->auth;
	u8 nobody[16];
	enum err e;

	(void)start;
	if (!a->has_conf)
		return E_STATE;
	process.env.arg = c;
	a->wheel = child_wheel(c);
	ASSERT(getrandom(nobody, sizeof(nobody), 0) == sizeof(nobody));
	e = password_hash(slice_of(nobody, sizeof(nobody)), a->decoy);
	if (e == E_OK)
		e = store_open(a);
	if (e == E_OK)
		e = policy_load(a);
	return e == E_OK ? bootstrap_prepare(a) : e;
}

static void hasher_ready(void *arg, u32 events)
{
	(void)events;
	hasher_collect(((struct auth *)arg)->hasher);
}

static void auth_started(struct child *c)
{
	struct auth *a = ((struct process *)child_arg(c))->auth;

	/* Only now: threads made earlier would live outside the sandbox. */
	a->hasher = hasher_new(0);
	child_watch(c, hasher_fd(a->hasher), EPOLLIN, hasher_ready, a);
	policy_confirm_resume(a);
	expiry_schedule(a);
	if (ready_check(a) != E_OK)
		child_quit(c, 1);
}

static void auth_linked(struct child *c, enum role peer)
{
	struct auth *a = ((struct process *)child_arg(c))->auth;

	if (peer == ROLE_BROKER)
		change_linked(a);
}

static void auth_stop(struct child *c)
{
	struct process *p = child_arg(c);

	if (p->auth->wheel == NULL)
		return; /* never started */
	if (p->auth->hasher != NULL)
		child_unwatch(c, hasher_fd(p->auth->hasher));
	auth_free(&p->auth);
}

static const struct child_ops auth_ops = {.message = auth_message,
					  .linked = auth_linked,
					  .prepare = auth_prepare,
					  .started = auth_started,
					  .stop = auth_stop};

int auth_main(int sup_fd, bool (*enter_sandbox)(enum role me, struct m_ready *ready))
{
	int code;

	umask(077);
	json_object_seed(0); /* reads /dev/urandom: not once the sandbox is closed */
	process.env = (struct auth_env){.now_ms = door_now,
					.wall_ms = door_wall,
					.to_broker = door_broker,
					.reply = door_reply,
					.file_get = door_file};
	process.auth = auth_new(&process.env, NULL);
	code = child_run(ROLE_AUTH, sup_fd, &auth_ops, &process, enter_sandbox);
	if (process.auth != NULL) {
		mem_wipe(process.auth->token_key, sizeof(process.auth->token_key));
		db_close(&process.auth->db);
	}
	return code;
}
