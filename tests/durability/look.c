/* look: opens a store and turns everything in it into keys. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/load.h"
#include "look.h"
#include "store/store.h"

enum { KEYS_FEW = 64, READ_MESSAGES = 4096, READ_BYTES = 64 << 20 };
#define MAP_BYTES (1ull << 30)

/* ---- sets of numbers ------------------------------------------------------------------ */
static size_t keys_find(const struct keys *k, uint64_t key)
{
	size_t i = key & (k->cap - 1);

	while (k->slot[i] != 0 && k->slot[i] != key)
		i = (i + 1) & (k->cap - 1);
	return i;
}

static void keys_grow(struct keys *k)
{
	struct keys old = *k;

	k->cap = KEYS_FEW;
	while (k->cap < old.n * 4)
		k->cap *= 2;
	k->slot = calloc(k->cap, sizeof(*k->slot));
	k->gone = 0;
	if (k->slot == NULL)
		abort();
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slot[i] > 1)
			k->slot[keys_find(k, old.slot[i])] = old.slot[i];
	}
	free(old.slot);
}

void keys_add(struct keys *k, uint64_t key)
{
	size_t i;

	if ((k->n + k->gone + 1) * 2 > k->cap)
		keys_grow(k);
	i = keys_find(k, key);
	k->n += k->slot[i] == 0;
	k->slot[i] = key;
}

bool keys_has(const struct keys *k, uint64_t key)
{
	return k->cap != 0 && k->slot[keys_find(k, key)] == key;
}

bool keys_remove(struct keys *k, uint64_t key)
{
	if (!keys_has(k, key))
		return false;
	k->slot[keys_find(k, key)] = 1;
	k->n--;
	k->gone++;
	return true;
}

void keys_clear(struct keys *k)
{
	if (k->n + k->gone != 0)
		memset(k->slot, 0, k->cap * sizeof(*k->slot));
	k->n = k->gone = 0;
}

size_t keys_next(const struct keys *k, size_t from)
{
	while (from < k->cap && k->slot[from] <= 1)
		from++;
	return from < k->cap ? from : KEYS_END;
}

uint64_t keys_at(const struct keys *k, size_t i)
{
	return k->slot[i];
}

/* ---- keys ---------------------------------------------------------------------------- */
struct name {
	uint64_t sid;
	char client[32];
};

static uint64_t fnv(uint64_t x, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		x = (x ^ b[i]) * 0x100000001b3ull;
	return x;
}

uint64_t look_key(const char *text)
{
	return fnv(0xcbf29ce484222325ull, text, strlen(text));
}

/* kind, a space, and the rest. */
static void found(struct look *l, char kind, const char *a, size_t n, const char *rest)
{
	char head[2] = {kind, ' '};
	uint64_t x = fnv(0xcbf29ce484222325ull, head, 2);

	x = fnv(x, a, n);
	keys_add(&l->found, fnv(x, rest, strlen(rest)));
}

static int name_order(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return x->sid < y->sid ? -1 : x->sid > y->sid;
}

static struct name *name_of(struct look *l, uint64_t sid)
{
	struct name want = {.sid = sid};
	struct name *n = l->nnames == 0
				 ? NULL
				 : bsearch(&want, l->name, l->nnames, sizeof(*l->name), name_order);

	l->bad += n == NULL;
	return n;
}

/* ---- what is in it --------------------------------------------------------------------- */
static bool on_session(void *arg, const struct store_session *x)
{
	struct look *l = arg;
	struct name *n;

	if (l->nnames == l->cap_names) {
		l->cap_names = l->cap_names * 2 + 64;
		l->name = realloc(l->name, l->cap_names * sizeof(*l->name));
		if (l->name == NULL)
			abort();
	}
	n = &l->name[l->nnames++];
	*n = (struct name){.sid = x->sid};
	snprintf(n->client, sizeof(n->client), "%.*s", (int)x->client_id.n,
		 (const char *)x->client_id.p);
	found(l, 'S', n->client, strlen(n->client), "");
	return true;
}

static bool on_sub(void *arg, const struct store_sub *x)
{
	struct look *l = arg;
	struct name *n = name_of(l, x->sid);
	char rest[128];

	snprintf(rest, sizeof(rest), " %.*s", (int)x->filter.n, (const char *)x->filter.p);
	if (n != NULL)
		found(l, 'F', n->client, strlen(n->client), rest);
	return true;
}

static bool on_pid(void *arg, u64 sid, u16 pid)
{
	struct look *l = arg;
	struct name *n = name_of(l, sid);
	char rest[16];

	snprintf(rest, sizeof(rest), " %u", pid);
	if (n != NULL)
		found(l, 'P', n->client, strlen(n->client), rest);
	return true;
}

/* " publisher number" of a payload; false: nobody can have sent it. */
static bool message_name(const struct store_msg *m, char *out, size_t cap)
{
	struct packet p = {.topic = m->topic.p,
			   .topic_n = m->topic.n,
			   .payload = m->payload.p,
			   .n = m->payload.n};
	u32 publisher, seq;

	if (m->payload.n == 0) {
		snprintf(out, cap, " -");
		return true;
	}
	if (!payload_check(&p, &publisher, &seq))
		return false;
	snprintf(out, cap, " %u %u", publisher, seq);
	return true;
}

static bool on_retained(void *arg, const struct store_retained *x)
{
	struct look *l = arg;
	char rest[32];

	if (!message_name(&x->m, rest, sizeof(rest))) {
		l->bad++;
		return true;
	}
	found(l, 'T', (const char *)x->m.topic.p, x->m.topic.n, "");
	found(l, 'V', (const char *)x->m.topic.p, x->m.topic.n, rest);
	return true;
}

static void on_queued(struct look *l, struct name *n, const struct store_queued *q)
{
	u32 pid = look_pid(q->seq);
	char name[32], rest[48];

	if (q->state == SQ_RELEASED) {
		snprintf(rest, sizeof(rest), " %u", pid);
		found(l, 'R', n->client, strlen(n->client), rest);
	} else if (message_name(&q->m, name, sizeof(name))) {
		found(l, 'Q', n->client, strlen(n->client), name);
		snprintf(rest, sizeof(rest), " %u%s", pid, name);
		found(l, 'D', n->client, strlen(n->client), rest);
	} else {
		l->bad++;
	}
}

struct reading {
	struct look *look;
	struct name *name;
	u64 after;
	bool end;
};

static void on_read(void *arg, const struct store_op *op, const struct store_read *r)
{
	struct reading *x = arg;

	x->look->bad += r->damaged;
	for (u32 i = 0; i < r->n; i++) {
		on_queued(x->look, x->name, &r->queued[i]);
		x->after = r->queued[i].seq;
	}
	x->end = r->end || r->n == 0;
}

static bool queue_read(struct look *l, struct store *s, struct name *n)
{
	struct reading x = {.look = l, .name = n};
	struct store_sink sink = {&x, on_read};

	while (!x.end) {
		struct store_op op = {.kind = SO_READ,
				      .sid = n->sid,
				      .seq = x.after,
				      .count = READ_MESSAGES,
				      .bytes = READ_BYTES};
		const struct store_op *list = &op;
		x.end = true;
		if (store_commit(s, &list, 1, 1, 1, &sink) != E_OK)
			return false;
	}
	return true;
}

static bool look_inside(struct look *l, struct store *s)
{
	u64 damaged = 0;
	bool good = store_each_session(s, on_session, l, &damaged) == E_OK;

	if (l->nnames != 0)
		qsort(l->name, l->nnames, sizeof(*l->name), name_order);
	good = good && store_each_sub(s, on_sub, l, &damaged) == E_OK &&
	       store_each_pid(s, on_pid, l) == E_OK &&
	       store_each_retained(s, on_retained, l, &damaged) == E_OK;
	for (size_t i = 0; good && i < l->nnames; i++)
		good = queue_read(l, s, &l->name[i]);
	l->bad += damaged;
	return good;
}

bool look_start(struct look *l, const char *dir)
{
	snprintf(l->dir, sizeof(l->dir), "%s", dir);
	l->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return l->dir_fd >= 0;
}

bool look(struct look *l)
{
	struct store_options o = {.dir_fd = l->dir_fd,
				  .path = l->dir,
				  .map_bytes = MAP_BYTES,
				  .wall_ms = 1,
				  .mono_ms = 1};
	struct store *s = NULL;
	bool good;

	keys_clear(&l->found);
	l->bad = 0;
	l->nnames = 0;
	snprintf(l->text, sizeof(l->text), "unreadable");
	if (store_open(&s, &o, l->text, sizeof(l->text)) != E_OK)
		return false;
	good = look_inside(l, s);
	store_close(&s);
	return good;
}
