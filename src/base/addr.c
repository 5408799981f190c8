/* addr: see addr.h. */
#include <arpa/inet.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/num.h"

static const u8 mapped[12] = {[10] = 0xff, [11] = 0xff};
/* Of 0100::/8, which is reserved (RFC 4291 section 4) and routed nowhere. */
static const u8 local[2] = {0x01, 0x00};

bool addr_is_v4(const u8 addr[16])
{
	return memcmp(addr, mapped, sizeof(mapped)) == 0;
}

void addr_of_uid(u32 uid, u8 out[16])
{
	memset(out, 0, 16);
	memcpy(out, local, sizeof(local));
	for (u32 i = 0; i < 4; i++)
		out[2 + i] = (u8)(uid >> (24 - 8 * i));
}

bool addr_is_uid(const u8 addr[16], u32 *uid)
{
	if (memcmp(addr, local, sizeof(local)) != 0)
		return false;
	*uid = (u32)addr[2] << 24 | (u32)addr[3] << 16 | (u32)addr[4] << 8 | addr[5];
	return true;
}

bool addr_in_net(const u8 addr[16], const u8 net[16], u8 prefix)
{
	static const u8 none[16];
	u32 whole = prefix / 8, rest = prefix % 8, uid;

	if (prefix > 128 || memcmp(addr, none, sizeof(none)) == 0 || addr_is_uid(addr, &uid))
		return false;
	if (memcmp(addr, net, whole) != 0)
		return false;
	return rest == 0 || (addr[whole] ^ net[whole]) >> (8 - rest) == 0;
}

u32 addr_parse(const char *text, u8 out[16])
{
	if (inet_pton(AF_INET6, text, out) == 1)
		return 128;
	memcpy(out, mapped, sizeof(mapped));
	return inet_pton(AF_INET, text, out + 12) == 1 ? 32 : 0;
}

/* Clear what lies behind the prefix; false: something did. */
static bool net_cut(u8 addr[16], u8 prefix)
{
	bool clean = true;

	for (u32 bit = prefix; bit < 128; bit++) {
		u8 mask = (u8)(0x80u >> bit % 8);
		clean = clean && !(addr[bit / 8] & mask);
		addr[bit / 8] &= (u8)~mask;
	}
	return clean;
}

bool addr_parse_net(struct slice text, enum addr_bits how, u8 out[16], u8 *prefix)
{
	const u8 *slash = text.n != 0 ? memchr(text.p, '/', text.n) : NULL;
	size_t n = slash != NULL ? (size_t)(slash - text.p) : text.n;
	char host[INET6_ADDRSTRLEN + 1];
	u64 bits;
	u32 width;

	if (n == 0 || n >= sizeof(host))
		return false;
	memcpy(host, text.p, n);
	host[n] = '\0';
	width = addr_parse(host, out);
	bits = width;
	if (width == 0 ||
	    (slash != NULL && num_parse(slice_skip(text, n + 1), width, &bits) != E_OK))
		return false;
	*prefix = (u8)(128 - width + bits);
	return net_cut(out, *prefix) || how == ADDR_BITS_CUT;
}

void addr_format(const u8 addr[16], char *out, size_t cap)
{
	bool v4 = addr_is_v4(addr);
	u32 uid;

	ASSERT(cap >= INET6_ADDRSTRLEN);
	if (addr_is_uid(addr, &uid))
		snprintf(out, cap, "unix:%u", uid);
	else if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr + 12 : addr, out, (socklen_t)cap) ==
		 NULL)
		UNREACHABLE("an address of 16 bytes fits 46 characters");
}

void addr_format_net(const u8 addr[16], u8 prefix, char *out, size_t cap)
{
	bool v4 = prefix >= 96 && addr_is_v4(addr);
	char host[INET6_ADDRSTRLEN];
	const char *s = v4 ? inet_ntop(AF_INET, addr + 12, host, sizeof(host))
			   : inet_ntop(AF_INET6, addr, host, sizeof(host));

	ASSERT(s != NULL);
	snprintf(out, cap, "%s/%u", s, v4 ? prefix - 96u : prefix);
}

void addr_port_format(const u8 addr[16], u16 port, char *out, size_t cap)
{
	char text[INET6_ADDRSTRLEN];
	u32 uid;

	ASSERT(cap >= INET6_ADDRSTRLEN + 8);
	addr_format(addr, text, sizeof(text));
	if (addr_is_uid(addr, &uid) || port == 0)
		snprintf(out, cap, "%s", text);
	else
		snprintf(out, cap, strchr(text, ':') != NULL ? "[%s]:%u" : "%s:%u", text,
			 (unsigned)port);
}
