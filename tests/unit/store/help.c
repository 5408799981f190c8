#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "help.h"

const u8 house_key[32] = "0123456789abcdef0123456789abcde";

static struct slice text_in(struct store_batch *b, const char *s)
{
	return store_batch_copy(b, slice_str(s));
}

struct store_op *batch_op(struct store_batch *b, enum store_op_kind kind, u64 sid, u64 seq)
{
	struct store_op *op = store_batch_add(b, kind);

	op->sid = sid;
	op->seq = seq;
	return op;
}

struct store_op *batch_put(struct store_batch *b, u64 sid, u64 seq, u64 number, const char *text)
{
	struct store_op *op = store_batch_add(b, SO_QUEUE_PUT);

	op->queued = store_batch_bytes(b, sizeof(*op->queued));
	*op->queued = (struct store_queued){.sid = sid,
					    .seq = seq,
					    .qos = 1,
					    .m = {.number = number,
						  .qos = 1,
						  .topic = text_in(b, "t"),
						  .payload = text_in(b, text)}};
	return op;
}

struct store_op *batch_session(struct store_batch *b, u64 sid)
{
	struct store_op *op = store_batch_add(b, SO_SESSION_PUT);

	op->session = store_batch_bytes(b, sizeof(*op->session));
	op->session->sid = sid;
	op->session->identity = text_in(b, "id");
	op->session->client_id = text_in(b, "client");
	return op;
}

enum err house_open(struct house *h, const u8 *key)
{
	struct store_options o = {.dir_fd = h->dir_fd,
				  .path = h->dir,
				  .map_bytes = h->map_bytes,
				  .key = key,
				  .wall_ms = h->wall,
				  .mono_ms = h->mono};

	return store_open(&h->s, &o, h->text, sizeof(h->text));
}

static void open_again(struct house *h)
{
	if (house_open(h, h->kind == SEALED ? house_key : NULL) != E_OK)
		fail_msg("cannot open: %s", h->text);
}

void house_make(struct house *h, enum house_kind kind)
{
	house_make_in(h, kind, "/tmp", 1ull << 30);
}

void house_make_in(struct house *h, enum house_kind kind, const char *parent, u64 map_bytes)
{
	*h = (struct house){
		.kind = kind, .wall = 1700000000000, .mono = 5000, .map_bytes = map_bytes};
	h->b = store_batch_new(0, ++h->serial);
	h->copies = store_batch_new(0, 1);
	if (kind == IN_MEMORY) {
		h->s = store_memory(h->mono);
		return;
	}
	(void)snprintf(h->dir, sizeof(h->dir), "%s/picket-store-XXXXXX", parent);
	assert_non_null(mkdtemp(h->dir));
	h->dir_fd = open(h->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(h->dir_fd >= 0);
	open_again(h);
}

void house_free(struct house *h)
{
	store_close(&h->s);
	store_batch_free(&h->b);
	store_batch_free(&h->copies);
	if (h->kind == IN_MEMORY)
		return;
	(void)unlinkat(h->dir_fd, "data.mdb", 0);
	(void)unlinkat(h->dir_fd, "lock.mdb", 0);
	(void)unlinkat(h->dir_fd, "ballast", 0);
	close(h->dir_fd);
	assert_int_equal(rmdir(h->dir), 0);
}

void house_reopen(struct house *h)
{
	if (h->kind == IN_MEMORY) {
		store_crash(h->s, h->mono);
		return;
	}
	store_close(&h->s);
	open_again(h);
}

struct store_op *house_op(struct house *h, enum store_op_kind kind, u64 sid, u64 seq)
{
	return batch_op(h->b, kind, sid, seq);
}

void house_session(struct house *h, u64 sid)
{
	(void)batch_session(h->b, sid);
}

struct store_op *house_put(struct house *h, u64 sid, u64 seq, u64 number, const char *payload)
{
	return batch_put(h->b, sid, seq, number, payload);
}

void house_read(struct house *h, u64 sid, u64 after, u32 count)
{
	struct store_op *op = house_op(h, SO_READ, sid, after);

	op->count = count;
	op->bytes = UINT32_MAX;
}

static void on_read(void *arg, const struct store_op *op, const struct store_read *r)
{
	struct house *h = arg;
	struct store_read *to = &h->read[h->nreads++];

	assert_true(h->nreads <= ARRAY_LEN(h->read));
	assert_int_equal(r->sid, op->sid);
	assert_int_equal(r->after, op->seq);
	*to = *r;
	to->queued = store_batch_bytes(h->copies, (r->n + 1) * sizeof(*to->queued));
	for (u32 i = 0; i < r->n; i++) {
		struct store_queued *q = &to->queued[i];

		*q = r->queued[i];
		q->m.topic = store_batch_copy(h->copies, q->m.topic);
		q->m.props = store_batch_copy(h->copies, q->m.props);
		q->m.payload = store_batch_copy(h->copies, q->m.payload);
		if (q->ids == NULL)
			continue;
		u32 *ids = store_batch_bytes(h->copies, (q->ids[0] + 1) * sizeof(u32));

		memcpy(ids, q->ids, (q->ids[0] + 1) * sizeof(u32));
		q->ids = ids;
	}
}

enum err house_try(struct house *h)
{
	const struct store_sink sink = {h, on_read};
	const struct store_op **op = calloc(h->b->n + 1, sizeof(struct store_op *));
	enum err e;

	for (u32 i = 0; i < h->b->n; i++)
		op[i] = &h->b->op[i];
	h->nreads = 0;
	store_batch_free(&h->copies);
	h->copies = store_batch_new(0, 1);
	e = store_commit(h->s, op, h->b->n, h->wall, h->mono, &sink);
	free(op);
	return e;
}

void house_commit(struct house *h)
{
	assert_int_equal(house_try(h), E_OK);
	store_batch_free(&h->b);
	h->b = store_batch_new(0, ++h->serial);
}

const char *house_queue(struct house *h, u64 sid)
{
	static char out[1 << 20];
	size_t n = 0;

	house_read(h, sid, 0, 1000);
	house_commit(h);
	assert_int_equal(h->nreads, 1);
	assert_true(h->read[0].end);
	out[0] = 0;
	for (u32 i = 0; i < h->read[0].n; i++) {
		const struct store_queued *q = &h->read[0].queued[i];

		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%llu:%.*s%s", i ? " " : "",
				      (unsigned long long)q->seq, (int)q->m.payload.n,
				      (const char *)q->m.payload.p,
				      q->state == SQ_RELEASED ? "released" : "");
		assert_true(n < sizeof(out));
	}
	return out;
}

struct store_stats house_stats(struct house *h)
{
	struct store_stats s;

	store_stats(h->s, &s);
	return s;
}
