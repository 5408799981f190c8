/* deliver: from "these subscriptions match" to "this session gets it".
 *
 * A session whose subscriptions overlap gets a message once, at the highest QoS, with all
 * identifiers.  Every receiver's right is asked for here; a subscription of which nothing is denied
 * is known to be clear until the rights change. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { NO_LINK = UINT32_MAX };

bool sub_allows(const struct core *c, const struct session *s, struct sub *sub,
		const struct topic *t, u8 qos, bool retain)
{
	u64 serial = rights_serial(c->hub);

	ASSERT(s->core == c);
	ASSERT(sub->qos <= sub->granted);
	if (UNLIKELY(sub->serial != serial)) {
		bool clear;
		enum verdict v = judge_subscribe(s->who, &sub->filter, sub->qos, &clear);
		sub->clear = v == ALLOW && clear;
		sub->serial = serial;
	}
	return sub->clear || judge_deliver(s->who, t, qos, retain) == ALLOW;
}

struct sub *target_sub(const struct core *c, const struct target *to, struct session **s)
{
	*s = core_session(c, to->slot, to->gen);
	return *s != NULL && to->sub < (*s)->subs_cap ? (*s)->subs[to->sub] : NULL;
}

static void id_add(struct core *c, struct receiver *r, u32 id)
{
	ASSERT(id != 0);
	ASSERT(c->nids < NO_LINK);
	if (c->nids == c->ids_cap) {
		c->ids_cap = c->ids_cap != 0 ? c->ids_cap * 2 : 64;
		c->ids = xrealloc(c->ids, c->ids_cap * sizeof(*c->ids));
	}
	c->ids[c->nids] = (struct id_link){id, r->first_id};
	r->first_id = c->nids++;
	r->nids++;
}

/* The session's place in the list being made: its mark is good only if the list agrees. */
static struct receiver *receiver_of(struct core *c, struct session *s)
{
	struct receiver *r;

	if (s->mark < c->nreceivers && c->receivers[s->mark].s == s)
		return &c->receivers[s->mark];
	if (c->nreceivers == c->receivers_cap) {
		c->receivers_cap = c->receivers_cap != 0 ? c->receivers_cap * 2 : 64;
		c->receivers = xrealloc(c->receivers, c->receivers_cap * sizeof(*c->receivers));
	}
	ASSERT(s->core == c); /* sessions are their own shard's */
	s->mark = c->nreceivers++;
	r = &c->receivers[s->mark];
	*r = (struct receiver){.s = s, .first_id = NO_LINK};
	return r;
}

static bool is_from(const struct msg *m, const struct core *c, const struct session *s)
{
	return m->from.slot == s->slot && m->from.gen == s->gen && m->from.shard == c->shard;
}

static void target_add(struct core *c, const struct msg *m, const struct topic *t,
		       const struct target *to, enum target_age age)
{
	struct session *s;
	struct sub *sub = target_sub(c, to, &s);
	struct receiver *r;
	u8 qos;

	if (sub == NULL || (sub->no_local && is_from(m, c, s)))
		return;
	/* Meanwhile the number may mean another subscription of the same session. */
	if (age == STALE && (sub->filter.share.n != 0 || !filter_matches(&sub->filter, t)))
		return;
	qos = MIN(m->qos, sub->qos);
	if (!sub_allows(c, s, sub, t, qos, m->retain && sub->retain_as_published)) {
		c->stats.denied_delivery++;
		return;
	}
	r = receiver_of(c, s);
	r->qos = MAX(r->qos, qos);
	r->retain_as_published |= sub->retain_as_published;
	if (sub->id != 0)
		id_add(c, r, sub->id);
}

static const u32 *receiver_ids(struct core *c, const struct receiver *r)
{
	u32 n = r->nids;

	if (n == 0)
		return NULL;
	if (c->idbuf_cap < n + 1) {
		c->idbuf_cap = n + 16;
		c->idbuf = xrealloc(c->idbuf, c->idbuf_cap * sizeof(u32));
	}
	ASSERT(n < c->idbuf_cap);
	c->idbuf[0] = n;
	for (u32 i = r->first_id; i != NO_LINK; i = c->ids[i].next)
		c->idbuf[n--] = c->ids[i].id;
	ASSERT(n == 0);
	return c->idbuf;
}

/* More than one queue may refer to it. */
static u64 number_of(struct core *c, const struct msg *m, const struct targets *v, u64 number)
{
	ASSERT(c->nreceivers <= v->n);
	if (number != 0 || !v->durable || m->qos == 0 || c->nreceivers < 2)
		return number;
	return ops_number(c, NUMBER_MESSAGE);
}

void deliver_targets(struct core *c, struct msg **m, const struct topic *t, const struct targets *v,
		     enum target_age age, u64 number)
{
	ASSERT((*m)->magic == MSG_MAGIC);
	ASSERT((*m)->qos <= 2);
	ASSERT((*m)->topic.n != 0 && (*m)->topic.n <= UINT16_MAX); /* as it is written */
	c->nreceivers = c->nids = 0;
	for (u32 i = 0; i < v->n; i++)
		target_add(c, *m, t, &v->v[i], age);
	number = number_of(c, *m, v, number);
	for (u32 i = 0; i < c->nreceivers; i++) {
		const struct receiver *r = &c->receivers[i];
		struct delivery d = {.m = m,
				     .qos = r->qos,
				     .retain = (*m)->retain && r->retain_as_published,
				     .number = number,
				     .ids = receiver_ids(c, r)};
		session_deliver(c, r->s, &d);
	}
}

/* Does the store know sessions on other shards that the message is for?  Then its operations are a
 * group.  Returns its number, where it will need one. */
static u64 route_group(struct core *c, const struct msg *m)
{
	const struct match *x = &c->match;
	u32 shards = 0;
	bool shared = false;

	ASSERT(c->matching);
	if (!ops_on(c) || m->qos == 0)
		return 0;
	for (u32 i = 0; i < x->nshards; i++)
		shards += i != c->shard && x->shard[i].durable;
	for (u32 i = 0; i < x->ngroups && x->nshards > 1; i++)
		shared |= atomic_load_explicit(&x->groups[i]->durable, memory_order_relaxed) != 0;
	if (shards != 0 || shared)
		effect_group(c);
	return shards != 0 && shards + x->shard[c->shard].durable > 1
		       ? ops_number(c, NUMBER_MESSAGE)
		       : 0;
}

bool route_is_durable(struct core *c, const struct topic *t)
{
	const struct index *x = &c->hub->index;
	struct path p = path_topic(t);
	bool durable = false;
	NOINIT struct path_hash h;

	ASSERT(!c->matching);
	tree_hash(&x->tree, &p, &h);
	index_match(x, t, &h, &c->match);
	for (u32 i = 0; i < c->match.nshards; i++)
		durable |= c->match.shard[i].durable;
	for (u32 i = 0; i < c->match.ngroups; i++)
		durable |= atomic_load(&c->match.groups[i]->durable) != 0;
	return durable;
}

u32 route(struct core *c, struct msg **m, const struct topic *t)
{
	const struct index *x = &c->hub->index;
	struct path p = path_topic(t);
	NOINIT struct path_hash h;
	u64 number;

	ASSERT(!c->matching);
	c->matching = true;
	tree_hash(&x->tree, &p, &h);
	index_match(x, t, &h, &c->match);
	number = route_group(c, *m);
	for (u32 i = 0; i < c->match.nshards; i++) {
		if (i != c->shard && c->match.shard[i].n != 0)
			post_deliver(c, i, m, &c->match.shard[i], number);
	}
	deliver_targets(c, m, t, &c->match.shard[c->shard], FRESH, number);
	for (u32 i = 0; i < c->match.ngroups; i++)
		shared_route(c, m, t, c->match.groups[i]);
	c->matching = false;
	return c->match.found;
}
