/* sandbox: what each role gives up before it reads the first byte from anyone it does not trust.
 *
 * One row a role (sandbox_rows.c): the system calls it may still make, and whether it keeps one
 * folder. Everything else ends the process.  Knows nothing of what the roles do. */
#ifndef PICKET_PROC_SANDBOX_H
#define PICKET_PROC_SANDBOX_H

#include "base/err.h"
#include "ipc/messages.h"

/* Which system calls beyond the common ones; sets of groups in sandbox_rows.c. */
enum sandbox_group {
	SB_COMMON =
		1 << 0, /* memory, clocks, threads, epoll, messages on open sockets, open files */
	SB_ACCEPT = 1 << 1,  /* accept on given sockets, their options */
	SB_FOLDER = 1 << 2,  /* open and change files (Landlock says where) */
	SB_FILES = 1 << 3,   /* write and sync files that were handed over */
	SB_CONNECT = 1 << 4, /* make TCP sockets and connect them */
	SB_WATCH = 1 << 5,   /* sendfile and inotify, for the admin process' streams */
	SB_YIELD = 1 << 6,   /* lower the priority of threads that compute for long */
	SB_STORE = 1 << 7,   /* write and sync the store, which was opened before */
	SB_RESULT = 1 << 8,  /* write where it was told to say what it has found */
	SB_ALL = 1 << 9,     /* sanitizer builds: everything but new programs */
};

/* Descriptor SANDBOX_FOLDER_FD is a folder … */
enum sandbox_folder {
	FOLDER_NONE,
	FOLDER_START, /* … in which a role opens what it needs before the sandbox closes */
	FOLDER_STAYS, /* … that stays readable and writable (Landlock) */
};

struct sandbox_row {
	enum role role;
	u32 groups;
	enum sandbox_folder folder;
	u64 files_max; /* RLIMIT_FSIZE; 0: none may be written, UINT64_MAX: no limit */
	u32 processes; /* RLIMIT_NPROC when the user id is the role's own; 0: leave it */
};

enum { SANDBOX_SUP_FD = 3, SANDBOX_FOLDER_FD = 4 };

const struct sandbox_row *sandbox_row(enum role role);
bool sandbox_sanitized(void); /* a build with sanitizers, whose runtime needs more */

/* Before anything else in a child: no core dumps, not traceable, no new privileges. */
void sandbox_begin(void);
/* This process has a user id that no other process has. */
void sandbox_own_user(void);
/* Hold Landlock to this version (tests); 0: what the kernel has. */
void sandbox_hold_landlock(u32 abi);
/* Close it.  Fills what is in force; what is missing is said loudly but is no error: not every
 * kernel has it. false: what the kernel has could not be used, or threads exist already that would
 * stay outside. */
bool sandbox_enter(enum role role, struct m_ready *ready);

/* The supervisor's own, which its children inherit.  E_UNAVAILABLE: the kernel has no seccomp;
 * E_IO. */
enum err sandbox_supervisor(void) MUST;

/* Adds the system calls of the groups to a libseccomp filter context. */
bool sandbox_allow(void *filter, u32 groups);
/* Adds what no process of picketd ever does, to be refused. */
bool sandbox_forbid(void *filter);
/* abi 0: the kernel has no Landlock.  folder: a descriptor, or -1 for none at all.  connects: TCP
 * stays. */
enum err landlock_close(int folder, bool connects, u32 abi_max, u32 *abi) MUST;

#endif
