/* call_explain: why somebody may or may not; and how auth is.  See call.h. */
#include <stdio.h>

#include "auth/call.h"
#include "auth/login.h"
#include "base/addr.h"
#include "base/log.h"

enum { LINE = 2048 };

/* "deny publish sensors/temp  rule: none for role sensor; nearest allow home/${device}/tele/#" */
static void explain_text(struct auth *a, const struct identity *i, const struct explanation *x,
			 const char *verb, const char *topic, char *out, size_t cap)
{
	char shown[600], held[LIM_NAME + 1] = "";
	const char *nearest = strchr(x->nearest, ' '); /* past its own "publish" */
	size_t n;

	log_escape(slice_str(topic), shown, sizeof(shown));
	if (i->nroles != 0 && role_name_of(a->db, i->role[0], held) != E_OK)
		held[0] = '\0';
	n = (size_t)snprintf(out, cap, "%s %s %s  rule: ", x->verdict == ALLOW ? "allow" : "deny",
			     verb, shown);
	if (n >= cap)
		return;
	if (x->rule[0] != '\0')
		snprintf(out + n, cap - n, "%s%s%s", x->rule, x->role[0] ? "  in role " : "",
			 x->role);
	else if (i->nroles == 0)
		snprintf(out + n, cap - n, "none: it holds no role");
	else
		snprintf(out + n, cap - n, "none for role %s%s%s%s%s", held,
			 i->nroles > 1 ? " or its others" : "",
			 nearest != NULL ? "; nearest allow" : "", nearest != NULL ? nearest : "",
			 x->elsewhere ? ", which holds for other sources (see role show)" : "");
}

static void explain_fix(struct auth *a, struct call *c, const struct identity *i,
			const struct explanation *x, const char *verb, const char *topic)
{
	char held[LIM_NAME + 1], fix[LINE];
	const char *role = x->nearest_role;

	/* A deny that somebody wrote is meant, and so is a role's network; and no command can be
	 * printed for a hostile topic. */
	if (x->verdict == ALLOW || x->rule[0] != '\0' || x->elsewhere ||
	    topic[strspn(topic, "abcdefghijklmnopqrstuvwxyz"
				"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_.:+#@-")] != '\0')
		return;
	if (role[0] == '\0' && i->nroles != 0 && role_name_of(a->db, i->role[0], held) == E_OK)
		role = held;
	if (role[0] == '\0')
		snprintf(fix, sizeof(fix), "picket %s roles %s --role ROLE", kind_word(i->kind),
			 i->name);
	else
		snprintf(fix, sizeof(fix), "picket role allow %s %s %s", role, verb, topic);
	call_set(c, "fix", json_string(fix));
}

static bool topic_ok(struct call *c, enum action act, const char *topic)
{
	struct topic t;
	struct filter f;
	enum err e = act == ACT_PUBLISH ? topic_parse(slice_str(topic), &t)
					: filter_parse(slice_str(topic), &f);

	if (e != E_OK)
		call_refuse(c, CODE_BAD_FILTER, "%s", err_text(e));
	return e == E_OK;
}

/* Where it is to come from; nothing said: from nowhere, so that no network holds it. */
static void explain_from(struct call *c, struct circumstance *how)
{
	const char *from = call_str(c, "from", false);

	if (from[0] != '\0' && addr_parse(from, how->addr) == 0)
		call_refuse(c, CODE_ARGUMENT, "from is an IPv4 or IPv6 address");
}

void op_explain(struct auth *a, struct call *c)
{
	const char *verb = call_str(c, "action", true), *topic = call_str(c, "topic", true);
	enum action act = strcmp(verb, "publish") == 0 ? ACT_PUBLISH : ACT_SUBSCRIBE;
	struct circumstance how = {.qos = (u8)MIN(call_num(c, "qos", 0), (u64)2),
				   .retain = call_flag(c, "retain"),
				   .tls = true};
	struct explanation x = {0};
	struct identity i;
	char text[LINE];

	explain_from(c, &how);
	if (!c->stopped && act == ACT_SUBSCRIBE && strcmp(verb, "subscribe") != 0)
		call_refuse(c, CODE_ARGUMENT, "the action is publish or subscribe");
	if (c->stopped || !topic_ok(c, act, topic) || !call_identity(a, c, "identity", &i))
		return;
	struct subject who = {.device = slice_str(i.name),
			      .client_id = slice_str(i.name),
			      .username = slice_str(i.name),
			      .group = slice_str(i.group),
			      .roles = i.role,
			      .nroles = i.nroles};
	rights_explain(a->policy, &who, act, slice_str(topic), &how, &x);
	explain_text(a, &i, &x, verb, topic, text, sizeof(text));
	call_set(c, "verdict", json_string(x.verdict == ALLOW ? "allow" : "deny"));
	call_set(c, "role", json_string(x.role));
	call_set(c, "rule", json_string(x.rule));
	call_set(c, "nearest", json_string(x.nearest));
	call_set(c, "nearest_role", json_string(x.nearest_role));
	call_set(c, "text", json_string(text));
	if (!status_lives(i.status))
		call_set(c, "warning",
			 json_string("the identity is revoked or suspended: it cannot log in"));
	explain_fix(a, c, &i, &x, verb, topic);
}

void op_status(struct auth *a, struct call *c)
{
	struct people_count n;
	struct hasher_stats h;
	enum err e;

	login_seen_flush(a);
	hasher_stats(a->hasher, &h);
	e = people_count(a->db, &n);
	if (e != E_OK) {
		call_failed(a, c, e);
		return;
	}
	call_set(c, "identities", json_integer((json_int_t)(n.kind[0] + n.kind[1] + n.kind[2])));
	call_set(c, "devices", json_integer((json_int_t)n.kind[KIND_DEVICE]));
	call_set(c, "users", json_integer((json_int_t)n.kind[KIND_USER]));
	call_set(c, "services", json_integer((json_int_t)n.kind[KIND_SERVICE]));
	call_set(c, "never_connected", json_integer((json_int_t)n.never));
	call_set(c, "roles", json_integer((json_int_t)n.roles));
	call_set(c, "generation", json_integer((json_int_t)a->generation));
	call_set(c, "hashing",
		 json_pack("{s:i, s:i, s:i, s:i, s:I, s:I}", "threads", (int)h.threads, "waiting",
			   (int)h.waiting, "room", (int)h.max, "hash_ms", (int)h.hash_ms, "hashed",
			   (json_int_t)h.hashed, "dropped", (json_int_t)h.dropped));
}
