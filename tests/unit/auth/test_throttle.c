/* Guessing against one name. */
#include "fixture.h"

#include "auth/throttle.h"

enum { THROTTLE_FAILURES = 5 };
static struct throttle t;
static const struct hash_key key = {3, 4};

static void fail_times(const char *name, u32 n, u64 now)
{
	for (u32 i = 0; i < n; i++)
		throttle_failed(&t, slice_str(name), THROTTLE_FAILURES, now);
}

static void five_in_a_minute_close_it(void **state)
{
	(void)state;
	throttle_init(&t, &key);
	fail_times("anna", 4, 100000);
	assert_true(throttle_open(&t, SLICE_LIT("anna"), 100000));
	fail_times("anna", 1, 100001);
	assert_false(throttle_open(&t, SLICE_LIT("anna"), 100001));
	assert_true(throttle_open(&t, SLICE_LIT("hans"), 100001));
	assert_true(throttle_open(&t, SLICE_LIT("anna"), 100001 + THROTTLE_FIRST_MS));
}

static void slow_failures_never_do(void **state)
{
	(void)state;
	throttle_init(&t, &key);
	for (u64 i = 0; i < 100; i++) {
		fail_times("anna", 1, 100000 + i * (THROTTLE_WINDOW_MS / 3));
		assert_true(throttle_open(&t, SLICE_LIT("anna"),
					  100000 + i * (THROTTLE_WINDOW_MS / 3)));
	}
}

static void waits_grow_to_a_limit(void **state)
{
	u64 now = 100000, length = THROTTLE_FIRST_MS;

	(void)state;
	throttle_init(&t, &key);
	for (u32 i = 0; i < 12; i++) {
		fail_times("anna", THROTTLE_FAILURES, now);
		assert_false(throttle_open(&t, SLICE_LIT("anna"), now + length - 1));
		assert_true(throttle_open(&t, SLICE_LIT("anna"), now + length));
		now += length;
		length = MIN(2 * length, (u64)THROTTLE_MOST_MS);
	}
	assert_int_equal(length, THROTTLE_MOST_MS);
	/* Calm for long: short again. */
	now += 3ull * THROTTLE_MOST_MS;
	fail_times("anna", THROTTLE_FAILURES, now);
	assert_true(throttle_open(&t, SLICE_LIT("anna"), now + THROTTLE_FIRST_MS));
}

static void a_good_login_does_not_reopen(void **state)
{
	(void)state;
	throttle_init(&t, &key);
	fail_times("anna", THROTTLE_FAILURES, 100000);
	throttle_succeeded(&t, SLICE_LIT("anna"));
	assert_false(throttle_open(&t, SLICE_LIT("anna"), 100000));
	throttle_succeeded(&t, SLICE_LIT("never heard of"));
}

/* Memory is fixed: any number of names fits, the oldest is forgotten. */
static void many_names(void **state)
{
	char name[32];

	(void)state;
	throttle_init(&t, &key);
	for (u32 i = 0; i < 4 * THROTTLE_SLOTS; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		fail_times(name, 1, 100000 + i);
	}
	fail_times("anna", THROTTLE_FAILURES, 200000);
	assert_false(throttle_open(&t, SLICE_LIT("anna"), 200000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(five_in_a_minute_close_it),
		cmocka_unit_test(slow_failures_never_do),
		cmocka_unit_test(waits_grow_to_a_limit),
		cmocka_unit_test(a_good_login_does_not_reopen),
		cmocka_unit_test(many_names),
	};

	return cmocka_run_group_tests_name("auth/throttle", tests, NULL, NULL);
}
