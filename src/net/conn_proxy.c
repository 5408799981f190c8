/* conn_proxy: connections that come through a proxy: who their client is, the PROXY header that
 * says it, and what is kept of it.
 *
 * The header is taken from the socket to its last byte and no further, since what follows belongs
 * to TLS.  Until it is whole it lies where unfinished packets lie.  Decides nothing about who may
 * send one: the listener says so, and admission has let in its proxies alone. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/loop_i.h"
#include "net/proxy.h"

_Static_assert((int)LIM_PROXY_HEADER <= (int)NET_READ_BUFFER, "a header fits the read buffer");

bool conn_via_begin(struct conn *c, const struct net_listen_options *o)
{
	ASSERT(c->state == CONN_PROXY);
	ASSERT(c->via == NULL);
	c->via = calloc(1, sizeof(*c->via));
	if (c->via == NULL)
		return false;
	memcpy(c->via->addr, c->addr, sizeof(c->via->addr));
	c->via->header = o->proxy;
	c->via->certificates = o->proxy_certificates;
	if (o->proxy && o->tls != NULL)
		c->via->tls = net_tls_ref(o->tls);
	return true;
}

/* What a header that did not come, or was none, is called in the log. */
static const char *unsourced_text(enum err why)
{
	switch ((u32)why) {
	case E_MALFORM:
		return "its first bytes are no PROXY header, or one with a mistake";
	case E_TOO_LARGE:
		return "its PROXY header is longer than any honest one";
	case E_TIMEOUT:
		return "its PROXY header did not come in time";
	default:
		return err_text(why);
	}
}

static void unsourced_tell(struct conn *c)
{
	struct loop *l = c->loop;

	/* A load balancer that only looks whether somebody listens. */
	if ((c->why == E_EOF && c->held_n == 0) || c->why == E_SHUTDOWN)
		return;
	if (l->h.unsourced != NULL)
		l->h.unsourced(l->arg, c->addr, c->port, c->listener, (enum err)c->why,
			       unsourced_text((enum err)c->why));
}

void conn_via_free(struct conn *c)
{
	struct conn_via *v = c->via;

	if (v == NULL)
		return;
	ASSERT(c->state == CONN_CLOSING);
	if (!v->sourced && v->header && !(c->flags & CF_TOLD))
		unsourced_tell(c);
	if (v->tls != NULL)
		net_tls_unref(&v->tls);
	free(v->cn);
	free(v);
	c->via = NULL;
}

/* Everything up to here is the header's: out of the socket with it. */
static bool header_take(struct conn *c, u8 *p, size_t n)
{
	ssize_t got = n != 0 ? recv(c->fd, p, n, MSG_DONTWAIT) : 0;

	ASSERT(c->via != NULL);
	ASSERT(got < 0 || (size_t)got <= n);
	return got == (ssize_t)n;
}

static bool cn_keep(struct conn_via *v, const struct proxy_header *h)
{
	if (!v->certificates || h->cn.n == 0)
		return true;
	ASSERT(h->verified);
	ASSERT(h->cn.n <= LIM_PROXY_CN);
	v->cn = malloc(h->cn.n + 1);
	if (v->cn == NULL)
		return false;
	memcpy(v->cn, h->cn.p, h->cn.n);
	v->cn[h->cn.n] = '\0';
	return true;
}

bool conn_source(struct conn *c, const u8 addr[16], u16 port)
{
	struct conn_via *v = c->via;
	struct loop *l = c->loop;

	ASSERT(v != NULL && !v->sourced);
	ASSERT(!(c->flags & CF_OPENED));
	if (l->h.sourced != NULL && !l->h.sourced(l->arg, v->addr, addr, c->listener)) {
		c->flags |= CF_TOLD; /* whoever refuses has told it */
		conn_close(c, CLOSE_NOW, E_DENIED);
		return false;
	}
	memmove(c->addr, addr, sizeof(c->addr));
	c->port = port;
	v->sourced = true;
	return true;
}

static void header_use(struct conn *c, const struct proxy_header *h)
{
	struct conn_via *v = c->via;
	struct net_tls *tls = v->tls;

	conn_forget(c);
	if (!cn_keep(v, h)) {
		conn_close(c, CLOSE_NOW, E_NOMEM);
		return;
	}
	if (!conn_source(c, h->known ? h->addr : v->addr, h->known ? h->port : c->port))
		return;
	v->tls = NULL;
	conn_start(c, tls);
	if (tls != NULL)
		net_tls_unref(&tls);
}

/* n bytes of the beginning of a header are there, in the read buffer. */
static void header_wait(struct conn *c, size_t n)
{
	u8 *p = realloc(c->held, n);

	ASSERT(n >= c->held_n);
	ASSERT(n <= LIM_PROXY_HEADER);
	if (p == NULL || !header_take(c, c->loop->rbuf + c->held_n, n - c->held_n)) {
		c->held = p != NULL ? p : c->held;
		conn_close(c, CLOSE_NOW, p == NULL ? E_NOMEM : E_IO);
		return;
	}
	memcpy(p, c->loop->rbuf, n);
	c->held = p;
	c->held_n = c->held_cap = (u32)n;
}

void conn_proxy_read(struct conn *c)
{
	u8 *b = c->loop->rbuf;
	size_t had = c->held_n, used;
	struct proxy_header h;
	ssize_t n;
	enum err e;

	ASSERT(c->state == CONN_PROXY);
	ASSERT(had <= LIM_PROXY_HEADER);
	if (had != 0)
		memcpy(b, c->held, had);
	n = recv(c->fd, b + had, LIM_PROXY_HEADER - had, MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			conn_close(c, CLOSE_NOW, n == 0 ? E_EOF : E_IO);
		return;
	}
	e = proxy_parse(slice_of(b, had + (size_t)n), &h, &used);
	ASSERT(e != E_OK || used > had); /* it would have been whole before */
	if (e == E_MORE)
		header_wait(c, had + (size_t)n);
	else if (e != E_OK)
		conn_close(c, CLOSE_NOW, e);
	else if (header_take(c, b + had, used - had))
		header_use(c, &h);
	else
		conn_close(c, CLOSE_NOW, E_IO);
}

const u8 *conn_proxy(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->via != NULL ? c->via->addr : NULL;
}

const char *conn_proxied_cn(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->via != NULL ? c->via->cn : NULL;
}
