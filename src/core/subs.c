/* subs: SUBSCRIBE and UNSUBSCRIBE; the subscriptions of a session and the retained messages that a
 * new one brings.  SUBACK tells the truth and leaves only after the index has been published. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { CODE_V3_FAILED = 0x80, CODE_NO_SUBSCRIPTION = 0x11, ACK_HEAD = 32, HOLE = UINT32_MAX };
enum { NOT_GRANTED = 0xff, SUB_NUMBERS = 1 << 24 };

static struct handle session_handle(const struct core *c, const struct session *s)
{
	ASSERT(s->core == c);
	return (struct handle){c->shard, s->slot, s->gen};
}

static u32 text_hash(const struct core *c, struct slice text)
{
	return (u32)hash_bytes(&c->hub->key, text.p, text.n);
}

struct slice sub_text(const struct sub *b)
{
	struct slice f = b->filter.s;

	ASSERT(f.p >= b->text);
	/* What was before the filter is "$share/NAME/"; both lie in text. */
	return slice_of(b->text, (size_t)(f.p - b->text) + f.n);
}

static u32 subs_find(const struct core *c, const struct session *s, struct slice text)
{
	u32 h = text_hash(c, text);

	ASSERT(s->subs_n <= s->subs_cap);
	OBJ_CHECK(s, SESSION_MAGIC);
	for (u32 i = 0; i < s->subs_cap; i++) {
		if (s->sub_hash[i] == h && s->subs[i] != NULL &&
		    slice_eq(sub_text(s->subs[i]), text))
			return i;
	}
	return HOLE;
}

static void subs_grow(struct session *s, u32 cap)
{
	ASSERT(cap > s->subs_cap);
	s->subs = xrealloc(s->subs, cap * sizeof(struct sub *));
	s->sub_hash = xrealloc(s->sub_hash, cap * sizeof(u32));
	for (u32 i = s->subs_cap; i < cap; i++)
		s->subs[i] = NULL;
	s->subs_cap = cap;
}

static u32 subs_hole(struct session *s)
{
	u32 n = s->subs_cap;

	OBJ_CHECK(s, SESSION_MAGIC);
	for (u32 i = s->subs_n == n ? n : 0; i < n; i++) {
		if (s->subs[i] == NULL && !strand_number_taken(s, i))
			return i;
	}
	ASSERT(s->subs_n <= n);
	subs_grow(s, n != 0 ? n * 2 : 1);
	return n;
}

static void subs_remove(struct core *c, struct session *s, u32 i)
{
	struct handle h = session_handle(c, s);

	ASSERT(s->subs[i] != NULL);
	ASSERT(s->subs_n > 0);
	ASSERT(c->stats.subscriptions > 0);
	if (s->subs[i]->filter.share.n != 0)
		strand_unsubscribes(c, s, i);
	index_remove(&c->hub->index, &s->subs[i]->filter, &h, s->subs[i]->place);
	free(s->subs[i]);
	s->subs[i] = NULL;
	s->subs_n--;
	ASSERT(atomic_fetch_sub(&s->who->pr->subscriptions, 1) > 0);
	c->stats.subscriptions--;
}

/* The store forgets it too. */
static void subs_forget(struct core *c, struct session *s, u32 i)
{
	ASSERT(i < s->subs_cap);
	subs_remove(c, s, i);
	if (s->durable != NULL)
		record_unsub(c, s, i);
}

void subs_drop_all(struct core *c, struct session *s)
{
	for (u32 i = 0; i < s->subs_cap; i++) {
		if (s->subs[i] != NULL)
			subs_remove(c, s, i);
	}
	ASSERT(s->subs_n == 0);
	free(s->subs);
	free(s->sub_hash);
	s->subs = NULL;
	s->sub_hash = NULL;
	s->subs_cap = 0;
}

/* The highest QoS, not above what is asked for, at which the filter is granted; or NOT_GRANTED. */
static u8 subs_judge(const struct session *s, const struct filter *f, u8 qos, bool *clear)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	for (u8 q = qos;; q--) {
		if (judge_subscribe(s->who, f, q, clear) == ALLOW)
			return q;
		if (q == 0)
			return NOT_GRANTED;
	}
}

/* What the rights of now leave of the subscriptions. */
void subs_rejudge(struct core *c, struct session *s)
{
	u64 serial = rights_serial(c->hub);

	OBJ_CHECK(s, SESSION_MAGIC);
	for (u32 i = 0; i < s->subs_cap; i++) {
		struct sub *b = s->subs[i];
		bool clear;
		u8 q;

		if (b == NULL)
			continue;
		q = subs_judge(s, &b->filter, b->granted, &clear);
		if (q == NOT_GRANTED) {
			event_denied(c, s, ACT_SUBSCRIBE, sub_text(b), E_DENIED);
			subs_forget(c, s, i);
			continue;
		}
		b->serial = serial;
		b->clear = clear && q == b->granted;
		b->qos = q;
	}
}

/* ---- SUBSCRIBE ----------------------------------------------------------------------- */

/* text has been parsed before. */
static struct sub *sub_new(struct slice text)
{
	struct sub *b = xcalloc(1, sizeof(*b) + text.n);
	enum err err;

	ASSERT(text.n != 0);
	memcpy(b->text, text.p, text.n);
	err = filter_parse(slice_of(b->text, text.n), &b->filter);
	ASSERT(err == E_OK);
	return b;
}

/* Everybody finds it from now on. */
static void subs_publish(struct core *c, struct session *s, u32 i)
{
	struct handle h = session_handle(c, s);
	struct sub *b = s->subs[i];

	ASSERT(b != NULL && b->place == 0);
	if (b->filter.share.n != 0) {
		s->shares = true;
		shared_report(c, s);
	}
	b->place = index_add(&c->hub->index, &b->filter, &h, i, s->durable != NULL);
	s->subs_n++;
	atomic_fetch_add(&s->who->pr->subscriptions, 1);
	c->stats.subscriptions++;
}

/* serial: of the rights under which qos and clear were judged, or older. */
static void subs_put(struct core *c, struct session *s, const struct sub_entry *e, u32 id, u8 qos,
		     bool clear, u64 serial, bool *is_new)
{
	u32 i = subs_find(c, s, e->raw);
	struct sub *b;

	OBJ_CHECK(s, SESSION_MAGIC);
	*is_new = i == HOLE;
	if (*is_new) {
		i = subs_hole(s);
		s->subs[i] = sub_new(e->raw);
		s->sub_hash[i] = text_hash(c, e->raw);
	}
	b = s->subs[i];
	ASSERT(b != NULL);
	ASSERT(qos <= 2);
	b->id = id;
	b->qos = b->granted = qos;
	b->no_local = e->no_local;
	b->retain_as_published = e->retain_as_published;
	b->clear = clear;
	b->serial = serial;
	if (s->durable != NULL)
		record_sub(c, s, i, e->retain_handling);
	if (!*is_new)
		return;
	subs_publish(c, s, i);
}

void subs_restore(struct core *c, struct session *s, const struct store_sub *x)
{
	struct filter f;
	struct sub *b;

	ASSERT(s->durable != NULL);
	if (x->sub >= SUB_NUMBERS || x->qos > 2 || filter_parse(x->filter, &f) != E_OK)
		return; /* what was damaged and not seen to be */
	if (x->sub >= s->subs_cap)
		subs_grow(s, x->sub + 1);
	ASSERT(s->subs[x->sub] == NULL);
	b = s->subs[x->sub] = sub_new(x->filter);
	s->sub_hash[x->sub] = text_hash(c, x->filter);
	b->id = x->id;
	b->qos = b->granted = x->qos;
	b->no_local = x->no_local;
	b->retain_as_published = x->retain_as_published;
	subs_publish(c, s, x->sub);
}

/* Of the session; and of all sessions of the identity together, unless nobody knows who that is. */
static bool subs_have_room(const struct session *s)
{
	enum { SESSIONS_FULL = 4 }; /* as many subscriptions as so many sessions may have */
	const struct principal *pr = s->who->pr;
	const struct grant *g = principal_grant(pr);
	u64 most = s->lim->v.subscriptions;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->subs_n >= most)
		return false;
	return (g != NULL && g->kind == WHO_ANONYMOUS) ||
	       atomic_load(&pr->subscriptions) < SESSIONS_FULL * most;
}

static enum err subscribe_one(struct core *c, struct session *s, const struct sub_entry *e, u32 id,
			      u8 *qos, bool *is_new)
{
	u64 serial = rights_serial(c->hub);
	u8 asked = MIN(e->qos, s->client->listener->features.maximum_qos);
	bool clear = false;
	enum err err = e->err;

	OBJ_CHECK(s, SESSION_MAGIC);
	*is_new = false;
	if (err == E_OK)
		err = features_filter(s->client, &e->filter);
	if (err != E_OK)
		return err;
	*qos = subs_judge(s, &e->filter, asked, &clear); /* SPEC MQTT-3.2.2-10 */
	if (*qos == NOT_GRANTED) {
		c->stats.denied_subscribe++;
		s->denied++;
		event_denied(c, s, ACT_SUBSCRIBE, e->raw, E_DENIED);
		return E_DENIED;
	}
	if (s->durable != NULL && c->ops.press == PRESS_FULL)
		return E_QUOTA;
	if (!subs_have_room(s) && subs_find(c, s, e->raw) == HOLE)
		return E_QUOTA;
	/* What was judged for a lower QoS holds for that one alone. */
	subs_put(c, s, e, id, *qos, clear && *qos == asked, serial, is_new);
	return E_OK;
}

struct replay {
	struct core *c;
	struct session *s;
	struct sub *b;
	u32 ids[2];
};

/* One retained message to a new subscriber: its author still may say it, the subscriber may hear
 * it. */
static bool replay_one(void *arg, const struct retained *e)
{
	struct replay *r = arg;
	struct msg *m = e->m;
	struct session *s = r->s;
	struct delivery d = {.m = &m,
			     .qos = MIN(m->qos, r->b->qos),
			     .retain = true,
			     .replay = true,
			     .author = e->author,
			     .ids = r->b->id != 0 ? r->ids : NULL};
	struct topic t;
	enum err err = topic_parse(m->topic, &t);

	ASSERT(err == E_OK);
	if (msg_expired(m, r->c->now_ms))
		return true;
	if (r->b->no_local && m->from.shard == r->c->shard && m->from.slot == s->slot &&
	    m->from.gen == s->gen)
		return true;
	if (judge_publish(e->author, &t, m->qos, true) != ALLOW ||
	    !sub_allows(r->c, s, r->b, &t, d.qos, true)) {
		r->c->stats.denied_delivery++;
		return true;
	}
	session_deliver(r->c, s, &d);
	return true;
}

/* Returns how many nodes it looked at. */
static u32 replay(struct core *c, struct session *s, const struct sub_entry *e, bool is_new)
{
	u32 i = subs_find(c, s, e->raw);
	struct replay r = {.c = c, .s = s};

	OBJ_CHECK(s, SESSION_MAGIC);
	if (i == HOLE || e->filter.share.n != 0)
		return 0;
	r.b = s->subs[i];
	r.ids[0] = 1;
	r.ids[1] = r.b->id;
	/* SPEC MQTT-3.3.1-9, -10, -11: handling 0 always, 1 for a new one, 2 never. */
	if (e->retain_handling == 2 || (e->retain_handling == 1 && !is_new))
		return 0;
	return retained_each(&c->hub->retained, &r.b->filter, replay_one, &r);
}

/* A change of the index costs no less than a message, so it is charged as one. */
static void subs_charge(struct core *c, struct client *cl, size_t bytes, u32 nodes)
{
	struct principal *pr = cl->session->who->pr;
	u64 until = rate_charge(pr, client_limits(cl), bytes, c->now_ms);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (nodes != 0)
		until = MAX(until, rate_charge_replay(pr, nodes, c->now_ms));
	if (until == 0)
		return;
	cl->resume_ms = MAX(cl->resume_ms, until);
	client_pause(c, cl, P_RATE);
	client_arm(c, cl);
}

static u8 suback_code(const struct client *cl, enum err e, u8 qos)
{
	if (e == E_OK)
		return qos;
	return cl->version == MQTT_5 ? err_reason(e) : CODE_V3_FAILED;
}

static void ack_codes(struct core *c, struct client *cl, enum pkt_type type, u16 pid,
		      struct slice codes)
{
	u64 ticket = cl->session->durable != NULL ? ops_now(c) : 0;
	struct wr w = answer_wr(c, cl, ticket, ACK_HEAD + codes.n);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	pkt_suback_encode(&w, (enum mqtt_version)cl->version, type, pid, codes);
	answer_done(c, cl, ticket, &w);
}

static bool user_properties_fit(const struct client *cl, const struct props *p)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	return cl->version != MQTT_5 || limits_user_properties(client_limits(cl), p);
}

/* Two bytes of scratch an entry: its code, and whether it is a new subscription. */
void on_subscribe(struct core *c, struct client *cl, const struct frame *f, struct slice body)
{
	struct session *s = cl->session;
	struct pkt_subscribe p, again;
	struct sub_entry e;
	u8 *codes, *fresh, qos = 0;
	u32 n = 0, id = 0, nodes = 0;
	enum err err = pkt_subscribe_decode(f, (enum mqtt_version)cl->version, body, &p);

	if (err == E_OK && !user_properties_fit(cl, &p.props))
		err = E_TOO_LARGE;
	if (err == E_OK)
		err = features_subscribe(cl, &p);
	if (err != E_OK) {
		client_end(c, cl, err);
		return;
	}
	if (s->durable != NULL && c->ops.press == PRESS_FULL && cl->version != MQTT_5) {
		c->again = true;
		answers_hold(c, cl);
		return;
	}
	if (cl->version == MQTT_5 && PROP_HAS(&p.props, PROP_subscription_id))
		id = p.props.subscription_id;
	codes = core_scratch(c, 2u * p.count);
	fresh = codes + p.count;
	for (again = p; sub_next(&p, &e); n++) {
		bool is_new = false;
		err = n < s->lim->v.filters_per_subscribe
			      ? subscribe_one(c, s, &e, id, &qos, &is_new)
			      : E_QUOTA;
		/* A denial was said already; of those beyond the limit the first stands for all. */
		if (err != E_DENIED && n <= s->lim->v.filters_per_subscribe)
			event_session(c, s, EV_SUBSCRIBE, err, e.raw);
		codes[n] = suback_code(cl, err, qos);
		fresh[n] = is_new;
	}
	ASSERT(n == again.count);
	ack_codes(c, cl, PKT_SUBACK, p.packet_id, slice_of(codes, n));
	for (n = 0; sub_next(&again, &e); n++) {
		if (codes[n] < CODE_V3_FAILED)
			nodes += replay(c, s, &e, fresh[n] != 0);
	}
	subs_charge(c, cl, body.n, nodes);
}

void on_unsubscribe(struct core *c, struct client *cl, const struct frame *f, struct slice body)
{
	struct session *s = cl->session;
	struct pkt_unsubscribe p;
	struct sub_entry e;
	u32 n = 0;
	u8 *codes;
	enum err err = pkt_unsubscribe_decode(f, (enum mqtt_version)cl->version, body, &p);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(s != NULL);
	if (err == E_OK && !user_properties_fit(cl, &p.props))
		err = E_TOO_LARGE;
	if (err == E_OK && p.count > s->lim->v.subscriptions)
		err = E_QUOTA; /* more than there can be: each is looked for among all */
	if (err != E_OK) {
		client_end(c, cl, err);
		return;
	}
	codes = core_scratch(c, p.count);
	for (; unsub_next(&p, &e); n++) {
		u32 i = subs_find(c, s, e.raw);
		codes[n] = i == HOLE ? CODE_NO_SUBSCRIPTION : 0;
		if (i != HOLE)
			subs_forget(c, s, i);
		else
			quirk(s, QUIRK_unsubscribe_unknown);
	}
	ack_codes(c, cl, PKT_UNSUBACK, p.packet_id,
		  cl->version == MQTT_5 ? slice_of(codes, n) : SLICE_NONE);
	subs_charge(c, cl, body.n, 0);
}
