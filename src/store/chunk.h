/* chunk: memory that is handed out piece by piece and given back all at once: the bytes of a batch,
 * of a notice, of one decoded answer. */
#ifndef PICKET_STORE_CHUNK_H
#define PICKET_STORE_CHUNK_H

#include "base/base.h"

struct store_chunk;

/* n bytes, aligned for anything, not zeroed; they live until the list is freed or reset. */
void *chunk_alloc(struct store_chunk **list, size_t n);
struct slice chunk_copy(struct store_chunk **list, struct slice s);
void chunk_free(struct store_chunk **list);
/* Give back all but one chunk of moderate size, which is used again. */
void chunk_reset(struct store_chunk **list);

#endif
