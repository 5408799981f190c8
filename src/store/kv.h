/* kv: an ordered store of records under numbers, with transactions: what the engine needs of LMDB,
 * and what the memory store gives it instead.
 *
 * One transaction that writes at a time.  Each transaction has one cursor a database: get, seek and
 * next move it, del removes what it stands on.  Views live until the next change in their
 * transaction.  Knows nothing of what is in a record. */
#ifndef PICKET_STORE_KV_H
#define PICKET_STORE_KV_H

#include "base/err.h"

/* name, numbers in a key.  The order is part of the format: a database's place here goes into the
 * checksum of its records (format.h). */
#define KV_DATABASES(X)                                                                            \
	X(META, "meta", 1)                                                                         \
	X(SESSIONS, "sessions", 1)                                                                 \
	X(SUBS, "subs", 2)                                                                         \
	X(QUEUE, "queue", 2)                                                                       \
	X(BODIES, "bodies", 1)                                                                     \
	X(REFS, "refs", 1)                                                                         \
	X(PIDS, "pids", 2)                                                                         \
	X(RETAINED, "retained", 1) X(DROPS, "drops", 1) X(ENDED, "ended", 1)
#define X(name, word, numbers) KV_##name,
enum kv_db { KV_DATABASES(X) KV_DBS };
#undef X

static inline bool kv_pair(enum kv_db db)
{
	return db == KV_SUBS || db == KV_QUEUE || db == KV_PIDS;
}

struct kv;
struct kv_txn;

enum kv_mode { KV_READ, KV_WRITE };
enum kv_put { KV_REPLACE, KV_NEW };

struct kv_item {
	u64 a, b; /* b: 0 where a key is one number */
	struct slice value;
};

struct kv_size {
	u64 records[KV_DBS];
	u64 bytes, free_bytes, map_bytes;
	u64 syncs;
};

/* E_QUOTA: no room; E_IO, E_CORRUPT: as store_commit. */
struct kv_class {
	enum err (*begin)(struct kv *kv, enum kv_mode mode, struct kv_txn **out) MUST;
	/* Both end the transaction and null the pointer; after an error nothing of it remains. */
	enum err (*commit)(struct kv_txn **t) MUST;
	void (*abort)(struct kv_txn **t);
	/* E_NOT_FOUND. */
	enum err (*get)(struct kv_txn *t, enum kv_db db, u64 a, u64 b, struct slice *out) MUST;
	/* The first record at or behind the numbers, the one behind the last; E_NOT_FOUND. */
	enum err (*seek)(struct kv_txn *t, enum kv_db db, u64 a, u64 b, struct kv_item *out) MUST;
	enum err (*next)(struct kv_txn *t, enum kv_db db, struct kv_item *out) MUST;
	/* Make or replace; the caller fills the n bytes before the next call.  how KV_NEW: E_EXISTS
	 * where there is one already, which the cursor then stands on. */
	enum err (*reserve)(struct kv_txn *t, enum kv_db db, u64 a, u64 b, enum kv_put how,
			    size_t n, u8 **out) MUST;
	/* What get, seek or next found; next goes on behind it. */
	enum err (*del)(struct kv_txn *t, enum kv_db db) MUST;
	/* Between transactions that write.  full: nothing that grows should be begun. */
	bool (*full)(struct kv *kv, u64 mono_ms);
	/* These two: any thread. */
	enum err (*size)(struct kv *kv, struct kv_size *out) MUST;
	enum err (*copy)(struct kv *kv, int fd) MUST;
	void (*close)(struct kv **kv);
};

struct kv {
	const struct kv_class *class;
};

struct kv *kv_memory(void);
/* Of kv_memory: as if its disk were full. */
void kv_memory_full(struct kv *kv, bool full);

#endif
