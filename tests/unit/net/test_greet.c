/* One port, two protocols, with real sockets: each connection is taken for what its first bytes
 * say, however they are cut; the handler sees the same bytes either way; who says neither, nothing,
 * or a request that is refused, is answered and reported once. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "echo.h"
#include "ws_client.h"

#define GOOD "GET /mqtt HTTP/1.1\r\n" GOOD_REST
#define GOOD_REST                                                                                  \
	"Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                                 \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"             \
	"Sec-WebSocket-Protocol: mqtt\r\n\r\n"

static struct echo a, b;
static struct wire w;

static void start(u32 protocols, u64 first_ms, u64 upgrade_ms)
{
	struct net_greeting_options o = {.protocols = protocols,
					 .first_ms = first_ms,
					 .upgrade_ms = upgrade_ms,
					 .path = "/mqtt"};
	struct net_greeting *g = net_greeting_new(&o);

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	a.opt.greeting = b.opt.greeting = g;
	echo_start(&a, &b);
	echo_start(&b, &a);
	net_greeting_unref(&g);
}

static int both(void **state)
{
	start(NET_RAW | NET_WEBSOCKET, 20000, 20000);
	return 0;
}

static int raw_only(void **state)
{
	start(NET_RAW, 20000, 20000);
	return 0;
}

static int websocket_only(void **state)
{
	start(NET_WEBSOCKET, 20000, 20000);
	return 0;
}

static int hasty(void **state)
{
	start(NET_RAW | NET_WEBSOCKET, 100, 200);
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
	/* Exactly one report each. */
	assert_int_equal(a.admitted + b.admitted, a.closed + b.closed + a.refused + b.refused);
	return 0;
}

/* ---- the client ---- */
static void expect(int fd, const char *text)
{
	char got[1024];
	size_t n = strlen(text);

	assert_true(n < sizeof(got));
	assert_int_equal(echo_recv(fd, got, n), n);
	got[n] = '\0';
	assert_string_equal(got, text);
}

static void expect_end(int fd)
{
	assert_int_equal(echo_recv(fd, &(u8){0}, 1), 0);
}

/* An answer of this status and then the end. */
static void expect_status(int fd, const char *status)
{
	char got[2048];
	size_t n = echo_recv(fd, got, sizeof(got) - 1);

	got[n] = '\0';
	assert_memory_equal(got, status, strlen(status));
	close(fd);
}

static int upgraded(const struct echo *e)
{
	int fd = echo_connect(e);

	echo_send(fd, GOOD, sizeof(GOOD) - 1);
	expect(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
		   "Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
		   "Sec-WebSocket-Protocol: mqtt\r\n\r\n");
	return fd;
}

static void send_wire(int fd)
{
	echo_send(fd, w.b, w.n);
	w.n = 0;
}

static void say(int fd, const void *body, u32 n)
{
	u8 *frame = xmalloc(4 + (size_t)n);
	u32 be = htonl(n);

	memcpy(frame, &be, 4);
	memcpy(frame + 4, body, n);
	w.n = 0;
	wire_frame(&w, OP_BINARY, true, frame, 4 + (size_t)n);
	send_wire(fd);
	free(frame);
}

/* n bytes of the stream, out of however many binary frames. */
static void receive(int fd, u8 *out, size_t n)
{
	while (n > 0) {
		u8 head[4];
		size_t len;
		assert_int_equal(echo_recv(fd, head, 2), 2);
		assert_int_equal(head[0], 0x82);
		assert_true(head[1] <= 126); /* unmasked, and never longer than a record */
		if (head[1] == 126)
			assert_int_equal(echo_recv(fd, head + 2, 2), 2);
		len = head[1] == 126 ? (size_t)(head[2] << 8 | head[3]) : head[1];
		assert_true(len > 0 && len <= n);
		assert_int_equal(echo_recv(fd, out, len), len);
		out += len;
		n -= len;
	}
}

static void hear(int fd, const void *body, u32 n)
{
	u8 *got = xmalloc(4 + (size_t)n);

	receive(fd, got, 4 + (size_t)n);
	assert_int_equal(ntohl(*(u32 *)(void *)got), n);
	assert_memory_equal(got + 4, body, n);
	free(got);
}

/* ---- which protocol ---- */
static void test_both(void **state)
{
	int raw = echo_connect(&a), ws = upgraded(&a);
	u8 got[12];

	for (int i = 0; i < 50; i++) {
		echo_frame(raw, "as it is", 8);
		assert_int_equal(echo_recv(raw, got, 12), 12);
		assert_memory_equal(got,
				    "\0\0\0\x08"
				    "as it is",
				    12);
		say(ws, "in a frame", 10);
		hear(ws, "in a frame", 10);
	}
	assert_int_equal(a.opened, 2);
	close(raw);
	close(ws);
}

/* The handler hears of nobody who has not said what it speaks. */
static void test_opened_late(void **state)
{
	int silent = echo_connect(&a), half = echo_connect(&a), part = echo_connect(&a);

	echo_send(half, GOOD, sizeof(GOOD) / 2);
	echo_send(part, "GE", 2);
	echo_await(&a.admitted, 3);
	close(upgraded(&a));
	echo_await(&a.closed, 1);
	assert_int_equal(a.opened, 1);
	close(silent);
	close(half);
	close(part);
	echo_await(&a.refused, 3);
	assert_int_equal(a.last_why, E_EOF);
}

static void test_cut_anywhere(void **state)
{
	for (size_t cut = 1; cut < sizeof(GOOD) - 1; cut += cut < 8 ? 1 : 23) {
		int fd = echo_connect(&a);
		echo_send(fd, GOOD, cut);
		usleep(2000);
		echo_send(fd, &GOOD[cut], sizeof(GOOD) - 1 - cut);
		expect(fd, "HTTP/1.1 101 ");
		close(fd);
	}
}

/* Frames that come with the request are what they would be later, wherever the bytes are cut. */
static void test_early_frames(void **state)
{
	static u8 all[sizeof(GOOD) + 64];
	size_t n = sizeof(GOOD) - 1;

	w.n = 0;
	wire_frame(&w, OP_BINARY, false,
		   "\0\0\0\x05"
		   "ear",
		   7);
	wire_frame(&w, OP_PING, true, "early", 5);
	wire_frame(&w, OP_CONT, true, "ly", 2);
	memcpy(all, GOOD, n);
	memcpy(all + n, w.b, w.n);
	for (size_t cut = n - 4; cut <= n + w.n; cut++) {
		int fd = echo_connect(&a);
		echo_send(fd, all, cut);
		usleep(2000);
		echo_send(fd, all + cut, n + w.n - cut);
		expect(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
			   "Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
			   "Sec-WebSocket-Protocol: mqtt\r\n\r\n");
		expect(fd, "\x8a\x05"
			   "early");
		hear(fd, "early", 5);
		close(fd);
	}
}

/* Begins like a request and is none: the handler's, from the first byte on. */
static void test_almost_get(void **state)
{
	static const char almost[] = "GET#";
	u8 frame[8], got[sizeof(frame)];

	for (size_t cut = 1; cut < 4; cut++) {
		int fd = echo_connect(&a);
		echo_send(fd, almost, cut);
		usleep(2000);
		echo_send(fd, "\x01", 1);
		echo_await(&a.opened, (u32)cut);
		close(fd);
	}
	memcpy(frame, "\0\0\0\x04GET ", 8);
	int fd = echo_connect(&a);
	echo_send(fd, frame, 8);
	assert_int_equal(echo_recv(fd, got, 8), 8);
	assert_memory_equal(got, frame, 8);
	close(fd);
}

static void test_raw_only(void **state)
{
	int fd = echo_connect(&a), raw = echo_connect(&a);

	echo_send(fd, GOOD, sizeof(GOOD) - 1);
	expect_status(fd, "HTTP/1.1 404 Not Found\r\n");
	echo_await(&a.refused, 1);
	assert_int_equal(a.last_why, E_PROTO);
	echo_frame(raw, "x1", 2);
	echo_await(&a.opened, 1);
	close(raw);
}

static void test_websocket_only(void **state)
{
	int raw = echo_connect(&a), post = echo_connect(&a);

	echo_send(raw, "\x10\x0c", 2);
	expect_end(raw); /* not a word of HTTP to who speaks none */
	echo_await(&a.refused, 1);
	echo_send(post, "POST / HTTP/1.1\r\n\r\n", 19);
	expect_status(post, "HTTP/1.1 405 ");
	echo_await(&a.refused, 2);
	close(raw);
	close(upgraded(&a));
	echo_await(&a.closed, 1);
}

/* ---- refusals ---- */
static void refused_with(const char *bytes, size_t n, const char *status)
{
	u32 before = atomic_load(&a.refused);
	int fd = echo_connect(&a);

	echo_send(fd, bytes, n);
	expect_status(fd, status);
	echo_await(&a.refused, before + 1);
	assert_int_equal(a.opened, 0);
}

static void test_refused(void **state)
{
	static char large[LIM_HTTP_HEAD + 100];

	memset(large, 'x', sizeof(large));
	memcpy(large, "GET / HTTP/1.1\r\nA: ", 19);
	refused_with(large, sizeof(large), "HTTP/1.1 431 ");
	refused_with("GET \r\n\r\n", 8, "HTTP/1.1 400 ");
	refused_with("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "HTTP/1.1 426 ");
}

static void expect_frame_plain(int fd)
{
	u8 got[6];

	assert_int_equal(echo_recv(fd, got, sizeof(got)), sizeof(got));
	assert_memory_equal(got + 4, "ok", 2);
}

/* We are all 127.0.0.1 here. */
static bool loopback_is_a_proxy(const u8 addr[16])
{
	return addr_is_v4(addr) && addr[12] == 127;
}

static void ask_for(const char *chain, const char *want)
{
	char request[1024], got[64];
	int fd = echo_connect(&a);

	snprintf(request, sizeof(request), "GET /mqtt HTTP/1.1\r\nX-Forwarded-For: %s\r\n%s", chain,
		 strchr(GOOD, '\n') + 1);
	echo_send(fd, request, strlen(request));
	expect(fd, "HTTP/1.1 101");
	addr_format(a.source, got, sizeof(got));
	assert_string_equal(got, want);
	close(fd);
}

/* Through a declared proxy the address is the one that it names, before opened() is called. */
static void test_forwarded(void **state)
{
	int fd;

	ask_for("192.0.2.7", "127.0.0.1"); /* nobody is declared */
	assert_int_equal(a.sourced, 0);
	a.trusted = loopback_is_a_proxy;
	ask_for("192.0.2.7", "192.0.2.7");
	ask_for("198.51.100.1, 192.0.2.7, 127.0.0.5", "192.0.2.7");
	assert_int_equal(a.sourced, 2);
	echo_await(&a.released, 3);
	fd = echo_connect(&a); /* MQTT as it is: the proxy itself */
	echo_send(fd, "\0\0\0\x02ok", 6);
	expect_frame_plain(fd);
	assert_int_equal(a.sourced, 3);
	assert_true(loopback_is_a_proxy(a.source));
	close(fd);
	fd = echo_connect(&a); /* an upgrade that names nobody: the proxy itself */
	echo_send(fd, GOOD, sizeof(GOOD) - 1);
	expect(fd, "HTTP/1.1 101");
	assert_true(loopback_is_a_proxy(a.source));
	close(fd);
	fd = echo_connect(&a);
	echo_send(fd, "GET /mqtt HTTP/1.1\r\nX-Forwarded-For: unknown\r\n" GOOD_REST,
		  sizeof("GET /mqtt HTTP/1.1\r\nX-Forwarded-For: unknown\r\n" GOOD_REST) - 1);
	expect_status(fd, "HTTP/1.1 400 ");
}

static void test_forwarded_and_not_admitted(void **state)
{
	int fd;

	a.trusted = loopback_is_a_proxy;
	a.refuse_source = true;
	fd = echo_connect(&a);
	echo_send(fd, GOOD, sizeof(GOOD) - 1);
	expect_end(fd);
	close(fd);
	fd = echo_connect(&a);
	echo_send(fd, "\0\0\0\x02ok", 6);
	expect_end(fd);
	close(fd);
	echo_await(&a.released, 2);
	assert_int_equal(a.opened, 0);
	atomic_fetch_add(&a.refused,
			 2); /* whoever refuses has told it: the teardown counts reports */
}

static void test_deadlines(void **state)
{
	int silent = echo_connect(&a), slow = echo_connect(&a);

	echo_send(slow, "GET / HTTP/1.1\r\n", 16);
	expect_status(slow, "HTTP/1.1 408 ");
	expect_end(silent);
	echo_await(&a.refused, 2);
	close(silent);
	assert_int_equal(a.opened, 0);
	assert_int_equal(a.last_why, E_TIMEOUT);
}

/* Bytes one by one do not move the deadline. */
static void test_slow_bytes(void **state)
{
	int fd = echo_connect(&a);
	char got[16];

	for (size_t i = 0; i < sizeof(GOOD) - 1 && atomic_load(&a.refused) == 0; i++) {
		if (send(fd, &GOOD[i], 1, MSG_NOSIGNAL) != 1)
			break;
		usleep(20000);
	}
	assert_int_equal(echo_recv(fd, got, 13), 13);
	assert_memory_equal(got, "HTTP/1.1 408 ", 13);
	assert_int_equal(a.opened, 0);
	close(fd);
}

/* ---- frames ---- */
static void test_cut_frames(void **state)
{
	int fd = upgraded(&a);
	u8 body[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 2, 'd', 'e'};
	u8 got[sizeof(body)];

	for (size_t cut = 0; cut <= sizeof(body); cut++) {
		w.n = 0;
		wire_frame(&w, OP_BINARY, cut % 2 != 0, body, cut);
		wire_frame(&w, cut % 2 != 0 ? OP_BINARY : OP_CONT, true, body + cut,
			   sizeof(body) - cut);
		for (size_t i = 0; i < w.n; i++)
			echo_send(fd, w.b + i, 1);
		receive(fd, got, sizeof(got));
		assert_memory_equal(got, body, sizeof(body));
	}
	close(fd);
}

static void *send_all(void *arg)
{
	static u8 big[1 << 19];

	for (u32 i = 0; i < sizeof(big); i++)
		big[i] = (u8)(i * 7 + i / 251);
	for (int i = 0; i < 4; i++)
		say(*(int *)arg, big, sizeof(big));
	return NULL;
}

/* Larger than any buffer of ours, to a client that reads late. */
static void test_slow_reader(void **state)
{
	static u8 big[1 << 19];
	int fd = upgraded(&a), other = echo_connect(&a);
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, send_all, &fd), 0);
	usleep(50000);
	echo_frame(other, "ok", 2);
	assert_int_equal(echo_recv(other, &(u8[6]){0}, 6), 6);
	for (u32 i = 0; i < sizeof(big); i++)
		big[i] = (u8)(i * 7 + i / 251);
	for (int i = 0; i < 4; i++)
		hear(fd, big, sizeof(big));
	pthread_join(t, NULL);
	close(fd);
	close(other);
}

/* Paused, moved to another loop and back, with bytes kept and a frame unfinished. */
static void test_pause_and_move(void **state)
{
	int fd = upgraded(&a);

	for (int i = 0; i < 20; i++) {
		static const u8 half[] = {0, 0, 0, 4, 'h', 'a', 'l', 'f'};
		u8 command[5] = {0, 0, 0, 1, i % 2 == 0 ? 'M' : 'P'};
		size_t at;
		w.n = 0;
		wire_frame(&w, OP_BINARY, true, command, sizeof(command));
		at = w.n;
		wire_frame(&w, OP_BINARY, true, half, sizeof(half));
		echo_send(fd, w.b, at + 9);
		usleep(3000);
		echo_send(fd, w.b + at + 9, w.n - at - 9);
		hear(fd, command + 4, 1);
		hear(fd, "half", 4);
	}
	close(fd);
	for (int i = 0; i < 20000 && a.closed + b.closed == 0; i++)
		usleep(1000);
	assert_int_equal(a.last_why + b.last_why, E_EOF);
}

static void test_ping(void **state)
{
	int fd = upgraded(&a);

	w.n = 0;
	wire_frame(&w, OP_PING, true, "one", 3);
	send_wire(fd);
	expect(fd, "\x8a\x03one");
	say(fd, "data", 4);
	hear(fd, "data", 4);
	close(fd);
}

/* ---- the end ---- */
static void test_close_by_client(void **state)
{
	int fd = upgraded(&a);

	w.n = 0;
	wire_frame(&w, OP_BINARY, true, "\0\0\0\x02ok", 6);
	wire_frame(&w, OP_CLOSE, true, "\x03\xe9", 2);
	send_wire(fd);
	hear(fd, "ok", 2); /* what came before still counts */
	expect(fd, "\x88\x02\x03\xe9");
	expect_end(fd);
	close(fd);
	echo_await(&a.closed, 1);
	assert_int_equal(a.last_why, E_EOF);
}

/* A goodbye behind something that makes us pause is not taken before it. */
static void test_close_while_paused(void **state)
{
	int fd = upgraded(&a);

	w.n = 0;
	wire_frame(&w, OP_BINARY, true, "\0\0\0\x01P\0\0\0\x02ok", 11);
	wire_frame(&w, OP_CLOSE, true, "\x03\xe8", 2);
	send_wire(fd);
	hear(fd, "P", 1);
	hear(fd, "ok", 2);
	expect(fd, "\x88\x02\x03\xe8");
	expect_end(fd);
	close(fd);
	echo_await(&a.closed, 1);
	assert_int_equal(a.last_why, E_EOF);
}

static void test_close_by_us(void **state)
{
	int fd = upgraded(&a);

	say(fd, "Q", 1);
	hear(fd, "Q", 1);
	expect(fd, "\x88\x02\x03\xf0");
	expect_end(fd);
	close(fd);
	echo_await(&a.closed, 1);
	assert_int_equal(a.last_why, E_ADMIN);
}

static void test_broken_rule(void **state)
{
	int fd = upgraded(&a);

	w.n = 0;
	wire_frame(&w, OP_BINARY, true, "\0\0\0\x02ok", 6);
	wire_frame(&w, OP_TEXT, true, "\0\0\0\x02no", 6);
	send_wire(fd);
	hear(fd, "ok", 2);
	expect(fd, "\x88\x02\x03\xeb");
	expect_end(fd);
	close(fd);
	echo_await(&a.closed, 1);
	assert_int_equal(a.last_why, E_WEBSOCKET);
}

/* Gone without a Close frame, in the middle of one of its own. */
static void test_gone(void **state)
{
	int fd = upgraded(&a);

	echo_send(fd,
		  "\x82\x84"
		  "abcd"
		  "\0\0",
		  8);
	close(fd);
	echo_await(&a.closed, 1);
	assert_int_equal(a.last_why, E_EOF);
}

#define TEST(name, how) cmocka_unit_test_setup_teardown(name, how, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both, both),
		TEST(test_opened_late, both),
		TEST(test_cut_anywhere, both),
		TEST(test_early_frames, both),
		TEST(test_almost_get, both),
		TEST(test_raw_only, raw_only),
		TEST(test_websocket_only, websocket_only),
		TEST(test_refused, both),
		TEST(test_forwarded, both),
		TEST(test_forwarded_and_not_admitted, both),
		TEST(test_deadlines, hasty),
		TEST(test_slow_bytes, hasty),
		TEST(test_cut_frames, both),
		TEST(test_slow_reader, both),
		TEST(test_pause_and_move, both),
		TEST(test_ping, both),
		TEST(test_close_by_client, both),
		TEST(test_close_while_paused, both),
		TEST(test_close_by_us, both),
		TEST(test_broken_rule, both),
		TEST(test_gone, both),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
