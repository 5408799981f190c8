/* canary: a stranger tries every listener after each start and reload, and must be refused.
 *
 * Without credentials and with made-up ones, in MQTT 3.1.1 and 5, it says CONNECT and in the same
 * breath SUBSCRIBE # and PUBLISH, as an attacker would who does not wait for the answer.  Anything
 * but one refusing CONNACK, or a closed connection, is an alarm.  Listeners that welcome anyone are
 * left out; the supervisor names them.  A process of its own: it may make sockets, and nothing
 * else. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"
#include "proc/canary.h"
#include "proc/sandbox.h"
#include "proc/supervisor.h"

enum { ANSWER = 1024, TRIES = 4, WAIT_S = 15, REACH_MS = 20 * 1000, RETRY_MS = 100 };

struct attempt {
	const struct conf_listener *l;
	int fd; /* -1: over */
	struct tls_client *tls;
	bool v5, credentials;
};

/* ---- bytes ---- */
static void put_string(struct wr *w, const char *s)
{
	wr_u16(w, (u16)strlen(s));
	wr_bytes(w, s, strlen(s));
}

/* Fixed header with a one-byte length, which is enough for all of ours. */
static void put_packet(struct wr *w, u8 type, struct slice body)
{
	ASSERT(body.n < 128);
	wr_u8(w, type);
	wr_u8(w, (u8)body.n);
	wr_slice(w, body);
}

static void put_connect(struct wr *w, bool v5, bool credentials)
{
	u8 b[128];
	struct wr c = wr_of(b, sizeof(b));

	put_string(&c, "MQTT");
	wr_u8(&c, v5 ? 5 : 4);
	wr_u8(&c, credentials ? 0xc2 : 0x02); /* clean start; user name and password */
	wr_u16(&c, 30);
	if (v5)
		wr_u8(&c, 0);
	put_string(&c, "picket-canary");
	if (credentials) {
		put_string(&c, "picket-canary");
		put_string(&c, "nobody-has-this-secret");
	}
	put_packet(w, 0x10, wr_done(&c));
}

static void put_subscribe(struct wr *w, bool v5)
{
	u8 b[32];
	struct wr c = wr_of(b, sizeof(b));

	wr_u16(&c, 1);
	if (v5)
		wr_u8(&c, 0);
	put_string(&c, "#");
	wr_u8(&c, 1);
	put_packet(w, 0x82, wr_done(&c));
}

static void put_publish(struct wr *w, bool v5)
{
	u8 b[64];
	struct wr c = wr_of(b, sizeof(b));

	put_string(&c, "picket/canary");
	wr_u16(&c, 2);
	if (v5)
		wr_u8(&c, 0);
	wr_bytes(&c, "x", 1);
	put_packet(w, 0x32, wr_done(&c)); /* QoS 1: taken, it would be acknowledged */
}

/* ---- one attempt ---- */
/* A loopback address of its own for each attempt (127.64.0.0/10), so that its refusals count
 * against nobody else here, nor against its own next attempt: a reload soon after the start is
 * judged, too. */
static struct sockaddr_in loopback_source(void)
{
	u32 r = 0;

	(void)!getrandom(&r, sizeof(r), 0);
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(0x7f400000 | (r & 0x3fffff))};
}

static int connect_to(const struct conf_listener *l)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(l->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(l->port)};
	struct sockaddr_in from = loopback_source();
	const struct timeval patience = {WAIT_S, 0};
	bool six = inet_pton(AF_INET6, l->address, &v6.sin6_addr) == 1;
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (!six && inet_pton(AF_INET, l->address, &v4.sin_addr) != 1)
		v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (six && IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr))
		v6.sin6_addr = in6addr_loopback;
	if (!six && v4.sin_addr.s_addr == htonl(INADDR_ANY))
		v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!six && ntohl(v4.sin_addr.s_addr) >> 24 == 127)
		(void)!bind(fd, (const struct sockaddr *)&from, sizeof(from));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, six ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4,
		    six ? sizeof(v6) : sizeof(v4)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void attempt_end(struct attempt *a)
{
	if (a->tls != NULL)
		tls_client_free(&a->tls);
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

static bool attempt_send(struct attempt *a)
{
	u8 words[512], b[1024];
	struct wr w = wr_of(words, sizeof(words)), wrapped = wr_of(b, sizeof(b));
	size_t n;

	put_connect(&w, a->v5, a->credentials);
	put_subscribe(&w, a->v5);
	put_publish(&w, a->v5);
	if (!a->l->mqtt) {
		stranger_wrap(&wrapped, a->l->websocket_path, wr_done(&w));
		w = wrapped;
	}
	ASSERT(w.err == E_OK);
	if (a->tls != NULL)
		return tls_client_write(a->tls, w.p, w.n, &n) == E_OK && n == w.n;
	return send(a->fd, w.p, w.n, MSG_NOSIGNAL) == (ssize_t)w.n;
}

/* Behind a PROXY header that says nothing of a client, it comes from where it comes from. */
static bool attempt_proxy(const struct attempt *a)
{
	static const char header[] = "PROXY UNKNOWN\r\n";

	return !a->l->proxy ||
	       send(a->fd, header, sizeof(header) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(header) - 1;
}

/* Connected, TLS done, everything said.  false: what says why. */
static bool attempt_begin(struct attempt *a, char *what, size_t cap)
{
	a->fd = connect_to(a->l);
	if (a->fd < 0) {
		snprintf(what, cap, "no connection: %s", strerror(errno));
		return false;
	}
	if (!attempt_proxy(a)) {
		snprintf(what, cap, "the connection broke: %s", strerror(errno));
		attempt_end(a);
		return false;
	}
	if (a->l->tls && tls_client_new_canary(a->fd, &a->tls, what, cap) != E_OK) {
		attempt_end(a);
		return false;
	}
	if (attempt_send(a))
		return true;
	snprintf(what, cap, "the connection broke: %s", strerror(errno));
	attempt_end(a);
	return false;
}

/* The beginning of exactly one CONNACK with a refusing code, and nothing behind it? */
static bool may_be_refusal(struct slice s, bool v5)
{
	if (s.n >= 1 && s.p[0] != 0x20)
		return false;
	if (s.n >= 2 && s.n - 2 > s.p[1])
		return false;
	if (s.n >= 3 && (s.p[2] & 1)) /* a session that exists */
		return false;
	return s.n < 4 || (v5 ? s.p[3] >= 0x80 : s.p[3] != 0);
}

/* Closed without a word, or after a whole refusal. */
static bool is_refusal(struct slice s, bool v5)
{
	return s.n == 0 || (s.n >= 4 && s.n == (size_t)s.p[1] + 2 && may_be_refusal(s, v5));
}

static enum err attempt_recv(struct attempt *a, u8 *b, size_t cap, size_t *got)
{
	ssize_t r;

	if (a->tls != NULL)
		return tls_client_read(a->tls, b, cap, got);
	r = recv(a->fd, b, cap, 0);
	*got = r > 0 ? (size_t)r : 0;
	return r > 0 ? E_OK : r == 0 || errno == ECONNRESET ? E_EOF : E_MORE;
}

/* Until the end, or until it is no refusal; false: neither came. */
static bool attempt_read(struct attempt *a, u8 *b, size_t cap, size_t *n)
{
	u8 heard[ANSWER];
	size_t heard_n = 0, got = 0;
	enum err e = E_OK;

	ASSERT(cap >= sizeof(heard));
	*n = 0;
	while (e == E_OK && heard_n < sizeof(heard) && may_be_refusal(slice_of(b, *n), a->v5)) {
		e = attempt_recv(a, heard + heard_n, sizeof(heard) - heard_n, &got);
		heard_n += e == E_OK ? got : 0;
		if (a->l->mqtt)
			memcpy(b, heard, heard_n);
		if (a->l->mqtt)
			*n = heard_n;
		else
			*n = stranger_unwrap(slice_of(heard, heard_n), b);
	}
	return e != E_MORE; /* else closed, in whatever way */
}

static int attempt_judge(struct attempt *a)
{
	u8 b[ANSWER];
	size_t n;
	bool ended = attempt_read(a, b, sizeof(b), &n);
	const char *who = a->credentials ? "with made-up credentials" : "without credentials";
	int version = a->v5 ? 5 : 3;

	attempt_end(a);
	if (is_refusal(slice_of(b, n), a->v5) && ended)
		return CANARY_REFUSED;
	if (ended || n != 0) {
		log_msg(LOG_ERROR, "canary", "listener %s: a stranger %s (MQTT %d) was NOT refused",
			a->l->name, who, version);
		return CANARY_NOT_REFUSED;
	}
	log_msg(LOG_ERROR, "canary", "listener %s: a stranger %s (MQTT %d) got no answer in %d s",
		a->l->name, who, version, WAIT_S);
	return CANARY_NO_ANSWER;
}

/* ---- all of them ---- */
/* As far as one can tell from the address that loopback_source() and the kernel choose. */
static bool loopback_may(const struct conf_listener *l)
{
	u8 here[16];

	ASSERT(addr_parse("127.80.73.193", here) != 0);
	return conf_may_connect(&l->allow, &l->deny, here) &&
	       (!l->proxy || conf_in_nets(&l->proxies, here));
}

/* An interface may not be there, and takes little from this machine itself; a unix socket knows its
 * users, and we may be one.  The supervisor names those listeners. */
static bool can_come_in(const struct conf_listener *l)
{
	return !l->local && (l->interface[0] == '\0' || strcmp(l->interface, "lo") == 0);
}

/* It may be bound to an address that is to come: elsewhere somebody else may have it now. */
static bool address_is_here(const struct conf_listener *l)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	bool six = inet_pton(AF_INET6, l->address, &v6.sin6_addr) == 1, here;
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || (!six && inet_pton(AF_INET, l->address, &v4.sin_addr) != 1))
		here = true; /* every address */
	else if (six)
		here = bind(fd, (const struct sockaddr *)&v6, sizeof(v6)) == 0;
	else
		here = bind(fd, (const struct sockaddr *)&v4, sizeof(v4)) == 0;
	if (fd >= 0)
		close(fd);
	return here;
}

/* The broker may still be waiting for its certificate: try for a while. */
static int reach(struct attempt *a, u64 deadline_ms)
{
	const struct timespec pause = {0, RETRY_MS * 1000000};
	char what[200] = "";

	for (;;) {
		if (attempt_begin(a, what, sizeof(what)))
			return CANARY_REFUSED; /* as far as one can tell by now */
		if (!loopback_may(a->l))
			return CANARY_REFUSED; /* turned away at the door: it is a stranger there,
						  too */
		if (clock_mono_ms() >= deadline_ms)
			break;
		nanosleep(&pause, NULL);
	}
	log_msg(LOG_ERROR, "canary", "listener %s cannot be reached from this machine: %s",
		a->l->name, what);
	return CANARY_NO_ANSWER;
}

static int try_all(const struct conf *c)
{
	static struct attempt tries[CONF_LISTENERS * TRIES];
	u64 deadline = clock_mono_ms() + REACH_MS;
	u32 n = 0;
	int worst = CANARY_REFUSED, r;

	for (u32 i = 0; i < c->listeners && worst == CANARY_REFUSED; i++) {
		if (!can_come_in(&c->listener[i]) || !address_is_here(&c->listener[i]))
			continue;
		for (u32 t = 0; t < TRIES && c->listener[i].anonymous_role[0] == '\0'; t++) {
			tries[n] = (struct attempt){&c->listener[i], -1, NULL, t & 1, t & 2};
			worst = reach(&tries[n++], deadline);
			if (worst != CANARY_REFUSED)
				break;
		}
	}
	for (u32 i = 0; i < n; i++) {
		if (tries[i].fd < 0)
			continue;
		r = attempt_judge(&tries[i]);
		worst = r == CANARY_NOT_REFUSED || worst == CANARY_REFUSED ? r : worst;
	}
	return worst;
}

/* OpenSSL reads its configuration and seeds itself before the sandbox. */
static void tls_warm_up(void)
{
	struct tls_client *none = NULL;
	char what[200];

	if (tls_client_new_canary(-1, &none, what, sizeof(what)) == E_OK)
		UNREACHABLE("no descriptor, no TLS");
}

int canary_main(int conf_fd)
{
	struct conf *c = xmalloc(sizeof(*c));
	struct m_ready ready;
	struct slice s;
	int code;

	log_setup("canary", LOG_INFO);
	if (ipc_memfd_map(conf_fd, sizeof(*c), &s) != E_OK)
		return CANARY_NO_ANSWER;
	memcpy(c, s.p, sizeof(*c));
	munmap((void *)(uintptr_t)s.p, s.n);
	tls_warm_up();
	if (!conf_valid(c) || !sandbox_enter(ROLE_CANARY, &ready))
		return CANARY_NO_ANSWER;
	code = try_all(c);
	free(c);
	return code;
}
