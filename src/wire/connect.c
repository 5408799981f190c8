/* connect: CONNECT and CONNACK (sections 3.1 and 3.2). */
#include "wire/codec.h"

enum {
	F_RESERVED = 0x01,
	F_CLEAN = 0x02,
	F_WILL = 0x04,
	F_WILL_QOS = 0x18,
	F_WILL_RETAIN = 0x20,
	F_PASSWORD = 0x40,
	F_USERNAME = 0x80,
	WILL_QOS_SHIFT = 3,
};

/* Protocol name and level.  An unknown level is answered in the layout of 3.1.1, which every client
 * knows; an unknown name is not answered. */
static enum mqtt_version connect_version(struct rd *r)
{
	struct slice name = rd_bin(r);
	u8 level = rd_u8(r);

	SPEC("MQTT-3.1.2-1");
	SPEC("MQTT-3.1.2-2");
	if (slice_eq(name, SLICE_LIT("MQTT"))) {
		if (level == MQTT_311 || level == MQTT_5)
			return (enum mqtt_version)level;
	} else if (slice_eq(name, SLICE_LIT("MQIsdp"))) {
		if (level == MQTT_31)
			return MQTT_31;
	} else {
		rd_fail(r, E_VERSION);
		return MQTT_NONE;
	}
	rd_fail(r, E_VERSION);
	return MQTT_311;
}

static void connect_flags(struct rd *r, struct pkt_connect *out)
{
	u8 f = rd_u8(r);

	SPEC("MQTT-3.1.2-3");
	if (f & F_RESERVED)
		rd_fail(r, E_MALFORM);
	out->clean_start = (f & F_CLEAN) != 0;
	out->has_will = (f & F_WILL) != 0;
	out->has_username = (f & F_USERNAME) != 0;
	out->has_password = (f & F_PASSWORD) != 0;
	out->will.qos = (f & F_WILL_QOS) >> WILL_QOS_SHIFT;
	out->will.retain = (f & F_WILL_RETAIN) != 0;
	SPEC("MQTT-3.1.2-11");
	SPEC("MQTT-3.1.2-13");
	if (!out->has_will && (out->will.qos != 0 || out->will.retain))
		rd_fail(r, E_MALFORM);
	SPEC("MQTT-3.1.2-12");
	if (out->will.qos == 3)
		rd_fail(r, E_MALFORM);
	SPEC("MQTT-3.1.2-22"); /* of 3.1.1; 5.0 lets a password stand alone */
	if (out->version != MQTT_5 && out->has_password && !out->has_username)
		rd_fail(r, E_MALFORM);
}

/* Authentication Data means nothing without a method (section 3.1.2.11.10). */
static void auth_props_check(struct rd *r, const struct props *p)
{
	if (PROP_HAS(p, PROP_auth_data) && !PROP_HAS(p, PROP_auth_method))
		rd_fail(r, E_PROTO);
}

static void will_decode(struct rd *r, enum mqtt_version v, struct pkt_will *out)
{
	struct slice name;

	if (v == MQTT_5)
		props_decode(r, AT_WILL, &out->props);
	name = rd_bin(r);
	if (r->err == E_OK)
		rd_fail(r, topic_parse(name, &out->topic));
	out->payload = rd_bin(r);
}

/* What the packet's grammar does not say but we do, so that it is looked at when the rest is right.
 */
static enum err connect_names(const struct pkt_connect *p)
{
	SPEC("MQTT-3.1.3-8"); /* of 3.1.1; 3.1 has no empty client id at all */
	if (p->client_id.n == 0 && p->version == MQTT_31)
		return E_CLIENT_ID;
	if (p->client_id.n == 0 && p->version == MQTT_311 && !p->clean_start)
		return E_CLIENT_ID;
	if (p->client_id.n > LIM_CLIENT_ID_BYTES || p->username.n > LIM_USERNAME_BYTES)
		return E_CLIENT_ID;
	return E_OK;
}

enum err pkt_connect_decode(const struct frame *f, struct slice body, struct pkt_connect *out)
{
	struct rd r = rd_of(body);
	enum err e;

	ASSERT(f->type == PKT_CONNECT);
	*out = (struct pkt_connect){.version = connect_version(&r)};
	if (r.err != E_OK)
		return r.err;
	connect_flags(&r, out);
	out->keep_alive_s = rd_u16(&r);
	if (out->version == MQTT_5)
		props_decode(&r, PKT_CONNECT, &out->props);
	auth_props_check(&r, &out->props);
	SPEC("MQTT-3.1.3-1"); /* the order of the fields */
	out->client_id = rd_str(&r);
	if (out->has_will)
		will_decode(&r, out->version, &out->will);
	if (out->has_username)
		out->username = rd_str(&r);
	if (out->has_password)
		out->password = rd_bin(&r);
	e = rd_finish(&r);
	return e != E_OK ? e : connect_names(out);
}

static void connect_write(struct wr *w, const struct pkt_connect *p)
{
	bool v5 = p->version == MQTT_5;
	u8 f = (u8)(p->clean_start * F_CLEAN | p->has_will * F_WILL | p->has_username * F_USERNAME |
		    p->has_password * F_PASSWORD);

	if (p->has_will)
		f |= (u8)(p->will.qos << WILL_QOS_SHIFT | p->will.retain * F_WILL_RETAIN);
	wr_str(w, p->version == MQTT_31 ? SLICE_LIT("MQIsdp") : SLICE_LIT("MQTT"));
	wr_u8(w, (u8)p->version);
	wr_u8(w, f);
	wr_u16(w, p->keep_alive_s);
	if (v5)
		props_encode(w, &p->props);
	wr_str(w, p->client_id);
	if (p->has_will) {
		if (v5)
			props_encode(w, &p->will.props);
		wr_str(w, p->will.topic.s);
		wr_str(w, p->will.payload);
	}
	if (p->has_username)
		wr_str(w, p->username);
	if (p->has_password)
		wr_str(w, p->password);
}

void pkt_connect_encode(struct wr *w, const struct pkt_connect *p)
{
	struct wr n = wr_count();

	connect_write(&n, p);
	if (wr_frame(w, PKT_CONNECT << 4, &n))
		connect_write(w, p);
}

enum err pkt_connack_decode(const struct frame *f, enum mqtt_version v, struct slice body,
			    struct pkt_connack *out)
{
	const u8 last_return_code = 5;
	struct rd r = rd_of(body);
	u8 flags = rd_u8(&r);

	ASSERT(f->type == PKT_CONNACK);
	*out = (struct pkt_connack){.session_present = flags & 1, .code = rd_u8(&r)};
	SPEC("MQTT-3.2.2-1");
	if (flags > 1)
		rd_fail(&r, E_MALFORM);
	if (v != MQTT_5 && out->code > last_return_code)
		rd_fail(&r, E_PROTO);
	SPEC("MQTT-3.2.2-7");
	if (v == MQTT_5 && !reason_allowed(out->code, PKT_CONNACK))
		rd_fail(&r, E_PROTO);
	SPEC("MQTT-3.2.2-6");
	if (out->session_present && out->code != 0)
		rd_fail(&r, E_PROTO);
	if (v == MQTT_5)
		props_decode(&r, PKT_CONNACK, &out->props);
	auth_props_check(&r, &out->props);
	return rd_finish(&r);
}

static void connack_write(struct wr *w, enum mqtt_version v, const struct pkt_connack *p)
{
	wr_u8(w, p->session_present);
	wr_u8(w, p->code);
	if (v == MQTT_5)
		props_encode(w, &p->props);
}

void pkt_connack_encode(struct wr *w, enum mqtt_version v, const struct pkt_connack *p)
{
	struct wr n = wr_count();

	connack_write(&n, v, p);
	if (wr_frame(w, PKT_CONNACK << 4, &n))
		connack_write(w, v, p);
}
