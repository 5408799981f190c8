/* Connections through a proxy, with real sockets: the header is taken to its last byte however it
 * is cut, and a connection without one ends. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "echo.h"
#include "net/proxy.h"

static const char v1[] = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 8883\r\n";
/* TCP4, and a certificate of esp07 that the proxy has verified. */
static const u8 v2[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54,
			0x0a, 0x21, 0x11, 0x00, 0x1c, 192,  0,	  2,	7,    198,  51,
			100,  1,    0xdc, 0x04, 0x22, 0xb3, 0x20, 0x00, 0x0d, 0x07, 0,
			0,    0,    0,	  0x22, 0x00, 0x05, 'e',  's',	'p',  '0',  '7'};
static const u8 client[16] = {[10] = 0xff, 0xff, 192, 0, 2, 7};
static const u8 myself[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};

static struct echo a, b;

static int setup(void **state)
{
	struct net_listen_options o = {.proxy = true, .handshake_ms = 20000};

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	a.opt = b.opt = o;
	a.opt.proxy_certificates = true;
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

static void expect_frame(int fd, const char *body, u32 n)
{
	u8 got[64];

	assert_int_equal(echo_recv(fd, got, 4 + (size_t)n), 4 + n);
	assert_memory_equal(got + 4, body, n);
}

static void expect_end(int fd)
{
	u8 byte;

	assert_int_equal(echo_recv(fd, &byte, 1), 0);
	close(fd);
}

/* The header cut in two at every place, and the first frame right behind it. */
static void cut_everywhere(const void *header, size_t n)
{
	u8 rest[128];

	for (size_t cut = 0; cut < n; cut++) {
		int fd = echo_connect(&a);
		if (cut != 0)
			echo_send(fd, header, cut);
		usleep(500);
		memcpy(rest, (const u8 *)header + cut, n - cut);
		memcpy(rest + n - cut, "\0\0\0\x02ok", 6);
		echo_send(fd, rest, n - cut + 6);
		expect_frame(fd, "ok", 2);
		assert_memory_equal(a.source, client, 16);
		close(fd);
		echo_await(&a.released, (u32)cut + 1);
		assert_memory_equal(a.last_released, client, 16);
	}
}

static void test_version_1(void **state)
{
	cut_everywhere(v1, sizeof(v1) - 1);
	assert_string_equal(a.cn, "");
}

static void test_version_2(void **state)
{
	cut_everywhere(v2, sizeof(v2));
	assert_string_equal(a.cn, "esp07");
}

static void test_byte_by_byte(void **state)
{
	int fd = echo_connect(&a);

	for (size_t i = 0; i < sizeof(v2); i++) {
		echo_send(fd, v2 + i, 1);
		usleep(300);
	}
	echo_frame(fd, "ok", 2);
	expect_frame(fd, "ok", 2);
	assert_string_equal(a.cn, "esp07");
	close(fd);
}

/* The proxy's word about certificates is asked for, or not heard. */
static void test_certificates_have_to_be_wanted(void **state)
{
	int fd = echo_connect(&b);

	echo_send(fd, v2, sizeof(v2));
	echo_frame(fd, "ok", 2);
	expect_frame(fd, "ok", 2);
	assert_memory_equal(b.source, client, 16);
	assert_string_equal(b.cn, "");
	close(fd);
}

static void test_the_proxy_itself(void **state)
{
	static const char unknown[] = "PROXY UNKNOWN\r\n";
	int fd = echo_connect(&a);

	echo_send(fd, unknown, sizeof(unknown) - 1);
	echo_frame(fd, "ok", 2);
	expect_frame(fd, "ok", 2);
	assert_memory_equal(a.source, myself, 16);
	close(fd);
}

static void test_without_a_header(void **state)
{
	static const char *const first[] = {"\x10\x0c", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01",
					    "\r\n\r\nx"};

	for (u32 i = 0; i < ARRAY_LEN(first); i++) {
		int fd = echo_connect(&a);
		echo_send(fd, first[i], strlen(first[i]));
		expect_end(fd);
		echo_await(&a.unsourced, i + 1);
		assert_int_equal(a.last_why, E_MALFORM);
	}
	assert_int_equal(a.sourced, 0);
	echo_await(&a.released, ARRAY_LEN(first));
	assert_memory_equal(a.last_released, myself, 16);
}

static void test_too_long(void **state)
{
	u8 big[LIM_PROXY_V1];
	int fd = echo_connect(&a);

	memset(big, 'x', sizeof(big));
	memcpy(big, "PROXY UNKNOWN ", 14);
	echo_send(fd, big, sizeof(big));
	expect_end(fd);
	echo_await(&a.unsourced, 1);
	assert_int_equal(a.last_why, E_TOO_LARGE);
	fd = echo_connect(&a);
	memcpy(big, v2, 16);
	big[14] = big[15] = 0xff;
	echo_send(fd, big, 16); /* nothing of the rest is waited for */
	expect_end(fd);
	echo_await(&a.unsourced, 2);
	assert_int_equal(a.last_why, E_TOO_LARGE);
}

static void test_a_second_header_is_data(void **state)
{
	int fd = echo_connect(&a);

	echo_send(fd, v2, sizeof(v2));
	echo_send(fd, v2, 16); /* a frame's length, for the protocol above */
	echo_await(&a.opened, 1);
	assert_int_equal(a.sourced, 1);
	close(fd);
}

static void test_a_refused_source(void **state)
{
	int fd;

	a.refuse_source = true;
	fd = echo_connect(&a);
	echo_send(fd, v1, sizeof(v1) - 1);
	expect_end(fd);
	echo_await(&a.released, 1);
	assert_int_equal(a.opened, 0);
	assert_int_equal(a.unsourced, 0); /* whoever refuses has told it */
	assert_memory_equal(a.last_released, myself, 16);
}

static void test_closed_before(void **state)
{
	int fd = echo_connect(&a);

	close(fd); /* only looked whether somebody listens */
	echo_await(&a.released, 1);
	assert_int_equal(a.unsourced, 0);
	fd = echo_connect(&a);
	echo_send(fd, v2, 20);
	close(fd);
	echo_await(&a.unsourced, 1);
	assert_int_equal(a.last_why, E_EOF);
}

static void test_it_stays_when_it_moves(void **state)
{
	int fd = echo_connect(&a);

	echo_send(fd, v2, sizeof(v2));
	echo_frame(fd, "M", 1);
	expect_frame(fd, "M", 1);
	echo_await(&b.moved_in, 1);
	echo_frame(fd, "ok", 2);
	expect_frame(fd, "ok", 2);
	close(fd);
	echo_await(&b.released, 1);
	assert_memory_equal(b.last_released, client, 16);
}

static int setup_impatient(void **state)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	a.opt = (struct net_listen_options){.proxy = true, .handshake_ms = 50};
	echo_start(&a, &b);
	echo_start(&b, &a);
	return 0;
}

static void test_too_slow(void **state)
{
	int fd = echo_connect(&a), silent = echo_connect(&a);

	echo_send(fd, v1, 10);
	expect_end(fd);
	expect_end(silent);
	echo_await(&a.unsourced, 2);
	assert_int_equal(a.last_why, E_TIMEOUT);
	assert_int_equal(a.sourced, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_version_1),
		T(test_version_2),
		T(test_byte_by_byte),
		T(test_certificates_have_to_be_wanted),
		T(test_the_proxy_itself),
		T(test_without_a_header),
		T(test_too_long),
		T(test_a_second_header_is_data),
		T(test_a_refused_source),
		T(test_closed_before),
		T(test_it_stays_when_it_moves),
		cmocka_unit_test_setup_teardown(test_too_slow, setup_impatient, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
