/* naive: topic names and filters judged the slow way, straight from section 4.7, as an oracle. */
#ifndef PICKET_TEST_NAIVE_H
#define PICKET_TEST_NAIVE_H

#include "base/utf8.h"
#include "wire/topic.h"

/* Level i of s, or false when there are not so many. */
static inline bool naive_level(struct slice s, size_t i, struct slice *out)
{
	size_t at = 0, begin = 0;

	*out = SLICE_NONE;
	for (size_t n = 0; n <= s.n; n++) {
		if (n != s.n && s.p[n] != '/')
			continue;
		if (at++ == i) {
			*out = slice_of(s.p + begin, n - begin);
			return true;
		}
		begin = n + 1;
	}
	return false;
}

static inline size_t naive_levels(struct slice s)
{
	size_t n = 1;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '/';
	return n;
}

static inline bool naive_is(struct slice level, char c)
{
	return level.n == 1 && level.p[0] == c;
}

static inline bool naive_has_wildcard(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '+' || s.p[i] == '#')
			return true;
	}
	return false;
}

static inline enum err naive_topic(struct slice s)
{
	if (!utf8_ok(s))
		return E_UTF8;
	if (s.n == 0 || s.n > LIM_TOPIC_BYTES || naive_levels(s) > LIM_TOPIC_LEVELS)
		return E_TOPIC;
	return naive_has_wildcard(s) ? E_TOPIC : E_OK;
}

/* Fills what the parser should find: the filter without its share, and the share. */
static inline enum err naive_filter(struct slice s, struct slice *filter, struct slice *share)
{
	struct slice level;

	*filter = s;
	*share = SLICE_NONE;
	if (!utf8_ok(s))
		return E_UTF8;
	if (s.n > LIM_TOPIC_BYTES)
		return E_FILTER;
	if (s.n >= 7 && memcmp(s.p, "$share/", 7) == 0) {
		if (!naive_level(s, 1, share) || share->n == 0 || naive_has_wildcard(*share) ||
		    naive_levels(s) < 3)
			return E_FILTER;
		*filter = slice_skip(s, 7 + share->n + 1);
	}
	if (filter->n == 0 || naive_levels(*filter) > LIM_TOPIC_LEVELS)
		return E_FILTER;
	for (size_t i = 0; naive_level(*filter, i, &level); i++) {
		if (naive_has_wildcard(level) && level.n != 1)
			return E_FILTER;
		if (naive_is(level, '#') && i + 1 != naive_levels(*filter))
			return E_FILTER;
	}
	return E_OK;
}

/* Both valid, the filter without its share. */
static inline bool naive_matches(struct slice filter, struct slice name)
{
	struct slice f, n;
	size_t i;

	if (name.p[0] == '$' && (filter.p[0] == '+' || filter.p[0] == '#'))
		return false;
	for (i = 0; naive_level(filter, i, &f); i++) {
		if (naive_is(f, '#'))
			return true;
		if (!naive_level(name, i, &n))
			return false;
		if (!naive_is(f, '+') && !slice_eq(f, n))
			return false;
		/* Where the name ends, only "/#" may be left of the filter. */
		if (!naive_level(name, i + 1, &n) && naive_level(filter, i + 1, &f))
			return naive_is(f, '#') && naive_levels(filter) == i + 2;
	}
	return naive_levels(name) == i;
}

#endif
