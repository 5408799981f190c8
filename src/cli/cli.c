/* cli: from argv to the exit code. */
#include <stdlib.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/out.h"

static int run_dir_set(struct cli *c)
{
	const char *dir = cli_value(c, OPT_RUN);

	if (dir == NULL) {
		client_run_dir(c->run_dir, sizeof(c->run_dir));
		return 0;
	}
	if (strlen(dir) < sizeof(c->run_dir)) {
		memcpy(c->run_dir, dir, strlen(dir) + 1);
		return 0;
	}
	fputs("usage    --run: the path is too long\n", c->err);
	return CLI_USAGE;
}

int cli_main(int argc, char **argv, FILE *in, FILE *out, FILE *err)
{
	struct cli c = {.in = in, .out = out, .err = err};
	char what[1280];
	int rc;

	json_set_alloc_funcs(malloc, mem_wipe_free); /* answers may carry a token */

	if (args_parse(&c, argc, argv, what, sizeof(what)) != E_OK) {
		fprintf(err, "usage    %s\nnext     all commands: picket help\n", what);
		return CLI_USAGE;
	}
	if (cli_has(&c, OPT_HELP))
		return help_command(&c, c.command);
	rc = run_dir_set(&c);
	if (rc == 0)
		rc = c.command->run(&c);
	if (fflush(out) != 0 && rc == CLI_DONE)
		rc = CLI_REFUSED; /* what was promised could not be told */
	return rc;
}
