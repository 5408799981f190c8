/* ws_upgrade: the HTTP request that asks for WebSocket (RFC 6455 section 4): judged, and answered.
 *
 * Only what is certain passes: one Host, one key, one Origin at most and that one from the list, no
 * body.  Extensions, cookies and credentials in the request mean nothing:
 * none is agreed to, none lets anyone in. */
#include <stdio.h>

#include "base/addr.h"
#include "net/tls.h"
#include "net/ws.h"

struct upgrade_row {
	u32 status;
	enum err err;
	const char *phrase, *text;
};
static const struct upgrade_row rows[UPGRADE_N] = {
#define X(name, status, phrase, err, text) [UPGRADE_##name] = {status, E_##err, phrase, text},
	UPGRADE_TABLE(X)
#undef X
};

/* SPEC MQTT-6.0.0-4: "mqtt" is what is selected.  The older name is for clients of MQTT 3.1, from
 * before there was a specification; it is agreed to when nothing else is offered. */
static const char *const protocols[] = {"mqtt", "mqttv3.1"};

static const char *protocol_of(const struct http_head *h)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		if (http_list_has(h, "sec-websocket-protocol", protocols[i], HTTP_EXACT))
			return protocols[i];
	}
	return NULL;
}

static bool is(struct slice s, const char *text)
{
	return slice_eq(s, slice_str(text));
}

/* ---- the request -------------------------------------------------------------------------------
 */
static bool path_ok(struct slice target, const struct net_greeting *g)
{
	const u8 *query = memchr(target.p, '?', target.n);

	ASSERT(target.n != 0);
	if (query != NULL)
		target.n = (size_t)(query - target.p);
	return is(target, "/") || is(target, g->path);
}

struct slice upgrade_host(const struct http_head *h)
{
	struct slice host = http_value(h, "host");
	const u8 *end;

	if (host.n != 0 && host.p[0] == '[') {
		host = slice_skip(host, 1);
		end = memchr(host.p, ']', host.n);
	} else {
		end = host.n != 0 ? memchr(host.p, ':', host.n) : NULL;
	}
	return end != NULL ? slice_of(host.p, (size_t)(end - host.p)) : host;
}

/* No name server has a say in where this leads. */
static bool is_fixed(struct slice host)
{
	char text[46];
	u8 addr[16];

	if (host.n >= sizeof(text) || host.n == 0)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	return is(host, "localhost") || addr_parse(text, addr) != 0;
}

static bool skip(struct slice *s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (s->n < n || memcmp(s->p, prefix, n) != 0)
		return false;
	*s = slice_skip(*s, n);
	return true;
}

/* Clients that are no browsers name as their origin the very place that they connect to (paho
 * does). A page from there would have had to come out of this port, which has none.  A name can be
 * made to lead elsewhere first and here later, so one counts only where our certificate has it and
 * its page would have needed that, too. */
static bool origin_is_here(const struct http_head *h, struct upgrade_place at)
{
	struct slice origin = http_value(h, "origin"), host = upgrade_host(h);

	ASSERT(at.tls || !at.named);
	if (!skip(&origin, "https://") && (at.tls || !skip(&origin, "http://")))
		return false;
	return slice_eq(origin, http_value(h, "host")) && (at.named || is_fixed(host));
}

static bool origin_ok(struct slice origin, const struct net_greeting *g)
{
	for (u32 i = 0; i < g->origins; i++) {
		if (is(origin, g->origin[i]))
			return true;
	}
	return false;
}

static bool is_base64(u8 b)
{
	return (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') ||
	       b == '+' || b == '/';
}

/* 16 bytes: 22 characters and two that fill up. */
static bool key_ok(struct slice key)
{
	for (size_t i = 0; i < key.n && i < 22; i++) {
		if (!is_base64(key.p[i]))
			return false;
	}
	return key.n == 24 && key.p[22] == '=' && key.p[23] == '=';
}

static bool has_body(const struct http_head *h)
{
	struct slice n = http_value(h, "content-length");

	return http_count(h, "transfer-encoding") != 0 || http_count(h, "content-length") > 1 ||
	       (n.n != 0 && !is(n, "0"));
}

/* Is it a request that we could have got by accident only from somebody who speaks HTTP as we do?
 */
static enum upgrade http_judge(const struct http_head *h)
{
	if (!is(h->method, "GET"))
		return UPGRADE_METHOD;
	if (h->minor != 1)
		return UPGRADE_HTTP_VERSION;
	if (http_count(h, "host") != 1 || http_value(h, "host").n == 0)
		return UPGRADE_HOST;
	return has_body(h) ? UPGRADE_BODY : UPGRADE_OK;
}

static bool asks_for_websocket(const struct http_head *h)
{
	return http_list_has(h, "upgrade", "websocket", HTTP_ANY_CASE) &&
	       http_list_has(h, "connection", "upgrade", HTTP_ANY_CASE);
}

static enum upgrade websocket_judge(const struct http_head *h, const struct net_greeting *g,
				    struct upgrade_place at)
{
	u32 origins = http_count(h, "origin");

	ASSERT(g->protocols != 0);
	if (!(g->protocols & NET_WEBSOCKET))
		return UPGRADE_DISABLED;
	if (!path_ok(h->target, g))
		return UPGRADE_PATH;
	if (!asks_for_websocket(h))
		return UPGRADE_NO_UPGRADE;
	if (http_count(h, "sec-websocket-version") != 1 ||
	    !is(http_value(h, "sec-websocket-version"), "13"))
		return UPGRADE_WS_VERSION;
	if (http_count(h, "sec-websocket-key") != 1 || !key_ok(http_value(h, "sec-websocket-key")))
		return UPGRADE_KEY;
	if (origins > 1)
		return UPGRADE_ORIGINS;
	if (origins == 1 && !origin_ok(http_value(h, "origin"), g) && !origin_is_here(h, at))
		return UPGRADE_ORIGIN;
	/* SPEC MQTT-6.0.0-3: the client offers it. */
	return protocol_of(h) != NULL ? UPGRADE_OK : UPGRADE_SUBPROTOCOL;
}

enum upgrade upgrade_judge(const struct http_head *h, const struct net_greeting *g,
			   struct upgrade_place at)
{
	enum upgrade u = http_judge(h);

	return u == UPGRADE_OK ? websocket_judge(h, g, at) : u;
}

/* ---- the answer --------------------------------------------------------------------------------
 */
static void base64_20(const u8 in[20], char out[29])
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	u8 b[21] = {0};

	memcpy(b, in, 20);
	for (size_t i = 0; i < 28; i++) {
		u32 three = (u32)b[i / 4 * 3] << 16 | (u32)b[i / 4 * 3 + 1] << 8 | b[i / 4 * 3 + 2];
		out[i] = letters[three >> (18 - 6 * (i % 4)) & 63];
	}
	out[27] = '='; /* the last of 21 bytes is none */
	out[28] = '\0';
}

static size_t printed(int n, size_t cap)
{
	ASSERT(n > 0);
	ASSERT((size_t)n < cap);
	return (size_t)n;
}

size_t upgrade_accept(const struct http_head *h, u8 *out, size_t cap)
{
	u8 digest[20];
	char accept[29];

	ASSERT(cap >= LIM_UPGRADE_ANSWER);
	ASSERT(protocol_of(h) != NULL);
	tls_sha1(http_value(h, "sec-websocket-key"),
		 SLICE_LIT("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), digest);
	base64_20(digest, accept);
	return printed(snprintf((char *)out, cap,
				"HTTP/1.1 101 Switching Protocols\r\n"
				"Upgrade: websocket\r\n"
				"Connection: Upgrade\r\n"
				"Sec-WebSocket-Accept: %s\r\n"
				"Sec-WebSocket-Protocol: %s\r\n\r\n",
				accept, protocol_of(h)),
		       cap);
}

/* What a status asks for beside the rest (RFC 9110 sections 15.5.6, 15.5.22; RFC 6455 section
 * 4.2.2). */
static const char *fields_of(u32 status)
{
	if (status == 405)
		return "Allow: GET\r\n";
	return status == 426 ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" : "";
}

size_t upgrade_refuse(enum upgrade why, u8 *out, size_t cap)
{
	const struct upgrade_row *r = &rows[why];

	ASSERT(cap >= LIM_UPGRADE_ANSWER);
	ASSERT(why != UPGRADE_OK && why < UPGRADE_N);
	return printed(snprintf((char *)out, cap,
				"HTTP/1.1 %u %s\r\n"
				"%s"
				"Connection: close\r\n"
				"Content-Type: text/plain\r\n"
				"Content-Length: %zu\r\n\r\n"
				"refused: %s\n",
				(unsigned)r->status, r->phrase, fields_of(r->status),
				strlen(r->text) + sizeof("refused: \n") - 1, r->text),
		       cap);
}

enum err upgrade_err(enum upgrade why)
{
	ASSERT(why < UPGRADE_N);
	return rows[why].err;
}

const char *upgrade_text(enum upgrade why)
{
	ASSERT(why < UPGRADE_N);
	return rows[why].text;
}
