/* forwarded: see forwarded.h. */
#include "net/forwarded.h"

#include "base/addr.h"
#include "base/num.h"

struct hop {
	u8 addr[16];
	u16 port;
};

/* The source as far as the list was read. */
struct walk {
	bool (*trusts)(void *arg, const u8 addr[16]);
	void *arg;
	u32 hops;
	enum { WALK_NOTHING, WALK_TRUSTED, WALK_SOURCE, WALK_BROKEN } state;
	struct hop source;
};

/* "192.0.2.7", "192.0.2.7:4711", "2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:4711" */
static bool hop_split(struct slice s, struct slice *host, struct slice *port)
{
	const u8 *colon = s.n != 0 ? memchr(s.p, ':', s.n) : NULL, *end;

	*host = s;
	*port = SLICE_NONE;
	if (s.n != 0 && s.p[0] == '[') {
		end = memchr(s.p, ']', s.n);
		if (end == NULL)
			return false;
		*host = slice_of(s.p + 1, (size_t)(end - s.p) - 1);
		*port = slice_skip(s, host->n + 2);
	} else if (colon != NULL &&
		   memchr(colon + 1, ':', s.n - (size_t)(colon - s.p) - 1) == NULL) {
		*host = slice_of(s.p, (size_t)(colon - s.p));
		*port = slice_skip(s, host->n);
	}
	return port->n == 0 || (port->n > 1 && port->p[0] == ':');
}

static bool hop_parse(struct slice s, struct hop *out)
{
	static const u8 none[16];
	struct slice host, port;
	char text[46];
	u64 n = 0;
	u32 uid;

	if (!hop_split(s, &host, &port) || host.n == 0 || host.n >= sizeof(text) ||
	    memchr(host.p, 0, host.n) != NULL)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (addr_parse(text, out->addr) == 0 || memcmp(out->addr, none, sizeof(none)) == 0 ||
	    addr_is_uid(out->addr, &uid) ||
	    (port.n != 0 && num_parse(slice_skip(port, 1), UINT16_MAX, &n) != E_OK))
		return false;
	out->port = (u16)n;
	return true;
}

/* The next hop to the right: what was to its left counts only if it is a declared proxy. */
static void walk_on(struct walk *w, struct slice element)
{
	struct hop hop;

	w->hops++;
	if (!hop_parse(element, &hop)) {
		w->state = WALK_BROKEN;
	} else if (!w->trusts(w->arg, hop.addr)) {
		w->state = WALK_SOURCE;
		w->source = hop;
	} else if (w->state == WALK_NOTHING) {
		w->state = WALK_TRUSTED;
		w->source = hop;
	}
}

enum err forwarded_source(const struct http_head *h, bool (*trusts)(void *arg, const u8 addr[16]),
			  void *arg, u8 addr[16], u16 *port)
{
	struct walk w = {.trusts = trusts, .arg = arg};
	struct slice list, element;

	ASSERT(h->n <= LIM_HTTP_FIELDS);
	for (u32 i = 0; i < h->n; i++) {
		if (!http_is(h->field[i].name, "x-forwarded-for"))
			continue;
		list = h->field[i].value;
		while (w.hops <= LIM_FORWARDED && http_list_next(&list, &element))
			walk_on(&w, element);
	}
	if (w.hops > LIM_FORWARDED)
		return E_TOO_LARGE;
	if (w.state == WALK_BROKEN)
		return E_MALFORM;
	if (w.state == WALK_NOTHING)
		return E_OK;
	memcpy(addr, w.source.addr, sizeof(w.source.addr));
	*port = w.source.port;
	return E_OK;
}
