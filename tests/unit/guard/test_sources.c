/* Sources: budgets and penalties of a prefix, and a table that many sources cannot overwhelm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "guard/sources.h"

static const struct source_limits limits = {
	.rate = 20, .burst = 100, .connections = 10, .waiting = 4, .failures = 5};
static struct sources *s;

static int setup(void **state)
{
	s = sources_new(&(struct hash_key){1, 2});
	return 0;
}

static int teardown(void **state)
{
	sources_free(&s);
	return 0;
}

static const u8 *v4(u32 n)
{
	static u8 a[16];

	memset(a, 0, sizeof(a));
	a[10] = a[11] = 0xff;
	a[12] = (u8)(n >> 24);
	a[13] = (u8)(n >> 16);
	a[14] = (u8)(n >> 8);
	a[15] = (u8)n;
	return a;
}

static void test_waiting_and_connections(void **state)
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(sources_admit(s, v4(1), &limits, 0), E_OK);
	assert_int_equal(sources_admit(s, v4(1), &limits, 0), E_QUOTA);
	assert_int_equal(sources_admit(s, v4(2), &limits, 0), E_OK);
	for (int i = 0; i < 4; i++)
		sources_login(s, v4(1), 0);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(sources_admit(s, v4(1), &limits, 0), E_OK);
		sources_login(s, v4(1), 0);
	}
	assert_int_equal(sources_admit(s, v4(1), &limits, 0), E_QUOTA);
	sources_released(s, v4(1), false);
	assert_int_equal(sources_admit(s, v4(1), &limits, 0), E_OK);
	sources_released(s, v4(1), true);
	assert_int_equal(sources_admit(s, v4(1), &limits, 0), E_OK);
}

static void test_rate(void **state)
{
	int in = 0;

	for (int i = 0; i < 500; i++) {
		if (sources_admit(s, v4(9), &limits, 1000) == E_OK) {
			in++;
			sources_released(s, v4(9), true);
		}
	}
	assert_int_equal(in, 100);
	assert_int_equal(sources_admit(s, v4(9), &limits, 1000), E_RATE);
	assert_int_equal(sources_admit(s, v4(9), &limits, 1050), E_OK);
}

static enum err come(u64 now)
{
	enum err e = sources_admit(s, v4(7), &limits, now);

	if (e == E_OK)
		sources_released(s, v4(7), true);
	return e;
}

static void fail_five(u64 now)
{
	for (int i = 0; i < 4; i++)
		assert_false(sources_failed(s, v4(7), &limits, now));
	assert_int_equal(come(now), E_OK);
	assert_true(sources_failed(s, v4(7), &limits, now));
	assert_int_equal(come(now), E_BANNED);
}

static void test_penalty_doubles(void **state)
{
	u64 now = 100000, penalty = 30000;

	for (int i = 0; i < 10; i++) {
		fail_five(now);
		assert_int_equal(come(now + penalty - 1), E_BANNED);
		now += penalty;
		assert_int_equal(come(now), E_OK);
		penalty = MIN(penalty * 2, 3600000u);
	}
	now += 2 * 3600000;
	fail_five(now);
	assert_int_equal(come(now + 30000), E_OK);
}

static void test_slow_failures_are_no_attack(void **state)
{
	for (u64 i = 1; i < 50; i++)
		assert_false(sources_failed(s, v4(7), &limits, i * 20000));
}

/* The gateway behind which a good device lives is never locked out by its neighbour. */
static void test_good_source_is_not_refused(void **state)
{
	sources_login(s, v4(7), 5);
	assert_int_equal(come(5), E_OK);
	sources_login(s, v4(7), 5);
	for (int i = 0; i < 100; i++)
		assert_false(sources_failed(s, v4(7), &limits, 1000));
	assert_int_equal(come(2000), E_OK);
	assert_int_equal(come(24 * 3600 * 1000 + 6), E_OK);
	fail_five(24 * 3600 * 1000 + 4000000);
}

/* Shards take turns, one a little behind: nothing begins anew, nothing is forgotten. */
static void test_clocks_differ(void **state)
{
	for (int i = 0; i < 4; i++)
		assert_false(sources_failed(s, v4(1), &limits, 1000000 - (u64)(i % 2)));
	assert_true(sources_failed(s, v4(1), &limits, 999999));
	sources_login(s, v4(1), 1000000);
	assert_int_equal(sources_admit(s, v4(1), &limits, 999999), E_OK);
}

static void test_prefix_of_ipv6(void **state)
{
	u8 a[16] = {0x20, 1, 0xd, 0xb8, [15] = 1}, b[16] = {0x20, 1, 0xd, 0xb8, [7] = 1};

	for (int i = 0; i < 5; i++) {
		a[15] = (u8)i;
		sources_failed(s, a, &limits, 1);
	}
	a[15] = 200;
	assert_int_equal(sources_admit(s, a, &limits, 1), E_BANNED);
	assert_int_equal(sources_admit(s, b, &limits, 1), E_OK);
}

static void test_table_is_bounded(void **state)
{
	assert_int_equal(sources_admit(s, v4(7), &limits, 1), E_OK);
	fail_five(1);
	for (u32 i = 100; i < 200000; i++) {
		if (sources_admit(s, v4(i), &limits, 2) == E_OK)
			sources_released(s, v4(i), true);
	}
	assert_true(s->known <= LIM_SOURCES);
	/* It holds a connection, so it was not forgotten, and neither was its penalty. */
	assert_int_equal(come(3), E_BANNED);
	/* All hold connections: newcomers still come in, and nothing goes below zero. */
	for (u32 i = 100; i < 200000; i++)
		assert_int_equal(sources_admit(s, v4(i), &limits, 100000000 + i), E_OK);
	for (u32 i = 100; i < 200000; i++)
		sources_released(s, v4(i), true);
	for (u32 i = 0; i < LIM_SOURCES; i++)
		assert_true(s->slot[i].connections <= 1);
}

static void test_log_lines(void **state)
{
	u32 left_out = 0, lines = 0;

	for (int i = 0; i < 1000; i++)
		lines += sources_may_log(s, v4(3), 50, &left_out);
	assert_int_equal(lines, 100);
	assert_true(sources_may_log(s, v4(3), 150, &left_out));
	assert_int_equal(left_out, 900);
	assert_true(sources_may_log(s, v4(3), 250, &left_out));
	assert_int_equal(left_out, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {T(test_waiting_and_connections),
					   T(test_rate),
					   T(test_penalty_doubles),
					   T(test_slow_failures_are_no_attack),
					   T(test_good_source_is_not_refused),
					   T(test_clocks_differ),
					   T(test_prefix_of_ipv6),
					   T(test_table_is_bounded),
					   T(test_log_lines)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
