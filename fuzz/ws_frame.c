/* WebSocket frames: whatever comes and however it is cut, the same payload comes out, it ends for
 * the same reason, and what a plain reading of RFC 6455 by another hand says of the same bytes is
 * the same, too.  Twice: the second reader decides everything from whole bytes. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	u8 *out;
	size_t n;
	u8 end;
	u16 code;
	u8 pong[WS_CONTROL];
	int pong_n; /* -1: none is owed */
};

static struct ws_tools *tools;

/* In pieces whose sizes follow from seed; 0: whole. */
static void run(const u8 *data, size_t size, u32 seed, struct result *r)
{
	struct ws *w = ws_new(0);

	r->n = 0;
	for (size_t at = 0; at < size && w->end == E_OK;) {
		size_t n = seed == 0 ? size : MIN(size - at, 1 + seed % 23);
		u8 *piece = xmalloc(n);
		size_t got;
		seed = seed * 1103515245 + 12345 * (seed != 0);
		memcpy(piece, data + at, n);
		got = ws_take(w, tools, piece, n, 0, seed & 64 ? WS_SECRET : WS_OPEN);
		ASSERT(got <= n);
		if (got != 0)
			memcpy(r->out + r->n, piece, got);
		r->n += got;
		at += n;
		free(piece);
	}
	r->end = w->end;
	r->code = w->code;
	r->pong_n = w->pong != NULL ? w->pong_n : -1;
	if (w->pong != NULL)
		memcpy(r->pong, w->pong, w->pong_n);
	ws_free(&w);
}

/* ---- the other reader ---- */
struct head {
	bool fin, masked;
	u8 rsv, op;
	u64 n;
	size_t size;
};

/* False: more bytes are needed.  The mask may be missing: size says where it ends. */
static bool head_read(const u8 *p, size_t left, struct head *h)
{
	size_t ext;

	if (left < 2)
		return false;
	*h = (struct head){p[0] >> 7, p[1] >> 7, (p[0] >> 4) & 7, p[0] & 15, p[1] & 127, 2};
	ext = h->n == 126 ? 2 : h->n == 127 ? 8 : 0;
	h->size = 2 + ext + (h->masked ? 4 : 0);
	if (h->op >= 8 && (h->n > 125 || !h->fin))
		return true; /* refused for its first two bytes */
	if (left < 2 + ext)
		return false;
	if (ext != 0)
		h->n = 0;
	for (size_t i = 0; i < ext; i++)
		h->n = h->n << 8 | p[2 + i];
	return ext != 0 || left >= h->size;
}

/* What a Close frame says. */
static void bye(const u8 *b, size_t n, struct result *r)
{
	u32 code = n >= 2 ? (u32)b[0] << 8 | b[1] : 0;
	bool good = code >= 1000 && code < 5000 && !(code >= 1012 && code < 3000) &&
		    !(code >= 1004 && code <= 1006);

	r->end = n != 0 && (!good || !utf8_ok(slice_of(b + 2, n - 2))) ? E_WEBSOCKET : E_EOF;
	r->code = (u16)(n == 0 ? 0 : !good ? 1002 : r->end == E_WEBSOCKET ? 1007 : code);
}

static bool stop(struct result *r, u16 code, enum err why)
{
	r->code = code;
	r->end = (u8)why;
	return false;
}

/* May this frame come now? */
static bool lawful(const struct head *h, u32 *open, u32 *empty, struct result *r)
{
	if (!h->masked || h->rsv != 0 || (h->op > 2 && h->op < 8) || h->op > 10)
		return stop(r, 1002, E_WEBSOCKET);
	if (h->op < 8 && (h->op == 0) != (*open != 0))
		return stop(r, 1002, E_WEBSOCKET);
	if (h->op == 1)
		return stop(r, 1003, E_WEBSOCKET);
	if (h->op < 8 && h->n > LIM_WS_FRAME)
		return stop(r, 1009, E_TOO_LARGE);
	if (h->op < 8 && *open == LIM_WS_FRAGMENTS)
		return stop(r, 1008, E_RATE);
	if (h->op < 8)
		*open = h->fin ? 0 : *open + 1;
	if ((h->op >= 8 || h->n == 0) && ++*empty > LIM_WS_EMPTY_BURST)
		return stop(r, 1008, E_RATE);
	return true;
}

/* Header faults that show before any payload does. */
static bool shaped(const struct head *h, const u8 *p, struct result *r)
{
	u8 seven = p[1] & 127;

	if (h->op >= 8 && (seven > 125 || !h->fin))
		return stop(r, 1002, E_WEBSOCKET);
	if ((seven == 126 && h->n < 126) || (seven == 127 && (h->n < 65536 || h->n >> 63)))
		return stop(r, 1002, E_WEBSOCKET);
	return true;
}

static void plain(const u8 *data, size_t size, struct result *r)
{
	u32 open = 0, empty = 0;
	struct head h;
	u8 control[WS_CONTROL];

	*r = (struct result){.out = r->out, .pong_n = -1};
	for (size_t at = 0; head_read(data + at, size - at, &h);) {
		size_t have;
		if (!shaped(&h, data + at, r) || size - at < h.size)
			return;
		have = (size_t)MIN(h.n, (u64)(size - at - h.size));
		if (have == 0 && h.n != 0) /* its header alone is not judged yet */
			return;
		if (!lawful(&h, &open, &empty, r))
			return;
		for (size_t i = 0; i < have; i++) {
			u8 b = data[at + h.size + i] ^ data[at + h.size - 4 + i % 4];
			if (h.op >= 8)
				control[i] = b;
			else
				r->out[r->n++] = b;
		}
		if (have < h.n)
			return;
		at += h.size + have;
		if (h.op == 9) {
			memcpy(r->pong, control, have);
			r->pong_n = (int)have;
		}
		if (h.op == 8) {
			bye(control, have, r);
			return;
		}
	}
}

static void same(const struct result *a, const struct result *b)
{
	ASSERT(a->end == b->end && a->code == b->code);
	ASSERT(a->n == b->n && (a->n == 0 || memcmp(a->out, b->out, a->n) == 0));
	ASSERT(a->pong_n == b->pong_n);
	ASSERT(a->pong_n <= 0 || memcmp(a->pong, b->pong, (size_t)a->pong_n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole = {0}, cut = {0}, other = {0};
	u32 seed = size != 0 ? data[size - 1] | 1u : 1;

	if (tools == NULL)
		tools = ws_tools_new();
	if (size == 0)
		return 0;
	whole.out = xmalloc(size);
	cut.out = xmalloc(size);
	other.out = xmalloc(size);
	run(data, size, 0, &whole);
	run(data, size, seed, &cut);
	plain(data, size, &other);
	same(&whole, &cut);
	same(&whole, &other);
	free(whole.out);
	free(cut.out);
	free(other.out);
	return 0;
}
