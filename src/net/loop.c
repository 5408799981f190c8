/* loop: one turn after another.  Waits in epoll, lets connections and timers act, then the handler,
 * then flushes what is dirty and destroys what is closing.  Owns the buffers that all connections
 * share and the waking from other threads; knows nothing of what a connection does with its bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop_i.h"

struct loop *loop_new(const struct net_handler *h, void *arg)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = l};

	ASSERT(h->opened != NULL && h->input != NULL);
	ASSERT(h->output != NULL && h->sent != NULL && h->closed != NULL);
	l->magic = LOOP_MAGIC;
	l->h = *h;
	l->arg = arg;
	l->now_ms = clock_mono_ms();
	l->wake_at_ms = UINT64_MAX;
	wheel_init(&l->wheel, l->now_ms);
	LIST_INIT(&l->conns);
	LIST_INIT(&l->listeners);
	TAILQ_INIT(&l->dirty);
	TAILQ_INIT(&l->closing);
	TAILQ_INIT(&l->again);
	l->rbuf = xmalloc(NET_READ_BUFFER);
	l->gbuf = xmalloc(NET_READ_BUFFER);
	l->iov = xcalloc(NET_IOV, sizeof(*l->iov));
	l->ws = ws_tools_new();
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT(l->epoll_fd >= 0 && l->wake_fd >= 0);
	l->spare_fd = fcntl(l->epoll_fd, F_DUPFD_CLOEXEC, 0);
	/* Edge-triggered: every write to it is told once and nobody has to read it. */
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &e) != 0)
		UNREACHABLE("epoll takes an eventfd");
	return l;
}

static void destroy_closing(struct loop *l)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&l->closing)) != NULL) {
		ASSERT(c->loop == l);
		TAILQ_REMOVE(&l->closing, c, dirty);
		conn_destroy(c);
	}
}

void loop_free(struct loop **lp)
{
	struct loop *l = *lp;
	struct conn *c;

	*lp = NULL;
	OBJ_CHECK(l, LOOP_MAGIC);
	listeners_sweep(l, true);
	while ((c = LIST_FIRST(&l->conns)) != NULL) {
		conn_close(c, CLOSE_NOW, E_SHUTDOWN);
		destroy_closing(l);
	}
	tls_loop_free(&l->tls_table);
	close(l->epoll_fd);
	close(l->wake_fd);
	if (l->spare_fd >= 0)
		close(l->spare_fd);
	free(l->rbuf);
	free(l->gbuf);
	free(l->iov);
	ws_tools_free(&l->ws);
	l->magic = 0;
	free(l);
}

void loop_wake(struct loop *l)
{
	u64 one = 1;

	OBJ_CHECK(l, LOOP_MAGIC);
	/* Awake: the turn that runs or the next one looks before it sleeps. */
	if (atomic_exchange(&l->wake, WAKE_NOTIFIED) != WAKE_ASLEEP)
		return;
	while (write(l->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

void loop_stop(struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	atomic_store(&l->stop, true);
	loop_wake(l);
}

/* How long may epoll_wait sleep?  Going to sleep is announced, so that loop_wake knows. */
static int loop_timeout(struct loop *l)
{
	u64 at = MIN(wheel_next(&l->wheel), l->wake_at_ms);
	u32 awake = WAKE_AWAKE;

	ASSERT(TAILQ_EMPTY(&l->closing)); /* else they would wait for somebody's bytes */
	if (!TAILQ_EMPTY(&l->again) || !TAILQ_EMPTY(&l->dirty) || at <= l->now_ms)
		return 0;
	if (!atomic_compare_exchange_strong(&l->wake, &awake, WAKE_ASLEEP))
		return 0;
	return at == UINT64_MAX ? -1 : (int)MIN(at - l->now_ms, 60000u);
}

static void loop_event(struct loop *l, const struct epoll_event *e)
{
	void *p = e->data.ptr;
	u32 magic;

	if (p == l) /* woken: turn() does the rest */
		return;
	ASSERT(p != NULL);
	memcpy(&magic, p, sizeof(magic));
	if (magic == CONN_MAGIC)
		conn_event(p, e->events);
	else
		listener_event(p); /* checks that it is one */
}

/* What was put there before this turn; what comes meanwhile waits for the next. */
static void loop_go_on(struct loop *l)
{
	struct conn_queue batch = TAILQ_HEAD_INITIALIZER(batch);
	struct conn *c;

	TAILQ_CONCAT(&batch, &l->again, again);
	while ((c = TAILQ_FIRST(&batch)) != NULL) {
		ASSERT(c->flags & CF_AGAIN);
		TAILQ_REMOVE(&batch, c, again);
		c->flags &= (u16)~CF_AGAIN;
		conn_go_on(c);
	}
}

/* Destroying one connection may give others something to send (a will), so until nothing is left.
 */
static void loop_finish(struct loop *l)
{
	struct conn *c;

	do {
		while ((c = TAILQ_FIRST(&l->dirty)) != NULL) {
			ASSERT(c->flags & CF_DIRTY);
			ASSERT(c->state != CONN_CLOSING);
			TAILQ_REMOVE(&l->dirty, c, dirty);
			c->flags &= (u16)~CF_DIRTY;
			conn_flush(c);
		}
		destroy_closing(l);
	} while (!TAILQ_EMPTY(&l->dirty));
	listeners_sweep(l, false);
}

static void loop_turn(struct loop *l)
{
	struct epoll_event ev[LIM_EVENTS];
	int n = epoll_wait(l->epoll_fd, ev, LIM_EVENTS, loop_timeout(l));

	ASSERT(n >= 0 || errno == EINTR);
	/* From here on a wake says that turn() has to look once more. */
	atomic_exchange(&l->wake, WAKE_AWAKE);
	l->now_ms = MAX(clock_mono_ms(), l->now_ms);
	if (l->h.begin != NULL)
		l->h.begin(l->arg, l->now_ms);
	for (int i = 0; i < n; i++)
		loop_event(l, &ev[i]);
	wheel_advance(&l->wheel, l->now_ms);
	loop_go_on(l);
	l->wake_at_ms = UINT64_MAX;
	if (l->h.turn != NULL)
		l->h.turn(l->arg, l->now_ms);
	loop_finish(l);
	if (l->h.turned != NULL)
		l->h.turned(l->arg);
}

void loop_run(struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	while (!atomic_load(&l->stop))
		loop_turn(l);
}

struct wheel *loop_wheel(struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	return &l->wheel;
}

u64 loop_now(const struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	return l->now_ms;
}

void *loop_arg(struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	return l->arg;
}

void loop_wake_at(struct loop *l, u64 at_ms)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	l->wake_at_ms = at_ms;
}

void **loop_tls_slot(struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	return &l->tls_table;
}
