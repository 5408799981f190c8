/* board: what shards may know of each other's sessions without asking: is it here, does it keep up,
 * how much waits for it?
 *
 * One word a slot, written by the shard that owns the session, read by all; only members of $share
 * groups have one that means anything.  It is a hint: who acts on it asks the owner, who knows. */
#ifndef PICKET_CORE_BOARD_H
#define PICKET_CORE_BOARD_H

#include <stdatomic.h>

#include "base/base.h"

enum standing {
	STAND_AWAY,  /* no connection */
	STAND_STUCK, /* its output is over its mark, or half its queue is in use */
	STAND_BUSY,  /* what comes now waits for a window */
	STAND_READY,
};

enum { BOARD_CHUNKS = 27 };
struct board {					    /* zeroed: everybody is away */
	_Atomic(_Atomic u32 *) chunk[BOARD_CHUNKS]; /* chunk k has 64 << k words; none ever moves */
};

void board_free(struct board *b);
/* The owner alone.  Returns what stood there before. */
enum standing board_set(struct board *b, u32 slot, enum standing now, u32 load);
/* Any thread.  load may be NULL. */
enum standing board_get(const struct board *b, u32 slot, u32 *load);

#endif
