/* publish: PUBLISH (section 3.3), the packet that has to be fast. */
#include "wire/codec.h"

/* The topic name, or none with an alias to stand for it. */
static void publish_topic(struct rd *r, struct slice name, enum mqtt_version v,
			  struct pkt_publish *out)
{
	out->topic_absent = v == MQTT_5 && name.n == 0;
	if (!out->topic_absent) {
		rd_fail(r, topic_parse(name, &out->topic));
		return;
	}
	SPEC("MQTT-3.3.2-1");
	if (!PROP_HAS(&out->props, PROP_topic_alias))
		rd_fail(r, E_PROTO);
}

enum err pkt_publish_decode(const struct frame *f, enum mqtt_version v, enum peer_side side,
			    struct slice body, struct pkt_publish *out)
{
	struct rd r = rd_of(body);
	struct slice name = rd_bin(&r);

	ASSERT(f->type == PKT_PUBLISH);
	out->dup = (f->flags & 8) != 0;
	out->qos = f->flags >> 1 & 3;
	out->retain = (f->flags & 1) != 0;
	SPEC("MQTT-3.3.1-2");
	if (out->qos == 0 && out->dup)
		return E_MALFORM;
	SPEC("MQTT-2.2.1-2");
	out->packet_id = out->qos != 0 ? rd_packet_id(&r) : 0;
	if (v == MQTT_5)
		props_decode(&r, PKT_PUBLISH, &out->props);
	else
		props_none(&out->props);
	SPEC("MQTT-3.3.4-6");
	if (side == FROM_CLIENT && PROP_HAS(&out->props, PROP_subscription_id))
		rd_fail(&r, E_PROTO);
	if (r.err != E_OK)
		return r.err;
	publish_topic(&r, name, v, out);
	out->payload = rd_rest(&r);
	return r.err;
}

static void publish_write(struct wr *w, enum mqtt_version v, const struct pkt_publish *p)
{
	wr_str(w, p->topic_absent ? SLICE_NONE : p->topic.s);
	if (p->qos != 0)
		wr_u16(w, p->packet_id);
	if (v == MQTT_5)
		props_encode(w, &p->props);
	wr_slice(w, p->payload);
}

void pkt_publish_encode(struct wr *w, enum mqtt_version v, const struct pkt_publish *p)
{
	struct wr n = wr_count();
	u8 first = (u8)(PKT_PUBLISH << 4 | p->dup << 3 | p->qos << 1 | p->retain);

	ASSERT(p->qos <= 2);
	publish_write(&n, v, p);
	if (wr_frame(w, first, &n))
		publish_write(w, v, p);
}
