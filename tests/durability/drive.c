/* drive: gives a store a hard life, alone: one commit after the other with sessions, subscriptions,
 * queues that share messages, identifiers and retained messages, as many as fit in a model of it.
 *
 *     durability_drive DIR TIMELINE COMMITS SEED -R broker       (with disk.c preloaded)
 *
 * Writes the timeline (see timeline.py) of what each commit promised when it returned.  Then cuts.c
 * can look for it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "load/load.h"
#include "look.h"
#include "store/store.h"

enum { SESSIONS = 24, FILTERS = 6, QUEUE = 64, PIDS = 12, RETAINED = 16, OPS = 24, LINES = 8192 };
enum { BODY = 1200, TEXT = 96 };
#define MAP_BYTES (1ull << 30)

struct entry {
	u64 seq, message;
	u32 publisher_seq;
	u8 qos;
	bool released;
};
struct model_session {
	u64 sid; /* 0: not there */
	bool sub[FILTERS], pid[PIDS];
	struct entry queue[QUEUE];
	u32 nqueue;
	char name[16];
};
struct line {
	u64 place, key;
	u32 op, unused;
};

struct drive {
	struct store *s;
	struct store_batch *batch;
	struct model_session session[SESSIONS];
	u64 retained[RETAINED];	    /* number of the value; 0: none */
	u32 retained_seq[RETAINED]; /* what it says */
	u64 counter, random, seq;
	u32 publisher_seq;
	struct line before[LINES], after[LINES];
	u32 nbefore, nafter;
	const _Atomic uint64_t *log_used;
	FILE *timeline;
};

static u32 below(struct drive *d, u32 n)
{
	u64 z = d->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (u32)((z ^ z >> 31) % n);
}

static u64 number(struct drive *d)
{
	return store_number(store_epoch(d->s), 0, ++d->counter);
}

/* ---- promises -------------------------------------------------------------------------- */
static void promise(struct line *list, u32 *n, const char *text, u32 op)
{
	if (*n == LINES)
		abort();
	list[(*n)++] = (struct line){.key = look_key(text), .op = op};
}

/* From the return of the commit that is being made, it is there. */
static void there(struct drive *d, const char *text)
{
	promise(d->before, &d->nbefore, text, LOOK_MAY);
	promise(d->after, &d->nafter, text, LOOK_MUST);
}

/* From its beginning it may be gone, from its return it is. */
static void gone(struct drive *d, const char *text)
{
	promise(d->before, &d->nbefore, text, LOOK_NEED_NOT);
	promise(d->after, &d->nafter, text, LOOK_MUST_NOT);
}

static void lines_write(struct drive *d, struct line *list, u32 n)
{
	u64 place = DISK_LOG_HEAD + atomic_load(d->log_used) - 1;

	for (u32 i = 0; i < n; i++)
		list[i].place = place;
	if (fwrite(list, sizeof(*list), n, d->timeline) != n)
		abort();
}

/* ---- operations ------------------------------------------------------------------------ */
static struct slice text_in(struct drive *d, const char *s)
{
	return store_batch_copy(d->batch, slice_str(s));
}

static struct store_op *op_add(struct drive *d, enum store_op_kind kind, u64 sid, u64 seq)
{
	struct store_op *op = store_batch_add(d->batch, kind);

	op->sid = sid;
	op->seq = seq;
	return op;
}

static struct store_msg message(struct drive *d, const char *topic, u32 seq, u64 n)
{
	u8 body[BODY];
	size_t size = PAYLOAD_MIN + below(d, below(d, 10) == 0 ? BODY - PAYLOAD_MIN : 60);

	payload_make(body, size, 1, seq, topic);
	return (struct store_msg){.number = n,
				  .topic = text_in(d, topic),
				  .payload = store_batch_copy(d->batch, slice_of(body, size)),
				  .qos = 1};
}

static void session_begin(struct drive *d, struct model_session *m)
{
	struct store_op *op = op_add(d, SO_SESSION_PUT, 0, 0);
	char text[TEXT];

	*m = (struct model_session){.sid = number(d)};
	snprintf(m->name, sizeof(m->name), "s%llu", (unsigned long long)d->counter);
	op->session = store_batch_bytes(d->batch, sizeof(*op->session));
	*op->session = (struct store_session){.sid = m->sid,
					      .identity = text_in(d, "drive"),
					      .client_id = text_in(d, m->name),
					      .version = 5,
					      .expiry_s = UINT32_MAX};
	snprintf(text, sizeof(text), "S %s", m->name);
	there(d, text);
}

static void sub_text(char *out, const struct model_session *m, u32 i)
{
	snprintf(out, TEXT, "F %s f/%u/#", m->name, i);
}

static void pid_text(char *out, const struct model_session *m, u32 i)
{
	snprintf(out, TEXT, "P %s %u", m->name, i + 1);
}

/* What an entry is found as: its message, and that with its identifier; or the identifier alone. */
static void entry_said(struct drive *d, const struct model_session *m, const struct entry *e,
		       void (*say)(struct drive *d, const char *text))
{
	char text[TEXT];
	u32 pid = look_pid(e->seq);

	if (e->released) {
		snprintf(text, sizeof(text), "R %s %u", m->name, pid);
		say(d, text);
		return;
	}
	snprintf(text, sizeof(text), "Q %s 1 %u", m->name, e->publisher_seq);
	say(d, text);
	snprintf(text, sizeof(text), "D %s %u 1 %u", m->name, pid, e->publisher_seq);
	say(d, text);
}

static void session_end(struct drive *d, struct model_session *m)
{
	char text[TEXT];

	op_add(d, SO_SESSION_DEL, m->sid, 0);
	snprintf(text, sizeof(text), "S %s", m->name);
	gone(d, text);
	for (u32 i = 0; i < FILTERS; i++) {
		sub_text(text, m, i);
		if (m->sub[i])
			gone(d, text);
	}
	for (u32 i = 0; i < PIDS; i++) {
		pid_text(text, m, i);
		if (m->pid[i])
			gone(d, text);
	}
	for (u32 i = 0; i < m->nqueue; i++)
		entry_said(d, m, &m->queue[i], gone);
	m->sid = 0;
}

static void sub_turn(struct drive *d, struct model_session *m)
{
	u32 i = below(d, FILTERS);
	char text[TEXT];
	struct store_op *op;

	sub_text(text, m, i);
	if (m->sub[i]) {
		op_add(d, SO_SUB_DEL, m->sid, i);
		gone(d, text);
	} else {
		op = op_add(d, SO_SUB_PUT, 0, 0);
		op->sub = store_batch_bytes(d->batch, sizeof(*op->sub));
		*op->sub = (struct store_sub){
			.sid = m->sid, .sub = i, .filter = text_in(d, text + 3 + strlen(m->name))};
		there(d, text);
	}
	m->sub[i] = !m->sub[i];
}

static void pid_turn(struct drive *d, struct model_session *m)
{
	u32 i = below(d, PIDS);
	char text[TEXT];

	pid_text(text, m, i);
	op_add(d, m->pid[i] ? SO_PID_DEL : SO_PID_PUT, m->sid, i + 1);
	if (m->pid[i])
		gone(d, text);
	else
		there(d, text);
	m->pid[i] = !m->pid[i];
}

/* One message for some of the sessions. */
static void publish(struct drive *d)
{
	u32 publisher_seq = ++d->publisher_seq, chance = 1 + below(d, 8);
	u64 n = number(d);
	struct store_msg m = message(d, "q", publisher_seq, n);

	for (u32 i = 0; i < SESSIONS; i++) {
		struct model_session *s = &d->session[i];
		struct entry *e = &s->queue[s->nqueue];
		struct store_op *op;
		if (s->sid == 0 || s->nqueue == QUEUE || below(d, 8) >= chance)
			continue;
		*e = (struct entry){.seq = store_sequence(store_epoch(d->s)) + ++d->seq,
				    .message = n,
				    .publisher_seq = publisher_seq,
				    .qos = (u8)(1 + below(d, 2))};
		s->nqueue++;
		op = op_add(d, SO_QUEUE_PUT, 0, 0);
		op->queued = store_batch_bytes(d->batch, sizeof(*op->queued));
		*op->queued = (struct store_queued){
			.sid = s->sid, .seq = e->seq, .m = m, .state = SQ_QUEUED, .qos = e->qos};
		entry_said(d, s, e, there);
	}
}

/* The oldest leaves, as a rule; one of QoS 2 is released before. */
static void deliver(struct drive *d, struct model_session *s)
{
	u32 i = below(d, 4) == 0 ? below(d, s->nqueue) : 0;
	struct entry *e = &s->queue[i];

	entry_said(d, s, e, gone);
	if (e->qos == 2 && !e->released) {
		op_add(d, SO_QUEUE_RELEASE, s->sid, e->seq);
		e->released = true;
		entry_said(d, s, e, there);
		return;
	}
	op_add(d, SO_QUEUE_DEL, s->sid, e->seq);
	memmove(e, e + 1, (s->nqueue - i - 1) * sizeof(*e));
	s->nqueue--;
}

static void retained_text(char *out, u32 i, u32 seq)
{
	snprintf(out, TEXT, "V r/%u 1 %u", i, seq);
}

static void retain(struct drive *d)
{
	u32 i = below(d, RETAINED);
	char text[TEXT], topic[16];
	struct store_op *op;

	retained_text(text, i, d->retained_seq[i]);
	if (d->retained[i] != 0)
		gone(d, text);
	if (d->retained[i] != 0) /* the core says both, in this order */
		op_add(d, SO_RETAIN_DEL, d->retained[i], 0);
	d->retained[i] = 0;
	if (below(d, 4) == 0)
		return;
	snprintf(topic, sizeof(topic), "r/%u", i);
	d->retained_seq[i] = ++d->publisher_seq;
	d->retained[i] = number(d);
	op = op_add(d, SO_RETAIN_PUT, 0, 0);
	op->retained = store_batch_bytes(d->batch, sizeof(*op->retained));
	*op->retained =
		(struct store_retained){.number = d->retained[i],
					.m = message(d, topic, d->retained_seq[i], d->retained[i]),
					.identity = text_in(d, "drive")};
	retained_text(text, i, d->retained_seq[i]);
	there(d, text);
}

/* Whether a session was touched by this commit: what is made and ended in one is never promised. */
static void act(struct drive *d, bool *busy)
{
	u32 at = below(d, SESSIONS), kind = below(d, 100);
	struct model_session *m = &d->session[at];

	if (m->sid == 0)
		session_begin(d, m);
	else if (kind < 2 && !busy[at])
		session_end(d, m);
	else if (kind < 12 && !busy[at])
		sub_turn(d, m);
	else if (kind < 25 && !busy[at])
		pid_turn(d, m);
	else if (kind < 80 && m->nqueue != 0 && !busy[at])
		deliver(d, m);
	busy[at] = true;
}

static void commit(struct drive *d)
{
	const struct store_op *list[OPS * SESSIONS * 4];
	bool busy[SESSIONS] = {false};
	u32 n = 1 + below(d, OPS), spoken = below(d, 4);

	d->batch = store_batch_new(0, ++d->counter);
	d->nbefore = d->nafter = 0;
	for (u32 i = 0; i < n; i++)
		act(d, busy);
	for (u32 i = 0; i < spoken; i++)
		publish(d);
	if (below(d, 3) == 0)
		retain(d);
	for (u32 i = 0; i < d->batch->n; i++)
		list[i] = &d->batch->op[i];
	lines_write(d, d->before, d->nbefore);
	if (store_commit(d->s, list, d->batch->n, 1, 1, NULL) != E_OK) {
		fprintf(stderr, "a commit failed\n");
		exit(2);
	}
	lines_write(d, d->after, d->nafter);
	store_batch_free(&d->batch);
}

static const void *log_map(void)
{
	const char *path = getenv("DISK_LOG");
	int fd = path != NULL ? open(path, O_RDONLY) : -1;
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED) {
		perror("DISK_LOG");
		exit(2);
	}
	close(fd);
	return p;
}

int main(int argc, char **argv)
{
	static struct drive d;
	struct store_options o = {.map_bytes = MAP_BYTES, .wall_ms = 1, .mono_ms = 1};
	char text[256] = "";
	u32 commits;

	if (argc != 7)
		return 2;
	o.path = argv[1];
	o.dir_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d.timeline = fopen(argv[2], "wb");
	commits = (u32)strtoul(argv[3], NULL, 10);
	d.random = strtoull(argv[4], NULL, 10);
	d.log_used = log_map();
	if (d.timeline == NULL || store_open(&d.s, &o, text, sizeof(text)) != E_OK) {
		fprintf(stderr, "no store: %s\n", text);
		return 2;
	}
	for (u32 i = 0; i < commits; i++)
		commit(&d);
	fclose(d.timeline);
	_exit(0); /* as if it had died */
}
