/* ahead: reading the front of a queue from disk, a little more than the window takes.
 *
 * What is read is judged then: what has expired, or may not be had any more, leaves the disk and is
 * counted.  See backlog.c for how memory and disk meet. */
#include <stdlib.h>

#include "core/impl.h"

/* ---- asking -------------------------------------------------------------------------- */

void ahead_want(struct core *c, struct session *s)
{
	struct durable *d = s->durable;
	u64 left = AHEAD_TOTAL - MIN(c->ops.ahead_bytes, (u64)AHEAD_TOTAL);
	struct store_op *op;

	ASSERT(d != NULL);
	if (d->reading || !backlog_is_behind(d) || s->queue_n > AHEAD_MESSAGES / 2 ||
	    s->queue_bytes > AHEAD_BYTES / 2)
		return;
	op = ops_add(c, SO_READ);
	op->group = 0;
	op->sid = d->sid;
	op->seq = d->in_memory;
	op->slot = s->slot;
	op->gen = ++d->read_token;
	op->count = AHEAD_MESSAGES - MIN(s->queue_n, AHEAD_MESSAGES / 2u);
	op->bytes = (u32)MAX(MIN(left / 16, (u64)AHEAD_BYTES), (u64)AHEAD_BYTES_MIN);
	d->read_until = d->seq;
	d->reading = true;
}

/* ---- what was read ------------------------------------------------------------------- */

/* A retained message may be on its way although all before it is not. */
static bool is_known(const struct session *s, const struct queue_list *before, u64 seq)
{
	const struct queued *q;

	ASSERT(seq != 0);
	for (u32 i = 0; i < s->out.n; i++) {
		if (flights_at(&s->out, i)->seq == seq)
			return true;
	}
	STAILQ_FOREACH (q, before, link) {
		if (q->replay && q->seq == seq)
			return true;
	}
	STAILQ_FOREACH (q, &s->queue, link) {
		if (q->replay && q->seq == seq)
			return true;
	}
	return false;
}

static bool view_of(const struct core *c, const struct store_queued *r, struct msg *out,
		    struct topic *t)
{
	ASSERT(r->state == SQ_QUEUED);
	*out = (struct msg){.magic = MSG_MAGIC,
			    .topic = r->m.topic,
			    .props = r->m.props,
			    .payload = r->m.payload,
			    .expires_ms = time_of_store(c, r->m.expires_ms),
			    .qos = r->m.qos,
			    .retain = r->m.retain};
	return topic_parse(out->topic, t) == E_OK && r->qos != 0 && r->qos <= 2;
}

struct msg *ahead_message(struct core *c, struct session *s, const struct store_queued *r,
			  struct queued *like)
{
	struct msg view, *m = &view, *kept;
	struct topic t;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (!view_of(c, r, m, &t)) {
		record_dropped(c, s, DROP_DAMAGED);
		backlog_delete(c, s, r->seq);
		return NULL;
	}
	kept = msg_keep(&m);
	ASSERT(kept != NULL); /* it came from the disk: its size was a limit before */
	msg_unref(&kept);
	like->m = m;
	return m;
}

/* May it be had, as of now?  Else it is gone, and counted. */
static bool read_judge(struct core *c, struct session *s, struct msg *m, const struct queued *like)
{
	struct topic t;
	enum err e = topic_parse(m->topic, &t);

	ASSERT(e == E_OK);
	if (judge_deliver(s->who, &t, like->qos, like->retain) == ALLOW) {
		if (!msg_expired(m, c->now_ms) || like->dup)
			return true;
		backlog_lost(c, s, like, DROP_EXPIRED, E_TIMEOUT);
	} else if (backlog_was_sent(like) || !strand_denied(c, s, like)) {
		backlog_lost(c, s, like, DROP_DENIED, E_DENIED);
	}
	return false;
}

static void read_one(struct core *c, struct session *s, const struct store_queued *r,
		     struct queue_list *to)
{
	struct durable *d = s->durable;
	struct queued like = {.seq = r->seq,
			      .at = AT_NONE,
			      .sub = r->sub,
			      .qos = r->qos,
			      .retain = r->retain,
			      .dup = r->seq <= d->sent};
	struct queued *q;
	struct msg *m;

	ASSERT(r->sid == d->sid);
	d->in_memory = r->seq;
	if (is_known(s, to, r->seq))
		return;
	if (backlog_charges(c, d, r->seq))
		disk_uncharge(s, 1, sizeof(*m) + r->m.topic.n + r->m.props.n + r->m.payload.n);
	if (r->state == SQ_RELEASED) {
		backlog_release(c, s, r->seq, 0);
		return;
	}
	m = ahead_message(c, s, r, &like);
	if (m == NULL)
		return;
	q = read_judge(c, s, m, &like) ? ahead_add(c, s, m, &like) : NULL;
	if (q != NULL) {
		q->ids = ids_copy(r->ids);
		STAILQ_INSERT_TAIL(to, q, link);
	}
	msg_unref(&m);
}

/* What came during the reading cannot follow what was read: it is read itself, later. */
static void tail_drop(struct core *c, struct session *s, struct queue_list *tail,
		      struct queue_list *to)
{
	struct durable *d = s->durable;
	struct queued *q;

	while ((q = STAILQ_FIRST(tail)) != NULL) {
		STAILQ_REMOVE_HEAD(tail, link);
		if (q->replay) {
			STAILQ_INSERT_TAIL(to, q, link);
			continue;
		}
		ASSERT(q->seq > d->in_memory);
		d->on_disk = MAX(d->on_disk, q->seq);
		disk_charge(s, 1, msg_bytes(q->m));
		queued_free(c, s, q);
	}
}

/* The queue before the gap, what was read, and what came meanwhile. */
static void read_merge(struct core *c, struct session *s, const struct store_read *r)
{
	struct durable *d = s->durable;
	struct queue_list part = STAILQ_HEAD_INITIALIZER(part);
	struct queued *q;
	u64 gap = d->in_memory;

	ASSERT(r->after == gap);
	while ((q = STAILQ_FIRST(&s->queue)) != NULL && (q->replay || q->seq <= gap)) {
		STAILQ_REMOVE_HEAD(&s->queue, link);
		STAILQ_INSERT_TAIL(&part, q, link);
	}
	/* One that had to wait may have seen what came after it was asked for: that is in memory,
	 * or will be read. */
	for (u32 i = 0; i < r->n && r->queued[i].seq <= d->read_until; i++)
		read_one(c, s, &r->queued[i], &part);
	d->in_memory = r->end ? d->read_until : MIN(r->last, d->read_until);
	if (backlog_is_behind(d)) {
		tail_drop(c, s, &s->queue, &part);
	} else {
		d->in_memory = d->seq;
		disk_uncharge(s, d->disk_n, d->disk_bytes);
	}
	STAILQ_CONCAT(&part, &s->queue);
	STAILQ_CONCAT(&s->queue, &part);
}

/* Deleted by the store, which has counted them too. */
static void read_lost(struct core *c, struct session *s, u32 n, u64 bytes, enum store_drop why)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	disk_uncharge(s, n, bytes);
	s->durable->dropped[why] += n;
	s->dropped += n;
	ASSERT(why < DROP_KINDS);
	c->stats.dropped += n;
}

void ahead_read(struct core *c, const struct store_read *r)
{
	struct session *s = r->slot < c->slots_used ? c->slots[r->slot].s : NULL;
	struct durable *d = s != NULL ? s->durable : NULL;

	if (d == NULL || d->sid != r->sid)
		return; /* it has ended meanwhile */
	OBJ_CHECK(s, SESSION_MAGIC);
	ASSERT(r->damaged == 0 || !r->purge);
	read_lost(c, s, r->damaged, 0, DROP_DAMAGED);
	if (r->purge) {
		read_lost(c, s, r->gone, r->gone_bytes + r->gone * sizeof(struct msg),
			  DROP_EXPIRED);
		if (!r->end && s->client == NULL)
			backlog_purge(c, s, r->last);
		return;
	}
	if (strand_disk_is(d, r)) {
		strand_disk_read(c, s, r);
		return;
	}
	if (!d->reading || r->gen != d->read_token)
		return; /* of an older connection */
	d->reading = false;
	read_merge(c, s, r);
	backlog_pump(c, s);
}

/* ---- what waits from before the start ------------------------------------------------ */

static bool is_old(const struct core *c, u64 seq)
{
	return seq != 0 && seq <= store_sequence(c->hub->o.store_epoch);
}

/* Without those that are in memory already. */
void ahead_counted(struct core *c, const struct store_count *n)
{
	struct durable *d = map_del(&c->ops.uncounted, slice_of(&n->sid, sizeof(n->sid)));
	struct session *s = d != NULL ? d->session : NULL;
	u32 messages = n->messages;
	u64 bytes = n->bytes + (u64)n->messages * sizeof(struct msg);
	const struct queued *q;

	if (d == NULL)
		return; /* another shard's, or it has ended */
	ASSERT(d->uncounted);
	d->uncounted = false;
	if (session_is_here(s) && !backlog_is_behind(d))
		return;
	STAILQ_FOREACH (q, &s->queue, link) {
		if (is_old(c, q->seq)) {
			messages -= MIN(messages, 1u);
			bytes -= MIN(bytes, msg_bytes(q->m));
		}
	}
	for (u32 i = 0; i < s->out.n; i++)
		messages -= MIN(messages, (u32)is_old(c, flights_at(&s->out, i)->seq));
	disk_charge(s, messages, messages != 0 ? bytes : 0);
}
