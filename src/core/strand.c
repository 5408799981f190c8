/* strand: shared messages that wait at a member which does not get along with them.
 *
 * A member that has gone, or is stuck, hands on what it has not begun to send; one that has gone
 * also what it was sent at QoS 1 and has not acknowledged.  What was sent at QoS 2 stays with its
 * session for good (SPEC MQTT-4.8.2-4, -5).  A session with such messages is looked at four times a
 * second while that leads anywhere, and then when a member becomes ready; so who comes back at once
 * finds its own. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { LOOK_MS = 250, LOOKED_A_TURN = 2000 /* messages */, ALL = UINT32_MAX };

/* The group that a message came to the session for; NULL: nobody is in it any more. */
static struct group *group_of(const struct core *c, const struct session *s, u16 sub,
			      const struct topic *t)
{
	const struct sub *b = sub != 0 && sub <= s->subs_cap ? s->subs[sub - 1] : NULL;
	struct filter left;
	const struct filter *f = b != NULL ? &b->filter : &left;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (b == NULL && !strand_left_filter(s, sub, &left))
		return NULL;
	return f->share.n != 0 && filter_matches(f, t) ? index_group(&c->hub->index, f) : NULL;
}

enum handed strand_hand_on(struct core *c, struct session *s, const struct queued *q,
			   enum standing floor)
{
	struct msg *m = q->m;
	enum shared_fate fate;
	struct group *g;
	struct walk w;
	struct topic t;
	enum err e = topic_parse(m->topic, &t);

	ASSERT(e == E_OK);
	ASSERT(s->handing);
	g = group_of(c, s, q->sub, &t);
	if (g == NULL)
		return HANDED_NOBODY;
	w = walk_begin(&c->hub->shares, g, &c->hub->key, &t, floor);
	/* It leaves the one queue and comes to the other in one transaction. */
	effect_begin(c);
	if (ops_on(c) && m->qos != 0)
		effect_group(c);
	fate = shared_send(c, &m, &t, g, &w);
	if (fate != SHARED_NOBODY && s->durable != NULL && q->seq != 0)
		backlog_delete(c, s, q->seq);
	effect_end(c);
	c->strands.handed += fate != SHARED_NOBODY;
	if (fate != SHARED_NOBODY)
		return HANDED_ON;
	return w.asked != 0 ? HANDED_REFUSED : HANDED_NOBODY;
}

/* ---- what one session has ---------------------------------------------------------------- */

/* One look at a session. */
struct look {
	enum standing floor;
	u32 only;   /* subscription, or ALL */
	u32 budget; /* messages for which a member may be looked for */
	u32 serial; /* of this look: a subscription for which nobody was found is marked with it */
	u32 stay;   /* shared messages that stay */
};

/* Has it gone?  One that found nobody stands for all of its subscription. */
static bool look_hand_on(struct core *c, struct session *s, struct look *l, const struct queued *q)
{
	u16 sub = q->sub;
	struct sub *b = sub != 0 && sub <= s->subs_cap ? s->subs[sub - 1] : NULL;
	enum handed h;

	if (b == NULL || (l->only != ALL && sub != l->only + 1) || msg_expired(q->m, c->now_ms))
		return false;
	if (b->futile != l->serial && l->budget > 0) {
		l->budget--;
		h = strand_hand_on(c, s, q, l->floor);
		if (h == HANDED_ON)
			return true;
		if (h == HANDED_NOBODY)
			b->futile = l->serial;
	}
	l->stay++;
	return false;
}

static void look_queue(struct core *c, struct session *s, struct look *l)
{
	STAILQ_HEAD(, queued) all = STAILQ_HEAD_INITIALIZER(all);
	struct queued *q;

	ASSERT(s->handing); /* so nothing comes to its queue meanwhile */
	STAILQ_CONCAT(&all, &s->queue);
	while ((q = STAILQ_FIRST(&all)) != NULL) {
		STAILQ_REMOVE_HEAD(&all, link);
		if (q->sub != 0 && !backlog_was_sent(q) && look_hand_on(c, s, l, q))
			queued_free(c, s, q);
		else
			STAILQ_INSERT_TAIL(&s->queue, q, link);
	}
}

/* QoS 1 that was sent and not acknowledged. */
static void look_flights(struct core *c, struct session *s, struct look *l)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	for (u32 i = 0; i < s->out.n;) {
		struct flight *x = flights_at(&s->out, i);
		struct queued like = {.m = x->m, .seq = x->seq, .sub = x->sub};
		if (x->sub != 0 && x->qos == 1 && look_hand_on(c, s, l, &like))
			flights_remove(&s->out, x);
		else
			i++;
	}
}

static struct look look_begin(struct core *c, enum standing floor, u32 only, u32 budget)
{
	return (struct look){floor, only, budget, ++c->strands.serial, 0};
}

/* What it takes for somebody else to get what waits here; AWAY: that it waits is all right. */
static enum standing wanted(const struct core *c, const struct session *s)
{
	enum standing now = session_standing(s);

	if (now == STAND_AWAY)
		return STAND_BUSY;
	if (now == STAND_STUCK || !shares_affine(&c->hub->shares))
		return STAND_READY;
	return STAND_AWAY;
}

/* True while it is to be looked after. */
static bool session_look(struct core *c, struct session *s, u32 *budget)
{
	struct look l = look_begin(c, wanted(c, s), ALL, *budget);

	ASSERT(!s->handing || strand_lingers(s));
	if (s->client == NULL && s->durable != NULL)
		return strand_disk_look(c, s); /* nothing is in memory */
	if (l.floor == STAND_AWAY)
		return s->queue_n != 0;
	s->handing = true;
	look_queue(c, s, &l);
	if (s->client == NULL)
		look_flights(c, s, &l);
	s->handing = false;
	*budget = l.budget;
	if (s->client != NULL)
		session_pump(c, s); /* and reads more, where that was but the front of it */
	else
		shared_report(c, s);
	return l.stay != 0 || (s->durable != NULL && backlog_is_behind(s->durable));
}

/* ---- looking after them ------------------------------------------------------------------ */

static _Atomic u32 *asleep(const struct core *c)
{
	return &c->hub->shares.asleep[c->shard];
}

static void stranded_look(struct core *c)
{
	u32 budget = LOOKED_A_TURN;

	for (u32 i = c->strands.n; i > 0 && budget > 0; i--) {
		struct strand_at at = c->strands.v[i - 1];
		struct session *s = core_session(c, at.slot, at.gen);

		if (s != NULL && session_look(c, s, &budget))
			continue;
		if (s != NULL)
			s->stranded = false;
		c->strands.v[i - 1] = c->strands.v[--c->strands.n];
	}
	ASSERT(c->strands.n <= c->strands.cap);
}

/* Nothing to be done: once more, in case somebody became ready just before we said that we sleep;
 * then not before there is news, or a pause is over. */
static void stranded_due(struct timer *t)
{
	struct core *c = CONTAINER_OF(t, struct core, strands.timer);
	u64 before = c->strands.handed, next = c->now_ms + LOOK_MS;

	OBJ_CHECK(c, CORE_MAGIC);
	c->strands.later_ms = UINT64_MAX;
	stranded_look(c);
	if (c->strands.handed != before)
		atomic_store(asleep(c), 0);
	else if (atomic_exchange(asleep(c), 1) == 1)
		next = c->strands.later_ms;
	if (c->strands.n != 0 && next != UINT64_MAX)
		timer_start(&c->wheel, &c->strands.timer, MAX(next, c->now_ms + 1));
}

void strand_wake(struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	atomic_store(asleep(c), 0);
	c->strands.timer.fire = stranded_due;
	if (c->strands.n != 0 &&
	    (!timer_running(&c->strands.timer) || c->strands.timer.at_ms > c->now_ms + LOOK_MS))
		timer_start(&c->wheel, &c->strands.timer, c->now_ms + LOOK_MS);
}

void strand(struct core *c, struct session *s)
{
	struct strands *all = &c->strands;

	ASSERT(s->shares);
	ASSERT(all->n <= all->cap);
	if (!s->stranded && all->n == all->cap) {
		all->cap = all->cap != 0 ? all->cap * 2 : 16;
		all->v = xrealloc(all->v, all->cap * sizeof(*all->v));
	}
	if (!s->stranded)
		all->v[all->n++] = (struct strand_at){s->slot, s->gen};
	s->stranded = true;
	strand_wake(c);
}

void strand_news(struct core *c)
{
	struct shares *all = &c->hub->shares;

	for (u32 i = 0; i < all->nshards; i++) {
		if (atomic_load_explicit(&all->asleep[i], memory_order_relaxed) == 0 ||
		    atomic_exchange(&all->asleep[i], 0) == 0)
			continue;
		if (i == c->shard)
			strand_wake(c);
		else
			post_news(c, i);
	}
	ASSERT(all->nshards > c->shard);
}

void strand_free(struct core *c)
{
	timer_stop(&c->wheel, &c->strands.timer);
	ASSERT(c->strands.n <= c->strands.cap);
	free(c->strands.v);
}

/* ---- ends -------------------------------------------------------------------------------- */

void strand_ends(struct core *c, struct session *s)
{
	struct look l = look_begin(c, STAND_AWAY, ALL, UINT32_MAX);

	ASSERT(s->client == NULL);
	s->handing = true; /* to its end */
	strand_disk_leaves(s);
	look_queue(c, s, &l);
	look_flights(c, s, &l);
}

void strand_unsubscribes(struct core *c, struct session *s, u32 sub)
{
	struct look l = look_begin(c, STAND_STUCK, sub, UINT32_MAX);
	struct queued *q;

	if (s->handing || sub >= UINT16_MAX)
		return;
	s->handing = true;
	look_queue(c, s, &l);
	s->handing = false;
	ASSERT(s->subs[sub] != NULL);
	strand_disk_unsubscribes(s, sub);
	/* What nobody else takes is its own from now on; the number may soon mean another one. */
	STAILQ_FOREACH (q, &s->queue, link) {
		if (q->sub == sub + 1)
			q->sub = 0;
	}
	for (u32 i = 0; i < s->out.n; i++) {
		struct flight *x = flights_at(&s->out, i);
		if (x->sub == sub + 1)
			x->sub = 0;
	}
}

bool strand_denied(struct core *c, struct session *s, const struct queued *q)
{
	bool was = s->handing, gone;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (q->sub == 0)
		return false;
	s->handing = true;
	gone = strand_hand_on(c, s, q, STAND_AWAY) == HANDED_ON;
	s->handing = was;
	return gone;
}
