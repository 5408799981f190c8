/* session: two hostile senders and one strict subscriber, through the whole core on two shards.
 *
 * The input is a script: a byte says who speaks (and whether time passes or a link breaks), a byte
 * how much of what follows.  Whatever the senders say, the subscriber's stream must decode, keep to
 * what it agreed to, and its PINGREQ must be answered (I30, I15). */
#include <stdlib.h>

#include "../tests/unit/core/world.h"

enum { SENDERS = 2, SUBSCRIBERS = 2, PACKET_MAX = 300, WINDOW = 5 };

static void say(struct wconn *c, const struct wr *w)
{
	ASSERT(w->err == E_OK);
	wconn_send(c, wr_done(w));
	world_run(c->w);
}

static void say_connect(struct wconn *c, enum mqtt_version v, const char *id)
{
	u8 b[256];
	struct wr w = wr_of(b, sizeof(b));
	struct pkt_connect p = {.version = v,
				.clean_start = true,
				.has_username = true,
				.client_id = slice_str(id),
				.username = slice_str(id)};

	if (v == MQTT_5) {
		p.props.has = 1ull << 0x21 | 1ull << 0x27;
		p.props.receive_maximum = WINDOW;
		p.props.maximum_packet_size = PACKET_MAX;
	}
	c->version = (u8)v;
	pkt_connect_encode(&w, &p);
	say(c, &w);
}

static struct wconn *subscriber(struct world *world, u32 shard, enum mqtt_version v, const char *id)
{
	struct wconn *c = world_connect(world, shard);
	const struct sub_entry e[2] = {
		{.raw = SLICE_LIT("#"), .qos = 2},
		{.raw = SLICE_LIT("+/+"), .qos = 1, .retain_as_published = true}};
	u8 b[64];
	struct wr w = wr_of(b, sizeof(b));

	say_connect(c, v, id);
	pkt_subscribe_encode(&w, v, 1, v == MQTT_5 ? 7 : 0, e, 2);
	if (v != MQTT_5) {
		w = wr_of(b, sizeof(b));
		pkt_subscribe_encode(&w, v, 1, 0,
				     (const struct sub_entry[]){{.raw = SLICE_LIT("#"), .qos = 1}},
				     1);
	}
	say(c, &w);
	return c;
}

static void answer(struct wconn *c, enum pkt_type type, u16 pid)
{
	u8 b[16];
	struct wr w = wr_of(b, sizeof(b));

	pkt_ack_encode(&w, (enum mqtt_version)c->version, type, pid, 0);
	say(c, &w);
}

static void hear_publish(struct wconn *c, const struct frame *f, struct slice body)
{
	struct pkt_publish p;

	ASSERT(pkt_publish_decode(f, (enum mqtt_version)c->version, FROM_SERVER, body, &p) == E_OK);
	ASSERT(!p.topic_absent);
	ASSERT(c->version != MQTT_5 || (size_t)f->header_len + f->body_len <= PACKET_MAX);
	if (p.qos == 1)
		answer(c, PKT_PUBACK, p.packet_id);
	else if (p.qos == 2)
		answer(c, PKT_PUBREC, p.packet_id);
}

/* Reads everything; true when a PINGRESP was there. */
static bool hear(struct wconn *c)
{
	bool pong = false;
	struct frame f;
	struct slice body;

	while (wconn_next(c, &f, &body)) {
		struct pkt_ack a;
		if (f.type == PKT_PUBLISH) {
			hear_publish(c, &f, body);
		} else if (f.type == PKT_PUBREL) {
			ASSERT(pkt_ack_decode(&f, (enum mqtt_version)c->version, body, &a) == E_OK);
			answer(c, PKT_PUBCOMP, a.packet_id);
		} else {
			ASSERT(f.type == PKT_CONNACK || f.type == PKT_SUBACK ||
			       f.type == PKT_PINGRESP);
			pong |= f.type == PKT_PINGRESP;
		}
	}
	return pong;
}

static void check_subscriber(struct wconn *c)
{
	hear(c);
	wconn_send(c, SLICE_LIT("\xc0\0"));
	world_run(c->w);
	ASSERT(hear(c));
	ASSERT(c->cl != NULL);
}

struct script {
	struct world *w;
	struct wconn *sender[SENDERS];
	struct rd r;
};

static void step(struct script *s)
{
	u8 op = rd_u8(&s->r);
	u32 who = op & 1;
	struct wconn *c = s->sender[who];

	if ((op >> 1 & 7) == 7) {
		world_advance(s->w, (op >> 4) * 400u);
	} else if ((op >> 1 & 7) == 6) {
		wconn_drop(c, E_EOF);
	} else if ((op >> 1 & 7) == 5) {
		if (c->cl != NULL)
			say_connect(c, op & 16 ? MQTT_5 : MQTT_311, who ? "s1" : "s0");
	} else {
		size_t n = rd_u8(&s->r);
		wconn_send(c, rd_bytes(&s->r, MIN(n, rd_left(&s->r))));
		world_run(s->w);
	}
	if (c->cl == NULL) {
		wconn_free(c);
		s->sender[who] = world_connect(s->w, who);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = world_new(2, NULL);
	struct script s = {.w = w, .r = rd_of(slice_of(data, size))};
	struct wconn *sub[SUBSCRIBERS];

	w->allow_all = true;
	world_policy(w, "role all { publish #; subscribe #; limit all none }");
	world_identity(w, "any", 2, (const u32[]){1, 0});
	sub[0] = subscriber(w, 0, MQTT_5, "sub5");
	sub[1] = subscriber(w, 1, MQTT_311, "sub3");
	for (u32 i = 0; i < SENDERS; i++)
		s.sender[i] = world_connect(w, i);
	while (rd_left(&s.r) != 0)
		step(&s);
	world_run(w);
	for (u32 i = 0; i < SUBSCRIBERS; i++)
		check_subscriber(sub[i]);
	world_free(&w);
	return 0;
}
