/* canary: between the files of the canary. */
#ifndef PICKET_PROC_CANARY_H
#define PICKET_PROC_CANARY_H

#include "base/rd.h"
#include "base/wr.h"

/* A stranger's words as the bytes of a WebSocket client that asks for path. */
void stranger_wrap(struct wr *w, const char *path, struct slice words);
/* What a server said to those, without HTTP and frames, into out (as much room as heard has);
 * returns its length.  What is no WebSocket stays as it is. */
size_t stranger_unwrap(struct slice heard, u8 *out);

#endif
