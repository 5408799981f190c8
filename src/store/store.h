/* store: what survives the process: sessions, subscriptions, queues, QoS 2 identifiers, wills,
 * retained messages.
 *
 * A shard describes what it does to durable state as operations, gathered in a batch.  The store
 * thread (store/writer.h) commits the batches of all shards as one transaction and tells each shard
 * how far it has come: what has to be true after a power cut leaves a shard only after that.
 * Everything is a number or plain bytes: store knows no session, no topic and no MQTT.
 *
 * Numbers are given out by the shards.  They begin with the epoch, which every opening of the store
 * raises, so that no number comes twice: store_number(epoch, shard, counter).
 *
 * Times are of the store's own clock: milliseconds that passed since the store was made, which
 * neither stands still while picket is away nor jumps when somebody sets the wall clock. */
#ifndef PICKET_STORE_STORE_H
#define PICKET_STORE_STORE_H

#include "base/err.h"

struct store;

/* ---- what is stored --------------------------------------------------------------------------
 */
/* A message.  Views; what they view lives until the batch is given back. */
struct store_msg {
	u64 number; /* one copy a number however many queues refer to it; 0: inside its entry */
	struct slice topic, props /* of MQTT 5, as sent on, without their length */, payload;
	u64 expires_ms; /* store time; 0: never */
	u8 qos;
	bool retain;
};

/* Why messages of a session were dropped; counted by name, for good. */
#define STORE_DROPS(X)                                                                             \
	X(QUOTA, "quota")                                                                          \
	X(EXPIRED, "expired") X(TOO_LARGE, "too_large") X(DENIED, "denied") X(DAMAGED, "damaged")
#define X(name, word) DROP_##name,
enum store_drop { STORE_DROPS(X) DROP_KINDS };
#undef X

struct store_will {	    /* topic.n == 0: none */
	struct store_msg m; /* number: which will it is, for SO_WILL_DEL; expires_ms is not used */
	u32 delay_s, expiry_s;
	bool expires;
};

struct store_session {
	u64 sid;
	u64 identity_id;
	struct slice identity, client_id, username, cert_cn, cert_san, listener;
	u8 addr[16]; /* of its newest login: wills are judged by it */
	bool tls;
	u8 version;
	u32 kind;	/* enum identity_kind */
	u32 expiry_s;	/* UINT32_MAX: never ends */
	u64 away_ms;	/* store time since when it has no connection; 0: it had one */
	u64 sent;	/* when it went away: the highest sequence that had been sent */
	u64 created_ms; /* store time */
	struct store_will will;
	u32 dropped[DROP_KINDS]; /* filled by reading; changed by SO_DROPPED only */
};

struct store_sub {
	u64 sid;
	u32 sub;	     /* the session's own number of it */
	struct slice filter; /* as it came, "$share/…" and all */
	u32 id;		     /* Subscription Identifier; 0: none */
	u8 qos;
	bool no_local, retain_as_published;
	u8 retain_handling;
};

enum store_state { SQ_QUEUED, SQ_RELEASED /* PUBREC came: PUBREL is to be sent until PUBCOMP */ };
struct store_queued {
	u64 sid, seq;
	struct store_msg m; /* of a released one: number 0, nothing in it */
	u8 state, qos;
	bool retain;
	u16 sub;	/* the shared subscription that it came for, plus 1; 0: none */
	const u32 *ids; /* Subscription Identifiers: count, ids; NULL: none */
};

struct store_retained {
	u64 number; /* of this value, never given out again */
	struct store_msg m;
	u64 identity_id; /* the author, and how it was when it published */
	struct slice identity, client_id, username, cert_cn, cert_san, listener;
	u8 addr[16];
	bool tls;
	u64 stored_ms; /* store time */
};

static inline u64 store_number(u64 epoch, u32 shard, u64 counter)
{
	ASSERT(epoch < 1u << 24);
	ASSERT(shard < 1u << 8);
	ASSERT(counter < 1ull << 32);
	return epoch << 40 | (u64)shard << 32 | counter;
}
/* The sequences that are given out from this opening on are higher than this one, whatever session:
 * so nobody has to look for the last. */
static inline u64 store_sequence(u64 epoch)
{
	ASSERT(epoch < 1u << 24);
	return epoch << 40;
}

/* ---- operations ------------------------------------------------------------------------------
 */
enum store_op_kind {
	SO_NONE,	  /* one that was taken back before its batch was submitted */
	SO_SESSION_PUT,	  /* session: made or changed; its drop counters stay */
	SO_SESSION_DEL,	  /* sid: it and all that belongs to it */
	SO_SUB_PUT,	  /* sub */
	SO_SUB_DEL,	  /* sid, seq: the number of the subscription */
	SO_WILL_DEL,	  /* sid, seq: the number of its will.  Another will, or none, stays. */
	SO_QUEUE_PUT,	  /* queued; each sequence once.  For a session that is not there, as with
			     all that follow and belong to one: nothing happens. */
	SO_QUEUE_DEL,	  /* sid, seq; one that is not there: nothing happens */
	SO_QUEUE_RELEASE, /* sid, seq: the message is dropped, the identifier stays (SQ_RELEASED) */
	SO_PID_PUT,	  /* sid, seq: a QoS 2 packet identifier that came in and is not released */
	SO_PID_DEL,	  /* sid, seq */
	SO_DROPPED,	  /* sid, seq: enum store_drop, count */
	SO_RETAIN_PUT,	  /* retained */
	SO_RETAIN_DEL,	  /* sid: the number of the value */
	SO_READ,  /* sid, seq: what waits behind that sequence, at most count messages and about
		     bytes; answered by a store_read of the notice */
	SO_PURGE, /* sid, seq: delete what has expired by now behind that sequence, looking at
		     count records at most (0: as many as are good for others); answered like
		     SO_READ with messages and bytes that went, counted as DROP_EXPIRED, and where
		     to go on */
	SO_GROUP_OPEN, /* group, count: so many parts make it whole */
	SO_GROUP_PART, /* group: one part of it is complete with this */
	SO_KINDS
};

/* Operations with a group other than 0 take effect together, in one transaction, when the group has
 * been opened and all its parts are there; those without one in the transaction of their batch.
 * What a shard has to say in a group stands in one batch, with its SO_GROUP_OPEN or SO_GROUP_PART.
 * Operations of one shard that concern the same thing keep their order, in groups or not: a message
 * that is deleted while its group is not whole yet is never stored; a reading waits for what is
 * held back of its session.  SO_READ, SO_PURGE and SO_SESSION_DEL are not for groups. */
struct store_op {
	u8 kind; /* enum store_op_kind */
	u32 count, bytes;
	u64 group;
	u64 sid, seq;
	u32 slot, gen; /* SO_READ, SO_PURGE: handed back untouched */
	union {
		/* The bytes of all views belong to the batch (store_batch_bytes) or to keep. */
		struct store_session *session;
		struct store_sub *sub;
		struct store_queued *queued;
		struct store_retained *retained;
	};
	void *keep; /* something to hold on to until the batch is given back; the submitter's */
};

/* One shard's operations.  Owned by whoever has it: shard, then store thread, then shard again. */
struct store_batch {
	struct store_batch *next; /* the store thread's */
	u32 shard;
	u64 serial; /* ascending a shard, not 0 */
	u32 holds;  /* the store thread's */
	u32 n, cap;
	struct store_op *op;
	struct store_chunk *chunks; /* memory of what the operations point to */
};

struct store_batch *store_batch_new(u32 shard, u64 serial);
/* The keeps of its operations have been let go by the caller. */
void store_batch_free(struct store_batch **b);
/* A zeroed operation behind the last one; valid until the next call. */
struct store_op *store_batch_add(struct store_batch *b, enum store_op_kind kind);
/* Memory that lives as long as the batch, zeroed and aligned. */
void *store_batch_bytes(struct store_batch *b, size_t n);
struct slice store_batch_copy(struct store_batch *b, struct slice s);

/* ---- answers ---------------------------------------------------------------------------------
 */
struct store_read {
	u32 slot, gen;
	u64 sid, after;
	u64 last;	/* how far this has looked: to go on, ask with it as seq */
	bool purge;	/* of SO_PURGE: gone, gone_bytes; else: n, queued */
	bool end;	/* nothing waits behind last */
	u32 gone;	/* messages */
	u64 gone_bytes; /* payload, topic and properties of those */
	u32 damaged;	/* records that could not be read and were counted as DROP_DAMAGED */
	u32 n;
	struct store_queued *queued; /* their bytes belong to the notice */
};
/* What waited for a session at the start (sequences up to store_sequence) and still does, counted
 * after it; comes once for each that was stored then, 0 messages or not.  The store does not know
 * whose it is: every shard is told. */
struct store_count {
	u64 sid;
	u32 messages;
	u64 bytes;	 /* payload, topic and properties */
	u64 first, last; /* sequences */
};

/* What the store thread tells one shard; freed by it (store_notice_free). */
struct store_notice {
	u64 committed; /* every operation of every batch up to this serial is durable, groups too */
	struct store_batch *returned; /* chained by next: to be freed by the shard */
	u32 nreads, ncounts;
	struct store_read *reads;
	struct store_count *counts;
	struct store_chunk *chunks;
};
/* returned has been taken by the caller. */
void store_notice_free(struct store_notice **n);

/* ---- a store ---------------------------------------------------------------------------------
 */
struct store_options {
	int dir_fd;	  /* the folder "store" below the state folder; borrowed */
	const char *path; /* its path, for LMDB */
	u64 map_bytes;	  /* the most it may grow to */
	u64 epoch_min;	  /* its epoch is at least this: a store that was set back */
	const u8 *key;	  /* 32 bytes: records are sealed (AES-256-GCM); NULL: checksums only */
	u64 wall_ms;	  /* now, by the wall clock */
	u64 mono_ms;	  /* now, by the monotonic clock */
};

/* Open, or make where the folder is empty.  E_CORRUPT: damaged, foreign or of an unknown format
 * (text says which): nothing was changed; see store/salvage.h.  E_CREDENTIAL: the key is not the
 * one it was made with, likewise.  E_QUOTA: the disk is full.  E_IO: else. */
enum err store_open(struct store **out, const struct store_options *o, char *text, size_t cap) MUST;
/* The same in memory, for tests and the simulator.  It can be "killed": store_crash forgets
 * everything that was not committed and keeps the rest for the next life. */
struct store *store_memory(u64 mono_ms);
void store_close(struct store **s);
void store_crash(struct store *s, u64 mono_ms); /* of store_memory only: as if opened again */
/* Of store_memory only: as if its disk were full: transactions that put something are refused. */
void store_memory_full(struct store *s, bool full);

u64 store_epoch(const struct store *s);
/* Store time of a monotonic time of this process. */
u64 store_time(const struct store *s, u64 mono_ms);
bool store_was_clean(const struct store *s); /* store_close had been called the last time */

/* Apply the batches in order as one transaction and commit it durably.  Calls back with the answers
 * of reads (their bytes live during the call only).  On an error nothing of them has happened:
 * E_QUOTA: the disk, or the map, is full.  E_IO: a write or a sync failed: what is on disk is
 * unknown, the process has to end.  E_CORRUPT: a page is damaged, likewise. */
struct store_sink {
	void *arg;
	void (*read)(void *arg, const struct store_op *op, const struct store_read *r);
};
/* An array of pointers to operations, which need not be of one batch and have no SO_GROUP_… among
 * them.  Where they change nothing, nothing is written; n 0: write the clock, and go on with what
 * is left of ended sessions. */
enum err store_commit(struct store *s, const struct store_op *const *op, u32 n, u64 wall_ms,
		      u64 mono_ms, const struct store_sink *sink) MUST;

/* Something is left to do though nobody asks: call store_commit, with operations or without. */
bool store_has_work(const struct store *s);
/* The disk is full: what is left is kept for deletions.  Looks for room again, now and then. */
bool store_is_full(struct store *s, u64 mono_ms);

/* Each stored thing, in the order of numbers; views, valid during the call.  Stop when cb returns
 * false.  Damaged records are skipped and counted in *damaged. */
enum err store_each_session(struct store *s, bool (*cb)(void *arg, const struct store_session *x),
			    void *arg, u64 *damaged) MUST;
enum err store_each_sub(struct store *s, bool (*cb)(void *arg, const struct store_sub *x),
			void *arg, u64 *damaged) MUST;
enum err store_each_pid(struct store *s, bool (*cb)(void *arg, u64 sid, u16 pid), void *arg) MUST;
enum err store_each_retained(struct store *s, bool (*cb)(void *arg, const struct store_retained *x),
			     void *arg, u64 *damaged) MUST;
/* Count what waits, session by session from *after on, looking at about max records; *after moves
 * on; UINT64_MAX: all have been counted. */
enum err store_count_some(struct store *s, u64 *after, u32 max,
			  void (*cb)(void *arg, const struct store_count *n), void *arg) MUST;

struct store_stats {
	u64 sessions, subs, queued, retained, messages; /* records */
	u64 bytes, free_bytes, map_bytes;		/* of the file */
	u64 commits, operations, syncs;
	bool full, sealed;
};
void store_stats(struct store *s, struct store_stats *out);

/* A consistent copy of the whole store as one data.mdb without gaps, written to fd, which may be a
 * pipe.  Any thread, while others commit: it reads as of its beginning, and what is deleted
 * meanwhile is not reused before its end.  E_QUOTA: fd is full; E_IO; E_STATE: the store is in
 * memory.  None of them says anything about the store itself. */
enum err store_copy(struct store *s, int fd) MUST;

/* Hold what is there as of now: nothing of it is used again on disk before store_unpin, however
 * much is committed meanwhile.  Any thread. */
struct store_pin;
enum err store_pin(struct store *s, struct store_pin **out) MUST;
void store_unpin(struct store_pin **p);

/* What a look at every record found. */
struct store_report {
	u64 sessions, subs, queued, bodies, pids, retained, drops, ended; /* records */
	u64 damaged;  /* records that cannot be read */
	u64 orphans;  /* records of sessions that are not there */
	u64 lost;     /* queue entries whose message is not there */
	u64 miscount; /* messages whose count of references is not that of the entries */
};
/* Walk everything and change nothing.  Any thread, one at a time, while others commit; it reads as
 * of its beginning.  Says each problem (a text of ours, valid during the call); false stops it
 * (E_STATE).  Memory bounded, whatever the size.  E_OK: all has been looked at, see out; E_CORRUPT:
 * a page is damaged, out is what was seen before it. */
struct store_witness {
	void *arg;
	bool (*problem)(void *arg, const char *text);
};
enum err store_verify(struct store *s, const struct store_witness *w,
		      struct store_report *out) MUST;

#endif
