/* A file of any bytes, read as an LMDB store: every view that is handed out can be read to its end,
 * and the walk ends. */
#include <sys/mman.h>
#include <unistd.h>

#include "store/check.h"
#include "store/pages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
	u64 bytes;
	u8 all;
};

static bool on_entry(void *arg, struct slice key, struct slice value)
{
	struct sum *s = arg;

	for (size_t i = 0; i < key.n; i++)
		s->all ^= key.p[i];
	for (size_t i = 0; i < value.n; i++)
		s->all ^= value.p[i];
	s->bytes += key.n + value.n;
	return true;
}

/* What the process that looks at a store after an end out of order would make of it. */
static void check(int fd, size_t size)
{
	struct check_report r;
	char text[100];
	enum err e = check_file(fd, NULL, NULL, NULL, &r, text, sizeof(text));

	ASSERT(e == E_OK || e == E_CORRUPT || e == E_IO);
	ASSERT(memchr(text, '\0', sizeof(text)) != NULL);
	/* Twelve bytes are the least that a record takes up with its key. */
	ASSERT(r.records <= size && r.damaged <= r.records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct sum s = {0};
	struct pages *p;

	if (fd < 0)
		fd = memfd_create("pages", MFD_CLOEXEC);
	if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		return 0;
	check(fd, size);
	if (pages_open(&p, fd) != E_OK)
		return 0;
	if (pages_walk(p, slice_str("a"), on_entry, &s) != E_OK)
		s.bytes = 0;
	/* No page is visited twice, so no more can come than there is. */
	ASSERT(s.bytes <= size * 2);
	pages_close(&p);
	return 0;
}
