/* file_in: reading and writing one file for a command. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/file_in.h"
#include "cli/out.h"
#include "ipc/codes.h"

static int file_bad(struct cli *c, u32 code, const char *path, const char *why)
{
	char text[600];

	snprintf(text, sizeof(text), "%s: %s", path, why);
	return out_refuse(c, code, text);
}

int file_in(struct cli *c, const char *path, size_t max, char **text)
{
	FILE *f = strcmp(path, "-") == 0 ? c->in : fopen(path, "re");
	size_t n = 0;
	bool bad;

	if (f == NULL)
		return file_bad(c, CODE_FILE_READ, path, strerror(errno));
	*text = xmalloc(max + 2);
	n = fread(*text, 1, max + 1, f);
	bad = ferror(f) != 0;
	if (f != c->in)
		fclose(f);
	(*text)[n] = 0;
	if (!bad && n <= max && strlen(*text) == n)
		return 0;
	free(*text);
	*text = NULL;
	return file_bad(c, CODE_FILE_READ, path,
			bad	  ? strerror(errno)
			: n > max ? "too large"
				  : "holds a NUL byte");
}

int file_out(struct cli *c, const char *path, u32 mode, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
	ssize_t w;

	if (fd < 0)
		return file_bad(c, errno == EEXIST ? CODE_FILE_EXISTS : CODE_FILE_WRITE, path,
				strerror(errno));
	w = write(fd, p, n);
	if (w >= 0 && (size_t)w == n && fsync(fd) == 0 && close(fd) == 0)
		return 0;
	unlink(path);
	return file_bad(c, CODE_FILE_WRITE, path, w < 0 ? strerror(errno) : "not all was written");
}
