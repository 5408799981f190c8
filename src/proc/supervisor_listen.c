/* supervisor_listen: the listening sockets: one a listener and shard, in a SO_REUSEPORT group, so
 * that each shard accepts on its own.  They stay open here: a broker that restarts gets them again,
 * and who connects meanwhile waits in the kernel. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proc/supervisor.h"

enum { LISTEN_BACKLOG = 4096 };

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* "" is every address: IPv6 that takes IPv4 too, or IPv4 alone where there is no IPv6. */
static socklen_t address_of(const struct sup_listener *l, bool v6, union address *a)
{
	memset(a, 0, sizeof(*a));
	if (v6 &&
	    (l->address[0] == '\0' || inet_pton(AF_INET6, l->address, &a->v6.sin6_addr) == 1)) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(l->port);
		return sizeof(a->v6);
	}
	if (l->address[0] != '\0' && inet_pton(AF_INET, l->address, &a->v4.sin_addr) != 1)
		return 0;
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons(l->port);
	return sizeof(a->v4);
}

enum share { ALONE, SHARED };

static int socket_bound(const struct sup_listener *l, bool v6, enum share share)
{
	const int on = 1, off = 0;
	union address a;
	socklen_t n = address_of(l, v6, &a);
	int fd;

	if (n == 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (share == ALONE || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
	    (a.any.sa_family != AF_INET6 ||
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0) &&
	    bind(fd, &a.any, n) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	n = (socklen_t)errno;
	close(fd);
	errno = (int)n;
	return -1;
}

static const char *bind_hint(int why)
{
	switch (why) {
	case EADDRINUSE:
		return "stop the program that listens there (ss -ltnp names it), or choose another "
		       "port in bind";
	case EACCES:
		return "choose a port above 1023, or start picketd as root";
	case EADDRNOTAVAIL:
		return "this machine does not have that address; ip address lists what it has";
	default:
		return "correct bind";
	}
}

static bool listener_open(struct sup *s, const struct conf *c, const struct conf_listener *cl,
			  struct sup_listener *l)
{
	/* An IPv6 socket where there is IPv6.  First alone: in a group, a second picketd of the
	 * same user would get half of the connections instead of an error. */
	bool v6 = true;
	int fd = socket_bound(l, true, ALONE);

	if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
		v6 = false;
		fd = socket_bound(l, false, ALONE);
	}
	if (fd < 0)
		goto fail;
	close(fd);
	for (u32 i = 0; i < s->nshards; i++) {
		l->fd[i] = socket_bound(l, v6, SHARED);
		if (l->fd[i] < 0)
			goto fail;
	}
	return true;
fail:
	snprintf(s->why, sizeof(s->why), "%s:%u: listener %s cannot listen on %s: %s; %s",
		 c->config_path, cl->line, cl->name, cl->bind, strerror(errno), bind_hint(errno));
	return false;
}

static const struct sup_listener *listener_find(const struct sup_listeners *in,
						const struct sup_listener *l)
{
	for (u32 i = 0; in != NULL && i < in->n; i++) {
		if (in->v[i].port == l->port && strcmp(in->v[i].address, l->address) == 0)
			return &in->v[i];
	}
	return NULL;
}

bool sockets_open(struct sup *s, const struct conf *c, const struct sup_listeners *have,
		  struct sup_listeners *out)
{
	memset(out, 0, sizeof(*out));
	for (u32 i = 0; i < c->listeners; i++) {
		struct sup_listener *l = &out->v[i];
		const struct sup_listener *old;
		snprintf(l->address, sizeof(l->address), "%s", c->listener[i].address);
		l->port = c->listener[i].port;
		memset(l->fd, -1, sizeof(l->fd));
		old = listener_find(have, l);
		out->n = i + 1;
		if (old != NULL) {
			memcpy(l->fd, old->fd, sizeof(l->fd));
		} else if (!listener_open(s, c, &c->listener[i], l)) {
			sockets_close(out, have);
			return false;
		}
	}
	return true;
}

void sockets_close(struct sup_listeners *l, const struct sup_listeners *other)
{
	for (u32 i = 0; i < l->n; i++) {
		if (listener_find(other, &l->v[i]) != NULL)
			continue;
		for (u32 k = 0; k < SUP_SHARDS_MAX; k++) {
			if (l->v[i].fd[k] >= 0)
				close(l->v[i].fd[k]);
		}
	}
	l->n = 0;
}

void sockets_give(struct sup *s)
{
	for (u32 i = 0; i < s->listeners.n; i++) {
		for (u32 k = 0; k < s->nshards; k++) {
			struct m_listener m = {i, k,
					       i + 1 == s->listeners.n && k + 1 == s->nshards};
			sup_send(s, ROLE_BROKER, IPC_LISTENER, s->generation, &m, SLICE_NONE,
				 s->listeners.v[i].fd[k]);
		}
	}
}
