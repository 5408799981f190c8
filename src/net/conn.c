/* conn: the life of one connection, from accept to the end of the turn in which it closes.  Owns
 * its socket, its state and what is kept aside; moves no bytes itself (conn_io.c). */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop_i.h"

static void deadline_passed(struct timer *t)
{
	struct conn *c = CONTAINER_OF(t, struct conn, timer);

	OBJ_CHECK(c, CONN_MAGIC);
	if (c->state == CONN_GREETING)
		conn_greeting_late(c);
	else
		conn_close(c, CLOSE_NOW, E_TIMEOUT);
}

void conn_watch(struct conn *c, u32 interest)
{
	struct epoll_event e = {.events = interest, .data.ptr = c};

	ASSERT(c->state != CONN_CLOSING);
	ASSERT((interest & ~(u32)(EPOLLIN | EPOLLOUT)) == 0);
	if (c->interest == interest)
		return;
	if (epoll_ctl(c->loop->epoll_fd, EPOLL_CTL_MOD, c->fd, &e) != 0)
		UNREACHABLE("epoll has this socket");
	c->interest = interest;
}

/* Join a loop: from here on epoll tells of it.  False: the system has no room. */
static bool conn_join(struct conn *c, struct loop *l, u32 interest)
{
	struct epoll_event e = {.events = interest, .data.ptr = c};

	OBJ_CHECK(l, LOOP_MAGIC);
	ASSERT(c->fd >= 0);
	c->loop = l;
	c->interest = interest;
	LIST_INSERT_HEAD(&l->conns, c, all);
	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->fd, &e) == 0;
}

void conn_opened(struct conn *c)
{
	struct loop *l = c->loop;

	ASSERT(c->state == CONN_HANDSHAKE || c->state == CONN_GREETING);
	ASSERT(!(c->flags & CF_OPENED));
	timer_stop(&l->wheel, &c->timer);
	/* A proxy that named no client is one itself. */
	if (conn_unsourced(c) && !conn_source(c, c->via->addr, c->port))
		return;
	c->state = CONN_OPEN;
	c->flags |= CF_YOUNG;
	if (!l->h.opened(l->arg, c)) {
		conn_close(c, CLOSE_NOW, E_NOMEM);
		return;
	}
	c->flags |= CF_OPENED;
}

void conn_start(struct conn *c, struct net_tls *tls)
{
	ASSERT(c->state == CONN_PROXY);
	c->state = CONN_HANDSHAKE;
	if (tls == NULL) {
		conn_greeting(c);
		return;
	}
	c->tls = tls_conn_new(tls, c->loop, c, c->fd);
	if (c->tls == NULL)
		conn_close(c, CLOSE_NOW, E_NOMEM);
}

void conn_begin(struct loop *l, struct net_listener *n, int fd, const u8 addr[16], u16 port,
		enum net_admit as)
{
	bool proxied = n->opt.proxy || as == NET_ADMIT_PROXY;
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		close(fd);
		if (l->h.released != NULL)
			l->h.released(l->arg, addr, n->opt.listener);
		return;
	}
	*c = (struct conn){.magic = CONN_MAGIC, .fd = fd, .accepted_ms = l->now_ms, .port = port};
	c->listener = n->opt.listener;
	c->timer.fire = deadline_passed;
	memcpy(c->addr, addr, sizeof(c->addr));
	if (!conn_join(c, l, EPOLLIN) || (proxied && !conn_via_begin(c, &n->opt))) {
		conn_close(c, CLOSE_NOW, E_NOMEM);
		return;
	}
	/* One deadline for the PROXY header and the handshake behind it. */
	if (n->opt.tls != NULL || n->opt.proxy)
		timer_start(&l->wheel, &c->timer, l->now_ms + n->opt.handshake_ms);
	if (!n->opt.proxy)
		conn_start(c, n->opt.tls);
}

/* ---- the handshake ------------------------------------------------------------------------------
 */
static void conn_handshake(struct conn *c)
{
	ASSERT(c->tls != NULL);
	ASSERT(c->state == CONN_HANDSHAKE);
	c->flags &= (u16)~CF_SIGNING;
	switch (tls_handshake(c->tls)) {
	case TLS_OK:
		conn_watch(c, EPOLLIN);
		conn_greeting(c);
		conn_put_again(c); /* bytes may have come with the last flight */
		break;
	case TLS_WANT_READ:
		conn_watch(c, EPOLLIN);
		break;
	case TLS_WANT_WRITE:
		conn_watch(c, EPOLLOUT);
		break;
	case TLS_WANT_SIGN:
		c->flags |= CF_SIGNING;
		break;
	case TLS_CLOSED:
		conn_close(c, CLOSE_NOW, E_EOF);
		break;
	case TLS_FAILED:
		conn_close(c, CLOSE_NOW, E_TLS);
		break;
	}
}

void conn_handshake_again(struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	if (c->state != CONN_HANDSHAKE)
		return;
	c->flags &= (u16)~CF_SIGNING;
	conn_put_again(c);
}

/* ---- events
 * -------------------------------------------------------------------------------------- */
void conn_put_again(struct conn *c)
{
	if (c->state == CONN_CLOSING || c->state == CONN_DETACHED || c->flags & CF_AGAIN)
		return;
	c->flags |= CF_AGAIN;
	TAILQ_INSERT_TAIL(&c->loop->again, c, again);
}

/* It may be read but shall not be now: stop listening, lazily, since most pauses end before more
 * comes. A broken connection would be told again and again, so it ends here. */
static void conn_deaf(struct conn *c, u32 events)
{
	ASSERT(c->state != CONN_CLOSING && c->state != CONN_DETACHED);
	if (events & (EPOLLHUP | EPOLLERR))
		conn_close(c, CLOSE_NOW, events & EPOLLERR ? E_IO : E_EOF);
	else
		conn_watch(c, c->interest & ~(u32)EPOLLIN);
}

static void conn_writable(struct conn *c)
{
	c->flags &= (u16)~CF_BLOCKED;
	if (c->state == CONN_HANDSHAKE)
		conn_handshake(c);
	else
		conn_dirty(c);
}

static void conn_readable(struct conn *c, u32 events)
{
	/* What is kept comes before what is new, and before the end. */
	if (c->state == CONN_OPEN && c->flags & CF_AGAIN)
		conn_offer_held(c);
	if (c->state == CONN_CLOSING)
		return;
	if (c->state == CONN_LINGER || c->flags & (CF_PAUSED | CF_SIGNING))
		conn_deaf(c, events);
	else if (c->state == CONN_PROXY)
		conn_proxy_read(c);
	else if (c->state == CONN_HANDSHAKE)
		conn_handshake(c);
	else
		conn_read(c);
}

void conn_event(struct conn *c, u32 events)
{
	OBJ_CHECK(c, CONN_MAGIC);
	if (c->state == CONN_CLOSING || c->state == CONN_DETACHED)
		return;
	if (events & EPOLLOUT)
		conn_writable(c);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->state != CONN_CLOSING)
		conn_readable(c, events);
}

void conn_go_on(struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	if (c->flags & CF_MORE) {
		c->flags &= (u16)~CF_MORE;
		conn_dirty(c);
	}
	if (c->state == CONN_HANDSHAKE) /* its signature is there */
		conn_handshake(c);
	if (c->state == CONN_OPEN)
		conn_offer_held(c);
	if (conn_reads(c) && !(c->flags & CF_PAUSED) && c->tls != NULL && tls_has_pending(c->tls))
		conn_read(c);
}

/* ---- what the handler may ask ------------------------------------------------------------------
 */
void conn_dirty(struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	if (c->state != CONN_OPEN && c->state != CONN_LINGER && c->state != CONN_DETACHED)
		return;
	if (c->flags & (CF_DIRTY | CF_BLOCKED))
		return;
	c->flags |= CF_DIRTY;
	if (c->state != CONN_DETACHED) /* else conn_attach puts it there */
		TAILQ_INSERT_TAIL(&c->loop->dirty, c, dirty);
}

void conn_pause(struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	c->flags |= CF_PAUSED;
}

void conn_resume(struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	c->flags &= (u16) ~(CF_PAUSED | CF_YOUNG);
	if (c->state != CONN_OPEN)
		return;
	conn_watch(c, c->interest | EPOLLIN);
	if (c->held_n != 0 || c->tls != NULL || c->ws != NULL)
		conn_put_again(c);
}

/* Off every list of its loop except `all`. */
static void conn_unlist(struct conn *c)
{
	ASSERT(c->state != CONN_CLOSING && c->state != CONN_DETACHED);
	if (c->flags & CF_DIRTY)
		TAILQ_REMOVE(&c->loop->dirty, c, dirty);
	if (c->flags & CF_AGAIN)
		TAILQ_REMOVE(&c->loop->again, c, again);
	timer_stop(&c->loop->wheel, &c->timer);
}

void conn_close(struct conn *c, enum close_how how, enum err why)
{
	OBJ_CHECK(c, CONN_MAGIC);
	ASSERT(c->state != CONN_DETACHED);
	if (c->state == CONN_CLOSING)
		return;
	if (c->why == E_OK)
		c->why = (u8)why;
	if (how == CLOSE_FLUSH && c->state == CONN_LINGER)
		return;
	if (how == CLOSE_FLUSH && conn_reads(c)) {
		c->state = CONN_LINGER;
		timer_stop(&c->loop->wheel, &c->timer);
		timer_start(&c->loop->wheel, &c->timer, c->loop->now_ms + LIM_LINGER_MS);
		conn_dirty(c);
		return;
	}
	conn_unlist(c);
	c->flags &= (u16) ~(CF_DIRTY | CF_AGAIN);
	c->state = CONN_CLOSING;
	TAILQ_INSERT_TAIL(&c->loop->closing, c, dirty);
}

static enum net_stage stage_of(const struct conn *c)
{
	if (c->flags & CF_HTTP)
		return NET_STAGE_UPGRADE;
	return c->flags & CF_GREETED || c->tls == NULL ? NET_STAGE_FIRST : NET_STAGE_TLS;
}

static const char *refusal_text(const struct conn *c)
{
	static const struct {
		const char *late, *gone;
	} texts[] = {
		[NET_STAGE_TLS] = {"the TLS handshake took too long",
				   "closed during the TLS handshake"},
		[NET_STAGE_FIRST] = {"said nothing", "closed without a word"},
		[NET_STAGE_UPGRADE] = {"the HTTP request took too long",
				       "closed during the HTTP request"},
	};

	if (c->why == E_TLS)
		return tls_error(c->tls);
	if (c->why == E_TIMEOUT)
		return texts[stage_of(c)].late;
	if (c->why == E_EOF || c->why == E_IO)
		return texts[stage_of(c)].gone;
	return err_text((enum err)c->why);
}

/* One of the two is owed to whoever was admitted.  Of a proxy whose header did not come
 * conn_via_free tells. */
static void conn_report(struct conn *c)
{
	struct loop *l = c->loop;
	bool told = c->flags & CF_TOLD || (conn_unsourced(c) && c->via->header);

	ASSERT(c->state == CONN_CLOSING);
	ASSERT((c->flags & (CF_OPENED | CF_TOLD)) != (CF_OPENED | CF_TOLD));
	if (c->flags & CF_OPENED)
		l->h.closed(l->arg, c, (enum err)c->why);
	else if (!told && l->h.refused != NULL)
		l->h.refused(l->arg, c->addr, c->port, c->listener, stage_of(c), (enum err)c->why,
			     refusal_text(c));
	if (l->h.released != NULL)
		l->h.released(l->arg, c->addr, c->listener);
}

void conn_destroy(struct conn *c)
{
	struct loop *l = c->loop;

	OBJ_CHECK(c, CONN_MAGIC);
	ASSERT(c->state == CONN_CLOSING);
	ASSERT(!(c->flags & (CF_DIRTY | CF_AGAIN)));
	conn_report(c);
	conn_via_free(c);
	if (c->tls != NULL) {
		tls_shutdown(c->tls);
		tls_conn_free(&c->tls);
	}
	LIST_REMOVE(c, all);
	/* What the peer sent and nobody reads would turn the close into a reset, which can overtake
	 * our last words on their way. */
	if (c->why != E_EOF && c->why != E_IO)
		(void)recv(c->fd, l->rbuf, NET_READ_BUFFER, MSG_DONTWAIT);
	close(c->fd);
	conn_forget(c);
	if (c->ws != NULL)
		ws_free(&c->ws);
	free(c->out);
	c->magic = 0;
	free(c);
}

void conn_detach(struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	ASSERT(c->state == CONN_OPEN);
	ASSERT(!(c->flags & CF_INPUT)); /* what it leaves over is not kept yet */
	conn_unlist(c);
	LIST_REMOVE(c, all);
	if (epoll_ctl(c->loop->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL) != 0)
		UNREACHABLE("epoll has this socket");
	c->state = CONN_DETACHED;
}

void conn_attach(struct loop *l, struct conn *c)
{
	u16 was = c->flags;

	OBJ_CHECK(c, CONN_MAGIC);
	ASSERT(c->state == CONN_DETACHED);
	c->flags &= (u16) ~(CF_DIRTY | CF_AGAIN);
	c->state = CONN_OPEN;
	if (c->tls != NULL)
		tls_conn_move(c->tls, l);
	if (!conn_join(c, l, EPOLLIN | (was & CF_BLOCKED ? (u32)EPOLLOUT : 0))) {
		conn_close(c, CLOSE_NOW, E_NOMEM);
		return;
	}
	if (was & CF_DIRTY)
		conn_dirty(c);
	conn_put_again(c);
}

void conn_set_user(struct conn *c, void *user)
{
	OBJ_CHECK(c, CONN_MAGIC);
	c->user = user;
}

void *conn_user(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->user;
}

void conn_set_mark(struct conn *c, bool mark)
{
	OBJ_CHECK(c, CONN_MAGIC);
	c->flags = (u16)(mark ? c->flags | CF_MARK : c->flags & ~CF_MARK);
}

bool conn_mark(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->flags & CF_MARK;
}

struct loop *conn_loop(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	ASSERT(c->state != CONN_DETACHED);
	return c->loop;
}

u32 conn_listener(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->listener;
}

const u8 *conn_addr(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->addr;
}

u16 conn_port(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->port;
}

u64 conn_accepted_ms(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->accepted_ms;
}

const char *conn_tls(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->tls != NULL ? tls_describe(c->tls) : "";
}

bool conn_websocket(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->ws != NULL;
}

const char *conn_describe(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	if (c->ws == NULL)
		return conn_tls(c);
	return c->tls != NULL ? tls_describe_websocket(c->tls) : "plain websocket";
}

size_t conn_pending(const struct conn *c)
{
	OBJ_CHECK(c, CONN_MAGIC);
	return c->held_n;
}
