/* hub: see hub.h and core.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/hub.h"

struct hub *hub_new(const struct hub_options *o)
{
	struct hub *h = xcalloc(1, sizeof(*h));

	ASSERT(o->nshards > 0);
	ASSERT(o->nshards <= 256); /* the top byte of a login's id */
	h->magic = HUB_MAGIC;
	h->o = *o;
	memcpy(&h->key, o->hash_key, sizeof(h->key));
	epoch_init(&h->epoch, o->nshards);
	index_init(&h->index, &h->epoch, &h->key);
	shares_init(&h->shares, o->nshards);
	retained_init(&h->retained, &h->epoch, &h->key, o->retained_total, o->retained_bytes,
		      store_sequence(o->store_epoch));
	directory_init(&h->directory, o->nshards, &h->key);
	map_init(&h->principals, &h->key);
	TAILQ_INIT(&h->idle);
	ASSERT(pthread_mutex_init(&h->lock, NULL) == 0);
	return h;
}

static void policy_drop(struct retired *r)
{
	struct policy_box *b = CONTAINER_OF(r, struct policy_box, gc);

	if (b->drop != NULL)
		b->drop(b->p, b->arg);
	free(b);
}

/* Those that auth pinned, and those that are idle, have no other owner. */
static void hub_free_principals(struct hub *h)
{
	struct principal *p;
	size_t pos = 0;

	while ((p = map_next(&h->principals, &pos)) != NULL) {
		ASSERT(p->refs == 0);
		free(atomic_load(&p->grant));
		free(atomic_load(&p->quirks));
		free(p);
	}
	map_free(&h->principals);
}

void hub_free(struct hub **hp)
{
	struct hub *h = *hp;
	struct policy_box *b;

	*hp = NULL;
	OBJ_CHECK(h, HUB_MAGIC);
	b = atomic_load(&h->policy);
	if (b != NULL)
		policy_drop(&b->gc);
	retained_free(&h->retained);
	index_free(&h->index);
	shares_free(&h->shares);
	epoch_free(&h->epoch);
	directory_free(&h->directory);
	hub_free_principals(h);
	if (h->listeners != NULL)
		listener_set_unref(&h->listeners);
	for (struct watched *w = h->watched, *next; w != NULL; w = next) {
		next = w->next;
		free(w);
	}
	pthread_mutex_destroy(&h->lock);
	h->magic = 0;
	free(h);
}

void hub_set_shared(struct hub *h, enum shared_strategy how)
{
	OBJ_CHECK(h, HUB_MAGIC);
	ASSERT(how < SHARED_STRATEGIES);
	atomic_store(&h->shares.strategy, (u32)how);
}

/* ---- listeners ----------------------------------------------------------------------- */

void hub_set_listeners(struct hub *h, const struct core_listener *l, u32 n, bool reload)
{
	struct listener_set *s = xcalloc(1, sizeof(*s) + n * sizeof(s->l[0])), *old;

	OBJ_CHECK(h, HUB_MAGIC);
	atomic_init(&s->refs, 1);
	ASSERT(n > 0);
	s->n = n;
	memcpy(s->l, l, n * sizeof(s->l[0]));
	pthread_mutex_lock(&h->lock);
	old = h->listeners;
	h->listeners = s;
	pthread_mutex_unlock(&h->lock);
	ASSERT(reload || old == NULL);
	if (old != NULL)
		listener_set_unref(&old);
}

struct listener_set *hub_listeners(struct hub *h)
{
	struct listener_set *s;

	OBJ_CHECK(h, HUB_MAGIC);
	pthread_mutex_lock(&h->lock);
	s = h->listeners;
	if (s != NULL)
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&h->lock);
	return s;
}

void listener_set_unref(struct listener_set **sp)
{
	struct listener_set *s = *sp;

	*sp = NULL;
	ASSERT(atomic_load_explicit(&s->refs, memory_order_relaxed) > 0);
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
		free(s);
}

/* ---- policy -------------------------------------------------------------------------- */

void hub_set_policy(struct hub *h, const struct policy *p,
		    void (*drop)(const struct policy *p, void *arg), void *arg)
{
	struct policy_box *b = xcalloc(1, sizeof(*b)), *old;

	OBJ_CHECK(h, HUB_MAGIC);
	ASSERT(p != NULL);
	b->p = p;
	b->drop = drop;
	b->arg = arg;
	pthread_mutex_lock(&h->lock);
	b->serial = atomic_load_explicit(&h->serial, memory_order_relaxed) + 1;
	old = atomic_exchange(&h->policy, b);
	atomic_store_explicit(&h->serial, b->serial, memory_order_release);
	atomic_store(&h->generation, policy_generation(p));
	pthread_mutex_unlock(&h->lock);
	if (old != NULL)
		epoch_retire(&h->epoch, &old->gc, policy_drop);
}

u64 hub_policy_generation(const struct hub *h)
{
	OBJ_CHECK(h, HUB_MAGIC);
	return atomic_load(&h->generation);
}

u64 rights_serial(const struct hub *h)
{
	return atomic_load_explicit(&h->serial, memory_order_acquire);
}

/* ---- who is watched ------------------------------------------------------------------ */

bool hub_is_watched(struct hub *h, struct slice identity)
{
	OBJ_CHECK(h, HUB_MAGIC);
	for (const struct watched *w = h->watched; w != NULL; w = w->next) {
		if (slice_eq(w->name, identity))
			return true;
	}
	return false;
}

bool hub_watches(struct hub *h, struct slice identity)
{
	bool yes;

	OBJ_CHECK(h, HUB_MAGIC);
	pthread_mutex_lock(&h->lock);
	yes = hub_is_watched(h, identity);
	pthread_mutex_unlock(&h->lock);
	return yes;
}

static void watch_list(struct hub *h, struct slice identity, bool on)
{
	struct watched **at = &h->watched, *w;

	OBJ_CHECK(h, HUB_MAGIC);
	while (*at != NULL && !slice_eq((*at)->name, identity))
		at = &(*at)->next;
	w = *at;
	if (on && w == NULL) {
		w = xcalloc(1, sizeof(*w) + identity.n);
		if (identity.n != 0)
			memcpy(w->data, identity.p, identity.n);
		w->name = slice_of(w->data, identity.n);
		w->next = h->watched;
		h->watched = w;
	} else if (!on && w != NULL) {
		*at = w->next;
		free(w);
	}
}

void hub_watch(struct hub *h, struct slice identity, bool on)
{
	struct principal *p;
	size_t pos = 0;

	OBJ_CHECK(h, HUB_MAGIC);
	pthread_mutex_lock(&h->lock);
	watch_list(h, identity, on);
	while ((p = map_next(&h->principals, &pos)) != NULL) {
		const struct grant *g = atomic_load(&p->grant); /* changes under the lock only */
		if (g != NULL && slice_eq(g->name, identity))
			atomic_store(&p->watched, on);
	}
	pthread_mutex_unlock(&h->lock);
}
