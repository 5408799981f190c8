/* publish: PUBLISH from a client: rights, retained, routing, acknowledgement, rate. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { REASON_NOBODY = 0x10, MS = 1000, V3_WINDOW_MIN = 1024 };

/* ---- the message --------------------------------------------------------------------- */

/* What is passed on: everything but what concerns this hop (expiry is counted down, aliases are
 * ours). */
static struct slice props_passed(struct core *c, const struct props *p)
{
	const u64 hop = 1ull << PROP_message_expiry | 1ull << PROP_topic_alias;
	struct props q;
	struct wr w;
	struct rd r;

	if ((p->has & hop) == 0)
		return p->has != 0 || p->user_count != 0 ? p->raw : SLICE_NONE;
	q = *p;
	q.has &= ~hop;
	if (q.has == 0 && q.user_count == 0)
		return SLICE_NONE;
	w = wr_of(core_scratch(c, p->raw.n + 8), p->raw.n + 8);
	props_encode(&w, &q);
	ASSERT(w.err == E_OK);
	r = rd_of(wr_done(&w));
	rd_vbi(&r);
	return rd_rest(&r);
}

static void msg_of_publish(struct core *c, const struct client *cl, const struct pkt_publish *p,
			   struct msg *m)
{
	const struct session *s = cl->session;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(s != NULL);
	*m = (struct msg){.magic = MSG_MAGIC,
			  .topic = p->topic.s,
			  .payload = p->payload,
			  .from = {c->shard, s->slot, s->gen},
			  .qos = p->qos,
			  .retain = p->retain};
	if (cl->version != MQTT_5)
		return;
	m->props = props_passed(c, &p->props);
	if (PROP_HAS(&p->props, PROP_message_expiry))
		m->expires_ms = MAX(c->now_ms + (u64)p->props.message_expiry * MS, 1u);
}

/* SPEC MQTT-3.3.1-5, -6: retained replaces, empty clears. */
static enum err publish_retain(struct core *c, struct msg **m, const struct topic *t,
			       struct who *author, u32 retained_max)
{
	struct retained_log log = record_retained(c);
	struct msg *kept;
	enum err e;

	ASSERT((*m)->retain);
	if ((*m)->payload.n == 0) {
		retained_clear(&c->hub->retained, t, &log);
		return E_OK;
	}
	kept = msg_keep(m);
	if (kept == NULL)
		return E_NOMEM;
	e = retained_set(&c->hub->retained, t, kept, author, retained_max, &log);
	msg_unref(&kept);
	return e;
}

enum err publish_effect(struct core *c, struct msg **m, const struct topic *t, struct who *author,
			u32 retained_max, u32 *receivers)
{
	enum err e = E_OK;

	ASSERT((*m)->magic == MSG_MAGIC);
	ASSERT(slice_eq((*m)->topic, t->s));
	*receivers = 0;
	if ((*m)->retain)
		e = publish_retain(c, m, t, author, retained_max);
	if (e == E_OK)
		*receivers = route(c, m, t);
	return e;
}

/* ---- the answer ---------------------------------------------------------------------- */

/* The effect is complete.  The answer waits until all of it is on disk, here and on other shards.
 */
static void publish_answer(struct core *c, struct client *cl, const struct pkt_publish *p,
			   enum err e, u32 receivers)
{
	bool v5 = cl->version == MQTT_5;
	u8 reason = e != E_OK ? err_reason(e) : receivers == 0 ? REASON_NOBODY : 0;
	struct session *s = cl->session;
	u64 ticket;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	/* SPEC MQTT-4.3.3-9: a refused one is over; 3.x cannot be told and goes on. */
	if (p->qos == 2 && (e == E_OK || !v5) && pids_add(&s->in, p->packet_id) &&
	    s->durable != NULL)
		record_pid(c, s, p->packet_id, true);
	ticket = effect_end(c);
	if (p->qos == 1)
		answer_ack(c, cl, ticket, PKT_PUBACK, p->packet_id, v5 ? reason : 0);
	else if (p->qos == 2)
		answer_ack(c, cl, ticket, PKT_PUBREC, p->packet_id, v5 ? reason : 0);
}

static void publish_watched(struct core *c, const struct client *cl, const struct msg *m,
			    u32 receivers)
{
	struct core_event e;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (!atomic_load_explicit(&cl->session->who->pr->watched, memory_order_relaxed))
		return;
	e = event_of_client(cl, EV_PUBLISH, E_OK);
	e.topic = m->topic;
	e.qos = m->qos;
	e.bytes = (u32)m->payload.n;
	e.receivers = receivers;
	event_emit(c, &e);
}

static void publish_accept(struct core *c, struct client *cl, const struct pkt_publish *p)
{
	struct session *s = cl->session;
	struct msg own, *m = &own;
	u32 receivers = 0;
	enum err e = E_DENIED;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(s != NULL);
	msg_of_publish(c, cl, p, &own);
	effect_begin(c);
	if (judge_publish(s->who, &p->topic, p->qos, p->retain) == ALLOW)
		e = publish_effect(c, &m, &p->topic, s->who, s->lim->v.retained_identity,
				   &receivers);
	if (e == E_DENIED) {
		c->stats.denied_publish++;
		s->denied++;
		event_denied(c, s, ACT_PUBLISH, p->topic.s, e);
	} else if (e != E_OK) {
		c->stats.dropped++;
		event_session(c, s, EV_DROPPED, e, p->topic.s);
	} else {
		publish_watched(c, cl, m, receivers);
	}
	publish_answer(c, cl, p, e, receivers);
	if (m != &own)
		msg_unref(&m);
}

/* More unacknowledged QoS 2 messages than was agreed; 3.x was never told a number. */
static bool window_full(const struct client *cl)
{
	u32 most = client_limits(cl)->receive_maximum;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->session->in.n < most)
		return false;
	if (cl->version == MQTT_5 || cl->session->in.n >= V3_WINDOW_MIN)
		return true;
	quirk(cl->session, QUIRK_window_large);
	return false;
}

static enum err publish_check(struct client *cl, struct pkt_publish *p)
{
	const struct core_limits *l = client_limits(cl);
	bool v5 = cl->version == MQTT_5;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (v5 && !limits_user_properties(l, &p->props))
		return E_TOO_LARGE;
	/* SPEC MQTT-3.2.2-14: CONNACK said so. */
	if (v5 && p->retain && l->retained_identity == 0)
		return E_NO_RETAIN;
	if (p->qos > cl->listener->features.maximum_qos)
		return E_QOS; /* CONNACK said so, to MQTT 5; 3 cannot be answered otherwise */
	return v5 && PROP_HAS(&p->props, PROP_topic_alias) ? alias_resolve(cl, p) : E_OK;
}

static void publish_charge(struct core *c, struct client *cl, size_t bytes)
{
	u64 until = rate_charge(cl->session->who->pr, client_limits(cl), bytes, c->now_ms);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (until == 0)
		return;
	cl->resume_ms = until;
	client_pause(c, cl, P_RATE);
	client_arm(c, cl);
}

/* Would something of it have to be stored? */
static bool publish_is_durable(struct core *c, const struct client *cl, const struct pkt_publish *p)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	return p->retain || (p->qos == 2 && cl->session->durable != NULL) ||
	       (p->qos != 0 && route_is_durable(c, &p->topic));
}

/* The disk is full, or far behind.  Who can be told so is refused, who cannot waits; what nobody
 * acknowledges is dropped.  False: it goes on as always. */
static bool publish_held(struct core *c, struct client *cl, const struct pkt_publish *p)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (c->ops.press == PRESS_NONE || !publish_is_durable(c, cl, p))
		return false;
	if (c->ops.press == PRESS_SLOW || cl->version != MQTT_5) {
		c->again = true;
		answers_hold(c, cl);
		return true;
	}
	c->stats.dropped++;
	event_session(c, cl->session, EV_DROPPED, E_QUOTA, p->topic.s);
	effect_begin(c);
	publish_answer(c, cl, p, E_QUOTA, 0);
	return true;
}

void on_publish(struct core *c, struct client *cl, const struct frame *f, struct slice body)
{
	NOINIT struct pkt_publish p;
	enum err e = pkt_publish_decode(f, (enum mqtt_version)cl->version, FROM_CLIENT, body, &p);
	bool again;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (e == E_OK)
		e = publish_check(cl, &p);
	again = e == E_OK && p.qos == 2 && pids_has(&cl->session->in, p.packet_id);
	if (e == E_OK && p.qos == 2 && !again && window_full(cl))
		e = E_RECEIVE_MAX;
	if (e != E_OK) {
		client_end(c, cl, e);
		return;
	}
	if (UNLIKELY(c->ops.press != PRESS_NONE) && !again && publish_held(c, cl, &p))
		return;
	if (UNLIKELY(p.dup || again))
		quirks_publish(cl, &p, again);
	cl->msgs_in++;
	c->stats.msgs_in++;
	if (again) /* SPEC MQTT-4.3.3-10 */
		answer_ack(c, cl, 0, PKT_PUBREC, p.packet_id, 0);
	else
		publish_accept(c, cl, &p);
	publish_charge(c, cl, body.n);
}
