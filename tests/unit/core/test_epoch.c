/* Nothing is dropped while somebody who may see it is inside; everything is dropped once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/epoch.h"

struct thing {
	struct retired gc;
	u32 *dropped;
};

static void drop(struct retired *r)
{
	struct thing *t = CONTAINER_OF(r, struct thing, gc);

	++*t->dropped;
	free(t);
}

static void retire(struct epoch *e, u32 *dropped)
{
	struct thing *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->dropped = dropped;
	epoch_retire(e, &t->gc, drop);
}

static void test_waits_for_those_inside(void **state)
{
	struct epoch e;
	u32 dropped = 0;

	epoch_init(&e, 3);
	epoch_enter(&e, 0);
	retire(&e, &dropped);
	epoch_enter(&e, 1); /* too late to see it */
	epoch_collect(&e);
	assert_int_equal(dropped, 0);
	epoch_leave(&e, 0);
	epoch_collect(&e);
	assert_int_equal(dropped, 1);
	retire(&e, &dropped);
	epoch_collect(&e);
	assert_int_equal(dropped, 1);
	epoch_leave(&e, 1);
	epoch_free(&e); /* drops the rest */
	assert_int_equal(dropped, 2);
}

static void test_nests(void **state)
{
	struct epoch e;
	u32 dropped = 0;

	epoch_init(&e, 1);
	epoch_enter(&e, 0);
	epoch_enter(&e, 0);
	retire(&e, &dropped);
	epoch_leave(&e, 0);
	epoch_collect(&e);
	assert_int_equal(dropped, 0);
	epoch_leave(&e, 0);
	epoch_collect(&e);
	assert_int_equal(dropped, 1);
	epoch_free(&e);
}

static void test_idle_shards_hold_nothing_up(void **state)
{
	struct epoch e;
	u32 dropped = 0;

	epoch_init(&e, 8);
	for (u32 i = 0; i < 100; i++) {
		epoch_enter(&e, 5);
		retire(&e, &dropped);
		epoch_leave(&e, 5);
		epoch_collect(&e);
		assert_int_equal(dropped, i + 1);
	}
	epoch_free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits_for_those_inside),
		cmocka_unit_test(test_nests),
		cmocka_unit_test(test_idle_shards_hold_nothing_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
