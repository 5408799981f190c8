/* holder: see holder.h. */
#include "rights/holder.h"

#include "rights/doc.h"

#define X(name, word, field) word,
const char *const holder_words[] = {HOLDER_TABLE(X) "claim.NAME", NULL};
#undef X

static bool claim_name_ok(struct slice s)
{
	if (s.n == 0 || s.n > POLICY_CLAIM_NAME)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		u8 c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '-' || c == '.'))
			return false;
	}
	return true;
}

/* What stands in the braces. */
static struct part part_of_word(struct slice word)
{
	static const struct slice claim = {(const u8 *)"claim.", 6};
	struct part out = {PART_N, word};

	for (u32 i = 0; i + PART_DEVICE < PART_CLAIM; i++) {
		if (slice_eq(word, slice_str(holder_words[i])))
			return (struct part){(enum part_kind)(PART_DEVICE + i), SLICE_NONE};
	}
	if (word.n > claim.n && memcmp(word.p, claim.p, claim.n) == 0 &&
	    claim_name_ok(slice_skip(word, claim.n)))
		out = (struct part){PART_CLAIM, slice_skip(word, claim.n)};
	return out;
}

static bool holder_at(struct slice text, size_t at)
{
	return at + 1 < text.n && text.p[at] == '$' && text.p[at + 1] == '{';
}

bool part_next(struct slice text, size_t *at, struct part *out)
{
	size_t start = *at, end = start;

	if (start >= text.n)
		return false;
	if (!holder_at(text, start)) {
		while (end < text.n && !holder_at(text, end))
			end++;
		*out = (struct part){PART_LITERAL, slice_of(text.p + start, end - start)};
		*at = end;
		return true;
	}
	start = end = start + 2;
	while (end < text.n && text.p[end] != '}')
		end++;
	*out = (struct part){PART_N, slice_of(text.p + start, end - start)};
	if (end != text.n)
		*out = part_of_word(out->s);
	*at = end == text.n ? end : end + 1;
	return true;
}
