/* X-Forwarded-For: the rightmost hop that is no declared proxy, whatever stands to its left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/addr.h"
#include "net/forwarded.h"

/* 10.0.0.0/8 and 2001:db8:f::/48 are proxies. */
static bool trusts(void *arg, const u8 addr[16])
{
	static const u8 v4[16] = {[10] = 0xff, 0xff, 10}, v6[16] = {0x20, 1, 0xd, 0xb8, 0, 0xf};

	return addr_in_net(addr, v4, 104) || addr_in_net(addr, v6, 48);
}

static enum err ask(const char *fields, char out[64])
{
	static struct http_head h;
	char text[8192];
	u8 addr[16];
	u16 port = 9;
	enum err e;
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", fields);

	assert_int_equal(http_head_parse(slice_of(text, (size_t)n), &h), E_OK);
	assert_int_equal(addr_parse("10.0.0.1", addr), 32); /* the proxy itself */
	e = forwarded_source(&h, trusts, NULL, addr, &port);
	addr_port_format(addr, port, out, 64);
	return e;
}

static const struct {
	const char *fields, *source;
} good[] = {
	{"X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
	{"x-forwarded-for: 192.0.2.7:4711\r\n", "192.0.2.7:4711"},
	{"X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"},
	{"X-Forwarded-For: [2001:db8::7]\r\n", "2001:db8::7"},
	{"X-Forwarded-For: [2001:db8::7]:4711\r\n", "[2001:db8::7]:4711"},
	{"X-Forwarded-For: ::ffff:192.0.2.7\r\n", "192.0.2.7"},
	/* What a client says itself stands to the left of what its proxy saw. */
	{"X-Forwarded-For: 127.0.0.1, 192.0.2.7\r\n", "192.0.2.7"},
	{"X-Forwarded-For: 10.0.0.9, 192.0.2.7\r\n", "192.0.2.7"},
	{"X-Forwarded-For: rubbish, , 192.0.2.7\r\n", "192.0.2.7"},
	{"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
	/* Two proxies, and what the first of them was told. */
	{"X-Forwarded-For: 127.0.0.1, 192.0.2.7, 10.0.0.2\r\n", "192.0.2.7"},
	{"X-Forwarded-For: 127.0.0.1, 192.0.2.7, 2001:db8:f::1, 10.0.0.2:80\r\n", "192.0.2.7"},
	{"X-Forwarded-For: 192.0.2.7, 10.0.0.2\r\nX-Forwarded-For: 10.0.0.3\r\n", "192.0.2.7"},
	/* Proxies alone: the first of them. */
	{"X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"},
	/* Nothing said: the proxy itself. */
	{"Host: a\r\n", "10.0.0.1:9"},
	{"X-Forwarded-For:\r\n", "10.0.0.1:9"},
	{"X-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n", "10.0.0.1:9"},
};

static void test_rightmost(void **state)
{
	char out[64];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(ask(good[i].fields, out), E_OK);
		assert_string_equal(out, good[i].source);
	}
}

static void test_malformed(void **state)
{
	static const char *const bad[] = {
		"unknown",
		"_hidden",
		"192.0.2.7 ,,",
		"192.0.2.7, unknown",
		"192.0.2.7:",
		"192.0.2.7:65536",
		"[2001:db8::7",
		"[2001:db8::7]4711",
		"[]",
		"[]:1",
		"::",
		"100:0:3e8::", /* a local user */
		"192.0.2.7:x",
		"192.0.2.7/24",
		"192.0.02.7",
		"192.0.2.7, x, 10.0.0.2",
		"\"192.0.2.7\"",
		"fe80::1%eth0",
		",",
	};
	char fields[200], out[64];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(fields, sizeof(fields), "X-Forwarded-For: %s\r\n", bad[i]);
		assert_int_equal(ask(fields, out), E_MALFORM);
		assert_string_equal(out, "10.0.0.1:9"); /* nothing is filled */
	}
}

static void test_too_many(void **state)
{
	char fields[2048] = "X-Forwarded-For: 192.0.2.7", out[64];
	size_t n = strlen(fields);

	for (u32 i = 1; i < LIM_FORWARDED; i++)
		n += (size_t)snprintf(fields + n, sizeof(fields) - n, ",10.0.0.2");
	snprintf(fields + n, sizeof(fields) - n, "\r\n");
	assert_int_equal(ask(fields, out), E_OK);
	assert_string_equal(out, "192.0.2.7");
	snprintf(fields + n, sizeof(fields) - n, ",10.0.0.2\r\n");
	assert_int_equal(ask(fields, out), E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rightmost),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
