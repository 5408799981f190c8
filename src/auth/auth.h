/* auth: the process that knows who may come in and what everyone may do.
 *
 * The only code that sees credentials.  Owns its SQLite store and nothing else: it neither connects
 * nor talks to a client; broker asks it about logins, admin for changes, keys gives it one derived
 * key. */
#ifndef PICKET_AUTH_AUTH_H
#define PICKET_AUTH_AUTH_H

#include "ipc/child.h"

/* Runs until the supervisor says STOP or is gone; returns the exit code.  sup_fd: the link to the
 * supervisor. enter_sandbox closes the sandbox and fills m_ready; false ends the process. */
int auth_main(int sup_fd, bool (*enter_sandbox)(enum role me, struct m_ready *ready));

#endif
