/* Whole shards on real threads: clients publish, subscribe, come and go and move, while rights
 * change from outside.  Run under ThreadSanitizer: what is shared is shared as it has to be. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "core/core.h"
#include "wire/packet.h"

enum { SHARDS = 3, CLIENTS = 16, CONNS = 1024, ROUNDS = 2000, CHANGES = 60 };

enum item_kind { ITEM_LOGIN, ITEM_MSG, ITEM_MOVE, ITEM_REJUDGE, ITEM_APPLY };
struct item {
	struct item *next;
	enum item_kind kind;
	struct core_msg *m;
	struct conn *conn;
	u64 login;
	u32 identity;
};

struct conn {
	struct client *cl;
	struct shard *at;
	bool dirty, closing, paused;
	u8 in[1024];
	size_t in_n;
};

struct shard {
	u32 n;
	struct core *core;
	struct core_env env;
	pthread_t thread;
	pthread_mutex_t lock;
	struct item *head, **tail;
	struct conn *conn[CONNS]; /* moved ones too */
	u64 seed, received, now;
	_Atomic u32 confirmed;
};

static struct shard shard[SHARDS];
static _Atomic u32 running;

static u32 rnd(struct shard *s, u32 n)
{
	s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
	return (u32)(s->seed >> 33) % n;
}

static void push(u32 to, struct item i)
{
	struct item *x = xmalloc(sizeof(*x));

	*x = i;
	x->next = NULL;
	pthread_mutex_lock(&shard[to].lock);
	*shard[to].tail = x;
	shard[to].tail = &x->next;
	pthread_mutex_unlock(&shard[to].lock);
}

static void env_login(void *arg, const struct login_request *r)
{
	struct shard *s = arg;

	push(s->n,
	     (struct item){.kind = ITEM_LOGIN, .login = r->id, .identity = r->username.p[0] % 4u});
}

static void login_answer(struct shard *s, const struct item *i)
{
	static const u32 roles[] = {1};
	char name[8];
	struct login_answer a = {.verdict = E_OK,
				 .identity_id = 1 + i->identity,
				 .generation = 1,
				 .kind = 2,
				 .roles = roles,
				 .nroles = 1};

	snprintf(name, sizeof(name), "i%u", i->identity);
	a.identity = a.username = slice_str(name);
	core_login_done(s->core, i->login, &a);
}

static void env_post(void *arg, u32 to, struct core_msg *m)
{
	push(to, (struct item){.kind = ITEM_MSG, .m = m});
}

static void env_move(void *arg, struct client *cl, void *conn, u32 to)
{
	struct shard *s = arg;

	for (u32 i = 0; i < CONNS; i++) {
		if (s->conn[i] == conn)
			s->conn[i] = NULL;
	}
	push(to, (struct item){.kind = ITEM_MOVE, .conn = conn});
}

static void env_dirty(void *arg, void *conn)
{
	((struct conn *)conn)->dirty = true;
}

static void env_close(void *arg, void *conn, bool flush, enum err why)
{
	((struct conn *)conn)->closing = true;
}

static void env_pause(void *arg, void *conn)
{
	((struct conn *)conn)->paused = true;
}

static void env_resume(void *arg, void *conn)
{
	((struct conn *)conn)->paused = false;
}

static void env_event(void *arg, const struct core_event *e)
{
	((struct shard *)arg)->received += e->identity.n != 0 ? e->identity.p[0] & 1 : 0;
}

static void env_random(void *arg, void *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((u8 *)out)[i] = (u8)rnd(arg, 256);
}

static u64 env_wall(void *arg)
{
	return 1790000000000;
}

static u32 conn_count(const struct shard *s)
{
	u32 n = 0;

	for (u32 i = 0; i < CONNS; i++)
		n += s->conn[i] != NULL;
	return n;
}

static void conn_place(struct shard *s, struct conn *c)
{
	u32 i = 0;

	while (s->conn[i] != NULL)
		i++;
	ASSERT(i < CONNS);
	s->conn[i] = c;
	c->at = s;
}

static void say(struct conn *c, const struct wr *w)
{
	if (w->err == E_OK && c->in_n + w->n <= sizeof(c->in)) {
		memcpy(c->in + c->in_n, w->p, w->n);
		c->in_n += w->n;
	}
}

static void conn_new(struct shard *s)
{
	static const u8 addr[16];
	struct conn *c = xcalloc(1, sizeof(*c));
	u8 b[128];
	char id[16];
	struct wr w = wr_of(b, sizeof(b));
	struct pkt_connect p = {.version = rnd(s, 2) ? MQTT_5 : MQTT_311,
				.clean_start = rnd(s, 2),
				.has_username = true};

	c->cl = core_open(s->core, c, 0, addr, 1, s->now, NULL);
	conn_place(s, c);
	snprintf(id, sizeof(id), "%c%u", 'a' + (int)rnd(s, 8), rnd(s, 6));
	p.client_id = p.username = slice_str(id);
	p.has_will = rnd(s, 2);
	p.will.topic.s = SLICE_LIT("t/will");
	p.will.payload = SLICE_LIT("w");
	pkt_connect_encode(&w, &p);
	say(c, &w);
}

/* Counts bytes; acknowledges nothing, so windows fill and queues grow and are dropped with their
 * sessions. */
static void conn_flush(struct shard *s, struct conn *c)
{
	struct iovec iov[8];
	int n;

	c->dirty = false;
	while ((n = core_output(s->core, c->cl, iov, 8)) > 0) {
		size_t sent = 0;
		for (int i = 0; i < n; i++) {
			for (size_t k = 0; k < iov[i].iov_len; k += 64)
				s->received += ((const u8 *)iov[i].iov_base)[k];
			sent += iov[i].iov_len;
		}
		core_sent(s->core, c->cl, sent);
	}
}

static void conn_act(struct shard *s, struct conn *c)
{
	static const char *const topics[] = {"t/a", "t/b", "u/a", "u/b/c"};
	static const char *const filters[] = {"t/+", "#", "u/#", "t/a", "$share/g/t/+"};
	u8 b[1400], big[900] = {0};
	struct wr w = wr_of(b, sizeof(b));
	struct pkt_publish p = {.qos = (u8)rnd(s, 3),
				.packet_id = (u16)(1 + rnd(s, 60)),
				.retain = rnd(s, 8) == 0,
				.payload = slice_of(big, rnd(s, 4) ? 10 : sizeof(big)),
				.topic.s = slice_str(topics[rnd(s, 4)])};
	struct sub_entry e = {.raw = slice_str(filters[rnd(s, 5)]), .qos = (u8)rnd(s, 3)};

	if (rnd(s, 4) == 0)
		pkt_subscribe_encode(&w, MQTT_311, 1, 0, &e, 1);
	else if (rnd(s, 6) == 0)
		pkt_unsubscribe_encode(&w, MQTT_311, 1, &e.raw, 1);
	else
		pkt_publish_encode(&w, MQTT_311, &p);
	say(c, &w); /* for those of MQTT 5 it is often malformed: they go */
}

static void conn_turn(struct shard *s, u32 i)
{
	struct conn *c = s->conn[i];
	size_t used;

	if (rnd(s, 4) == 0)
		conn_act(s, c);
	if (!c->paused && !c->closing && c->in_n != 0) {
		used = core_input(s->core, c->cl, slice_of(c->in, c->in_n));
		memmove(c->in, c->in + used, c->in_n - used);
		c->in_n -= used;
	}
	if (c->dirty)
		conn_flush(s, c);
	if (!c->closing && rnd(s, 100) != 0)
		return;
	s->conn[i] = NULL;
	core_closed(s->core, c->cl, E_EOF);
	free(c);
}

static struct item *pop(struct shard *s)
{
	struct item *i;

	pthread_mutex_lock(&s->lock);
	i = s->head;
	if (i != NULL)
		s->head = i->next;
	if (s->head == NULL)
		s->tail = &s->head;
	pthread_mutex_unlock(&s->lock);
	return i;
}

static void inbox(struct shard *s)
{
	for (struct item *i = pop(s); i != NULL; i = pop(s)) {
		if (i->kind == ITEM_LOGIN) {
			login_answer(s, i);
		} else if (i->kind == ITEM_MSG) {
			core_receive(s->core, i->m);
		} else if (i->kind == ITEM_MOVE) {
			conn_place(s, i->conn);
			core_adopt(s->core, i->conn->cl, i->conn);
		} else if (i->kind == ITEM_REJUDGE) {
			core_rejudge(s->core);
			while (core_rejudging(s->core))
				core_turn(s->core, s->now);
			s->confirmed++;
		} else {
			core_identity_apply(s->core, 2);
			s->confirmed++;
		}
		free(i);
	}
}

static void *shard_main(void *arg)
{
	struct shard *s = arg;

	for (u32 r = 0; r < ROUNDS; r++) {
		s->now += rnd(s, 3);
		core_turn(s->core, s->now);
		inbox(s);
		if (conn_count(s) < CLIENTS)
			conn_new(s);
		for (u32 i = 0; i < CONNS; i++) {
			if (s->conn[i] != NULL)
				conn_turn(s, i);
		}
	}
	running--;
	while (running != 0) { /* others may still send */
		core_turn(s->core, s->now);
		inbox(s);
	}
	return NULL;
}

static void policy_gone(const struct policy *p, void *arg)
{
	free(arg);
}

static void policy_set(struct hub *h, u32 n)
{
	static const char *const texts[] = {
		"role r { publish #; subscribe # }",
		"role r { publish t/#; subscribe #; deny subscribe u/# }"};
	static const u32 ids[] = {1};
	struct policy_error pe;
	struct policy_doc *doc;
	const struct policy *p;
	size_t len;
	u8 *block;

	ASSERT(policy_parse(slice_str(texts[n % 2]), POLICY_RULES, &doc, &pe) == E_OK);
	ASSERT(policy_compile(doc, ids, n + 1, &block, &len) == E_OK);
	ASSERT(policy_open(slice_of(block, len), &p) == E_OK);
	policy_doc_free(&doc);
	hub_set_policy(h, p, policy_gone, block);
}

static void shard_start(struct hub *h, u32 n)
{
	struct shard *s = &shard[n];

	s->n = n;
	s->seed = n + 77;
	s->now = 1000;
	s->tail = &s->head;
	pthread_mutex_init(&s->lock, NULL);
	s->env = (struct core_env){s,	      env_login,  env_post,  env_move,
				   env_dirty, env_close,  env_pause, env_resume,
				   env_event, env_random, env_wall};
	s->core = core_new(h, n, &s->env, s->now);
}

static void shard_stop(struct shard *s)
{
	inbox(s);
	for (u32 i = 0; i < CONNS; i++) {
		struct conn *c = s->conn[i];
		if (c == NULL)
			continue;
		s->conn[i] = NULL;
		core_closed(s->core, c->cl, E_EOF);
		free(c);
	}
}

static void change_rights(struct hub *h)
{
	static const u32 roles[] = {1};
	struct identity_change ch = {.identity_id = 2,
				     .kind = 2,
				     .identity = SLICE_LIT("i1"),
				     .roles = roles,
				     .nroles = 1};

	for (u32 n = 1; n < CHANGES && running == SHARDS; n++) {
		u32 before[SHARDS];
		for (u32 i = 0; i < SHARDS; i++)
			before[i] = shard[i].confirmed;
		policy_set(h, n);
		ch.generation = n + 1;
		ch.status = n % 3 != 0;
		hub_identity_changed(h, &ch);
		for (u32 i = 0; i < SHARDS; i++) {
			push(i, (struct item){.kind = ITEM_REJUDGE});
			push(i, (struct item){.kind = ITEM_APPLY});
		}
		for (u32 i = 0; i < SHARDS; i++) {
			while (shard[i].confirmed < before[i] + 2 && running == SHARDS)
				;
		}
	}
}

static void test_shards(void **state)
{
	struct hub_options o = {
		.nshards = SHARDS, .retained_total = 100, .retained_bytes = 1 << 20};
	struct hub *h = hub_new(&o);
	struct core_listener l = {
		.name = "test", .anonymous = true, .features = core_features_all()};

	memset(&l.device, 0xff, sizeof(l.device));
	l.device.topic_aliases = 4;
	l.device.prelogin_bytes = 16384;
	l.device.session_expiry_max_s = 1;
	l.device.refusal_grid_ms = 1;
	l.device.queue_messages = l.device.offline_messages = 50;
	l.device.connections_identity = 1000;
	l.device.inflight = l.device.receive_maximum = 8;
	l.service = l.device;
	hub_set_listeners(h, &l, 1, false);
	policy_set(h, 0);
	running = SHARDS;
	for (u32 i = 0; i < SHARDS; i++)
		shard_start(h, i);
	for (u32 i = 0; i < SHARDS; i++)
		assert_int_equal(pthread_create(&shard[i].thread, NULL, shard_main, &shard[i]), 0);
	change_rights(h);
	for (u32 i = 0; i < SHARDS; i++)
		pthread_join(shard[i].thread, NULL);
	/* Closing publishes wills, which other shards get; one to a group goes from member to
	 * member. */
	for (u32 k = 0; k < 40; k++) {
		for (u32 i = 0; i < SHARDS; i++)
			shard_stop(&shard[i]);
	}
	for (u32 i = 0; i < SHARDS; i++) {
		assert_true(shard[i].received != 0);
		assert_null(shard[i].head);
		core_free(&shard[i].core);
	}
	hub_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_shards)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
