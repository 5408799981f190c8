/* will: what a client wants said when it goes without a goodbye.  Judged when it is announced,
 * whenever rights change, and again with the rights of the moment when it is said (I09). */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { MS = 1000, VBI_MOST = 4 };

/* The properties of the message that it becomes, without their length. */
static struct slice will_props(const struct props *p, u8 **own)
{
	struct props q = *p;
	struct wr w;
	struct rd r;

	*own = NULL;
	q.has &= ~(1ull << PROP_message_expiry | 1ull << PROP_will_delay);
	if (q.has == 0 && q.user_count == 0)
		return SLICE_NONE;
	*own = xmalloc(p->raw.n + VBI_MOST);
	w = wr_of(*own, p->raw.n + VBI_MOST);
	props_encode(&w, &q);
	ASSERT(w.err == E_OK);
	r = rd_of(wr_done(&w));
	rd_vbi(&r);
	return rd_rest(&r);
}

/* Shares author.  NULL when memory is out. */
struct will *will_new(const struct pkt_connect *p, struct who *author, u32 delay_max_s)
{
	struct msg view = {.magic = MSG_MAGIC,
			   .topic = p->will.topic.s,
			   .payload = p->will.payload,
			   .qos = p->will.qos,
			   .retain = p->will.retain};
	struct msg *m = &view, *kept;
	struct will *w = xcalloc(1, sizeof(*w));
	u8 *own = NULL;

	if (p->version == MQTT_5) {
		view.props = will_props(&p->will.props, &own);
		if (PROP_HAS(&p->will.props, PROP_will_delay))
			w->delay_s = MIN(p->will.props.will_delay, delay_max_s);
		w->expires = PROP_HAS(&p->will.props, PROP_message_expiry);
		w->expiry_s = w->expires ? p->will.props.message_expiry : 0;
	}
	kept = msg_keep(&m);
	ASSERT(kept != NULL); /* a CONNECT is small */
	msg_unref(&kept);     /* one reference is enough */
	ASSERT(atomic_load(&m->refs) == 1);
	w->m = m;
	w->author = who_ref(author);
	free(own);
	return w;
}

/* Shares author.  NULL: it has none, or one that was damaged. */
struct will *will_restore(const struct store_will *x, struct who *author)
{
	struct msg view = {.magic = MSG_MAGIC,
			   .topic = x->m.topic,
			   .props = x->m.props,
			   .payload = x->m.payload,
			   .qos = x->m.qos,
			   .retain = x->m.retain};
	struct msg *m = &view, *kept;
	struct topic t;
	struct will *w;

	if (x->m.topic.n == 0 || topic_parse(x->m.topic, &t) != E_OK || x->m.qos > 2)
		return NULL;
	kept = msg_keep(&m);
	ASSERT(kept != NULL);
	msg_unref(&kept);
	w = xcalloc(1, sizeof(*w));
	w->m = m;
	w->author = who_ref(author);
	w->delay_s = x->delay_s;
	w->expiry_s = x->expiry_s;
	w->expires = x->expires;
	w->number = x->m.number;
	ASSERT(atomic_load(&m->refs) == 1);
	return w;
}

void will_free(struct will **wp)
{
	struct will *w = *wp;

	*wp = NULL;
	ASSERT(w->m != NULL);
	ASSERT(w->author != NULL);
	msg_unref(&w->m);
	who_unref(&w->author);
	free(w);
}

static enum verdict will_judge(const struct will *w, struct topic *t)
{
	enum err e = topic_parse(w->m->topic, t);

	ASSERT(e == E_OK);
	return judge_publish(w->author, t, w->m->qos, w->m->retain);
}

static void will_denied(struct core *c, struct session *s)
{
	ASSERT(s->will != NULL);
	c->stats.denied_publish++;
	event_session(c, s, EV_WILL, E_DENIED, s->will->m->topic);
}

void will_fire(struct core *c, struct session *s)
{
	ASSERT(s->will != NULL);
	effect_begin(c);
	will_say(c, s);
	effect_end(c);
}

void will_say(struct core *c, struct session *s)
{
	struct will *w = s->will;
	struct topic t;
	u32 receivers;
	enum err e;

	ASSERT(w != NULL);
	s->will_ms = UINT64_MAX;
	if (will_judge(w, &t) == ALLOW) {
		/* Nobody else has it yet, so it may still be given its time. */
		if (w->expires)
			w->m->expires_ms = MAX(c->now_ms + (u64)w->expiry_s * MS, 1u);
		w->m->from = (struct handle){c->shard, s->slot, s->gen};
		e = publish_effect(c, &w->m, &t, w->author, s->lim->v.retained_identity,
				   &receivers);
		event_session(c, s, EV_WILL, e, w->m->topic);
		/* It is said whatever the rate; what comes after it has to wait for it. */
		(void)rate_charge(w->author->pr, &s->lim->v, w->m->payload.n, c->now_ms);
	} else {
		will_denied(c, s);
	}
	record_will_said(c, s, w->number);
	will_free(&s->will);
}

void will_rejudge(struct core *c, struct session *s)
{
	struct topic t;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->will == NULL || will_judge(s->will, &t) == ALLOW)
		return;
	will_denied(c, s);
	s->will_ms = UINT64_MAX;
	record_will_said(c, s, s->will->number);
	will_free(&s->will);
}
