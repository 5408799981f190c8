/* Admission: networks, totals and sources together; what is counted is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proc/admission.h"

static struct admission *a;
static struct conf c;
static bool proxied;

static int setup(void **state)
{
	conf_defaults(&c);
	a = admission_new();
	return 0;
}

static int teardown(void **state)
{
	admission_free(&a);
	return 0;
}

static const u8 *v4(u8 w, u8 x, u8 y, u8 z)
{
	static u8 addr[16];

	memset(addr, 0, sizeof(addr));
	addr[10] = addr[11] = 0xff;
	addr[12] = w;
	addr[13] = x;
	addr[14] = y;
	addr[15] = z;
	return addr;
}

static void test_total_and_release(void **state)
{
	admission_configure(a, &c, 3);
	for (u8 i = 0; i < 3; i++)
		assert_int_equal(admission_admit(a, v4(10, 0, 0, i), 0, 1000, &proxied), E_OK);
	assert_int_equal(admission_admit(a, v4(10, 0, 0, 9), 0, 1000, &proxied), E_QUOTA);
	admission_login(a, v4(10, 0, 0, 0), 1000);
	admission_released(a, v4(10, 0, 0, 0), false);
	assert_int_equal(admission_admit(a, v4(10, 0, 0, 9), 0, 1000, &proxied), E_OK);
	admission_released(a, v4(10, 0, 0, 9), true);
	admission_released(a, v4(10, 0, 0, 1), true);
	admission_released(a, v4(10, 0, 0, 2), true);
}

static void test_waiting_in_all(void **state)
{
	c.listener[0].limits.connections_waiting = 10;
	admission_configure(a, &c, 1000);
	for (u8 i = 0; i < 10; i++)
		assert_int_equal(admission_admit(a, v4(10, 0, 1, i), 0, 1000, &proxied), E_OK);
	assert_int_equal(admission_admit(a, v4(10, 0, 1, 77), 0, 1000, &proxied), E_QUOTA);
	admission_login(a, v4(10, 0, 1, 0), 1000);
	assert_int_equal(admission_admit(a, v4(10, 0, 1, 77), 0, 1000, &proxied), E_OK);
}

static void test_rate_in_all(void **state)
{
	u32 in = 0;

	c.listener[0].limits.connection_rate = 50;
	admission_configure(a, &c, 1000000);
	for (u32 i = 0; i < 1000; i++) {
		const u8 *from = v4(10, 1, (u8)(i >> 8), (u8)i);
		if (admission_admit(a, from, 0, 1000, &proxied) == E_OK) {
			in++;
			admission_released(a, from, true);
		}
	}
	assert_int_equal(in, 50);
	assert_int_equal(admission_admit(a, v4(10, 9, 9, 9), 0, 1000, &proxied), E_RATE);
	assert_int_equal(admission_admit(a, v4(10, 9, 9, 9), 0, 1020, &proxied), E_OK);
}

static void test_networks(void **state)
{
	c.listener[0].allow.n = 2;
	c.listener[0].allow.net[0] = (struct conf_net){.prefix = 96 + 20};
	memcpy(c.listener[0].allow.net[0].addr, v4(192, 168, 16, 0), 16);
	c.listener[0].allow.net[1] = (struct conf_net){.addr = {0x20, 1, 0xd, 0xb8}, .prefix = 32};
	admission_configure(a, &c, 1000);
	assert_int_equal(admission_admit(a, v4(192, 168, 31, 255), 0, 1, &proxied), E_OK);
	assert_int_equal(admission_admit(a, v4(192, 168, 32, 0), 0, 1, &proxied), E_DENIED);
	assert_int_equal(admission_admit(a, v4(192, 168, 15, 255), 0, 1, &proxied), E_DENIED);
	assert_int_equal(admission_admit(a, (u8[16]){0x20, 1, 0xd, 0xb8, 7}, 0, 1, &proxied), E_OK);
	assert_int_equal(admission_admit(a, (u8[16]){0x20, 1, 0xd, 0xb9}, 0, 1, &proxied),
			 E_DENIED);
}

static void test_denied_networks(void **state)
{
	u64 all, network;

	c.listener[0].deny.n = 1;
	c.listener[0].deny.net[0] = (struct conf_net){.prefix = 96 + 16};
	memcpy(c.listener[0].deny.net[0].addr, v4(192, 168, 0, 0), 16);
	admission_configure(a, &c, 1000);
	assert_int_equal(admission_admit(a, v4(192, 168, 31, 1), 0, 1, &proxied), E_DENIED);
	assert_int_equal(admission_admit(a, v4(192, 169, 31, 1), 0, 1, &proxied), E_OK);
	c.listener[0].allow.n = 1; /* a deny cuts out of what is allowed */
	c.listener[0].allow.net[0] = (struct conf_net){.prefix = 96 + 8};
	memcpy(c.listener[0].allow.net[0].addr, v4(192, 0, 0, 0), 16);
	admission_configure(a, &c, 1000);
	assert_int_equal(admission_admit(a, v4(192, 168, 31, 1), 0, 1, &proxied), E_DENIED);
	assert_int_equal(admission_admit(a, v4(192, 169, 31, 2), 0, 1, &proxied), E_OK);
	assert_int_equal(admission_admit(a, v4(193, 169, 31, 2), 0, 1, &proxied), E_DENIED);
	admission_counts(a, &all, &network);
	assert_int_equal(all, 3);
	assert_int_equal(network, 3);
}

/* A proxy has no budget of its own; whoever it speaks for has. */
static void test_proxies(void **state)
{
	struct conf_listener *l = &c.listener[0];
	u8 proxy[16], client[16];
	u32 in = 0;

	memcpy(proxy, v4(10, 0, 0, 1), 16);
	memcpy(client, v4(192, 0, 2, 7), 16);
	l->proxy = true;
	l->proxies.n = 1;
	l->proxies.net[0] = (struct conf_net){.prefix = 128};
	memcpy(l->proxies.net[0].addr, proxy, 16);
	l->deny.n = 1;
	l->deny.net[0] = (struct conf_net){.prefix = 96 + 8};
	memcpy(l->deny.net[0].addr, v4(66, 0, 0, 0), 16);
	admission_configure(a, &c, 1000);
	assert_int_equal(admission_admit(a, v4(10, 0, 0, 2), 0, 1000, &proxied), E_DENIED);
	/* As many as wait at most for one source, and one more. */
	for (u32 i = 0; i <= c.limits.connections_waiting_source; i++) {
		enum err e;
		assert_int_equal(admission_admit(a, proxy, 0, 1000, &proxied), E_OK);
		e = admission_sourced(a, proxy, client, 0, 1000);
		in += e == E_OK;
		if (e != E_OK)
			admission_released(a, proxy, true);
	}
	assert_int_equal(in, c.limits.connections_waiting_source);
	assert_int_equal(admission_admit(a, proxy, 0, 1000, &proxied), E_OK);
	assert_int_equal(admission_sourced(a, proxy, v4(66, 1, 1, 1), 0, 1000), E_DENIED);
	assert_int_equal(admission_sourced(a, proxy, v4(67, 1, 1, 1), 0, 1000), E_OK);
	admission_released(a, v4(67, 1, 1, 1), true);
	admission_released(a, client, true);
	assert_int_equal(admission_admit(a, proxy, 0, 1000, &proxied), E_OK);
	assert_int_equal(admission_sourced(a, proxy, client, 0, 1000), E_OK);
	assert_int_equal(admission_sourced(a, proxy, client, CONF_LISTENERS, 1000), E_DENIED);
}

/* Where X-Forwarded-For counts, proxies come beside others, who are judged as ever. */
static void test_proxies_beside_others(void **state)
{
	struct conf_listener *l = &c.listener[0];
	u8 proxy[16];

	memcpy(proxy, v4(10, 0, 0, 1), 16);
	l->forwarded_for = true;
	l->proxies.n = 1;
	l->proxies.net[0] = (struct conf_net){.prefix = 128};
	memcpy(l->proxies.net[0].addr, proxy, 16);
	l->allow.n = 1;
	l->allow.net[0] = (struct conf_net){.prefix = 96 + 8};
	memcpy(l->allow.net[0].addr, v4(192, 0, 0, 0), 16);
	admission_configure(a, &c, 1000);
	assert_true(admission_trusts(a, proxy, 0));
	assert_false(admission_trusts(a, v4(192, 0, 2, 7), 0));
	assert_false(admission_trusts(a, proxy, CONF_LISTENERS));
	assert_int_equal(admission_admit(a, proxy, 0, 1, &proxied), E_OK);
	assert_true(proxied);
	assert_int_equal(admission_sourced(a, proxy, v4(192, 0, 2, 7), 0, 1), E_OK);
	assert_int_equal(admission_admit(a, proxy, 0, 1, &proxied), E_OK);
	assert_int_equal(admission_sourced(a, proxy, v4(193, 0, 2, 7), 0, 1), E_DENIED);
	assert_int_equal(admission_sourced(a, proxy, proxy, 0, 1),
			 E_DENIED); /* not its own place */
	assert_int_equal(admission_admit(a, v4(192, 0, 2, 8), 0, 1, &proxied), E_OK);
	assert_false(proxied);
	assert_int_equal(admission_admit(a, v4(193, 0, 2, 8), 0, 1, &proxied), E_DENIED);
}

static void test_failed_logins(void **state)
{
	admission_configure(a, &c, 1000);
	for (u64 i = 1; i < c.limits.failed_logins; i++)
		assert_false(admission_failed(a, v4(10, 0, 0, 1), 0, 1000));
	assert_true(admission_failed(a, v4(10, 0, 0, 1), 0, 1000));
	assert_int_equal(admission_admit(a, v4(10, 0, 0, 1), 0, 1001, &proxied), E_BANNED);
	assert_int_equal(admission_admit(a, v4(10, 0, 0, 2), 0, 1001, &proxied), E_OK);
}

static void test_unknown_listener(void **state)
{
	assert_int_equal(admission_admit(a, v4(10, 0, 0, 1), 0, 1, &proxied), E_DENIED);
	admission_configure(a, &c, 1000);
	assert_int_equal(admission_admit(a, v4(10, 0, 0, 1), CONF_LISTENERS + 5, 1, &proxied),
			 E_DENIED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {T(test_total_and_release),	  T(test_waiting_in_all),
					   T(test_rate_in_all),		  T(test_networks),
					   T(test_denied_networks),	  T(test_proxies),
					   T(test_proxies_beside_others), T(test_failed_logins),
					   T(test_unknown_listener)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
