/* Which names and addresses a certificate gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "keys/names.h"

static const u8 one[4] = {10, 0, 0, 1}, loop4[4] = {127, 0, 0, 1}, loop6[16] = {[15] = 1};

static void test_dns(void **state)
{
	static const char *const good[] = {"a",		"mqtt.lan",	 "a-b.c",
					   "1.example", "*.example.org", "xn--bcher-kva.example"};
	static const char *const bad[] = {
		"",	    ".",  "a.", ".a",	 "a..b", "-a", "a-",	"a-.b",		  "a_b",
		"a b",	    "*",  "*.", "a.*.b", "a*b",	 "\n", "a\x01", "m\xc3\xbcnchen", "a\"",
		"http://a", "a/b"};
	struct names n = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(names_add_dns(&n, good[i]), E_OK);
	assert_int_equal(n.n, ARRAY_LEN(good));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(names_add_dns(&n, bad[i]), E_SYNTAX);
	assert_int_equal(n.n, ARRAY_LEN(good));
	assert_int_equal(names_add_dns(&n, "MQTT.LAN"), E_OK);
	assert_int_equal(n.n, ARRAY_LEN(good));
}

static void test_dns_lengths(void **state)
{
	struct names n = {0};
	char s[300];

	(void)state;
	memset(s, 'a', 64);
	s[64] = '\0';
	assert_int_equal(names_add_dns(&n, s), E_SYNTAX);
	assert_int_equal(names_add_dns(&n, s + 1), E_OK);
	for (size_t i = 0; i < 254; i++)
		s[i] = i % 2 ? '.' : 'a';
	s[253] = 'a';
	s[254] = '\0';
	assert_int_equal(names_add_dns(&n, s), E_SYNTAX);
	s[253] = '\0';
	assert_int_equal(names_add_dns(&n, s), E_OK);
}

static void test_addresses(void **state)
{
	static const u8 mapped[16] = {[10] = 0xff, 0xff, 10, 0, 0, 1};
	struct names n = {0};

	(void)state;
	assert_int_equal(names_add_address(&n, one, 4), E_OK);
	assert_int_equal(names_add_address(&n, mapped, 16), E_OK);
	assert_int_equal(n.n, 1);
	assert_true(names_have_address(&n, slice_of(one, 4)));
	assert_false(names_have_address(&n, slice_of(loop4, 4)));
	assert_false(names_have_address(&n, SLICE_NONE));
	assert_false(names_have_dns(&n, SLICE_NONE));
}

static void test_room(void **state)
{
	struct names n = {0};
	char s[32];

	(void)state;
	for (u32 i = 0; i < NAMES_MAX; i++) {
		snprintf(s, sizeof(s), "n%u", i);
		assert_int_equal(names_add_dns(&n, s), E_OK);
	}
	assert_int_equal(names_add_dns(&n, "one-more"), E_QUOTA);
	assert_int_equal(names_add_dns(&n, "n5"), E_OK);
	assert_int_equal(names_add_address(&n, one, 4), E_QUOTA);
}

static void test_machine(void **state)
{
	struct names n;
	char host[256] = "";

	(void)state;
	names_machine(&n);
	assert_true(names_have_dns(&n, SLICE_LIT("localhost")));
	assert_true(names_have_address(&n, slice_of(loop4, 4)));
	assert_true(names_have_address(&n, slice_of(loop6, 16)));
	assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
	if (strchr(host, '_') == NULL)
		assert_true(names_have_dns(&n, slice_str(host)));
	for (u32 i = 0; i < n.n; i++)
		assert_false(n.name[i].addr_n == 16 && n.name[i].addr[0] == 0xfe &&
			     n.name[i].addr[1] == 0x80);
}

static void test_configured(void **state)
{
	static struct conf c;
	struct names machine = {0}, n;
	char what[160];

	(void)state;
	assert_int_equal(names_add_dns(&machine, "host"), E_OK);
	assert_int_equal(names_add_address(&machine, loop4, 4), E_OK);
	c.names = 2;
	snprintf(c.name[0], sizeof(c.name[0]), "mqtt.lan");
	snprintf(c.name[1], sizeof(c.name[1]),
		 "192.0.2.7"); /* an address among the names is one, too */
	c.addresses = 1;
	snprintf(c.ip[0], sizeof(c.ip[0]), "10.0.0.1");
	assert_int_equal(names_of(&c, &machine, &n, what, sizeof(what)), E_OK);
	assert_int_equal(n.n, 5);
	assert_string_equal(n.name[0].dns, "mqtt.lan");
	assert_true(names_have_address(&n, slice_of((u8[]){192, 0, 2, 7}, 4)));
	assert_true(names_have_address(&n, slice_of(one, 4)));
	assert_true(names_have_dns(&n, SLICE_LIT("host")));
	snprintf(c.ip[0], sizeof(c.ip[0]), "not an address");
	assert_int_equal(names_of(&c, &machine, &n, what, sizeof(what)), E_CONFIG);
	assert_string_equal(what, "the address number 1 for the server certificate is not valid");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dns),	  cmocka_unit_test(test_dns_lengths),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_room),
		cmocka_unit_test(test_machine),	  cmocka_unit_test(test_configured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
