/* props: the properties of MQTT 5 (section 2.2.2), driven by one table: what kind of value an
 * identifier has, where it may stand, where it may stand more than once, and which values are
 * allowed. */
#include "base/num.h"
#include "wire/codec.h"

enum prop_kind { NOT_A_PROPERTY, U8, U16, U32, VAR, STR, BIN, PAIR };
enum prop_rule {
	ANY,
	BOOLEAN,     /* 0 or 1 */
	POSITIVE,    /* 0 is a Protocol Error */
	TOPIC_ALIAS, /* 0 has a reason code of its own */
	TOPIC_NAME,  /* a name, so no wildcards */
};

struct prop_row {
	u16 offset; /* of the value in struct props */
	u8 kind, rule;
	u16 in;	  /* bit n: may stand in packet type n, bit AT_WILL in a will */
	u16 many; /* and there more than once */
};

#define WILL	     (1u << AT_WILL)
#define MESSAGE	     (WILL | IN(PUBLISH))
#define BOTH_CONNECT (IN(CONNECT) | IN(CONNACK))
#define WITH_AUTH    (BOTH_CONNECT | IN(AUTH))
#define ACKS	     (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(SUBACK) | IN(UNSUBACK))
#define WITH_REASON  (IN(CONNACK) | ACKS | IN(DISCONNECT) | IN(AUTH))
#define EVERYWHERE   (WITH_REASON | MESSAGE | IN(CONNECT) | IN(SUBSCRIBE) | IN(UNSUBSCRIBE))
#define ROW(field, kind, rule, in, many)                                                           \
	{                                                                                          \
		offsetof(struct props, field), kind, rule, in, many                                \
	}

enum { PROP_USER = 0x26, PROP_IDS = 0x40 };
static const struct prop_row prop_rows[PROP_IDS] = {
	[0x01] = ROW(payload_format, U8, BOOLEAN, MESSAGE, 0),
	[0x02] = ROW(message_expiry, U32, ANY, MESSAGE, 0),
	[0x03] = ROW(content_type, STR, ANY, MESSAGE, 0),
	[0x08] = ROW(response_topic, STR, TOPIC_NAME, MESSAGE, 0),
	[0x09] = ROW(correlation_data, BIN, ANY, MESSAGE, 0),
	[0x0b] = ROW(subscription_id, VAR, POSITIVE, IN(PUBLISH) | IN(SUBSCRIBE), IN(PUBLISH)),
	[0x11] = ROW(session_expiry, U32, ANY, BOTH_CONNECT | IN(DISCONNECT), 0),
	[0x12] = ROW(assigned_client_id, STR, ANY, IN(CONNACK), 0),
	[0x13] = ROW(server_keep_alive, U16, ANY, IN(CONNACK), 0),
	[0x15] = ROW(auth_method, STR, ANY, WITH_AUTH, 0),
	[0x16] = ROW(auth_data, BIN, ANY, WITH_AUTH, 0),
	[0x17] = ROW(request_problem_info, U8, BOOLEAN, IN(CONNECT), 0),
	[0x18] = ROW(will_delay, U32, ANY, WILL, 0),
	[0x19] = ROW(request_response_info, U8, BOOLEAN, IN(CONNECT), 0),
	[0x1a] = ROW(response_info, STR, ANY, IN(CONNACK), 0),
	[0x1c] = ROW(server_reference, STR, ANY, IN(CONNACK) | IN(DISCONNECT), 0),
	[0x1f] = ROW(reason_string, STR, ANY, WITH_REASON, 0),
	[0x21] = ROW(receive_maximum, U16, POSITIVE, BOTH_CONNECT, 0),
	[0x22] = ROW(topic_alias_maximum, U16, ANY, BOTH_CONNECT, 0),
	[0x23] = ROW(topic_alias, U16, TOPIC_ALIAS, IN(PUBLISH), 0),
	[0x24] = ROW(maximum_qos, U8, BOOLEAN, IN(CONNACK), 0),
	[0x25] = ROW(retain_available, U8, BOOLEAN, IN(CONNACK), 0),
	[PROP_USER] = {0, PAIR, ANY, EVERYWHERE, EVERYWHERE},
	[0x27] = ROW(maximum_packet_size, U32, POSITIVE, BOTH_CONNECT, 0),
	[0x28] = ROW(wildcard_available, U8, BOOLEAN, IN(CONNACK), 0),
	[0x29] = ROW(subscription_id_available, U8, BOOLEAN, IN(CONNACK), 0),
	[0x2a] = ROW(shared_available, U8, BOOLEAN, IN(CONNACK), 0),
};

struct prop_value {
	u32 n;
	struct slice s, second; /* second: of a pair */
};

static const struct prop_row *prop_row(u8 id)
{
	return &prop_rows[id < PROP_IDS ? id : 0];
}

static struct prop_value prop_read(struct rd *r, const struct prop_row *row)
{
	struct prop_value v = {0};

	switch ((enum prop_kind)row->kind) {
	case U8:
		v.n = rd_u8(r);
		break;
	case U16:
		v.n = rd_u16(r);
		break;
	case U32:
		v.n = rd_u32(r);
		break;
	case VAR:
		v.n = rd_vbi(r);
		break;
	case BIN:
		v.s = rd_bin(r);
		break;
	case STR:
		v.s = rd_str(r);
		break;
	case PAIR:
		v.s = rd_str(r);
		v.second = rd_str(r);
		break;
	case NOT_A_PROPERTY:
	default:
		rd_fail(r, E_MALFORM);
	}
	return v;
}

static enum err prop_check(const struct prop_row *row, const struct prop_value *v)
{
	switch ((enum prop_rule)row->rule) {
	case BOOLEAN:
		return v->n <= 1 ? E_OK : E_PROTO;
	case POSITIVE:
		return v->n != 0 ? E_OK : E_PROTO;
	case TOPIC_ALIAS:
		SPEC("MQTT-3.3.2-8");
		return v->n != 0 ? E_OK : E_ALIAS;
	case TOPIC_NAME:
		SPEC("MQTT-3.3.2-14");
		if (v->s.n == 0 || memchr(v->s.p, '+', v->s.n) || memchr(v->s.p, '#', v->s.n))
			return E_TOPIC;
		return E_OK;
	case ANY:
	default:
		return E_OK;
	}
}

static void prop_store(struct props *out, const struct prop_row *row, const struct prop_value *v)
{
	void *field = (char *)out + row->offset;

	switch ((enum prop_kind)row->kind) {
	case U8:
		*(u8 *)field = (u8)v->n;
		break;
	case U16:
		*(u16 *)field = (u16)v->n;
		break;
	case U32:
	case VAR:
		*(u32 *)field = v->n;
		break;
	case STR:
	case BIN:
		*(struct slice *)field = v->s;
		break;
	case PAIR:
	case NOT_A_PROPERTY:
	default:
		UNREACHABLE("not a field");
	}
}

static struct prop_value prop_load(const struct props *p, const struct prop_row *row)
{
	const void *field = (const char *)p + row->offset;

	switch ((enum prop_kind)row->kind) {
	case U8:
		return (struct prop_value){.n = *(const u8 *)field};
	case U16:
		return (struct prop_value){.n = *(const u16 *)field};
	case U32:
	case VAR:
		return (struct prop_value){.n = *(const u32 *)field};
	case STR:
	case BIN:
		return (struct prop_value){.s = *(const struct slice *)field};
	case PAIR:
	case NOT_A_PROPERTY:
	default:
		UNREACHABLE("not a field");
	}
}

static void props_count_user(struct rd *r, struct props *out, const struct prop_value *v)
{
	u32 bytes;

	if (out->user_count == UINT16_MAX || !narrow_u32(v->s.n + v->second.n, &bytes)) {
		rd_fail(r, E_TOO_LARGE);
		return;
	}
	out->user_count++;
	out->user_bytes += bytes; /* cannot overflow: a packet has fewer bytes */
}

/* One property at the start of r. */
static void prop_decode(struct rd *r, u32 where, struct props *out)
{
	u8 id = rd_u8(r); /* a Variable Byte Integer; none is above one byte */
	const struct prop_row *row = prop_row(id);
	struct prop_value v;

	SPEC("MQTT-2.2.2-2");
	if (!(row->in >> where & 1)) {
		rd_fail(r, E_MALFORM);
		return;
	}
	if (PROP_HAS(out, id) && !(row->many >> where & 1)) {
		rd_fail(r, E_PROTO);
		return;
	}
	v = prop_read(r, row);
	if (r->err == E_OK)
		rd_fail(r, prop_check(row, &v));
	if (r->err != E_OK)
		return;
	if (row->kind == PAIR) {
		props_count_user(r, out, &v);
		return;
	}
	if (!PROP_HAS(out, id))
		prop_store(out, row, &v);
	out->has |= 1ull << id;
}

void props_decode(struct rd *r, u32 where, struct props *out)
{
	u32 n = rd_vbi(r);
	struct rd block;

	props_none(out);
	if (n == 0)
		return;
	out->raw = rd_bytes(r, n);
	block = rd_of(out->raw);
	while (rd_left(&block) != 0)
		prop_decode(&block, where, out);
	rd_fail(r, block.err);
}

/* The next property with this id in a block that was decoded before. */
static bool props_find(const struct props *p, size_t *pos, u8 id, struct prop_value *v)
{
	struct rd r = rd_of(slice_skip(p->raw, *pos));

	while (*pos < p->raw.n && r.err == E_OK) {
		u8 found = rd_u8(&r);
		*v = prop_read(&r, prop_row(found));
		*pos = p->raw.n - rd_left(&r);
		if (found == id && r.err == E_OK)
			return true;
	}
	return false;
}

bool props_user_next(const struct props *p, size_t *pos, struct slice *name, struct slice *value)
{
	struct prop_value v;

	if (p->user_count == 0 || !props_find(p, pos, PROP_USER, &v))
		return false;
	*name = v.s;
	*value = v.second;
	return true;
}

bool props_subscription_next(const struct props *p, size_t *pos, u32 *id)
{
	struct prop_value v;

	if (!PROP_HAS(p, 0x0b) || !props_find(p, pos, 0x0b, &v))
		return false;
	*id = v.n;
	return true;
}

static void prop_write(struct wr *w, u8 id, const struct prop_value *v)
{
	wr_u8(w, id);
	switch ((enum prop_kind)prop_row(id)->kind) {
	case U8:
		wr_u8(w, (u8)v->n);
		break;
	case U16:
		wr_u16(w, (u16)v->n);
		break;
	case U32:
		wr_u32(w, v->n);
		break;
	case VAR:
		wr_vbi(w, v->n);
		break;
	case STR:
	case BIN:
		wr_str(w, v->s);
		break;
	case PAIR:
		wr_str(w, v->s);
		wr_str(w, v->second);
		break;
	case NOT_A_PROPERTY:
	default:
		UNREACHABLE("unknown property in has");
	}
}

/* The properties without their length. */
static void props_write(struct wr *w, const struct props *p)
{
	struct prop_value v;
	size_t pos = 0;
	u32 id;

	for (u64 left = p->has; left != 0; left &= left - 1) {
		u8 field = (u8)__builtin_ctzll(left);
		v = prop_load(p, prop_row(field));
		prop_write(w, field, &v);
	}
	/* The field holds the first Subscription Identifier; the others are in the block alone. */
	for (bool first = true; props_subscription_next(p, &pos, &id); first = false) {
		v.n = id;
		if (!first)
			prop_write(w, 0x0b, &v);
	}
	pos = 0;
	while (props_user_next(p, &pos, &v.s, &v.second))
		prop_write(w, PROP_USER, &v);
}

void props_encode(struct wr *w, const struct props *p)
{
	struct wr n = wr_count();

	if (p->has == 0 && p->user_count == 0) {
		wr_u8(w, 0);
		return;
	}
	props_write(&n, p);
	if (n.err != E_OK || n.n > VBI_MAX) {
		w->err = E_TOO_LARGE;
		return;
	}
	wr_vbi(w, (u32)n.n);
	props_write(w, p);
}
