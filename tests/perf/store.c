/* What a durable message costs: each is put into one queue and deleted again in a later
 * transaction, through the writer without its thread.  Prints messages a second and CPU a message
 * at several sizes of a transaction; wall time is that of this disk, CPU is what counts.
 *
 *   ninja -C build tests/perf/perf_store && build/tests/perf/perf_store [FOLDER [PAYLOAD [SESSIONS
 * [sealed]]]]
 *
 * FOLDER: on the disk to be measured (default: here). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/writer.h"

enum { BACKLOG = 20000 };

static u64 committed;
static u8 payload[1 << 20];
static size_t payload_n = 256;
static u64 sessions = 1000;

static void on_notice(void *arg, u32 shard, struct store_notice *n)
{
	committed = n->committed;
	while (n->returned != NULL) {
		struct store_batch *b = n->returned;

		n->returned = b->next;
		store_batch_free(&b);
	}
	store_notice_free(&n);
}

static void on_full(void *arg, bool full)
{
	if (full)
		printf("the disk is full\n");
}

static void on_fatal(void *arg, enum err e)
{
	printf("fatal: %s\n", err_text(e));
}

static u64 wall_ms(void *arg)
{
	return clock_wall_ms();
}

static u64 mono_ms(void *arg)
{
	return clock_mono_ms();
}

struct cpu {
	double user, system; /* us */
};

static struct cpu cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (struct cpu){(double)u.ru_utime.tv_sec * 1e6 + (double)u.ru_utime.tv_usec,
			    (double)u.ru_stime.tv_sec * 1e6 + (double)u.ru_stime.tv_usec};
}

static u64 now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000 + (u64)t.tv_nsec / 1000;
}

static void put(struct store_batch *b, u64 i)
{
	struct store_op *op = store_batch_add(b, SO_QUEUE_PUT);

	op->queued = store_batch_bytes(b, sizeof(*op->queued));
	*op->queued =
		(struct store_queued){.sid = 1 + i % sessions,
				      .seq = 1 + i / sessions,
				      .qos = 1,
				      .m = {.number = 1 + i,
					    .qos = 1,
					    .topic = SLICE_LIT("plant/hall7/line3/temperature"),
					    .payload = slice_of(payload, payload_n)}};
}

static void del(struct store_batch *b, u64 i)
{
	struct store_op *op = store_batch_add(b, SO_QUEUE_DEL);

	op->sid = 1 + i % sessions;
	op->seq = 1 + i / sessions;
}

static void step(struct writer *w, struct store_batch *b)
{
	u64 serial = b->serial;

	writer_submit(w, b);
	while (writer_step(w))
		;
	if (committed != serial)
		exit(1);
}

static u64 next = 0, serial = 0;

static void run(struct writer *w, u32 each, u32 rounds)
{
	struct cpu before = cpu(), after;
	u64 at = now_us();
	double n = (double)each * rounds;

	for (u32 r = 0; r < rounds; r++) {
		struct store_batch *b = store_batch_new(0, ++serial);

		for (u32 i = 0; i < each; i++, next++) {
			put(b, next);
			del(b, next - BACKLOG);
		}
		step(w, b);
	}
	after = cpu();
	at = now_us() - at;
	printf("%6u a commit: %9.0f messages/s, CPU a message %6.2f us, of that %6.2f in the "
	       "kernel\n",
	       each, n * 1e6 / (double)at,
	       (after.user + after.system - before.user - before.system) / n,
	       (after.system - before.system) / n);
}

static void fill(struct writer *w)
{
	struct store_batch *b = store_batch_new(0, ++serial);

	for (u64 sid = 1; sid <= sessions; sid++) {
		struct store_op *op = store_batch_add(b, SO_SESSION_PUT);

		op->session = store_batch_bytes(b, sizeof(*op->session));
		op->session->sid = sid;
	}
	step(w, b);
	while (next < BACKLOG) {
		b = store_batch_new(0, ++serial);
		for (u32 i = 0; i < 1000; i++)
			put(b, next++);
		step(w, b);
	}
}

int main(int argc, char **argv)
{
	const struct writer_env env = {.notice = on_notice,
				       .full = on_full,
				       .fatal = on_fatal,
				       .wall_ms = wall_ms,
				       .mono_ms = mono_ms};
	char dir[512], text[256];
	struct store_options o = {.path = dir,
				  .map_bytes = 8ull << 30,
				  .key = argc > 4 ? (const u8 *)"0123456789abcdef0123456789abcdef"
						  : NULL,
				  .wall_ms = clock_wall_ms(),
				  .mono_ms = clock_mono_ms()};
	struct writer *w;
	struct store *s;

	if (argc > 2)
		payload_n = MIN(strtoul(argv[2], NULL, 10), sizeof(payload));
	if (argc > 3)
		sessions = MAX(strtoul(argv[3], NULL, 10), 1u);
	(void)snprintf(dir, sizeof(dir), "%s/perf-store-XXXXXX", argc > 1 ? argv[1] : ".");
	if (mkdtemp(dir) == NULL || (o.dir_fd = open(dir, O_RDONLY | O_DIRECTORY)) < 0)
		return 1;
	if (store_open(&s, &o, text, sizeof(text)) != E_OK) {
		printf("%s\n", text);
		return 1;
	}
	w = writer_new(s, &env, 1, false);
	fill(w);
	printf("%zu bytes of payload, %llu sessions, %d messages waiting%s\n", payload_n,
	       (unsigned long long)sessions, BACKLOG, o.key != NULL ? ", sealed" : "");
	run(w, 1, 1000);
	run(w, 10, 500);
	run(w, 100, 500);
	run(w, 1000, 100);
	writer_free(&w, false);
	(void)unlinkat(o.dir_fd, "data.mdb", 0);
	(void)unlinkat(o.dir_fd, "lock.mdb", 0);
	(void)unlinkat(o.dir_fd, "ballast", 0);
	return rmdir(dir);
}
