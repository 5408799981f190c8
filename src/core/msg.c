/* msg: see msg.h. */
#include <stdlib.h>

#include "base/num.h"
#include "core/msg.h"

static u8 *put(u8 *at, struct slice s, struct slice *out)
{
	if (s.n != 0)
		memcpy(at, s.p, s.n);
	*out = slice_of(at, s.n);
	return at + s.n;
}

/* One that is shared has one reference more than its sharers while it is routed: the router's. */
struct msg *msg_keep(struct msg **m)
{
	const struct msg *from = *m;
	struct msg *to;
	size_t size;
	u8 *at;

	ASSERT(from->magic == MSG_MAGIC);
	if (atomic_load_explicit(&from->refs, memory_order_relaxed) != 0)
		return msg_ref(*m);
	if (!add_sz(sizeof(*to) + from->topic.n + from->props.n, from->payload.n, &size))
		return NULL;
	to = malloc(size);
	if (to == NULL)
		return NULL;
	memcpy(to, from, sizeof(*to));
	at = put(to->data, from->topic, &to->topic);
	at = put(at, from->props, &to->props);
	put(at, from->payload, &to->payload);
	atomic_init(&to->refs, 2);
	*m = to;
	return to;
}

void msg_unref(struct msg **mp)
{
	struct msg *m = *mp;

	*mp = NULL;
	ASSERT(m->magic == MSG_MAGIC);
	ASSERT(atomic_load_explicit(&m->refs, memory_order_relaxed) > 0);
	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	m->magic = 0;
	free(m);
}
