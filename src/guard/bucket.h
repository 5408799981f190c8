/* bucket: a token bucket.  Time is passed in; a bucket of zeros is full at its first use.  Those
 * who share one need not agree on the time: what one of them has counted is not counted again. */
#ifndef PICKET_GUARD_BUCKET_H
#define PICKET_GUARD_BUCKET_H

#include "base/base.h"

struct bucket {
	u64 last_ms;
	u64 spent; /* tokens that are missing, in thousandths */
};

/* Take one token if there is one.  rate: tokens a second; UINT32_MAX: without limit. */
static inline bool bucket_take(struct bucket *b, u32 rate, u32 burst, u64 now_ms)
{
	u64 back = (now_ms - MIN(b->last_ms, now_ms)) * rate;

	if (rate == UINT32_MAX)
		return true;
	b->spent -= MIN(b->spent, back);
	b->last_ms = MAX(b->last_ms, now_ms);
	if (b->spent + 1000 > (u64)burst * 1000)
		return false;
	b->spent += 1000;
	return true;
}

#endif
