#include "base/utf8.h"
#include "test.h"

/* Encode without judging, as a bad peer would. */
static size_t put(u32 c, u8 *b)
{
	if (c < 0x80) {
		b[0] = (u8)c;
		return 1;
	}
	if (c < 0x800) {
		b[0] = (u8)(0xc0 | c >> 6);
		b[1] = (u8)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		b[0] = (u8)(0xe0 | c >> 12);
		b[1] = (u8)(0x80 | (c >> 6 & 0x3f));
		b[2] = (u8)(0x80 | (c & 0x3f));
		return 3;
	}
	b[0] = (u8)(0xf0 | c >> 18);
	b[1] = (u8)(0x80 | (c >> 12 & 0x3f));
	b[2] = (u8)(0x80 | (c >> 6 & 0x3f));
	b[3] = (u8)(0x80 | (c & 0x3f));
	return 4;
}

static bool allowed(u32 c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	if (c >= 0xd800 && c < 0xe000)
		return false;
	if ((c >= 0xfdd0 && c <= 0xfdef) || (c & 0xffff) >= 0xfffe)
		return false;
	return c <= 0x10ffff;
}

static void every_code_point(void **state)
{
	u8 b[4];

	for (u32 c = 0; c < 0x1fffff; c++) {
		size_t n = put(c, b);
		assert_int_equal(utf8_ok(slice_of(b, n)), allowed(c));
		assert_int_equal(utf8_one(b, n), allowed(c) ? n : 0);
	}
}

static void cut_and_overlong_sequences(void **state)
{
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"\xc2",
		"\xc3\x28",
		"\xe2\x82",
		"\xf0\x9f\x98",
		"\xc0\x80",
		"\xc1\xaf",
		"\xe0\x80\xaf",
		"\xf0\x80\x80\xaf",
		"\xed\xa0\xbd\xed\xb8\x80",
		"\xf5\x80\x80\x80",
		"\xff",
		"\xfe",
		"\xe2\x28\xa1",
		"\xf0\x9f\x28\x80",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(utf8_ok(slice_str(bad[i])));
	assert_true(utf8_ok(SLICE_NONE));
	assert_int_equal(utf8_one(NULL, 0), 0);
}

/* Each code point in more bytes than it needs. */
static void every_overlong_form(void **state)
{
	for (u32 c = 0; c < 0x10000; c++) {
		const u8 four[] = {0xf0, (u8)(0x80 | c >> 12), (u8)(0x80 | (c >> 6 & 0x3f)),
				   (u8)(0x80 | (c & 0x3f))};
		const u8 three[] = {0xe0, four[2], four[3]};
		const u8 two[] = {(u8)(0xc0 | c >> 6), four[3]};
		assert_false(utf8_ok(slice_of(four, 4)));
		assert_false(c < 0x800 && utf8_ok(slice_of(three, 3)));
		assert_false(c < 0x80 && utf8_ok(slice_of(two, 2)));
	}
}

/* The eight-byte step must see a bad byte in each of its places, and in the rest behind it. */
static void one_bad_byte_anywhere(void **state)
{
	static const u8 bad[] = {0x00, 0x1f, 0x7f, 0x80, 0xff, 0xc2};
	u8 b[29];

	for (size_t at = 0; at < sizeof(b); at++) {
		for (size_t k = 0; k < sizeof(bad); k++) {
			memset(b, at % 2 ? 0x20 : 0x7e, sizeof(b));
			assert_true(utf8_ok(slice_of(b, sizeof(b))));
			b[at] = bad[k];
			assert_false(utf8_ok(slice_of(b, sizeof(b))));
		}
	}
}

static void plain8_is_exact(void **state)
{
	for (u32 at = 0; at < 8; at++) {
		for (u64 c = 0; c < 256; c++) {
			for (u64 fill = 0x20; fill < 0x7f; fill += 0x5e / 2) {
				u64 v = fill * 0x0101010101010101;
				v = (v & ~(0xffull << 8 * at)) | c << 8 * at;
				assert_int_equal(utf8_plain8(v), c >= 0x20 && c < 0x7f);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_point),    cmocka_unit_test(cut_and_overlong_sequences),
		cmocka_unit_test(every_overlong_form), cmocka_unit_test(one_bad_byte_anywhere),
		cmocka_unit_test(plain8_is_exact),
	};

	return RUN_TESTS(tests);
}
