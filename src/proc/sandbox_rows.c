/* sandbox_rows: one row a role, and the system calls of each group.  Data; changing who may do what
 * is changing a row. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proc/look.h"
#include "proc/sandbox.h"

#define ANY UINT64_MAX
static const struct sandbox_row rows[] = {
	/* role, groups, folder, bytes of a file, processes and threads */
	{ROLE_BROKER, SB_COMMON | SB_ACCEPT | SB_STORE, FOLDER_START, ANY, 256},
	{ROLE_AUTH, SB_COMMON | SB_FILES | SB_FOLDER | SB_YIELD, FOLDER_STAYS, ANY, 64},
	{ROLE_KEYS, SB_COMMON | SB_FILES, FOLDER_NONE, 1 << 20, 8},
	{ROLE_ADMIN, SB_COMMON | SB_ACCEPT | SB_WATCH, FOLDER_NONE, ANY, 64},
	{ROLE_CANARY, SB_COMMON | SB_CONNECT, FOLDER_NONE, 0, 8},
	{ROLE_CHECK, SB_COMMON | SB_RESULT, FOLDER_NONE, LOOK_BYTES, 8},
	{ROLE_SALVAGE, SB_COMMON | SB_RESULT | SB_STORE, FOLDER_START, ANY, 8},
};

const struct sandbox_row *sandbox_row(enum role role)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].role == role)
			return &rows[i];
	}
	return NULL;
}

/* The one platform fact of this file. */
bool sandbox_sanitized(void)
{
#ifdef PICKET_SANITIZED
	return true;
#else
	return false;
#endif
}

/* A call, and up to two conditions on its arguments: masked bits equal a value. */
struct call {
	u32 group;
	int nr;
	u32 conditions;
	struct {
		u32 arg;
		u64 mask, value;
	} when[2];
};
#define CALL(g, name)                                                                              \
	{                                                                                          \
		.group = g, .nr = SCMP_SYS(name)                                                   \
	}
#define CALL_IF(g, name, arg, mask, value)                                                         \
	{                                                                                          \
		.group = g, .nr = SCMP_SYS(name), .conditions = 1, .when = { {arg, mask, value} }  \
	}

static const struct call calls[] = {
	/* descriptors that are there already */
	CALL(SB_COMMON, read),
	CALL(SB_COMMON, readv),
	CALL(SB_COMMON, write),
	CALL(SB_COMMON, writev),
	CALL(SB_COMMON, close),
	CALL(SB_COMMON, close_range),
	CALL(SB_COMMON, fstat),
	CALL(SB_COMMON, lseek),
	CALL(SB_COMMON, dup),
	CALL(SB_COMMON, dup3),
	CALL(SB_COMMON, fcntl),
	CALL(SB_COMMON, pread64),
	CALL_IF(SB_COMMON, newfstatat, 3, AT_EMPTY_PATH, AT_EMPTY_PATH),
	CALL(SB_COMMON, pipe2),
	CALL(SB_COMMON, eventfd2),
	CALL(SB_COMMON, timerfd_create),
	CALL(SB_COMMON, timerfd_settime),
	CALL(SB_COMMON, epoll_create1),
	CALL(SB_COMMON, epoll_ctl),
	CALL(SB_COMMON, epoll_wait),
	CALL(SB_COMMON, epoll_pwait),
	CALL(SB_COMMON, epoll_pwait2),
	CALL(SB_COMMON, poll),
	CALL(SB_COMMON, ppoll),
	CALL(SB_COMMON, select),
	CALL(SB_COMMON, pselect6),
	CALL(SB_COMMON, recvmsg),
	CALL(SB_COMMON, sendmsg),
	CALL(SB_COMMON, recvfrom),
	CALL(SB_COMMON, recvmmsg),
	CALL(SB_COMMON, sendmmsg),
	CALL_IF(SB_COMMON, sendto, 4, UINT64_MAX, 0), /* connected sockets only */
	CALL(SB_COMMON, shutdown),
	CALL(SB_COMMON, getsockopt),
	CALL(SB_COMMON, getsockname),
	CALL(SB_COMMON, getpeername),
	CALL(SB_COMMON, ftruncate),
	CALL(SB_COMMON, memfd_create),
	CALL_IF(SB_COMMON, ioctl, 1, UINT64_MAX, 0x541b /* FIONREAD */),
	CALL_IF(SB_COMMON, ioctl, 1, UINT64_MAX, 0x5421 /* FIONBIO */),
	/* memory, never executable */
	CALL_IF(SB_COMMON, mmap, 2, PROT_EXEC, 0),
	CALL_IF(SB_COMMON, mprotect, 2, PROT_EXEC, 0),
	CALL(SB_COMMON, munmap),
	CALL(SB_COMMON, mremap),
	CALL(SB_COMMON, madvise),
	CALL(SB_COMMON, brk),
	CALL(SB_COMMON, mlock),
	CALL(SB_COMMON, mlock2),
	CALL(SB_COMMON, munlock),
	CALL(SB_COMMON, mincore),
	CALL(SB_COMMON, membarrier),
	/* threads, never processes; clone3 is refused with ENOSYS elsewhere, and glibc falls back
	 */
	CALL_IF(SB_COMMON, clone, 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM),
	CALL(SB_COMMON, set_robust_list),
	CALL(SB_COMMON, rseq),
	CALL(SB_COMMON, futex),
	CALL(SB_COMMON, futex_waitv),
	CALL(SB_COMMON, sched_yield),
	CALL(SB_COMMON, sched_getaffinity),
	CALL(SB_COMMON, sched_getparam),
	CALL(SB_COMMON, sched_getscheduler),
	CALL(SB_COMMON, getcpu),
	CALL(SB_COMMON, exit),
	CALL(SB_COMMON, exit_group),
	CALL_IF(SB_COMMON, prctl, 0, UINT64_MAX, PR_SET_NAME),
	CALL_IF(SB_COMMON, prctl, 0, UINT64_MAX, PR_GET_NAME),
	CALL_IF(SB_COMMON, prctl, 0, UINT64_MAX, 0x53564d41 /* PR_SET_VMA: names of memory */),
	/* signals to itself; tgkill reaches no other user's process, and Landlock scopes it where
	   it can */
	CALL(SB_COMMON, rt_sigaction),
	CALL(SB_COMMON, rt_sigprocmask),
	CALL(SB_COMMON, rt_sigreturn),
	CALL(SB_COMMON, sigaltstack),
	CALL(SB_COMMON, restart_syscall),
	/* who and when */
	CALL(SB_COMMON, clock_gettime),
	CALL(SB_COMMON, clock_getres),
	CALL(SB_COMMON, clock_nanosleep),
	CALL(SB_COMMON, nanosleep),
	CALL(SB_COMMON, gettimeofday),
	CALL(SB_COMMON, time),
	CALL(SB_COMMON, getrandom),
	CALL(SB_COMMON, getpid),
	CALL(SB_COMMON, gettid),
	CALL(SB_COMMON, getppid),
	CALL(SB_COMMON, getuid),
	CALL(SB_COMMON, geteuid),
	CALL(SB_COMMON, getgid),
	CALL(SB_COMMON, getegid),
	CALL(SB_COMMON, getrusage),
	CALL(SB_COMMON, sysinfo),
	CALL(SB_COMMON, uname),
	CALL_IF(SB_COMMON, prlimit64, 2, UINT64_MAX, 0), /* read a limit */
	CALL(SB_COMMON, getrlimit),

	CALL(SB_ACCEPT, accept4),
	CALL(SB_ACCEPT, accept),
	CALL(SB_ACCEPT, setsockopt),

	CALL(SB_FILES | SB_STORE, fsync),
	CALL(SB_FILES | SB_STORE, fdatasync),
	CALL(SB_FILES | SB_STORE | SB_RESULT, pwrite64),
	CALL(SB_FILES | SB_STORE, pwritev),
	CALL(SB_FILES, preadv),
	CALL(SB_FILES | SB_STORE, fallocate),
	CALL(SB_FILES, fchmod),

	CALL(SB_FOLDER, open),
	CALL(SB_FOLDER, openat),
	CALL(SB_FOLDER, newfstatat),
	CALL(SB_FOLDER, stat),
	CALL(SB_FOLDER, lstat),
	CALL(SB_FOLDER, statx),
	CALL(SB_FOLDER, access),
	CALL(SB_FOLDER, faccessat),
	CALL(SB_FOLDER, faccessat2),
	CALL(SB_FOLDER, unlink),
	CALL(SB_FOLDER, unlinkat),
	CALL(SB_FOLDER, rename),
	CALL(SB_FOLDER, renameat),
	CALL(SB_FOLDER, renameat2),
	CALL(SB_FOLDER, getcwd),
	CALL(SB_FOLDER, readlink),
	CALL(SB_FOLDER, readlinkat),
	CALL(SB_FOLDER, mkdir),
	CALL(SB_FOLDER, mkdirat),
	CALL(SB_FOLDER, rmdir),
	CALL(SB_FOLDER, getdents64),
	CALL(SB_FOLDER, fstatfs),
	CALL(SB_FOLDER, flock),
	CALL(SB_FOLDER, fchown),

	CALL(SB_YIELD, setpriority),

	CALL_IF(SB_CONNECT, socket, 0, UINT64_MAX, AF_INET),
	CALL_IF(SB_CONNECT, socket, 0, UINT64_MAX, AF_INET6),
	CALL(SB_CONNECT, connect),
	CALL(SB_CONNECT, bind),
	CALL(SB_CONNECT, setsockopt),

	CALL(SB_WATCH, sendfile),
	CALL(SB_WATCH, inotify_init1),
	CALL(SB_WATCH, inotify_add_watch),
	CALL(SB_WATCH, inotify_rm_watch),
};

/* Refused with an error that libraries know how to live with, instead of the end of the process. */
static const struct {
	int nr, err;
} soft[] = {
	{SCMP_SYS(clone3), ENOSYS},
	{SCMP_SYS(sched_setscheduler), EPERM},
	{SCMP_SYS(io_uring_setup), ENOSYS},
};

/* glibc looks at /proc/sys/vm/overcommit_memory when it returns memory of a thread: a plain opening
 * to read.  It gets an error; every other way to open is the end of the process. */
static bool refuse_open(void *filter)
{
	const struct scmp_arg_cmp here = {0, SCMP_CMP_MASKED_EQ, 0xffffffff, (u32)AT_FDCWD};
	const struct scmp_arg_cmp to_read = {2, SCMP_CMP_EQ, O_RDONLY | O_CLOEXEC, 0};

	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 2, here,
				to_read) == 0;
}

/* abort() sends to its own process; to no other. */
static bool allow_own_signals(void *filter)
{
	const struct scmp_arg_cmp self = {0, SCMP_CMP_EQ, (u64)getpid(), 0};

	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, self) == 0;
}

static bool allow_call(void *filter, const struct call *c)
{
	struct scmp_arg_cmp when[2];

	for (u32 i = 0; i < c->conditions; i++)
		when[i] = (struct scmp_arg_cmp){c->when[i].arg, SCMP_CMP_MASKED_EQ, c->when[i].mask,
						c->when[i].value};
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, c->nr, c->conditions, when) == 0;
}

/* The supervisor starts processes, so its filter is the other way round, and everyone inherits it:
 * what nothing in picketd ever does. */
static const int never[] = {
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(reboot),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(fsopen),
	SCMP_SYS(chroot),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(personality),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(pidfd_getfd),
};

bool sandbox_forbid(void *filter)
{
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), never[i], 0) != 0)
			return false;
	}
	return true;
}

bool sandbox_allow(void *filter, u32 groups)
{
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (calls[i].group & groups && !allow_call(filter, &calls[i]))
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(soft); i++) {
		if (seccomp_rule_add(filter, SCMP_ACT_ERRNO((u32)soft[i].err), soft[i].nr, 0) != 0)
			return false;
	}
	return allow_own_signals(filter) && (groups & SB_FOLDER || refuse_open(filter));
}
