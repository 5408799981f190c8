/* test_sandbox: each row in a process of its own, against the kernel: what is allowed works, what
 * is not ends the process or fails.  A build with sanitizers has an open row; there is nothing to
 * test in it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "proc/sandbox.h"

typedef int attempt_fn(void); /* errno of a failure, 0 when it worked */

enum { ENDED = -1, ABORTED = -2 };
static u32 hold;
static char folder[] = "/tmp/picket-sandbox-XXXXXX";

/* The attempt from inside the row: ENDED by SIGSYS, or what it returned. */
static int inside(enum role role, attempt_fn *attempt)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct m_ready ready;
		int dir = open(folder, O_RDONLY | O_DIRECTORY);
		if (dir != SANDBOX_FOLDER_FD)
			dup2(dir, SANDBOX_FOLDER_FD);
		sandbox_begin();
		sandbox_hold_landlock(hold);
		if (!sandbox_enter(role, &ready) || ready.seccomp != 1)
			_exit(200);
		if (hold != 0 && ready.landlock_abi != hold)
			_exit(201);
		_exit(attempt());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_true(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGABRT);
		return WTERMSIG(status) == SIGSYS ? ENDED : ABORTED;
	}
	return WEXITSTATUS(status);
}

static int outcome(long r)
{
	return r < 0 ? errno : 0;
}

static int try_socket(void)
{
	return outcome(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_unix(void)
{
	return outcome(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int try_exec(void)
{
	return outcome(execl("/bin/true", "true", NULL));
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return outcome(pid);
}

static int try_read_passwd(void)
{
	return outcome(open("/etc/passwd", O_RDONLY));
}

static int try_read_passwd_cloexec(void)
{
	return outcome(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int try_write_tmp(void)
{
	return outcome(open("/tmp/picket-was-here", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static int try_own_folder(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/x", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0 || unlink(path) != 0)
		return errno;
	return 0;
}

static int try_exec_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return errno;
	return outcome(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int try_kill(void)
{
	return outcome(kill(getppid(), 0));
}

static int try_abort(void)
{
	abort();
}

static void *thread_body(void *arg)
{
	void *p = malloc(300000);

	memset(p, 1, 300000);
	free(p);
	return arg;
}

/* What every role lives on: threads, memory, epoll, pipes, clocks, random. */
static int try_life(void)
{
	pthread_t t;
	int e = epoll_create1(EPOLL_CLOEXEC), fd[2];
	char b[16];
	struct epoll_event ev = {.events = EPOLLIN};

	if (e < 0 || pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0 ||
	    epoll_ctl(e, EPOLL_CTL_ADD, fd[0], &ev) != 0)
		return errno;
	if (pthread_create(&t, NULL, thread_body, NULL) != 0 || pthread_join(t, NULL) != 0)
		return 1;
	if (write(fd[1], "x", 1) != 1 || epoll_wait(e, &ev, 1, 1000) != 1 || read(fd[0], b, 1) != 1)
		return 2;
	return getentropy(b, sizeof(b)) == 0 && memfd_create("x", MFD_CLOEXEC) >= 0 ? 0 : 3;
}

static const enum role all[] = {ROLE_BROKER, ROLE_AUTH,	 ROLE_KEYS,   ROLE_ADMIN,
				ROLE_CANARY, ROLE_CHECK, ROLE_SALVAGE};

static void test_life_goes_on(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		assert_int_equal(inside(all[i], try_life), 0);
}

static void test_nobody_may(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(inside(all[i], try_exec), ENDED);
		assert_int_equal(inside(all[i], try_fork), ENDED);
		assert_int_equal(inside(all[i], try_exec_memory), ENDED);
		assert_int_equal(inside(all[i], try_kill), ENDED);
		assert_int_equal(inside(all[i], try_unix), ENDED);
	}
}

/* An assertion that fails ends as such, not as a breach of the sandbox. */
static void test_abort_is_an_abort(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		assert_int_equal(inside(all[i], try_abort), ABORTED);
}

static void test_only_the_canary_connects(void **state)
{
	assert_int_equal(inside(ROLE_BROKER, try_socket), ENDED);
	assert_int_equal(inside(ROLE_AUTH, try_socket), ENDED);
	assert_int_equal(inside(ROLE_KEYS, try_socket), ENDED);
	assert_int_equal(inside(ROLE_ADMIN, try_socket), ENDED);
	assert_int_equal(inside(ROLE_CHECK, try_socket), ENDED);
	assert_int_equal(inside(ROLE_SALVAGE, try_socket), ENDED);
	assert_int_equal(inside(ROLE_CANARY, try_socket), 0);
}

static void files(void)
{
	assert_int_equal(inside(ROLE_BROKER, try_read_passwd), ENDED);
	assert_int_equal(inside(ROLE_BROKER, try_read_passwd_cloexec), EACCES);
	assert_int_equal(inside(ROLE_BROKER, try_write_tmp), ENDED);
	assert_int_equal(inside(ROLE_KEYS, try_read_passwd), ENDED);
	assert_int_equal(inside(ROLE_ADMIN, try_read_passwd), ENDED);
	assert_int_equal(inside(ROLE_CANARY, try_write_tmp), ENDED);
	assert_int_equal(inside(ROLE_CHECK, try_read_passwd), ENDED);
	assert_int_equal(inside(ROLE_CHECK, try_write_tmp), ENDED);
	assert_int_equal(inside(ROLE_SALVAGE, try_read_passwd), ENDED);
	assert_int_equal(inside(ROLE_SALVAGE, try_own_folder), ENDED);
	/* broker has its store open and opens nothing more, not even there */
	assert_int_equal(inside(ROLE_BROKER, try_own_folder), ENDED);
	/* auth may open: Landlock says where */
	assert_int_equal(inside(ROLE_AUTH, try_read_passwd), EACCES);
	assert_int_equal(inside(ROLE_AUTH, try_write_tmp), EACCES);
	assert_int_equal(inside(ROLE_AUTH, try_own_folder), 0);
	assert_int_equal(access("/tmp/picket-was-here", F_OK), -1);
}

static void test_files(void **state)
{
	hold = 0;
	files();
}

static void test_files_landlock_2(void **state)
{
	hold = 2;
	files();
	hold = 0;
}

static void *sleeper(void *arg)
{
	pause();
	return arg;
}

/* A thread that is there already would stay outside of Landlock: that is refused. */
static void test_no_thread_before(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct m_ready ready;
		pthread_t t;
		if (pthread_create(&t, NULL, sleeper, NULL) != 0)
			_exit(2);
		_exit(sandbox_enter(ROLE_BROKER, &ready) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life_goes_on),
		cmocka_unit_test(test_nobody_may),
		cmocka_unit_test(test_abort_is_an_abort),
		cmocka_unit_test(test_only_the_canary_connects),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_files_landlock_2),
		cmocka_unit_test(test_no_thread_before),
	};
	int failed;

	if (sandbox_sanitized())
		return 77; /* meson: skipped */
	assert_non_null(mkdtemp(folder));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
