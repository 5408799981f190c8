/* subscribe: SUBSCRIBE, UNSUBSCRIBE and their answers (sections 3.8 to 3.11). */
#include "wire/codec.h"

enum {
	O_QOS = 0x03,
	O_NO_LOCAL = 0x04,
	O_RETAIN_AS_PUBLISHED = 0x08,
	O_RETAIN_HANDLING = 0x30,
	O_RESERVED = 0xc0,
	RETAIN_HANDLING_SHIFT = 4,
	FAILURE_31 = 0x80, /* the only refusal in a SUBACK of 3.1.1 */
};

/* A filter that is not one is its entry's error, bytes that are no string are the packet's. */
static void entry_filter(struct rd *r, struct sub_entry *out)
{
	out->raw = rd_bin(r);
	out->err = r->err == E_OK ? filter_parse(out->raw, &out->filter) : r->err;
	if (out->err == E_UTF8)
		rd_fail(r, E_UTF8);
}

static void entry_options(struct rd *r, enum mqtt_version v, struct sub_entry *out)
{
	u8 o = rd_u8(r);

	out->qos = o & O_QOS;
	out->no_local = (o & O_NO_LOCAL) != 0;
	out->retain_as_published = (o & O_RETAIN_AS_PUBLISHED) != 0;
	out->retain_handling = (o & O_RETAIN_HANDLING) >> RETAIN_HANDLING_SHIFT;
	SPEC("MQTT-3.8.3-5");
	if (v == MQTT_5 ? o & O_RESERVED : o > 2)
		rd_fail(r, E_MALFORM);
	if (out->qos == 3 || out->retain_handling == 3)
		rd_fail(r, E_PROTO);
	SPEC("MQTT-3.8.3-4");
	if (out->no_local && out->err == E_OK && out->filter.share.n != 0)
		rd_fail(r, E_PROTO);
}

/* Checks all entries and counts them; at least one (MQTT-3.8.3-2, MQTT-3.10.3-2). */
static u16 entries_check(struct rd r, enum mqtt_version v, bool options, enum err *e)
{
	struct sub_entry entry;
	u16 n = 0;

	for (; rd_left(&r) != 0; n++) {
		entry_filter(&r, &entry);
		if (options)
			entry_options(&r, v, &entry);
		if (n == UINT16_MAX)
			rd_fail(&r, E_TOO_LARGE);
	}
	if (n == 0)
		rd_fail(&r, E_PROTO);
	*e = r.err;
	return n;
}

enum err pkt_subscribe_decode(const struct frame *f, enum mqtt_version v, struct slice body,
			      struct pkt_subscribe *out)
{
	struct rd r = rd_of(body);
	enum err e;

	ASSERT(f->type == PKT_SUBSCRIBE);
	*out = (struct pkt_subscribe){.version = v, .packet_id = rd_packet_id(&r)};
	if (v == MQTT_5)
		props_decode(&r, PKT_SUBSCRIBE, &out->props);
	if (r.err != E_OK)
		return r.err;
	out->entries = r;
	SPEC("MQTT-3.8.3-2");
	out->count = entries_check(r, v, true, &e);
	return e;
}

enum err pkt_unsubscribe_decode(const struct frame *f, enum mqtt_version v, struct slice body,
				struct pkt_unsubscribe *out)
{
	struct rd r = rd_of(body);
	enum err e;

	ASSERT(f->type == PKT_UNSUBSCRIBE);
	*out = (struct pkt_unsubscribe){.packet_id = rd_packet_id(&r)};
	if (v == MQTT_5)
		props_decode(&r, PKT_UNSUBSCRIBE, &out->props);
	if (r.err != E_OK)
		return r.err;
	out->entries = r;
	SPEC("MQTT-3.10.3-2");
	out->count = entries_check(r, v, false, &e);
	return e;
}

bool sub_next(struct pkt_subscribe *p, struct sub_entry *out)
{
	if (rd_left(&p->entries) == 0)
		return false;
	entry_filter(&p->entries, out);
	entry_options(&p->entries, p->version, out);
	ASSERT(p->entries.err == E_OK);
	return true;
}

bool unsub_next(struct pkt_unsubscribe *p, struct sub_entry *out)
{
	if (rd_left(&p->entries) == 0)
		return false;
	entry_filter(&p->entries, out);
	out->qos = out->retain_handling = 0;
	out->no_local = out->retain_as_published = false;
	ASSERT(p->entries.err == E_OK);
	return true;
}

static bool code_allowed(u8 code, enum mqtt_version v, u32 type)
{
	if (v == MQTT_5)
		return reason_allowed(code, type);
	return code <= 2 || code == FAILURE_31;
}

enum err pkt_suback_decode(const struct frame *f, enum mqtt_version v, struct slice body,
			   struct pkt_suback *out)
{
	bool bare = v != MQTT_5 && f->type == PKT_UNSUBACK; /* 3.x: the identifier alone */
	struct rd r = rd_of(body);

	ASSERT(f->type == PKT_SUBACK || f->type == PKT_UNSUBACK);
	*out = (struct pkt_suback){.packet_id = rd_packet_id(&r)};
	if (v == MQTT_5)
		props_decode(&r, f->type, &out->props);
	if (bare)
		return rd_finish(&r);
	out->codes = rd_rest(&r);
	if (out->codes.n == 0)
		rd_fail(&r, E_PROTO);
	SPEC("MQTT-3.9.3-2");
	SPEC("MQTT-3.11.3-2");
	for (size_t i = 0; i < out->codes.n; i++) {
		if (!code_allowed(out->codes.p[i], v, f->type))
			rd_fail(&r, E_PROTO);
	}
	return rd_finish(&r);
}

static void subscribe_write(struct wr *w, enum mqtt_version v, u16 packet_id, u32 subscription_id,
			    const struct sub_entry *entries, u16 count)
{
	struct props props = {.has = (u64)(subscription_id != 0) << 0x0b,
			      .subscription_id = subscription_id};

	wr_u16(w, packet_id);
	if (v == MQTT_5)
		props_encode(w, &props);
	for (u16 i = 0; i < count; i++) {
		const struct sub_entry *e = &entries[i];
		u8 o = e->qos;
		if (v == MQTT_5)
			o |= (u8)(e->no_local * O_NO_LOCAL |
				  e->retain_as_published * O_RETAIN_AS_PUBLISHED |
				  e->retain_handling << RETAIN_HANDLING_SHIFT);
		wr_str(w, e->raw);
		wr_u8(w, o);
	}
}

void pkt_subscribe_encode(struct wr *w, enum mqtt_version v, u16 packet_id, u32 subscription_id,
			  const struct sub_entry *entries, u16 count)
{
	struct wr n = wr_count();

	ASSERT(packet_id != 0);
	ASSERT(count != 0);
	subscribe_write(&n, v, packet_id, subscription_id, entries, count);
	if (wr_frame(w, PKT_SUBSCRIBE << 4 | 2, &n))
		subscribe_write(w, v, packet_id, subscription_id, entries, count);
}

static void unsubscribe_write(struct wr *w, enum mqtt_version v, u16 packet_id,
			      const struct slice *raw, u16 count)
{
	wr_u16(w, packet_id);
	if (v == MQTT_5)
		wr_u8(w, 0); /* no properties */
	for (u16 i = 0; i < count; i++)
		wr_str(w, raw[i]);
}

void pkt_unsubscribe_encode(struct wr *w, enum mqtt_version v, u16 packet_id,
			    const struct slice *raw, u16 count)
{
	struct wr n = wr_count();

	ASSERT(packet_id != 0);
	ASSERT(count != 0);
	unsubscribe_write(&n, v, packet_id, raw, count);
	if (wr_frame(w, PKT_UNSUBSCRIBE << 4 | 2, &n))
		unsubscribe_write(w, v, packet_id, raw, count);
}

static void suback_write(struct wr *w, enum mqtt_version v, enum pkt_type type, u16 packet_id,
			 struct slice codes)
{
	wr_u16(w, packet_id);
	if (v == MQTT_5)
		wr_u8(w, 0); /* no properties */
	if (v == MQTT_5 || type == PKT_SUBACK)
		wr_slice(w, codes);
}

void pkt_suback_encode(struct wr *w, enum mqtt_version v, enum pkt_type type, u16 packet_id,
		       struct slice codes)
{
	struct wr n = wr_count();

	ASSERT(type == PKT_SUBACK || type == PKT_UNSUBACK);
	ASSERT(packet_id != 0);
	suback_write(&n, v, type, packet_id, codes);
	if (wr_frame(w, (u8)(type << 4), &n))
		suback_write(w, v, type, packet_id, codes);
}
