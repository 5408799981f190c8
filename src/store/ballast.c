/* ballast: see ballast.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/ballast.h"

/* Where the file system cannot reserve, zeros that are written do nearly as well. */
static bool fill(int fd, size_t n)
{
	static const u8 zeros[65536];

	ASSERT(n % sizeof(zeros) == 0);
	for (size_t at = 0; at < n; at += sizeof(zeros)) {
		if (pwrite(fd, zeros, sizeof(zeros), (off_t)at) != (ssize_t)sizeof(zeros))
			return false;
	}
	return fdatasync(fd) == 0;
}

static bool reserve(int fd, size_t n)
{
	ASSERT(fd >= 0);
	if (fallocate(fd, 0, 0, (off_t)n) == 0)
		return true;
	return (errno == EOPNOTSUPP || errno == ENOSYS) && fill(fd, n);
}

enum err ballast_open(struct ballast *b, int dir_fd)
{
	struct stat st;

	ASSERT(dir_fd >= 0);
	*b = (struct ballast){
		.fd = openat(dir_fd, "ballast", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
	if (b->fd < 0)
		return errno == ENOSPC || errno == EDQUOT ? E_QUOTA : E_IO;
	if (fstat(b->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		ballast_close(b);
		return E_IO;
	}
	b->there = (u64)st.st_blocks * 512 >= BALLAST_BYTES;
	if (!b->there)
		ballast_make(b);
	return E_OK;
}

void ballast_close(struct ballast *b)
{
	if (b->fd >= 0)
		close(b->fd);
	*b = (struct ballast){.fd = -1};
}

bool ballast_drop(struct ballast *b)
{
	bool was = b->there;

	ASSERT(b->fd >= 0);
	b->there = false;
	return ftruncate(b->fd, 0) == 0 && was;
}

void ballast_make(struct ballast *b)
{
	ASSERT(b->fd >= 0);
	ASSERT(!b->there);
	b->there =
		reserve(b->fd, 2 * (size_t)BALLAST_BYTES) && ftruncate(b->fd, BALLAST_BYTES) == 0;
	if (!b->there && ftruncate(b->fd, 0) != 0)
		b->there = false; /* nothing more can be done about it */
}

bool ballast_probe(struct ballast *b)
{
	size_t kept = b->there ? (size_t)BALLAST_BYTES : 0;
	bool room = reserve(b->fd, kept + (size_t)BALLAST_BYTES);

	ASSERT(b->fd >= 0);
	if (ftruncate(b->fd, (off_t)kept) != 0)
		return false;
	return room;
}

enum err ballast_blocks(int dir_fd, const char *name, size_t n)
{
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), rc;

	ASSERT(n > 0);
	if (fd < 0)
		return errno == ENOSPC || errno == EDQUOT ? E_QUOTA : E_IO;
	/* Where the file system cannot reserve, this writes a byte a block that is not there. */
	rc = posix_fallocate(fd, 0, (off_t)n);
	close(fd);
	if (rc == 0)
		return E_OK;
	return rc == ENOSPC || rc == EDQUOT ? E_QUOTA : E_IO;
}
