/* batch: one shard's operations with the memory they point to; and the notice that comes back. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/chunk.h"
#include "store/store.h"

enum { BATCH_OPS_FIRST = 16 };

struct store_batch *store_batch_new(u32 shard, u64 serial)
{
	struct store_batch *b = xcalloc(1, sizeof(*b));

	ASSERT(serial != 0);
	b->shard = shard;
	b->serial = serial;
	return b;
}

void store_batch_free(struct store_batch **bp)
{
	struct store_batch *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	ASSERT(b->n <= b->cap);
	ASSERT(b->holds == 0);
	chunk_free(&b->chunks);
	free(b->op);
	free(b);
}

struct store_op *store_batch_add(struct store_batch *b, enum store_op_kind kind)
{
	struct store_op *op;

	ASSERT(kind < SO_KINDS);
	if (b->n == b->cap) {
		ASSERT(b->cap < UINT32_MAX / 2);
		b->cap = b->cap == 0 ? BATCH_OPS_FIRST : b->cap * 2;
		b->op = xrealloc(b->op, b->cap * sizeof(*b->op));
	}
	ASSERT(b->n < b->cap);
	op = &b->op[b->n++];
	*op = (struct store_op){.kind = (u8)kind};
	return op;
}

void *store_batch_bytes(struct store_batch *b, size_t n)
{
	void *p = chunk_alloc(&b->chunks, n);

	ASSERT(p != NULL);
	memset(p, 0, n);
	return p;
}

struct slice store_batch_copy(struct store_batch *b, struct slice s)
{
	ASSERT(s.n == 0 || s.p != NULL);
	return chunk_copy(&b->chunks, s);
}

void store_notice_free(struct store_notice **np)
{
	struct store_notice *n = *np;

	*np = NULL;
	if (n == NULL)
		return;
	ASSERT(n->returned == NULL); /* it was the receiver's to take */
	ASSERT((n->nreads == 0) == (n->reads == NULL));
	chunk_free(&n->chunks);
	free(n->reads);
	free(n->counts);
	free(n);
}
