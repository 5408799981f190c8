/* secret_in: where a password comes from: a file, stdin, or a person at the terminal.  Never argv.
 */
#ifndef PICKET_CLI_SECRET_IN_H
#define PICKET_CLI_SECRET_IN_H

#include "base/mem.h"
#include "cli/cli.h"

/* The first line, without its end, of --password-file or --password-stdin, or typed twice at a
 * terminal without echo.  Prints its refusal; 0 when well.  The caller clears the secret. */
int secret_in(struct cli *c, const char *what, struct secret *out) MUST;

#endif
