/* directory: which shard is the home of (identity, client id)?  Asked at login only, under a lock.
 *
 * An entry lives as long as a session or a login under way claims it.  The session itself is the
 * home shard's business alone. */
#ifndef PICKET_CORE_DIRECTORY_H
#define PICKET_CORE_DIRECTORY_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"

struct session;
struct home {
	struct session *session; /* the home shard's; NULL: none yet */
	u32 shard;
	u32 claims;
	u64 ending; /* the home shard's: an older session is gone when this ticket is on disk */
	bool ghost; /* nobody can find it */
	u16 key_len;
	u8 key[]; /* identity id, client id */
};

struct directory {
	pthread_mutex_t lock;
	struct map map;
	u32 nshards;
	_Atomic u32 *load; /* homes a shard */
};

void directory_init(struct directory *d, u32 nshards, const struct hash_key *key);
void directory_free(struct directory *d); /* no claims are left */
/* Claim the home of this session; a new one goes to near unless that shard has clearly more to do
 * than the least loaded. */
struct home *directory_claim(struct directory *d, u64 identity, struct slice client_id, u32 near);
/* A home outside the directory, for a session whose client has a newer one already. */
struct home *directory_ghost(struct directory *d, u32 shard);
void directory_release(struct directory *d, struct home **h);

#endif
