/* table: pairs of numbers to numbers.  Open addressing.  The
 * keys are numbers that picket gave out itself (packet identifiers apart, of which there are few):
 * the hash has no key. */
#ifndef PICKET_STORE_TABLE_H
#define PICKET_STORE_TABLE_H

#include "base/base.h"

struct table_slot {
	u64 a, b, value; /* value 0: empty */
};
struct table {
	struct table_slot *slots;
	size_t cap, n; /* cap is 0 or a power of two */
};

/* A zeroed table is empty and ready. */
void table_free(struct table *t);
void table_clear(struct table *t);
/* 0: not there. */
u64 table_get(const struct table *t, u64 a, u64 b);
/* Add or replace; value is not 0. */
void table_put(struct table *t, u64 a, u64 b, u64 value);
void table_del(struct table *t, u64 a, u64 b);

static inline void *table_ptr(const struct table *t, u64 a, u64 b)
{
	return (void *)(uintptr_t)table_get(t, a, b);
}

static inline void table_put_ptr(struct table *t, u64 a, u64 b, void *p)
{
	table_put(t, a, b, (u64)(uintptr_t)p);
}

#endif
