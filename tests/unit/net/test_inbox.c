/* The inbox: several writers, one reader; every item arrives once and in its writer's order. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/inbox.h"

enum { WRITERS = 3, ITEMS = 30000 };

static struct inbox box;

static void *writer(void *arg)
{
	u32 me = *(u32 *)arg;
	struct inbox_batch out = {.items = NULL};

	for (u64 i = 0; i < ITEMS; i++) {
		outbox_add(&out, (struct inbox_item){.from = me, .n = i});
		if (i % (me + 7) == 0)
			outbox_send(&out, &box);
	}
	outbox_send(&out, &box);
	outbox_send(&out, &box);
	free(out.items);
	return NULL;
}

static void test_order(void **state)
{
	pthread_t t[WRITERS];
	u32 id[WRITERS];
	u64 next[WRITERS] = {0}, total = 0;
	struct inbox_item *it;

	inbox_init(&box, NULL);
	for (u32 i = 0; i < WRITERS; i++) {
		id[i] = i;
		assert_int_equal(pthread_create(&t[i], NULL, writer, &id[i]), 0);
	}
	while (total < WRITERS * (u64)ITEMS) {
		size_t n = inbox_take(&box, &it);
		for (size_t i = 0; i < n; i++) {
			assert_true(it[i].from < WRITERS);
			assert_int_equal(it[i].n, next[it[i].from]++);
		}
		total += n;
	}
	for (u32 i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(inbox_take(&box, &it), 0);
	inbox_free(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
