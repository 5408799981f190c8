/* inbox: what other threads tell the thread of a loop.  Many writers, one reader; short entries in
 * the order in which each writer put them.  A writer gathers what it has for a receiver in one turn
 * and puts it in at once (struct outbox), so the lock and the waking are paid once a batch. */
#ifndef PICKET_NET_INBOX_H
#define PICKET_NET_INBOX_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"

struct loop;

struct inbox_item {
	u32 kind, from; /* the user's */
	u64 n;
	void *p;
};

struct inbox_batch {
	struct inbox_item *items;
	size_t n, cap;
};

struct inbox {
	pthread_mutex_t lock;
	struct inbox_batch in;	/* under the lock */
	struct inbox_batch out; /* the reader's */
	_Atomic bool any;
	struct loop *loop; /* woken */
};

/* loop is borrowed and is woken by inbox_put; NULL: nobody is. */
void inbox_init(struct inbox *b, struct loop *loop);
/* What is still inside is the caller's loss: take it before. */
void inbox_free(struct inbox *b);
/* Any thread.  Copies n items. */
void inbox_put(struct inbox *b, const struct inbox_item *items, size_t n);
/* The reader: all that is there, in order; views the inbox until the next take. */
size_t inbox_take(struct inbox *b, struct inbox_item **items);

/* Gather for later; not thread-safe. */
void outbox_add(struct inbox_batch *o, struct inbox_item it);
/* Put all in, if there is anything, and be empty. */
void outbox_send(struct inbox_batch *o, struct inbox *to);

#endif
