/* names: the names and addresses of a server certificate. */
#ifndef PICKET_KEYS_NAMES_H
#define PICKET_KEYS_NAMES_H

#include "conf/conf.h"

enum { NAMES_MAX = 64, NAME_BYTES = 256 };

/* One subject alternative name: a DNS name, or an address in network order. */
struct name {
	char dns[NAME_BYTES]; /* "": an address */
	u8 addr[16];
	u8 addr_n; /* 4 or 16 */
};
struct names {
	u32 n;
	struct name name[NAMES_MAX];
};

/* Add one, unless it is there already or there is no room.  E_SYNTAX: not a DNS name (letters,
 * digits, hyphens and dots; a leading "*." is allowed), E_QUOTA: NAMES_MAX are there. */
enum err names_add_dns(struct names *n, const char *dns) MUST;
/* addr: 4 or 16 bytes; a mapped IPv4 address is added as IPv4. */
enum err names_add_address(struct names *n, const u8 *addr, size_t addr_n) MUST;
bool names_have_dns(const struct names *n, struct slice dns);
bool names_have_address(const struct names *n, struct slice addr);

/* The machine's own: host name, its .local form, localhost, and every address of an interface that
 * is not link-local.  Asks the system, so before the sandbox. */
void names_machine(struct names *n);
/* The certificate's: the configured ones first, then the machine's.  E_CONFIG fills what (160 bytes
 * or more) with the one that is neither name nor address. */
enum err names_of(const struct conf *c, const struct names *machine, struct names *out, char *what,
		  size_t cap) MUST;

#endif
