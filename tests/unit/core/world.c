/* world: see world.h. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "world.h"

/* ---- what core asks of its surroundings ---------------------------------------------- */

static struct world *world_of(void *arg)
{
	return ((struct wshard *)arg)->w;
}

static void env_login(void *arg, const struct login_request *r)
{
	struct world *w = world_of(arg);
	struct login *l = xcalloc(1, sizeof(*l));

	l->id = r->id;
	l->has_username = r->has_username;
	snprintf(l->username, sizeof(l->username), "%.*s", (int)r->username.n,
		 (const char *)r->username.p);
	snprintf(l->password, sizeof(l->password), "%.*s", (int)r->password.n,
		 (const char *)r->password.p);
	*w->logins_tail = l;
	w->logins_tail = &l->next;
}

static void env_post(void *arg, u32 shard, struct core_msg *m)
{
	const struct wshard *from = arg;
	struct lane *l = &from->w->lane[from->shard][shard];
	struct post *p = xcalloc(1, sizeof(*p));

	p->m = m;
	*l->tail = p;
	l->tail = &p->next;
}

static void env_move(void *arg, struct client *cl, void *conn, u32 shard)
{
	struct wconn *c = conn;

	ASSERT(c->cl == cl);
	ASSERT(c->shard != shard);
	c->moving = true;
	c->shard = shard;
}

static void env_dirty(void *arg, void *conn)
{
	((struct wconn *)conn)->dirty = true;
}

static void env_close(void *arg, void *conn, bool flush, enum err why)
{
	struct wconn *c = conn;

	ASSERT(!c->closing);
	c->closing = true;
	c->flush = flush;
	c->why = why;
}

static void env_pause(void *arg, void *conn)
{
	struct wconn *c = conn;

	ASSERT(!c->paused);
	c->paused = true;
}

static void env_resume(void *arg, void *conn)
{
	struct wconn *c = conn;

	ASSERT(c->paused);
	c->paused = false;
}

static void env_event(void *arg, const struct core_event *e)
{
	struct world *w = world_of(arg);

	w->events[e->kind]++;
	w->last_why[e->kind] = e->why;
	if (w->on_event != NULL)
		w->on_event(w, e);
}

u64 world_random(struct world *w, u64 below)
{
	/* splitmix64 */
	u64 z = w->rng += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	z ^= z >> 31;
	return below != 0 ? z % below : z;
}

static void env_random(void *arg, void *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((u8 *)out)[i] = (u8)world_random(world_of(arg), 0);
}

static u64 env_wall(void *arg)
{
	return world_of(arg)->wall_ms;
}

/* ---- a world ------------------------------------------------------------------------- */

struct core_limits world_limits(void)
{
	return (struct core_limits){.prelogin_bytes = 16384,
				    .max_packet = 1 << 20,
				    .connect_ms = 10000,
				    .login_ms = 15000,
				    .packet_ms = 20000,
				    .keep_alive_max_s = 1200,
				    .subscriptions = 100,
				    .filters_per_subscribe = 20,
				    .topic_aliases = 16,
				    .receive_maximum = 64,
				    .inflight = 64,
				    .queue_messages = 1000,
				    .offline_messages = 10000,
				    .queue_bytes = 1 << 20,
				    .offline_bytes = 16 << 20,
				    .output_buffer = 256 << 10,
				    .output_stall_ms = 10000,
				    .publish_rate = UINT32_MAX,
				    .publish_burst = 500,
				    .publish_bytes = UINT64_MAX,
				    .retained_identity = 100,
				    .connections_identity = 4,
				    .session_expiry_max_s = 604800,
				    .user_properties = 16,
				    .user_property_bytes = 4096,
				    .refusal_grid_ms = 300};
}

static void world_hub(struct world *w)
{
	w->hub = hub_new(&w->options);
	hub_set_listeners(w->hub, &w->listener, 1, false);
	for (u32 i = 0; i < w->n; i++) {
		w->self[i] = (struct wshard){w, i};
		w->env[i] = (struct core_env){&w->self[i], env_login,  env_post,  env_move,
					      env_dirty,   env_close,  env_pause, env_resume,
					      env_event,   env_random, env_wall};
		w->core[i] = core_new(w->hub, i, &w->env[i], w->now_ms);
	}
}

static struct world *world_make(u32 shards, const struct core_limits *limits)
{
	struct world *w = xcalloc(1, sizeof(*w));

	ASSERT(shards <= W_SHARDS);
	w->options = (struct hub_options){.nshards = shards,
					  .retained_total = 1000,
					  .retained_bytes = 64 << 20,
					  .hash_key = "0123456789abcde"};
	w->n = shards;
	w->now_ms = 1000;
	w->wall_ms = 1790000000000;
	w->logins_tail = &w->logins;
	for (u32 i = 0; i < W_SHARDS * W_SHARDS; i++)
		w->lane[i / W_SHARDS][i % W_SHARDS].tail =
			&w->lane[i / W_SHARDS][i % W_SHARDS].head;
	for (u32 i = 0; i < W_SHARDS; i++)
		w->told_tail[i] = &w->told[i];
	snprintf(w->listener.name, sizeof(w->listener.name), "test");
	w->listener.tls = true;
	w->listener.features = core_features_all();
	w->listener.device = w->listener.service = limits != NULL ? *limits : world_limits();
	return w;
}

/* Tests of the core alone run with a store as well, when they are told to. */
struct world *world_new(u32 shards, const struct core_limits *limits)
{
	struct world *w;

	if (getenv("PICKET_WORLD_STORE") != NULL)
		return world_new_stored(shards, limits);
	w = world_make(shards, limits);
	world_hub(w);
	return w;
}

/* ---- a store ------------------------------------------------------------------------- */

static void submit(void *arg, struct store_batch *b)
{
	struct world *w = arg;

	w->submitted++;
	for (u32 i = 0; i < b->n; i++)
		w->ops[b->op[i].kind]++;
	writer_submit(w->writer, b);
}

static bool store_full(void *arg)
{
	return writer_full(((struct world *)arg)->writer);
}

static void on_notice(void *arg, u32 shard, struct store_notice *n)
{
	struct world *w = arg;
	struct told *t = xcalloc(1, sizeof(*t));

	ASSERT(shard < W_SHARDS);
	t->n = n;
	*w->told_tail[shard] = t;
	w->told_tail[shard] = &t->next;
}

static void on_full(void *arg, bool full)
{
	ASSERT(arg != NULL);
}

static void on_fatal(void *arg, enum err e)
{
	fprintf(stderr, "store: %s\n", err_text(e));
	abort();
}

static u64 wall(void *arg)
{
	return ((struct world *)arg)->wall_ms;
}

static u64 mono(void *arg)
{
	return ((struct world *)arg)->now_ms;
}

static void world_open(struct world *w)
{
	struct writer_env env = {.arg = w,
				 .notice = on_notice,
				 .full = on_full,
				 .fatal = on_fatal,
				 .wall_ms = wall,
				 .mono_ms = mono};

	w->writer = writer_new(w->store, &env, w->n, false);
	w->options.nshards = w->n;
	w->options.submit = submit;
	w->options.submit_arg = w;
	w->options.store_full = store_full;
	w->options.store_epoch = store_epoch(w->store);
	w->options.store_offset_ms = store_time(w->store, w->now_ms) - w->now_ms;
	world_hub(w);
}

struct world *world_new_stored(u32 shards, const struct core_limits *limits)
{
	struct world *w = world_make(shards, limits);

	w->store = store_memory(w->now_ms);
	world_open(w);
	return w;
}

void world_turn_end(struct world *w, u32 shard)
{
	ASSERT(shard < w->n);
	core_turn_end(w->core[shard]);
}

bool world_commit(struct world *w)
{
	return w->writer != NULL && writer_step(w->writer);
}

bool world_tell(struct world *w, u32 shard)
{
	struct told *t = w->told[shard];

	ASSERT(shard < w->n);
	if (t == NULL)
		return false;
	w->told[shard] = t->next;
	if (w->told[shard] == NULL)
		w->told_tail[shard] = &w->told[shard];
	core_stored(w->core[shard], &t->n);
	free(t);
	return true;
}

void world_full(struct world *w, bool full)
{
	store_memory_full(w->store, full);
}

/* Everything that the store can do now. */
static bool store_runs(struct world *w)
{
	bool did = false;

	for (u32 i = 0; i < w->n; i++)
		world_turn_end(w, i);
	while (!w->hold_store && world_commit(w))
		did = true;
	for (u32 i = 0; i < w->n && !w->hold_told; i++) {
		while (world_tell(w, i))
			did = true;
	}
	for (const struct wconn *c = w->conns; c != NULL && !did; c = c->next)
		did = c->dirty && c->cl != NULL && !c->blocked;
	return did;
}

/* ---- a crash ------------------------------------------------------------------------- */

static bool add_session(void *arg, const struct store_session *x)
{
	restore_session(arg, x);
	return true;
}

static bool add_sub(void *arg, const struct store_sub *x)
{
	restore_sub(arg, x);
	return true;
}

static bool add_pid(void *arg, u64 sid, u16 pid)
{
	restore_pid(arg, sid, pid);
	return true;
}

static bool add_retained(void *arg, const struct store_retained *x)
{
	restore_retained(arg, x);
	return true;
}

static void tell_identity(struct world *w, const struct identity *i)
{
	struct identity_change ch = {.identity_id = i->id,
				     .generation = i->generation,
				     .status = i->status,
				     .kind = i->kind,
				     .credential_min = i->credential,
				     .local_min = i->local_min,
				     .identity = slice_str(i->name),
				     .client_id_pattern = slice_str(i->pattern),
				     .roles = i->roles,
				     .nroles = i->nroles};

	hub_identity_changed(w->hub, &ch);
}

static void ask_auth(void *arg, u64 identity_id)
{
	struct world *w = arg;

	for (u32 i = 0; i < w->identities; i++) {
		if (w->identity[i].id == identity_id)
			tell_identity(w, &w->identity[i]);
	}
}

static void lanes_drop(struct world *w)
{
	for (u32 i = 0; i < w->n * w->n; i++) {
		struct lane *lane = &w->lane[i / w->n][i % w->n];
		for (struct post *p = lane->head, *next; p != NULL; p = next) {
			next = p->next;
			core_msg_drop(p->m);
			free(p);
		}
		lane->head = NULL;
		lane->tail = &lane->head;
	}
	for (struct login *l = w->logins, *next; l != NULL; l = next) {
		next = l->next;
		free(l);
	}
	w->logins = NULL;
	w->logins_tail = &w->logins;
}

static void all_die(struct world *w)
{
	for (struct wconn *c = w->conns; c != NULL; c = c->next) {
		if (c->moving)
			wconn_step(c);
		c->cl = NULL;
		c->in_n = 0;
		c->dirty = c->closing = c->paused = false;
		c->why = E_EOF;
	}
	lanes_drop(w);
	writer_free(&w->writer, true);
	for (u32 i = 0; i < w->n; i++) {
		for (struct told *t = w->told[i]; t != NULL; t = w->told[i]) {
			w->told[i] = t->next;
			core_notice_drop(&t->n);
			free(t);
		}
		w->told_tail[i] = &w->told[i];
	}
	for (u32 i = 0; i < w->n; i++)
		core_free(&w->core[i]);
	hub_free(&w->hub);
}

void world_die(struct world *w)
{
	all_die(w);
}

struct restored world_crash(struct world *w, u32 shards)
{
	struct restored done;
	struct restore *r;
	char *policy = w->policy;
	bool hold = w->hold_rejudge;
	u64 damaged = 0;

	ASSERT(shards <= W_SHARDS);
	if (w->hub != NULL)
		all_die(w);
	store_crash(w->store, w->now_ms);
	w->n = shards;
	world_open(w);
	r = restore_begin(w->hub, w->core, w->n);
	ASSERT(store_each_session(w->store, add_session, r, &damaged) == E_OK);
	ASSERT(store_each_sub(w->store, add_sub, r, &damaged) == E_OK);
	ASSERT(store_each_pid(w->store, add_pid, r) == E_OK);
	ASSERT(store_each_retained(w->store, add_retained, r, &damaged) == E_OK);
	ASSERT(damaged == 0);
	restore_identities(r, ask_auth, w);
	w->policy = NULL;
	w->hold_rejudge = true; /* no shard has a turn before the end */
	if (policy != NULL)
		world_policy(w, policy);
	w->hold_rejudge = hold;
	free(policy);
	restore_end(&r, &done);
	return done;
}

static void policy_gone(const struct policy *p, void *arg)
{
	free(arg);
}

void world_policy(struct world *w, const char *text)
{
	struct policy_error pe;
	struct policy_doc *doc = NULL;
	const struct policy *p;
	u32 ids[W_ROLES];
	size_t len;
	u8 *block;
	enum err e = policy_parse(slice_str(text), POLICY_RULES, &doc, &pe);

	if (e != E_OK)
		fprintf(stderr, "policy: line %u: %s near %s\n", pe.line, pe.what, pe.near);
	ASSERT(e == E_OK);
	ASSERT(policy_role_count(doc) <= W_ROLES);
	for (u32 i = 0; i < W_ROLES; i++)
		ids[i] = i + 1;
	ASSERT(policy_compile(doc, ids, ++w->generation, &block, &len) == E_OK);
	ASSERT(policy_open(slice_of(block, len), &p) == E_OK);
	policy_doc_free(&doc);
	free(w->policy);
	w->policy = xstrdup(text);
	hub_set_policy(w->hub, p, policy_gone, block);
	for (u32 i = 0; i < w->n; i++) {
		core_rejudge(w->core[i]);
		while (!w->hold_rejudge && core_rejudging(w->core[i]))
			core_turn(w->core[i], w->now_ms);
	}
}

struct identity *world_identity(struct world *w, const char *name, u32 kind, const u32 *roles)
{
	struct identity *i = &w->identity[w->identities++];

	ASSERT(w->identities <= W_IDENTITIES);
	snprintf(i->name, sizeof(i->name), "%s", name);
	i->id = 100 + w->identities;
	i->generation = 1;
	i->kind = kind;
	i->status = 1;
	for (; roles != NULL && roles[i->nroles] != 0; i->nroles++)
		i->roles[i->nroles] = roles[i->nroles];
	return i;
}

void world_identity_changed(struct world *w, struct identity *i)
{
	i->generation++;
	tell_identity(w, i);
	for (u32 k = 0; k < w->n; k++)
		core_identity_apply(w->core[k], i->id);
}

static struct identity *login_identity(struct world *w, const struct login *l)
{
	if (w->allow_all)
		return &w->identity[0];
	for (u32 i = 0; i < w->identities; i++) {
		struct identity *x = &w->identity[i];
		if (strcmp(x->name, l->username) == 0 && strcmp(l->password, "pw") == 0 &&
		    x->status != 0)
			return x;
	}
	return NULL;
}

static void login_answer(struct world *w, const struct login *l)
{
	struct identity *i = login_identity(w, l);
	struct login_answer a = {.verdict = E_CREDENTIAL};

	if (i != NULL)
		a = (struct login_answer){.verdict = E_OK,
					  .identity_id = i->id,
					  .generation = i->generation,
					  .kind = i->kind,
					  .credential = i->credential,
					  .identity = slice_str(i->name),
					  .username = slice_str(i->name),
					  .client_id_pattern = slice_str(i->pattern),
					  .roles = i->roles,
					  .nroles = i->nroles};
	core_login_done(w->core[l->id >> 56], l->id, &a);
}

/* ---- connections --------------------------------------------------------------------- */

struct wconn *world_connect(struct world *w, u32 shard)
{
	static const u8 addr[16] = {[10] = 0xff, 0xff, 203, 0, 113, 9};
	struct wconn *c = xcalloc(1, sizeof(*c));

	c->w = w;
	c->shard = shard % w->n;
	c->next = w->conns;
	w->conns = c;
	c->cl = core_open(w->core[c->shard], c, 0, addr, 4711, w->now_ms, "TLSv1.3");
	ASSERT(c->cl != NULL);
	return c;
}

static void buffer_add(u8 **b, size_t *n, size_t *cap, const void *p, size_t len)
{
	if (*n + len > *cap) {
		*cap = (*n + len) * 2;
		*b = xrealloc(*b, *cap);
	}
	if (len != 0)
		memcpy(*b + *n, p, len);
	*n += len;
}

void wconn_send(struct wconn *c, struct slice bytes)
{
	if (c->cl != NULL)
		buffer_add(&c->in, &c->in_n, &c->in_cap, bytes.p, bytes.n);
}

void wconn_drop(struct wconn *c, enum err why)
{
	struct client *cl = c->cl;

	if (cl == NULL || c->moving)
		return;
	c->cl = NULL;
	c->in_n = 0;
	c->why = c->closing ? c->why : why;
	core_closed(c->w->core[c->shard], cl, c->why);
}

void wconn_free(struct wconn *c)
{
	struct wconn **at = &c->w->conns;

	ASSERT(c->cl == NULL);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	free(c->in);
	free(c->out);
	free(c);
}

bool wconn_next(struct wconn *c, struct frame *f, struct slice *body)
{
	struct slice in = slice_of(c->out + c->out_at, c->out_n - c->out_at);
	enum mqtt_version v = c->version != 0 ? (enum mqtt_version)c->version : MQTT_NONE;
	enum err e = c->out_n == c->out_at ? E_MORE : frame_peek(in, v, UINT32_MAX, f);

	if (e == E_MORE || (e == E_OK && in.n < (size_t)f->header_len + f->body_len))
		return false;
	ASSERT(e == E_OK); /* what we send is always well-formed */
	*body = slice_of(in.p + f->header_len, f->body_len);
	c->out_at += (size_t)f->header_len + f->body_len;
	return true;
}

static void conn_flush(struct wconn *c)
{
	struct iovec iov[16];
	int n;

	c->dirty = false;
	while (c->cl != NULL && !c->blocked &&
	       (n = core_output(c->w->core[c->shard], c->cl, iov, 16)) > 0) {
		size_t sent = 0;
		for (int i = 0; i < n; i++) {
			buffer_add(&c->out, &c->out_n, &c->out_cap, iov[i].iov_base,
				   iov[i].iov_len);
			sent += iov[i].iov_len;
		}
		core_sent(c->w->core[c->shard], c->cl, sent);
	}
}

static bool conn_input(struct wconn *c)
{
	size_t used;

	if (c->cl == NULL || c->moving || c->paused || c->closing || c->in_n == 0)
		return false;
	used = core_input(c->w->core[c->shard], c->cl, slice_of(c->in, c->in_n));
	ASSERT(used <= c->in_n);
	memmove(c->in, c->in + used, c->in_n - used);
	c->in_n -= used;
	return used != 0;
}

bool wconn_step(struct wconn *c)
{
	bool did = conn_input(c);

	if (c->moving) {
		c->moving = false;
		core_adopt(c->w->core[c->shard], c->cl, c);
		did = true;
	}
	if (c->dirty && c->cl != NULL && !c->blocked) {
		conn_flush(c);
		did = true;
	}
	if (c->closing && c->cl != NULL) {
		if (c->flush)
			conn_flush(c);
		wconn_drop(c, c->why);
		did = true;
	}
	return did;
}

/* ---- going on ------------------------------------------------------------------------ */

/* The next message of a lane; lanes are tried from a given one on. */
static bool step_post(struct world *w, u32 first)
{
	for (u32 i = 0; i < w->n * w->n && !w->hold_posts; i++) {
		u32 k = (first + i) % (w->n * w->n), to = k % w->n;
		struct lane *l = &w->lane[k / w->n][to];
		struct post *p = l->head;
		if (p == NULL)
			continue;
		l->head = p->next;
		if (l->head == NULL)
			l->tail = &l->head;
		core_receive(w->core[to], p->m);
		free(p);
		return true;
	}
	return false;
}

static bool step_login(struct world *w)
{
	struct login *l = w->logins;

	if (l == NULL || w->hold_logins)
		return false;
	w->logins = l->next;
	if (w->logins == NULL)
		w->logins_tail = &w->logins;
	login_answer(w, l);
	free(l);
	return true;
}

bool world_store_some(struct world *w)
{
	u32 shard = (u32)world_random(w, w->n);

	if (w->store == NULL)
		return false;
	switch (world_random(w, 4)) {
	case 0:
		return !w->hold_store && world_commit(w);
	case 1:
		return !w->hold_told && world_tell(w, shard);
	default:
		world_turn_end(w, shard);
		return true;
	}
}

bool world_some(struct world *w)
{
	if (world_random(w, 4) == 0 && step_login(w))
		return true;
	return step_post(w, (u32)world_random(w, w->n * w->n)) || step_login(w);
}

void world_run(struct world *w)
{
	bool did = true;

	while (did) {
		did = step_login(w);
		while (step_post(w, 0))
			did = true;
		for (struct wconn *c = w->conns; c != NULL; c = c->next)
			did |= wconn_step(c);
		if (w->store != NULL)
			did |= store_runs(w);
	}
	for (u32 i = 0; i < w->n; i++)
		core_turn(w->core[i], w->now_ms);
}

static u64 world_next(const struct world *w)
{
	u64 next = UINT64_MAX;

	for (u32 i = 0; i < w->n; i++)
		next = MIN(next, core_next(w->core[i]));
	return next;
}

void world_advance(struct world *w, u64 ms)
{
	u64 until = w->now_ms + ms;

	world_run(w);
	while (w->now_ms < until) {
		u64 to = MIN(MAX(world_next(w), w->now_ms + 1), until);
		w->wall_ms += to - w->now_ms;
		w->now_ms = to;
		for (u32 i = 0; i < w->n; i++)
			core_turn(w->core[i], to);
		world_run(w);
	}
}

struct core_stats world_stats(struct world *w)
{
	struct core_stats s = {0};

	for (u32 i = 0; i < w->n; i++)
		core_stats_add(w->core[i], &s);
	return s;
}

void world_free(struct world **wp)
{
	struct world *w = *wp;

	*wp = NULL;
	while (w->conns != NULL) {
		if (w->conns->moving)
			wconn_step(w->conns);
		wconn_drop(w->conns, E_EOF);
		wconn_free(w->conns);
	}
	all_die(w);
	if (w->store != NULL)
		store_close(&w->store);
	free(w->policy);
	free(w);
}
