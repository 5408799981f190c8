/* conn_io: bytes that come.  Reads into the loop's buffer, takes frames off where WebSocket is
 * spoken, offers the handler its bytes and keeps aside only what it left over.  conn_out.c is the
 * other way. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/loop_i.h"

/* ---- in
 * -------------------------------------------------------------------------------------------- */
/* Up to cap bytes.  *end: what ended the connection, E_OK when it goes on. */
static size_t read_plain(struct conn *c, u8 *p, size_t cap, enum err *end)
{
	ssize_t n;

	do {
		n = recv(c->fd, p, cap, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return (size_t)n;
	if (n == 0)
		*end = E_EOF;
	else if (errno != EAGAIN)
		*end = E_IO;
	return 0;
}

static size_t read_tls(struct conn *c, u8 *p, size_t cap, enum err *end)
{
	size_t total = 0, n;
	enum tls_io io = TLS_OK;

	ASSERT(c->tls != NULL);
	ASSERT(cap > 0);
	while (total < cap && io == TLS_OK) {
		n = 0;
		io = tls_read(c->tls, p + total, cap - total, &n);
		total += n;
	}
	if (io == TLS_CLOSED)
		*end = E_EOF;
	else if (io == TLS_FAILED)
		*end = E_TLS;
	else if (io == TLS_OK && tls_has_pending(c->tls))
		conn_put_again(c);
	return total;
}

static size_t conn_offer(struct conn *c, const u8 *p, size_t n)
{
	struct loop *l = c->loop;
	size_t off = 0;

	ASSERT(!(c->flags & CF_INPUT));
	ASSERT(n > 0);
	c->flags |= CF_INPUT;
	while (off < n && c->state == CONN_OPEN && !(c->flags & CF_PAUSED)) {
		size_t k = l->h.input(l->arg, c, slice_of(p + off, n - off));
		ASSERT(k <= n - off);
		if (k == 0)
			break;
		off += k;
	}
	c->flags &= (u16)~CF_INPUT;
	return off;
}

/* Before login the bytes hold somebody's password. */
static void wipe_if_young(const struct conn *c, u8 *p, size_t n)
{
	if (c->flags & CF_YOUNG && n != 0)
		mem_wipe(p, n);
}

void conn_forget(struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	wipe_if_young(c, c->held, c->held_n);
	free(c->held);
	c->held = NULL;
	c->held_n = c->held_cap = 0;
}

/* Memory for n bytes, kept if it fits well.  False: none left. */
static bool held_room(struct conn *c, size_t n)
{
	u8 *p;

	ASSERT(n <= UINT32_MAX);
	ASSERT(c->held_n <= c->held_cap);
	if (c->held != NULL && c->held_cap >= n && c->held_cap / 4 <= n)
		return true;
	p = realloc(c->held, n);
	if (p == NULL)
		return false;
	c->held = p;
	c->held_cap = (u32)n;
	return true;
}

/* n bytes at p are left over; p may lie in held. */
static void held_keep(struct conn *c, const u8 *p, size_t n)
{
	if (n == 0 || !conn_reads(c)) {
		conn_forget(c);
		return;
	}
	if (p >= c->held && p < c->held + c->held_cap) {
		memmove(c->held, p, n);
		/* To give memory back is a kindness that may fail. */
		(void)held_room(c, n);
	} else if (held_room(c, n)) {
		memcpy(c->held, p, n);
	} else {
		conn_close(c, CLOSE_NOW, E_NOMEM);
		return;
	}
	ASSERT(n <= c->held_cap);
	c->held_n = (u32)n;
}

/* Where the next bytes go, behind what is kept: the loop's buffer, or what is kept itself when it
 * is large (a packet is copied once then, and memory follows the bytes that came).  NULL: no
 * memory. */
static u8 *read_place(struct conn *c, size_t *cap)
{
	struct loop *l = c->loop;

	ASSERT(c->held_n <= c->held_cap);
	ASSERT((c->held == NULL) == (c->held_cap == 0));
	if (c->held_n <= LIM_COPY_ASIDE) {
		if (c->held_n != 0)
			memcpy(l->rbuf, c->held, c->held_n);
		*cap = NET_READ_BUFFER - c->held_n;
		return l->rbuf;
	}
	if (c->held_cap - c->held_n < LIM_COPY_ASIDE &&
	    !held_room(c, (size_t)c->held_n + MAX(c->held_n, LIM_COPY_ASIDE)))
		return NULL;
	*cap = MIN(c->held_cap - c->held_n, (u32)NET_READ_BUFFER);
	return c->held;
}

/* Frames off the last n of total bytes.  Returns what is left of total. */
static size_t conn_unframe(struct conn *c, u8 *p, size_t total, size_t n)
{
	enum ws_wipe secret = c->flags & CF_YOUNG ? WS_SECRET : WS_OPEN;
	u8 *at = p + (total - n);

	ASSERT(n <= total);
	if (c->ws == NULL || n == 0)
		return total;
	total -= n;
	total += ws_take(c->ws, c->loop->ws, at, n, c->loop->now_ms, secret);
	if (c->ws->pong != NULL)
		conn_dirty(c);
	return total;
}

/* Of total bytes at p the last n are new. */
static void conn_took(struct conn *c, u8 *p, size_t total, size_t n)
{
	size_t used = 0;

	ASSERT(n <= total);
	if (c->state == CONN_GREETING) {
		used = conn_greet(c, slice_of(p, total), total - n);
		/* Frames may have come with the request, before its answer. */
		total = conn_unframe(c, p, total, total - used);
	}
	if (c->state == CONN_OPEN && used < total)
		used += conn_offer(c, p + used, total - used);
	held_keep(c, p + used, total - used);
}

/* A Close frame, or what broke a rule, ends a connection once all before it has been taken.  True:
 * nothing more is read. */
static bool conn_at_end(struct conn *c)
{
	if (c->ws == NULL || c->ws->end == E_OK)
		return false;
	if (c->state == CONN_OPEN && !(c->flags & CF_PAUSED))
		conn_close(c, CLOSE_FLUSH, (enum err)c->ws->end);
	return true;
}

void conn_read(struct conn *c)
{
	size_t cap, n, total, had = c->held_n;
	enum err end = E_OK;
	u8 *p;

	ASSERT(conn_reads(c));
	if (conn_at_end(c))
		return;
	p = read_place(c, &cap);
	if (p == NULL) {
		conn_close(c, CLOSE_NOW, E_NOMEM);
		return;
	}
	if (c->flags & CF_YOUNG)
		cap = MIN(cap, (size_t)LIM_READ_YOUNG);
	n = c->tls == NULL ? read_plain(c, p + had, cap, &end) : read_tls(c, p + had, cap, &end);
	if (n != 0) {
		total = conn_unframe(c, p, had + n, n);
		c->held_n = (u32)(p == c->held ? total : had);
		conn_took(c, p, total, total - had);
		if (p == c->loop->rbuf)
			wipe_if_young(c, p, had + n);
	}
	/* The end of a paused connection is seen again once what is kept has been offered. */
	if (conn_at_end(c) || end == E_OK || !conn_reads(c) ||
	    (end == E_EOF && c->flags & CF_PAUSED))
		return;
	/* Who has only said that it sends no more may still read what this turn has for it. */
	conn_close(c, end == E_EOF && c->flags & CF_DIRTY ? CLOSE_FLUSH : CLOSE_NOW, end);
}

void conn_offer_held(struct conn *c)
{
	size_t used;

	ASSERT(c->state == CONN_OPEN);
	if (c->held_n != 0 && !(c->flags & CF_PAUSED)) {
		used = conn_offer(c, c->held, c->held_n);
		if (used != 0 || c->state != CONN_OPEN)
			held_keep(c, c->held + used, c->held_n - used);
	}
	(void)conn_at_end(c);
}
