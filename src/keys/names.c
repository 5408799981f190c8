/* names: which names and addresses the server certificate carries: what was configured, and what
 * the machine calls itself.  Collected once at start, since the sandbox then keeps the system's
 * answers away. */
#include <ctype.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "keys/names.h"

static const u8 mapped[12] = {[10] = 0xff, [11] = 0xff};

bool names_have_dns(const struct names *n, struct slice dns)
{
	for (u32 i = 0; i < n->n; i++) {
		const char *have = n->name[i].dns;
		if (strlen(have) == dns.n && dns.n > 0 &&
		    strncasecmp(have, (const char *)dns.p, dns.n) == 0)
			return true;
	}
	return false;
}

bool names_have_address(const struct names *n, struct slice addr)
{
	for (u32 i = 0; i < n->n; i++) {
		if (slice_eq(slice_of(n->name[i].addr, n->name[i].addr_n), addr) && addr.n > 0)
			return true;
	}
	return false;
}

/* RFC 1123 section 2.1, and the one wildcard of RFC 6125 section 6.4.3. */
static bool dns_valid(const char *s)
{
	size_t label = 0, i = strncmp(s, "*.", 2) == 0 ? 2 : 0;
	size_t n = strlen(s);

	if (n == i || n > 253)
		return false;
	for (; i < n; i++) {
		bool dot = s[i] == '.';
		bool edge = label == 0 || s[i + 1] == '.' || s[i + 1] == '\0';
		if (dot ? label == 0 : !isalnum((u8)s[i]) && (s[i] != '-' || edge))
			return false;
		label = dot ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return label > 0;
}

enum err names_add_dns(struct names *n, const char *dns)
{
	if (!dns_valid(dns))
		return E_SYNTAX;
	if (names_have_dns(n, slice_str(dns)))
		return E_OK;
	if (n->n == NAMES_MAX)
		return E_QUOTA;
	n->name[n->n] = (struct name){.addr_n = 0};
	snprintf(n->name[n->n].dns, NAME_BYTES, "%s", dns);
	n->n++;
	return E_OK;
}

enum err names_add_address(struct names *n, const u8 *addr, size_t addr_n)
{
	struct slice a = slice_of(addr, addr_n);

	ASSERT(addr_n == 4 || addr_n == 16);
	if (addr_n == 16 && memcmp(addr, mapped, sizeof(mapped)) == 0)
		a = slice_skip(a, sizeof(mapped));
	if (names_have_address(n, a))
		return E_OK;
	if (n->n == NAMES_MAX)
		return E_QUOTA;
	n->name[n->n] = (struct name){.addr_n = (u8)a.n};
	memcpy(n->name[n->n].addr, a.p, a.n);
	n->n++;
	return E_OK;
}

/* What the machine has beyond the room for it is left out: the configured names come first. */
static void try_dns(struct names *n, const char *dns)
{
	enum err e = names_add_dns(n, dns);

	(void)e;
}

static void try_address(struct names *n, const void *addr, size_t addr_n)
{
	enum err e = names_add_address(n, addr, addr_n);

	(void)e;
}

static void add_host(struct names *n)
{
	char host[NAME_BYTES] = "", local[NAME_BYTES + 8];

	if (gethostname(host, sizeof(host) - 1) != 0)
		return;
	try_dns(n, host);
	snprintf(local, sizeof(local), "%.*s.local", (int)strcspn(host, "."), host);
	try_dns(n, local);
}

static void add_interface(struct names *n, const struct sockaddr *sa)
{
	if (sa == NULL)
		return;
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;
		try_address(n, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;
		if (!IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
			try_address(n, &in6->sin6_addr, 16);
	}
}

void names_machine(struct names *n)
{
	static const u8 loop4[4] = {127, 0, 0, 1}, loop6[16] = {[15] = 1};
	struct ifaddrs *list = NULL;

	n->n = 0;
	add_host(n);
	try_dns(n, "localhost");
	try_address(n, loop4, sizeof(loop4));
	try_address(n, loop6, sizeof(loop6));
	if (getifaddrs(&list) != 0)
		return;
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next)
		add_interface(n, i->ifa_addr);
	freeifaddrs(list);
}

static enum err add_text(struct names *n, const char *text)
{
	u8 addr[16];

	if (inet_pton(AF_INET, text, addr) == 1)
		return names_add_address(n, addr, 4);
	if (inet_pton(AF_INET6, text, addr) == 1)
		return names_add_address(n, addr, 16);
	return names_add_dns(n, text);
}

static enum err refuse(const char *kind, u32 nth, char *what, size_t cap)
{
	snprintf(what, cap, "the %s number %u for the server certificate is not valid", kind,
		 nth + 1);
	return E_CONFIG;
}

enum err names_of(const struct conf *c, const struct names *machine, struct names *out, char *what,
		  size_t cap)
{
	ASSERT(c->names <= CONF_NAMES && c->addresses <= CONF_NAMES);
	out->n = 0;
	for (u32 i = 0; i < c->names; i++) {
		if (add_text(out, c->name[i]) != E_OK)
			return refuse("name", i, what, cap);
	}
	for (u32 i = 0; i < c->addresses; i++) {
		if (add_text(out, c->ip[i]) != E_OK)
			return refuse("address", i, what, cap);
	}
	for (u32 i = 0; i < machine->n; i++) {
		const struct name *m = &machine->name[i];
		if (m->addr_n > 0)
			try_address(out, m->addr, m->addr_n);
		else
			try_dns(out, m->dns);
	}
	return E_OK;
}
