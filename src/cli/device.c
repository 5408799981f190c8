/* device: the noun device. */
#include "cli/identity.h"

int cmd_device_add(struct cli *c)
{
	return identity_add(c, "device", GENERATED_TOKEN);
}

int cmd_device_list(struct cli *c)
{
	return identity_list(c, "device");
}

int cmd_device_show(struct cli *c)
{
	return identity_show(c);
}

int cmd_device_roles(struct cli *c)
{
	return identity_roles(c);
}

int cmd_device_local(struct cli *c)
{
	return identity_local(c);
}

int cmd_device_rotate(struct cli *c)
{
	return identity_rotate(c);
}

int cmd_device_revoke(struct cli *c)
{
	return identity_revoke(c);
}

int cmd_device_restore(struct cli *c)
{
	return identity_restore(c);
}

int cmd_device_remove(struct cli *c)
{
	return identity_remove(c);
}
