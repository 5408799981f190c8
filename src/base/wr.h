/* wr: write into bounded memory, big-endian.  The error sticks; what does not fit is not written.
 * A writer over no memory (p == NULL) only counts, to learn a size before allocating. */
#ifndef PICKET_BASE_WR_H
#define PICKET_BASE_WR_H

#include "base/err.h"

struct wr {
	u8 *p;	    /* NULL: count only */
	size_t cap; /* bytes at p */
	size_t n;   /* bytes written or counted */
	enum err err;
};

static inline struct wr wr_of(void *p, size_t cap)
{
	return (struct wr){p, cap, 0, E_OK};
}

static inline struct wr wr_count(void)
{
	return (struct wr){NULL, SIZE_MAX, 0, E_OK};
}

static inline void wr_bytes(struct wr *w, const void *p, size_t n)
{
	if (w->err || w->cap - w->n < n) {
		w->err = E_TOO_LARGE;
		return;
	}
	if (w->p != NULL && n != 0)
		memcpy(w->p + w->n, p, n);
	w->n += n;
}

static inline void wr_be(struct wr *w, u32 v, size_t n)
{
	u8 b[4];

	for (size_t i = 0; i < n; i++)
		b[i] = (u8)(v >> 8 * (n - 1 - i));
	wr_bytes(w, b, n);
}

static inline void wr_u8(struct wr *w, u8 v)
{
	wr_be(w, v, 1);
}

static inline void wr_u16(struct wr *w, u16 v)
{
	wr_be(w, v, 2);
}

static inline void wr_u32(struct wr *w, u32 v)
{
	wr_be(w, v, 4);
}

static inline void wr_u64(struct wr *w, u64 v)
{
	wr_u32(w, (u32)(v >> 32));
	wr_u32(w, (u32)v);
}

static inline void wr_slice(struct wr *w, struct slice s)
{
	wr_bytes(w, s.p, s.n);
}

static inline struct slice wr_done(const struct wr *w)
{
	return slice_of(w->p, w->err ? 0 : w->n);
}

#endif
