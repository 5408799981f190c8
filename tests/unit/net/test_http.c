/* The head of a request: what is taken, what is refused, how lists are read; however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/http.h"

#define FIRST "GET /mqtt HTTP/1.1\r\n"

static enum err parse(const char *text, struct http_head *h)
{
	struct slice s = slice_str(text);

	assert_int_equal(http_head_end(s, 0), s.n);
	return http_head_parse(s, h);
}

static void bad(const char *text)
{
	struct http_head h;

	assert_int_equal(http_head_parse(slice_str(text), &h), E_MALFORM);
}

static void is(struct slice s, const char *want)
{
	assert_true(slice_eq(s, slice_str(want)));
}

static void test_head(void **state)
{
	struct http_head h;

	assert_int_equal(parse(FIRST "Host: a:1\r\nX:\r\nY: \t two words\t \r\n\r\n", &h), E_OK);
	is(h.method, "GET");
	is(h.target, "/mqtt");
	assert_int_equal(h.minor, 1);
	assert_int_equal(h.n, 3);
	is(http_value(&h, "host"), "a:1");
	is(http_value(&h, "x"), "");
	is(http_value(&h, "y"), "two words");
	assert_int_equal(http_count(&h, "x"), 1);
	assert_int_equal(http_count(&h, "z"), 0);
	is(http_value(&h, "z"), "");
	assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n", &h), E_OK);
	assert_int_equal(h.minor, 0);
}

/* The end is found wherever the bytes are cut, and never too early. */
static void test_end(void **state)
{
	struct slice s = SLICE_LIT(FIRST "Host: a\r\n\r\nrest\r\n\r\n");
	size_t end = s.n - 8;

	for (size_t cut = 0; cut <= s.n; cut++) {
		assert_int_equal(http_head_end(slice_of(s.p, cut), 0), cut < end ? 0 : end);
		if (cut < end)
			assert_int_equal(http_head_end(s, cut), end);
	}
	assert_int_equal(http_head_end(SLICE_NONE, 0), 0);
}

static void test_malformed(void **state)
{
	bad("\r\n\r\n");
	bad("GET /mqtt\r\n\r\n");
	bad("GET  / HTTP/1.1\r\n\r\n");
	bad("GET / HTTP/2.0\r\n\r\n");
	bad("GET / HTTP/1.2\r\n\r\n");
	bad("GET / http/1.1\r\n\r\n");
	bad("GET / HTTP/1.1 \r\n\r\n");
	bad("G\x01T / HTTP/1.1\r\n\r\n");
	bad("GET /\x7f HTTP/1.1\r\n\r\n");
	bad("GET / HTTP/1.1\n\r\n\r\n");
	bad(FIRST "Host a\r\n\r\n");
	bad(FIRST ": a\r\n\r\n");
	bad(FIRST "Host : a\r\n\r\n");
	bad(FIRST " Host: a\r\n\r\n");
	bad(FIRST "Host: a\r\n folded: b\r\n\r\n");
	bad(FIRST "Host: a\nX: b\r\n\r\n");
	bad(FIRST "Host: a\rX: b\r\n\r\n");
	bad(FIRST "Host: a\x01\r\n\r\n");
	bad(FIRST "H\xc3\xb6st: a\r\n\r\n");
	bad(FIRST "Host: a\r\n");
	bad(FIRST "Host: a\r\n\r\nmore");
}

static void test_nul(void **state)
{
	struct http_head h;

	assert_int_equal(http_head_parse(SLICE_LIT(FIRST "Host: a\0b\r\n\r\n"), &h), E_MALFORM);
	assert_int_equal(http_head_parse(SLICE_LIT(FIRST "Ho\0st: a\r\n\r\n"), &h), E_MALFORM);
	assert_int_equal(http_head_parse(SLICE_LIT("GET /\0 HTTP/1.1\r\n\r\n"), &h), E_MALFORM);
}

static void test_caps(void **state)
{
	static char text[LIM_HTTP_HEAD + 64];
	static struct http_head h;
	size_t n;

	for (u32 fields = LIM_HTTP_FIELDS; fields <= LIM_HTTP_FIELDS + 1; fields++) {
		n = (size_t)snprintf(text, sizeof(text), FIRST);
		for (u32 i = 0; i < fields; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "A: b\r\n");
		snprintf(text + n, sizeof(text) - n, "\r\n");
		assert_int_equal(parse(text, &h), fields > LIM_HTTP_FIELDS ? E_TOO_LARGE : E_OK);
	}
	for (int more = 0; more <= 1; more++) {
		int fill = LIM_HTTP_HEAD - (int)sizeof(FIRST "A: \r\n\r\n") + 1 + more;
		snprintf(text, sizeof(text), FIRST "A: %0*d\r\n\r\n", fill, 0);
		assert_int_equal(parse(text, &h), more ? E_TOO_LARGE : E_OK);
	}
}

static void test_lists(void **state)
{
	struct http_head h;
	struct slice list, e;

	assert_int_equal(parse(FIRST "Connection: keep-alive, Upgrade\r\nA: x\r\nA: mqtt,,y\r\n"
				     "CONNECTION: other\r\n\r\n",
			       &h),
			 E_OK);
	assert_true(http_list_has(&h, "connection", "upgrade", HTTP_ANY_CASE));
	assert_true(http_list_has(&h, "connection", "other", HTTP_ANY_CASE));
	assert_false(http_list_has(&h, "connection", "upgrade", HTTP_EXACT));
	assert_false(http_list_has(&h, "connection", "alive", HTTP_ANY_CASE));
	assert_true(http_list_has(&h, "a", "mqtt", HTTP_EXACT));
	assert_false(http_list_has(&h, "a", "mqt", HTTP_EXACT));
	assert_false(http_list_has(&h, "b", "mqtt", HTTP_EXACT));
	assert_int_equal(http_count(&h, "connection"), 2);
	list = SLICE_LIT(" a ,\t,b");
	assert_true(http_list_next(&list, &e));
	is(e, "a");
	assert_true(http_list_next(&list, &e));
	is(e, "");
	assert_true(http_list_next(&list, &e));
	is(e, "b");
	assert_false(http_list_next(&list, &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head),	  cmocka_unit_test(test_end),
		cmocka_unit_test(test_malformed), cmocka_unit_test(test_nul),
		cmocka_unit_test(test_caps),	  cmocka_unit_test(test_lists)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
