/* oracle: what rights mean, decided by brute force and without a line of src/rights.
 *
 * Random policies over a small alphabet; each change is a version.  A question is asked of a range
 * of versions, since a message may have been judged at any moment between two that the simulator
 * knows. */
#ifndef PICKET_SIM_ORACLE_H
#define PICKET_SIM_ORACLE_H

#include "world.h"

enum { O_ROLES = 4, O_RULES = 6, O_IDENTITIES = 12, O_TEXT = 40, O_VERSIONS = 65536 };
enum { O_PUBLISH, O_SUBSCRIBE };

struct rule {
	bool allow;
	u8 action;
	char filter[O_TEXT];
};

struct rights_now {
	struct rule rule[O_ROLES][O_RULES];
	u32 nrules[O_ROLES];
	struct rule deny; /* of everyone */
	bool has_deny;
	u8 roles_of[O_IDENTITIES]; /* bits */
	bool active[O_IDENTITIES];
};

struct oracle {
	struct world *w;
	u32 version; /* of now */
	struct rights_now *at[O_VERSIONS];
};

void oracle_start(struct oracle *o, struct world *w);
void oracle_end(struct oracle *o);
/* Each makes a new version and tells the world. */
void oracle_new_policy(struct oracle *o);
void oracle_new_roles(struct oracle *o, u32 identity);
void oracle_set_active(struct oracle *o, u32 identity, bool active);
static inline bool oracle_active(const struct oracle *o, u32 identity)
{
	return o->at[o->version]->active[identity];
}
/* Was it allowed in any (in all) of the versions from..now? */
bool oracle_any(const struct oracle *o, u32 from, u32 identity, u32 action, const char *topic);
bool oracle_all(const struct oracle *o, u32 from, u32 identity, u32 action, const char *topic);

bool naive_matches(const char *filter, const char *topic);
void random_topic(struct world *w, char out[O_TEXT]);
void random_filter(struct world *w, char out[O_TEXT], bool placeholders);

#endif
