/* members: of a shared subscription, for tests: who they are, what they have read. */
#ifndef PICKET_TESTS_MEMBERS_H
#define PICKET_TESTS_MEMBERS_H

#include "peer.h"

enum { GOT_MAX = 64, LOOK_MS = 250 };

struct got { /* QoS 1 and 2 messages that a member has read and not acknowledged */
	u16 pid[GOT_MAX];
	char text[GOT_MAX][16];
	u32 n;
};

/* A member of group g on shard i: a session that outlives its connection. */
static inline struct wconn *member(struct world *w, u32 i, const char *id, u8 qos, u16 window)
{
	struct wconn *c = peer_connect_on(w, i,
					  &(struct peer_opts){.user = "a",
							      .id = id,
							      .version = MQTT_5,
							      .persistent = true,
							      .receive_max = window});

	assert_int_equal(peer_subscribe(c, .filter = "$share/g/t/#", .qos = qos, .id = 7), qos);
	return c;
}

static inline struct wconn *again(struct world *w, u32 i, const char *id)
{
	return peer_connect_on(
		w, i,
		&(struct peer_opts){.user = "a", .id = id, .version = MQTT_5, .persistent = true});
}

static inline struct wconn *publisher(struct world *w)
{
	return peer_connect(w, .user = "b", .version = MQTT_5);
}

static inline void say(struct wconn *p, const char *payload, u8 qos)
{
	static u16 pid;

	pid = pid == 60000 ? 1 : (u16)(pid + 1);
	peer_publish(p, .topic = "t/1", .payload = payload, .qos = qos, .pid = qos != 0 ? pid : 0);
}

/* All that has come. */
static inline u32 hear(struct wconn *c, struct got *g)
{
	struct pkt_publish p;
	struct slice body;
	struct frame f;

	*g = (struct got){0};
	while (wconn_next(c, &f, &body)) {
		if (f.type != PKT_PUBLISH)
			continue;
		assert_int_equal(pkt_publish_decode(&f, MQTT_5, FROM_SERVER, body, &p), E_OK);
		assert_in_range(g->n, 0, GOT_MAX - 1);
		assert_int_equal(p.props.subscription_id, 7);
		g->pid[g->n] = p.packet_id;
		snprintf(g->text[g->n], 16, "%.*s", (int)p.payload.n, (const char *)p.payload.p);
		g->n++;
	}
	return g->n;
}

static inline bool has(const struct got *g, const char *text)
{
	for (u32 i = 0; i < g->n; i++) {
		if (strcmp(g->text[i], text) == 0)
			return true;
	}
	return false;
}

static inline void ack_all(struct wconn *c, const struct got *g)
{
	for (u32 i = 0; i < g->n; i++)
		peer_ack(c, PKT_PUBACK, g->pid[i], 0);
}

#endif
