/* post: messages between shards. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { POST_MAGIC = 0x905791a1 };

static struct core_msg *post_new(enum post_kind kind, struct msg **m, u32 n)
{
	struct msg *kept = msg_keep(m);
	struct core_msg *p;

	ASSERT(n > 0);
	if (kept == NULL)
		return NULL;
	p = xmalloc(sizeof(*p) + n * sizeof(p->to[0]));
	*p = (struct core_msg){.magic = POST_MAGIC, .kind = kind, .m = kept, .n = n};
	return p;
}

void post_deliver(struct core *c, u32 shard, struct msg **m, const struct targets *v, u64 number)
{
	struct core_msg *p = post_new(POST_DELIVER, m, v->n);

	ASSERT(shard != c->shard);
	if (p == NULL) {
		c->stats.dropped++;
		return;
	}
	memcpy(p->to, v->v, v->n * sizeof(p->to[0]));
	p->number = number;
	p->durable = v->durable;
	if (v->durable)
		p->part = effect_part(c);
	ASSERT(p->m != NULL);
	c->env.post(c->env.arg, shard, p);
}

void post_shared(struct core *c, u32 shard, struct msg **m, struct group *g,
		 const struct target *to, const struct walk *w)
{
	struct core_msg *p = post_new(POST_SHARED, m, 1);

	ASSERT(shard != c->shard);
	if (p == NULL) {
		c->stats.dropped++;
		return;
	}
	ASSERT(p->n == 1);
	p->group = group_ref(g);
	p->walk = *w;
	p->part = effect_part(c);
	p->to[0] = *to;
	c->env.post(c->env.arg, shard, p);
}

void post_news(struct core *c, u32 shard)
{
	struct core_msg *p = xmalloc(sizeof(*p));

	ASSERT(shard != c->shard);
	*p = (struct core_msg){.magic = POST_MAGIC, .kind = POST_NEWS};
	c->env.post(c->env.arg, shard, p);
}

void core_msg_drop(struct core_msg *p)
{
	ASSERT(p->magic == POST_MAGIC);
	if (p->group != NULL)
		group_unref(&p->group);
	if (p->m != NULL)
		msg_unref(&p->m);
	p->magic = 0;
	free(p);
}

static void post_message(struct core *c, struct core_msg *p)
{
	struct targets v = {p->to, p->n, p->n, p->durable};
	struct topic t;
	enum err e = topic_parse(p->m->topic, &t);

	ASSERT(e == E_OK);
	effect_join(c, p->part);
	if (p->kind == POST_SHARED)
		shared_arrived(c, &p->m, &t, p->group, &p->to[0], &p->walk);
	else
		deliver_targets(c, &p->m, &t, &v, STALE, p->number);
	effect_leave(c);
}

void core_receive(struct core *c, struct core_msg *p)
{
	OBJ_CHECK(c, CORE_MAGIC);
	ASSERT(p->magic == POST_MAGIC);
	core_enter(c);
	if (p->kind == POST_NEWS)
		strand_wake(c);
	else
		post_message(c, p);
	core_msg_drop(p);
	core_leave(c);
}
