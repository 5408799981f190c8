/* The matcher against what filters mean: all filters of up to four levels over {a, b, +, #, '',
 * $s}, and all topics of up to five levels over those names and two that no filter has (c and $t),
 * so that whatever a wildcard or '#' takes in beyond the filters' own names is there.  A filter is
 * the set of its topics, as bits, made by a matcher written for this file. */
#include "help.h"

enum { NAMES = 6, DEPTH = 5, TOPICS = 6 + 36 + 216 + 1296 + 7776, WORDS = (TOPICS + 63) / 64 };
enum { FILTERS_MAX = 1000, DENIES = 10000, EXACTS = 20000 };

static const char *const names[NAMES] = {"a", "b", "", "$s", "c", "$t"};
static const char *const filter_names[] = {"a", "b", "", "$s", "+"};

struct bits {
	u64 w[WORDS];
};

static char topics[TOPICS][16];
static u32 ntopics;
static char filters[FILTERS_MAX][16];
static struct filter parsed[FILTERS_MAX];
static struct bits sets[FILTERS_MAX];
static u32 nfilters;

/* All sequences of up to depth words, each with the given end; what the wire does not take is left
 * out. */
static void add_topic(const char *s)
{
	if (*s != '\0')
		memcpy(topics[ntopics++], s, strlen(s) + 1);
}

static void add_filter(const char *s)
{
	if (*s != '\0')
		memcpy(filters[nfilters++], s, strlen(s) + 1);
}

static void sequences(const char *const *words, u32 nwords, u32 depth, const char *end,
		      void (*add)(const char *))
{
	u32 count = 1;

	for (u32 i = 0; i < depth; i++)
		count *= nwords;
	for (u32 code = 0; code < count; code++) {
		char s[32] = "";
		u32 c = code;

		for (u32 i = 0; i < depth; i++, c /= nwords) {
			strncat(s, i != 0 ? "/" : "", 2);
			strncat(s, words[c % nwords], 4);
		}
		strncat(s, end, 4);
		add(s);
	}
}

/* The words of MQTT 5.0 section 4.7, on text: no levels, no masks. */
static bool brute_matches(const char *f, const char *t)
{
	if (t[0] == '$' && (f[0] == '+' || f[0] == '#'))
		return false;
	for (;;) {
		if (strcmp(f, "#") == 0)
			return true;
		if (*f == '+') {
			f++;
			while (*t != '\0' && *t != '/')
				t++;
		}
		while (*f == *t && *f != '\0' && *f != '/') {
			f++;
			t++;
		}
		if (*t == '\0')
			return *f == '\0' || strcmp(f, "/#") == 0;
		if (*f != '/' || *t != '/')
			return false;
		f++;
		t++;
	}
}

static bool subset(const struct bits *a, const struct bits *b)
{
	for (u32 i = 0; i < WORDS; i++) {
		if (a->w[i] & ~b->w[i])
			return false;
	}
	return true;
}

static bool meet(const struct bits *a, const struct bits *b)
{
	for (u32 i = 0; i < WORDS; i++) {
		if (a->w[i] & b->w[i])
			return true;
	}
	return false;
}

static void unite(struct bits *a, const struct bits *b)
{
	for (u32 i = 0; i < WORDS; i++)
		a->w[i] |= b->w[i];
}

static int setup(void **state)
{
	for (u32 d = 1; d <= DEPTH; d++)
		sequences(names, NAMES, d, "", add_topic);
	add_filter("#");
	for (u32 d = 1; d < DEPTH; d++)
		sequences(filter_names, ARRAY_LEN(filter_names), d, "", add_filter);
	for (u32 d = 1; d + 1 < DEPTH; d++)
		sequences(filter_names, ARRAY_LEN(filter_names), d, "/#", add_filter);
	for (u32 i = 0; i < nfilters; i++) {
		parsed[i] = filter_of(filters[i]);
		for (u32 k = 0; k < ntopics; k++)
			sets[i].w[k / 64] |= (u64)brute_matches(filters[i], topics[k]) << k % 64;
	}
	return 0;
}

static void matching_is_what_the_text_says(void **state)
{
	for (u32 k = 0; k < ntopics; k++) {
		struct topic t = topic_of(topics[k]);

		for (u32 i = 0; i < nfilters; i++) {
			bool want = sets[i].w[k / 64] >> k % 64 & 1;

			if (filter_matches(&parsed[i], &t) != want)
				fail_msg("%s and %s", filters[i], topics[k]);
		}
	}
}

static void inclusion_is_of_sets(void **state)
{
	for (u32 i = 0; i < nfilters; i++) {
		for (u32 k = 0; k < nfilters; k++) {
			if (filter_includes(&parsed[i], &parsed[k]) != subset(&sets[k], &sets[i]))
				fail_msg("%s includes %s", filters[i], filters[k]);
			if (filter_overlaps(&parsed[i], &parsed[k]) != meet(&sets[i], &sets[k]))
				fail_msg("%s overlaps %s", filters[i], filters[k]);
		}
	}
}

/* ---- the same through a policy --------------------------------------------------------- */

/* Role i + 1 allows filter i, role DENIES + i denies it, role EXACTS + i denies it exactly. */

static struct rig rig_of_all(void)
{
	static u32 ids[3 * FILTERS_MAX];
	char *text = malloc(nfilters * 128u), *end = text;
	struct rig rig = {0};

	assert_non_null(text);
	for (u32 i = 0; i < nfilters; i++)
		end += sprintf(end,
			       "role r%u { subscribe \"%s\" }\n"
			       "role r%u { deny subscribe \"%s\" }\n"
			       "role r%u { deny subscribe exact \"%s\" }\n",
			       i + 1, filters[i], DENIES + i, filters[i], EXACTS + i, filters[i]);
	rig.doc = doc_of(text);
	free(text);
	for (u32 i = 0; i < policy_role_count(rig.doc); i++)
		ids[i] = (u32)strtoul(policy_role_name(rig.doc, i) + 1, NULL, 10);
	assert_int_equal(policy_compile(rig.doc, ids, 1, &rig.block, &rig.len), E_OK);
	assert_int_equal(policy_open(slice_of(rig.block, rig.len), &rig.p), E_OK);
	return rig;
}

static const struct circumstance plain;

static void one_rule_is_its_set(void **state)
{
	struct rig rig = rig_of_all();

	for (u32 i = 0; i < nfilters; i++) {
		u32 role = i + 1;
		struct subject who = subject_of("d", &role, 1);
		bool clear;

		for (u32 k = 0; k < nfilters; k++) {
			bool want = subset(&sets[k], &sets[i]);

			if (rights_subscribe(rig.p, &who, &parsed[k], &plain, &clear) != want)
				fail_msg("%s covers %s", filters[i], filters[k]);
			assert_int_equal(clear, want);
		}
		for (u32 k = 0; k < ntopics; k++) {
			struct topic t = topic_of(topics[k]);
			bool want = sets[i].w[k / 64] >> k % 64 & 1;

			if (rights_deliver(rig.p, &who, &t, &plain) != want)
				fail_msg("rule %s and %s", filters[i], topics[k]);
		}
	}
	rig_free(&rig);
}

/* An exact deny hits the filters that mean the same set, however they are spelt, and no others. */
static void exact_is_the_same_set(void **state)
{
	struct rig rig = rig_of_all();
	u32 everything = 1;

	assert_string_equal(filters[0], "#");
	for (u32 i = 0; i < nfilters; i++) {
		u32 roles[] = {EXACTS + i, everything};
		struct subject who = subject_of("d", roles, 2);
		bool clear;

		for (u32 k = 0; k < nfilters; k++) {
			bool same = subset(&sets[k], &sets[i]) && subset(&sets[i], &sets[k]);
			bool want = subset(&sets[k], &sets[0]) && !same;

			if (rights_subscribe(rig.p, &who, &parsed[k], &plain, &clear) != want)
				fail_msg("exact %s and %s", filters[i], filters[k]);
			assert_int_equal(clear, want);
		}
	}
	rig_free(&rig);
}

static u64 next(u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Rules near f, so that unions that cover it are not rare: f itself cut short or lengthened. */
static u32 near(u64 *x, const char *f)
{
	char want[32];
	u32 r = (u32)(next(x) % 8);
	static const char *const ends[] = {"", "/#", "/+", "/+/#", "/+/+", "/a"};
	size_t n = strlen(f);

	if (r >= ARRAY_LEN(ends))
		return (u32)(next(x) % nfilters);
	memcpy(want, f, n + 1);
	if (n >= 2 && strcmp(want + n - 2, "/#") == 0)
		want[n - 2] = '\0';
	else if (strcmp(want, "#") == 0)
		snprintf(want, sizeof(want), "+");
	strncat(want, ends[r], 6);
	for (u32 i = 0; i < nfilters; i++) {
		if (strcmp(filters[i], want) == 0)
			return i;
	}
	return (u32)(next(x) % nfilters);
}

static void unions_are_exact(void **state)
{
	struct rig rig = rig_of_all();
	u64 seed = 0x5eed0001, granted = 0;

	for (u32 step = 0; step < 200000; step++) {
		u32 f = (u32)(next(&seed) % nfilters), n = 1 + (u32)(next(&seed) % 4);
		struct bits allow = {0}, deny = {0};
		u32 roles[4];
		struct subject who = subject_of("d", roles, n);
		bool clear, want, cut;

		for (u32 i = 0; i < n; i++) {
			u32 pick = near(&seed, filters[f]);
			bool denying = next(&seed) % 4 == 0;

			roles[i] = denying ? DENIES + pick : pick + 1;
			unite(denying ? &deny : &allow, &sets[pick]);
		}
		want = subset(&sets[f], &allow) && !subset(&sets[f], &deny);
		cut = meet(&sets[f], &deny);
		if (rights_subscribe(rig.p, &who, &parsed[f], &plain, &clear) != want ||
		    clear != (want && !cut))
			fail_msg("step %u: %s under roles %u.. (%u)", step, filters[f], roles[0],
				 n);
		granted += want;
	}
	assert_true(granted > 20000 && granted < 180000);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matching_is_what_the_text_says),
		cmocka_unit_test(inclusion_is_of_sets),
		cmocka_unit_test(one_rule_is_its_set),
		cmocka_unit_test(exact_is_the_same_set),
		cmocka_unit_test(unions_are_exact),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
