/* proxy: see proxy.h. */
#include "net/proxy.h"

#include "base/addr.h"
#include "base/num.h"
#include "base/rd.h"
#include "base/utf8.h"

static const u8 signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
				 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* Does s agree with head, as far as both go? */
static bool agrees(struct slice s, struct slice head)
{
	size_t n = MIN(s.n, head.n);

	return n == 0 || memcmp(s.p, head.p, n) == 0;
}

/* An address that a packet can have come from. */
static bool is_a_source(const u8 addr[16])
{
	static const u8 none[16];
	u32 uid;

	return memcmp(addr, none, sizeof(none)) != 0 && !addr_is_uid(addr, &uid);
}

/* ---- version 1: "PROXY TCP4 192.0.2.7 198.51.100.1 56324 8883\r\n" ---------------------- */

/* The next word; single spaces between them. */
static struct slice word(struct slice *rest)
{
	const u8 *space = rest->n != 0 ? memchr(rest->p, ' ', rest->n) : NULL;
	size_t n = space != NULL ? (size_t)(space - rest->p) : rest->n;
	struct slice w = slice_of(rest->p, n);

	*rest = slice_of(rest->p + n + (space != NULL), rest->n - n - (space != NULL));
	return w;
}

static bool v1_address(struct slice s, u32 width, u8 out[16])
{
	char text[46];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return addr_parse(text, out) == width;
}

static bool v1_port(struct slice s, u16 *out)
{
	u64 v = 0;
	bool ok = s.n != 0 && (s.n == 1 || s.p[0] != '0') && num_parse(s, UINT16_MAX, &v) == E_OK;

	*out = (u16)v;
	return ok;
}

static enum err v1_line(struct slice line, struct proxy_header *out)
{
	struct slice family = word(&line);
	u32 width = slice_eq(family, SLICE_LIT("TCP4"))	  ? 32
		    : slice_eq(family, SLICE_LIT("TCP6")) ? 128
							  : 0;
	u8 to[16];
	u16 port;

	if (slice_eq(family, SLICE_LIT("UNKNOWN")))
		return E_OK; /* what follows is not to be looked at */
	if (width == 0 || !v1_address(word(&line), width, out->addr) ||
	    !v1_address(word(&line), width, to) || !v1_port(word(&line), &out->port) ||
	    !v1_port(line, &port) || !is_a_source(out->addr))
		return E_MALFORM;
	out->known = true;
	return E_OK;
}

static enum err v1_parse(struct slice bytes, struct proxy_header *out, size_t *used)
{
	static const struct slice head = {(const u8 *)"PROXY ", 6};
	size_t look = MIN(bytes.n, (size_t)LIM_PROXY_V1);
	const u8 *end = memchr(bytes.p, '\n', look);

	if (!agrees(bytes, head))
		return E_MALFORM;
	if (end == NULL)
		return bytes.n < LIM_PROXY_V1 ? E_MORE : E_TOO_LARGE;
	*used = (size_t)(end - bytes.p) + 1;
	if (*used < head.n + 2 || end[-1] != '\r')
		return E_MALFORM;
	return v1_line(slice_of(bytes.p + head.n, *used - head.n - 2), out);
}

/* ---- version 2 ------------------------------------------------------------------------- */

enum { V2_HEAD = 16, V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21, V2_UNIX = 0x31 };
enum { TLV_CRC32C = 0x03, TLV_SSL = 0x20, SSL_CN = 0x22 };
enum { CLIENT_SSL = 1, CLIENT_CERT_CONN = 2, CLIENT_CERT_SESS = 4 };

/* Section 2.2.3; RFC 3720 appendix B.4.  hole: four bytes there count as zero. */
static u32 crc32c(struct slice s, size_t hole)
{
	u32 crc = UINT32_MAX;

	for (size_t i = 0; i < s.n; i++) {
		crc ^= i - hole < 4 ? 0 : s.p[i];
		for (u32 bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static enum err ssl_parse(struct slice value, struct proxy_header *out)
{
	struct rd r = rd_of(value);
	u8 client = rd_u8(&r);
	u32 verify = rd_u32(&r);
	struct slice cn = SLICE_NONE;

	while (r.err == E_OK && rd_left(&r) != 0) {
		u8 type = rd_u8(&r);
		struct slice v = rd_bytes(&r, rd_u16(&r));
		if (type != SSL_CN || r.err != E_OK)
			continue;
		if (cn.p != NULL || v.n == 0 || v.n > LIM_PROXY_CN || !utf8_ok(v))
			return E_MALFORM;
		cn = v;
	}
	if (r.err != E_OK)
		return E_MALFORM;
	out->tls = client & CLIENT_SSL;
	out->verified = out->tls && client & (CLIENT_CERT_CONN | CLIENT_CERT_SESS) && verify == 0;
	out->cn = out->verified ? cn : SLICE_NONE;
	return E_OK;
}

static bool v2_address(struct rd *r, u8 family, struct proxy_header *out)
{
	static const u8 mapped[12] = {[10] = 0xff, [11] = 0xff};
	size_t width = family == V2_TCP4 ? 4 : 16;
	struct slice from;

	if (family == V2_UNSPEC)
		return true;
	if (family == V2_UNIX) {
		rd_bytes(r, 216);
		return r->err == E_OK;
	}
	from = rd_bytes(r, width);
	rd_bytes(r, width); /* to whom */
	out->port = rd_u16(r);
	rd_u16(r);
	if (r->err != E_OK)
		return false;
	memcpy(out->addr, mapped, sizeof(mapped));
	memcpy(out->addr + (width == 4 ? 12 : 0), from.p, width);
	out->known = true;
	return is_a_source(out->addr);
}

/* What is added behind the addresses, to the very last byte. */
static enum err v2_added(struct slice header, struct rd *r, struct proxy_header *out)
{
	bool crc = false, ssl = false;

	while (r->err == E_OK && rd_left(r) != 0) {
		u8 type = rd_u8(r);
		struct slice v = rd_bytes(r, rd_u16(r));
		struct rd sum = rd_of(v);
		enum err e = E_OK;
		if (r->err != E_OK || (type == TLV_CRC32C && crc) || (type == TLV_SSL && ssl))
			return E_MALFORM;
		crc = crc || type == TLV_CRC32C;
		ssl = ssl || type == TLV_SSL;
		if (type == TLV_CRC32C &&
		    (v.n != 4 || rd_u32(&sum) != crc32c(header, (size_t)(v.p - header.p))))
			e = E_MALFORM;
		else if (type == TLV_SSL)
			e = ssl_parse(v, out);
		if (e != E_OK)
			return e;
	}
	return r->err == E_OK ? E_OK : E_MALFORM;
}

static enum err v2_parse(struct slice bytes, struct proxy_header *out, size_t *used)
{
	struct rd r = rd_of(slice_skip(bytes, sizeof(signature)));
	u8 command = rd_u8(&r), family = rd_u8(&r);
	size_t n = rd_u16(&r);
	struct slice header;

	if (!agrees(bytes, slice_of(signature, sizeof(signature))))
		return E_MALFORM;
	if (bytes.n > 12 && command != V2_LOCAL && command != V2_PROXY)
		return E_MALFORM;
	if (bytes.n < V2_HEAD)
		return E_MORE;
	if (V2_HEAD + n > LIM_PROXY_HEADER)
		return E_TOO_LARGE;
	if (command == V2_PROXY && family != V2_UNSPEC && family != V2_TCP4 && family != V2_TCP6 &&
	    family != V2_UNIX)
		return E_MALFORM;
	if (bytes.n < V2_HEAD + n)
		return E_MORE;
	*used = V2_HEAD + n;
	if (command == V2_LOCAL)
		return E_OK; /* what follows is not to be looked at */
	header = slice_of(bytes.p, V2_HEAD + n);
	r = rd_of(slice_skip(header, V2_HEAD));
	if (!v2_address(&r, family, out))
		return E_MALFORM;
	return v2_added(header, &r, out);
}

enum err proxy_parse(struct slice bytes, struct proxy_header *out, size_t *used)
{
	enum err e;

	*out = (struct proxy_header){0};
	*used = 0;
	if (bytes.n == 0)
		return E_MORE;
	e = bytes.p[0] == signature[0] ? v2_parse(bytes, out, used) : v1_parse(bytes, out, used);
	if (e != E_OK)
		*out = (struct proxy_header){0};
	return e;
}
