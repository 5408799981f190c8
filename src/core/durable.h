/* durable: a session that outlives its connection, as the store knows it; and the answers that wait
 * for the store.
 *
 * backlog.c has its queue: a window and a short read-ahead in memory, the rest on disk.  answers.c
 * has what a client is told when the ticket of it is on disk.  record.c writes the records. */
#ifndef PICKET_CORE_DURABLE_H
#define PICKET_CORE_DURABLE_H

#include "core/ops.h"
#include "wire/packet.h"

struct client;
struct delivery;
struct flight;
struct queued;
struct retained;
struct retained_log;
struct sub;
struct will;

struct durable {
	struct session *session;
	u64 sid, created_ms; /* store time */
	u64 seq;	     /* the last sequence that was given out */
	u64 sent;	     /* the highest that may have been sent before this connection */
	u64 sending;	     /* the highest that was sent on this one */
	u64 in_memory;	     /* all up to here are in memory or gone */
	u64 on_disk;	     /* the last that is on disk only */
	u64 read_until;	     /* what was put before the reading under way was asked for */
	u64 disk_bytes;	     /* about what is on disk only */
	u64 low, high;	     /* all flights are between */
	u64 expires_ms;	     /* the first of what is put that may expire; 0: none */
	u64 purge_ms;	     /* not again before; 0: never yet */
	u32 disk_n;
	u32 read_token; /* answers of an older one are stale */
	u16 drop_at;	/* the operation that counts drops, in the batch */
	bool reading, waiting;
	bool uncounted;		    /* the store has not said what waits from before the start */
	bool old;		    /* from before the start */
	struct strand_disk *strand; /* strand_disk.c; NULL: it had no shared message */
	u32 dropped[DROP_KINDS];
	TAILQ_ENTRY(durable) wake; /* waiting: it is looked at when the store comes on */
};

/* Answers to one client, first in first out; made when one has to wait, freed with the last. */
struct waits {
	TAILQ_ENTRY(waits) link;
	struct client *client;
	u32 n;		     /* answers */
	u32 start, end, cap; /* bytes of data */
	bool held;	     /* the disk is full, or slow: the client is not read */
	u8 *data;
};

/* ---- answers.c ---- */
/* Room for an answer to the client that may leave when ticket is on disk, and everything before it
 * has left; 0: it waits for nothing of its own. */
struct wr answer_wr(struct core *c, struct client *cl, u64 ticket, size_t cap);
/* False: it does not fit what the client accepts, and is not sent. */
bool answer_done(struct core *c, struct client *cl, u64 ticket, struct wr *w);
void answer_ack(struct core *c, struct client *cl, u64 ticket, enum pkt_type type, u16 pid,
		u8 reason);
/* Nobody hears them any more. */
void answers_drop(struct core *c, struct client *cl);
/* The client is not read until the store has come on, or has room. */
void answers_hold(struct core *c, struct client *cl);
/* Send what may leave. */
void answers_flow(struct core *c);
/* Offer those who are held back again. */
void answers_offer(struct core *c);

/* ---- record.c ---- */
/* The session becomes one that the store knows. */
void record_begin(struct core *c, struct session *s);
void record_put(struct core *c, struct session *s);
/* One of the store becomes a session again. */
void record_restore(struct core *c, struct session *s, const struct store_session *x);
/* It has ended, and loses its home.  LATER: it is deleted when its will is on disk. */
enum record_end { END_NOW, END_LATER };
void record_end(struct core *c, struct session *s, enum record_end how);
void record_forget(struct core *c, struct session *s); /* in memory only */
void record_sub(struct core *c, const struct session *s, u32 i, u8 retain_handling);
void record_unsub(struct core *c, const struct session *s, u32 i);
void record_pid(struct core *c, const struct session *s, u16 pid, bool in);
void record_will_said(struct core *c, const struct session *s, u64 number);
void record_dropped(struct core *c, struct session *s, enum store_drop why);
struct retained_log record_retained(struct core *c);
u64 store_now(const struct core *c);
/* The same, or our own time where nothing is stored. */
u64 kept_now(const struct core *c);
/* Store time to this process' and back; 0 stays 0. */
u64 store_time_of(const struct core *c, u64 ms);
u64 time_of_store(const struct core *c, u64 store_ms);
struct store_msg store_msg_of(const struct core *c, const struct msg *m, u64 number);

/* ---- backlog.c ---- */
enum {
	AHEAD_MESSAGES = 256,
	AHEAD_BYTES = 256 << 10,
	AHEAD_BYTES_MIN = 8 << 10,
	AHEAD_TOTAL = 64 << 20 /* a shard */
};
/* Has it a connection that may be told something? */
bool session_is_here(const struct session *s);
bool backlog_is_behind(const struct durable *d);
/* Is the entry counted by itself? */
bool backlog_charges(const struct core *c, const struct durable *d, u64 seq);
bool backlog_has_room(const struct session *s, u64 bytes);
/* A message of QoS 1 or 2, or a retained one. */
void backlog_deliver(struct core *c, struct session *s, const struct delivery *d);
/* Send what may go, read what has room. */
void backlog_pump(struct core *c, struct session *s);
/* It has a connection again, or none any more. */
void backlog_here(struct core *c, struct session *s);
void backlog_away(struct core *c, struct session *s);
/* A message in memory is done with: it leaves the disk. */
void backlog_gone(struct core *c, struct session *s, const struct flight *x);
/* PUBREC came.  Returns the ticket that PUBREL waits for. */
u64 backlog_released(struct core *c, struct session *s, const struct flight *x);
/* QoS 2, and the client may know its identifier: it has to be released whatever becomes of it. */
bool backlog_was_sent(const struct queued *q);
/* PUBREL, when ticket is on disk; PUBCOMP is awaited. */
void backlog_release(struct core *c, struct session *s, u64 seq, u64 ticket);
/* It will not be delivered. */
void backlog_lost(struct core *c, struct session *s, const struct queued *q, enum store_drop why,
		  enum err e);
/* What has expired behind that sequence leaves the disk. */
void backlog_purge(struct core *c, struct session *s, u64 after);
void backlog_delete(struct core *c, struct session *s, u64 seq);
void backlog_dropped(struct core *c, struct session *s, const struct msg *m, enum store_drop why,
		     enum err e);
/* What waits, in memory and on disk. */
u32 backlog_count(const struct session *s);
u64 backlog_bytes(const struct session *s);
void backlog_uncharge(struct session *s);
void disk_charge(struct session *s, u32 n, u64 bytes);
void disk_uncharge(struct session *s, u32 n, u64 bytes);
/* In memory, not in the queue yet; shares m.  NULL: no memory is left. */
struct queued *ahead_add(struct core *c, struct session *s, struct msg *m,
			 const struct queued *like);
static inline u16 sequence_pid(u64 seq)
{
	ASSERT(seq != 0);
	return (u16)(1 + seq % UINT16_MAX);
}

/* ---- ahead.c ---- */
void ahead_want(struct core *c, struct session *s);
void ahead_read(struct core *c, const struct store_read *r);
/* The message of a record, which is the caller's; NULL: it was damaged where no checksum saw it. */
struct msg *ahead_message(struct core *c, struct session *s, const struct store_queued *r,
			  struct queued *like);
void ahead_counted(struct core *c, const struct store_count *n);

/* ---- home.c ---- */
void login_greeted(struct core *c, struct client *cl);

#endif
