/* pages: walk the trees of an LMDB file with a stack of our own and every number checked.
 *
 * Owns its buffers; borrows the descriptor. */
#include "store/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum {
	PAGE_MIN = 512,
	PAGE_MAX = 65536,
	HEADER = 16, /* of a page */
	NODE_HEADER = 8,
	DEPTH_MAX = 24, /* at two children a page that is more than any disk holds */
	DB_SIZE = 48,
	META_DBS = 24, /* offsets in a meta page, behind the header */
	META_LAST = META_DBS + 2 * DB_SIZE,
	META_TXN = META_LAST + 8,
	META_SIZE = META_TXN + 8,
};
enum { F_BRANCH = 1, F_LEAF = 2, F_OVERFLOW = 4, F_META = 8 };
enum { NODE_BIG = 1, NODE_DB = 2, NODE_DUP = 4 };
#define META_MAGIC   0xbeefc0deu
#define META_VERSION 1u
#define NO_PAGE	     UINT64_MAX

struct tree_at { /* one page on the way down */
	u8 *page;
	u32 n, next;		/* entries; the one that comes next */
	struct slice low, high; /* what its keys lie between: [low, high); high.p == NULL: no end */
};

struct pages {
	int fd;
	u32 size;
	u64 count, txn; /* pages of the file */
	u64 main_root;
	u8 *free; /* a bit a page: nothing is on it that counts */
	u8 *seen; /* a bit a page: this walk was there, or it is free */
	u8 *buf;  /* DEPTH_MAX pages */
	u8 *big;  /* a value of several pages */
	size_t big_cap;
	struct pages_damage damage;
};

typedef bool entry_cb(void *arg, struct slice key, struct slice value);

/* ---- numbers in pages ------------------------------------------------------------------------
 */
static u64 le(const u8 *p, u32 n)
{
	u64 v = 0;

	ASSERT(n <= 8);
	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

static bool seen(struct pages *p, u64 at)
{
	u8 bit = (u8)(1u << at % 8);
	bool was;

	ASSERT(at < p->count);
	was = (p->seen[at / 8] & bit) != 0;
	p->seen[at / 8] |= bit;
	return was;
}

static enum err read_at(int fd, u8 *out, size_t n, u64 offset)
{
	ASSERT(offset <= INT64_MAX);
	while (n > 0) {
		ssize_t got = pread(fd, out, n, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? E_IO : E_SHORT;
		out += got;
		offset += (u64)got;
		n -= (size_t)got;
	}
	return E_OK;
}

/* ---- the meta pages --------------------------------------------------------------------------
 */
struct meta {
	u32 size;
	u64 txn, main_root, free_root;
};

/* Transaction n writes meta page n % 2, so a number that was damaged as a rule shows. */
static bool meta_parse(const u8 *page, u32 which, struct meta *m)
{
	const u8 *b = page + HEADER, *dbs = b + META_DBS;

	ASSERT(which < 2);
	*m = (struct meta){.size = (u32)le(dbs, 4),
			   .txn = le(b + META_TXN, 8),
			   .free_root = le(dbs + DB_SIZE - 8, 8),
			   .main_root = le(dbs + 2 * DB_SIZE - 8, 8)};
	return le(page, 8) == which && (le(page + 10, 2) & F_META) != 0 && le(b, 4) == META_MAGIC &&
	       le(b + 4, 4) == META_VERSION && m->size >= PAGE_MIN && m->size <= PAGE_MAX &&
	       (m->size & (m->size - 1)) == 0 && m->txn % 2 == which;
}

/* The second meta page stands one page behind the first, whose size only a meta page tells: every
 * possible size is tried. */
static bool meta_second(int fd, struct meta *m)
{
	u8 b[HEADER + META_SIZE];

	for (u32 size = PAGE_MIN; size <= PAGE_MAX; size *= 2) {
		if (read_at(fd, b, sizeof(b), size) == E_OK && meta_parse(b, 1, m) &&
		    m->size == size)
			return true;
	}
	return false;
}

static enum err meta_newest(int fd, struct meta *m)
{
	u8 b[HEADER + META_SIZE];
	struct meta first, second;
	bool have_first, have_second;
	enum err e = read_at(fd, b, sizeof(b), 0);

	if (e != E_OK)
		return e == E_IO ? e : E_CORRUPT;
	have_first = meta_parse(b, 0, &first);
	have_second = meta_second(fd, &second);
	if (!have_first && !have_second)
		return E_CORRUPT;
	*m = !have_first || (have_second && second.txn > first.txn) ? second : first;
	return E_OK;
}

/* ---- one page --------------------------------------------------------------------------------
 */
static u32 page_entries(const u8 *page)
{
	return (u32)(le(page + 12, 2) - HEADER) / 2;
}

/* Is it the page that it is taken for, and do its bounds make sense? */
static bool page_ok(const struct pages *p, const u8 *page, u64 at)
{
	u64 flags = le(page + 10, 2), lower = le(page + 12, 2), upper = le(page + 14, 2);

	return le(page, 8) == at && (flags == F_BRANCH || flags == F_LEAF) && lower >= HEADER &&
	       lower % 2 == 0 && lower <= upper && upper <= p->size && page_entries(page) > 0;
}

struct node {
	u32 flags;
	u64 size;  /* of a leaf's value */
	u64 child; /* of a branch */
	struct slice key, here /* what is in the page behind the key */;
};

static bool node_parse(const struct pages *p, const u8 *page, u32 i, struct node *n)
{
	u64 at = le(page + HEADER + 2 * i, 2), room;
	u64 key;

	ASSERT(i < page_entries(page));
	if (at < le(page + 14, 2) || at + NODE_HEADER > p->size)
		return false;
	room = p->size - at - NODE_HEADER;
	key = le(page + at + 6, 2);
	if (key > room)
		return false;
	n->flags = (u32)le(page + at + 4, 2);
	n->size = le(page + at, 4);
	n->child = n->size | (u64)n->flags << 32;
	n->key = slice_of(page + at + NODE_HEADER, key);
	n->here = slice_of(page + at + NODE_HEADER + key, room - key);
	return true;
}

static enum err big_reserve(struct pages *p, u64 n)
{
	u8 *more;

	if (n <= p->big_cap)
		return E_OK;
	more = realloc(p->big, n);
	if (more == NULL)
		return E_NOMEM;
	p->big = more;
	p->big_cap = n;
	return E_OK;
}

/* A value on pages of its own: a run of them, of which the first says how many there are. */
static bool big_value(struct pages *p, const struct node *n, struct slice *value)
{
	u8 header[HEADER];
	u64 at, run = (HEADER + n->size + p->size - 1) / p->size;

	if (n->here.n < 8)
		return false;
	at = le(n->here.p, 8);
	if (at < 2 || at >= p->count || run > p->count - at)
		return false;
	if (read_at(p->fd, header, sizeof(header), at * p->size) != E_OK || le(header, 8) != at ||
	    le(header + 10, 2) != F_OVERFLOW || le(header + 12, 4) != run)
		return false;
	for (u64 i = 0; i < run; i++) {
		if (seen(p, at + i))
			return false;
	}
	if (big_reserve(p, n->size) != E_OK ||
	    read_at(p->fd, p->big, n->size, at * p->size + HEADER) != E_OK)
		return false;
	*value = slice_of(p->big, n->size);
	return true;
}

static bool leaf_value(struct pages *p, const struct node *n, struct slice *value)
{
	if ((n->flags & ~(u32)(NODE_BIG | NODE_DB)) != 0)
		return false;
	if ((n->flags & NODE_BIG) != 0)
		return big_value(p, n, value);
	if (n->size > n->here.n)
		return false;
	*value = slice_of(n->here.p, n->size);
	return true;
}

/* ---- a tree ----------------------------------------------------------------------------------
 */
static int key_compare(struct slice a, struct slice b)
{
	size_t n = MIN(a.n, b.n);
	int d = n != 0 ? memcmp(a.p, b.p, n) : 0;

	return d != 0 ? d : (a.n > b.n) - (a.n < b.n);
}

static bool key_between(const struct tree_at *t, struct slice key)
{
	return key_compare(key, t->low) >= 0 &&
	       (t->high.p == NULL || key_compare(key, t->high) < 0);
}

static bool page_enter(struct pages *p, struct tree_at *t, u64 at)
{
	if (at < 2 || at >= p->count || seen(p, at) ||
	    read_at(p->fd, t->page, p->size, at * p->size) != E_OK || !page_ok(p, t->page, at))
		return false;
	t->n = page_entries(t->page);
	t->next = 0;
	return true;
}

/* What the keys below entry i lie between.  The first key of a branch is not looked at by LMDB and
 * may be anything. */
static bool child_bounds(const struct pages *p, const struct tree_at *t, u32 i,
			 struct tree_at *child)
{
	struct node n;

	child->low = t->low;
	child->high = t->high;
	if (i > 0 && node_parse(p, t->page, i, &n))
		child->low = n.key;
	if (i + 1 >= t->n)
		return true;
	if (!node_parse(p, t->page, i + 1, &n))
		return false;
	child->high = n.key;
	return true;
}

/* The stack of one walk. */
struct walk {
	struct pages *p;
	struct tree_at at[DEPTH_MAX];
	u32 depth;
	bool ordered; /* keys are compared as bytes */
	u64 entries;  /* found so far */
	entry_cb *cb;
	void *arg;
};

static void walk_down(struct walk *w, u64 page)
{
	struct tree_at *t = &w->at[w->depth];

	t->page = w->p->buf + (size_t)w->depth * w->p->size;
	if (page_enter(w->p, t, page))
		w->depth++;
	else
		w->p->damage.pages++;
}

static void walk_branch(struct walk *w, struct tree_at *t, u32 i)
{
	struct tree_at *child = &w->at[w->depth];
	struct node n;

	if (w->depth == DEPTH_MAX || !node_parse(w->p, t->page, i, &n)) {
		w->p->damage.pages++;
		return;
	}
	/* A neighbour whose key is damaged is no reason to lose this one. */
	if (!child_bounds(w->p, t, i, child))
		child->high = t->high;
	walk_down(w, n.child);
}

static bool walk_leaf(struct walk *w, struct tree_at *t, u32 i)
{
	struct slice value;
	struct node n;

	if (!node_parse(w->p, t->page, i, &n) || (w->ordered && !key_between(t, n.key)) ||
	    !leaf_value(w->p, &n, &value)) {
		w->p->damage.nodes++;
		return true;
	}
	w->entries++;
	return w->cb(w->arg, n.key, value);
}

/* Returns how many entries were found, or UINT64_MAX when it was stopped. */
static u64 tree_walk(struct pages *p, u64 root, bool ordered, entry_cb *cb, void *arg)
{
	struct walk w = {.p = p, .ordered = ordered, .cb = cb, .arg = arg};

	if (root == NO_PAGE) /* nothing is stored */
		return 0;
	memcpy(p->seen, p->free, p->count / 8 + 1);
	walk_down(&w, root);
	while (w.depth > 0) {
		struct tree_at *t = &w.at[w.depth - 1];
		u32 i = t->next++;
		if (i == t->n)
			w.depth--;
		else if (le(t->page + 10, 2) == F_BRANCH)
			walk_branch(&w, t, i);
		else if (!walk_leaf(&w, t, i))
			return UINT64_MAX;
	}
	return w.entries;
}

/* ---- the file --------------------------------------------------------------------------------
 */
/* What is free holds what was deleted; a damaged number must not lead there. */
static bool free_entry(void *arg, struct slice key, struct slice value)
{
	struct pages *p = arg;
	u64 n = value.n >= 8 ? MIN(le(value.p, 8), (value.n - 8) / 8) : 0;

	(void)key;
	for (u64 i = 0; i < n; i++) {
		u64 at = le(value.p + 8 + 8 * i, 8);
		if (at >= 2 && at < p->count)
			p->free[at / 8] |= (u8)(1u << at % 8);
	}
	return true;
}

static enum err pages_init(struct pages *p, const struct meta *m, u64 bytes)
{
	p->size = m->size;
	p->txn = m->txn;
	p->main_root = m->main_root;
	p->count = bytes / m->size;
	p->free = calloc(p->count / 8 + 1, 1);
	p->seen = calloc(p->count / 8 + 1, 1);
	p->buf = malloc((size_t)DEPTH_MAX * m->size);
	if (p->free == NULL || p->seen == NULL || p->buf == NULL)
		return E_NOMEM;
	tree_walk(p, m->free_root, false, free_entry, p);
	return E_OK;
}

enum err pages_open(struct pages **out, int fd)
{
	struct pages *p;
	struct meta m;
	struct stat st;
	enum err e;

	*out = NULL;
	if (fstat(fd, &st) != 0 || st.st_size < 0)
		return E_IO;
	e = meta_newest(fd, &m);
	if (e != E_OK)
		return e;
	p = xcalloc(1, sizeof(*p));
	p->fd = fd;
	e = pages_init(p, &m, (u64)st.st_size);
	if (e == E_OK)
		*out = p;
	else
		pages_close(&p);
	return e;
}

void pages_close(struct pages **pp)
{
	struct pages *p = *pp;

	*pp = NULL;
	ASSERT(p != NULL);
	free(p->free);
	free(p->seen);
	free(p->buf);
	free(p->big);
	free(p);
}

struct find {
	struct slice name;
	u64 root, entries;
	bool found;
};

static bool find_entry(void *arg, struct slice key, struct slice value)
{
	struct find *f = arg;

	if (!slice_eq(key, f->name) || value.n != DB_SIZE)
		return true;
	f->entries = le(value.p + DB_SIZE - 16, 8);
	f->root = le(value.p + DB_SIZE - 8, 8);
	f->found = true;
	return false;
}

enum err pages_walk(struct pages *p, struct slice name, entry_cb *cb, void *arg)
{
	struct find f = {.name = name};
	struct pages_damage before = p->damage;
	u64 n;

	ASSERT(name.n > 0);
	tree_walk(p, p->main_root, true, find_entry, &f);
	if (!f.found)
		return E_NOT_FOUND;
	p->damage = before;
	n = tree_walk(p, f.root, true, cb, arg);
	if (n < f.entries)
		p->damage.lost += f.entries - n;
	return E_OK;
}

struct pages_damage pages_damage(const struct pages *p)
{
	return p->damage;
}

u64 pages_txn(const struct pages *p)
{
	return p->txn;
}
