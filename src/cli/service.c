/* service: the noun service. */
#include "cli/identity.h"

int cmd_service_add(struct cli *c)
{
	return identity_add(c, "service", GENERATED_TOKEN);
}

int cmd_service_list(struct cli *c)
{
	return identity_list(c, "service");
}

int cmd_service_show(struct cli *c)
{
	return identity_show(c);
}

int cmd_service_roles(struct cli *c)
{
	return identity_roles(c);
}

int cmd_service_local(struct cli *c)
{
	return identity_local(c);
}

int cmd_service_rotate(struct cli *c)
{
	return identity_rotate(c);
}

int cmd_service_revoke(struct cli *c)
{
	return identity_revoke(c);
}

int cmd_service_restore(struct cli *c)
{
	return identity_restore(c);
}

int cmd_service_remove(struct cli *c)
{
	return identity_remove(c);
}
