/* echo: see echo.h.  One thread a loop; the test's thread is the client. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "echo.h"

struct peer {
	u8 *out;
	size_t n, off, cap;
	bool chunk; /* show output in small pieces */
};

enum { ITEM_MOVE = 1, ITEM_RESUME };

static bool opened(void *arg, struct conn *c)
{
	struct echo *e = arg;

	if (e->refuse_open)
		return false;
	conn_set_user(c, xcalloc(1, sizeof(struct peer)));
	memcpy(e->source, conn_addr(c), 16);
	snprintf(e->cn, sizeof(e->cn), "%s", conn_proxied_cn(c) != NULL ? conn_proxied_cn(c) : "");
	atomic_fetch_add(&e->opened, 1);
	return true;
}

static void put(struct peer *p, const u8 *b, size_t n)
{
	if (p->cap - p->n < n) {
		p->cap = p->n + n;
		p->out = xrealloc(p->out, p->cap);
	}
	memcpy(p->out + p->n, b, n);
	p->n += n;
}

static void command(struct echo *e, struct conn *c, u8 what)
{
	if (what == 'Q')
		conn_close(c, CLOSE_FLUSH, E_ADMIN);
	if (what == 'K')
		conn_close(c, CLOSE_NOW, E_ADMIN);
	if (what == 'P' || what == 'M') {
		conn_pause(c);
		atomic_fetch_add(&e->pauses, 1);
		outbox_add(&e->out, (struct inbox_item){
					    .kind = what == 'M' ? ITEM_MOVE : ITEM_RESUME, .p = c});
	}
}

static size_t input(void *arg, struct conn *c, struct slice b)
{
	struct echo *e = arg;
	struct peer *p = conn_user(c);
	u32 n;

	if (b.n > atomic_load(&e->largest_input))
		atomic_store(&e->largest_input, (u32)b.n);
	if (b.n < 4)
		return 0;
	memcpy(&n, b.p, 4);
	n = ntohl(n);
	if (b.n - 4 < n)
		return 0;
	put(p, b.p, 4 + (size_t)n);
	conn_dirty(c);
	if (n == 1)
		command(e, c, b.p[4]);
	return 4 + (size_t)n;
}

static int output(void *arg, struct conn *c, struct iovec *iov, int max)
{
	struct peer *p = conn_user(c);
	int k = 0;

	/* Cut in pieces, so that gathering has something to do. */
	for (size_t at = p->off; at < p->n && k < max; k++) {
		size_t part = MIN(p->n - at, (size_t)(k % 2 == 0 ? 7 : 5000));
		iov[k] = (struct iovec){p->out + at, part};
		at += part;
	}
	return k;
}

static void sent(void *arg, struct conn *c, size_t bytes)
{
	struct peer *p = conn_user(c);

	p->off += bytes;
	ASSERT(p->off <= p->n);
	if (p->off == p->n)
		p->off = p->n = 0;
}

static void closed(void *arg, struct conn *c, enum err why)
{
	struct echo *e = arg;
	struct peer *p = conn_user(c);

	free(p->out);
	free(p);
	atomic_store(&e->last_why, (u32)why);
	atomic_fetch_add(&e->closed, 1);
}

static void refused(void *arg, const u8 addr[16], u16 port, u32 listener, enum net_stage stage,
		    enum err why, const char *text)
{
	struct echo *e = arg;

	atomic_store(&e->last_why, (u32)why);
	atomic_fetch_add(&e->refused, 1);
}

static bool trusts(void *arg, const u8 addr[16], u32 listener)
{
	const struct echo *e = arg;

	return e->trusted != NULL && e->trusted(addr);
}

static enum net_admit admit(void *arg, const u8 addr[16], u32 listener)
{
	struct echo *e = arg;

	if (atomic_load(&e->admitted) >= atomic_load(&e->admit_max))
		return NET_REFUSE;
	atomic_fetch_add(&e->admitted, 1);
	return trusts(arg, addr, listener) ? NET_ADMIT_PROXY : NET_ADMIT;
}

static void released(void *arg, const u8 addr[16], u32 listener)
{
	struct echo *e = arg;

	memcpy(e->last_released, addr, 16);
	atomic_fetch_add(&e->released, 1);
}

static bool sourced(void *arg, const u8 proxy[16], const u8 addr[16], u32 listener)
{
	struct echo *e = arg;

	memcpy(e->source, addr, 16);
	atomic_fetch_add(&e->sourced, 1);
	return !e->refuse_source;
}

static void unsourced(void *arg, const u8 proxy[16], u16 port, u32 listener, enum err why,
		      const char *text)
{
	struct echo *e = arg;

	atomic_store(&e->last_why, (u32)why);
	atomic_fetch_add(&e->unsourced, 1);
}

/* Commands are carried out here, in the turn, as the broker does it. */
static void turn(void *arg, u64 now_ms)
{
	struct echo *e = arg;
	struct inbox_item *it;
	size_t n = inbox_take(&e->inbox, &it);

	for (size_t i = 0; i < n; i++) {
		conn_attach(e->loop, it[i].p);
		conn_resume(it[i].p);
		atomic_fetch_add(&e->moved_in, 1);
	}
	for (size_t i = 0; i < e->out.n; i++) {
		if (e->out.items[i].kind == ITEM_MOVE)
			conn_detach(e->out.items[i].p);
		else
			conn_resume(e->out.items[i].p);
	}
}

static void turned(void *arg)
{
	struct echo *e = arg;
	size_t keep = 0;

	for (size_t i = 0; i < e->out.n; i++) {
		if (e->out.items[i].kind == ITEM_MOVE)
			e->out.items[keep++] = e->out.items[i];
	}
	e->out.n = keep;
	if (keep != 0)
		outbox_send(&e->out, &e->neighbour->inbox);
}

static void *run(void *arg)
{
	loop_run(((struct echo *)arg)->loop);
	return NULL;
}

static int listening(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	ASSERT(listen(fd, 64) == 0);
	ASSERT(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	*port = ntohs(a.sin_port);
	return fd;
}

void echo_start(struct echo *e, struct echo *neighbour)
{
	static const struct net_handler h = {.opened = opened,
					     .input = input,
					     .output = output,
					     .sent = sent,
					     .closed = closed,
					     .refused = refused,
					     .turn = turn,
					     .admit = admit,
					     .released = released,
					     .turned = turned,
					     .sourced = sourced,
					     .trusts = trusts,
					     .unsourced = unsourced};
	int fd = listening(&e->port);

	e->neighbour = neighbour;
	atomic_store(&e->admit_max, 1000000);
	e->loop = loop_new(&h, e);
	inbox_init(&e->inbox, e->loop);
	e->opt.listener = 1;
	ASSERT(loop_listen(e->loop, fd, &e->opt) != NULL);
	ASSERT(pthread_create(&e->thread, NULL, run, e) == 0);
}

void echo_join(struct echo *e)
{
	loop_stop(e->loop);
	ASSERT(pthread_join(e->thread, NULL) == 0);
}

void echo_free(struct echo *e)
{
	loop_free(&e->loop);
	inbox_free(&e->inbox);
	free(e->out.items);
}

int echo_connect(const struct echo *e)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_port = htons((u16)e->port);
	ASSERT(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	ASSERT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
	return fd;
}

void echo_send(int fd, const void *p, size_t n)
{
	ASSERT(send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n);
}

size_t echo_recv(int fd, void *p, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t k = recv(fd, (u8 *)p + got, n - got, 0);
		if (k <= 0)
			break;
		got += (size_t)k;
	}
	return got;
}

void echo_frame(int fd, const void *body, u32 n)
{
	u32 be = htonl(n);

	echo_send(fd, &be, 4);
	echo_send(fd, body, n);
}

void echo_await(_Atomic u32 *counter, u32 n)
{
	for (int i = 0; i < 20000 && atomic_load(counter) < n; i++)
		usleep(1000);
	ASSERT(atomic_load(counter) >= n);
}
