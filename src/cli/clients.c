/* clients: the noun client: sessions and their connections. */
#include "base/clock.h"
#include "base/quirk.h"
#include "cli/client.h"
#include "cli/out.h"

static int clients_ask(struct cli *c, const char *identity, json_t **reply)
{
	char path[1024] = "/v1/clients", name[900];

	if (identity != NULL) {
		client_quote(identity, name, sizeof(name));
		snprintf(path, sizeof(path), "/v1/clients?identity=%s", name);
	}
	return ask_json(c, path, NULL, reply);
}

static u64 number(const json_t *row, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(row, key));

	return v > 0 ? (u64)v : 0;
}

static void cell_number(struct out_table *t, const json_t *row, const char *key)
{
	char n[32];

	snprintf(n, sizeof(n), "%llu", (unsigned long long)number(row, key));
	out_table_cell(t, n);
}

static void cell_text(struct out_table *t, const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	out_table_cell(t, s != NULL && s[0] != 0 ? s : "-");
}

static void list_row(struct out_table *t, const json_t *row)
{
	char ago[64];

	cell_text(t, row, "identity");
	cell_text(t, row, "client_id");
	cell_text(t, row, "addr");
	cell_text(t, row, "tls");
	if (number(row, "online") != 0)
		out_ago(number(row, "connected_wall_ms"), clock_wall_ms(), ago, sizeof(ago));
	else
		snprintf(ago, sizeof(ago), "offline");
	out_table_cell(t, ago);
	cell_number(t, row, "subscriptions");
	cell_number(t, row, "msgs_in");
	cell_number(t, row, "msgs_out");
	cell_number(t, row, "queued");
	cell_number(t, row, "denied");
}

int cmd_client_list(struct cli *c)
{
	static const char *const titles[] = {"IDENTITY", "CLIENT", "ADDRESS", "TLS",	"CONNECTED",
					     "SUBS",	 "IN",	   "OUT",     "QUEUED", "DENIED"};
	struct out_table t;
	const json_t *row;
	json_t *reply;
	size_t i;
	int rc = clients_ask(c, cli_value(c, OPT_IDENTITY), &reply);

	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON)) {
		out_json(c->out, reply);
	} else {
		out_table_begin(&t, titles, ARRAY_LEN(titles));
		json_array_foreach(json_object_get(reply, "clients"), i, row) list_row(&t, row);
		out_table_end(&t, c->out);
	}
	json_decref(reply);
	return CLI_DONE;
}

/* Harmless, so after everything else; counted for the identity, whose sessions may differ. */
static void show_quirks(struct cli *c, const json_t *quirks)
{
	const json_t *q;
	const char *name;
	void *it;

	if (json_object_size(quirks) == 0)
		return;
	fputs("quirks            (harmless; counted for the identity, * in this session)\n",
	      c->out);
	for (it = json_object_iter((json_t *)(uintptr_t)quirks); it != NULL;
	     it = json_object_iter_next((json_t *)(uintptr_t)quirks, it)) {
		enum quirk known;
		name = json_object_iter_key(it);
		q = json_object_iter_value(it);
		known = quirk_find(name);
		fprintf(c->out, "%c %6llu  %s",
			json_is_true(json_object_get(q, "session")) ? '*' : ' ',
			(unsigned long long)number(q, "count"),
			known < QUIRK_N ? quirk_name(known) : "unknown");
		if (known < QUIRK_N)
			fprintf(c->out, ": %s", quirk_text(known));
		fputc('\n', c->out);
	}
}

static void show_row(struct cli *c, const json_t *row)
{
	const json_t *v;
	const char *key;
	void *it;

	for (it = json_object_iter((json_t *)(uintptr_t)row); it != NULL;
	     it = json_object_iter_next((json_t *)(uintptr_t)row, it)) {
		key = json_object_iter_key(it);
		v = json_object_iter_value(it);
		if (json_is_object(v) || (json_is_string(v) && json_string_length(v) == 0))
			continue;
		fprintf(c->out, "%-17s ", key);
		out_member(c->out, row, key);
		fputc('\n', c->out);
	}
	show_quirks(c, json_object_get(row, "quirks"));
	fputc('\n', c->out);
}

int cmd_client_show(struct cli *c)
{
	const json_t *row;
	json_t *reply;
	size_t i;
	int rc = clients_ask(c, c->arg[0], &reply);

	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON))
		out_json(c->out, reply);
	else if (json_array_size(json_object_get(reply, "clients")) == 0)
		fputs("no session  (is it known? picket device show NAME)\n", c->out);
	else
		json_array_foreach(json_object_get(reply, "clients"), i, row) show_row(c, row);
	json_decref(reply);
	return CLI_DONE;
}

int cmd_client_kick(struct cli *c)
{
	json_t *body = json_object(), *reply;
	long long n;
	int rc;

	json_object_set_new(body, "identity", json_string(c->arg[0]) ?: json_null());
	if (cli_has(c, OPT_CLIENT_ID))
		json_object_set_new(body, "client_id",
				    json_string(cli_value(c, OPT_CLIENT_ID)) ?: json_null());
	if (cli_has(c, OPT_DRY_RUN)) {
		json_decref(body);
		return cmd_client_show(c);
	}
	rc = ask_json(c, "/v1/clients/kick", body, &reply);
	if (rc != 0)
		return rc;
	n = (long long)json_integer_value(json_object_get(reply, "kicked"));
	if (cli_has(c, OPT_JSON)) {
		out_json(c->out, reply);
	} else {
		fprintf(c->out,
			"changed  %lld connection%s closed (v5 0x98 administrative action)\n", n,
			n == 1 ? "" : "s");
		fputs("effect   sessions and queued messages stay; it may connect again at once\n"
		      "undo     nothing to undo\n"
		      "next     to keep it out: picket device revoke NAME\n",
		      c->out);
	}
	json_decref(reply);
	return CLI_DONE;
}
