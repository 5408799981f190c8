/* bench_client: one connection of the load generator: opening, buffers, and taking packets off the
 * stream.  It reads headers only as far as it must: the generator has to be cheaper than any
 * broker. */
#include <errno.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/mem.h"
#include "cli/bench.h"
#include "wire/packet.h"

enum { IN_MIN = 64 * 1024 };

static int dial(const struct bench_options *o)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	int fd = -1, one = 1;
	int rc = getaddrinfo(o->host, o->port, &hints, &list);

	if (rc != 0) {
		(void)fprintf(stderr, "%s: %s\n", o->host, gai_strerror(rc));
		return -1;
	}
	for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			(void)close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	if (fd < 0)
		(void)fprintf(stderr, "cannot connect to %s port %s: %s\n", o->host, o->port,
			      strerror(errno));
	else
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

SSL_CTX *bench_tls(const struct bench_options *o)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL || SSL_CTX_load_verify_locations(ctx, o->ca, NULL) != 1) {
		(void)fprintf(stderr, "cannot read the CA certificate %s\n", o->ca);
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					    SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

static bool start_tls(struct bench_client *c, const struct bench_options *o, SSL_CTX *tls)
{
	struct in6_addr any;
	bool is_ip;

	c->ssl = SSL_new(tls);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		return false;
	is_ip = inet_pton(AF_INET, o->host, &any) == 1 || inet_pton(AF_INET6, o->host, &any) == 1;
	if (is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), o->host) != 1
		  : SSL_set1_host(c->ssl, o->host) != 1)
		return false;
	if (SSL_connect(c->ssl) == 1)
		return true;
	(void)fprintf(stderr, "TLS: %s\n", ERR_reason_error_string(ERR_get_error()));
	return false;
}

u8 *bench_client_room(struct bench_client *c, size_t n)
{
	u8 *at;

	if (c->out_n + n > c->out_cap) {
		c->out_cap = MAX((c->out_n + n) * 2, (size_t)4096);
		c->out = xrealloc(c->out, c->out_cap);
	}
	at = c->out + c->out_n;
	c->out_n += n;
	return at;
}

/* >0 bytes, 0 not now, <0 gone. */
static ssize_t client_send(struct bench_client *c, const void *p, size_t n)
{
	ssize_t k;

	if (c->ssl != NULL) {
		int r = SSL_write(c->ssl, p, (int)MIN(n, (size_t)1 << 30));
		int why = r > 0 ? 0 : SSL_get_error(c->ssl, r);
		return r > 0							     ? r
		       : (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ) ? 0
										     : -1;
	}
	k = send(c->fd, p, n, MSG_NOSIGNAL);
	return k > 0 ? k : errno == EAGAIN ? 0 : -1;
}

static ssize_t client_recv(struct bench_client *c, void *p, size_t n)
{
	ssize_t k;

	if (c->ssl != NULL) {
		int r = SSL_read(c->ssl, p, (int)MIN(n, (size_t)1 << 30));
		int why = r > 0 ? 0 : SSL_get_error(c->ssl, r);
		return r > 0							     ? r
		       : (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ) ? 0
										     : -1;
	}
	k = recv(c->fd, p, n, 0);
	return k > 0 ? k : k < 0 && errno == EAGAIN ? 0 : -1;
}

bool bench_client_flush(struct bench_client *c)
{
	while (c->out_off < c->out_n) {
		ssize_t k = client_send(c, c->out + c->out_off, c->out_n - c->out_off);
		if (k < 0)
			return false;
		if (k == 0)
			return true;
		c->out_off += (size_t)k;
	}
	c->out_off = c->out_n = 0;
	return true;
}

/* Take whole packets off the front of the input. */
static void take_packets(struct bench_client *c, bench_packet *packet, void *arg)
{
	size_t at = 0;

	while (c->in_n - at >= 2) {
		size_t len = 0, head = 1;
		u32 shift = 0;
		u8 b = 0x80;
		while (head < 5 && at + head < c->in_n && (b & 0x80) != 0) {
			b = c->in[at + head++];
			len |= (size_t)(b & 0x7f) << shift;
			shift += 7;
		}
		if ((b & 0x80) != 0 || c->in_n - at < head + len)
			break;
		packet(arg, c, c->in[at], c->in + at + head, len);
		at += head + len;
	}
	memmove(c->in, c->in + at, c->in_n - at);
	c->in_n -= at;
}

bool bench_client_read(struct bench_client *c, bench_packet *packet, void *arg)
{
	for (int turn = 0; turn < 4; turn++) {
		ssize_t k;
		if (c->in_cap - c->in_n < IN_MIN) {
			c->in_cap = c->in_n + 2 * IN_MIN;
			c->in = xrealloc(c->in, c->in_cap);
		}
		k = client_recv(c, c->in + c->in_n, c->in_cap - c->in_n);
		if (k < 0)
			return false;
		if (k == 0)
			return true;
		c->in_n += (size_t)k;
		take_packets(c, packet, arg);
		if (c->ssl == NULL ? c->in_n < IN_MIN : SSL_pending(c->ssl) == 0)
			return true; /* the next epoll turn tells of more; a blocking one waits */
	}
	return true;
}

struct answer {
	u32 first, code; /* of the packet; 0: none yet */
	bench_packet *packet;
	void *arg;
};

static void keep_answer(void *arg, struct bench_client *c, u8 first, const u8 *body, size_t n)
{
	struct answer *a = arg;
	bool hello = first >> 4 == PKT_CONNACK && n >= 2;

	if (a->first != 0 || first >> 4 == PKT_PUBLISH) {
		if (a->packet != NULL)
			a->packet(a->arg, c, first, body, n);
		return;
	}
	a->first = first;
	a->code = hello ? body[1] : n > 0 ? body[n - 1] : 0;
	c->present |= hello && body[0] != 0;
}

/* Send what is queued and wait for one packet of that type with a code below 0x80. */
static bool exchange(struct bench_client *c, enum pkt_type want, bench_packet *packet, void *arg)
{
	struct answer a = {.packet = packet, .arg = arg};

	while (a.first == 0)
		if (!bench_client_flush(c) || !bench_client_read(c, keep_answer, &a)) {
			(void)fprintf(stderr, "the broker closed the connection\n");
			return false;
		}
	if (a.first >> 4 == (u32)want && a.code < 0x80 && (want != PKT_CONNACK || a.code == 0))
		return true;
	(void)fprintf(stderr, "the broker refused: packet %02x code %02x\n", a.first, a.code);
	return false;
}

static void queue(struct bench_client *c, const struct wr *w)
{
	memcpy(bench_client_room(c, w->n), w->p, w->n);
}

bool bench_client_greet(struct bench_client *c, const struct bench_options *o, SSL_CTX *tls,
			const char *client_id)
{
	u8 b[2048];
	struct wr w = wr_of(b, sizeof(b));
	struct pkt_connect hello = {.version = o->version == 5 ? MQTT_5 : MQTT_311,
				    .clean_start = !c->keep};

	c->fd = dial(o);
	if (c->fd < 0 || (tls != NULL && !start_tls(c, o, tls)))
		return false;
	hello.client_id = slice_str(client_id);
	hello.has_username = o->user != NULL;
	hello.has_password = o->password_file != NULL;
	hello.username = o->user != NULL ? slice_str(o->user) : SLICE_NONE;
	hello.password = slice_str(o->password);
	pkt_connect_encode(&w, &hello);
	queue(c, &w);
	return bench_client_flush(c);
}

bool bench_client_enter(struct bench_client *c, const struct bench_options *o, const char *filter,
			bench_packet *packet, void *arg)
{
	u8 b[2048];
	struct wr w = wr_of(b, sizeof(b));
	struct sub_entry entry = {.qos = (u8)o->qos};

	if (!exchange(c, PKT_CONNACK, packet, arg))
		return false;
	if (filter != NULL) {
		entry.raw = slice_str(filter);
		pkt_subscribe_encode(&w, o->version == 5 ? MQTT_5 : MQTT_311, 1, 0, &entry, 1);
		queue(c, &w);
		if (!exchange(c, PKT_SUBACK, packet, arg))
			return false;
	}
	(void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
	return true;
}

bool bench_client_open(struct bench_client *c, const struct bench_options *o, SSL_CTX *tls,
		       const char *client_id, const char *filter)
{
	return bench_client_greet(c, o, tls, client_id) &&
	       bench_client_enter(c, o, filter, NULL, NULL);
}

void bench_client_leave(struct bench_client *c)
{
	static const u8 bye[] = {PKT_DISCONNECT << 4, 0};

	memcpy(bench_client_room(c, sizeof(bye)), bye, sizeof(bye));
	(void)bench_client_flush(c);
	bench_client_close(c);
}

void bench_client_close(struct bench_client *c)
{
	SSL_free(c->ssl);
	if (c->fd >= 0)
		(void)close(c->fd);
	free(c->in);
	free(c->out);
	free(c->expected);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}
