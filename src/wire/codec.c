/* codec: strings, packet identifiers, reason codes and the start of a frame: the bricks of every
 * packet. */
#include "base/utf8.h"
#include "base/num.h"
#include "wire/codec.h"

struct slice rd_bin(struct rd *r)
{
	return rd_bytes(r, rd_u16(r));
}

struct slice rd_str(struct rd *r)
{
	struct slice s = rd_bin(r);

	SPEC("MQTT-1.5.4-1");
	SPEC("MQTT-1.5.4-2");
	if (!utf8_ok(s))
		rd_fail(r, E_UTF8);
	return s;
}

u16 rd_packet_id(struct rd *r)
{
	u16 id = rd_u16(r);

	SPEC("MQTT-2.2.1-3");
	if (id == 0)
		rd_fail(r, E_PROTO);
	return id;
}

enum err rd_finish(const struct rd *r)
{
	if (r->err != E_OK)
		return r->err;
	return r->p == r->end ? E_OK : E_MALFORM;
}

#define IN_ACK_FIRST (IN(PUBACK) | IN(PUBREC)) /* they answer a PUBLISH */
#define IN_ACK_REL   (IN(PUBREL) | IN(PUBCOMP))
#define IN_REFUSAL   (IN(CONNACK) | IN_ACK_FIRST | IN(SUBACK) | IN(UNSUBACK) | IN(DISCONNECT))
#define IN_END	     (IN(CONNACK) | IN(DISCONNECT))

/* Section 2.4, table 2-6.  0x8C is in that table for DISCONNECT but not in table 3-10: accepted. */
static const u16 reason_in[] = {
	[0x00] = IN(CONNACK) | IN_ACK_FIRST | IN_ACK_REL | IN(SUBACK) | IN(UNSUBACK) |
		 IN(DISCONNECT) | IN(AUTH),
	[0x01] = IN(SUBACK),
	[0x02] = IN(SUBACK),
	[0x04] = IN(DISCONNECT),
	[0x10] = IN_ACK_FIRST,
	[0x11] = IN(UNSUBACK),
	[0x18] = IN(AUTH),
	[0x19] = IN(AUTH),
	[0x80] = IN_REFUSAL,
	[0x81] = IN_END,
	[0x82] = IN_END,
	[0x83] = IN_REFUSAL,
	[0x84] = IN(CONNACK),
	[0x85] = IN(CONNACK),
	[0x86] = IN(CONNACK),
	[0x87] = IN_REFUSAL,
	[0x88] = IN(CONNACK),
	[0x89] = IN_END,
	[0x8a] = IN(CONNACK),
	[0x8b] = IN(DISCONNECT),
	[0x8c] = IN_END,
	[0x8d] = IN(DISCONNECT),
	[0x8e] = IN(DISCONNECT),
	[0x8f] = IN(SUBACK) | IN(UNSUBACK) | IN(DISCONNECT),
	[0x90] = IN_END | IN_ACK_FIRST,
	[0x91] = IN_ACK_FIRST | IN(SUBACK) | IN(UNSUBACK),
	[0x92] = IN_ACK_REL,
	[0x93] = IN(DISCONNECT),
	[0x94] = IN(DISCONNECT),
	[0x95] = IN_END,
	[0x96] = IN(DISCONNECT),
	[0x97] = IN_END | IN_ACK_FIRST | IN(SUBACK),
	[0x98] = IN(DISCONNECT),
	[0x99] = IN_END | IN_ACK_FIRST,
	[0x9a] = IN_END,
	[0x9b] = IN_END,
	[0x9c] = IN_END,
	[0x9d] = IN_END,
	[0x9e] = IN(SUBACK) | IN(DISCONNECT),
	[0x9f] = IN_END,
	[0xa0] = IN(DISCONNECT),
	[0xa1] = IN(SUBACK) | IN(DISCONNECT),
	[0xa2] = IN(SUBACK) | IN(DISCONNECT),
};

bool reason_allowed(u8 reason, u32 type)
{
	return reason < ARRAY_LEN(reason_in) && reason_in[reason] >> type & 1;
}

void wr_str(struct wr *w, struct slice s)
{
	u16 n;

	if (!narrow_u16(s.n, &n)) {
		w->err = E_TOO_LARGE;
		return;
	}
	wr_u16(w, n);
	wr_slice(w, s);
}

bool wr_frame(struct wr *w, u8 first, const struct wr *counted)
{
	u8 header[5];
	size_t n;

	if (w->err != E_OK)
		return false;
	if (counted->err != E_OK || counted->n > VBI_MAX) {
		w->err = E_TOO_LARGE;
		return false;
	}
	n = frame_header(first, (u32)counted->n, header);
	if (w->cap - w->n < n + counted->n) {
		w->err = E_TOO_LARGE;
		return false;
	}
	wr_bytes(w, header, n);
	return true;
}
