/* sources: sets of eight slots; the slot that matters least makes room.  See sources.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "guard/sources.h"

_Static_assert((LIM_SOURCES & (LIM_SOURCES - 1)) == 0, "a mask picks the set");
_Static_assert(LIM_SOURCES % LIM_SOURCE_WAYS == 0, "sets are whole");

struct sources *sources_new(const struct hash_key *key)
{
	struct sources *s = xcalloc(1, sizeof(*s));

	s->key = *key;
	return s;
}

void sources_free(struct sources **s)
{
	free(*s);
	*s = NULL;
}

/* IPv4 counts whole, IPv6 by its first 64 bits, which is what one subscriber has. */
static u64 tag_of(const struct sources *s, const u8 addr[16])
{
	static const u8 mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool v4 = memcmp(addr, mapped, sizeof(mapped)) == 0;

	return hash_bytes(&s->key, addr, v4 ? 16 : 8) | 1;
}

static struct source *set_of(struct sources *s, u64 tag)
{
	return &s->slot[(tag >> 8) & (LIM_SOURCES - 1) & ~(u64)(LIM_SOURCE_WAYS - 1)];
}

static struct source *source_find(struct sources *s, const u8 addr[16])
{
	u64 tag = tag_of(s, addr);
	struct source *set = set_of(s, tag);

	for (u32 i = 0; i < LIM_SOURCE_WAYS; i++) {
		if (set[i].tag == tag)
			return &set[i];
	}
	return NULL;
}

/* Lower goes first: free slots, then what was used longest ago; a source that is being refused
 * outlasts one that is not, since forgetting it would free it.  What holds connections stays. */
static u64 worth(const struct source *e, u64 now_ms)
{
	if (e->tag == 0)
		return 0;
	if (e->connections != 0)
		return UINT64_MAX;
	return e->used_ms + (e->refused_until_ms > now_ms ? UINT64_MAX / 2 : 1);
}

/* The slot of addr, made if need be; NULL: its set is full of sources with connections. */
static struct source *source_get(struct sources *s, const u8 addr[16], u64 now_ms)
{
	u64 tag = tag_of(s, addr);
	struct source *set = set_of(s, tag), *least = set, *e = source_find(s, addr);

	if (e == NULL) {
		for (u32 i = 1; i < LIM_SOURCE_WAYS; i++) {
			if (worth(&set[i], now_ms) < worth(least, now_ms))
				least = &set[i];
		}
		if (worth(least, now_ms) == UINT64_MAX)
			return NULL;
		s->known += least->tag == 0;
		*least = (struct source){.tag = tag};
		e = least;
	}
	e->used_ms = now_ms;
	return e;
}

/* Shards share the table, and their clocks differ by a turn: what is ahead of us is now. */
static u64 since(u64 then_ms, u64 now_ms)
{
	return now_ms - MIN(then_ms, now_ms);
}

static bool is_good(const struct source *e, u64 now_ms)
{
	return e->good_ms != 0 && since(e->good_ms, now_ms) < LIM_GOOD_FOR;
}

enum err sources_admit(struct sources *s, const u8 addr[16], const struct source_limits *l,
		       u64 now_ms)
{
	struct source *e = source_get(s, addr, now_ms);

	if (e == NULL)
		return E_OK;
	if (now_ms < e->refused_until_ms && l->failures != UINT32_MAX && !is_good(e, now_ms))
		return E_BANNED;
	if (e->connections >= l->connections || e->waiting >= l->waiting)
		return E_QUOTA;
	if (!bucket_take(&e->connects, l->rate, l->burst, now_ms))
		return E_RATE;
	e->connections++;
	e->waiting++;
	return E_OK;
}

void sources_login(struct sources *s, const u8 addr[16], u64 now_ms)
{
	struct source *e = source_find(s, addr);

	if (e == NULL)
		return;
	e->waiting -= MIN(e->waiting, 1u);
	e->good_ms = MAX(now_ms, 1u);
}

bool sources_failed(struct sources *s, const u8 addr[16], const struct source_limits *l, u64 now_ms)
{
	struct source *e = source_get(s, addr, now_ms);

	if (e == NULL || l->failures == UINT32_MAX)
		return false;
	if (since(e->window_ms, now_ms) >= LIM_FAILURE_WINDOW) {
		e->window_ms = now_ms;
		e->failures = 0;
	}
	/* A source that behaved for as long as the longest penalty begins anew. */
	if (now_ms > e->refused_until_ms + LIM_PENALTY_MAX)
		e->penalty_ms = 0;
	if (++e->failures < l->failures)
		return false;
	e->failures = 0;
	e->penalty_ms = e->penalty_ms == 0 ? (u32)LIM_PENALTY_FIRST
					   : MIN(e->penalty_ms * 2, (u32)LIM_PENALTY_MAX);
	e->refused_until_ms = now_ms + e->penalty_ms;
	return !is_good(e, now_ms);
}

void sources_released(struct sources *s, const u8 addr[16], bool was_waiting)
{
	struct source *e = source_find(s, addr);

	/* One that was not counted may be released against one that was: never below zero. */
	if (e == NULL)
		return;
	e->connections -= MIN(e->connections, 1u);
	if (was_waiting)
		e->waiting -= MIN(e->waiting, 1u);
}

bool sources_may_log(struct sources *s, const u8 addr[16], u64 now_ms, u32 *left_out)
{
	struct source *e = source_get(s, addr, now_ms);

	*left_out = 0;
	if (e == NULL)
		return true;
	if (!bucket_take(&e->lines, LIM_LOG_RATE, LIM_LOG_BURST, now_ms)) {
		e->lines_left_out += e->lines_left_out < UINT32_MAX;
		return false;
	}
	*left_out = e->lines_left_out;
	e->lines_left_out = 0;
	return true;
}
