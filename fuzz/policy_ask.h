/* policy_ask: every kind of question to an opened policy; shared by the fuzz targets policy and
 * policy_block. */
#ifndef PICKET_FUZZ_POLICY_ASK_H
#define PICKET_FUZZ_POLICY_ASK_H

#include "rights/rights.h"

static const char *const questions[] = {"a",	  "a/b/c", "home/esp01/tele/x", "#", "+/b", "a/#",
					"$SYS/x", "/",	   "x/hub-1/y"};

/* A damaged block may contradict itself; only what it says twice over must agree. */
enum block_state { BLOCK_MADE, BLOCK_DAMAGED };

static inline void ask_one(const struct policy *p, enum block_state state,
			   const struct subject *who, const struct circumstance *how,
			   struct slice raw)
{
	enum verdict verdict = DENY;
	struct explanation why;
	struct filter f;
	struct topic t;
	bool clear = false;

	rights_explain(p, who, ACT_PUBLISH, raw, how, &why);
	if (topic_parse(raw, &t) == E_OK) {
		verdict = rights_publish(p, who, &t, how);
		ASSERT(verdict == why.verdict);
		verdict = rights_deliver(p, who, &t, how);
	}
	if (filter_parse(raw, &f) != E_OK)
		return;
	rights_explain(p, who, ACT_SUBSCRIBE, raw, how, &why);
	ASSERT(rights_subscribe(p, who, &f, how, &clear) == why.verdict);
	ASSERT(!clear || why.verdict == ALLOW);
	/* A filter without wildcards that is clear is one topic, which may be delivered. */
	if (state == BLOCK_MADE && clear && !f.hash && f.plus_mask == 0 && f.share.n == 0)
		ASSERT(verdict == ALLOW);
}

static inline void ask_all(const struct policy *p, enum block_state state, const u32 *roles,
			   u32 nroles)
{
	const struct subject_claim claim = {SLICE_LIT("site"), SLICE_LIT("b")};
	struct subject who = {
		.device = SLICE_LIT("esp01"),
		.client_id = SLICE_LIT("hub-1"),
		.username = SLICE_LIT("a"),
		.cert_cn = SLICE_LIT("+"),
		.roles = roles,
		.nroles = nroles,
		.claims = &claim,
		.nclaims = 1,
	};
	struct circumstance how = {.listener = SLICE_LIT("mqtts"), .addr = {[15] = 1}};
	struct role_limits limits;

	for (u32 i = 0; i < ARRAY_LEN(questions); i++) {
		how.qos = (u8)(i % 3);
		how.retain = i % 2;
		how.tls = i % 4 > 1;
		ask_one(p, state, &who, &how, slice_str(questions[i]));
	}
	policy_limits(p, roles, nroles, how.addr, &limits);
}

#endif
