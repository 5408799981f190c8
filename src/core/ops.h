/* ops: what a shard tells the store, and who waits for it.
 *
 * Changes of durable state are described in the shard's current batch; its serial is the ticket of
 * whoever may only go on when they are on disk (docs/decisions/0005-durability.md).  One thing that
 * happens, a publish, a will, is an effect: its operations on all shards take effect together.
 * Knows no packets. */
#ifndef PICKET_CORE_OPS_H
#define PICKET_CORE_OPS_H

#include <sys/queue.h>

#include "base/map.h"
#include "store/store.h"

struct client;
struct core;
struct durable;
struct home;
struct session;

/* A session that has ended, until that is on disk: a new one of its client has to wait as long. */
struct later {
	struct later *next;
	u64 ticket;
	u64 sid; /* to be deleted then: its will is being said on other shards too; 0: it was */
	struct home *home; /* a claim */
};

/* How the disk is: it keeps up; far behind; full. */
enum press { PRESS_NONE, PRESS_SLOW, PRESS_FULL };

/* The effect under way; a ticket of 0: it has described nothing so far. */
struct effect {
	u64 group;	/* of its operations; 0: none is needed */
	u64 ticket;	/* of its newest operation */
	u32 parts;	/* that other shards will close */
	u32 mark;	/* where its operations begin in the batch */
	bool guest;	/* the group was opened by another shard: here is one part of it */
	bool passed_on; /* the part went on to yet another shard */
};

struct ops {			   /* one shard's; part of its core */
	struct store_batch *batch; /* that is being filled; NULL: nothing to say */
	u64 submitted, committed;  /* serials */
	u32 outstanding;	   /* batches that the store has */
	u32 live;		   /* operations of batch that were not taken back */
	u64 described;		   /* operations so far */
	bool urgent;		   /* batch is part of a group: the store waits for it */
	struct effect effect;
	u64 groups;			  /* opened so far */
	u64 number, number_end;		  /* that are this shard's to give out */
	u64 held_bytes, held_ops;	  /* what batches hold, until they come back */
	struct later *later, **later_end; /* first in, first out */
	u32 nwaits;
	TAILQ_HEAD(, waits) waits; /* clients with answers that wait */
	u32 nwoken;
	TAILQ_HEAD(, durable) woken; /* sessions that wait for a ticket */
	enum press press;	     /* as of this turn */
	u64 hold_ms;		     /* when to offer clients that the disk holds back again */
	struct map uncounted;	     /* restored sessions whose queues are not counted yet, by id */
	u64 ahead_bytes;	     /* read ahead of all windows */
};

bool ops_on(const struct core *c); /* is there a store? */
void ops_init(struct core *c);
/* What was not submitted is forgotten. */
void ops_free(struct core *c);
/* The next operation, zeroed, of the effect under way. */
struct store_op *ops_add(struct core *c, enum store_op_kind kind);
/* What holds on to msg until the batch comes back; shares it. */
struct msg;
void ops_keep(struct core *c, struct store_op *op, struct msg *m);
/* The last operation's batch; for memory that lives as long. */
struct store_batch *ops_batch(struct core *c);
/* One that the store has not seen is as if it had never been. */
bool ops_take_back(struct core *c, u16 at, u64 sid, u64 seq);
u16 ops_last(const struct core *c); /* the place of the newest operation, or AT_NONE */
/* Pump the session when the store has come on. */
void ops_wake(struct core *c, struct durable *d);
void ops_wake_end(struct core *c, struct durable *d);
/* The session of that home (a claim, taken) has ended.  sid: it is deleted when all so far is on
 * disk; 0: it was. */
void ops_ended(struct core *c, struct home **home, u64 sid);
/* Hand the batch over even if it is not time: its order among those of all shards matters. */
void ops_submit(struct core *c);
/* The ticket of all that this shard has described so far; 0: it is on disk. */
u64 ops_now(const struct core *c);
static inline bool ops_done(const struct ops *o, u64 ticket)
{
	return ticket <= o->committed;
}
/* A number that was never given out; 0 when they run short and may_fail. */
enum numbered { NUMBER_MESSAGE /* 0: none is left for these */, NUMBER_SESSION };
u64 ops_number(struct core *c, enum numbered what);
/* Look how the disk is. */
void ops_press(struct core *c);

/* ---- effects ---- */
void effect_begin(struct core *c);
/* From here on its operations are of a group. */
void effect_group(struct core *c);
/* Another shard is sent a part of it; the number to send along, 0: there is no group. */
u64 effect_part(struct core *c);
/* Whole as far as this shard is concerned.  Returns the ticket, 0: nothing has to be waited for. */
u64 effect_end(struct core *c);
/* On another shard: a part of group (0: none). */
void effect_join(struct core *c, u64 group);
void effect_leave(struct core *c);

#endif
