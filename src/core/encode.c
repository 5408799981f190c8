/* encode: a message as a PUBLISH for one client.  The message's parts lie ready; only the header,
 * the packet identifier and what is private to the subscriber are written here. */
#include "core/impl.h"

enum { EXPIRY_BYTES = 5, MS = 1000 };

/* Bytes that are the same in every copy but this one's identifiers. */
struct shape {
	u32 props; /* their length; MQTT 5 only */
	u32 expiry_s;
	u64 head; /* everything between the fixed header and the payload */
};

static u32 ids_size(const u32 *ids)
{
	u32 n = 0;

	for (u32 i = 1; ids != NULL && i <= ids[0]; i++)
		n += 1 + (u32)vbi_size(ids[i]);
	return n;
}

static inline void shape_of(const struct core *c, const struct client *cl, const struct msg *m,
			    const struct outgoing *o, struct shape *s)
{
	*s = (struct shape){.head = 2 + m->topic.n + (o->pid != 0 ? 2 : 0)};
	if (cl->version != MQTT_5)
		return;
	s->props = (u32)m->props.n + ids_size(o->ids);
	if (m->expires_ms != 0) {
		u64 left = m->expires_ms > c->now_ms ? m->expires_ms - c->now_ms : 0;
		s->expiry_s = (u32)MIN((left + MS - 1) / MS, UINT32_MAX);
		s->props += EXPIRY_BYTES;
	}
	s->head += vbi_size(s->props) + s->props;
}

u64 publish_size(const struct core *c, const struct client *cl, const struct msg *m,
		 const struct outgoing *o)
{
	const u32 body_max = 268435455;
	struct shape s;
	u64 body;

	ASSERT(m->magic == MSG_MAGIC);
	shape_of(c, cl, m, o, &s);
	body = s.head + m->payload.n;
	return body <= body_max ? 1 + vbi_size((u32)body) + body : 0;
}

static u8 *put(u8 *at, const void *p, size_t n)
{
	if (n != 0)
		memcpy(at, p, n);
	return at + n;
}

static u8 *put_be(u8 *at, u32 v, u32 n)
{
	ASSERT(n <= sizeof(v));
	for (u32 i = 0; i < n; i++)
		at[i] = (u8)(v >> 8 * (n - 1 - i));
	return at + n;
}

static u8 *put_vbi(u8 *at, u32 v)
{
	struct wr w = wr_of(at, 4);

	wr_vbi(&w, v);
	ASSERT(w.err == E_OK);
	return at + w.n;
}

static u8 *put_props(u8 *at, const struct msg *m, const struct outgoing *o, const struct shape *s)
{
	const u8 *from;

	from = at = put_vbi(at, s->props);
	if (m->expires_ms != 0) {
		*at++ = PROP_message_expiry;
		at = put_be(at, s->expiry_s, 4);
	}
	for (u32 i = 1; o->ids != NULL && i <= o->ids[0]; i++) {
		*at++ = PROP_subscription_id;
		at = put_vbi(at, o->ids[i]);
	}
	at = put(at, m->props.p, m->props.n);
	ASSERT((size_t)(at - from) == s->props); /* as long as was announced */
	return at;
}

bool publish_send(struct core *c, struct client *cl, struct msg **mp, const struct outgoing *o)
{
	struct msg *m = *mp, *kept = NULL;
	bool by_ref = m->payload.n > OUT_REF_MIN;
	u8 head[5], *at, *from;
	struct shape s;
	size_t nhead, room;

	shape_of(c, cl, m, o, &s);
	if (by_ref) {
		kept = msg_keep(mp);
		if (kept == NULL)
			return false;
		m = *mp;
	}
	ASSERT(s.head + m->payload.n <= UINT32_MAX);
	ASSERT((o->pid != 0) == ((o->first >> 1 & 3) != 0));
	nhead = frame_header(o->first, (u32)(s.head + m->payload.n), head);
	room = nhead + s.head + (by_ref ? 0 : m->payload.n);
	from = at = outq_room(&cl->out, &c->segs, room);
	at = put(at, head, nhead);
	at = put_be(at, (u32)m->topic.n, 2);
	at = put(at, m->topic.p, m->topic.n);
	if (o->pid != 0)
		at = put_be(at, o->pid, 2);
	if (cl->version == MQTT_5)
		at = put_props(at, m, o, &s);
	if (!by_ref)
		at = put(at, m->payload.p, m->payload.n);
	ASSERT((size_t)(at - from) == room);
	if (by_ref) {
		outq_payload(&cl->out, &c->segs, m);
		msg_unref(&kept);
	}
	cl->msgs_out++;
	c->stats.msgs_out++;
	client_dirty(c, cl);
	return true;
}
