/* writer: one turn takes what has come, adds it to the plan of the next transaction, commits that
 * and tells the shards.  While it commits, the shards go on submitting: the longer a sync takes,
 * the more shares it. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "store/chunk.h"
#include "store/plan.h"
#include "store/writer.h"

#define WRITER_MAGIC 0x3717e400u

enum {
	LIM_TXN_OPS = 4096,	  /* operations after which no further batch joins a transaction, */
	LIM_TXN_BYTES = 16 << 20, /* and bytes of payload: LMDB holds its pages in memory */
	LIM_COUNT = 2000,	  /* records that are counted between two transactions */
	FULL_RETRY_MS = 200,	  /* how often room is looked for */
	IDLE_MS = 600 * 1000,	  /* how often an idle store looks at the clocks */
	CLOCK_DRIFT_MS = 2000	  /* between them, that is worth a commit */
};

struct task {
	struct task *next;
	void (*run)(struct store *s, void *arg);
	void *arg;
};

struct shard {
	struct store_batch *first, *last; /* taken and not returned, by serial */
	u64 committed;
	struct store_notice *notice; /* being made; NULL: nothing to tell */
	u32 reads_cap, counts_cap;
};

struct writer {
	u32 magic;
	struct store *store;
	struct writer_env env;
	bool threaded;
	pthread_t thread;

	pthread_mutex_t lock; /* of: */
	pthread_cond_t wake;
	struct store_batch *in, *in_last;
	struct task *tasks, *tasks_last;
	bool waiting, stop, unclean;

	_Atomic bool full;

	/* the store thread's */
	struct plan plan;
	struct store_batch *backlog; /* taken, not planned yet */
	u64 counted;		     /* sessions up to here; UINT64_MAX: all */
	u64 wall_offset_ms;	     /* wall minus monotonic, at the last commit */
	u32 cursor;		     /* which operation the answers have come to */
	u32 nshards;
	struct shard shard[];
};

/* ---- notices --------------------------------------------------------------------------------- */

static struct store_notice *notice_of(struct writer *w, u32 shard)
{
	struct shard *s = &w->shard[shard];

	ASSERT(shard < w->nshards);
	if (s->notice == NULL) {
		s->notice = xcalloc(1, sizeof(*s->notice));
		s->reads_cap = s->counts_cap = 0;
	}
	return s->notice;
}

/* Room for one more element of a vector. */
static void *room(void *p, u32 n, u32 *cap, size_t size)
{
	ASSERT(n <= *cap);
	if (n < *cap)
		return p;
	ASSERT(*cap < UINT32_MAX / 2);
	*cap = *cap ? *cap * 2 : 8;
	return xrealloc(p, *cap * size);
}

static void copy_queued(struct store_chunk **chunks, struct store_queued *to,
			const struct store_queued *from)
{
	size_t ids = from->ids != NULL ? (from->ids[0] + 1u) * sizeof(*from->ids) : 0;

	ASSERT(from->state <= SQ_RELEASED);
	*to = *from;
	to->m.topic = chunk_copy(chunks, from->m.topic);
	to->m.props = chunk_copy(chunks, from->m.props);
	to->m.payload = chunk_copy(chunks, from->m.payload);
	to->ids = NULL;
	if (ids == 0)
		return;
	u32 *copy = chunk_alloc(chunks, ids);

	memcpy(copy, from->ids, ids);
	to->ids = copy;
}

/* An answer, in the order of the operations. */
static void on_read(void *arg, const struct store_op *op, const struct store_read *r)
{
	struct writer *w = arg;
	struct store_notice *n;
	struct store_read *copy;
	u32 shard;

	while (w->cursor < w->plan.n && w->plan.op[w->cursor] != op)
		w->cursor++;
	ASSERT(w->cursor < w->plan.n);
	shard = w->plan.of[w->cursor]->shard;
	n = notice_of(w, shard);
	n->reads = room(n->reads, n->nreads, &w->shard[shard].reads_cap, sizeof(*n->reads));
	copy = &n->reads[n->nreads++];
	*copy = *r;
	copy->queued = NULL;
	if (r->n == 0)
		return;
	copy->queued = chunk_alloc(&n->chunks, r->n * sizeof(*copy->queued));
	for (u32 i = 0; i < r->n; i++)
		copy_queued(&n->chunks, &copy->queued[i], &r->queued[i]);
}

/* The transaction did not come about: neither did its answers. */
static void forget_reads(struct writer *w)
{
	for (u32 i = 0; i < w->nshards; i++) {
		struct store_notice *n = w->shard[i].notice;

		if (n == NULL)
			continue;
		n->nreads = 0;
		chunk_free(&n->chunks);
	}
}

static void on_count(void *arg, const struct store_count *c)
{
	struct writer *w = arg;

	ASSERT(c->sid != 0);
	for (u32 i = 0; i < w->nshards; i++) {
		struct store_notice *n = notice_of(w, i);

		n->counts =
			room(n->counts, n->ncounts, &w->shard[i].counts_cap, sizeof(*n->counts));
		n->counts[n->ncounts++] = *c;
	}
}

/* The batches that nothing refers to any more, as far as they stand in a row. */
static void return_batches(struct writer *w, struct shard *s, u32 shard, bool durable)
{
	struct store_batch **end = NULL;

	while (s->first != NULL && s->first->holds == 0) {
		struct store_batch *b = s->first;

		s->first = b->next;
		b->next = NULL;
		if (end == NULL)
			end = &notice_of(w, shard)->returned;
		ASSERT(*end == NULL);
		*end = b;
		end = &b->next;
		ASSERT(b->serial > s->committed);
		if (durable)
			s->committed = b->serial;
	}
	if (s->first == NULL)
		s->last = NULL;
}

static void tell(struct writer *w)
{
	for (u32 i = 0; i < w->nshards; i++) {
		struct shard *s = &w->shard[i];
		struct store_notice *n = s->notice;

		ASSERT(w->nshards > 0);
		if (n == NULL)
			continue;
		if (n->nreads == 0) { /* forgotten ones leave their vector */
			free(n->reads);
			n->reads = NULL;
		}
		n->committed = s->committed;
		s->notice = NULL;
		w->env.notice(w->env.arg, i, n);
	}
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static NORETURN void fatal(struct writer *w, enum err e)
{
	ASSERT(e == E_IO || e == E_CORRUPT || e == E_NOMEM || e == E_TOO_LARGE);
	w->env.fatal(w->env.arg, e);
	UNREACHABLE("what is on disk is unknown");
}

static void set_full(struct writer *w, bool full)
{
	OBJ_CHECK(w, WRITER_MAGIC);
	if (atomic_load_explicit(&w->full, memory_order_relaxed) == full)
		return;
	atomic_store_explicit(&w->full, full, memory_order_release);
	w->env.full(w->env.arg, full);
}

static enum err commit(struct writer *w, u32 n)
{
	const struct store_sink sink = {w, on_read};
	u64 wall = w->env.wall_ms(w->env.arg), mono = w->env.mono_ms(w->env.arg);
	enum err e;

	ASSERT(n <= w->plan.n);
	w->cursor = 0;
	e = store_commit(w->store, w->plan.op, n, wall, mono, &sink);
	if (e != E_OK && e != E_QUOTA)
		fatal(w, e);
	if (e == E_QUOTA)
		forget_reads(w);
	else
		w->wall_offset_ms = wall - mono;
	return e;
}

/* There is no room for the whole: at least what makes room. */

static bool relieve(struct writer *w)
{
	u32 n = plan_relief(&w->plan);

	ASSERT(n <= w->plan.n);
	if (n == 0 && !store_has_work(w->store))
		return false;
	if (commit(w, n) != E_OK)
		return false;
	plan_relieved(&w->plan, n);
	return true;
}

static bool commit_plan(struct writer *w)
{
	bool done = true, got = false;

	ASSERT(w->plan.live <= w->plan.n);
	if (w->plan.live != 0 || store_has_work(w->store)) {
		done = commit(w, w->plan.live != 0 ? w->plan.n : 0) == E_OK;
		got = done || relieve(w);
	}
	if (done) {
		plan_done(&w->plan);
		for (u32 i = 0; i < w->nshards; i++)
			return_batches(w, &w->shard[i], i, true);
	}
	set_full(w, !done || store_is_full(w->store, w->env.mono_ms(w->env.arg)));
	return got;
}

static void plan_batch(struct writer *w, struct store_batch *b)
{
	struct shard *s = &w->shard[b->shard];

	ASSERT(b->shard < w->nshards);
	b->next = NULL;
	if (s->last != NULL) {
		ASSERT(s->last->serial < b->serial);
		s->last->next = b;
	} else {
		s->first = b;
	}
	s->last = b;
	plan_add(&w->plan, b);
}

static bool blocked(const struct writer *w)
{
	return atomic_load_explicit(&w->full, memory_order_relaxed);
}

static bool plan_has_room(const struct plan *p)
{
	return p->live < LIM_TXN_OPS && p->bytes < LIM_TXN_BYTES;
}

/* Whole batches, until there are enough operations for one transaction.  Without room for one, all:
 * the deletions among them make some. */
static bool plan_backlog(struct writer *w)
{
	bool any = w->backlog != NULL;

	while (w->backlog != NULL && (plan_has_room(&w->plan) || blocked(w))) {
		struct store_batch *b = w->backlog;

		w->backlog = b->next;
		plan_batch(w, b);
	}
	ASSERT(w->plan.live <= w->plan.n);
	return any;
}

static bool count_some(struct writer *w)
{
	enum err e;

	ASSERT(w->plan.live <= w->plan.n);
	if (w->counted == UINT64_MAX)
		return false;
	e = store_count_some(w->store, &w->counted, LIM_COUNT, on_count, w);
	if (e != E_OK)
		fatal(w, e);
	return true;
}

static void run_tasks(struct writer *w, struct task *t)
{
	OBJ_CHECK(w, WRITER_MAGIC);
	while (t != NULL) {
		struct task *next = t->next;

		t->run(w->store, t->arg);
		free(t);
		t = next;
	}
}

/* Take what has come; true: there is something. */
static bool take(struct writer *w, struct task **tasks)
{
	bool any = w->in != NULL || w->tasks != NULL;

	*tasks = w->tasks;
	w->tasks = w->tasks_last = NULL;
	if (w->in == NULL)
		return any;
	if (w->backlog == NULL) {
		w->backlog = w->in;
	} else {
		struct store_batch *b = w->backlog;

		while (b->next != NULL)
			b = b->next;
		b->next = w->in;
	}
	w->in = w->in_last = NULL;
	return true;
}

/* A wall clock that was set: a crash from now on should not take it for time that passed. */
static void look_at_clocks(struct writer *w)
{
	u64 offset = w->env.wall_ms(w->env.arg) - w->env.mono_ms(w->env.arg);
	u64 drift = offset - w->wall_offset_ms;

	OBJ_CHECK(w, WRITER_MAGIC);
	if (drift < CLOCK_DRIFT_MS || drift > UINT64_MAX - CLOCK_DRIFT_MS)
		return;
	(void)commit(w, 0); /* full: then later */
}

/* Everything but the lock.  false: nothing was to be done, or could be. */
static bool turn(struct writer *w, struct task *tasks)
{
	bool any = tasks != NULL;

	run_tasks(w, tasks);
	any |= count_some(w);
	any |= plan_backlog(w);
	any |= commit_plan(w);
	if (!any && !blocked(w))
		look_at_clocks(w);
	tell(w);
	ASSERT(w->plan.live <= w->plan.n);
	return any && w->plan.live == 0;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Nothing is left that could be done at once. */
static bool quiet(const struct writer *w)
{
	return w->in == NULL && w->tasks == NULL && !w->stop && w->counted == UINT64_MAX &&
	       w->backlog == NULL && (!store_has_work(w->store) || blocked(w));
}

/* Under the lock. */
static void wait_a_while(struct writer *w, u32 ms)
{
	struct timespec at;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += (long)(ms % 1000) * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	w->waiting = true;
	while (rc == 0 && quiet(w))
		rc = pthread_cond_timedwait(&w->wake, &w->lock, &at);
	w->waiting = false;
	ASSERT(rc == 0 || rc == ETIMEDOUT);
}

/* Commit what can be, and give every batch back. */
static void finish(struct writer *w)
{
	struct task *tasks;
	bool any = true;

	ASSERT(w->stop);
	while (any && !w->unclean) {
		pthread_mutex_lock(&w->lock);
		any = take(w, &tasks);
		pthread_mutex_unlock(&w->lock);
		any |= turn(w, tasks);
	}
	if (!w->unclean && w->plan.live == 0)
		(void)commit(w, 0);
	(void)take(w, &tasks);
	run_tasks(w, tasks);
	while (w->backlog != NULL) {
		struct store_batch *b = w->backlog;

		w->backlog = b->next;
		plan_batch(w, b);
	}
	plan_free(&w->plan);
	for (u32 i = 0; i < w->nshards; i++)
		return_batches(w, &w->shard[i], i, false);
	tell(w);
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	struct task *tasks;
	bool stop = false;

	OBJ_CHECK(w, WRITER_MAGIC);
	while (!stop) {
		pthread_mutex_lock(&w->lock);
		wait_a_while(w, blocked(w) ? FULL_RETRY_MS : IDLE_MS);
		(void)take(w, &tasks);
		stop = w->stop;
		pthread_mutex_unlock(&w->lock);
		if (!(stop && w->unclean))
			(void)turn(w, tasks);
		else
			run_tasks(w, tasks);
	}
	finish(w);
	return NULL;
}

/* ---- from outside ---------------------------------------------------------------------------- */

static void writer_init(struct writer *w)
{
	pthread_condattr_t attr;

	if (pthread_mutex_init(&w->lock, NULL) != 0 || pthread_condattr_init(&attr) != 0 ||
	    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
	    pthread_cond_init(&w->wake, &attr) != 0)
		UNREACHABLE("a plain mutex and condition can be made");
	pthread_condattr_destroy(&attr);
	plan_init(&w->plan);
	w->wall_offset_ms = w->env.wall_ms(w->env.arg) - w->env.mono_ms(w->env.arg);
}

struct writer *writer_new(struct store *s, const struct writer_env *env, u32 nshards, bool thread)
{
	struct writer *w = xcalloc(1, sizeof(*w) + nshards * sizeof(w->shard[0]));

	ASSERT(s != NULL);
	ASSERT(nshards > 0);
	w->magic = WRITER_MAGIC;
	w->store = s;
	w->env = *env;
	w->nshards = nshards;
	w->threaded = thread;
	writer_init(w);
	if (thread && pthread_create(&w->thread, NULL, writer_main, w) != 0)
		UNREACHABLE("the store needs its thread");
	return w;
}

void writer_submit(struct writer *w, struct store_batch *b)
{
	bool waiting;

	OBJ_CHECK(w, WRITER_MAGIC);
	ASSERT(b->holds == 0);
	b->next = NULL;
	pthread_mutex_lock(&w->lock);
	ASSERT(!w->stop);
	if (w->in_last != NULL)
		w->in_last->next = b;
	else
		w->in = b;
	w->in_last = b;
	waiting = w->waiting;
	pthread_mutex_unlock(&w->lock);
	if (waiting)
		pthread_cond_signal(&w->wake);
}

void writer_do(struct writer *w, void (*task)(struct store *s, void *arg), void *arg)
{
	struct task *t = xcalloc(1, sizeof(*t));

	OBJ_CHECK(w, WRITER_MAGIC);
	t->run = task;
	t->arg = arg;
	pthread_mutex_lock(&w->lock);
	ASSERT(!w->stop);
	if (w->tasks_last != NULL)
		w->tasks_last->next = t;
	else
		w->tasks = t;
	w->tasks_last = t;
	pthread_mutex_unlock(&w->lock);
	pthread_cond_signal(&w->wake);
}

bool writer_step(struct writer *w)
{
	struct task *tasks;

	OBJ_CHECK(w, WRITER_MAGIC);
	ASSERT(!w->threaded);
	pthread_mutex_lock(&w->lock);
	(void)take(w, &tasks);
	pthread_mutex_unlock(&w->lock);
	return turn(w, tasks);
}

bool writer_full(const struct writer *w)
{
	OBJ_CHECK(w, WRITER_MAGIC);
	return atomic_load_explicit(&w->full, memory_order_acquire);
}

void writer_free(struct writer **wp, bool unclean)
{
	struct writer *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	OBJ_CHECK(w, WRITER_MAGIC);
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	w->unclean = unclean;
	pthread_mutex_unlock(&w->lock);
	pthread_cond_signal(&w->wake);
	if (w->threaded)
		pthread_join(w->thread, NULL);
	else
		finish(w);
	if (!unclean)
		store_close(&w->store);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->wake);
	w->magic = 0;
	free(w);
}
