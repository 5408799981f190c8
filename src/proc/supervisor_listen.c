/* supervisor_listen: the listening sockets: one a listener and shard, in a SO_REUSEPORT group, so
 * that each shard accepts on its own.  They stay open here: a broker that restarts gets them again,
 * and who connects meanwhile waits in the kernel.
 *
 * An address that this machine does not have yet is bound to all the same, and works as soon as it
 * comes.  An interface is looked for every two seconds: one that goes takes the sockets' binding
 * along, also when another of the same name comes. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/supervisor.h"

enum { LISTEN_BACKLOG = 4096, LOOK_MS = 2000 };

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

static bool set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

static bool socket_prepare(const struct sup_listener *l, int fd, bool six, enum share share)
{
	if (!set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
	    (share == SHARED && !set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1)))
		return false;
	if (l->interface[0] != '\0' && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, l->interface,
						  (socklen_t)strlen(l->interface)) != 0)
		return false;
	if (six && !set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0))
		return false;
	return !l->away || (six ? set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1)
				: set_int(fd, IPPROTO_IP, IP_FREEBIND, 1));
}

static int socket_bound(const struct sup_listener *l, bool v6, enum share share)
{
	union address a;
	socklen_t n = address_of(l, v6, &a);
	int fd, why;

	if (n == 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (socket_prepare(l, fd, a.any.sa_family == AF_INET6, share) && bind(fd, &a.any, n) == 0 &&
	    listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	why = errno;
	close(fd);
	errno = why;
	return -1;
}

/* An IPv6 socket where there is IPv6.  Alone: in a group, a second picketd of the same user would
 * get half of the connections instead of an error. */
static int socket_alone(struct sup_listener *l, bool *v6)
{
	int fd = socket_bound(l, true, ALONE);

	*v6 = true;
	if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
		return fd;
	l->away = errno == EADDRNOTAVAIL && l->address[0] != '\0';
	*v6 = l->away;
	return socket_bound(l, *v6, ALONE);
}

static const char *bind_hint(int why)
{
	switch (why) {
	case EADDRINUSE:
		return "stop the program that listens there (ss -ltnp names it), or choose another "
		       "port in bind";
	case EPERM:
		return "binding to an interface wants root on this kernel";
	case EACCES:
		return "choose a port above 1023, or start picketd as root";
	default:
		return "correct bind";
	}
}

static bool open_failed(struct sup *s, const struct conf *c, const struct conf_listener *cl)
{
	snprintf(s->why, sizeof(s->why), "%s:%u: listener %s cannot listen on %s%s%s: %s; %s",
		 c->config_path, cl->line, cl->name, cl->bind,
		 cl->interface[0] != '\0' ? " by " : "", cl->interface, strerror(errno),
		 bind_hint(errno));
	return false;
}

/* It may have nothing to listen on yet: then its descriptors stay -1. */
static bool network_open(struct sup *s, const struct conf *c, const struct conf_listener *cl,
			 struct sup_listener *l)
{
	bool v6;
	int fd = socket_alone(l, &v6);

	if (fd < 0 && errno == ENODEV && l->interface[0] != '\0')
		return true;
	if (fd < 0)
		return open_failed(s, c, cl);
	close(fd);
	for (u32 i = 0; i < s->nshards; i++) {
		l->fd[i] = socket_bound(l, v6, SHARED);
		if (l->fd[i] < 0)
			return open_failed(s, c, cl);
	}
	return true;
}

static bool listener_open(struct sup *s, const struct conf *c, const struct conf_listener *cl,
			  struct sup_listener *l)
{
	bool ok;

	if (cl->local) {
		l->fd[0] = local_open(s, c, cl);
		return l->fd[0] >= 0;
	}
	ok = network_open(s, c, cl, l);
	if (ok && l->fd[0] < 0)
		sup_say(s, LOG_WARN, "listen_later",
			"%s waits for interface %s, which this machine does not have now", cl->name,
			cl->interface);
	else if (ok && l->away)
		sup_say(s, LOG_WARN, "listen_later",
			"%s waits for address %s, which this machine does not have now", cl->name,
			cl->address);
	return ok;
}

static const struct sup_listener *listener_find(const struct sup_listeners *in,
						const struct sup_listener *l)
{
	for (u32 i = 0; in != NULL && i < in->n; i++) {
		if (in->v[i].port == l->port && strcmp(in->v[i].address, l->address) == 0 &&
		    strcmp(in->v[i].interface, l->interface) == 0)
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
		snprintf(l->interface, sizeof(l->interface), "%s", c->listener[i].interface);
		l->port = c->listener[i].port;
		memset(l->fd, -1, sizeof(l->fd));
		old = listener_find(have, l);
		out->n = i + 1;
		if (old != NULL) {
			*l = *old;
		} else if (!listener_open(s, c, &c->listener[i], l)) {
			sockets_close(out, have);
			return false;
		}
	}
	return true;
}

static void listener_close(struct sup_listener *l)
{
	for (u32 k = 0; k < SUP_SHARDS_MAX; k++) {
		if (l->fd[k] >= 0)
			close(l->fd[k]);
		l->fd[k] = -1;
	}
}

void sockets_close(struct sup_listeners *l, const struct sup_listeners *other)
{
	for (u32 i = 0; i < l->n; i++) {
		if (listener_find(other, &l->v[i]) != NULL)
			continue;
		if (l->v[i].port == 0 && l->v[i].fd[0] >= 0)
			local_remove(l->v[i].address);
		listener_close(&l->v[i]);
	}
	l->n = 0;
}

static void listener_give(struct sup *s, u32 i, bool last, bool renewed)
{
	for (u32 k = 0; k < s->nshards; k++) {
		struct m_listener m = {i, k, last && k + 1 == s->nshards, renewed};
		sup_send(s, ROLE_BROKER, IPC_LISTENER, s->generation, &m, SLICE_NONE,
			 s->listeners.v[i].fd[k]);
	}
}

void sockets_give(struct sup *s)
{
	for (u32 i = 0; i < s->listeners.n; i++) {
		/* The file is the same after a reload; who may use it may not be. */
		if (s->conf.listener[i].local && !local_rights(s, &s->conf, &s->conf.listener[i]))
			sup_say(s, LOG_ERROR, "listen", "%s", s->why);
		listener_give(s, i, i + 1 == s->listeners.n, false);
	}
}

/* ---- interfaces ------------------------------------------------------------------------ */

/* A socket whose interface has gone says so, also when another of that name has come. */
static bool interface_holds(const struct sup_listener *l)
{
	char name[16] = "";
	socklen_t n = sizeof(name);

	return l->fd[0] >= 0 && getsockopt(l->fd[0], SOL_SOCKET, SO_BINDTODEVICE, name, &n) == 0 &&
	       strncmp(name, l->interface, sizeof(name)) == 0;
}

static void interface_look(struct sup *s, u32 i)
{
	const struct conf_listener *cl = &s->conf.listener[i];
	struct sup_listener *l = &s->listeners.v[i];

	if (interface_holds(l))
		return;
	if (l->fd[0] >= 0)
		sup_say(s, LOG_WARN, "listen_later", "%s waits for interface %s, which has gone",
			cl->name, cl->interface);
	listener_close(l);
	if (!network_open(s, &s->conf, cl, l)) {
		listener_close(l);
		if (!l->told)
			sup_say(s, LOG_ERROR, "listen", "%s", s->why);
		l->told = true;
		return;
	}
	if (l->fd[0] < 0)
		return;
	l->told = false;
	sup_say(s, LOG_INFO, "listening", "%s on %s by %s", cl->name, cl->bind, cl->interface);
	listener_give(s, i, true, true);
}

u64 sockets_look_at(const struct sup *s)
{
	for (u32 i = 0; i < s->listeners.n; i++) {
		if (s->listeners.v[i].interface[0] != '\0')
			return s->look_at_ms;
	}
	return UINT64_MAX;
}

void sockets_look(struct sup *s)
{
	u64 now = clock_mono_ms();

	if (s->phase != PH_SERVING || now < sockets_look_at(s))
		return;
	s->look_at_ms = now + LOOK_MS;
	for (u32 i = 0; i < s->listeners.n; i++) {
		if (s->listeners.v[i].interface[0] != '\0')
			interface_look(s, i);
	}
}
