/* writer: the store thread.
 *
 * Takes batches from all shards in the order in which they were submitted, holds back what belongs
 * to a group until the group is whole, commits everything else that has come meanwhile as one
 * transaction (group commit), then tells each shard once.  While the disk is full it keeps what it
 * has and tries again: nothing is acknowledged meanwhile, and writer_full says so.  When a sync
 * fails the process ends: only a new start can tell what is on disk. */
#ifndef PICKET_STORE_WRITER_H
#define PICKET_STORE_WRITER_H

#include "store/store.h"

struct writer;

struct writer_env {
	void *arg;
	/* On the store thread: hand n (taken) to that shard's inbox and wake it. */
	void (*notice)(void *arg, u32 shard, struct store_notice *n);
	/* On the store thread: the disk is full (true) or has room again. */
	void (*full)(void *arg, bool full);
	/* On the store thread; E_IO, E_CORRUPT: does not return (the process ends, after logging).
	 */
	void (*fatal)(void *arg, enum err e);
	u64 (*wall_ms)(void *arg);
	u64 (*mono_ms)(void *arg);
};

/* Takes s.  thread: with a thread of its own; else writer_step does its work (simulator, tests). */
struct writer *writer_new(struct store *s, const struct writer_env *env, u32 nshards, bool thread);
/* Takes b.  Any thread; cheap while the store thread is busy. */
void writer_submit(struct writer *w, struct store_batch *b);
/* Without a thread: one transaction of all that is there; false: there was nothing, or no room for
 * it. */
bool writer_step(struct writer *w);
/* The disk is full: nothing new that would have to be stored should be accepted.  Any thread. */
bool writer_full(const struct writer *w);
/* Commit what is there (groups that are not whole are given up, they were not acknowledged), close
 * the store.  Notices still come, until it returns.  unclean: forget all that is not committed, and
 * leave the store to the caller instead (simulator: store_crash).  Either way every batch comes
 * back. */
void writer_free(struct writer **w, bool unclean);
/* A task on the store thread between two transactions (statistics, a copy); any thread.  done is
 * called there. */
void writer_do(struct writer *w, void (*task)(struct store *s, void *arg), void *arg);

#endif
