/* packet: MQTT 3.1, 3.1.1 and 5.0 control packets, decoded and encoded.
 *
 * No I/O, no allocation, no broker types.  Decoding is one pass over a complete packet; what comes
 * out views the packet's bytes.  Strict: any byte string is one valid packet or an error (I05-I08);
 * what is left over in a packet is an error.  Both directions are here, so that the same codec
 * serves the broker, the picket command's client and the tests. */
#ifndef PICKET_WIRE_PACKET_H
#define PICKET_WIRE_PACKET_H

#include "base/err.h"
#include "base/rd.h"
#include "base/wr.h"
#include "wire/topic.h"

enum pkt_type {
	PKT_CONNECT = 1,
	PKT_CONNACK,
	PKT_PUBLISH,
	PKT_PUBACK,
	PKT_PUBREC,
	PKT_PUBREL,
	PKT_PUBCOMP,
	PKT_SUBSCRIBE,
	PKT_SUBACK,
	PKT_UNSUBSCRIBE,
	PKT_UNSUBACK,
	PKT_PINGREQ,
	PKT_PINGRESP,
	PKT_DISCONNECT,
	PKT_AUTH,
};

enum mqtt_version { MQTT_NONE = 0, MQTT_31 = 3, MQTT_311 = 4, MQTT_5 = 5 };

enum { VBI_MAX = 268435455 }; /* the largest Variable Byte Integer, and so the largest body */

/* ---- the fixed header -------------------------------------------------------------------- */

struct frame {
	u8 type;       /* enum pkt_type; 0 is refused */
	u8 flags;      /* the low four bits, checked against the type */
	u8 header_len; /* 2..5 */
	u32 body_len;
	/* the whole packet is header_len + body_len bytes */
};

/* Look at the first bytes of a stream.  E_OK: the header is complete and valid for its type and the
 * packet is at most max_packet bytes in all (the body may not have arrived); E_MORE: wait;
 * E_MALFORM: type 0, wrong flags, a remaining length of five bytes or not minimal (version MQTT_5
 * or not yet known); E_TOO_LARGE.  v is MQTT_NONE before CONNECT. */
enum err frame_peek(struct slice in, enum mqtt_version v, u32 max_packet, struct frame *out) MUST;

/* ---- properties (MQTT 5.0 section 2.2.2) --------------------------------------------------- */

/* name, id, kind, field type: u8 / u16 / u32 / var / str / bin */
#define PROP_TABLE(X)                                                                              \
	X(payload_format, 0x01, U8)                                                                \
	X(message_expiry, 0x02, U32)                                                               \
	X(content_type, 0x03, STR)                                                                 \
	X(response_topic, 0x08, STR)                                                               \
	X(correlation_data, 0x09, BIN)                                                             \
	X(subscription_id, 0x0b, VAR)                                                              \
	X(session_expiry, 0x11, U32)                                                               \
	X(assigned_client_id, 0x12, STR)                                                           \
	X(server_keep_alive, 0x13, U16)                                                            \
	X(auth_method, 0x15, STR)                                                                  \
	X(auth_data, 0x16, BIN)                                                                    \
	X(request_problem_info, 0x17, U8)                                                          \
	X(will_delay, 0x18, U32)                                                                   \
	X(request_response_info, 0x19, U8)                                                         \
	X(response_info, 0x1a, STR)                                                                \
	X(server_reference, 0x1c, STR)                                                             \
	X(reason_string, 0x1f, STR)                                                                \
	X(receive_maximum, 0x21, U16)                                                              \
	X(topic_alias_maximum, 0x22, U16)                                                          \
	X(topic_alias, 0x23, U16)                                                                  \
	X(maximum_qos, 0x24, U8)                                                                   \
	X(retain_available, 0x25, U8)                                                              \
	X(maximum_packet_size, 0x27, U32)                                                          \
	X(wildcard_available, 0x28, U8)                                                            \
	X(subscription_id_available, 0x29, U8)                                                     \
	X(shared_available, 0x2a, U8)

#define PROP_TYPE_U8  u8
#define PROP_TYPE_U16 u16
#define PROP_TYPE_U32 u32
#define PROP_TYPE_VAR u32
#define PROP_TYPE_STR struct slice
#define PROP_TYPE_BIN struct slice
/* has: bit id is set when the property was there (ids are below 64).  A field is valid only where
 * has says so: the decoders of PUBLISH and of the acknowledgements leave the others as they were,
 * all others zero them. */
struct props {
	u64 has;
#define X(name, id, kind) PROP_TYPE_##kind name;
	PROP_TABLE(X)
#undef X
	u16 user_count; /* User Properties (0x26), in order, inside raw */
	u32 user_bytes;
	struct slice raw; /* the property block as it came; views the packet */
};
/* PROP_topic_alias and so on: the identifiers, for PROP_HAS. */
#define X(name, id, kind) PROP_##name = (id),
enum prop_id { PROP_TABLE(X) };
#undef X
#define PROP_HAS(props, id) (((props)->has >> (id)) & 1)

/* Walk the user properties of a decoded block: start with *pos = 0; false at the end. */
bool props_user_next(const struct props *p, size_t *pos, struct slice *name, struct slice *value);
/* The same for Subscription Identifiers: a server may send several in a PUBLISH; the field has the
 * first. */
bool props_subscription_next(const struct props *p, size_t *pos, u32 *id);

/* ---- decoded packets ------------------------------------------------------------------------ */

struct pkt_will {
	struct topic topic;
	struct slice payload;
	u8 qos;
	bool retain;
	struct props props;
};

struct pkt_connect {
	enum mqtt_version version;
	bool clean_start; /* CleanSession in 3.1 and 3.1.1 */
	bool has_will, has_username, has_password;
	u16 keep_alive_s;
	struct slice client_id, username, password;
	struct props props;
	struct pkt_will will; /* valid when has_will */
};

struct pkt_connack {
	bool session_present;
	u8 code; /* return code in 3.x, reason code in 5 */
	struct props props;
};

struct pkt_publish {
	bool dup, retain;
	u8 qos;
	u16 packet_id;	   /* 0 with QoS 0 */
	bool topic_absent; /* v5: the topic is empty and an alias is there; topic is not valid */
	struct topic topic;
	struct slice payload;
	struct props props;
};

struct pkt_ack { /* PUBACK, PUBREC, PUBREL, PUBCOMP */
	u16 packet_id;
	u8 reason;
	struct props props;
};

/* One entry of SUBSCRIBE.  A bad filter is not a bad packet: err says so and SUBACK refuses the
 * entry. */
struct sub_entry {
	struct slice raw;
	enum err err; /* of filter_parse; E_UTF8 makes the whole packet malformed instead */
	struct filter filter;
	u8 qos, retain_handling;
	bool no_local, retain_as_published;
};

struct pkt_subscribe {
	u16 packet_id;
	u16 count; /* entries; all were checked */
	struct props props;
	struct rd entries; /* for sub_next */
	enum mqtt_version version;
};

struct pkt_unsubscribe {
	u16 packet_id;
	u16 count;
	struct props props;
	struct rd entries;
};

struct pkt_suback { /* SUBACK, UNSUBACK */
	u16 packet_id;
	struct slice codes; /* empty in UNSUBACK of 3.x */
	struct props props;
};

struct pkt_disconnect { /* DISCONNECT, AUTH */
	u8 reason;
	struct props props;
};

/* Decode a body (frame.body_len bytes).  E_OK, E_MALFORM, E_SHORT, E_PROTO, E_UTF8, E_VERSION
 * (CONNECT), E_CLIENT_ID (CONNECT 3.x: empty with clean session 0, or empty at all in 3.1; client
 * id or user name over 256 bytes), E_TOPIC, E_ALIAS (alias 0; what is above the limit of a
 * connection is the core's), E_TOO_LARGE (more than 65,535 entries or user properties).  After an
 * error nothing in *out is valid, except that CONNECT on E_VERSION or E_CLIENT_ID fills
 * out->version: on E_VERSION it is MQTT_NONE for an unknown protocol name (answer nothing) and
 * MQTT_311 for an unknown level (answer CONNACK 20 02 00 01). */
enum err pkt_connect_decode(const struct frame *f, struct slice body, struct pkt_connect *out) MUST;
enum err pkt_connack_decode(const struct frame *f, enum mqtt_version v, struct slice body,
			    struct pkt_connack *out) MUST;
/* from_client: a Subscription Identifier is E_PROTO (MQTT-3.3.4-6). */
enum peer_side { FROM_CLIENT, FROM_SERVER };
enum err pkt_publish_decode(const struct frame *f, enum mqtt_version v, enum peer_side side,
			    struct slice body, struct pkt_publish *out) MUST;
enum err pkt_ack_decode(const struct frame *f, enum mqtt_version v, struct slice body,
			struct pkt_ack *out) MUST;
enum err pkt_subscribe_decode(const struct frame *f, enum mqtt_version v, struct slice body,
			      struct pkt_subscribe *out) MUST;
enum err pkt_unsubscribe_decode(const struct frame *f, enum mqtt_version v, struct slice body,
				struct pkt_unsubscribe *out) MUST;
enum err pkt_suback_decode(const struct frame *f, enum mqtt_version v, struct slice body,
			   struct pkt_suback *out) MUST;
enum err pkt_disconnect_decode(const struct frame *f, enum mqtt_version v, enum peer_side side,
			       struct slice body, struct pkt_disconnect *out) MUST;
/* PINGREQ and PINGRESP have no body: frame_peek refuses one. */

/* The next entry; false at the end.  Never fails after a successful decode. */
bool sub_next(struct pkt_subscribe *p, struct sub_entry *out);
bool unsub_next(struct pkt_unsubscribe *p, struct sub_entry *out);

/* ---- encoding --------------------------------------------------------------------------------
 * Each writes a whole packet with its fixed header; w->err is E_TOO_LARGE when it does not fit and
 * then nothing was written.  Properties are written only for MQTT_5, those in props->has plus the
 * user properties of props->raw. */
void pkt_connect_encode(struct wr *w, const struct pkt_connect *p);
void pkt_connack_encode(struct wr *w, enum mqtt_version v, const struct pkt_connack *p);
void pkt_publish_encode(struct wr *w, enum mqtt_version v, const struct pkt_publish *p);
/* type: PKT_PUBACK..PKT_PUBCOMP.  The shortest form when reason is 0 and there are no properties.
 */
void pkt_ack_encode(struct wr *w, enum mqtt_version v, enum pkt_type type, u16 packet_id,
		    u8 reason);
void pkt_subscribe_encode(struct wr *w, enum mqtt_version v, u16 packet_id, u32 subscription_id,
			  const struct sub_entry *entries,
			  u16 count); /* uses raw and the options */
void pkt_unsubscribe_encode(struct wr *w, enum mqtt_version v, u16 packet_id,
			    const struct slice *raw, u16 count);
/* type: PKT_SUBACK or PKT_UNSUBACK */
void pkt_suback_encode(struct wr *w, enum mqtt_version v, enum pkt_type type, u16 packet_id,
		       struct slice codes);
void pkt_ping_encode(struct wr *w, enum pkt_type type);
void pkt_disconnect_encode(struct wr *w, enum mqtt_version v, enum pkt_type type,
			   const struct pkt_disconnect *p); /* DISCONNECT or AUTH */

/* Pieces of a PUBLISH for fan-out: the fixed header of a body of body_len bytes into out[5];
 * returns its length. */
size_t frame_header(u8 first, u32 body_len, u8 out[5]);
/* Bytes that a variable byte integer takes; and its encoding (section 1.5.5). */
size_t vbi_size(u32 v);
void wr_vbi(struct wr *w, u32 v);
u32 rd_vbi(struct rd *r); /* strict: minimal, at most four bytes, else E_MALFORM */
/* Write a property block (length and properties) of a packet of MQTT 5. */
void props_encode(struct wr *w, const struct props *p);

#endif
