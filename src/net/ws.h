/* ws: the server's side of WebSocket (RFC 6455), as two pure machines between bytes and bytes: the
 * upgrade is judged in ws_upgrade.c, frames are taken apart and made in ws_frame.c.  Inside net
 * only; whose bytes these are is conn's business.
 *
 * A hostile wrapper: binary frames only, masked, no extension, nothing assembled.  Payload is
 * passed on as it comes, so a frame or a message of any length holds no memory; what a peer can
 * send without payload (control frames, empty frames) is rationed, fragments are counted. */
#ifndef PICKET_NET_WS_H
#define PICKET_NET_WS_H

#include <sys/uio.h>

#include "net/forwarded.h"
#include "net/http.h"
#include "net/net.h"

/* ---- the upgrade -------------------------------------------------------------------------------
 */
struct net_greeting {
	u32 magic;
	_Atomic u32 refs;
	u32 protocols;
	u64 first_ms, upgrade_ms;
	char path[NET_PATH];
	u32 origins;
	char origin[][NET_ORIGIN];
};

/* Why a request is refused: what it is told (an HTTP status and phrase) and what the log says.
 * Ours; constant, so that a refusal says nothing about this broker (I31). */
#define UPGRADE_TABLE(X)                                                                           \
	X(OK, 101, "Switching Protocols", OK, "")                                                  \
	X(MALFORMED, 400, "Bad Request", MALFORM, "not a well-formed HTTP/1.1 request")            \
	X(TOO_LARGE, 431, "Request Header Fields Too Large", TOO_LARGE,                            \
	  "more than 8 KiB or 64 fields of HTTP header")                                           \
	X(TIMEOUT, 408, "Request Timeout", TIMEOUT, "the HTTP request took too long")              \
	X(METHOD, 405, "Method Not Allowed", PROTO, "an HTTP method other than GET")               \
	X(HTTP_VERSION, 505, "HTTP Version Not Supported", VERSION, "HTTP/1.0")                    \
	X(HOST, 400, "Bad Request", MALFORM, "no Host, or more than one")                          \
	X(BODY, 400, "Bad Request", PROTO, "an HTTP request with a body")                          \
	X(DISABLED, 404, "Not Found", PROTO, "WebSocket is not spoken on this listener")           \
	X(PATH, 404, "Not Found", NOT_FOUND, "a path other than the listener's")                   \
	X(NO_UPGRADE, 426, "Upgrade Required", PROTO,                                              \
	  "an HTTP request that asks for no WebSocket")                                            \
	X(WS_VERSION, 426, "Upgrade Required", VERSION, "a WebSocket version other than 13")       \
	X(KEY, 400, "Bad Request", MALFORM, "a Sec-WebSocket-Key that is no 16 bytes of base64")   \
	X(ORIGINS, 400, "Bad Request", MALFORM, "more than one Origin")                            \
	X(ORIGIN, 403, "Forbidden", DENIED, "a foreign Origin")                                    \
	X(FORWARDED, 400, "Bad Request", MALFORM,                                                  \
	  "an X-Forwarded-For of a proxy that names no address")                                   \
	X(SUBPROTOCOL, 400, "Bad Request", PROTO, "the subprotocol mqtt was not offered")
#define X(name, status, phrase, err, text) UPGRADE_##name,
enum upgrade { UPGRADE_TABLE(X) UPGRADE_N };
#undef X

enum { LIM_UPGRADE_ANSWER = 512 };

/* Where a request came: over TLS, and to a name that our certificate has. */
struct upgrade_place {
	bool tls, named;
};
/* May it be upgraded? */
enum upgrade upgrade_judge(const struct http_head *h, const struct net_greeting *g,
			   struct upgrade_place at) MUST;
/* The name or address of its Host, without port and brackets. */
struct slice upgrade_host(const struct http_head *h) MUST;
/* The answer to a request that was judged UPGRADE_OK: 101.  Returns its bytes; out has at least
 * LIM_UPGRADE_ANSWER. */
size_t upgrade_accept(const struct http_head *h, u8 *out, size_t cap) MUST;
/* The answer to any other. */
size_t upgrade_refuse(enum upgrade why, u8 *out, size_t cap) MUST;
enum err upgrade_err(enum upgrade why) MUST;
const char *upgrade_text(enum upgrade why) MUST;

/* ---- frames ------------------------------------------------------------------------------------
 */
enum {
	LIM_WS_FRAME = (1 << 28) + 4096,   /* payload of one frame: the largest packet fits */
	LIM_WS_FRAGMENTS = 4096,	   /* of one message */
	LIM_WS_EMPTY_BURST = 100,	   /* frames without payload for us ... */
	LIM_WS_EMPTY_RATE = 10,		   /* ... and so many more a second */
	WS_HEAD = 4,			   /* bytes of header of a frame that we send, at most */
	LIM_WS_SEND = 16 * 1024 - WS_HEAD, /* payload of a frame that we send: one TLS record */
	WS_CONTROL = 125,		   /* payload of a control frame (section 5.5) */
};

/* What a loop has once for all its connections: wslay's contexts, which are large. */
struct ws_tools;
struct ws_tools *ws_tools_new(void);
void ws_tools_free(struct ws_tools **t);

struct ws_reader; /* a frame that has begun and not ended */

/* One connection.  Small: between frames it holds nothing but this. */
struct ws {
	u32 magic;
	u16 code;      /* of the Close frame that is owed; 0: one without a code */
	u8 end;	       /* enum err: nothing more is read, for this reason; E_OK: goes on */
	bool said_bye; /* our Close frame is made */
	u8 pong_n;
	u8 *pong;	      /* the payload of the pong that is owed, the latest only */
	struct ws_reader *in; /* NULL: at a boundary between frames */
	u32 fragments;	      /* of the message that is open; 0: none is */
	u32 left;	      /* of the message of the protocol above that is being sent */
	u32 empty;	      /* spent of the ration of empty frames, at empty_ms */
	u64 empty_ms;
};
_Static_assert(sizeof(struct ws) <= 56, "an idle WebSocket is small");

struct ws *ws_new(u64 now_ms); /* NULL: no memory */
void ws_free(struct ws **w);   /* wipes */

/* n bytes came and stand at p: leaves the payload of their data frames there, from the beginning,
 * and returns its length (never more than n).  What else they say is in w afterwards: end and code
 * when a frame broke a rule or was a Close, pong.  WS_SECRET: what wslay holds of it is wiped. Only
 * while w->end is E_OK. */
enum ws_wipe { WS_OPEN, WS_SECRET };
size_t ws_take(struct ws *w, struct ws_tools *t, u8 *p, size_t n, u64 now_ms,
	       enum ws_wipe secret) MUST;

/* One frame into out; returns its bytes.  Data: all of iov, at most LIM_WS_SEND bytes in all; out
 * has WS_HEAD more.  Pong: what is owed, which is then paid.  Close: w->code, or what fits why when
 * the end is ours; out has at least WS_HEAD + WS_CONTROL. */
size_t ws_put_data(struct ws_tools *t, const struct iovec *iov, int n, u8 *out) MUST;
size_t ws_put_pong(struct ws *w, struct ws_tools *t, u8 *out) MUST;
size_t ws_put_close(struct ws *w, struct ws_tools *t, enum err why, u8 *out) MUST;

#endif
