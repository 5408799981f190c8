/* any: one packet of any type, for tests and fuzzers: decode it, compare what it means, encode it
 * again.
 *
 * Equal means equal in what the encoders can carry: the acknowledgements are encoded without
 * properties, SUBSCRIBE with its Subscription Identifier alone. */
#ifndef PICKET_TEST_ANY_H
#define PICKET_TEST_ANY_H

#include <stdlib.h>

#include "base/mem.h"
#include "wire/packet.h"

struct any {
	struct frame f;
	enum mqtt_version v;
	union {
		struct pkt_connect connect;
		struct pkt_connack connack;
		struct pkt_publish publish;
		struct pkt_ack ack;
		struct pkt_subscribe subscribe;
		struct pkt_unsubscribe unsubscribe;
		struct pkt_suback suback;
		struct pkt_disconnect disconnect;
	};
};

static inline enum err any_body(struct any *a, enum peer_side side, struct slice body)
{
	switch ((enum pkt_type)a->f.type) {
	case PKT_CONNECT: {
		enum err e = pkt_connect_decode(&a->f, body, &a->connect);
		a->v = a->connect.version;
		return e;
	}
	case PKT_CONNACK:
		return pkt_connack_decode(&a->f, a->v, body, &a->connack);
	case PKT_PUBLISH:
		return pkt_publish_decode(&a->f, a->v, side, body, &a->publish);
	case PKT_PUBACK:
	case PKT_PUBREC:
	case PKT_PUBREL:
	case PKT_PUBCOMP:
		return pkt_ack_decode(&a->f, a->v, body, &a->ack);
	case PKT_SUBSCRIBE:
		return pkt_subscribe_decode(&a->f, a->v, body, &a->subscribe);
	case PKT_UNSUBSCRIBE:
		return pkt_unsubscribe_decode(&a->f, a->v, body, &a->unsubscribe);
	case PKT_SUBACK:
	case PKT_UNSUBACK:
		return pkt_suback_decode(&a->f, a->v, body, &a->suback);
	case PKT_PINGREQ:
	case PKT_PINGRESP:
		return E_OK;
	case PKT_DISCONNECT:
	case PKT_AUTH:
		return pkt_disconnect_decode(&a->f, a->v, side, body, &a->disconnect);
	default:
		UNREACHABLE("frame_peek let a type through");
	}
}

/* The packet at the start of in: frame_peek, then the body.  E_MORE when it is not all there. */
static inline enum err any_decode(struct any *a, enum mqtt_version v, enum peer_side side,
				  struct slice in)
{
	enum err e;

	/* Junk, so that a field read without has shows. */
	memset(a, 0xa5, sizeof(*a));
	a->v = v;
	e = frame_peek(in, v, UINT32_MAX, &a->f);
	if (e != E_OK)
		return e;
	if (in.n < (size_t)a->f.header_len + a->f.body_len)
		return E_MORE;
	return any_body(a, side, slice_of(in.p + a->f.header_len, a->f.body_len));
}

static inline void any_subscribe_encode(struct wr *w, const struct any *a)
{
	struct pkt_subscribe p = a->subscribe;
	struct sub_entry *entries = xcalloc(p.count, sizeof(*entries));
	bool identified = PROP_HAS(&p.props, 0x0b);
	u16 n = 0;

	while (sub_next(&p, &entries[n]))
		n++;
	ASSERT(n == p.count);
	pkt_subscribe_encode(w, a->v, p.packet_id, identified ? p.props.subscription_id : 0,
			     entries, n);
	free(entries);
}

static inline void any_unsubscribe_encode(struct wr *w, const struct any *a)
{
	struct pkt_unsubscribe p = a->unsubscribe;
	struct slice *raw = xcalloc(p.count, sizeof(*raw));
	struct sub_entry e;
	u16 n = 0;

	while (unsub_next(&p, &e))
		raw[n++] = e.raw;
	ASSERT(n == p.count);
	pkt_unsubscribe_encode(w, a->v, p.packet_id, raw, n);
	free(raw);
}

static inline void any_encode(struct wr *w, const struct any *a)
{
	enum pkt_type type = (enum pkt_type)a->f.type;

	switch (type) {
	case PKT_CONNECT:
		pkt_connect_encode(w, &a->connect);
		break;
	case PKT_CONNACK:
		pkt_connack_encode(w, a->v, &a->connack);
		break;
	case PKT_PUBLISH:
		pkt_publish_encode(w, a->v, &a->publish);
		break;
	case PKT_PUBACK:
	case PKT_PUBREC:
	case PKT_PUBREL:
	case PKT_PUBCOMP:
		pkt_ack_encode(w, a->v, type, a->ack.packet_id, a->ack.reason);
		break;
	case PKT_SUBSCRIBE:
		any_subscribe_encode(w, a);
		break;
	case PKT_UNSUBSCRIBE:
		any_unsubscribe_encode(w, a);
		break;
	case PKT_SUBACK:
	case PKT_UNSUBACK:
		pkt_suback_encode(w, a->v, type, a->suback.packet_id, a->suback.codes);
		break;
	case PKT_PINGREQ:
	case PKT_PINGRESP:
		pkt_ping_encode(w, type);
		break;
	case PKT_DISCONNECT:
	case PKT_AUTH:
		pkt_disconnect_encode(w, a->v, type, &a->disconnect);
		break;
	default:
		UNREACHABLE("not a type");
	}
}

#define ANY_EQ_U8(x, y)	 ((x) == (y))
#define ANY_EQ_U16(x, y) ((x) == (y))
#define ANY_EQ_U32(x, y) ((x) == (y))
#define ANY_EQ_VAR(x, y) ((x) == (y))
#define ANY_EQ_STR(x, y) slice_eq(x, y)
#define ANY_EQ_BIN(x, y) slice_eq(x, y)

static inline bool any_users_equal(const struct props *a, const struct props *b)
{
	struct slice an, av, bn, bv;
	size_t ap = 0, bp = 0;
	u32 n = 0;

	while (props_user_next(a, &ap, &an, &av)) {
		if (!props_user_next(b, &bp, &bn, &bv) || !slice_eq(an, bn) || !slice_eq(av, bv))
			return false;
		n++;
	}
	return n == a->user_count && !props_user_next(b, &bp, &bn, &bv);
}

static inline bool any_subscriptions_equal(const struct props *a, const struct props *b)
{
	size_t ap = 0, bp = 0;
	u32 ai, bi;

	while (props_subscription_next(a, &ap, &ai)) {
		if (!props_subscription_next(b, &bp, &bi) || ai != bi)
			return false;
	}
	return !props_subscription_next(b, &bp, &bi);
}

static inline bool any_props_equal(const struct props *a, const struct props *b)
{
	bool equal = a->has == b->has && a->user_bytes == b->user_bytes;

#define X(name, id, kind)                                                                          \
	if (equal && PROP_HAS(a, id))                                                              \
		equal = ANY_EQ_##kind(a->name, b->name);
	PROP_TABLE(X)
#undef X
	return equal && any_users_equal(a, b) && any_subscriptions_equal(a, b);
}

static inline bool any_connect_equal(const struct pkt_connect *a, const struct pkt_connect *b)
{
	bool equal = a->version == b->version && a->clean_start == b->clean_start &&
		     a->has_will == b->has_will && a->has_username == b->has_username &&
		     a->has_password == b->has_password && a->keep_alive_s == b->keep_alive_s &&
		     slice_eq(a->client_id, b->client_id) && slice_eq(a->username, b->username) &&
		     slice_eq(a->password, b->password) && any_props_equal(&a->props, &b->props);

	if (!equal || !a->has_will)
		return equal;
	return slice_eq(a->will.topic.s, b->will.topic.s) &&
	       slice_eq(a->will.payload, b->will.payload) && a->will.qos == b->will.qos &&
	       a->will.retain == b->will.retain && any_props_equal(&a->will.props, &b->will.props);
}

static inline bool any_publish_equal(const struct pkt_publish *a, const struct pkt_publish *b)
{
	if (a->topic_absent != b->topic_absent)
		return false;
	if (!a->topic_absent && !slice_eq(a->topic.s, b->topic.s))
		return false;
	return a->dup == b->dup && a->retain == b->retain && a->qos == b->qos &&
	       a->packet_id == b->packet_id && slice_eq(a->payload, b->payload) &&
	       any_props_equal(&a->props, &b->props);
}

static inline bool any_entry_equal(const struct sub_entry *x, const struct sub_entry *y)
{
	return slice_eq(x->raw, y->raw) && x->err == y->err && x->qos == y->qos &&
	       x->retain_handling == y->retain_handling && x->no_local == y->no_local &&
	       x->retain_as_published == y->retain_as_published;
}

static inline bool any_subscribe_equal(struct pkt_subscribe a, struct pkt_subscribe b)
{
	struct sub_entry x, y;

	if (a.packet_id != b.packet_id || a.count != b.count ||
	    !any_subscriptions_equal(&a.props, &b.props))
		return false;
	while (sub_next(&a, &x)) {
		if (!sub_next(&b, &y) || !any_entry_equal(&x, &y))
			return false;
	}
	return !sub_next(&b, &y);
}

static inline bool any_unsubscribe_equal(struct pkt_unsubscribe a, struct pkt_unsubscribe b)
{
	struct sub_entry x, y;

	if (a.packet_id != b.packet_id || a.count != b.count)
		return false;
	while (unsub_next(&a, &x)) {
		if (!unsub_next(&b, &y) || !any_entry_equal(&x, &y))
			return false;
	}
	return !unsub_next(&b, &y);
}

static inline bool any_equal(const struct any *a, const struct any *b)
{
	if (a->f.type != b->f.type || a->v != b->v)
		return false;
	switch ((enum pkt_type)a->f.type) {
	case PKT_CONNECT:
		return any_connect_equal(&a->connect, &b->connect);
	case PKT_CONNACK:
		return a->connack.session_present == b->connack.session_present &&
		       a->connack.code == b->connack.code &&
		       any_props_equal(&a->connack.props, &b->connack.props);
	case PKT_PUBLISH:
		return any_publish_equal(&a->publish, &b->publish);
	case PKT_PUBACK:
	case PKT_PUBREC:
	case PKT_PUBREL:
	case PKT_PUBCOMP:
		return a->ack.packet_id == b->ack.packet_id && a->ack.reason == b->ack.reason;
	case PKT_SUBSCRIBE:
		return any_subscribe_equal(a->subscribe, b->subscribe);
	case PKT_UNSUBSCRIBE:
		return any_unsubscribe_equal(a->unsubscribe, b->unsubscribe);
	case PKT_SUBACK:
	case PKT_UNSUBACK:
		return a->suback.packet_id == b->suback.packet_id &&
		       slice_eq(a->suback.codes, b->suback.codes);
	case PKT_PINGREQ:
	case PKT_PINGRESP:
		return true;
	case PKT_DISCONNECT:
	case PKT_AUTH:
		return a->disconnect.reason == b->disconnect.reason &&
		       any_props_equal(&a->disconnect.props, &b->disconnect.props);
	default:
		UNREACHABLE("not a type");
	}
}

#endif
