/* house: a real admin process, and one process that plays supervisor, auth, broker and keys for it
 * with fixed answers.  What auth is asked is written to DIR/calls, one JSON object a line. */
#ifndef PICKET_TESTS_HOUSE_H
#define PICKET_TESTS_HOUSE_H

#include <sys/types.h>

#include "base/base.h"

struct house {
	char dir[64]; /* the run folder: admin.sock */
	pid_t admin, others;
};

/* Both are running and the socket answers. */
void house_start(struct house *h);
void house_stop(struct house *h);
/* How often auth was asked for this op so far. */
u32 house_calls(const struct house *h, const char *op);

extern const char house_ca_pem[];

#endif
