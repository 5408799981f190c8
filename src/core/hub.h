/* hub: what the shards of one broker share.  Everything here is read without locks or asked for at
 * login only. */
#ifndef PICKET_CORE_HUB_H
#define PICKET_CORE_HUB_H

#include "core/directory.h"
#include "core/index.h"
#include "core/retained.h"
#include "core/shared.h"
#include "core/who.h"

struct listener_set { /* one load of the configuration; clients hold on to theirs */
	_Atomic u32 refs;
	u32 n;
	struct core_listener l[];
};

struct policy_box {
	struct retired gc;
	const struct policy *p;
	u64 serial;
	void (*drop)(const struct policy *p, void *arg);
	void *arg;
};

struct watched {
	struct watched *next;
	struct slice name;
	u8 data[];
};

#define HUB_MAGIC 0x0b0b0b1eu
struct hub {
	u32 magic;
	struct hub_options o;
	struct hash_key key;
	struct epoch epoch;
	struct index index;
	struct shares shares;
	struct retained_store retained;
	struct directory directory;
	_Atomic(struct policy_box *) policy;
	_Atomic u64 serial;
	_Atomic u64 numbers;	/* blocks given out to shards: ops.c */
	_Atomic u64 generation; /* of the policy, for those who are in no epoch */
	pthread_mutex_t lock;	/* below */
	struct listener_set *listeners;
	struct map principals;
	TAILQ_HEAD(, principal) idle; /* oldest first */
	u32 nidle;
	struct watched *watched;
};

/* Inside an epoch; NULL: none yet, which denies everything. */
static inline const struct policy_box *hub_policy(const struct hub *h)
{
	return atomic_load_explicit(&h->policy, memory_order_acquire);
}
struct listener_set *hub_listeners(struct hub *h); /* a reference */
void listener_set_unref(struct listener_set **s);
bool hub_is_watched(struct hub *h, struct slice identity); /* the lock is held */
bool hub_watches(struct hub *h, struct slice identity);	   /* takes it */

#endif
