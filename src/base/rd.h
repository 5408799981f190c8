/* rd: read untrusted bytes.  A reader carries its own end and a sticky error; reading past the end
 * yields zero and the reader stays failed, so a parser is straight-line code with one test at the
 * end.  Every function is defined for every input.  No pointer arithmetic on peer data elsewhere.
 */
#ifndef PICKET_BASE_RD_H
#define PICKET_BASE_RD_H

#include "base/err.h"

struct rd {
	const u8 *p, *end;
	enum err err;
};

static inline struct rd rd_of(struct slice s)
{
	/* No arithmetic on a null pointer, not even with zero. */
	const u8 *p = s.p != NULL ? s.p : (const u8 *)"";

	return (struct rd){p, p + s.n, E_OK};
}

static inline size_t rd_left(const struct rd *r)
{
	return r->err ? 0 : (size_t)(r->end - r->p);
}

static inline void rd_fail(struct rd *r, enum err e)
{
	if (r->err == E_OK)
		r->err = e;
}

static inline u32 rd_be(struct rd *r, size_t n)
{
	u32 v = 0;

	if (r->err || (size_t)(r->end - r->p) < n) {
		rd_fail(r, E_SHORT);
		return 0;
	}
	while (n--)
		v = v << 8 | *r->p++;
	return v;
}

/* These two are most of what a PUBLISH needs, so they do not loop. */
static inline u8 rd_u8(struct rd *r)
{
	if (r->err || r->p == r->end) {
		rd_fail(r, E_SHORT);
		return 0;
	}
	return *r->p++;
}

static inline u16 rd_u16(struct rd *r)
{
	u16 v;

	if (r->err || r->end - r->p < 2) {
		rd_fail(r, E_SHORT);
		return 0;
	}
	v = (u16)(r->p[0] << 8 | r->p[1]);
	r->p += 2;
	return v;
}

static inline u32 rd_u32(struct rd *r)
{
	return rd_be(r, 4);
}

static inline u64 rd_u64(struct rd *r)
{
	u64 high = rd_be(r, 4);

	return high << 32 | rd_be(r, 4);
}

/* The next n bytes, as a view of the source; empty and failed when they are not there. */
static inline struct slice rd_bytes(struct rd *r, size_t n)
{
	struct slice s = SLICE_NONE;

	if (r->err || (size_t)(r->end - r->p) < n) {
		rd_fail(r, E_SHORT);
		return s;
	}
	s = slice_of(r->p, n);
	r->p += n;
	return s;
}

/* All that is left. */
static inline struct slice rd_rest(struct rd *r)
{
	return rd_bytes(r, rd_left(r));
}

#endif
