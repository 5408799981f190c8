/* core: one shard as a whole: made, turned, ended. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { PURGE_EVERY_MS = 60000 };

struct core *core_new(struct hub *h, u32 shard, const struct core_env *env, u64 now_ms)
{
	struct core *c = xcalloc(1, sizeof(*c));

	OBJ_CHECK(h, HUB_MAGIC);
	ASSERT(shard < h->o.nshards);
	c->magic = CORE_MAGIC;
	c->shard = shard;
	c->hub = h;
	c->env = *env;
	c->now_ms = now_ms;
	wheel_init(&c->wheel, now_ms);
	TAILQ_INIT(&c->clients);
	TAILQ_INIT(&c->held);
	pool_init(&c->queued_pool, sizeof(struct queued));
	match_init(&c->match, h->o.nshards);
	ops_init(c);
	return c;
}

static void core_drop_client(struct core *c, struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	answers_drop(c, cl);
	if (cl->session != NULL) {
		atomic_fetch_sub(&cl->session->who->pr->connections, 1);
		cl->session->client = NULL;
		cl->session = NULL;
	}
	client_free(c, &cl);
}

static void core_drop_session(struct core *c, struct session *s)
{
	ASSERT(s->client == NULL);
	if (s->will != NULL)
		will_free(&s->will);
	s->shares = false; /* nothing is handed on any more */
	s->handing = true;
	subs_drop_all(c, s);
	queue_clear(c, s);
	if (s->durable != NULL)
		record_forget(c, s); /* the store has it */
	session_end(c, &s);
}

void core_free(struct core **cp)
{
	struct core *c = *cp;
	struct client *cl;

	*cp = NULL;
	OBJ_CHECK(c, CORE_MAGIC);
	core_enter(c);
	while ((cl = TAILQ_FIRST(&c->clients)) != NULL)
		core_drop_client(c, cl);
	for (u32 i = 0; i < c->slots_used; i++) {
		if (c->slots[i].s != NULL)
			core_drop_session(c, c->slots[i].s);
	}
	core_leave(c);
	strand_free(c);
	ops_free(c);
	ASSERT(c->limits == NULL);
	ASSERT(c->nwaiting == 0);
	ASSERT(c->nheld == 0);
	ASSERT(c->wheel.running == 0);
	pool_free(&c->queued_pool);
	seg_pool_free(&c->segs);
	match_free(&c->match);
	free(c->slots);
	free(c->free_slots);
	free(c->waiting);
	free(c->receivers);
	free(c->ids);
	free(c->idbuf);
	free(c->scratch);
	c->magic = 0;
	free(c);
}

void core_enter(struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	epoch_enter(&c->hub->epoch, c->shard);
}

void core_leave(struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	epoch_leave(&c->hub->epoch, c->shard);
}

u8 *core_scratch(struct core *c, size_t n)
{
	ASSERT(c->magic == CORE_MAGIC);
	if (c->scratch_cap < n) {
		c->scratch_cap = n + n / 2;
		c->scratch = xrealloc(c->scratch, c->scratch_cap);
	}
	return c->scratch;
}

static bool is_expired(void *arg, const struct retained *e)
{
	const struct core *c = arg;

	return msg_expired(e->m, c->now_ms);
}

/* An expired one is never handed out; this gives its memory and its place back. */
static void core_purge(struct core *c)
{
	struct retained_store *r = &c->hub->retained;
	struct retained_log log = record_retained(c);

	ASSERT(r->epoch == &c->hub->epoch);
	if (c->shard != 0 || c->now_ms < c->purge_ms)
		return;
	c->purge_ms = c->now_ms + PURGE_EVERY_MS;
	if (atomic_load_explicit(&r->expiring, memory_order_relaxed) != 0)
		retained_purge(r, is_expired, c, &log);
}

void core_turn(struct core *c, u64 now_ms)
{
	OBJ_CHECK(c, CORE_MAGIC);
	ASSERT(now_ms >= c->now_ms);
	c->now_ms = now_ms;
	core_enter(c);
	ops_press(c);
	answers_offer(c);
	wheel_advance(&c->wheel, now_ms);
	core_purge(c);
	rejudge_some(c);
	core_leave(c);
	epoch_collect(&c->hub->epoch);
}

u64 core_next(const struct core *c)
{
	u64 next = wheel_next(&c->wheel);

	OBJ_CHECK(c, CORE_MAGIC);
	if (c->rejudging)
		return c->now_ms;
	return c->ops.hold_ms != 0 ? MIN(next, c->ops.hold_ms) : next;
}

void core_shutdown(struct core *c)
{
	struct client *cl, *next;

	OBJ_CHECK(c, CORE_MAGIC);
	core_enter(c);
	for (cl = TAILQ_FIRST(&c->clients); cl != NULL; cl = next) {
		next = TAILQ_NEXT(cl, link);
		client_end(c, cl, E_SHUTDOWN);
	}
	core_leave(c);
}
