/* stored: the rights of those who own stored sessions and messages, asked for by broker after its
 * start. */
#ifndef PICKET_AUTH_STORED_H
#define PICKET_AUTH_STORED_H

#include "auth/state.h"

/* A RIGHTS_ASK: answered at once, in as many RIGHTS as it takes.  E_IPC: it is not well-formed.
 * What cannot be read or sent is not answered: nobody gets rights by it, and broker asks again when
 * auth is back. */
enum err stored_ask(struct auth *a, u64 id, const struct m_rights_ask *m, struct slice tail) MUST;

#endif
