/* oracle: see oracle.h. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "oracle.h"

static const char *const words[] = {"a", "b", "d0", "d1"};

void random_topic(struct world *w, char out[O_TEXT])
{
	u32 n = 1 + (u32)world_random(w, 3), at = 0;

	for (u32 i = 0; i < n; i++)
		at += (u32)snprintf(out + at, O_TEXT - at, "%s%s", i ? "/" : "",
				    words[world_random(w, 4)]);
}

void random_filter(struct world *w, char out[O_TEXT], bool placeholders)
{
	u32 n = 1 + (u32)world_random(w, 3), at = 0;

	if (world_random(w, 12) == 0) {
		snprintf(out, O_TEXT, "#");
		return;
	}
	for (u32 i = 0; i < n; i++) {
		u64 k = world_random(w, placeholders ? 6 : 5);
		const char *l = k < 4 ? words[k] : k == 4 ? "+" : "${device}";
		at += (u32)snprintf(out + at, O_TEXT - at, "%s%s", i ? "/" : "", l);
	}
	if (world_random(w, 3) == 0)
		snprintf(out + at, O_TEXT - at, "/#");
}

/* Level by level, as section 4.7 says it. */
bool naive_matches(const char *f, const char *t)
{
	for (;;) {
		size_t nf = strcspn(f, "/"), nt = strcspn(t, "/");
		if (nf == 1 && *f == '#')
			return true;
		if (!(nf == 1 && *f == '+') && (nf != nt || memcmp(f, t, nf) != 0))
			return false;
		if (f[nf] == 0 && t[nt] == 0)
			return true;
		if (t[nt] == 0)
			return strcmp(f + nf, "/#") == 0;
		if (f[nf] == 0)
			return false;
		f += nf + 1;
		t += nt + 1;
	}
}

static bool rule_matches(const struct rule *r, u32 identity, u32 action, const char *topic)
{
	static const char hole[] = "${device}";
	char filter[2 * O_TEXT];
	u32 at = 0;

	if (r->action != action)
		return false;
	for (const char *p = r->filter; *p != 0;) {
		if (strncmp(p, hole, strlen(hole)) == 0) {
			at += (u32)sprintf(filter + at, "d%u", identity);
			p += strlen(hole);
		} else {
			filter[at++] = *p++;
		}
	}
	filter[at] = 0;
	return naive_matches(filter, topic);
}

static bool allows(const struct rights_now *r, u32 identity, u32 action, const char *topic)
{
	bool yes = false;

	if (!r->active[identity] ||
	    (r->has_deny && rule_matches(&r->deny, identity, action, topic)))
		return false;
	for (u32 i = 0; i < O_ROLES; i++) {
		for (u32 k = 0; k < r->nrules[i] && r->roles_of[identity] >> i & 1; k++) {
			const struct rule *x = &r->rule[i][k];
			if (!rule_matches(x, identity, action, topic))
				continue;
			if (!x->allow)
				return false;
			yes = true;
		}
	}
	return yes;
}

bool oracle_any(const struct oracle *o, u32 from, u32 identity, u32 action, const char *topic)
{
	for (u32 v = from; v <= o->version; v++) {
		if (allows(o->at[v], identity, action, topic))
			return true;
	}
	return false;
}

bool oracle_all(const struct oracle *o, u32 from, u32 identity, u32 action, const char *topic)
{
	for (u32 v = from; v <= o->version; v++) {
		if (!allows(o->at[v], identity, action, topic))
			return false;
	}
	return true;
}

/* ---- changes ------------------------------------------------------------------------- */

static struct rights_now *oracle_next(struct oracle *o)
{
	struct rights_now *r = xmalloc(sizeof(*r));

	ASSERT(o->version + 1 < O_VERSIONS);
	*r = *o->at[o->version];
	o->at[++o->version] = r;
	return r;
}

static void rule_random(struct world *w, struct rule *r, bool allow)
{
	r->allow = allow;
	r->action = (u8)world_random(w, 2);
	random_filter(w, r->filter, true);
}

static u32 rule_print(char *out, size_t cap, const struct rule *r)
{
	return (u32)snprintf(out, cap, "\t%s%s %s\n", r->allow ? "" : "deny ",
			     r->action == O_PUBLISH ? "publish" : "subscribe", r->filter);
}

static void policy_tell(struct oracle *o, const struct rights_now *r)
{
	char text[4096];
	u32 at = 0;

	for (u32 i = 0; i < O_ROLES; i++) {
		at += (u32)snprintf(text + at, sizeof(text) - at, "role r%u {\n", i);
		for (u32 k = 0; k < r->nrules[i]; k++)
			at += rule_print(text + at, sizeof(text) - at, &r->rule[i][k]);
		at += (u32)snprintf(text + at, sizeof(text) - at, "}\n");
	}
	if (r->has_deny)
		snprintf(text + at, sizeof(text) - at, "deny * %s %s\n",
			 r->deny.action == O_PUBLISH ? "publish" : "subscribe", r->deny.filter);
	world_policy(o->w, text);
}

static void policy_random(struct world *w, struct rights_now *r)
{
	for (u32 i = 0; i < O_ROLES; i++) {
		r->nrules[i] = 2 + (u32)world_random(w, O_RULES - 1);
		for (u32 k = 0; k < r->nrules[i]; k++)
			rule_random(w, &r->rule[i][k], k < 2 || world_random(w, 3) != 0);
		/* Enough that much is allowed. */
		if (world_random(w, 2) == 0)
			snprintf(r->rule[i][0].filter, O_TEXT, "#");
	}
	r->has_deny = world_random(w, 4) == 0;
	if (r->has_deny)
		rule_random(w, &r->deny, false);
}

void oracle_new_policy(struct oracle *o)
{
	struct rights_now *r = oracle_next(o);

	policy_random(o->w, r);
	policy_tell(o, r);
}

static void identity_tell(struct oracle *o, u32 identity)
{
	const struct rights_now *r = o->at[o->version];
	struct identity *i = &o->w->identity[identity];

	i->nroles = 0;
	for (u32 k = 0; k < O_ROLES; k++) {
		if (r->roles_of[identity] >> k & 1)
			i->roles[i->nroles++] = k + 1;
	}
	i->status = r->active[identity];
	world_identity_changed(o->w, i);
}

void oracle_new_roles(struct oracle *o, u32 identity)
{
	oracle_next(o)->roles_of[identity] = (u8)(1 + world_random(o->w, 15));
	identity_tell(o, identity);
}

void oracle_set_active(struct oracle *o, u32 identity, bool active)
{
	oracle_next(o)->active[identity] = active;
	identity_tell(o, identity);
}

void oracle_start(struct oracle *o, struct world *w)
{
	struct rights_now *r = xcalloc(1, sizeof(*r));
	char name[16];

	o->w = w;
	o->version = 0;
	o->at[0] = r;
	policy_random(w, r);
	policy_tell(o, r);
	for (u32 i = 0; i < O_IDENTITIES; i++) {
		struct identity *x;
		snprintf(name, sizeof(name), "d%u", i);
		r->roles_of[i] = (u8)(1 + world_random(w, 15));
		r->active[i] = true;
		x = world_identity(w, name, 0, NULL);
		for (u32 k = 0; k < O_ROLES; k++) {
			if (r->roles_of[i] >> k & 1)
				x->roles[x->nroles++] = k + 1;
		}
	}
}

void oracle_end(struct oracle *o)
{
	for (u32 v = 0; v <= o->version; v++)
		free(o->at[v]);
}
