/* tree: levels of topics as a tree that any thread reads without a lock while one writer changes
 * it.
 *
 * Used twice: the subscription index (filters; '+' and '#' are children of their own) and the
 * retained messages (topics).  A node carries two published pointers whose meaning is its user's.
 * Children hang in a table under a keyed hash, so names chosen by clients cannot make it slow.
 * Readers are inside an epoch; writers hold the user's lock. */
#ifndef PICKET_CORE_TREE_H
#define PICKET_CORE_TREE_H

#include "base/map.h"
#include "core/epoch.h"
#include "wire/topic.h"

enum node_kind { NODE_NAME, NODE_PLUS, NODE_HASH };

struct kids { /* open addressing; removed entries leave a mark until the table is made anew */
	struct retired gc;
	u32 mask, used; /* used: the writer's; entries and marks */
	_Atomic(struct node *) slot[];
};

struct node {
	struct retired gc;
	struct node *parent;
	_Atomic(struct kids *) kids;
	_Atomic(struct node *) plus, hash;
	_Atomic(void *) value, extra;
	u32 h;
	u32 nkids; /* the writer's: named children */
	u16 len;
	u8 kind;
	u8 name[];
};

struct tree {
	struct hash_key key;
	struct epoch *epoch;
	struct node *root;
	u64 nodes; /* the writer's; the root included */
};

/* A topic or filter as what the tree walks along. */
struct path {
	const u8 *p;
	const u16 *off;
	u8 n;
	bool hash;
	u32 plus;
};

/* Hashes of the levels of a topic or filter, made once and used for every tree. */
struct path_hash {
	u32 h[LIM_TOPIC_LEVELS];
};

static inline struct path path_topic(const struct topic *t)
{
	return (struct path){t->s.p, t->level_off, t->nlevel, false, 0};
}

static inline struct path path_filter(const struct filter *f)
{
	return (struct path){f->s.p, f->level_off, f->nlevel, f->hash, f->plus_mask};
}

static inline struct slice path_level(const struct path *p, u32 i)
{
	return slice_of(p->p + p->off[i], (size_t)(p->off[i + 1] - p->off[i] - 1));
}

void tree_init(struct tree *t, struct epoch *e, const struct hash_key *key);
/* Frees every node; the user's values are gone already.  Nobody reads. */
void tree_free(struct tree *t);
void tree_hash(const struct tree *t, const struct path *p, struct path_hash *out);

/* ---- readers ---- */
struct node *node_child(const struct node *n, u32 h, struct slice name);
/* The node at exactly this path ('+' and '#' meaning themselves), or NULL. */
struct node *tree_find(const struct tree *t, const struct path *p, const struct path_hash *h);
/* Walk named children: begin with w->kids = node_kids(n) and w->pos = 0; NULL at the end.  A walk
 * stays with the table that it began with: those who were there all the time are met once each,
 * whatever the writer does meanwhile. */
struct kids_walk {
	const struct kids *kids;
	u32 pos;
};
struct kids_walk node_kids(const struct node *n);
struct node *kids_next(struct kids_walk *w);

/* ---- the writer ---- */
struct node *tree_make(struct tree *t, const struct path *p, const struct path_hash *h);
/* Take n out if it carries nothing, and its parents likewise. */
void tree_prune(struct tree *t, struct node *n);
/* The same for n alone; true when it went. */
bool tree_prune_one(struct tree *t, struct node *n);

#endif
