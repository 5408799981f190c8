/* chunk: each chunk is larger than the one before it, up to a bound; the newest is at the head and
 * is the only one that still has room. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "store/chunk.h"

enum { CHUNK_FIRST = 2048, CHUNK_LAST = 256 * 1024, CHUNK_ALIGN = 16 };

struct store_chunk {
	struct store_chunk *next;
	size_t cap, used;
	_Alignas(CHUNK_ALIGN) u8 b[];
};

static struct store_chunk *chunk_new(struct store_chunk *last, size_t n)
{
	size_t cap = last == NULL ? CHUNK_FIRST : MIN(last->cap * 2, (size_t)CHUNK_LAST);
	struct store_chunk *c;
	size_t total;

	cap = MAX(cap, n);
	if (!add_sz(sizeof(*c), cap, &total))
		UNREACHABLE("a piece as large as the address space");
	c = xmalloc(total);
	*c = (struct store_chunk){.next = last, .cap = cap};
	return c;
}

void *chunk_alloc(struct store_chunk **list, size_t n)
{
	struct store_chunk *c = *list;
	void *p;

	ASSERT(n <= SIZE_MAX - CHUNK_ALIGN);
	n = (n + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
	if (c == NULL || c->cap - c->used < n)
		*list = c = chunk_new(c, n);
	p = c->b + c->used;
	c->used += n;
	ASSERT(c->used <= c->cap);
	return p;
}

struct slice chunk_copy(struct store_chunk **list, struct slice s)
{
	void *p;

	ASSERT(s.n == 0 || s.p != NULL);
	if (s.n == 0)
		return SLICE_NONE;
	p = chunk_alloc(list, s.n);
	memcpy(p, s.p, s.n);
	return slice_of(p, s.n);
}

void chunk_free(struct store_chunk **list)
{
	while (*list != NULL) {
		struct store_chunk *c = *list;

		*list = c->next;
		free(c);
	}
}

void chunk_reset(struct store_chunk **list)
{
	struct store_chunk *keep = *list;

	ASSERT(list != NULL);
	if (keep == NULL)
		return;
	chunk_free(&keep->next);
	keep->used = 0;
	if (keep->cap > CHUNK_LAST)
		chunk_free(list);
}
