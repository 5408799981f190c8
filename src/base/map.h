/* map: byte strings to pointers.  Open addressing with a keyed hash (SipHash-1-3), so that keys
 * chosen by a client cannot make it slow.  Not thread-safe.  The map copies neither keys nor
 * values: the key must live inside the value or as long as it. */
#ifndef PICKET_BASE_MAP_H
#define PICKET_BASE_MAP_H

#include "base/base.h"

struct hash_key {
	u64 k0, k1;
};
/* SipHash-1-3 of the bytes (Aumasson, Bernstein: "SipHash: a fast short-input PRF"). */
u64 hash_bytes(const struct hash_key *k, const void *p, size_t n);

struct map_slot {
	u64 hash;
	struct slice key;
	void *value; /* NULL: empty */
};
struct map {
	struct map_slot *slots;
	size_t cap, n; /* cap is 0 or a power of two */
	struct hash_key key;
};

void map_init(struct map *m, const struct hash_key *key);
void map_free(struct map *m);
void *map_get(const struct map *m, struct slice key);
/* Add or replace; returns the old value or NULL.  value is not NULL. */
void *map_put(struct map *m, struct slice key, void *value);
/* Remove; returns what was there or NULL. */
void *map_del(struct map *m, struct slice key);
/* Walk: start with *pos = 0; NULL at the end.  Deleting while walking is not allowed. */
void *map_next(const struct map *m, size_t *pos);

#endif
