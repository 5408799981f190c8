/* config: the noun config: check and explain work without picketd and write nothing. */
#include <stdlib.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/out.h"
#include "conf/conf.h"
#include "ipc/codes.h"

static int config_bad(struct cli *c, const struct conf_error *e)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s:%u: %s%s%s", e->file, e->line, e->what,
		 e->hint[0] ? "; " : "", e->hint);
	return out_refuse(c, CODE_CONFIG_INVALID, text);
}

int cmd_config_check(struct cli *c)
{
	struct conf *conf = xcalloc(1, sizeof(*conf));
	struct conf_error e = {0};
	int rc = CLI_DONE;

	if (conf_load(c->arg[0], true, conf, &e) != E_OK)
		rc = config_bad(c, &e);
	else if (cli_has(c, OPT_JSON))
		fprintf(c->out, "{\"ok\": true, \"listeners\": %u}\n", conf->listeners);
	else
		fprintf(c->out, "ok       %u listener%s; in force after: picket config reload\n",
			conf->listeners, conf->listeners == 1 ? "" : "s");
	free(conf);
	return rc;
}

int cmd_config_explain(struct cli *c)
{
	char *text;

	if (conf_explain(c->nargs > 0 ? c->arg[0] : NULL, &text) != E_OK)
		return out_refuse(c, CODE_CONFIG_INVALID,
				  "no such option (all of them: picket config explain)");
	out_text_or_json(c, text);
	free(text);
	return CLI_DONE;
}

int cmd_config_show(struct cli *c)
{
	struct answer a;
	int rc = ask_text(c, "/v1/config", NULL, &a);

	if (rc != 0)
		return rc;
	out_text_or_json(c, a.data != NULL ? (const char *)a.data : "");
	answer_free(&a);
	return CLI_DONE;
}

int cmd_config_reload(struct cli *c)
{
	json_t *reply;
	int rc;

	if (cli_has(c, OPT_DRY_RUN)) {
		fputs("what it would read: picket config check FILE\n", c->out);
		return CLI_DONE;
	}
	rc = ask_json(c, "/v1/reload", json_object(), &reply);
	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON))
		out_json(c->out, reply);
	else
		fputs("changed  picket.conf was read and is in force\n"
		      "effect   connections stay; new limits hold for them at once\n"
		      "undo     put the old file back and reload again\n"
		      "next     picket status\n",
		      c->out);
	json_decref(reply);
	return CLI_DONE;
}
