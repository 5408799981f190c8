/* supervisor_child: starting a child (re-executed, with a user and an address layout of its own),
 * wiring it to its peers, and what happens when it ends. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/sandbox.h"
#include "proc/supervisor.h"

enum {
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 5000,
	BACKOFF_FORGET_MS = 30000,
	LOG_PIPE_BYTES = 1 << 20
};

/* ---- in the child, between fork and exec ---- */
static bool become_user(const struct sup_child *c)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EINVAL && errno != EPERM)
			return false;
	}
	/* Leaving user id 0 clears every capability. */
	return setgroups(0, NULL) == 0 && setresgid(c->gid, c->gid, c->gid) == 0 &&
	       setresuid(c->uid, c->uid, c->uid) == 0;
}

/* 0: nothing; 1, 2: the log pipe; from 3 on what this role is handed; no other. */
static bool arrange(int log_fd, const struct handed *h)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), high[HANDED_MAX];
	bool ok = null >= 0 && h->n <= HANDED_MAX;

	/* Out of the way of each other first. */
	for (u32 i = 0; i < h->n && ok; i++) {
		high[i] = fcntl(h->fd[i], F_DUPFD_CLOEXEC, 16);
		ok = high[i] >= 0;
	}
	ok = ok && dup2(log_fd, STDERR_FILENO) >= 0 && dup2(log_fd, STDOUT_FILENO) >= 0 &&
	     dup2(null, STDIN_FILENO) >= 0;
	for (u32 i = 0; i < h->n && ok; i++)
		ok = dup2(high[i], SANDBOX_SUP_FD + (int)i) >= 0;
	return ok && close_range((u32)SANDBOX_SUP_FD + h->n, ~0u, 0) == 0;
}

/* What a child may know of our environment: nothing, but for the options of sanitizers and the time
 * zone. */
static void env_fill(char *env[], size_t cap, char *text, size_t text_cap)
{
	static const char *const names[] = {"TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
					    "LSAN_OPTIONS"};
	size_t n = 0, used = 0;

	for (size_t i = 0; i < ARRAY_LEN(names) && n + 1 < cap; i++) {
		const char *value = getenv(names[i]);
		int len;
		if (value == NULL)
			continue;
		len = snprintf(text + used, text_cap - used, "%s=%s", names[i], value);
		if (len < 0 || (size_t)len >= text_cap - used)
			break;
		env[n++] = text + used;
		used += (size_t)len + 1;
	}
	env[n] = NULL;
}

NORETURN static void child_exec(struct sup *s, enum role role, int log_fd, const struct handed *h)
{
	char abi[16], name[16], text[2048], *env[8];
	char *argv[] = {"picketd", "-R", name, "-A", abi, s->root ? "-U" : NULL, NULL};
	sigset_t none;

	snprintf(name, sizeof(name), "%s", role_name(role));
	snprintf(abi, sizeof(abi), "%u", s->opt.landlock_abi);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!arrange(log_fd, h) || (s->root && !become_user(&s->child[role]))) {
		log_msg(LOG_ERROR, "start", "cannot prepare %s: %s", name, strerror(errno));
		_exit(1);
	}
	/* Set after the change of user, which clears it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != s->pid)
		_exit(1);
	env_fill(env, ARRAY_LEN(env), text, sizeof(text));
	execve("/proc/self/exe", argv, env);
	log_msg(LOG_ERROR, "start",
		"cannot run %s: %s; is /proc mounted, and may user %u run picketd?", name,
		strerror(errno), (unsigned)s->child[role].uid);
	_exit(1);
}

/* ---- links ---- */
void sup_send(struct sup *s, enum role to, enum ipc_type type, u64 id, const void *body,
	      struct slice tail, int fd)
{
	struct sup_child *c = &s->child[to];
	enum err e;

	if (c->link == NULL)
		return;
	e = ipc_send(c->link, type, id, body, tail, fd);
	ASSERT(e != E_IPC);
	if (e == E_BUSY)
		child_kill(s, to, "does not read what the supervisor sends");
}

static bool pair(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0;
}

/* One pair between two children: an end to each, none stays here. */
static bool wire(struct sup *s, enum role a, enum role b)
{
	int fd[2];

	if (!pair(fd))
		return false;
	sup_send(s, a, IPC_LINK, 0, &(struct m_link){b}, SLICE_NONE, fd[0]);
	sup_send(s, b, IPC_LINK, 0, &(struct m_link){a}, SLICE_NONE, fd[1]);
	close(fd[0]);
	close(fd[1]);
	return true;
}

bool sup_send_config(struct sup *s, enum role to, const struct conf *c, bool reload)
{
	struct m_config m = {s->generation, sizeof(*c), reload};
	int fd = ipc_memfd("picket-config", slice_of(c, sizeof(*c)));

	if (fd < 0)
		return false;
	sup_send(s, to, IPC_CONFIG, s->generation, &m, SLICE_NONE, fd);
	close(fd);
	return true;
}

static bool hand_over(struct sup *s, enum role role)
{
	struct m_start start = {s->nshards, s->first_start, s->store.epoch_min};
	const struct m_none none = {0};

	for (u32 peer = ROLE_BROKER; peer < ROLE_N; peer++) {
		if (s->child[peer].link != NULL && ipc_pair_talks(role, (enum role)peer) &&
		    !wire(s, role, (enum role)peer))
			return false;
	}
	if (!sup_send_config(s, role, &s->conf, false))
		return false;
	if (role == ROLE_AUTH)
		files_give_auth(s);
	if (role == ROLE_BROKER) {
		files_give_store_key(s);
		sockets_give(s);
	}
	if (role == ROLE_ADMIN)
		sup_send(s, role, IPC_ADMIN_SOCKET, 0, &none, SLICE_NONE, s->admin_socket);
	sup_send(s, role, IPC_START, 0, &start, SLICE_NONE, -1);
	return true;
}

/* ---- life and death ---- */
bool child_fork(struct sup *s, enum role role, const struct handed *h)
{
	struct sup_child *c = &s->child[role];
	int log[2];

	if (pipe2(log, O_CLOEXEC) != 0)
		return false;
	c->pid = fork();
	if (c->pid == 0)
		child_exec(s, role, log[1], h);
	if (c->pid < 0) {
		c->pid = 0;
		close(log[0]);
		close(log[1]);
		return false;
	}
	fcntl(log[0], F_SETFL, O_NONBLOCK);
	/* A child that is faster than the disk loses lines; it must not wait.  A sanitizer's report
	 * is longer than what a pipe takes at once. */
	fcntl(log[0], F_SETPIPE_SZ, LOG_PIPE_BYTES);
	if (!sandbox_sanitized())
		fcntl(log[1], F_SETFL, O_NONBLOCK);
	close(log[1]);
	c->lines = (struct linebuf){.fd = log[0]};
	sup_watch(s, log[0], WATCH_LINES, role, EPOLLIN, false);
	c->started_ms = clock_mono_ms();
	c->restart_at_ms = 0;
	return true;
}

static bool canary_fork(struct sup *s)
{
	int fd = ipc_memfd("picket-config", slice_of(&s->conf, sizeof(s->conf)));
	bool ok = fd >= 0 && child_fork(s, ROLE_CANARY, &(struct handed){1, {fd}});

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool linked_fork(struct sup *s, enum role role)
{
	struct sup_child *c = &s->child[role];
	struct handed h = {.n = 1};
	int fd[2];

	if (!pair(fd))
		return false;
	h.fd[0] = fd[1];
	if (sandbox_row(role)->folder != FOLDER_NONE)
		h.fd[h.n++] = role == ROLE_BROKER ? s->store.dir : s->auth;
	/* Nothing is kept: no folder, and no store. */
	if (h.fd[h.n - 1] < 0)
		h.n--;
	if (!child_fork(s, role, &h)) {
		close(fd[0]);
		close(fd[1]);
		return false;
	}
	close(fd[1]);
	c->link = ipc_link_new(fd[0], ROLE_SUP, role);
	c->wants_write = false;
	sup_watch(s, fd[0], WATCH_LINK, role, EPOLLIN, false);
	return hand_over(s, role);
}

void child_spawn(struct sup *s, enum role role)
{
	struct sup_child *c = &s->child[role];
	bool ok;

	ASSERT(role > ROLE_SUP && role < ROLE_N);
	ASSERT(c->pid == 0);
	if (role == ROLE_BROKER && !store_ready(s)) {
		c->restart_at_ms = 0; /* when the store is */
		return;
	}
	ok = role == ROLE_CANARY ? canary_fork(s) : linked_fork(s, role);
	if (ok)
		return;
	sup_say(s, LOG_ERROR, "start", "cannot start %s: %s", role_name(role), strerror(errno));
	if (c->pid != 0)
		child_kill(s, role, "could not be wired");
	else
		c->restart_at_ms = clock_mono_ms() + BACKOFF_MAX_MS;
}

void child_kill(struct sup *s, enum role role, const char *why)
{
	struct sup_child *c = &s->child[role];

	sup_say(s, LOG_ERROR, "child_killed", "%s %s", role_name(role), why);
	if (c->pid > 0)
		kill(c->pid, SIGKILL);
}

static void say_death(struct sup *s, enum role role, int status)
{
	const char *name = role_name(role);
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	bool told = s->phase == PH_STOPPING ||
		    (role == ROLE_BROKER && s->store.restore.phase == RESTORE_STOPPING);

	if (told && sig == 0)
		return;
	if (sig == SIGSYS)
		sup_say(s, LOG_ERROR, "child_ended",
			"%s made a system call that its sandbox forbids and was ended (signal "
			"SIGSYS)",
			name);
	else if (sig != 0)
		sup_say(s, LOG_ERROR, "child_ended", "%s was ended by signal %d (%s)", name, sig,
			strsignal(sig));
	else
		sup_say(s, LOG_ERROR, "child_ended", "%s ended with code %d", name,
			WEXITSTATUS(status));
}

/* At once for the first time, then with a growing pause, unless it has run well for a while. */
static void plan_restart(struct sup *s, struct sup_child *c)
{
	u64 now = clock_mono_ms();

	if (now - c->started_ms >= BACKOFF_FORGET_MS)
		c->backoff_ms = 0;
	c->restart_at_ms = now + c->backoff_ms;
	c->backoff_ms =
		c->backoff_ms == 0 ? BACKOFF_MIN_MS : MIN(c->backoff_ms * 2, (u32)BACKOFF_MAX_MS);
	c->restarts++;
}

void child_died(struct sup *s, enum role role, int status)
{
	struct sup_child *c = &s->child[role];
	bool again;

	if (c->lines.fd >= 0) {
		(void)linebuf_read(s, &c->lines); /* its last words */
		close(c->lines.fd);
		c->lines.fd = -1;
	}
	ipc_link_free(&c->link);
	c->lost_ms = 0;
	c->pid = 0;
	c->ready = false;
	c->seccomp = c->landlock_abi = 0;
	if (role == ROLE_KEYS)
		files_forget(s);
	if (role == ROLE_CANARY) {
		sup_canary_done(s, status);
		return;
	}
	if (role == ROLE_CHECK || role == ROLE_SALVAGE) {
		if (WIFSIGNALED(status))
			say_death(s, role, status);
		look_ended(s, role, status);
		return;
	}
	say_death(s, role, status);
	if (role == ROLE_ADMIN)
		restore_drop(s);
	again = role == ROLE_BROKER && store_broker_died(s, status);
	if (s->phase == PH_STOPPING)
		return;
	/* One that ended by itself has said why, and would say it again. */
	if ((s->phase == PH_STARTING && !again) || (s->phase == PH_CANARY && WIFEXITED(status))) {
		sup_fail(s);
		return;
	}
	plan_restart(s, c);
	if (s->phase == PH_OFFERED) {
		/* Also when it had agreed: the one that takes its place begins with the old. */
		struct m_config_done d = {s->generation, E_UNAVAILABLE};
		struct ipc_msg m = {.body = &d, .tail = SLICE_LIT("it ended"), .fd = -1};
		c->asked = true;
		sup_config_done(s, role, &m);
	}
}
