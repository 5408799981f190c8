/* user: the noun user. */
#include "cli/identity.h"

int cmd_user_add(struct cli *c)
{
	return identity_add(c, "user", CHOSEN_PASSWORD);
}

int cmd_user_list(struct cli *c)
{
	return identity_list(c, "user");
}

int cmd_user_show(struct cli *c)
{
	return identity_show(c);
}

int cmd_user_roles(struct cli *c)
{
	return identity_roles(c);
}

int cmd_user_local(struct cli *c)
{
	return identity_local(c);
}

int cmd_user_rotate(struct cli *c)
{
	return identity_rotate(c);
}

int cmd_user_revoke(struct cli *c)
{
	return identity_revoke(c);
}

int cmd_user_restore(struct cli *c)
{
	return identity_restore(c);
}

int cmd_user_remove(struct cli *c)
{
	return identity_remove(c);
}

int cmd_user_password(struct cli *c)
{
	return identity_password(c);
}
