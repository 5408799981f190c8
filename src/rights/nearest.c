/* nearest: see nearest.h.  The restricted Damerau-Levenshtein distance on short words. */
#include "rights/nearest.h"

enum { WORD_MAX = 32 };

static u8 lower(u8 c)
{
	return c >= 'A' && c <= 'Z' ? (u8)(c + 32) : c;
}

static u32 min3(u32 a, u32 b, u32 c)
{
	return MIN(a, MIN(b, c));
}

static u32 distance(struct slice a, struct slice b)
{
	u32 row[3][WORD_MAX + 1]; /* row[i % 3][j]: from the first i of a to the first j of b */

	for (u32 j = 0; j <= b.n; j++)
		row[0][j] = j;
	for (u32 i = 1; i <= a.n; i++) {
		u32 *now = row[i % 3], *up = row[(i + 2) % 3], *upup = row[(i + 1) % 3];

		now[0] = i;
		for (u32 j = 1; j <= b.n; j++) {
			u8 ca = lower(a.p[i - 1]), cb = lower(b.p[j - 1]);

			now[j] = min3(up[j] + 1, now[j - 1] + 1, up[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && ca == lower(b.p[j - 2]) && lower(a.p[i - 2]) == cb)
				now[j] = MIN(now[j], upup[j - 2] + 1);
		}
	}
	return row[a.n % 3][b.n];
}

const char *nearest_word(struct slice word, const char *const *known)
{
	const char *best = NULL;
	u32 least = word.n <= 4 ? 2 : 3; /* found only below this */

	if (word.n == 0 || word.n > WORD_MAX)
		return NULL;
	for (; *known != NULL; known++) {
		struct slice k = slice_str(*known);
		u32 d;

		if (k.n > WORD_MAX)
			continue;
		d = distance(word, k);
		if (d < least) {
			least = d;
			best = *known;
		}
	}
	return best;
}
