/* by_peer: a user of this machine, as the kernel named it when the connection was accepted at a
 * unix socket.  No secret: what a user id is worth is the machine's affair.  Who shows a secret
 * wants to be judged by it, and is left to others. */
#include "auth/chain.h"

enum answer by_peer(struct auth *a, struct login *l)
{
	enum err e;

	OBJ_CHECK(l, LOGIN_MAGIC);
	if (!l->local || l->password.n != 0 || l->uid == UID_UNKNOWN)
		return ANSWER_NOT_MINE;
	e = identity_by_uid(a->db, l->uid, &l->who);
	if (e == E_NOT_FOUND)
		return ANSWER_NOT_MINE;
	/* Who names himself may not be somebody else. */
	if (e == E_OK && l->username.n != 0 && !slice_eq(l->username, slice_str(l->who.name)))
		e = E_CREDENTIAL;
	if (e != E_OK) {
		l->why = e;
		return ANSWER_DENY;
	}
	l->by = (struct credential){.number = VERDICT_LOCAL | l->who.uid_serial};
	return ANSWER_ALLOW;
}
