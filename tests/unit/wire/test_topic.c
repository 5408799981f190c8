#include "../base/test.h"
#include "naive.h"

static enum err topic_of(const char *s, struct topic *t)
{
	return topic_parse(slice_str(s), t);
}

static enum err filter_of(const char *s, struct filter *f)
{
	return filter_parse(slice_str(s), f);
}

static void names_and_their_levels(void **state)
{
	struct topic t;

	assert_int_equal(topic_of("plant/line-7/motor/speed/now", &t), E_OK);
	assert_int_equal(t.nlevel, 5);
	assert_true(slice_eq(topic_level(&t, 0), SLICE_LIT("plant")));
	assert_true(slice_eq(topic_level(&t, 1), SLICE_LIT("line-7")));
	assert_true(slice_eq(topic_level(&t, 4), SLICE_LIT("now")));
	assert_false(t.dollar);
	assert_int_equal(topic_of("/", &t), E_OK);
	assert_int_equal(t.nlevel, 2);
	assert_int_equal(topic_level(&t, 0).n, 0);
	assert_int_equal(topic_level(&t, 1).n, 0);
	assert_int_equal(topic_of("$SYS/x", &t), E_OK);
	assert_true(t.dollar);
	assert_int_equal(topic_of("a/$x", &t), E_OK);
	assert_false(t.dollar);
}

static void names_that_are_none(void **state)
{
	struct topic t;

	assert_int_equal(topic_of("", &t), E_TOPIC);
	assert_int_equal(topic_of("a/+", &t), E_TOPIC);
	assert_int_equal(topic_of("a/b#c", &t), E_TOPIC);
	assert_int_equal(topic_of("a/\xc3\xa9+", &t), E_TOPIC);
	assert_int_equal(topic_parse(SLICE_LIT("a\0b"), &t), E_UTF8);
	assert_int_equal(topic_of("a\nb", &t), E_UTF8);
}

static void limits_of_size_and_depth(void **state)
{
	static char b[LIM_TOPIC_BYTES + 2];
	struct topic t;
	struct filter f;

	memset(b, 'x', sizeof(b));
	assert_int_equal(topic_parse(slice_of(b, LIM_TOPIC_BYTES), &t), E_OK);
	assert_int_equal(t.level_off[1], LIM_TOPIC_BYTES + 1);
	assert_int_equal(topic_parse(slice_of(b, LIM_TOPIC_BYTES + 1), &t), E_TOPIC);
	assert_int_equal(filter_parse(slice_of(b, LIM_TOPIC_BYTES + 1), &f), E_FILTER);
	b[LIM_TOPIC_BYTES] = '\n'; /* what is wrong with the string comes first */
	assert_int_equal(topic_parse(slice_of(b, LIM_TOPIC_BYTES + 1), &t), E_UTF8);
	assert_int_equal(filter_parse(slice_of(b, LIM_TOPIC_BYTES + 1), &f), E_UTF8);
	memset(b, '/', sizeof(b));
	assert_int_equal(topic_parse(slice_of(b, LIM_TOPIC_LEVELS - 1), &t), E_OK);
	assert_int_equal(t.nlevel, LIM_TOPIC_LEVELS);
	assert_int_equal(topic_parse(slice_of(b, LIM_TOPIC_LEVELS), &t), E_TOPIC);
	assert_int_equal(filter_parse(slice_of(b, LIM_TOPIC_LEVELS - 1), &f), E_OK);
	assert_int_equal(filter_parse(slice_of(b, LIM_TOPIC_LEVELS), &f), E_FILTER);
	b[0] = 'x'; /* one slash too many behind the last eight bytes that are read at once */
	assert_int_equal(topic_parse(slice_of(b, LIM_TOPIC_LEVELS), &t), E_OK);
	assert_int_equal(topic_parse(slice_of(b, LIM_TOPIC_LEVELS + 1), &t), E_TOPIC);
}

static void filters_and_their_wildcards(void **state)
{
	struct filter f;

	assert_int_equal(filter_of("+/a/+/#", &f), E_OK);
	assert_int_equal(f.nlevel, 4);
	assert_int_equal(f.plus_mask, 5);
	assert_true(f.hash);
	assert_int_equal(filter_of("a/b", &f), E_OK);
	assert_false(f.hash);
	assert_int_equal(f.plus_mask, 0);
	assert_int_equal(f.share.n, 0);
	assert_int_equal(filter_of("", &f), E_FILTER);
	assert_int_equal(filter_of("#/a", &f), E_FILTER);
	assert_int_equal(filter_of("a#", &f), E_FILTER);
	assert_int_equal(filter_of("a/+b", &f), E_FILTER);
	assert_int_equal(filter_of("##", &f), E_FILTER);
	assert_int_equal(filter_of("a/\x01", &f), E_UTF8);
}

static void shares_are_taken_apart(void **state)
{
	struct filter f;

	assert_int_equal(filter_of("$share/g/b/#", &f), E_OK);
	assert_true(slice_eq(f.share, SLICE_LIT("g")));
	assert_true(slice_eq(f.s, SLICE_LIT("b/#")));
	assert_int_equal(f.nlevel, 2);
	assert_false(f.dollar);
	assert_int_equal(filter_of("$share/g/$SYS/#", &f), E_OK);
	assert_true(f.dollar);
	assert_int_equal(filter_of("$share/g//", &f), E_OK);
	assert_true(slice_eq(f.s, SLICE_LIT("/")));
	assert_int_equal(filter_of("$share//a", &f), E_FILTER);
	assert_int_equal(filter_of("$share/g", &f), E_FILTER);
	assert_int_equal(filter_of("$share/g/", &f), E_FILTER);
	assert_int_equal(filter_of("$share/", &f), E_FILTER);
	assert_int_equal(filter_of("$share/+/a", &f), E_FILTER);
	assert_int_equal(filter_of("$share/g#/a", &f), E_FILTER);
	assert_int_equal(filter_of("$share/\xff/a", &f), E_UTF8);
	assert_int_equal(filter_of("$share/g/a\xff", &f), E_UTF8);
	assert_int_equal(filter_of("$shared/a", &f), E_OK);
	assert_int_equal(f.share.n, 0);
}

static void matching(void **state)
{
	static const struct {
		const char *filter, *name;
		bool matches;
	} cases[] = {
		{"a/b", "a/b", true},	    {"a/b", "a/c", false},    {"a/b", "a", false},
		{"a", "a/b", false},	    {"a/#", "a", true},	      {"a/#", "a/b/c", true},
		{"a/#", "b", false},	    {"a/#", "ab", false},     {"#", "a/b", true},
		{"#", "/", true},	    {"#", "$SYS/a", false},   {"+", "a", true},
		{"+", "/a", false},	    {"+/+", "/a", true},      {"/+", "/a", true},
		{"+", "$SYS", false},	    {"+/a", "$SYS/a", false}, {"$SYS/#", "$SYS/a", true},
		{"$SYS/+", "$SYS/a", true}, {"a/+/c", "a//c", true},  {"a/+", "a/", true},
		{"a/+/#", "a", false},	    {"a/+/#", "a/b", true},   {"/", "/", true},
		{"a/", "a", false},	    {"+/#", "a", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct filter f;
		struct topic t;
		assert_int_equal(filter_of(cases[i].filter, &f), E_OK);
		assert_int_equal(topic_of(cases[i].name, &t), E_OK);
		if (filter_matches(&f, &t) != cases[i].matches)
			fail_msg("%s and %s", cases[i].filter, cases[i].name);
		assert_int_equal(
			naive_matches(slice_str(cases[i].filter), slice_str(cases[i].name)),
			cases[i].matches);
	}
}

/* A text of few different bytes, so that slashes and wildcards meet. */
static size_t random_text(u64 *rnd, u8 *b, size_t cap)
{
	static const char *const parts[] = {"a",  "b", "/",  "/",    "/",	 "+",	    "#",
					    "/+", "$", "/#", "long", "\xc3\xa9", "$share/", "\xff"};
	size_t n = 0, want = test_rand(rnd) % 14;
	/* The last part makes the string ill-formed: seldom. */
	size_t nparts = ARRAY_LEN(parts) - (test_rand(rnd) % 8 != 0);

	for (size_t i = 0; i < want; i++) {
		const char *p = parts[test_rand(rnd) % nparts];
		if (n + strlen(p) > cap)
			break;
		memcpy(b + n, p, strlen(p));
		n += strlen(p);
	}
	return n;
}

/* A name that has a chance to match: the filter with its wildcards filled in. */
static size_t filled_text(u64 *rnd, struct slice filter, u8 *b)
{
	for (size_t i = 0; i < filter.n; i++) {
		bool wild = filter.p[i] == '+' || filter.p[i] == '#';
		b[i] = wild ? (u8) "ab/"[test_rand(rnd) % 3] : filter.p[i];
	}
	return filter.n;
}

static void parsers_and_matcher_agree_with_the_slow_way(void **state)
{
	u64 rnd = 3;
	u32 matched = 0;

	for (u32 i = 0; i < 300000; i++) {
		u8 fb[64], tb[64];
		struct slice fs = slice_of(fb, random_text(&rnd, fb, sizeof(fb)));
		size_t tn = i % 2 ? random_text(&rnd, tb, sizeof(tb)) : filled_text(&rnd, fs, tb);
		struct slice ts = slice_of(tb, tn);
		struct slice filter, share, level;
		struct filter f;
		struct topic t;
		enum err fe = filter_parse(fs, &f), te = topic_parse(ts, &t);
		assert_int_equal(te, naive_topic(ts));
		assert_int_equal(fe, naive_filter(fs, &filter, &share));
		for (u32 l = 0; te == E_OK && l < t.nlevel; l++) {
			assert_true(naive_level(ts, l, &level));
			assert_true(slice_eq(level, topic_level(&t, l)));
		}
		if (fe != E_OK)
			continue;
		assert_true(slice_eq(f.s, filter) && slice_eq(f.share, share));
		for (u32 l = 0; l < f.nlevel; l++) {
			assert_true(naive_level(filter, l, &level));
			assert_true(slice_eq(level, filter_level(&f, l)));
			assert_int_equal(f.plus_mask >> l & 1, naive_is(level, '+'));
		}
		if (te != E_OK)
			continue;
		assert_int_equal(filter_matches(&f, &t), naive_matches(filter, ts));
		matched += filter_matches(&f, &t);
	}
	assert_true(matched > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_their_levels),
		cmocka_unit_test(names_that_are_none),
		cmocka_unit_test(limits_of_size_and_depth),
		cmocka_unit_test(filters_and_their_wildcards),
		cmocka_unit_test(shares_are_taken_apart),
		cmocka_unit_test(matching),
		cmocka_unit_test(parsers_and_matcher_agree_with_the_slow_way),
	};

	return RUN_TESTS(tests);
}
