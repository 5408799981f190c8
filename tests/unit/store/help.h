/* help: a store under test, in memory or on disk, and operations on it in one line each. */
#ifndef PICKET_TEST_STORE_HELP_H
#define PICKET_TEST_STORE_HELP_H

#include "../base/test.h"
#include "store/store.h"

enum house_kind { IN_MEMORY, ON_DISK, SEALED };

/* A store and the clocks around it. */
struct house {
	enum house_kind kind;
	char dir[64];
	int dir_fd;
	struct store *s;
	u64 wall, mono, map_bytes;
	struct store_batch *b; /* operations that are not committed yet */
	u64 serial;
	/* Answers of the last commit; their bytes are copies. */
	u32 nreads;
	struct store_read read[16];
	struct store_batch *copies;
	char text[256];
};

extern const u8 house_key[32];

void house_make(struct house *h, enum house_kind kind);
/* The same below another folder than /tmp, with a bound. */
void house_make_in(struct house *h, enum house_kind kind, const char *parent, u64 map_bytes);
void house_free(struct house *h); /* and delete it */
/* Close and open again. */
void house_reopen(struct house *h);
/* Forget without closing, open again: for IN_MEMORY as after a crash. */
void house_crash(struct house *h);
enum err house_open(struct house *h, const u8 *key);

/* Operations; they gather until house_commit. */
struct store_op *house_op(struct house *h, enum store_op_kind kind, u64 sid, u64 seq);
void house_session(struct house *h, u64 sid);
/* number 0: a message of its own. */
struct store_op *house_put(struct house *h, u64 sid, u64 seq, u64 number, const char *payload);
void house_read(struct house *h, u64 sid, u64 after, u32 count);
enum err house_try(struct house *h);
void house_commit(struct house *h); /* must succeed */

/* "1:payload 2:payload" of what waits behind a sequence, by one SO_READ a thousand messages. */
const char *house_queue(struct house *h, u64 sid);
struct store_stats house_stats(struct house *h);

struct store_op *batch_op(struct store_batch *b, enum store_op_kind kind, u64 sid, u64 seq);
struct store_op *batch_put(struct store_batch *b, u64 sid, u64 seq, u64 number, const char *text);
struct store_op *batch_session(struct store_batch *b, u64 sid);

#endif
