/* salvage: walk the old databases in the order in which they depend on each other, copy what
 * holds. */
#include "store/salvage.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "store/kv_lmdb.h"
#include "store/record.h"
#include "store/table.h"

enum { LIM_SALVAGE_TURN = 4096 }; /* records of one transaction */

struct salvage {
	struct kv *kv;
	struct kv_txn *txn;
	u32 in_txn;
	struct pages *pages;
	struct seal *seal;
	struct store_chunk *scratch;
	struct table sessions; /* that were kept: sid → 1 */
	struct table bodies;   /* that are whole: number → 1 + entries that name it */
	struct table lost;     /* sid → messages of its queue that are lost */
	struct record_state state;
	bool has_state;
	u64 epoch;  /* the highest in any number seen */
	u64 latest; /* the latest store time seen */
	enum kv_db db;
	enum err err;
	struct salvage_report *report;
};

/* One record on its way. */
struct found {
	struct place at;
	u8 kind;
	struct slice raw, fields;
};

/* ---- writing ----------------------------------------------------------------------------------
 */

static void fail(struct salvage *s, enum err e)
{
	if (s->err == E_OK)
		s->err = e;
}

static bool turn(struct salvage *s)
{
	if (s->txn != NULL && s->in_txn >= LIM_SALVAGE_TURN) {
		s->in_txn = 0;
		fail(s, s->kv->class->commit(&s->txn));
	}
	if (s->err == E_OK && s->txn == NULL)
		fail(s, s->kv->class->begin(s->kv, KV_WRITE, &s->txn));
	s->in_txn++;
	return s->err == E_OK;
}

static void take(struct salvage *s, const struct place *at, struct slice raw)
{
	u8 *to;

	if (!turn(s))
		return;
	fail(s, s->kv->class->reserve(s->txn, at->db, at->a, at->b, KV_REPLACE, raw.n, &to));
	if (s->err != E_OK)
		return;
	memcpy(to, raw.p, raw.n);
	s->report->kept[at->db]++;
}

/* A record that is made anew; plain or sealed as the others. */
static void make(struct salvage *s, const struct place *at, enum format_kind kind,
		 record_fields *fields, const void *thing)
{
	struct wr w = wr_count();
	size_t n;
	u8 *to;

	fields(&w, thing);
	n = w.n;
	if (!turn(s))
		return;
	fail(s, s->kv->class->reserve(s->txn, at->db, at->a, at->b, KV_REPLACE,
				      record_size(s->seal, n), &to));
	if (s->err != E_OK)
		return;
	w = wr_of(to + record_fields_at(s->seal), n);
	fields(&w, thing);
	ASSERT(w.err == E_OK);
	record_finish(s->seal, at, kind, to, n);
	s->report->kept[at->db]++;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static void saw_number(struct salvage *s, u64 number)
{
	s->epoch = MAX(s->epoch, number >> 40);
}

static void saw_time(struct salvage *s, u64 ms)
{
	s->latest = MAX(s->latest, ms);
}

static bool key_read(enum kv_db db, struct slice key, struct place *at)
{
	struct rd r = rd_of(key);

	*at = (struct place){.db = db};
	at->a = (u64)rd_u32(&r) << 32;
	at->a |= rd_u32(&r);
	if (kv_pair(db)) {
		at->b = (u64)rd_u32(&r) << 32;
		at->b |= rd_u32(&r);
	}
	return r.err == E_OK && rd_left(&r) == 0;
}

typedef void on_record(struct salvage *s, const struct found *f);

struct walk_of {
	struct salvage *s;
	on_record *each;
};

static bool on_entry(void *arg, struct slice key, struct slice value)
{
	struct walk_of *w = arg;
	struct salvage *s = w->s;
	struct found f = {.raw = value};

	chunk_reset(&s->scratch);
	if (key_read(s->db, key, &f.at) &&
	    record_open(s->seal, &f.at, value, &s->scratch, &f.kind, &f.fields) == E_OK)
		w->each(s, &f);
	else
		s->report->damaged[s->db]++;
	return s->err == E_OK;
}

static void walk(struct salvage *s, enum kv_db db, on_record *each)
{
#define X(name, word, numbers) word,
	static const char *const names[KV_DBS] = {KV_DATABASES(X)};
#undef X
	struct walk_of w = {s, each};
	enum err e;

	if (s->err != E_OK)
		return;
	s->db = db;
	e = pages_walk(s->pages, slice_str(names[db]), on_entry, &w);
	if (e == E_NOT_FOUND)
		s->report->databases_lost++;
	else
		fail(s, e);
}

static void bad(struct salvage *s, const struct found *f)
{
	s->report->damaged[f->at.db]++;
}

/* ---- each kind --------------------------------------------------------------------------------
 */

static void on_meta(struct salvage *s, const struct found *f)
{
	if (f->kind == REC_STATE && f->at.a == META_STATE)
		s->has_state = read_state(f->fields, &s->state) == E_OK;
}

static void on_session(struct salvage *s, const struct found *f)
{
	struct store_session x;

	if (f->kind != REC_SESSION || read_session(f->fields, &x) != E_OK) {
		bad(s, f);
		return;
	}
	saw_number(s, f->at.a);
	saw_time(s, MAX(x.away_ms, x.created_ms));
	table_put(&s->sessions, f->at.a, 0, 1);
	take(s, &f->at, f->raw);
}

/* What stands under a session and means nothing without it. */
static void on_owned(struct salvage *s, const struct found *f)
{
	if (table_get(&s->sessions, f->at.a, 0) != 0)
		take(s, &f->at, f->raw);
	else
		s->report->orphans++;
}

static void on_ended(struct salvage *s, const struct found *f)
{
	saw_number(s, f->at.a);
	if (table_get(&s->sessions, f->at.a, 0) == 0)
		take(s, &f->at, f->raw);
}

static void on_body(struct salvage *s, const struct found *f)
{
	struct store_msg m;

	saw_number(s, f->at.a);
	if (f->kind != REC_BODY || read_body(f->fields, &m) != E_OK) {
		bad(s, f);
		return;
	}
	table_put(&s->bodies, f->at.a, 0, 1);
	take(s, &f->at, f->raw);
}

static void body_lost(struct salvage *s, u64 sid)
{
	s->report->orphans++;
	table_put(&s->lost, sid, 0, table_get(&s->lost, sid, 0) + 1);
}

static void on_queued(struct salvage *s, const struct found *f)
{
	struct record_queued q;
	u64 body;

	saw_number(s, f->at.b);
	if (table_get(&s->sessions, f->at.a, 0) == 0) {
		s->report->orphans++;
		return;
	}
	if (read_queued(f->fields, f->kind, &s->scratch, &q) != E_OK) {
		bad(s, f);
		table_put(&s->lost, f->at.a, 0, table_get(&s->lost, f->at.a, 0) + 1);
		return;
	}
	body = q.ref ? table_get(&s->bodies, q.q.m.number, 0) : 0;
	if (q.ref && body == 0) {
		body_lost(s, f->at.a);
		return;
	}
	saw_number(s, q.q.m.number);
	if (q.ref)
		table_put(&s->bodies, q.q.m.number, 0, body + 1);
	take(s, &f->at, f->raw);
}

/* One that no queue names any more was a leftover, or its queue is lost. */
static void body_drop(struct salvage *s, u64 number)
{
	struct slice raw;

	if (!turn(s))
		return;
	fail(s, s->kv->class->get(s->txn, KV_BODIES, number, 0, &raw));
	if (s->err == E_OK)
		fail(s, s->kv->class->del(s->txn, KV_BODIES));
	s->report->kept[KV_BODIES]--;
	s->report->orphans++;
}

/* How many entries name each body is counted anew. */
static void refs_make(struct salvage *s)
{
	for (size_t i = 0; i < s->bodies.cap; i++) {
		const struct table_slot *slot = &s->bodies.slots[i];
		struct place at = {.db = KV_REFS, .a = slot->a};
		u32 count = (u32)(slot->value - 1);

		if (slot->value > 1)
			make(s, &at, REC_REFS, fields_count, &count);
		else if (slot->value == 1)
			body_drop(s, slot->a);
	}
}

static void on_retained(struct salvage *s, const struct found *f)
{
	struct store_retained x;

	saw_number(s, f->at.a);
	if (f->kind != REC_RETAINED || read_retained(f->fields, &x) != E_OK) {
		bad(s, f);
		return;
	}
	saw_time(s, x.stored_ms);
	take(s, &f->at, f->raw);
}

static void on_drops(struct salvage *s, const struct found *f)
{
	u64 lost = table_get(&s->lost, f->at.a, 0);
	struct record_drops d;

	if (lost == 0 || f->kind != REC_DROPS || read_drops(f->fields, &d) != E_OK) {
		on_owned(s, f);
		return;
	}
	d.n[DROP_DAMAGED] += (u32)MIN(lost, UINT32_MAX - d.n[DROP_DAMAGED]);
	table_del(&s->lost, f->at.a, 0);
	make(s, &f->at, REC_DROPS, fields_drops, &d);
}

/* Of sessions that had lost nothing before. */
static void drops_rest(struct salvage *s)
{
	for (size_t i = 0; i < s->lost.cap; i++) {
		const struct table_slot *slot = &s->lost.slots[i];
		struct place at = {.db = KV_DROPS, .a = slot->a};
		struct record_drops d = {{0}};

		if (slot->value == 0)
			continue;
		d.n[DROP_DAMAGED] = (u32)MIN(slot->value, UINT32_MAX);
		make(s, &at, REC_DROPS, fields_drops, &d);
	}
}

/* ---- the whole --------------------------------------------------------------------------------
 */

/* The epoch goes on from the highest that was used, and so does the clock, so that no number comes
 * twice and nothing expires early. */
static void meta_make(struct salvage *s)
{
	struct place format = {.db = KV_META, .a = META_FORMAT};
	struct place state = {.db = KV_META, .a = META_STATE};
	struct record_format f = {.version = FORMAT_VERSION};
	struct seal *seal = s->seal;

	if (!s->has_state)
		s->state = (struct record_state){.epoch = s->epoch, .store_ms = s->latest};
	s->state.epoch = MAX(s->state.epoch, s->epoch) + 1;
	s->state.clean = false;
	if (seal != NULL)
		seal_check(seal, f.check);
	s->seal = NULL; /* the format record is plain, always */
	make(s, &format, REC_FORMAT, fields_format, &f);
	s->seal = seal;
	make(s, &state, REC_STATE, fields_state, &s->state);
}

static void salvage_all(struct salvage *s)
{
	walk(s, KV_META, on_meta);
	if (s->seal != NULL)
		seal_begin(s->seal, s->state.epoch + 1);
	walk(s, KV_SESSIONS, on_session);
	walk(s, KV_SUBS, on_owned);
	walk(s, KV_PIDS, on_owned);
	walk(s, KV_BODIES, on_body);
	walk(s, KV_QUEUE, on_queued);
	walk(s, KV_RETAINED, on_retained);
	walk(s, KV_DROPS, on_drops);
	walk(s, KV_ENDED, on_ended);
	if (s->err != E_OK)
		return;
	refs_make(s);
	drops_rest(s);
	meta_make(s);
}

static bool something(const struct salvage *s)
{
	const struct salvage_report *r = s->report;

	return s->has_state || r->kept[KV_SESSIONS] != 0 || r->kept[KV_RETAINED] != 0;
}

enum err salvage_into(struct kv *kv, int data_fd, struct seal *seal, struct salvage_report *out)
{
	struct salvage s = {.kv = kv, .seal = seal, .report = out};
	enum err e;

	*out = (struct salvage_report){0};
	e = pages_open(&s.pages, data_fd);
	if (e != E_OK)
		return e;
	salvage_all(&s);
	out->pages = pages_damage(s.pages);
	pages_close(&s.pages);
	if (s.err == E_OK && !something(&s))
		s.err = E_CORRUPT;
	if (s.txn != NULL && s.err == E_OK)
		s.err = kv->class->commit(&s.txn);
	else if (s.txn != NULL)
		kv->class->abort(&s.txn);
	chunk_free(&s.scratch);
	table_free(&s.sessions);
	table_free(&s.bodies);
	table_free(&s.lost);
	return s.err;
}

enum err store_salvage(int data_fd, const struct store_options *into, struct salvage_report *out,
		       char *text, size_t cap)
{
	struct seal *seal = NULL;
	struct kv *kv;
	enum err e;

	*out = (struct salvage_report){0};
	if (faccessat(into->dir_fd, "data.mdb", F_OK, 0) == 0) {
		snprintf(text, cap, "a store is there already");
		return E_EXISTS;
	}
	e = kv_lmdb_open(&kv, into, text, cap);
	if (e != E_OK)
		return e;
	if (into->key != NULL)
		seal = seal_new(into->key);
	e = into->key != NULL && seal == NULL ? E_NOMEM : salvage_into(kv, data_fd, seal, out);
	kv->class->close(&kv);
	if (seal != NULL)
		seal_free(&seal);
	if (e != E_OK)
		snprintf(text, cap, "%s",
			 e == E_CORRUPT ? "nothing in it could be read" : err_text(e));
	return e;
}
