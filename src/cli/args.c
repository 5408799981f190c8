/* args: from argv to one row of the table of commands, its arguments and its options. */
#include <ctype.h>

#include "base/log.h"
#include "cli/cli.h"

#define X(noun, verb, args, options, fn, doc) {noun, verb, args, options, cmd_##fn, doc},
static const struct command commands[] = {COMMAND_TABLE(X)};
#undef X
#define X(id, name, letter, value, many, doc) {OPT_##id, name, letter, value, many, doc},
static const struct option_row options[] = {OPTION_TABLE(X)};
#undef X

const struct command *command_at(size_t i)
{
	return i < ARRAY_LEN(commands) ? &commands[i] : NULL;
}

const struct option_row *option_at(size_t i)
{
	return i < ARRAY_LEN(options) ? &options[i] : NULL;
}

bool command_takes(const struct command *cmd, const char *option)
{
	const char *p = cmd->options;
	size_t n = strlen(option);

	for (size_t i = 0; i <= OPT_HELP; i++)
		if (strcmp(options[i].name, option) == 0)
			return true;
	while (*p != 0) {
		size_t len = strcspn(p, ",");

		if (len == n && memcmp(p, option, n) == 0)
			return true;
		p += len + (p[len] == ',');
	}
	return false;
}

/* How many arguments the row's words ask for. */
static void args_count(const char *words, u32 *min, u32 *max)
{
	const char *p = words;

	*min = *max = 0;
	while (*p != 0) {
		size_t len = strcspn(p, " ");

		if (p[0] != '[')
			++*min;
		*max = memmem(p, len, "…", strlen("…")) != NULL ? CLI_ARGS : *max + 1;
		p += len + (p[len] == ' ');
	}
}

void command_usage(const struct command *cmd, char *out, size_t cap)
{
	size_t n =
		(size_t)snprintf(out, cap, "picket %s%s%s%s%s", cmd->noun, cmd->verb[0] ? " " : "",
				 cmd->verb, cmd->args[0] ? " " : "", cmd->args);

	for (size_t i = OPT_HELP + 1; i < OPT_N && n < cap; i++) {
		const struct option_row *o = &options[i];

		if (!command_takes(cmd, o->name))
			continue;
		n += (size_t)snprintf(out + n, cap - n, " [--%s%s%s]%s", o->name,
				      o->value ? " " : "", o->value ? o->value : "",
				      o->many ? "…" : "");
	}
}

/* ---- the parser
 * ---------------------------------------------------------------------------------- */

static enum err args_bad(char *what, size_t cap, const char *why, const char *theirs)
{
	char shown[160];

	log_escape(slice_str(theirs), shown, sizeof(shown));
	snprintf(what, cap, "%s: %s", why, shown);
	return E_SYNTAX;
}

static const struct option_row *option_named(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strlen(options[i].name) == n && memcmp(options[i].name, name, n) == 0)
			return &options[i];
	return NULL;
}

static const struct option_row *option_lettered(char letter)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (options[i].letter != 0 && options[i].letter == letter)
			return &options[i];
	return NULL;
}

/* The option at argv[*i]; steps over a value that stands apart. */
static enum err option_take(struct cli *c, int argc, char **argv, int *i, char *what, size_t cap)
{
	const char *a = argv[*i], *eq = strchr(a, '=');
	bool spelled = a[1] == '-';
	size_t n = eq != NULL ? (size_t)(eq - a) - 2 : strlen(a) - (spelled ? 2 : 0);
	const struct option_row *o = spelled	 ? option_named(a + 2, n)
				     : a[2] == 0 ? option_lettered(a[1])
						 : NULL;
	struct opt_value *v;

	if (o == NULL)
		return args_bad(what, cap, "unknown option", a);
	v = &c->opt[o->id];
	if (v->n >= (o->many ? CLI_MANY : 1))
		return args_bad(what, cap, "given too often", a);
	if (o->value == NULL && spelled && eq != NULL)
		return args_bad(what, cap, "takes no value", a);
	if (o->value != NULL && !(spelled && eq != NULL) && *i + 1 >= argc)
		return args_bad(what, cap, "needs a value", a);
	if (o->value == NULL)
		v->v[v->n++] = "";
	else if (spelled && eq != NULL)
		v->v[v->n++] = eq + 1;
	else
		v->v[v->n++] = argv[++*i];
	return E_OK;
}

static enum err words_take(struct cli *c, int argc, char **argv, char *what, size_t cap)
{
	bool options_end = false;

	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		enum err e;

		if (!options_end && strcmp(a, "--") == 0) {
			options_end = true;
			continue;
		}
		if (!options_end && a[0] == '-' && a[1] != 0) {
			e = option_take(c, argc, argv, &i, what, cap);
			if (e != E_OK)
				return e;
			continue;
		}
		if (c->nargs == CLI_ARGS)
			return args_bad(what, cap, "too many arguments", a);
		c->arg[c->nargs++] = a;
	}
	return E_OK;
}

static void words_shift(struct cli *c, u32 n)
{
	ASSERT(n <= c->nargs);
	c->nargs -= n;
	memmove(c->arg, c->arg + n, c->nargs * sizeof(c->arg[0]));
}

/* Noun and verb: takes them off the arguments. */
static enum err command_find(struct cli *c, char *what, size_t cap)
{
	const char *verb = c->nargs > 1 ? c->arg[1] : "";
	bool noun = false;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct command *cmd = &commands[i];

		if (strcmp(cmd->noun, c->arg[0]) != 0)
			continue;
		noun = true;
		if (cmd->verb[0] != 0 && strcmp(cmd->verb, verb) != 0)
			continue;
		c->command = cmd;
		words_shift(c, cmd->verb[0] != 0 ? 2 : 1);
		return E_OK;
	}
	if (!noun)
		return args_bad(what, cap, "unknown command", c->arg[0]);
	if (verb[0] == 0)
		return args_bad(what, cap, "say what to do (picket help NOUN lists it)", c->arg[0]);
	return args_bad(what, cap, "unknown verb", verb);
}

static enum err command_check(struct cli *c, char *what, size_t cap)
{
	char usage[1024];
	u32 min, max;

	for (size_t i = 0; i < OPT_N; i++)
		if (c->opt[i].n > 0 && !command_takes(c->command, options[i].name))
			return args_bad(what, cap, "not an option of this command",
					options[i].name);
	args_count(c->command->args, &min, &max);
	if ((c->nargs >= min && c->nargs <= max) || cli_has(c, OPT_HELP))
		return E_OK;
	command_usage(c->command, usage, sizeof(usage));
	snprintf(what, cap, "%s: %s",
		 c->nargs < min ? "something is missing" : "too many arguments", usage);
	return E_SYNTAX;
}

enum err args_parse(struct cli *c, int argc, char **argv, char *what, size_t cap)
{
	static char help[] = "help";
	enum err e = words_take(c, argc, argv, what, cap);

	if (e != E_OK)
		return e;
	if (c->nargs == 0)
		c->arg[c->nargs++] = help;
	e = command_find(c, what, cap);
	return e != E_OK ? e : command_check(c, what, cap);
}
