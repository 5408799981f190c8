/* X-Forwarded-For: what is taken for the source is an address that a client can have, and nothing
 * that is put to the left of a source changes it. */
#include <stdlib.h>

#include "base/addr.h"
#include "base/mem.h"
#include "net/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Half of all addresses are proxies. */
static bool trusts(void *arg, const u8 addr[16])
{
	return addr[15] & 1;
}

static enum err ask(struct slice list, u8 addr[16], u16 *port)
{
	static struct http_head h;

	h.n = 1;
	h.field[0].name = SLICE_LIT("X-Forwarded-For");
	h.field[0].value = list;
	memset(addr, 0x77, 16);
	return forwarded_source(&h, trusts, NULL, addr, port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char lie[] = "10.0.0.1 , junk , 192.0.2.2 ,";
	static const u8 none[16], itself[16] = {[0 ... 15] = 0x77};
	u8 addr[16], again[16], *longer;
	u16 port = 7, other = 7;
	u32 uid;
	enum err e;

	if (size > 8000 || ask(slice_of(data, size), addr, &port) != E_OK ||
	    memcmp(addr, itself, 16) == 0)
		return 0;
	ASSERT(memcmp(addr, none, 16) != 0 && !addr_is_uid(addr, &uid));
	if (trusts(NULL, addr))
		return 0; /* of proxies alone: what comes before them counts */
	longer = xmalloc(sizeof(lie) - 1 + size);
	memcpy(longer, lie, sizeof(lie) - 1);
	memcpy(longer + sizeof(lie) - 1, data, size);
	e = ask(slice_of(longer, sizeof(lie) - 1 + size), again, &other);
	ASSERT(e == E_TOO_LARGE || (e == E_OK && memcmp(again, addr, 16) == 0 && other == port));
	free(longer);
	return 0;
}
