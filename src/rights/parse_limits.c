/* parse_limits: "limit publish 5/s burst 50, packet 16k, inflight 8, queue 100/256k, retained 20".
 */
#include "rights/parse.h"

#include "base/num.h"

/* 0 is how role_limits says "the default", so a text cannot ask for it. */
#define HINT_ZERO "a number from 1 on, or none"

static enum err bad_value(struct parser *p, struct slice s, const char *example)
{
	return parse_fail(p, s, "not a value for this limit", example);
}

/* A count from 1 on, or none. */
static bool count_of(struct slice s, u32 *out)
{
	u64 v;

	*out = UINT32_MAX;
	if (slice_eq(s, SLICE_LIT("none")))
		return true;
	if (num_parse(s, UINT32_MAX - 1, &v) != E_OK || v == 0)
		return false;
	*out = (u32)v;
	return true;
}

static bool size_of(struct slice s, u64 max, u32 *out)
{
	u64 v;

	*out = UINT32_MAX;
	if (slice_eq(s, SLICE_LIT("none")))
		return true;
	if (num_parse_size(s, &v) != E_OK || v == 0 || v > max)
		return false;
	*out = (u32)v;
	return true;
}

static enum err limit_count(struct parser *p, u32 *out)
{
	struct token t = parse_take(p);

	return count_of(t.s, out) ? E_OK : bad_value(p, t.s, HINT_ZERO);
}

static enum err limit_publish(struct parser *p, struct role_limits *l)
{
	struct token t = parse_take(p);
	bool a_second = t.s.n > 2 && memcmp(t.s.p + t.s.n - 2, "/s", 2) == 0;

	if (slice_eq(t.s, SLICE_LIT("none"))) {
		l->publish_rate = l->publish_burst = UINT32_MAX;
		return E_OK;
	}
	if (!a_second || !count_of(slice_of(t.s.p, t.s.n - 2), &l->publish_rate) ||
	    l->publish_rate == UINT32_MAX)
		return bad_value(p, t.s, "messages a second: publish 5/s burst 50");
	if (parse_peek(p)->fresh || !parse_accept(p, "burst"))
		return E_OK;
	t = parse_take(p);
	if (!count_of(t.s, &l->publish_burst))
		return bad_value(p, t.s, HINT_ZERO);
	return E_OK;
}

static enum err limit_packet(struct parser *p, struct role_limits *l)
{
	struct token t = parse_take(p);

	if (!size_of(t.s, POLICY_PACKET_MAX, &l->packet_bytes) || l->packet_bytes == UINT32_MAX)
		return bad_value(p, t.s, "bytes up to 256m: packet 16k");
	return E_OK;
}

static enum err limit_queue(struct parser *p, struct role_limits *l)
{
	struct token t = parse_take(p);
	const u8 *slash = t.s.n != 0 ? memchr(t.s.p, '/', t.s.n) : NULL;
	size_t n = slash != NULL ? (size_t)(slash - t.s.p) : t.s.n;

	if (!count_of(slice_of(t.s.p, n), &l->queue_messages))
		return bad_value(p, t.s, "messages and bytes: queue 100/256k");
	if (slash != NULL && !size_of(slice_skip(t.s, n + 1), UINT32_MAX - 1, &l->queue_bytes))
		return bad_value(p, t.s, "messages and bytes: queue 100/256k");
	if (slash == NULL && l->queue_messages == UINT32_MAX)
		l->queue_bytes = UINT32_MAX;
	return E_OK;
}

static enum err limit_all(struct parser *p, struct role_limits *l)
{
	struct token t = parse_take(p);

	l->all_none = true;
	return token_is(&t, "none") ? E_OK : bad_value(p, t.s, "all none");
}

enum item {
	ITEM_ALL,
	ITEM_PUBLISH,
	ITEM_PACKET,
	ITEM_INFLIGHT,
	ITEM_QUEUE,
	ITEM_RETAINED,
	ITEM_SUBS
};

static bool said(const struct role_limits *l, enum item item)
{
	const u32 value[] = {l->all_none,	l->publish_rate, l->packet_bytes, l->inflight,
			     l->queue_messages, l->retained,	 l->subscriptions};

	return value[item] != 0 || l->all_none;
}

static bool anything_said(const struct role_limits *l)
{
	for (u32 i = ITEM_PUBLISH; i <= ITEM_SUBS; i++) {
		if (said(l, (enum item)i))
			return true;
	}
	return false;
}

static enum err limit_value(struct parser *p, enum item item, struct role_limits *l)
{
	switch (item) {
	case ITEM_ALL:
		return limit_all(p, l);
	case ITEM_PUBLISH:
		return limit_publish(p, l);
	case ITEM_PACKET:
		return limit_packet(p, l);
	case ITEM_INFLIGHT:
		return limit_count(p, &l->inflight);
	case ITEM_QUEUE:
		return limit_queue(p, l);
	case ITEM_RETAINED:
		return limit_count(p, &l->retained);
	case ITEM_SUBS:
		return limit_count(p, &l->subscriptions);
	}
	UNREACHABLE("a case for each item");
}

static enum err limit_item(struct parser *p, struct role_limits *l)
{
	static const char *const known[] = {"all",   "publish",	 "packet",	  "inflight",
					    "queue", "retained", "subscriptions", NULL};
	struct token t = parse_take(p);
	u32 item = 0;

	while (known[item] != NULL && !token_is(&t, known[item]))
		item++;
	if (known[item] == NULL)
		return parse_unknown(p, &t, "not a limit", known);
	if (said(l, (enum item)item) || (item == ITEM_ALL && anything_said(l)))
		return parse_fail(p, t.s, "another limit of this role says otherwise",
				  "say each limit once; 'all none' stands alone");
	return limit_value(p, (enum item)item, l);
}

enum err parse_limits(struct parser *p, struct role_limits *out)
{
	enum err e;

	do
		e = limit_item(p, out);
	while (e == E_OK && parse_accept(p, ","));
	return e == E_OK ? parse_end(p, "limits are separated by ','") : e;
}
