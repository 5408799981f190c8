/* The PROXY header: what is one, what it says, and that nothing else is taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/mem.h"
#include "base/wr.h"
#include "net/proxy.h"

static struct proxy_header header;
static size_t used;

/* In memory that ends where the bytes do. */
static enum err parse(const void *bytes, size_t n)
{
	static u8 *copy;
	enum err e;

	free(copy);
	copy = xmalloc(n != 0 ? n : 1);
	if (n != 0)
		memcpy(copy, bytes, n);
	e = proxy_parse(slice_of(copy, n), &header, &used);
	return e;
}

static enum err parse_text(const char *s)
{
	return parse(s, strlen(s));
}

static void is_from(const char *addr, u16 port)
{
	char text[64];

	assert_true(header.known);
	addr_format(header.addr, text, sizeof(text));
	assert_string_equal(text, addr);
	assert_int_equal(header.port, port);
}

static void version_1(void **state)
{
	static const char line[] = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 8883\r\n";
	static const char longest[] = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
				      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";

	assert_int_equal(parse_text("PROXY TCP4 192.0.2.7 198.51.100.1 56324 8883\r\n\x10\x0c"),
			 E_OK);
	is_from("192.0.2.7", 56324);
	assert_int_equal(used, sizeof(line) - 1);
	assert_false(header.tls);
	assert_int_equal(header.cn.n, 0);
	assert_int_equal(parse_text("PROXY TCP6 2001:db8::7 ::1 1 0\r\n"), E_OK);
	is_from("2001:db8::7", 1);
	assert_int_equal(parse_text("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 0\r\n"), E_OK);
	is_from("192.0.2.7", 1); /* IPv4 in other words */
	assert_int_equal(parse_text(longest), E_OK);
	assert_int_equal(parse_text("PROXY UNKNOWN\r\n"), E_OK);
	assert_false(header.known);
	assert_int_equal(parse_text("PROXY UNKNOWN any thing at all\r\n"), E_OK);
	assert_false(header.known);
	for (size_t n = 0; n < sizeof(line) - 1; n++)
		assert_int_equal(parse(line, n), E_MORE);
}

static void no_version_1(void **state)
{
	static const char *const bad[] = {
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 8883\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 8883\r\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 8883 \r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 056324 8883\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 65536 8883\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 -1 8883\r\n",
		"PROXY TCP4  192.0.2.7 198.51.100.1 56324 8883\r\n",
		"PROXY TCP4 192.0.2 198.51.100.1 56324 8883\r\n",
		"PROXY TCP4 192.0.02.7 198.51.100.1 56324 8883\r\n",
		"PROXY TCP4 2001:db8::7 2001:db8::1 56324 8883\r\n",
		"PROXY TCP6 192.0.2.7 198.51.100.1 56324 8883\r\n",
		"PROXY TCP6 fe80::1%lo ::1 56324 8883\r\n",
		"PROXY TCP6 :: ::1 56324 8883\r\n",
		"PROXY TCP6 100:0:3e8:: ::1 56324 8883\r\n", /* how a local user is written */
		"PROXY TCP5 192.0.2.7 198.51.100.1 56324 8883\r\n",
		"PROXY unknown\r\n",
		"PROXY \r\n",
		"PROXY\r\n",
		"proxy TCP4 192.0.2.7 198.51.100.1 56324 8883\r\n",
		" PROXY UNKNOWN\r\n",
		"GET / HTTP/1.1\r\n",
		"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
		"\x16\x03\x01\x02",
	};
	char longest[200];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_text(bad[i]), E_MALFORM);
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "PROXY UNKNOWN ", 14);
	assert_int_equal(parse(longest, LIM_PROXY_V1 - 1), E_MORE);
	assert_int_equal(parse(longest, LIM_PROXY_V1), E_TOO_LARGE);
	assert_int_equal(parse(longest, sizeof(longest)), E_TOO_LARGE);
	memcpy(longest + LIM_PROXY_V1 - 2, "\r\n", 2);
	assert_int_equal(parse(longest, sizeof(longest)), E_OK);
	assert_int_equal(used, LIM_PROXY_V1);
	assert_false(header.known);
}

/* ---- version 2 ------------------------------------------------------------------------- */

/* Made by other means: TCP4, PP2_TYPE_SSL with CN esp07, a NOOP, and the checksum of all of it. */
static const u8 whole[] = {
	0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21,
	0x11, 0x00, 0x4b, 0xc0, 0x00, 0x02, 0x07, 0xc6, 0x33, 0x64, 0x01, 0xdc, 0x04,
	0x22, 0xb3, 0x20, 0x00, 0x30, 0x07, 0x00, 0x00, 0x00, 0x00, 0x21, 0x00, 0x07,
	0x54, 0x4c, 0x53, 0x76, 0x31, 0x2e, 0x33, 0x22, 0x00, 0x05, 0x65, 0x73, 0x70,
	0x30, 0x37, 0x23, 0x00, 0x16, 0x54, 0x4c, 0x53, 0x5f, 0x41, 0x45, 0x53, 0x5f,
	0x32, 0x35, 0x36, 0x5f, 0x47, 0x43, 0x4d, 0x5f, 0x53, 0x48, 0x41, 0x33, 0x38,
	0x34, 0x04, 0x00, 0x02, 0x78, 0x78, 0x03, 0x00, 0x04, 0xe4, 0x37, 0xab, 0x29,
};

static u8 b2[8192];
static struct wr w2;

static void begin(u8 command, u8 family)
{
	static const u8 signature[] = "\r\n\r\n\0\r\nQUIT\n";

	w2 = wr_of(b2, sizeof(b2));
	wr_bytes(&w2, signature, 12);
	wr_u8(&w2, command);
	wr_u8(&w2, family);
	wr_u16(&w2, 0);
}

static void addresses(size_t width)
{
	static const u8 v6[32] = {0x20, 1, 0xd, 0xb8, [15] = 7, [16] = 0x20, [31] = 1};
	static const u8 v4[8] = {192, 0, 2, 7, 198, 51, 100, 1};

	wr_bytes(&w2, width == 4 ? v4 : v6, 2 * width);
	wr_u16(&w2, 56324);
	wr_u16(&w2, 8883);
}

static void added(u8 type, const void *p, size_t n)
{
	wr_u8(&w2, type);
	wr_u16(&w2, (u16)n);
	wr_bytes(&w2, p, n);
}

/* With the length that it has, or with another one. */
static enum err end(int more)
{
	size_t n = w2.n - 16 + (size_t)more;

	assert_int_equal(w2.err, E_OK);
	b2[14] = (u8)(n >> 8);
	b2[15] = (u8)n;
	return parse(b2, w2.n);
}

static void version_2(void **state)
{
	assert_int_equal(parse(whole, sizeof(whole)), E_OK);
	assert_int_equal(used, sizeof(whole));
	is_from("192.0.2.7", 56324);
	assert_true(header.tls && header.verified);
	assert_true(slice_eq(header.cn, SLICE_LIT("esp07")));
	for (size_t n = 0; n < sizeof(whole); n++)
		assert_int_equal(parse(whole, n), E_MORE);
	begin(0x21, 0x21);
	addresses(16);
	assert_int_equal(end(0), E_OK);
	is_from("2001:db8::7", 56324);
	begin(0x21, 0x00); /* unspecified: not told */
	assert_int_equal(end(0), E_OK);
	assert_false(header.known);
	begin(0x21, 0x31);
	memset(b2 + 16, 'x', 216);
	w2.n += 216;
	added(0x20, "\x07\0\0\0\0\x22\0\x01y", 9);
	assert_int_equal(end(0), E_OK);
	assert_false(header.known);
	assert_true(slice_eq(header.cn, SLICE_LIT("y")));
}

/* LOCAL is the proxy itself: nothing behind the length counts, no certificate either. */
static void local(void **state)
{
	begin(0x20, 0x11);
	addresses(4);
	added(0x20, "\x07\0\0\0\0\x22\0\x01y", 9);
	assert_int_equal(end(0), E_OK);
	assert_false(header.known);
	assert_false(header.verified);
	assert_int_equal(header.cn.n, 0);
	begin(0x20, 0xff);
	assert_int_equal(end(0), E_OK);
	assert_int_equal(used, 16);
}

static void every_changed_byte_breaks_the_checksum(void **state)
{
	u8 b[sizeof(whole)];

	for (size_t i = 0; i < sizeof(whole); i++) {
		memcpy(b, whole, sizeof(b));
		b[i] ^= 1;
		if (i == 12) /* LOCAL, which has no checksum to look at */
			assert_false(parse(b, sizeof(b)) == E_OK && header.known);
		else if (i == sizeof(whole) - 7) /* and now something else, of which all is well */
			assert_int_equal(parse(b, sizeof(b)), E_OK);
		else
			assert_int_not_equal(parse(b, sizeof(b)), E_OK);
	}
}

static void lying_lengths(void **state)
{
	for (int more = -24; more <= 28; more++) {
		enum err want = more > 0 ? E_MORE : E_MALFORM;
		begin(0x21, 0x11);
		addresses(4);
		added(0x04, "1234", 4);
		added(0x05, "12", 2);
		/* What is short of a whole addition is malformed; at a boundary it is none the less
		 * one, and the rest is the next protocol's. */
		if (more == 0 || more == -5 || more == -12)
			want = E_OK;
		assert_int_equal(end(more), want);
	}
	begin(0x21, 0x11);
	assert_int_equal(end(65535), E_TOO_LARGE);
	begin(0x21, 0x11);
	assert_int_equal(end(LIM_PROXY_HEADER - 16), E_MORE);
	assert_int_equal(end(LIM_PROXY_HEADER - 15), E_TOO_LARGE);
	begin(0x21, 0x21); /* IPv4's addresses do not fill IPv6's */
	addresses(4);
	assert_int_equal(end(0), E_MALFORM);
}

static void no_version_2(void **state)
{
	static const u8 families[] = {0x12, 0x22, 0x32, 0x01, 0x10, 0x13, 0x41, 0xff};

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		begin(0x21, families[i]);
		w2.n += 216;
		assert_int_equal(end(0), E_MALFORM);
	}
	for (u32 command = 0; command < 256; command++) {
		begin((u8)command, 0x00);
		assert_int_equal(end(0), command == 0x20 || command == 0x21 ? E_OK : E_MALFORM);
	}
	begin(0x21, 0x21);
	memset(b2 + 16, 0, 36); /* from nowhere */
	w2.n += 36;
	assert_int_equal(end(0), E_MALFORM);
	begin(0x21, 0x21);
	memset(b2 + 16, 0, 36);
	b2[16] = 1; /* a local user */
	w2.n += 36;
	assert_int_equal(end(0), E_MALFORM);
}

/* PP2_TYPE_SSL: body, whether the whole is good, and the CN that counts. */
static const struct {
	const char *body;
	size_t n;
	enum err want;
	const char *cn;
} certificates[] = {
#define B(text) text, sizeof(text) - 1
	{B("\x07\0\0\0\0\x22\0\x05"
	   "esp07"),
	 E_OK, "esp07"},
	{B("\x03\0\0\0\0\x22\0\x05"
	   "esp07"),
	 E_OK, "esp07"},
	{B("\x05\0\0\0\0\x22\0\x05"
	   "esp07"),
	 E_OK, "esp07"},
	{B("\x07\0\0\0\x01\x22\0\x05"
	   "esp07"),
	 E_OK, ""}, /* not verified */
	{B("\x07\x80\0\0\0\x22\0\x05"
	   "esp07"),
	 E_OK, ""},
	{B("\x01\0\0\0\0\x22\0\x05"
	   "esp07"),
	 E_OK, ""}, /* none was shown */
	{B("\x06\0\0\0\0\x22\0\x05"
	   "esp07"),
	 E_OK, ""}, /* no TLS */
	{B("\x07\0\0\0\0"), E_OK, ""},
	{B("\x07\0\0\0"), E_MALFORM, ""},
	{B(""), E_MALFORM, ""},
	{B("\x07\0\0\0\0\x22\0\x06"
	   "esp07"),
	 E_MALFORM, ""},
	{B("\x07\0\0\0\0\x22\0\x04"
	   "esp07"),
	 E_MALFORM, ""},
	{B("\x07\0\0\0\0\x22\0"), E_MALFORM, ""},
	{B("\x07\0\0\0\0\x22\0\0"), E_MALFORM, ""},
	{B("\x07\0\0\0\0\x22\0\x01"
	   "a\x22\0\x01"
	   "b"),
	 E_MALFORM, ""}, /* two names */
	{B("\x07\0\0\0\0\x22\0\x02"
	   "a\0"),
	 E_MALFORM, ""},
	{B("\x07\0\0\0\0\x22\0\x02"
	   "a\n"),
	 E_MALFORM, ""},
	{B("\x07\0\0\0\0\x22\0\x02"
	   "a\xff"),
	 E_MALFORM, ""},
#undef B
};

static void certificates_of_clients(void **state)
{
	char longest[LIM_PROXY_CN + 1 + 8] = "\x07\0\0\0\0\x22";

	for (size_t i = 0; i < ARRAY_LEN(certificates); i++) {
		begin(0x21, 0x11);
		addresses(4);
		added(0x20, certificates[i].body, certificates[i].n);
		assert_int_equal(end(0), certificates[i].want);
		assert_true(slice_eq(header.cn, slice_str(certificates[i].cn)));
	}
	memset(longest + 8, 'x', LIM_PROXY_CN + 1);
	for (u32 n = LIM_PROXY_CN; n <= LIM_PROXY_CN + 1; n++) {
		longest[6] = (char)(n >> 8);
		longest[7] = (char)n;
		begin(0x21, 0x11);
		addresses(4);
		added(0x20, longest, 8 + n);
		assert_int_equal(end(0), n <= LIM_PROXY_CN ? E_OK : E_MALFORM);
	}
	begin(0x21, 0x11); /* two of them */
	addresses(4);
	added(0x20, "\x07\0\0\0\0\x22\0\x01y", 9);
	added(0x20, "\x07\0\0\0\0\x22\0\x01z", 9);
	assert_int_equal(end(0), E_MALFORM);
	begin(0x21, 0x11); /* a checksum of the wrong size, and two */
	addresses(4);
	added(0x03, "123", 3);
	assert_int_equal(end(0), E_MALFORM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1),
		cmocka_unit_test(no_version_1),
		cmocka_unit_test(version_2),
		cmocka_unit_test(local),
		cmocka_unit_test(every_changed_byte_breaks_the_checksum),
		cmocka_unit_test(lying_lengths),
		cmocka_unit_test(no_version_2),
		cmocka_unit_test(certificates_of_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
