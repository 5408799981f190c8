/* supervisor_state: what must be right on the machine before a child starts: users, folders with
 * their owners and modes, one picketd a folder, limits, and the privileges that are given up. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/supervisor.h"

enum { UID_BASE = 59100, NOFILE_WISH = 1024 * 1024 };

/* Users of their own: from sysusers.d where it ran, numbers from a range of ours elsewhere. */
bool sup_users(struct sup *s)
{
	char name[32];

	for (u32 r = ROLE_BROKER; r < ROLE_N; r++) {
		struct sup_child *c = &s->child[r];
		const struct passwd *pw;
		snprintf(name, sizeof(name), "picket-%s", role_name((enum role)r));
		pw = s->root ? getpwnam(name) : NULL;
		c->uid = !s->root ? getuid() : pw != NULL ? pw->pw_uid : UID_BASE + r;
		c->gid = !s->root ? getgid() : pw != NULL ? pw->pw_gid : UID_BASE + r;
		if (s->root && c->uid == 0) {
			sup_say(s, LOG_ERROR, "start",
				"user %s is root; give it a user id of its own", name);
			return false;
		}
	}
	/* It makes the files that broker opens then. */
	s->child[ROLE_SALVAGE].uid = s->child[ROLE_BROKER].uid;
	s->child[ROLE_SALVAGE].gid = s->child[ROLE_BROKER].gid;
	return true;
}

/* mkdir -p; what exists stays as it is.  A plain user's folders are for that user alone; root's
 * must let the processes' users, and people to the admin socket, through.  The mode is given at
 * once: a path that is touched again later may be somebody's link by then. */
static bool make_path(const struct sup *s, const char *path, mode_t mode)
{
	mode_t before = umask(s->root ? 022 : 077);
	char part[CONF_PATH];
	bool ok = true;

	for (size_t i = 1; ok && path[i - 1] != '\0'; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		ok = mkdir(part, path[i] == '\0' ? mode : 0755) == 0 || errno == EEXIST;
	}
	umask(before);
	return ok;
}

static bool folder_is_ours(struct sup *s, int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || st.st_uid != getuid()) {
		sup_say(s, LOG_ERROR, "start",
			"%s belongs to another user; give picketd a folder of its own", path);
		return false;
	}
	if (st.st_mode & 022) {
		sup_say(s, LOG_ERROR, "start", "others may write to %s; run chmod go-w %s", path,
			path);
		return false;
	}
	return true;
}

static int open_folder(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int sup_folder(struct sup *s, const char *name, uid_t uid, gid_t gid)
{
	int fd;

	if (mkdirat(s->state, name, 0700) != 0 && errno != EEXIST)
		return -1;
	fd = open_folder(s->state, name);
	if (fd < 0)
		return -1;
	if (fchmod(fd, 0700) == 0 && (!s->root || fchown(fd, uid, gid) == 0))
		return fd;
	close(fd);
	return -1;
}

static bool lock_state(struct sup *s)
{
	char pid[32];
	int n;

	s->lock = openat(s->state, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock < 0)
		return false;
	if (flock(s->lock, LOCK_EX | LOCK_NB) != 0) {
		n = (int)read(s->lock, pid, sizeof(pid) - 1);
		pid[MAX(n, 0)] = '\0';
		sup_say(s, LOG_ERROR, "start",
			"another picketd (process %s) uses %s; stop it, or give this one a --state "
			"of its own",
			pid[0] != '\0' ? pid : "unknown", s->conf.state_dir);
		return false;
	}
	n = snprintf(pid, sizeof(pid), "%d", (int)getpid());
	return ftruncate(s->lock, 0) == 0 && pwrite(s->lock, pid, (size_t)n, 0) == n;
}

bool sup_folders(struct sup *s)
{
	const char *state = s->conf.state_dir, *run = s->conf.run_dir;
	const struct sup_child *auth = &s->child[ROLE_AUTH];

	if (!make_path(s, state, 0700) ||
	    (s->state = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
		sup_say(s, LOG_ERROR, "start",
			"state folder %s: %s; make it, or name another with --state", state,
			strerror(errno));
		return false;
	}
	if (!make_path(s, run, 0755) ||
	    (s->run = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
		sup_say(s, LOG_ERROR, "start",
			"run folder %s: %s; make it, or name another with --run", run,
			strerror(errno));
		return false;
	}
	if (!folder_is_ours(s, s->state, state) || !folder_is_ours(s, s->run, run))
		return false;
	/* Each process has its own user, who must reach its own folder through this one. */
	if (fchmod(s->state, s->root ? 0711 : 0700) != 0)
		return false;
	errno = 0;
	if (!lock_state(s)) {
		if (errno != 0 && errno != EWOULDBLOCK)
			sup_say(s, LOG_ERROR, "start", "%s/lock: %s", state, strerror(errno));
		return false;
	}
	s->first_start = faccessat(s->state, "auth", F_OK, 0) != 0;
	s->keys = sup_folder(s, "keys", getuid(), getgid());
	s->auth = sup_folder(s, "auth", auth->uid, auth->gid);
	s->log.dir = sup_folder(s, "log", getuid(), getgid());
	if (s->keys >= 0 && s->auth >= 0 && s->log.dir >= 0 && sup_log_open(s) && store_folder(s))
		return true;
	sup_say(s, LOG_ERROR, "start", "cannot write in %s: %s", state, strerror(errno));
	return false;
}

bool sup_limits(struct sup *s)
{
	struct rlimit r;
	const struct rlimit none = {0, 0};

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return false;
	if (s->root && r.rlim_max < NOFILE_WISH) {
		const struct rlimit more = {NOFILE_WISH, NOFILE_WISH};
		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			r = more;
	}
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
		return false;
	sup_say(s, LOG_DEBUG, "start", "%llu descriptors a process",
		(unsigned long long)r.rlim_cur);
	return true;
}

/* What the supervisor goes on to need: users and owners, ending its children, files, ports, bans.
 */
bool sup_drop_privileges(struct sup *s)
{
	const u64 keep = 1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER |
			 1ull << CAP_KILL | 1ull << CAP_SETGID | 1ull << CAP_SETUID |
			 1ull << CAP_SETPCAP | 1ull << CAP_NET_BIND_SERVICE | 1ull << CAP_NET_ADMIN;
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	if (!s->root)
		return true;
	for (u32 cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 &&
		    errno != EINVAL && errno != EPERM)
			return false;
	}
	if (syscall(SYS_capget, &h, d) != 0)
		return false;
	for (u32 i = 0; i < 2; i++) {
		d[i].permitted &= (u32)(keep >> 32 * i);
		d[i].effective &= (u32)(keep >> 32 * i);
		d[i].inheritable = 0;
	}
	return syscall(SYS_capset, &h, d) == 0;
}
