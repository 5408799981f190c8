#include "base/num.h"
#include "test.h"

static void overflow_is_seen(void **state)
{
	size_t out;
	u16 h;
	u32 w;

	assert_true(add_sz(SIZE_MAX - 1, 1, &out));
	assert_int_equal(out, SIZE_MAX);
	assert_false(add_sz(SIZE_MAX, 1, &out));
	assert_true(mul_sz(SIZE_MAX / 2, 2, &out));
	assert_false(mul_sz(SIZE_MAX / 2 + 1, 2, &out));
	assert_true(narrow_u16(65535, &h));
	assert_false(narrow_u16(65536, &h));
	assert_true(narrow_u32(UINT32_MAX, &w));
	assert_false(narrow_u32((size_t)UINT32_MAX + 1, &w));
}

struct parse_case {
	const char *text;
	enum err err;
	u64 value;
};

static void parse_plain(void **state)
{
	static const struct parse_case cases[] = {
		{"0", E_OK, 0},
		{"42", E_OK, 42},
		{"0042", E_OK, 42},
		{"18446744073709551615", E_OK, UINT64_MAX},
		{"18446744073709551616", E_RANGE, 0},
		{"99999999999999999999999999", E_RANGE, 0},
		{"", E_SYNTAX, 0},
		{"-1", E_SYNTAX, 0},
		{"+1", E_SYNTAX, 0},
		{" 1", E_SYNTAX, 0},
		{"1 ", E_SYNTAX, 0},
		{"1x", E_SYNTAX, 0},
		{"0x10", E_SYNTAX, 0},
		{"99999999999999999999999999x", E_SYNTAX, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		u64 v = 0;
		assert_int_equal(num_parse(slice_str(cases[i].text), UINT64_MAX, &v), cases[i].err);
		assert_true(v == cases[i].value);
	}
}

static void parse_keeps_the_maximum(void **state)
{
	u64 v = 7;

	assert_int_equal(num_parse(SLICE_LIT("256"), 255, &v), E_RANGE);
	assert_int_equal(v, 7);
	assert_int_equal(num_parse(SLICE_LIT("255"), 255, &v), E_OK);
	assert_int_equal(v, 255);
}

static void parse_sizes(void **state)
{
	static const struct parse_case cases[] = {
		{"16k", E_OK, 16384},
		{"1m", E_OK, 1048576},
		{"2g", E_OK, 2147483648},
		{"512", E_OK, 512},
		{"17179869183g", E_OK, 17179869183ull << 30},
		{"17179869184g", E_RANGE, 0},
		{"99999999999999999999k", E_RANGE, 0},
		{"k", E_SYNTAX, 0},
		{"1K", E_SYNTAX, 0},
		{"1kb", E_SYNTAX, 0},
		{"1 k", E_SYNTAX, 0},
		{"1.5m", E_SYNTAX, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		u64 v;
		assert_int_equal(num_parse_size(slice_str(cases[i].text), &v), cases[i].err);
		if (cases[i].err == E_OK)
			assert_true(v == cases[i].value);
	}
}

static void parse_durations(void **state)
{
	static const struct parse_case cases[] = {
		{"300ms", E_OK, 300},	 {"5s", E_OK, 5000},
		{"10m", E_OK, 600000},	 {"24h", E_OK, 86400000},
		{"7d", E_OK, 604800000}, {"0s", E_OK, 0},
		{"5", E_SYNTAX, 0},	 {"s", E_SYNTAX, 0},
		{"5 s", E_SYNTAX, 0},	 {"5sec", E_SYNTAX, 0},
		{"1h30m", E_SYNTAX, 0},	 {"", E_SYNTAX, 0},
		{"-5s", E_SYNTAX, 0},	 {"213503982335d", E_RANGE, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		u64 v;
		assert_int_equal(num_parse_duration(slice_str(cases[i].text), &v), cases[i].err);
		if (cases[i].err == E_OK)
			assert_true(v == cases[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overflow_is_seen),	   cmocka_unit_test(parse_plain),
		cmocka_unit_test(parse_keeps_the_maximum), cmocka_unit_test(parse_sizes),
		cmocka_unit_test(parse_durations),
	};

	return RUN_TESTS(tests);
}
