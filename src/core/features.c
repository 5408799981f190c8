/* features: what a listener does not serve of MQTT, and what it tells a client to begin with.
 *
 * CONNACK says what is missing; a client of MQTT 5 that asks for it all the same breaks the
 * protocol, one of 3 could not know and is refused that one thing where the protocol can. */
#include "core/impl.h"

static const struct core_features *features(const struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	return &cl->listener->features;
}

/* SPEC MQTT-3.2.2-9 and sections 3.2.2.3.11 to 3.2.2.3.13: what is not said is there. */
void features_connack(const struct client *cl, struct props *q)
{
	const struct core_features *f = features(cl);

	ASSERT(f->maximum_qos <= 2);
	if (f->maximum_qos < 2) {
		q->has |= 1ull << PROP_maximum_qos;
		q->maximum_qos = f->maximum_qos;
	}
	if (!f->wildcards) {
		q->has |= 1ull << PROP_wildcard_available;
		q->wildcard_available = 0;
	}
	if (!f->shared) {
		q->has |= 1ull << PROP_shared_available;
		q->shared_available = 0;
	}
	if (!f->subscription_ids) {
		q->has |= 1ull << PROP_subscription_id_available;
		q->subscription_id_available = 0;
	}
}

enum err features_filter(const struct client *cl, const struct filter *f)
{
	const struct core_features *have = features(cl);

	ASSERT(f->nlevel > 0);
	if (!have->shared && f->share.n != 0)
		return E_NO_SHARED;
	return !have->wildcards && (f->hash || f->plus_mask != 0) ? E_NO_WILDCARD : E_OK;
}

enum err features_subscribe(const struct client *cl, const struct pkt_subscribe *p)
{
	const struct core_features *have = features(cl);
	struct pkt_subscribe copy = *p;
	struct sub_entry e;
	enum err err = E_OK;

	if (cl->version != MQTT_5 || (have->shared && have->wildcards && have->subscription_ids))
		return E_OK;
	if (!have->subscription_ids && PROP_HAS(&p->props, PROP_subscription_id))
		return E_NO_SUB_ID;
	while (err == E_OK && sub_next(&copy, &e))
		err = e.err == E_OK ? features_filter(cl, &e.filter) : E_OK;
	ASSERT(p->count > 0);
	return err;
}

/* ---- Response Information ------------------------------------------------------------------ */

static void put_placeholder(struct wr *w, struct slice value)
{
	/* What is more than one level, or none, would be a topic of somebody else. */
	if (value.n == 0 || memchr(value.p, '/', value.n) != NULL)
		w->err = E_TOPIC;
	wr_slice(w, value);
}

static void expand(struct wr *w, const char *text, const struct grant *g, const struct who *who)
{
	static const char device[] = "{device}", client_id[] = "{clientid}";

	OBJ_CHECK(who, WHO_MAGIC);
	while (*text != '\0') {
		if (strncmp(text, device, sizeof(device) - 1) == 0) {
			put_placeholder(w, g->name);
			text += sizeof(device) - 1;
		} else if (strncmp(text, client_id, sizeof(client_id) - 1) == 0) {
			put_placeholder(w, who->client_id);
			text += sizeof(client_id) - 1;
		} else {
			wr_u8(w, (u8)*text++);
		}
	}
}

/* SPEC MQTT-3.1.2-28: only who asks gets one; and only who may subscribe to all below it, since to
 * others it would be a promise that is not kept. */
struct slice features_response(const struct client *cl, const struct pkt_connect *p, u8 *buf,
			       size_t cap)
{
	const struct who *who = cl->session->who;
	const struct grant *g = principal_grant(who->pr);
	struct wr w = wr_of(buf, cap);
	struct slice topic;
	struct filter f;
	bool clear;

	ASSERT(cap > 2);
	if (!PROP_HAS(&p->props, PROP_request_response_info) ||
	    p->props.request_response_info == 0 || features(cl)->response_topic[0] == '\0')
		return SLICE_NONE;
	expand(&w, features(cl)->response_topic, g, who);
	wr_slice(&w, SLICE_LIT("/#"));
	if (w.err != E_OK || filter_parse(wr_done(&w), &f) != E_OK || f.plus_mask != 0 ||
	    judge_subscribe(who, &f, 0, &clear) != ALLOW)
		return SLICE_NONE;
	topic = wr_done(&w);
	return slice_of(topic.p, topic.n - 2);
}
