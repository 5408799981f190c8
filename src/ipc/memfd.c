/* memfd: large payloads between processes, as sealed memory that nobody can change any more.
 *
 * The receiver distrusts the sender: without all seals and the announced size nothing is mapped, so
 * bytes that were checked cannot change or vanish (SIGBUS) under the one who checked them. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/ipc.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
enum { SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static bool write_all(int fd, struct slice s)
{
	while (s.n != 0) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = slice_skip(s, (size_t)n);
	}
	return true;
}

int ipc_memfd(const char *name, struct slice bytes)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

	ASSERT(name != NULL);
	if (fd < 0 && errno == EINVAL) /* Linux before 6.3 does not know the flag */
		fd = memfd_create(name, flags);
	if (fd < 0)
		return -1;
	if (write_all(fd, bytes) && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return fd;
	close(fd);
	return -1;
}

enum err ipc_memfd_map(int fd, size_t size, struct slice *out)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *p;

	ASSERT(out != NULL);
	*out = SLICE_NONE;
	if (seals < 0 || (seals & SEALS) != SEALS)
		return E_IPC;
	if (fstat(fd, &st) != 0 || st.st_size < 0 || (size_t)st.st_size != size)
		return E_IPC;
	if (size == 0)
		return E_OK;
	p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return E_NOMEM;
	*out = slice_of(p, size);
	return E_OK;
}
