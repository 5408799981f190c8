/* throttle: online guessing against one name is slowed without giving anyone a way to lock a person
 * out (I21): after some failures (5) in 60 s only sources that logged in to it within 30 days are
 * checked, for a while that doubles.  For chosen passwords only; names that do not exist count the
 * same.
 *
 * Fixed memory; time is an argument. */
#ifndef PICKET_AUTH_THROTTLE_H
#define PICKET_AUTH_THROTTLE_H

#include "base/map.h"

enum {
	THROTTLE_SLOTS = 8192,
	THROTTLE_WAYS = 4,
	THROTTLE_WINDOW_MS = 60 * 1000,
	THROTTLE_FIRST_MS = 30 * 1000,
	THROTTLE_MOST_MS = 3600 * 1000,
};

struct throttle_slot {
	u64 tag; /* keyed hash of the name; 0: free */
	u64 window_ms, until_ms, length_ms;
	u32 failures;
};
struct throttle {
	struct hash_key key;
	struct throttle_slot slot[THROTTLE_SLOTS];
};

void throttle_init(struct throttle *t, const struct hash_key *key);
/* May an unknown source try this name now? */
bool throttle_open(const struct throttle *t, struct slice name, u64 now_ms);
/* most: failures in the window that close it (the limit failed_logins; UINT64_MAX: never). */
void throttle_failed(struct throttle *t, struct slice name, u64 most, u64 now_ms);
void throttle_succeeded(struct throttle *t, struct slice name);

#endif
