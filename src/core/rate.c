/* rate: how fast an identity may publish, over all its sessions and shards.
 *
 * The generic cell rate algorithm: one number a bucket, the time at which it would be empty.
 * Whoever charges moves it on with one compare-and-swap; there is nothing to refill and no lock. */
#include "core/impl.h"

enum { US_PER_S = 1000000, US_PER_MS = 1000 };

/* Move the bucket on by cost; returns how far it is beyond its burst (both in us). */
static u64 bucket_charge(_Atomic u64 *tat, u64 now_us, u64 cost_us, u64 burst_us)
{
	u64 old = atomic_load_explicit(tat, memory_order_relaxed), new;

	ASSERT(cost_us < UINT64_MAX / 2);
	do {
		new = MAX(old, now_us) + cost_us;
	} while (!atomic_compare_exchange_weak_explicit(tat, &old, new, memory_order_relaxed,
							memory_order_relaxed));
	return new - now_us > burst_us ? new - now_us - burst_us : 0;
}

u64 rate_charge(struct principal *p, const struct core_limits *l, size_t bytes, u64 now_ms)
{
	u64 now_us = now_ms * US_PER_MS, wait = 0, cost;

	OBJ_CHECK(p, PRINCIPAL_MAGIC);
	ASSERT(l->publish_rate != 0 && l->publish_bytes != 0);
	if (l->publish_rate != UINT32_MAX) {
		cost = MAX(US_PER_S / l->publish_rate, 1u);
		wait = bucket_charge(&p->rate_messages_us, now_us, cost, cost * l->publish_burst);
	}
	if (l->publish_bytes != UINT64_MAX) {
		/* A second's worth of bytes may come at once. */
		cost = bytes * US_PER_S / l->publish_bytes;
		wait = MAX(wait, bucket_charge(&p->rate_bytes_us, now_us, cost, US_PER_S));
	}
	return wait == 0 ? 0 : now_ms + (wait + US_PER_MS - 1) / US_PER_MS;
}

u64 rate_charge_replay(struct principal *p, u32 nodes, u64 now_ms)
{
	enum { NODES_A_SECOND = 200000, BURST_S = 2 };
	u64 cost = (u64)nodes * US_PER_S / NODES_A_SECOND;
	u64 wait = bucket_charge(&p->rate_replay_us, now_ms * US_PER_MS, cost, BURST_S * US_PER_S);

	OBJ_CHECK(p, PRINCIPAL_MAGIC);
	return wait == 0 ? 0 : now_ms + (wait + US_PER_MS - 1) / US_PER_MS;
}
