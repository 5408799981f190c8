/* base: the words everything else is written in.
 *
 * Integer names, slices, assertions and the few macros that every file uses.
 * Knows nothing of MQTT, sockets or processes. */
#ifndef PICKET_BASE_BASE_H
#define PICKET_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;

#define MUST			      __attribute__((warn_unused_result))
#define NORETURN		      __attribute__((noreturn))
#define PRINTF(fmt, args)	      __attribute__((format(printf, fmt, args)))
#define UNUSED			      __attribute__((unused))
#define ARRAY_LEN(a)		      (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))
#define LIKELY(e)		      __builtin_expect(!!(e), 1)
#define UNLIKELY(e)		      __builtin_expect(!!(e), 0)
#define MIN(a, b)		      ((a) < (b) ? (a) : (b))
#define MAX(a, b)		      ((a) > (b) ? (a) : (b))

/* A local that is filled before it is read.  Builds zero every other local; for a decoded packet on
 * the path of each message that would be several hundred bytes a time. */
#define NOINIT	      __attribute__((uninitialized))
#define ALWAYS_INLINE __attribute__((always_inline))

/* Print file, line and expression to fd 2 and abort this process; the supervisor restarts it. */
NORETURN void die_at(const char *file, int line, const char *what);

/* Our own logic, never a peer's input.  Stays on in release builds. */
#define ASSERT(e)                                                                                  \
	do {                                                                                       \
		if (UNLIKELY(!(e)))                                                                \
			die_at(__FILE__, __LINE__, #e);                                            \
	} while (0)
#define UNREACHABLE(why) die_at(__FILE__, __LINE__, "unreachable: " why)
/* A type tag checked at every module border: a stale or mis-cast pointer dies here. */
#define OBJ_CHECK(p, M)                                                                            \
	do {                                                                                       \
		ASSERT((p) != NULL);                                                               \
		ASSERT((p)->magic == (M));                                                         \
	} while (0)

/* Bytes that somebody else owns.  Never NUL-terminated, never freed through. */
struct slice {
	const u8 *p;
	size_t n;
};

#define SLICE_LIT(lit) ((struct slice){(const u8 *)("" lit), sizeof(lit) - 1})
#define SLICE_NONE     ((struct slice){NULL, 0})

static inline struct slice slice_of(const void *p, size_t n)
{
	return (struct slice){p, n};
}

/* Views the string; it must be NUL-terminated and ours. */
static inline struct slice slice_str(const char *s)
{
	return (struct slice){(const u8 *)s, strlen(s)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Byte order, shorter first when one is a prefix of the other; <0, 0, >0. */
static inline int slice_cmp(struct slice a, struct slice b)
{
	size_t n = MIN(a.n, b.n);
	int c = n ? memcmp(a.p, b.p, n) : 0;
	return c ? c : (a.n > b.n) - (a.n < b.n);
}

static inline struct slice slice_skip(struct slice s, size_t n)
{
	n = MIN(n, s.n);
	return n ? (struct slice){s.p + n, s.n - n} : s;
}

#endif
