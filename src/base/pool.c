/* pool: a free list through the objects themselves; slabs are chained through their first bytes. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/pool.h"

enum { POOL_SLAB_BYTES = 64 * 1024, POOL_ALIGN = 16 };

struct pool_link {
	struct pool_link *next;
};
_Static_assert(sizeof(struct pool_link) <= POOL_ALIGN, "a slab's header is one alignment unit");

#ifdef PICKET_ASAN
static const bool pool_plain =
	true; /* every object a malloc: the sanitizer sees its ends and its death */
#else
static const bool pool_plain = false;
#endif

void pool_init(struct pool *p, size_t object_size)
{
	size_t size;

	ASSERT(object_size > 0);
	ASSERT(object_size <= SIZE_MAX - POOL_ALIGN);
	size = (object_size + POOL_ALIGN - 1) / POOL_ALIGN * POOL_ALIGN;
	*p = (struct pool){
		.size = size,
		.per_slab = (u32)MAX((POOL_SLAB_BYTES - POOL_ALIGN) / size, 1u),
	};
}

static bool pool_grow(struct pool *p)
{
	char *slab = malloc(POOL_ALIGN + p->per_slab * p->size);
	struct pool_link *head = (struct pool_link *)(void *)slab;

	if (slab == NULL)
		return false;
	head->next = p->slabs;
	p->slabs = head;
	for (u32 i = p->per_slab; i-- > 0;) {
		struct pool_link *o = (struct pool_link *)(void *)(slab + POOL_ALIGN + i * p->size);
		o->next = p->free;
		p->free = o;
	}
	return true;
}

void *pool_get(struct pool *p)
{
	struct pool_link *o;

	ASSERT(p->used < UINT32_MAX);
	if (pool_plain) {
		o = calloc(1, p->size);
	} else {
		if (p->free == NULL && !pool_grow(p))
			return NULL;
		o = p->free;
		p->free = o->next;
		memset(o, 0, p->size);
	}
	p->used += o != NULL;
	return o;
}

void pool_put(struct pool *p, void *object)
{
	struct pool_link *o = object;

	ASSERT(object != NULL);
	ASSERT(p->used > 0);
	p->used--;
	if (pool_plain) {
		free(object);
		return;
	}
	o->next = p->free; /* also spoils a magic number at the object's start */
	p->free = o;
}

void pool_free(struct pool *p)
{
	ASSERT(p->used == 0);
	for (struct pool_link *s = p->slabs, *next; s != NULL; s = next) {
		next = s->next;
		free(s);
	}
	p->slabs = NULL;
	p->free = NULL;
}
