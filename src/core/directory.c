/* directory: see directory.h. */
#include <endian.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/directory.h"

enum { ID_BYTES = 8, CLIENT_ID_MAX = 65535 - ID_BYTES };

void directory_init(struct directory *d, u32 nshards, const struct hash_key *key)
{
	ASSERT(nshards > 0);
	ASSERT(pthread_mutex_init(&d->lock, NULL) == 0);
	map_init(&d->map, key);
	d->nshards = nshards;
	d->load = xcalloc(nshards, sizeof(*d->load));
}

void directory_free(struct directory *d)
{
	ASSERT(d->map.n == 0);
	map_free(&d->map);
	free(d->load);
	pthread_mutex_destroy(&d->lock);
}

/* Moving a connection costs more than a slight imbalance. */
static u32 directory_choose(const struct directory *d, u32 near)
{
	u32 least = near, n_near = atomic_load_explicit(&d->load[near], memory_order_relaxed);
	u32 n_least = n_near;

	ASSERT(near < d->nshards);
	for (u32 i = 0; i < d->nshards; i++) {
		u32 n = atomic_load_explicit(&d->load[i], memory_order_relaxed);
		if (n < n_least) {
			n_least = n;
			least = i;
		}
	}
	return n_near > n_least + n_least / 8 + 1 ? least : near;
}

static struct home *home_new(u64 identity, struct slice client_id, u32 shard)
{
	struct home *h = xcalloc(1, sizeof(*h) + ID_BYTES + client_id.n);
	u64 id = htobe64(identity);

	ASSERT(client_id.n <= CLIENT_ID_MAX);
	h->shard = shard;
	h->key_len = (u16)(ID_BYTES + client_id.n);
	memcpy(h->key, &id, ID_BYTES);
	if (client_id.n != 0)
		memcpy(h->key + ID_BYTES, client_id.p, client_id.n);
	return h;
}

struct home *directory_claim(struct directory *d, u64 identity, struct slice client_id, u32 near)
{
	struct home *fresh = home_new(identity, client_id, 0), *h;
	struct slice key = slice_of(fresh->key, fresh->key_len);

	ASSERT(near < d->nshards);
	pthread_mutex_lock(&d->lock);
	h = map_get(&d->map, key);
	if (h == NULL) {
		h = fresh;
		h->shard = directory_choose(d, near);
		atomic_fetch_add_explicit(&d->load[h->shard], 1, memory_order_relaxed);
		map_put(&d->map, key, h);
	}
	h->claims++;
	pthread_mutex_unlock(&d->lock);
	if (h != fresh)
		free(fresh);
	return h;
}

struct home *directory_ghost(struct directory *d, u32 shard)
{
	struct home *h = home_new(0, SLICE_NONE, shard);

	ASSERT(shard < d->nshards);
	h->ghost = true;
	h->claims = 1;
	return h;
}

void directory_release(struct directory *d, struct home **hp)
{
	struct home *h = *hp;
	bool last;

	*hp = NULL;
	pthread_mutex_lock(&d->lock);
	ASSERT(h->claims > 0);
	last = --h->claims == 0;
	ASSERT(!last || h->session == NULL);
	if (last && !h->ghost) {
		ASSERT(map_del(&d->map, slice_of(h->key, h->key_len)) == h);
		atomic_fetch_sub_explicit(&d->load[h->shard], 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&d->lock);
	if (last)
		free(h);
}
