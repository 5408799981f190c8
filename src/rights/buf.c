/* buf: see buf.h. */
#include "rights/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"

void buf_add(struct buf *b, const void *p, size_t n)
{
	size_t need;

	ASSERT(add_sz(b->n, n, &need));
	if (need > b->cap) {
		ASSERT(mul_sz(need, 2, &b->cap));
		b->p = xrealloc(b->p, b->cap);
	}
	if (n != 0)
		memcpy(b->p + b->n, p, n);
	b->n = need;
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.p, s.n);
}

void buf_num(struct buf *b, u64 v)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, v);

	ASSERT(n > 0);
	buf_add(b, digits, (size_t)n);
}

char *buf_take(struct buf *b)
{
	char *out;

	buf_add(b, "", 1);
	out = (char *)b->p;
	*b = (struct buf){0};
	return out;
}

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}

void *array_grow(void *items, u32 n, size_t size)
{
	size_t bytes;

	if (n != 0 && (n < 4 || (n & (n - 1)) != 0)) /* room was made at 0, 4, 8, 16 … */
		return items;
	ASSERT(mul_sz(n == 0 ? 4 : (size_t)n * 2, size, &bytes));
	return xrealloc(items, bytes);
}
