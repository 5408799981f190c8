/* explain: why a decision fell, for people.  The same decisions as eval.h, plus the nearest allow.
 */
#include "rights/eval.h"

/* What was asked for, as levels; a last '#' is not among them. */
struct asked {
	struct slice s;
	const u16 *off;
	u32 n;
};

static struct slice asked_level(const struct asked *a, u32 i)
{
	return slice_of(a->s.p + a->off[i], (size_t)(a->off[i + 1] - a->off[i] - 1));
}

/* How near a rule comes: first by the levels from the left that agree, then by those that agree at
 * all. */
static u32 nearness(const struct policy *p, const struct brule *r, const struct subject *who,
		    const struct asked *a)
{
	u32 n = MIN(r->nlevel, a->n), leading = 0, all = 0;

	for (u32 i = 0; i < n; i++) {
		bool fits = rule_level_fits(p, r, i, who, asked_level(a, i));

		leading += fits && leading == i;
		all += fits;
	}
	return leading * 128 + all * 2 + (r->nlevel == a->n || r->flags & RULE_HASH);
}

static struct reason nearest_allow(const struct policy *p, const struct subject *who,
				   enum action act, const struct asked *a)
{
	struct reason best = {0};
	u32 most = 0;

	for (u32 i = 0; i < who->nroles; i++) {
		const struct brole *role = policy_role(p, who->roles[i]);
		u32 n = role != NULL ? role->allow[act].n : 0;

		for (u32 k = 0; k < n; k++) {
			const struct brule *r = policy_rules(p) + role->allow[act].at + k;
			u32 near = nearness(p, r, who, a) + 1;

			if (near <= most)
				continue;
			most = near;
			best = (struct reason){r, role};
		}
	}
	return best;
}

/* Cut, and then marked, where it does not fit. */
static void fill(char *out, size_t cap, struct slice s)
{
	size_t n = MIN(s.n, cap - 1);

	if (n != 0)
		memcpy(out, s.p, n);
	out[n] = '\0';
	if (n < s.n)
		memcpy(out + cap - 4, "...", 4);
}

static void fill_reason(const struct policy *p, const struct reason *why, char *rule,
			size_t rule_cap, char *role, size_t role_cap)
{
	if (why->rule != NULL)
		fill(rule, rule_cap, policy_text(p, why->rule->text));
	if (why->role != NULL)
		fill(role, role_cap, policy_text(p, why->role->name));
}

static void explain(const struct policy *p, const struct subject *who, enum action act,
		    const struct asked *a, const struct circumstance *how, const struct reason *why,
		    struct explanation *out)
{
	struct reason near;

	fill_reason(p, why, out->rule, sizeof(out->rule), out->role, sizeof(out->role));
	if (out->verdict == ALLOW)
		return;
	near = nearest_allow(p, who, act, a);
	out->elsewhere = near.role != NULL && !policy_role_here(p, near.role, how->addr);
	fill_reason(p, &near, out->nearest, sizeof(out->nearest), out->nearest_role,
		    sizeof(out->nearest_role));
}

void rights_explain(const struct policy *p, const struct subject *who, enum action a,
		    struct slice raw, const struct circumstance *how, struct explanation *out)
{
	struct reason why;
	struct filter f;
	struct topic t;
	bool clear;

	*out = (struct explanation){.verdict = DENY};
	if (a == ACT_PUBLISH) {
		if (topic_parse(raw, &t) != E_OK)
			return;
		out->verdict = decide_topic(p, who, a, &t, how, &why);
		explain(p, who, a, &(struct asked){t.s, t.level_off, t.nlevel}, how, &why, out);
		return;
	}
	if (filter_parse(raw, &f) != E_OK)
		return;
	out->verdict = decide_filter(p, who, &f, how, &clear, &why);
	explain(p, who, a, &(struct asked){f.s, f.level_off, f.nlevel - (u32)f.hash}, how, &why,
		out);
}
