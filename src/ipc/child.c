/* child: the one loop of every child process: links, descriptors and timers in one thread.
 *
 * Owns the links (one a peer), the epoll set and the wheel.  The supervisor's link is served from
 * the first moment; the peers' links only once the sandbox is closed.  A peer that is gone is
 * forgotten until a new LINK comes; a peer that broke a row is reported, and the supervisor ends
 * it.  When the supervisor is gone, so is the child.  Does not know what messages mean beyond LINK,
 * START and STOP. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/child.h"

#define CHILD_MAGIC 0xc411d000u
enum { CHILD_EVENTS = 32, CHILD_MSGS_PER_TURN = 256, WAIT_MAX_MS = 3600 * 1000 };

struct watch {
	LIST_ENTRY(watch) next;
	int fd;
	u32 events;
	bool dead; /* freed at the end of the turn */
	void (*ready)(void *arg, u32 events);
	void *arg;
};

struct slot {
	struct child *child;
	struct ipc_link *link; /* NULL: no link */
	bool watched, wants_write;
};

struct child {
	u32 magic;
	enum role me;
	const struct child_ops *ops;
	void *arg;
	bool (*enter_sandbox)(enum role me, struct m_ready *ready);
	int epoll, code;
	bool serving, quit;
	u64 now_ms;
	struct wheel wheel;
	struct slot slot[ROLE_N];
	LIST_HEAD(, watch) watches;
};

void *child_arg(struct child *c)
{
	OBJ_CHECK(c, CHILD_MAGIC);
	return c->arg;
}

u64 child_now(const struct child *c)
{
	OBJ_CHECK(c, CHILD_MAGIC);
	return c->now_ms;
}

struct wheel *child_wheel(struct child *c)
{
	OBJ_CHECK(c, CHILD_MAGIC);
	return &c->wheel;
}

void child_quit(struct child *c, int code)
{
	OBJ_CHECK(c, CHILD_MAGIC);
	if (!c->quit)
		c->code = code;
	c->quit = true;
}

/* ---- descriptors ------------------------------------------------------------------------------
 */
static struct watch *watch_find(const struct child *c, int fd)
{
	struct watch *w;

	ASSERT(fd >= 0);
	LIST_FOREACH (w, &c->watches, next) {
		if (w->fd == fd && !w->dead)
			return w;
	}
	return NULL;
}

void child_watch(struct child *c, int fd, u32 events, void (*ready)(void *arg, u32 events),
		 void *arg)
{
	struct watch *w = watch_find(c, fd);
	bool known = w != NULL;
	struct epoll_event ev = {.events = events};

	OBJ_CHECK(c, CHILD_MAGIC);
	ASSERT(ready != NULL);
	if (!known) {
		w = xcalloc(1, sizeof(*w));
		LIST_INSERT_HEAD(&c->watches, w, next);
	}
	w->fd = fd;
	w->events = events;
	w->ready = ready;
	w->arg = arg;
	ev.data.ptr = w;
	ASSERT(epoll_ctl(c->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) == 0);
}

void child_unwatch(struct child *c, int fd)
{
	struct watch *w = watch_find(c, fd);

	OBJ_CHECK(c, CHILD_MAGIC);
	if (w == NULL)
		return;
	w->dead = true;
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, fd, NULL);
}

static void watches_sweep(struct child *c, bool all)
{
	struct watch *next;

	for (struct watch *w = LIST_FIRST(&c->watches); w != NULL; w = next) {
		next = LIST_NEXT(w, next);
		if (!w->dead && !all)
			continue;
		LIST_REMOVE(w, next);
		free(w);
	}
}

/* ---- links ------------------------------------------------------------------------------------
 */
static void slot_ready(void *arg, u32 events);

static void slot_watch(struct slot *s)
{
	ASSERT(s->link != NULL);
	OBJ_CHECK(s->child, CHILD_MAGIC);
	s->wants_write = ipc_wants_write(s->link);
	s->watched = true;
	child_watch(s->child, ipc_link_fd(s->link), EPOLLIN | (s->wants_write ? EPOLLOUT : 0u),
		    slot_ready, s);
}

static void slot_drop(struct slot *s)
{
	if (s->link == NULL)
		return;
	if (s->watched)
		child_unwatch(s->child, ipc_link_fd(s->link));
	s->watched = false;
	ipc_link_free(&s->link);
}

static void slot_serve(struct child *c, enum role peer)
{
	ASSERT(c->serving);
	ASSERT(peer != ROLE_SUP);
	slot_watch(&c->slot[peer]);
	if (c->ops->linked != NULL)
		c->ops->linked(c, peer);
}

static void link_take(struct child *c, const struct m_link *m, int fd)
{
	struct slot *s;

	ASSERT(fd >= 0); /* the row says so */
	if (m->peer >= ROLE_N || m->peer == ROLE_SUP || m->peer == c->me) {
		close(fd);
		child_quit(c, 1);
		return;
	}
	s = &c->slot[m->peer];
	slot_drop(s);
	s->link = ipc_link_new(fd, c->me, (enum role)m->peer);
	if (c->serving)
		slot_serve(c, (enum role)m->peer);
}

static void breach(struct child *c, enum role peer)
{
	struct m_link m = {peer};

	ASSERT(peer != ROLE_SUP);
	ASSERT(c->serving);
	log_msg(LOG_ERROR, "ipc_breach", "a message from %s broke the rules; its link is closed",
		role_name(peer));
	slot_drop(&c->slot[peer]);
	if (child_send(c, ROLE_SUP, IPC_BREACH, 0, &m, SLICE_NONE, -1) != E_OK)
		child_quit(c, 1);
}

/* ---- what the supervisor says -----------------------------------------------------------------
 */
static enum err start(struct child *c, const struct m_start *m)
{
	struct m_ready ready = {0};

	OBJ_CHECK(c, CHILD_MAGIC);
	if (c->serving)
		return E_STATE;
	if (c->ops->prepare != NULL) {
		enum err e = c->ops->prepare(c, m);
		if (e != E_OK)
			return e;
	}
	if (!c->enter_sandbox(c->me, &ready))
		return E_STATE;
	c->serving = true;
	if (child_send(c, ROLE_SUP, IPC_READY, 0, &ready, SLICE_NONE, -1) != E_OK)
		return E_EOF;
	if (c->ops->started != NULL)
		c->ops->started(c);
	for (u32 peer = ROLE_SUP + 1; peer < ROLE_N; peer++) {
		if (c->slot[peer].link != NULL)
			slot_serve(c, (enum role)peer);
	}
	return E_OK;
}

static enum err dispatch(struct child *c, enum role from, struct ipc_msg *m)
{
	ASSERT(from < ROLE_N);
	ASSERT(m->type > IPC_NONE && m->type < IPC_N);
	if (m->type == IPC_LINK) {
		link_take(c, m->body, m->fd);
		m->fd = -1;
		return E_OK;
	}
	if (m->type == IPC_START)
		return start(c, m->body);
	if (m->type == IPC_STOP) {
		if (c->ops->stop != NULL)
			c->ops->stop(c);
		child_quit(c, 0);
		return E_OK;
	}
	return c->ops->message(c, from, m);
}

static bool receive_one(struct child *c, enum role from)
{
	struct ipc_msg m;
	enum err e = ipc_recv(c->slot[from].link, &m);

	ASSERT(from < ROLE_N);
	if (e == E_MORE)
		return false;
	if (e == E_OK) {
		e = dispatch(c, from, &m);
		if (m.fd >= 0)
			close(m.fd);
		if (e == E_OK)
			return true;
		log_msg(LOG_ERROR, "child_failed", "%s from %s: %s", ipc_name(m.type),
			role_name(from), err_text(e));
		child_quit(c, 1);
	} else if (from == ROLE_SUP) {
		child_quit(c, 1);
	} else if (e == E_IPC) {
		breach(c, from);
	} else {
		slot_drop(&c->slot[from]);
	}
	return false;
}

static void slot_ready(void *arg, u32 events)
{
	struct slot *s = arg;
	struct child *c = s->child;
	struct ipc_link *l = s->link;
	enum role from = (enum role)(s - c->slot);

	OBJ_CHECK(c, CHILD_MAGIC);
	ASSERT(l != NULL);
	if (events & EPOLLOUT && ipc_flush(l) == E_EOF)
		events |= EPOLLIN; /* the reader below finds out */
	/* A message may bring a new link in this one's place, whose messages wait for the next
	 * turn. */
	for (u32 i = 0; i < CHILD_MSGS_PER_TURN && s->link == l && !c->quit; i++) {
		if (!receive_one(c, from))
			break;
	}
}

enum err child_send(struct child *c, enum role to, enum ipc_type type, u64 id, const void *body,
		    struct slice tail, int fd)
{
	OBJ_CHECK(c, CHILD_MAGIC);
	ASSERT(to < ROLE_N);
	if (c->slot[to].link == NULL)
		return E_STATE;
	return ipc_send(c->slot[to].link, type, id, body, tail, fd);
}

bool child_linked(const struct child *c, enum role peer)
{
	OBJ_CHECK(c, CHILD_MAGIC);
	ASSERT(peer < ROLE_N);
	return c->slot[peer].link != NULL;
}

/* ---- the loop ---------------------------------------------------------------------------------
 */
static void turn_end(struct child *c)
{
	OBJ_CHECK(c, CHILD_MAGIC);
	for (u32 r = 0; r < ROLE_N; r++) {
		struct slot *s = &c->slot[r];
		if (s->watched && s->wants_write != ipc_wants_write(s->link))
			slot_watch(s);
	}
	watches_sweep(c, false);
}

static int turn_wait_ms(const struct child *c)
{
	u64 next = wheel_next(&c->wheel);

	if (next <= c->now_ms)
		return 0;
	return (int)MIN(next - c->now_ms, (u64)WAIT_MAX_MS);
}

static void turn(struct child *c)
{
	struct epoll_event ev[CHILD_EVENTS];
	int n = epoll_wait(c->epoll, ev, CHILD_EVENTS, turn_wait_ms(c));

	ASSERT(n >= 0 || errno == EINTR);
	c->now_ms = clock_mono_ms();
	for (int i = 0; i < n && !c->quit; i++) {
		struct watch *w = ev[i].data.ptr;
		if (!w->dead)
			w->ready(w->arg, ev[i].events);
	}
	if (!c->quit)
		wheel_advance(&c->wheel, c->now_ms);
	turn_end(c);
}

/* The supervisor decides when a child ends; a signal meant for the whole group must not. */
static void signals_ignore(void)
{
	static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2};

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

int child_run(enum role me, int sup_fd, const struct child_ops *ops, void *arg,
	      bool (*enter_sandbox)(enum role me, struct m_ready *ready))
{
	struct child *c = xcalloc(1, sizeof(*c));
	int code;

	ASSERT(me > ROLE_SUP && me < ROLE_N);
	ASSERT(ops->message != NULL && enter_sandbox != NULL);
	signals_ignore();
	c->magic = CHILD_MAGIC;
	c->me = me;
	c->ops = ops;
	c->arg = arg;
	c->enter_sandbox = enter_sandbox;
	c->now_ms = clock_mono_ms();
	wheel_init(&c->wheel, c->now_ms);
	LIST_INIT(&c->watches);
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT(c->epoll >= 0);
	for (u32 r = 0; r < ROLE_N; r++)
		c->slot[r].child = c;
	c->slot[ROLE_SUP].link = ipc_link_new(sup_fd, me, ROLE_SUP);
	slot_watch(&c->slot[ROLE_SUP]);
	while (!c->quit)
		turn(c);
	code = c->code;
	for (u32 r = 0; r < ROLE_N; r++)
		slot_drop(&c->slot[r]);
	watches_sweep(c, true);
	close(c->epoll);
	free(c);
	return code;
}
