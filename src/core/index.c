/* index: see index.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/index.h"

enum { REFS_MIN = 2, STACK = 2 * LIM_TOPIC_LEVELS + 2 };

#define LOAD(p)	      atomic_load_explicit(&(p), memory_order_acquire)
#define PUBLISH(p, v) atomic_store_explicit(&(p), (v), memory_order_release)

/* ---- arrays of references ------------------------------------------------------------ */

static void refs_drop(struct retired *r)
{
	free(CONTAINER_OF(r, struct subrefs, gc));
}

static struct subrefs *refs_new(u32 cap)
{
	struct subrefs *r = xcalloc(1, sizeof(*r) + cap * sizeof(r->v[0]));

	ASSERT(cap >= REFS_MIN);
	r->cap = cap;
	return r;
}

/* A copy without marks and with room for one more; NULL when it would be empty and room is 0.  A
 * third of it is free, so who comes and goes at a full array does not make each time a new one. */
static struct subrefs *refs_copy(const struct subrefs *old, u32 room)
{
	u32 n = old != NULL ? LOAD(old->n) : 0, live = old != NULL ? n - old->marks : 0, k = 0;
	u32 cap = REFS_MIN;
	struct subrefs *r;

	ASSERT(room <= 1);
	ASSERT(old == NULL || old->marks <= n);
	if (live + room == 0)
		return NULL;
	while (cap < live + live / 2 + room)
		cap *= 2;
	r = refs_new(cap);
	for (u32 i = 0; i < n; i++) {
		u32 gen = LOAD(old->v[i].gen);
		if (gen == 0)
			continue;
		r->v[k] = (struct subref){.slot = old->v[i].slot,
					  .sub = old->v[i].sub,
					  .shard = old->v[i].shard,
					  .durable = old->v[i].durable,
					  .place = old->v[i].place};
		atomic_init(&r->v[k++].gen, gen);
	}
	ASSERT(k == live);
	atomic_init(&r->n, k);
	return r;
}

static void refs_replace(struct epoch *e, _Atomic(void *) *at, struct subrefs *fresh)
{
	struct subrefs *old = LOAD(*at);

	ASSERT(fresh != old);
	PUBLISH(*at, fresh);
	if (old != NULL)
		epoch_retire(e, &old->gc, refs_drop);
}

static void refs_add(struct epoch *e, _Atomic(void *) *at, const struct handle *s, u32 sub,
		     bool durable, u64 place)
{
	struct subrefs *r = LOAD(*at);
	bool fresh = r == NULL || LOAD(r->n) == r->cap;
	u32 n;

	ASSERT(s->gen != 0); /* which means: gone */
	if (fresh)
		r = refs_copy(r, 1);
	n = LOAD(r->n);
	ASSERT(n < r->cap);
	r->v[n].slot = s->slot;
	r->v[n].shard = (u16)s->shard;
	r->v[n].durable = durable;
	r->v[n].sub = sub;
	r->v[n].place = place;
	ASSERT(n == 0 || r->v[n - 1].place < place);
	PUBLISH(r->v[n].gen, s->gen);
	PUBLISH(r->n, n + 1);
	if (fresh)
		refs_replace(e, at, r);
}

/* Thousands may want the same topic, and all may leave at once. */
static struct subref *refs_find(struct subrefs *r, u64 place)
{
	u32 low = 0, high = LOAD(r->n);

	while (low < high) {
		u32 mid = low + (high - low) / 2;
		if (r->v[mid].place < place)
			low = mid + 1;
		else
			high = mid;
	}
	ASSERT(low < LOAD(r->n));
	ASSERT(r->v[low].place == place);
	return &r->v[low];
}

/* Returns whether the store knew its session. */
static bool refs_remove(struct epoch *e, _Atomic(void *) *at, const struct handle *s, u64 place)
{
	struct subrefs *r = LOAD(*at);
	struct subref *v;
	bool durable;

	ASSERT(r != NULL);
	v = refs_find(r, place);
	ASSERT(v->slot == s->slot && v->shard == s->shard);
	ASSERT(LOAD(v->gen) == s->gen);
	durable = v->durable;
	PUBLISH(v->gen, 0);
	r->marks++;
	ASSERT(r->marks <= LOAD(r->n));
	if (r->marks > LOAD(r->n) / 2)
		refs_replace(e, at, refs_copy(r, 0));
	return durable;
}

/* ---- groups -------------------------------------------------------------------------- */

struct group *group_ref(struct group *g)
{
	ASSERT(atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed) > 0);
	return g;
}

void group_unref(struct group **gp)
{
	struct group *g = *gp;

	*gp = NULL;
	ASSERT(atomic_load_explicit(&g->refs, memory_order_relaxed) > 0);
	if (atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
		return;
	ASSERT(LOAD(g->members) == NULL);
	free(g);
}

/* The index's own reference goes when nobody can find the group any more. */
static void group_drop(struct retired *r)
{
	struct group *g = CONTAINER_OF(r, struct group, gc);

	group_unref(&g);
}

static void groups_drop(struct retired *r)
{
	free(CONTAINER_OF(r, struct groups, gc));
}

static struct group *groups_find(const struct groups *gs, struct slice name)
{
	for (u32 i = 0; gs != NULL && i < gs->n; i++) {
		struct group *g = gs->v[i];
		if (slice_eq(slice_of(g->name, g->name_len), name))
			return g;
	}
	return NULL;
}

/* Publish the list with add (may be NULL) and without drop (may be NULL). */
static void groups_change(struct index *x, struct node *n, struct group *add,
			  const struct group *drop)
{
	struct groups *old = LOAD(n->extra), *gs;
	u32 count = old != NULL ? old->n : 0;

	ASSERT((add == NULL) != (drop == NULL));
	gs = xcalloc(1, sizeof(*gs) + (count + 1) * sizeof(gs->v[0]));
	for (u32 i = 0; i < count; i++) {
		if (old->v[i] != drop)
			gs->v[gs->n++] = old->v[i];
	}
	if (add != NULL)
		gs->v[gs->n++] = add;
	PUBLISH(n->extra, gs->n != 0 ? (void *)gs : NULL);
	if (gs->n == 0)
		free(gs);
	if (old != NULL)
		epoch_retire(x->epoch, &old->gc, groups_drop);
}

static struct group *group_make(struct index *x, struct node *n, struct slice name)
{
	struct group *g = groups_find(LOAD(n->extra), name);

	if (g != NULL)
		return g;
	g = xcalloc(1, sizeof(*g) + name.n);
	atomic_init(&g->refs, 1);
	ASSERT(name.n <= UINT16_MAX);
	g->name_len = (u16)name.n;
	memcpy(g->name, name.p, name.n);
	groups_change(x, n, g, NULL);
	return g;
}

static void group_leave(struct index *x, struct node *n, const struct filter *f,
			const struct handle *s, u64 place)
{
	struct group *g = groups_find(LOAD(n->extra), f->share);

	ASSERT(g != NULL);
	if (refs_remove(x->epoch, &g->members, s, place))
		ASSERT(atomic_fetch_sub_explicit(&g->durable, 1, memory_order_relaxed) > 0);
	if (LOAD(g->members) != NULL)
		return;
	groups_change(x, n, NULL, g);
	epoch_retire(x->epoch, &g->gc, group_drop);
}

/* ---- the index ----------------------------------------------------------------------- */

void index_init(struct index *x, struct epoch *e, const struct hash_key *key)
{
	x->epoch = e;
	x->places = 0;
	atomic_init(&x->subscriptions, 0);
	ASSERT(pthread_mutex_init(&x->lock, NULL) == 0);
	tree_init(&x->tree, e, key);
}

void index_free(struct index *x)
{
	ASSERT(atomic_load(&x->subscriptions) == 0);
	ASSERT(x->tree.nodes == 1);
	tree_free(&x->tree);
	pthread_mutex_destroy(&x->lock);
}

static void group_join(struct index *x, struct node *n, const struct filter *f,
		       const struct handle *s, u32 sub, bool durable, u64 place)
{
	struct group *g = group_make(x, n, f->share);

	ASSERT(f->share.n != 0);
	if (durable)
		atomic_fetch_add_explicit(&g->durable, 1, memory_order_relaxed);
	refs_add(x->epoch, &g->members, s, sub, durable, place);
}

u64 index_add(struct index *x, const struct filter *f, const struct handle *s, u32 sub,
	      bool durable)
{
	struct path p = path_filter(f);
	struct path_hash h;
	struct node *n;
	u64 place;

	ASSERT(f->nlevel > 0);
	tree_hash(&x->tree, &p, &h);
	pthread_mutex_lock(&x->lock);
	place = ++x->places;
	n = tree_make(&x->tree, &p, &h);
	if (f->share.n != 0)
		group_join(x, n, f, s, sub, durable, place);
	else
		refs_add(x->epoch, &n->value, s, sub, durable, place);
	pthread_mutex_unlock(&x->lock);
	atomic_fetch_add_explicit(&x->subscriptions, 1, memory_order_relaxed);
	return place;
}

void index_remove(struct index *x, const struct filter *f, const struct handle *s, u64 place)
{
	struct path p = path_filter(f);
	struct path_hash h;
	struct node *n;

	tree_hash(&x->tree, &p, &h);
	pthread_mutex_lock(&x->lock);
	n = tree_find(&x->tree, &p, &h);
	ASSERT(n != NULL);
	if (f->share.n != 0)
		group_leave(x, n, f, s, place);
	else
		(void)refs_remove(x->epoch, &n->value, s, place);
	tree_prune(&x->tree, n);
	pthread_mutex_unlock(&x->lock);
	ASSERT(atomic_fetch_sub_explicit(&x->subscriptions, 1, memory_order_relaxed) > 0);
}

struct group *index_group(const struct index *x, const struct filter *f)
{
	struct path p = path_filter(f);
	struct path_hash h;
	const struct node *n;

	ASSERT(f->share.n != 0);
	tree_hash(&x->tree, &p, &h);
	n = tree_find(&x->tree, &p, &h);
	return n != NULL ? groups_find(LOAD(n->extra), f->share) : NULL;
}

/* ---- matching ------------------------------------------------------------------------ */

void match_init(struct match *m, u32 nshards)
{
	ASSERT(nshards > 0);
	*m = (struct match){.nshards = nshards};
	m->shard = xcalloc(nshards, sizeof(*m->shard));
}

void match_free(struct match *m)
{
	ASSERT(m->nshards > 0);
	for (u32 i = 0; i < m->nshards; i++)
		free(m->shard[i].v);
	free(m->shard);
	free(m->groups);
}

static void targets_grow(struct targets *t)
{
	ASSERT(t->n == t->cap);
	t->cap = t->cap != 0 ? t->cap * 2 : 64;
	t->v = xrealloc(t->v, t->cap * sizeof(*t->v));
}

static void match_refs(struct match *m, const struct subrefs *r)
{
	u32 n = r != NULL ? LOAD(r->n) : 0;

	for (u32 i = 0; i < n; i++) {
		const struct subref *v = &r->v[i];
		u32 gen = LOAD(v->gen);
		struct targets *t = &m->shard[v->shard];

		ASSERT(v->shard < m->nshards);
		if (gen == 0)
			continue;
		if (UNLIKELY(t->n == t->cap))
			targets_grow(t);
		t->v[t->n++] = (struct target){v->slot, gen, v->sub};
		t->durable |= v->durable;
		m->found++;
	}
}

static void match_groups(struct match *m, const struct groups *gs)
{
	for (u32 i = 0; gs != NULL && i < gs->n; i++) {
		if (m->ngroups == m->groups_cap) {
			m->groups_cap = m->groups_cap != 0 ? m->groups_cap * 2 : 8;
			m->groups = xrealloc(m->groups, m->groups_cap * sizeof(struct group *));
		}
		m->groups[m->ngroups++] = gs->v[i];
		m->found++;
	}
}

static void match_node(struct match *m, const struct node *n)
{
	if (n == NULL)
		return;
	match_refs(m, LOAD(n->value));
	match_groups(m, LOAD(n->extra));
}

struct visit {
	const struct node *n;
	u32 level;
};

void index_match(const struct index *x, const struct topic *t, const struct path_hash *h,
		 struct match *m)
{
	NOINIT struct visit stack[STACK];
	u32 depth = 0;

	ASSERT(t->nlevel > 0);
	ASSERT(t->nlevel <= LIM_TOPIC_LEVELS);
	m->found = m->ngroups = 0;
	for (u32 i = 0; i < m->nshards; i++) {
		m->shard[i].n = 0;
		m->shard[i].durable = false;
	}
	stack[depth++] = (struct visit){x->tree.root, 0};
	while (depth > 0) {
		struct visit v = stack[--depth];
		/* SPEC MQTT-4.7.2-1: wildcards in the first level do not match '$' names. */
		bool wild = !(v.level == 0 && t->dollar);
		const struct node *c;

		if (wild)
			match_node(m, LOAD(v.n->hash));
		if (v.level == t->nlevel) {
			match_node(m, v.n);
			continue;
		}
		ASSERT(depth + 2 <= STACK);
		c = node_child(v.n, h->h[v.level], topic_level(t, v.level));
		if (c != NULL)
			stack[depth++] = (struct visit){c, v.level + 1};
		c = wild ? LOAD(v.n->plus) : NULL;
		if (c != NULL)
			stack[depth++] = (struct visit){c, v.level + 1};
	}
}
