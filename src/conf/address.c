/* address: the forms in which an address stands in the configuration.  Never asks a name server. */
#include <stdio.h>

#include "base/addr.h"
#include "conf/internal.h"

/* IPv4 or IPv6 text to 16 bytes, IPv4 mapped. */
static bool ip_parse(const char *text, u8 out[16], bool *v4)
{
	u32 width = addr_parse(text, out);

	*v4 = width == 32;
	return width != 0;
}

bool conf_ip_ok(const char *text)
{
	u8 b[16];

	return addr_parse(text, b) != 0;
}

static bool ip_loopback(const u8 b[16])
{
	static const u8 six[16] = {[15] = 1};

	return memcmp(b, six, 16) == 0 || (addr_is_v4(b) && b[12] == 127);
}

/* "unix:/run/picket/mqtt.sock" */
static bool parse_local(const char *path, struct conf_listener *l)
{
	size_t n = strlen(path);

	if (path[0] != '/' || n >= sizeof(l->address) || path[n - 1] == '/')
		return false;
	snprintf(l->bind, sizeof(l->bind), "unix:%s", path);
	snprintf(l->address, sizeof(l->address), "%s", path);
	l->port = 0;
	l->local = l->loopback = true;
	return true;
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

	l->local = false;
	if (strncmp(text, "unix:", 5) == 0)
		return parse_local(text + 5, l);
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

bool conf_parse_net(const char *text, struct conf_net *out)
{
	return addr_parse_net(slice_str(text), ADDR_BITS_CUT, out->addr, &out->prefix);
}

bool conf_in_nets(const struct conf_nets *l, const u8 addr[16])
{
	for (u32 i = 0; i < l->n; i++) {
		if (addr_in_net(addr, l->net[i].addr, l->net[i].prefix))
			return true;
	}
	return false;
}

bool conf_may_connect(const struct conf_nets *allow, const struct conf_nets *deny,
		      const u8 addr[16])
{
	return !conf_in_nets(deny, addr) && (allow->n == 0 || conf_in_nets(allow, addr));
}
