/* wait: follow what one identity does, line by line, with the reason and the remedy of every
 * denial. */
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "base/num.h"
#include "cli/client.h"
#include "cli/out.h"
#include "ipc/codes.h"

enum { WAIT_QUIET_MS = 5000 }; /* without --for: so long after the last event, all is told */

struct wait {
	struct cli *c;
	u64 stop_ms;
	u32 events, connects, refusals, denials;
	char fix[512]; /* of the last denial */
};

static void time_put(FILE *f, u64 wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (localtime_r(&t, &tm) != NULL)
		fprintf(f, "%02d:%02d:%02d ", tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Why it was denied, asked of auth: one line, and the command that would allow it.  False: auth
 * does not say. */
static bool denial_explain(struct wait *w, const json_t *event)
{
	json_t *call = json_pack("{s:s,s:O,s:O,s:O}", "op", "explain", "identity",
				 json_object_get(event, "identity"), "action",
				 json_object_get(event, "action"), "topic",
				 json_object_get(event, "topic"));
	const char *text, *fix;
	struct answer a;
	json_t *reply;

	if (call == NULL || client_request(w->c->run_dir, "/v1/call", call, &a) != E_OK)
		return false;
	reply = json_loadb((const char *)a.data, a.n, 0, NULL);
	answer_free(&a);
	text = json_string_value(json_object_get(reply, "text"));
	if (text != NULL) /* the word deny stands there already */
		out_escaped(w->c->out, slice_str(strncmp(text, "deny ", 5) == 0 ? text + 5 : text));
	fix = json_string_value(json_object_get(reply, "fix"));
	if (fix != NULL && fix[0] != 0)
		snprintf(w->fix, sizeof(w->fix), "%s", fix);
	json_decref(reply);
	return text != NULL;
}

static void event_tell(struct wait *w, const json_t *event)
{
	const char *word = json_string_value(json_object_get(event, "event")) ?: "-";
	json_int_t ms = json_integer_value(json_object_get(event, "time"));
	bool denial = strcmp(word, "deny") == 0;

	time_put(w->c->out, ms > 0 ? (u64)ms : 0);
	/* The word is ours by contract; it came over a wire all the same. */
	out_escaped(w->c->out, slice_str(word));
	fprintf(w->c->out, "%*s", strlen(word) < 10 ? 11 - (int)strlen(word) : 1, "");
	if (!denial || !denial_explain(w, event))
		out_member(w->c->out, event, "text");
	fputc('\n', w->c->out);
	if (strstr(json_string_value(json_object_get(event, "text")) ?: "", "unknown_ca") != NULL)
		fputs("         its CA is ca.der of its bundle (Arduino: setCACert, ESP-IDF: "
		      "EMBED_TXTFILES), or: picket ca export\n",
		      w->c->out);
}

static void event_count(struct wait *w, const json_t *event)
{
	const char *word = json_string_value(json_object_get(event, "event")) ?: "";

	w->events++;
	w->connects += strcmp(word, "connect") == 0;
	w->denials += strcmp(word, "deny") == 0;
	w->refusals += strcmp(word, "refused") == 0 || strcmp(word, "tls_refused") == 0;
	/* A device that was refused tries again: wait on. */
	if (!cli_has(w->c, OPT_FOR) && w->connects > 0)
		w->stop_ms = clock_mono_ms() + WAIT_QUIET_MS;
}

static bool on_line(void *arg, struct slice line)
{
	struct wait *w = arg;
	json_t *event;

	if (line.n == 0)
		return true; /* a heart beat */
	event = json_loadb((const char *)line.p, line.n, 0, NULL);
	if (!json_is_object(event)) {
		json_decref(event);
		return true;
	}
	event_count(w, event);
	if (cli_has(w->c, OPT_JSON)) {
		json_dumpf(event, w->c->out, JSON_COMPACT | JSON_ENSURE_ASCII);
		fputc('\n', w->c->out);
	} else {
		event_tell(w, event);
	}
	json_decref(event);
	return fflush(w->c->out) == 0;
}

static void on_refusal(void *arg, struct slice bytes)
{
	struct wait *w = arg;
	json_t *j = json_loadb((const char *)bytes.p, bytes.n, 0, NULL);

	if (json_is_object(json_object_get(j, "error")))
		(void)out_error(w->c, json_object_get(j, "error"));
	json_decref(j);
}

static int wait_end(struct wait *w)
{
	struct cli *c = w->c;

	if (cli_has(c, OPT_JSON))
		return w->connects == 0 ? CLI_REFUSED : w->denials > 0 ? CLI_WARNED : CLI_DONE;
	if (w->events == 0)
		return out_refuse(c, CODE_TIMED_OUT, NULL);
	if (w->connects == 0) {
		fprintf(c->out,
			"not connected: %u refusal%s.  A new login for it?  picket device rotate ",
			w->refusals, w->refusals == 1 ? "" : "s");
		out_escaped(c->out, slice_str(c->arg[0]));
		fputs(" --out DIR\n", c->out);
		return CLI_REFUSED;
	}
	if (w->denials == 0) {
		fputs("looks good\n", c->out);
		return CLI_DONE;
	}
	fprintf(c->out, "looks good except %u denial%s.", w->denials, w->denials == 1 ? "" : "s");
	if (w->fix[0] != 0) {
		fputs(" Allow it?  ", c->out);
		out_escaped(c->out, slice_str(w->fix));
	}
	fputc('\n', c->out);
	return CLI_WARNED;
}

/* A name that nobody has will never come: say so at once. */
static int known(struct cli *c)
{
	json_t *call = json_pack("{s:s}", "op", "identity.show"), *reply;
	int rc;

	json_object_set_new(call, "name", json_string(c->arg[0]) ?: json_null());
	rc = ask_json(c, "/v1/call", call, &reply);
	json_decref(reply);
	return rc;
}

/* Ctrl-C ends the waiting, not the summary. */
static void on_interrupt(int signo)
{
}

int cmd_wait(struct cli *c)
{
	const struct sigaction catch = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
	struct wait w = {.c = c};
	const struct line_sink sink = {on_line, on_refusal, &w};
	const char *time = cli_value(c, OPT_FOR);
	char path[1024], name[900];
	u64 ms = 0;
	u32 status;
	enum err e;
	int rc;

	if (time != NULL && num_parse_duration(slice_str(time), &ms) != E_OK) {
		fprintf(c->err, "usage    --for is a time such as 30s\n");
		return CLI_USAGE;
	}
	rc = known(c);
	if (rc != 0)
		return rc;
	client_quote(c->arg[0], name, sizeof(name));
	snprintf(path, sizeof(path), "/v1/watch?name=%s", name);
	w.stop_ms = ms > 0 ? clock_mono_ms() + ms : 0;
	sigaction(SIGINT, &catch, NULL);
	e = client_stream(c->run_dir, path, &sink, &w.stop_ms, &status);
	if (status != 0 && status != 200)
		return CLI_REFUSED;
	if (e == E_OK || e == E_TIMEOUT || e == E_SHORT)
		return wait_end(&w);
	return ask_failed(c, e);
}
