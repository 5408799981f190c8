/* policy: the noun policy: all rules at once, as text. */
#include <stdlib.h>

#include "base/num.h"
#include "cli/client.h"
#include "cli/file_in.h"
#include "cli/out.h"
#include "ipc/codes.h"

enum { POLICY_TEXT_MAX = 900 * 1024 };

int cmd_policy_export(struct cli *c)
{
	const char *out = cli_value(c, OPT_OUT), *text;
	json_t *reply;
	int rc = ask_json(c, "/v1/call", json_pack("{s:s}", "op", "policy.export"), &reply);

	if (rc != 0)
		return rc;
	text = json_string_value(json_object_get(reply, "text")) ?: "";
	if (out != NULL)
		rc = file_out(c, out, 0600, text, strlen(text));
	else if (cli_has(c, OPT_JSON))
		out_json(c->out, reply);
	else
		out_text(c->out, text);
	json_decref(reply);
	return rc;
}

/* A call that carries the text of c->arg[0]; NULL after a refusal, with its exit code in *rc. */
static json_t *text_call(struct cli *c, const char *op, int *rc)
{
	json_t *call = NULL;
	char *text;

	*rc = file_in(c, c->arg[0], POLICY_TEXT_MAX, &text);
	if (*rc != 0)
		return NULL;
	call = json_pack("{s:s}", "op", op);
	json_object_set_new(call, "text", json_string(text) ?: json_null());
	free(text);
	return call;
}

static int policy_compare(struct cli *c, bool tell_ok)
{
	json_t *reply, *call;
	const char *diff;
	int rc;

	call = text_call(c, "policy.check", &rc);
	if (call == NULL)
		return rc;
	rc = ask_json(c, "/v1/call", call, &reply);
	if (rc != 0)
		return rc;
	diff = json_string_value(json_object_get(reply, "diff")) ?: "";
	if (cli_has(c, OPT_JSON))
		out_json(c->out, reply);
	else if (tell_ok)
		fprintf(c->out, "ok       the policy is valid%s\n",
			diff[0] ? "; what it would change: picket policy diff FILE"
				: "; it is what is in force");
	else
		out_text(c->out, diff[0] ? diff : "no difference");
	json_decref(reply);
	return CLI_DONE;
}

int cmd_policy_check(struct cli *c)
{
	return policy_compare(c, true);
}

int cmd_policy_diff(struct cli *c)
{
	return policy_compare(c, false);
}

int cmd_policy_apply(struct cli *c)
{
	const char *confirm = cli_value(c, OPT_CONFIRM);
	json_t *call;
	u64 ms = 0;
	int rc;

	if (confirm != NULL && num_parse_duration(slice_str(confirm), &ms) != E_OK) {
		fprintf(c->err, "usage    --confirm is a time such as 5m\n");
		return CLI_USAGE;
	}
	call = text_call(c, "policy.apply", &rc);
	if (call == NULL)
		return rc;
	if (confirm != NULL)
		json_object_set_new(call, "confirm_s", json_integer((json_int_t)(ms / 1000)));
	return ask_auth_four(c, call);
}

int cmd_policy_confirm(struct cli *c)
{
	return ask_auth_four(c, json_pack("{s:s}", "op", "policy.confirm"));
}

int cmd_policy_rollback(struct cli *c)
{
	return ask_auth_four(c, json_pack("{s:s}", "op", "policy.rollback"));
}
