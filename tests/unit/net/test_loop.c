/* The loop with real sockets: bytes arrive whole, however they are cut; nothing is lost at a pause,
 * a move or a close; refusals cost nothing and everything admitted is released. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "echo.h"

static struct echo a, b;

static int setup(void **state)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	echo_start(&a, &b);
	echo_start(&b, &a);
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i < 20000 && a.released + b.released < a.admitted + b.admitted; i++)
		usleep(1000);
	echo_join(&a);
	echo_join(&b);
	echo_free(&a);
	echo_free(&b);
	assert_int_equal(a.admitted + b.admitted, a.released + b.released);
	assert_int_equal(a.opened + b.opened, a.closed + b.closed);
	return 0;
}

static void expect_frame(int fd, const void *body, u32 n)
{
	u8 *got = xmalloc(4 + (size_t)n);

	assert_int_equal(echo_recv(fd, got, 4 + (size_t)n), 4 + (size_t)n);
	assert_int_equal(ntohl(*(u32 *)(void *)got), n);
	assert_memory_equal(got + 4, body, n);
	free(got);
}

static void test_echo(void **state)
{
	int fd = echo_connect(&a);

	for (int i = 0; i < 100; i++) {
		echo_frame(fd, "hello, loop", 11);
		expect_frame(fd, "hello, loop", 11);
	}
	close(fd);
	echo_await(&a.closed, 1);
	assert_int_equal(a.last_why, E_EOF);
}

static void test_split_bytes(void **state)
{
	u8 frame[] = {0, 0, 0, 5, 's', 'p', 'l', 'i', 't', 0, 0, 0, 2, 'o', 'k'};
	int fd = echo_connect(&a);

	for (size_t cut = 1; cut < sizeof(frame); cut++) {
		echo_send(fd, frame, cut);
		usleep(1000);
		echo_send(fd, frame + cut, sizeof(frame) - cut);
		expect_frame(fd, "split", 5);
		expect_frame(fd, "ok", 2);
	}
	for (size_t i = 0; i < sizeof(frame); i++)
		echo_send(fd, frame + i, 1);
	expect_frame(fd, "split", 5);
	expect_frame(fd, "ok", 2);
	close(fd);
}

/* Many connections keep an unfinished frame at once: none sees another's bytes. */
static void test_unfinished_apart(void **state)
{
	int fd[20];
	u8 body[300];

	for (u32 i = 0; i < 20; i++) {
		u32 be = htonl(300);
		fd[i] = echo_connect(&a);
		memset(body, (int)('a' + i), sizeof(body));
		echo_send(fd[i], &be, 4);
		echo_send(fd[i], body, 100);
	}
	for (u32 i = 0; i < 20; i++) {
		memset(body, (int)('a' + i), sizeof(body));
		echo_send(fd[i], body, 200);
		expect_frame(fd[i], body, 300);
		close(fd[i]);
	}
}

static void *send_all(void *arg)
{
	int fd = *(int *)arg;
	u8 *big = xmalloc(1 << 20);

	for (u32 i = 0; i < 1 << 20; i++)
		big[i] = (u8)(i * 7 + i / 251);
	for (int i = 0; i < 4; i++)
		echo_frame(fd, big, 1 << 20);
	free(big);
	return NULL;
}

/* Larger than any buffer of ours, to a client that reads late: nothing is lost or reordered, and
 * the server is not blocked for others. */
static void test_slow_reader(void **state)
{
	int fd = echo_connect(&a), other = echo_connect(&a);
	u8 *big = xmalloc(1 << 20);
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, send_all, &fd), 0);
	usleep(50000);
	for (u32 i = 0; i < 1 << 20; i++)
		big[i] = (u8)(i * 7 + i / 251);
	echo_frame(other, "still here", 10);
	expect_frame(other, "still here", 10);
	for (int i = 0; i < 4; i++)
		expect_frame(fd, big, 1 << 20);
	pthread_join(t, NULL);
	free(big);
	close(fd);
	close(other);
}

static void test_half_close(void **state)
{
	int fd = echo_connect(&a);

	echo_frame(fd, "last words", 10);
	shutdown(fd, SHUT_WR);
	expect_frame(fd, "last words", 10);
	assert_int_equal(echo_recv(fd, &(u8){0}, 1), 0);
	close(fd);
	echo_await(&a.closed, 1);
	assert_int_equal(a.last_why, E_EOF);
}

static void test_close_flushes(void **state)
{
	int fd = echo_connect(&a);
	u8 *body = xcalloc(1, 300000);

	echo_frame(fd, body, 300000);
	echo_frame(fd, "Q", 1);
	echo_frame(fd, "never read", 10);
	expect_frame(fd, body, 300000);
	expect_frame(fd, "Q", 1);
	assert_int_equal(echo_recv(fd, &(u8){0}, 1), 0);
	echo_await(&a.closed, 1);
	assert_int_equal(a.last_why, E_ADMIN);
	free(body);
	close(fd);
}

/* CLOSE_FLUSH waits for a reader that never comes, but not for long. */
static void test_linger_ends(void **state)
{
	int fd = echo_connect(&a), small = 4096;
	u8 *body = xcalloc(1, 3 << 20);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (int i = 0; i < 4; i++)
		echo_frame(fd, body, 3 << 20);
	echo_frame(fd, "Q", 1);
	echo_await(&a.closed, 1);
	free(body);
	close(fd);
}

static void test_close_now(void **state)
{
	int fd = echo_connect(&a);

	echo_frame(fd, "K", 1);
	assert_int_equal(echo_recv(fd, &(u8){0}, 1), 0);
	echo_await(&a.closed, 1);
	assert_int_equal(a.last_why, E_ADMIN);
	close(fd);
}

/* What came while paused is offered when it goes on, although the socket has nothing new. */
static void test_pause_resume(void **state)
{
	u8 frames[] = {0, 0, 0, 1, 'P', 0, 0, 0, 1, 'P', 0, 0, 0, 2, 'o', 'k', 0, 0};
	int fd = echo_connect(&a);

	for (int i = 0; i < 50; i++) {
		echo_send(fd, frames, sizeof(frames));
		expect_frame(fd, "P", 1);
		expect_frame(fd, "P", 1);
		expect_frame(fd, "ok", 2);
		echo_send(fd, "\0\1x", 3);
		expect_frame(fd, "x", 1);
	}
	close(fd);
	echo_await(&a.closed, 1);
}

/* Sent and closed while the server pauses: the rest is still offered before the end is told. */
static void test_pause_then_end(void **state)
{
	u8 frames[] = {0, 0, 0, 1, 'P', 0, 0, 0, 2, 'o', 'k'};

	for (int i = 0; i < 20; i++) {
		int fd = echo_connect(&a);
		echo_send(fd, frames, sizeof(frames));
		shutdown(fd, SHUT_WR);
		expect_frame(fd, "P", 1);
		expect_frame(fd, "ok", 2);
		close(fd);
	}
	echo_await(&a.closed, 20);
}

/* Back and forth between two loops in two threads, with bytes on their way. */
static void test_move(void **state)
{
	int fd = echo_connect(&a);
	u8 frames[] = {0, 0, 0, 3, 'o', 'n', 'e', 0, 0, 0, 1, 'M', 0, 0, 0, 3, 't', 'w', 'o', 0};

	for (u32 i = 0; i < 200; i++) {
		echo_send(fd, frames, sizeof(frames));
		expect_frame(fd, "one", 3);
		expect_frame(fd, "M", 1);
		expect_frame(fd, "two", 3);
		echo_send(fd, "\0\0\1x", 4);
		expect_frame(fd, "x", 1);
	}
	assert_int_equal(a.moved_in + b.moved_in, 200);
	close(fd);
	echo_await(&a.closed, 1);
}

static void test_admission(void **state)
{
	int one, two;
	u8 byte;

	atomic_store(&a.admit_max, 1);
	one = echo_connect(&a);
	two = echo_connect(&a);
	echo_frame(one, "in", 2);
	expect_frame(one, "in", 2);
	assert_true(recv(two, &byte, 1, 0) <= 0);
	assert_int_equal(a.admitted, 1);
	close(one);
	close(two);
}

static void test_refused_open(void **state)
{
	int fd;

	a.refuse_open = true;
	fd = echo_connect(&a);
	assert_int_equal(echo_recv(fd, &(u8){0}, 1), 0);
	echo_await(&a.released, 1);
	assert_int_equal(a.closed, 0);
	close(fd);
}

/* Descriptors run out: those who wait are turned away, the connection that is there lives on, and
 * accepting goes on when there are some again. */
static void test_descriptors_out(void **state)
{
	struct rlimit old, low;
	int here = echo_connect(&a), fd[8], gone[64], n = 0;
	u8 byte;

	echo_frame(here, "accepted", 8);
	expect_frame(here, "accepted", 8);
	for (int i = 0; i < 8; i++)
		fd[i] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 128;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int k = dup(0); k >= 0; k = dup(0)) {
		if (n < 64)
			gone[n++] = k;
		if (k >= 127)
			break;
	}
	for (int i = 0; i < 4; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((u16)a.port)};
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&to, sizeof(to)), 0);
	}
	assert_true(recv(fd[0], &byte, 1, 0) <= 0);
	echo_frame(here, "alive", 5);
	expect_frame(here, "alive", 5);
	for (int i = 0; i < n; i++)
		close(gone[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	for (int i = 0; i < 8; i++)
		close(fd[i]);
	n = echo_connect(&a);
	echo_frame(n, "back", 4);
	expect_frame(n, "back", 4);
	close(n);
	close(here);
}

static void test_addr_text(void **state)
{
	char out[46];
	u8 v4[16] = {[10] = 0xff, [11] = 0xff, 203, 0, 113, 9};
	u8 v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};

	addr_format(v4, out, sizeof(out));
	assert_string_equal(out, "203.0.113.9");
	addr_format(v6, out, sizeof(out));
	assert_string_equal(out, "2001:db8::1");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_echo),
		T(test_split_bytes),
		T(test_unfinished_apart),
		T(test_slow_reader),
		T(test_half_close),
		T(test_close_flushes),
		T(test_linger_ends),
		T(test_close_now),
		T(test_pause_resume),
		T(test_pause_then_end),
		T(test_move),
		T(test_admission),
		T(test_refused_open),
		T(test_descriptors_out),
		cmocka_unit_test(test_addr_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
