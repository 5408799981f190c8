/* topic: topic names and topic filters as types that cannot hold bad ones.
 *
 * A struct topic or struct filter exists only if its parser said E_OK; everything that routes takes
 * these, never raw bytes.  Levels are found once; nothing later scans for '/', recurses, or meets a
 * wildcard in a name.  MQTT 5.0 section 4.7, MQTT 3.1.1 section 4.7. */
#ifndef PICKET_WIRE_TOPIC_H
#define PICKET_WIRE_TOPIC_H

#include "base/err.h"

enum {
	LIM_TOPIC_BYTES = 1024, /* default limit (defaults.md) */
	LIM_TOPIC_LEVELS = 32,
};

/* level_off[i] is where level i begins; level i ends one before level_off[i + 1], which for the
 * last level is s.n + 1. */
struct topic {
	struct slice s;
	u8 nlevel;
	bool dollar; /* the first level begins with '$' */
	u16 level_off[LIM_TOPIC_LEVELS + 1];
};

struct filter {
	struct slice s;	    /* without the $share prefix */
	struct slice share; /* the share name; n == 0: not shared (MQTT 5.0 section 4.8.2) */
	u8 nlevel;	    /* a trailing '#' counts as a level */
	bool hash;	    /* the last level is '#' */
	bool dollar;
	u32 plus_mask; /* bit i: level i is '+' */
	u16 level_off[LIM_TOPIC_LEVELS + 1];
};
_Static_assert(LIM_TOPIC_LEVELS <= 32, "plus_mask has one bit per level");

static inline struct slice topic_level(const struct topic *t, u32 i)
{
	return slice_of(t->s.p + t->level_off[i],
			(size_t)(t->level_off[i + 1] - t->level_off[i] - 1));
}

static inline struct slice filter_level(const struct filter *f, u32 i)
{
	return slice_of(f->s.p + f->level_off[i],
			(size_t)(f->level_off[i + 1] - f->level_off[i] - 1));
}

/* View raw.  E_TOPIC: empty, a wildcard inside, over the limits; E_UTF8: not well-formed. */
enum err topic_parse(struct slice raw, struct topic *out) MUST;
/* View raw.  Takes "$share/NAME/FILTER" apart (E_FILTER when NAME is empty or has a wildcard).
 * E_FILTER: empty, '#' not last, a wildcard that is not a whole level, over the limits; E_UTF8. */
enum err filter_parse(struct slice raw, struct filter *out) MUST;

/* Does the name fall under the filter?  The wildcards in the first level do not match a name that
 * begins with '$' (MQTT-4.7.2-1).  O(levels). */
bool filter_matches(const struct filter *f, const struct topic *t) MUST;

#endif
