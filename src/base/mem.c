/* mem: allocation that dies instead of failing, and secrets that are compared in constant time and
 * wiped. */
#include <malloc.h>
#include <stdlib.h>

#include "base/mem.h"

static void *mem_must(void *p, size_t n)
{
	ASSERT(p != NULL || n == 0);
	return p;
}

void *xmalloc(size_t n)
{
	return mem_must(malloc(n), n);
}

void *xcalloc(size_t count, size_t size)
{
	return mem_must(calloc(count, size), count && size);
}

void *xrealloc(void *p, size_t n)
{
	return mem_must(realloc(p, n), n);
}

char *xstrdup(const char *s)
{
	return xslicedup(slice_str(s));
}

char *xslicedup(struct slice s)
{
	char *copy;

	ASSERT(s.n < SIZE_MAX);
	copy = xmalloc(s.n + 1);
	if (s.n != 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}

void mem_wipe(void *p, size_t n)
{
	if (n != 0)
		explicit_bzero(p, n);
}

void mem_wipe_free(void *p)
{
	if (p != NULL)
		mem_wipe(p, malloc_usable_size(p));
	free(p);
}

bool mem_eq_const(const void *a, const void *b, size_t n)
{
	/* volatile: the compiler may not leave the loop at the first difference. */
	const volatile u8 *x = a, *y = b;
	u8 diff = 0;

	for (size_t i = 0; i < n; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}

void secret_clear(struct secret *s)
{
	mem_wipe(s, sizeof(*s));
}

bool secret_eq(const struct secret *a, struct slice b)
{
	ASSERT(a->n <= sizeof(a->b));
	/* The length of a secret is not secret. */
	return a->n == b.n && mem_eq_const(a->b, b.p, b.n);
}
