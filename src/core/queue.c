/* queue: from "this session gets this message" to bytes: straight out, into the window, or to wait.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { FLAG_DUP = 8, FLAG_RETAIN = 1, QOS_SHIFT = 1 };

u32 *ids_copy(const u32 *ids)
{
	u32 *copy;

	if (ids == NULL)
		return NULL;
	ASSERT(ids[0] > 0);
	copy = xmalloc((ids[0] + 1) * sizeof(u32));
	memcpy(copy, ids, (ids[0] + 1) * sizeof(u32));
	return copy;
}

u8 publish_first(u8 qos, bool retain, bool dup)
{
	return (u8)(PKT_PUBLISH << 4 | (dup ? FLAG_DUP : 0) | qos << QOS_SHIFT |
		    (retain ? FLAG_RETAIN : 0));
}

/* Counted by name; said at every doubling, not at every message. */
void session_dropped(struct core *c, struct session *s, const struct msg *m, enum err why)
{
	c->stats.dropped++;
	s->dropped++;
	if ((s->dropped & (s->dropped - 1)) == 0)
		event_session(c, s, EV_DROPPED, why, m->topic);
}

bool output_has_room(const struct session *s)
{
	return s->client != NULL && s->client->out.bytes < s->lim->v.output_buffer;
}

u32 session_window(const struct session *s)
{
	ASSERT(s->client->receive_max != 0);
	return s->client->receive_max;
}

/* SPEC MQTT-3.1.2-24, -25: what is too large for the client is as if delivered. */
bool fits_client(const struct core *c, const struct session *s, const struct msg *m,
		 const struct outgoing *o)
{
	u64 size = publish_size(c, s->client, m, o);

	ASSERT(s->client != NULL);
	return size != 0 && size <= s->client->max_packet;
}

void send_plain(struct core *c, struct session *s, const struct delivery *d)
{
	struct outgoing o = {.first = publish_first(0, d->retain, false), .ids = d->ids};

	ASSERT(d->qos == 0);
	if (!fits_client(c, s, *d->m, &o))
		session_dropped(c, s, *d->m, E_TOO_LARGE);
	else if (!publish_send(c, s->client, d->m, &o))
		session_dropped(c, s, *d->m, E_NOMEM);
}

/* Is something before it, or no window for it? */
static bool must_wait(const struct session *s, u8 qos)
{
	return !STAILQ_EMPTY(&s->queue) || s->out.sent != s->out.n ||
	       (qos != 0 && s->out.n >= session_window(s));
}

/* Into the window.  ids is taken. */
static void send_flight(struct core *c, struct session *s, const struct delivery *d, u32 *ids)
{
	struct outgoing o = {.first = publish_first(d->qos, d->retain, false), .ids = ids};
	bool fits;
	struct msg *kept;
	struct flight *x;

	ASSERT(s->out.sent == s->out.n);
	o.pid = 1; /* any: the size is the same */
	fits = fits_client(c, s, *d->m, &o);
	kept = fits ? msg_keep(d->m) : NULL;
	if (kept == NULL) {
		session_dropped(c, s, *d->m, fits ? E_NOMEM : E_TOO_LARGE);
		free(ids);
		return;
	}
	o.pid = session_pid(s);
	x = flights_add(&s->out);
	*x = (struct flight){.m = kept,
			     .ids = ids,
			     .pid = o.pid,
			     .sub = d->sub,
			     .qos = d->qos,
			     .retain = d->retain};
	s->out.sent++;
	/* It is kept, so sending it takes no memory that could be missing. */
	if (!publish_send(c, s->client, d->m, &o))
		UNREACHABLE("a kept message is there");
}

/* ---- waiting ------------------------------------------------------------------------- */

/* All sessions of an identity together may hold what one of them may.  Those without a name are no
 * identity: one of them must not use up what is there for the others. */
bool identity_has_room(const struct session *s, u64 bytes)
{
	const struct principal *pr = s->who->pr;
	const struct grant *g = principal_grant(pr);

	OBJ_CHECK(s, SESSION_MAGIC);
	if (g != NULL && g->kind == WHO_ANONYMOUS)
		return true;
	return atomic_load_explicit(&pr->queued_bytes, memory_order_relaxed) + bytes <=
	       MAX(s->lim->v.queue_bytes, s->lim->v.offline_bytes);
}

static bool queue_has_room(const struct core *c, const struct session *s, const struct delivery *d)
{
	const struct core_limits *l = &s->lim->v;
	u64 bytes = msg_bytes(*d->m);
	bool online = s->client != NULL;

	if (d->replay)
		return s->replay_n < c->hub->o.retained_total;
	return s->queue_n < (online ? l->queue_messages : l->offline_messages) &&
	       s->queue_bytes + bytes <= (online ? l->queue_bytes : l->offline_bytes) &&
	       identity_has_room(s, bytes);
}

void queue_charge(struct session *s, const struct queued *q, bool in)
{
	struct principal *pr = s->who->pr;
	u64 bytes = msg_bytes(q->m);

	ASSERT(in || (q->replay ? s->replay_n : s->queue_n) > 0);
	if (q->replay) {
		s->replay_n += in ? 1 : UINT32_MAX;
		return;
	}
	s->queue_n += in ? 1 : UINT32_MAX;
	ASSERT(in || s->queue_bytes >= bytes);
	s->queue_bytes = in ? s->queue_bytes + bytes : s->queue_bytes - bytes;
	ASSERT((s->queue_n == 0) == (s->queue_bytes == 0));
	if (in)
		atomic_fetch_add_explicit(&pr->queued_bytes, bytes, memory_order_relaxed);
	else
		ASSERT(atomic_fetch_sub_explicit(&pr->queued_bytes, bytes, memory_order_relaxed) >=
		       bytes);
}

void queued_free(struct core *c, struct session *s, struct queued *q)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	queue_charge(s, q, false);
	if (s->durable != NULL && !q->replay) {
		ASSERT(c->ops.ahead_bytes >= msg_bytes(q->m));
		c->ops.ahead_bytes -= msg_bytes(q->m);
	}
	msg_unref(&q->m);
	free(q->ids);
	if (q->author != NULL)
		who_unref(&q->author);
	pool_put(&c->queued_pool, q);
}

/* What has expired makes room for what has not; the oldest as a rule expire first, so the search
 * ends at the first that lives. */
static void queue_drop_expired(struct core *c, struct session *s)
{
	struct queued *q;

	OBJ_CHECK(s, SESSION_MAGIC);
	while ((q = STAILQ_FIRST(&s->queue)) != NULL && msg_expired(q->m, c->now_ms)) {
		STAILQ_REMOVE_HEAD(&s->queue, link);
		session_dropped(c, s, q->m, E_TIMEOUT);
		queued_free(c, s, q);
	}
}

static void queue_put(struct core *c, struct session *s, const struct delivery *d)
{
	struct queued *q;
	struct msg *kept;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (!queue_has_room(c, s, d))
		queue_drop_expired(c, s);
	if (!queue_has_room(c, s, d)) {
		session_dropped(c, s, *d->m, E_QUOTA);
		return;
	}
	kept = msg_keep(d->m);
	q = kept != NULL ? pool_get(&c->queued_pool) : NULL;
	if (q == NULL) {
		session_dropped(c, s, *d->m, E_NOMEM);
		if (kept != NULL)
			msg_unref(&kept);
		return;
	}
	ASSERT(d->qos != 0 || d->replay);
	ASSERT((d->author != NULL) == d->replay);
	q->m = kept;
	q->ids = ids_copy(d->ids);
	q->sub = d->sub;
	q->qos = d->qos;
	q->retain = d->retain;
	q->replay = d->replay;
	q->author = d->author != NULL ? who_ref(d->author) : NULL;
	queue_charge(s, q, true);
	STAILQ_INSERT_TAIL(&s->queue, q, link);
	if (q->sub != 0)
		strand(c, s);
}

void queue_replay(struct core *c, struct session *s, const struct delivery *d)
{
	ASSERT(d->replay);
	ASSERT(s->client != NULL);
	queue_put(c, s, d);
}

/* Keep those that keep() says yes to. */
static void queue_filter(struct core *c, struct session *s,
			 bool (*keep)(struct core *c, struct session *s, const struct queued *q))
{
	OBJ_CHECK(s, SESSION_MAGIC);
	struct queue_list kept = STAILQ_HEAD_INITIALIZER(kept);
	struct queued *q;

	while ((q = STAILQ_FIRST(&s->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->queue, link);
		if (keep(c, s, q))
			STAILQ_INSERT_TAIL(&kept, q, link);
		else
			queued_free(c, s, q);
	}
	ASSERT(STAILQ_EMPTY(&s->queue));
	STAILQ_CONCAT(&s->queue, &kept);
}

static bool keep_none(struct core *c, struct session *s, const struct queued *q)
{
	return false;
}

static bool keep_durable(struct core *c, struct session *s, const struct queued *q)
{
	return q->qos != 0 && !q->replay;
}

static bool keep_allowed(struct core *c, struct session *s, const struct queued *q)
{
	struct topic t;
	enum err e = topic_parse(q->m->topic, &t);

	ASSERT(e == E_OK);
	if (judge_deliver(s->who, &t, q->qos, q->retain) == ALLOW &&
	    (q->author == NULL || judge_publish(q->author, &t, q->m->qos, true) == ALLOW))
		return true;
	if (!backlog_was_sent(q) && strand_denied(c, s, q))
		return false;
	if (s->durable != NULL)
		backlog_lost(c, s, q, DROP_DENIED, E_DENIED);
	else
		c->stats.denied_delivery++;
	return false;
}

void queue_clear(struct core *c, struct session *s)
{
	queue_filter(c, s, keep_none);
	ASSERT(s->queue_n == 0);
	ASSERT(s->queue_bytes == 0);
}

void queue_away(struct core *c, struct session *s)
{
	if (s->durable != NULL)
		backlog_away(c, s);
	else
		queue_filter(c, s, keep_durable);
	ASSERT(s->replay_n == 0);
}

void queue_rejudge(struct core *c, struct session *s)
{
	queue_filter(c, s, keep_allowed);
}

/* ---- for those who choose a receiver (shared.c) ------------------------------------------ */

enum standing session_standing(const struct session *s)
{
	const struct core_limits *l;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (!session_is_here(s))
		return STAND_AWAY;
	l = &s->lim->v;
	if (!output_has_room(s) || backlog_count(s) > l->queue_messages / 2 ||
	    backlog_bytes(s) > l->queue_bytes / 2)
		return STAND_STUCK;
	if (s->durable != NULL && backlog_is_behind(s->durable))
		return STAND_BUSY;
	return must_wait(s, 1) ? STAND_BUSY : STAND_READY;
}

bool session_takes(struct core *c, struct session *s, const struct delivery *d)
{
	struct outgoing o = {.pid = d->qos != 0, .ids = d->ids};
	u64 size = s->client != NULL ? publish_size(c, s->client, *d->m, &o) : 1;

	ASSERT(!d->replay);
	if (size == 0 || (s->client != NULL && size > s->client->max_packet))
		return false;
	if (d->qos == 0)
		return output_has_room(s);
	if (s->durable != NULL)
		return backlog_has_room(s, msg_bytes(*d->m));
	if (s->client != NULL && output_has_room(s) && !must_wait(s, d->qos))
		return true;
	if (!queue_has_room(c, s, d))
		queue_drop_expired(c, s);
	return queue_has_room(c, s, d);
}

/* ---- delivering ---------------------------------------------------------------------- */

void session_deliver(struct core *c, struct session *s, const struct delivery *d)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	ASSERT(d->qos <= 2);
	if (UNLIKELY(s->durable != NULL) && (d->qos != 0 || d->replay)) {
		backlog_deliver(c, s, d);
		return;
	}
	if (s->client == NULL) {
		if (d->qos != 0 && !d->replay)
			queue_put(c, s, d);
		return;
	}
	if (d->qos == 0 && !d->replay) {
		if (s->client->state != C_LIVE)
			return; /* it has not been told yet that it is connected */
		if (output_has_room(s))
			send_plain(c, s, d);
		else
			session_dropped(c, s, *d->m, E_QUOTA);
		return;
	}
	if (!output_has_room(s) || must_wait(s, d->qos))
		queue_put(c, s, d);
	else if (d->qos == 0)
		send_plain(c, s, d);
	else
		send_flight(c, s, d, ids_copy(d->ids));
}

static void queue_send_first(struct core *c, struct session *s)
{
	struct queued *q = STAILQ_FIRST(&s->queue);
	struct delivery d = {
		.m = &q->m, .qos = q->qos, .retain = q->retain, .sub = q->sub, .ids = q->ids};

	OBJ_CHECK(s, SESSION_MAGIC);
	ASSERT(q != NULL);
	STAILQ_REMOVE_HEAD(&s->queue, link);
	if (msg_expired(q->m, c->now_ms)) {
		session_dropped(c, s, q->m, E_TIMEOUT);
	} else if (q->qos == 0) {
		send_plain(c, s, &d);
	} else {
		send_flight(c, s, &d, q->ids);
		q->ids = NULL;
	}
	queued_free(c, s, q);
}

/* SPEC MQTT-4.4.0-1: again with its identifier; the PUBLISH with DUP. */
static void flight_resend(struct core *c, struct session *s, struct flight *x)
{
	struct outgoing o = {
		.first = publish_first(x->qos, x->retain, true), .pid = x->pid, .ids = x->ids};

	if (x->m == NULL) {
		ack_send(c, s->client, PKT_PUBREL, x->pid, 0);
		return;
	}
	if (!publish_send(c, s->client, &x->m, &o))
		UNREACHABLE("a kept message is there");
}

static void flights_pump(struct core *c, struct session *s)
{
	ASSERT(s->client->session == s);
	while (s->out.sent < s->out.n && s->out.sent < session_window(s) && output_has_room(s))
		flight_resend(c, s, flights_at(&s->out, s->out.sent++));
}

static bool queue_flows(const struct session *s)
{
	const struct queued *q = STAILQ_FIRST(&s->queue);

	return q != NULL && output_has_room(s) &&
	       (q->qos == 0 || (s->out.n < session_window(s) && s->out.sent == s->out.n));
}

void session_pump(struct core *c, struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	if (UNLIKELY(s->durable != NULL)) {
		backlog_pump(c, s);
		return;
	}
	flights_pump(c, s);
	while (queue_flows(s))
		queue_send_first(c, s);
	if (UNLIKELY(s->shares))
		shared_report(c, s);
}

/* May and can the client still have what was under way? */
static bool flight_allowed(struct core *c, struct session *s, const struct flight *x)
{
	struct outgoing o = {.pid = x->pid, .ids = x->ids};
	struct topic t;
	enum err e;

	if (!fits_client(c, s, x->m, &o)) {
		session_dropped(c, s, x->m, E_TOO_LARGE);
		return false;
	}
	e = topic_parse(x->m->topic, &t);
	ASSERT(e == E_OK);
	if (judge_deliver(s->who, &t, x->qos, x->retain) == ALLOW)
		return true;
	c->stats.denied_delivery++;
	return false;
}

/* One of QoS 2 that may have arrived has to be released all the same: the client remembers its
 * identifier. */
static bool flight_stays(struct core *c, struct session *s, struct flight *x)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	if (x->m == NULL || flight_allowed(c, s, x))
		return true;
	if (x->qos != 2) {
		struct queued like = {.m = x->m, .sub = x->sub};
		(void)strand_denied(c, s, &like);
		return false;
	}
	ASSERT(x->m != NULL);
	msg_unref(&x->m);
	return true;
}

void session_rejudge_waiting(struct core *c, struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	queue_rejudge(c, s);
	if (s->client == NULL)
		return; /* its next connection asks for those that were under way */
	for (u32 i = s->out.sent; i < s->out.n;) {
		struct flight *x = flights_at(&s->out, i);
		if (flight_stays(c, s, x))
			i++;
		else
			flights_remove(&s->out, x);
	}
}

/* A session goes on with a new connection. */
void session_resend(struct core *c, struct session *s)
{
	ASSERT(s->client != NULL);
	if (s->durable != NULL) {
		backlog_here(c, s);
		return;
	}
	s->out.sent = 0;
	session_rejudge_waiting(c, s);
	session_pump(c, s);
}
