/* conn: sockets.  Reads whole packets and hands them on, writes what sessions put into out; may
 * hold its output back or stop reading for a while.  Knows no MQTT state. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum { EVENTS = 256, READ_MOST = 256 << 10, CONNECT_MS = 4000 };

static int epoll_fd;
static struct conn *first;
static u8 scratch[READ_MOST];

void conn_start(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		abort();
}

struct conn *conn_first(void)
{
	return first;
}

static void conn_watch(struct conn *c, int how)
{
	struct epoll_event e = {.data.ptr = c};

	e.events = (c->stalled ? 0u : (u32)EPOLLIN) | (c->wants_out ? (u32)EPOLLOUT : 0u);
	if (epoll_ctl(epoll_fd, how, c->fd, &e) != 0)
		abort();
}

void conn_open(struct session *s)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(world.port)};

	if (c == NULL)
		abort();
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		perror("socket");
		exit(1);
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	c->s = s;
	c->number = s->conns++;
	c->state = CONN_CONNECTING;
	c->wants_out = true;
	c->receive_max = UINT16_MAX;
	c->deadline_ns = now_ns() + CONNECT_MS * NS_PER_MS;
	c->next = first;
	first = c;
	s->opening++;
	conn_watch(c, EPOLL_CTL_ADD);
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)
		conn_close(c, CLOSED_UNREACHED);
}

void conn_close(struct conn *c, enum closed how)
{
	struct conn **at = &first;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (how == CLOSED_RUDELY && random_below(2) == 0)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
			   sizeof(struct linger));
	close(c->fd);
	if (c->state != CONN_CONNECTING)
		history_add(EV_CLOSED, c->s->id, c->number, 0, (u32)how, 0, 0, 0);
	session_gone(c);
	buffer_free(&c->in);
	buffer_free(&c->out);
	free(c);
}

/* ---- in ------------------------------------------------------------------------------ */
/* Whole packets of p; false: the connection has gone. */
static bool conn_packets(struct conn *c, const u8 *p, size_t n, size_t *used)
{
	struct packet packet;

	*used = 0;
	for (;;) {
		size_t size = packet_read(p + *used, n - *used, c->s->version, &packet);
		if (size == 0)
			return true;
		if (size == SIZE_MAX) {
			history_add(EV_ODD, c->s->id, c->number, 0, p[*used] >> 4, UINT32_MAX, 0,
				    0);
			conn_close(c, CLOSED_RUDELY);
			return false;
		}
		*used += size;
		if (!session_packet(c, &packet))
			return false;
	}
}

static void conn_read(struct conn *c)
{
	ssize_t n = recv(c->fd, scratch, sizeof(scratch), 0);
	size_t used;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close(c, c->bye ? CLOSED_AFTER_BYE : CLOSED_BY_BROKER);
		return;
	}
	if (c->in.n == 0) {
		if (conn_packets(c, scratch, (size_t)n, &used))
			buffer_add(&c->in, scratch + used, (size_t)n - used);
		return;
	}
	buffer_add(&c->in, scratch, (size_t)n);
	if (conn_packets(c, c->in.p, c->in.n, &used))
		buffer_drop(&c->in, used);
}

/* ---- out ----------------------------------------------------------------------------- */
static void conn_write(struct conn *c)
{
	ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
	bool more;

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		conn_close(c, c->bye ? CLOSED_AFTER_BYE : CLOSED_BY_BROKER);
		return;
	}
	if (n > 0)
		buffer_drop(&c->out, (size_t)n);
	more = c->out.n != 0;
	if (more != c->wants_out) {
		c->wants_out = more;
		conn_watch(c, EPOLL_CTL_MOD);
	}
}

static void conn_connected(struct conn *c)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error != 0) {
		conn_close(c, CLOSED_UNREACHED);
		return;
	}
	c->state = CONN_ASKED;
	session_opened(c);
	conn_write(c);
}

static void conn_event(struct conn *c, u32 events)
{
	if (c->state == CONN_CONNECTING)
		conn_connected(c);
	else if ((events & EPOLLOUT) != 0 && c->out.n != 0 && c->hold_ns == 0)
		conn_write(c);
	else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		conn_read(c);
}

/* Deadlines, ends of stalls, and what was put into out since the last time. */
void conn_tick(u64 now)
{
	struct conn *next;

	for (struct conn *c = first; c != NULL; c = next) {
		next = c->next;
		if (c->deadline_ns != 0 && now > c->deadline_ns) {
			conn_close(c, c->state == CONN_CONNECTING ? CLOSED_UNREACHED : CLOSED_LATE);
			continue;
		}
		if (c->stall_ns != 0 && !c->stalled) {
			c->stalled = true;
			conn_watch(c, EPOLL_CTL_MOD);
		} else if (c->stalled && now > c->stall_ns) {
			c->stalled = false;
			c->stall_ns = 0;
			conn_watch(c, EPOLL_CTL_MOD);
		}
		if (c->hold_ns != 0 && now > c->hold_ns)
			c->hold_ns = 0;
		if (c->state != CONN_CONNECTING && c->hold_ns == 0 && c->out.n != 0 &&
		    !c->wants_out)
			conn_write(c);
	}
}

void conn_turn(int wait_ms)
{
	struct epoll_event e[EVENTS];
	int n = epoll_wait(epoll_fd, e, EVENTS, wait_ms);

	/* Closing one may close others of its session: who is still there is asked. */
	for (int i = 0; i < n; i++) {
		struct conn *c = first;
		while (c != NULL && c != e[i].data.ptr)
			c = c->next;
		if (c != NULL)
			conn_event(c, e[i].events);
	}
}
