/* eval: all rules of a subject against one topic or filter.  Nothing allowed means denied; a deny
 * wins. */
#include "rights/eval.h"

/* ---- topics ---------------------------------------------------------------------------- */

struct question {
	const struct policy *p;
	const struct subject *who;
	const struct topic *t;
	const struct circumstance *how;
	enum action act;
};

/* An exact deny is about subscribing with that filter, not about what is delivered under others. */
static bool counts(const struct question *q, const struct brule *r)
{
	return q->act == ACT_PUBLISH ||
	       (r->flags & (RULE_EXACT | RULE_DENY)) != (RULE_EXACT | RULE_DENY);
}

static const struct brule *first_match(const struct question *q, struct range range)
{
	const struct brule *r = policy_rules(q->p) + range.at;

	for (u32 i = 0; i < range.n; i++, r++) {
		if (rule_matches(q->p, r, q->who, q->t) && counts(q, r) &&
		    rule_applies(q->p, r, q->how, AT_MESSAGE))
			return r;
	}
	return NULL;
}

enum verdict decide_topic(const struct policy *p, const struct subject *who, enum action act,
			  const struct topic *t, const struct circumstance *how, struct reason *why)
{
	struct question q = {p, who, t, how, act};
	struct reason allow = {0}, deny = {first_match(&q, p->everyone[act]), NULL};

	for (u32 i = 0; i < who->nroles && deny.rule == NULL; i++) {
		const struct brole *role = policy_role(p, who->roles[i]);

		if (role == NULL)
			continue;
		deny = (struct reason){first_match(&q, role->deny[act]), role};
		if (allow.rule == NULL && policy_role_here(p, role, how->addr))
			allow = (struct reason){first_match(&q, role->allow[act]), role};
	}
	if (deny.rule != NULL) {
		*why = deny;
		return DENY;
	}
	*why = allow.rule != NULL ? allow : (struct reason){0};
	return allow.rule != NULL ? ALLOW : DENY;
}

/* ---- filters --------------------------------------------------------------------------- */

/* What is known while the rules are gone through. */
struct tally {
	const struct policy *p;
	const struct subject *who;
	const struct filter *f;
	const struct circumstance *how;
	depths allowed, always; /* by any allow that applies; by those without conditions */
	depths denied;
	bool refused, cut; /* by an exact deny; a deny takes something out, now or under other
			      conditions */
	struct reason allow, deny;
};

static void note(struct reason *to, const struct brule *rule, const struct brole *role)
{
	if (to->rule == NULL)
		*to = (struct reason){rule, role};
}

static void tally_deny(struct tally *t, const struct brule *r, const struct brole *role)
{
	bool applies = rule_applies(t->p, r, t->how, AT_SUBSCRIBE);
	depths covers = 0;

	if (r->flags & RULE_EXACT) {
		if (!applies || !rule_is(t->p, r, t->who, t->f))
			return;
		t->refused = true;
		t->deny = (struct reason){r, role};
		return;
	}
	t->cut = t->cut || rule_overlaps(t->p, r, t->who, t->f);
	if (applies)
		covers = rule_covers(t->p, r, t->who, t->f);
	t->denied |= covers;
	if (covers != 0)
		note(&t->deny, r, role);
}

static void tally_allow(struct tally *t, const struct brule *r, const struct brole *role)
{
	depths covers;

	if (!rule_applies(t->p, r, t->how, AT_SUBSCRIBE))
		return;
	if (r->flags & RULE_EXACT)
		covers = rule_is(t->p, r, t->who, t->f) ? filter_depths(t->f) : 0;
	else
		covers = rule_covers(t->p, r, t->who, t->f);
	t->allowed |= covers;
	if (r->cond == NO_COND && role != NULL && role->nets.n == 0)
		t->always |= covers;
	if (covers != 0)
		note(&t->allow, r, role);
}

static void tally_range(struct tally *t, struct range range, const struct brole *role)
{
	const struct brule *r = policy_rules(t->p) + range.at;

	for (u32 i = 0; i < range.n; i++, r++) {
		if (r->flags & RULE_DENY)
			tally_deny(t, r, role);
		else
			tally_allow(t, r, role);
	}
}

static bool whole(const struct tally *t, depths covered)
{
	return (filter_depths(t->f) & ~covered) == 0;
}

enum verdict decide_filter(const struct policy *p, const struct subject *who,
			   const struct filter *f, const struct circumstance *how, bool *clear,
			   struct reason *why)
{
	struct tally t = {p, who, f, how};

	*clear = false;
	tally_range(&t, p->everyone[ACT_SUBSCRIBE], NULL);
	for (u32 i = 0; i < who->nroles; i++) {
		const struct brole *role = policy_role(p, who->roles[i]);

		if (role == NULL)
			continue;
		tally_range(&t, role->deny[ACT_SUBSCRIBE], role);
		if (policy_role_here(p, role, how->addr))
			tally_range(&t, role->allow[ACT_SUBSCRIBE], role);
	}
	if (t.refused || whole(&t, t.denied)) {
		*why = t.deny;
		return DENY;
	}
	if (!whole(&t, t.allowed)) {
		*why = (struct reason){0};
		return DENY;
	}
	*clear = !t.cut && whole(&t, t.always);
	*why = t.allow;
	return ALLOW;
}

/* ---- the verdicts ---------------------------------------------------------------------- */

enum verdict rights_publish(const struct policy *p, const struct subject *who,
			    const struct topic *t, const struct circumstance *how)
{
	struct reason why;

	return decide_topic(p, who, ACT_PUBLISH, t, how, &why);
}

enum verdict rights_deliver(const struct policy *p, const struct subject *who,
			    const struct topic *t, const struct circumstance *how)
{
	struct reason why;

	return decide_topic(p, who, ACT_SUBSCRIBE, t, how, &why);
}

enum verdict rights_subscribe(const struct policy *p, const struct subject *who,
			      const struct filter *f, const struct circumstance *how, bool *clear)
{
	struct reason why;

	return decide_filter(p, who, f, how, clear, &why);
}
