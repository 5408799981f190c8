/* table: linear probing, at most half full, deletion by shifting back. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/table.h"

enum { TABLE_FIRST = 64, TABLE_KEPT = 16384 };

static inline size_t table_home(const struct table *t, u64 a, u64 b)
{
	u64 h = (a ^ (b << 32 | b >> 32)) * 0x9e3779b97f4a7c15;

	h = (h ^ h >> 29 ^ b) * 0xbf58476d1ce4e5b9;
	h = (h ^ h >> 32) * 0x94d049bb133111eb;
	return (size_t)(h ^ h >> 31) & (t->cap - 1);
}

/* The slot of the key, or the empty one where it would go. */
static size_t table_find(const struct table *t, u64 a, u64 b)
{
	size_t i = table_home(t, a, b);

	ASSERT(t->n < t->cap);
	while (t->slots[i].value != 0 && (t->slots[i].a != a || t->slots[i].b != b))
		i = (i + 1) & (t->cap - 1);
	return i;
}

void table_free(struct table *t)
{
	ASSERT(t->n <= t->cap);
	free(t->slots);
	*t = (struct table){.slots = NULL};
}

void table_clear(struct table *t)
{
	ASSERT(t->n <= t->cap);
	if (t->n == 0)
		return;
	if (t->cap > TABLE_KEPT) {
		table_free(t);
		return;
	}
	memset(t->slots, 0, t->cap * sizeof(*t->slots));
	t->n = 0;
}

static void table_grow(struct table *t)
{
	struct table old = *t;

	ASSERT(old.cap <= SIZE_MAX / 4);
	t->cap = old.cap ? old.cap * 2 : TABLE_FIRST;
	t->slots = xcalloc(t->cap, sizeof(*t->slots));
	for (size_t i = 0; i < old.cap; i++) {
		const struct table_slot *s = &old.slots[i];

		if (s->value != 0)
			t->slots[table_find(t, s->a, s->b)] = *s;
	}
	free(old.slots);
}

u64 table_get(const struct table *t, u64 a, u64 b)
{
	ASSERT(t->n <= t->cap);
	return t->n == 0 ? 0 : t->slots[table_find(t, a, b)].value;
}

void table_put(struct table *t, u64 a, u64 b, u64 value)
{
	struct table_slot *s;

	ASSERT(value != 0);
	if (t->n >= t->cap / 2)
		table_grow(t);
	s = &t->slots[table_find(t, a, b)];
	t->n += s->value == 0;
	*s = (struct table_slot){a, b, value};
}

void table_del(struct table *t, u64 a, u64 b)
{
	size_t mask = t->cap - 1, i;

	if (t->n == 0)
		return;
	i = table_find(t, a, b);
	if (t->slots[i].value == 0)
		return;
	for (size_t j = (i + 1) & mask; t->slots[j].value != 0; j = (j + 1) & mask) {
		size_t home = table_home(t, t->slots[j].a, t->slots[j].b);

		if (((j - home) & mask) < ((j - i) & mask))
			continue;
		t->slots[i] = t->slots[j];
		i = j;
	}
	t->slots[i].value = 0;
	ASSERT(t->n > 0);
	t->n--;
}
