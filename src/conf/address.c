/* address: the forms in which an address stands in the configuration.  Never asks a name server. */
#include <arpa/inet.h>
#include <stdio.h>

#include "conf/internal.h"

static const u8 mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* IPv4 or IPv6 text to 16 bytes, IPv4 mapped. */
static bool ip_parse(const char *text, u8 out[16], bool *v4)
{
	*v4 = inet_pton(AF_INET, text, out + 12) == 1;
	if (*v4) {
		memcpy(out, mapped, sizeof(mapped));
		return true;
	}
	return inet_pton(AF_INET6, text, out) == 1;
}

bool conf_ip_ok(const char *text)
{
	u8 b[16];
	bool v4;

	return ip_parse(text, b, &v4);
}

static bool ip_loopback(const u8 b[16])
{
	static const u8 six[16] = {[15] = 1};

	return memcmp(b, six, 16) == 0 || (memcmp(b, mapped, 12) == 0 && b[12] == 127);
}

/* "*:8883", "192.0.2.1:1883", "[2001:db8::1]:8883" */
bool conf_parse_bind(const char *text, struct conf_listener *l)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	u8 b[16];
	bool v4;
	u64 port;
	size_t n;

	if (colon == NULL || num_parse(slice_str(colon + 1), 65535, &port) != E_OK || port == 0)
		return false;
	n = (size_t)(colon - text);
	if (n == 0 || n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	if (strcmp(host, "*") == 0) {
		host[0] = '\0';
	} else if (host[0] == '[' && host[n - 1] == ']') {
		memmove(host, host + 1, n);
		host[n - 2] = '\0';
		if (!ip_parse(host, b, &v4) || v4)
			return false;
	} else if (!ip_parse(host, b, &v4) || !v4) {
		return false;
	}
	snprintf(l->bind, sizeof(l->bind), "%s", text);
	snprintf(l->address, sizeof(l->address), "%s", host);
	l->port = (u16)port;
	l->loopback = host[0] != '\0' && ip_loopback(b);
	return true;
}

static void net_mask(struct conf_net *n)
{
	for (u32 bit = n->prefix; bit < 128; bit++)
		n->addr[bit / 8] &= (u8) ~(0x80u >> bit % 8);
}

/* "192.168.0.0/16", "2001:db8::/32", or one address. */
bool conf_parse_net(const char *text, struct conf_net *out)
{
	const char *slash = strchr(text, '/');
	size_t n = slash == NULL ? strlen(text) : (size_t)(slash - text);
	char host[64];
	u64 bits;
	bool v4;

	if (n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	if (!ip_parse(host, out->addr, &v4))
		return false;
	bits = v4 ? 32 : 128;
	if (slash != NULL && num_parse(slice_str(slash + 1), bits, &bits) != E_OK)
		return false;
	out->prefix = (u8)(v4 ? bits + 96 : bits);
	net_mask(out);
	return true;
}

void conf_format_net(const struct conf_net *n, char *out, size_t cap)
{
	bool v4 = n->prefix >= 96 && memcmp(n->addr, mapped, sizeof(mapped)) == 0;
	char host[INET6_ADDRSTRLEN] = "";

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? n->addr + 12 : n->addr, host, sizeof(host));
	snprintf(out, cap, "%s/%u", host, v4 ? n->prefix - 96u : n->prefix);
}
