/* eval: the decisions with their reasons; rights_* give the verdict, explain the rest.  Internal to
 * rights. */
#ifndef PICKET_RIGHTS_EVAL_H
#define PICKET_RIGHTS_EVAL_H

#include "rights/match.h"

/* The rule that decided and its role; both NULL when none did, role NULL for a deny outside roles.
 */
struct reason {
	const struct brule *rule;
	const struct brole *role;
};

enum verdict decide_topic(const struct policy *p, const struct subject *who, enum action act,
			  const struct topic *t, const struct circumstance *how,
			  struct reason *why);
enum verdict decide_filter(const struct policy *p, const struct subject *who,
			   const struct filter *f, const struct circumstance *how, bool *clear,
			   struct reason *why);

#endif
