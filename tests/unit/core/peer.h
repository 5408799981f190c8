/* peer: a client of MQTT for tests over a world: says things, and reads strictly what comes back.
 */
#ifndef PICKET_TESTS_PEER_H
#define PICKET_TESTS_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "world.h"

struct peer_opts {
	const char *user, *id, *password;
	u8 version;
	bool persistent; /* clean start 0, and an expiry of an hour in MQTT 5 */
	bool no_credential;
	u32 expiry_s;
	u16 keep_alive_s, receive_max, alias_max;
	u32 max_packet;
	const char *will_topic, *will_payload;
	u32 will_delay_s;
	bool will_retain;
	u8 will_qos;
};

static inline void peer_say_connect(struct wconn *c, const struct peer_opts *o)
{
	u8 buf[2048];
	struct wr w = wr_of(buf, sizeof(buf));
	struct pkt_connect p = {.version =
					o->version != 0 ? (enum mqtt_version)o->version : MQTT_311,
				.clean_start = !o->persistent,
				.keep_alive_s = o->keep_alive_s,
				.client_id = slice_str(o->id != NULL ? o->id : o->user)};

	if (!o->no_credential) {
		p.has_username = p.has_password = true;
		p.username = slice_str(o->user);
		p.password = slice_str(o->password != NULL ? o->password : "pw");
	}
	if (p.version == MQTT_5 && (o->persistent || o->expiry_s != 0)) {
		p.props.has |= 1ull << 0x11;
		p.props.session_expiry = o->expiry_s != 0 ? o->expiry_s : 3600;
	}
	if (o->receive_max != 0) {
		p.props.has |= 1ull << 0x21;
		p.props.receive_maximum = o->receive_max;
	}
	if (o->alias_max != 0) {
		p.props.has |= 1ull << 0x22;
		p.props.topic_alias_maximum = o->alias_max;
	}
	if (o->max_packet != 0) {
		p.props.has |= 1ull << 0x27;
		p.props.maximum_packet_size = o->max_packet;
	}
	if (o->will_topic != NULL) {
		p.has_will = true;
		p.will.topic.s = slice_str(o->will_topic);
		p.will.payload = slice_str(o->will_payload != NULL ? o->will_payload : "gone");
		p.will.retain = o->will_retain;
		p.will.qos = o->will_qos;
		if (o->will_delay_s != 0) {
			p.will.props.has |= 1ull << 0x18;
			p.will.props.will_delay = o->will_delay_s;
		}
	}
	c->version = (u8)p.version;
	pkt_connect_encode(&w, &p);
	assert_int_equal(w.err, E_OK);
	wconn_send(c, wr_done(&w));
}

/* The CONNACK's code; -1: none came. */
static inline int peer_connack(struct wconn *c, struct pkt_connack *ack)
{
	struct frame f;
	struct slice body;

	if (!wconn_next(c, &f, &body))
		return -1;
	assert_int_equal(f.type, PKT_CONNACK);
	assert_int_equal(pkt_connack_decode(&f, (enum mqtt_version)c->version, body, ack), E_OK);
	return ack->code;
}

static inline struct wconn *peer_connect_on(struct world *w, u32 shard, const struct peer_opts *o)
{
	struct wconn *c = world_connect(w, shard);
	struct pkt_connack ack;

	peer_say_connect(c, o);
	world_run(w);
	assert_int_equal(peer_connack(c, &ack), 0);
	return c;
}
#define peer_connect(w, ...) peer_connect_on(w, 0, &(struct peer_opts){__VA_ARGS__})

struct peer_pub {
	const char *topic, *payload;
	u16 pid;
	u8 qos;
	bool retain, dup;
	u32 expiry_s;
	u16 alias;
};

static inline void peer_publish_p(struct wconn *c, const struct peer_pub *o)
{
	u8 buf[4096];
	struct wr w = wr_of(buf, sizeof(buf));
	struct pkt_publish p = {.qos = o->qos,
				.retain = o->retain,
				.dup = o->dup,
				.packet_id = o->pid,
				.payload = slice_str(o->payload != NULL ? o->payload : "x")};

	if (o->topic != NULL)
		p.topic.s = slice_str(o->topic);
	p.topic_absent = o->topic == NULL;
	if (o->expiry_s != 0) {
		p.props.has |= 1ull << 0x02;
		p.props.message_expiry = o->expiry_s;
	}
	if (o->alias != 0) {
		p.props.has |= 1ull << 0x23;
		p.props.topic_alias = o->alias;
	}
	pkt_publish_encode(&w, (enum mqtt_version)c->version, &p);
	assert_int_equal(w.err, E_OK);
	wconn_send(c, wr_done(&w));
	world_run(c->w);
}
#define peer_publish(c, ...) peer_publish_p(c, &(struct peer_pub){__VA_ARGS__})

struct peer_sub {
	const char *filter;
	u8 qos, retain_handling;
	bool no_local, retain_as_published;
	u32 id;
};

static inline void peer_say_subscribe(struct wconn *c, const struct peer_sub *o)
{
	u8 buf[1024];
	struct wr w = wr_of(buf, sizeof(buf));
	struct sub_entry e = {.raw = slice_str(o->filter),
			      .qos = o->qos,
			      .no_local = o->no_local,
			      .retain_handling = o->retain_handling,
			      .retain_as_published = o->retain_as_published};

	pkt_subscribe_encode(&w, (enum mqtt_version)c->version, 7, o->id, &e, 1);
	assert_int_equal(w.err, E_OK);
	wconn_send(c, wr_done(&w));
	world_run(c->w);
}

/* The code of the SUBACK, which is the next packet. */
static inline int peer_suback(struct wconn *c)
{
	struct pkt_suback ack;
	struct frame f;
	struct slice body;

	assert_true(wconn_next(c, &f, &body));
	assert_int_equal(f.type, PKT_SUBACK);
	assert_int_equal(pkt_suback_decode(&f, (enum mqtt_version)c->version, body, &ack), E_OK);
	assert_int_equal(ack.packet_id, 7);
	assert_int_equal(ack.codes.n, 1);
	return ack.codes.p[0];
}
static inline int peer_subscribe_p(struct wconn *c, const struct peer_sub *o)
{
	peer_say_subscribe(c, o);
	return peer_suback(c);
}
#define peer_subscribe(c, ...) peer_subscribe_p(c, &(struct peer_sub){__VA_ARGS__})

static inline void peer_ack(struct wconn *c, enum pkt_type type, u16 pid, u8 reason)
{
	u8 buf[16];
	struct wr w = wr_of(buf, sizeof(buf));

	pkt_ack_encode(&w, (enum mqtt_version)c->version, type, pid, reason);
	wconn_send(c, wr_done(&w));
	world_run(c->w);
}

static inline void peer_disconnect(struct wconn *c, u8 reason)
{
	u8 buf[16];
	struct wr w = wr_of(buf, sizeof(buf));
	struct pkt_disconnect p = {.reason = reason};

	pkt_disconnect_encode(&w, (enum mqtt_version)c->version, PKT_DISCONNECT, &p);
	wconn_send(c, wr_done(&w));
	world_run(c->w);
}

static inline bool peer_gone(const struct wconn *c)
{
	return c->cl == NULL;
}

static inline void peer_expect_nothing(struct wconn *c)
{
	struct frame f;
	struct slice body;

	assert_false(wconn_next(c, &f, &body));
}

/* The next packet is a PUBLISH. */
static inline struct pkt_publish peer_message(struct wconn *c, const char *topic,
					      const char *payload)
{
	struct pkt_publish p;
	struct frame f;
	struct slice body;

	assert_true(wconn_next(c, &f, &body));
	assert_int_equal(f.type, PKT_PUBLISH);
	assert_int_equal(
		pkt_publish_decode(&f, (enum mqtt_version)c->version, FROM_SERVER, body, &p), E_OK);
	if (topic != NULL)
		assert_true(slice_eq(p.topic.s, slice_str(topic)));
	if (payload != NULL)
		assert_true(slice_eq(p.payload, slice_str(payload)));
	return p;
}

/* The next packet is this acknowledgement; its reason. */
static inline int peer_expect_ack(struct wconn *c, enum pkt_type type, u16 pid)
{
	struct pkt_ack a;
	struct frame f;
	struct slice body;

	assert_true(wconn_next(c, &f, &body));
	assert_int_equal(f.type, type);
	assert_int_equal(pkt_ack_decode(&f, (enum mqtt_version)c->version, body, &a), E_OK);
	assert_int_equal(a.packet_id, pid);
	return a.reason;
}

/* The next packet is a DISCONNECT; its reason.  The connection has closed. */
static inline int peer_expect_disconnect(struct wconn *c)
{
	struct pkt_disconnect p;
	struct frame f;
	struct slice body;

	assert_true(wconn_next(c, &f, &body));
	assert_int_equal(f.type, PKT_DISCONNECT);
	assert_int_equal(pkt_disconnect_decode(&f, MQTT_5, FROM_SERVER, body, &p), E_OK);
	assert_true(peer_gone(c));
	return p.reason;
}

/* A world with one role that may do everything and identities a, b, c (services) and d (a device).
 */
static inline struct world *peer_people(struct world *w)
{
	static const u32 all[] = {1, 0};

	world_policy(w, "role all { publish # ; subscribe # }\n");
	world_identity(w, "a", 2, all);
	world_identity(w, "b", 2, all);
	world_identity(w, "c", 2, all);
	world_identity(w, "d", 0, all);
	return w;
}

static inline struct world *peer_world(u32 shards)
{
	return peer_people(world_new(shards, NULL));
}

static inline struct store_stats peer_stored(struct world *w)
{
	struct store_stats s;

	store_stats(w->store, &s);
	return s;
}

static inline struct world *peer_world_stored(u32 shards, const struct core_limits *l)
{
	return peer_people(world_new_stored(shards, l));
}

#endif
