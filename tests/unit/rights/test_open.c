/* The block: what is damaged is refused, or at least never leads outside it (under ASan). */
#include "help.h"

static const char *const text =
	"role a {\n"
	"  publish home/${device}/+/x-${claim.site}/# if qos 0..1, source 10.0.0.0/9, listener l\n"
	"  subscribe a/+/#; subscribe exact b/+; deny subscribe a/${group}/y\n"
	"  limit publish 5/s, packet 16k\n"
	"}\n"
	"role b { source 0.0.0.0/0, not 10.0.0.0/8, ::/0; publish # }\n"
	"deny * subscribe exact #\n"
	"deny * publish ${username}/z";

static const u8 nowhere[16];

/* Every kind of question, so that every array is walked. */
static void ask(const struct policy *p)
{
	static const char *const questions[] = {"a/b/c", "home/d/e/x-1/f", "b/+", "#",
						"u/z",	 "$s/a",	   "/"};
	static const u32 roles[] = {10, 20, 30};
	const struct subject_claim claim = {SLICE_LIT("site"), SLICE_LIT("1")};
	struct subject who = {
		.device = SLICE_LIT("d"),
		.username = SLICE_LIT("u"),
		.roles = roles,
		.nroles = 3,
		.claims = &claim,
		.nclaims = 1,
	};
	const struct circumstance how = {.qos = 1, .listener = SLICE_LIT("l"), .addr = {[15] = 9}};
	struct role_limits limits;
	struct explanation why;

	for (u32 i = 0; i < ARRAY_LEN(questions); i++) {
		struct slice raw = slice_str(questions[i]);
		struct filter f;
		struct topic t;
		bool clear;

		if (topic_parse(raw, &t) == E_OK) {
			(void)rights_publish(p, &who, &t, &how);
			(void)rights_deliver(p, &who, &t, &how);
		}
		if (filter_parse(raw, &f) == E_OK)
			(void)rights_subscribe(p, &who, &f, &how, &clear);
		rights_explain(p, &who, ACT_PUBLISH, raw, &how, &why);
		rights_explain(p, &who, ACT_SUBSCRIBE, raw, &how, &why);
	}
	policy_limits(p, roles, 3, nowhere, &limits);
	(void)policy_role_exists(p, 10);
}

static bool survives(const u8 *block, size_t n)
{
	u8 *copy = malloc(n != 0 ? n : 1); /* its own allocation, so that a step outside is seen */
	const struct policy *p;
	bool opened;

	assert_non_null(copy);
	memcpy(copy, block, n);
	opened = policy_open(slice_of(copy, n), &p) == E_OK;
	assert_int_equal(opened, p != NULL);
	if (opened)
		ask(p);
	free(copy);
	return opened;
}

static void every_cut_is_refused(void **state)
{
	struct rig rig = rig_of(text);
	u8 *longer = calloc(1, rig.len + 8);

	assert_true(survives(rig.block, rig.len));
	for (size_t n = 0; n < rig.len; n++)
		assert_false(survives(rig.block, n));
	assert_non_null(longer);
	memcpy(longer, rig.block, rig.len);
	for (size_t n = 1; n <= 8; n++)
		assert_false(survives(longer, rig.len + n));
	free(longer);
	rig_free(&rig);
}

static void every_changed_byte_is_survived(void **state)
{
	struct rig rig = rig_of(text);
	u32 refused = 0;

	for (size_t i = 0; i < rig.len; i++) {
		u8 was = rig.block[i];

		for (u32 v = 0; v < 256; v += v < 8 || v > 247 ? 1 : 24) {
			rig.block[i] = (u8)v;
			refused += !survives(rig.block, rig.len);
		}
		for (u32 bit = 0; bit < 8; bit++) {
			rig.block[i] = (u8)(was ^ 1u << bit);
			refused += !survives(rig.block, rig.len);
		}
		rig.block[i] = was;
	}
	assert_true(refused > 1000);
	assert_true(survives(rig.block, rig.len));
	rig_free(&rig);
}

static void a_block_begins_at_eight(void **state)
{
	struct rig rig = rig_of(text);
	u8 *copy = malloc(rig.len + 1);
	const struct policy *p;

	assert_non_null(copy);
	memcpy(copy + 1, rig.block, rig.len);
	assert_int_equal(policy_open(slice_of(copy + 1, rig.len), &p), E_CORRUPT);
	assert_null(p);
	free(copy);
	rig_free(&rig);
}

static void what_the_header_says(void **state)
{
	struct rig rig = rig_of(text), none = rig_of("");

	assert_int_equal(policy_generation(rig.p), 7);
	assert_true(policy_role_exists(rig.p, 10));
	assert_true(policy_role_exists(rig.p, 20));
	assert_false(policy_role_exists(rig.p, 30));
	assert_false(policy_role_exists(rig.p, 0));
	assert_false(policy_role_exists(none.p, 10));
	rig_free(&rig);
	rig_free(&none);
}

/* The same text gives the same bytes: nothing of the stack or heap is in a block. */
static void compiling_is_repeatable(void **state)
{
	struct rig a = rig_of(text), b = rig_of(text);

	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.block, b.block, a.len);
	rig_free(&a);
	rig_free(&b);
}

static void limits_are_the_most_generous(void **state)
{
	struct rig rig =
		rig_of("role a { limit publish 5/s, packet 16k, queue 100/256k, retained 20 }\n"
		       "role b { limit publish 3/s burst 100, inflight 8, queue 200/1k }\n"
		       "role c { limit all none }\n"
		       "role d { }\n"
		       "role e { limit publish none, subscriptions 4 }\n");
	static const u32 roles[] = {40, 10, 20, 99, 50, 30};
	struct role_limits l;

	policy_limits(rig.p, roles, 1, nowhere, &l);
	assert_int_equal(l.publish_rate | l.publish_burst | l.packet_bytes | l.inflight |
				 l.queue_messages | l.queue_bytes | l.retained | l.subscriptions,
			 0);
	policy_limits(rig.p, roles, 2, nowhere, &l);
	assert_int_equal(l.publish_rate, 5);
	assert_int_equal(l.publish_burst, 25);
	policy_limits(rig.p, roles, 4, nowhere, &l);
	assert_int_equal(l.publish_rate, 5);
	assert_int_equal(l.publish_burst, 100);
	assert_int_equal(l.packet_bytes, 16 * 1024);
	assert_int_equal(l.inflight, 8);
	assert_int_equal(l.queue_messages, 200);
	assert_int_equal(l.queue_bytes, 256 * 1024);
	assert_int_equal(l.retained, 20);
	assert_int_equal(l.subscriptions, 0);
	assert_false(l.all_none);
	policy_limits(rig.p, roles, 5, nowhere, &l);
	assert_int_equal(l.publish_rate, UINT32_MAX);
	assert_int_equal(l.publish_burst, UINT32_MAX);
	assert_int_equal(l.subscriptions, 4);
	policy_limits(rig.p, roles, 6, nowhere, &l);
	assert_true(l.all_none);
	assert_int_equal(l.packet_bytes, UINT32_MAX);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(every_changed_byte_is_survived),
		cmocka_unit_test(a_block_begins_at_eight),
		cmocka_unit_test(what_the_header_says),
		cmocka_unit_test(compiling_is_repeatable),
		cmocka_unit_test(limits_are_the_most_generous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
