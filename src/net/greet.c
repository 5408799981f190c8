/* greet: what a connection speaks, from its ALPN or its first bytes, and the way of an HTTP request
 * to WebSocket.  Until that is known the handler has not heard of the connection, and nothing is
 * kept of it but the bytes that came, which no other than the HTTP cap bounds.
 *
 * A request is judged in ws_upgrade.c; here it is gathered, answered and reported. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/loop_i.h"

#define GREETING_MAGIC 0x47726565u

struct net_greeting *net_greeting_new(const struct net_greeting_options *o)
{
	struct net_greeting *g = xcalloc(1, sizeof(*g) + o->origins * sizeof(g->origin[0]));

	ASSERT(o->protocols != 0 && (o->protocols & ~(u32)(NET_RAW | NET_WEBSOCKET)) == 0);
	ASSERT(o->path != NULL && strlen(o->path) < sizeof(g->path));
	g->magic = GREETING_MAGIC;
	atomic_init(&g->refs, 1);
	g->protocols = o->protocols;
	g->first_ms = o->first_ms;
	g->upgrade_ms = o->upgrade_ms;
	g->origins = o->origins;
	memcpy(g->path, o->path, strlen(o->path));
	if (o->origins != 0)
		memcpy(g->origin, o->origin, o->origins * sizeof(g->origin[0]));
	return g;
}

struct net_greeting *net_greeting_ref(struct net_greeting *g)
{
	OBJ_CHECK(g, GREETING_MAGIC);
	ASSERT(atomic_fetch_add(&g->refs, 1) > 0);
	return g;
}

void net_greeting_unref(struct net_greeting **gp)
{
	struct net_greeting *g = *gp;
	u32 had;

	*gp = NULL;
	OBJ_CHECK(g, GREETING_MAGIC);
	had = atomic_fetch_sub(&g->refs, 1);
	ASSERT(had > 0);
	if (had > 1)
		return;
	g->magic = 0;
	free(g);
}

/* ---- refusals ----------------------------------------------------------------------------------
 */
static void greet_report(struct conn *c, enum err why, const char *text)
{
	struct loop *l = c->loop;

	ASSERT(!(c->flags & (CF_OPENED | CF_TOLD)));
	c->flags |= CF_TOLD;
	if (l->h.refused != NULL)
		l->h.refused(l->arg, c->addr, c->port, c->listener, NET_STAGE_UPGRADE, why, text);
}

static void greet_refuse(struct conn *c, enum upgrade why, const char *text)
{
	u8 answer[LIM_UPGRADE_ANSWER];
	size_t n = upgrade_refuse(why, answer, sizeof(answer));

	ASSERT(c->state == CONN_GREETING);
	greet_report(c, upgrade_err(why), text);
	if (conn_owe(c, answer, n))
		conn_close(c, CLOSE_FLUSH, upgrade_err(why));
}

/* Whoever runs the broker wants to know which page it was: that, escaped, is all that is ever
 * repeated of a request. */
static void greet_refuse_head(struct conn *c, enum upgrade why, const struct http_head *h)
{
	char origin[NET_ORIGIN], text[NET_ORIGIN + 80];

	ASSERT(why != UPGRADE_OK);
	if (why != UPGRADE_ORIGIN) {
		greet_refuse(c, why, upgrade_text(why));
		return;
	}
	log_escape(http_value(h, "origin"), origin, sizeof(origin));
	snprintf(text, sizeof(text), "%s, not in origins: %s", upgrade_text(why), origin);
	greet_refuse(c, why, text);
}

/* ---- the first bytes ---------------------------------------------------------------------------
 */
enum first { FIRST_PART, FIRST_HTTP, FIRST_OTHER };

/* No packet of MQTT that may come first begins with a 'G'. */
static enum first first_of(struct slice s)
{
	static const char get[] = "GET ";
	size_t n = MIN(s.n, sizeof(get) - 1);

	ASSERT(s.n > 0);
	if (memcmp(s.p, get, n) != 0)
		return FIRST_OTHER;
	return n < sizeof(get) - 1 ? FIRST_PART : FIRST_HTTP;
}

/* From its first byte on a request has its own deadline, and an answer when it passes. */
static void http_begins(struct conn *c, const struct net_greeting *g)
{
	ASSERT(c->state == CONN_GREETING);
	if (c->flags & CF_HTTP)
		return;
	c->flags |= CF_HTTP;
	timer_stop(&c->loop->wheel, &c->timer);
	timer_start(&c->loop->wheel, &c->timer, c->loop->now_ms + g->upgrade_ms);
}

/* Neither GET nor, here, the handler's: another method is told so, anything else is left without a
 * word. */
static void greet_other(struct conn *c, u8 first)
{
	ASSERT(c->state == CONN_GREETING);
	if (first >= 'A' && first <= 'Z') {
		greet_refuse(c, UPGRADE_METHOD, upgrade_text(UPGRADE_METHOD));
		return;
	}
	greet_report(c, E_PROTO, "only WebSocket is spoken on this listener");
	conn_close(c, CLOSE_NOW, E_PROTO);
}

/* ---- who asks ----------------------------------------------------------------------------------
 */
static bool greet_trusts(void *arg, const u8 addr[16])
{
	const struct conn *c = arg;

	return c->loop->h.trusts != NULL && c->loop->h.trusts(c->loop->arg, addr, c->listener);
}

/* Through a declared proxy it says for whom it asks.  From everybody else that is mere text. */
static enum upgrade greet_source(struct conn *c, const struct http_head *h, u8 addr[16], u16 *port)
{
	enum err e;

	memcpy(addr, c->addr, 16);
	*port = c->port;
	if (!conn_unsourced(c))
		return UPGRADE_OK;
	e = forwarded_source(h, greet_trusts, c, addr, port);
	return e == E_OK ? UPGRADE_OK : UPGRADE_FORWARDED;
}

/* ---- the request -------------------------------------------------------------------------------
 */
static void greet_upgrade(struct conn *c, const struct http_head *h)
{
	u8 answer[LIM_UPGRADE_ANSWER], from[16];
	size_t n = upgrade_accept(h, answer, sizeof(answer));
	enum upgrade u;
	u16 port;

	ASSERT(c->ws == NULL);
	u = greet_source(c, h, from, &port);
	if (u != UPGRADE_OK) {
		greet_refuse(c, u, upgrade_text(u));
		return;
	}
	if (conn_unsourced(c) && !conn_source(c, from, port))
		return;
	c->ws = ws_new(c->loop->now_ms);
	if (c->ws == NULL) {
		conn_close(c, CLOSE_NOW, E_NOMEM);
		return;
	}
	if (!conn_owe(c, answer, n))
		return;
	conn_opened(c);
	conn_dirty(c);
}

static enum upgrade greet_judge(const struct conn *c, const struct http_head *h,
				const struct net_greeting *g)
{
	struct upgrade_place at = {.tls = c->tls != NULL};

	at.named = at.tls && tls_has_name(c->tls, upgrade_host(h));
	return upgrade_judge(h, g, at);
}

/* from: so many of the bytes were looked through before. */
static size_t greet_http(struct conn *c, struct slice s, size_t from, const struct net_greeting *g)
{
	struct http_head h NOINIT;
	size_t end = http_head_end(s, from);
	enum upgrade u = UPGRADE_OK;
	enum err e;

	ASSERT(c->flags & CF_HTTP);
	ASSERT(end <= s.n);
	if (end == 0 && s.n <= LIM_HTTP_HEAD)
		return 0;
	e = end == 0 ? E_TOO_LARGE : http_head_parse(slice_of(s.p, end), &h);
	if (e == E_OK)
		u = greet_judge(c, &h, g);
	else
		u = e == E_TOO_LARGE ? UPGRADE_TOO_LARGE : UPGRADE_MALFORMED;
	if (u == UPGRADE_OK) {
		greet_upgrade(c, &h);
		return end;
	}
	if (e == E_OK)
		greet_refuse_head(c, u, &h);
	else
		greet_refuse(c, u, upgrade_text(u));
	return s.n;
}

size_t conn_greet(struct conn *c, struct slice s, size_t from)
{
	const struct net_greeting *g = listener_greeting(c->loop, c->listener);
	enum first first;

	ASSERT(c->state == CONN_GREETING);
	ASSERT(from <= s.n);
	if (g == NULL) { /* given up; so is this connection, in this turn */
		conn_close(c, CLOSE_NOW, E_SHUTDOWN);
		return 0;
	}
	if (s.n == 0)
		return 0;
	first = first_of(s);
	if (first == FIRST_OTHER) {
		if (c->flags & CF_ALPN_HTTP || !(g->protocols & NET_RAW))
			greet_other(c, s.p[0]);
		else
			conn_opened(c);
		return 0;
	}
	http_begins(c, g);
	return first == FIRST_HTTP ? greet_http(c, s, from, g) : 0;
}

void conn_greeting(struct conn *c)
{
	const struct net_greeting *g = listener_greeting(c->loop, c->listener);
	u32 protocol = c->tls != NULL ? tls_protocol(c->tls) : 0;
	u64 now_ms = c->loop->now_ms;

	ASSERT(c->state == CONN_HANDSHAKE);
	timer_stop(&c->loop->wheel, &c->timer);
	if (g == NULL || protocol == NET_RAW) {
		conn_opened(c);
		return;
	}
	c->state = CONN_GREETING;
	c->flags |= CF_YOUNG | CF_GREETED | (protocol == NET_WEBSOCKET ? CF_ALPN_HTTP : 0);
	if (g->first_ms != UINT64_MAX)
		timer_start(&c->loop->wheel, &c->timer, MAX(c->accepted_ms + g->first_ms, now_ms));
}

void conn_greeting_late(struct conn *c)
{
	ASSERT(c->state == CONN_GREETING);
	if (c->flags & CF_HTTP)
		greet_refuse(c, UPGRADE_TIMEOUT, upgrade_text(UPGRADE_TIMEOUT));
	else
		conn_close(c, CLOSE_NOW, E_TIMEOUT);
}
