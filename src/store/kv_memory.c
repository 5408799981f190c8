/* kv_memory: skip lists, and a log of what a transaction replaced, from which abort puts it back.
 * Readers look at the same lists: nothing may be written while they do. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/kv.h"

#define KV_MEMORY_MAGIC 0x6b766d65u
enum { LIST_LEVELS = 16 };

struct node {
	u64 a, b;
	u8 *value; /* owned */
	size_t n;
	u8 levels;
	struct node *next[];
};

struct list {
	struct node *head[LIST_LEVELS];
	u64 n;
};

/* A record as it was before: value NULL and gone false: there was none. */
struct undo {
	enum kv_db db;
	u64 a, b;
	u8 *value;
	size_t n;
	bool was;
};

struct kv_txn {
	struct memory *m;
	bool writes, moved[KV_DBS] /* the cursor stands where the next record is */;
	struct node *at[KV_DBS];
};

struct memory {
	struct kv kv;
	u32 magic;
	u64 seed;
	bool full;
	struct list db[KV_DBS];
	struct kv_txn writer;
	u32 readers;
	struct undo *undo;
	size_t n, cap;
};

static bool node_before(const struct node *x, u64 a, u64 b)
{
	return x->a < a || (x->a == a && x->b < b);
}

/* The links that lead to the first node at or behind the numbers. */
static struct node *list_find(struct list *l, u64 a, u64 b, struct node **path[LIST_LEVELS])
{
	struct node **links = l->head;

	for (int level = LIST_LEVELS - 1; level >= 0; level--) {
		while (links[level] != NULL && node_before(links[level], a, b))
			links = links[level]->next;
		path[level] = &links[level];
	}
	return links[0];
}

static struct node *list_at(struct list *l, u64 a, u64 b)
{
	struct node **path[LIST_LEVELS];

	return list_find(l, a, b, path);
}

static u8 random_levels(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (u8)(1 + MIN(__builtin_ctzll(*seed | 1ull << 62) / 2, LIST_LEVELS - 1));
}

static struct node *list_add(struct list *l, u64 a, u64 b, u64 *seed)
{
	struct node **path[LIST_LEVELS], *x = list_find(l, a, b, path);
	u8 levels = random_levels(seed);

	ASSERT(levels <= LIST_LEVELS);
	if (x != NULL && x->a == a && x->b == b)
		return x;
	x = xcalloc(1, sizeof(*x) + levels * sizeof(x->next[0]));
	x->a = a;
	x->b = b;
	x->levels = levels;
	for (u8 i = 0; i < levels; i++) {
		x->next[i] = *path[i];
		*path[i] = x;
	}
	l->n++;
	return x;
}

/* Its value has been taken. */
static void list_remove(struct list *l, struct node *x)
{
	struct node **path[LIST_LEVELS];

	if (list_find(l, x->a, x->b, path) != x)
		UNREACHABLE("a node that is not in its list");
	ASSERT(l->n > 0);
	for (u8 i = 0; i < x->levels; i++)
		*path[i] = x->next[i];
	l->n--;
	free(x);
}

static void list_free(struct list *l)
{
	while (l->head[0] != NULL) {
		struct node *x = l->head[0];

		ASSERT(l->n == 0 || l->head[0] != NULL);
		free(x->value);
		l->head[0] = x->next[0];
		free(x);
	}
	*l = (struct list){.n = 0};
}

static struct memory *memory_of(struct kv *kv)
{
	struct memory *m = CONTAINER_OF(kv, struct memory, kv);

	OBJ_CHECK(m, KV_MEMORY_MAGIC);
	return m;
}

static void undo_push(struct memory *m, struct undo u)
{
	if (m->n == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 64;
		m->undo = xrealloc(m->undo, m->cap * sizeof(*m->undo));
	}
	ASSERT(m->n < m->cap);
	m->undo[m->n++] = u;
}

static enum err memory_begin(struct kv *kv, enum kv_mode mode, struct kv_txn **out)
{
	struct memory *m = memory_of(kv);
	struct kv_txn *t;

	ASSERT(!m->writer.writes);
	if (mode == KV_WRITE) {
		ASSERT(m->readers == 0);
		m->writer = (struct kv_txn){.m = m, .writes = true};
		*out = &m->writer;
		return E_OK;
	}
	t = xcalloc(1, sizeof(*t));
	t->m = m;
	m->readers++;
	*out = t;
	return E_OK;
}

static enum err memory_commit(struct kv_txn **tp)
{
	struct kv_txn *t = *tp;
	struct memory *m = t->m;

	*tp = NULL;
	ASSERT(t->writes);
	while (m->n > 0)
		free(m->undo[--m->n].value);
	t->writes = false;
	return E_OK;
}

static void memory_abort(struct kv_txn **tp)
{
	struct kv_txn *t = *tp;
	struct memory *m;

	*tp = NULL;
	if (t == NULL)
		return;
	if (!t->writes) {
		ASSERT(t->m->readers > 0);
		t->m->readers--;
		free(t);
		return;
	}
	for (m = t->m; m->n > 0;) {
		struct undo *u = &m->undo[--m->n];
		struct node *x = list_add(&m->db[u->db], u->a, u->b, &m->seed);

		free(x->value);
		x->value = u->value;
		x->n = u->n;
		if (!u->was)
			list_remove(&m->db[u->db], x);
	}
	t->writes = false;
}

static enum err cursor_item(struct kv_txn *t, enum kv_db db, struct node *x, struct kv_item *out)
{
	ASSERT(x == NULL || x->levels > 0);
	t->at[db] = x;
	t->moved[db] = false;
	if (x == NULL)
		return E_NOT_FOUND;
	*out = (struct kv_item){x->a, x->b, slice_of(x->value, x->n)};
	return E_OK;
}

static enum err memory_seek(struct kv_txn *t, enum kv_db db, u64 a, u64 b, struct kv_item *out)
{
	ASSERT(db < KV_DBS);
	ASSERT(b == 0 || kv_pair(db));
	return cursor_item(t, db, list_at(&t->m->db[db], a, b), out);
}

static enum err memory_get(struct kv_txn *t, enum kv_db db, u64 a, u64 b, struct slice *out)
{
	struct kv_item it;

	if (memory_seek(t, db, a, b, &it) != E_OK || it.a != a || it.b != b)
		return E_NOT_FOUND;
	*out = it.value;
	return E_OK;
}

static enum err memory_next(struct kv_txn *t, enum kv_db db, struct kv_item *out)
{
	struct node *x = t->at[db];

	ASSERT(db < KV_DBS);
	return cursor_item(t, db, x == NULL || t->moved[db] ? x : x->next[0], out);
}

static enum err memory_reserve(struct kv_txn *t, enum kv_db db, u64 a, u64 b, enum kv_put how,
			       size_t n, u8 **out)
{
	struct list *l = &t->m->db[db];
	u64 before = l->n;
	struct node *x;

	ASSERT(t->writes);
	x = list_add(l, a, b, &t->m->seed);
	t->at[db] = x;
	t->moved[db] = false;
	if (how == KV_NEW && l->n == before)
		return E_EXISTS;
	undo_push(t->m, (struct undo){db, a, b, x->value, x->n, l->n == before});
	x->value = *out = xmalloc(MAX(n, 1u));
	x->n = n;
	return E_OK;
}

static enum err memory_del(struct kv_txn *t, enum kv_db db)
{
	struct node *x = t->at[db];

	ASSERT(t->writes);
	ASSERT(x != NULL && !t->moved[db]);
	undo_push(t->m, (struct undo){db, x->a, x->b, x->value, x->n, true});
	t->at[db] = x->next[0];
	t->moved[db] = true;
	list_remove(&t->m->db[db], x);
	return E_OK;
}

static bool memory_full(struct kv *kv, u64 mono_ms)
{
	return memory_of(kv)->full;
}

static enum err memory_size(struct kv *kv, struct kv_size *out)
{
	const struct memory *m = memory_of(kv);

	*out = (struct kv_size){.map_bytes = UINT64_MAX};
	for (u32 i = 0; i < KV_DBS; i++)
		out->records[i] = m->db[i].n;
	return E_OK;
}

static enum err memory_copy(struct kv *kv, int fd)
{
	ASSERT(memory_of(kv) != NULL);
	return E_STATE; /* there is no file */
}

static void memory_close(struct kv **kv)
{
	struct memory *m = memory_of(*kv);

	*kv = NULL;
	ASSERT(!m->writer.writes);
	for (u32 i = 0; i < KV_DBS; i++)
		list_free(&m->db[i]);
	free(m->undo);
	m->magic = 0;
	free(m);
}

static const struct kv_class memory_class = {
	.begin = memory_begin,
	.commit = memory_commit,
	.abort = memory_abort,
	.get = memory_get,
	.seek = memory_seek,
	.next = memory_next,
	.reserve = memory_reserve,
	.del = memory_del,
	.full = memory_full,
	.size = memory_size,
	.copy = memory_copy,
	.close = memory_close,
};

struct kv *kv_memory(void)
{
	struct memory *m = xcalloc(1, sizeof(*m));

	m->kv.class = &memory_class;
	m->magic = KV_MEMORY_MAGIC;
	m->seed = 0x9e3779b97f4a7c15;
	return &m->kv;
}

void kv_memory_full(struct kv *kv, bool full)
{
	memory_of(kv)->full = full;
}
