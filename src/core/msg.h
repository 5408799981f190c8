/* msg: one application message, immutable once it is shared.
 *
 * While it is routed it views the packet that it came in (refs == 0); the first who has to keep it
 * makes it a copy of its own, which everyone shares from then on.  Topic, properties and payload
 * lie side by side in the layout of a PUBLISH body, so one copy serves MQTT 3 and 5 alike and
 * sending it is memcpy. */
#ifndef PICKET_CORE_MSG_H
#define PICKET_CORE_MSG_H

#include <stdatomic.h>

#include "core/who.h"

/* A session, from any shard: valid as long as the owner finds the generation in the slot. */
struct handle {
	u32 shard, slot, gen;
};

#define MSG_MAGIC 0x6d5911e5u
struct msg {
	u32 magic;
	_Atomic u32 refs; /* 0: views somebody's packet */
	struct slice topic, props /* as sent on, without their length */, payload;
	u64 expires_ms;	    /* monotonic; 0: never */
	struct handle from; /* the publisher's session, for No Local */
	u8 qos;
	bool retain;
	u8 data[];
};

/* Make m one that may be kept; NULL when memory is out.  *m is replaced, and what *m viewed is no
 * longer needed.  The reference is the caller's to give back beside its other references: none for
 * a borrowed one. */
struct msg *msg_keep(struct msg **m) MUST;
void msg_unref(struct msg **m);
static inline struct msg *msg_ref(struct msg *m)
{
	u32 old = atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);

	ASSERT(m->magic == MSG_MAGIC);
	ASSERT(old > 0);
	return m;
}
/* What a message is charged as. */
static inline u64 msg_bytes(const struct msg *m)
{
	return sizeof(*m) + m->topic.n + m->props.n + m->payload.n;
}
static inline bool msg_expired(const struct msg *m, u64 now_ms)
{
	return m->expires_ms != 0 && now_ms >= m->expires_ms;
}

#endif
