/* kv_lmdb: the ordered store on disk. */
#ifndef PICKET_STORE_KV_LMDB_H
#define PICKET_STORE_KV_LMDB_H

#include "store/kv.h"
#include "store/store.h"

/* Errors and text as store_open; nothing is changed where it is not ours or not whole. */
enum err kv_lmdb_open(struct kv **out, const struct store_options *o, char *text, size_t cap) MUST;

#endif
