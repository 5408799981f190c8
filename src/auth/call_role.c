/* call_role: the calls about roles, one at a time.  See call.h. */
#include <stdio.h>
#include <stdlib.h>

#include "auth/call.h"
#include "auth/policy.h"
#include "base/log.h"
#include "base/mem.h"

enum { LINE = 600 };

static u32 rules_of(const char *text)
{
	u32 n = 0;

	/* Canonical text: a statement a line between the braces. */
	for (const char *p = strchr(text, '\n'); p != NULL; p = strchr(p + 1, '\n'))
		n += p[1] == '\t' || p[1] == ' ';
	return n;
}

void op_role_list(struct auth *a, struct call *c)
{
	json_t *list = json_array();
	struct role_row r = {0};
	enum err e;

	while ((e = role_after(a->db, r.name, &r)) == E_OK) {
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:i}", "name", r.name, "identities",
						(int)r.identities, "rules", (int)rules_of(r.text)));
		role_row_clear(&r);
	}
	call_set(c, "roles", list);
	if (e != E_NOT_FOUND)
		call_failed(a, c, e);
}

/* The role named by "name"; false and refused.  The caller clears *r. */
static bool role_read(struct auth *a, struct call *c, struct role_row *r)
{
	const char *name = call_str(c, "name", true);

	r->text = NULL;
	return !c->stopped && call_role_found(a, c, name, role_by_name(a->db, name, r));
}

void op_role_show(struct auth *a, struct call *c)
{
	struct role_row r;

	if (role_read(a, c, &r)) {
		call_set(c, "name", json_string(r.name));
		call_set(c, "text", json_string(r.text));
	}
	role_row_clear(&r);
}

/* ---- changing ------------------------------------------------------------------------- */
void policy_refuse(struct call *c, const struct policy_error *pe)
{
	call_refuse(c, CODE_POLICY_SYNTAX, "line %u, column %u: %s%s%s%s%s%s", pe->line, pe->column,
		    pe->what, pe->near[0] ? " near \"" : "", pe->near, pe->near[0] ? "\"" : "",
		    pe->hint[0] ? "; " : "", pe->hint);
}

/* Parse text as exactly one role of that name. */
static struct policy_doc *role_parse(struct call *c, const char *name, const char *text)
{
	struct policy_doc *doc = NULL;
	struct policy_error pe = {0};
	enum err e = policy_parse(slice_str(text), POLICY_RULES, &doc, &pe);
	char *denies;
	bool alone;

	if (e != E_OK) {
		policy_refuse(c, &pe);
		return NULL;
	}
	denies = policy_denies_text(doc);
	alone = policy_role_count(doc) == 1 && policy_identity_count(doc) == 0 &&
		(denies == NULL || denies[0] == '\0') &&
		strcmp(policy_role_name(doc, 0), name) == 0;
	free(denies);
	if (alone)
		return doc;
	policy_doc_free(&doc);
	call_refuse(c, CODE_ROLE_NAME, "the text must be one role, named as said");
	return NULL;
}

static char *role_diff(const char *before, const struct policy_doc *after)
{
	struct policy_doc *doc = NULL;
	struct policy_error pe;
	char *diff = NULL;

	if (policy_parse(slice_str(before), POLICY_RULES, &doc, &pe) != E_OK ||
	    policy_diff(doc, after, &diff) != E_OK)
		diff = NULL;
	policy_doc_free(&doc);
	return diff;
}

/* Store a role (new or changed) and answer with the difference. */
static void role_store(struct auth *a, struct call *c, const char *name, const char *before,
		       const char *text, const char *undo)
{
	struct policy_doc *doc = role_parse(c, name, text);
	char *canonical = NULL, *diff = NULL, what[LINE];

	if (doc == NULL)
		return;
	canonical = policy_role_text(doc, 0);
	diff = role_diff(before, doc);
	policy_doc_free(&doc);
	if (canonical != NULL && call_begin(a, c)) {
		change_policy(&c->change);
		if (call_end(a, c, role_put(a->db, name, canonical))) {
			snprintf(what, sizeof(what), "role %s %s", name,
				 before[0] == '\0' ? "added" : "changed");
			call_set(c, "name", json_string(name));
			call_set(c, "diff", json_string(diff == NULL ? "" : diff));
			call_say(c, what,
				 "live clients that hold it were judged again by the new rules",
				 undo, "picket explain IDENTITY publish|subscribe TOPIC");
		}
	}
	free(canonical);
	free(diff);
}

void op_role_set(struct auth *a, struct call *c)
{
	const char *name = call_str(c, "name", true), *text = call_str(c, "text", true);
	char undo[LINE];
	struct role_row r;
	enum err e;

	if (!c->stopped && !policy_name_ok(slice_str(name)))
		call_refuse(c, CODE_BAD_NAME, "the name of the role cannot be used");
	if (c->stopped)
		return;
	e = role_by_name(a->db, name, &r);
	if (e == E_NOT_FOUND)
		snprintf(undo, sizeof(undo), "picket role remove %s", name);
	else
		snprintf(undo, sizeof(undo), "picket role set %s FILE, with its earlier text",
			 name);
	if (e != E_OK && e != E_NOT_FOUND)
		call_failed(a, c, e);
	else
		role_store(a, c, name, e == E_OK ? r.text : "", text, undo);
	role_row_clear(&r);
}

/* It is put between quotes, so it may not hold what ends or escapes them. */
static bool filter_ok(struct call *c, const char *filter)
{
	struct filter f;

	if (strpbrk(filter, "\"\\") != NULL || strlen(filter) > LIM_TOPIC_BYTES ||
	    filter_parse(slice_str(filter), &f) != E_OK) {
		call_refuse(c, CODE_BAD_FILTER, "the filter is not valid");
		return false;
	}
	return true;
}

/* Put one more statement before the closing brace. */
static void role_more(struct auth *a, struct call *c, const char *verb)
{
	const char *action = call_str(c, "action", true), *filter = call_str(c, "filter", true);
	struct text t = {0};
	struct role_row r;
	char *end;

	if (!c->stopped && strcmp(action, "publish") != 0 && strcmp(action, "subscribe") != 0)
		call_refuse(c, CODE_ARGUMENT, "the action is publish or subscribe");
	if (c->stopped || !filter_ok(c, filter) || !role_read(a, c, &r))
		return;
	end = strrchr(r.text, '}');
	ASSERT(end != NULL); /* canonical text of a role */
	text_addf(&t, "%.*s%s%s \"%s\"\n}\n", (int)(end - r.text), r.text, verb, action, filter);
	role_store(a, c, r.name, r.text, t.p, "picket role set NAME FILE, with its earlier text");
	free(t.p);
	role_row_clear(&r);
}

void op_role_allow(struct auth *a, struct call *c)
{
	role_more(a, c, "  ");
}

void op_role_deny(struct auth *a, struct call *c)
{
	role_more(a, c, "  deny ");
}

void op_role_remove(struct auth *a, struct call *c)
{
	struct role_row r;
	char what[LINE];

	if (role_read(a, c, &r)) {
		if (r.identities != 0)
			call_refuse(c, CODE_ROLE_IN_USE, "%u identities hold role \"%s\"",
				    r.identities, r.name);
		if (call_begin(a, c)) {
			change_policy(&c->change);
			if (call_end(a, c, role_del(a->db, r.id))) {
				call_set(c, "name", json_string(r.name));
				snprintf(what, sizeof(what), "role %s removed", r.name);
				call_say(c, what, "nobody held it",
					 "picket role set NAME FILE, with its earlier text", NULL);
			}
		}
	}
	role_row_clear(&r);
}
