/* ipc: one end of a socket pair between two of our processes.
 *
 * A message is one datagram: header, the row's fixed payload, tail, at most one descriptor.  What
 * arrives is checked against its row before anyone sees it; what breaks it ends the link for good.
 * Owns the socket, the receive buffer and what waits to be sent.  Does not know what messages mean.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "ipc/ipc.h"

#define LINK_MAGIC 0x11a4c0deu
enum { IPC_QUEUE_MAX = 1024, IPC_MAGIC = 0x504b, FDS_SEEN = 8 };

struct ipc_header {
	u16 magic, type;
	u32 tail;
	u64 id;
};
enum { IPC_FRAME_MAX = sizeof(struct ipc_header) + IPC_BODY_MAX + IPC_TAIL_MAX };

struct ipc_out {
	STAILQ_ENTRY(ipc_out) next;
	int fd; /* ours, or -1 */
	size_t n;
	u8 frame[];
};

struct ipc_link {
	u32 magic;
	int fd;
	enum role me, peer;
	enum err broken; /* E_OK while the link works */
	u32 queued;
	STAILQ_HEAD(, ipc_out) out;
	_Alignas(16) u8 in[IPC_FRAME_MAX + 1]; /* one more: an oversized datagram shows */
};

struct ipc_link *ipc_link_new(int fd, enum role me, enum role peer)
{
	struct ipc_link *l = xcalloc(1, sizeof(*l));
	int flags = fcntl(fd, F_GETFL);

	ASSERT(me < ROLE_N && peer < ROLE_N);
	ASSERT(flags >= 0);
	ASSERT(fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
	l->magic = LINK_MAGIC;
	l->fd = fd;
	l->me = me;
	l->peer = peer;
	STAILQ_INIT(&l->out);
	return l;
}

static void ipc_out_drop(struct ipc_link *l)
{
	struct ipc_out *o = STAILQ_FIRST(&l->out);

	ASSERT(l->queued > 0);
	STAILQ_REMOVE_HEAD(&l->out, next);
	l->queued--;
	if (o->fd >= 0)
		close(o->fd);
	mem_wipe(o->frame, o->n);
	free(o);
}

void ipc_link_free(struct ipc_link **lp)
{
	struct ipc_link *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	OBJ_CHECK(l, LINK_MAGIC);
	while (!STAILQ_EMPTY(&l->out))
		ipc_out_drop(l);
	close(l->fd);
	mem_wipe(l, sizeof(*l));
	free(l);
}

int ipc_link_fd(const struct ipc_link *l)
{
	OBJ_CHECK(l, LINK_MAGIC);
	return l->fd;
}

enum role ipc_link_peer(const struct ipc_link *l)
{
	OBJ_CHECK(l, LINK_MAGIC);
	return l->peer;
}

bool ipc_wants_write(const struct ipc_link *l)
{
	OBJ_CHECK(l, LINK_MAGIC);
	return l->queued != 0;
}

/* E_OK, E_MORE when the socket is full, E_EOF. */
static enum err ipc_put(struct ipc_link *l, const struct ipc_out *o)
{
	struct iovec iov = {(void *)(uintptr_t)o->frame, o->n};
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	ASSERT(l->broken == E_OK);
	ASSERT(o->n >= sizeof(struct ipc_header) && o->n <= IPC_FRAME_MAX);
	if (o->fd >= 0) {
		h.msg_control = control.b;
		h.msg_controllen = sizeof(control.b);
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		*c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(c), &o->fd, sizeof(int));
	}
	do
		n = sendmsg(l->fd, &h, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		ASSERT((size_t)n == o->n); /* datagrams go whole or not at all */
		return E_OK;
	}
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS
		       ? E_MORE
		       : E_EOF;
}

enum err ipc_flush(struct ipc_link *l)
{
	OBJ_CHECK(l, LINK_MAGIC);
	if (l->broken != E_OK)
		return l->broken;
	while (!STAILQ_EMPTY(&l->out)) {
		enum err e = ipc_put(l, STAILQ_FIRST(&l->out));
		if (e == E_MORE)
			return e;
		if (e != E_OK) {
			l->broken = e;
			return e;
		}
		ipc_out_drop(l);
	}
	return E_OK;
}

static struct ipc_out *ipc_out_new(enum ipc_type type, u64 id, struct slice body, struct slice tail)
{
	struct ipc_header h = {IPC_MAGIC, (u16)type, (u32)tail.n, id};
	struct ipc_out *o = malloc(sizeof(*o) + sizeof(h) + body.n + tail.n);
	struct wr w;

	ASSERT(tail.n <= IPC_TAIL_MAX);
	ASSERT(body.n <= IPC_BODY_MAX);
	if (o == NULL)
		return NULL;
	w = wr_of(o->frame, sizeof(h) + body.n + tail.n);
	wr_bytes(&w, &h, sizeof(h));
	wr_slice(&w, body);
	wr_slice(&w, tail);
	ASSERT(w.err == E_OK);
	o->n = w.n;
	o->fd = -1;
	return o;
}

enum err ipc_send(struct ipc_link *l, enum ipc_type type, u64 id, const void *body,
		  struct slice tail, int fd)
{
	size_t size = ipc_body_size(type);
	struct ipc_out *o;
	enum err e;

	OBJ_CHECK(l, LINK_MAGIC);
	if (!ipc_allowed(type, l->me, l->peer, size, tail.n, fd >= 0))
		return E_IPC;
	if (l->broken != E_OK)
		return l->broken;
	if (l->queued >= IPC_QUEUE_MAX)
		return E_BUSY;
	o = ipc_out_new(type, id, slice_of(body, size), tail);
	if (o == NULL)
		return E_BUSY;
	if (fd >= 0 && (o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0) {
		free(o);
		return E_BUSY;
	}
	STAILQ_INSERT_TAIL(&l->out, o, next);
	l->queued++;
	e = ipc_flush(l);
	return e == E_MORE ? E_OK : e;
}

/* Descriptors that came with a datagram: the first is kept, the number returned, the others closed.
 */
static u32 ipc_take_fds(struct msghdr *h, int *fd)
{
	u32 count = 0;

	ASSERT(h != NULL);
	*fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0);
		     at += sizeof(int)) {
			int got;
			memcpy(&got, CMSG_DATA(c) + at, sizeof(got));
			if (count++ == 0)
				*fd = got;
			else
				close(got);
		}
	}
	return count;
}

/* Take the datagram of n bytes apart and check it against its row. */
static bool ipc_check(const struct ipc_link *l, size_t n, bool has_fd, struct ipc_msg *out)
{
	struct ipc_header h;
	size_t body;

	ASSERT(n <= sizeof(l->in));
	if (n < sizeof(h) || n > IPC_FRAME_MAX)
		return false;
	memcpy(&h, l->in, sizeof(h));
	if (h.magic != IPC_MAGIC || h.tail > IPC_TAIL_MAX || n - sizeof(h) < h.tail)
		return false;
	body = n - sizeof(h) - h.tail;
	if (!ipc_allowed((enum ipc_type)h.type, l->peer, l->me, body, h.tail, has_fd))
		return false;
	out->type = (enum ipc_type)h.type;
	out->id = h.id;
	out->body = l->in + sizeof(h);
	out->tail = slice_of(l->in + sizeof(h) + body, h.tail);
	return true;
}

static ssize_t ipc_get(struct ipc_link *l, struct msghdr *h)
{
	ssize_t n;
	int resets = 0;

	/* ECONNRESET (the peer died with our messages unread) comes once, before what it sent. */
	do
		n = recvmsg(l->fd, h, MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || (errno == ECONNRESET && resets++ == 0)));
	return n;
}

enum err ipc_recv(struct ipc_link *l, struct ipc_msg *out)
{
	struct iovec iov = {l->in, sizeof(l->in)};
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(FDS_SEEN * sizeof(int))];
	} control;
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.b,
			   .msg_controllen = sizeof(control.b)};
	ssize_t n;
	u32 fds;

	OBJ_CHECK(l, LINK_MAGIC);
	*out = (struct ipc_msg){.fd = -1};
	if (l->broken == E_IPC)
		return E_IPC;
	n = ipc_get(l, &h);
	if (n < 0 && errno == EAGAIN)
		return E_MORE;
	if (n <= 0) {
		l->broken = E_EOF;
		return E_EOF;
	}
	fds = ipc_take_fds(&h, &out->fd);
	if (!(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && fds <= 1 &&
	    ipc_check(l, (size_t)n, fds == 1, out))
		return E_OK;
	if (out->fd >= 0)
		close(out->fd);
	*out = (struct ipc_msg){.fd = -1};
	l->broken = E_IPC;
	return E_IPC;
}

void ipc_put_str(struct wr *w, struct slice s)
{
	if (s.n > UINT16_MAX) {
		w->err = E_TOO_LARGE;
		return;
	}
	wr_u16(w, (u16)s.n);
	wr_slice(w, s);
}

struct slice ipc_get_str(struct rd *r)
{
	return rd_bytes(r, rd_u16(r));
}
