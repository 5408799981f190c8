/* epoch: when is it safe to free what other threads may still be reading?
 *
 * A shard enters before it follows shared pointers and leaves when it holds none any more.  What is
 * taken out of a shared structure is retired; it is dropped when every shard that was inside at
 * that moment has left.  An idle shard is outside and holds nothing up.  Knows nothing of what it
 * frees. */
#ifndef PICKET_CORE_EPOCH_H
#define PICKET_CORE_EPOCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"

/* Lives inside the object that is retired. */
struct retired {
	struct retired *next;
	u64 epoch;
	void (*drop)(struct retired *r);
};

struct epoch_slot {
	_Alignas(64) _Atomic u64 inside; /* the epoch seen at entry; 0: outside */
	u32 depth;			 /* the shard's own: calls may nest */
};

struct epoch {
	_Alignas(64) _Atomic u64 now; /* from 1 */
	_Atomic u32 waiting;	      /* retired and not yet dropped */
	u32 nslots;
	struct epoch_slot *slots;
	pthread_mutex_t lock; /* the list, oldest first */
	struct retired *head, **tail;
};

void epoch_init(struct epoch *e, u32 nslots);
/* Drops all that waits; nobody is inside. */
void epoch_free(struct epoch *e);
void epoch_enter(struct epoch *e, u32 slot);
void epoch_leave(struct epoch *e, u32 slot);
/* r was made unreachable before this call.  Any thread.  drop runs later, on any shard. */
void epoch_retire(struct epoch *e, struct retired *r, void (*drop)(struct retired *r));
/* Drop what nobody can see any more. */
void epoch_collect(struct epoch *e);

#endif
