/* utf8: one table-free decoder; the usual case, printable ASCII, is tested eight bytes at a time.
 */
#include "base/utf8.h"

static bool cont(u8 c)
{
	return (c & 0xc0) == 0x80;
}

/* The code point of the sequence of n bytes at p, 0 when it is not well-formed (overlong ones
 * included). */
static u32 utf8_decode(const u8 *p, size_t n)
{
	static const u32 least[] = {0, 0, 0x80, 0x800, 0x10000};
	u32 c = p[0] & (0xffu >> (n + 1));

	for (size_t i = 1; i < n; i++) {
		if (!cont(p[i]))
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	return c >= least[n] ? c : 0;
}

static bool code_point_ok(u32 c)
{
	bool control = c < 0xa0; /* only U+0080..U+009F come here, and 0 for "not well-formed" */
	bool surrogate = c >= 0xd800 && c <= 0xdfff;
	bool nonchar = (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe;

	return !control && !surrogate && !nonchar && c <= 0x10ffff;
}

size_t utf8_one(const u8 *p, size_t n)
{
	size_t len;

	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len || !code_point_ok(utf8_decode(p, len)))
		return 0;
	return len;
}

static bool plain8(const u8 *p)
{
	u64 v;

	memcpy(&v, p, 8);
	return utf8_plain8(v);
}

bool utf8_ok(struct slice s)
{
	size_t i = 0;

	while (i < s.n) {
		size_t len = s.n - i >= 8 && plain8(s.p + i) ? 8 : utf8_one(s.p + i, s.n - i);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}
