#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rd.h"
#include "base/wr.h"
#include "test.h"

static void constant_time_compare(void **state)
{
	u8 a[32] = {1, 2, 3}, b[32] = {1, 2, 3};

	assert_true(mem_eq_const(a, b, sizeof(a)));
	assert_true(mem_eq_const(a, b, 0));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] ^= 0x80;
		assert_false(mem_eq_const(a, b, sizeof(a)));
		b[i] ^= 0x80;
	}
}

static void secrets_compare_and_clear(void **state)
{
	static const struct secret none;
	struct secret s = {.n = 5, .b = "hello"};

	assert_true(secret_eq(&s, SLICE_LIT("hello")));
	assert_false(secret_eq(&s, SLICE_LIT("hellp")));
	assert_false(secret_eq(&s, SLICE_LIT("hell")));
	assert_false(secret_eq(&s, SLICE_NONE));
	secret_clear(&s);
	assert_memory_equal(&s, &none, sizeof(s));
}

static void copies_end_with_zero(void **state)
{
	char *s = xslicedup(SLICE_LIT("ab")), *t = xstrdup("cd"), *u = xslicedup(SLICE_NONE);

	assert_string_equal(s, "ab");
	assert_string_equal(t, "cd");
	assert_string_equal(u, "");
	s = xrealloc(s, 100);
	assert_string_equal(s, "ab");
	free(s);
	free(t);
	free(u);
}

static void slices_compare_by_bytes_then_length(void **state)
{
	assert_true(slice_cmp(SLICE_LIT("a"), SLICE_LIT("b")) < 0);
	assert_true(slice_cmp(SLICE_LIT("b"), SLICE_LIT("a")) > 0);
	assert_true(slice_cmp(SLICE_LIT("a"), SLICE_LIT("ab")) < 0);
	assert_true(slice_cmp(SLICE_LIT("ab"), SLICE_LIT("ab")) == 0);
	assert_true(slice_cmp(SLICE_NONE, SLICE_LIT("")) == 0);
	assert_true(slice_eq(SLICE_NONE, SLICE_LIT("")));
	assert_int_equal(slice_skip(SLICE_LIT("abc"), 5).n, 0);
	assert_int_equal(slice_skip(SLICE_LIT("abc"), 2).p[0], 'c');
}

static void a_reader_fails_once_and_for_all(void **state)
{
	struct rd r = rd_of(SLICE_LIT("\x01\x02\x03\x04\x05\x06\x07\x08\x09"));

	assert_int_equal(rd_u8(&r), 1);
	assert_int_equal(rd_u16(&r), 0x0203);
	assert_int_equal(rd_u32(&r), 0x04050607);
	assert_int_equal(rd_u16(&r), 0x0809);
	assert_int_equal(rd_left(&r), 0);
	assert_int_equal(r.err, E_OK);
	assert_int_equal(rd_u8(&r), 0);
	assert_int_equal(r.err, E_SHORT);
	r = rd_of(SLICE_LIT("\x01\x02\x03"));
	assert_int_equal(rd_u32(&r), 0);
	assert_int_equal(rd_u8(&r), 0);
	assert_int_equal(rd_u16(&r), 0);
	assert_int_equal(rd_bytes(&r, 1).n, 0);
	assert_int_equal(rd_rest(&r).n, 0);
	assert_int_equal(r.err, E_SHORT);
	r = rd_of(SLICE_NONE);
	assert_int_equal(rd_rest(&r).n, 0);
	assert_int_equal(r.err, E_OK);
}

static void a_writer_writes_whole_values_or_nothing(void **state)
{
	u8 b[4] = {0xee, 0xee, 0xee, 0xee};
	struct wr w = wr_of(b, sizeof(b)), n = wr_count();

	wr_u16(&w, 0x0102);
	wr_u8(&w, 3);
	wr_u16(&w, 0x0405);
	assert_int_equal(w.err, E_TOO_LARGE);
	assert_int_equal(w.n, 3);
	assert_int_equal(b[3], 0xee);
	wr_u8(&w, 4);
	assert_int_equal(w.n, 3);
	assert_int_equal(wr_done(&w).n, 0);
	wr_u32(&n, 1);
	wr_slice(&n, SLICE_LIT("abc"));
	assert_int_equal(n.n, 7);
}

static void errors_have_text_word_and_reason(void **state)
{
	for (enum err e = E_OK; e < E_N; e++) {
		assert_true(strlen(err_text(e)) > 0);
		assert_true(strlen(err_word(e)) > 0);
		assert_int_equal(err_reason(e) >= 0x80, e != E_OK);
	}
	assert_int_equal(err_reason(E_TOPIC), 0x90);
	assert_int_equal(err_reason((enum err)9999), 0x80);
	assert_string_equal(err_word((enum err)9999), "unknown");
}

static void times_are_written_as_people_read_them(void **state)
{
	char b[21];
	u64 mono = clock_mono_ms();

	clock_format(0, b, sizeof(b));
	assert_string_equal(b, "1970-01-01T00:00:00Z");
	clock_format(1795528931999, b, sizeof(b));
	assert_string_equal(b, "2026-11-24T14:02:11Z");
	clock_format(1709164799000, b, sizeof(b));
	assert_string_equal(b, "2024-02-28T23:59:59Z");
	clock_format(UINT64_MAX, b, sizeof(b));
	assert_string_equal(b, "9999-12-31T23:59:59Z");
	assert_true(clock_mono_ms() >= mono);
	assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(constant_time_compare),
		cmocka_unit_test(secrets_compare_and_clear),
		cmocka_unit_test(copies_end_with_zero),
		cmocka_unit_test(slices_compare_by_bytes_then_length),
		cmocka_unit_test(a_reader_fails_once_and_for_all),
		cmocka_unit_test(a_writer_writes_whole_values_or_nothing),
		cmocka_unit_test(errors_have_text_word_and_reason),
		cmocka_unit_test(times_are_written_as_people_read_them),
	};

	return RUN_TESTS(tests);
}
