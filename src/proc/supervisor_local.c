/* supervisor_local: unix sockets of listeners: files in folders that only their owner may write to,
 * so that nobody puts another socket, or a link, in their place. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proc/supervisor.h"

enum { LOCAL_BACKLOG = 4096 };

static bool fail(struct sup *s, const struct conf *c, const struct conf_listener *l,
		 const char *what, const char *next)
{
	snprintf(s->why, sizeof(s->why), "%s:%u: listener %s cannot listen on %s: %s; %s",
		 c->config_path, l->line, l->name, l->bind, what, next);
	return false;
}

/* The folder of path, opened, when only root or we may write to it; -1 with errno (EPERM: others
 * may). */
static int folder_open(const char *path)
{
	char folder[sizeof(((struct conf_listener *)0)->address)];
	const char *slash = strrchr(path, '/');
	struct stat st;
	int fd;

	snprintf(folder, sizeof(folder), "%.*s", (int)MAX(slash - path, 1), path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && (st.st_uid == 0 || st.st_uid == getuid()) && !(st.st_mode & 022))
		return fd;
	close(fd);
	errno = EPERM;
	return -1;
}

static bool address_of(const char *path, struct sockaddr_un *a)
{
	size_t n = strlen(path);

	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (n >= sizeof(a->sun_path))
		return false;
	memcpy(a->sun_path, path, n + 1);
	return true;
}

/* What lies there already: nothing, or a socket that nobody listens on (which goes).  Else errno.
 */
static bool place_free(int folder, const char *path, const struct sockaddr_un *a)
{
	const char *name = strrchr(path, '/') + 1;
	struct stat st;
	int fd;
	bool lives;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT;
	errno = EEXIST;
	if (!S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	lives = connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno != ECONNREFUSED;
	close(fd);
	errno = EADDRINUSE;
	return !lives && unlinkat(folder, name, 0) == 0;
}

static bool group_of(const struct conf_listener *l, gid_t *gid)
{
	const struct group *g;

	*gid = (gid_t)-1; /* as it is */
	if (l->socket_group[0] == '\0')
		return true;
	g = getgrnam(l->socket_group);
	if (g != NULL)
		*gid = g->gr_gid;
	return g != NULL;
}

bool local_rights(struct sup *s, const struct conf *c, const struct conf_listener *l)
{
	gid_t gid;

	if (!group_of(l, &gid))
		return fail(s, c, l, "there is no group of that name", "correct socket_group");
	/* The mode last: until then nobody comes in. */
	if ((gid == (gid_t)-1 || lchown(l->address, (uid_t)-1, gid) == 0) &&
	    chmod(l->address, l->socket_mode) == 0)
		return true;
	return fail(s, c, l, strerror(errno), "name a group of the user who runs picketd");
}

static int socket_bound(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t before = umask(0777);
	bool ok = fd >= 0 && bind(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 &&
		  listen(fd, LOCAL_BACKLOG) == 0;
	int why = errno;

	umask(before);
	if (ok)
		return fd;
	if (fd >= 0)
		close(fd);
	errno = why;
	return -1;
}

static const char *hint(int why)
{
	switch (why) {
	case ENOENT:
		return "make the folder, or correct bind";
	case EPERM:
		return "choose a folder that belongs to root or to the user who runs picketd, and "
		       "that nobody else may write to";
	case EEXIST:
		return "something lies there that is no socket; move it away, or correct bind";
	case EADDRINUSE:
		return "stop the program that listens there, or choose another path";
	default:
		return "correct bind";
	}
}

int local_open(struct sup *s, const struct conf *c, const struct conf_listener *l)
{
	struct sockaddr_un a;
	int folder, fd = -1;

	if (!address_of(l->address, &a)) {
		fail(s, c, l, "the path is too long", "choose a shorter one");
		return -1;
	}
	folder = folder_open(l->address);
	if (folder >= 0 && place_free(folder, l->address, &a))
		fd = socket_bound(&a);
	if (fd < 0)
		fail(s, c, l, strerror(errno), hint(errno));
	if (folder >= 0)
		close(folder);
	if (fd < 0 || local_rights(s, c, l))
		return fd;
	local_remove(l->address);
	close(fd);
	return -1;
}

void local_remove(const char *path)
{
	int folder = folder_open(path);

	if (folder < 0)
		return;
	unlinkat(folder, strrchr(path, '/') + 1, 0);
	close(folder);
}
