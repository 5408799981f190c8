/* retained: see retained.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/retained.h"

#define LOAD(p)	      atomic_load_explicit(&(p), memory_order_acquire)
#define PUBLISH(p, v) atomic_store_explicit(&(p), (v), memory_order_release)

void retained_init(struct retained_store *r, struct epoch *e, const struct hash_key *key,
		   u32 total_max, u64 bytes_max, u64 number)
{
	r->epoch = e;
	r->number = number;
	r->total_max = total_max;
	r->bytes_max = bytes_max;
	atomic_init(&r->count, 0);
	atomic_init(&r->bytes, 0);
	atomic_init(&r->expiring, 0);
	ASSERT(pthread_mutex_init(&r->lock, NULL) == 0);
	tree_init(&r->tree, e, key);
}

static void retained_drop(struct retired *gc)
{
	struct retained *e = CONTAINER_OF(gc, struct retained, gc);

	ASSERT(e->m != NULL);
	ASSERT(e->author != NULL);
	msg_unref(&e->m);
	who_unref(&e->author);
	free(e);
}

static bool always(void *arg, const struct retained *e)
{
	return true;
}

void retained_free(struct retained_store *r)
{
	retained_purge(r, always, NULL, NULL);
	ASSERT(atomic_load(&r->count) == 0);
	ASSERT(atomic_load(&r->bytes) == 0);
	tree_free(&r->tree);
	pthread_mutex_destroy(&r->lock);
}

static void retained_count(struct retained_store *r, const struct retained *e, bool in)
{
	u64 bytes = msg_bytes(e->m), expiring = e->m->expires_ms != 0;

	if (in) {
		atomic_fetch_add(&r->count, 1);
		atomic_fetch_add(&r->bytes, bytes);
		atomic_fetch_add(&r->expiring, expiring);
		atomic_fetch_add(&e->author->pr->retained, 1);
	} else {
		ASSERT(atomic_fetch_sub(&r->count, 1) > 0);
		ASSERT(atomic_fetch_sub(&r->bytes, bytes) >= bytes);
		ASSERT(atomic_fetch_sub(&r->expiring, expiring) >= expiring);
		ASSERT(atomic_fetch_sub(&e->author->pr->retained, 1) > 0);
	}
}

static void log_change(const struct retained_log *log, const struct retained *put,
		       const struct retained *gone)
{
	ASSERT(put != NULL || gone != NULL);
	if (log != NULL && log->change != NULL)
		log->change(log->arg, put, gone);
}

static u64 log_time(const struct retained_log *log)
{
	return log != NULL ? log->now_ms : 0;
}

static void log_done(const struct retained_log *log)
{
	ASSERT(log == NULL || (log->done == NULL) == (log->change == NULL));
	if (log != NULL && log->done != NULL)
		log->done(log->arg);
}

/* Take what n holds out of the counts and of sight. */
static void node_clear(struct retained_store *r, struct node *n, const struct retained_log *log)
{
	struct retained *e = LOAD(n->value);

	if (e == NULL)
		return;
	PUBLISH(n->value, NULL);
	log_change(log, NULL, e);
	retained_count(r, e, false);
	epoch_retire(r->epoch, &e->gc, retained_drop);
}

static bool retained_fits(const struct retained_store *r, const struct retained *old,
			  const struct msg *m, const struct who *author, u32 identity_max)
{
	bool same = old != NULL && old->author->pr == author->pr;
	u64 bytes_old = old != NULL ? msg_bytes(old->m) : 0;

	ASSERT(m->payload.n != 0); /* an empty one clears */
	ASSERT(atomic_load(&r->bytes) >= bytes_old);
	if (!same && atomic_load(&author->pr->retained) >= identity_max)
		return false;
	if (old == NULL && atomic_load(&r->count) >= r->total_max)
		return false;
	return atomic_load(&r->bytes) - bytes_old + msg_bytes(m) <= r->bytes_max;
}

/* In the place of old, which may be NULL.  Takes e. */
static void node_set(struct retained_store *r, struct node *n, struct retained *e,
		     struct retained *old)
{
	ASSERT(e->number != 0);
	retained_count(r, e, true);
	PUBLISH(n->value, e);
	if (old == NULL)
		return;
	ASSERT(old->number < e->number);
	retained_count(r, old, false);
	epoch_retire(r->epoch, &old->gc, retained_drop);
}

enum err retained_set(struct retained_store *r, const struct topic *t, struct msg *m,
		      struct who *author, u32 identity_max, const struct retained_log *log)
{
	struct path p = path_topic(t);
	struct path_hash h;
	struct retained *e, *old;
	struct node *n;
	bool fits;

	ASSERT(m->payload.n != 0);
	ASSERT(slice_eq(m->topic, t->s));
	tree_hash(&r->tree, &p, &h);
	e = xcalloc(1, sizeof(*e));
	*e = (struct retained){
		.m = msg_ref(m), .author = who_ref(author), .stored_ms = log_time(log)};
	pthread_mutex_lock(&r->lock);
	n = tree_make(&r->tree, &p, &h);
	old = LOAD(n->value);
	fits = retained_fits(r, old, m, author, identity_max);
	if (fits) {
		e->number = ++r->number;
		log_change(log, e, old);
		node_set(r, n, e, old);
		log_done(log);
	}
	ASSERT(fits || LOAD(n->value) == old);
	tree_prune(&r->tree, n);
	pthread_mutex_unlock(&r->lock);
	if (!fits)
		retained_drop(&e->gc);
	return fits ? E_OK : E_QUOTA;
}

void retained_clear(struct retained_store *r, const struct topic *t, const struct retained_log *log)
{
	struct path p = path_topic(t);
	struct path_hash h;
	struct node *n;

	tree_hash(&r->tree, &p, &h);
	pthread_mutex_lock(&r->lock);
	n = tree_find(&r->tree, &p, &h);
	if (n != NULL) {
		node_clear(r, n, log);
		log_done(log);
		tree_prune(&r->tree, n);
	}
	pthread_mutex_unlock(&r->lock);
}

bool retained_restore(struct retained_store *r, const struct topic *t, struct msg *m,
		      struct who *author, u64 number, const struct retained_log *log)
{
	struct path p = path_topic(t);
	struct retained *e = xcalloc(1, sizeof(*e)), *old;
	struct path_hash h;
	struct node *n;
	bool newest;

	ASSERT(slice_eq(m->topic, t->s));
	tree_hash(&r->tree, &p, &h);
	*e = (struct retained){.m = msg_ref(m),
			       .author = who_ref(author),
			       .number = number,
			       .stored_ms = log_time(log)};
	pthread_mutex_lock(&r->lock);
	n = tree_make(&r->tree, &p, &h);
	old = LOAD(n->value);
	newest = old == NULL || old->number < number;
	if (!newest || old != NULL)
		log_change(log, NULL, newest ? old : e);
	if (newest)
		node_set(r, n, e, old);
	pthread_mutex_unlock(&r->lock);
	if (!newest)
		retained_drop(&e->gc);
	return newest;
}

/* A walk over the nodes that a filter matches; one frame a level. */
struct frame_at {
	struct node *n;
	struct kids_walk kids;
	bool asked; /* for the one child that a literal level names */
};
struct walk {
	struct frame_at f[LIM_TOPIC_LEVELS + 1];
	u32 depth;
};

static struct frame_at frame_begin(struct node *n)
{
	return (struct frame_at){n, node_kids(n), false};
}

static bool node_is_dollar(const struct node *n)
{
	return n->len != 0 && n->name[0] == '$';
}

/* The next child of the frame on top that level i of the filter admits. */
static struct node *walk_child(struct walk *w, const struct filter *f, const struct path_hash *h)
{
	struct frame_at *top = &w->f[w->depth - 1];
	u32 level = w->depth - 1;
	bool rest = f->hash && level + 1 >= f->nlevel;
	struct node *c;

	ASSERT(w->depth > 0);
	ASSERT(w->depth <= LIM_TOPIC_LEVELS + 1);
	if (!rest && level >= f->nlevel)
		return NULL;
	if (!rest && !(f->plus_mask >> level & 1)) {
		if (top->asked)
			return NULL;
		top->asked = true;
		return node_child(top->n, h->h[level], filter_level(f, level));
	}
	while ((c = kids_next(&top->kids)) != NULL) {
		if (level != 0 || !node_is_dollar(c)) /* SPEC MQTT-4.7.2-1 */
			return c;
	}
	return NULL;
}

/* Does the node depth levels down end where the filter does? */
static bool walk_hit(const struct filter *f, u32 levels)
{
	return f->hash ? levels + 1 >= f->nlevel : levels == f->nlevel;
}

u32 retained_each(const struct retained_store *r, const struct filter *f,
		  bool (*cb)(void *arg, const struct retained *e), void *arg)
{
	struct path p = path_filter(f);
	struct path_hash h;
	struct walk w = {.depth = 1};
	u32 nodes = 0;

	tree_hash(&r->tree, &p, &h);
	ASSERT(f->nlevel > 0);
	w.f[0] = frame_begin(r->tree.root);
	while (w.depth > 0) {
		struct node *c = walk_child(&w, f, &h);
		const struct retained *e;

		if (c == NULL) {
			w.depth--;
			continue;
		}
		nodes++;
		e = walk_hit(f, w.depth) ? LOAD(c->value) : NULL;
		if (e != NULL && !cb(arg, e))
			return nodes;
		if (w.depth <= LIM_TOPIC_LEVELS)
			w.f[w.depth++] = frame_begin(c);
	}
	return nodes;
}

void retained_purge(struct retained_store *r, bool (*drop)(void *arg, const struct retained *e),
		    void *arg, const struct retained_log *log)
{
	struct frame_at f[LIM_TOPIC_LEVELS + 1];
	struct retained *e;
	u32 depth = 1;

	pthread_mutex_lock(&r->lock);
	f[0] = frame_begin(r->tree.root);
	while (depth > 0) {
		struct frame_at *top = &f[depth - 1];
		struct node *c = kids_next(&top->kids);

		if (c != NULL) {
			ASSERT(depth <= LIM_TOPIC_LEVELS);
			f[depth++] = frame_begin(c);
			continue;
		}
		/* All below is done: nobody holds a place in it when it goes. */
		c = top->n;
		depth--;
		e = LOAD(c->value);
		if (e != NULL && drop(arg, e))
			node_clear(r, c, log);
		tree_prune_one(&r->tree, c);
	}
	log_done(log);
	pthread_mutex_unlock(&r->lock);
}
