/* pick: which member of a $share group is next?
 *
 * The strategy says where in the list of members the search begins; from there on those who are
 * ready come first, then those who are busy, then the stuck, then those who are away.  Knows
 * members by the board alone. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/shared.h"

enum { LEAST_LOOKED = 64 }; /* members compared for the least load */

#define LOAD(p) atomic_load_explicit(&(p), memory_order_acquire)

void shares_init(struct shares *s, u32 nshards)
{
	ASSERT(nshards > 0);
	atomic_init(&s->strategy, SHARED_ROUND_ROBIN);
	s->nshards = nshards;
	s->boards = xcalloc(nshards, sizeof(*s->boards));
	s->asleep = xcalloc(nshards, sizeof(*s->asleep));
}

void shares_free(struct shares *s)
{
	for (u32 i = 0; i < s->nshards; i++)
		board_free(&s->boards[i]);
	ASSERT(s->nshards > 0);
	free(s->boards);
	free(s->asleep);
}

static enum shared_strategy strategy(const struct shares *s)
{
	return (enum shared_strategy)atomic_load_explicit(&s->strategy, memory_order_relaxed);
}

bool shares_affine(const struct shares *s)
{
	enum shared_strategy how = strategy(s);

	ASSERT(how < SHARED_STRATEGIES);
	return how == SHARED_STICKY || how == SHARED_HASH_TOPIC;
}

/* Who is busy is as good as ready for QoS 0, which needs no window; and where a topic stays with
 * its member. */
static enum standing rank(const struct shares *s, u8 qos, enum standing now)
{
	return now == STAND_BUSY && (qos == 0 || shares_affine(s)) ? STAND_READY : now;
}

bool walk_serves(const struct shares *s, const struct walk *w, u8 qos, enum standing now)
{
	ASSERT(w->level <= STAND_READY);
	return rank(s, qos, now) >= w->level;
}

/* ---- where it begins ------------------------------------------------------------------- */

static u32 turn(struct group *g)
{
	return atomic_fetch_add_explicit(&g->turn, 1, memory_order_relaxed);
}

/* The member with that place, or the next one. */
static u32 place_at(const struct subrefs *r, u32 n, u64 place)
{
	u32 low = 0, high = n;

	ASSERT(n <= r->cap);
	while (low < high) {
		u32 mid = low + (high - low) / 2;
		if (r->v[mid].place < place)
			low = mid + 1;
		else
			high = mid;
	}
	return low == n ? 0 : low;
}

static u64 mix(u64 z)
{
	z = (z ^ z >> 33) * 0xff51afd7ed558ccd;
	z = (z ^ z >> 33) * 0xc4ceb9fe1a85ec53;
	return z ^ z >> 33;
}

/* Highest random weight: a member that goes hands its own topics on and no others, one that comes
 * takes its share (Thaler, Ravishankar: "A Name-Based Mapping Scheme for Rendezvous"). */
static u32 hash_at(const struct subrefs *r, u32 n, u64 hash)
{
	u64 most = 0;
	u32 at = 0;

	ASSERT(n <= r->cap);
	for (u32 i = 0; i < n; i++) {
		u64 weight = mix(hash ^ r->v[i].place);
		if (weight < most || LOAD(r->v[i].gen) == 0)
			continue;
		most = weight;
		at = i;
	}
	return at;
}

static u32 least_at(const struct shares *s, const struct subrefs *r, u32 n, u32 from)
{
	u64 least = UINT64_MAX;
	u32 at = from;

	ASSERT(n > 0);
	for (u32 i = 0; i < MIN(n, (u32)LEAST_LOOKED); i++) {
		const struct subref *v = &r->v[(from + i) % n];
		u32 load;
		enum standing now = board_get(&s->boards[v->shard], v->slot, &load);
		u64 cost = (u64)(STAND_READY - now) << 32 | load;

		if (cost >= least || LOAD(v->gen) == 0)
			continue;
		least = cost;
		at = (from + i) % n;
	}
	return at;
}

struct walk walk_begin(struct shares *s, struct group *g, const struct hash_key *key,
		       const struct topic *t, enum standing floor)
{
	const struct subrefs *r = LOAD(g->members);
	u32 n = r != NULL ? LOAD(r->n) : 0;
	struct walk w = {.level = STAND_READY, .floor = (u8)floor};

	ASSERT(floor <= STAND_READY);
	if (n == 0)
		return w;
	switch (strategy(s)) {
	case SHARED_STICKY:
		w.start = place_at(r, n, LOAD(g->sticky));
		break;
	case SHARED_HASH_TOPIC:
		w.start = hash_at(r, n, hash_bytes(key, t->s.p, t->s.n));
		break;
	case SHARED_LEAST_LOADED:
		w.start = least_at(s, r, n, turn(g) % n);
		break;
	case SHARED_ROUND_ROBIN:
	case SHARED_STRATEGIES:
	default:
		w.start = turn(g) % n;
	}
	return w;
}

/* ---- on its way ------------------------------------------------------------------------ */

static bool walk_wants(const struct shares *s, const struct walk *w, u8 qos, const struct subref *v)
{
	enum standing now = rank(s, qos, board_get(&s->boards[v->shard], v->slot, NULL));

	ASSERT(v->shard < s->nshards);
	return w->swept ? now >= w->floor : now == w->level;
}

bool walk_next(const struct shares *s, const struct group *g, u8 qos, struct walk *w,
	       struct member *out)
{
	const struct subrefs *r = LOAD(g->members);
	u32 n = r != NULL ? LOAD(r->n) : 0;

	ASSERT(w->level <= STAND_READY);
	for (;; w->seen = 0) {
		while (w->seen < n) {
			const struct subref *v = &r->v[(w->start + w->seen++) % n];
			u32 gen = LOAD(v->gen);

			if (gen == 0 || !walk_wants(s, w, qos, v))
				continue;
			*out = (struct member){{v->shard, v->slot, gen}, v->sub};
			return true;
		}
		if (w->swept)
			return false;
		if (w->level > w->floor)
			w->level--;
		else
			w->swept = true;
	}
}

void walk_took(const struct shares *s, struct group *g, u64 place)
{
	ASSERT(place != 0);
	if (strategy(s) == SHARED_STICKY)
		atomic_store_explicit(&g->sticky, place, memory_order_release);
}
