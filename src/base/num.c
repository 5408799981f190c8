/* num: numbers, sizes and durations read from text that people write.  Strict: no sign, no space,
 * no fraction, and a suffix is one of ours. */
#include "base/num.h"

struct unit {
	const char *suffix;
	u64 factor;
};

static const struct unit size_units[] = {
	{"", 1},
	{"k", 1ull << 10},
	{"m", 1ull << 20},
	{"g", 1ull << 30},
};
static const struct unit duration_units[] = {
	{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};

/* Reads the digits at the start of s and leaves what follows them in *rest. */
static enum err num_digits(struct slice s, u64 *out, struct slice *rest)
{
	bool fits = true;
	size_t i;

	*out = 0;
	for (i = 0; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
		fits = fits && !__builtin_mul_overflow(*out, 10u, out);
		fits = fits && !__builtin_add_overflow(*out, (u64)(s.p[i] - '0'), out);
	}
	*rest = slice_skip(s, i);
	if (i == 0)
		return E_SYNTAX;
	return fits ? E_OK : E_RANGE;
}

static enum err num_with_unit(struct slice s, const struct unit *units, size_t n, u64 *out)
{
	struct slice rest;
	u64 v;
	enum err e = num_digits(s, &v, &rest);

	if (e == E_SYNTAX)
		return e;
	for (size_t i = 0; i < n; i++) {
		if (!slice_eq(rest, slice_str(units[i].suffix)))
			continue;
		if (e == E_OK && __builtin_mul_overflow(v, units[i].factor, out))
			e = E_RANGE;
		return e;
	}
	return E_SYNTAX;
}

enum err num_parse(struct slice s, u64 max, u64 *out)
{
	struct slice rest;
	u64 v;
	enum err e = num_digits(s, &v, &rest);

	if (e == E_SYNTAX || rest.n != 0)
		return E_SYNTAX;
	if (e != E_OK || v > max)
		return E_RANGE;
	*out = v;
	return E_OK;
}

enum err num_parse_size(struct slice s, u64 *bytes)
{
	return num_with_unit(s, size_units, ARRAY_LEN(size_units), bytes);
}

enum err num_parse_duration(struct slice s, u64 *ms)
{
	return num_with_unit(s, duration_units, ARRAY_LEN(duration_units), ms);
}
