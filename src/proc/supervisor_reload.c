/* supervisor_reload: the configuration and its changes, all or nothing: parse, open what is new,
 * offer to every child, let the canary try, and only then is it so; else everything is as it was.
 * Also the answers to what admin asks. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/supervisor.h"

enum { OFFER_MS = 10 * 1000, CANARY_MS = 40 * 1000 };

/* ---- reading it ---- */
static bool join(char *out, size_t cap, const char *a, const char *b)
{
	int n = snprintf(out, cap, "%s%s", a, b);

	return n >= 0 && (size_t)n < cap;
}

/* Relative paths of the command line count from here; children and reloads want whole ones. */
static bool absolute(const char *path, char *out, size_t cap)
{
	char here[CONF_PATH], folder[CONF_PATH + 1];

	if (path[0] == '/')
		return join(out, cap, path, "");
	return getcwd(here, sizeof(here)) != NULL && join(folder, sizeof(folder), here, "/") &&
	       join(out, cap, folder, path);
}

/* A plain user has no /var/lib and no /run of his own. */
static bool user_paths(struct conf *c)
{
	const char *home = getenv("HOME"), *run = getenv("XDG_RUNTIME_DIR");
	bool ok = true;

	if (strcmp(c->state_dir, "/var/lib/picket") == 0 && home != NULL && home[0] == '/')
		ok = join(c->state_dir, sizeof(c->state_dir), home, "/.local/state/picket");
	if (strcmp(c->run_dir, "/run/picket") != 0)
		return ok;
	if (run != NULL && run[0] == '/')
		return ok && join(c->run_dir, sizeof(c->run_dir), run, "/picket");
	return ok && snprintf(c->run_dir, sizeof(c->run_dir), "%.*s/run", CONF_PATH - 5,
			      c->state_dir) > 0;
}

bool sup_conf_load(const struct sup_options *opt, bool root, struct conf *c, struct conf_error *err)
{
	char path[CONF_PATH] = "/etc/picket/picket.conf";
	bool ok = true;

	*err = (struct conf_error){0};
	if (opt->config != NULL && !absolute(opt->config, path, sizeof(path)))
		ok = false;
	if (ok && conf_load(path, opt->config != NULL, c, err) != E_OK)
		return false;
	if (ok && !root)
		ok = user_paths(c);
	if (ok && opt->state != NULL)
		ok = absolute(opt->state, c->state_dir, sizeof(c->state_dir));
	if (ok && opt->run != NULL)
		ok = absolute(opt->run, c->run_dir, sizeof(c->run_dir));
	if (!ok) {
		snprintf(err->file, sizeof(err->file), "command line");
		snprintf(err->what, sizeof(err->what), "a path is longer than %d bytes",
			 CONF_PATH - 1);
		snprintf(err->hint, sizeof(err->hint), "use a shorter one");
	}
	return ok;
}

/* ---- a reload ---- */
static void reload_answer(struct sup *s, enum err e)
{
	struct m_sup_reply r = {.err = e};
	u8 tail[1200];
	struct wr w = wr_of(tail, sizeof(tail));

	if (s->reload_id == 0)
		return;
	ipc_put_str(&w, slice_str(e == E_OK ? "" : s->why));
	sup_send(s, ROLE_ADMIN, IPC_SUP_REPLY, s->reload_id, &r, wr_done(&w), -1);
	s->reload_id = 0;
}

static void reload_over(struct sup *s, enum err e)
{
	s->phase = PH_SERVING;
	s->phase_deadline_ms = 0;
	sd_notify(0, "READY=1");
	log_setup("supervisor", (enum log_level)s->conf.log_level);
	if (e == E_OK)
		sup_say(s, LOG_INFO, "reload", "%s is in force (generation %llu)",
			s->conf.config_path, (unsigned long long)s->generation);
	else
		sup_say(s, LOG_ERROR, "reload_refused", "nothing has changed: %s", s->why);
	reload_answer(s, e);
}

/* Children that took the new one get the old one back; what they answer is not awaited. */
static void offer_back(struct sup *s)
{
	s->generation++;
	for (u32 r = ROLE_BROKER; r <= ROLE_ADMIN; r++) {
		s->child[r].asked = false;
		if (s->child[r].link != NULL)
			(void)sup_send_config(s, (enum role)r, &s->conf, true);
	}
}

static void reload_undo_offer(struct sup *s)
{
	offer_back(s);
	sockets_close(&s->next_listeners, &s->listeners);
	reload_over(s, E_CONFIG);
}

static void reload_swap(struct sup *s)
{
	struct conf c = s->conf;
	struct sup_listeners l = s->listeners;

	s->conf = s->next;
	s->listeners = s->next_listeners;
	s->next = c; /* what was in force, until the canary is back */
	s->next_listeners = l;
}

static bool reload_open(struct sup *s)
{
	struct conf_error err;

	if (!sup_conf_load(&s->opt, s->root, &s->next, &err) ||
	    conf_reload_ok(&s->conf, &s->next, &err) != E_OK) {
		snprintf(s->why, sizeof(s->why), "%s:%u: %s; %s", err.file, err.line, err.what,
			 err.hint);
		return false;
	}
	return files_check(s, &s->next) &&
	       sockets_open(s, &s->next, &s->listeners, &s->next_listeners);
}

/* A signal is kept for later; a command is told. */
static void reload_busy(struct sup *s, u64 id)
{
	struct m_sup_reply r = {.err = E_BUSY};
	u8 tail[64];
	struct wr w = wr_of(tail, sizeof(tail));

	if (id == 0) {
		s->reload_again = true;
		return;
	}
	ipc_put_str(&w, SLICE_LIT("another reload is running; try again"));
	sup_send(s, ROLE_ADMIN, IPC_SUP_REPLY, id, &r, wr_done(&w), -1);
}

void sup_reload(struct sup *s, u64 id)
{
	if (s->phase != PH_SERVING) {
		reload_busy(s, id);
		return;
	}
	s->reload_id = id;
	s->why[0] = '\0';
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)clock_mono_ms() * 1000);
	if (!reload_open(s)) {
		reload_over(s, E_CONFIG);
		return;
	}
	s->phase = PH_OFFERED;
	s->phase_deadline_ms = clock_mono_ms() + OFFER_MS;
	s->generation++;
	for (u32 r = ROLE_BROKER; r <= ROLE_ADMIN; r++) {
		s->child[r].asked = true;
		if (s->child[r].link == NULL || !sup_send_config(s, (enum role)r, &s->next, true)) {
			snprintf(s->why, sizeof(s->why), "%s is restarting; try again",
				 role_name((enum role)r));
			reload_undo_offer(s);
			return;
		}
	}
}

void sup_config_timeout(struct sup *s)
{
	snprintf(s->why, sizeof(s->why), "not every process has answered in time");
	reload_undo_offer(s);
}

void sup_config_done(struct sup *s, enum role from, const struct ipc_msg *m)
{
	const struct m_config_done *d = m->body;
	struct sup_child *c = &s->child[from];
	char text[256];

	if (s->phase != PH_OFFERED || d->generation != s->generation || !c->asked)
		return; /* late, or about a configuration given back */
	c->asked = false;
	if (d->err != E_OK) {
		struct rd r = rd_of(m->tail);
		struct slice why = ipc_get_str(&r);
		log_escape(r.err == E_OK && why.n != 0 ? why : m->tail, text, sizeof(text));
		snprintf(s->why, sizeof(s->why), "%s refuses it: %s", role_name(from),
			 text[0] != '\0' ? text
			 : d->err < E_N	 ? err_text((enum err)d->err)
					 : "no reason given");
		reload_undo_offer(s);
		return;
	}
	for (u32 r = ROLE_BROKER; r <= ROLE_ADMIN; r++) {
		if (s->child[r].asked)
			return;
	}
	reload_swap(s);
	sockets_give(s);
	s->phase = PH_RELOAD_CANARY;
	sup_canary_begin(s);
}

/* ---- the canary ---- */
void sup_canary_begin(struct sup *s)
{
	s->phase_deadline_ms = clock_mono_ms() + CANARY_MS;
	child_spawn(s, ROLE_CANARY);
	if (s->child[ROLE_CANARY].pid == 0) /* the reason is in the log */
		sup_canary_done(s, CANARY_NO_ANSWER << 8);
}

static bool is_open(const struct conf_listener *l)
{
	return l->anonymous_role[0] != '\0';
}

static bool is_out_of_reach(const struct conf_listener *l)
{
	return !is_open(l) && (l->local || l->interface[0] != '\0');
}

static void canary_names(struct sup *s, bool (*which)(const struct conf_listener *),
			 const char *why)
{
	size_t n = strlen(s->canary);

	for (u32 i = 0; i < s->conf.listeners && n < sizeof(s->canary); i++) {
		if (!which(&s->conf.listener[i]))
			continue;
		n += (size_t)snprintf(s->canary + n, sizeof(s->canary) - n, "%s%s", why,
				      s->conf.listener[i].name);
		why = ", ";
	}
}

/* "refused, OK; not tried, strangers are welcome there: bench" */
static void canary_text(struct sup *s, const char *result)
{
	snprintf(s->canary, sizeof(s->canary), "%s", result);
	canary_names(s, is_open, "; not tried, strangers are welcome there: ");
	canary_names(s, is_out_of_reach, "; not tried, not to be reached from here: ");
}

void sup_canary_done(struct sup *s, int status)
{
	bool reload = s->phase == PH_RELOAD_CANARY;

	if (s->phase != PH_CANARY && !reload)
		return;
	s->phase_deadline_ms = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANARY_REFUSED) {
		s->canary_ok = true;
		canary_text(s, "refused, OK");
		if (reload) {
			sockets_close(&s->next_listeners, &s->listeners);
			reload_over(s, E_OK);
		} else {
			sup_ready(s);
		}
		return;
	}
	snprintf(s->why, sizeof(s->why), "the canary, a stranger without credentials, %s",
		 WIFEXITED(status) && WEXITSTATUS(status) == CANARY_NOT_REFUSED
			 ? "was not refused; the line above says where"
			 : "got no answer; the lines above say why");
	if (!reload) {
		sup_say(s, LOG_ERROR, "canary", "%s; picketd stops", s->why);
		sup_fail(s);
		return;
	}
	reload_swap(s);
	offer_back(s);
	sockets_give(s); /* after the configuration that they belong to */
	sockets_close(&s->next_listeners, &s->listeners);
	reload_over(s, E_CONFIG);
}

/* ---- what admin asks ---- */
static void fill_status(struct sup *s, struct m_sup_reply *r, struct wr *w)
{
	r->up_ms = clock_mono_ms() - s->started_ms;
	r->started_wall_ms = s->started_wall_ms;
	for (u32 i = ROLE_BROKER; i <= ROLE_ADMIN; i++) {
		const struct sup_child *c = &s->child[i];
		r->child[i] = (struct m_sup_child){(u32)c->pid, c->uid,		 c->restarts,
						   c->seccomp,	c->landlock_abi, c->ready};
	}
	r->child[ROLE_SUP] = (struct m_sup_child){(u32)getpid(), getuid(), 0, s->filtered, 0, 1};
	r->child[ROLE_CANARY].up = s->canary_ok;
	ipc_put_str(w, slice_str(s->canary));
	ipc_put_str(w, slice_str(s->store.trouble));
}

static int fill_log(struct sup *s, struct m_sup_reply *r)
{
	int fd = openat(s->log.dir, "picketd.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		r->err = E_NOT_FOUND;
	else
		r->size = (u32)MIN(st.st_size, (off_t)UINT32_MAX);
	return fd;
}

void sup_call(struct sup *s, const struct ipc_msg *m)
{
	const struct m_sup_call *call = m->body;
	struct m_sup_reply r = {0};
	u8 tail[1024];
	struct wr w = wr_of(tail, sizeof(tail));
	int fd = -1;

	switch (call->op) {
	case SUP_RESTORE_OPEN:
	case SUP_RESTORE_DONE:
	case SUP_RESTORE_DROP:
		restore_call(s, m->id, call->op);
		return;
	case SUP_RELOAD:
		sup_reload(s, m->id == 0 ? UINT64_MAX : m->id);
		return;
	case SUP_STATUS:
		fill_status(s, &r, &w);
		break;
	case SUP_LOG:
		fd = fill_log(s, &r);
		break;
	case SUP_CONFIG:
		r.size = sizeof(s->conf);
		fd = ipc_memfd("picket-config", slice_of(&s->conf, sizeof(s->conf)));
		break;
	default:
		child_kill(s, ROLE_ADMIN, "asked for something that does not exist");
		return;
	}
	sup_send(s, ROLE_ADMIN, IPC_SUP_REPLY, m->id, &r, wr_done(&w), fd);
	if (fd >= 0)
		close(fd);
}
