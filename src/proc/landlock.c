/* landlock: takes the file system and (where the kernel can) TCP away from this process, but for
 * one folder.  Raw system calls: glibc has no wrappers. */
#include <errno.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/sandbox.h"

/* Versions after the one in Debian's headers. */
enum {
	FS_V1 = (1 << 13) - 1,	/* execute … make symbolic link */
	FS_REFER = 1 << 13,	/* 2 */
	FS_TRUNCATE = 1 << 14,	/* 3 */
	FS_IOCTL_DEV = 1 << 15, /* 5 */
	NET_V4 = 3,		/* bind, connect */
	SCOPE_V6 = 3,		/* abstract sockets, signals */
};

struct ruleset { /* struct landlock_ruleset_attr of version 6 */
	u64 fs, net, scope;
};

static u64 fs_rights(u32 abi)
{
	return FS_V1 | (abi >= 2 ? FS_REFER : 0u) | (abi >= 3 ? FS_TRUNCATE : 0u) |
	       (abi >= 5 ? FS_IOCTL_DEV : 0u);
}

static enum err allow_folder(int ruleset, int folder, u32 abi)
{
	const u64 never = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
			  LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |
			  LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
			  FS_IOCTL_DEV | FS_REFER;
	struct landlock_path_beneath_attr rule = {
		.allowed_access = fs_rights(abi) & ~never,
		.parent_fd = folder,
	};

	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0
		       ? E_OK
		       : E_IO;
}

enum err landlock_close(int folder, bool connects, u32 abi_max, u32 *abi)
{
	long have = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset r;
	enum err e = E_OK;
	size_t size;
	int fd;

	*abi = have <= 0 ? 0 : (u32)have;
	if (*abi == 0)
		return E_OK;
	*abi = abi_max != 0 ? MIN(*abi, abi_max) : *abi;
	r = (struct ruleset){fs_rights(*abi), *abi >= 4 && !connects ? NET_V4 : 0,
			     *abi >= 6 ? SCOPE_V6 : 0};
	size = *abi >= 6 ? sizeof(r) : *abi >= 4 ? offsetof(struct ruleset, scope) : sizeof(r.fs);
	fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
	if (fd < 0)
		return E_IO;
	if (folder >= 0)
		e = allow_folder(fd, folder, *abi);
	if (e == E_OK && syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		e = E_IO;
	close(fd);
	return e;
}
