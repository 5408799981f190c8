/* num: arithmetic that can overflow, spelled so that the failure must be looked at; and numbers
 * read from text. */
#ifndef PICKET_BASE_NUM_H
#define PICKET_BASE_NUM_H

#include "base/err.h"

static inline bool add_sz(size_t a, size_t b, size_t *out) MUST;
static inline bool mul_sz(size_t a, size_t b, size_t *out) MUST;
static inline bool narrow_u16(size_t v, u16 *out) MUST;
static inline bool narrow_u32(size_t v, u32 *out) MUST;

static inline bool add_sz(size_t a, size_t b, size_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

static inline bool mul_sz(size_t a, size_t b, size_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

static inline bool narrow_u16(size_t v, u16 *out)
{
	*out = (u16)v;
	return *out == v;
}

static inline bool narrow_u32(size_t v, u32 *out)
{
	*out = (u32)v;
	return *out == v;
}

/* A decimal number, the whole slice, no sign.  E_SYNTAX, or E_RANGE above max. */
enum err num_parse(struct slice s, u64 max, u64 *out) MUST;
/* "16k", "1m", "2g" (powers of 1024) or plain bytes. */
enum err num_parse_size(struct slice s, u64 *bytes) MUST;
/* "300ms", "5s", "10m", "24h", "7d"; a bare number is refused with E_SYNTAX.  Milliseconds. */
enum err num_parse_duration(struct slice s, u64 *ms) MUST;

#endif
