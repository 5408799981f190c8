/* keys: the process that holds every private key.
 *
 * It makes the CA and the server certificate, renews it, signs handshakes for broker, derives
 * auth's token key from the pepper, and rotates the session-ticket keys.  No key leaves it, but for
 * the CA's encrypted backup. */
#ifndef PICKET_KEYS_KEYS_H
#define PICKET_KEYS_KEYS_H

#include "ipc/messages.h"

/* Serves until the supervisor says stop or is gone; returns the exit code.  Takes sup_fd. */
int keys_main(int sup_fd, bool (*enter_sandbox)(enum role me, struct m_ready *ready));

#endif
