/* peer: who is at the other end of the unix socket, and who is who on this machine. */
#ifndef PICKET_ADMIN_PEER_H
#define PICKET_ADMIN_PEER_H

#include "admin/route.h"

/* Groups picket-admin and picket-ops, and the user who runs the supervisor (the peer of sup_fd).
 * Reads the group database: before the sandbox only. */
void authority_rules_load(int sup_fd, struct authority_rules *out);
/* E_IO when the kernel does not say; then nobody. */
enum err peer_of(int fd, struct peer *out) MUST;

#endif
