/* admin: the process that answers the picket command and the JSON API on the unix socket.
 *
 * It sees no secret that it is not asked to carry: authority is who the kernel says the peer is. */
#ifndef PICKET_ADMIN_ADMIN_H
#define PICKET_ADMIN_ADMIN_H

#include "ipc/child.h"

/* Serves until the supervisor says stop or is gone; returns the exit code. */
int admin_main(int sup_fd, bool (*enter_sandbox)(enum role me, struct m_ready *ready));

#endif
