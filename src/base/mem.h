/* mem: allocation that cannot fail at start-up, and memory that forgets.
 *
 * xmalloc and xcalloc abort when memory is out: start, reload and per-connection set-up only. Where
 * a peer decides the size, use malloc and refuse. */
#ifndef PICKET_BASE_MEM_H
#define PICKET_BASE_MEM_H

#include "base/base.h"

void *xmalloc(size_t n) MUST;
void *xcalloc(size_t count, size_t size) MUST;
void *xrealloc(void *p, size_t n) MUST;
/* A NUL-terminated copy; the caller owns it. */
char *xstrdup(const char *s) MUST;
char *xslicedup(struct slice s) MUST;

/* Overwrite in a way that the compiler may not remove. */
void mem_wipe(void *p, size_t n);
/* free, for libraries whose memory may hold secrets: wipes the whole block first. */
void mem_wipe_free(void *p);
/* Equal, in time that depends on n alone. */
bool mem_eq_const(const void *a, const void *b, size_t n) MUST;

/* A secret of at most 512 bytes: kept out of core dumps where the system can, wiped on clear. There
 * is no way to print one. */
struct secret {
	size_t n;
	u8 b[512];
};
void secret_clear(struct secret *s);
bool secret_eq(const struct secret *a, struct slice b) MUST;

#endif
