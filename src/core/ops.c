/* ops: see ops.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { NUMBERS_A_BLOCK = 1 << 16, BLOCKS = 1 << 24, BLOCKS_KEPT = 1 << 16 };
/* Of what batches hold: more is not taken in before some of it is on disk. */
enum { HELD_OPS_MAX = 1 << 18, HELD_BYTES_MAX = 64 << 20 };
_Static_assert((u64)BLOCKS *NUMBERS_A_BLOCK == 1ull << 40, "a number's bits below the epoch");

bool ops_on(const struct core *c)
{
	return c->hub->o.submit != NULL;
}

void ops_init(struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	TAILQ_INIT(&c->ops.waits);
	TAILQ_INIT(&c->ops.woken);
	c->ops.later_end = &c->ops.later;
	map_init(&c->ops.uncounted, &c->hub->key);
	ASSERT(!ops_on(c) || c->hub->o.store_epoch != 0);
}

/* ---- the batch ----------------------------------------------------------------------- */

struct store_batch *ops_batch(struct core *c)
{
	struct ops *o = &c->ops;

	ASSERT(ops_on(c));
	if (o->batch == NULL)
		o->batch = store_batch_new(c->shard, o->submitted + 1);
	ASSERT(o->batch->serial == o->submitted + 1);
	return o->batch;
}

struct store_op *ops_add(struct core *c, enum store_op_kind kind)
{
	struct ops *o = &c->ops;
	struct store_op *op = store_batch_add(ops_batch(c), kind);

	ASSERT(kind != SO_NONE);
	op->group = o->effect.group;
	o->effect.ticket = o->batch->serial;
	o->live++;
	o->held_ops++;
	o->described++;
	ASSERT(o->live <= o->batch->n);
	return op;
}

u16 ops_last(const struct core *c)
{
	ASSERT(c->ops.batch != NULL);
	ASSERT(c->ops.batch->n > 0);
	return (u16)MIN(c->ops.batch->n - 1, (u32)AT_NONE);
}

void ops_keep(struct core *c, struct store_op *op, struct msg *m)
{
	ASSERT(op->keep == NULL);
	ASSERT(atomic_load_explicit(&m->refs, memory_order_relaxed) > 0);
	op->keep = msg_ref(m);
	c->ops.held_bytes += msg_bytes(m);
}

static void op_let_go(struct core *c, struct store_op *op)
{
	struct msg *m = op->keep;

	if (m == NULL)
		return;
	op->keep = NULL;
	ASSERT(c->ops.held_bytes >= msg_bytes(m));
	c->ops.held_bytes -= msg_bytes(m);
	msg_unref(&m);
}

bool ops_take_back(struct core *c, u16 at, u64 sid, u64 seq)
{
	struct store_batch *b = c->ops.batch;
	struct store_op *op;

	ASSERT(sid != 0);
	if (b == NULL || at == AT_NONE || at >= b->n)
		return false;
	op = &b->op[at];
	if (op->kind != SO_QUEUE_PUT || op->queued->sid != sid || op->queued->seq != seq)
		return false;
	op_let_go(c, op);
	op->kind = SO_NONE;
	op->group = 0;
	ASSERT(c->ops.live > 0);
	c->ops.live--;
	return true;
}

static void batch_free(struct core *c, struct store_batch **bp)
{
	struct store_batch *b = *bp;

	OBJ_CHECK(c, CORE_MAGIC);
	for (u32 i = 0; i < b->n; i++)
		op_let_go(c, &b->op[i]);
	ASSERT(c->ops.held_ops >= b->n);
	c->ops.held_ops -= b->n;
	store_batch_free(bp);
}

void ops_submit(struct core *c)
{
	struct ops *o = &c->ops;
	struct store_batch *b = o->batch;

	ASSERT(b != NULL);
	ASSERT(o->effect.group == 0); /* its operations are of one batch */
	o->batch = NULL;
	o->urgent = false;
	o->live = 0;
	o->effect.mark = 0;
	o->submitted = b->serial;
	o->outstanding++;
	c->hub->o.submit(c->hub->o.submit_arg, b);
}

u64 ops_now(const struct core *c)
{
	const struct ops *o = &c->ops;
	u64 serial = o->submitted + (o->batch != NULL && o->batch->n != 0);

	ASSERT(o->committed <= o->submitted);
	return serial > o->committed ? serial : 0;
}

void ops_press(struct core *c)
{
	const struct hub_options *h = &c->hub->o;
	struct ops *o = &c->ops;

	ASSERT(ops_on(c) || o->held_ops == 0);
	if (ops_on(c) && h->store_full != NULL && h->store_full(h->submit_arg))
		o->press = PRESS_FULL;
	else if (o->held_ops > HELD_OPS_MAX || o->held_bytes > HELD_BYTES_MAX)
		o->press = PRESS_SLOW;
	else
		o->press = PRESS_NONE;
}

/* ---- numbers ------------------------------------------------------------------------- */

/* Shards take numbers from the hub in blocks.  The last of an epoch are for sessions: a message
 * without one is stored with each queue that it is in. */
u64 ops_number(struct core *c, enum numbered what)
{
	struct ops *o = &c->ops;
	u64 n;

	ASSERT(ops_on(c));
	if (o->number == o->number_end) {
		u64 block = atomic_fetch_add(&c->hub->numbers, 1);
		if (what == NUMBER_MESSAGE && block >= BLOCKS - BLOCKS_KEPT)
			return 0;
		ASSERT(block < BLOCKS);
		o->number = block * NUMBERS_A_BLOCK;
		o->number_end = o->number + NUMBERS_A_BLOCK;
	}
	n = o->number++;
	return store_number(c->hub->o.store_epoch, (u32)(n >> 32), n & UINT32_MAX);
}

/* ---- effects ------------------------------------------------------------------------- */

void effect_begin(struct core *c)
{
	struct ops *o = &c->ops;

	ASSERT(o->effect.group == 0 && !o->effect.guest); /* there is one at a time */
	o->effect = (struct effect){.mark = o->batch != NULL ? o->batch->n : 0};
}

void effect_group(struct core *c)
{
	enum { SHARD_SHIFT = 56 };
	struct ops *o = &c->ops;

	ASSERT(!o->effect.guest);
	if (o->effect.group == 0)
		o->effect.group = (u64)c->shard << SHARD_SHIFT | ++o->groups;
	ASSERT(o->groups < 1ull << SHARD_SHIFT);
}

u64 effect_part(struct core *c)
{
	struct effect *e = &c->ops.effect;

	if (e->group == 0)
		return 0;
	ASSERT(!e->passed_on); /* a part is in one place */
	if (e->guest)
		e->passed_on = true;
	else
		e->parts++;
	return e->group;
}

/* No other shard was concerned: one batch is one transaction anyway. */
static void effect_ungroup(struct core *c)
{
	struct ops *o = &c->ops;

	ASSERT(o->effect.parts == 0);
	ASSERT(o->batch == NULL || o->effect.mark <= o->batch->n);
	for (u32 i = o->effect.mark; o->batch != NULL && i < o->batch->n; i++) {
		if (o->batch->op[i].group == o->effect.group)
			o->batch->op[i].group = 0;
	}
}

u64 effect_end(struct core *c)
{
	struct effect *e = &c->ops.effect;
	u64 ticket;

	ASSERT(!e->guest);
	if (e->group != 0 && e->parts == 0) {
		effect_ungroup(c);
	} else if (e->group != 0) {
		ops_add(c, SO_GROUP_OPEN)->count = e->parts;
		c->ops.urgent = true;
	}
	ticket = e->ticket;
	*e = (struct effect){0};
	return ticket;
}

void effect_join(struct core *c, u64 group)
{
	effect_begin(c);
	ASSERT(group == 0 || ops_on(c));
	c->ops.effect.group = group;
	c->ops.effect.guest = true;
}

void effect_leave(struct core *c)
{
	struct effect *e = &c->ops.effect;

	ASSERT(e->guest);
	if (e->group != 0 && !e->passed_on) {
		ops_add(c, SO_GROUP_PART);
		c->ops.urgent = true;
	} else if (e->group != 0) {
		ASSERT(e->ticket == 0); /* whoever passes it on keeps nothing of it */
	}
	*e = (struct effect){0};
}

/* ---- what has to wait ---------------------------------------------------------------- */

void ops_ended(struct core *c, struct home **home, u64 sid)
{
	struct later *l = xcalloc(1, sizeof(*l));

	ASSERT((*home)->session == NULL);
	*l = (struct later){NULL, ops_now(c), sid, *home};
	ASSERT(l->ticket != 0);
	l->home->ending = l->ticket;
	*home = NULL;
	*c->ops.later_end = l;
	c->ops.later_end = &l->next;
}

static void laters_flow(struct core *c)
{
	struct ops *o = &c->ops;
	struct later *l;

	ASSERT(o->effect.group == 0);
	while ((l = o->later) != NULL && ops_done(o, l->ticket)) {
		if (l->sid != 0)
			ops_add(c, SO_SESSION_DEL)->sid = l->sid;
		directory_release(&c->hub->directory, &l->home);
		o->later = l->next;
		if (o->later == NULL)
			o->later_end = &o->later;
		free(l);
	}
}

void ops_wake(struct core *c, struct durable *d)
{
	OBJ_CHECK(c, CORE_MAGIC);
	if (d->waiting)
		return;
	ASSERT(ops_now(c) != 0); /* or nobody would come */
	d->waiting = true;
	c->ops.nwoken++;
	TAILQ_INSERT_TAIL(&c->ops.woken, d, wake);
}

void ops_wake_end(struct core *c, struct durable *d)
{
	OBJ_CHECK(c, CORE_MAGIC);
	if (!d->waiting)
		return;
	ASSERT(c->ops.nwoken > 0);
	d->waiting = false;
	c->ops.nwoken--;
	TAILQ_REMOVE(&c->ops.woken, d, wake);
}

/* ---- the store has come on ----------------------------------------------------------- */

static void sessions_flow(struct core *c)
{
	struct durable *d;

	OBJ_CHECK(c, CORE_MAGIC);
	for (u32 n = c->ops.nwoken; n > 0 && (d = TAILQ_FIRST(&c->ops.woken)) != NULL; n--) {
		ops_wake_end(c, d);
		session_pump(c, d->session); /* which may wait again, behind the others */
	}
}

static void ops_flow(struct core *c)
{
	ops_press(c);
	laters_flow(c);
	answers_flow(c);
	sessions_flow(c);
	ASSERT(c->ops.committed <= c->ops.submitted);
}

static void batches_returned(struct core *c, struct store_notice *n)
{
	struct store_batch *b;

	while ((b = n->returned) != NULL) {
		n->returned = b->next;
		ASSERT(b->shard == c->shard);
		ASSERT(c->ops.outstanding > 0);
		c->ops.outstanding--;
		batch_free(c, &b);
	}
}

void core_stored(struct core *c, struct store_notice **np)
{
	struct store_notice *n = *np;

	*np = NULL;
	OBJ_CHECK(c, CORE_MAGIC);
	ASSERT(n->committed <= c->ops.submitted);
	core_enter(c);
	c->ops.committed = MAX(c->ops.committed, n->committed);
	batches_returned(c, n);
	for (u32 i = 0; i < n->nreads; i++)
		ahead_read(c, &n->reads[i]);
	for (u32 i = 0; i < n->ncounts; i++)
		ahead_counted(c, &n->counts[i]);
	store_notice_free(&n);
	ops_flow(c);
	core_leave(c);
}

u64 core_stored_ticket(const struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	return ops_now(c);
}

bool core_stored_upto(const struct core *c, u64 ticket)
{
	OBJ_CHECK(c, CORE_MAGIC);
	return ops_done(&c->ops, ticket);
}

bool core_stored_all(const struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	return ops_now(c) == 0 && c->ops.outstanding == 0;
}

void core_notice_drop(struct store_notice **np)
{
	struct store_notice *n = *np;
	struct store_batch *b;

	ASSERT(n != NULL);
	while ((b = n->returned) != NULL) {
		n->returned = b->next;
		for (u32 i = 0; i < b->n; i++) {
			struct msg *m = b->op[i].keep;
			if (m != NULL)
				msg_unref(&m);
		}
		store_batch_free(&b);
	}
	store_notice_free(np);
}

/* Everything in it was taken back, so there is nothing to wait for. */
static void batch_was_nothing(struct core *c)
{
	struct ops *o = &c->ops;
	struct store_batch *b = o->batch;

	ASSERT(o->live == 0 && o->committed == o->submitted);
	o->batch = NULL;
	o->committed = o->submitted = b->serial;
	batch_free(c, &b);
	core_enter(c);
	ops_flow(c);
	core_leave(c);
}

void core_turn_end(struct core *c)
{
	struct ops *o = &c->ops;

	OBJ_CHECK(c, CORE_MAGIC);
	if (o->batch != NULL && o->live == 0 && o->committed == o->submitted)
		batch_was_nothing(c);
	if (o->batch != NULL && o->live != 0 && (o->outstanding == 0 || o->urgent))
		ops_submit(c);
}

void ops_free(struct core *c)
{
	struct ops *o = &c->ops;

	ASSERT(TAILQ_EMPTY(&o->waits));
	ASSERT(TAILQ_EMPTY(&o->woken));
	ASSERT(o->uncounted.n == 0);
	if (o->batch != NULL)
		batch_free(c, &o->batch);
	map_free(&o->uncounted);
	for (struct later *l = o->later, *next; l != NULL; l = next) {
		next = l->next;
		directory_release(&c->hub->directory, &l->home);
		free(l); /* marked as ended already: the next start deletes it */
	}
}
