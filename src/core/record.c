/* record: what a shard holds, as records of the store: sessions, subscriptions, identifiers,
 * retained messages.  Written when a client comes and goes, never for a message. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

/* ---- time ---------------------------------------------------------------------------- */

u64 store_now(const struct core *c)
{
	ASSERT(ops_on(c));
	return MAX(c->now_ms + c->hub->o.store_offset_ms, 1u); /* 0 says: not */
}

/* Without a store the clock is this process' own. */
u64 kept_now(const struct core *c)
{
	return ops_on(c) ? store_now(c) : c->now_ms;
}

u64 store_time_of(const struct core *c, u64 ms)
{
	ASSERT(ops_on(c));
	return ms != 0 ? MAX(ms + c->hub->o.store_offset_ms, 1u) : 0;
}

/* What is longer ago than this process is as good as its first millisecond. */
u64 time_of_store(const struct core *c, u64 store_ms)
{
	i64 ms = (i64)(store_ms - c->hub->o.store_offset_ms);

	ASSERT(ops_on(c));
	if (store_ms == 0)
		return 0;
	return ms > 0 ? (u64)ms : 1;
}

struct store_msg store_msg_of(const struct core *c, const struct msg *m, u64 number)
{
	ASSERT(m->magic == MSG_MAGIC);
	ASSERT(m->topic.n != 0);
	return (struct store_msg){.number = number,
				  .topic = m->topic,
				  .props = m->props,
				  .payload = m->payload,
				  .expires_ms = store_time_of(c, m->expires_ms),
				  .qos = m->qos,
				  .retain = m->retain};
}

/* ---- sessions ------------------------------------------------------------------------ */

static struct durable *durable_new(struct session *s, u64 sid, u64 epoch)
{
	struct durable *d = xcalloc(1, sizeof(*d));

	ASSERT(s->durable == NULL);
	ASSERT(sid != 0);
	d->session = s;
	d->sid = sid;
	d->seq = d->in_memory = store_sequence(epoch);
	d->drop_at = AT_NONE;
	s->durable = d;
	return d;
}

void record_begin(struct core *c, struct session *s)
{
	struct durable *d = durable_new(s, ops_number(c, NUMBER_SESSION), c->hub->o.store_epoch);

	OBJ_CHECK(s, SESSION_MAGIC);
	d->created_ms = store_now(c);
	ASSERT(d->created_ms != 0);
}

void record_restore(struct core *c, struct session *s, const struct store_session *x)
{
	struct durable *d = durable_new(s, x->sid, c->hub->o.store_epoch);

	ASSERT(x->sid >> 40 < c->hub->o.store_epoch);
	d->created_ms = x->created_ms;
	d->old = d->uncounted = true;
	d->on_disk = d->seq;
	/* Where the last connection broke with the process nobody knows how far it had come. */
	d->sent = x->away_ms != 0 ? x->sent : d->seq;
	memcpy(d->dropped, x->dropped, sizeof(d->dropped));
	ASSERT(map_put(&c->ops.uncounted, slice_of(&d->sid, sizeof(d->sid)), d) == NULL);
}

static struct store_will will_record(struct core *c, struct session *s)
{
	struct store_batch *b = ops_batch(c);
	struct will *w = s->will;
	struct store_will r = {0};

	if (w == NULL)
		return r;
	ASSERT(w->m != NULL);
	if (w->number == 0)
		w->number = ops_number(c, NUMBER_SESSION);
	r.m = store_msg_of(c, w->m, w->number);
	r.m.expires_ms = 0;
	r.m.topic = store_batch_copy(b, r.m.topic);
	r.m.props = store_batch_copy(b, r.m.props);
	r.m.payload = store_batch_copy(b, r.m.payload);
	r.delay_s = w->delay_s;
	r.expiry_s = w->expiry_s;
	r.expires = w->expires;
	return r;
}

/* Inside an epoch. */
void record_put(struct core *c, struct session *s)
{
	const struct durable *d = s->durable;
	const struct grant *g = principal_grant(s->who->pr);
	const struct who *w = s->who;
	struct store_op *op = ops_add(c, SO_SESSION_PUT);
	struct store_batch *b = ops_batch(c);
	struct store_session *r = store_batch_bytes(b, sizeof(*r));

	ASSERT(d != NULL && d->sid != 0);
	ASSERT(g != NULL);
	op->sid = d->sid;
	op->session = r;
	*r = (struct store_session){.sid = d->sid,
				    .identity_id = w->pr->id,
				    .identity = store_batch_copy(b, g->name),
				    .client_id = store_batch_copy(b, w->client_id),
				    .username = store_batch_copy(b, w->username),
				    .cert_cn = store_batch_copy(b, w->cert_cn),
				    .cert_san = store_batch_copy(b, w->cert_san),
				    .listener = store_batch_copy(b, w->listener),
				    .tls = w->tls,
				    .version = s->version,
				    .kind = g->kind,
				    .expiry_s = s->expiry_s,
				    .away_ms = s->client == NULL ? store_now(c) : 0,
				    .sent = d->sent,
				    .created_ms = d->created_ms,
				    .will = will_record(c, s)};
	memcpy(r->addr, w->addr, sizeof(r->addr));
}

void record_forget(struct core *c, struct session *s)
{
	struct durable *d = s->durable;

	ASSERT(d->session == s);
	ops_wake_end(c, d);
	backlog_uncharge(s);
	if (d->uncounted)
		ASSERT(map_del(&c->ops.uncounted, slice_of(&d->sid, sizeof(d->sid))) == d);
	s->durable = NULL;
	strand_disk_free(d);
	free(d);
}

void record_end(struct core *c, struct session *s, enum record_end how)
{
	u64 sid = s->durable->sid;

	ASSERT(s->client == NULL);
	ASSERT(sid != 0);
	if (ops_now(c) == 0)
		how = END_NOW; /* there is nothing to wait for */
	if (how == END_NOW)
		ops_add(c, SO_SESSION_DEL)->sid = sid;
	record_forget(c, s);
	s->home->session = NULL;
	ops_ended(c, &s->home, how == END_NOW ? 0 : sid);
}

/* ---- what belongs to them ------------------------------------------------------------ */

void record_sub(struct core *c, const struct session *s, u32 i, u8 retain_handling)
{
	const struct sub *b = s->subs[i];
	struct store_op *op = ops_add(c, SO_SUB_PUT);
	struct store_sub *r = store_batch_bytes(ops_batch(c), sizeof(*r));

	ASSERT(s->durable != NULL);
	ASSERT(b != NULL);
	op->sid = s->durable->sid;
	op->seq = i;
	op->sub = r;
	*r = (struct store_sub){.sid = s->durable->sid,
				.sub = i,
				.filter = store_batch_copy(ops_batch(c), sub_text(b)),
				.id = b->id,
				.qos = b->granted,
				.no_local = b->no_local,
				.retain_as_published = b->retain_as_published,
				.retain_handling = retain_handling};
}

void record_unsub(struct core *c, const struct session *s, u32 i)
{
	struct store_op *op = ops_add(c, SO_SUB_DEL);

	ASSERT(s->durable != NULL);
	op->sid = s->durable->sid;
	op->seq = i;
	ASSERT(op->sid != 0);
}

void record_pid(struct core *c, const struct session *s, u16 pid, bool in)
{
	struct store_op *op = ops_add(c, in ? SO_PID_PUT : SO_PID_DEL);

	ASSERT(s->durable != NULL);
	ASSERT(pid != 0);
	op->sid = s->durable->sid;
	op->seq = pid;
}

void record_will_said(struct core *c, const struct session *s, u64 number)
{
	struct store_op *op;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->durable == NULL || number == 0)
		return;
	op = ops_add(c, SO_WILL_DEL);
	op->sid = s->durable->sid;
	op->seq = number;
	ASSERT(op->sid != 0);
}

/* Drops of one kind that come one after the other are one operation. */
void record_dropped(struct core *c, struct session *s, enum store_drop why)
{
	struct durable *d = s->durable;
	struct store_batch *b = ops_batch(c);
	u64 group = c->ops.effect.group;
	struct store_op *op;

	ASSERT(why < DROP_KINDS);
	ASSERT(d != NULL);
	d->dropped[why]++;
	if (d->drop_at < b->n) {
		op = &b->op[d->drop_at];
		if (op->kind == SO_DROPPED && op->sid == d->sid && op->seq == why &&
		    op->group == group) {
			op->count++;
			c->ops.effect.ticket = b->serial;
			return;
		}
	}
	op = ops_add(c, SO_DROPPED);
	op->sid = d->sid;
	op->seq = why;
	op->count = 1;
	d->drop_at = ops_last(c);
}

/* ---- retained messages --------------------------------------------------------------- */

static void retained_put(struct core *c, const struct retained *e)
{
	const struct who *w = e->author;
	const struct grant *g = principal_grant(w->pr);
	struct store_op *op = ops_add(c, SO_RETAIN_PUT);
	struct store_batch *b = ops_batch(c);
	struct store_retained *r = store_batch_bytes(b, sizeof(*r));

	ASSERT(g != NULL);
	ASSERT(e->number != 0);
	op->sid = e->number;
	op->group = 0; /* its order is that of the tree's lock: it waits for nobody */
	op->retained = r;
	ops_keep(c, op, e->m);
	*r = (struct store_retained){.number = e->number,
				     .m = store_msg_of(c, e->m, 0),
				     .identity_id = w->pr->id,
				     .identity = store_batch_copy(b, g->name),
				     .client_id = store_batch_copy(b, w->client_id),
				     .username = store_batch_copy(b, w->username),
				     .cert_cn = store_batch_copy(b, w->cert_cn),
				     .cert_san = store_batch_copy(b, w->cert_san),
				     .listener = store_batch_copy(b, w->listener),
				     .tls = w->tls,
				     .stored_ms = e->stored_ms};
	memcpy(r->addr, w->addr, sizeof(r->addr));
}

/* Under the tree's lock. */
static void retained_change(void *arg, const struct retained *put, const struct retained *gone)
{
	struct core *c = arg;
	struct store_op *op;

	OBJ_CHECK(c, CORE_MAGIC);
	ASSERT(put != NULL || gone != NULL);
	if (put != NULL)
		retained_put(c, put);
	if (gone == NULL)
		return;
	op = ops_add(c, SO_RETAIN_DEL);
	op->sid = gone->number;
	op->group = 0;
}

/* What was changed is submitted before anybody else can change it. */
static void retained_changed(void *arg)
{
	struct core *c = arg;

	OBJ_CHECK(c, CORE_MAGIC);
	ASSERT(ops_on(c));
	if (c->ops.batch != NULL && c->ops.live != 0)
		ops_submit(c);
}

struct retained_log record_retained(struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	if (!ops_on(c))
		return (struct retained_log){.now_ms = kept_now(c)};
	return (struct retained_log){retained_change, retained_changed, c, store_now(c)};
}
