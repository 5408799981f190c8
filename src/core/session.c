/* session: what a client leaves behind when its connection goes, and when that ends. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { MS = 1000 };

/* ---- slots: how other shards name a session ------------------------------------------ */

static u32 slot_take(struct core *c, struct session *s)
{
	u32 i;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (c->nfree_slots != 0) {
		i = c->free_slots[--c->nfree_slots];
	} else {
		if (c->slots_used == c->nslots) {
			c->nslots = c->nslots != 0 ? c->nslots * 2 : 64;
			c->slots = xrealloc(c->slots, c->nslots * sizeof(*c->slots));
			c->free_slots = xrealloc(c->free_slots, c->nslots * sizeof(*c->free_slots));
		}
		i = c->slots_used++;
		c->slots[i].gen = 1;
	}
	ASSERT(c->slots[i].gen != 0);
	c->slots[i].s = s;
	s->slot = i;
	s->gen = c->slots[i].gen;
	return i;
}

/* Generation 0 means "gone" to the index and is left out. */
static void slot_give(struct core *c, const struct session *s)
{
	struct slot *at = &c->slots[s->slot];

	ASSERT(at->s == s);
	at->s = NULL;
	at->gen = at->gen == UINT32_MAX ? 1 : at->gen + 1;
	ASSERT(c->nfree_slots < c->nslots);
	c->free_slots[c->nfree_slots++] = s->slot;
}

struct session *core_session(const struct core *c, u32 slot, u32 gen)
{
	if (slot >= c->slots_used || c->slots[slot].gen != gen)
		return NULL;
	return c->slots[slot].s;
}

/* ---- time away ----------------------------------------------------------------------- */

static void session_arm(struct core *c, struct session *s)
{
	u64 due = MIN(s->ends_ms, s->will_ms);

	ASSERT(s->client == NULL); /* only who is away has an end */
	OBJ_CHECK(s, SESSION_MAGIC);
	if (due == UINT64_MAX)
		timer_stop(&c->wheel, &s->timer);
	else
		timer_start(&c->wheel, &s->timer, due);
}

static void session_timeout(struct timer *t)
{
	struct session *s = CONTAINER_OF(t, struct session, timer);
	struct core *c = s->core;

	OBJ_CHECK(s, SESSION_MAGIC);
	ASSERT(s->client == NULL);
	if (c->now_ms >= s->ends_ms) {
		session_end(c, &s); /* fires a will that still waits */
		return;
	}
	if (c->now_ms >= s->will_ms)
		will_fire(c, s);
	session_arm(c, s);
}

/* ---- life ---------------------------------------------------------------------------- */

/* Takes home (a claim) and who. */
struct session *session_new(struct core *c, struct home *home, struct who *who)
{
	struct session *s = xcalloc(1, sizeof(*s));

	ASSERT(home->session == NULL);
	ASSERT(home->shard == c->shard);
	s->magic = SESSION_MAGIC;
	s->core = c;
	s->home = home;
	s->who = who;
	s->ends_ms = s->will_ms = UINT64_MAX;
	s->timer.fire = session_timeout;
	STAILQ_INIT(&s->queue);
	slot_take(c, s);
	home->session = s;
	atomic_fetch_add(&who->pr->sessions, 1);
	c->stats.sessions++;
	return s;
}

void session_restored(struct core *c, struct session *s)
{
	ASSERT(s->client == NULL);
	ASSERT(s->lim != NULL);
	session_arm(c, s);
	if (s->shares && s->durable != NULL) { /* nobody knows what waits */
		strand_disk_put(s->durable, s->durable->seq);
		strand(c, s);
	}
}

void session_attach(struct core *c, struct session *s, struct client *cl)
{
	ASSERT(s->home->session == s);
	ASSERT(cl->core == c && s->core == c);
	ASSERT(s->lim != NULL);
	ASSERT(s->client == NULL);
	ASSERT(cl->session == NULL);
	timer_stop(&c->wheel, &s->timer);
	s->ends_ms = s->will_ms = UINT64_MAX;
	s->client = cl;
	cl->session = s;
	ASSERT(atomic_load(&s->who->pr->connections) > 0);
}

void session_detach(struct core *c, struct session *s, enum detach_why why)
{
	struct client *cl = s->client;

	ASSERT(c->slots[s->slot].s == s);
	OBJ_CHECK(s, SESSION_MAGIC);
	ASSERT(cl != NULL && cl->session == s);
	ASSERT(atomic_fetch_sub(&s->who->pr->connections, 1) > 0);
	answers_drop(c, cl);
	s->client = NULL;
	cl->session = NULL;
	if (why == DETACH_GOODBYE && s->will != NULL)
		will_free(&s->will);
	if (s->expiry_s == 0) {
		session_end(c, &s);
		return;
	}
	queue_away(c, s);
	if (s->durable != NULL)
		record_put(c, s); /* with its will, which is said in a transaction of its own */
	if (s->shares)
		shared_report(c, s);
	if (s->shares && backlog_count(s) + s->out.n != 0)
		strand(c, s);
	if (s->expiry_s != UINT32_MAX)
		s->ends_ms = c->now_ms + (u64)s->expiry_s * MS;
	if (s->will != NULL && s->will->delay_s == 0)
		will_fire(c, s);
	else if (s->will != NULL)
		s->will_ms = c->now_ms + (u64)s->will->delay_s * MS;
	session_arm(c, s);
}

/* SPEC MQTT-3.1.2-8: a will that waits is published when the session ends.  Where that takes other
 * shards, the session is kept as one that ends until it is on disk. */
static void session_last_will(struct core *c, struct session *s, bool later)
{
	enum record_end how = later ? END_LATER : END_NOW;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->will != NULL) {
		s->expiry_s = 0;
		if (s->durable != NULL)
			record_put(c, s);
		effect_begin(c);
		will_say(c, s);
		how = later || c->ops.effect.parts != 0 ? END_LATER : END_NOW;
		effect_end(c);
	}
	ASSERT(s->will == NULL);
	if (s->durable != NULL)
		record_end(c, s, how);
}

void session_end(struct core *c, struct session **sp)
{
	struct session *s = *sp;
	bool later = strand_lingers(s);
	u64 handed = c->strands.handed;

	ASSERT(s->home->session == s);
	ASSERT(c->slots[s->slot].gen == s->gen);
	*sp = NULL;
	OBJ_CHECK(s, SESSION_MAGIC);
	ASSERT(s->client == NULL);
	if (s->shares)
		strand_ends(c, s);
	subs_drop_all(c, s);
	queue_clear(c, s);
	flights_clear(&s->out);
	if (s->shares && strand_disk_ends(c, s))
		return;
	if (s->durable != NULL && c->strands.handed != handed) {
		/* It has ended, but is there until others have on disk what was its own. */
		s->expiry_s = 0;
		record_put(c, s);
		later = true;
	}
	session_last_will(c, s, later);
	timer_stop(&c->wheel, &s->timer);
	free(s->in.v);
	if (s->shares)
		shared_gone(c, s);
	slot_give(c, s);
	if (s->lim != NULL)
		limits_unref(c, &s->lim);
	if (s->home != NULL) {
		s->home->session = NULL;
		directory_release(&c->hub->directory, &s->home);
	}
	ASSERT(atomic_fetch_sub(&s->who->pr->sessions, 1) > 0);
	who_unref(&s->who);
	ASSERT(c->stats.sessions > 0);
	c->stats.sessions--;
	s->magic = 0;
	free(s);
}
