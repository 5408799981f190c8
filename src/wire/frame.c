/* frame: the fixed header and the variable byte integer (sections 2.1 and 1.5.5; 2.2 in 3.1.1).
 *
 * Everything that can be told from the first bytes is told here, before a body is waited for. */
#include "wire/codec.h"

/* The flags that a type must have (table 2-2).  PUBLISH has flags of its own. */
static const u8 frame_flags[16] = {
	[PKT_PUBREL] = 2,
	[PKT_SUBSCRIBE] = 2,
	[PKT_UNSUBSCRIBE] = 2,
};

static bool frame_flags_ok(u32 type, u8 flags, enum mqtt_version v)
{
	const u8 dup = 8;

	if (type == PKT_PUBLISH) {
		SPEC("MQTT-3.3.1-4");
		return (flags & 6) != 6;
	}
	/* MQTT 3.1 sets DUP when it sends one of these again. */
	if (v == MQTT_31 && frame_flags[type] != 0)
		flags &= (u8)~dup;
	SPEC("MQTT-2.1.3-1");
	return flags == frame_flags[type];
}

static bool frame_type_ok(u32 type, enum mqtt_version v)
{
	if (type == PKT_AUTH)
		return v == MQTT_5 || v == MQTT_NONE;
	return type != 0;
}

enum err frame_peek(struct slice in, enum mqtt_version v, u32 max_packet, struct frame *out)
{
	bool lax = v == MQTT_31 || v == MQTT_311; /* they do not ask for the shortest form */
	u32 type, len = 0, i;

	if (in.n == 0)
		return E_MORE;
	type = in.p[0] >> 4;
	if (!frame_type_ok(type, v) || !frame_flags_ok(type, in.p[0] & 15, v))
		return E_MALFORM;
	for (i = 1; i < 5; i++) {
		if (i == in.n)
			return E_MORE;
		len |= (in.p[i] & 0x7fu) << 7 * (i - 1);
		if (in.p[i] < 0x80)
			break;
	}
	SPEC("MQTT-1.5.5-1");
	if (i == 5 || (i > 1 && in.p[i] == 0 && !lax))
		return E_MALFORM;
	if (len != 0 && (type == PKT_PINGREQ || type == PKT_PINGRESP))
		return E_MALFORM;
	*out = (struct frame){(u8)type, in.p[0] & 15, (u8)(i + 1), len};
	return (u64)len + i + 1 > max_packet ? E_TOO_LARGE : E_OK;
}

size_t vbi_size(u32 v)
{
	return v < 1u << 7 ? 1 : v < 1u << 14 ? 2 : v < 1u << 21 ? 3 : 4;
}

/* Into b[4]; returns the length. */
static size_t vbi_put(u32 v, u8 *b)
{
	size_t n = 0;

	ASSERT(v <= VBI_MAX);
	for (; v >= 0x80; v >>= 7)
		b[n++] = (u8)(v | 0x80);
	b[n++] = (u8)v;
	return n;
}

void wr_vbi(struct wr *w, u32 v)
{
	u8 b[4];

	if (v > VBI_MAX) {
		w->err = E_TOO_LARGE;
		return;
	}
	wr_bytes(w, b, vbi_put(v, b));
}

u32 rd_vbi(struct rd *r)
{
	u32 v = 0;

	for (u32 i = 0; i < 4; i++) {
		u8 b = rd_u8(r);
		v |= (b & 0x7fu) << 7 * i;
		if (b >= 0x80)
			continue;
		SPEC("MQTT-1.5.5-1");
		if (i > 0 && b == 0)
			rd_fail(r, E_MALFORM);
		return r->err ? 0 : v;
	}
	rd_fail(r, E_MALFORM);
	return 0;
}

size_t frame_header(u8 first, u32 body_len, u8 out[5])
{
	out[0] = first;
	return 1 + vbi_put(body_len, out + 1);
}

void pkt_ping_encode(struct wr *w, enum pkt_type type)
{
	u8 b[] = {(u8)(type << 4), 0};

	ASSERT(type == PKT_PINGREQ || type == PKT_PINGRESP);
	wr_bytes(w, b, sizeof(b));
}
