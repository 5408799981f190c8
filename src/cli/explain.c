/* explain: which rule decides, and the nearest one that would allow.  Exit 0: allowed; 1: denied.
 */
#include "base/num.h"
#include "cli/client.h"
#include "cli/out.h"

static json_t *explain_call(struct cli *c, const char *action, u64 qos)
{
	json_t *call = json_pack("{s:s,s:s}", "op", "explain", "action", action);

	json_object_set_new(call, "identity", json_string(c->arg[0]) ?: json_null());
	json_object_set_new(call, "topic", json_string(c->arg[2]) ?: json_null());
	json_object_set_new(call, "qos", json_integer((json_int_t)qos));
	if (cli_has(c, OPT_FROM))
		json_object_set_new(call, "from",
				    json_string(cli_value(c, OPT_FROM)) ?: json_null());
	json_object_set_new(call, "retain", json_boolean(cli_has(c, OPT_RETAIN)));
	return call;
}

static void explain_tell(struct cli *c, const json_t *reply)
{
	static const char *const rows[][2] = {{"role", "role"},
					      {"rule", "rule"},
					      {"nearest", "nearest"},
					      {"of role", "nearest_role"},
					      {"fix", "fix"}};
	const char *verdict = json_string_value(json_object_get(reply, "verdict")) ?: "?";
	const char *text = json_string_value(json_object_get(reply, "text")) ?: "";
	size_t n = strlen(verdict);

	out_word(c->out, verdict);
	/* The text begins with the verdict too. */
	if (strncmp(text, verdict, n) == 0 && text[n] == ' ')
		text += n + 1;
	out_escaped(c->out, slice_str(text));
	fputc('\n', c->out);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *s = json_string_value(json_object_get(reply, rows[i][1]));

		if (s != NULL && s[0] != 0)
			out_line(c->out, rows[i][0], s);
	}
}

int cmd_explain(struct cli *c)
{
	const char *action = action_word(c->arg[1]), *qos = cli_value(c, OPT_QOS);
	const char *verdict;
	json_t *reply;
	u64 q = 0;
	int rc;

	if (action == NULL || (qos != NULL && num_parse(slice_str(qos), 2, &q) != E_OK)) {
		fprintf(c->err, "usage    picket explain IDENTITY publish|subscribe TOPIC "
				"[--qos 0|1|2] [--from ADDRESS]\n");
		return CLI_USAGE;
	}
	rc = ask_json(c, "/v1/call", explain_call(c, action, q), &reply);
	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON))
		out_json(c->out, reply);
	else
		explain_tell(c, reply);
	verdict = json_string_value(json_object_get(reply, "verdict"));
	rc = verdict != NULL && strcmp(verdict, "allow") == 0 ? CLI_DONE : CLI_REFUSED;
	json_decref(reply);
	return rc;
}
