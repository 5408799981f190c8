/* conn_io: the bytes of a connection.  Reads into the loop's buffer and keeps aside only what the
 * handler left over; sends what the handler shows, small pieces gathered, large ones referenced.  A
 * plain socket and TLS differ in two functions here and nowhere else. */
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
	if (n == 0 || c->state != CONN_OPEN) {
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

void conn_read(struct conn *c)
{
	size_t cap, n, had = c->held_n, used;
	enum err end = E_OK;
	u8 *p = read_place(c, &cap);

	ASSERT(c->state == CONN_OPEN);
	if (p == NULL) {
		conn_close(c, CLOSE_NOW, E_NOMEM);
		return;
	}
	if (c->flags & CF_YOUNG)
		cap = MIN(cap, (size_t)LIM_READ_YOUNG);
	n = c->tls == NULL ? read_plain(c, p + had, cap, &end) : read_tls(c, p + had, cap, &end);
	if (n != 0) {
		c->held_n = (u32)(p == c->held ? had + n : had);
		used = conn_offer(c, p, had + n);
		held_keep(c, p + used, had + n - used);
		if (p == c->loop->rbuf)
			wipe_if_young(c, p, had + n);
	}
	/* The end of a paused connection is seen again once what is kept has been offered. */
	if (end == E_OK || c->state != CONN_OPEN || (end == E_EOF && c->flags & CF_PAUSED))
		return;
	/* Who has only said that it sends no more may still read what this turn has for it. */
	conn_close(c, end == E_EOF && c->flags & CF_DIRTY ? CLOSE_FLUSH : CLOSE_NOW, end);
}

void conn_offer_held(struct conn *c)
{
	size_t used;

	if (c->held_n == 0 || c->flags & CF_PAUSED)
		return;
	used = conn_offer(c, c->held, c->held_n);
	if (used != 0 || c->state != CONN_OPEN)
		held_keep(c, c->held + used, c->held_n - used);
}

/* ---- out
 * ------------------------------------------------------------------------------------------- */
static void conn_blocked(struct conn *c)
{
	ASSERT(!(c->flags & CF_BLOCKED));
	ASSERT(c->state == CONN_OPEN || c->state == CONN_LINGER);
	c->flags |= CF_BLOCKED;
	conn_watch(c, c->interest | EPOLLOUT);
}

static size_t iov_total(const struct iovec *iov, int n)
{
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}

/* One sendmsg.  False: the socket takes no more now, or the connection has ended. */
static bool send_plain(struct conn *c, struct iovec *iov, int n)
{
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)n};
	size_t total = iov_total(iov, n);
	ssize_t w;

	ASSERT(c->tls == NULL);
	ASSERT(total > 0);
	do {
		w = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (w < 0 && errno == EINTR);
	if (w < 0 && errno != EAGAIN) {
		conn_close(c, CLOSE_NOW, E_IO);
		return false;
	}
	if (w > 0)
		c->loop->h.sent(c->loop->arg, c, (size_t)w);
	if (c->state == CONN_CLOSING) /* sent() may end it */
		return false;
	if (w < 0 || (size_t)w < total) {
		conn_blocked(c);
		return false;
	}
	return true;
}

/* Go on with what TLS has begun.  False as above. */
static bool send_tls_rest(struct conn *c)
{
	size_t n = 0;

	while (c->out != NULL) {
		enum tls_io io = tls_write(c->tls, c->out + c->out_off, c->out_n - c->out_off, &n);
		if (io == TLS_WANT_WRITE || io == TLS_WANT_READ) {
			conn_blocked(c);
			return false;
		}
		if (io != TLS_OK) {
			conn_close(c, CLOSE_NOW, io == TLS_CLOSED ? E_EOF : E_TLS);
			return false;
		}
		c->out_off += (u32)n;
		ASSERT(c->out_off <= c->out_n);
		if (c->out_off == c->out_n) {
			free(c->out);
			c->out = NULL;
		}
	}
	return true;
}

/* One record, gathered.  TLS may have to try again with the same bytes, so what it does not take at
 * once is ours from then on. */
static bool send_tls(struct conn *c, const struct iovec *iov, int n)
{
	struct loop *l = c->loop;
	size_t total = 0, sent = 0, part;
	enum tls_io io;

	for (int i = 0; i < n && total < LIM_TLS_RECORD; i++) {
		part = MIN(iov[i].iov_len, LIM_TLS_RECORD - total);
		memcpy(l->gbuf + total, iov[i].iov_base, part);
		total += part;
	}
	ASSERT(c->out == NULL);
	ASSERT(total > 0);
	io = tls_write(c->tls, l->gbuf, total, &sent);
	ASSERT(sent <= total);
	if (io == TLS_CLOSED || io == TLS_FAILED) {
		conn_close(c, CLOSE_NOW, io == TLS_CLOSED ? E_EOF : E_TLS);
		return false;
	}
	if (sent < total) {
		c->out = malloc(total - sent);
		if (c->out == NULL) {
			conn_close(c, CLOSE_NOW, E_NOMEM);
			return false;
		}
		memcpy(c->out, l->gbuf + sent, total - sent);
		c->out_n = (u32)(total - sent);
		c->out_off = 0;
	}
	l->h.sent(l->arg, c, total);
	if (c->state == CONN_CLOSING)
		return false;
	return c->out == NULL || send_tls_rest(c);
}

/* All is sent. */
static void conn_drained(struct conn *c)
{
	ASSERT(c->out == NULL);
	ASSERT(!(c->flags & CF_BLOCKED));
	conn_watch(c, c->interest & ~(u32)EPOLLOUT);
	if (c->state == CONN_LINGER)
		conn_close(c, CLOSE_NOW, (enum err)c->why);
}

void conn_flush(struct conn *c)
{
	struct loop *l = c->loop;

	if (c->flags & CF_BLOCKED || (c->state != CONN_OPEN && c->state != CONN_LINGER))
		return;
	if (c->out != NULL && !send_tls_rest(c))
		return;
	for (int i = 0; i < LIM_FLUSH_ROUNDS; i++) {
		int n = l->h.output(l->arg, c, l->iov, NET_IOV);
		ASSERT(n >= 0 && n <= NET_IOV);
		if (c->state == CONN_CLOSING)
			return;
		if (n == 0) {
			conn_drained(c);
			return;
		}
		if (!(c->tls == NULL ? send_plain(c, l->iov, n) : send_tls(c, l->iov, n)))
			return;
	}
	c->flags |= CF_MORE;
	conn_put_again(c);
}
