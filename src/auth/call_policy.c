/* call_policy: the policy as one text: export, check, apply, confirm and roll back.
 *
 * The text before the last apply is kept with the ids that the apply made, so that it can be taken
 * back: by hand, or by a timer when confirm_s is over and nobody confirmed; the time is stored, so
 * a restart does not forget it.  Meta keys: rollback_text, rollback_created, confirm_until. */
#include <stdio.h>
#include <stdlib.h>

#include "auth/call.h"
#include "auth/policy.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { LINE = 300, RETRY_MS = 10000, CONFIRM_MOST_S = 7 * 86400 };

void op_policy_export(struct auth *a, struct call *c)
{
	char *text = NULL;
	enum err e = policy_export(a->db, &text);

	if (e == E_OK)
		call_set(c, "text", json_string(text));
	else
		call_failed(a, c, e);
	free(text);
}

/* ---- apply ---------------------------------------------------------------------------- */
static struct policy_doc *text_parse(struct call *c)
{
	const char *text = call_str(c, "text", true);
	struct policy_doc *doc = NULL;
	struct policy_error pe = {0};

	if (!c->stopped && policy_parse(slice_str(text), POLICY_RULES, &doc, &pe) != E_OK)
		policy_refuse(c, &pe);
	return doc;
}

static enum err snapshot_write(struct auth *a, const char *before, json_t *created, u64 until)
{
	char *ids = json_dumps(created, JSON_COMPACT);
	enum err e = ids == NULL ? E_NOMEM : db_meta_put_text(a->db, "rollback_created", ids);

	if (e == E_OK)
		e = db_meta_put_text(a->db, "rollback_text", before);
	if (e == E_OK)
		e = until == 0 ? db_meta_del(a->db, "confirm_until")
			       : db_meta_put_num(a->db, "confirm_until", until);
	call_json_free(ids);
	return e;
}

/* Write doc and what leads back, in a change of its own that stays open. */
static enum err apply_rows(struct auth *a, struct call *c, const struct policy_doc *doc, u64 until)
{
	char *before = NULL, *diff = NULL;
	json_t *created = json_array();
	enum err e = policy_difference(a->db, doc, &before, &diff);

	if (e == E_OK)
		e = policy_write(a, c, doc, false, created);
	if (e == E_OK && !c->stopped)
		e = snapshot_write(a, before, created, until);
	if (e == E_OK && !c->stopped)
		call_set(c, "diff", json_string(diff));
	free(before);
	free(diff);
	json_decref(created);
	return e;
}

void op_policy_check(struct auth *a, struct call *c)
{
	struct policy_doc *doc = text_parse(c);

	c->dry = true;
	if (doc != NULL && call_begin(a, c) && call_end(a, c, apply_rows(a, c, doc, 0)))
		call_set(c, "ok", json_true());
	policy_doc_free(&doc);
}

static bool confirm_pending(struct auth *a, u64 *until)
{
	*until = 0;
	return db_meta_num(a->db, "confirm_until", until) == E_OK && *until != 0;
}

static void apply_say(struct auth *a, struct call *c, u64 until)
{
	char when[32], effect[LINE];

	call_set(c, "generation", json_integer((json_int_t)a->policy_generation));
	if (until == 0) {
		call_say(c, "policy applied",
			 "live clients were judged again: subscriptions, queues, wills",
			 "picket policy rollback",
			 "picket explain IDENTITY publish|subscribe TOPIC");
		return;
	}
	clock_format(until, when, sizeof(when));
	snprintf(effect, sizeof(effect),
		 "live clients were judged again; it is taken back at %s unless confirmed", when);
	call_set(c, "confirm_until", json_integer((json_int_t)until));
	call_say(c, "policy applied, to be confirmed", effect, "picket policy rollback",
		 "picket policy confirm");
}

void op_policy_apply(struct auth *a, struct call *c)
{
	u64 confirm_s = call_num(c, "confirm_s", 0), until = 0;
	struct policy_doc *doc;

	if (confirm_s > CONFIRM_MOST_S)
		call_refuse(c, CODE_ARGUMENT, "confirm_s is at most a week");
	if (confirm_pending(a, &until) && !c->dry)
		call_refuse(c, CODE_CONFIRM_PENDING,
			    "the policy applied before is not confirmed yet");
	until = confirm_s == 0 ? 0 : auth_wall(a) + confirm_s * 1000;
	doc = text_parse(c);
	if (doc != NULL && call_begin(a, c) && call_end(a, c, apply_rows(a, c, doc, until))) {
		apply_say(a, c, until);
		if (!c->dry)
			policy_confirm_resume(a);
	}
	policy_doc_free(&doc);
}

void op_policy_confirm(struct auth *a, struct call *c)
{
	u64 until;

	if (!confirm_pending(a, &until))
		call_refuse(c, CODE_NOTHING_TO_CONFIRM, "no policy waits to be confirmed");
	if (!call_begin(a, c) || !call_end(a, c, db_meta_del(a->db, "confirm_until")))
		return;
	timer_stop(a->wheel, &a->confirm_timer);
	call_set(c, "generation", json_integer((json_int_t)a->policy_generation));
	call_say(c, "policy confirmed", "it stays in force", "picket policy rollback", NULL);
}

/* ---- going back ----------------------------------------------------------------------- */
static enum err created_remove(struct auth *a, struct call *c, const char *ids)
{
	json_t *list = json_loads(ids, 0, NULL);
	struct identity i;
	enum err e = E_OK;

	for (size_t n = 0; e == E_OK && n < json_array_size(list); n++) {
		u64 id = (u64)json_integer_value(json_array_get(list, n));
		e = identity_by_id(a->db, id, &i);
		if (e == E_OK && !i.removed)
			e = credential_end_below(a->db, id, INT32_MAX, CRED_REVOKED, auth_wall(a));
		if (e == E_OK && !i.removed)
			e = identity_remove(a->db, id);
		if (e == E_OK && !i.removed)
			e = change_identity(a, &c->change, id);
		if (e == E_NOT_FOUND)
			e = E_OK;
	}
	json_decref(list);
	return e;
}

/* The rows as they were before the last apply; what is now becomes what rollback leads to. */
static enum err rollback_rows(struct auth *a, struct call *c, const char *text, const char *ids)
{
	struct policy_doc *doc = NULL;
	struct policy_error pe;
	char *before = NULL, *diff = NULL;
	json_t *created = json_array();
	enum err e = policy_parse(slice_str(text), POLICY_RULES, &doc, &pe);

	if (e == E_OK)
		e = policy_difference(a->db, doc, &before, &diff);
	if (e == E_OK)
		e = created_remove(a, c, ids);
	if (e == E_OK)
		e = policy_write(a, c, doc, true, created);
	if (e == E_OK && !c->stopped)
		e = snapshot_write(a, before, created, 0);
	if (e == E_OK && !c->stopped)
		call_set(c, "diff", json_string(diff));
	policy_doc_free(&doc);
	free(before);
	free(diff);
	json_decref(created);
	return e;
}

static enum err rollback_load(struct auth *a, char **text, char **ids)
{
	enum err e = db_meta_text(a->db, "rollback_text", text);

	return e == E_OK ? db_meta_text(a->db, "rollback_created", ids) : e;
}

void op_policy_rollback(struct auth *a, struct call *c)
{
	char *text = NULL, *ids = NULL;
	enum err e = rollback_load(a, &text, &ids);

	if (e == E_NOT_FOUND)
		call_refuse(c, CODE_NO_ROLLBACK, "no policy was applied before");
	else if (e != E_OK)
		call_failed(a, c, e);
	if (call_begin(a, c) && call_end(a, c, rollback_rows(a, c, text, ids))) {
		if (!c->dry)
			timer_stop(a->wheel, &a->confirm_timer);
		call_set(c, "generation", json_integer((json_int_t)a->policy_generation));
		call_say(c, "the policy before the last apply is in force again",
			 "live clients were judged again: subscriptions, queues, wills",
			 "picket policy rollback, once more", NULL);
	}
	free(text);
	free(ids);
}

/* Nobody confirmed: the same, without anyone who asks. */
static bool rollback_alone(struct auth *a)
{
	struct call nobody = {.auth = a, .op = "policy.rollback", .reply = json_object()};
	char *text = NULL, *ids = NULL;
	enum err e = rollback_load(a, &text, &ids);

	if (e == E_OK)
		e = change_begin(a, &nobody.change);
	if (e == E_OK)
		e = rollback_rows(a, &nobody, text, ids);
	if (e == E_OK && !nobody.stopped)
		e = change_commit(a, &nobody.change, NULL);
	change_abort(a, &nobody.change);
	if (e == E_OK && !nobody.stopped)
		log_msg(LOG_WARN, "change",
			"policy rolled back: not confirmed in time, generation %llu",
			(unsigned long long)a->policy_generation);
	else
		log_msg(LOG_ERROR, "change", "policy could not be rolled back: %s (%s)",
			err_text(e), db_why(a->db));
	json_decref(nobody.reply);
	free(text);
	free(ids);
	return e == E_OK && !nobody.stopped;
}

void policy_confirm_timer(struct timer *t)
{
	struct auth *a = CONTAINER_OF(t, struct auth, confirm_timer);
	u64 until;

	OBJ_CHECK(a, AUTH_MAGIC);
	if (!confirm_pending(a, &until))
		return;
	if (until > auth_wall(a))
		policy_confirm_resume(a); /* the wall clock was set back */
	else if (!rollback_alone(a))
		timer_start(a->wheel, &a->confirm_timer, auth_now(a) + RETRY_MS);
}

void policy_confirm_resume(struct auth *a)
{
	u64 until, wall = auth_wall(a);

	timer_stop(a->wheel, &a->confirm_timer);
	if (confirm_pending(a, &until))
		timer_start(a->wheel, &a->confirm_timer, auth_now(a) + (until - MIN(wall, until)));
}
