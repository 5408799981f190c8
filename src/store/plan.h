/* plan: what goes into the next transaction, and what has to wait because its group is not whole.
 *
 * Takes batches in order.  Keeps the order of operations that concern the same thing: what follows
 * something that is held back is held back with it, and a deletion takes both out.  What a
 * transaction would put and delete again does not get into it.  Pure: no thread, no store. */
#ifndef PICKET_STORE_PLAN_H
#define PICKET_STORE_PLAN_H

#include "base/pool.h"
#include "store/store.h"
#include "store/table.h"

struct group;

struct plan {
	/* The next transaction: operations and the batches they are of.  What was taken out again
	 * is an SO_NONE in its place. */
	const struct store_op **op;
	struct store_batch **of;
	u32 n, cap;
	u32 live;	   /* those that are not SO_NONE */
	u64 bytes;	   /* of the messages that were put into it */
	struct table puts; /* session, sequence → place in op, from 1 */

	struct table groups; /* group → struct group */
	struct table keys;   /* the thing an operation concerns → struct held, the newest */
	struct table lines;  /* session → struct line: what a reading of it waits for */
	struct group *touched;
	struct pool held, group, line;
};

void plan_init(struct plan *p);
/* Gives up what is held back; the batches are the caller's, holds 0. */
void plan_free(struct plan *p);
/* Borrows b until the plan is done and b->holds is 0. */
void plan_add(struct plan *p, struct store_batch *b);
/* The transaction is durable: begin with an empty one. */
void plan_done(struct plan *p);
/* There is no room for the transaction: put in front what makes room or needs none and does not
 * depend on the rest.  Returns how many; they are op[0] to op[n - 1] afterwards, in order, and all
 * else follows in order. */
u32 plan_relief(struct plan *p);
/* The first n operations are durable: take them out. */
void plan_relieved(struct plan *p, u32 n);
/* Groups that are not whole. */
static inline size_t plan_waiting(const struct plan *p)
{
	return p->groups.n;
}

#endif
