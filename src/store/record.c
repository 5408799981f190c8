/* record: the envelope, then one writer and one reader a kind, side by side so that they can be
 * compared. */
#include "store/crc.h"
#include "store/record.h"

enum { FLAG_ONE = 1, FLAG_TWO = 2 };

size_t place_key(const struct place *at, u8 out[16])
{
	struct wr w = wr_of(out, 16);

	wr_u64(&w, at->a);
	if (kv_pair(at->db))
		wr_u64(&w, at->b);
	ASSERT(w.err == E_OK);
	ASSERT(at->b == 0 || kv_pair(at->db));
	return w.n;
}

/* ---- the envelope ---------------------------------------------------------------------------- */

size_t record_size(const struct seal *seal, size_t fields)
{
	ASSERT(fields <= UINT32_MAX);
	return FORMAT_HEAD + fields +
	       (seal != NULL ? (size_t)FORMAT_NONCE + FORMAT_TAG : (size_t)FORMAT_SUM);
}

size_t record_fields_at(const struct seal *seal)
{
	return seal != NULL ? (size_t)FORMAT_HEAD + FORMAT_NONCE : (size_t)FORMAT_HEAD;
}

/* What binds a record to its place: database, key; and for a seal the head of the record. */
struct binding {
	u8 b[1 + 16 + FORMAT_HEAD];
	size_t n;
};

static struct binding bind(const struct place *at, const u8 *head)
{
	struct binding x;

	ASSERT(at->db < KV_DBS);
	x.b[0] = (u8)at->db;
	x.n = 1 + place_key(at, x.b + 1);
	if (head != NULL) {
		memcpy(x.b + x.n, head, FORMAT_HEAD);
		x.n += FORMAT_HEAD;
	}
	ASSERT(x.n <= sizeof(x.b));
	return x;
}

static u32 checksum(const struct place *at, const u8 *record, size_t n)
{
	struct binding x = bind(at, NULL);

	return crc32c(crc32c(0, x.b, x.n), record, n);
}

void record_finish(struct seal *seal, const struct place *at, enum format_kind kind, u8 *record,
		   size_t fields)
{
	struct wr w = wr_of(record, FORMAT_HEAD);

	wr_u8(&w, seal != NULL ? FORMAT_SEALED : FORMAT_PLAIN);
	wr_u8(&w, (u8)kind);
	wr_u32(&w, (u32)fields);
	ASSERT(w.err == E_OK && w.n == FORMAT_HEAD);
	if (seal == NULL) {
		struct wr sum = wr_of(record + FORMAT_HEAD + fields, FORMAT_SUM);

		wr_u32(&sum, checksum(at, record, FORMAT_HEAD + fields));
		ASSERT(sum.err == E_OK);
	} else {
		struct binding x = bind(at, record);
		u8 *b = record + FORMAT_HEAD + FORMAT_NONCE;

		seal_close(seal, slice_of(x.b, x.n), b, fields, record + FORMAT_HEAD, b + fields);
	}
}

static enum err open_plain(const struct place *at, struct slice raw, struct rd *r, u32 n,
			   struct slice *fields)
{
	u32 sum;

	ASSERT(raw.n >= FORMAT_HEAD);
	*fields = rd_bytes(r, n);
	sum = rd_u32(r);
	if (r->err || rd_left(r) != 0 || sum != checksum(at, raw.p, raw.n - FORMAT_SUM))
		return E_CORRUPT;
	return E_OK;
}

static enum err open_sealed(const struct seal *seal, const struct place *at, struct slice raw,
			    struct rd *r, u32 n, struct store_chunk **scratch, struct slice *fields)
{
	struct binding x = bind(at, raw.p);
	struct slice nonce = rd_bytes(r, FORMAT_NONCE), in = rd_bytes(r, n),
		     tag = rd_bytes(r, FORMAT_TAG);
	u8 *out;

	ASSERT(seal != NULL);
	ASSERT(raw.n >= FORMAT_HEAD);
	if (r->err || rd_left(r) != 0)
		return E_CORRUPT;
	out = chunk_alloc(scratch, n + 1u);
	*fields = slice_of(out, n);
	return seal_open(seal, slice_of(x.b, x.n), nonce.p, in, tag.p, out);
}

enum err record_open(const struct seal *seal, const struct place *at, struct slice raw,
		     struct store_chunk **scratch, u8 *kind, struct slice *fields)
{
	struct rd r = rd_of(raw);
	u8 format = rd_u8(&r);
	u32 n;

	*kind = rd_u8(&r);
	*fields = SLICE_NONE;
	n = rd_u32(&r);
	if (r.err || n > rd_left(&r))
		return E_CORRUPT;
	/* Whoever can write the file but has no key must not get a plain record past a sealed
	 * store. */
	if (format != (seal != NULL ? FORMAT_SEALED : FORMAT_PLAIN))
		return E_CORRUPT;
	if (seal != NULL)
		return open_sealed(seal, at, raw, &r, n, scratch, fields);
	return open_plain(at, raw, &r, n, fields);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void wr_lv(struct wr *w, struct slice s)
{
	ASSERT(s.n <= UINT32_MAX);
	wr_u32(w, (u32)s.n);
	wr_slice(w, s);
}

static struct slice rd_lv(struct rd *r)
{
	return rd_bytes(r, rd_u32(r));
}

static u8 flags_of(bool one, bool two)
{
	return (u8)((one ? FLAG_ONE : 0) | (two ? FLAG_TWO : 0));
}

/* A byte that is at most max. */
static u8 rd_most(struct rd *r, u8 max)
{
	u8 v = rd_u8(r);

	if (v > max)
		rd_fail(r, E_CORRUPT);
	return v;
}

static bool rd_flag(struct rd *r)
{
	return rd_most(r, FLAG_ONE) != 0;
}

static enum err rd_end(const struct rd *r)
{
	return r->err || rd_left(r) != 0 ? E_CORRUPT : E_OK;
}

static void wr_msg(struct wr *w, const struct store_msg *m)
{
	ASSERT(m->qos <= 2);
	wr_u64(w, m->number);
	wr_u64(w, m->expires_ms);
	wr_u8(w, m->qos);
	wr_u8(w, flags_of(m->retain, false));
	wr_lv(w, m->topic);
	wr_lv(w, m->props);
	wr_lv(w, m->payload);
}

static void rd_msg(struct rd *r, struct store_msg *m)
{
	m->number = rd_u64(r);
	m->expires_ms = rd_u64(r);
	m->qos = rd_most(r, 2);
	m->retain = rd_flag(r);
	m->topic = rd_lv(r);
	m->props = rd_lv(r);
	m->payload = rd_lv(r);
}

/* The same members stand in a session and in a retained value. */
struct who {
	u64 identity_id;
	struct slice identity, client_id, username, cert_cn, cert_san, listener;
	const u8 *addr;
	bool tls;
};

static void wr_who(struct wr *w, const struct who *x)
{
	wr_u64(w, x->identity_id);
	wr_lv(w, x->identity);
	wr_lv(w, x->client_id);
	wr_lv(w, x->username);
	wr_lv(w, x->cert_cn);
	wr_lv(w, x->cert_san);
	wr_lv(w, x->listener);
	wr_bytes(w, x->addr, 16);
	wr_u8(w, flags_of(x->tls, false));
}

static struct who rd_who(struct rd *r)
{
	static const u8 nowhere[16];
	struct who x = {.identity_id = rd_u64(r)};

	x.identity = rd_lv(r);
	x.client_id = rd_lv(r);
	x.username = rd_lv(r);
	x.cert_cn = rd_lv(r);
	x.cert_san = rd_lv(r);
	x.listener = rd_lv(r);
	x.addr = rd_bytes(r, 16).p;
	if (x.addr == NULL)
		x.addr = nowhere;
	x.tls = rd_flag(r);
	return x;
}

/* ---- kinds ----------------------------------------------------------------------------------- */

void fields_format(struct wr *w, const void *thing)
{
	const struct record_format *f = thing;

	ASSERT(f->version == FORMAT_VERSION);
	wr_slice(w, SLICE_LIT(FORMAT_NAME));
	wr_u32(w, f->version);
	wr_bytes(w, f->check, sizeof(f->check));
}

enum err read_format(struct slice fields, struct record_format *out)
{
	struct rd r = rd_of(fields);
	struct slice name = rd_bytes(&r, strlen(FORMAT_NAME)), check;

	out->version = rd_u32(&r);
	check = rd_bytes(&r, sizeof(out->check));
	/* A later version may go on behind this. */
	if (r.err || !slice_eq(name, SLICE_LIT(FORMAT_NAME)))
		return E_CORRUPT;
	memcpy(out->check, check.p, sizeof(out->check));
	return E_OK;
}

void fields_state(struct wr *w, const void *thing)
{
	const struct record_state *s = thing;

	ASSERT(s->epoch != 0);
	wr_u64(w, s->epoch);
	wr_u64(w, s->store_ms);
	wr_u64(w, s->wall_ms);
	wr_u8(w, flags_of(s->clean, false));
}

enum err read_state(struct slice fields, struct record_state *out)
{
	struct rd r = rd_of(fields);

	out->epoch = rd_u64(&r);
	out->store_ms = rd_u64(&r);
	out->wall_ms = rd_u64(&r);
	out->clean = rd_flag(&r);
	return rd_end(&r);
}

static void wr_will(struct wr *w, const struct store_will *x)
{
	ASSERT(x->m.topic.n != 0);
	wr_u32(w, x->delay_s);
	wr_u32(w, x->expiry_s);
	wr_u8(w, flags_of(x->expires, false));
	wr_msg(w, &x->m);
}

static void rd_will(struct rd *r, struct store_will *x)
{
	x->delay_s = rd_u32(r);
	x->expiry_s = rd_u32(r);
	x->expires = rd_flag(r);
	rd_msg(r, &x->m);
	if (x->m.topic.n == 0) /* there is no will without a topic */
		rd_fail(r, E_CORRUPT);
}

void fields_session(struct wr *w, const void *thing)
{
	const struct store_session *s = thing;
	const struct who who = {s->identity_id, s->identity, s->client_id, s->username, s->cert_cn,
				s->cert_san,	s->listener, s->addr,	   s->tls};

	ASSERT(s->identity.n <= UINT32_MAX);
	wr_who(w, &who);
	wr_u8(w, s->version);
	wr_u32(w, s->kind);
	wr_u32(w, s->expiry_s);
	wr_u64(w, s->away_ms);
	wr_u64(w, s->sent);
	wr_u64(w, s->created_ms);
	wr_u8(w, flags_of(s->will.m.topic.n != 0, false));
	if (s->will.m.topic.n != 0)
		wr_will(w, &s->will);
}

enum err read_session(struct slice fields, struct store_session *out)
{
	struct rd r = rd_of(fields);
	struct who who = rd_who(&r);

	*out = (struct store_session){
		.identity_id = who.identity_id,
		.identity = who.identity,
		.client_id = who.client_id,
		.username = who.username,
		.cert_cn = who.cert_cn,
		.cert_san = who.cert_san,
		.listener = who.listener,
		.tls = who.tls,
	};
	memcpy(out->addr, who.addr, sizeof(out->addr));
	out->version = rd_u8(&r);
	out->kind = rd_u32(&r);
	out->expiry_s = rd_u32(&r);
	out->away_ms = rd_u64(&r);
	out->sent = rd_u64(&r);
	out->created_ms = rd_u64(&r);
	if (rd_flag(&r))
		rd_will(&r, &out->will);
	return rd_end(&r);
}

void fields_sub(struct wr *w, const void *thing)
{
	const struct store_sub *s = thing;

	ASSERT(s->qos <= 2 && s->retain_handling <= 2);
	wr_u32(w, s->id);
	wr_u8(w, s->qos);
	wr_u8(w, s->retain_handling);
	wr_u8(w, flags_of(s->no_local, s->retain_as_published));
	wr_lv(w, s->filter);
}

enum err read_sub(struct slice fields, struct store_sub *out)
{
	struct rd r = rd_of(fields);
	u8 flags;

	*out = (struct store_sub){.id = rd_u32(&r)};
	out->qos = rd_most(&r, 2);
	out->retain_handling = rd_most(&r, 2);
	flags = rd_most(&r, FLAG_ONE | FLAG_TWO);
	out->no_local = flags & FLAG_ONE;
	out->retain_as_published = flags & FLAG_TWO;
	out->filter = rd_lv(&r);
	return rd_end(&r);
}

static void wr_queued_head(struct wr *w, const struct store_queued *q)
{
	u32 n = q->ids != NULL ? q->ids[0] : 0;

	ASSERT(q->state <= SQ_RELEASED && q->qos <= 2);
	ASSERT(msg_bytes(&q->m) <= UINT32_MAX);
	wr_u8(w, q->state);
	wr_u8(w, q->qos);
	wr_u8(w, flags_of(q->retain, false));
	wr_u64(w, q->m.expires_ms);
	wr_u32(w, (u32)msg_bytes(&q->m));
	wr_u16(w, q->sub);
	wr_u32(w, n);
	for (u32 i = 1; i <= n; i++)
		wr_u32(w, q->ids[i]);
}

void fields_queued(struct wr *w, const void *thing)
{
	const struct store_queued *q = thing;

	ASSERT(q != NULL);
	wr_queued_head(w, q);
	wr_msg(w, &q->m);
}

void fields_ref(struct wr *w, const void *thing)
{
	const struct store_queued *q = thing;

	ASSERT(q->m.number != 0);
	wr_queued_head(w, q);
	wr_u64(w, q->m.number);
}

static const u32 *rd_ids(struct rd *r, struct store_chunk **scratch)
{
	u32 n = rd_u32(r), *ids;

	if (n > rd_left(r) / 4) {
		rd_fail(r, E_CORRUPT);
		return NULL;
	}
	if (n == 0)
		return NULL;
	ids = chunk_alloc(scratch, (n + 1u) * sizeof(*ids));
	ids[0] = n;
	for (u32 i = 1; i <= n; i++)
		ids[i] = rd_u32(r);
	return ids;
}

enum err read_queued(struct slice fields, u8 kind, struct store_chunk **scratch,
		     struct record_queued *out)
{
	struct rd r = rd_of(fields);
	struct store_queued *q = &out->q;
	u64 expires_ms;

	*out = (struct record_queued){.ref = kind == REC_QUEUED_REF};
	if (kind != REC_QUEUED && kind != REC_QUEUED_REF)
		return E_CORRUPT;
	q->state = rd_most(&r, SQ_RELEASED);
	q->qos = rd_most(&r, 2);
	q->retain = rd_flag(&r);
	expires_ms = rd_u64(&r);
	out->weight = rd_u32(&r);
	q->sub = rd_u16(&r);
	q->ids = rd_ids(&r, scratch);
	if (out->ref)
		q->m.number = rd_u64(&r);
	else
		rd_msg(&r, &q->m);
	q->m.expires_ms = expires_ms;
	return rd_end(&r);
}

void fields_body(struct wr *w, const void *thing)
{
	const struct store_msg *m = thing;

	ASSERT(m->number != 0);
	wr_msg(w, m);
}

enum err read_body(struct slice fields, struct store_msg *out)
{
	struct rd r = rd_of(fields);

	*out = (struct store_msg){.number = 0};
	rd_msg(&r, out);
	return rd_end(&r);
}

void fields_count(struct wr *w, const void *thing)
{
	const u32 *n = thing;

	ASSERT(*n != 0);
	wr_u32(w, *n);
}

enum err read_count(struct slice fields, u32 *out)
{
	struct rd r = rd_of(fields);

	*out = rd_u32(&r);
	return *out == 0 ? E_CORRUPT : rd_end(&r);
}

void fields_nothing(struct wr *w, const void *thing)
{
	ASSERT(w != NULL);
	ASSERT(thing == NULL);
}

void fields_retained(struct wr *w, const void *thing)
{
	const struct store_retained *x = thing;
	const struct who who = {x->identity_id, x->identity, x->client_id, x->username, x->cert_cn,
				x->cert_san,	x->listener, x->addr,	   x->tls};

	ASSERT(x->m.topic.n != 0);
	wr_u64(w, x->stored_ms);
	wr_who(w, &who);
	wr_msg(w, &x->m);
}

enum err read_retained(struct slice fields, struct store_retained *out)
{
	struct rd r = rd_of(fields);
	u64 stored_ms = rd_u64(&r);
	struct who who = rd_who(&r);

	*out = (struct store_retained){
		.stored_ms = stored_ms,
		.identity_id = who.identity_id,
		.identity = who.identity,
		.client_id = who.client_id,
		.username = who.username,
		.cert_cn = who.cert_cn,
		.cert_san = who.cert_san,
		.listener = who.listener,
		.tls = who.tls,
	};
	memcpy(out->addr, who.addr, sizeof(out->addr));
	rd_msg(&r, &out->m);
	if (out->m.topic.n == 0)
		rd_fail(&r, E_CORRUPT);
	return rd_end(&r);
}

void fields_drops(struct wr *w, const void *thing)
{
	const struct record_drops *d = thing;

	ASSERT(d != NULL);
	wr_u8(w, DROP_KINDS);
	for (u32 i = 0; i < DROP_KINDS; i++)
		wr_u32(w, d->n[i]);
}

enum err read_drops(struct slice fields, struct record_drops *out)
{
	struct rd r = rd_of(fields);
	u8 n = rd_u8(&r);

	*out = (struct record_drops){{0}};
	for (u8 i = 0; i < n; i++) {
		u32 v = rd_u32(&r);

		if (i < DROP_KINDS)
			out->n[i] = v;
	}
	return rd_end(&r);
}
