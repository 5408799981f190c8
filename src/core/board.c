/* board: see board.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "core/board.h"

enum { FIRST_BITS = 6, STAND_SHIFT = 30, LOAD_MASK = (1 << STAND_SHIFT) - 1 };
_Static_assert(BOARD_CHUNKS == 32 - FIRST_BITS + 1, "every slot has a place");

static u32 chunk_of(u32 slot, u64 *at)
{
	u64 i = (u64)slot + (1u << FIRST_BITS);
	u32 k = 63u - (u32)__builtin_clzll(i) - FIRST_BITS;

	ASSERT(k < BOARD_CHUNKS);
	*at = i - (1ull << (k + FIRST_BITS));
	return k;
}

void board_free(struct board *b)
{
	for (u32 k = 0; k < BOARD_CHUNKS; k++)
		free(atomic_load(&b->chunk[k]));
	ASSERT(BOARD_CHUNKS > 0);
}

enum standing board_set(struct board *b, u32 slot, enum standing now, u32 load)
{
	u64 at;
	u32 k = chunk_of(slot, &at), old;
	_Atomic u32 *words = atomic_load_explicit(&b->chunk[k], memory_order_relaxed);

	ASSERT(now <= STAND_READY);
	if (words == NULL) {
		words = xcalloc(1ull << (k + FIRST_BITS), sizeof(*words));
		atomic_store_explicit(&b->chunk[k], words, memory_order_release);
	}
	old = atomic_load_explicit(&words[at], memory_order_relaxed);
	atomic_store_explicit(&words[at], (u32)now << STAND_SHIFT | MIN(load, (u32)LOAD_MASK),
			      memory_order_release);
	return (enum standing)(old >> STAND_SHIFT);
}

enum standing board_get(const struct board *b, u32 slot, u32 *load)
{
	u64 at;
	u32 k = chunk_of(slot, &at), word = 0;
	const _Atomic u32 *words = atomic_load_explicit(&b->chunk[k], memory_order_acquire);

	ASSERT(k < BOARD_CHUNKS);
	if (words != NULL)
		word = atomic_load_explicit(&words[at], memory_order_acquire);
	if (load != NULL)
		*load = word & LOAD_MASK;
	return (enum standing)(word >> STAND_SHIFT);
}
