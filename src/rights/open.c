/* open: bytes → policy, or E_CORRUPT.  What this accepts, match and eval may follow without a look.
 */
#include "base/addr.h"
#include "rights/block.h"
#include "rights/doc.h"
#include "rights/holder.h"

static bool inside(struct range r, u32 n)
{
	return r.at <= n && r.n <= n - r.at;
}

/* The arrays lie behind each other, without gaps, up to the end. */
static bool layout_ok(const struct policy *p, size_t n)
{
	const struct {
		u32 at, n;
		size_t size;
	} sections[] = {
		{p->roles_at, p->nroles, sizeof(struct brole)},
		{p->rules_at, p->nrules, sizeof(struct brule)},
		{p->conds_at, p->nconds, sizeof(struct bcond)},
		{p->levels_at, p->nlevels, sizeof(struct blevel)},
		{p->parts_at, p->nparts, sizeof(struct bpart)},
		{p->nets_at, p->nnets, sizeof(struct bnet)},
		{p->text_at, p->ntext, 1},
	};
	u64 at = sizeof(*p); /* grows by less than 2^40 a section */

	for (u32 i = 0; i < ARRAY_LEN(sections); i++) {
		if (sections[i].at != at)
			return false;
		at += (u64)sections[i].n * sections[i].size;
	}
	return at == n && p->size == n && p->zero == 0;
}

static bool roles_ok(const struct policy *p)
{
	const struct brole *r = policy_roles(p);

	for (u32 i = 0; i < p->nroles; i++, r++) {
		bool ranges = inside(r->name, p->ntext) && inside(r->deny[0], p->nrules) &&
			      inside(r->deny[1], p->nrules) && inside(r->allow[0], p->nrules) &&
			      inside(r->allow[1], p->nrules) && inside(r->nets, p->nnets);

		if (!ranges || r->all_none > 1 || (i != 0 && r[-1].id >= r->id))
			return false;
	}
	return inside(p->everyone[0], p->nrules) && inside(p->everyone[1], p->nrules);
}

static bool rule_ok(const struct policy *p, const struct brule *r)
{
	bool hash = r->flags & RULE_HASH;

	return (r->flags & ~RULE_FLAGS) == 0 && r->zero == 0 &&
	       r->nlevel + hash <= LIM_TOPIC_LEVELS && (r->nlevel != 0 || hash) &&
	       r->prefix_levels <= r->nlevel &&
	       inside((struct range){r->levels_at, r->nlevel}, p->nlevels) &&
	       (r->cond == NO_COND || r->cond < p->nconds) && inside(r->prefix, p->ntext) &&
	       inside(r->text, p->ntext);
}

static bool rules_ok(const struct policy *p)
{
	const struct brule *r = policy_rules(p);

	for (u32 i = 0; i < p->nrules; i++) {
		if (!rule_ok(p, &r[i]))
			return false;
	}
	return true;
}

static bool conds_ok(const struct policy *p)
{
	const struct bcond *c = policy_conds(p);

	for (u32 i = 0; i < p->nconds; i++, c++) {
		if (c->has == 0 || (c->has & ~COND_ALL) != 0 || c->prefix > 128 || c->retain > 1 ||
		    c->tls > 1 || c->qos_min > c->qos_max || c->qos_max > 2 || c->zero[0] != 0 ||
		    c->zero[1] != 0 || !inside(c->listener, p->ntext))
			return false;
	}
	return true;
}

static bool levels_ok(const struct policy *p)
{
	const struct blevel *l = policy_levels(p);

	for (u32 i = 0; i < p->nlevels; i++, l++) {
		if (l->kind > LEVEL_PLUS || l->zero != 0 ||
		    (l->kind == LEVEL_PLUS) != (l->nparts == 0) ||
		    !inside((struct range){l->parts_at, l->nparts}, p->nparts))
			return false;
	}
	return true;
}

static bool parts_ok(const struct policy *p)
{
	const struct bpart *part = policy_parts(p);

	for (u32 i = 0; i < p->nparts; i++, part++) {
		if (part->kind >= PART_N || !inside(part->text, p->ntext))
			return false;
	}
	return true;
}

static bool nets_ok(const struct policy *p)
{
	const struct bnet *n = policy_nets(p);

	for (u32 i = 0; i < p->nnets; i++, n++) {
		if (n->prefix > 128 || n->deny > 1 || n->zero[0] != 0 || n->zero[1] != 0)
			return false;
	}
	return true;
}

enum err policy_open(struct slice block, const struct policy **out)
{
	const struct policy *p = (const void *)block.p;

	*out = NULL;
	if (block.n < sizeof(*p) || (uintptr_t)block.p % _Alignof(struct policy) != 0)
		return E_CORRUPT;
	if (p->magic != POLICY_BLOCK_MAGIC || !layout_ok(p, block.n))
		return E_CORRUPT;
	if (!roles_ok(p) || !rules_ok(p) || !conds_ok(p) || !levels_ok(p) || !parts_ok(p) ||
	    !nets_ok(p))
		return E_CORRUPT;
	*out = p;
	return E_OK;
}

u64 policy_generation(const struct policy *p)
{
	return p->generation;
}

const struct brole *policy_role(const struct policy *p, u32 id)
{
	const struct brole *roles = policy_roles(p);
	u32 lo = 0, hi = p->nroles;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (roles[mid].id == id)
			return &roles[mid];
		if (roles[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool policy_role_exists(const struct policy *p, u32 id)
{
	return policy_role(p, id) != NULL;
}

bool policy_role_here(const struct policy *p, const struct brole *r, const u8 addr[16])
{
	const struct bnet *n = policy_nets(p) + r->nets.at;
	bool allowed = r->nets.n == 0 || n[0].deny;

	for (u32 i = 0; i < r->nets.n; i++, n++) {
		if (!addr_in_net(addr, n->addr, n->prefix))
			continue;
		if (n->deny)
			return false;
		allowed = true;
	}
	return allowed;
}

void policy_limits(const struct policy *p, const u32 *roles, u32 nroles, const u8 addr[16],
		   struct role_limits *out)
{
	*out = (struct role_limits){0};
	for (u32 i = 0; i < nroles; i++) {
		const struct brole *r = policy_role(p, roles[i]);

		if (r == NULL || !policy_role_here(p, r, addr))
			continue;
		out->publish_rate = MAX(out->publish_rate, r->publish_rate);
		out->publish_burst = MAX(out->publish_burst, r->publish_burst);
		out->packet_bytes = MAX(out->packet_bytes, r->packet_bytes);
		out->inflight = MAX(out->inflight, r->inflight);
		out->queue_messages = MAX(out->queue_messages, r->queue_messages);
		out->queue_bytes = MAX(out->queue_bytes, r->queue_bytes);
		out->retained = MAX(out->retained, r->retained);
		out->subscriptions = MAX(out->subscriptions, r->subscriptions);
		out->all_none |= r->all_none == 1;
	}
}
