/* goodbye: what a client of MQTT 5 is told before its connection is closed.
 *
 * The reason code always; in words only what the client itself did against the protocol, which says
 * no more than it knows already (I31): the same words for everybody, nothing about rights,
 * credentials or identities. */
#include "core/impl.h"

enum { BARE = 16 };

static const char *words(enum err why)
{
	static const enum err told[] = {E_SHORT,     E_MALFORM,	  E_PROTO,	E_UTF8,
					E_TOPIC,     E_FILTER,	  E_ALIAS,	E_RECEIVE_MAX,
					E_QOS,	     E_NO_SHARED, E_NO_SUB_ID,	E_NO_WILDCARD,
					E_TOO_LARGE, E_KEEPALIVE, E_TAKEN_OVER, E_SHUTDOWN};

	for (u32 i = 0; i < ARRAY_LEN(told); i++) {
		if (told[i] == why)
			return err_text(why);
	}
	ASSERT(why != E_OK);
	return "";
}

static bool say(struct core *c, struct client *cl, const struct pkt_disconnect *p)
{
	struct wr w = client_wr(c, cl, BARE + p->props.reason_string.n);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	pkt_disconnect_encode(&w, MQTT_5, PKT_DISCONNECT, p);
	return client_wr_done(c, cl, &w);
}

/* SPEC MQTT-3.14.0-1: no DISCONNECT before a CONNACK that accepts; 3.x has none at all. */
void goodbye(struct core *c, struct client *cl, enum err why)
{
	struct pkt_disconnect p = {.reason = err_reason(why)};

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->state != C_LIVE || cl->version != MQTT_5 || why == E_EOF || why == E_IO)
		return;
	if (cl->wants_words)
		p.props.reason_string = slice_str(words(why));
	if (p.props.reason_string.n != 0)
		p.props.has = 1ull << PROP_reason_string;
	if (say(c, cl, &p) || p.props.has == 0)
		return;
	p.props = (struct props){0}; /* SPEC MQTT-3.14.2-3 */
	(void)say(c, cl, &p);
}
