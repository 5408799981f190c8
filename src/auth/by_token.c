/* by_token: a secret that picket generated, stored as a keyed hash.  A microsecond, whoever asks.
 */
#include "auth/chain.h"

/* Look through all slots whatever is in them: the time does not tell how many there are.  For a
 * name that does not exist i->id is 0, which has no credentials. */
static bool token_find(struct auth *a, const struct identity *i, struct slice password,
		       struct credential *found)
{
	u8 want[TOKEN_HASH], none[TOKEN_HASH] = {0};
	struct credential c = {0};
	bool hit = false;
	enum err e = E_OK;

	token_hash(a->token_key, password, want);
	for (u32 slot = 0; slot < LIM_TOKENS; slot++) {
		bool live;
		do {
			e = credential_after(a->db, i->id, c.number, &c);
			live = e == E_OK && c.type == CRED_TOKEN && c.state == CRED_ACTIVE &&
			       c.hash_len == TOKEN_HASH;
		} while (e == E_OK && !live);
		if (mem_eq_const(want, live ? (const u8 *)c.hash : none, TOKEN_HASH) && live) {
			*found = c;
			hit = true;
		}
	}
	mem_wipe(want, sizeof(want));
	return hit;
}

enum answer by_token(struct auth *a, struct login *l)
{
	OBJ_CHECK(l, LOGIN_MAGIC);
	if (l->username.n == 0 || l->password.n == 0)
		return ANSWER_NOT_MINE;
	if (!token_find(a, &l->named, l->password, &l->by))
		return ANSWER_NOT_MINE;
	l->who = l->named;
	return ANSWER_ALLOW;
}
