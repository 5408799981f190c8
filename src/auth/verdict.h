/* verdict: what auth tells broker about an identity, and which client ids are its own (I10). */
#ifndef PICKET_AUTH_VERDICT_H
#define PICKET_AUTH_VERDICT_H

#include "auth/state.h"
#include "base/wr.h"

/* The tail of IDENTITY: name, group, client id pattern, roles. */
void verdict_rights(struct wr *w, const struct identity *i);

/* Does this client id belong to the identity?  An empty one does: broker makes one that fits.
 * i->client_id is a literal or a prefix ending in '*'; empty is the default of the kind
 * (messages.h). */
bool client_id_fits(const struct identity *i, struct slice client_id) MUST;
/* May this be a pattern? */
bool client_id_pattern_ok(struct slice pattern) MUST;

struct login;
/* Allow: who it is, by which credential (0: none), until when. */
void verdict_allow(struct auth *a, u64 login_id, const struct identity *i, u32 credential,
		   u64 expires_ms);
/* Deny.  why is for broker's log; only E_BUSY and E_UNAVAILABLE look different from outside. */
void verdict_deny(struct auth *a, u64 login_id, enum err why);

#endif
