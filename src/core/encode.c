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

/* How the topic is said. */
struct naming {
	size_t topic; /* so many bytes of it; none where an alias stands for it */
	u16 alias;    /* 0: none */
};

static u32 ids_size(const u32 *ids)
{
	u32 n = 0;

	for (u32 i = 1; ids != NULL && i <= ids[0]; i++)
		n += 1 + (u32)vbi_size(ids[i]);
	return n;
}

ALWAYS_INLINE static inline void shape_of(const struct core *c, const struct client *cl,
					  const struct msg *m, const struct outgoing *o,
					  struct shape *s)
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

/* SPEC MQTT-3.1.2-24: what fitted before still does. */
static struct naming shape_alias(struct client *cl, const struct msg *m, struct shape *s)
{
	bool room = s->head + m->payload.n + 5 + ALIAS_GROWS <= cl->max_packet, known;
	struct naming n = {m->topic.n, alias_for(cl, m->topic, room, &known)};

	ASSERT(cl->version == MQTT_5);
	if (n.alias == 0)
		return n;
	s->head -= vbi_size(s->props) + s->props;
	s->props += ALIAS_BYTES;
	s->head += vbi_size(s->props) + s->props;
	if (known) {
		s->head -= n.topic;
		n.topic = 0;
	}
	return n;
}

ALWAYS_INLINE static inline u8 *put(u8 *at, const void *p, size_t n)
{
	if (n != 0)
		memcpy(at, p, n);
	return at + n;
}

ALWAYS_INLINE static inline u8 *put_be(u8 *at, u32 v, u32 n)
{
	ASSERT(n <= sizeof(v));
	for (u32 i = 0; i < n; i++)
		at[i] = (u8)(v >> 8 * (n - 1 - i));
	return at + n;
}

ALWAYS_INLINE static inline u8 *put_vbi(u8 *at, u32 v)
{
	struct wr w = wr_of(at, 4);

	wr_vbi(&w, v);
	ASSERT(w.err == E_OK);
	return at + w.n;
}

ALWAYS_INLINE static inline u8 *put_props(u8 *at, const struct msg *m, const struct outgoing *o,
					  const struct shape *s, u16 alias)
{
	const u8 *from;

	from = at = put_vbi(at, s->props);
	if (alias != 0) {
		*at++ = PROP_topic_alias;
		at = put_be(at, alias, 2);
	}
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

ALWAYS_INLINE static inline bool send_named(struct core *c, struct client *cl, struct msg **mp,
					    const struct outgoing *o, bool aliases)
{
	struct msg *m = *mp, *kept = NULL;
	bool by_ref = m->payload.n > OUT_REF_MIN;
	struct naming name = {m->topic.n, 0};
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
	if (aliases)
		name = shape_alias(cl, m, &s);
	ASSERT(s.head + m->payload.n <= UINT32_MAX);
	ASSERT((o->pid != 0) == ((o->first >> 1 & 3) != 0));
	nhead = frame_header(o->first, (u32)(s.head + m->payload.n), head);
	room = nhead + s.head + (by_ref ? 0 : m->payload.n);
	from = at = outq_room(&cl->out, &c->segs, room);
	at = put(at, head, nhead);
	at = put_be(at, (u32)name.topic, 2);
	at = put(at, m->topic.p, name.topic);
	if (o->pid != 0)
		at = put_be(at, o->pid, 2);
	if (cl->version == MQTT_5)
		at = put_props(at, m, o, &s, name.alias);
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

/* Twice, so that who has no aliases does not pay for them. */
bool publish_send(struct core *c, struct client *cl, struct msg **mp, const struct outgoing *o)
{
	if (UNLIKELY(cl->alias_max_out != 0))
		return send_named(c, cl, mp, o, true);
	return send_named(c, cl, mp, o, false);
}
