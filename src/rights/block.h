/* block: how a compiled policy lies in memory.  Internal to rights.
 *
 * One block: this header, then the arrays in the order of the fields, then the text pool; no gaps,
 * no pointers, native byte order (it is read on the machine that wrote it).  policy_open checks
 * every number once; match and eval trust them afterwards. */
#ifndef PICKET_RIGHTS_BLOCK_H
#define PICKET_RIGHTS_BLOCK_H

#include "rights/rights.h"

#define POLICY_BLOCK_MAGIC 0x3270636b74706f6cull /* the version is in it */

struct range { /* of an array, or of the text pool */
	u32 at, n;
};

struct policy {
	u64 magic;
	u64 generation;
	u32 size; /* of the whole block */
	u32 roles_at, nroles;
	u32 rules_at, nrules;
	u32 conds_at, nconds;
	u32 levels_at, nlevels;
	u32 parts_at, nparts;
	u32 nets_at, nnets;
	u32 text_at, ntext;
	struct range everyone[2]; /* denies outside roles, by enum action */
	u32 zero;
};

struct brole { /* by id, ascending */
	u32 id;
	struct range name;
	struct range deny[2], allow[2]; /* of rules, by enum action */
	struct range nets;		/* where it holds; none: everywhere */
	u32 publish_rate, publish_burst, packet_bytes, inflight;
	u32 queue_messages, queue_bytes, retained, subscriptions;
	u32 all_none;
};

enum { RULE_HASH = 1, RULE_EXACT = 2, RULE_DENY = 4, RULE_FLAGS = 7 };
enum { NO_COND = UINT32_MAX };

struct brule {
	u32 levels_at; /* its levels, without the last '#' */
	u8 nlevel;
	u8 flags;
	u8 prefix_levels; /* this many first levels are literal and stand, with their '/', in prefix
			   */
	u8 zero;
	u32 cond; /* or NO_COND */
	struct range prefix, text;
};

struct bcond {
	u8 has; /* of enum cond_bit (doc.h) */
	u8 qos_min, qos_max;
	u8 retain, tls;
	u8 prefix;
	u8 zero[2];
	u8 addr[16];
	struct range listener;
};

enum { LEVEL_LITERAL, LEVEL_HOLDER, LEVEL_PLUS };

struct blevel {
	u32 parts_at; /* one or more parts; none for '+' */
	u16 nparts;
	u8 kind;
	u8 zero;
};

struct bpart {
	u32 kind; /* enum part_kind */
	struct range text;
};

struct bnet { /* a role's: the allowed ones first */
	u8 addr[16];
	u8 prefix, deny;
	u8 zero[2];
};

/* The arrays of an opened policy. */
static inline const void *policy_at(const struct policy *p, u32 at)
{
	return (const u8 *)p + at;
}

static inline const struct brole *policy_roles(const struct policy *p)
{
	return policy_at(p, p->roles_at);
}

static inline const struct brule *policy_rules(const struct policy *p)
{
	return policy_at(p, p->rules_at);
}

static inline const struct bcond *policy_conds(const struct policy *p)
{
	return policy_at(p, p->conds_at);
}

static inline const struct blevel *policy_levels(const struct policy *p)
{
	return policy_at(p, p->levels_at);
}

static inline const struct bpart *policy_parts(const struct policy *p)
{
	return policy_at(p, p->parts_at);
}

static inline const struct bnet *policy_nets(const struct policy *p)
{
	return policy_at(p, p->nets_at);
}

static inline struct slice policy_text(const struct policy *p, struct range r)
{
	return slice_of((const u8 *)p + p->text_at + r.at, r.n);
}

const struct brole *policy_role(const struct policy *p, u32 id);
/* Does this role hold for who comes from addr?  What it denies is denied everywhere. */
bool policy_role_here(const struct policy *p, const struct brole *r, const u8 addr[16]);

#endif
