/* retained: the last retained message of each topic, in a tree that readers walk without locks.
 *
 * An entry remembers its author; whoever hands one out asks again whether the author may publish it
 * and the receiver may have it (I09).  Counts are kept an identity and in all. */
#ifndef PICKET_CORE_RETAINED_H
#define PICKET_CORE_RETAINED_H

#include "core/msg.h"
#include "core/tree.h"

struct retained {
	struct retired gc;
	struct msg *m;
	struct who *author;
	u64 number;    /* of this value; never given out again */
	u64 stored_ms; /* since when it is here: kept_now (durable.h) of then */
};

struct retained_store {
	struct tree tree;
	struct epoch *epoch;
	pthread_mutex_t lock; /* writers */
	u32 total_max;
	u64 bytes_max;
	_Atomic u64 count, bytes;
	_Atomic u64 expiring; /* those that a purge has to look for */
	u64 number;	      /* the last one; under the lock */
};

/* Is told of every change under the lock, in order, so that the store sees the same one.  Zeroed,
 * or NULL: nobody is. */
struct retained_log {
	void (*change)(void *arg, const struct retained *put, const struct retained *gone);
	void (*done)(void *arg); /* that was all of it */
	void *arg;
	u64 now_ms; /* store time of what is put */
};

void retained_init(struct retained_store *r, struct epoch *e, const struct hash_key *key,
		   u32 total_max, u64 bytes_max, u64 number);
void retained_free(struct retained_store *r);
/* Keep m (shared) as the last message of its topic.  E_QUOTA: a limit is reached and the topic's
 * old message stays. */
enum err retained_set(struct retained_store *r, const struct topic *t, struct msg *m,
		      struct who *author, u32 identity_max, const struct retained_log *log) MUST;
void retained_clear(struct retained_store *r, const struct topic *t,
		    const struct retained_log *log);
/* One that was stored; whatever the limits.  False: there is a newer one, this is the log's. */
bool retained_restore(struct retained_store *r, const struct topic *t, struct msg *m,
		      struct who *author, u64 number, const struct retained_log *log);
/* Each message under f; borrowed, inside an epoch.  Stops when cb returns false.  Returns how many
 * nodes were looked at. */
u32 retained_each(const struct retained_store *r, const struct filter *f,
		  bool (*cb)(void *arg, const struct retained *e), void *arg);
/* Drop the messages whose author drops says yes to (an identity that was revoked; expired ones). */
void retained_purge(struct retained_store *r, bool (*drop)(void *arg, const struct retained *e),
		    void *arg, const struct retained_log *log);

#endif
