/* store: opening and closing, the clock, and the frame of a transaction.  What an operation means
 * is in apply.c, how it gets to the disk in kv_lmdb.c. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/engine.h"
#include "store/kv_lmdb.h"

/* ---- records in the transaction under way ---------------------------------------------------- */

enum err engine_put(struct store *s, const struct place *at, enum kv_put how, enum format_kind kind,
		    record_fields *fields, const void *thing)
{
	/* FORMAT says whether the others are sealed, so it is not itself. */
	struct seal *seal = kind == REC_FORMAT ? NULL : s->seal;
	struct wr w = wr_count();
	enum err e;
	size_t n;
	u8 *p;

	fields(&w, thing);
	n = w.n;
	if (w.err || n > UINT32_MAX - 64)
		return E_TOO_LARGE;
	e = s->kv->class->reserve(s->txn, at->db, at->a, at->b, how, record_size(seal, n), &p);
	if (e != E_OK)
		return e;
	s->changed = true;
	w = wr_of(p + record_fields_at(seal), n);
	fields(&w, thing);
	ASSERT(w.err == E_OK && w.n == n);
	record_finish(seal, at, kind, p, n);
	return E_OK;
}

enum err engine_open(struct store *s, const struct place *at, struct slice raw, u8 *kind,
		     struct slice *fields)
{
	const struct seal *seal = at->db == KV_META && at->a == META_FORMAT ? NULL : s->seal;

	OBJ_CHECK(s, STORE_MAGIC);
	return record_open(seal, at, raw, &s->scratch, kind, fields);
}

enum err engine_get(struct store *s, const struct place *at, enum format_kind kind,
		    struct slice *fields)
{
	struct slice raw;
	enum err e;
	u8 got;

	ASSERT(s->txn != NULL);
	e = s->kv->class->get(s->txn, at->db, at->a, at->b, &raw);
	if (e != E_OK)
		return e;
	e = engine_open(s, at, raw, &got, fields);
	return e == E_OK && got != kind ? E_CORRUPT : e;
}

enum err engine_del(struct store *s, enum kv_db db)
{
	ASSERT(s->txn != NULL);
	s->changed = true;
	return s->kv->class->del(s->txn, db);
}

/* ---- the clock ------------------------------------------------------------------------------- */

u64 store_time(const struct store *s, u64 mono_ms)
{
	OBJ_CHECK(s, STORE_MAGIC);
	return mono_ms > s->base_mono ? s->base_ms + (mono_ms - s->base_mono) : s->base_ms;
}

u64 store_epoch(const struct store *s)
{
	OBJ_CHECK(s, STORE_MAGIC);
	ASSERT(s->epoch != 0);
	return s->epoch;
}

bool store_was_clean(const struct store *s)
{
	OBJ_CHECK(s, STORE_MAGIC);
	return s->clean;
}

static enum err state_put(struct store *s, u64 wall_ms, bool clean)
{
	const struct place at = {KV_META, META_STATE, 0};
	const struct record_state state = {s->epoch, s->now_ms, wall_ms, clean};

	ASSERT(s->now_ms >= s->last_ms);
	return engine_put(s, &at, KV_REPLACE, REC_STATE, fields_state, &state);
}

/* ---- a transaction --------------------------------------------------------------------------- */

static enum err txn_begin(struct store *s, u64 mono_ms)
{
	ASSERT(s->txn == NULL);
	s->changed = false;
	s->now_ms = MAX(store_time(s, mono_ms), s->last_ms);
	s->ended_left = LIM_ENDED;
	s->ended_bytes = LIM_ENDED_BYTES;
	chunk_reset(&s->scratch);
	refs_begin(s);
	return s->kv->class->begin(s->kv, KV_WRITE, &s->txn);
}

static void txn_abort(struct store *s)
{
	s->kv->class->abort(&s->txn);
	ASSERT(s->txn == NULL);
	/* What it had made is not there after all. */
	memset(s->known, 0, sizeof(s->known));
}

static enum err txn_end(struct store *s, enum err e, u64 wall_ms, u64 mono_ms)
{
	ASSERT(s->txn != NULL);
	if (e == E_OK)
		e = state_put(s, wall_ms, false);
	if (e != E_OK) {
		txn_abort(s);
		return e;
	}
	e = s->kv->class->commit(&s->txn);
	if (e != E_OK) {
		memset(s->known, 0, sizeof(s->known));
		return e;
	}
	s->commits++;
	s->last_ms = s->now_ms;
	s->last_mono = mono_ms;
	s->last_wall = wall_ms;
	return E_OK;
}

static bool op_grows(const struct store_op *op)
{
	return op->kind == SO_SESSION_PUT || op->kind == SO_SUB_PUT || op->kind == SO_QUEUE_PUT ||
	       op->kind == SO_PID_PUT || op->kind == SO_RETAIN_PUT;
}

/* What the operations need to know of each other before the first: which message several queues
 * will refer to; and whether one of them needs room. */
static bool look_ahead(struct store *s, const struct store_op *const *op, u32 n)
{
	bool grows = false;

	for (u32 i = 0; i < n; i++) {
		ASSERT(op[i]->kind < SO_GROUP_OPEN);
		grows |= op_grows(op[i]);
		if (op[i]->kind == SO_QUEUE_PUT && op[i]->queued->m.number != 0)
			refs_of(s, op[i]->queued->m.number)->seen++;
	}
	return grows;
}

static enum err apply_all(struct store *s, const struct store_op *const *op, u32 n, bool full,
			  const struct store_sink *sink)
{
	enum err e = E_OK;

	ASSERT(s->txn != NULL);
	if (look_ahead(s, op, n) && full)
		return E_QUOTA;
	for (u32 i = 0; i < n && e == E_OK; i++)
		e = apply_op(s, op[i], sink);
	if (e == E_OK)
		e = ended_go_on(s);
	return e == E_OK ? refs_settle(s) : e;
}

enum err store_commit(struct store *s, const struct store_op *const *op, u32 n, u64 wall_ms,
		      u64 mono_ms, const struct store_sink *sink)
{
	bool ended = s->ended, full;
	enum err e;

	OBJ_CHECK(s, STORE_MAGIC);
	full = store_is_full(s, mono_ms);
	e = txn_begin(s, mono_ms);
	if (e != E_OK)
		return e;
	e = apply_all(s, op, n, full, sink);
	if (e == E_OK && !s->changed && n != 0)
		s->kv->class->abort(&s->txn);
	else
		e = txn_end(s, e, wall_ms, mono_ms);
	ASSERT(s->txn == NULL);
	if (e == E_OK)
		s->operations += n;
	else
		s->ended = ended;
	return e;
}

bool store_has_work(const struct store *s)
{
	OBJ_CHECK(s, STORE_MAGIC);
	return s->ended;
}

bool store_is_full(struct store *s, u64 mono_ms)
{
	OBJ_CHECK(s, STORE_MAGIC);
	ASSERT(s->txn == NULL);
	return s->kv->class->full(s->kv, mono_ms);
}

/* ---- opening and closing --------------------------------------------------------------------- */

static enum err refuse(const struct store_opening *o, enum err e, const char *text)
{
	ASSERT(e != E_OK);
	(void)snprintf(o->text, o->cap, "%s", text);
	return e;
}

static enum err format_make(struct store *s)
{
	const struct place at = {KV_META, META_FORMAT, 0};
	struct record_format f = {.version = FORMAT_VERSION};

	ASSERT(s->txn != NULL);
	if (s->seal != NULL)
		seal_check(s->seal, f.check);
	return engine_put(s, &at, KV_NEW, REC_FORMAT, fields_format, &f);
}

static enum err format_judge(struct store *s, const struct store_opening *o,
			     const struct record_format *f)
{
	static const u8 none[FORMAT_CHECK];
	u8 want[FORMAT_CHECK] = {0};
	bool sealed = memcmp(f->check, none, sizeof(none)) != 0;

	if (f->version > FORMAT_VERSION)
		return refuse(o, E_CORRUPT, "it was written by a later release of picket");
	if (f->version < FORMAT_OLDEST)
		return refuse(o, E_CORRUPT, "its format is too old for this release");
	if (s->seal != NULL)
		seal_check(s->seal, want);
	if (sealed && s->seal == NULL)
		return refuse(o, E_CREDENTIAL, "it is sealed and no key is given");
	if (!sealed && s->seal != NULL)
		return refuse(o, E_CREDENTIAL, "a key is given and it is not sealed");
	if (memcmp(want, f->check, sizeof(want)) != 0)
		return refuse(o, E_CREDENTIAL, "it is sealed with another key");
	return E_OK;
}

/* Time that passed while picket was away; the wall clock is believed forwards only. */
static void clock_start(struct store *s, const struct record_state *last, u64 wall_ms, u64 mono_ms)
{
	u64 away = wall_ms > last->wall_ms ? wall_ms - last->wall_ms : 0;

	ASSERT(s->txn != NULL);
	s->base_ms = s->last_ms = last->store_ms + away;
	s->base_mono = s->last_mono = mono_ms;
	s->now_ms = s->base_ms;
}

static enum err start_known(struct store *s, const struct store_opening *o)
{
	struct record_state last;
	struct record_format f;
	struct slice fields;
	struct kv_item it;
	enum err e = engine_get(s, &(struct place){KV_META, META_FORMAT, 0}, REC_FORMAT, &fields);

	ASSERT(s->epoch == 0);
	if (e == E_OK)
		e = read_format(fields, &f);
	if (e != E_OK)
		return refuse(o, e, "it does not say that it is a store of picket");
	e = format_judge(s, o, &f);
	if (e != E_OK)
		return e;
	e = engine_get(s, &(struct place){KV_META, META_STATE, 0}, REC_STATE, &fields);
	if (e == E_OK)
		e = read_state(fields, &last);
	if (e != E_OK || last.epoch >= (1u << 24) - 1)
		return refuse(o, E_CORRUPT, "the record of its state is damaged");
	s->epoch = MIN(MAX(last.epoch + 1, o->epoch_min), (1ull << 24) - 1);
	s->clean = last.clean;
	clock_start(s, &last, o->wall_ms, o->mono_ms);
	s->ended = s->kv->class->seek(s->txn, KV_ENDED, 0, 0, &it) == E_OK;
	return E_OK;
}

static enum err start_new(struct store *s, const struct store_opening *o)
{
	const struct record_state zero = {.wall_ms = o->wall_ms};

	ASSERT(s->txn != NULL);
	s->epoch = MAX(1u, o->epoch_min);
	s->clean = true;
	clock_start(s, &zero, o->wall_ms, o->mono_ms);
	return format_make(s);
}

static enum err start_once(struct store *s, const struct store_opening *o)
{
	struct kv_item it;
	enum err e = txn_begin(s, o->mono_ms);

	if (e != E_OK)
		return refuse(o, e, err_text(e));
	e = s->kv->class->seek(s->txn, KV_META, 0, 0, &it);
	e = e == E_NOT_FOUND ? start_new(s, o) : e == E_OK ? start_known(s, o) : e;
	if (e == E_OK && s->seal != NULL)
		seal_begin(s->seal, s->epoch);
	if (e != E_OK) {
		txn_abort(s);
		return e;
	}
	e = txn_end(s, E_OK, o->wall_ms, o->mono_ms);
	return e == E_OK ? E_OK : refuse(o, e, err_text(e));
}

/* On a full disk the first try gives up the ballast, in which the second finds room.  It is another
 * opening: nothing is sealed twice with one number. */
static enum err start(struct store *s, const struct store_opening *o)
{
	struct store_opening again = *o;
	enum err e = start_once(s, o);

	if (e != E_QUOTA)
		return e;
	again.epoch_min = s->epoch + 1;
	s->epoch = 0;
	return start_once(s, &again);
}

static void forget(struct store *s)
{
	ASSERT(s->txn == NULL);
	chunk_free(&s->scratch);
	table_free(&s->ref_index);
	free(s->ref);
}

enum err engine_start(struct store **out, const struct store_opening *o)
{
	struct store *s = xcalloc(1, sizeof(*s));
	enum err e;

	ASSERT(o->kv != NULL);
	ASSERT((o->seal == NULL) == (o->eye == NULL));
	s->magic = STORE_MAGIC;
	s->kv = o->kv;
	s->seal = o->seal;
	s->eye = o->eye;
	e = start(s, o);
	if (e != E_OK) {
		forget(s);
		seal_free(&s->seal);
		seal_free(&s->eye);
		s->kv->class->close(&s->kv);
		s->magic = 0;
		free(s);
		s = NULL;
	}
	*out = s;
	return e;
}

/* The clean end: the clock as it is, and the mark. */
static void mark_clean(struct store *s)
{
	enum err e;

	ASSERT(s->txn == NULL);
	/* Time of this process has not passed since the last commit for all that is known here. */
	e = txn_begin(s, s->last_mono);
	if (e == E_OK)
		e = state_put(s, s->last_wall, true);
	if (e == E_OK)
		e = s->kv->class->commit(&s->txn);
	else
		s->kv->class->abort(&s->txn);
	(void)e; /* without the mark the next start looks closer, nothing more */
}

void store_close(struct store **sp)
{
	struct store *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	OBJ_CHECK(s, STORE_MAGIC);
	mark_clean(s);
	forget(s);
	seal_free(&s->seal);
	seal_free(&s->eye);
	s->kv->class->close(&s->kv);
	s->magic = 0;
	free(s);
}

struct store *store_memory(u64 mono_ms)
{
	char text[128];
	struct store_opening o = {
		.kv = kv_memory(), .mono_ms = mono_ms, .text = text, .cap = sizeof(text)};
	struct store *s;

	if (engine_start(&s, &o) != E_OK)
		UNREACHABLE("memory can be opened");
	return s;
}

void store_crash(struct store *s, u64 mono_ms)
{
	char text[128];
	struct store_opening o = {
		.kv = s->kv, .mono_ms = mono_ms, .text = text, .cap = sizeof(text)};

	OBJ_CHECK(s, STORE_MAGIC);
	ASSERT(s->seal == NULL);
	/* The machine goes on while the process is away. */
	o.wall_ms = s->last_wall + (mono_ms > s->last_mono ? mono_ms - s->last_mono : 0);
	forget(s);
	*s = (struct store){.magic = STORE_MAGIC, .kv = o.kv};
	if (start(s, &o) != E_OK)
		UNREACHABLE("memory can be opened again");
}

void store_memory_full(struct store *s, bool full)
{
	OBJ_CHECK(s, STORE_MAGIC);
	kv_memory_full(s->kv, full);
}

void store_stats(struct store *s, struct store_stats *out)
{
	struct kv_size size = {.bytes = 0};

	OBJ_CHECK(s, STORE_MAGIC);
	if (s->kv->class->size(s->kv, &size) != E_OK)
		size = (struct kv_size){.bytes = 0};
	*out = (struct store_stats){
		.sessions = size.records[KV_SESSIONS],
		.subs = size.records[KV_SUBS],
		.queued = size.records[KV_QUEUE],
		.retained = size.records[KV_RETAINED],
		.messages = size.records[KV_BODIES],
		.bytes = size.bytes,
		.free_bytes = size.free_bytes,
		.map_bytes = size.map_bytes,
		.commits = s->commits,
		.operations = s->operations,
		.syncs = size.syncs,
		.full = s->kv->class->full(s->kv, s->last_mono),
		.sealed = s->seal != NULL,
	};
}

struct store_pin {
	struct kv *kv;
	struct kv_txn *txn;
};

enum err store_pin(struct store *s, struct store_pin **out)
{
	struct store_pin *p = xcalloc(1, sizeof(*p));
	enum err e;

	OBJ_CHECK(s, STORE_MAGIC);
	p->kv = s->kv;
	e = p->kv->class->begin(p->kv, KV_READ, &p->txn);
	if (e != E_OK) {
		free(p);
		p = NULL;
	}
	*out = p;
	return e;
}

void store_unpin(struct store_pin **pp)
{
	struct store_pin *p = *pp;

	*pp = NULL;
	ASSERT(p != NULL);
	p->kv->class->abort(&p->txn);
	free(p);
}

enum err store_copy(struct store *s, int fd)
{
	OBJ_CHECK(s, STORE_MAGIC);
	ASSERT(fd >= 0);
	return s->kv->class->copy(s->kv, fd);
}

enum err store_open(struct store **out, const struct store_options *o, char *text, size_t cap)
{
	struct store_opening opening = {.epoch_min = o->epoch_min,
					.wall_ms = o->wall_ms,
					.mono_ms = o->mono_ms,
					.text = text,
					.cap = cap};
	enum err e;

	ASSERT(cap > 0);
	*out = NULL;
	e = kv_lmdb_open(&opening.kv, o, text, cap);
	if (e != E_OK)
		return e;
	if (o->key != NULL) {
		opening.seal = seal_new(o->key);
		opening.eye = seal_new(o->key);
	}
	if (o->key != NULL && (opening.seal == NULL || opening.eye == NULL)) {
		seal_free(&opening.seal);
		seal_free(&opening.eye);
		opening.kv->class->close(&opening.kv);
		return refuse(&opening, E_NOMEM, err_text(E_NOMEM));
	}
	return engine_start(out, &opening);
}
