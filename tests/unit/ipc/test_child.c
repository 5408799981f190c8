/* test_child: the loop of a child in a real process of its own; the test plays the supervisor. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "ipc/child.h"

/* ---- the child: an "auth" that says what happens to it through CONFIG_DONE's tail ---- */
struct auth {
	struct timer timer;
	struct child *c;
	bool prepared;
	int pipe[2];
};

static void say(struct child *c, const char *what)
{
	struct m_config_done d = {0};

	if (child_send(c, ROLE_SUP, IPC_CONFIG_DONE, 0, &d, slice_str(what), -1) != E_OK)
		child_quit(c, 9);
}

static void on_pipe(void *arg, u32 events)
{
	struct auth *a = arg;
	char b;

	if (read(a->pipe[0], &b, 1) == 1)
		say(a->c, "pipe");
	child_unwatch(a->c, a->pipe[0]);
}

static void on_timer(struct timer *t)
{
	struct auth *a = CONTAINER_OF(t, struct auth, timer);

	say(a->c, "timer");
}

static enum err on_message(struct child *c, enum role from, struct ipc_msg *m)
{
	struct auth *a = child_arg(c);

	a->c = c;
	if (m->type == IPC_CONFIG) {
		say(c, a->prepared ? "config again" : "config");
		return E_OK;
	}
	if (m->type == IPC_LOGIN) {
		struct m_verdict v = {.verdict = 1};
		if (child_send(c, from, IPC_VERDICT, m->id, &v, SLICE_NONE, -1) != E_OK)
			return E_IO;
		return E_OK;
	}
	return E_PROTO;
}

static void on_linked(struct child *c, enum role peer)
{
	char b[64];

	snprintf(b, sizeof(b), "linked %s", role_name(peer));
	say(c, b);
}

static enum err on_prepare(struct child *c, const struct m_start *start)
{
	struct auth *a = child_arg(c);

	a->c = c;
	a->prepared = true;
	say(c, start->nshards == 2 ? "prepare" : "bad start");
	return E_OK;
}

static void on_started(struct child *c)
{
	struct auth *a = child_arg(c);

	say(c, child_linked(c, ROLE_BROKER) ? "started with broker" : "started");
	a->timer.fire = on_timer;
	timer_start(child_wheel(c), &a->timer, child_now(c) + 5);
	child_watch(c, a->pipe[0], EPOLLIN, on_pipe, a);
}

static void on_stop(struct child *c)
{
	say(c, "stop");
}

static bool sandbox_yes(enum role me, struct m_ready *r)
{
	r->seccomp = me == ROLE_AUTH;
	return true;
}

static bool sandbox_no(enum role me, struct m_ready *r)
{
	return false;
}

/* ---- the test: the supervisor ------------------------------------------------------------------
 */
struct fixture {
	pid_t pid;
	struct ipc_link *l;
	int pipe; /* written to wake the child */
};

static void child_open(struct fixture *f, bool sandbox)
{
	static const struct child_ops ops = {on_message, on_linked, on_prepare, on_started,
					     on_stop};
	int fd[2];
	struct auth a = {0};

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(pipe(a.pipe), 0);
	f->pid = fork();
	if (f->pid == 0) {
		close(fd[0]);
		close(a.pipe[1]);
		alarm(30);
		_exit(child_run(ROLE_AUTH, fd[1], &ops, &a, sandbox ? sandbox_yes : sandbox_no));
	}
	close(fd[1]);
	close(a.pipe[0]);
	f->pipe = a.pipe[1];
	f->l = ipc_link_new(fd[0], ROLE_SUP, ROLE_AUTH);
}

static enum err wait_msg(struct ipc_link *l, struct ipc_msg *m)
{
	enum err e;

	while ((e = ipc_recv(l, m)) == E_MORE) {
		struct pollfd p = {ipc_link_fd(l), POLLIN, 0};
		assert_int_equal(poll(&p, 1, 20000), 1);
	}
	return e;
}

static void expect(struct fixture *f, const char *text)
{
	struct ipc_msg m;
	char got[128] = "";

	assert_int_equal(wait_msg(f->l, &m), E_OK);
	assert_int_equal(m.type, IPC_CONFIG_DONE);
	assert_true(m.tail.n < sizeof(got));
	memcpy(got, m.tail.p, m.tail.n);
	assert_string_equal(got, text);
}

static int child_close(struct fixture *f)
{
	int status;

	ipc_link_free(&f->l);
	close(f->pipe);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static struct ipc_link *give_link(struct fixture *f)
{
	struct m_link m = {ROLE_BROKER};
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(ipc_send(f->l, IPC_LINK, 0, &m, SLICE_NONE, fd[1]), E_OK);
	close(fd[1]);
	return ipc_link_new(fd[0], ROLE_BROKER, ROLE_AUTH);
}

static void give_start(struct fixture *f)
{
	struct m_start s = {.nshards = 2};

	assert_int_equal(ipc_send(f->l, IPC_START, 0, &s, SLICE_NONE, -1), E_OK);
}

static void ask(struct ipc_link *broker, u64 id)
{
	assert_int_equal(ipc_send(broker, IPC_LOGIN, id, &(struct m_login){0}, SLICE_NONE, -1),
			 E_OK);
}

static void expect_verdict(struct ipc_link *broker, u64 id)
{
	struct ipc_msg m;

	assert_int_equal(wait_msg(broker, &m), E_OK);
	assert_int_equal(m.type, IPC_VERDICT);
	assert_int_equal(m.id, id);
}

static void test_life(void **state)
{
	struct fixture f;
	struct ipc_link *broker, *again;
	struct ipc_msg m;

	child_open(&f, true);
	broker = give_link(&f);
	ask(broker, 1); /* waits until the child serves */
	give_start(&f);
	expect(&f, "prepare");
	assert_int_equal(wait_msg(f.l, &m), E_OK);
	assert_int_equal(m.type, IPC_READY);
	assert_int_equal(((const struct m_ready *)m.body)->seccomp, 1);
	expect(&f, "started with broker");
	expect(&f, "linked broker");
	expect_verdict(broker, 1);
	expect(&f, "timer");
	assert_int_equal(write(f.pipe, "xx", 2), 2);
	expect(&f, "pipe"); /* once: it unwatches itself */

	/* the peer dies and comes back */
	ipc_link_free(&broker);
	again = give_link(&f);
	expect(&f, "linked broker");
	ask(again, 2);
	expect_verdict(again, 2);

	assert_int_equal(ipc_send(f.l, IPC_STOP, 0, &(struct m_none){0}, SLICE_NONE, -1), E_OK);
	expect(&f, "stop");
	assert_int_equal(wait_msg(f.l, &m), E_EOF);
	ipc_link_free(&again);
	assert_int_equal(child_close(&f), 0);
}

static void test_breach_is_reported(void **state)
{
	struct fixture f;
	struct ipc_link *broker, *again;
	struct ipc_msg m;

	child_open(&f, true);
	broker = give_link(&f);
	give_start(&f);
	expect(&f, "prepare");
	assert_int_equal(wait_msg(f.l, &m), E_OK);
	expect(&f, "started with broker");
	expect(&f, "linked broker");
	expect(&f, "timer");
	assert_int_equal(write(ipc_link_fd(broker), "rubbish", 7), 7);
	assert_int_equal(wait_msg(f.l, &m), E_OK);
	assert_int_equal(m.type, IPC_BREACH);
	assert_int_equal(((const struct m_link *)m.body)->peer, ROLE_BROKER);
	assert_int_equal(wait_msg(broker, &m), E_EOF);
	again = give_link(&f);
	expect(&f, "linked broker");
	ipc_link_free(&broker);
	ipc_link_free(&again);
	assert_int_equal(child_close(&f), 1); /* the supervisor is gone */
}

static void test_refusals_end_it(void **state)
{
	struct fixture f;
	int fd = ipc_memfd("x", SLICE_NONE);

	child_open(&f, false); /* no sandbox, no service */
	give_start(&f);
	expect(&f, "prepare");
	assert_int_equal(child_close(&f), 1);

	child_open(&f, true); /* an error of the handler */
	assert_int_equal(ipc_send(f.l, IPC_FILE, 0, &(struct m_file){0}, SLICE_NONE, -1), E_OK);
	assert_int_equal(child_close(&f), 1);

	child_open(&f, true); /* the supervisor itself breaks a row */
	assert_int_equal(write(ipc_link_fd(f.l), "rubbish", 7), 7);
	assert_int_equal(child_close(&f), 1);

	child_open(&f, true); /* a link to itself */
	assert_int_equal(ipc_send(f.l, IPC_LINK, 0, &(struct m_link){ROLE_AUTH}, SLICE_NONE, fd),
			 E_OK);
	assert_int_equal(child_close(&f), 1);
	close(fd);
}

static void test_signals_are_the_supervisors(void **state)
{
	struct fixture f;
	int fd = ipc_memfd("x", SLICE_NONE);

	child_open(&f, true);
	assert_int_equal(ipc_send(f.l, IPC_CONFIG, 0, &(struct m_config){0}, SLICE_NONE, fd), E_OK);
	expect(&f, "config");
	kill(f.pid, SIGTERM);
	kill(f.pid, SIGINT);
	kill(f.pid, SIGHUP);
	assert_int_equal(ipc_send(f.l, IPC_CONFIG, 0, &(struct m_config){0}, SLICE_NONE, fd), E_OK);
	expect(&f, "config");
	close(fd);
	assert_int_equal(child_close(&f), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_breach_is_reported),
		cmocka_unit_test(test_refusals_end_it),
		cmocka_unit_test(test_signals_are_the_supervisors),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
