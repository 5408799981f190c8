/* Frames: payload comes out however it was framed and cut; every broken rule ends with its code and
 * no byte of what broke it; what a peer may send without payload is rationed; nothing is held
 * between frames.  And what we send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ws_client.h"

static struct ws_tools *tools;
static struct wire in;
static u8 out[sizeof(in.b)];
static size_t out_n;

static int setup(void **state)
{
	tools = ws_tools_new();
	return 0;
}

static int teardown(void **state)
{
	ws_tools_free(&tools);
	return 0;
}

/* Give `in` in pieces of step bytes; what comes out stands in `out`. */
static void feed(struct ws *w, size_t step, u64 now_ms)
{
	u8 *piece = xmalloc(step);

	out_n = 0;
	for (size_t at = 0; at < in.n && w->end == E_OK; at += step) {
		size_t n = MIN(step, in.n - at), got;
		memcpy(piece, in.b + at, n);
		got = ws_take(w, tools, piece, n, now_ms, WS_OPEN);
		assert_true(got <= n);
		memcpy(out + out_n, piece, got);
		out_n += got;
	}
	free(piece);
}

static struct ws *fresh(void)
{
	in.n = 0;
	return ws_new(1000);
}

static void came(const void *p, size_t n)
{
	assert_int_equal(out_n, n);
	assert_memory_equal(out, p, n);
}

static void test_whole_and_cut(void **state)
{
	static u8 big[70000];
	static const size_t sizes[] = {1, 125, 126, 127, 300, 65535, 65536, sizeof(big)};
	static const size_t steps[] = {1, 2, 7, 4096, 4097, 1 << 20};

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (u8)(i * 31 + i / 256);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
			struct ws *w = fresh();
			wire_frame(&in, OP_BINARY, true, big, sizes[i]);
			feed(w, steps[k], 1000);
			assert_int_equal(w->end, E_OK);
			came(big, sizes[i]);
			assert_null(w->in); /* nothing is held between frames */
			ws_free(&w);
		}
	}
}

/* A message in fragments with a ping between, two frames at once, one empty: one stream of bytes.
 */
static void test_stream(void **state)
{
	for (size_t step = 1; step < 60; step++) {
		struct ws *w = fresh();
		wire_frame(&in, OP_BINARY, false, "ab", 2);
		wire_frame(&in, OP_PING, true, "are you there", 13);
		wire_frame(&in, OP_CONT, false, "", 0);
		wire_frame(&in, OP_PONG, true, "unasked", 7);
		wire_frame(&in, OP_CONT, true, "cd", 2);
		wire_frame(&in, OP_BINARY, true, "ef", 2);
		feed(w, step, 1000);
		assert_int_equal(w->end, E_OK);
		came("abcdef", 6);
		assert_int_equal(w->pong_n, 13);
		assert_memory_equal(w->pong, "are you there", 13);
		assert_null(w->in);
		ws_free(&w);
	}
}

/* A reader is lent while a frame is unfinished, even inside its header, and two connections do not
 * see each other's. */
static void test_unfinished_apart(void **state)
{
	struct ws *a = fresh(), *b = ws_new(1000);
	u8 piece[32];

	wire_frame(&in, OP_BINARY, true, "first", 5);
	for (size_t cut = 1; cut < in.n; cut++) {
		memcpy(piece, in.b, cut);
		(void)!ws_take(a, tools, piece, cut, 1000, WS_OPEN);
		assert_non_null(a->in);
		feed(b, in.n, 1000);
		came("first", 5);
		assert_null(b->in);
		memcpy(piece, in.b + cut, in.n - cut);
		(void)!ws_take(a, tools, piece, in.n - cut, 1000, WS_OPEN);
		assert_null(a->in);
	}
	/* Freed in the middle of one. */
	memcpy(piece, in.b, 3);
	(void)!ws_take(a, tools, piece, 3, 1000, WS_SECRET);
	ws_free(&a);
	ws_free(&b);
}

/* ---- rules ---- */
/* After one good frame, what stands in `in` behind it ends the connection with this code, and only
 * the good frame's payload comes out, at every cut. */
static void broken_as(u16 code, enum err why)
{
	for (size_t step = 1; step <= in.n; step++) {
		struct ws *w = ws_new(1000);
		feed(w, step, 1000);
		assert_int_equal(w->end, why);
		assert_int_equal(w->code, code);
		assert_null(w->in);
		came("ok", 2);
		ws_free(&w);
	}
}

static void good_first(void)
{
	in.n = 0;
	wire_frame(&in, OP_BINARY, true, "ok", 2);
}

static void raw_frame(u8 first, u8 mask_bit, u64 len, u32 width)
{
	good_first();
	wire_head(&in, first, mask_bit, len, width);
	if (mask_bit)
		wire_masked(&in, "xxxx", 4);
	else
		memcpy(in.b + in.n, "xxxx", 4), in.n += 4;
}

static void test_masks_and_bits(void **state)
{
	raw_frame(0x82, 0, 4, 7);
	broken_as(1002, E_WEBSOCKET);
	for (u8 rsv = 0x10; rsv <= 0x70; rsv = (u8)(rsv + 0x10)) {
		raw_frame(0x82 | rsv, 0x80, 4, 7);
		broken_as(1002, E_WEBSOCKET);
	}
	for (u8 op = 3; op < 16; op++) {
		if (op >= OP_CLOSE && op <= OP_PONG)
			continue;
		raw_frame(0x80 | op, 0x80, 4, 7);
		broken_as(1002, E_WEBSOCKET);
	}
	raw_frame(0x81, 0x80, 4, 7); /* MQTT-6.0.0-1 */
	broken_as(1003, E_WEBSOCKET);
}

static void test_lengths(void **state)
{
	raw_frame(0x82, 0x80, UINT64_MAX, 64);
	broken_as(1002, E_WEBSOCKET);
	raw_frame(0x82, 0x80, 1ull << 63, 64);
	broken_as(1002, E_WEBSOCKET);
	raw_frame(0x82, 0x80, 4, 64);
	broken_as(1002, E_WEBSOCKET);
	raw_frame(0x82, 0x80, 65535, 64);
	broken_as(1002, E_WEBSOCKET);
	raw_frame(0x82, 0x80, 4, 16);
	broken_as(1002, E_WEBSOCKET);
	raw_frame(0x82, 0x80, (1ull << 63) - 1, 64);
	broken_as(1009, E_TOO_LARGE);
	raw_frame(0x82, 0x80, LIM_WS_FRAME + 1, 64);
	broken_as(1009, E_TOO_LARGE);
}

static void test_longest(void **state)
{
	struct ws *w = fresh();

	wire_head(&in, 0x82, 0x80, LIM_WS_FRAME, 64);
	wire_masked(&in, "xxxx", 4);
	feed(w, in.n, 1000);
	assert_int_equal(w->end, E_OK);
	came("xxxx", 4);
	assert_non_null(w->in);
	ws_free(&w);
}

static void test_control_frames(void **state)
{
	raw_frame(0x89, 0x80, 126, 16);
	broken_as(1002, E_WEBSOCKET);
	raw_frame(0x09, 0x80, 4, 7); /* in fragments */
	broken_as(1002, E_WEBSOCKET);
	raw_frame(0x08, 0x80, 4, 7);
	broken_as(1002, E_WEBSOCKET);
}

static void test_fragments(void **state)
{
	raw_frame(0x80, 0x80, 4, 7); /* goes on with nothing */
	broken_as(1002, E_WEBSOCKET);
	good_first();
	wire_frame(&in, OP_BINARY, false, "", 0);
	wire_frame(&in, OP_BINARY, true, "xx", 2); /* a message inside a message */
	broken_as(1002, E_WEBSOCKET);
	good_first();
	wire_frame(&in, OP_BINARY, false, "", 0);
	wire_frame(&in, OP_TEXT, true, "xx", 2);
	broken_as(1002, E_WEBSOCKET);
}

static void test_most_fragments(void **state)
{
	struct ws *w = fresh();

	wire_frame(&in, OP_BINARY, false, "x", 1);
	for (u32 i = 1; i < LIM_WS_FRAGMENTS; i++)
		wire_frame(&in, OP_CONT, false, "x", 1);
	feed(w, 1000, 1000);
	assert_int_equal(w->end, E_OK);
	assert_int_equal(out_n, LIM_WS_FRAGMENTS);
	in.n = 0;
	wire_frame(&in, OP_CONT, true, "x", 1);
	feed(w, 1000, 1000);
	assert_int_equal(w->end, E_RATE);
	assert_int_equal(w->code, 1008);
	assert_int_equal(out_n, 0);
	ws_free(&w);
}

/* ---- what costs its sender nothing ---- */
static void flood(u8 op, bool fin)
{
	struct ws *w = fresh();

	for (u32 i = 0; i < LIM_WS_EMPTY_BURST; i++)
		wire_frame(&in, i != 0 && !fin ? OP_CONT : op, fin, "", 0);
	feed(w, 4096, 1000);
	assert_int_equal(w->end, E_OK);
	/* So many more a second later, and no more. */
	in.n = 0;
	for (u32 i = 0; i < LIM_WS_EMPTY_RATE; i++)
		wire_frame(&in, fin ? op : OP_CONT, fin, "", 0);
	feed(w, 4096, 2000);
	assert_int_equal(w->end, E_OK);
	in.n = 0;
	wire_frame(&in, fin ? op : OP_CONT, fin, "", 0);
	feed(w, 4096, 2000);
	assert_int_equal(w->end, E_RATE);
	assert_int_equal(w->code, 1008);
	ws_free(&w);
}

static void test_floods(void **state)
{
	flood(OP_PING, true);
	flood(OP_PONG, true);
	flood(OP_BINARY, true);
	flood(OP_BINARY, false);
}

/* Frames that bring something are not rationed here, however small. */
static void test_small_frames(void **state)
{
	struct ws *w = fresh();

	for (u32 i = 0; i < 20000; i++)
		wire_frame(&in, OP_BINARY, true, "x", 1);
	feed(w, 4096, 1000);
	assert_int_equal(w->end, E_OK);
	assert_int_equal(out_n, 20000);
	ws_free(&w);
}

/* ---- close ---- */
static void closes(const void *payload, size_t n, u16 code, enum err why)
{
	good_first();
	wire_frame(&in, OP_CLOSE, true, payload, n);
	wire_frame(&in, OP_BINARY, true, "xx", 2); /* nothing after it counts */
	for (size_t step = 1; step <= in.n; step++) {
		struct ws *w = ws_new(1000);
		feed(w, step, 1000);
		assert_int_equal(w->end, why);
		assert_int_equal(w->code, code);
		came("ok", 2);
		ws_free(&w);
	}
}

static void test_close(void **state)
{
	static const u16 bad[] = {0, 999, 1004, 1005, 1006, 1012, 1015, 2999, 5000, 65535};

	closes("", 0, 0, E_EOF);
	closes("\x03\xe8", 2, 1000, E_EOF);
	closes("\x03\xe9going", 7, 1001, E_EOF);
	closes("\x0f\xa0own", 5, 4000, E_EOF);
	closes("\x03", 1, 1002, E_WEBSOCKET);
	closes("\x03\xe8\xff\xfe", 4, 1007, E_WEBSOCKET);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		u8 b[2] = {(u8)(bad[i] >> 8), (u8)bad[i]};
		closes(b, 2, 1002, E_WEBSOCKET);
	}
}

/* ---- out ---- */
static void test_pong(void **state)
{
	struct ws *w = fresh();
	u8 most[WS_CONTROL], b[WS_CONTROL + WS_HEAD];

	memset(most, 'p', sizeof(most));
	wire_frame(&in, OP_PING, true, "old", 3);
	wire_frame(&in, OP_PING, true, most, sizeof(most));
	feed(w, in.n, 1000);
	assert_int_equal(ws_put_pong(w, tools, b), 127); /* the latest alone */
	assert_int_equal(b[0], 0x8a);
	assert_int_equal(b[1], 125);
	assert_memory_equal(b + 2, most, 125);
	assert_null(w->pong);
	in.n = 0;
	wire_frame(&in, OP_PING, true, "", 0);
	feed(w, in.n, 1000);
	assert_int_equal(ws_put_pong(w, tools, b), 2);
	assert_memory_equal(b, "\x8a\x00", 2);
	ws_free(&w);
}

static void test_data_out(void **state)
{
	static u8 p[LIM_WS_SEND], b[LIM_WS_SEND + WS_HEAD];
	struct iovec iov[] = {{p, 100}, {p, 0}, {p + 100, 25}, {p + 125, LIM_WS_SEND - 125}};

	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (u8)(i * 7);
	assert_int_equal(ws_put_data(tools, iov, 3, b), 127);
	assert_memory_equal(b, "\x82\x7d", 2);
	assert_memory_equal(b + 2, p, 125);
	assert_int_equal(ws_put_data(tools, iov, 4, b), sizeof(b));
	assert_memory_equal(b, "\x82\x7e\x3f\xfc", 4);
	assert_memory_equal(b + 4, p, sizeof(p));
}

static void close_is(struct ws *w, enum err why, const char *bytes, size_t n)
{
	u8 b[WS_CONTROL + WS_HEAD];

	assert_int_equal(ws_put_close(w, tools, why, b), n);
	assert_memory_equal(b, bytes, n);
	assert_true(w->said_bye);
	ws_free(&w);
}

static void test_close_out(void **state)
{
	struct ws *w = fresh();

	wire_frame(&in, OP_CLOSE, true, "", 0);
	feed(w, in.n, 1000);
	close_is(w, E_EOF, "\x88\x00", 2);
	w = fresh();
	wire_frame(&in, OP_TEXT, true, "x", 1);
	feed(w, in.n, 1000);
	close_is(w, E_WEBSOCKET, "\x88\x02\x03\xeb", 4);
	close_is(ws_new(0), E_OK, "\x88\x02\x03\xe8", 4);
	close_is(ws_new(0), E_SHUTDOWN, "\x88\x02\x03\xe9", 4);
	close_is(ws_new(0), E_TAKEN_OVER, "\x88\x02\x03\xf0", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_and_cut),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_unfinished_apart),
		cmocka_unit_test(test_masks_and_bits),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_control_frames),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_most_fragments),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_small_frames),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_pong),
		cmocka_unit_test(test_data_out),
		cmocka_unit_test(test_close_out),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
