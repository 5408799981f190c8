/* salvage: from a damaged store into a new one: every record whose page, and the pages above it,
 * are whole.
 *
 * Reads the old file with store/pages.h, which believes nothing, and checks every record (or opens
 * its seal) before it is taken over as it is.  What makes no sense without something that is lost
 * goes with it: what belongs to a session whose record is gone, an entry of a queue whose message
 * is gone; the latter is counted at its session (DROP_DAMAGED). */
#ifndef PICKET_STORE_SALVAGE_H
#define PICKET_STORE_SALVAGE_H

#include "store/kv.h"
#include "store/pages.h"
#include "store/seal.h"
#include "store/store.h"

struct salvage_report {
	u64 kept[KV_DBS];    /* records */
	u64 damaged[KV_DBS]; /* records that are there and wrong */
	u64 orphans;	     /* whole ones that belong to something that is lost */
	u32 databases_lost;  /* not found at all */
	struct pages_damage pages;
};

/* Take over what can be read of the LMDB file data_fd (borrowed) into kv, which is empty.  seal: of
 * both; NULL: plain.  E_CORRUPT: it is no LMDB file, or none of ours: nothing was taken.  E_QUOTA,
 * E_IO, E_NOMEM: of kv; what was taken so far is worth nothing. */
enum err salvage_into(struct kv *kv, int data_fd, struct seal *seal,
		      struct salvage_report *out) MUST;

/* The same from a store's file into a new store in the empty folder of into, which can be opened
 * then.  E_EXISTS: a store is there already; E_CORRUPT: nothing could be read; text says which. */
enum err store_salvage(int data_fd, const struct store_options *into, struct salvage_report *out,
		       char *text, size_t cap) MUST;

#endif
