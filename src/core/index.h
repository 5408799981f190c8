/* index: who wants a topic?  The subscriptions of all shards, read without locks.
 *
 * Each node of the tree holds an array of references to subscriptions: appending writes behind the
 * end and then publishes the new length; removing marks the entry, and an array with too many marks
 * is made anew.  A match yields the references grouped by the shard that owns them, since each
 * group travels as one. */
#ifndef PICKET_CORE_INDEX_H
#define PICKET_CORE_INDEX_H

#include "core/msg.h"
#include "core/tree.h"

struct target {
	u32 slot, gen; /* of the session */
	u32 sub;       /* index among its subscriptions */
};

struct targets {
	struct target *v;
	u32 n, cap;
	bool durable; /* some of them are of sessions that the store knows */
};

struct subref { /* immutable but for gen, which becomes 0 when the subscription is gone */
	u32 slot;
	_Atomic u32 gen;
	u32 sub;
	u16 shard;
	bool durable; /* the store knows its session */
	u64 place;    /* ascending in every array, so one is found by halving */
};

struct subrefs {
	struct retired gc;
	_Atomic u32 n;
	u32 cap, marks; /* the writer's: marks are entries that are gone */
	struct subref v[];
};

/* The members of one $share name on one filter; lives on while messages for it are under way. */
struct group {
	struct retired gc;
	_Atomic u32 refs;
	_Atomic(void *) members; /* struct subrefs */
	_Atomic u32 turn;	 /* round robin */
	_Atomic u32 durable;	 /* members whose session the store knows */
	_Atomic u64 sticky;	 /* place of the member that had the last message */
	u16 name_len;
	u8 name[];
};

struct groups {
	struct retired gc;
	u32 n;
	struct group *v[];
};

struct index {
	struct tree tree;
	struct epoch *epoch;
	pthread_mutex_t lock; /* writers */
	u64 places;	      /* given out so far; under the lock */
	_Atomic u64 subscriptions;
};

/* Scratch of one shard, reused for every match. */
struct match {
	u32 nshards;
	u32 found; /* subscriptions, a group counting as one */
	struct targets *shard;
	struct group *
		*groups; /* shared subscriptions that matched; one member each is to be picked */
	u32 ngroups, groups_cap;
};

void index_init(struct index *x, struct epoch *e, const struct hash_key *key);
void index_free(struct index *x); /* nothing is subscribed any more */
/* Published when it returns.  Returns its place, with which it is removed.  Any thread. */
u64 index_add(struct index *x, const struct filter *f, const struct handle *s, u32 sub,
	      bool durable);
void index_remove(struct index *x, const struct filter *f, const struct handle *s, u64 place);

void match_init(struct match *m, u32 nshards);
void match_free(struct match *m);
/* Inside an epoch.  Empties m and fills it. */
void index_match(const struct index *x, const struct topic *t, const struct path_hash *h,
		 struct match *m);

/* The group of a shared subscription, or NULL.  Inside an epoch. */
struct group *index_group(const struct index *x, const struct filter *f);
struct group *group_ref(struct group *g);
void group_unref(struct group **g);

#endif
