/* What the conformance vectors leave out: MQTT 3.1, limits, sides, and what an encoder refuses. */
#include "../base/test.h"
#include "any.h"

#define DECODE(a, v, side, lit) any_decode(a, v, side, SLICE_LIT(lit))

static void mqtt_31_connects(void **state)
{
	u8 out[64];
	struct wr w = wr_of(out, sizeof(out));
	struct any a, b;

	assert_int_equal(DECODE(&a, MQTT_NONE, FROM_CLIENT,
				"\x10\x11\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x03"
				"dev"),
			 E_OK);
	assert_int_equal(a.connect.version, MQTT_31);
	any_encode(&w, &a);
	assert_int_equal(any_decode(&b, MQTT_NONE, FROM_CLIENT, wr_done(&w)), E_OK);
	assert_true(any_equal(&a, &b));
	/* No empty client id in 3.1, not even for a clean session. */
	assert_int_equal(DECODE(&a, MQTT_NONE, FROM_CLIENT,
				"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00"),
			 E_CLIENT_ID);
	assert_int_equal(a.connect.version, MQTT_31);
}

static void name_and_level_belong_together(void **state)
{
	struct any a;

	assert_int_equal(DECODE(&a, MQTT_NONE, FROM_CLIENT,
				"\x10\x0f\x00\x04MQTT\x03\x02\x00\x3c\x00\x03"
				"dev"),
			 E_VERSION);
	assert_int_equal(DECODE(&a, MQTT_NONE, FROM_CLIENT,
				"\x10\x11\x00\x06MQIsdp\x04\x02\x00\x3c\x00\x03"
				"dev"),
			 E_VERSION);
	/* A bridge of another broker marks itself in the level's high bit. */
	assert_int_equal(DECODE(&a, MQTT_NONE, FROM_CLIENT,
				"\x10\x0f\x00\x04MQTT\x84\x02\x00\x3c\x00\x03"
				"dev"),
			 E_VERSION);
	assert_int_equal(DECODE(&a, MQTT_NONE, FROM_CLIENT, "\x10\x05\x00\x04MQT"), E_SHORT);
}

static void mqtt_31_may_repeat_with_dup(void **state)
{
	struct frame f;

	assert_int_equal(frame_peek(SLICE_LIT("\x6a\x02"), MQTT_31, 100, &f), E_OK);
	assert_int_equal(frame_peek(SLICE_LIT("\x8a\x02"), MQTT_31, 100, &f), E_OK);
	assert_int_equal(frame_peek(SLICE_LIT("\xaa\x02"), MQTT_31, 100, &f), E_OK);
	assert_int_equal(frame_peek(SLICE_LIT("\x6a\x02"), MQTT_311, 100, &f), E_MALFORM);
	assert_int_equal(frame_peek(SLICE_LIT("\xc8\x00"), MQTT_31, 100, &f), E_MALFORM);
}

static void pings_have_no_body(void **state)
{
	struct frame f;

	assert_int_equal(frame_peek(SLICE_LIT("\xc0\x01"), MQTT_5, 100, &f), E_MALFORM);
	assert_int_equal(frame_peek(SLICE_LIT("\xd0\x01"), MQTT_5, 100, &f), E_MALFORM);
	assert_int_equal(frame_peek(SLICE_LIT("\xd0\x00"), MQTT_5, 100, &f), E_OK);
}

/* Every first byte, in every version: what table 2-2 says. */
static void first_bytes(void **state)
{
	static const enum mqtt_version versions[] = {MQTT_NONE, MQTT_31, MQTT_311, MQTT_5};

	for (u32 first = 0; first < 256; first++) {
		u32 type = first >> 4, flags = first & 15;
		bool two = type == PKT_PUBREL || type == PKT_SUBSCRIBE || type == PKT_UNSUBSCRIBE;
		for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
			enum mqtt_version v = versions[i];
			const u8 b[] = {(u8)first};
			struct frame f;
			bool ok = type == PKT_PUBLISH ? (flags & 6) != 6 : flags == (two ? 2 : 0);
			ok |= v == MQTT_31 && two && flags == 10;
			ok &= type != 0;
			ok &= type != PKT_AUTH || v == MQTT_5 || v == MQTT_NONE;
			assert_int_equal(frame_peek(slice_of(b, 1), v, 100, &f),
					 ok ? E_MORE : E_MALFORM);
		}
	}
}

/* A CONNECT of 3.1.1 with user name and the given field sizes. */
static enum err connect_sized(size_t id, size_t user)
{
	static u8 big[70000], out[80000];
	struct pkt_connect p = {.version = MQTT_311, .clean_start = true, .has_username = true};
	struct wr w = wr_of(out, sizeof(out));
	struct any a;

	memset(big, 'x', sizeof(big));
	p.client_id = slice_of(big, id);
	p.username = slice_of(big, user);
	pkt_connect_encode(&w, &p);
	if (w.err != E_OK)
		return w.err;
	return any_decode(&a, MQTT_NONE, FROM_CLIENT, wr_done(&w));
}

static void names_have_a_limit(void **state)
{
	assert_int_equal(connect_sized(256, 256), E_OK);
	assert_int_equal(connect_sized(257, 1), E_CLIENT_ID);
	assert_int_equal(connect_sized(1, 257), E_CLIENT_ID);
	assert_int_equal(connect_sized(65535, 1), E_CLIENT_ID);
	assert_int_equal(connect_sized(65536, 1), E_TOO_LARGE); /* no string can be so long */
}

static void a_will_needs_a_topic_name(void **state)
{
	struct any a;

	assert_int_equal(DECODE(&a, MQTT_NONE, FROM_CLIENT,
				"\x10\x13\x00\x04MQTT\x04\x06\x00\x3c\x00\x01"
				"d\x00\x01#\x00\x01x"),
			 E_TOPIC);
	assert_int_equal(DECODE(&a, MQTT_NONE, FROM_CLIENT,
				"\x10\x12\x00\x04MQTT\x04\x06\x00\x3c\x00\x01"
				"d\x00\x00\x00\x01x"),
			 E_TOPIC);
}

static void dup_needs_qos(void **state)
{
	struct any a;

	assert_int_equal(DECODE(&a, MQTT_311, FROM_CLIENT,
				"\x38\x03\x00\x01"
				"a"),
			 E_MALFORM);
}

static void suback_codes_by_version(void **state)
{
	struct any a;

	assert_int_equal(DECODE(&a, MQTT_311, FROM_SERVER, "\x90\x03\x00\x01\x80"), E_OK);
	assert_int_equal(DECODE(&a, MQTT_311, FROM_SERVER, "\x90\x03\x00\x01\x87"), E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_311, FROM_SERVER, "\x90\x02\x00\x01"), E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_311, FROM_SERVER, "\xb0\x03\x00\x01\x00"), E_MALFORM);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_SERVER, "\xb0\x03\x00\x01\x00"), E_PROTO);
}

static void connack_is_checked(void **state)
{
	struct any a;

	assert_int_equal(DECODE(&a, MQTT_311, FROM_SERVER, "\x20\x02\x02\x00"), E_MALFORM);
	assert_int_equal(DECODE(&a, MQTT_311, FROM_SERVER, "\x20\x02\x00\x06"), E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_311, FROM_SERVER, "\x20\x02\x01\x05"), E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_SERVER, "\x20\x03\x01\x87\x00"), E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_SERVER, "\x20\x02\x00\x00"), E_SHORT);
	assert_int_equal(DECODE(&a, MQTT_311, FROM_SERVER, "\x20\x03\x00\x00\x00"), E_MALFORM);
	/* Authentication Data without a method. */
	assert_int_equal(DECODE(&a, MQTT_5, FROM_SERVER, "\x20\x07\x00\x00\x04\x16\x00\x01x"),
			 E_PROTO);
}

/* Table 3-10: what a client may say when it leaves, and what a server may. */
static void disconnect_reasons_by_side(void **state)
{
	static const u8 client[] = {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x8c, 0x90,
				    0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99};
	static const u8 server[] = {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d,
				    0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
				    0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2};

	for (u32 i = 0; i < 256; i++) {
		const u8 p[] = {0xe0, 1, (u8)i};
		struct any a;
		bool c = memchr(client, p[2], sizeof(client)) != NULL;
		bool s = memchr(server, p[2], sizeof(server)) != NULL;
		assert_int_equal(any_decode(&a, MQTT_5, FROM_CLIENT, slice_of(p, 3)),
				 c ? E_OK : E_PROTO);
		assert_int_equal(any_decode(&a, MQTT_5, FROM_SERVER, slice_of(p, 3)),
				 s ? E_OK : E_PROTO);
	}
}

static void disconnect_and_auth_know_their_side(void **state)
{
	struct any a;

	assert_int_equal(DECODE(&a, MQTT_5, FROM_SERVER, "\xe0\x01\x04"), E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_CLIENT, "\xe0\x01\x04"), E_OK);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_CLIENT, "\xe0\x01\x8e"), E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_SERVER, "\xe0\x01\x8e"), E_OK);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_SERVER, "\xe0\x07\x00\x05\x11\x00\x00\x00\x01"),
			 E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_CLIENT, "\xe0\x06\x00\x04\x1c\x00\x01x"), E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_311, FROM_CLIENT, "\xe0\x01\x00"), E_MALFORM);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_SERVER, "\xf0\x00"), E_OK);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_CLIENT, "\xf0\x00"), E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_SERVER, "\xf0\x01\x18"), E_SHORT);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_CLIENT, "\xf0\x02\x18\x00"), E_PROTO);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_SERVER, "\xf0\x06\x19\x04\x15\x00\x01x"), E_PROTO);
}

/* The peer's version is settled by CONNECT: a decoder asked for AUTH in 3.x does not guess. */
static void no_auth_in_mqtt_3(void **state)
{
	const struct frame f = {.type = PKT_AUTH, .header_len = 2};
	struct pkt_disconnect p;

	assert_int_equal(pkt_disconnect_decode(&f, MQTT_311, FROM_CLIENT, SLICE_NONE, &p), E_PROTO);
}

static void acks_of_mqtt_3_end_after_the_identifier(void **state)
{
	struct any a;

	assert_int_equal(DECODE(&a, MQTT_311, FROM_CLIENT, "\x40\x03\x00\x01\x00"), E_MALFORM);
	assert_int_equal(DECODE(&a, MQTT_5, FROM_CLIENT, "\x40\x02\x00\x00"), E_PROTO);
}

static void properties_without_has_stay_unread(void **state)
{
	struct any a;

	assert_int_equal(DECODE(&a, MQTT_5, FROM_CLIENT,
				"\x30\x04\x00\x01"
				"a\x00"),
			 E_OK);
	assert_true(a.publish.props.has == 0);
	assert_int_equal(a.publish.props.user_count, 0);
	assert_int_equal(a.publish.props.raw.n, 0);
	/* Unlike those of a CONNECT, which are zero. */
	assert_int_equal(DECODE(&a, MQTT_NONE, FROM_CLIENT,
				"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03"
				"dev"),
			 E_OK);
	assert_int_equal(a.connect.props.session_expiry, 0);
}

/* As many entries as there can be, and one more; as many user properties, and one more. */
static void counts_are_bounded(void **state)
{
	const size_t cap = 600000;
	u8 *b = xmalloc(cap);

	for (u32 extra = 0; extra < 2; extra++) {
		enum err want = extra ? E_TOO_LARGE : E_OK;
		u32 n = UINT16_MAX + extra;
		struct wr body = wr_of(b + 5, cap - 5), props;
		struct any a;
		wr_u16(&body, 1);
		for (u32 i = 0; i < n; i++) {
			wr_bytes(&body, "\0\1a", 3);
			wr_u8(&body, 0);
		}
		a.f = (struct frame){PKT_SUBSCRIBE, 2, 5, (u32)body.n};
		a.v = MQTT_311;
		assert_int_equal(any_body(&a, FROM_CLIENT, wr_done(&body)), want);

		props = wr_of(b, cap);
		wr_bytes(&props, "\0\1a", 3);
		wr_vbi(&props, n * 5);
		for (u32 i = 0; i < n; i++)
			wr_bytes(&props, "\x26\0\0\0\0", 5);
		a.f = (struct frame){PKT_PUBLISH, 0, 5, (u32)props.n};
		a.v = MQTT_5;
		assert_int_equal(any_body(&a, FROM_CLIENT, wr_done(&props)), want);
	}
	free(b);
}

static void no_packet_is_larger_than_the_protocol_allows(void **state)
{
	/* A counting writer needs no payload of that size, only its length. */
	struct pkt_publish p = {.payload = {NULL, VBI_MAX}};
	struct wr w = wr_count();

	assert_int_equal(topic_parse(SLICE_LIT("a"), &p.topic), E_OK);
	pkt_publish_encode(&w, MQTT_311, &p);
	assert_int_equal(w.err, E_TOO_LARGE);
	w = wr_count();
	p.payload.n = VBI_MAX - 3;
	pkt_publish_encode(&w, MQTT_311, &p);
	assert_int_equal(w.err, E_OK);
	assert_int_equal(w.n, (size_t)VBI_MAX + 5);
	/* A writer that failed stays failed. */
	w.err = E_SHORT;
	pkt_publish_encode(&w, MQTT_311, &p);
	assert_int_equal(w.err, E_SHORT);
	w = wr_count();
	wr_vbi(&w, VBI_MAX + 1u);
	assert_int_equal(w.err, E_TOO_LARGE);
}

/* Forwarding: properties of our own beside the user properties of the sender's block. */
static void user_properties_travel_in_the_senders_block(void **state)
{
	struct any a;
	u8 out[64];
	struct wr w = wr_of(out, sizeof(out));
	struct slice name, value;
	size_t pos = 0;

	assert_int_equal(DECODE(&a, MQTT_5, FROM_CLIENT,
				"\x30\x15\x00\x01"
				"a\x11\x23\x00\x01\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01w"),
			 E_OK);
	a.publish.props.has = 1ull << 0x0b;
	a.publish.props.subscription_id = 300;
	pkt_publish_encode(&w, MQTT_5, &a.publish);
	assert_int_equal(any_decode(&a, MQTT_5, FROM_SERVER, wr_done(&w)), E_OK);
	assert_false(PROP_HAS(&a.publish.props, 0x23));
	assert_int_equal(a.publish.props.subscription_id, 300);
	assert_int_equal(a.publish.props.user_count, 2);
	assert_int_equal(a.publish.props.user_bytes, 4);
	assert_true(props_user_next(&a.publish.props, &pos, &name, &value));
	assert_true(slice_eq(name, SLICE_LIT("k")) && slice_eq(value, SLICE_LIT("v")));
	assert_true(props_user_next(&a.publish.props, &pos, &name, &value));
	assert_true(slice_eq(value, SLICE_LIT("w")));
	assert_false(props_user_next(&a.publish.props, &pos, &name, &value));
}

static void a_property_too_long_is_not_encoded(void **state)
{
	static u8 big[65536];
	struct pkt_connack p = {.props = {.has = 1ull << 0x1f}};
	struct wr w = wr_count();

	p.props.reason_string = slice_of(big, sizeof(big));
	pkt_connack_encode(&w, MQTT_5, &p);
	assert_int_equal(w.err, E_TOO_LARGE);
	assert_int_equal(w.n, 0);
}

/* One packet of each kind written by the encoders for fields that decoding cannot reach alone. */
static void encoders_write_the_shortest_form(void **state)
{
	u8 out[64];
	struct wr w = wr_of(out, sizeof(out));
	const struct pkt_disconnect bye = {.reason = 0}, gone = {.reason = 0x8b};

	pkt_ack_encode(&w, MQTT_5, PKT_PUBACK, 10, 0);
	pkt_ack_encode(&w, MQTT_5, PKT_PUBREL, 10, 0x92);
	pkt_ack_encode(&w, MQTT_311, PKT_PUBREC, 10, 0x92);
	pkt_disconnect_encode(&w, MQTT_5, PKT_DISCONNECT, &bye);
	pkt_disconnect_encode(&w, MQTT_5, PKT_DISCONNECT, &gone);
	pkt_disconnect_encode(&w, MQTT_311, PKT_DISCONNECT, &gone);
	pkt_ping_encode(&w, PKT_PINGRESP);
	assert_true(slice_eq(wr_done(&w), SLICE_LIT("\x40\x02\x00\x0a\x62\x03\x00\x0a\x92"
						    "\x50\x02\x00\x0a\xe0\x00\xe0\x01\x8b"
						    "\xe0\x00\xd0\x00")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mqtt_31_connects),
		cmocka_unit_test(name_and_level_belong_together),
		cmocka_unit_test(mqtt_31_may_repeat_with_dup),
		cmocka_unit_test(pings_have_no_body),
		cmocka_unit_test(first_bytes),
		cmocka_unit_test(names_have_a_limit),
		cmocka_unit_test(a_will_needs_a_topic_name),
		cmocka_unit_test(dup_needs_qos),
		cmocka_unit_test(suback_codes_by_version),
		cmocka_unit_test(connack_is_checked),
		cmocka_unit_test(disconnect_reasons_by_side),
		cmocka_unit_test(disconnect_and_auth_know_their_side),
		cmocka_unit_test(no_auth_in_mqtt_3),
		cmocka_unit_test(acks_of_mqtt_3_end_after_the_identifier),
		cmocka_unit_test(properties_without_has_stay_unread),
		cmocka_unit_test(counts_are_bounded),
		cmocka_unit_test(no_packet_is_larger_than_the_protocol_allows),
		cmocka_unit_test(user_properties_travel_in_the_senders_block),
		cmocka_unit_test(a_property_too_long_is_not_encoded),
		cmocka_unit_test(encoders_write_the_shortest_form),
	};

	return RUN_TESTS(tests);
}
