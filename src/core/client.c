/* client: one connection, from its first byte to its last.
 *
 * All deadlines of a client share one timer, which is set to the nearest and looks at all of them
 * when it fires.  Refuses to know what packets mean. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

/* ---- deadlines ----------------------------------------------------------------------- */

const struct core_limits *client_limits(const struct client *cl)
{
	ASSERT(cl->session == NULL || cl->session->lim != NULL);
	return cl->session != NULL ? &cl->session->lim->v : &cl->listener->device;
}

static u64 after(u64 since_ms, u64 ms)
{
	return since_ms == 0 || ms >= UINT32_MAX ? UINT64_MAX : since_ms + ms;
}

static u64 keep_alive_due(const struct client *cl)
{
	if (cl->keep_alive_s == 0 || cl->paused)
		return UINT64_MAX;
	return cl->last_in_ms + cl->keep_alive_s * 1500ull; /* SPEC MQTT-3.1.2-22 */
}

static u64 packet_due(const struct client *cl)
{
	const u32 bytes_a_ms = 16; /* 16 KiB a second at least */

	if (cl->paused)
		return UINT64_MAX;
	return after(cl->packet_ms,
		     (u64)client_limits(cl)->packet_ms + cl->packet_len / bytes_a_ms);
}

static u64 live_due(const struct client *cl)
{
	u64 due = MIN(keep_alive_due(cl), packet_due(cl));

	due = MIN(due, after(cl->stall_ms, client_limits(cl)->output_stall_ms));
	due = MIN(due, cl->expires_ms);
	return cl->resume_ms != 0 ? MIN(due, cl->resume_ms) : due;
}

static u64 client_due(const struct client *cl)
{
	switch ((enum client_state)cl->state) {
	case C_NEW:
		return after(MAX(cl->accepted_ms, 1u), cl->listener->device.connect_ms);
	case C_LOGIN:
	case C_REFUSED:
		return login_next_ms(cl);
	case C_LIVE:
		return live_due(cl);
	case C_GREETED: /* the store takes its time */
	case C_CLOSING:
		return UINT64_MAX;
	case C_STATES:
		break;
	}
	UNREACHABLE("not a state");
}

/* The timer may be early: it looks again when it fires. */
void client_arm(struct core *c, struct client *cl)
{
	u64 due = client_due(cl);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (due == UINT64_MAX || (timer_running(&cl->timer) && cl->timer.at_ms <= due))
		return;
	timer_start(&c->wheel, &cl->timer, due);
}

static void live_timeout(struct core *c, struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->resume_ms != 0 && c->now_ms >= cl->resume_ms) {
		cl->resume_ms = 0;
		client_resume(c, cl, P_RATE);
	}
	if (c->now_ms >= keep_alive_due(cl))
		client_end(c, cl, E_KEEPALIVE);
	else if (c->now_ms >= packet_due(cl))
		client_end(c, cl, E_TIMEOUT);
	else if (c->now_ms >= after(cl->stall_ms, client_limits(cl)->output_stall_ms))
		client_end(c, cl, E_QUOTA);
	else if (c->now_ms >= cl->expires_ms)
		client_end(c, cl, E_CREDENTIAL);
}

static void client_timeout(struct timer *t)
{
	struct client *cl = CONTAINER_OF(t, struct client, timer);
	struct core *c = cl->core;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (c->now_ms >= client_due(cl)) {
		if (cl->state == C_NEW)
			client_end(c, cl, E_TIMEOUT);
		else if (cl->state == C_LIVE)
			live_timeout(c, cl);
		else if (cl->state != C_GREETED)
			login_due(c, cl);
	}
	client_arm(c, cl);
}

/* ---- life ---------------------------------------------------------------------------- */

struct client *core_open(struct core *c, void *conn, u32 listener, const u8 addr[16], u16 port,
			 u64 accepted_ms, const char *tls)
{
	struct listener_set *set = hub_listeners(c->hub);
	struct client *cl;

	OBJ_CHECK(c, CORE_MAGIC);
	ASSERT(set != NULL);
	ASSERT(listener < set->n);
	cl = calloc(1, sizeof(*cl));
	if (cl == NULL) {
		listener_set_unref(&set);
		return NULL;
	}
	cl->magic = CLIENT_MAGIC;
	cl->state = C_NEW;
	cl->conn = conn;
	cl->core = c;
	cl->set = set;
	cl->listener = &set->l[listener];
	cl->accepted_ms = accepted_ms;
	cl->last_in_ms = c->now_ms;
	cl->expires_ms = UINT64_MAX;
	cl->max_packet = UINT32_MAX;
	cl->tls = tls != NULL ? tls : "";
	cl->port = port;
	memcpy(cl->addr, addr, sizeof(cl->addr));
	cl->timer.fire = client_timeout;
	TAILQ_INSERT_TAIL(&c->clients, cl, link);
	c->stats.clients++;
	client_arm(c, cl);
	return cl;
}

void core_certificate(struct core *c, struct client *cl, const char *cn)
{
	OBJ_CHECK(c, CORE_MAGIC);
	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(cl->state == C_NEW);
	cl->cert_cn = cn;
}

void *client_conn(const struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	return cl->conn;
}

void hello_free(struct client *cl)
{
	struct hello *h = cl->hello;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (h == NULL)
		return;
	cl->hello = NULL;
	if (h->home != NULL)
		directory_release(&h->who->hub->directory, &h->home);
	if (h->who != NULL)
		who_unref(&h->who);
	mem_wipe(h, sizeof(*h) + h->body_len); /* the password is in it */
	free(h);
}

/* Out of this shard: no timer, no list, nothing of its pools. */
void client_unlink(struct core *c, struct client *cl)
{
	ASSERT(cl->core == c);
	ASSERT(cl->session == NULL);
	timer_stop(&c->wheel, &cl->timer);
	TAILQ_REMOVE(&c->clients, cl, link);
	outq_clear(&cl->out, &c->segs);
	ASSERT(c->stats.clients > 0);
	c->stats.clients--;
}

void client_free(struct core *c, struct client **clp)
{
	struct client *cl = *clp;

	*clp = NULL;
	ASSERT(cl->session == NULL);
	login_forget(c, cl);
	client_unlink(c, cl);
	hello_free(cl);
	aliases_free(cl);
	ASSERT(cl->hello == NULL);
	listener_set_unref(&cl->set);
	cl->magic = 0;
	free(cl);
}

static void client_gone(struct core *c, struct client *cl, enum err why)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->state != C_REFUSED) /* that was said already */
		event_client(c, cl, EV_DISCONNECT, why, NULL);
	if (cl->session == NULL)
		return;
	session_detach(c, cl->session, DETACH_LOST);
}

void client_end(struct core *c, struct client *cl, enum err why)
{
	ASSERT(cl->core == c);
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->state == C_CLOSING)
		return;
	if (why == E_MALFORM || why == E_SHORT || why == E_PROTO || why == E_UTF8)
		c->stats.malformed++;
	goodbye(c, cl, why);
	client_gone(c, cl, why);
	login_forget(c, cl); /* an answer that still comes finds nobody */
	cl->state = C_CLOSING;
	timer_stop(&c->wheel, &cl->timer);
	c->env.close(c->env.arg, cl->conn, true, why);
}

void core_closed(struct core *c, struct client *cl, enum err why)
{
	OBJ_CHECK(c, CORE_MAGIC);
	OBJ_CHECK(cl, CLIENT_MAGIC);
	core_enter(c);
	if (cl->state == C_LIVE && why == E_EOF)
		quirk(cl->session, QUIRK_no_disconnect);
	if (cl->state != C_CLOSING)
		client_gone(c, cl, why);
	cl->state = C_CLOSING;
	client_free(c, &cl);
	core_leave(c);
}

/* ---- back-pressure ------------------------------------------------------------------- */

void client_pause(struct core *c, struct client *cl, enum pause_why why)
{
	bool first = cl->paused == 0;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(why != 0);
	cl->paused |= (u8)why;
	if (first)
		c->env.pause(c->env.arg, cl->conn);
}

/* The clocks of what the client owes us stood still. */
void client_resume(struct core *c, struct client *cl, enum pause_why why)
{
	bool was = cl->paused != 0;

	ASSERT(cl->core == c);
	OBJ_CHECK(cl, CLIENT_MAGIC);
	cl->paused &= (u8)~why;
	if (!was || cl->paused != 0 || cl->state == C_CLOSING)
		return;
	cl->last_in_ms = c->now_ms;
	if (cl->packet_ms != 0)
		cl->packet_ms = c->now_ms;
	client_arm(c, cl);
	c->env.resume(c->env.arg, cl->conn);
}

/* ---- output -------------------------------------------------------------------------- */

/* A client that reads nothing and goes on asking is not read either. */
static void output_watch(struct core *c, struct client *cl)
{
	u64 limit = client_limits(cl)->output_buffer;

	if (cl->out.bytes < limit || cl->state != C_LIVE)
		return;
	if (cl->stall_ms == 0) {
		cl->stall_ms = MAX(c->now_ms, 1u);
		client_arm(c, cl);
	}
	client_pause(c, cl, P_OUTPUT);
}

void client_dirty(struct core *c, struct client *cl)
{
	ASSERT(cl->core == c); /* its output is of this shard's pool */
	output_watch(c, cl);
	if (cl->dirty)
		return;
	cl->dirty = true;
	c->env.dirty(c->env.arg, cl->conn);
}

struct wr client_wr(struct core *c, struct client *cl, size_t cap)
{
	ASSERT(cl->core == c);
	ASSERT(cap > 0);
	return wr_of(outq_room(&cl->out, &c->segs, cap), cap);
}

bool client_wr_done(struct core *c, struct client *cl, struct wr *w)
{
	bool ok = w->err == E_OK && w->n <= cl->max_packet;

	ASSERT(w->p != NULL);
	ASSERT(w->n <= w->cap);
	outq_trim(&cl->out, ok ? w->cap - w->n : w->cap);
	if (ok)
		client_dirty(c, cl);
	return ok;
}

int core_output(struct core *c, struct client *cl, struct iovec *iov, int max)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(cl->core == c);
	cl->dirty = false;
	return outq_iov(&cl->out, iov, max);
}

void core_sent(struct core *c, struct client *cl, size_t bytes)
{
	u64 limit = client_limits(cl)->output_buffer;

	ASSERT(cl->core == c);
	OBJ_CHECK(cl, CLIENT_MAGIC);
	outq_sent(&cl->out, &c->segs, bytes);
	cl->bytes_out += bytes;
	c->stats.bytes_out += bytes;
	if (cl->state != C_LIVE || cl->out.bytes > limit / 2)
		return;
	cl->stall_ms = 0;
	core_enter(c);
	client_resume(c, cl, P_OUTPUT);
	session_pump(c, cl->session);
	core_leave(c);
}
