/* Addresses: text both ways, networks, and who is in none. */
#include "test.h"

#include "base/addr.h"

static void parse(const char *text, u8 out[16])
{
	assert_int_not_equal(addr_parse(text, out), 0);
}

static bool in(const char *addr, const char *net)
{
	u8 a[16], n[16], prefix;

	parse(addr, a);
	assert_true(addr_parse_net(slice_str(net), ADDR_BITS_EXACT, n, &prefix));
	return addr_in_net(a, n, prefix);
}

static void networks(void **state)
{
	assert_true(in("10.1.2.3", "10.0.0.0/8"));
	assert_false(in("11.1.2.3", "10.0.0.0/8"));
	assert_true(in("10.127.2.3", "10.0.0.0/9"));
	assert_false(in("10.128.2.3", "10.0.0.0/9"));
	assert_true(in("192.0.2.7", "192.0.2.7"));
	assert_false(in("192.0.2.6", "192.0.2.7"));
	assert_true(in("192.0.2.6", "0.0.0.0/0"));
	assert_false(in("2001:db8::1", "0.0.0.0/0"));
	assert_true(in("2001:db8::1", "::/0"));
	assert_true(in("10.1.2.3", "::ffff:10.0.0.0/104")); /* the same network in other words */
	assert_true(in("::ffff:10.1.2.3", "10.0.0.0/8"));
	assert_false(in("::10.1.2.3", "10.0.0.0/8")); /* compatible is not mapped */
	assert_true(in("2001:db8:7fff::1", "2001:db8::/33"));
	assert_false(in("2001:db8:8000::1", "2001:db8::/33"));
}

static void some_are_in_none(void **state)
{
	const u8 all[16] = {0};
	u8 local[16];
	u32 uid = 0;

	addr_of_uid(70000, local);
	assert_true(addr_is_uid(local, &uid));
	assert_int_equal(uid, 70000);
	assert_false(addr_in_net(local, all, 0));
	assert_false(addr_in_net(all, all, 0));
	assert_false(addr_in_net((const u8[16]){1, 2, 3}, all, 129));
	assert_false(addr_is_uid(all, &uid));
}

static void not_networks(void **state)
{
	static const char *const bad[] = {"",
					  "/8",
					  "10.0.0.0/33",
					  "10.0.0.0/",
					  "10.0.0/8",
					  "::/129",
					  "10.0.0.0/-1",
					  "10.0.0.0/8/8",
					  "localhost",
					  "10.0.0.0 ",
					  "1:2:3:4:5:6:7:8:9",
					  "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8"};
	u8 n[16], prefix;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(addr_parse_net(slice_str(bad[i]), ADDR_BITS_CUT, n, &prefix));
	assert_false(addr_parse_net(SLICE_LIT("10.0.0.1/8"), ADDR_BITS_EXACT, n, &prefix));
	assert_true(addr_parse_net(SLICE_LIT("10.0.0.1/8"), ADDR_BITS_CUT, n, &prefix));
	assert_int_equal(n[15], 0);
	assert_int_equal(prefix, 104);
}

static void text(void **state)
{
	char out[64];
	u8 a[16];

	parse("192.168.0.0", a);
	addr_format_net(a, 112, out, sizeof(out));
	assert_string_equal(out, "192.168.0.0/16");
	addr_port_format(a, 9, out, sizeof(out));
	assert_string_equal(out, "192.168.0.0:9");
	parse("2001:db8::", a);
	addr_format_net(a, 32, out, sizeof(out));
	assert_string_equal(out, "2001:db8::/32");
	addr_port_format(a, 9, out, sizeof(out));
	assert_string_equal(out, "[2001:db8::]:9");
	addr_port_format(a, 0, out, sizeof(out));
	assert_string_equal(out, "2001:db8::");
	addr_of_uid(1000, a);
	addr_format(a, out, sizeof(out));
	assert_string_equal(out, "unix:1000");
	addr_port_format(a, 0, out, sizeof(out));
	assert_string_equal(out, "unix:1000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks),
		cmocka_unit_test(some_are_in_none),
		cmocka_unit_test(not_networks),
		cmocka_unit_test(text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
