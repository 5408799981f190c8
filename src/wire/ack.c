/* ack: PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): one layout, four types. */
#include "wire/codec.h"

enum err pkt_ack_decode(const struct frame *f, enum mqtt_version v, struct slice body,
			struct pkt_ack *out)
{
	struct rd r = rd_of(body);

	ASSERT(f->type >= PKT_PUBACK && f->type <= PKT_PUBCOMP);
	out->packet_id = rd_packet_id(&r);
	out->reason = 0;
	props_none(&out->props);
	/* Nearly always it ends here; in 3.x it must. */
	if (v != MQTT_5 || rd_left(&r) == 0)
		return rd_finish(&r);
	out->reason = rd_u8(&r);
	SPEC("MQTT-3.4.2-1");
	SPEC("MQTT-3.5.2-1");
	SPEC("MQTT-3.6.2-1");
	SPEC("MQTT-3.7.2-1");
	if (!reason_allowed(out->reason, f->type))
		rd_fail(&r, E_PROTO);
	if (rd_left(&r) != 0)
		props_decode(&r, f->type, &out->props);
	return rd_finish(&r);
}

void pkt_ack_encode(struct wr *w, enum mqtt_version v, enum pkt_type type, u16 packet_id, u8 reason)
{
	bool with_reason = v == MQTT_5 && reason != 0;
	u8 flags = type == PKT_PUBREL ? 2 : 0;
	u8 b[] = {(u8)(type << 4 | flags), with_reason ? 3 : 2, (u8)(packet_id >> 8), (u8)packet_id,
		  reason};

	ASSERT(type >= PKT_PUBACK && type <= PKT_PUBCOMP);
	ASSERT(packet_id != 0);
	wr_bytes(w, b, with_reason ? 5 : 4);
}
