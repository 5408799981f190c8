/* Records of the store.  The first byte says what kind the rest is taken for: the bare fields of a
 * record, which, when they can be read, are written to the same bytes again; or a whole record,
 * plain or sealed, whose envelope has to hold whatever it says. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store_chunk *scratch;

static void same(record_fields *fields, const void *thing, struct slice was)
{
	struct wr w = wr_count();
	u8 *b;

	fields(&w, thing);
	ASSERT(w.err == E_OK && w.n == was.n);
	b = xmalloc(MAX(was.n, 1u));
	w = wr_of(b, was.n);
	fields(&w, thing);
	ASSERT(w.err == E_OK && slice_eq(wr_done(&w), was));
	free(b);
}

/* Every view lies inside of what was read. */
static void inside(struct slice view, struct slice of)
{
	ASSERT(view.n == 0 || (view.p >= of.p && view.p + view.n <= of.p + of.n));
}

static void queued(u8 kind, struct slice f)
{
	struct record_queued q;

	if (read_queued(f, kind, &scratch, &q) != E_OK)
		return;
	inside(q.q.m.topic, f);
	inside(q.q.m.payload, f);
	ASSERT(q.q.ids == NULL || q.q.ids[0] <= f.n / 4);
	/* The head's expiry and size are what counts; a body that says otherwise is written anew
	 * as the head has it. */
	if (!q.ref && q.weight == msg_bytes(&q.q.m)) {
		struct wr w = wr_count();

		fields_queued(&w, &q.q);
		ASSERT(w.n == f.n);
	}
}

static void fields(u8 kind, struct slice f)
{
	union {
		struct record_format format;
		struct record_state state;
		struct store_session session;
		struct store_sub sub;
		struct store_msg body;
		struct store_retained retained;
		struct record_drops drops;
		u32 count;
	} x;

	memset(&x, 0, sizeof(x));
	if (kind == REC_QUEUED || kind == REC_QUEUED_REF)
		queued(kind, f);
	else if (kind == REC_FORMAT)
		(void)!read_format(f, &x.format); /* may be longer than we know */
	else if (kind == REC_STATE && read_state(f, &x.state) == E_OK && x.state.epoch != 0)
		same(fields_state, &x, f);
	else if (kind == REC_SESSION && read_session(f, &x.session) == E_OK)
		same(fields_session, &x, f);
	else if (kind == REC_SUB && read_sub(f, &x.sub) == E_OK)
		same(fields_sub, &x, f);
	else if (kind == REC_BODY && read_body(f, &x.body) == E_OK && x.body.number != 0)
		same(fields_body, &x, f);
	else if (kind == REC_RETAINED && read_retained(f, &x.retained) == E_OK)
		same(fields_retained, &x, f);
	else if (kind == REC_DROPS)
		(void)!read_drops(f, &x.drops); /* may have counters that we do not know */
	else if (kind == REC_REFS && read_count(f, &x.count) == E_OK)
		same(fields_count, &x, f);
}

/* Nothing opens a seal but what was sealed. */
static void record(struct slice raw)
{
	static const u8 key[32] = "0123456789abcdef0123456789abcde";
	static struct seal *seal;
	const struct place at = {KV_QUEUE, 1, 2};
	struct slice f;
	u8 kind;

	if (seal == NULL) {
		seal = seal_new(key);
		ASSERT(seal != NULL);
	}
	ASSERT(record_open(seal, &at, raw, &scratch, &kind, &f) == E_CORRUPT);
	if (record_open(NULL, &at, raw, &scratch, &kind, &f) == E_OK)
		inside(f, raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_skip(slice_of(data, size), 1);
	u8 *exact;

	if (size == 0)
		return 0;
	exact = xmalloc(MAX(rest.n, 1u));
	memcpy(exact, rest.p, rest.n);
	rest.p = exact;
	if (data[0] == 0)
		record(rest);
	else
		fields(data[0], rest);
	chunk_reset(&scratch);
	free(exact);
	return 0;
}
