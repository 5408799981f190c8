/* outq: what is to be sent on one connection.
 *
 * A list of segments: buffers into which small things are copied together, and references to
 * payloads that are worth not copying.  Empty means no memory at all.  The buffers come from the
 * shard's free lists. */
#ifndef PICKET_CORE_OUTQ_H
#define PICKET_CORE_OUTQ_H

#include <sys/uio.h>

#include "core/msg.h"

enum { OUT_REF_MIN = 512 /* payloads above this are referenced */ };

struct seg {
	struct seg *next;
	struct msg *hold; /* a reference: p views its payload; NULL: p is buf */
	const u8 *p;
	u32 off, len, cap; /* sent so far, filled, size of buf */
	u8 buf[];
};

struct outq {
	struct seg *head, *tail;
	u64 bytes;
};

struct seg_pool { /* free buffers of two sizes, and of references */
	struct seg *free[3];
	u32 nfree[3];
};

void seg_pool_free(struct seg_pool *p);
/* Room for n contiguous bytes at the end, already counted. */
u8 *outq_room(struct outq *q, struct seg_pool *p, size_t n) MUST;
/* Take back the last n bytes of what outq_room gave last. */
void outq_trim(struct outq *q, size_t n);
/* Send m's payload from where it lies; shares m. */
void outq_payload(struct outq *q, struct seg_pool *p, struct msg *m);
int outq_iov(const struct outq *q, struct iovec *iov, int max);
void outq_sent(struct outq *q, struct seg_pool *p, size_t n);
void outq_clear(struct outq *q, struct seg_pool *p);

#endif
