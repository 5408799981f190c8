/* A token bucket: a burst, then the rate, never more than the burst saved up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "guard/bucket.h"

static u32 take_many(struct bucket *b, u32 tries, u64 now)
{
	u32 n = 0;

	for (u32 i = 0; i < tries; i++)
		n += bucket_take(b, 10, 5, now);
	return n;
}

static void test_burst_and_rate(void **state)
{
	struct bucket b = {0};

	assert_int_equal(take_many(&b, 100, 1000), 5);
	assert_int_equal(take_many(&b, 100, 1099), 0);
	assert_int_equal(take_many(&b, 100, 1100), 1);
	assert_int_equal(take_many(&b, 100, 1300), 2);
	assert_int_equal(take_many(&b, 100, 1000000), 5);
}

static void test_steady_rate_is_exact(void **state)
{
	struct bucket b = {0};
	u32 n = 0;

	for (u64 t = 0; t < 100000; t++)
		n += bucket_take(&b, 10, 5, t);
	assert_int_equal(n, 5 + 999);
}

static void test_no_limit_and_time_back(void **state)
{
	struct bucket b = {0};

	for (u32 i = 0; i < 1000; i++)
		assert_true(bucket_take(&b, UINT32_MAX, 1, 7));
	assert_int_equal(take_many(&b, 9, 5000), 5);
	assert_int_equal(take_many(&b, 9, 10), 0);
}

/* Two who share a bucket, one of them behind: the time between them is not counted twice. */
static void test_clocks_differ(void **state)
{
	struct bucket b = {0};
	u32 got = 0;

	for (u32 i = 0; i < 1000; i++)
		got += bucket_take(&b, 10, 5, i % 2 != 0 ? 100000 : 99900);
	assert_int_equal(got, 5 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_burst_and_rate),
					   cmocka_unit_test(test_steady_rate_is_exact),
					   cmocka_unit_test(test_no_limit_and_time_back),
					   cmocka_unit_test(test_clocks_differ)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
