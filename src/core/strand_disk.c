/* strand_disk: shared messages that wait on disk.
 *
 * Of a durable session that is away nothing is in memory, so what others are to have is read from
 * its queue, a piece at a time, as long as somebody takes it.  A session that ends with such
 * messages lingers where nobody finds it until they have been handed on; for the store it has
 * ended, so after a crash it does the same again. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { PIECE_MESSAGES = 128, LEFT_MAX = 64 };
enum { PAUSE_MIN_MS = 1000, PAUSE_MAX_MS = 16000 };

/* A filter that the session was a member under, when it is none any more. */
struct left_sub {
	u16 number; /* as in struct queued */
	u16 len;
	u8 *text;
};

struct strand_disk { /* of a session that shared messages were put on disk for */
	u64 last;    /* the newest of them that is known of */
	u64 after;   /* none up to here is to be handed on */
	u64 at;	     /* how far this pass has come */
	u64 until;   /* what was there when it was asked for */
	u32 token;   /* of the reading under way */
	bool reading;
	bool stays;   /* this pass met one that nobody takes */
	bool handed;  /* this pass handed something on */
	bool lingers; /* the session has ended */
	u32 nleft;
	u32 pause_ms; /* before the next pass */
	u64 again_ms;
	struct left_sub *left;
};

static struct strand_disk *disk_of(struct durable *d)
{
	ASSERT(d->session != NULL);
	if (d->strand == NULL)
		d->strand = xcalloc(1, sizeof(*d->strand));
	return d->strand;
}

void strand_disk_put(struct durable *d, u64 seq)
{
	ASSERT(seq != 0);
	disk_of(d)->last = seq;
}

static void left_clear(struct strand_disk *x)
{
	ASSERT(x->nleft != 0 || x->left == NULL);
	for (u32 i = 0; i < x->nleft; i++)
		free(x->left[i].text);
	free(x->left);
	x->left = NULL;
	x->nleft = 0;
}

void strand_disk_free(struct durable *d)
{
	struct strand_disk *x = d->strand;

	if (x == NULL)
		return;
	d->strand = NULL;
	left_clear(x);
	ASSERT(x->left == NULL);
	free(x);
}

bool strand_disk_waits(const struct session *s)
{
	const struct durable *d = s->durable;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (d == NULL || d->strand == NULL || d->strand->last <= d->strand->after)
		return false;
	return s->client == NULL || d->uncounted || backlog_count(s) + s->out.n != 0;
}

bool strand_lingers(const struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	return s->durable != NULL && s->durable->strand != NULL && s->durable->strand->lingers;
}

static const struct left_sub *left_find(const struct session *s, u32 number)
{
	const struct strand_disk *x = s->durable != NULL ? s->durable->strand : NULL;

	OBJ_CHECK(s, SESSION_MAGIC);
	for (u32 i = 0; x != NULL && i < x->nleft; i++) {
		if (x->left[i].number == number)
			return &x->left[i];
	}
	return NULL;
}

bool strand_left_filter(const struct session *s, u16 number, struct filter *f)
{
	const struct left_sub *l = left_find(s, number);
	enum err e;

	if (l == NULL)
		return false;
	e = filter_parse(slice_of(l->text, l->len), f);
	ASSERT(e == E_OK);
	return true;
}

/* ---- is there anybody? ----------------------------------------------------------------- */

static bool group_has(const struct core *c, const struct group *g, enum standing floor)
{
	struct walk w = {.level = STAND_READY, .floor = (u8)floor};
	struct member m;

	ASSERT(floor <= STAND_READY);
	return g != NULL && walk_next(&c->hub->shares, g, 1, &w, &m);
}

/* Who is away does not stand at BUSY itself. */
static bool anybody_here(const struct core *c, const struct session *s)
{
	ASSERT(s->client == NULL);
	for (u32 i = 0; i < s->subs_cap; i++) {
		const struct sub *b = s->subs[i];
		if (b != NULL && b->filter.share.n != 0 &&
		    group_has(c, index_group(&c->hub->index, &b->filter), STAND_BUSY))
			return true;
	}
	return false;
}

/* ---- reading --------------------------------------------------------------------------- */

static void read_piece(struct core *c, struct session *s)
{
	struct durable *d = s->durable;
	struct strand_disk *x = d->strand;
	struct store_op *op = ops_add(c, SO_READ);

	ASSERT(s->client == NULL);
	ASSERT(!x->reading);
	op->group = 0;
	op->sid = d->sid;
	op->seq = x->at;
	op->slot = s->slot;
	op->gen = x->token = ++d->read_token;
	op->count = PIECE_MESSAGES;
	op->bytes = AHEAD_BYTES;
	x->until = d->seq;
	x->reading = true;
}

static void pass_begin(struct core *c, struct session *s)
{
	struct strand_disk *x = s->durable->strand;

	ASSERT(x->last > x->after);
	x->at = x->after;
	x->stays = x->handed = false;
	read_piece(c, s);
}

bool strand_disk_look(struct core *c, struct session *s)
{
	struct strand_disk *x = s->durable->strand;

	ASSERT(s->client == NULL);
	if (!strand_disk_waits(s))
		return false;
	if (x->reading || !anybody_here(c, s))
		return true;
	if (c->now_ms >= x->again_ms)
		pass_begin(c, s);
	else
		c->strands.later_ms = MIN(c->strands.later_ms, x->again_ms);
	return true;
}

/* Is it one that others may have?  SPEC MQTT-4.8.2-4: not one of QoS 2 that may have arrived. */
static bool is_for_others(const struct core *c, const struct session *s,
			  const struct store_queued *r)
{
	u64 expires_ms = time_of_store(c, r->m.expires_ms);

	OBJ_CHECK(s, SESSION_MAGIC);
	return r->sub != 0 && r->state == SQ_QUEUED && (r->qos == 1 || r->seq > s->durable->sent) &&
	       (expires_ms == 0 || c->now_ms < expires_ms);
}

static enum handed read_one(struct core *c, struct session *s, const struct store_queued *r)
{
	struct queued like = {
		.seq = r->seq, .at = AT_NONE, .sub = r->sub, .qos = r->qos, .retain = r->retain};
	struct msg *m = ahead_message(c, s, r, &like);
	enum handed h;
	u64 bytes;

	ASSERT(s->handing);
	if (m == NULL)
		return HANDED_ON; /* it was damaged, and has gone */
	bytes = msg_bytes(m);
	h = strand_hand_on(c, s, &like, strand_lingers(s) ? STAND_AWAY : STAND_BUSY);
	if (h == HANDED_ON && backlog_charges(c, s->durable, r->seq))
		disk_uncharge(s, 1, bytes);
	msg_unref(&m);
	return h;
}

static void read_all(struct core *c, struct session *s, const struct store_read *r)
{
	struct strand_disk *x = s->durable->strand;
	u16 nobody = 0; /* a subscription for which nobody was found stands for all of its own */

	ASSERT(r->n <= PIECE_MESSAGES);
	s->handing = true;
	for (u32 i = 0; i < r->n; i++) {
		const struct store_queued *q = &r->queued[i];
		enum handed h = HANDED_NOBODY;

		if (!is_for_others(c, s, q))
			continue;
		if (q->sub != nobody)
			h = read_one(c, s, q);
		if (h == HANDED_NOBODY)
			nobody = q->sub;
		x->handed |= h == HANDED_ON;
		if (h == HANDED_ON || x->stays)
			continue;
		x->after = q->seq - 1;
		x->stays = true;
	}
	s->handing = x->lingers;
}

/* A pass that led nowhere is not repeated at once, and later less and less often. */
static void pass_end(struct core *c, struct session *s)
{
	struct strand_disk *x = s->durable->strand;

	if (x->lingers) {
		session_end(c, &s);
		return;
	}
	ASSERT(!x->reading);
	x->pause_ms = x->handed ? 0 : MIN(MAX(x->pause_ms * 2, PAUSE_MIN_MS), PAUSE_MAX_MS);
	x->again_ms = c->now_ms + x->pause_ms;
}

void strand_disk_read(struct core *c, struct session *s, const struct store_read *r)
{
	struct strand_disk *x = s->durable->strand;

	ASSERT(x->reading);
	x->reading = false;
	if (s->client != NULL)
		return; /* it came back, and reads them itself */
	read_all(c, s, r);
	x->at = r->last;
	if (!x->stays)
		x->after = r->end ? x->until : r->last;
	if (!r->end && (x->lingers || anybody_here(c, s)))
		read_piece(c, s);
	else
		pass_end(c, s);
}

bool strand_disk_is(const struct durable *d, const struct store_read *r)
{
	ASSERT(d->sid == r->sid);
	return d->strand != NULL && d->strand->reading && d->strand->token == r->gen;
}

void strand_disk_stop(struct durable *d)
{
	if (d->strand != NULL)
		d->strand->reading = false;
	ASSERT(d->session != NULL);
}

/* ---- subscriptions that go ----------------------------------------------------------------- */

static void left_add(struct strand_disk *x, u32 i, struct slice text)
{
	struct left_sub *l;

	ASSERT(i < UINT16_MAX && text.n <= UINT16_MAX);
	x->left = xrealloc(x->left, (x->nleft + 1u) * sizeof(*x->left));
	l = &x->left[x->nleft++];
	*l = (struct left_sub){(u16)(i + 1), (u16)text.n, xmalloc(text.n)};
	memcpy(l->text, text.p, text.n);
}

/* Its number stays its own while something on disk may have it.  Beyond some of those all that is
 * there now stays with the session. */
void strand_disk_unsubscribes(struct session *s, u32 i)
{
	struct strand_disk *x = s->durable != NULL ? s->durable->strand : NULL;

	if (x == NULL || !strand_disk_waits(s))
		return;
	ASSERT(!x->lingers);
	if (x->nleft < LEFT_MAX) {
		left_add(x, i, sub_text(s->subs[i]));
		return;
	}
	left_clear(x);
	x->after = s->durable->seq;
}

bool strand_number_taken(struct session *s, u32 i)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->durable == NULL || s->durable->strand == NULL || s->durable->strand->nleft == 0)
		return false;
	if (!strand_disk_waits(s))
		left_clear(s->durable->strand);
	return left_find(s, i + 1) != NULL;
}

/* ---- a session that ends ----------------------------------------------------------------- */

void strand_disk_leaves(struct session *s)
{
	struct strand_disk *x;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (!strand_disk_waits(s) || strand_lingers(s))
		return;
	x = s->durable->strand;
	ASSERT(x->nleft <= LEFT_MAX);
	for (u32 i = 0; i < MIN(s->subs_cap, UINT16_MAX - 1u); i++) {
		if (s->subs[i] != NULL && s->subs[i]->filter.share.n != 0)
			left_add(x, i, sub_text(s->subs[i]));
	}
}

/* Its client, identity and home are rid of it; for the store it has ended too. */
static void linger(struct core *c, struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	timer_stop(&c->wheel, &s->timer);
	s->ends_ms = s->will_ms = UINT64_MAX;
	s->expiry_s = 0;
	s->durable->sent = MAX(s->durable->sent, s->durable->sending);
	if (s->will != NULL)
		will_fire(c, s);
	record_put(c, s);
	s->home->session = NULL;
	ops_ended(c, &s->home, 0);
	s->home = directory_ghost(&c->hub->directory, c->shard);
	s->home->session = s;
	ASSERT(s->subs_n == 0);
}

bool strand_disk_ends(struct core *c, struct session *s)
{
	struct strand_disk *x = s->durable != NULL ? s->durable->strand : NULL;
	bool anybody = false;

	if (x == NULL || x->lingers || x->nleft == 0 || !strand_disk_waits(s))
		return false;
	x->lingers = true;
	for (u32 i = 0; i < x->nleft && !anybody; i++) {
		struct filter f;
		anybody = strand_left_filter(s, x->left[i].number, &f) &&
			  group_has(c, index_group(&c->hub->index, &f), STAND_AWAY);
	}
	x->lingers = anybody;
	if (!anybody)
		return false;
	ASSERT(s->client == NULL);
	linger(c, s);
	strand_disk_stop(s->durable); /* an answer to an older question says nothing any more */
	pass_begin(c, s);
	return true;
}
