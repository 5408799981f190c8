/* login: from a LOGIN of broker to its VERDICT: the chain of authenticators.
 *
 * A generated secret is tried first (a keyed hash, a microsecond); what is not one is a chosen
 * password where the listener takes them, and goes to the hasher, for a name that does not exist as
 * for one that does. Whatever the reason of a refusal, the same functions run for a known and an
 * unknown name (I20, I31). */
#ifndef PICKET_AUTH_LOGIN_H
#define PICKET_AUTH_LOGIN_H

#include "auth/state.h"

/* m and tail are borrowed.  Answers at once, later, or (malformed) with a refusal; never nothing.
 */
void login_request(struct auth *a, u64 id, const struct m_login *m, struct slice tail);
/* Keys and store are there: answer what waited. */
void login_release(struct auth *a);
bool login_ready(const struct auth *a);
/* Write what was seen since; call before somebody asks, and at the end. */
void login_seen_flush(struct auth *a);
void login_seen_timer(struct timer *t);
void login_free(struct auth *a);

/* The configuration of that number; NULL when it is too old or not here yet. */
const struct conf *login_conf(const struct auth *a, u64 generation);
/* c is in force from now on; what was before is kept for a while. */
void login_conf_set(struct auth *a, const struct conf *c, u64 generation);

#endif
