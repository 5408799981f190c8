/* A filter, a newline (which neither may contain) and a name: parser and matcher against the slow
 * way. */
#include "../tests/unit/wire/naive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_filter(const struct filter *f, struct slice filter, struct slice share)
{
	struct slice level;

	ASSERT(slice_eq(f->s, filter));
	ASSERT(slice_eq(f->share, share));
	ASSERT(f->nlevel == naive_levels(filter));
	ASSERT(f->dollar == (filter.p[0] == '$'));
	for (u32 i = 0; i < f->nlevel; i++) {
		ASSERT(naive_level(filter, i, &level));
		ASSERT(slice_eq(level, filter_level(f, i)));
		ASSERT((f->plus_mask >> i & 1) == naive_is(level, '+'));
	}
	ASSERT(f->hash == naive_is(level, '#'));
}

static void check_topic(const struct topic *t, struct slice name)
{
	struct slice level;

	ASSERT(slice_eq(t->s, name));
	ASSERT(t->nlevel == naive_levels(name));
	ASSERT(t->dollar == (name.p[0] == '$'));
	for (u32 i = 0; i < t->nlevel; i++) {
		ASSERT(naive_level(name, i, &level));
		ASSERT(slice_eq(level, topic_level(t, i)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const u8 *cut = size ? memchr(data, '\n', size) : NULL;
	size_t n = cut ? (size_t)(cut - data) : size;
	struct slice fs = slice_of(data, n), ts = slice_skip(slice_of(data, size), n + 1);
	struct slice filter, share;
	struct filter f;
	struct topic t;
	enum err fe = filter_parse(fs, &f), te = topic_parse(ts, &t);

	ASSERT(fe == naive_filter(fs, &filter, &share));
	ASSERT(te == naive_topic(ts));
	if (fe == E_OK)
		check_filter(&f, filter, share);
	if (te == E_OK)
		check_topic(&t, ts);
	if (fe == E_OK && te == E_OK)
		ASSERT(filter_matches(&f, &t) == naive_matches(filter, ts));
	return 0;
}
