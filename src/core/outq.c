/* outq: see outq.h.  The first buffer of an empty queue is small, since most turns send one small
 * thing to each client; the next ones are large. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/outq.h"

enum { SEG_SMALL, SEG_LARGE, SEG_REF, SEG_KINDS };
enum { SEG_ODD = SEG_KINDS }; /* of a size of its own */
static const u32 seg_cap[SEG_KINDS] = {512 - sizeof(struct seg), 8192 - sizeof(struct seg), 0};
static const u32 seg_keep[SEG_KINDS] = {4096, 256, 4096}; /* free ones worth keeping */

#ifdef PICKET_ASAN
static const bool seg_reuse = false; /* the sanitizer sees every one's ends and death */
#else
static const bool seg_reuse = true;
#endif

static u32 seg_kind(const struct seg *s)
{
	ASSERT(s->hold == NULL || s->cap == 0);
	if (s->hold != NULL)
		return SEG_REF;
	for (u32 k = 0; k < SEG_REF; k++) {
		if (s->cap == seg_cap[k])
			return k;
	}
	return SEG_ODD;
}

static struct seg *seg_new(struct seg_pool *p, u32 kind, size_t cap)
{
	struct seg *s = kind < SEG_KINDS ? p->free[kind] : NULL;

	if (s != NULL) {
		ASSERT(s->cap == cap);
		ASSERT(p->nfree[kind] > 0);
		p->free[kind] = s->next;
		p->nfree[kind]--;
	} else {
		s = xmalloc(sizeof(*s) + cap);
	}
	s->next = NULL;
	s->hold = NULL;
	s->p = s->buf;
	s->off = s->len = 0;
	s->cap = (u32)cap;
	return s;
}

static void seg_put(struct seg_pool *p, struct seg *s)
{
	u32 kind = seg_kind(s);

	ASSERT(s->off <= s->len);
	if (s->hold != NULL)
		msg_unref(&s->hold);
	if (!seg_reuse || kind == SEG_ODD || p->nfree[kind] >= seg_keep[kind]) {
		free(s);
		return;
	}
	s->next = p->free[kind];
	p->free[kind] = s;
	p->nfree[kind]++;
}

void seg_pool_free(struct seg_pool *p)
{
	for (u32 k = 0; k < SEG_KINDS; k++) {
		for (struct seg *s = p->free[k], *next; s != NULL; s = next) {
			next = s->next;
			free(s);
		}
		p->free[k] = NULL;
		p->nfree[k] = 0;
	}
}

static void outq_append(struct outq *q, struct seg *s)
{
	ASSERT(s->next == NULL);
	ASSERT((q->head == NULL) == (q->tail == NULL));
	if (q->tail != NULL)
		q->tail->next = s;
	else
		q->head = s;
	q->tail = s;
}

static struct seg *outq_grow(struct outq *q, struct seg_pool *p, size_t n)
{
	u32 kind = q->tail == NULL && n <= seg_cap[SEG_SMALL] ? SEG_SMALL : SEG_LARGE;
	struct seg *s;

	ASSERT(n <= UINT32_MAX / 2);
	s = n <= seg_cap[kind] ? seg_new(p, kind, seg_cap[kind]) : seg_new(p, SEG_ODD, n);
	outq_append(q, s);
	return s;
}

u8 *outq_room(struct outq *q, struct seg_pool *p, size_t n)
{
	struct seg *s = q->tail;
	u8 *at;

	if (UNLIKELY(s == NULL || s->cap - s->len < n || s->hold != NULL))
		s = outq_grow(q, p, n);
	ASSERT(s->hold == NULL);
	ASSERT(s->cap - s->len >= n);
	at = s->buf + s->len;
	s->len += (u32)n;
	q->bytes += n;
	return at;
}

void outq_trim(struct outq *q, size_t n)
{
	struct seg *s = q->tail;

	ASSERT(s != NULL && s->hold == NULL);
	ASSERT(s->len - s->off >= n);
	s->len -= (u32)n;
	q->bytes -= n;
}

void outq_payload(struct outq *q, struct seg_pool *p, struct msg *m)
{
	struct seg *s;

	ASSERT(m->payload.n != 0);
	ASSERT(m->payload.n <= UINT32_MAX);
	s = seg_new(p, SEG_REF, 0);
	s->hold = msg_ref(m);
	s->p = m->payload.p;
	s->len = (u32)m->payload.n;
	q->bytes += m->payload.n;
	outq_append(q, s);
}

int outq_iov(const struct outq *q, struct iovec *iov, int max)
{
	int n = 0;

	ASSERT(max > 0);
	for (const struct seg *s = q->head; s != NULL && n < max; s = s->next) {
		union {
			const u8 *from;
			void *to;
		} p = {.from = s->p + s->off}; /* iovec has no const */
		if (s->len == s->off)
			continue;
		iov[n++] = (struct iovec){p.to, s->len - s->off};
	}
	return n;
}

void outq_sent(struct outq *q, struct seg_pool *p, size_t n)
{
	ASSERT(n <= q->bytes);
	q->bytes -= n;
	while (q->head != NULL) {
		struct seg *s = q->head;
		u32 k = (u32)MIN(n, (size_t)(s->len - s->off));
		s->off += k;
		n -= k;
		if (s->off != s->len)
			break;
		q->head = s->next;
		if (q->head == NULL)
			q->tail = NULL;
		seg_put(p, s);
	}
	ASSERT(n == 0);
}

void outq_clear(struct outq *q, struct seg_pool *p)
{
	outq_sent(q, p, q->bytes);
	ASSERT(q->head == NULL);
}
