/* nearest: which option was meant (edit distance, at most a third of the name). */
#include "conf/internal.h"

enum { NAME_MAX_LEN = 64 };

static u32 min3(u32 a, u32 b, u32 c)
{
	return MIN(MIN(a, b), c);
}

/* Levenshtein distance; names are short. */
static u32 distance(const char *a, const char *b)
{
	u32 row[NAME_MAX_LEN + 1];
	size_t n = strlen(b);

	if (n > NAME_MAX_LEN || strlen(a) > NAME_MAX_LEN)
		return UINT32_MAX;
	for (u32 j = 0; j <= n; j++)
		row[j] = j;
	for (u32 i = 1; a[i - 1] != '\0'; i++) {
		u32 diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			u32 swap = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			row[j] = min3(swap, row[j] + 1, row[j - 1] + 1);
		}
	}
	return row[n];
}

const struct option *option_nearest(const char *name, enum place place)
{
	const struct option *best = NULL;
	u32 best_d = (u32)MIN(strlen(name), (size_t)NAME_MAX_LEN) / 3 + 2;

	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];
		u32 d = distance(name, o->name);
		if (!(o->places & 1u << place) || d >= best_d)
			continue;
		best = o;
		best_d = d;
	}
	return best;
}
