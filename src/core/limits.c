/* limits: which limits bind a client?  The listener's for its kind, overridden by its roles.  Few
 * differ, so equal ones are shared by all clients of a shard. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

static void set(u32 *field, u32 value)
{
	if (value != 0)
		*field = value;
}

static void limits_none(struct core_limits *l)
{
	l->subscriptions = l->filters_per_subscribe = UINT32_MAX;
	l->receive_maximum = l->inflight = UINT16_MAX;
	l->queue_messages = l->offline_messages = UINT32_MAX;
	l->queue_bytes = l->offline_bytes = l->output_buffer = UINT64_MAX;
	l->publish_rate = l->publish_burst = UINT32_MAX;
	l->publish_bytes = UINT64_MAX;
	l->retained_identity = l->connections_identity = UINT32_MAX;
	l->user_properties = l->user_property_bytes = UINT32_MAX;
	l->max_packet = UINT32_MAX;
}

static void limits_of_roles(struct core_limits *l, const struct role_limits *r)
{
	if (r->all_none)
		limits_none(l);
	set(&l->publish_rate, r->publish_rate);
	set(&l->publish_burst, r->publish_burst);
	set(&l->max_packet, r->packet_bytes);
	set(&l->inflight, r->inflight);
	set(&l->receive_maximum, r->inflight);
	set(&l->queue_messages, r->queue_messages);
	set(&l->offline_messages, r->queue_messages);
	set(&l->retained_identity, r->retained);
	set(&l->subscriptions, r->subscriptions);
	if (r->queue_bytes != 0)
		l->queue_bytes = l->offline_bytes =
			r->queue_bytes == UINT32_MAX ? UINT64_MAX : r->queue_bytes;
}

/* What the protocol itself cannot exceed. */
static void limits_clamp(struct core_limits *l)
{
	const u32 largest = 268435455 + 5; /* section 2.1.4, with its header */

	l->max_packet = MIN(l->max_packet, largest);
	l->receive_maximum = MAX(MIN(l->receive_maximum, UINT16_MAX), 1u);
	l->inflight = MAX(MIN(l->inflight, UINT16_MAX - 1u), 1u);
	l->topic_aliases = MIN(l->topic_aliases, UINT16_MAX);
	l->publish_rate = MAX(l->publish_rate, 1u);
	l->publish_bytes = MAX(l->publish_bytes, 1u);
}

bool limits_user_properties(const struct core_limits *l, const struct props *p)
{
	return p->user_count <= l->user_properties && p->user_bytes <= l->user_property_bytes;
}

struct limits *limits_of(struct core *c, const struct core_listener *l, const struct grant *g,
			 const u8 addr[16])
{
	const struct policy_box *b = hub_policy(c->hub);
	struct core_limits v = g->kind == WHO_SERVICE ? l->service : l->device;
	struct role_limits r = {0};
	struct limits *x;

	if (b != NULL)
		policy_limits(b->p, g->roles, g->nroles, addr, &r);
	ASSERT(g->kind <= WHO_ANONYMOUS);
	limits_of_roles(&v, &r);
	limits_clamp(&v);
	for (x = c->limits; x != NULL; x = x->next) {
		if (memcmp(&x->v, &v, sizeof(v)) == 0)
			break;
	}
	ASSERT(v.max_packet != 0);
	ASSERT(v.inflight != 0 && v.receive_maximum != 0);
	if (x == NULL) {
		x = xcalloc(1, sizeof(*x));
		memcpy(&x->v, &v, sizeof(v));
		x->next = c->limits;
		c->limits = x;
	}
	x->refs++;
	return x;
}

void limits_unref(struct core *c, struct limits **lp)
{
	struct limits *l = *lp, **at = &c->limits;

	*lp = NULL;
	ASSERT(l->refs > 0);
	if (--l->refs != 0)
		return;
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	free(l);
}
