/* test_args: every row of the table can be reached, and what is wrong is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "cli/cli.h"

static enum err parse(struct cli *c, const char *line, char *what)
{
	static char words[8192];
	static char *argv[600];
	int argc = 0;

	*c = (struct cli){0};
	snprintf(words, sizeof(words), "picket %s", line);
	for (char *w = strtok(words, " "); w != NULL; w = strtok(NULL, " "))
		argv[argc++] = w;
	return args_parse(c, argc, argv, what, 1280);
}

static void test_every_row(void **state)
{
	const struct command *cmd;
	struct cli c;
	char what[1280], line[256];

	for (size_t i = 0; (cmd = command_at(i)) != NULL; i++) {
		snprintf(line, sizeof(line), "%s %s --help", cmd->noun, cmd->verb);
		assert_int_equal(parse(&c, line, what), E_OK);
		assert_ptr_equal(c.command, cmd);
		/* Every option that a row names exists. */
		for (const char *p = cmd->options; *p != 0;) {
			size_t n = strcspn(p, ","), k = 0;
			bool found = false;

			for (; option_at(k) != NULL; k++)
				found |= strlen(option_at(k)->name) == n &&
					 memcmp(option_at(k)->name, p, n) == 0;
			assert_true(found);
			p += n + (p[n] == ',');
		}
	}
}

static void test_options(void **state)
{
	struct cli c;
	char what[1280];

	assert_int_equal(parse(&c, "device add a b --role x --role=y -o out --run /r --json", what),
			 E_OK);
	assert_int_equal(c.nargs, 2);
	assert_string_equal(c.arg[1], "b");
	assert_int_equal(c.opt[OPT_ROLE].n, 2);
	assert_string_equal(c.opt[OPT_ROLE].v[1], "y");
	assert_string_equal(cli_value(&c, OPT_OUT), "out");
	assert_string_equal(cli_value(&c, OPT_RUN), "/r");
	assert_true(cli_has(&c, OPT_JSON));
	/* Global options may come first; after -- all is an argument. */
	assert_int_equal(parse(&c, "--run /r device show -- --json", what), E_OK);
	assert_string_equal(c.arg[0], "--json");
	assert_false(cli_has(&c, OPT_JSON));
	assert_int_equal(parse(&c, "role set sensor -", what), E_OK);
	assert_string_equal(c.arg[1], "-");
	assert_int_equal(parse(&c, "", what), E_OK);
	assert_string_equal(c.command->noun, "help");
}

static void test_bad(void **state)
{
	static const char *const lines[] = {
		"nonsense",
		"device",
		"device fly",
		"device show",
		"device show a b",
		"device list --never=1",
		"device add a --bad",
		"device add a --out",
		"status --role x",
		"device add a --out x --out y",
		"logs -x",
		"explain a publish",
		"device add a -oX",
	};
	struct cli c;
	char what[1280];

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		what[0] = 0;
		if (parse(&c, lines[i], what) != E_SYNTAX)
			fail_msg("taken: %s", lines[i]);
		assert_true(what[0] != 0);
	}
	assert_int_equal(parse(&c, "\x1b[31mred", what), E_SYNTAX);
	assert_null(strchr(what, 0x1b));
}

static void test_too_many(void **state)
{
	struct cli c;
	char what[1280], line[4096] = "device add";

	for (u32 i = 0; i < 300; i++)
		strncat(line, " a", sizeof(line) - strlen(line) - 1);
	assert_int_equal(parse(&c, line, what), E_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
