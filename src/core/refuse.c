/* refuse: how a CONNECT is refused.
 *
 * A refused credential is answered on a grid of fixed times after CONNECT and always with the same
 * bytes, so neither says why (I31); where such refusals crowd, the oldest leave early.  What says
 * nothing about a credential is answered at once. */
#include "base/mem.h"
#include "core/impl.h"

enum { V3_ACCEPTED, V3_VERSION, V3_CLIENT_ID, V3_UNAVAILABLE, V3_NOT_AUTHORIZED = 5 };

static u8 v3_code(enum err why)
{
	switch (err_reason(why)) {
	case 0x84:
		return V3_VERSION;
	case 0x85:
		return V3_CLIENT_ID;
	case 0x87:
		return V3_NOT_AUTHORIZED;
	default:
		return V3_UNAVAILABLE;
	}
}

static void connack_refuse(struct core *c, struct client *cl, enum err why)
{
	bool v5 = cl->version == MQTT_5;
	struct pkt_connack p = {.code = v5 ? err_reason(why) : v3_code(why)};
	struct wr w = client_wr(c, cl, 16);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	pkt_connack_encode(&w, (enum mqtt_version)cl->version, &p);
	client_wr_done(c, cl, &w);
}

static void refused_event(struct core *c, struct client *cl, enum err why)
{
	struct core_event e = event_of_client(cl, EV_REFUSED, why);
	struct pkt_connect p;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	c->stats.logins_refused++;
	if (cl->hello != NULL && cl->hello->who == NULL &&
	    pkt_connect_decode(&cl->hello->frame, slice_of(cl->hello->body, cl->hello->body_len),
			       &p) == E_OK) {
		e.client_id = p.client_id;
		e.username = p.username;
		e.watched = hub_watches(c->hub, p.username);
	}
	event_emit(c, &e);
}

/* At once: what is refused says nothing about a credential. */
void refuse_now(struct core *c, struct client *cl, enum err why)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	refused_event(c, cl, why);
	if (cl->version != MQTT_NONE)
		connack_refuse(c, cl, why);
	cl->state = C_REFUSED;
	client_end(c, cl, why);
}

static u64 grid_next(const struct client *cl, u64 now_ms)
{
	u64 grid = MAX(cl->listener->device.refusal_grid_ms, 1u), at = cl->hello->at_ms;

	/* It may come from a shard whose turn began later than ours. */
	return at + grid * (1 + (MAX(now_ms, at) - at) / grid);
}

/* A flood of wrong credentials may not keep ever more connections waiting: the oldest is told
 * early. */
static void refusal_hold(struct core *c, struct hello *h)
{
	ASSERT(!h->held);
	h->held = true;
	TAILQ_INSERT_TAIL(&c->held, h, held_link);
	c->nheld++;
	if (c->nheld > REFUSALS_HELD_MAX)
		login_due(c, TAILQ_FIRST(&c->held)->client);
	ASSERT(c->nheld <= REFUSALS_HELD_MAX);
}

/* Later, and as every refusal of a credential. */
void refuse_on_grid(struct core *c, struct client *cl, enum err why)
{
	struct hello *h = cl->hello;

	ASSERT(h != NULL);
	cl->state = C_REFUSED;
	h->why = why;
	refused_event(c, cl, why);
	h->at_ms = grid_next(cl, c->now_ms); /* from here on: when it leaves */
	mem_wipe(h->body, h->body_len);	     /* the password need not wait */
	h->body_len = 0;
	timer_stop(&c->wheel, &cl->timer);
	client_arm(c, cl);
	refusal_hold(c, h);
}

void refuse(struct core *c, struct client *cl, enum err why)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (why == E_BUSY || why == E_UNAVAILABLE || why == E_QUOTA || why == E_NOMEM ||
	    why == E_NO_RETAIN || why == E_QOS)
		refuse_now(c, cl, why);
	else
		refuse_on_grid(c, cl, why);
}

u64 login_next_ms(const struct client *cl)
{
	u32 login_ms = cl->listener->device.login_ms;

	ASSERT(cl->hello != NULL);
	if (cl->state == C_REFUSED)
		return cl->hello->at_ms;
	return login_ms == UINT32_MAX ? UINT64_MAX : cl->hello->at_ms + login_ms;
}

void login_due(struct core *c, struct client *cl)
{
	enum err why = cl->hello->why;

	ASSERT(cl->state == C_LOGIN || cl->state == C_REFUSED);
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->state == C_LOGIN) {
		login_forget(c, cl);
		refuse_now(c, cl, E_UNAVAILABLE);
		return;
	}
	connack_refuse(c, cl, E_CREDENTIAL);
	client_end(c, cl, why);
}
