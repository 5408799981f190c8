/* addr: addresses as 16 bytes, IPv4 mapped into IPv6, and as text. */
#include <arpa/inet.h>
#include <stdio.h>

#include "net/net.h"

void addr_format(const u8 addr[16], char *out, size_t cap)
{
	static const u8 mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool v4 = memcmp(addr, mapped, sizeof(mapped)) == 0;

	ASSERT(cap >= INET6_ADDRSTRLEN);
	if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr + 12 : addr, out, (socklen_t)cap) == NULL)
		UNREACHABLE("an address of 16 bytes fits 46 characters");
}

void addr_port_format(const u8 addr[16], u16 port, char *out, size_t cap)
{
	char text[INET6_ADDRSTRLEN];
	bool v6;

	ASSERT(cap >= INET6_ADDRSTRLEN + 8);
	addr_format(addr, text, sizeof(text));
	v6 = strchr(text, ':') != NULL;
	snprintf(out, cap, v6 ? "[%s]:%u" : "%s:%u", text, (unsigned)port);
}
