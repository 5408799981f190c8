/* sessions: the noun session: what outlives a connection, and what waits in it. */
#include "base/clock.h"
#include "cli/client.h"
#include "cli/out.h"
#include "cli/pages.h"
#include "ipc/codes.h"

enum { PATH_BYTES = 3000 };

static void path_of(char *path, size_t cap, const char *identity, const char *client_id)
{
	char name[600], id[1800];

	client_quote(identity != NULL ? identity : "", name, sizeof(name));
	client_quote(client_id != NULL ? client_id : "", id, sizeof(id));
	snprintf(path, cap, "/v1/sessions?identity=%s&client_id=%s", name, id);
}

static u64 number(const json_t *row, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(row, key));

	return v > 0 ? (u64)v : 0;
}

static void cell_number(struct out_table *t, u64 v)
{
	char n[32];

	snprintf(n, sizeof(n), "%llu", (unsigned long long)v);
	out_table_cell(t, n);
}

static void cell_text(struct out_table *t, const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	out_table_cell(t, s != NULL && s[0] != 0 ? s : "-");
}

/* "here", or when it ends. */
static void when(const json_t *row, char *out, size_t cap)
{
	char left[32];

	if (json_is_true(json_object_get(row, "online"))) {
		snprintf(out, cap, "here");
	} else if (json_is_null(json_object_get(row, "ends_in_s"))) {
		snprintf(out, cap, "away, never ends");
	} else {
		out_duration(number(row, "ends_in_s") * 1000, left, sizeof(left));
		snprintf(out, cap, "away, %s left", left);
	}
}

static u64 dropped(const json_t *row)
{
	json_t *drops = json_object_get(row, "dropped");
	const char *key;
	const json_t *v;
	u64 n = 0;

	json_object_foreach(drops, key, v) n += (u64)MAX(json_integer_value(v), 0);
	return n;
}

static void cells(struct out_table *t, const json_t *row)
{
	char text[64];

	cell_text(t, row, "identity");
	cell_text(t, row, "client_id");
	when(row, text, sizeof(text));
	out_table_cell(t, text);
	out_table_cell(t, json_is_true(json_object_get(row, "durable")) ? "disk" : "memory");
	cell_number(t, number(row, "subscriptions"));
	cell_number(t, number(row, "queued"));
	out_size(number(row, "queued_bytes"), text, sizeof(text));
	out_table_cell(t, text);
	cell_number(t, dropped(row));
}

int cmd_session_list(struct cli *c)
{
	static const char *const titles[] = {"IDENTITY", "CLIENT", "STATE", "KEPT IN",
					     "SUBS",	 "QUEUED", "BYTES", "DROPPED"};
	char path[PATH_BYTES];
	u64 n;

	path_of(path, sizeof(path), cli_value(c, OPT_IDENTITY), NULL);
	if (cli_has(c, OPT_JSON))
		return pages_json(c, path, "sessions");
	return pages_table(c, path, titles, ARRAY_LEN(titles), cells, &n);
}

static void drops_show(FILE *f, const json_t *drops)
{
	const char *key, *between = "";
	const json_t *v;

	json_object_foreach((json_t *)(uintptr_t)drops, key, v)
	{
		fprintf(f, "%s%s ", between, key);
		out_member(f, drops, key);
		between = ", ";
	}
}

static void show_row(void *arg, const json_t *row)
{
	struct cli *c = arg;
	const char *key;
	const json_t *v;

	json_object_foreach((json_t *)(uintptr_t)row, key, v)
	{
		if (json_is_string(v) && json_string_length(v) == 0)
			continue;
		fprintf(c->out, "%-17s ", key);
		if (json_is_object(v))
			drops_show(c->out, v);
		else if (json_is_boolean(v))
			fputs(json_is_true(v) ? "yes" : "no", c->out);
		else if (json_is_null(v))
			fputs("never", c->out);
		else
			out_member(c->out, row, key);
		fputc('\n', c->out);
	}
	fputc('\n', c->out);
}

int cmd_session_show(struct cli *c)
{
	char path[PATH_BYTES];
	u64 n;
	int rc;

	path_of(path, sizeof(path), c->arg[0], cli_value(c, OPT_CLIENT_ID));
	if (cli_has(c, OPT_JSON))
		return pages_json(c, path, "sessions");
	rc = pages_each(c, path, show_row, c, &n);
	return rc == 0 && n == 0 ? out_refuse(c, CODE_NO_SESSION, NULL) : rc;
}

static void drop_tell(struct cli *c, const json_t *r)
{
	bool dry = cli_has(c, OPT_DRY_RUN);

	out_word(c->out, dry ? "would" : "changed");
	fprintf(c->out,
		"%llu session%s ended: %llu subscriptions, %llu queued messages; %llu connection%s "
		"closed\n",
		(unsigned long long)number(r, "sessions"), number(r, "sessions") == 1 ? "" : "s",
		(unsigned long long)number(r, "subscriptions"),
		(unsigned long long)number(r, "queued"),
		(unsigned long long)number(r, "connections"),
		number(r, "connections") == 1 ? "" : "s");
	if (dry)
		return;
	fputs("effect   what waited for it is lost; it may connect again and begins with nothing\n"
	      "undo     cannot be undone, but by a backup: picket store restore FILE\n"
	      "next     to keep it out: picket device revoke NAME\n",
	      c->out);
}

int cmd_session_drop(struct cli *c)
{
	json_t *body = json_object(), *r;
	int rc;

	if (!confirmed(c, "What waits in the session is lost. Go on?")) {
		json_decref(body);
		return out_refuse(c, CODE_NOT_CONFIRMED, NULL);
	}
	json_object_set_new(body, "identity", json_string(c->arg[0]) ?: json_null());
	if (cli_has(c, OPT_CLIENT_ID))
		json_object_set_new(body, "client_id",
				    json_string(cli_value(c, OPT_CLIENT_ID)) ?: json_null());
	json_object_set_new(body, "dry_run", json_boolean(cli_has(c, OPT_DRY_RUN)));
	rc = ask_json(c, "/v1/sessions/drop", body, &r);
	if (rc != 0)
		return rc;
	if (number(r, "sessions") == 0)
		rc = out_refuse(c, CODE_NO_SESSION, NULL);
	else if (cli_has(c, OPT_JSON))
		out_json(c->out, r);
	else
		drop_tell(c, r);
	json_decref(r);
	return rc;
}
