/* shared: one member of a $share group gets each message (MQTT 5.0 section 4.8.2).
 *
 * Members take turns over all shards.  One that has gone, is away or may not have the message hands
 * it on; when all who were asked are away, one that can queue takes it. */
#include "core/impl.h"

enum { ASK_MAX = 16 };

static u32 ask_first(const struct group *g)
{
	return MIN(group_size(g), (u32)ASK_MAX);
}

/* Does the member take it? */
static bool shared_try(struct core *c, struct msg **m, const struct topic *t,
		       const struct target *to, bool away_too)
{
	struct session *s;
	struct sub *sub = target_sub(c, to, &s);
	u32 ids[2] = {1, 0};
	struct delivery d = {.m = m};

	ASSERT(to->gen != 0);
	if (sub == NULL || sub->filter.share.n == 0 || !filter_matches(&sub->filter, t))
		return false;
	d.qos = MIN((*m)->qos, sub->qos);
	d.retain = (*m)->retain && sub->retain_as_published;
	if (s->client == NULL && (!away_too || d.qos == 0))
		return false;
	if (!sub_allows(c, s, sub, t, d.qos, d.retain)) {
		c->stats.denied_delivery++;
		return false;
	}
	ids[1] = sub->id;
	d.ids = sub->id != 0 ? ids : NULL;
	session_deliver(c, s, &d);
	return true;
}

/* Ask members from the tries-th on. */
void shared_route(struct core *c, struct msg **m, const struct topic *t, struct group *g, u32 tries)
{
	u32 first = ask_first(g);
	struct target to;
	struct handle h;

	ASSERT((*m)->magic == MSG_MAGIC);
	ASSERT(tries <= 2 * ASK_MAX);
	for (; tries < 2 * first; tries++) {
		if (!group_pick(g, &h, &to.sub))
			return;
		to.slot = h.slot;
		to.gen = h.gen;
		if (h.shard != c->shard) {
			post_shared(c, h.shard, m, g, &to, tries);
			return;
		}
		if (shared_try(c, m, t, &to, tries >= first))
			return;
	}
}

void shared_arrived(struct core *c, struct msg **m, const struct topic *t, struct group *g,
		    const struct target *to, u32 tries)
{
	ASSERT(tries < 2 * ASK_MAX);
	if (!shared_try(c, m, t, to, tries >= ask_first(g)))
		shared_route(c, m, t, g, tries + 1);
}
