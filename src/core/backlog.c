/* backlog: the queue of a session that the store knows.
 *
 * Every message gets a sequence and is put on disk.  Of a session with a connection the window and
 * a short read-ahead are in memory as well, always the front of the queue; what does not fit is on
 * disk only and is read when there is room.  Of one that is away nothing is in memory.
 *
 * All up to in_memory is in memory or gone, on_disk is the last that is on disk only: while it is
 * the higher one the session is behind, and what comes new goes to disk only.  During a reading
 * that may be the last one, what comes new is kept behind a gap; if it was the last, the gap is
 * closed. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum {
	PURGE_EVERY_MS = 10000,
};

bool session_is_here(const struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	return s->client != NULL && s->client->state == C_LIVE;
}

bool backlog_is_behind(const struct durable *d)
{
	ASSERT(d->on_disk <= d->seq);
	return d->on_disk > d->in_memory;
}

/* What waits from before the start is charged as a whole when it has been counted. */
bool backlog_charges(const struct core *c, const struct durable *d, u64 seq)
{
	ASSERT(seq <= d->seq);
	return !d->uncounted || seq > store_sequence(c->hub->o.store_epoch);
}

/* ---- what is on disk only, as it is charged ------------------------------------------ */

void disk_charge(struct session *s, u32 n, u64 bytes)
{
	struct durable *d = s->durable;

	ASSERT(n <= UINT32_MAX - d->disk_n);
	ASSERT(d->disk_bytes <= UINT64_MAX - bytes);
	d->disk_n += n;
	d->disk_bytes += bytes;
	atomic_fetch_add_explicit(&s->who->pr->queued_bytes, bytes, memory_order_relaxed);
}

/* Never below none: what waits from before a start may be counted late. */
void disk_uncharge(struct session *s, u32 n, u64 bytes)
{
	struct durable *d = s->durable;

	d->disk_n -= MIN(d->disk_n, n);
	bytes = d->disk_n == 0 ? d->disk_bytes : MIN(d->disk_bytes, bytes);
	d->disk_bytes -= bytes;
	ASSERT(atomic_fetch_sub_explicit(&s->who->pr->queued_bytes, bytes, memory_order_relaxed) >=
	       bytes);
	ASSERT(d->disk_n != 0 || d->disk_bytes == 0);
}

void backlog_uncharge(struct session *s)
{
	ASSERT(s->durable != NULL);
	disk_uncharge(s, s->durable->disk_n, s->durable->disk_bytes);
}

u32 backlog_count(const struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	return s->queue_n + (s->durable != NULL ? s->durable->disk_n : 0);
}

u64 backlog_bytes(const struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	return s->queue_bytes + (s->durable != NULL ? s->durable->disk_bytes : 0);
}

static bool has_room(const struct session *s, u64 bytes, u32 over)
{
	const struct core_limits *l = &s->lim->v;
	bool online = s->client != NULL;
	u64 n = backlog_count(s);

	ASSERT(s->durable != NULL);
	return n < (online ? l->queue_messages : l->offline_messages) + (u64)over &&
	       backlog_bytes(s) + bytes <= (online ? l->queue_bytes : l->offline_bytes) &&
	       identity_has_room(s, bytes);
}

bool backlog_has_room(const struct session *s, u64 bytes)
{
	ASSERT(bytes != 0);
	return has_room(s, bytes, 0);
}

void backlog_purge(struct core *c, struct session *s, u64 after)
{
	struct store_op *op = ops_add(c, SO_PURGE);

	ASSERT(s->durable != NULL);
	op->group = 0;
	op->sid = s->durable->sid;
	op->seq = after;
	op->slot = s->slot;
	op->gen = s->gen;
}

/* What has expired makes room when the store comes to it; one message may stand in for that. */
static bool make_room(struct core *c, struct session *s)
{
	struct durable *d = s->durable;

	bool known = d->expires_ms != 0 && c->now_ms >= d->expires_ms;
	bool perhaps = (d->old || d->purge_ms != 0) && c->now_ms >= d->purge_ms;

	ASSERT(d != NULL);
	if (s->client != NULL || !(known || perhaps))
		return false;
	d->purge_ms = c->now_ms + PURGE_EVERY_MS;
	d->expires_ms = 0;
	backlog_purge(c, s, 0);
	return has_room(s, 0, 1);
}

/* ---- leaving the disk ---------------------------------------------------------------- */

void backlog_delete(struct core *c, struct session *s, u64 seq)
{
	struct store_op *op = ops_add(c, SO_QUEUE_DEL);

	ASSERT(seq != 0);
	op->sid = s->durable->sid;
	op->seq = seq;
	ASSERT(op->sid != 0);
}

static void entry_gone(struct core *c, struct session *s, u64 seq, u16 at)
{
	ASSERT(s->durable != NULL);
	if (seq != 0 && !ops_take_back(c, at, s->durable->sid, seq))
		backlog_delete(c, s, seq);
}

void backlog_gone(struct core *c, struct session *s, const struct flight *x)
{
	ASSERT(x->seq != 0);
	entry_gone(c, s, x->seq, x->at);
}

static u64 entry_release(struct core *c, struct session *s, u64 seq)
{
	struct store_op *op = ops_add(c, SO_QUEUE_RELEASE);

	ASSERT(seq != 0);
	ASSERT(s->durable != NULL);
	op->sid = s->durable->sid;
	op->seq = seq;
	return ops_now(c);
}

u64 backlog_released(struct core *c, struct session *s, const struct flight *x)
{
	ASSERT(x->qos == 2);
	return entry_release(c, s, x->seq);
}

void backlog_dropped(struct core *c, struct session *s, const struct msg *m, enum store_drop why,
		     enum err e)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	if (why == DROP_DENIED)
		c->stats.denied_delivery++;
	else
		session_dropped(c, s, m, e);
	record_dropped(c, s, why);
}

/* No flight has this identifier.  As a rule they are so close together that it takes a look at them
 * all only when identifiers come round. */
static bool pid_free(struct session *s, u64 seq)
{
	struct durable *d = s->durable;
	bool is_free = true;

	if (s->out.n == 0)
		d->low = d->high = seq;
	if (MAX(seq, d->high) - MIN(seq, d->low) < UINT16_MAX)
		return true;
	d->low = d->high = seq;
	for (u32 i = 0; i < s->out.n; i++) {
		const struct flight *x = flights_at(&s->out, i);
		is_free &= x->pid != sequence_pid(seq);
		d->low = MIN(d->low, x->seq);
		d->high = MAX(d->high, x->seq);
	}
	ASSERT(d->low <= seq && seq <= d->high);
	return is_free;
}

static struct flight *flight_add(struct session *s, u64 seq)
{
	struct durable *d = s->durable;
	struct flight *x = flights_add(&s->out);

	ASSERT(s->out.sent + 1 == s->out.n);
	s->out.sent++;
	d->low = s->out.n == 1 ? seq : MIN(d->low, seq);
	d->high = s->out.n == 1 ? seq : MAX(d->high, seq);
	return x;
}

bool backlog_was_sent(const struct queued *q)
{
	ASSERT(q->seq != 0 || !q->dup);
	return q->dup && q->qos == 2;
}

void backlog_release(struct core *c, struct session *s, u64 seq, u64 ticket)
{
	struct flight *x = flight_add(s, seq);

	ASSERT(s->durable != NULL);
	*x = (struct flight){.seq = seq, .pid = sequence_pid(seq), .at = AT_NONE, .qos = 2};
	answer_ack(c, s->client, ticket, PKT_PUBREL, x->pid, 0);
}

void backlog_lost(struct core *c, struct session *s, const struct queued *q, enum store_drop why,
		  enum err e)
{
	ASSERT(q->m != NULL);
	if (q->seq == 0) { /* a retained message that was not its turn yet */
		c->stats.denied_delivery += why == DROP_DENIED;
		return;
	}
	backlog_dropped(c, s, q->m, why, e);
	if (backlog_was_sent(q))
		backlog_release(c, s, q->seq, entry_release(c, s, q->seq));
	else
		entry_gone(c, s, q->seq, q->at);
}

/* ---- coming to it -------------------------------------------------------------------- */

/* Describe the next sequence as an entry; the message is kept. */
static void entry_put(struct core *c, struct session *s, struct msg *m, const struct delivery *d,
		      struct queued *q)
{
	struct durable *du = s->durable;
	struct store_op *op = ops_add(c, SO_QUEUE_PUT);
	struct store_batch *b = ops_batch(c);
	struct store_queued *r = store_batch_bytes(b, sizeof(*r));
	size_t ids = d->ids != NULL ? (d->ids[0] + 1) * sizeof(u32) : 0;

	ASSERT(d->qos != 0);
	q->seq = ++du->seq;
	if (d->sub != 0)
		strand_disk_put(du, q->seq);
	q->ticket = b->serial;
	q->at = ops_last(c);
	*r = (struct store_queued){.sid = du->sid,
				   .seq = q->seq,
				   .m = store_msg_of(c, m, d->number),
				   .state = SQ_QUEUED,
				   .qos = d->qos,
				   .retain = d->retain,
				   .sub = d->sub};
	if (ids != 0)
		r->ids = memcpy(store_batch_bytes(b, ids), d->ids, ids);
	op->sid = r->sid;
	op->seq = r->seq;
	op->queued = r;
	ops_keep(c, op, m);
	if (m->expires_ms != 0 && (du->expires_ms == 0 || m->expires_ms < du->expires_ms))
		du->expires_ms = m->expires_ms;
	ASSERT(q->seq > store_sequence(c->hub->o.store_epoch));
}

/* Is there room for it in memory, next to what is there? */
static bool goes_ahead(const struct core *c, const struct session *s, u64 bytes)
{
	const struct durable *d = s->durable;

	ASSERT(d != NULL);
	if (!session_is_here(s) || s->queue_n >= AHEAD_MESSAGES ||
	    s->queue_bytes + bytes > AHEAD_BYTES || c->ops.ahead_bytes > AHEAD_TOTAL)
		return false;
	return !backlog_is_behind(d) || (d->reading && !d->uncounted && d->disk_n < AHEAD_MESSAGES);
}

/* In memory behind all others; NULL: no memory is left, it is on disk only. */
struct queued *ahead_add(struct core *c, struct session *s, struct msg *m,
			 const struct queued *like)
{
	struct queued *q = pool_get(&c->queued_pool);

	ASSERT(like->seq != 0);
	if (q == NULL)
		return NULL;
	*q = *like;
	q->m = msg_ref(m);
	queue_charge(s, q, true);
	c->ops.ahead_bytes += msg_bytes(m);
	return q;
}

static void backlog_accept(struct core *c, struct session *s, struct msg *m,
			   const struct delivery *d)
{
	struct durable *du = s->durable;
	struct queued like = {.qos = d->qos, .retain = d->retain, .sub = d->sub}, *q = NULL;
	bool ahead = goes_ahead(c, s, msg_bytes(m)), behind = backlog_is_behind(du);

	ASSERT(!d->replay);
	entry_put(c, s, m, d, &like);
	if (ahead)
		q = ahead_add(c, s, m, &like);
	if (q == NULL) {
		du->on_disk = du->seq;
		disk_charge(s, 1, msg_bytes(m));
		return;
	}
	q->ids = ids_copy(d->ids);
	STAILQ_INSERT_TAIL(&s->queue, q, link);
	if (!behind)
		du->in_memory = du->seq;
	ASSERT(behind == backlog_is_behind(du));
}

void backlog_deliver(struct core *c, struct session *s, const struct delivery *d)
{
	u64 bytes = msg_bytes(*d->m);
	struct msg *kept;

	ASSERT(s->durable != NULL);
	if (d->replay) {
		if (session_is_here(s))
			queue_replay(c, s, d);
		backlog_pump(c, s);
		return;
	}
	if (!backlog_has_room(s, bytes) && !make_room(c, s)) {
		backlog_dropped(c, s, *d->m, DROP_QUOTA, E_QUOTA);
		return;
	}
	kept = msg_keep(d->m);
	if (kept == NULL) {
		backlog_dropped(c, s, *d->m, DROP_QUOTA, E_NOMEM);
		return;
	}
	backlog_accept(c, s, kept, d);
	msg_unref(&kept);
	backlog_pump(c, s);
	if (d->sub != 0 && backlog_count(s) != 0)
		strand(c, s);
}

/* ---- going out ----------------------------------------------------------------------- */

/* A retained message gets its sequence when it is its turn, and is on disk from then on. */
static void replay_put(struct core *c, struct session *s, struct queued *q)
{
	struct durable *du = s->durable;
	struct delivery d = {.m = &q->m, .qos = q->qos, .retain = q->retain, .ids = q->ids};
	u64 group = c->ops.effect.group;
	bool behind = backlog_is_behind(du);

	ASSERT(q->replay && q->seq == 0);
	c->ops.effect.group = 0; /* it is no part of what goes on */
	entry_put(c, s, q->m, &d, q);
	c->ops.effect.group = group;
	if (!behind)
		du->in_memory = du->seq;
}

/* The first of the queue that is not a retained message of QoS 2 with unread ones before it: what
 * is under way at QoS 2 is the front of the queue, so that after a crash no identifier is used
 * before it is known what it meant. */
static struct queued *backlog_first(struct session *s)
{
	const struct durable *d = s->durable;
	struct queued *q = STAILQ_FIRST(&s->queue);

	while (q != NULL && q->replay && q->qos == 2 && q->seq == 0 && backlog_is_behind(d)) {
		if (s->queue_n == 0)
			return NULL;
		STAILQ_REMOVE_HEAD(&s->queue, link);
		STAILQ_INSERT_TAIL(&s->queue, q, link);
		q = STAILQ_FIRST(&s->queue);
	}
	ASSERT(q == NULL || q->qos <= 2);
	return q;
}

/* May the first of the queue go? */
static bool backlog_flows(struct core *c, struct session *s)
{
	struct durable *d = s->durable;
	struct queued *q = backlog_first(s);

	ASSERT(d != NULL);
	if (q == NULL || !output_has_room(s))
		return false;
	if (q->qos == 0)
		return true;
	if (s->out.n >= session_window(s))
		return false;
	if (q->seq == 0)
		replay_put(c, s, q);
	if ((!q->replay && q->seq > d->in_memory) || !pid_free(s, q->seq))
		return false;
	/* Its identifier has to mean the same message after a crash. */
	if (q->qos == 2 && !ops_done(&c->ops, q->ticket)) {
		ops_wake(c, d);
		return false;
	}
	return true;
}

static void send_flight(struct core *c, struct session *s, struct queued *q, struct outgoing *o)
{
	struct durable *d = s->durable;
	struct flight *x = flight_add(s, q->seq);

	ASSERT(q->qos != 0 && q->seq != 0);
	*x = (struct flight){.m = msg_ref(q->m),
			     .ids = q->ids,
			     .seq = q->seq,
			     .pid = o->pid,
			     .at = q->at,
			     .sub = q->sub,
			     .qos = q->qos,
			     .retain = q->retain};
	q->ids = NULL;
	d->sending = MAX(d->sending, q->seq);
	if (!publish_send(c, s->client, &x->m, o))
		UNREACHABLE("a kept message is there");
	ASSERT(s->out.sent == s->out.n);
}

static void send_first(struct core *c, struct session *s)
{
	struct queued *q = STAILQ_FIRST(&s->queue);
	struct delivery d = {.m = &q->m, .qos = q->qos, .retain = q->retain, .ids = q->ids};
	struct outgoing o = {.first = publish_first(q->qos, q->retain, q->dup),
			     .pid = q->qos != 0 ? sequence_pid(q->seq) : 0,
			     .ids = q->ids};
	bool expired = msg_expired(q->m, c->now_ms) && !q->dup;

	ASSERT(q->qos == 0 || q->seq != 0);
	STAILQ_REMOVE_HEAD(&s->queue, link);
	if (q->qos == 0 && expired) {
		session_dropped(c, s, q->m, E_TIMEOUT);
	} else if (q->qos == 0) {
		send_plain(c, s, &d);
	} else if (!expired && fits_client(c, s, q->m, &o)) {
		send_flight(c, s, q, &o);
	} else {
		backlog_lost(c, s, q, expired ? DROP_EXPIRED : DROP_TOO_LARGE,
			     expired ? E_TIMEOUT : E_TOO_LARGE);
	}
	queued_free(c, s, q);
}

void backlog_pump(struct core *c, struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	if (!session_is_here(s))
		return;
	while (backlog_flows(c, s))
		send_first(c, s);
	ahead_want(c, s);
	if (s->shares)
		shared_report(c, s);
	ASSERT(s->out.sent == s->out.n);
}

/* ---- here and away ------------------------------------------------------------------- */

void backlog_here(struct core *c, struct session *s)
{
	struct durable *d = s->durable;

	ASSERT(s->out.n == 0 && STAILQ_EMPTY(&s->queue));
	ASSERT(!d->reading && d->sending == 0);
	strand_disk_stop(d);
	d->in_memory = d->on_disk = 0;
	if (d->old || d->seq != store_sequence(c->hub->o.store_epoch))
		d->on_disk = d->seq; /* for all that is known */
	backlog_pump(c, s);
}

/* A retained message that has not been sent was for this connection alone. */
void backlog_away(struct core *c, struct session *s)
{
	struct durable *d = s->durable;
	struct queued *q;

	ASSERT(s->client == NULL);
	while ((q = STAILQ_FIRST(&s->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->queue, link);
		if (q->replay)
			entry_gone(c, s, q->seq, q->at);
		else if (backlog_charges(c, d, q->seq))
			disk_charge(s, 1, msg_bytes(q->m));
		queued_free(c, s, q);
	}
	for (u32 i = 0; i < s->out.n; i++) {
		const struct flight *x = flights_at(&s->out, i);
		if (backlog_charges(c, d, x->seq))
			disk_charge(s, 1, x->m != NULL ? msg_bytes(x->m) : 0);
	}
	flights_clear(&s->out);
	d->sent = MAX(d->sent, d->sending);
	d->sending = 0;
	d->on_disk = d->seq;
	d->reading = false;
	d->read_token++;
	ops_wake_end(c, d);
}
