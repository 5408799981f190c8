/* ws_client: frames as a client makes them, for the tests of WebSocket; any rule can be broken. */
#ifndef TEST_NET_WS_CLIENT_H
#define TEST_NET_WS_CLIENT_H

#include "net/ws.h"

enum { OP_CONT, OP_TEXT, OP_BINARY, OP_CLOSE = 8, OP_PING, OP_PONG };

struct wire {
	size_t n;
	u8 b[1 << 20];
};

/* A header: first byte as given, length in 7, 16 or 64 bits. */
static inline void wire_head(struct wire *w, u8 first, u8 mask_bit, u64 len, u32 width)
{
	w->b[w->n++] = first;
	w->b[w->n++] = (u8)(mask_bit | (width == 7 ? len : width == 16 ? 126 : 127));
	for (u32 shift = width == 7 ? 0 : width; shift > 0; shift -= 8)
		w->b[w->n++] = (u8)(len >> (shift - 8));
}

static inline void wire_masked(struct wire *w, const void *p, size_t n)
{
	static const u8 key[4] = {0xa1, 0x00, 0x5c, 0xff};

	memcpy(w->b + w->n, key, 4);
	w->n += 4;
	for (size_t i = 0; i < n; i++)
		w->b[w->n++] = ((const u8 *)p)[i] ^ key[i % 4];
}

/* A frame that keeps the rules. */
static inline void wire_frame(struct wire *w, u8 op, bool fin, const void *p, size_t n)
{
	wire_head(w, (u8)((fin ? 0x80 : 0) | op), 0x80, n, n < 126 ? 7 : n < 65536 ? 16 : 64);
	wire_masked(w, p, n);
}

#endif
