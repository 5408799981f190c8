/* codec: what the packet families share.  Not for other folders. */
#ifndef PICKET_WIRE_CODEC_H
#define PICKET_WIRE_CODEC_H

#include "wire/packet.h"

/* SPEC("MQTT-x.y.z-n"): the statement that the next lines keep.  A tool collects them; the compiler
 * drops them. */
#define SPEC(id) ((void)sizeof("" id))

/* Where a property block or a reason code stands: a packet type, or the properties of a will. */
enum { AT_WILL = 0 };
#define IN(type) (1u << PKT_##type)

enum { LIM_CLIENT_ID_BYTES = 256, LIM_USERNAME_BYTES = 256 }; /* defaults.md */

/* ---- reading ------------------------------------------------------------------------------ */

/* Binary data and strings of section 1.5: a two-byte length and the bytes.  E_SHORT, E_UTF8. */
struct slice rd_bin(struct rd *r);
struct slice rd_str(struct rd *r);
/* E_PROTO when it is 0 (MQTT-2.2.1-3). */
u16 rd_packet_id(struct rd *r);
/* The end of a packet: what failed, or E_MALFORM when bytes are left over. */
enum err rd_finish(const struct rd *r) MUST;

/* A property block with its length.  Fails r: E_SHORT, E_MALFORM (unknown or not allowed at where),
 * E_PROTO (repeated, or the value is outside its range), E_UTF8, E_TOPIC (Response Topic), E_ALIAS
 * (alias 0), E_TOO_LARGE (more than 65,535 User Properties). */
void props_decode(struct rd *r, u32 where, struct props *out);

/* No block: the fields are left alone, since has says that none is valid. */
static inline void props_none(struct props *out)
{
	out->has = 0;
	out->user_count = 0;
	out->user_bytes = 0;
	out->raw = SLICE_NONE;
}

/* May a packet of this type carry this reason code of MQTT 5 (section 2.4)? */
bool reason_allowed(u8 reason, u32 type) MUST;

/* ---- writing ------------------------------------------------------------------------------ */

void wr_str(struct wr *w, struct slice s); /* E_TOO_LARGE above 65,535 bytes */
/* Begin a packet whose body was written to a counting writer: its fixed header goes to w.  False,
 * with w->err set and nothing written, when the whole packet does not fit or the counting failed.
 */
bool wr_frame(struct wr *w, u8 first, const struct wr *counted) MUST;

#endif
