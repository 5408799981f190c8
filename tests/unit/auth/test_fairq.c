/* The queue of password checks: fair, bounded; and the threads behind it. */
#include "fixture.h"

struct item {
	struct fair_item i;
	int n;
};

static struct fair_item *push(struct fairq *q, struct item *i, const char *source, bool *taken)
{
	struct fair_item *evicted;

	*taken = fairq_push(q, &i->i, slice_str(source), 0, &evicted);
	return evicted;
}

static int pop(struct fairq *q)
{
	struct fair_item *i = fairq_pop(q);

	return i == NULL ? -1 : ((struct item *)(void *)i)->n;
}

static void turns_are_taken(void **state)
{
	struct item it[6] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}, {.n = 5}};
	const char *from[6] = {"a", "a", "a", "b", "b", "c"};
	const int want[6] = {0, 3, 5, 1, 4, 2};
	struct hash_key key = {1, 2};
	struct fairq q;
	bool taken;

	(void)state;
	fairq_init(&q, &key);
	q.max = 10;
	for (u32 i = 0; i < 6; i++) {
		assert_null(push(&q, &it[i], from[i], &taken));
		assert_true(taken);
	}
	for (u32 i = 0; i < 6; i++)
		assert_int_equal(pop(&q), want[i]);
	assert_int_equal(pop(&q), -1);
	fairq_free(&q);
}

static void the_greediest_makes_room(void **state)
{
	struct item it[6] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}, {.n = 5}};
	struct hash_key key = {1, 2};
	struct fairq q;
	bool taken;

	(void)state;
	fairq_init(&q, &key);
	q.max = 3;
	for (u32 i = 0; i < 3; i++)
		assert_null(push(&q, &it[i], "flood", &taken));
	/* More of the same is refused; another source is not. */
	assert_null(push(&q, &it[3], "flood", &taken));
	assert_false(taken);
	assert_ptr_equal(push(&q, &it[3], "other", &taken), &it[2].i);
	assert_true(taken);
	assert_null(it[2].i.source);
	/* Two against one: a third source still would not gain by it. */
	assert_ptr_equal(push(&q, &it[4], "third", &taken), &it[1].i);
	assert_true(taken);
	assert_null(push(&q, &it[5], "fourth", &taken));
	assert_false(taken);
	assert_int_equal(pop(&q), 0);
	assert_int_equal(pop(&q), 3);
	assert_int_equal(pop(&q), 4);
	fairq_free(&q);
}

static u32 answers[E_N];

static void count(struct hash_job *j, void *arg)
{
	(void)arg;
	answers[j->err]++;
	hash_job_free(&j);
}

static void old_ones_are_dropped_unhashed(void **state)
{
	struct hasher *h = hasher_new(1);
	struct pollfd p = {.fd = hasher_fd(h), .events = POLLIN};
	struct hash_job *j = hash_job_new(HASH_VERIFY, SLICE_LIT("x"), "not a hash");
	struct hasher_stats st;

	(void)state;
	memset(answers, 0, sizeof(answers));
	j->done = count;
	assert_int_equal(hasher_add(h, j, SLICE_LIT("a"), clock_mono_ms() - HASHER_OLD_MS - 1000),
			 E_OK);
	assert_int_equal(poll(&p, 1, 20000), 1);
	hasher_collect(h);
	assert_int_equal(answers[E_BUSY], 1);
	hasher_stats(h, &st);
	assert_int_equal(st.hashed, 0);
	assert_int_equal(st.dropped, 1);
	hasher_free(&h);
	assert_null(h);
}

static void too_many_are_refused_and_all_are_answered(void **state)
{
	struct hasher *h = hasher_new(1);
	struct hasher_stats st;
	struct hash_job *j;
	char hash[HASH_TEXT];
	u32 taken = 0, refused = 0;

	(void)state;
	memset(answers, 0, sizeof(answers));
	assert_int_equal(password_hash(SLICE_LIT("right"), hash), E_OK);
	hasher_stats(h, &st);
	for (u32 i = 0; i < st.max + 50; i++) {
		j = hash_job_new(HASH_VERIFY, SLICE_LIT("wrong"), hash);
		j->done = count;
		if (hasher_add(h, j, SLICE_LIT("a"), clock_mono_ms()) == E_OK) {
			taken++;
		} else {
			hash_job_free(&j);
			refused++;
		}
	}
	assert_true(refused > 0);
	assert_true(taken >= st.max);
	hasher_free(&h); /* what waits is answered, not forgotten */
	assert_int_equal(answers[E_BUSY] + answers[E_CREDENTIAL], taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(turns_are_taken),
		cmocka_unit_test(the_greediest_makes_room),
		cmocka_unit_test(old_ones_are_dropped_unhashed),
		cmocka_unit_test(too_many_are_refused_and_all_are_answered),
	};

	return cmocka_run_group_tests_name("auth/fairq", tests, NULL, NULL);
}
