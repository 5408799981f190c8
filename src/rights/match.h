/* match: one rule against one topic, one filter, one circumstance.  Internal to rights; every
 * decision in picket about who may what ends here (I12).  No allocation, no recursion; each
 * function looks at each level once. */
#ifndef PICKET_RIGHTS_MATCH_H
#define PICKET_RIGHTS_MATCH_H

#include "rights/block.h"

/* Which numbers of levels the topics under a filter have: bit d for d levels, the top bit for all
 * numbers over LIM_TOPIC_LEVELS.  "a/+" is one bit, "a/#" all bits from 1 on. */
typedef u64 depths;
_Static_assert(LIM_TOPIC_LEVELS < 63, "one bit a number of levels, and one for more");

depths filter_depths(const struct filter *f);

bool rule_matches(const struct policy *p, const struct brule *r, const struct subject *who,
		  const struct topic *t);
/* At which depths does r take in all topics of f?  A filter is a union by depth, and a topic of f
 * whose
 * '+' are names that no rule has shows that nothing less will do: f lies in the union of rules
 * exactly when their covers together have all depths of f. */
depths rule_covers(const struct policy *p, const struct brule *r, const struct subject *who,
		   const struct filter *f);
bool rule_overlaps(const struct policy *p, const struct brule *r, const struct subject *who,
		   const struct filter *f);
/* Is f this very filter?  Another spelling of it is it too: '+/#' means '#', '/+/#' means '/#'. */
bool rule_is(const struct policy *p, const struct brule *r, const struct subject *who,
	     const struct filter *f);

enum moment { AT_SUBSCRIBE, AT_MESSAGE };
/* At AT_SUBSCRIBE nobody knows about retain yet: an allow's condition on it passes, a deny's does
 * not. */
bool rule_applies(const struct policy *p, const struct brule *r, const struct circumstance *how,
		  enum moment when);
/* Level i of a rule against one level of a topic or a filter that is no wildcard. */
bool rule_level_fits(const struct policy *p, const struct brule *r, u32 i,
		     const struct subject *who, struct slice level);

#endif
