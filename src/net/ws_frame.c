/* ws_frame: frames in and out, through wslay.
 *
 * wslay reads headers, lengths and masks; which frames a client may send, in what order and how
 * many is decided here.  One of its contexts takes 4 KiB, so a connection has one only while a
 * frame has begun and not ended; between frames the loop's spare one serves whoever comes. */
#include <stdlib.h>

#include <wslay/wslay.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "net/ws.h"

#define WS_MAGIC       0x57536f63u
#define WS_TOOLS_MAGIC 0x5773546fu

struct ws_reader {
	wslay_frame_context_ptr ctx;
	const u8 *from; /* what came and wslay has not taken yet; only inside ws_take */
	size_t left;
	u64 taken;   /* bytes that wslay took since this frame's boundary, */
	u64 got;     /* bytes of payload among them, */
	bool begun;  /* and whether its header was whole */
	bool secret; /* something that has to be wiped went through */
	u8 control_n;
	u8 control[WS_CONTROL]; /* payload of the control frame that is coming */
};

struct ws_tools {
	u32 magic;
	wslay_frame_context_ptr writer;
	u8 *to; /* where the writer writes, only inside ws_put_ */
	size_t to_n;
	struct ws_reader *spare; /* at a boundary; NULL: lent */
};

/* ---- wslay's side ------------------------------------------------------------------------------
 */
static ssize_t give(u8 *buf, size_t cap, int flags, void *arg)
{
	struct ws_reader *in = arg;
	size_t n = MIN(cap, in->left);

	if (n == 0)
		return 0; /* wslay: none for now */
	ASSERT(in->from != NULL);
	memcpy(buf, in->from, n);
	in->from += n;
	in->left -= n;
	in->taken += n;
	return (ssize_t)n;
}

static ssize_t collect(const u8 *data, size_t n, int flags, void *arg)
{
	struct ws_tools *t = arg;

	OBJ_CHECK(t, WS_TOOLS_MAGIC);
	ASSERT(t->to_n + n <= LIM_WS_SEND + WS_HEAD);
	memcpy(t->to + t->to_n, data, n);
	t->to_n += n;
	return (ssize_t)n;
}

static const struct wslay_frame_callbacks callbacks = {.send_callback = collect,
						       .recv_callback = give};

static struct ws_reader *reader_new(void)
{
	struct ws_reader *in = calloc(1, sizeof(*in));

	if (in != NULL && wslay_frame_context_init(&in->ctx, &callbacks, in) != 0) {
		free(in);
		return NULL;
	}
	return in;
}

static void reader_free(struct ws_reader **inp)
{
	struct ws_reader *in = *inp;

	*inp = NULL;
	if (in == NULL)
		return;
	/* wslay frees its context with free alone; what went through its buffer may be secret. */
	mem_wipe_free(in->ctx);
	mem_wipe_free(in);
}

struct ws_tools *ws_tools_new(void)
{
	struct ws_tools *t = xcalloc(1, sizeof(*t));

	t->magic = WS_TOOLS_MAGIC;
	t->spare = reader_new();
	ASSERT(t->spare != NULL);
	ASSERT(wslay_frame_context_init(&t->writer, &callbacks, t) == 0);
	return t;
}

void ws_tools_free(struct ws_tools **tp)
{
	struct ws_tools *t = *tp;

	*tp = NULL;
	OBJ_CHECK(t, WS_TOOLS_MAGIC);
	reader_free(&t->spare);
	wslay_frame_context_free(t->writer);
	t->magic = 0;
	free(t);
}

/* ---- life --------------------------------------------------------------------------------------
 */
struct ws *ws_new(u64 now_ms)
{
	struct ws *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->magic = WS_MAGIC;
	w->empty_ms = now_ms;
	return w;
}

void ws_free(struct ws **wp)
{
	struct ws *w = *wp;

	*wp = NULL;
	OBJ_CHECK(w, WS_MAGIC);
	reader_free(&w->in);
	free(w->pong);
	w->magic = 0;
	free(w);
}

static struct ws_reader *reader_borrow(struct ws *w, struct ws_tools *t)
{
	struct ws_reader *in = w->in;

	if (in != NULL) /* in the middle of a frame */
		return in;
	in = t->spare != NULL ? t->spare : reader_new();
	t->spare = NULL;
	return in;
}

/* Between frames nothing is kept; what held a secret is not lent again. */
static void reader_return(struct ws *w, struct ws_tools *t, struct ws_reader *in)
{
	ASSERT(in->ctx != NULL);
	ASSERT(w->in == NULL || w->in == in);
	in->from = NULL;
	w->in = in;
	if (w->end == E_OK && (in->begun || in->taken != 0))
		return;
	if (w->end == E_OK && !in->secret && t->spare == NULL) {
		t->spare = in;
		w->in = NULL;
		return;
	}
	reader_free(&w->in);
}

/* ---- rules (RFC 6455 sections 5.1, 5.2, 5.4, 5.5) ----------------------------------------------
 */
static bool fail(struct ws *w, u16 code, enum err why)
{
	ASSERT(w->end == E_OK);
	ASSERT(why != E_OK);
	w->code = code;
	w->end = (u8)why;
	return false;
}

/* A frame that brings nothing costs its sender six bytes, so it is rationed. */
static bool ration(struct ws *w, u64 now_ms)
{
	u64 earned = (now_ms - w->empty_ms) * LIM_WS_EMPTY_RATE / 1000;

	ASSERT(now_ms >= w->empty_ms);
	ASSERT(w->empty <= LIM_WS_EMPTY_BURST);
	if (earned != 0) {
		w->empty -= (u32)MIN(earned, (u64)w->empty);
		w->empty_ms = now_ms;
	}
	if (w->empty == LIM_WS_EMPTY_BURST)
		return fail(w, WSLAY_CODE_POLICY_VIOLATION, E_RATE);
	w->empty++;
	return true;
}

/* SPEC MQTT-6.0.0-1: any data frame that is not binary ends the connection. */
static bool data_frame_ok(struct ws *w, const struct wslay_frame_iocb *f)
{
	bool first = f->opcode != WSLAY_CONTINUATION_FRAME;

	ASSERT(w->fragments <= LIM_WS_FRAGMENTS);
	ASSERT(f->opcode <= WSLAY_BINARY_FRAME);
	if (first == (w->fragments != 0)) /* one message at a time */
		return fail(w, WSLAY_CODE_PROTOCOL_ERROR, E_WEBSOCKET);
	if (f->opcode == WSLAY_TEXT_FRAME)
		return fail(w, WSLAY_CODE_UNSUPPORTED_DATA, E_WEBSOCKET);
	if (f->payload_length > LIM_WS_FRAME)
		return fail(w, WSLAY_CODE_MESSAGE_TOO_BIG, E_TOO_LARGE);
	if (w->fragments == LIM_WS_FRAGMENTS)
		return fail(w, WSLAY_CODE_POLICY_VIOLATION, E_RATE);
	w->fragments = f->fin ? 0 : w->fragments + 1;
	return true;
}

static bool frame_ok(struct ws *w, const struct wslay_frame_iocb *f, u64 now_ms)
{
	if (!f->mask || f->rsv != 0)
		return fail(w, WSLAY_CODE_PROTOCOL_ERROR, E_WEBSOCKET);
	switch (f->opcode) {
	case WSLAY_CONTINUATION_FRAME:
	case WSLAY_TEXT_FRAME:
	case WSLAY_BINARY_FRAME:
		return data_frame_ok(w, f) && (f->payload_length != 0 || ration(w, now_ms));
	case WSLAY_CONNECTION_CLOSE:
	case WSLAY_PING:
	case WSLAY_PONG:
		ASSERT(f->payload_length <= WS_CONTROL); /* wslay's check */
		return ration(w, now_ms);
	default:
		return fail(w, WSLAY_CODE_PROTOCOL_ERROR, E_WEBSOCKET);
	}
}

/* What an endpoint may put into a Close frame (section 7.4). */
static bool code_ok(u32 code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1011) ||
	       (code >= 3000 && code <= 4999);
}

/* The same code goes back (section 5.5.1). */
static void took_close(struct ws *w, struct slice payload)
{
	u32 code;

	ASSERT(payload.n <= WS_CONTROL);
	ASSERT(w->code == 0);
	if (payload.n == 0) {
		w->end = E_EOF;
		return;
	}
	code = payload.n >= 2 ? (u32)payload.p[0] << 8 | payload.p[1] : 0;
	if (!code_ok(code))
		fail(w, WSLAY_CODE_PROTOCOL_ERROR, E_WEBSOCKET);
	else if (!utf8_ok(slice_skip(payload, 2)))
		fail(w, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, E_WEBSOCKET);
	else
		fail(w, (u16)code, E_EOF);
}

/* At most one pong is owed: the one to the latest ping (section 5.5.3). */
static void took_ping(struct ws *w, struct slice payload)
{
	ASSERT(payload.n <= WS_CONTROL);
	if (w->pong == NULL)
		w->pong = malloc(WS_CONTROL);
	if (w->pong == NULL) {
		fail(w, WSLAY_CODE_INTERNAL_SERVER_ERROR, E_NOMEM);
		return;
	}
	if (payload.n != 0)
		memcpy(w->pong, payload.p, payload.n);
	w->pong_n = (u8)payload.n;
}

static void frame_ended(struct ws *w, struct ws_reader *in, const struct wslay_frame_iocb *f)
{
	u64 n = f->payload_length, head = 2 + 4; /* with its mask */
	struct slice control = slice_of(in->control, in->control_n);

	ASSERT(in->begun && in->got == n);
	head += n < 126 ? 0 : n < 65536 ? 2 : 8; /* wslay takes the shortest form only */
	ASSERT(in->taken >= head + n);
	in->taken -= head + n;
	in->got = 0;
	in->begun = false;
	in->control_n = 0;
	if (f->opcode == WSLAY_CONNECTION_CLOSE)
		took_close(w, control);
	else if (f->opcode == WSLAY_PING)
		took_ping(w, control);
}

/* A piece of a frame; its payload goes to out when it is data.  Returns how much did. */
static size_t piece(struct ws *w, struct ws_reader *in, const struct wslay_frame_iocb *f, u8 *out,
		    u64 now_ms)
{
	bool control = wslay_is_ctrl_frame(f->opcode);

	if (!in->begun && !frame_ok(w, f, now_ms))
		return 0;
	in->begun = true;
	in->got += f->data_length;
	ASSERT(in->got <= f->payload_length);
	if (f->data_length != 0)
		memcpy(control ? in->control + in->control_n : out, f->data, f->data_length);
	in->control_n = (u8)(control ? in->got : 0);
	if (in->got == f->payload_length)
		frame_ended(w, in, f);
	return control ? 0 : f->data_length;
}

size_t ws_take(struct ws *w, struct ws_tools *t, u8 *p, size_t n, u64 now_ms, enum ws_wipe secret)
{
	struct ws_reader *in = reader_borrow(w, t);
	struct wslay_frame_iocb f = {0};
	size_t out = 0;
	ssize_t r = 0;

	OBJ_CHECK(w, WS_MAGIC);
	OBJ_CHECK(t, WS_TOOLS_MAGIC);
	ASSERT(w->end == E_OK);
	if (in == NULL) {
		fail(w, WSLAY_CODE_INTERNAL_SERVER_ERROR, E_NOMEM);
		return 0;
	}
	in->from = p;
	in->left = n;
	in->secret |= secret == WS_SECRET;
	while (w->end == E_OK && (r = wslay_frame_recv(in->ctx, &f)) >= 0) {
		out += piece(w, in, &f, p + out, now_ms);
		/* Payload is never ahead of what was read, so this may be done in place. */
		ASSERT(out <= n - in->left);
	}
	if (w->end == E_OK && r != WSLAY_ERR_WANT_READ)
		fail(w, WSLAY_CODE_PROTOCOL_ERROR, E_WEBSOCKET);
	ASSERT(w->end != E_OK || in->left == 0);
	reader_return(w, t, in);
	return out;
}

/* ---- out ---------------------------------------------------------------------------------------
 */
/* The writer is always between frames: a frame is made whole. */
static size_t put(struct ws_tools *t, u8 opcode, const struct iovec *iov, int n, u8 *out)
{
	struct wslay_frame_iocb f = {.fin = 1, .opcode = opcode};

	OBJ_CHECK(t, WS_TOOLS_MAGIC);
	for (int i = 0; i < n; i++)
		f.payload_length += iov[i].iov_len;
	ASSERT(f.payload_length <= LIM_WS_SEND);
	t->to = out;
	t->to_n = 0;
	if (f.payload_length == 0 && wslay_frame_send(t->writer, &f) != 0)
		UNREACHABLE("collect takes all");
	for (int i = 0; i < n; i++) {
		f.data = iov[i].iov_base;
		f.data_length = iov[i].iov_len;
		if (f.data_length != 0 && wslay_frame_send(t->writer, &f) != (ssize_t)f.data_length)
			UNREACHABLE("collect takes all");
	}
	ASSERT(t->to_n >= f.payload_length + 2 && t->to_n <= f.payload_length + WS_HEAD);
	return t->to_n;
}

size_t ws_put_data(struct ws_tools *t, const struct iovec *iov, int n, u8 *out)
{
	ASSERT(n > 0);
	return put(t, WSLAY_BINARY_FRAME, iov, n, out);
}

size_t ws_put_pong(struct ws *w, struct ws_tools *t, u8 *out)
{
	struct iovec iov = {w->pong, w->pong_n};
	size_t n;

	OBJ_CHECK(w, WS_MAGIC);
	ASSERT(w->pong != NULL && !w->said_bye);
	n = put(t, WSLAY_PONG, &iov, 1, out);
	free(w->pong);
	w->pong = NULL;
	return n;
}

static u16 code_of(enum err why)
{
	if (why == E_OK || why == E_EOF)
		return WSLAY_CODE_NORMAL_CLOSURE;
	return why == E_SHUTDOWN ? WSLAY_CODE_GOING_AWAY : WSLAY_CODE_POLICY_VIOLATION;
}

size_t ws_put_close(struct ws *w, struct ws_tools *t, enum err why, u8 *out)
{
	u16 code = w->end != E_OK ? w->code : code_of(why);
	u8 b[2] = {(u8)(code >> 8), (u8)code};
	struct iovec iov = {b, code != 0 ? sizeof(b) : 0};

	OBJ_CHECK(w, WS_MAGIC);
	ASSERT(!w->said_bye);
	w->said_bye = true;
	return put(t, WSLAY_CONNECTION_CLOSE, &iov, 1, out);
}
