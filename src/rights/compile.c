/* compile: document → block. */
#include <stdlib.h>

#include "base/num.h"
#include "rights/block.h"
#include "rights/doc.h"
#include "rights/holder.h"

struct builder {
	struct policy head;
	struct buf roles, rules, conds, levels, parts, nets, text;
};

static u32 count(const struct buf *b, size_t size)
{
	u32 n;

	ASSERT(narrow_u32(b->n / size, &n));
	return n;
}

static struct range add_text(struct builder *b, struct slice s)
{
	struct range r;

	ASSERT(narrow_u32(b->text.n, &r.at));
	ASSERT(narrow_u32(s.n, &r.n));
	buf_slice(&b->text, s);
	return r;
}

/* ---- filters --------------------------------------------------------------------------- */

static void add_level(struct builder *b, struct slice level)
{
	struct blevel out = {.parts_at = count(&b->parts, sizeof(struct bpart))};
	struct part part;
	size_t at = 0;

	if (slice_eq(level, SLICE_LIT("+"))) {
		out.kind = LEVEL_PLUS;
		buf_add(&b->levels, &out, sizeof(out));
		return;
	}
	while (part_next(level, &at, &part)) {
		struct bpart bp = {part.kind, add_text(b, part.s)};

		ASSERT(part.kind != PART_N);
		if (part.kind != PART_LITERAL)
			out.kind = LEVEL_HOLDER;
		buf_add(&b->parts, &bp, sizeof(bp));
		out.nparts++;
	}
	if (level.n == 0) { /* an empty level is one empty literal */
		struct bpart none = {PART_LITERAL, add_text(b, level)};

		buf_add(&b->parts, &none, sizeof(none));
		out.nparts = 1;
	}
	buf_add(&b->levels, &out, sizeof(out));
}

static bool literal(struct slice level)
{
	struct part part;
	size_t at = 0;

	if (slice_eq(level, SLICE_LIT("+")))
		return false;
	while (part_next(level, &at, &part)) {
		if (part.kind != PART_LITERAL)
			return false;
	}
	return true;
}

/* Takes the first level of *rest; false behind the last. */
static bool level_next(struct slice *rest, struct slice *level)
{
	const u8 *slash;

	if (rest->p == NULL)
		return false;
	slash = rest->n != 0 ? memchr(rest->p, '/', rest->n) : NULL;
	*level = slash != NULL ? slice_of(rest->p, (size_t)(slash - rest->p)) : *rest;
	*rest = slash != NULL ? slice_skip(*rest, level->n + 1) : SLICE_NONE;
	return true;
}

static void add_filter(struct builder *b, struct brule *r, struct slice filter)
{
	struct slice rest = filter, level;
	bool leading = true;

	r->levels_at = count(&b->levels, sizeof(struct blevel));
	while (level_next(&rest, &level)) {
		if (slice_eq(level, SLICE_LIT("#"))) {
			r->flags |= RULE_HASH;
			break;
		}
		add_level(b, level);
		r->nlevel++;
		leading = leading && literal(level);
		if (leading) {
			r->prefix_levels++;
			r->prefix.n = (u32)(level.p + level.n - filter.p);
		}
	}
	r->prefix = add_text(b, slice_of(filter.p, r->prefix.n));
	/* Two filters that have another spelling, since no topic is empty: "#" and "/#". */
	if (slice_eq(filter, SLICE_LIT("+/#")) || slice_eq(filter, SLICE_LIT("/+/#")))
		r->nlevel--;
}

/* ---- rules ----------------------------------------------------------------------------- */

static u32 add_cond(struct builder *b, const struct cond *c)
{
	struct bcond out = {
		.has = c->has,
		.qos_min = c->qos_min,
		.qos_max = c->qos_max,
		.retain = c->retain,
		.tls = c->tls,
		.prefix = c->prefix,
	};

	if (c->has == 0)
		return NO_COND;
	memcpy(out.addr, c->addr, sizeof(out.addr));
	if (c->listener != NULL)
		out.listener = add_text(b, slice_str(c->listener));
	buf_add(&b->conds, &out, sizeof(out));
	return count(&b->conds, sizeof(out)) - 1;
}

static void add_rule(struct builder *b, const struct rule *r)
{
	struct brule out = {.cond = add_cond(b, &r->cond)};

	out.flags = (u8)((r->exact ? RULE_EXACT : 0) | (r->deny ? RULE_DENY : 0));
	out.text = add_text(b, slice_str(r->text));
	add_filter(b, &out, slice_str(r->filter));
	buf_add(&b->rules, &out, sizeof(out));
}

static struct range add_rules(struct builder *b, const struct rule_list *l, bool deny,
			      enum action action)
{
	struct range out = {count(&b->rules, sizeof(struct brule)), 0};

	for (u32 i = 0; i < l->n; i++) {
		if (l->v[i].deny != deny || l->v[i].action != action)
			continue;
		add_rule(b, &l->v[i]);
		out.n++;
	}
	return out;
}

/* ---- roles ----------------------------------------------------------------------------- */

static u32 times5(u32 rate)
{
	return rate > UINT32_MAX / 5 ? UINT32_MAX - 1 : rate * 5;
}

static void add_limits(struct brole *out, const struct role_limits *l)
{
	u32 all = l->all_none ? UINT32_MAX : 0;

	out->publish_rate = l->publish_rate | all;
	out->publish_burst = l->publish_burst | all;
	out->packet_bytes = l->packet_bytes | all;
	out->inflight = l->inflight | all;
	out->queue_messages = l->queue_messages | all;
	out->queue_bytes = l->queue_bytes | all;
	out->retained = l->retained | all;
	out->subscriptions = l->subscriptions | all;
	out->all_none = l->all_none;
	if (out->publish_rate != 0 && out->publish_burst == 0)
		out->publish_burst = times5(out->publish_rate);
}

static void add_net(struct builder *b, const struct role_net *n)
{
	struct bnet out = {.prefix = n->prefix, .deny = n->deny};

	memcpy(out.addr, n->addr, sizeof(out.addr));
	buf_add(&b->nets, &out, sizeof(out));
}

static void add_role(struct builder *b, const struct role *r, u32 id)
{
	struct brole out = {.id = id, .name = add_text(b, slice_str(r->name))};

	out.nets = (struct range){count(&b->nets, sizeof(struct bnet)), r->nnets};
	for (u32 i = 0; i < r->nnets; i++)
		add_net(b, &r->nets[i]);
	for (u32 act = ACT_PUBLISH; act <= ACT_SUBSCRIBE; act++) {
		out.deny[act] = add_rules(b, &r->rules, true, (enum action)act);
		out.allow[act] = add_rules(b, &r->rules, false, (enum action)act);
	}
	add_limits(&out, &r->limits);
	buf_add(&b->roles, &out, sizeof(out));
}

static int id_cmp(const void *pa, const void *pb)
{
	const struct brole *a = pa, *b = pb;

	return (a->id > b->id) - (a->id < b->id);
}

static void add_roles(struct builder *b, const struct policy_doc *doc, const u32 *ids)
{
	struct brole *roles;

	for (u32 i = 0; i < doc->nroles; i++)
		add_role(b, &doc->roles[i], ids[i]);
	if (doc->nroles == 0)
		return;
	qsort(b->roles.p, doc->nroles, sizeof(struct brole), id_cmp);
	roles = (struct brole *)(void *)b->roles.p;
	for (u32 i = 1; i < doc->nroles; i++)
		ASSERT(roles[i - 1].id != roles[i].id); /* the store numbers roles uniquely */
}

/* ---- the block ------------------------------------------------------------------------- */

static u32 place(size_t *at, const struct buf *section)
{
	u32 out;

	ASSERT(narrow_u32(*at, &out));
	ASSERT(add_sz(*at, section->n, at));
	return out;
}

static void place_all(struct builder *b)
{
	struct policy *h = &b->head;
	size_t at = sizeof(*h);

	h->nroles = count(&b->roles, sizeof(struct brole));
	h->nrules = count(&b->rules, sizeof(struct brule));
	h->nconds = count(&b->conds, sizeof(struct bcond));
	h->nlevels = count(&b->levels, sizeof(struct blevel));
	h->nparts = count(&b->parts, sizeof(struct bpart));
	h->nnets = count(&b->nets, sizeof(struct bnet));
	h->ntext = count(&b->text, 1);
	h->roles_at = place(&at, &b->roles);
	h->rules_at = place(&at, &b->rules);
	h->conds_at = place(&at, &b->conds);
	h->levels_at = place(&at, &b->levels);
	h->parts_at = place(&at, &b->parts);
	h->nets_at = place(&at, &b->nets);
	h->text_at = place(&at, &b->text);
	ASSERT(narrow_u32(at, &h->size));
}

static enum err assemble(struct builder *b, u8 **block, size_t *len)
{
	struct buf *const sections[] = {&b->roles, &b->rules, &b->conds, &b->levels,
					&b->parts, &b->nets,  &b->text};
	size_t at = sizeof(b->head);

	place_all(b);
	*len = b->head.size;
	*block = malloc(*len);
	if (*block == NULL)
		return E_NOMEM;
	memcpy(*block, &b->head, sizeof(b->head));
	for (u32 i = 0; i < ARRAY_LEN(sections); i++) {
		if (sections[i]->n != 0)
			memcpy(*block + at, sections[i]->p, sections[i]->n);
		at += sections[i]->n;
		buf_free(sections[i]);
	}
	ASSERT(at == *len);
	return E_OK;
}

enum err policy_compile(const struct policy_doc *doc, const u32 *ids, u64 generation, u8 **block,
			size_t *len)
{
	struct builder b = {.head = {.magic = POLICY_BLOCK_MAGIC, .generation = generation}};

	OBJ_CHECK(doc, POLICY_DOC_MAGIC);
	for (u32 act = ACT_PUBLISH; act <= ACT_SUBSCRIBE; act++)
		b.head.everyone[act] = add_rules(&b, &doc->denies, true, (enum action)act);
	add_roles(&b, doc, ids);
	return assemble(&b, block, len);
}
