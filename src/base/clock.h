/* clock: the two clocks.  Only process mains and net read them; below that, time is an argument. */
#ifndef PICKET_BASE_CLOCK_H
#define PICKET_BASE_CLOCK_H

#include "base/base.h"

u64 clock_mono_ms(void); /* never goes back; deadlines and timers */
u64 clock_wall_ms(void); /* since 1970, UTC; for people and certificates only */
/* "2026-11-24T14:02:11Z" into out of at least 21 bytes. */
void clock_format(u64 wall_ms, char *out, size_t cap);

#endif
