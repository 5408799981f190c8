/* fairq: a bounded queue that is fair by source: round robin over the sources that wait, first in
 * first out within one.  When it is full, the newest of the greediest source makes room for a
 * source that waits with less; so a flood from one place costs others one turn, not the queue (I18,
 * I21).
 *
 * Pure: no threads, no clock.  Items are intrusive and stay their owner's. */
#ifndef PICKET_AUTH_FAIRQ_H
#define PICKET_AUTH_FAIRQ_H

#include <sys/queue.h>

#include "base/map.h"

enum { FAIRQ_KEY = 17 };

struct fair_source;
struct fair_item {
	TAILQ_ENTRY(fair_item) next;
	struct fair_source *source; /* NULL: not queued */
	u64 queued_ms;
};
TAILQ_HEAD(fair_items, fair_item);

struct fairq {
	u32 n, max;
	struct map sources;
	TAILQ_HEAD(, fair_source) ring; /* the head is next */
};

void fairq_init(struct fairq *q, const struct hash_key *key);
/* All items must have been popped (asserted). */
void fairq_free(struct fairq *q);
/* false: refused, the item stays the caller's.  *evicted: an item that had to leave, or NULL.  key:
 * at most FAIRQ_KEY bytes, copied. */
bool fairq_push(struct fairq *q, struct fair_item *i, struct slice key, u64 now_ms,
		struct fair_item **evicted) MUST;
struct fair_item *fairq_pop(struct fairq *q); /* NULL: empty */

#endif
