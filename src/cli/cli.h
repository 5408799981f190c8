/* cli: one invocation of the picket command: what was asked, and where the answer goes. */
#ifndef PICKET_CLI_CLI_H
#define PICKET_CLI_CLI_H

#include <stdio.h>

#include "base/err.h"
#include "cli/options.def"

#define X(id, name, letter, value, many, doc) OPT_##id,
enum opt { OPTION_TABLE(X) OPT_N };
#undef X

enum { CLI_ARGS = 256, CLI_MANY = 32, CLI_RUN_DIR = 256 };
/* The exit codes of the command (DESIGN.md section 11). */
enum cli_exit { CLI_DONE = 0, CLI_REFUSED = 1, CLI_USAGE = 2, CLI_WARNED = 3 };

struct cli;
struct command {
	const char *noun, *verb, *args, *options;
	int (*run)(struct cli *c);
	const char *doc;
};

/* Values view argv. */
struct opt_value {
	u32 n; /* how often it was given */
	const char *v[CLI_MANY];
};
struct cli {
	const struct command *command;
	u32 nargs;
	const char *arg[CLI_ARGS];
	struct opt_value opt[OPT_N];
	FILE *in, *out, *err;
	char run_dir[CLI_RUN_DIR];
};

/* Parse, run, return the exit code.  Prints to the three streams. */
int cli_main(int argc, char **argv, FILE *in, FILE *out, FILE *err);

static inline bool cli_has(const struct cli *c, enum opt o)
{
	return c->opt[o].n > 0;
}
/* The last value given, or NULL. */
static inline const char *cli_value(const struct cli *c, enum opt o)
{
	return c->opt[o].n > 0 ? c->opt[o].v[c->opt[o].n - 1] : NULL;
}

/* ---- args.c: the table and the parser ---- */
const struct command *command_at(size_t i); /* NULL past the last */
struct option_row {
	enum opt id;
	const char *name;
	char letter;
	const char *value;
	bool many;
	const char *doc;
};
const struct option_row *option_at(size_t i);
/* Is the option one of the command's (global ones are)? */
bool command_takes(const struct command *cmd, const char *option) MUST;
/* Fills command, args and options.  E_SYNTAX: why (one line, ours; theirs escaped) in what. */
enum err args_parse(struct cli *c, int argc, char **argv, char *what, size_t cap) MUST;
/* "picket device add [NAME…] [--role ROLE]…" into out. */
void command_usage(const struct command *cmd, char *out, size_t cap);

/* Usage and options of one command (help.c); CLI_DONE. */
int help_command(struct cli *c, const struct command *cmd);

/* ---- the functions of the table ---- */
#include "cli/commands.def"
#define X(noun, verb, args, options, fn, doc) int cmd_##fn(struct cli *c);
COMMAND_TABLE(X)
#undef X

#endif
