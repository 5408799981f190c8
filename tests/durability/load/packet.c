/* packet: the packets of MQTT 3.1.1 and 5.0 as a client makes and reads them, from the
 * specification. */
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum {
	CONNECT = 1,
	CONNACK,
	PUBLISH,
	PUBACK,
	PUBREC,
	PUBREL,
	PUBCOMP,
	SUBSCRIBE,
	SUBACK,
	UNSUBSCRIBE,
	UNSUBACK,
	PINGREQ,
	PINGRESP,
	DISCONNECT
};
enum {
	PROP_MESSAGE_EXPIRY = 0x02,
	PROP_EXPIRY = 0x11,
	PROP_RECEIVE_MAX = 0x21,
	PROP_WILL_DELAY = 0x18
};

/* ---- bytes --------------------------------------------------------------------------- */
void buffer_add(struct buffer *b, const void *p, size_t n)
{
	if (b->n + n > b->cap) {
		b->cap = (b->n + n) * 2;
		b->p = realloc(b->p, b->cap);
		if (b->p == NULL)
			abort();
	}
	if (n != 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void buffer_drop(struct buffer *b, size_t n)
{
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void buffer_free(struct buffer *b)
{
	free(b->p);
	*b = (struct buffer){0};
}

static void put_u8(struct buffer *b, u32 v)
{
	u8 byte = (u8)v;

	buffer_add(b, &byte, 1);
}

static void put_u16(struct buffer *b, u32 v)
{
	put_u8(b, v >> 8);
	put_u8(b, v);
}

static void put_u32(struct buffer *b, u32 v)
{
	put_u16(b, v >> 16);
	put_u16(b, v);
}

static void put_vbi(struct buffer *b, size_t n)
{
	do {
		put_u8(b, (u32)(n & 127) | (n > 127 ? 128 : 0));
		n >>= 7;
	} while (n != 0);
}

static void put_data(struct buffer *b, const void *p, size_t n)
{
	put_u16(b, (u32)n);
	buffer_add(b, p, n);
}

static void put_text(struct buffer *b, const char *s)
{
	put_data(b, s, strlen(s));
}

/* Takes body. */
static void put_packet(struct buffer *b, u32 first, struct buffer *body)
{
	put_u8(b, first);
	put_vbi(b, body->n);
	buffer_add(b, body->p, body->n);
	buffer_free(body);
}

/* ---- what a client sends ------------------------------------------------------------- */
static void put_connect_props(struct buffer *b, const struct connect_args *a)
{
	struct buffer props = {0};

	if (a->expiry_s != 0) {
		put_u8(&props, PROP_EXPIRY);
		put_u32(&props, a->expiry_s);
	}
	if (a->receive_max != 0) {
		put_u8(&props, PROP_RECEIVE_MAX);
		put_u16(&props, a->receive_max);
	}
	put_vbi(b, props.n);
	buffer_add(b, props.p, props.n);
	buffer_free(&props);
}

static void put_will(struct buffer *b, const struct connect_args *a)
{
	if (a->version == 5) {
		put_vbi(b, 5);
		put_u8(b, PROP_WILL_DELAY);
		put_u32(b, a->will_delay_s);
	}
	put_text(b, a->will_topic);
	put_data(b, a->will, a->will_n);
}

void put_connect(struct buffer *b, const struct connect_args *a)
{
	struct buffer body = {0};
	u32 flags = a->clean ? 2 : 0;

	flags |= a->will_topic != NULL ? 4u | (u32)a->will_qos << 3 : 0;
	flags |= a->user != NULL ? 0xc0 : 0;
	put_text(&body, "MQTT");
	put_u8(&body, a->version);
	put_u8(&body, flags);
	put_u16(&body, 600);
	if (a->version == 5)
		put_connect_props(&body, a);
	put_text(&body, a->client_id);
	if (a->will_topic != NULL)
		put_will(&body, a);
	if (a->user != NULL) {
		put_text(&body, a->user);
		put_text(&body, a->password);
	}
	put_packet(b, CONNECT << 4, &body);
}

void put_publish(struct buffer *b, const struct publish_args *a)
{
	struct buffer body = {0};

	put_text(&body, a->topic);
	if (a->qos != 0)
		put_u16(&body, a->pid);
	if (a->version == 5)
		put_u8(&body, a->expiry_s != 0 ? 5 : 0);
	if (a->version == 5 && a->expiry_s != 0) {
		put_u8(&body, PROP_MESSAGE_EXPIRY);
		put_u32(&body, a->expiry_s);
	}
	buffer_add(&body, a->payload, a->n);
	put_packet(b, PUBLISH << 4 | (a->dup ? 8u : 0) | (u32)a->qos << 1 | a->retain, &body);
}

void put_subscribe(struct buffer *b, u8 version, u16 pid, const char *filter, u8 qos)
{
	struct buffer body = {0};

	put_u16(&body, pid);
	if (version == 5)
		put_u8(&body, 0);
	put_text(&body, filter);
	put_u8(&body, qos);
	put_packet(b, SUBSCRIBE << 4 | 2, &body);
}

void put_unsubscribe(struct buffer *b, u8 version, u16 pid, const char *filter)
{
	struct buffer body = {0};

	put_u16(&body, pid);
	if (version == 5)
		put_u8(&body, 0);
	put_text(&body, filter);
	put_packet(b, UNSUBSCRIBE << 4 | 2, &body);
}

void put_ack(struct buffer *b, u8 first, u16 pid)
{
	put_u8(b, first);
	put_u8(b, 2);
	put_u16(b, pid);
}

void put_bye(struct buffer *b, u8 version, u8 reason)
{
	put_u8(b, DISCONNECT << 4);
	put_u8(b, version == 5 && reason != 0 ? 1 : 0);
	if (version == 5 && reason != 0)
		put_u8(b, reason);
}

void put_ping(struct buffer *b)
{
	put_u8(b, PINGREQ << 4);
	put_u8(b, 0);
}

/* ---- what a broker sends ------------------------------------------------------------- */
struct reader {
	const u8 *p, *end;
	bool bad;
};

static u32 get(struct reader *r, size_t n)
{
	u32 v = 0;

	if ((size_t)(r->end - r->p) < n) {
		r->bad = true;
		return 0;
	}
	while (n-- > 0)
		v = v << 8 | *r->p++;
	return v;
}

static const u8 *get_bytes(struct reader *r, size_t n)
{
	const u8 *at = r->p;

	if ((size_t)(r->end - r->p) < n) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	return at;
}

static size_t get_vbi(struct reader *r)
{
	size_t v = 0;
	u32 shift = 0, byte;

	do {
		byte = get(r, 1);
		v |= (size_t)(byte & 127) << shift;
		shift += 7;
	} while ((byte & 128) != 0 && shift < 28);
	r->bad |= (byte & 128) != 0;
	return v;
}

/* Sizes of the properties that CONNACK may have; 0: a text, 255: two of them. */
static u32 prop_size(u32 id)
{
	switch (id) {
	case 0x11:
		return 4;
	case 0x13:
	case 0x21:
	case 0x22:
		return 2;
	case 0x24:
	case 0x25:
	case 0x28:
	case 0x29:
	case 0x2a:
		return 1;
	case 0x27:
		return 4;
	case 0x26:
		return 255;
	default:
		return 0;
	}
}

static void read_connack(struct reader *r, u8 version, struct packet *out)
{
	out->present = get(r, 1) & 1;
	out->code = (u8)get(r, 1);
	if (version != 5 || r->p == r->end)
		return;
	get_vbi(r);
	while (r->p < r->end && !r->bad) {
		u32 id = get(r, 1), size = prop_size(id);
		if (id == PROP_RECEIVE_MAX)
			out->receive_max = (u16)get(r, 2);
		else if (size == 0)
			get_bytes(r, get(r, 2));
		else if (size == 255)
			get_bytes(r, get(r, 2)), get_bytes(r, get(r, 2));
		else
			get_bytes(r, size);
	}
}

static void read_publish(struct reader *r, u8 version, struct packet *out)
{
	out->topic_n = get(r, 2);
	out->topic = get_bytes(r, out->topic_n);
	if ((out->flags & 6) != 0)
		out->pid = (u16)get(r, 2);
	if (version == 5)
		get_bytes(r, get_vbi(r));
	out->n = (size_t)(r->end - r->p);
	out->payload = r->p;
}

static void read_body(struct reader *r, u8 version, struct packet *out)
{
	switch (out->type) {
	case CONNACK:
		read_connack(r, version, out);
		break;
	case PUBLISH:
		read_publish(r, version, out);
		break;
	case PUBACK:
	case PUBREC:
	case PUBREL:
	case PUBCOMP:
		out->pid = (u16)get(r, 2);
		out->code = r->p < r->end ? (u8)get(r, 1) : 0;
		break;
	case SUBACK:
	case UNSUBACK:
		out->pid = (u16)get(r, 2);
		if (version == 5)
			get_bytes(r, get_vbi(r));
		out->code = r->p < r->end ? (u8)get(r, 1) : 0;
		break;
	case DISCONNECT:
		out->code = r->p < r->end ? (u8)get(r, 1) : 0;
		break;
	case PINGRESP:
		break;
	default:
		r->bad = true;
	}
}

size_t packet_read(const u8 *p, size_t n, u8 version, struct packet *out)
{
	struct reader r = {p, p + n, false};
	size_t length;

	*out = (struct packet){0};
	if (n < 2)
		return 0;
	out->type = p[0] >> 4;
	out->flags = p[0] & 15;
	r.p++;
	length = get_vbi(&r);
	if (r.bad)
		return n < 5 ? 0 : SIZE_MAX;
	if ((size_t)(r.end - r.p) < length)
		return length > PACKET_MAX ? SIZE_MAX : 0;
	r.end = r.p + length;
	read_body(&r, version, out);
	return r.bad ? SIZE_MAX : (size_t)(r.end - p);
}

/* ---- payloads ------------------------------------------------------------------------ */
static u32 checksum(u32 sum, const u8 *p, size_t n) /* FNV-1a */
{
	for (size_t i = 0; i < n; i++)
		sum = (sum ^ p[i]) * 16777619u;
	return sum;
}

static u32 payload_sum(const u8 *p, size_t n, const void *topic, size_t topic_n)
{
	u32 sum = checksum(2166136261u, topic, topic_n);

	sum = checksum(sum, p, 6);
	return checksum(sum, p + PAYLOAD_MIN, n - PAYLOAD_MIN);
}

void payload_make(u8 *out, size_t n, u32 publisher, u32 seq, const char *topic)
{
	u64 x = (u64)publisher << 32 | seq | 1ull << 63;
	u32 sum;

	for (size_t i = PAYLOAD_MIN; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		out[i] = (u8)x;
	}
	out[0] = (u8)(publisher >> 8);
	out[1] = (u8)publisher;
	for (u32 i = 0; i < 4; i++)
		out[2 + i] = (u8)(seq >> (24 - 8 * i));
	sum = payload_sum(out, n, topic, strlen(topic));
	for (u32 i = 0; i < 4; i++)
		out[6 + i] = (u8)(sum >> (24 - 8 * i));
}

bool payload_check(const struct packet *p, u32 *publisher, u32 *seq)
{
	struct reader r = {p->payload, p->payload + p->n, false};
	u32 sum;

	*publisher = get(&r, 2);
	*seq = get(&r, 4);
	sum = get(&r, 4);
	return !r.bad && sum == payload_sum(p->payload, p->n, p->topic, p->topic_n);
}
