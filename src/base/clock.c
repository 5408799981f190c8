/* clock: the only place that asks the system for the time. */
#include <time.h>

#include "base/clock.h"

static u64 clock_ms(clockid_t id)
{
	struct timespec ts;

	ASSERT(clock_gettime(id, &ts) == 0);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

u64 clock_mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

u64 clock_wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

void clock_format(u64 wall_ms, char *out, size_t cap)
{
	const u64 last = 253402300799; /* 9999-12-31T23:59:59Z: more would need a fifth digit */
	time_t s = (time_t)MIN(wall_ms / 1000, last);
	struct tm tm;

	ASSERT(cap >= sizeof("2026-11-24T14:02:11Z"));
	ASSERT(gmtime_r(&s, &tm) != NULL);
	ASSERT(strftime(out, cap, "%Y-%m-%dT%H:%M:%SZ", &tm) != 0);
}
