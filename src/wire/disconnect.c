/* disconnect: DISCONNECT and AUTH (sections 3.14 and 3.15): a reason and properties, all of which
 * may be missing. */
#include "wire/codec.h"

enum {
	WITH_WILL = 0x04,
	REAUTHENTICATE = 0x19,
};

/* Table 3-10 has a column for who may send a reason; the same for section 3.15.2.1. */
static bool reason_fits_side(u8 reason, u32 type, enum peer_side side)
{
	static const u8 server_only[] = {0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x9a, 0x9b,
					 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2};

	if (type == PKT_AUTH)
		return side == FROM_CLIENT ? reason != 0 : reason != REAUTHENTICATE;
	if (side == FROM_SERVER)
		return reason != WITH_WILL;
	return memchr(server_only, reason, sizeof(server_only)) == NULL;
}

/* Properties that only one side may send, or that must be there. */
static bool props_fit_side(const struct props *p, u32 type, enum peer_side side)
{
	if (type == PKT_AUTH)
		return PROP_HAS(p, PROP_auth_method);
	SPEC("MQTT-3.14.2-2");
	if (side == FROM_SERVER)
		return !PROP_HAS(p, PROP_session_expiry);
	return !PROP_HAS(p, PROP_server_reference);
}

enum err pkt_disconnect_decode(const struct frame *f, enum mqtt_version v, enum peer_side side,
			       struct slice body, struct pkt_disconnect *out)
{
	bool auth = f->type == PKT_AUTH;
	struct rd r = rd_of(body);

	ASSERT(f->type == PKT_DISCONNECT || auth);
	*out = (struct pkt_disconnect){0};
	if (v != MQTT_5)
		return auth ? E_PROTO : rd_finish(&r);
	if (body.n != 0)
		out->reason = rd_u8(&r);
	SPEC("MQTT-3.14.2-1");
	SPEC("MQTT-3.15.2-1");
	if (!reason_allowed(out->reason, f->type) || !reason_fits_side(out->reason, f->type, side))
		return E_PROTO;
	/* Without a body there are no properties; DISCONNECT may also end after its reason. */
	if (body.n == 0 || (body.n == 1 && !auth))
		return E_OK;
	props_decode(&r, f->type, &out->props);
	if (!props_fit_side(&out->props, f->type, side))
		rd_fail(&r, E_PROTO);
	return rd_finish(&r);
}

/* The shortest form that says it all. */
static void disconnect_write(struct wr *w, enum mqtt_version v, enum pkt_type type,
			     const struct pkt_disconnect *p)
{
	bool props = p->props.has != 0 || p->props.user_count != 0;

	if (v != MQTT_5)
		return;
	if (p->reason != 0 || props)
		wr_u8(w, p->reason);
	if (props || (p->reason != 0 && type == PKT_AUTH))
		props_encode(w, &p->props);
}

void pkt_disconnect_encode(struct wr *w, enum mqtt_version v, enum pkt_type type,
			   const struct pkt_disconnect *p)
{
	struct wr n = wr_count();

	ASSERT(type == PKT_DISCONNECT || (type == PKT_AUTH && v == MQTT_5));
	disconnect_write(&n, v, type, p);
	if (wr_frame(w, (u8)(type << 4), &n))
		disconnect_write(w, v, type, p);
}
