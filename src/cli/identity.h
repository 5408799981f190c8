/* identity: what device, user and service have in common; the noun's file says which kind. */
#ifndef PICKET_CLI_IDENTITY_H
#define PICKET_CLI_IDENTITY_H

#include "cli/cli.h"

enum credential_default { GENERATED_TOKEN, CHOSEN_PASSWORD };
int identity_add(struct cli *c, const char *kind, enum credential_default credential);
int identity_list(struct cli *c, const char *kind);
int identity_show(struct cli *c);
int identity_roles(struct cli *c);
int identity_rotate(struct cli *c);
int identity_password(struct cli *c);
int identity_local(struct cli *c);
int identity_revoke(struct cli *c);
int identity_restore(struct cli *c);
int identity_remove(struct cli *c);

#endif
