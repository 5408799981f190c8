/* logs: the end of picketd's log, and what comes after it. */
#include "base/num.h"
#include "cli/client.h"
#include "cli/out.h"

struct logs {
	struct cli *c;
};

static bool on_line(void *arg, struct slice line)
{
	struct logs *l = arg;

	out_escaped(l->c->out, line);
	fputc('\n', l->c->out);
	return fflush(l->c->out) == 0;
}

static void on_refusal(void *arg, struct slice bytes)
{
	struct logs *l = arg;
	json_t *j = json_loadb((const char *)bytes.p, bytes.n, 0, NULL);

	if (json_is_object(json_object_get(j, "error")))
		(void)out_error(l->c, json_object_get(j, "error"));
	json_decref(j);
}

int cmd_logs(struct cli *c)
{
	struct logs l = {.c = c};
	const struct line_sink sink = {on_line, on_refusal, &l};
	const char *lines = cli_value(c, OPT_LINES);
	char path[128];
	u64 n = 50, never = 0;
	u32 status;
	enum err e;

	if (lines != NULL && num_parse(slice_str(lines), 100000, &n) != E_OK) {
		fprintf(c->err, "usage    --lines is a number up to 100000\n");
		return CLI_USAGE;
	}
	snprintf(path, sizeof(path), "/v1/logs?lines=%llu%s", (unsigned long long)n,
		 cli_has(c, OPT_FOLLOW) ? "&follow=1" : "");
	e = client_stream(c->run_dir, path, &sink, &never, &status);
	if (status != 0 && status != 200)
		return CLI_REFUSED;
	if (e == E_OK || (e == E_SHORT && status == 200))
		return CLI_DONE;
	return ask_failed(c, e);
}
