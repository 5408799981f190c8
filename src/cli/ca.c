/* ca: the noun ca: the certificate authority of this broker. */
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cert.h"
#include "cli/client.h"
#include "cli/file_in.h"
#include "cli/out.h"
#include "cli/secret_in.h"
#include "ipc/codes.h"

static int ca_get(struct cli *c, struct answer *a, struct cert_info *info)
{
	int rc = ask_text(c, "/v1/ca", NULL, a);

	if (rc != 0)
		return rc;
	if (a->data != NULL && cert_read((const char *)a->data, info) == E_OK)
		return 0;
	answer_free(a);
	return out_refuse(c, CODE_BAD_ANSWER, "the CA certificate");
}

int cmd_ca_show(struct cli *c)
{
	struct cert_info i;
	struct answer a;
	char from[32], to[32];
	int rc = ca_get(c, &a, &i);

	if (rc != 0)
		return rc;
	clock_format(i.not_before_ms, from, sizeof(from));
	clock_format(i.not_after_ms, to, sizeof(to));
	if (cli_has(c, OPT_JSON)) {
		json_t *j = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "subject", i.subject, "key",
				      i.key, "not_before", from, "not_after", to, "sha256",
				      i.sha256, "pem", (const char *)a.data);

		out_json(c->out, j);
		json_decref(j);
	} else {
		out_line(c->out, "CA", i.subject);
		out_line(c->out, "key", i.key);
		out_line(c->out, "from", from);
		out_line(c->out, "to", to);
		out_line(c->out, "sha256", i.sha256);
		out_text(c->out, (const char *)a.data);
		fputs("next     for clients to trust: picket ca export --out ca.crt\n", c->err);
	}
	answer_free(&a);
	return CLI_DONE;
}

int cmd_ca_export(struct cli *c)
{
	const char *out = cli_value(c, OPT_OUT);
	struct cert_info i;
	struct answer a;
	int rc = ca_get(c, &a, &i);

	if (rc != 0)
		return rc;
	if (out == NULL)
		out_text_or_json(c, (const char *)a.data);
	else
		rc = file_out(c, out, 0644, a.data, a.n);
	answer_free(&a);
	return rc;
}

static json_t *backup_body(const struct secret *s)
{
	json_t *body = json_object();

	json_object_set_new(body, "passphrase",
			    json_stringn((const char *)s->b, s->n) ?: json_null());
	return body;
}

int cmd_ca_backup(struct cli *c)
{
	const char *out = cli_value(c, OPT_OUT);
	struct secret s = {0};
	struct answer a;
	int rc;

	if (out == NULL) {
		fprintf(c->err, "usage    picket ca backup --out FILE\n");
		return CLI_USAGE;
	}
	rc = secret_in(c, "passphrase", &s);
	if (rc == 0)
		rc = ask_text(c, "/v1/ca/backup", backup_body(&s), &a);
	secret_clear(&s);
	if (rc != 0)
		return rc;
	rc = file_out(c, out, 0600, a.data, a.n);
	answer_free(&a);
	if (rc == 0 && cli_has(c, OPT_JSON)) {
		json_t *j = json_object();

		json_object_set_new(j, "file", json_string(out));
		out_json(c->out, j);
		json_decref(j);
	} else if (rc == 0) {
		out_line(c->out, "changed", "nothing in picketd; a copy of the CA was made");
		out_line(c->out, "file", out);
		fputs("effect   whoever has this file and the passphrase can make servers your "
		      "devices "
		      "trust\n"
		      "undo     delete the file\n"
		      "next     keep it off this machine\n",
		      c->out);
	}
	return rc;
}
