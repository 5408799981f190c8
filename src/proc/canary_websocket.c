/* canary_websocket: what a stranger says and hears where only WebSocket is spoken.  It waits for
 * nothing: the request and a frame with all of its words go out together. */
#include "proc/canary.h"

static const char request[] = " HTTP/1.1\r\n"
			      "Host: localhost\r\n"
			      "Upgrade: websocket\r\n"
			      "Connection: Upgrade\r\n"
			      "Sec-WebSocket-Version: 13\r\n"
			      "Sec-WebSocket-Key: cGlja2V0LWNhbmFyeSEhIQ==\r\n"
			      "Sec-WebSocket-Protocol: mqtt\r\n\r\n";

void stranger_wrap(struct wr *w, const char *path, struct slice words)
{
	ASSERT(words.n < 65536);
	wr_slice(w, SLICE_LIT("GET "));
	wr_slice(w, slice_str(path));
	wr_slice(w, slice_str(request));
	wr_u8(w, 0x82);
	wr_u8(w, (u8)(0x80 | (words.n < 126 ? words.n : 126)));
	if (words.n >= 126)
		wr_u16(w, (u16)words.n);
	wr_u32(w, 0); /* a mask that changes nothing */
	wr_slice(w, words);
}

/* A whole frame off the front; false: none is there. */
static bool frame_next(struct slice *s, u8 *first, struct slice *payload)
{
	struct rd r = rd_of(*s);
	size_t n;

	*first = rd_u8(&r);
	n = rd_u8(&r);
	n = n == 126 ? rd_u16(&r) : n;
	*payload = rd_bytes(&r, n);
	if (r.err != E_OK)
		return false;
	*s = rd_rest(&r);
	return true;
}

size_t stranger_unwrap(struct slice heard, u8 *out)
{
	static const char granted[] = "HTTP/1.1 101 ";
	const u8 *end = heard.n != 0 ? memmem(heard.p, heard.n, "\r\n\r\n", 4) : NULL;
	struct slice frames, payload;
	size_t n = 0;
	u8 first;

	if (heard.n < sizeof(granted) - 1 || memcmp(heard.p, granted, sizeof(granted) - 1) != 0) {
		if (heard.n != 0)
			memcpy(out, heard.p, heard.n);
		return heard.n;
	}
	if (end == NULL)
		return 0;
	frames = slice_skip(heard, (size_t)(end - heard.p) + 4);
	while (frame_next(&frames, &first, &payload) && first != 0x88) {
		if (payload.n != 0)
			memcpy(out + n, payload.p, payload.n);
		n += payload.n;
	}
	return n;
}
