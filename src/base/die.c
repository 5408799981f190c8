/* die: the end of a process whose own logic turned out wrong.  Uses nothing that can fail for the
 * same reason: no log, no allocation. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"

void die_at(const char *file, int line, const char *what)
{
	char b[512];
	int n = snprintf(b, sizeof(b) - 1, "%s:%d: assertion failed: %s", file, line, what);
	size_t len = n < 0 ? 0 : MIN((size_t)n, sizeof(b) - 2);

	b[len++] = '\n';
	/* Nothing is left to do when even this write fails. */
	if (write(STDERR_FILENO, b, len) < 0)
		abort();
	abort();
}
