/* proxy: the header by which a proxy says on whose behalf it connects: the PROXY protocol, versions
 * 1 and 2 (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt; sections are its).
 *
 * Pure and bounded: views the bytes, allocates nothing, takes time linear in their number.  Every
 * length is exact: what runs over, is left over or comes twice where once is meant makes the header
 * malformed, never shorter.  Knows nothing of who may send one. */
#ifndef PICKET_NET_PROXY_H
#define PICKET_NET_PROXY_H

#include "base/err.h"

enum {
	LIM_PROXY_V1 = 107,	 /* section 2.1 */
	LIM_PROXY_HEADER = 4096, /* version 2, with what is added to it */
	LIM_PROXY_CN = 256,	 /* bytes of a common name */
};

struct proxy_header {
	bool known;  /* addr and port are the client's; false: it speaks for itself, or does not
			tell (LOCAL, UNKNOWN, unix sockets) */
	u8 addr[16]; /* of base/addr.h; never a local user's */
	u16 port;
	bool tls;	 /* the client spoke TLS with the proxy */
	bool verified;	 /* and proved a certificate that the proxy trusts */
	struct slice cn; /* its common name, UTF-8 without control characters; views the bytes */
};

/* E_OK: a whole header, its length in *used.  E_MORE: the beginning of one.  E_MALFORM: none, or
 * one for what is no stream; E_TOO_LARGE: longer than the caps. */
enum err proxy_parse(struct slice bytes, struct proxy_header *out, size_t *used) MUST;

#endif
