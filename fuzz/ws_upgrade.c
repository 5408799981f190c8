/* The request that asks for WebSocket: what is granted keeps every rule that another look at the
 * same bytes can see, and every answer is whole. */
#include <stdlib.h>

#include "base/mem.h"
#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char origins[2][NET_ORIGIN] = {"https://app.example.com", "http://localhost:5173"};

static bool listed(struct slice origin)
{
	return slice_eq(origin, slice_str(origins[0])) || slice_eq(origin, slice_str(origins[1]));
}

/* As it names itself: the scheme, and then what Host says. */
static bool itself(const struct http_head *h)
{
	struct slice o = http_value(h, "origin"), host = http_value(h, "host");

	return o.n > host.n + 3 && slice_eq(slice_skip(o, o.n - host.n), host) &&
	       memcmp(o.p + o.n - host.n - 3, "://", 3) == 0;
}

static void granted(const struct http_head *h)
{
	u8 b[LIM_UPGRADE_ANSWER];
	size_t n = upgrade_accept(h, b, sizeof(b));

	ASSERT(slice_eq(h->method, SLICE_LIT("GET")) && h->minor == 1);
	ASSERT(http_count(h, "host") == 1 && http_count(h, "transfer-encoding") == 0);
	ASSERT(http_count(h, "sec-websocket-key") == 1);
	ASSERT(http_count(h, "sec-websocket-version") == 1);
	ASSERT(http_count(h, "origin") == 0 ||
	       (http_count(h, "origin") == 1 && (listed(http_value(h, "origin")) || itself(h))));
	ASSERT(h->target.p[0] == '/');
	ASSERT(http_head_end(slice_of(b, n), 0) == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct net_greeting *g;
	static struct http_head h;
	size_t end = http_head_end(slice_of(data, size), 0), n;
	u8 b[LIM_UPGRADE_ANSWER];
	enum upgrade u;
	/* The size decides where it came. */
	struct upgrade_place at = {.tls = size % 3 != 0, .named = size % 3 == 1};

	if (g == NULL)
		g = net_greeting_new(&(struct net_greeting_options){.protocols = NET_WEBSOCKET,
								    .path = "/mqtt",
								    .origins = 2,
								    .origin = origins});
	if (end == 0 || http_head_parse(slice_of(data, end), &h) != E_OK)
		return 0;
	u = upgrade_judge(&h, g, at);
	if (u == UPGRADE_OK) {
		granted(&h);
		return 0;
	}
	n = upgrade_refuse(u, b, sizeof(b));
	ASSERT(http_head_end(slice_of(b, n), 0) != 0 && upgrade_err(u) != E_OK);
	return 0;
}
