/* match: see match.h. */
#include "rights/match.h"

#include "base/addr.h"
#include "base/utf8.h"
#include "rights/doc.h"
#include "rights/holder.h"

/* ---- values of placeholders ------------------------------------------------------------ */

static struct slice claim_value(const struct subject *who, struct slice name)
{
	for (u32 i = 0; i < who->nclaims; i++) {
		if (slice_eq(who->claims[i].name, name))
			return who->claims[i].value;
	}
	return SLICE_NONE;
}

static struct slice part_value(const struct policy *p, const struct bpart *part,
			       const struct subject *who)
{
	switch ((enum part_kind)part->kind) {
#define X(name, word, field)                                                                       \
	case PART_##name:                                                                          \
		return who->field;
		HOLDER_TABLE(X)
#undef X
	case PART_CLAIM:
		return claim_value(who, policy_text(p, part->text));
	case PART_LITERAL:
		return policy_text(p, part->text);
	case PART_N:
		break;
	}
	UNREACHABLE("policy_open checked the kind");
}

/* May this value stand in a topic?  It must not change what the topic is made of. */
static bool value_safe(struct slice v, bool begins_topic)
{
	bool ascii = true; /* printable, which needs no second look */

	if (v.n == 0 || (begins_topic && v.p[0] == '$'))
		return false;
	for (size_t i = 0; i < v.n; i++) {
		u8 c = v.p[i];

		if (c == '+' || c == '#' || c == '/' || c < ' ')
			return false;
		ascii = ascii && c < 0x7f;
	}
	return ascii || utf8_ok(v);
}

static bool level_safe(const struct policy *p, const struct blevel *l, const struct subject *who,
		       bool first)
{
	const struct bpart *part = policy_parts(p) + l->parts_at;

	for (u32 i = 0; i < l->nparts; i++) {
		if (part[i].kind != PART_LITERAL &&
		    !value_safe(part_value(p, &part[i], who), first && i == 0))
			return false;
	}
	return true;
}

/* ---- one level ------------------------------------------------------------------------- */

static bool level_equals(const struct policy *p, const struct blevel *l, const struct subject *who,
			 struct slice level)
{
	const struct bpart *part = policy_parts(p) + l->parts_at;

	for (u32 i = 0; i < l->nparts; i++) {
		struct slice v = part_value(p, &part[i], who);

		if (v.n > level.n || (v.n != 0 && memcmp(v.p, level.p, v.n) != 0))
			return false;
		level = slice_skip(level, v.n);
	}
	return level.n == 0;
}

static const struct blevel *rule_level(const struct policy *p, const struct brule *r, u32 i)
{
	return policy_levels(p) + r->levels_at + i;
}

bool rule_level_fits(const struct policy *p, const struct brule *r, u32 i,
		     const struct subject *who, struct slice level)
{
	const struct blevel *l = rule_level(p, r, i);
	bool dollar = i == 0 && level.n != 0 && level.p[0] == '$';

	if (l->kind == LEVEL_LITERAL)
		return level_equals(p, l, who, level);
	if (dollar) /* reserved names are reached only by a rule that writes them out (I13) */
		return false;
	if (l->kind == LEVEL_PLUS)
		return true;
	if (r->flags & RULE_DENY)
		return level_equals(p, l, who, level) || !level_safe(p, l, who, i == 0);
	return level_equals(p, l, who, level) && level_safe(p, l, who, i == 0);
}

/* Does the level take in any name?  For a deny, a value that cannot be told is any value. */
static bool level_any(const struct policy *p, const struct brule *r, u32 i,
		      const struct subject *who)
{
	const struct blevel *l = rule_level(p, r, i);

	if (l->kind == LEVEL_PLUS)
		return true;
	return l->kind == LEVEL_HOLDER && r->flags & RULE_DENY && !level_safe(p, l, who, i == 0);
}

/* ---- topics ---------------------------------------------------------------------------- */

bool rule_matches(const struct policy *p, const struct brule *r, const struct subject *who,
		  const struct topic *t)
{
	u32 n = r->nlevel, k = r->prefix_levels;

	if (t->nlevel < n || (t->nlevel > n && !(r->flags & RULE_HASH)))
		return false;
	if (k == 0 && t->dollar)
		return false;
	/* The same length of the first k levels, and then the same bytes, is the same levels. */
	if (k != 0 && (t->level_off[k] != r->prefix.n + 1 ||
		       memcmp(t->s.p, policy_text(p, r->prefix).p, r->prefix.n) != 0))
		return false;
	for (u32 i = k; i < n; i++) {
		if (!rule_level_fits(p, r, i, who, topic_level(t, i)))
			return false;
	}
	return true;
}

/* ---- filters --------------------------------------------------------------------------- */

/* "a/#" has a itself, but "#" and "/#" have no empty topic, since there is none. */
static depths depths_of(u32 nlevel, bool hash, bool first_empty)
{
	u32 least = nlevel == 1 && first_empty ? 2 : MAX(nlevel, 1u);

	return hash ? ~(((depths)1 << least) - 1) : (depths)1 << nlevel;
}

/* The levels without a last '#'. */
static u32 filter_names(const struct filter *f)
{
	return f->nlevel - (u32)f->hash;
}

static bool filter_plus(const struct filter *f, u32 i)
{
	return f->plus_mask >> i & 1;
}

depths filter_depths(const struct filter *f)
{
	return depths_of(filter_names(f), f->hash, f->s.p[0] == '/');
}

static depths rule_depths(const struct brule *r)
{
	return depths_of(r->nlevel, r->flags & RULE_HASH,
			 r->prefix_levels != 0 && r->prefix.n == 0);
}

depths rule_covers(const struct policy *p, const struct brule *r, const struct subject *who,
		   const struct filter *f)
{
	u32 names = filter_names(f);
	depths both = rule_depths(r) & filter_depths(f);

	if (both == 0 || (r->nlevel == 0 && f->dollar))
		return 0;
	for (u32 i = 0; i < r->nlevel; i++) {
		bool one = i < names && !filter_plus(f, i);

		if (one ? !rule_level_fits(p, r, i, who, filter_level(f, i))
			: !level_any(p, r, i, who))
			return 0;
	}
	return both;
}

/* Does the rule write out a first level that begins with '$'? */
static bool rule_dollar(const struct policy *p, const struct brule *r)
{
	return r->prefix_levels != 0 && r->prefix.n != 0 && policy_text(p, r->prefix).p[0] == '$';
}

bool rule_overlaps(const struct policy *p, const struct brule *r, const struct subject *who,
		   const struct filter *f)
{
	u32 both = MIN(r->nlevel, filter_names(f));

	if ((rule_depths(r) & filter_depths(f)) == 0 || rule_dollar(p, r) != f->dollar)
		return false;
	for (u32 i = 0; i < both; i++) {
		if (!filter_plus(f, i) && !rule_level_fits(p, r, i, who, filter_level(f, i)))
			return false;
	}
	return true;
}

bool rule_is(const struct policy *p, const struct brule *r, const struct subject *who,
	     const struct filter *f)
{
	u32 names = filter_names(f);

	/* As compile does: "+/#" means "#", "/+/#" means "/#". */
	if (f->hash && names != 0 && filter_plus(f, names - 1) &&
	    (names == 1 || (names == 2 && f->s.p[0] == '/')))
		names--;
	if (r->nlevel != names || ((r->flags & RULE_HASH) != 0) != f->hash)
		return false;
	for (u32 i = 0; i < names; i++) {
		bool plus = rule_level(p, r, i)->kind == LEVEL_PLUS;

		if (filter_plus(f, i) ? !level_any(p, r, i, who)
				      : plus || !rule_level_fits(p, r, i, who, filter_level(f, i)))
			return false;
	}
	return true;
}

/* ---- circumstances --------------------------------------------------------------------- */

bool rule_applies(const struct policy *p, const struct brule *r, const struct circumstance *how,
		  enum moment when)
{
	const struct bcond *c;

	if (r->cond == NO_COND)
		return true;
	c = &policy_conds(p)[r->cond];
	if (c->has & COND_QOS && (how->qos < c->qos_min || how->qos > c->qos_max))
		return false;
	if (c->has & COND_TLS && how->tls != (c->tls == 1))
		return false;
	if (c->has & COND_LISTENER && !slice_eq(how->listener, policy_text(p, c->listener)))
		return false;
	if (c->has & COND_SOURCE && !addr_in_net(how->addr, c->addr, c->prefix))
		return false;
	if (!(c->has & COND_RETAIN))
		return true;
	return when == AT_SUBSCRIBE ? !(r->flags & RULE_DENY) : how->retain == (c->retain == 1);
}

/* ---- filters against filters ----------------------------------------------------------- */

static bool names_fit(const struct filter *a, const struct filter *b, u32 i)
{
	if (filter_plus(a, i))
		return i != 0 || !b->dollar;
	return slice_eq(filter_level(a, i), filter_level(b, i));
}

bool filter_includes(const struct filter *a, const struct filter *b)
{
	u32 names = filter_names(a);

	if ((filter_depths(b) & ~filter_depths(a)) != 0 || (names == 0 && b->dollar))
		return false;
	for (u32 i = 0; i < names; i++) {
		bool one = i < filter_names(b) && !filter_plus(b, i);

		if (one ? !names_fit(a, b, i) : !filter_plus(a, i))
			return false;
	}
	return true;
}

bool filter_overlaps(const struct filter *a, const struct filter *b)
{
	u32 both = MIN(filter_names(a), filter_names(b));

	if ((filter_depths(a) & filter_depths(b)) == 0)
		return false;
	if (a->dollar !=
	    b->dollar) /* one writes '$…' out, the other has another name or a wildcard */
		return false;
	for (u32 i = 0; i < both; i++) {
		if (!filter_plus(a, i) && !filter_plus(b, i) &&
		    !slice_eq(filter_level(a, i), filter_level(b, i)))
			return false;
	}
	return true;
}
