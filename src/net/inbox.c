/* inbox: a vector under a short lock; the reader swaps it for an empty one.  Vectors stay as large
 * as they once were, so that a busy shard allocates nothing, up to a bound above which they are
 * given back. */
#include <stdlib.h>

#include "base/mem.h"
#include "net/inbox.h"
#include "net/net.h"

enum { BATCH_FIRST = 64, BATCH_KEPT = 65536 };

static void batch_room(struct inbox_batch *b, size_t more)
{
	ASSERT(b->n <= b->cap);
	ASSERT(more <= SIZE_MAX / 4);
	if (b->cap - b->n >= more)
		return;
	while (b->cap - b->n < more)
		b->cap = b->cap == 0 ? BATCH_FIRST : b->cap * 2;
	b->items = xrealloc(b->items, b->cap * sizeof(*b->items));
}

static void batch_clear(struct inbox_batch *b)
{
	ASSERT(b->n <= b->cap);
	b->n = 0;
	if (b->cap <= BATCH_KEPT)
		return;
	free(b->items);
	*b = (struct inbox_batch){.items = NULL};
}

void inbox_init(struct inbox *b, struct loop *loop)
{
	*b = (struct inbox){.loop = loop};
	if (pthread_mutex_init(&b->lock, NULL) != 0)
		UNREACHABLE("a plain mutex can be made");
}

void inbox_free(struct inbox *b)
{
	ASSERT(b->in.n <= b->in.cap);
	ASSERT(b->out.n <= b->out.cap);
	pthread_mutex_destroy(&b->lock);
	free(b->in.items);
	free(b->out.items);
	b->in = b->out = (struct inbox_batch){.items = NULL};
}

void inbox_put(struct inbox *b, const struct inbox_item *items, size_t n)
{
	ASSERT(n != 0);
	ASSERT(items != NULL);
	pthread_mutex_lock(&b->lock);
	batch_room(&b->in, n);
	memcpy(b->in.items + b->in.n, items, n * sizeof(*items));
	b->in.n += n;
	atomic_store_explicit(&b->any, true, memory_order_release);
	pthread_mutex_unlock(&b->lock);
	if (b->loop != NULL)
		loop_wake(b->loop);
}

size_t inbox_take(struct inbox *b, struct inbox_item **items)
{
	struct inbox_batch full;

	batch_clear(&b->out);
	*items = NULL;
	ASSERT(b->out.n == 0); /* it becomes the writers' */
	/* Whoever put something in wakes the loop after that, so what is missed here is seen in
	 * the turn that follows. */
	if (!atomic_load_explicit(&b->any, memory_order_acquire))
		return 0;
	pthread_mutex_lock(&b->lock);
	full = b->in;
	b->in = b->out;
	b->out = full;
	atomic_store_explicit(&b->any, false, memory_order_relaxed);
	pthread_mutex_unlock(&b->lock);
	*items = b->out.items;
	return b->out.n;
}

void outbox_add(struct inbox_batch *o, struct inbox_item it)
{
	batch_room(o, 1);
	ASSERT(o->n < o->cap);
	o->items[o->n++] = it;
}

void outbox_send(struct inbox_batch *o, struct inbox *to)
{
	ASSERT(o->n <= o->cap);
	if (o->n == 0)
		return;
	inbox_put(to, o->items, o->n);
	batch_clear(o);
}
