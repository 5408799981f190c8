/* forwarded: whom a chain of proxies speaks for, by the X-Forwarded-For of a request.
 *
 * Each proxy adds whom it heard at the end of the list, so only the end that declared proxies wrote
 * is worth anything: the source is the rightmost hop that is no declared proxy, and nothing to the
 * left of it is looked at.  Pure; knows nothing of who is declared. */
#ifndef PICKET_NET_FORWARDED_H
#define PICKET_NET_FORWARDED_H

#include "net/http.h"

enum { LIM_FORWARDED = 64 }; /* hops of one request */

/* The request came from a declared proxy.  Fills addr with the source and port with its port (0:
 * not said), or leaves them where the list is missing or empty.  A list of declared proxies alone
 * begins with the source.  E_MALFORM: a hop that counts is no address; E_TOO_LARGE: too many hops.
 */
enum err forwarded_source(const struct http_head *h, bool (*trusts)(void *arg, const u8 addr[16]),
			  void *arg, u8 addr[16], u16 *port) MUST;

#endif
