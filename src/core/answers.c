/* answers: what a client is told once it is on disk.
 *
 * Acknowledgements leave in the order in which they were made (SPEC MQTT-4.6.0-2).  One with
 * nothing to wait for leaves at once as long as none waits; else it stands behind them.  They lie
 * encoded in one block a client.  Also who is not read because the disk is full or behind. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { OFFER_MS = 100, WAITING_MAX = 1024 };

struct answer {
	u64 ticket;
	u32 len;
};

static struct waits *waits_of(struct core *c, struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->waits == NULL) {
		cl->waits = xcalloc(1, sizeof(*cl->waits));
		cl->waits->client = cl;
		TAILQ_INSERT_TAIL(&c->ops.waits, cl->waits, link);
		c->ops.nwaits++;
	}
	ASSERT(cl->waits->client == cl);
	return cl->waits;
}

static void waits_free(struct core *c, struct client *cl)
{
	struct waits *w = cl->waits;

	ASSERT(w->client == cl);
	ASSERT(c->ops.nwaits > 0);
	c->ops.nwaits--;
	cl->waits = NULL;
	TAILQ_REMOVE(&c->ops.waits, w, link);
	free(w->data);
	free(w);
}

void answers_drop(struct core *c, struct client *cl)
{
	ASSERT(cl->core == c || cl->waits == NULL);
	if (cl->waits != NULL)
		waits_free(c, cl);
}

static bool must_wait(const struct core *c, const struct client *cl, u64 ticket)
{
	return (cl->waits != NULL && cl->waits->n != 0) || !ops_done(&c->ops, ticket);
}

static u8 *waits_room(struct waits *w, u32 n)
{
	ASSERT(w->start <= w->end && w->end <= w->cap);
	if (w->end + n > w->cap && w->start > w->end - w->start) {
		memmove(w->data, w->data + w->start, w->end - w->start);
		w->end -= w->start;
		w->start = 0;
	}
	if (w->end + n > w->cap) {
		w->cap = MAX(2 * w->cap, w->end + n);
		w->data = xrealloc(w->data, w->cap);
	}
	ASSERT(w->end + n <= w->cap);
	return w->data + w->end;
}

struct wr answer_wr(struct core *c, struct client *cl, u64 ticket, size_t cap)
{
	const u32 head = sizeof(struct answer);

	ASSERT(cap > 0 && cap <= UINT32_MAX - head);
	if (LIKELY(!must_wait(c, cl, ticket)))
		return client_wr(c, cl, cap);
	ASSERT(ops_on(c));
	return wr_of(waits_room(waits_of(c, cl), (u32)cap + head) + head, cap);
}

bool answer_done(struct core *c, struct client *cl, u64 ticket, struct wr *wr)
{
	struct answer a = {ticket, (u32)wr->n};
	struct waits *w = cl->waits;

	if (LIKELY(!must_wait(c, cl, ticket)))
		return client_wr_done(c, cl, wr);
	ASSERT(w != NULL);
	if (wr->err != E_OK || wr->n > cl->max_packet) {
		if (w->n == 0 && !w->held)
			waits_free(c, cl);
		return false;
	}
	memcpy(w->data + w->end, &a, sizeof(a));
	w->end += (u32)sizeof(a) + a.len;
	ASSERT(w->end <= w->cap);
	if (++w->n >= WAITING_MAX)
		answers_hold(c, cl);
	return true;
}

void answer_ack(struct core *c, struct client *cl, u64 ticket, enum pkt_type type, u16 pid,
		u8 reason)
{
	struct wr w = answer_wr(c, cl, ticket, 8);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	pkt_ack_encode(&w, (enum mqtt_version)cl->version, type, pid, reason);
	answer_done(c, cl, ticket, &w);
}

/* ---- held back ----------------------------------------------------------------------- */

static void hold_begin(struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	if (c->ops.hold_ms == 0)
		c->ops.hold_ms = c->now_ms + OFFER_MS;
}

void answers_hold(struct core *c, struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	waits_of(c, cl)->held = true;
	client_pause(c, cl, P_STORE);
	hold_begin(c);
}

/* Returns with w gone where nothing is left in it. */
static void waits_settle(struct core *c, struct waits *w, bool offer)
{
	struct client *cl = w->client;
	bool resume = offer && w->held && w->n < WAITING_MAX / 2;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (resume)
		w->held = false;
	if (w->held)
		hold_begin(c);
	if (w->n == 0 && !w->held)
		waits_free(c, cl);
	if (resume)
		client_resume(c, cl, P_STORE);
}

/* ---- the store has come on ----------------------------------------------------------- */

static void waits_flow(struct core *c, struct waits *w)
{
	struct client *cl = w->client;
	struct answer a;
	struct wr wr;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	while (w->n > 0) {
		memcpy(&a, w->data + w->start, sizeof(a));
		if (!ops_done(&c->ops, a.ticket))
			return;
		wr = client_wr(c, cl, a.len);
		wr_slice(&wr, slice_of(w->data + w->start + sizeof(a), a.len));
		client_wr_done(c, cl, &wr);
		w->start += (u32)sizeof(a) + a.len;
		w->n--;
	}
	ASSERT(w->start == w->end);
	w->start = w->end = 0;
}

/* Each once; what is done for one may end others. */
static void answers_each(struct core *c, bool flow, bool offer)
{
	struct waits *w;

	for (u32 n = c->ops.nwaits; n > 0 && (w = TAILQ_FIRST(&c->ops.waits)) != NULL; n--) {
		struct client *cl = w->client;
		TAILQ_REMOVE(&c->ops.waits, w, link);
		TAILQ_INSERT_TAIL(&c->ops.waits, w, link);
		if (flow)
			waits_flow(c, w);
		waits_settle(c, w, offer);
		if (cl->state == C_GREETED && cl->waits == NULL)
			login_greeted(c, cl);
	}
}

void answers_flow(struct core *c)
{
	bool offer = c->ops.hold_ms != 0 && c->ops.press == PRESS_NONE;

	ASSERT(c->ops.effect.group == 0);
	if (offer)
		c->ops.hold_ms = 0;
	answers_each(c, true, offer);
}

void answers_offer(struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	if (c->ops.hold_ms == 0 || c->now_ms < c->ops.hold_ms)
		return;
	if (c->ops.press != PRESS_NONE) {
		c->ops.hold_ms = c->now_ms + OFFER_MS;
		return;
	}
	c->ops.hold_ms = 0;
	answers_each(c, false, true);
}
