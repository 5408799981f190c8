#include <stdlib.h>

#include "help.h"
#include "store/table.h"

enum { KEYS = 500 };

static void empty_answers(void **state)
{
	struct table t = {.n = 0};

	assert_int_equal(table_get(&t, 1, 2), 0);
	table_del(&t, 1, 2);
	table_clear(&t);
	table_free(&t);
}

static void both_numbers_count(void **state)
{
	struct table t = {.n = 0};

	table_put(&t, 1, 2, 7);
	table_put(&t, 2, 1, 8);
	table_put(&t, 1, 2, 9);
	assert_int_equal(t.n, 2);
	assert_int_equal(table_get(&t, 1, 2), 9);
	assert_int_equal(table_get(&t, 2, 1), 8);
	assert_int_equal(table_get(&t, 0, 0), 0);
	table_free(&t);
}

/* Against an array, with deletions in the middle of runs. */
static void random_like_an_array(void **state)
{
	u64 want[KEYS] = {0}, seed = 4711;
	struct table t = {.n = 0};

	for (u32 i = 0; i < 200000; i++) {
		u64 r = test_rand(&seed), k = r % KEYS;

		if (r >> 32 & 1) {
			want[k] = 1 + (r >> 40);
			table_put(&t, k / 7, k % 7, want[k]);
		} else {
			want[k] = 0;
			table_del(&t, k / 7, k % 7);
		}
		if (i % 50000 == 49999) {
			table_clear(&t);
			memset(want, 0, sizeof(want));
		}
		k = r >> 20 & 255;
		assert_int_equal(table_get(&t, k / 7, k % 7), want[k]);
	}
	for (u64 k = 0; k < KEYS; k++)
		assert_int_equal(table_get(&t, k / 7, k % 7), want[k]);
	table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_answers),
		cmocka_unit_test(both_numbers_count),
		cmocka_unit_test(random_like_an_array),
	};
	return RUN_TESTS(tests);
}
