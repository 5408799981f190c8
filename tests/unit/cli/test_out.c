/* test_out: nothing that came from outside moves the cursor, changes a colour, hides or turns text
 * (I27). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cli/out.h"
#include "ipc/codes.h"

static char text[8192];

static FILE *begin(void)
{
	memset(text, 0, sizeof(text));
	return fmemopen(text, sizeof(text), "w");
}

static void escaped(struct slice in, const char *want)
{
	FILE *f = begin();

	out_escaped(f, in);
	fclose(f);
	assert_string_equal(text, want);
}

static void test_escaped(void **state)
{
	escaped(SLICE_LIT("plain text"), "plain text");
	escaped(SLICE_LIT("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
	escaped(SLICE_LIT("\x1b[2J\x07\r\n\t"), "\\x1b[2J\\x07\\x0d\\x0a\\x09");
	escaped(SLICE_LIT("a\0b"), "a\\x00b");
	escaped(SLICE_LIT("\xff\xc3"), "\\xff\\xc3");
	escaped(SLICE_LIT("\x7f"), "\\x7f");
	escaped(SLICE_LIT("\xc2\x9b"
			  "31m"),
		"\\xc2\\x9b31m"); /* CSI as one character */
	escaped(SLICE_LIT("\xe2\x80\xae"
			  "evil"),
		"\\xe2\\x80\\xaeevil");			       /* right-to-left override */
	escaped(SLICE_LIT("\xe2\x80\x8b"), "\\xe2\\x80\\x8b"); /* zero width */
	escaped(SLICE_LIT(""), "");
}

static void test_four(void **state)
{
	json_t *j = json_pack("{s:s,s:s,s:s,s:s}", "changed", "a\x1b[1m", "effect", "", "undo", "u",
			      "next", "n");
	FILE *f = begin();

	out_four(f, j);
	fclose(f);
	json_decref(j);
	assert_string_equal(text, "changed  a\\x1b[1m\nundo     u\nnext     n\n");
}

static void test_text(void **state)
{
	FILE *f = begin();

	out_text(f, "one\n\ttwo \x1b[0m\nlast");
	fclose(f);
	assert_string_equal(text, "one\n\ttwo \\x1b[0m\nlast\n");
}

static void test_table(void **state)
{
	static const char *const titles[] = {"A", "B"};
	struct out_table t;
	FILE *f = begin();

	out_table_begin(&t, titles, 2);
	out_table_cell(&t, "gr\xc3\xbc\xc3\x9f");
	out_table_cell(&t, "x\n");
	out_table_cell(&t, "y");
	out_table_cell(&t, "");
	out_table_end(&t, f);
	fclose(f);
	assert_string_equal(text, "A     B\ngr\xc3\xbc\xc3\x9f  x\\x0a\ny     \n");
}

static void test_error(void **state)
{
	struct cli c = {0};

	c.out = c.err = begin();
	assert_int_equal(out_refuse(&c, CODE_FILE_EXISTS, "dir\x1b[m"), CLI_REFUSED);
	fclose(c.err);
	assert_non_null(strstr(text, "refused  E3005 file_exists: "));
	assert_non_null(strstr(text, "dir\\x1b[m\nnext     "));
	c.opt[OPT_JSON].n = 1;
	c.out = c.err = begin();
	assert_int_equal(out_refuse(&c, CODE_FILE_EXISTS, NULL), CLI_REFUSED);
	fclose(c.err);
	assert_non_null(strstr(text, "\"code\": \"E3005\""));
}

static void test_times(void **state)
{
	char b[64];

	out_ago(0, 5000, b, sizeof(b));
	assert_string_equal(b, "never");
	out_ago(9000, 5000, b, sizeof(b)); /* a clock that went back */
	assert_string_equal(b, "0 s ago");
	out_ago(1, 3600001, b, sizeof(b));
	assert_string_equal(b, "60 min ago");
	out_duration(1083000, b, sizeof(b));
	assert_string_equal(b, "00:18:03");
	out_duration(3 * 86400000ull + 3600000, b, sizeof(b));
	assert_string_equal(b, "3 d 01:00");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escaped), cmocka_unit_test(test_four),
		cmocka_unit_test(test_text),	cmocka_unit_test(test_table),
		cmocka_unit_test(test_error),	cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
