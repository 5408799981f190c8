/* call: one request of admin (ipc/calls.h) from its JSON to its answer.
 *
 * A handler reads arguments, checks, opens a change, writes rows, closes it with call_end, and says
 * in four lines what that means.  It runs twice when a chosen password has to be hashed first:
 * nothing may be written before call_password said GO.  Times in replies are wall ms, 0 for never.
 */
#ifndef PICKET_AUTH_CALL_H
#define PICKET_AUTH_CALL_H

#include "auth/change.h"

/* Take a call; it is answered through env->reply, now or later.  Borrows json. */
void call_start(struct auth *a, u64 id, const struct m_call *m, struct slice json);
/* It has waited for all that it had to: answer and forget it. */
void call_answer(struct auth *a, struct call *c);
void calls_free(struct auth *a);
/* Once in a process: JSON in memory is wiped when it is freed. */
void call_json_setup(void);
/* What json_dumps returned. */
void call_json_free(char *text);

/* ---- for handlers --------------------------------------------------------------------- */
/* Refuse, with what happened and why.  text is ours; what others wrote in it must have been escaped
 * (call_arg's names are).  The first refusal stays. */
void call_refuse(struct call *c, enum auth_code code, const char *fmt, ...) PRINTF(3, 4);
/* The store failed, or (E_EXISTS) something is there already. */
void call_failed(struct auth *a, struct call *c, enum err e);

/* An argument; "" (and refused) when it is missing and must be there. */
const char *call_str(struct call *c, const char *key, bool must);
u64 call_num(struct call *c, const char *key, u64 otherwise);
bool call_flag(struct call *c, const char *key);
/* The identity named by "name" or another key; false and refused when there is none. */
bool call_identity(struct auth *a, struct call *c, const char *key, struct identity *out);
/* Was the role of that name read?  Refuses the call where e says that it was not. */
bool call_role_found(struct auth *a, struct call *c, const char *name, enum err e);
/* The roles named by "roles" as numbers; false and refused. */
bool call_roles(struct auth *a, struct call *c, u32 out[static LIM_ROLES], u32 *n);

enum password_step {
	PASSWORD_NONE,
	PASSWORD_GO /* c->hash is it */,
	PASSWORD_WAIT /* return now */
};
enum password_step call_password(struct auth *a, struct call *c, const char *name);

/* The handler runs again in a later turn: a long answer must not hold up logins. */
void call_again(struct auth *a, struct call *c);

bool call_begin(struct auth *a, struct call *c);
/* e: what the writing came to.  Commit, or take back for dry runs and failures; false: refused. */
bool call_end(struct auth *a, struct call *c, enum err e);
/* The four parts of a mutating answer; NULL leaves one out. */
void call_say(struct call *c, const char *changed, const char *effect, const char *undo,
	      const char *next);
void call_set(struct call *c, const char *key, json_t *value); /* takes value */

json_t *identity_json(struct auth *a, const struct identity *i);

typedef void call_fn(struct auth *a, struct call *c);
call_fn op_identity_add, op_identity_list, op_identity_show, op_identity_rotate,
	op_identity_password, op_identity_revoke, op_identity_restore, op_identity_remove,
	op_identity_roles, op_identity_local, op_role_list, op_role_show, op_role_set,
	op_role_allow, op_role_deny, op_role_remove, op_policy_export, op_policy_check,
	op_policy_apply, op_policy_confirm, op_policy_rollback, op_explain, op_status;
/* The handler of an operation; NULL.  needs_admin is filled from the table. */
call_fn *call_handler(const char *op, bool *needs_admin);

#endif
