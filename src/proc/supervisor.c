/* supervisor: the loop: signals, links, lines, timers; start and stop in order. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proc/sandbox.h"
#include "proc/supervisor.h"

enum {
	START_MS = 60 * 1000,
	STOP_MS = 8 * 1000,
	LOAD_MS = 600 * 1000, /* a million sessions on a slow disk */
	LOST_MS = 2 * 1000,
	EVENTS = 32,
	MSGS_PER_TURN = 64
};

void sup_watch(struct sup *s, int fd, u32 kind, enum role role, u32 events, bool known)
{
	struct epoll_event ev = {.events = events, .data.u64 = (u64)kind << 32 | role};

	ASSERT(epoll_ctl(s->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) == 0);
}

/* ---- stopping ---- */
static const enum role stop_order[] = {ROLE_BROKER, ROLE_ADMIN, ROLE_AUTH, ROLE_KEYS};

/* The next in order that still runs is told; when none does, it is over. */
static void stop_next(struct sup *s)
{
	const struct m_none none = {0};

	static const enum role helpers[] = {ROLE_CANARY, ROLE_CHECK, ROLE_SALVAGE};

	for (size_t i = 0; i < ARRAY_LEN(helpers); i++) {
		if (s->child[helpers[i]].pid > 0)
			kill(s->child[helpers[i]].pid, SIGKILL);
	}
	for (size_t i = 0; i < ARRAY_LEN(stop_order); i++) {
		struct sup_child *c = &s->child[stop_order[i]];
		if (c->pid == 0)
			continue;
		s->phase_deadline_ms = clock_mono_ms() + STOP_MS;
		sup_send(s, stop_order[i], IPC_STOP, 0, &none, SLICE_NONE, -1);
		return;
	}
	s->quit = true;
}

static void stop_begin(struct sup *s, int code)
{
	if (s->phase == PH_STOPPING)
		return;
	s->phase = PH_STOPPING;
	s->code = code;
	sd_notify(0, "STOPPING=1");
	stop_next(s);
}

void sup_fail(struct sup *s)
{
	stop_begin(s, 1);
}

static void stop_late(struct sup *s)
{
	for (size_t i = 0; i < ARRAY_LEN(stop_order); i++) {
		if (s->child[stop_order[i]].pid != 0) {
			child_kill(s, stop_order[i], "did not stop in time");
			break;
		}
	}
	s->phase_deadline_ms = clock_mono_ms() + STOP_MS;
}

/* ---- started ---- */
void sup_patience(struct sup *s, u64 ms)
{
	s->phase_deadline_ms = clock_mono_ms() + MAX(ms, (u64)START_MS);
	sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu",
		   (unsigned long long)MAX(ms, (u64)START_MS) * 1000);
}

static void say_listener(struct sup *s, const struct conf_listener *l)
{
	sup_say(s, l->accept_risk[0] != '\0' ? LOG_WARN : LOG_INFO, "listening",
		"%s on %s%s%s, %s%s%s%s%s%s", l->name, l->bind, l->interface[0] ? " by " : "",
		l->interface,
		l->tls	   ? "TLS"
		: l->local ? "local users"
			   : "PLAINTEXT",
		l->anonymous_role[0] != '\0' ? ", ANYONE may be role " : "", l->anonymous_role,
		l->limits_none ? ", NO LIMITS" : "",
		l->accept_risk[0] != '\0' ? "; accepted because: " : "", l->accept_risk);
}

static void say_sandbox(struct sup *s, enum role role)
{
	const struct sup_child *c = &s->child[role];

	if (sandbox_sanitized())
		sup_say(s, LOG_WARN, "sandbox",
			"%s: a build with sanitizers, whose sandbox is open", role_name(role));
	else if (c->seccomp == 0 || c->landlock_abi == 0)
		sup_say(s, LOG_WARN, "sandbox",
			"%s RUNS WITHOUT %s%s%s: this kernel does not have it", role_name(role),
			c->seccomp == 0 ? "A SYSTEM CALL FILTER (seccomp)" : "",
			c->seccomp == 0 && c->landlock_abi == 0 ? " AND " : "",
			c->landlock_abi == 0 ? "LANDLOCK" : "");
}

void sup_ready(struct sup *s)
{
	for (u32 i = 0; i < s->conf.listeners; i++)
		say_listener(s, &s->conf.listener[i]);
	sup_say(s, LOG_INFO, "ready", "canary %s", s->canary);
	s->phase = PH_SERVING;
	s->first_start = false;
	files_started(s);
	sd_notifyf(0, "READY=1\nSTATUS=%u listeners, canary %s", s->conf.listeners, s->canary);
	if (s->notify < 0)
		return;
	/* The one who started us goes home now, and takes the terminal along; if it still waits. */
	if (write(s->notify, "r", 1) != 1)
		sup_say(s, LOG_INFO, "ready", "whoever started picketd did not wait for it");
	close(s->notify);
	s->notify = -1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	ASSERT(null >= 0);
	ASSERT(dup2(null, STDERR_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0);
	close(null);
}

static void start_goes_on(struct sup *s);

static void child_ready(struct sup *s, enum role from, const struct m_ready *m)
{
	struct sup_child *c = &s->child[from];

	c->ready = true;
	c->seccomp = m->seccomp;
	c->landlock_abi = m->landlock_abi;
	if (s->phase == PH_STOPPING)
		return;
	say_sandbox(s, from);
	if (s->phase == PH_STARTING && from == ROLE_BROKER)
		sup_patience(s, LOAD_MS); /* it loads what is stored */
	if (s->phase != PH_STARTING)
		sup_say(s, LOG_INFO, "child_back", "%s is back (restart %u)", role_name(from),
			c->restarts);
	else
		start_goes_on(s);
}

/* When all are ready and broker serves, a stranger tries its listeners. */
static void start_goes_on(struct sup *s)
{
	if (!s->store.serving)
		return;
	for (u32 r = ROLE_BROKER; r <= ROLE_ADMIN; r++) {
		if (!s->child[r].ready)
			return;
	}
	s->phase = PH_CANARY;
	sup_canary_begin(s);
}

/* ---- messages ---- */
static void message(struct sup *s, enum role from, struct ipc_msg *m)
{
	const struct m_link *breach = m->body;

	switch ((u32)m->type) {
	case IPC_READY:
		child_ready(s, from, m->body);
		break;
	case IPC_CONFIG_DONE:
		sup_config_done(s, from, m);
		break;
	case IPC_SERVING:
		store_serving(s, m->body);
		if (s->phase == PH_STARTING)
			start_goes_on(s);
		break;
	case IPC_STORE_KEY:
		store_key_came(s, m);
		break;
	case IPC_FILE_GET:
		files_get(s, from, m);
		break;
	case IPC_FILE_COMMIT:
		files_commit(s, from, m);
		break;
	case IPC_SUP_CALL:
		sup_call(s, m);
		break;
	case IPC_BREACH:
		if (breach->peer > ROLE_SUP && breach->peer < ROLE_CANARY && breach->peer != from)
			child_kill(s, (enum role)breach->peer,
				   "sent a message that broke the rules");
		break;
	default:
		UNREACHABLE("the table lets no other message come here");
	}
}

static void link_read(struct sup *s, enum role from, u32 events)
{
	struct sup_child *c = &s->child[from];
	struct ipc_msg m;
	enum err e = E_OK;

	if (c->link == NULL)
		return;
	if (events & EPOLLOUT && ipc_flush(c->link) == E_EOF)
		events |= EPOLLIN;
	for (u32 i = 0; i < MSGS_PER_TURN && c->link != NULL; i++) {
		e = ipc_recv(c->link, &m);
		if (e != E_OK)
			break;
		message(s, from, &m);
		if (m.fd >= 0)
			close(m.fd);
	}
	if (c->link == NULL || e == E_MORE || e == E_OK)
		return;
	if (e == E_IPC)
		child_kill(s, from, "sent a message that broke the rules");
	/* It is dead or about to be; SIGCHLD does the rest, or the timer. */
	ipc_link_free(&c->link);
	c->lost_ms = clock_mono_ms();
}

/* ---- signals, lines, timers ---- */
static void reap(struct sup *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (u32 r = ROLE_BROKER; r < ROLE_N; r++) {
			if (s->child[r].pid == pid)
				child_died(s, (enum role)r, status);
		}
	}
	if (s->phase == PH_STOPPING)
		stop_next(s);
}

static void signal_read(struct sup *s)
{
	struct signalfd_siginfo si;

	while (read(s->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			reap(s);
		else if (si.ssi_signo == SIGHUP)
			sup_reload(s, 0);
		else
			stop_begin(s, s->phase == PH_STARTING || s->phase == PH_CANARY ? 1 : 0);
	}
}

static void lines_read(struct sup *s, enum role role)
{
	struct linebuf *l = &s->child[role].lines;

	if (l->fd >= 0 && !linebuf_read(s, l)) {
		close(l->fd);
		l->fd = -1;
	}
}

static void deadline_passed(struct sup *s)
{
	s->phase_deadline_ms = 0;
	if (s->phase == PH_STOPPING) {
		stop_late(s);
	} else if (s->phase == PH_OFFERED) {
		sup_config_timeout(s);
	} else if (s->phase == PH_STARTING &&
		   (s->child[ROLE_CHECK].pid != 0 || s->child[ROLE_SALVAGE].pid != 0)) {
		child_kill(s, s->child[ROLE_CHECK].pid != 0 ? ROLE_CHECK : ROLE_SALVAGE,
			   "has not finished in time");
	} else if (s->phase == PH_STARTING) {
		sup_say(s, LOG_ERROR, "start", "not every process is ready after %u s",
			START_MS / 1000u);
		sup_fail(s);
	} else if (s->child[ROLE_CANARY].pid != 0) {
		child_kill(s, ROLE_CANARY, "has not finished in time");
	}
}

/* Who lives on without a link to us can neither be reloaded nor told to stop. */
static bool lives_unlinked(const struct sup *s, const struct sup_child *c)
{
	return s->phase != PH_STOPPING && c->pid != 0 && c->lost_ms != 0;
}

static void timers_run(struct sup *s)
{
	u64 now = clock_mono_ms();

	if (s->phase_deadline_ms != 0 && now >= s->phase_deadline_ms)
		deadline_passed(s);
	for (u32 r = ROLE_BROKER; r <= ROLE_ADMIN; r++) {
		struct sup_child *c = &s->child[r];
		if (s->phase != PH_STOPPING && c->pid == 0 && c->restart_at_ms != 0 &&
		    now >= c->restart_at_ms)
			child_spawn(s, (enum role)r);
		if (lives_unlinked(s, c) && now >= c->lost_ms + LOST_MS) {
			c->lost_ms = 0;
			child_kill(s, (enum role)r, "has closed its link to the supervisor");
		}
	}
	restore_timer(s, now);
	if (s->watchdog_ms != 0 && now >= s->watchdog_at_ms) {
		sd_notify(0, "WATCHDOG=1");
		s->watchdog_at_ms = now + s->watchdog_ms;
	}
	sockets_look(s);
	if (s->reload_again && s->phase == PH_SERVING) {
		s->reload_again = false;
		sup_reload(s, 0);
	}
}

static int wait_ms(const struct sup *s)
{
	u64 now = clock_mono_ms(), next = now + 3600 * 1000;

	if (s->phase_deadline_ms != 0)
		next = MIN(next, s->phase_deadline_ms);
	if (s->store.restore.stop_by_ms != 0)
		next = MIN(next, s->store.restore.stop_by_ms);
	if (s->watchdog_ms != 0)
		next = MIN(next, s->watchdog_at_ms);
	if (s->phase == PH_SERVING)
		next = MIN(next, sockets_look_at(s));
	for (u32 r = ROLE_BROKER; r <= ROLE_ADMIN; r++) {
		if (s->child[r].pid == 0 && s->child[r].restart_at_ms != 0 &&
		    s->phase != PH_STOPPING)
			next = MIN(next, s->child[r].restart_at_ms);
		if (lives_unlinked(s, &s->child[r]))
			next = MIN(next, s->child[r].lost_ms + LOST_MS);
	}
	return next <= now ? 0 : (int)(next - now);
}

static void turn(struct sup *s)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(s->epoll, ev, EVENTS, wait_ms(s));

	ASSERT(n >= 0 || errno == EINTR);
	for (int i = 0; i < n; i++) {
		enum role role = (enum role)(ev[i].data.u64 & 0xffffffff);
		u32 kind = (u32)(ev[i].data.u64 >> 32);
		if (kind == WATCH_SIGNAL)
			signal_read(s);
		else if (kind == WATCH_LINK)
			link_read(s, role, ev[i].events);
		else
			lines_read(s, role);
	}
	timers_run(s);
	for (u32 r = ROLE_BROKER; r <= ROLE_ADMIN; r++) {
		struct sup_child *c = &s->child[r];
		bool wants = c->link != NULL && ipc_wants_write(c->link);
		if (c->link != NULL && wants != c->wants_write)
			sup_watch(s, ipc_link_fd(c->link), WATCH_LINK, (enum role)r,
				  EPOLLIN | (wants ? EPOLLOUT : 0u), true);
		c->wants_write = wants;
	}
}

/* ---- start ---- */
static void signals_open(struct sup *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	ASSERT(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	signal(SIGPIPE, SIG_IGN);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	ASSERT(s->signals >= 0);
	sup_watch(s, s->signals, WATCH_SIGNAL, ROLE_SUP, EPOLLIN, false);
}

static void print_conf_error(const struct conf_error *e)
{
	fprintf(stderr, "%s:%u: %s\n  next: %s\n", e->file, e->line, e->what, e->hint);
}

/* The parent waits until the daemon is ready, and ends as it did.  Returns in the daemon only. */
static int daemonize(void)
{
	int fd[2];
	char b;
	pid_t pid;

	ASSERT(pipe2(fd, O_CLOEXEC) == 0);
	pid = fork();
	ASSERT(pid >= 0);
	if (pid != 0) {
		close(fd[1]);
		_exit(read(fd[0], &b, 1) == 1 ? 0 : 1);
	}
	close(fd[0]);
	ASSERT(setsid() >= 0);
	pid = fork();
	ASSERT(pid >= 0);
	if (pid != 0)
		_exit(0);
	ASSERT(chdir("/") == 0);
	return fd[1];
}

static u32 shards_of(const struct conf *c)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return c->shards != 0 ? c->shards : (u32)MIN(MAX(cpus, 1), SUP_SHARDS_MAX);
}

static bool prepare(struct sup *s)
{
	if (!sup_users(s) || !sup_folders(s) || !sup_limits(s))
		return false;
	if (!files_check(s, &s->conf) || !sockets_open(s, &s->conf, NULL, &s->listeners)) {
		sup_say(s, LOG_ERROR, "start", "%s", s->why);
		return false;
	}
	if (!sup_admin_socket(s) || !sup_drop_privileges(s))
		return false;
	s->filtered = sandbox_supervisor() == E_OK;
	return true;
}

static void init(struct sup *s, const struct sup_options *opt)
{
	u64 usec = 0;

	s->opt = *opt;
	s->root = getuid() == 0;
	s->notify = s->lock = s->state = s->run = s->keys = s->auth = s->admin_socket = s->log.dir =
		s->log.file = s->store.dir = s->store.key = s->store.restore.fd = s->store.result =
			-1;
	memset(s->temp, -1, sizeof(s->temp));
	for (u32 r = 0; r < ROLE_N; r++)
		s->child[r].lines.fd = -1;
	s->generation = 1;
	s->started_ms = clock_mono_ms();
	s->started_wall_ms = clock_wall_ms();
	snprintf(s->canary, sizeof(s->canary), "has not run yet");
	if (sd_watchdog_enabled(0, &usec) > 0 && usec >= 2000)
		s->watchdog_ms = usec / 2000;
	s->nshards = shards_of(&s->conf);
	log_setup("supervisor", (enum log_level)s->conf.log_level);
	umask(077);
}

static void finish(struct sup *s)
{
	sockets_close(&s->listeners, NULL);
	files_started(s);
	if (s->admin_socket >= 0)
		unlinkat(s->run, "admin.sock", 0);
	if (s->code == 0)
		sup_say(s, LOG_INFO, "stopped", "all processes have ended in order");
}

static int run(struct sup *s)
{
	static const enum role order[] = {ROLE_KEYS, ROLE_AUTH, ROLE_BROKER, ROLE_ADMIN};

	s->pid = getpid();
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT(s->epoll >= 0);
	if (!prepare(s)) {
		sockets_close(&s->listeners, NULL);
		return 1;
	}
	signals_open(s);
	s->phase = PH_STARTING;
	s->phase_deadline_ms = clock_mono_ms() + START_MS;
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		child_spawn(s, order[i]);
	while (!s->quit)
		turn(s);
	finish(s);
	return s->code;
}

int supervisor_main(const struct sup_options *opt)
{
	struct sup *s = xcalloc(1, sizeof(*s));
	struct conf_error err;
	int code;

	if (!sup_conf_load(opt, getuid() == 0, &s->conf, &err)) {
		print_conf_error(&err);
		free(s);
		return 1;
	}
	init(s, opt);
	if (opt->check) {
		s->first_start = true;
		code = files_check(s, &s->conf) ? 0 : 1;
		if (code != 0)
			fprintf(stderr, "%s\n", s->why);
		else
			printf("%s is valid\n", s->conf.config_path);
	} else {
		if (!opt->foreground)
			s->notify = daemonize();
		code = run(s);
	}
	free(s);
	return code;
}
