/* throttle: guessing against one name.  See throttle.h. */
#include "auth/throttle.h"

_Static_assert((THROTTLE_SLOTS & (THROTTLE_SLOTS - 1)) == 0, "a mask picks the slot");
_Static_assert(THROTTLE_SLOTS % THROTTLE_WAYS == 0, "sets are whole");

void throttle_init(struct throttle *t, const struct hash_key *key)
{
	memset(t, 0, sizeof(*t));
	t->key = *key;
}

static u64 tag_of(const struct throttle *t, struct slice name)
{
	return hash_bytes(&t->key, name.p, name.n) | 1;
}

static size_t set_of(u64 tag)
{
	return (size_t)(tag >> 8) & (THROTTLE_SLOTS - 1) & ~(size_t)(THROTTLE_WAYS - 1);
}

static const struct throttle_slot *slot_find(const struct throttle *t, u64 tag)
{
	const struct throttle_slot *s = &t->slot[set_of(tag)];

	for (u32 i = 0; i < THROTTLE_WAYS; i++) {
		if (s[i].tag == tag)
			return &s[i];
	}
	return NULL;
}

/* The slot of the name, or the one of its set that matters least. */
static struct throttle_slot *slot_take(struct throttle *t, u64 tag)
{
	struct throttle_slot *s = &t->slot[set_of(tag)], *least = s;

	for (u32 i = 0; i < THROTTLE_WAYS; i++) {
		if (s[i].tag == tag)
			return &s[i];
		if (MAX(s[i].until_ms, s[i].window_ms) < MAX(least->until_ms, least->window_ms))
			least = &s[i];
	}
	*least = (struct throttle_slot){.tag = tag};
	return least;
}

bool throttle_open(const struct throttle *t, struct slice name, u64 now_ms)
{
	const struct throttle_slot *s = slot_find(t, tag_of(t, name));

	return s == NULL || s->until_ms <= now_ms;
}

void throttle_failed(struct throttle *t, struct slice name, u64 most, u64 now_ms)
{
	struct throttle_slot *s = slot_take(t, tag_of(t, name));

	if (now_ms - MIN(now_ms, s->window_ms) > THROTTLE_WINDOW_MS) {
		/* Calm for twice the last wait: begin with the short one again. */
		if (now_ms > s->until_ms + 2 * s->length_ms)
			s->length_ms = 0;
		s->window_ms = now_ms;
		s->failures = 0;
	}
	if (++s->failures < most)
		return;
	s->failures = 0;
	s->window_ms = now_ms;
	s->length_ms = s->length_ms == 0 ? (u64)THROTTLE_FIRST_MS
					 : MIN(2 * s->length_ms, (u64)THROTTLE_MOST_MS);
	s->until_ms = now_ms + s->length_ms;
}

void throttle_succeeded(struct throttle *t, struct slice name)
{
	u64 tag = tag_of(t, name);

	/* A wait that runs goes on: the owner's login must not give a guesser new tries. */
	if (slot_find(t, tag) != NULL)
		slot_take(t, tag)->failures = 0;
}
