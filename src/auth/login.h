/* login: a LOGIN of broker is read, held back until auth can decide, and given to the chain.
 *
 * Owns what waits at start, and the notes of who was here, which are written together. */
#ifndef PICKET_AUTH_LOGIN_H
#define PICKET_AUTH_LOGIN_H

#include "auth/state.h"

/* m and tail are borrowed.  Answers at once, later, or (malformed) with a refusal; never nothing.
 */
void login_request(struct auth *a, u64 id, const struct m_login *m, struct slice tail);
/* Keys and store are there: answer what waited. */
void login_release(struct auth *a);
bool login_ready(const struct auth *a);
/* It came in, by that credential; person: the source, of a chosen password, or NULL. */
void login_seen(struct auth *a, const struct identity *i, u32 credential, const u8 *person);
/* Write what was seen since; call before somebody asks, and at the end. */
void login_seen_flush(struct auth *a);
void login_seen_timer(struct timer *t);
void login_free(struct auth *a);

/* The configuration of that number; NULL when it is too old or not here yet. */
const struct conf *login_conf(const struct auth *a, u64 generation);
/* c is in force from now on; what was before is kept for a while. */
void login_conf_set(struct auth *a, const struct conf *c, u64 generation);

#endif
