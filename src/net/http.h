/* http: the head of one HTTP/1.1 request (RFC 9112), as far as an upgrade to WebSocket needs it.
 *
 * Pure and bounded: views the bytes, allocates nothing, takes time linear in their number.  Strict
 * where others are lenient, since what two parsers read differently is how requests are smuggled:
 * lines end with CRLF, nothing is folded, no space stands before a colon, no control byte
 * anywhere.  Knows no WebSocket. */
#ifndef PICKET_NET_HTTP_H
#define PICKET_NET_HTTP_H

#include "base/err.h"

enum {
	LIM_HTTP_HEAD = 8 * 1024, /* the request line and all fields (defaults.md) */
	LIM_HTTP_FIELDS = 64,
};

struct http_field {
	struct slice name, value; /* value without white space around it */
};
struct http_head { /* views the bytes that were parsed */
	struct slice method, target;
	u32 minor; /* of HTTP/1.minor: 0 or 1 */
	u32 n;
	struct http_field field[LIM_HTTP_FIELDS];
};

/* Where the head ends: behind its empty line.  0: not in these bytes.  from: so many bytes were
 * looked through by an earlier call in vain. */
size_t http_head_end(struct slice bytes, size_t from) MUST;
/* head: exactly as long as http_head_end says.  E_MALFORM: not HTTP/1.x by the grammar;
 * E_TOO_LARGE: more fields or bytes than the caps.  Fills out either way; on an error only in part.
 */
enum err http_head_parse(struct slice head, struct http_head *out) MUST;

/* Names are given in lower case and match in any.  Is this the name? */
bool http_is(struct slice name, const char *word) MUST;
/* How many fields have this name; the value of the
 * first of them, empty when there is none. */
u32 http_count(const struct http_head *h, const char *name) MUST;
struct slice http_value(const struct http_head *h, const char *name) MUST;
/* Is token an element of the comma-separated list that all fields of this name make together (RFC
 * 9110 section 5.6.1)?  HTTP_ANY_CASE: token is lower case. */
enum http_case { HTTP_EXACT, HTTP_ANY_CASE };
bool http_list_has(const struct http_head *h, const char *name, const char *token,
		   enum http_case how) MUST;
/* Of the slice that is the rest of a comma-separated list: the next element without white space
 * around it.  False: the list is at its end. */
bool http_list_next(struct slice *list, struct slice *element) MUST;

#endif
