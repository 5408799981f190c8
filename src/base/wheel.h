/* wheel: a hierarchical timer wheel.  Time is passed in (milliseconds, any origin, never
 * backwards); starting, stopping and restarting cost O(1).  Intrusive: a timer lives in what it
 * belongs to and costs no allocation.  One owner thread. */
#ifndef PICKET_BASE_WHEEL_H
#define PICKET_BASE_WHEEL_H

#include "base/base.h"

struct timer {
	struct timer *next, **prev; /* prev == NULL: not running */
	u64 at_ms;
	void (*fire)(struct timer *t); /* runs with the timer stopped; may start or free it */
};

enum { WHEEL_LEVELS = 6, WHEEL_SLOTS = 64 };
struct wheel {
	u64 now_ms;
	u32 running;
	u64 busy[WHEEL_LEVELS]; /* one bit a slot that holds a timer */
	struct timer *slot[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, u64 now_ms);
void timer_start(struct wheel *w, struct timer *t, u64 at_ms);
void timer_stop(struct wheel *w, struct timer *t);
static inline bool timer_running(const struct timer *t)
{
	return t->prev != NULL;
}
/* Fire all that is due at now_ms, each at its own time or later, in order of slots. */
void wheel_advance(struct wheel *w, u64 now_ms);
/* When wheel_advance has to be called next; UINT64_MAX when nothing runs.  May be early, never
 * late. */
u64 wheel_next(const struct wheel *w);

#endif
