/* addr: addresses of peers as 16 bytes, and networks of them.
 *
 * IPv6 as it is, IPv4 mapped into it (::ffff:0:0/96), and for the peer of a unix socket one that no
 * packet can have: 0100:UUUU:UUUU::, with its user id; so budgets and logs know one kind only.
 * Never asks a name server. */
#ifndef PICKET_BASE_ADDR_H
#define PICKET_BASE_ADDR_H

#include "base/base.h"

bool addr_is_v4(const u8 addr[16]);
/* Fills out with the address of a local user. */
void addr_of_uid(u32 uid, u8 out[16]);
/* Is it the address of a local user?  Fills uid then. */
bool addr_is_uid(const u8 addr[16], u32 *uid);
/* Is addr in net/prefix?  A unix socket's peer and the unspecified address are in no network;
 * neither is anything in one whose prefix is above 128. */
bool addr_in_net(const u8 addr[16], const u8 net[16], u8 prefix);
/* Text of an IPv4 or IPv6 address, fills out; its width in bits (32, 128), 0 when it is none. */
u32 addr_parse(const char *text, u8 out[16]);
/* "192.168.0.0/16", "2001:db8::/32", or one address.  *prefix counts in 128 bits.  exact: bits
 * behind the prefix refuse it; else they are cleared.  False: not a network. */
enum addr_bits { ADDR_BITS_CUT, ADDR_BITS_EXACT };
bool addr_parse_net(struct slice text, enum addr_bits how, u8 out[16], u8 *prefix);
/* "192.168.0.0/16"; out has at least 50 bytes. */
void addr_format_net(const u8 addr[16], u8 prefix, char *out, size_t cap);
/* "203.0.113.9", "2001:db8::1", "unix:1000"; out has at least 46 bytes. */
void addr_format(const u8 addr[16], char *out, size_t cap);
/* "203.0.113.9:51514", "[2001:db8::1]:51514", "unix:1000"; without a port (0) as addr_format.  out
 * has at least 54 bytes. */
void addr_port_format(const u8 addr[16], u16 port, char *out, size_t cap);

#endif
