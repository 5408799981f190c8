/* sources: what each source of connections (an IPv4 address, an IPv6 /64) has done lately and holds
 * now.
 *
 * A table of fixed size with keyed hashing, so that neither many sources nor chosen ones cost
 * memory or time.  Where a set of the table is full of sources that hold connections, a new one is
 * not counted by itself (the totals of the caller still hold).  Time is passed in; not thread-safe.
 */
#ifndef PICKET_GUARD_SOURCES_H
#define PICKET_GUARD_SOURCES_H

#include "base/err.h"
#include "base/map.h"
#include "guard/bucket.h"

enum {
	LIM_SOURCES = 1 << 15, /* sources known at once */
	LIM_SOURCE_WAYS = 8,
	LIM_FAILURE_WINDOW = 60 * 1000,	 /* failed logins are counted over this */
	LIM_PENALTY_FIRST = 30 * 1000,	 /* and this follows, doubling */
	LIM_PENALTY_MAX = 3600 * 1000,	 /* up to here */
	LIM_GOOD_FOR = 24 * 3600 * 1000, /* a source with a good login is not refused */
	LIM_LOG_RATE = 10,		 /* lines a second of one source */
	LIM_LOG_BURST = 100,
};

/* UINT32_MAX: no limit. */
struct source_limits {
	u32 rate, burst; /* new connections a second */
	u32 connections, waiting;
	u32 failures; /* failed logins in LIM_FAILURE_WINDOW */
};

struct source {
	u64 tag; /* 0: free */
	u64 used_ms, good_ms, refused_until_ms, window_ms;
	struct bucket connects, lines;
	u32 connections, waiting, failures, penalty_ms, lines_left_out;
};

struct sources {
	struct hash_key key;
	u32 known;
	struct source slot[LIM_SOURCES];
};

struct sources *sources_new(const struct hash_key *key);
void sources_free(struct sources **s);
/* May a connection from addr come in?  E_OK counts it as one that waits for its login.  E_BANNED:
 * too many failed logins; E_RATE, E_QUOTA: too many connections. */
enum err sources_admit(struct sources *s, const u8 addr[16], const struct source_limits *l,
		       u64 now_ms) MUST;
/* It has logged in: it waits no more, and its source is a good one. */
void sources_login(struct sources *s, const u8 addr[16], u64 now_ms);
/* Its credential was refused.  True: the source is refused from now on. */
bool sources_failed(struct sources *s, const u8 addr[16], const struct source_limits *l,
		    u64 now_ms);
/* The connection is gone. */
void sources_released(struct sources *s, const u8 addr[16], bool was_waiting);
/* May a line about this source be logged?  *left_out: how many were not since the last that was. */
bool sources_may_log(struct sources *s, const u8 addr[16], u64 now_ms, u32 *left_out);

#endif
