/* shared: a message to one member of a $share group.
 *
 * The board says whom to ask; the owner of the session knows, and hands on what its member cannot
 * take: it has gone, may not have it, has no room for it. */
#include "core/impl.h"

/* Members who are asked at most; so many because of how they stand, the others whatever way they
 * do.  The board is seldom wrong, so few are. */
enum { ASK_MAX = 64, ASK_CHOOSY = 16 };

/* ---- how a session stands ---------------------------------------------------------------- */

void shared_report(struct core *c, struct session *s)
{
	enum standing now = session_standing(s), old;
	u32 load = s->out.n + s->queue_n;

	OBJ_CHECK(s, SESSION_MAGIC);
	ASSERT(s->shares);
	if (s->client != NULL)
		load += (u32)MIN(s->client->out.bytes >> 10, (u64)UINT16_MAX);
	old = board_set(&c->hub->shares.boards[c->shard], s->slot, now, load);
	if (now == STAND_READY && old != STAND_READY)
		strand_news(c);
}

void shared_gone(struct core *c, const struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	board_set(&c->hub->shares.boards[c->shard], s->slot, STAND_AWAY, 0);
}

/* ---- giving ------------------------------------------------------------------------------ */

/* Does the member take it? */
static bool shared_try(struct core *c, struct msg **m, const struct topic *t, struct group *g,
		       const struct target *to, const struct walk *w)
{
	struct session *s;
	struct sub *sub = target_sub(c, to, &s);
	u32 ids[2] = {1, 0};
	struct delivery d = {.m = m};

	ASSERT(to->gen != 0);
	if (sub == NULL || sub->filter.share.n == 0 || !filter_matches(&sub->filter, t) ||
	    s->handing)
		return false;
	d.qos = MIN((*m)->qos, sub->qos);
	d.retain = (*m)->retain && sub->retain_as_published;
	ids[1] = sub->id;
	d.ids = sub->id != 0 ? ids : NULL;
	d.sub = to->sub < UINT16_MAX ? (u16)(to->sub + 1) : 0;
	if (w->asked <= ASK_CHOOSY &&
	    !walk_serves(&c->hub->shares, w, (*m)->qos, session_standing(s))) {
		shared_report(c, s); /* the board was behind */
		return false;
	}
	if (!sub_allows(c, s, sub, t, d.qos, d.retain)) {
		c->stats.denied_delivery++;
		return false;
	}
	if (!session_takes(c, s, &d))
		return false;
	session_deliver(c, s, &d);
	shared_report(c, s);
	walk_took(&c->hub->shares, g, sub->place);
	return true;
}

enum shared_fate shared_send(struct core *c, struct msg **m, const struct topic *t, struct group *g,
			     struct walk *w)
{
	struct member next;
	struct target to;

	ASSERT((*m)->magic == MSG_MAGIC);
	ASSERT(w->asked <= ASK_MAX);
	while (w->asked < ASK_MAX && walk_next(&c->hub->shares, g, (*m)->qos, w, &next)) {
		w->asked++;
		to = (struct target){next.h.slot, next.h.gen, next.sub};
		if (next.h.shard != c->shard) {
			post_shared(c, next.h.shard, m, g, &to, w);
			return SHARED_POSTED;
		}
		if (shared_try(c, m, t, g, &to, w))
			return SHARED_TAKEN;
	}
	return SHARED_NOBODY;
}

/* Nobody could take it.  Said at every doubling, not at every message. */
static void shared_lost(struct core *c, const struct msg *m)
{
	static const u8 nowhere[16];
	struct core_event e = {.kind = EV_DROPPED,
			       .why = E_QUOTA,
			       .listener = "",
			       .addr = nowhere,
			       .topic = m->topic,
			       .text = "no member of a shared subscription takes it"};

	ASSERT(m->magic == MSG_MAGIC);
	c->stats.dropped++;
	c->shared_lost++;
	if ((c->shared_lost & (c->shared_lost - 1)) == 0)
		event_emit(c, &e);
}

void shared_route(struct core *c, struct msg **m, const struct topic *t, struct group *g)
{
	struct walk w = walk_begin(&c->hub->shares, g, &c->hub->key, t, STAND_AWAY);

	ASSERT(w.asked == 0);
	if (shared_send(c, m, t, g, &w) == SHARED_NOBODY)
		shared_lost(c, *m);
}

/* Where nobody here was to have it but those who are present, those who are away may have it now:
 * it has left the queue that it was in. */
void shared_arrived(struct core *c, struct msg **m, const struct topic *t, struct group *g,
		    const struct target *to, struct walk *w)
{
	ASSERT(w->asked > 0);
	w->floor = STAND_AWAY;
	if (shared_try(c, m, t, g, to, w))
		return;
	if (shared_send(c, m, t, g, w) == SHARED_NOBODY)
		shared_lost(c, *m);
}
