#include "base/pool.h"
#include "test.h"

enum { MANY = 5000 };

static void objects_are_zeroed_apart_and_aligned(void **state)
{
	static u8 *got[MANY];
	const size_t size = 100;
	struct pool p;

	pool_init(&p, size);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < MANY; i++) {
			got[i] = pool_get(&p);
			assert_non_null(got[i]);
			assert_int_equal((uintptr_t)got[i] % 16, 0);
			for (size_t j = 0; j < size; j++)
				assert_int_equal(got[i][j], 0);
			memset(got[i], (int)(i % 251) + 1, size);
		}
		assert_int_equal(p.used, MANY);
		for (size_t i = 0; i < MANY; i++) {
			for (size_t j = 0; j < size; j++)
				assert_int_equal(got[i][j], i % 251 + 1);
			pool_put(&p, got[i]);
		}
		assert_int_equal(p.used, 0);
	}
	pool_free(&p);
}

static void an_object_larger_than_a_slab(void **state)
{
	struct pool p;
	u8 *a, *b;

	pool_init(&p, 200000);
	a = pool_get(&p);
	b = pool_get(&p);
	assert_true(a != NULL && b != NULL && a != b);
	a[199999] = b[199999] = 1;
	pool_put(&p, a);
	pool_put(&p, b);
	pool_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_zeroed_apart_and_aligned),
		cmocka_unit_test(an_object_larger_than_a_slab),
	};

	return RUN_TESTS(tests);
}
