/* file_in: the whole of a text file that the person named. */
#ifndef PICKET_CLI_FILE_IN_H
#define PICKET_CLI_FILE_IN_H

#include "cli/cli.h"

/* path, or "-" for stdin; at most max bytes; NUL after the last.  Prints its refusal; 0 when well.
 * The caller frees. */
int file_in(struct cli *c, const char *path, size_t max, char **text) MUST;
/* Write a new file of mode (0600 or 0644), never over another.  Prints its refusal. */
int file_out(struct cli *c, const char *path, u32 mode, const void *p, size_t n) MUST;

#endif
