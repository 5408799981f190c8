/* What gets into a transaction, in which order, and what waits for its group. */
#include <stdio.h>
#include <stdlib.h>

#include "help.h"
#include "store/plan.h"

static struct plan plan;
static struct store_batch *batch[16];
static u32 batches;

static struct store_batch *fresh(u32 shard)
{
	struct store_batch *b = store_batch_new(shard, batches + 1);

	assert_true(batches < ARRAY_LEN(batch));
	batch[batches++] = b;
	return b;
}

static int setup(void **state)
{
	plan_init(&plan);
	batches = 0;
	return 0;
}

static int teardown(void **state)
{
	plan_free(&plan);
	for (u32 i = 0; i < batches; i++) {
		assert_int_equal(batch[i]->holds, 0);
		store_batch_free(&batch[i]);
	}
	return 0;
}

/* "put 1/5 del 1/5": the transaction. */
static const char *txn(void)
{
	static const char *const word[SO_KINDS] = {
		[SO_SESSION_PUT] = "+session", [SO_SESSION_DEL] = "-session",
		[SO_SUB_PUT] = "+sub",	       [SO_SUB_DEL] = "-sub",
		[SO_QUEUE_PUT] = "put",	       [SO_QUEUE_DEL] = "del",
		[SO_QUEUE_RELEASE] = "rel",    [SO_PID_PUT] = "+pid",
		[SO_PID_DEL] = "-pid",	       [SO_DROPPED] = "drop",
		[SO_RETAIN_DEL] = "-ret",      [SO_READ] = "read"};
	static char out[1024];
	size_t n = 0;
	u32 live = 0;

	out[0] = 0;
	for (u32 i = 0; i < plan.n; i++) {
		const struct store_op *op = plan.op[i];
		bool put = op->kind == SO_QUEUE_PUT;
		u64 sid = put			       ? op->queued->sid
			  : op->kind == SO_SESSION_PUT ? op->session->sid
						       : op->sid;

		if (op->kind == SO_NONE)
			continue;
		live++;
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s %llu/%llu", n ? " " : "",
				      word[op->kind], (unsigned long long)sid,
				      (unsigned long long)(put ? op->queued->seq : op->seq));
	}
	assert_int_equal(live, plan.live);
	return out;
}

static struct store_op *put(struct store_batch *b, u64 group, u64 sid, u64 seq)
{
	struct store_op *op = batch_put(b, sid, seq, 0, "x");

	op->group = group;
	return op;
}

static void open_group(struct store_batch *b, u64 group, u32 parts)
{
	struct store_op *op = batch_op(b, SO_GROUP_OPEN, 0, 0);

	op->group = group;
	op->count = parts;
}

static void part(struct store_batch *b, u64 group)
{
	batch_op(b, SO_GROUP_PART, 0, 0)->group = group;
}

static void plain_operations_keep_their_order(void **state)
{
	struct store_batch *a = fresh(0), *b = fresh(1);

	(void)batch_session(a, 1);
	(void)put(a, 0, 1, 5);
	(void)batch_op(b, SO_SUB_DEL, 2, 1);
	plan_add(&plan, a);
	plan_add(&plan, b);
	assert_string_equal(txn(), "+session 1/0 put 1/5 -sub 2/1");
	plan_done(&plan);
	assert_string_equal(txn(), "");
}

static void what_cancels_is_not_in_it(void **state)
{
	struct store_batch *a = fresh(0), *b = fresh(0);

	(void)put(a, 0, 1, 5);
	(void)put(a, 0, 1, 6);
	(void)put(a, 0, 2, 5);
	(void)batch_op(b, SO_QUEUE_DEL, 1, 5);
	(void)batch_op(b, SO_QUEUE_DEL, 1, 7);
	plan_add(&plan, a);
	plan_add(&plan, b);
	assert_string_equal(txn(), "put 1/6 put 2/5 del 1/7");
	(void)batch_op(fresh(0), SO_QUEUE_DEL, 1, 6);
	(void)batch_op(batch[2], SO_QUEUE_DEL, 2, 5);
	(void)batch_op(batch[2], SO_QUEUE_DEL, 2, 5); /* the second finds none */
	plan_add(&plan, batch[2]);
	assert_string_equal(txn(), "del 1/7 del 2/5");
	/* The next transaction does not know what was put in this. */
	plan_done(&plan);
	(void)batch_op(fresh(0), SO_QUEUE_DEL, 1, 6);
	plan_add(&plan, batch[3]);
	assert_string_equal(txn(), "del 1/6");
}

static void a_group_comes_when_it_is_whole(void **state)
{
	struct store_batch *a = fresh(0), *b = fresh(1), *c = fresh(2);

	/* The parts may come before the opening. */
	(void)put(b, 77, 2, 1);
	part(b, 77);
	plan_add(&plan, b);
	assert_int_equal(b->holds, 2);
	batch_op(a, SO_PID_PUT, 1, 9)->group = 77;
	open_group(a, 77, 2);
	(void)put(a, 0, 1, 4);
	plan_add(&plan, a);
	assert_string_equal(txn(), "put 1/4");
	assert_int_equal(plan_waiting(&plan), 1);
	plan_done(&plan);
	(void)put(c, 77, 3, 1);
	part(c, 77);
	(void)batch_op(c, SO_PID_DEL, 3, 3);
	plan_add(&plan, c);
	assert_string_equal(txn(), "-pid 3/3 put 2/1 +pid 1/9 put 3/1");
	assert_int_equal(a->holds + b->holds + c->holds, 0);
	assert_int_equal(plan_waiting(&plan), 0);
}

static void the_opener_may_say_more_behind_it(void **state)
{
	struct store_batch *a = fresh(0), *b = fresh(1);

	part(b, 5);
	plan_add(&plan, b);
	open_group(a, 5, 1);
	batch_op(a, SO_PID_PUT, 1, 9)->group = 5;
	plan_add(&plan, a);
	assert_string_equal(txn(), "+pid 1/9");
	assert_int_equal(plan_waiting(&plan), 0);
}

static void a_group_without_parts_is_whole_at_once(void **state)
{
	struct store_batch *a = fresh(0);

	(void)put(a, 5, 1, 1);
	open_group(a, 5, 0);
	plan_add(&plan, a);
	assert_string_equal(txn(), "put 1/1");
}

/* Group 5 has one part that does not come until the end. */
static struct store_batch *hold_puts(u32 n)
{
	struct store_batch *a = fresh(1);

	for (u64 seq = 1; seq <= n; seq++)
		(void)put(a, 5, 1, seq);
	part(a, 5);
	plan_add(&plan, a);
	assert_string_equal(txn(), "");
	return a;
}

static void make_whole(void)
{
	struct store_batch *a = fresh(0);

	open_group(a, 5, 1);
	plan_add(&plan, a);
}

static void a_deletion_cancels_what_is_held_back(void **state)
{
	struct store_batch *a = hold_puts(2), *b = fresh(1);

	(void)batch_op(b, SO_QUEUE_DEL, 1, 1);
	plan_add(&plan, b);
	assert_string_equal(txn(), "");
	assert_int_equal(b->holds, 0);
	assert_int_equal(a->holds, 3); /* until its group is durable */
	make_whole();
	assert_string_equal(txn(), "put 1/2");
	assert_int_equal(a->holds, 0);
}

static void a_release_follows_what_it_releases(void **state)
{
	struct store_batch *b;

	(void)hold_puts(2);
	b = fresh(1);
	(void)batch_op(b, SO_QUEUE_RELEASE, 1, 2);
	(void)batch_op(b, SO_QUEUE_RELEASE, 1, 3); /* of one that is not held back */
	plan_add(&plan, b);
	assert_string_equal(txn(), "rel 1/3");
	assert_int_equal(b->holds, 1);
	make_whole();
	assert_string_equal(txn(), "rel 1/3 put 1/1 put 1/2 rel 1/2");
}

static void a_deletion_cancels_the_release_too(void **state)
{
	struct store_batch *b;

	(void)hold_puts(1);
	b = fresh(1);
	(void)batch_op(b, SO_QUEUE_RELEASE, 1, 1);
	(void)batch_op(b, SO_QUEUE_DEL, 1, 1);
	plan_add(&plan, b);
	make_whole();
	assert_string_equal(txn(), "");
}

/* What was stored before may have to go: only a message that never was stored cancels out. */
static void other_deletions_happen_all_the_same(void **state)
{
	struct store_batch *a = fresh(1), *b = fresh(1);

	batch_op(a, SO_PID_PUT, 1, 9)->group = 5;
	part(a, 5);
	plan_add(&plan, a);
	(void)batch_op(b, SO_PID_DEL, 1, 9);
	plan_add(&plan, b);
	assert_string_equal(txn(), "-pid 1/9");
	make_whole();
	assert_string_equal(txn(), "-pid 1/9");
}

static void an_identifier_used_again_waits_for_its_predecessor(void **state)
{
	struct store_batch *a = fresh(1), *b = fresh(1);

	batch_op(a, SO_PID_PUT, 1, 9)->group = 5;
	part(a, 5);
	plan_add(&plan, a);
	(void)batch_op(b, SO_PID_PUT, 1, 9);
	batch_op(b, SO_PID_DEL, 1, 9)->group = 6;
	part(b, 6);
	plan_add(&plan, b);
	assert_string_equal(txn(), "");
	open_group(fresh(0), 6, 1);
	plan_add(&plan, batch[2]);
	/* The deletion took both out. */
	assert_string_equal(txn(), "-pid 1/9");
	make_whole();
	assert_string_equal(txn(), "-pid 1/9");
}

static void a_later_group_waits_for_the_earlier_one(void **state)
{
	struct store_batch *a, *b = NULL;

	a = hold_puts(1);
	b = fresh(1);
	batch_op(b, SO_QUEUE_RELEASE, 1, 1)->group = 6;
	(void)put(b, 6, 1, 2);
	part(b, 6);
	plan_add(&plan, b);
	open_group(fresh(0), 6, 1);
	plan_add(&plan, batch[2]);
	assert_string_equal(txn(), "put 1/2");
	assert_int_equal(b->holds, 1);
	make_whole();
	assert_string_equal(txn(), "put 1/2 put 1/1 rel 1/1");
	assert_int_equal(a->holds + b->holds, 0);
}

static void a_session_that_ends_does_not_wait(void **state)
{
	struct store_batch *b;

	(void)hold_puts(1);
	b = fresh(1);
	(void)batch_op(b, SO_SESSION_DEL, 1, 0);
	plan_add(&plan, b);
	assert_string_equal(txn(), "-session 1/0");
	make_whole();
	assert_string_equal(txn(), "-session 1/0 put 1/1"); /* which finds no session */
}

static void a_reading_waits_for_what_came_before_it(void **state)
{
	struct store_batch *b, *c;

	(void)hold_puts(1);
	b = fresh(1);
	(void)batch_op(b, SO_READ, 1, 0);
	(void)batch_op(b, SO_READ, 2, 0); /* another session's does not */
	plan_add(&plan, b);
	c = fresh(1);
	(void)put(c, 6, 1, 2);
	part(c, 6);
	plan_add(&plan, c);
	(void)batch_op(fresh(1), SO_READ, 1, 1);
	plan_add(&plan, batch[3]);
	assert_string_equal(txn(), "read 2/0");
	assert_int_equal(b->holds, 1);
	make_whole();
	assert_string_equal(txn(), "read 2/0 put 1/1 read 1/0");
	/* The put of group 6 goes with its deletion; nothing is in front of the reading then. */
	(void)batch_op(fresh(1), SO_QUEUE_DEL, 1, 2);
	plan_add(&plan, batch[5]);
	assert_string_equal(txn(), "read 2/0 put 1/1 read 1/0 read 1/1");
	assert_int_equal(plan.lines.n, 0);
}

static void what_never_gets_whole_is_given_up(void **state)
{
	struct store_batch *a = hold_puts(3), *b = fresh(1);

	(void)batch_op(b, SO_QUEUE_DEL, 1, 2);
	(void)batch_op(b, SO_READ, 1, 0);
	plan_add(&plan, b);
	assert_true(a->holds > 0 && b->holds > 0);
}

static void relief_takes_deletions_first(void **state)
{
	struct store_batch *a = fresh(0);

	(void)batch_op(a, SO_QUEUE_DEL, 1, 1);
	(void)put(a, 0, 1, 5);
	(void)batch_op(a, SO_QUEUE_RELEASE, 1, 5); /* stays behind what it releases */
	(void)batch_op(a, SO_QUEUE_RELEASE, 1, 2);
	(void)batch_op(a, SO_READ, 1, 0); /* would miss 1/5 */
	(void)batch_op(a, SO_READ, 2, 0);
	(void)batch_session(a, 3);
	(void)batch_op(a, SO_SESSION_DEL, 3, 0);
	(void)batch_op(a, SO_SESSION_DEL, 4, 0);
	(void)batch_op(a, SO_RETAIN_DEL, 9, 0); /* may replace a value that has no room */
	batch_op(a, SO_DROPPED, 2, 0)->count = 1;
	plan_add(&plan, a);
	assert_int_equal(plan_relief(&plan), 5);
	assert_string_equal(txn(), "del 1/1 rel 1/2 read 2/0 -session 4/0 drop 2/0 put 1/5 rel 1/5 "
				   "read 1/0 +session 3/0 -session 3/0 -ret 9/0");
	plan_relieved(&plan, 5);
	assert_string_equal(txn(), "put 1/5 rel 1/5 read 1/0 +session 3/0 -session 3/0 -ret 9/0");
	assert_int_equal(plan_relief(&plan), 0);
	/* And it still knows what it would put. */
	(void)batch_op(fresh(0), SO_QUEUE_DEL, 1, 5);
	plan_add(&plan, batch[1]);
	assert_string_equal(txn(), "rel 1/5 read 1/0 +session 3/0 -session 3/0 -ret 9/0");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(plain_operations_keep_their_order),
		T(what_cancels_is_not_in_it),
		T(a_group_comes_when_it_is_whole),
		T(the_opener_may_say_more_behind_it),
		T(a_group_without_parts_is_whole_at_once),
		T(a_deletion_cancels_what_is_held_back),
		T(a_release_follows_what_it_releases),
		T(a_deletion_cancels_the_release_too),
		T(other_deletions_happen_all_the_same),
		T(an_identifier_used_again_waits_for_its_predecessor),
		T(a_later_group_waits_for_the_earlier_one),
		T(a_session_that_ends_does_not_wait),
		T(a_reading_waits_for_what_came_before_it),
		T(what_never_gets_whole_is_given_up),
		T(relief_takes_deletions_first),
	};
	return RUN_TESTS(tests);
}
