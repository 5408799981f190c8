/* plan: an operation that is held back stands in up to three lists: that of its group, in the order
 * in which it came; that of the thing it concerns, the newest first; and, where it changes a queue,
 * the line of the session, in which a reading waits until all before it have left. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/plan.h"

struct line {
	u64 sid;
	struct held *first, *last;
};

struct held {
	const struct store_op *op;
	struct store_batch *batch;
	struct held *next;  /* in the group */
	struct held *older; /* of the same thing */
	struct line *line;  /* NULL: in none */
	struct held *before, *behind;
	struct group *group;
	bool dead; /* taken out; stays in its group, which its batch still waits for */
};

struct group {
	u64 number;
	u32 want, parts; /* want 0: not opened yet */
	bool opened, touched;
	struct group *next_touched;
	struct held *first, *last;
};

static const struct store_op nothing = {.kind = SO_NONE};

/* ---- what an operation concerns -------------------------------------------------------------- */

enum thing { OF_NOTHING, OF_SESSION, OF_SUB, OF_QUEUE, OF_PID, OF_RETAINED };
enum { THING_SHIFT = 60 };

static enum thing op_thing(const struct store_op *op)
{
	static const u8 of[SO_KINDS] = {
		[SO_SESSION_PUT] = OF_SESSION, [SO_SESSION_DEL] = OF_SESSION,
		[SO_WILL_DEL] = OF_SESSION,    [SO_SUB_PUT] = OF_SUB,
		[SO_SUB_DEL] = OF_SUB,	       [SO_QUEUE_PUT] = OF_QUEUE,
		[SO_QUEUE_DEL] = OF_QUEUE,     [SO_QUEUE_RELEASE] = OF_QUEUE,
		[SO_PID_PUT] = OF_PID,	       [SO_PID_DEL] = OF_PID,
		[SO_RETAIN_PUT] = OF_RETAINED, [SO_RETAIN_DEL] = OF_RETAINED,
	};

	ASSERT(op->kind < SO_KINDS);
	return of[op->kind];
}

static bool op_deletes(const struct store_op *op)
{
	return op->kind == SO_SESSION_DEL || op->kind == SO_SUB_DEL || op->kind == SO_QUEUE_DEL ||
	       op->kind == SO_PID_DEL || op->kind == SO_RETAIN_DEL;
}

static bool op_reads(const struct store_op *op)
{
	return op->kind == SO_READ || op->kind == SO_PURGE;
}

struct key {
	u64 a, b;
};

static struct key op_key(const struct store_op *op)
{
	struct key k = {op->sid, op->seq};
	u64 thing = op_thing(op);

	if (op->kind == SO_SESSION_PUT)
		k.a = op->session->sid;
	else if (op->kind == SO_SUB_PUT)
		k = (struct key){op->sub->sid, op->sub->sub};
	else if (op->kind == SO_QUEUE_PUT)
		k = (struct key){op->queued->sid, op->queued->seq};
	else if (op->kind == SO_RETAIN_PUT)
		k.a = op->retained->number;
	if (thing == OF_SESSION || thing == OF_RETAINED)
		k.b = 0;
	ASSERT(k.b < 1ull << THING_SHIFT);
	k.b |= thing << THING_SHIFT;
	return k;
}

/* ---- the transaction ------------------------------------------------------------------------- */

static void emit(struct plan *p, const struct store_op *op, struct store_batch *b)
{
	if (p->n == p->cap) {
		ASSERT(p->cap < UINT32_MAX / 2);
		p->cap = p->cap ? p->cap * 2 : 256;
		p->op = xrealloc(p->op, p->cap * sizeof(*p->op));
		p->of = xrealloc(p->of, p->cap * sizeof(*p->of));
	}
	ASSERT(p->n < p->cap);
	p->op[p->n] = op;
	p->of[p->n] = b;
	p->n++;
	p->live++;
	if (op->kind == SO_RETAIN_PUT)
		p->bytes += op->retained->m.payload.n;
	if (op->kind != SO_QUEUE_PUT)
		return;
	p->bytes += op->queued->m.payload.n;
	table_put(&p->puts, op->queued->sid, op->queued->seq, p->n);
}

/* A message that this transaction would have stored; false: it would not. */
static bool take_back(struct plan *p, u64 sid, u64 seq)
{
	u64 at = table_get(&p->puts, sid, seq);

	if (at == 0)
		return false;
	ASSERT(at <= p->n);
	ASSERT(p->op[at - 1]->kind == SO_QUEUE_PUT);
	p->op[at - 1] = &nothing;
	p->live--;
	table_del(&p->puts, sid, seq);
	return true;
}

static void emit_del(struct plan *p, const struct store_op *op, struct store_batch *b)
{
	ASSERT(op_deletes(op));
	if (op->kind != SO_QUEUE_DEL || !take_back(p, op->sid, op->seq))
		emit(p, op, b);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void line_join(struct plan *p, struct held *h, u64 sid)
{
	struct line *l = table_ptr(&p->lines, sid, 0);

	if (l == NULL) {
		l = pool_get(&p->line);
		ASSERT(l != NULL);
		l->sid = sid;
		table_put_ptr(&p->lines, sid, 0, l);
	}
	h->line = l;
	h->before = l->last;
	h->behind = NULL;
	if (l->last != NULL)
		l->last->behind = h;
	else
		l->first = h;
	l->last = h;
}

static void line_unlink(struct held *h)
{
	struct line *l = h->line;

	ASSERT(l != NULL);
	if (h->before != NULL)
		h->before->behind = h->behind;
	else
		l->first = h->behind;
	if (h->behind != NULL)
		h->behind->before = h->before;
	else
		l->last = h->before;
	h->line = NULL;
}

static void held_free(struct plan *p, struct held *h)
{
	ASSERT(h->line == NULL);
	ASSERT(h->batch->holds > 0);
	h->batch->holds--;
	pool_put(&p->held, h);
}

/* Leave the line; readings that nothing is in front of any more take their turn. */
static void line_leave(struct plan *p, struct held *h)
{
	struct line *l = h->line;

	ASSERT(l == NULL || l->first != NULL);
	if (l == NULL)
		return;
	line_unlink(h);
	while (l->first != NULL && op_reads(l->first->op)) {
		struct held *reading = l->first;

		line_unlink(reading);
		emit(p, reading->op, reading->batch);
		held_free(p, reading);
	}
	if (l->first != NULL)
		return;
	table_del(&p->lines, l->sid, 0);
	pool_put(&p->line, l);
}

/* ---- things ---------------------------------------------------------------------------------- */

static struct held *key_newest(const struct plan *p, const struct store_op *op)
{
	struct key k;

	if (p->keys.n == 0 || op_thing(op) == OF_NOTHING)
		return NULL;
	k = op_key(op);
	return table_ptr(&p->keys, k.a, k.b);
}

static void key_join(struct plan *p, struct held *h)
{
	struct key k = op_key(h->op);

	ASSERT(op_thing(h->op) != OF_NOTHING);
	h->older = table_ptr(&p->keys, k.a, k.b);
	table_put_ptr(&p->keys, k.a, k.b, h);
}

static void key_leave(struct plan *p, struct held *h)
{
	struct key k;
	struct held *x;

	if (op_thing(h->op) == OF_NOTHING)
		return;
	k = op_key(h->op);
	x = table_ptr(&p->keys, k.a, k.b);
	ASSERT(x != NULL);
	if (x == h && h->older == NULL) {
		table_del(&p->keys, k.a, k.b);
	} else if (x == h) {
		table_put_ptr(&p->keys, k.a, k.b, h->older);
	} else {
		while (x->older != h)
			x = x->older;
		x->older = h->older;
	}
	h->older = NULL;
}

/* ---- groups ---------------------------------------------------------------------------------- */

static struct group *group_of(struct plan *p, u64 number)
{
	struct group *g = table_ptr(&p->groups, number, 0);

	ASSERT(number != 0);
	if (g != NULL)
		return g;
	g = pool_get(&p->group);
	ASSERT(g != NULL);
	g->number = number;
	table_put_ptr(&p->groups, number, 0, g);
	return g;
}

static void group_append(struct group *g, struct held *h)
{
	h->group = g;
	h->next = NULL;
	if (g->last != NULL)
		g->last->next = h;
	else
		g->first = h;
	g->last = h;
	ASSERT(g->first != NULL);
}

static struct held *held_new(struct plan *p, const struct store_op *op, struct store_batch *b)
{
	struct held *h = pool_get(&p->held);

	ASSERT(h != NULL);
	ASSERT(b->holds < UINT32_MAX);
	h->op = op;
	h->batch = b;
	b->holds++;
	return h;
}

static void hold(struct plan *p, struct group *g, const struct store_op *op, struct store_batch *b)
{
	struct held *h = held_new(p, op, b);

	ASSERT(!op_reads(op));
	group_append(g, h);
	if (op_thing(op) != OF_NOTHING)
		key_join(p, h);
	if (op_thing(op) == OF_QUEUE)
		line_join(p, h, op_key(op).a);
}

/* Take out h and what is older of the same thing; true: a message was to be stored among them. */
static bool kill_from(struct plan *p, struct held *h)
{
	bool put = false;

	while (h != NULL) {
		struct held *older = h->older;

		ASSERT(!h->dead);
		put |= h->op->kind == SO_QUEUE_PUT;
		h->dead = true;
		key_leave(p, h);
		line_leave(p, h);
		h = older;
	}
	return put;
}

static void cancel(struct plan *p, struct held *older, const struct store_op *op,
		   struct store_batch *b)
{
	bool put = kill_from(p, older);

	ASSERT(op_deletes(op));
	if (!put)
		emit_del(p, op, b);
}

/* Without a group, or one of a group that is whole: it takes effect now, unless something that it
 * follows is held back. */
static void arrive(struct plan *p, const struct store_op *op, struct store_batch *b)
{
	struct held *newest = key_newest(p, op);

	ASSERT(op->group == 0);
	if (op->kind == SO_NONE)
		return;
	if (op_deletes(op)) {
		cancel(p, newest, op, b);
	} else if (newest != NULL) {
		hold(p, newest->group, op, b);
	} else if (op_reads(op) && table_get(&p->lines, op->sid, 0) != 0) {
		line_join(p, held_new(p, op, b), op->sid);
	} else {
		emit(p, op, b);
	}
}

/* One of a group that is whole. */
static void release(struct plan *p, struct held *h)
{
	const struct store_op *op = h->op;

	ASSERT(h->batch->holds > 0);
	ASSERT(!op_reads(op));
	if (!h->dead && h->older != NULL && !op_deletes(op)) {
		group_append(h->older->group, h); /* what it follows still waits */
		return;
	}
	if (!h->dead && op_deletes(op)) {
		struct held *older = h->older;

		key_leave(p, h);
		cancel(p, older, op, h->batch);
		line_leave(p, h);
	} else if (!h->dead) {
		key_leave(p, h);
		if (op->kind < SO_GROUP_OPEN)
			emit(p, op, h->batch);
		line_leave(p, h);
	}
	held_free(p, h);
}

static void group_whole(struct plan *p, struct group *g)
{
	struct held *h = g->first, *next;

	ASSERT(g->opened && g->parts == g->want);
	table_del(&p->groups, g->number, 0);
	for (; h != NULL; h = next) {
		next = h->next;
		release(p, h);
	}
	pool_put(&p->group, g);
}

static void add_grouped(struct plan *p, const struct store_op *op, struct store_batch *b)
{
	struct group *g = group_of(p, op->group);

	ASSERT(op->kind != SO_SESSION_DEL);
	if (op->kind == SO_NONE)
		return;
	hold(p, g, op, b);
	if (op->kind == SO_GROUP_OPEN) {
		ASSERT(!g->opened);
		g->opened = true;
		g->want = op->count;
	}
	g->parts += op->kind == SO_GROUP_PART;
	if (g->touched)
		return;
	g->touched = true;
	g->next_touched = p->touched;
	p->touched = g;
}

void plan_add(struct plan *p, struct store_batch *b)
{
	ASSERT(b->holds == 0);
	ASSERT(p->touched == NULL);
	for (u32 i = 0; i < b->n; i++) {
		if (b->op[i].group != 0)
			add_grouped(p, &b->op[i], b);
		else
			arrive(p, &b->op[i], b);
	}
	while (p->touched != NULL) {
		struct group *g = p->touched;

		p->touched = g->next_touched;
		g->touched = false;
		if (g->opened && g->parts >= g->want)
			group_whole(p, g);
	}
}

/* ---- the life of a plan ---------------------------------------------------------------------- */

void plan_init(struct plan *p)
{
	*p = (struct plan){.n = 0};
	pool_init(&p->held, sizeof(struct held));
	pool_init(&p->group, sizeof(struct group));
	pool_init(&p->line, sizeof(struct line));
}

void plan_done(struct plan *p)
{
	enum { KEPT = 65536 };

	ASSERT(p->n <= p->cap);
	ASSERT(p->live <= p->n);
	p->n = p->live = 0;
	p->bytes = 0;
	table_clear(&p->puts);
	if (p->cap <= KEPT)
		return;
	free(p->op);
	free(p->of);
	p->op = NULL;
	p->of = NULL;
	p->cap = 0;
}

static void line_give_up(struct plan *p, struct line *l)
{
	while (l->first != NULL) {
		struct held *h = l->first;

		line_unlink(h);
		if (op_reads(h->op))
			held_free(p, h);
	}
	pool_put(&p->line, l);
}

static void group_give_up(struct plan *p, struct group *g)
{
	for (struct held *h = g->first, *next; h != NULL; h = next) {
		next = h->next;
		held_free(p, h);
	}
	pool_put(&p->group, g);
}

void plan_free(struct plan *p)
{
	ASSERT(p->touched == NULL);
	for (size_t i = 0; i < p->lines.cap; i++) {
		if (p->lines.slots[i].value != 0)
			line_give_up(p, (void *)(uintptr_t)p->lines.slots[i].value);
	}
	for (size_t i = 0; i < p->groups.cap; i++) {
		if (p->groups.slots[i].value != 0)
			group_give_up(p, (void *)(uintptr_t)p->groups.slots[i].value);
	}
	table_free(&p->lines);
	table_free(&p->groups);
	table_free(&p->keys);
	table_free(&p->puts);
	pool_free(&p->held);
	pool_free(&p->group);
	pool_free(&p->line);
	free(p->op);
	free(p->of);
	*p = (struct plan){.n = 0};
}

/* ---- relief ---------------------------------------------------------------------------------- */

enum { BLOCKED_QUEUE = 7 }; /* beside the things: the queue of a session has something that stays */

static bool relieves(const struct store_op *op)
{
	return op->group == 0 &&
	       (op->kind == SO_QUEUE_DEL || op->kind == SO_QUEUE_RELEASE ||
		op->kind == SO_SESSION_DEL || op->kind == SO_DROPPED || op_reads(op));
}

/* May it overtake all that stays so far? */
static bool overtakes(const struct table *stays, const struct store_op *op)
{
	struct key k = {op->sid, (u64)BLOCKED_QUEUE << THING_SHIFT};

	ASSERT(op->kind < SO_GROUP_OPEN);
	if (!relieves(op))
		return false;
	if (op_thing(op) != OF_NOTHING)
		k = op_key(op);
	else if (!op_reads(op))
		return true;
	return table_get(stays, k.a, k.b) == 0;
}

static void stay(struct table *stays, const struct store_op *op)
{
	struct key k;

	if (op_thing(op) == OF_NOTHING)
		return;
	k = op_key(op);
	table_put(stays, k.a, k.b, 1);
	if (op_thing(op) == OF_QUEUE)
		table_put(stays, k.a, (u64)BLOCKED_QUEUE << THING_SHIFT, 1);
}

/* Put the operations of the plan into a new order: those marked first. */
static void reorder(struct plan *p, const bool *first, u32 nfirst)
{
	const struct store_op **op = xmalloc(p->cap * sizeof(*op));
	struct store_batch **of = xmalloc(p->cap * sizeof(*of));
	u32 front = 0, back = nfirst;

	table_clear(&p->puts);
	for (u32 i = 0; i < p->n; i++) {
		u32 *at = first[i] ? &front : &back;

		op[*at] = p->op[i];
		of[*at] = p->of[i];
		++*at;
		if (p->op[i]->kind == SO_QUEUE_PUT)
			table_put(&p->puts, p->op[i]->queued->sid, p->op[i]->queued->seq, *at);
	}
	ASSERT(front == nfirst && back == p->n);
	free(p->op);
	free(p->of);
	p->op = op;
	p->of = of;
}

u32 plan_relief(struct plan *p)
{
	bool *first = xcalloc(MAX(p->n, 1u), sizeof(*first));
	struct table stays = {.n = 0};
	u32 n = 0;

	ASSERT(p->live <= p->n);
	for (u32 i = 0; i < p->n; i++) {
		first[i] = overtakes(&stays, p->op[i]);
		n += first[i];
		if (!first[i])
			stay(&stays, p->op[i]);
	}
	if (n != 0)
		reorder(p, first, n);
	table_free(&stays);
	free(first);
	return n;
}

void plan_relieved(struct plan *p, u32 n)
{
	ASSERT(n <= p->live);
	ASSERT(p->live <= p->n);
	for (u32 i = 0; i < n; i++)
		p->op[i] = &nothing;
	p->live -= n;
}
