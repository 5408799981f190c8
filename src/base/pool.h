/* pool: objects of one size, in slabs; freed objects are reused, slabs stay.  With PICKET_ASAN
 * every object is a malloc of its own so that the sanitizer sees it.  One owner thread. */
#ifndef PICKET_BASE_POOL_H
#define PICKET_BASE_POOL_H

#include "base/base.h"

struct pool {
	size_t size;
	u32 per_slab;
	u32 used; /* objects handed out and not returned */
	void *free;
	void *slabs;
};

void pool_init(struct pool *p, size_t object_size);
/* Zeroed; NULL when memory is out. */
void *pool_get(struct pool *p) MUST;
void pool_put(struct pool *p, void *object);
/* All objects must have been returned (asserted). */
void pool_free(struct pool *p);

#endif
