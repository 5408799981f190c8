/* http: the state machine of a response.  Lines are gathered in a buffer of fixed size; body bytes
 * are handed on as they come. */
#include <stdio.h>
#include <strings.h>

#include "base/num.h"
#include "cli/http.h"

void http_init(struct http *h, void (*body)(void *arg, struct slice bytes), void *arg)
{
	memset(h, 0, sizeof(*h));
	h->state = HTTP_STATUS;
	h->body = body;
	h->arg = arg;
}

/* "HTTP/1.1 200 OK" (RFC 9112 section 4). */
static enum http_state status_line(struct http *h, const char *s)
{
	u64 code;

	if (strncmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1') || s[8] != ' ')
		return HTTP_FAILED;
	if (strlen(s) < 12 || (s[12] != ' ' && s[12] != 0))
		return HTTP_FAILED;
	if (num_parse(slice_of(s + 9, 3), 599, &code) != E_OK || code < 100)
		return HTTP_FAILED;
	h->status = (u32)code;
	return HTTP_HEADER;
}

/* After the empty line: how the body ends (RFC 9112 section 6.3). */
static enum http_state headers_end(struct http *h)
{
	if (h->status < 200) { /* an interim response: the real one follows */
		h->headers = 0;
		h->chunked = h->has_length = false;
		return HTTP_STATUS;
	}
	if (h->status == 204 || h->status == 304)
		return HTTP_DONE;
	if (h->chunked && h->has_length)
		return HTTP_FAILED;
	if (h->chunked)
		return HTTP_BODY_CHUNK_SIZE;
	if (!h->has_length)
		return HTTP_BODY_TO_END;
	return h->left > 0 ? HTTP_BODY_LENGTH : HTTP_DONE;
}

static enum http_state header_line(struct http *h, const char *s)
{
	const char *colon = strchr(s, ':'), *v;
	size_t n;

	if (s[0] == 0)
		return headers_end(h);
	if (++h->headers > HTTP_HEADERS_MAX || colon == NULL || colon == s)
		return HTTP_FAILED;
	n = (size_t)(colon - s);
	v = colon + 1 + strspn(colon + 1, " \t");
	if (n == 14 && strncasecmp(s, "Content-Length", n) == 0) {
		if (h->has_length || num_parse(slice_str(v), UINT64_MAX / 2, &h->left) != E_OK)
			return HTTP_FAILED;
		h->has_length = true;
	}
	if (n == 17 && strncasecmp(s, "Transfer-Encoding", n) == 0) {
		if (strcasecmp(v, "chunked") != 0)
			return HTTP_FAILED;
		h->chunked = true;
	}
	return HTTP_HEADER;
}

/* Hexadecimal, then perhaps extensions, which are ignored (RFC 9112 section 7.1). */
static enum http_state chunk_line(struct http *h, const char *s)
{
	u64 size = 0;
	u32 digits = 0;

	for (; strchr("0123456789abcdefABCDEF", *s) != NULL && *s != 0; s++) {
		u32 d = (u32)(*s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10);

		if (++digits > 8)
			return HTTP_FAILED;
		size = size << 4 | d;
	}
	if (digits == 0 || (*s != 0 && *s != ';' && *s != ' '))
		return HTTP_FAILED;
	h->left = size;
	return size > 0 ? HTTP_BODY_CHUNK : HTTP_TRAILER;
}

static enum http_state line_done(struct http *h)
{
	const char *s = h->line;

	if (h->line_n > 0 && s[h->line_n - 1] == '\r')
		h->line_n--;
	h->line[h->line_n] = 0;
	if (strlen(s) != h->line_n)
		return HTTP_FAILED; /* a NUL */
	h->line_n = 0;
	switch ((u32)h->state) {
	case HTTP_STATUS:
		return status_line(h, s);
	case HTTP_HEADER:
		return header_line(h, s);
	case HTTP_BODY_CHUNK_SIZE:
		return chunk_line(h, s);
	case HTTP_BODY_CHUNK_END:
		return s[0] == 0 ? HTTP_BODY_CHUNK_SIZE : HTTP_FAILED;
	case HTTP_TRAILER:
		if (++h->headers > HTTP_HEADERS_MAX)
			return HTTP_FAILED;
		return s[0] == 0 ? HTTP_DONE : HTTP_TRAILER;
	default:
		UNREACHABLE("a body has no lines");
	}
}

static size_t feed_line(struct http *h, struct slice in)
{
	const u8 *nl = memchr(in.p, '\n', in.n);
	size_t n = nl != NULL ? (size_t)(nl - in.p) : in.n;

	if (n >= sizeof(h->line) - h->line_n) {
		h->state = HTTP_FAILED;
		return in.n;
	}
	memcpy(h->line + h->line_n, in.p, n);
	h->line_n += (u32)n;
	if (nl == NULL)
		return n;
	h->state = line_done(h);
	return n + 1;
}

static size_t feed_body(struct http *h, struct slice in)
{
	size_t n = h->state == HTTP_BODY_TO_END || h->left > in.n ? in.n : (size_t)h->left;

	h->body(h->arg, slice_of(in.p, n));
	if (h->state == HTTP_BODY_TO_END)
		return n;
	h->left -= n;
	if (h->left == 0)
		h->state = h->state == HTTP_BODY_LENGTH ? HTTP_DONE : HTTP_BODY_CHUNK_END;
	return n;
}

static bool in_body(const struct http *h)
{
	return h->state == HTTP_BODY_LENGTH || h->state == HTTP_BODY_CHUNK ||
	       h->state == HTTP_BODY_TO_END;
}

enum err http_feed(struct http *h, struct slice in)
{
	while (in.n > 0 && h->state != HTTP_DONE && h->state != HTTP_FAILED)
		in = slice_skip(in, in_body(h) ? feed_body(h, in) : feed_line(h, in));
	if (h->state == HTTP_FAILED)
		return E_SYNTAX;
	return h->state == HTTP_DONE ? E_OK : E_MORE;
}

enum err http_end(struct http *h)
{
	if (h->state == HTTP_BODY_TO_END)
		h->state = HTTP_DONE;
	return h->state == HTTP_DONE ? E_OK : E_SHORT;
}
