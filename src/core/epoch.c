/* epoch: see epoch.h.
 *
 * Why it is right: entry stores the epoch it saw and then looks at the epoch again, both
 * sequentially consistent.  Either the collector's scan sees the store, and waits; or the store
 * comes after the scan in that order, and then the second look sees the increment made by retire,
 * which came after the object was unlinked, so the reader cannot find it. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/epoch.h"

void epoch_init(struct epoch *e, u32 nslots)
{
	void *slots = NULL;
	size_t bytes = nslots * sizeof(struct epoch_slot);

	ASSERT(nslots > 0);
	ASSERT(posix_memalign(&slots, _Alignof(struct epoch_slot), bytes) == 0);
	memset(slots, 0, bytes);
	e->slots = slots;
	e->nslots = nslots;
	atomic_init(&e->now, 1);
	atomic_init(&e->waiting, 0);
	e->head = NULL;
	e->tail = &e->head;
	ASSERT(pthread_mutex_init(&e->lock, NULL) == 0);
}

void epoch_enter(struct epoch *e, u32 slot)
{
	struct epoch_slot *s = &e->slots[slot];
	u64 seen, again;

	ASSERT(slot < e->nslots);
	if (s->depth++ != 0)
		return;
	again = atomic_load(&e->now);
	do {
		seen = again;
		atomic_store(&s->inside, seen);
		again = atomic_load(&e->now);
	} while (again != seen);
}

void epoch_leave(struct epoch *e, u32 slot)
{
	struct epoch_slot *s = &e->slots[slot];

	ASSERT(slot < e->nslots);
	ASSERT(s->depth > 0);
	if (--s->depth == 0)
		atomic_store_explicit(&s->inside, 0, memory_order_release);
}

void epoch_retire(struct epoch *e, struct retired *r, void (*drop)(struct retired *r))
{
	ASSERT(drop != NULL);
	pthread_mutex_lock(&e->lock);
	r->next = NULL;
	r->drop = drop;
	r->epoch = atomic_fetch_add(&e->now, 1);
	*e->tail = r;
	e->tail = &r->next;
	atomic_fetch_add_explicit(&e->waiting, 1, memory_order_relaxed);
	pthread_mutex_unlock(&e->lock);
}

/* The oldest epoch that somebody inside may have seen. */
static u64 epoch_oldest(struct epoch *e)
{
	u64 oldest = atomic_load(&e->now);

	ASSERT(oldest > 0);
	for (u32 i = 0; i < e->nslots; i++) {
		u64 in = atomic_load(&e->slots[i].inside);
		if (in != 0 && in < oldest)
			oldest = in;
	}
	return oldest;
}

static struct retired *epoch_take(struct epoch *e, u64 below)
{
	struct retired *list, **end;
	u32 n = 0;

	pthread_mutex_lock(&e->lock);
	list = e->head;
	for (end = &list; *end != NULL && (*end)->epoch < below; end = &(*end)->next)
		n++;
	ASSERT(n <= atomic_load_explicit(&e->waiting, memory_order_relaxed));
	e->head = *end;
	*end = NULL;
	if (e->head == NULL)
		e->tail = &e->head;
	atomic_fetch_sub_explicit(&e->waiting, n, memory_order_relaxed);
	pthread_mutex_unlock(&e->lock);
	return list;
}

static void drop_all(struct retired *list)
{
	for (struct retired *r = list, *next; r != NULL; r = next) {
		next = r->next;
		ASSERT(r->drop != NULL);
		r->drop(r);
	}
}

void epoch_collect(struct epoch *e)
{
	if (atomic_load_explicit(&e->waiting, memory_order_relaxed) != 0)
		drop_all(epoch_take(e, epoch_oldest(e)));
}

void epoch_free(struct epoch *e)
{
	for (u32 i = 0; i < e->nslots; i++)
		ASSERT(e->slots[i].depth == 0);
	while (e->head != NULL)
		drop_all(epoch_take(e, UINT64_MAX));
	pthread_mutex_destroy(&e->lock);
	free(e->slots);
	e->slots = NULL;
}
