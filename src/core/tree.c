/* tree: see tree.h.  A child is complete before the pointer to it is released; a table that grows
 * is a new table, and the old one is retired. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/tree.h"

enum { KIDS_MIN = 4 };

#define LOAD(p)	      atomic_load_explicit(&(p), memory_order_acquire)
#define PUBLISH(p, v) atomic_store_explicit(&(p), (v), memory_order_release)

/* Where an entry was removed: searches go on, inserts may take it. */
static struct node gone;

static struct node *node_new(struct tree *t, struct node *parent, enum node_kind kind, u32 h,
			     struct slice name)
{
	struct node *n = xcalloc(1, sizeof(*n) + name.n);

	ASSERT(name.n <= UINT16_MAX);
	n->parent = parent;
	n->kind = (u8)kind;
	n->h = h;
	n->len = (u16)name.n;
	if (name.n != 0)
		memcpy(n->name, name.p, name.n);
	t->nodes++;
	return n;
}

static void node_drop(struct retired *r)
{
	struct node *n = CONTAINER_OF(r, struct node, gc);

	free(atomic_load_explicit(&n->kids, memory_order_relaxed));
	free(n);
}

static void kids_drop(struct retired *r)
{
	free(CONTAINER_OF(r, struct kids, gc));
}

void tree_init(struct tree *t, struct epoch *e, const struct hash_key *key)
{
	ASSERT(e != NULL);
	*t = (struct tree){.key = *key, .epoch = e};
	t->root = node_new(t, NULL, NODE_NAME, 0, SLICE_NONE);
}

/* The deepest first child, so that a tree is taken down without recursion. */
static struct node *node_some_child(struct node *n)
{
	struct node *c = LOAD(n->plus);
	struct kids_walk w = node_kids(n);

	if (c == NULL)
		c = LOAD(n->hash);
	return c != NULL ? c : kids_next(&w);
}

static struct node *kids_get(const struct kids *k, u32 h, struct slice name, u32 *at)
{
	for (u32 i = h & k->mask;; i = (i + 1) & k->mask) {
		struct node *c = LOAD(k->slot[i]);
		if (c == NULL)
			return NULL;
		if (c != &gone && c->h == h && c->len == name.n &&
		    memcmp(c->name, name.p, name.n) == 0) {
			*at = i;
			return c;
		}
	}
}

struct node *node_child(const struct node *n, u32 h, struct slice name)
{
	struct kids *k = LOAD(n->kids);
	u32 at;

	return k == NULL ? NULL : kids_get(k, h, name, &at);
}

struct kids_walk node_kids(const struct node *n)
{
	return (struct kids_walk){LOAD(n->kids), 0};
}

struct node *kids_next(struct kids_walk *w)
{
	const struct kids *k = w->kids;

	while (k != NULL && w->pos <= k->mask) {
		struct node *c = LOAD(k->slot[w->pos++]);
		if (c != NULL && c != &gone)
			return c;
	}
	return NULL;
}

void tree_hash(const struct tree *t, const struct path *p, struct path_hash *out)
{
	ASSERT(p->n <= LIM_TOPIC_LEVELS);
	for (u32 i = 0; i < p->n; i++) {
		struct slice l = path_level(p, i);
		out->h[i] = (u32)hash_bytes(&t->key, l.p, l.n);
	}
}

static enum node_kind level_kind(const struct path *p, u32 i)
{
	if (p->hash && i + 1 == p->n)
		return NODE_HASH;
	return p->plus >> i & 1 ? NODE_PLUS : NODE_NAME;
}

static struct node *node_step(const struct node *n, const struct path *p, const struct path_hash *h,
			      u32 i)
{
	ASSERT(i < p->n);
	switch (level_kind(p, i)) {
	case NODE_HASH:
		return LOAD(n->hash);
	case NODE_PLUS:
		return LOAD(n->plus);
	case NODE_NAME:
		break;
	}
	return node_child(n, h->h[i], path_level(p, i));
}

struct node *tree_find(const struct tree *t, const struct path *p, const struct path_hash *h)
{
	struct node *n = t->root;

	ASSERT(p->n > 0);
	ASSERT(p->n <= LIM_TOPIC_LEVELS);
	for (u32 i = 0; i < p->n && n != NULL; i++)
		n = node_step(n, p, h, i);
	return n;
}

static void kids_put(struct kids *k, struct node *c)
{
	u32 i = c->h & k->mask;
	struct node *old;

	ASSERT(c->kind == NODE_NAME);
	ASSERT(k->used <= k->mask); /* there is always an empty place */

	while ((old = LOAD(k->slot[i])) != NULL && old != &gone)
		i = (i + 1) & k->mask;
	k->used += old == NULL;
	PUBLISH(k->slot[i], c);
}

/* A table with room for one more child. */
static struct kids *kids_room(struct tree *t, struct node *n)
{
	struct kids *old = LOAD(n->kids), *k;
	struct kids_walk w = {old, 0};
	u32 cap = KIDS_MIN;
	struct node *c;

	if (old != NULL && old->used + 1 <= (old->mask + 1) / 4 * 3)
		return old;
	while (n->nkids + 1 > cap / 2)
		cap *= 2;
	ASSERT(cap >= KIDS_MIN);
	k = xcalloc(1, sizeof(*k) + cap * sizeof(k->slot[0]));
	k->mask = cap - 1;
	while ((c = kids_next(&w)) != NULL)
		kids_put(k, c);
	ASSERT(k->used == n->nkids);
	PUBLISH(n->kids, k);
	if (old != NULL)
		epoch_retire(t->epoch, &old->gc, kids_drop);
	return k;
}

static struct node *node_add(struct tree *t, struct node *n, const struct path *p,
			     const struct path_hash *h, u32 i)
{
	enum node_kind kind = level_kind(p, i);
	struct node *c = node_new(t, n, kind, kind == NODE_NAME ? h->h[i] : 0,
				  kind == NODE_NAME ? path_level(p, i) : SLICE_NONE);

	switch (kind) {
	case NODE_HASH:
		PUBLISH(n->hash, c);
		break;
	case NODE_PLUS:
		PUBLISH(n->plus, c);
		break;
	case NODE_NAME:
		kids_put(kids_room(t, n), c);
		n->nkids++;
		break;
	}
	return c;
}

struct node *tree_make(struct tree *t, const struct path *p, const struct path_hash *h)
{
	struct node *n = t->root;

	ASSERT(p->n > 0);
	ASSERT(p->n <= LIM_TOPIC_LEVELS);
	for (u32 i = 0; i < p->n; i++) {
		struct node *c = node_step(n, p, h, i);
		n = c != NULL ? c : node_add(t, n, p, h, i);
	}
	return n;
}

static void node_unlink(struct tree *t, struct node *n)
{
	struct node *up = n->parent, *found;
	u32 at = 0;

	ASSERT(t->nodes > 1);
	if (n->kind == NODE_PLUS) {
		PUBLISH(up->plus, NULL);
	} else if (n->kind == NODE_HASH) {
		PUBLISH(up->hash, NULL);
	} else {
		struct kids *k = LOAD(up->kids);
		found = kids_get(k, n->h, slice_of(n->name, n->len), &at);
		ASSERT(found == n);
		PUBLISH(k->slot[at], &gone);
		ASSERT(up->nkids > 0);
		up->nkids--;
	}
	t->nodes--;
}

static bool node_bare(const struct node *n)
{
	return n->nkids == 0 && LOAD(n->plus) == NULL && LOAD(n->hash) == NULL &&
	       LOAD(n->value) == NULL && LOAD(n->extra) == NULL;
}

bool tree_prune_one(struct tree *t, struct node *n)
{
	if (n->parent == NULL || !node_bare(n))
		return false;
	ASSERT(n != t->root);
	node_unlink(t, n);
	epoch_retire(t->epoch, &n->gc, node_drop);
	return true;
}

void tree_prune(struct tree *t, struct node *n)
{
	struct node *up = n->parent;

	ASSERT(n->kind <= NODE_HASH);
	while (tree_prune_one(t, n)) {
		n = up;
		up = n->parent;
	}
}

void tree_free(struct tree *t)
{
	struct node *n = t->root;

	while (n != NULL) {
		struct node *c = node_some_child(n), *up = n->parent;
		if (c != NULL) {
			n = c;
			continue;
		}
		if (up != NULL)
			node_unlink(t, n);
		node_drop(&n->gc);
		n = up;
	}
	t->root = NULL;
}
