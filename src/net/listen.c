/* listen: listening sockets.  Accepts in bounded batches and asks for admission before anything is
 * allocated; owns nothing of a connection.  When descriptors run out it gives up a spare one for a
 * moment to turn clients away, so that they learn it and the loop does not spin. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/loop_i.h"

static void set_int(int fd, int level, int name, int value)
{
	/* Fails on sockets that are not TCP; nothing depends on it. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void listener_watch(struct net_listener *n)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = n};

	ASSERT(!n->dead);
	ASSERT(n->fd >= 0);
	if (epoll_ctl(n->loop->epoll_fd, EPOLL_CTL_ADD, n->fd, &e) != 0)
		UNREACHABLE("epoll takes a listening socket");
}

static void rest_is_over(struct timer *t)
{
	struct net_listener *n = CONTAINER_OF(t, struct net_listener, rest);

	OBJ_CHECK(n, LISTENER_MAGIC);
	listener_watch(n);
}

struct net_listener *loop_listen(struct loop *l, int fd, const struct net_listen_options *o)
{
	struct net_listener *n = xcalloc(1, sizeof(*n));
	int fl = fcntl(fd, F_GETFL);

	OBJ_CHECK(l, LOOP_MAGIC);
	ASSERT(fl >= 0 && fcntl(fd, F_SETFL, fl | O_NONBLOCK) == 0);
	/* Accepted sockets inherit these, which saves calls for each connection.  A client whose
	 * keep alive we know is heard of before the probes would begin. */
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, LIM_PROBE_IDLE_S);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, LIM_PROBE_EVERY_S);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, LIM_PROBES);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	*n = (struct net_listener){.magic = LISTENER_MAGIC, .fd = fd, .loop = l, .opt = *o};
	n->opt.tls = o->tls != NULL ? net_tls_ref(o->tls) : NULL;
	n->opt.greeting = o->greeting != NULL ? net_greeting_ref(o->greeting) : NULL;
	n->rest.fire = rest_is_over;
	LIST_INSERT_HEAD(&l->listeners, n, all);
	listener_watch(n);
	return n;
}

/* Who is still on the way in through this listener has nobody to judge it by any more. */
static void turn_out_the_unmarked(struct loop *l, u32 listener)
{
	struct conn *c;

	LIST_FOREACH (c, &l->conns, all) {
		OBJ_CHECK(c, CONN_MAGIC);
		ASSERT(c->loop == l);
		if (c->listener == listener && !(c->flags & CF_MARK))
			conn_close(c, CLOSE_NOW, E_SHUTDOWN);
	}
}

void loop_unlisten(struct loop *l, struct net_listener *n)
{
	OBJ_CHECK(n, LISTENER_MAGIC);
	ASSERT(n->loop == l);
	ASSERT(!n->dead);
	n->dead = true; /* an event of this turn may still name it */
	timer_stop(&l->wheel, &n->rest);
	/* Closing does not end the watch: whoever handed the socket over still has it open. */
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, n->fd, NULL);
	close(n->fd);
	n->fd = -1;
	turn_out_the_unmarked(l, n->opt.listener);
}

void listeners_sweep(struct loop *l, bool all)
{
	struct net_listener *next;

	for (struct net_listener *n = LIST_FIRST(&l->listeners); n != NULL; n = next) {
		next = LIST_NEXT(n, all);
		if (all && !n->dead)
			loop_unlisten(l, n);
		if (!n->dead)
			continue;
		ASSERT(n->fd < 0);
		ASSERT(!timer_running(&n->rest));
		LIST_REMOVE(n, all);
		if (n->opt.tls != NULL)
			net_tls_unref(&n->opt.tls);
		if (n->opt.greeting != NULL)
			net_greeting_unref(&n->opt.greeting);
		n->magic = 0;
		free(n);
	}
}

void loop_listener_deadline(struct net_listener *n, u64 handshake_ms)
{
	OBJ_CHECK(n, LISTENER_MAGIC);
	n->opt.handshake_ms = handshake_ms;
}

void loop_listener_tls(struct net_listener *n, struct net_tls *tls)
{
	OBJ_CHECK(n, LISTENER_MAGIC);
	ASSERT(tls != NULL);
	net_tls_ref(tls);
	if (n->opt.tls != NULL)
		net_tls_unref(&n->opt.tls);
	n->opt.tls = tls;
}

void loop_listener_greeting(struct net_listener *n, struct net_greeting *g)
{
	OBJ_CHECK(n, LISTENER_MAGIC);
	ASSERT(g != NULL);
	net_greeting_ref(g);
	if (n->opt.greeting != NULL)
		net_greeting_unref(&n->opt.greeting);
	n->opt.greeting = g;
}

const struct net_greeting *listener_greeting(const struct loop *l, u32 listener)
{
	const struct net_listener *n;

	OBJ_CHECK(l, LOOP_MAGIC);
	LIST_FOREACH (n, &l->listeners, all) {
		OBJ_CHECK(n, LISTENER_MAGIC);
		if (n->opt.listener == listener && !n->dead)
			return n->opt.greeting;
	}
	return NULL;
}

/* The user who connected, as the kernel knows it; nothing that the peer says.  False: unknown. */
static bool user_of(int fd, u8 addr[16])
{
	struct ucred u;
	socklen_t n = sizeof(u);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &n) != 0 || n != sizeof(u) ||
	    u.uid == (uid_t)-1)
		return false;
	addr_of_uid(u.uid, addr);
	return true;
}

/* The peer as 16 bytes (base/addr.h).  False: it has no address. */
static bool peer_of(int fd, const struct sockaddr_storage *sa, u8 addr[16], u16 *port)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memset(addr, 0, 16);
	*port = 0;
	if (sa->ss_family == AF_UNIX)
		return user_of(fd, addr);
	if (sa->ss_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		addr[10] = addr[11] = 0xff;
		memcpy(addr + 12, &v4.sin_addr, 4);
		*port = ntohs(v4.sin_port);
	} else if (sa->ss_family == AF_INET6) {
		memcpy(&v6, sa, sizeof(v6));
		memcpy(addr, &v6.sin6_addr, 16);
		*port = ntohs(v6.sin6_port);
	}
	return true;
}

/* Close with a reset: no state of ours or of the kernel remains of a client that is turned away. */
static void turn_away(int fd)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	ASSERT(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

/* No descriptor is left: turn one client away with the spare one, then rest, so that the clients
 * that wait do not keep the loop spinning. */
static void descriptors_are_out(struct net_listener *n)
{
	struct loop *l = n->loop;
	int fd;

	ASSERT(!n->dead);
	ASSERT(!timer_running(&n->rest)); /* who rests hears of nobody */
	if (l->spare_fd >= 0) {
		close(l->spare_fd);
		fd = accept4(n->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			turn_away(fd);
	}
	l->spare_fd = fcntl(l->epoll_fd, F_DUPFD_CLOEXEC, 0);
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, n->fd, NULL);
	timer_start(&l->wheel, &n->rest, l->now_ms + LIM_ACCEPT_REST);
}

/* One client; false when there is no more for now. */
static bool accept_one(struct net_listener *n)
{
	struct loop *l = n->loop;
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(sa);
	int fd = accept4(n->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	enum net_admit as = NET_REFUSE;
	u8 addr[16];
	u16 port;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			descriptors_are_out(n);
			return false;
		}
		/* Errors of the connection itself (accept(2)) concern that client alone. */
		return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
	}
	if (peer_of(fd, &sa, addr, &port))
		as = l->h.admit != NULL ? l->h.admit(l->arg, addr, n->opt.listener) : NET_ADMIT;
	if (as == NET_REFUSE)
		turn_away(fd);
	else
		conn_begin(l, n, fd, addr, port, as);
	return true;
}

void listener_event(struct net_listener *n)
{
	OBJ_CHECK(n, LISTENER_MAGIC);
	for (int i = 0; i < LIM_ACCEPTS && !n->dead && accept_one(n); i++)
		continue;
}
