/* hasher: the threads that hash passwords, and the bounded queue before them.
 *
 * As many threads as cores; as many waiting as they finish in 5 s at the speed measured; what has
 * waited longer than 8 s is dropped unhashed.  Jobs are answered on the thread that made the
 * hasher, in hasher_collect, when hasher_fd is readable.  The threads see a password and a hash,
 * nothing else. */
#ifndef PICKET_AUTH_HASHER_H
#define PICKET_AUTH_HASHER_H

#include "auth/fairq.h"
#include "auth/secret.h"

enum { HASHER_WAIT_MS = 5000, HASHER_OLD_MS = 8000, HASHER_THREADS_MAX = 16 };

enum hash_kind { HASH_VERIFY, HASH_MAKE };
struct hash_job {
	struct fair_item item;
	enum hash_kind kind;
	struct secret password;
	char hash[HASH_TEXT]; /* VERIFY: to check against; MAKE: the result */
	enum err err;	      /* E_OK, E_CREDENTIAL, E_BUSY (dropped), E_NOMEM */
	/* On the owner's thread; takes the job (hash_job_free). */
	void (*done)(struct hash_job *j, void *arg);
	void *arg;
	TAILQ_ENTRY(hash_job) finished;
	u32 took_us;
};
struct hash_job *hash_job_new(enum hash_kind kind, struct slice password, const char *hash);
void hash_job_free(struct hash_job **j); /* wipes */

struct hasher;
/* Starts the threads: after the sandbox is closed, so that it binds them too.  threads 0: one a
 * core. */
struct hasher *hasher_new(u32 threads);
/* Jobs that wait are answered with E_BUSY. */
void hasher_free(struct hasher **h);
int hasher_fd(const struct hasher *h);
/* Takes the job on E_OK.  E_BUSY: too many wait; it stays the caller's.  A job that has to make
 * room for this one is answered with E_BUSY. */
enum err hasher_add(struct hasher *h, struct hash_job *j, struct slice source, u64 now_ms) MUST;
void hasher_collect(struct hasher *h);

struct hasher_stats {
	u32 threads, waiting, max, hash_ms;
	u64 hashed, dropped;
};
void hasher_stats(struct hasher *h, struct hasher_stats *out);

#endif
