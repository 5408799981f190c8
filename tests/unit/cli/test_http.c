/* test_http: a response is the same however its bytes are split; what is not one is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "cli/http.h"

struct got {
	char b[4096];
	size_t n;
};

static void body(void *arg, struct slice s)
{
	struct got *g = arg;

	assert_true(g->n + s.n < sizeof(g->b));
	memcpy(g->b + g->n, s.p, s.n);
	g->n += s.n;
	g->b[g->n] = 0;
}

/* Feed in pieces of `step` bytes; the answer after the end of the connection. */
static enum err feed(struct slice s, size_t step, struct http *h, struct got *g)
{
	enum err e = E_MORE;

	*g = (struct got){0};
	http_init(h, body, g);
	while (s.n > 0 && e == E_MORE) {
		e = http_feed(h, slice_of(s.p, MIN(step, s.n)));
		s = slice_skip(s, MIN(step, s.n));
	}
	return e == E_MORE ? http_end(h) : e;
}

static void check(struct slice s, u32 status, const char *text)
{
	struct http h;
	struct got g;

	for (size_t step = 1; step <= s.n; step++) {
		assert_int_equal(feed(s, step, &h, &g), E_OK);
		assert_int_equal(h.status, status);
		assert_string_equal(g.b, text);
	}
}

static void test_good(void **state)
{
	check(SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), 200, "hello");
	check(SLICE_LIT("HTTP/1.1 204 No\r\nX: y\r\n\r\n"), 204, "");
	check(SLICE_LIT("HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n"), 409, "");
	check(SLICE_LIT("HTTP/1.0 200 OK\r\n\r\nto the end"), 200, "to the end");
	check(SLICE_LIT(
		      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
	      200, "x");
	check(SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
			"chunked\r\n\r\n5;ext=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: "
			"x\r\n\r\n"),
	      200, "hello0123456789");
}

static void test_bad(void **state)
{
	static const char *const texts[] = {
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 20x OK\r\n\r\n",
		"HTTP/1.1 099 OK\r\n\r\n",
		"HTTP/1.1\r\n",
		"garbage\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1fffffffff\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
	};
	struct http h;
	struct got g;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (feed(slice_str(texts[i]), 3, &h, &g) != E_SYNTAX)
			fail_msg("taken: %s", texts[i]);
		/* It stays so. */
		assert_int_equal(http_feed(&h, SLICE_LIT("HTTP/1.1 200 OK\r\n\r\n")), E_SYNTAX);
	}
	assert_int_equal(feed(SLICE_LIT("HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n"), 5, &h, &g), E_SYNTAX);
}

static void test_cut_short(void **state)
{
	struct http h;
	struct got g;

	assert_int_equal(feed(SLICE_LIT(""), 1, &h, &g), E_SHORT);
	assert_int_equal(
		feed(SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), 7, &h, &g),
		E_SHORT);
	assert_int_equal(
		feed(SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
		     7, &h, &g),
		E_SHORT);
}

static void test_limits(void **state)
{
	static char line[HTTP_LINE_MAX + 100] = "HTTP/1.1 200 ";
	struct http h;
	struct got g;

	memset(line + 13, 'a', sizeof(line) - 14);
	assert_int_equal(feed(slice_str(line), 100, &h, &g), E_SYNTAX);
	http_init(&h, body, &g);
	assert_int_equal(http_feed(&h, SLICE_LIT("HTTP/1.1 200 OK\r\n")), E_MORE);
	for (u32 i = 0; i < HTTP_HEADERS_MAX; i++)
		assert_int_equal(http_feed(&h, SLICE_LIT("a: b\r\n")), E_MORE);
	assert_int_equal(http_feed(&h, SLICE_LIT("a: b\r\n")), E_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
