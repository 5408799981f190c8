/* change: every change of rights, from the transaction to the confirmation of every shard (I11).
 *
 *   change_begin; rows are changed; change_identity / change_policy say whose rights; change_commit
 *
 * Commit makes it durable, puts the new policy in force here, then tells broker; each item has a
 * generation of its own, and a call that waits for them is answered when broker has confirmed all.
 */
#ifndef PICKET_AUTH_CHANGE_H
#define PICKET_AUTH_CHANGE_H

#include "auth/state.h"

enum err change_begin(struct auth *a, struct change *c) MUST;
/* Rights or status of this identity change in this transaction. */
enum err change_identity(struct auth *a, struct change *c, u64 identity) MUST;
/* For what the broker is to tell apart from before this change: higher than in any change that was,
 * at least 1, less than 2^31. */
u32 change_serial(const struct auth *a, const struct change *c);
void change_policy(struct change *c);
/* E_OK: durable and on its way; call (may be NULL) waits for it.  On an error nothing was changed.
 */
enum err change_commit(struct auth *a, struct change *c, struct call *call) MUST;
void change_abort(struct auth *a, struct change *c);

/* A link to broker is there: tell it the policy, then what it may have missed. */
void change_linked(struct auth *a);
void change_confirmed(struct auth *a, u64 generation);
/* Send what may be sent. */
void change_pump(struct auth *a);
void change_pump_again(struct timer *t); /* a->pump_timer fires */
/* The call does not wait any longer (it is answered). */
void change_forget(struct auth *a, struct call *call);
void change_free(struct auth *a);
/* The highest generation up to which broker has confirmed everything. */
u64 change_confirmed_upto(const struct auth *a);

#endif
