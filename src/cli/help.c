/* help: projections of the tables: usage, the page of all commands, the shell's completion, message
 * ids. */
#include <stdlib.h>

#include "base/num.h"
#include "cli/out.h"
#include "ipc/codes.h"

static void command_line(FILE *f, const struct command *cmd)
{
	char left[96];

	snprintf(left, sizeof(left), "picket %s%s%s %s", cmd->noun, cmd->verb[0] ? " " : "",
		 cmd->verb, cmd->args);
	fprintf(f, "  %-46s %s\n", left, cmd->doc);
}

static void options_tell(FILE *f, const struct command *cmd)
{
	for (size_t i = 0; option_at(i) != NULL; i++) {
		const struct option_row *o = option_at(i);
		char left[64];

		if (!command_takes(cmd, o->name))
			continue;
		snprintf(left, sizeof(left), "--%s%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "", o->many ? "…" : "");
		fprintf(f, "  %-28s %s\n", left, o->doc);
	}
}

int help_command(struct cli *c, const struct command *cmd)
{
	char usage[1024];

	command_usage(cmd, usage, sizeof(usage));
	fprintf(c->out, "%s\n%s\n\n", usage, cmd->doc);
	options_tell(c->out, cmd);
	return CLI_DONE;
}

static int help_all(struct cli *c)
{
	fputs("picket: work with the MQTT broker picketd.  picket NOUN VERB [NAME] [--options]\n\n",
	      c->out);
	for (size_t i = 0; command_at(i) != NULL; i++)
		command_line(c->out, command_at(i));
	fputs("  picket bench                                   measure a broker (picket bench "
	      "--help)\n"
	      "\nOf one command: picket help NOUN VERB.  Of a message: picket help E1101.\n"
	      "Exit: 0 done, 1 refused, 2 usage, 3 done with warnings.\n",
	      c->out);
	return CLI_DONE;
}

static void markdown_command(FILE *f, const struct command *cmd)
{
	char usage[1024];

	command_usage(cmd, usage, sizeof(usage));
	fprintf(f, "\n### picket %s%s%s\n\n%s.\n\n```\n%s\n```\n", cmd->noun,
		cmd->verb[0] ? " " : "", cmd->verb, cmd->doc, usage);
}

static int help_markdown(struct cli *c)
{
	fputs("# The commands of picket\n\n<!-- Made by `picket help --markdown` from the table of "
	      "commands; do not edit. -->\n\n"
	      "`picket [--run DIR] NOUN VERB [NAME] [--options]`.  Every command takes `--json`, "
	      "`--yes` and `--dry-run`.\n"
	      "DIR is where admin.sock is; without it: the environment's PICKET_RUN, this user's "
	      "own "
	      "broker, /run/picket.\n"
	      "Exit status: 0 done, 1 refused (with a message id), 2 usage, 3 done with warnings.\n"
	      "Secrets come from a file, stdin or the terminal, or are generated; never from an "
	      "argument.\n",
	      c->out);
	for (size_t i = 0; command_at(i) != NULL; i++)
		markdown_command(c->out, command_at(i));
	fputs("\n## Options\n\n| option | what it does |\n|---|---|\n", c->out);
	for (size_t i = 0; option_at(i) != NULL; i++) {
		const struct option_row *o = option_at(i);
		const char *v = o->value ? o->value : "";

		fprintf(c->out, "| `--%s%s", o->name, v[0] ? " " : "");
		for (; *v != 0; v++) /* a bar would end the cell */
			fputs(*v == '|' ? "\\|" : (char[]){*v, 0}, c->out);
		fprintf(c->out, "` | %s |\n", o->doc);
	}
	fputs("\n## Messages\n\n| id | what happened | what to do |\n|---|---|---|\n", c->out);
	for (size_t i = 0; code_at(i) != NULL; i++)
		fprintf(c->out, "| E%04u | %s | %s |\n", code_at(i)->number, code_at(i)->text,
			code_at(i)->next);
	return CLI_DONE;
}

/* One case a noun (its verbs); options from the table. */
static int help_completion(struct cli *c)
{
	fputs("# bash completion for picket; made by `picket help --completion`\n"
	      "_picket()\n{\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n"
	      "\tcase \"$cur\" in\n\t-*) words=\"",
	      c->out);
	for (size_t i = 0; option_at(i) != NULL; i++)
		fprintf(c->out, "%s--%s", i > 0 ? " " : "", option_at(i)->name);
	fputs("\" ;;\n\t*) case \"$COMP_CWORD ${COMP_WORDS[1]}\" in\n\t\t1\\ *) words=\"bench",
	      c->out);
	for (size_t i = 0; command_at(i) != NULL; i++)
		if (i == 0 || strcmp(command_at(i)->noun, command_at(i - 1)->noun) != 0)
			fprintf(c->out, " %s", command_at(i)->noun);
	fputs("\" ;;\n", c->out);
	for (size_t i = 0; command_at(i) != NULL; i++) {
		const struct command *cmd = command_at(i);
		bool first = i == 0 || strcmp(cmd->noun, command_at(i - 1)->noun) != 0;
		bool last = command_at(i + 1) == NULL ||
			    strcmp(cmd->noun, command_at(i + 1)->noun) != 0;

		if (cmd->verb[0] == 0)
			continue;
		if (first)
			fprintf(c->out, "\t\t2\\ %s) words=\"", cmd->noun);
		fprintf(c->out, "%s%s", first ? "" : " ", cmd->verb);
		if (last)
			fputs("\" ;;\n", c->out);
	}
	fputs("\tesac ;;\n\tesac\n"
	      "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	      "\t[ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "
	      "\"$cur\")\n}\n"
	      "complete -F _picket picket\n",
	      c->out);
	return CLI_DONE;
}

static void code_tell(FILE *f, const struct code_row *row)
{
	fprintf(f, "E%04u    %s: %s\n", row->number, row->word, row->text);
	out_line(f, "next", row->next);
}

static int help_code(struct cli *c, const char *id)
{
	const struct code_row *row = NULL;
	u64 n;

	if (num_parse(slice_str(id + 1), 9999, &n) == E_OK)
		row = code_find((u32)n);
	if (row == NULL)
		return out_refuse(c, CODE_UNKNOWN_CODE, id);
	code_tell(c->out, row);
	return CLI_DONE;
}

static int help_codes(struct cli *c)
{
	for (size_t i = 0; code_at(i) != NULL; i++)
		fprintf(c->out, "E%04u  %-20s %s\n", code_at(i)->number, code_at(i)->word,
			code_at(i)->text);
	return CLI_DONE;
}

static int help_noun(struct cli *c, const char *noun, const char *verb)
{
	u32 shown = 0;

	for (size_t i = 0; command_at(i) != NULL; i++) {
		const struct command *cmd = command_at(i);

		if (strcmp(cmd->noun, noun) != 0)
			continue;
		if (verb != NULL && strcmp(cmd->verb, verb) == 0)
			return help_command(c, cmd);
		if (cmd->verb[0] == 0)
			return help_command(c, cmd);
		command_line(c->out, cmd);
		shown++;
	}
	if (shown > 0)
		return CLI_DONE;
	fputs("usage    no such command: ", c->err);
	out_escaped(c->err, slice_str(noun));
	fputs("\nnext     all commands: picket help\n", c->err);
	return CLI_USAGE;
}

int cmd_help(struct cli *c)
{
	const char *what = c->nargs > 0 ? c->arg[0] : NULL;

	if (cli_has(c, OPT_MARKDOWN))
		return help_markdown(c);
	if (cli_has(c, OPT_COMPLETION))
		return help_completion(c);
	if (what == NULL)
		return help_all(c);
	if (strcmp(what, "codes") == 0)
		return help_codes(c);
	if ((what[0] == 'E' || what[0] == 'e') && what[1] >= '0' && what[1] <= '9')
		return help_code(c, what);
	return help_noun(c, what, c->nargs > 1 ? c->arg[1] : NULL);
}
