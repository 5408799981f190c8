/* admission: may this connection come in, before anything is spent on it?  What all shards of the
 * broker count together: connections, those that wait for their login, and each source's
 * (guard/sources.h). Thread-safe; asked at accept, login and close only. */
#ifndef PICKET_PROC_ADMISSION_H
#define PICKET_PROC_ADMISSION_H

#include "conf/conf.h"

struct admission;

struct admission *admission_new(void);
void admission_free(struct admission **a);
/* The limits from now on; most: connections in all. */
void admission_configure(struct admission *a, const struct conf *c, u64 most);
/* E_OK counts it (*proxy: as that of one of its proxies, see admission_sourced); else the reason:
 * E_DENIED (not in the listener's networks; not one of its proxies), E_BANNED, E_RATE, E_QUOTA. */
enum err admission_admit(struct admission *a, const u8 addr[16], u32 listener, u64 now_ms,
			 bool *proxy) MUST;
/* Does the word of whoever has this address count on this listener? */
bool admission_trusts(struct admission *a, const u8 addr[16], u32 listener);
/* A connection that was admitted as proxy's comes from addr: it is counted there from now on, and
 * released under that address.  Not E_OK: it is still the proxy's. */
enum err admission_sourced(struct admission *a, const u8 proxy[16], const u8 addr[16], u32 listener,
			   u64 now_ms) MUST;
/* Connections that were turned away since the start, and how many of them for their network. */
void admission_counts(struct admission *a, u64 *turned_away, u64 *network);
void admission_login(struct admission *a, const u8 addr[16], u64 now_ms);
/* True: the source is refused from now on. */
bool admission_failed(struct admission *a, const u8 addr[16], u32 listener, u64 now_ms);
void admission_released(struct admission *a, const u8 addr[16], bool was_waiting);
/* May a line about this source be logged?  *left_out: how many were not since. */
bool admission_may_log(struct admission *a, const u8 addr[16], u64 now_ms, u32 *left_out);

#endif
