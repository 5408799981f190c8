/* sandbox: closes it: limits of the kernel, Landlock, then seccomp.  What the rows say is applied
 * here; what a row allows is not decided here. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/sandbox.h"

static u32 landlock_abi_max; /* set once at start, as own_user */
static bool own_user;

void sandbox_hold_landlock(u32 abi)
{
	landlock_abi_max = abi;
}

void sandbox_own_user(void)
{
	own_user = true;
}

void sandbox_begin(void)
{
	const struct rlimit none = {0, 0};

	ASSERT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if (sandbox_sanitized())
		return; /* LeakSanitizer traces its own process */
	ASSERT(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	ASSERT(setrlimit(RLIMIT_CORE, &none) == 0);
}

static u32 threads(void)
{
	DIR *d = opendir("/proc/self/task");
	u32 n = 0;

	if (d == NULL)
		return 1; /* no /proc: nobody can tell */
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* RLIMIT_NPROC counts by user: only a role with a user id of its own can have one. */
static bool limits_set(const struct sandbox_row *row)
{
	const struct rlimit size = {row->files_max, row->files_max};
	const struct rlimit procs = {row->processes, row->processes};

	if (sandbox_sanitized())
		return true;
	if (row->files_max != UINT64_MAX && setrlimit(RLIMIT_FSIZE, &size) != 0)
		return false;
	return !own_user || setrlimit(RLIMIT_NPROC, &procs) == 0;
}

static bool seccomp_close(const struct sandbox_row *row)
{
	bool all = sandbox_sanitized();
	scmp_filter_ctx f = seccomp_init(all ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS);
	bool ok;

	if (f == NULL)
		return false;
	ok = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
	     seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0 &&
	     seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0;
	if (all)
		/* An error: what a sanitizer finds must be printed, if without its symbolizer. */
		ok = ok && seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execve), 0) == 0 &&
		     seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execveat), 0) == 0;
	else
		ok = ok && sandbox_allow(f, row->groups);
	ok = ok && seccomp_load(f) == 0;
	seccomp_release(f);
	return ok;
}

/* Does the kernel have filters at all?  EFAULT: it would take one, had we given it. */
static bool seccomp_there(void)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) != 0 && errno == EFAULT;
}

/* Who was handed none has something else there. */
static bool is_folder(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

bool sandbox_enter(enum role role, struct m_ready *ready)
{
	const struct sandbox_row *row = sandbox_row(role);

	ASSERT(row != NULL);
	*ready = (struct m_ready){0};
	if (threads() != 1 && !sandbox_sanitized()) {
		log_msg(LOG_ERROR, "sandbox", "a thread began before the sandbox closed");
		return false;
	}
	if (!sandbox_sanitized() &&
	    landlock_close(row->folder == FOLDER_STAYS ? SANDBOX_FOLDER_FD : -1,
			   row->groups & SB_CONNECT, landlock_abi_max,
			   &ready->landlock_abi) != E_OK) {
		log_msg(LOG_ERROR, "sandbox", "Landlock is there but cannot be used");
		return false;
	}
	if (row->folder != FOLDER_NONE && is_folder(SANDBOX_FOLDER_FD))
		close(SANDBOX_FOLDER_FD);
	if (!limits_set(row))
		return false;
	if (!seccomp_there())
		return true; /* the supervisor says so, loudly */
	if (!seccomp_close(row)) {
		log_msg(LOG_ERROR, "sandbox", "the system call filter cannot be loaded");
		return false;
	}
	ready->seccomp = 1;
	return true;
}

enum err sandbox_supervisor(void)
{
	scmp_filter_ctx f;
	bool ok;

	if (sandbox_sanitized() || !seccomp_there())
		return E_UNAVAILABLE;
	f = seccomp_init(SCMP_ACT_ALLOW);
	ok = f != NULL && sandbox_forbid(f) && seccomp_load(f) == 0;
	seccomp_release(f);
	return ok ? E_OK : E_IO;
}
