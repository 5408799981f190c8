/* peer: credentials of the other end of a unix socket (SO_PEERCRED, SO_PEERGROUPS).  No password
 * exists. */
#include <grp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/peer.h"

static bool group_find(const char *name, gid_t *out)
{
	struct group *g = getgrnam(name);

	if (g == NULL)
		return false;
	*out = g->gr_gid;
	return true;
}

void authority_rules_load(int sup_fd, struct authority_rules *out)
{
	struct ucred c;
	socklen_t n = sizeof(c);

	*out = (struct authority_rules){.owner = 0};
	/* The socket pair was made by the supervisor: its peer credentials are those of who runs
	 * picketd. */
	if (getsockopt(sup_fd, SOL_SOCKET, SO_PEERCRED, &c, &n) == 0 && n == sizeof(c))
		out->owner = c.uid;
	out->has_admin_group = group_find("picket-admin", &out->admin_group);
	out->has_ops_group = group_find("picket-ops", &out->ops_group);
}

enum err peer_of(int fd, struct peer *out)
{
	struct ucred c;
	socklen_t n = sizeof(c);

	*out = (struct peer){.uid = (uid_t)-1, .gid = (gid_t)-1};
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) != 0 || n != sizeof(c))
		return E_IO;
	out->uid = c.uid;
	out->gid = c.gid;
	n = sizeof(out->group);
	/* More than 64 groups: the kernel refuses (ERANGE) and the primary group alone counts. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, out->group, &n) == 0)
		out->ngroups = (u32)(n / sizeof(gid_t));
	return E_OK;
}
