/* map: linear probing, at most three quarters full, deletion by shifting back (no tombstones), so a
 * table stays as fast after a million deletes as when new. */
#include <endian.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

enum { MAP_CAP_MIN = 16 };

struct sip {
	u64 a, b, c, d;
};

static inline u64 rotl(u64 v, unsigned n)
{
	return v << n | v >> (64 - n);
}

/* Inlined by order: a level of a topic is a word or two, and calling costs as much as the round. */
ALWAYS_INLINE static inline void sip_round(struct sip *s)
{
	s->a += s->b;
	s->b = rotl(s->b, 13) ^ s->a;
	s->a = rotl(s->a, 32);
	s->c += s->d;
	s->d = rotl(s->d, 16) ^ s->c;
	s->a += s->d;
	s->d = rotl(s->d, 21) ^ s->a;
	s->c += s->b;
	s->b = rotl(s->b, 17) ^ s->c;
	s->c = rotl(s->c, 32);
}

ALWAYS_INLINE static inline void sip_word(struct sip *s, u64 m)
{
	s->d ^= m;
	sip_round(s);
	s->a ^= m;
}

/* The last n % 8 bytes, in two or three loads that may overlap; little endian. */
static inline u64 sip_tail(const u8 *b, size_t n)
{
	size_t k = n % 8;
	u32 low, high;
	u64 m;

	if (k == 0)
		return 0;
	if (n >= 8) {
		memcpy(&m, b + n - 8, 8);
		return le64toh(m) >> (8 * (8 - k));
	}
	if (k >= 4) {
		memcpy(&low, b, 4);
		memcpy(&high, b + k - 4, 4);
		return le32toh(low) | (u64)le32toh(high) << (8 * (k - 4));
	}
	return b[0] | (u64)b[k / 2] << (8 * (k / 2)) | (u64)b[k - 1] << (8 * (k - 1));
}

u64 hash_bytes(const struct hash_key *k, const void *p, size_t n)
{
	struct sip s = {k->k0 ^ 0x736f6d6570736575, k->k1 ^ 0x646f72616e646f6d,
			k->k0 ^ 0x6c7967656e657261, k->k1 ^ 0x7465646279746573};
	const u8 *b = p;
	size_t i;
	u64 m;

	for (i = 0; n - i >= 8; i += 8) {
		memcpy(&m, b + i, 8);
		sip_word(&s, le64toh(m));
	}
	sip_word(&s, sip_tail(b, n) | (u64)n << 56);
	s.c ^= 0xff;
	for (i = 0; i < 3; i++)
		sip_round(&s);
	return s.a ^ s.b ^ s.c ^ s.d;
}

void map_init(struct map *m, const struct hash_key *key)
{
	*m = (struct map){.key = *key};
}

void map_free(struct map *m)
{
	free(m->slots);
	m->slots = NULL;
	m->cap = m->n = 0;
}

/* The slot that holds key, or the empty one where it would go.  There always is an empty one. */
static size_t map_find(const struct map *m, u64 hash, struct slice key)
{
	size_t i = hash & (m->cap - 1);

	ASSERT(m->n < m->cap);
	while (m->slots[i].value != NULL &&
	       !(m->slots[i].hash == hash && slice_eq(m->slots[i].key, key)))
		i = (i + 1) & (m->cap - 1);
	return i;
}

static void map_grow(struct map *m)
{
	struct map_slot *old = m->slots;
	size_t old_cap = m->cap;

	ASSERT(old_cap <= SIZE_MAX / 2);
	m->cap = old_cap ? old_cap * 2 : MAP_CAP_MIN;
	m->slots = xcalloc(m->cap, sizeof(*m->slots));
	for (size_t i = 0; i < old_cap; i++) {
		if (old[i].value != NULL)
			m->slots[map_find(m, old[i].hash, old[i].key)] = old[i];
	}
	free(old);
}

void *map_get(const struct map *m, struct slice key)
{
	if (m->n == 0)
		return NULL;
	return m->slots[map_find(m, hash_bytes(&m->key, key.p, key.n), key)].value;
}

void *map_put(struct map *m, struct slice key, void *value)
{
	u64 hash = hash_bytes(&m->key, key.p, key.n);
	struct map_slot *s;
	void *old;

	ASSERT(value != NULL);
	if (m->n >= m->cap / 4 * 3)
		map_grow(m);
	s = &m->slots[map_find(m, hash, key)];
	old = s->value;
	*s = (struct map_slot){hash, key, value};
	m->n += old == NULL;
	return old;
}

/* Close the gap at i: each slot that follows without a break moves back unless that would put it
 * before its home. */
static void map_close_gap(struct map *m, size_t i)
{
	size_t mask = m->cap - 1;

	for (size_t j = (i + 1) & mask; m->slots[j].value != NULL; j = (j + 1) & mask) {
		size_t from_home = (j - m->slots[j].hash) & mask;
		if (from_home < ((j - i) & mask))
			continue;
		m->slots[i] = m->slots[j];
		i = j;
	}
	m->slots[i] = (struct map_slot){.value = NULL};
}

void *map_del(struct map *m, struct slice key)
{
	size_t i;
	void *old;

	if (m->n == 0)
		return NULL;
	i = map_find(m, hash_bytes(&m->key, key.p, key.n), key);
	old = m->slots[i].value;
	if (old == NULL)
		return NULL;
	map_close_gap(m, i);
	m->n--;
	return old;
}

void *map_next(const struct map *m, size_t *pos)
{
	while (*pos < m->cap) {
		void *value = m->slots[(*pos)++].value;
		if (value != NULL)
			return value;
	}
	return NULL;
}
