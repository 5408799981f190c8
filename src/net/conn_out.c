/* conn_out: bytes that go.  Sends what the handler shows: referenced on a plain socket, gathered
 * into one record or one frame where TLS or WebSocket is spoken.  What these two have begun to send
 * is ours until it is through, and goes first. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "net/loop_i.h"

static void conn_blocked(struct conn *c)
{
	ASSERT(!(c->flags & CF_BLOCKED));
	ASSERT(c->state == CONN_OPEN || c->state == CONN_LINGER);
	c->flags |= CF_BLOCKED;
	conn_watch(c, c->interest | EPOLLOUT);
}

/* ---- bytes of our own --------------------------------------------------------------------------
 */
/* Up to n bytes to whatever carries them. */
static enum tls_io put(struct conn *c, const u8 *p, size_t n, size_t *sent)
{
	ssize_t w;

	ASSERT(n > 0);
	if (c->tls != NULL)
		return tls_write(c->tls, p, n, sent);
	do {
		w = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (w < 0 && errno == EINTR);
	*sent = (size_t)MAX(w, 0);
	if (w >= 0)
		return TLS_OK;
	return errno == EAGAIN ? TLS_WANT_WRITE : TLS_FAILED;
}

static void put_failed(struct conn *c, enum tls_io io)
{
	ASSERT(io == TLS_CLOSED || io == TLS_FAILED);
	if (io == TLS_CLOSED)
		conn_close(c, CLOSE_NOW, E_EOF);
	else
		conn_close(c, CLOSE_NOW, c->tls != NULL ? E_TLS : E_IO);
}

/* Go on with what has begun.  False: the socket takes no more now, or the connection has ended. */
static bool send_rest(struct conn *c)
{
	size_t n = 0;

	while (c->out != NULL) {
		enum tls_io io = put(c, c->out + c->out_off, c->out_n - c->out_off, &n);
		if (io == TLS_WANT_WRITE || io == TLS_WANT_READ) {
			conn_blocked(c);
			return false;
		}
		if (io != TLS_OK) {
			put_failed(c, io);
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

bool conn_owe(struct conn *c, const u8 *p, size_t n)
{
	ASSERT(c->out == NULL);
	ASSERT(n > 0 && n <= NET_READ_BUFFER);
	c->out = malloc(n);
	if (c->out == NULL) {
		conn_close(c, CLOSE_NOW, E_NOMEM);
		return false;
	}
	memcpy(c->out, p, n);
	c->out_n = (u32)n;
	c->out_off = 0;
	return true;
}

/* The first n bytes of the gather buffer; what is not taken at once is owed.  False when the
 * connection has ended. */
static bool send_gathered(struct conn *c, size_t n)
{
	const u8 *p = c->loop->gbuf;
	size_t sent = 0;
	enum tls_io io;

	ASSERT(c->out == NULL);
	io = put(c, p, n, &sent);
	ASSERT(sent <= n);
	if (io == TLS_CLOSED || io == TLS_FAILED) {
		put_failed(c, io);
		return false;
	}
	return sent == n || conn_owe(c, p + sent, n - sent);
}

/* ---- bytes of the handler ----------------------------------------------------------------------
 */
static size_t iov_total(const struct iovec *iov, int n)
{
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}

/* One sendmsg.  False as above. */
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

/* At most cap bytes of iov: cuts it.  Returns how many. */
static size_t iov_cut(struct iovec *iov, int *n, size_t cap)
{
	size_t total = 0;
	int i = 0;

	ASSERT(*n > 0);
	ASSERT(cap > 0);
	for (; i < *n && total < cap; i++) {
		iov[i].iov_len = MIN(iov[i].iov_len, cap - total);
		total += iov[i].iov_len;
	}
	*n = i;
	return total;
}

static size_t gather(u8 *out, const struct iovec *iov, int n)
{
	size_t total = 0;

	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len != 0)
			memcpy(out + total, iov[i].iov_base, iov[i].iov_len);
		total += iov[i].iov_len;
	}
	return total;
}

enum { UNIT_HEAD = 8 };

/* What may go in the next frame: the rest of one message of the protocol above. */
static size_t frame_room(struct conn *c, const struct iovec *iov, int n)
{
	const struct net_handler *h = &c->loop->h;
	u8 head[UNIT_HEAD];
	struct iovec first[UNIT_HEAD];
	int m = MIN(n, (int)UNIT_HEAD);

	ASSERT(n > 0);
	if (h->unit == NULL)
		return LIM_WS_SEND;
	if (c->ws->left == 0) {
		memcpy(first, iov, (size_t)m * sizeof(*iov));
		iov_cut(first, &m, UNIT_HEAD);
		c->ws->left = (u32)h->unit(c->loop->arg, slice_of(head, gather(head, first, m)));
	}
	return c->ws->left != 0 ? MIN(c->ws->left, (u32)LIM_WS_SEND) : LIM_WS_SEND;
}

/* One record, or one frame in one record. */
static bool send_whole(struct conn *c, struct iovec *iov, int n)
{
	struct loop *l = c->loop;
	size_t payload = iov_cut(iov, &n, c->ws != NULL ? frame_room(c, iov, n) : LIM_TLS_RECORD);
	size_t bytes =
		c->ws != NULL ? ws_put_data(l->ws, iov, n, l->gbuf) : gather(l->gbuf, iov, n);

	ASSERT(payload > 0);
	ASSERT(bytes <= LIM_TLS_RECORD);
	if (!send_gathered(c, bytes))
		return false;
	if (c->ws != NULL)
		c->ws->left -= (u32)MIN(payload, (size_t)c->ws->left);
	l->h.sent(l->arg, c, payload);
	if (c->state == CONN_CLOSING)
		return false;
	return send_rest(c);
}

/* The answer to a ping goes between two frames. */
static bool send_pong(struct conn *c)
{
	if (c->ws == NULL || c->ws->pong == NULL || c->ws->said_bye)
		return true;
	return send_gathered(c, ws_put_pong(c->ws, c->loop->ws, c->loop->gbuf)) && send_rest(c);
}

/* The last frame, once (RFC 6455 section 5.5.1).  Nobody waits for the answer to it. */
static bool send_bye(struct conn *c)
{
	size_t n;

	ASSERT(c->state == CONN_LINGER);
	if (c->ws == NULL || c->ws->said_bye)
		return true;
	n = ws_put_close(c->ws, c->loop->ws, (enum err)c->why, c->loop->gbuf);
	return send_gathered(c, n) && send_rest(c);
}

/* All is sent. */
static void conn_drained(struct conn *c)
{
	ASSERT(c->out == NULL);
	ASSERT(!(c->flags & CF_BLOCKED));
	if (c->state == CONN_LINGER && !send_bye(c))
		return;
	conn_watch(c, c->interest & ~(u32)EPOLLOUT);
	if (c->state == CONN_LINGER)
		conn_close(c, CLOSE_NOW, (enum err)c->why);
}

void conn_flush(struct conn *c)
{
	struct loop *l = c->loop;

	if (c->flags & CF_BLOCKED || (c->state != CONN_OPEN && c->state != CONN_LINGER))
		return;
	if (!send_rest(c) || !send_pong(c))
		return;
	for (int i = 0; i < LIM_FLUSH_ROUNDS; i++) {
		int n = c->flags & CF_OPENED ? l->h.output(l->arg, c, l->iov, NET_IOV) : 0;
		ASSERT(n >= 0 && n <= NET_IOV);
		if (c->state == CONN_CLOSING)
			return;
		if (n == 0) {
			conn_drained(c);
			return;
		}
		if (!(c->tls == NULL && c->ws == NULL ? send_plain(c, l->iov, n)
						      : send_whole(c, l->iov, n)))
			return;
	}
	c->flags |= CF_MORE;
	conn_put_again(c);
}
