/* hasher: the threads that hash passwords.  See hasher.h. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth/hasher.h"
#include "base/clock.h"

#define HASHER_MAGIC 0x4a5b3e11u
enum { WAITING_MIN = 16, WAITING_MAX = 4096, FIRST_GUESS_US = 50000, HASHER_NICE = 10 };
TAILQ_HEAD(hash_jobs, hash_job);

struct hasher {
	u32 magic;
	int fd; /* eventfd: something is finished */
	u32 nthreads;
	pthread_t thread[HASHER_THREADS_MAX];
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t work;
	bool stop;
	struct fairq waiting;
	struct hash_jobs finished;
	u32 mean_us; /* of one hash, moving */
	u64 hashed, dropped;
};

struct hash_job *hash_job_new(enum hash_kind kind, struct slice password, const char *hash)
{
	struct hash_job *j = xcalloc(1, sizeof(*j));

	ASSERT(password.n <= sizeof(j->password.b));
	j->kind = kind;
	j->password.n = password.n;
	if (password.n != 0)
		memcpy(j->password.b, password.p, password.n);
	if (hash != NULL) {
		ASSERT(strlen(hash) < sizeof(j->hash));
		memcpy(j->hash, hash, strlen(hash) + 1);
	}
	return j;
}

void hash_job_free(struct hash_job **jp)
{
	struct hash_job *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	ASSERT(j->item.source == NULL);
	secret_clear(&j->password);
	mem_wipe(j->hash, sizeof(j->hash));
	free(j);
}

/* ---- the threads ---------------------------------------------------------------------- */
static void job_run(struct hash_job *j)
{
	struct slice password = slice_of(j->password.b, j->password.n);

	if (j->kind == HASH_MAKE)
		j->err = password_hash(password, j->hash);
	else
		j->err = password_verify(j->hash, password);
	secret_clear(&j->password);
}

/* With the lock held. */
static void job_finish(struct hasher *h, struct hash_job *j)
{
	u64 one = 1;

	TAILQ_INSERT_TAIL(&h->finished, j, finished);
	/* A full counter is as readable as one more. */
	if (write(h->fd, &one, sizeof(one)) != sizeof(one))
		return;
}

static struct hash_job *job_next(struct hasher *h)
{
	struct fair_item *i;

	while (!h->stop) {
		i = fairq_pop(&h->waiting);
		if (i != NULL)
			return CONTAINER_OF(i, struct hash_job, item);
		pthread_cond_wait(&h->work, &h->lock);
	}
	return NULL;
}

/* As many may wait as are done in HASHER_WAIT_MS. */
static void measure(struct hasher *h, u32 took_us)
{
	u64 max;

	h->hashed++;
	h->mean_us = (u32)(((u64)h->mean_us * 7 + MAX(took_us, 1u)) / 8);
	max = (u64)HASHER_WAIT_MS * 1000 * h->nthreads / MAX(h->mean_us, 1u);
	h->waiting.max = (u32)MIN(MAX(max, (u64)WAITING_MIN), (u64)WAITING_MAX);
}

static void *thread_main(void *arg)
{
	struct hasher *h = arg;
	struct hash_job *j;
	u64 began;

	OBJ_CHECK(h, HASHER_MAGIC);
	/* A flood of logins slows logins, never messages: the shards' threads go first. */
	(void)setpriority(PRIO_PROCESS, 0, HASHER_NICE);
	pthread_mutex_lock(&h->lock);
	while ((j = job_next(h)) != NULL) {
		began = clock_mono_ms();
		if (began - MIN(began, j->item.queued_ms) > HASHER_OLD_MS) {
			j->err = E_BUSY;
			h->dropped++;
		} else {
			pthread_mutex_unlock(&h->lock);
			job_run(j);
			pthread_mutex_lock(&h->lock);
			measure(h, (u32)MIN((clock_mono_ms() - began) * 1000, (u64)UINT32_MAX));
		}
		job_finish(h, j);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* ---- the owner's side ----------------------------------------------------------------- */
struct hasher *hasher_new(u32 threads)
{
	struct hasher *h = xcalloc(1, sizeof(*h));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct hash_key key;

	if (threads == 0)
		threads = cores < 1 ? 1 : (u32)MIN(cores, (long)HASHER_THREADS_MAX);
	ASSERT(threads <= HASHER_THREADS_MAX);
	ASSERT(getrandom(&key, sizeof(key), 0) == sizeof(key));
	h->magic = HASHER_MAGIC;
	h->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT(h->fd >= 0);
	h->nthreads = threads;
	h->mean_us = FIRST_GUESS_US;
	fairq_init(&h->waiting, &key);
	h->waiting.max = MAX((u32)WAITING_MIN, HASHER_WAIT_MS * 1000u / FIRST_GUESS_US * threads);
	TAILQ_INIT(&h->finished);
	ASSERT(pthread_mutex_init(&h->lock, NULL) == 0);
	ASSERT(pthread_cond_init(&h->work, NULL) == 0);
	for (u32 i = 0; i < threads; i++)
		ASSERT(pthread_create(&h->thread[i], NULL, thread_main, h) == 0);
	return h;
}

void hasher_free(struct hasher **hp)
{
	struct hasher *h = *hp;
	struct fair_item *i;
	struct hash_job *j;

	*hp = NULL;
	if (h == NULL)
		return;
	OBJ_CHECK(h, HASHER_MAGIC);
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_broadcast(&h->work);
	pthread_mutex_unlock(&h->lock);
	for (u32 t = 0; t < h->nthreads; t++)
		pthread_join(h->thread[t], NULL);
	while ((i = fairq_pop(&h->waiting)) != NULL) {
		j = CONTAINER_OF(i, struct hash_job, item);
		j->err = E_BUSY;
		job_finish(h, j);
	}
	hasher_collect(h);
	fairq_free(&h->waiting);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->work);
	close(h->fd);
	free(h);
}

int hasher_fd(const struct hasher *h)
{
	OBJ_CHECK(h, HASHER_MAGIC);
	return h->fd;
}

enum err hasher_add(struct hasher *h, struct hash_job *j, struct slice source, u64 now_ms)
{
	struct fair_item *evicted;
	struct hash_job *out;
	bool taken;

	OBJ_CHECK(h, HASHER_MAGIC);
	ASSERT(j->done != NULL);
	pthread_mutex_lock(&h->lock);
	taken = fairq_push(&h->waiting, &j->item, source, now_ms, &evicted);
	if (evicted != NULL) {
		out = CONTAINER_OF(evicted, struct hash_job, item);
		out->err = E_BUSY;
		h->dropped++;
		job_finish(h, out);
	}
	if (taken)
		pthread_cond_signal(&h->work);
	else
		h->dropped++;
	pthread_mutex_unlock(&h->lock);
	return taken ? E_OK : E_BUSY;
}

void hasher_collect(struct hasher *h)
{
	struct hash_jobs all;
	struct hash_job *j;
	u64 count;

	OBJ_CHECK(h, HASHER_MAGIC);
	TAILQ_INIT(&all);
	pthread_mutex_lock(&h->lock);
	if (read(h->fd, &count, sizeof(count)) == sizeof(count))
		TAILQ_CONCAT(&all, &h->finished, finished);
	pthread_mutex_unlock(&h->lock);
	while ((j = TAILQ_FIRST(&all)) != NULL) {
		TAILQ_REMOVE(&all, j, finished);
		j->done(j, j->arg);
	}
}

void hasher_stats(struct hasher *h, struct hasher_stats *out)
{
	OBJ_CHECK(h, HASHER_MAGIC);
	pthread_mutex_lock(&h->lock);
	out->threads = h->nthreads;
	out->waiting = h->waiting.n;
	out->max = h->waiting.max;
	out->hash_ms = h->mean_us / 1000;
	out->hashed = h->hashed;
	out->dropped = h->dropped;
	pthread_mutex_unlock(&h->lock);
}
