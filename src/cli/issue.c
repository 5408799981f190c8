/* issue: the way of a generated secret from the answer to its only place. */
#include <stdlib.h>
#include <unistd.h>

#include "cli/issue.h"
#include "cli/out.h"
#include "ipc/codes.h"

static int issue_bad(struct cli *c, enum err e, const char *what)
{
	return out_refuse(c, e == E_EXISTS ? CODE_FILE_EXISTS : CODE_FILE_WRITE, what);
}

int issue_begin(struct cli *c, const json_t *roles, const char *const *names, u32 n,
		struct issue *is)
{
	char what[512];
	enum err e;
	int rc;

	*is = (struct issue){.out = cli_value(c, OPT_OUT)};
	if (cli_has(c, OPT_DRY_RUN))
		return 0;
	if (is->out == NULL) {
		if (cli_has(c, OPT_PRINT) || (isatty(fileno(c->out)) && !cli_has(c, OPT_JSON)))
			return 0;
		return out_refuse(c, CODE_NO_SECRET_SINK, NULL);
	}
	rc = site_load(c, roles, &is->site);
	if (rc != 0)
		return rc;
	e = bundles_begin(is->out, &is->bundles, what, sizeof(what));
	for (u32 i = 0; e == E_OK && i < n; i++)
		e = bundles_vacant(is->bundles, names[i], what, sizeof(what));
	return e == E_OK ? 0 : issue_bad(c, e, what);
}

int issue_write(struct cli *c, struct issue *is, const json_t *identities)
{
	char what[512];
	const json_t *id;
	enum err e = E_OK;
	size_t i;

	if (is->bundles == NULL)
		return 0;
	json_array_foreach(identities, i, id)
	{
		const char *name = json_string_value(json_object_get(id, "name"));
		const char *token = json_string_value(json_object_get(id, "token"));

		if (name == NULL || token == NULL)
			return out_refuse(c, CODE_BAD_ANSWER, "no name or no token");
		e = bundles_add(is->bundles, &is->site.view, name, token, what, sizeof(what));
		if (e != E_OK)
			return issue_bad(c, e, what);
	}
	e = bundles_commit(is->bundles, what, sizeof(what));
	return e == E_OK ? 0 : issue_bad(c, e, what);
}

static void tell_terminal(struct cli *c, const json_t *identities)
{
	const json_t *id;
	size_t i;

	json_array_foreach(identities, i, id)
	{
		if (!json_is_string(json_object_get(id, "token")))
			continue;
		out_word(c->out, "token");
		out_member(c->out, id, "name");
		fputs("  ", c->out);
		out_member(c->out, id, "token");
		fputs("   (shown this once; picketd keeps a keyed hash)\n", c->out);
	}
}

static void tell_bundles(struct cli *c, const struct issue *is, const char *first, size_t n)
{
	out_word(c->out, "files");
	out_escaped(c->out, slice_str(is->out));
	fprintf(c->out,
		"/%s/  wifi_mqtt_secrets.h  nvs.csv  ca.crt  ca.der  mosquitto_sub.sh  "
		"mosquitto_pub.sh  paho_example.py  mqttjs_example.mjs   mode 0600\n",
		n == 1 ? first : "NAME");
	fputs("         tokens are 128-bit, only in these files; picketd keeps a keyed hash\n",
	      c->out);
	if (is->site.host_unsure)
		out_line(c->out, "warning",
			 "the server certificate does not have this host name; clients will refuse "
			 "it. "
			 "Name it with --host, or add it to names in picket.conf and: picket "
			 "config reload");
	out_word(c->out, "try");
	fputs("sh ", c->out);
	out_escaped(c->out, slice_str(is->out));
	fprintf(c->out, "/%s/mosquitto_sub.sh\n", first);
	out_word(c->out, "next");
	fprintf(c->out, "%s: picket wait %s\n", n == 1 ? "connect it, then" : "flash one, then",
		first);
}

void issue_tell(struct cli *c, const struct issue *is, const json_t *identities)
{
	const char *first =
		json_string_value(json_object_get(json_array_get(identities, 0), "name"));

	if (cli_has(c, OPT_DRY_RUN))
		return;
	if (is->bundles == NULL)
		tell_terminal(c, identities);
	else if (first != NULL)
		tell_bundles(c, is, first, json_array_size(identities));
}

void issue_end(struct issue *is)
{
	bundles_end(&is->bundles);
	site_free(&is->site);
}
