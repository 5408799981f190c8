/* status: what runs, what listens, and which risks were accepted, in a few lines. */
#include "base/clock.h"
#include "cli/cert.h"
#include "cli/client.h"
#include "cli/out.h"
#include "cli/report.h"

static json_int_t num(const json_t *j, const char *object, const char *key)
{
	return json_integer_value(json_object_get(json_object_get(j, object), key));
}

static bool has_text(const json_t *j, const char *key)
{
	return json_string_length(json_object_get(j, key)) > 0;
}

/* picketd 0.1.0  up 00:18:03  1/30 devices seen  … */
static void head_tell(FILE *f, const json_t *s)
{
	json_int_t devices = num(s, "auth", "devices"), never = num(s, "auth", "never_connected");
	json_int_t all = num(s, "auth", "identities");
	json_int_t up_ms = json_integer_value(json_object_get(s, "up_ms"));
	char up[64];

	out_duration(up_ms > 0 ? (u64)up_ms : 0, up, sizeof(up));
	fputs("picketd ", f);
	out_member(f, s, "version");
	fprintf(f, "  up %s  %lld/%lld identities seen (%lld devices)  %lld connected", up,
		(long long)(all - never), (long long)all, (long long)devices,
		(long long)num(s, "broker", "clients"));
	fprintf(f, "  %lld plaintext logins  %lld logins refused\n",
		(long long)num(s, "broker", "plaintext_logins"),
		(long long)num(s, "broker", "logins_refused"));
	if (never > 0)
		fprintf(f, "%lld never connected: picket device list --never\n", (long long)never);
}

bool report_canary(FILE *f, const json_t *s)
{
	const json_t *canary = json_object_get(s, "canary");
	bool ok = json_is_true(json_object_get(canary, "ok"));

	out_word(f, "canary");
	fputs(ok ? "stranger " : "NOT OK: ", f);
	if (has_text(canary, "text"))
		out_member(f, canary, "text");
	else
		fputs(ok ? "refused" : "has not run", f);
	fputc('\n', f);
	return ok;
}

static void list_words(FILE *f, const json_t *list, const char *between)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		fputs(i > 0 ? between : "", f);
		out_escaped(f, slice_str(json_string_value(v) ?: "-"));
	}
}

static void risk_tell(FILE *f, const json_t *l)
{
	out_word(f, "RISK");
	out_member(f, l, "name");
	fputs(": ", f);
	list_words(f, json_object_get(l, "risks"), " and ");
	if (has_text(l, "anonymous_role")) {
		fputs(", strangers hold role ", f);
		out_member(f, l, "anonymous_role");
	}
	fputs("; accepted: \"", f);
	out_member(f, l, "accept_risk");
	fputs("\"\n", f);
}

/* "mqtt+wss": as URLs call them. */
static void spoken_tell(FILE *f, const json_t *l)
{
	const char *s = json_is_true(json_object_get(l, "tls")) ? "s" : "", *between = "";
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(l, "protocols"), i, v)
	{
		bool websocket = strcmp(json_string_value(v) ?: "", "websocket") == 0;

		fprintf(f, "%s%s%s", between, websocket ? "ws" : "mqtt", websocket ? s : "");
		between = "+";
	}
}

bool report_listeners(FILE *f, const json_t *s)
{
	const json_t *l;
	bool risky = false;
	size_t i;

	json_array_foreach(json_object_get(s, "listeners"), i, l)
	{
		out_word(f, "listen");
		out_member(f, l, "bind");
		if (has_text(l, "interface")) {
			fputs(" by ", f);
			out_member(f, l, "interface");
		}
		fprintf(f, "  %s  ",
			json_is_true(json_object_get(l, "tls"))	    ? "tls"
			: json_is_true(json_object_get(l, "local")) ? "local"
								    : "PLAINTEXT");
		out_member(f, l, "name");
		fputs("  ", f);
		spoken_tell(f, l);
		fputs("  who: ", f);
		list_words(f, json_object_get(l, "authenticators"), ", ");
		fputs("  policy: deny by default\n", f);
		if (json_array_size(json_object_get(l, "risks")) > 0) {
			risk_tell(f, l);
			risky = true;
		}
	}
	return risky;
}

void report_certificate(FILE *f, const json_t *s, const char *word)
{
	const char *pem =
		json_string_value(json_object_get(json_object_get(s, "certificate"), "pem"));
	struct cert_info c;
	u64 now = clock_wall_ms();

	if (pem == NULL || cert_read(pem, &c) != E_OK)
		return;
	out_word(f, word);
	fputs("server certificate  SAN ", f);
	out_escaped(f, slice_str(c.names));
	fprintf(f, "   %llu d left, renewed by picketd\n",
		(unsigned long long)(c.not_after_ms > now ? (c.not_after_ms - now) / 86400000 : 0));
}

static bool process_tell(FILE *f, const json_t *p)
{
	bool up = json_is_true(json_object_get(p, "up"));
	bool boxed = json_integer_value(json_object_get(p, "seccomp")) != 0 &&
		     json_integer_value(json_object_get(p, "landlock_abi")) != 0;

	out_word(f, "process");
	fprintf(f, "%-8s", json_string_value(json_object_get(p, "name")) ?: "-");
	fputs(" pid ", f);
	out_member(f, p, "pid");
	fputs("  uid ", f);
	out_member(f, p, "uid");
	fprintf(f, "  %s", up ? "up" : "DOWN");
	fputs("  restarts ", f);
	out_member(f, p, "restarts");
	if (boxed) {
		fputs("  sandbox seccomp, landlock ", f);
		out_member(f, p, "landlock_abi");
	} else {
		fprintf(f, "  SANDBOX INCOMPLETE: seccomp %s, landlock %s",
			json_integer_value(json_object_get(p, "seccomp")) ? "on" : "off",
			json_integer_value(json_object_get(p, "landlock_abi")) ? "on" : "off");
	}
	fputc('\n', f);
	return up && boxed;
}

static bool processes_tell(FILE *f, const json_t *s)
{
	const json_t *p;
	bool well = true;
	size_t i;

	json_array_foreach(json_object_get(s, "processes"), i, p) well = process_tell(f, p) && well;
	if (json_array_size(json_object_get(s, "unavailable")) > 0) {
		out_word(f, "silent");
		list_words(f, json_object_get(s, "unavailable"), ", ");
		fputs("  did not answer: picket logs\n", f);
		well = false;
	}
	return well;
}

int cmd_status(struct cli *c)
{
	json_t *s;
	bool well;
	int rc = ask_json(c, "/v1/status", NULL, &s);

	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON)) {
		out_json(c->out, s);
		json_decref(s);
		return CLI_DONE;
	}
	head_tell(c->out, s);
	well = !report_listeners(c->out, s);
	report_certificate(c->out, s, "tls");
	if (json_object_get(s, "store") != NULL)
		well = report_store(c->out, json_object_get(s, "store")) && well;
	well = report_canary(c->out, s) && well;
	well = processes_tell(c->out, s) && well;
	json_decref(s);
	return well ? CLI_DONE : CLI_WARNED;
}
