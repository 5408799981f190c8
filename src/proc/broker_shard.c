/* broker_shard: one thread with a loop of net and a core, and what carries between them.  Owns both
 * and its inbox; speaks to other threads at the end of a turn only.  Decides nothing: net moves
 * bytes, core knows MQTT, the main thread knows the other processes. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/broker_i.h"
#include "wire/packet.h"

/* ---- what core asks of its surroundings --------------------------------------------------------
 */
static void env_post(void *arg, u32 to, struct core_msg *m)
{
	struct shard *s = arg;

	ASSERT(to < s->b->nshards);
	outbox_add(&s->to_shard[to],
		   (struct inbox_item){.kind = SI_CORE, .from = s->index, .p = m});
}

static void env_move(void *arg, struct client *cl, void *conn, u32 to)
{
	struct shard *s = arg;
	struct inbox_item it = {.kind = SI_ADOPT, .from = s->index, .p = cl};

	ASSERT(to < s->b->nshards && to != s->index);
	conn_detach(conn);
	it.n = (u64)(uintptr_t)conn;
	outbox_add(&s->to_shard[to], it);
}

static void env_dirty(void *arg, void *conn)
{
	conn_dirty(conn);
}

static void env_close(void *arg, void *conn, bool flush, enum err why)
{
	conn_close(conn, flush ? CLOSE_FLUSH : CLOSE_NOW, why);
}

static void env_pause(void *arg, void *conn)
{
	conn_pause(conn);
}

static void env_resume(void *arg, void *conn)
{
	conn_resume(conn);
}

static void env_random(void *arg, void *out, size_t n)
{
	u8 *p = out;

	while (n > 0) {
		ssize_t k = getrandom(p, n, 0);
		ASSERT(k > 0 || errno == EINTR);
		if (k > 0) {
			p += k;
			n -= (size_t)k;
		}
	}
}

static u64 env_wall_ms(void *arg)
{
	return clock_wall_ms();
}

/* ---- what net tells
 * ------------------------------------------------------------------------------ */
static enum net_admit on_admit(void *arg, const u8 addr[16], u32 listener)
{
	struct shard *s = arg;
	bool proxy = false;
	enum err e = s->stopping
			     ? E_SHUTDOWN
			     : admission_admit(s->b->admission, addr, listener, s->now_ms, &proxy);

	if (e != E_OK)
		event_not_admitted(s, addr, NULL, listener, e);
	/* Who is released without ever having opened had not logged in. */
	s->left_waiting = true;
	if (e != E_OK)
		return NET_REFUSE;
	return proxy ? NET_ADMIT_PROXY : NET_ADMIT;
}

static bool on_trusts(void *arg, const u8 addr[16], u32 listener)
{
	return admission_trusts(((struct shard *)arg)->b->admission, addr, listener);
}

static bool on_sourced(void *arg, const u8 proxy[16], const u8 addr[16], u32 listener)
{
	struct shard *s = arg;
	enum err e = s->stopping
			     ? E_SHUTDOWN
			     : admission_sourced(s->b->admission, proxy, addr, listener, s->now_ms);

	if (e != E_OK)
		event_not_admitted(s, addr, proxy, listener, e);
	return e == E_OK;
}

static void on_unsourced(void *arg, const u8 proxy[16], u16 port, u32 listener, enum err why,
			 const char *text)
{
	event_refused(arg, "proxy_refused", proxy, port, listener, why, text);
}

static bool on_opened(void *arg, struct conn *c)
{
	struct shard *s = arg;
	struct client *cl = core_open(s->core, c, conn_listener(c), conn_addr(c), conn_port(c),
				      conn_accepted_ms(c), conn_describe(c));

	s->handshakes += conn_tls(c)[0] != '\0';
	conn_set_user(c, cl);
	if (cl != NULL && conn_proxied_cn(c) != NULL)
		core_certificate(s->core, cl, conn_proxied_cn(c));
	return cl != NULL;
}

static size_t on_input(void *arg, struct conn *c, struct slice bytes)
{
	return core_input(((struct shard *)arg)->core, conn_user(c), bytes);
}

static int on_output(void *arg, struct conn *c, struct iovec *iov, int max)
{
	return core_output(((struct shard *)arg)->core, conn_user(c), iov, max);
}

static void on_sent(void *arg, struct conn *c, size_t bytes)
{
	core_sent(((struct shard *)arg)->core, conn_user(c), bytes);
}

static void on_closed(void *arg, struct conn *c, enum err why)
{
	struct shard *s = arg;

	core_closed(s->core, conn_user(c), why);
	s->left_waiting = !conn_mark(c);
}

static void on_refused(void *arg, const u8 addr[16], u16 port, u32 listener, enum net_stage stage,
		       enum err why, const char *text)
{
	struct shard *s = arg;

	s->tls_failed += stage == NET_STAGE_TLS;
	switch (stage) {
	case NET_STAGE_TLS:
		event_refused(s, "tls_refused", addr, port, listener, why, text);
		break;
	case NET_STAGE_FIRST:
		event_silent(s, addr, port, listener, why, text);
		break;
	case NET_STAGE_UPGRADE:
		event_refused(s, "websocket_refused", addr, port, listener, why, text);
		break;
	}
}

static void on_released(void *arg, const u8 addr[16], u32 listener)
{
	struct shard *s = arg;

	admission_released(s->b->admission, addr, s->left_waiting);
	s->left_waiting = true;
}

/* ---- what other threads tell
 * --------------------------------------------------------------------- */
static void take_adopt(struct shard *s, struct client *cl, struct conn *conn)
{
	conn_attach(s->loop, conn);
	core_adopt(s->core, cl, conn);
}

static void take_login(struct shard *s, u64 id, struct login_done *d)
{
	core_login_done(s->core, id, &d->a);
	free(d);
}

static void take_signed(struct shard *s, u64 id, struct blob *b)
{
	tls_sign_done(s->loop, id & ((1ull << SHARD_SHIFT) - 1), slice_of(b->b, b->n));
	blob_free(&b);
}

static void take_listen(struct shard *s, struct listen_order *o)
{
	u32 i = o->o.listener;

	ASSERT(i < CONF_LISTENERS);
	if (s->listener[i] != NULL)
		loop_unlisten(s->loop, s->listener[i]);
	memcpy(s->listener_name[i], o->name, sizeof(s->listener_name[i]));
	s->listener[i] = loop_listen(s->loop, o->fd, &o->o);
	if (o->o.tls != NULL)
		net_tls_unref(&o->o.tls);
	net_greeting_unref(&o->o.greeting);
	free(o);
}

static void take_unlisten(struct shard *s, u64 i)
{
	ASSERT(i < CONF_LISTENERS);
	if (s->listener[i] != NULL)
		loop_unlisten(s->loop, s->listener[i]);
	s->listener[i] = NULL;
}

static void take_deadline(struct shard *s, u32 i, u32 ms)
{
	ASSERT(i < CONF_LISTENERS);
	if (s->listener[i] != NULL)
		loop_listener_deadline(s->listener[i], ms);
}

static void take_greeting(struct shard *s, u64 i, struct net_greeting *g)
{
	ASSERT(i < CONF_LISTENERS);
	if (s->listener[i] != NULL)
		loop_listener_greeting(s->listener[i], g);
	net_greeting_unref(&g);
}

static void take_tls(struct shard *s, u64 i, struct net_tls *tls)
{
	ASSERT(i < CONF_LISTENERS);
	if (s->listener[i] != NULL)
		loop_listener_tls(s->listener[i], tls);
	net_tls_unref(&tls);
}

static void take_stored(struct shard *s, struct store_notice *n)
{
	core_stored(s->core, &n);
}

static void take_stop(struct shard *s)
{
	s->stopping = true;
	s->stop_at_ms = s->now_ms + LIM_STOP_MS;
	for (u32 i = 0; i < CONF_LISTENERS; i++)
		take_unlisten(s, i);
	core_shutdown(s->core);
}

static void take_generation(struct shard *s, const struct inbox_item *it)
{
	if (it->kind == SI_REJUDGE)
		core_rejudge(s->core);
	else if (it->kind == SI_IDENTITY)
		core_identity_apply(s->core, it->n);
	outbox_add(&s->unconfirmed,
		   (struct inbox_item){.kind = MI_GENERATION, .from = s->index, .p = it->p});
}

/* In their order, and each only when all is judged. */
static void confirm_generations(struct shard *s)
{
	if (core_rejudging(s->core))
		return;
	for (size_t i = 0; i < s->unconfirmed.n; i++)
		outbox_add(&s->to_main, s->unconfirmed.items[i]);
	s->unconfirmed.n = 0;
}

static void take(struct shard *s, const struct inbox_item *it)
{
	switch ((enum shard_item)it->kind) {
	case SI_CORE:
		core_receive(s->core, it->p);
		break;
	case SI_ADOPT:
		take_adopt(s, it->p, (struct conn *)(uintptr_t)it->n);
		break;
	case SI_LOGIN:
		take_login(s, it->n, it->p);
		break;
	case SI_LOGIN_AGAIN:
		core_login_again(s->core);
		break;
	case SI_SIGNED:
		take_signed(s, it->n, it->p);
		break;
	case SI_REJUDGE:
	case SI_IDENTITY:
	case SI_BARRIER:
		take_generation(s, it);
		break;
	case SI_LISTEN:
		take_listen(s, it->p);
		break;
	case SI_UNLISTEN:
		take_unlisten(s, it->n);
		break;
	case SI_DEADLINE:
		take_deadline(s, (u32)(it->n >> 32), (u32)it->n);
		break;
	case SI_GREETING:
		take_greeting(s, it->n, it->p);
		break;
	case SI_TLS:
		take_tls(s, it->n, it->p);
		break;
	case SI_ASK:
		shard_answer(s, it->p);
		break;
	case SI_KEPT:
		shard_kept(s, it->p);
		break;
	case SI_STORED:
		take_stored(s, it->p);
		break;
	case SI_STOP:
		take_stop(s);
		break;
	}
}

/* ---- the turn
 * -------------------------------------------------------------------------------------- */
static void on_begin(void *arg, u64 now_ms)
{
	struct shard *s = arg;

	s->now_ms = now_ms;
	core_turn(s->core, now_ms);
}

static void on_turn(void *arg, u64 now_ms)
{
	struct shard *s = arg;
	struct inbox_item *it;
	size_t n = inbox_take(&s->inbox, &it);

	for (size_t i = 0; i < n; i++)
		take(s, &it[i]);
}

static void main_wake(struct broker *b)
{
	u64 one = 1;

	while (write(b->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

void main_tell(struct broker *b, u32 kind, u64 n, void *p)
{
	inbox_put(&b->inbox, &(struct inbox_item){.kind = kind, .n = n, .p = p}, 1);
	main_wake(b);
}

static bool all_said(const struct shard *s)
{
	struct core_stats st = {0};

	core_stats_add(s->core, &st);
	return (st.clients == 0 && core_stored_all(s->core)) || s->now_ms >= s->stop_at_ms;
}

/* SPEC MQTT-2.1.1: the fixed header says how long a packet is. */
static size_t on_unit(void *arg, struct slice head)
{
	struct rd r = rd_of(slice_skip(head, 1));
	size_t before = rd_left(&r);
	u32 n = rd_vbi(&r);

	return head.n != 0 && r.err == E_OK ? 1 + (before - rd_left(&r)) + n : 0;
}

static void on_turned(void *arg)
{
	struct shard *s = arg;
	u64 next;

	core_turn_end(s->core); /* it may still have something for others */
	next = core_next(s->core);
	confirm_generations(s);
	shard_kept_turn(s);
	for (u32 i = 0; i < s->b->nshards; i++)
		outbox_send(&s->to_shard[i], &s->b->shard[i].inbox);
	if (s->to_main.n != 0) {
		outbox_send(&s->to_main, &s->b->inbox);
		main_wake(s->b);
	}
	if (s->stopping && all_said(s))
		loop_stop(s->loop);
	loop_wake_at(s->loop, s->stopping ? MIN(next, s->stop_at_ms) : next);
}

/* ---- life
 * ------------------------------------------------------------------------------------------ */
void shard_init(struct shard *s, struct broker *b, u32 index)
{
	static const struct net_handler handler = {.opened = on_opened,
						   .input = on_input,
						   .output = on_output,
						   .sent = on_sent,
						   .closed = on_closed,
						   .refused = on_refused,
						   .turn = on_turn,
						   .admit = on_admit,
						   .released = on_released,
						   .turned = on_turned,
						   .unit = on_unit,
						   .begin = on_begin,
						   .sourced = on_sourced,
						   .trusts = on_trusts,
						   .unsourced = on_unsourced};
	struct core_env env = {.arg = s,
			       .login = shard_login,
			       .post = env_post,
			       .move = env_move,
			       .dirty = env_dirty,
			       .close = env_close,
			       .pause = env_pause,
			       .resume = env_resume,
			       .event = event_core,
			       .random = env_random,
			       .wall_ms = env_wall_ms};

	s->b = b;
	s->index = index;
	s->left_waiting = true;
	s->loop = loop_new(&handler, s);
	s->now_ms = loop_now(s->loop);
	s->core = core_new(b->hub, index, &env, s->now_ms);
	inbox_init(&s->inbox, s->loop);
}

static void *shard_run(void *arg)
{
	loop_run(((struct shard *)arg)->loop);
	return NULL;
}

static void shard_start(struct shard *s)
{
	sigset_t all, old;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&s->thread, NULL, shard_run, s) != 0)
		UNREACHABLE("a thread can be made at start");
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	s->running = true;
}

void shards_start(struct broker *b)
{
	for (u32 i = 0; i < b->nshards; i++)
		shard_start(&b->shard[i]);
}

void shard_tell(struct shard *s, u32 kind, u64 n, void *p)
{
	inbox_put(&s->inbox, &(struct inbox_item){.kind = kind, .n = n, .p = p}, 1);
}

void shards_tell(struct broker *b, u32 kind, u64 n, void *p)
{
	for (u32 i = 0; i < b->nshards; i++)
		shard_tell(&b->shard[i], kind, n, p);
}

void shard_report(struct shard *s, u32 kind, u64 n, void *p)
{
	outbox_add(&s->to_main,
		   (struct inbox_item){.kind = kind, .from = s->index, .n = n, .p = p});
}

/* Nobody runs any more: what was on its way goes with the process, except what core counts. */
static void drop_all(const struct inbox_item *it, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct store_notice *notice = it[i].p;

		if (it[i].kind == SI_CORE)
			core_msg_drop(it[i].p);
		else if (it[i].kind == SI_STORED)
			core_notice_drop(&notice);
	}
}

static void shard_free(struct shard *s)
{
	struct inbox_item *it;
	size_t n = inbox_take(&s->inbox, &it);

	drop_all(it, n);
	for (u32 i = 0; i < s->b->nshards; i++) {
		drop_all(s->to_shard[i].items, s->to_shard[i].n);
		free(s->to_shard[i].items);
	}
	free(s->to_main.items);
	free(s->unconfirmed.items);
	free(s->kept.items);
	core_free(&s->core);
	inbox_free(&s->inbox);
}

void shards_stop(struct broker *b)
{
	shards_tell(b, SI_STOP, 0, NULL);
	for (u32 i = 0; i < b->nshards; i++) {
		if (b->shard[i].running)
			pthread_join(b->shard[i].thread, NULL);
		b->shard[i].running = false;
	}
}

void shards_free(struct broker *b)
{
	for (u32 i = 0; i < b->nshards; i++)
		loop_free(&b->shard[i].loop);
	for (u32 i = 0; i < b->nshards; i++)
		shard_free(&b->shard[i]);
}
