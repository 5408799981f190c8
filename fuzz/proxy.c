/* The PROXY header: what is accepted is a whole header and nothing but it, says nothing that a peer
 * could not be, and is the same however its bytes are cut. */
#include <stdlib.h>

#include "base/addr.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct proxy_header *h)
{
	static const u8 none[16];
	u32 uid;

	ASSERT(!h->known || (memcmp(h->addr, none, 16) != 0 && !addr_is_uid(h->addr, &uid)));
	ASSERT(h->known || h->port == 0 || memcmp(h->addr, none, 16) == 0);
	ASSERT(h->cn.n == 0 ||
	       (h->verified && h->tls && h->cn.n <= LIM_PROXY_CN && utf8_ok(h->cn)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header h, again;
	size_t used, other;
	u8 *exact;

	if (proxy_parse(slice_of(data, size), &h, &used) != E_OK)
		return 0;
	ASSERT(used <= size && used <= LIM_PROXY_HEADER);
	check(&h);
	/* In memory that ends with it. */
	exact = xmalloc(used);
	memcpy(exact, data, used);
	ASSERT(proxy_parse(slice_of(exact, used), &again, &other) == E_OK && other == used);
	ASSERT(again.known == h.known && again.port == h.port && slice_eq(again.cn, h.cn));
	ASSERT(memcmp(again.addr, h.addr, 16) == 0);
	for (size_t n = 0; n < used && n < 300; n++)
		ASSERT(proxy_parse(slice_of(exact, n), &again, &other) == E_MORE);
	ASSERT(proxy_parse(slice_of(exact, used - 1), &again, &other) == E_MORE);
	free(exact);
	return 0;
}
