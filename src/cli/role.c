/* role: the noun role: what the holders of a role may do. */
#include <stdlib.h>

#include "cli/client.h"
#include "cli/file_in.h"
#include "cli/out.h"
#include "ipc/codes.h"

enum { ROLE_TEXT_MAX = 256 * 1024 };

static void set_text(json_t *call, const char *key, const char *value)
{
	json_object_set_new(call, key, json_string(value) ?: json_null());
}

static void count_cell(struct out_table *t, const json_t *role, const char *key)
{
	char n[32];

	snprintf(n, sizeof(n), "%lld", (long long)json_integer_value(json_object_get(role, key)));
	out_table_cell(t, n);
}

static void list_table(struct cli *c, const json_t *roles)
{
	static const char *const titles[] = {"ROLE", "HOLDERS", "RULES"};
	struct out_table t;
	const json_t *r;
	size_t i;

	out_table_begin(&t, titles, ARRAY_LEN(titles));
	json_array_foreach(roles, i, r)
	{
		out_table_cell(&t, json_string_value(json_object_get(r, "name")) ?: "-");
		count_cell(&t, r, "identities");
		count_cell(&t, r, "rules");
	}
	out_table_end(&t, c->out);
}

int cmd_role_list(struct cli *c)
{
	json_t *reply;
	int rc = ask_json(c, "/v1/call", json_pack("{s:s}", "op", "role.list"), &reply);

	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON))
		out_json(c->out, reply);
	else
		list_table(c, json_object_get(reply, "roles"));
	json_decref(reply);
	return CLI_DONE;
}

int cmd_role_show(struct cli *c)
{
	json_t *call = json_pack("{s:s}", "op", "role.show"), *reply;
	int rc;

	set_text(call, "name", c->arg[0]);
	rc = ask_json(c, "/v1/call", call, &reply);
	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON))
		out_json(c->out, reply);
	else
		out_text(c->out, json_string_value(json_object_get(reply, "text")) ?: "");
	json_decref(reply);
	return CLI_DONE;
}

int cmd_role_set(struct cli *c)
{
	json_t *call;
	char *text;
	int rc = file_in(c, c->arg[1], ROLE_TEXT_MAX, &text);

	if (rc != 0)
		return rc;
	call = json_pack("{s:s}", "op", "role.set");
	set_text(call, "name", c->arg[0]);
	set_text(call, "text", text);
	free(text);
	return ask_auth_four(c, call);
}

static int role_rule(struct cli *c, const char *op)
{
	json_t *call = json_pack("{s:s}", "op", op);
	const char *action = action_word(c->arg[1]);

	set_text(call, "name", c->arg[0]);
	set_text(call, "action", action != NULL ? action : c->arg[1]);
	set_text(call, "filter", c->arg[2]);
	return ask_auth_four(c, call);
}

int cmd_role_allow(struct cli *c)
{
	return role_rule(c, "role.allow");
}

int cmd_role_deny(struct cli *c)
{
	return role_rule(c, "role.deny");
}

int cmd_role_remove(struct cli *c)
{
	json_t *call;

	if (!confirmed(c, "Forget this role?"))
		return out_refuse(c, CODE_NOT_CONFIRMED, NULL);
	call = json_pack("{s:s}", "op", "role.remove");
	set_text(call, "name", c->arg[0]);
	return ask_auth_four(c, call);
}
