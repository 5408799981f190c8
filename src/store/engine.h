/* engine: what the files of the store share.  The meaning of operations on records (apply.c) stands
 * on kv and is the same for LMDB and in memory. */
#ifndef PICKET_STORE_ENGINE_H
#define PICKET_STORE_ENGINE_H

#include "store/kv.h"
#include "store/record.h"
#include "store/store.h"
#include "store/table.h"

#define STORE_MAGIC 0x5704e000u

enum {
	STORE_KNOWN = 4096,	   /* sessions that are remembered to exist */
	LIM_READ = 1024,	   /* messages of one answer */
	LIM_PURGE = 2048,	   /* records that one SO_PURGE looks at */
	LIM_ENDED = 512,	   /* records of ended sessions that one transaction deletes, */
	LIM_ENDED_BYTES = 4 << 20, /* and their bytes */
};

/* A message that more than one queue refers to, or a count that changes, in this transaction. */
struct ref {
	u64 number;
	u32 seen;    /* queue entries that this transaction makes */
	i64 delta;   /* of its count */
	bool stored; /* its body is there */
};

struct store {
	u32 magic;
	struct kv *kv;
	struct seal *seal; /* NULL: plain */
	struct seal *eye;  /* the same key for store_verify, which is on another thread */
	bool clean;

	u64 epoch;
	u64 base_ms, base_mono;		   /* store time of a monotonic time */
	u64 last_ms, last_mono, last_wall; /* of the last commit */

	struct kv_txn *txn;	     /* the transaction under way, */
	bool changed;		     /* something was written in it */
	u64 now_ms;		     /* its store time */
	u32 ended_left;		     /* what it may still delete of ended sessions, */
	u64 ended_bytes;	     /* records and bytes */
	struct store_chunk *scratch; /* its memory */
	struct table ref_index;	     /* number → place in ref, from 1 */
	struct ref *ref;
	u32 nrefs, refs_cap;

	bool ended;		/* something is in KV_ENDED */
	u64 known[STORE_KNOWN]; /* sessions that exist, by their lowest bits */

	struct store_count count; /* the session that is being counted; sid 0: none */

	u64 commits, operations;
};

/* Make a record; KV_NEW: E_EXISTS. */
enum err engine_put(struct store *s, const struct place *at, enum kv_put how, enum format_kind kind,
		    record_fields *fields, const void *thing) MUST;
/* Its fields, if it is of that kind.  E_NOT_FOUND; E_CORRUPT: damaged. */
enum err engine_get(struct store *s, const struct place *at, enum format_kind kind,
		    struct slice *fields) MUST;
enum err engine_open(struct store *s, const struct place *at, struct slice raw, u8 *kind,
		     struct slice *fields) MUST;
/* Delete what the cursor of the database stands on. */
enum err engine_del(struct store *s, enum kv_db db) MUST;

/* apply.c: one operation in the transaction under way. */
enum err apply_op(struct store *s, const struct store_op *op, const struct store_sink *sink) MUST;
/* ended.c */
enum err ended_begin(struct store *s, u64 sid) MUST; /* its record has been deleted */
enum err ended_go_on(struct store *s) MUST;	     /* with what the transaction may still do */
/* queue.c: see there */
enum err queue_put(struct store *s, const struct store_op *op) MUST;
enum err queue_del(struct store *s, const struct store_op *op) MUST;
enum err queue_release(struct store *s, const struct store_op *op) MUST;
/* A record of KV_QUEUE goes: the body that it names has one less who needs it. */
enum err queue_forget(struct store *s, const struct kv_item *it) MUST;
/* refs.c: who needs which body */
void refs_begin(struct store *s);
struct ref *refs_of(struct store *s, u64 number);
enum err refs_settle(struct store *s) MUST;
/* read.c */
enum err read_queue(struct store *s, const struct store_op *op, const struct store_sink *k) MUST;
enum err read_purge(struct store *s, const struct store_op *op, const struct store_sink *k) MUST;
enum err drops_add(struct store *s, u64 sid, u32 kind, u32 count) MUST;

/* store.c: what all ways to open have in common.  Takes kv and seals, on errors
 * too. */
struct store_opening {
	struct kv *kv;
	struct seal *seal, *eye;
	u64 epoch_min, wall_ms, mono_ms;
	char *text;
	size_t cap;
};
enum err engine_start(struct store **out, const struct store_opening *o) MUST;

#endif
