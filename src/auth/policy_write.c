/* policy_write: a policy document over the rows of the store, all or nothing.  See policy.h. */
#include <stdio.h>
#include <stdlib.h>

#include "auth/call.h"
#include "auth/policy.h"
#include "auth/verdict.h"
#include "base/mem.h"

/* ---- what would change ---------------------------------------------------------------- */
/* The store's own text of all that doc speaks of. */
static enum err text_before(struct db *d, const struct policy_doc *doc, struct text *t)
{
	struct policy_identity_view v;
	struct identity i;
	char *rules = NULL;
	enum err e = policy_text(d, &rules);

	if (e == E_OK)
		text_add(t, rules);
	free(rules);
	for (u32 n = 0; e == E_OK && n < policy_identity_count(doc); n++) {
		policy_identity_at(doc, n, &v);
		e = identity_by_name(d, slice_str(v.name), &i);
		if (e == E_OK)
			e = policy_identity_text(d, &i, t);
		else if (e == E_NOT_FOUND)
			e = E_OK;
	}
	return e;
}

enum err policy_difference(struct db *d, const struct policy_doc *doc, char **before, char **diff)
{
	struct policy_doc *from = NULL;
	struct policy_error pe;
	struct text t = {0};
	enum err e;

	*before = *diff = NULL;
	e = text_before(d, doc, &t);
	if (e == E_OK)
		e = policy_parse(slice_str(t.p), POLICY_RULES, &from, &pe);
	if (e == E_OK)
		e = policy_print(from, before);
	if (e == E_OK)
		e = policy_diff(from, doc, diff);
	policy_doc_free(&from);
	free(t.p);
	return e;
}

/* ---- roles ---------------------------------------------------------------------------- */
static bool doc_has_role(const struct policy_doc *doc, const char *name)
{
	for (u32 i = 0; i < policy_role_count(doc); i++) {
		if (strcmp(policy_role_name(doc, i), name) == 0)
			return true;
	}
	return false;
}

static enum err roles_write(struct auth *a, const struct policy_doc *doc)
{
	enum err e = E_OK;

	for (u32 i = 0; e == E_OK && i < policy_role_count(doc); i++) {
		char *text = policy_role_text(doc, i);
		e = text == NULL ? E_NOMEM : role_put(a->db, policy_role_name(doc, i), text);
		free(text);
	}
	return e;
}

static enum err denies_write(struct auth *a, const struct policy_doc *doc)
{
	char *text = policy_denies_text(doc);
	enum err e = text == NULL ? E_NOMEM : db_meta_put_text(a->db, "denies", text);

	free(text);
	return e;
}

/* After the identities: who held one of these may not any more. */
static enum err roles_sweep(struct auth *a, struct call *c, const struct policy_doc *doc,
			    bool keep_used)
{
	struct role_row r = {0};
	enum err e;

	while (!c->stopped && (e = role_after(a->db, r.name, &r)) == E_OK) {
		bool gone = !doc_has_role(doc, r.name);
		if (gone && r.identities != 0 && !keep_used)
			call_refuse(
				c, CODE_ROLE_IN_USE,
				"the text has no role \"%s\", but %u identities hold it; nothing "
				"was changed",
				r.name, r.identities);
		else if (gone && r.identities == 0)
			e = role_del(a->db, r.id);
		role_row_clear(&r);
		if (e != E_OK)
			return e;
	}
	return c->stopped || e == E_NOT_FOUND ? E_OK : e;
}

/* ---- identities ----------------------------------------------------------------------- */
static bool view_roles(struct auth *a, struct call *c, const struct policy_identity_view *v,
		       struct identity *out)
{
	out->nroles = 0;
	if (v->nroles > LIM_ROLES)
		call_refuse(c, CODE_TOO_MANY_ROLES, "\"%s\" has %u roles", v->name, v->nroles);
	for (u32 n = 0; !c->stopped && n < v->nroles; n++) {
		if (role_id(a->db, v->roles[n], &out->role[n]) == E_OK)
			out->nroles++;
		else
			call_refuse(c, CODE_UNKNOWN_ROLE,
				    "\"%s\" is to hold role \"%s\", which the text "
				    "does not have",
				    v->name, v->roles[n]);
	}
	return !c->stopped;
}

static bool view_read(struct auth *a, struct call *c, const struct policy_identity_view *v,
		      struct identity *out)
{
	const char *client_id = v->client_id == NULL ? "" : v->client_id;

	memset(out, 0, sizeof(*out));
	if (!kind_parse(v->kind, &out->kind))
		call_refuse(c, CODE_BAD_KIND, "\"%s\": the kind is device, user or service",
			    v->name);
	if (client_id[0] != '\0' && !client_id_pattern_ok(slice_str(client_id)))
		call_refuse(c, CODE_BAD_CLIENT_ID, "\"%s\": the client id pattern cannot be used",
			    v->name);
	snprintf(out->name, sizeof(out->name), "%s", v->name);
	snprintf(out->group, sizeof(out->group), "%s", v->group == NULL ? "" : v->group);
	snprintf(out->client_id, sizeof(out->client_id), "%s", client_id);
	out->uid = v->uid;
	out->uid_serial = v->has_uid ? change_serial(a, &c->change) : 0;
	return view_roles(a, c, v, out);
}

static bool roles_same(const struct identity *x, const struct identity *y)
{
	bool same = x->nroles == y->nroles;

	for (u32 i = 0; same && i < x->nroles; i++) {
		bool found = false;
		for (u32 k = 0; k < y->nroles; k++)
			found = found || x->role[i] == y->role[k];
		same = found;
	}
	return same;
}

static bool uid_same(const struct identity *x, const struct identity *y)
{
	return (x->uid_serial == 0) == (y->uid_serial == 0) &&
	       (x->uid_serial == 0 || x->uid == y->uid);
}

/* Those whose user id changes give it back before anybody takes one, so that two may swap. */
static enum err uids_release(struct auth *a, struct call *c, const struct policy_doc *doc)
{
	struct policy_identity_view v;
	struct identity i;
	enum err e = E_OK;

	for (u32 n = 0; e == E_OK && n < policy_identity_count(doc); n++) {
		policy_identity_at(doc, n, &v);
		e = identity_by_name(a->db, slice_str(v.name), &i);
		if (e == E_OK && i.uid_serial != 0 && (!v.has_uid || v.uid != i.uid)) {
			e = identity_clear_uid(a->db, i.id);
			if (e == E_OK)
				e = change_identity(a, &c->change, i.id);
		}
		e = e == E_NOT_FOUND ? E_OK : e;
	}
	return e;
}

static enum err uid_take(struct auth *a, struct call *c, const struct identity *want, u64 id)
{
	enum err e = identity_set_uid(a->db, id, want->uid, want->uid_serial);

	if (e != E_EXISTS)
		return e;
	call_refuse(c, CODE_UID_TAKEN, "\"%s\": another identity is the local user %u already",
		    want->name, want->uid);
	return E_OK;
}

static enum err identity_update(struct auth *a, struct call *c, const struct identity *old,
				const struct identity *want)
{
	enum err e = E_OK;

	if (old->kind != want->kind) {
		call_refuse(c, CODE_BAD_KIND, "\"%s\" is a %s and stays one", old->name,
			    kind_word(old->kind));
		return E_OK;
	}
	if (roles_same(old, want) && strcmp(old->group, want->group) == 0 &&
	    strcmp(old->client_id, want->client_id) == 0 && uid_same(old, want))
		return E_OK;
	if (!roles_same(old, want))
		e = identity_set_roles(a->db, old->id, want->role, want->nroles);
	if (e == E_OK)
		e = identity_set_attributes(a->db, old->id, want->group, want->client_id);
	if (e == E_OK && !uid_same(old, want) && want->uid_serial != 0)
		e = uid_take(a, c, want, old->id);
	return e == E_OK ? change_identity(a, &c->change, old->id) : e;
}

static enum err identities_write(struct auth *a, struct call *c, const struct policy_doc *doc,
				 json_t *created)
{
	struct policy_identity_view v;
	struct identity old, want;
	enum err e = uids_release(a, c, doc);

	for (u32 n = 0; e == E_OK && !c->stopped && n < policy_identity_count(doc); n++) {
		policy_identity_at(doc, n, &v);
		if (!view_read(a, c, &v, &want))
			return E_OK;
		e = identity_by_name(a->db, slice_str(v.name), &old);
		if (e == E_OK) {
			e = identity_update(a, c, &old, &want);
		} else if (e == E_NOT_FOUND) {
			e = identity_add(a->db, &want, auth_wall(a));
			if (e == E_OK && want.uid_serial != 0)
				e = uid_take(a, c, &want, want.id);
			json_array_append_new(created, json_integer((json_int_t)want.id));
		}
	}
	return e;
}

enum err policy_write(struct auth *a, struct call *c, const struct policy_doc *doc, bool keep_used,
		      json_t *created)
{
	enum err e = roles_write(a, doc);

	ASSERT(c->change.open);
	if (e == E_OK)
		e = denies_write(a, doc);
	if (e == E_OK)
		e = identities_write(a, c, doc, created);
	if (e == E_OK && !c->stopped)
		e = roles_sweep(a, c, doc, keep_used);
	change_policy(&c->change);
	return e;
}
