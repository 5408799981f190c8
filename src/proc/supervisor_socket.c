/* supervisor_socket: the socket of the picket command, and who may reach it: members of
 * picket-admin and picket-ops where the groups exist, else its owner alone.  What each of them may
 * do is admin's to say.  All is done through the run folder's descriptor, which is checked to be
 * ours. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proc/supervisor.h"

#define NAME "admin.sock"

/* An access list as the kernel stores it (linux/posix_acl_xattr.h); all our machines are
 * little-endian. */
enum { ACL_VERSION = 2, ACL_RW = 6, ACL_NOBODY = -1 };
enum { ACL_OWNER = 1, ACL_OWN_GROUP = 4, ACL_GROUP = 8, ACL_MASK = 16, ACL_OTHER = 32 };
struct acl_entry {
	u16 tag, rights;
	u32 id;
};
struct acl {
	u32 version;
	struct acl_entry e[5];
};
_Static_assert(sizeof(struct acl) == 4 + 5 * 8, "no padding");

/* A file has one group; another one comes in through its access list. */
static bool group_beside(int run, gid_t gid)
{
	const struct acl a = {ACL_VERSION,
			      {{ACL_OWNER, ACL_RW, (u32)ACL_NOBODY},
			       {ACL_OWN_GROUP, ACL_RW, (u32)ACL_NOBODY},
			       {ACL_GROUP, ACL_RW, gid},
			       {ACL_MASK, ACL_RW, (u32)ACL_NOBODY},
			       {ACL_OTHER, 0, (u32)ACL_NOBODY}}};
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/" NAME, run);
	return lsetxattr(path, "system.posix_acl_access", &a, sizeof(a), 0) == 0;
}

static bool group_find(const char *name, gid_t *gid)
{
	const struct group *g = getgrnam(name);

	if (g != NULL)
		*gid = g->gr_gid;
	return g != NULL;
}

static bool let_groups_in(struct sup *s)
{
	gid_t admin = 0, ops = 0;
	bool has_admin = group_find("picket-admin", &admin);
	bool has_ops = group_find("picket-ops", &ops);

	if (!has_admin && !has_ops)
		return true;
	if (fchownat(s->run, NAME, 0, has_admin ? admin : ops, AT_SYMLINK_NOFOLLOW) != 0 ||
	    fchmodat(s->run, NAME, 0660, 0) != 0)
		return false;
	if (has_admin && has_ops && !group_beside(s->run, ops))
		sup_say(s, LOG_WARN, "admin_socket",
			"members of picket-ops cannot reach it: %s has no access lists (%s); use a "
			"run_dir on tmpfs",
			s->conf.run_dir, strerror(errno));
	return true;
}

bool sup_admin_socket(struct sup *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/" NAME, s->conf.run_dir);
	bool ok;

	ASSERT(s->run >= 0);
	if (n < 0 || (size_t)n >= sizeof(a.sun_path)) {
		sup_say(s, LOG_ERROR, "start",
			"run_dir %s is too long for a socket; use a shorter path", s->conf.run_dir);
		return false;
	}
	/* The lock says that no other picketd lives here: what lies there is left over. */
	unlinkat(s->run, NAME, 0);
	s->admin_socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->admin_socket < 0)
		return false;
	umask(0177);
	ok = bind(s->admin_socket, (const struct sockaddr *)&a, sizeof(a)) == 0;
	umask(077);
	if (ok && s->root)
		ok = let_groups_in(s);
	if (ok && listen(s->admin_socket, 64) == 0)
		return true;
	sup_say(s, LOG_ERROR, "start", "%s: %s; is the folder writable?", a.sun_path,
		strerror(errno));
	return false;
}
