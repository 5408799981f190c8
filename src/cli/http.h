/* http: reads one HTTP/1.1 response (RFC 9112), however its bytes are split.  No I/O.
 *
 * Knows what picketd sends: a status line, headers, and a body by Content-Length, in chunks, or up
 * to the end of the connection.  Everything else is E_SYNTAX.  Defined for every input. */
#ifndef PICKET_CLI_HTTP_H
#define PICKET_CLI_HTTP_H

#include "base/err.h"

enum { HTTP_LINE_MAX = 8192, HTTP_HEADERS_MAX = 100 };

enum http_state {
	HTTP_STATUS,
	HTTP_HEADER,
	HTTP_BODY_LENGTH,
	HTTP_BODY_CHUNK_SIZE,
	HTTP_BODY_CHUNK,
	HTTP_BODY_CHUNK_END,
	HTTP_TRAILER,
	HTTP_BODY_TO_END,
	HTTP_DONE,
	HTTP_FAILED
};
struct http {
	enum http_state state;
	u32 status, headers;
	bool chunked, has_length;
	u64 left; /* of the body or of the chunk */
	u32 line_n;
	char line[HTTP_LINE_MAX];
	/* The body's bytes as they come; borrows. */
	void (*body)(void *arg, struct slice bytes);
	void *arg;
};

void http_init(struct http *h, void (*body)(void *arg, struct slice bytes), void *arg);
/* E_MORE: wants more; E_OK: the response is complete (rest is ignored); E_SYNTAX, and stays so. */
enum err http_feed(struct http *h, struct slice bytes) MUST;
/* The connection ended: E_OK when the response was complete, E_SHORT otherwise. */
enum err http_end(struct http *h) MUST;

#endif
