/* buf: text that grows, for documents and their printed forms.  Not for the hot path, not for
 * peers: memory running out aborts (mem.h), and what is put in is bounded by POLICY_TEXT_MAX. */
#ifndef PICKET_RIGHTS_BUF_H
#define PICKET_RIGHTS_BUF_H

#include "base/base.h"

struct buf {
	u8 *p; /* not NUL-terminated; NULL while empty */
	size_t n, cap;
};

void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_slice(struct buf *b, struct slice s);
void buf_num(struct buf *b, u64 v);
/* The text as a string of its own, which the caller frees; the buffer is empty afterwards. */
char *buf_take(struct buf *b) MUST;
void buf_free(struct buf *b);

/* Room for one more item behind the n items of the given size; returns the array, perhaps moved. */
void *array_grow(void *items, u32 n, size_t size) MUST;

#endif
