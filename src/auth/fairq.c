/* fairq: a bounded queue that is fair by source.  See fairq.h. */
#include <stdlib.h>

#include "auth/fairq.h"
#include "base/mem.h"

struct fair_source {
	TAILQ_ENTRY(fair_source) next;
	struct fair_items items;
	u32 n;
	size_t key_len;
	u8 key[FAIRQ_KEY];
};

void fairq_init(struct fairq *q, const struct hash_key *key)
{
	memset(q, 0, sizeof(*q));
	TAILQ_INIT(&q->ring);
	map_init(&q->sources, key);
}

void fairq_free(struct fairq *q)
{
	ASSERT(q->n == 0);
	ASSERT(TAILQ_EMPTY(&q->ring));
	map_free(&q->sources);
}

static struct fair_source *source_make(struct fairq *q, struct slice key)
{
	struct fair_source *s = xcalloc(1, sizeof(*s));

	s->key_len = key.n;
	memcpy(s->key, key.p, key.n);
	TAILQ_INIT(&s->items);
	TAILQ_INSERT_TAIL(&q->ring, s, next);
	map_put(&q->sources, slice_of(s->key, s->key_len), s);
	return s;
}

static void source_remove(struct fairq *q, struct fair_item *i)
{
	struct fair_source *s = i->source;

	TAILQ_REMOVE(&s->items, i, next);
	i->source = NULL;
	q->n--;
	if (--s->n != 0)
		return;
	TAILQ_REMOVE(&q->ring, s, next);
	map_del(&q->sources, slice_of(s->key, s->key_len));
	free(s);
}

/* Full queues are short enough to be walked: a turn of it costs less than one password hash. */
static struct fair_item *evict(struct fairq *q, u32 newcomer_n)
{
	struct fair_source *s, *most = NULL;
	struct fair_item *i;

	TAILQ_FOREACH (s, &q->ring, next) {
		if (most == NULL || s->n > most->n)
			most = s;
	}
	if (most == NULL || newcomer_n + 1 >= most->n)
		return NULL;
	i = TAILQ_LAST(&most->items, fair_items);
	source_remove(q, i);
	return i;
}

bool fairq_push(struct fairq *q, struct fair_item *i, struct slice key, u64 now_ms,
		struct fair_item **evicted)
{
	struct fair_source *s;

	ASSERT(key.n > 0);
	ASSERT(key.n <= FAIRQ_KEY);
	*evicted = NULL;
	s = map_get(&q->sources, key);
	if (q->n >= q->max) {
		*evicted = evict(q, s == NULL ? 0 : s->n);
		if (*evicted == NULL)
			return false;
	}
	if (s == NULL)
		s = source_make(q, key);
	i->source = s;
	i->queued_ms = now_ms;
	TAILQ_INSERT_TAIL(&s->items, i, next);
	s->n++;
	q->n++;
	return true;
}

struct fair_item *fairq_pop(struct fairq *q)
{
	struct fair_source *s = TAILQ_FIRST(&q->ring);
	struct fair_item *i;

	if (s == NULL)
		return NULL;
	TAILQ_REMOVE(&q->ring, s, next);
	TAILQ_INSERT_TAIL(&q->ring, s, next);
	i = TAILQ_FIRST(&s->items);
	source_remove(q, i);
	return i;
}
