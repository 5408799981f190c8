/* check: see check.h. */
#include "store/check.h"

#include <stdio.h>

#include "store/pages.h"
#include "store/record.h"

enum { ASK_EVERY = 1024 }; /* records between two questions whether to go on */

struct check {
	struct pages *pages;
	const struct seal *seal;
	struct store_chunk *scratch;
	enum kv_db db;
	bool (*on)(void *arg);
	void *arg;
	bool stopped;
	u32 version; /* of the format; 0: not found */
	struct check_report *report;
};

static u64 number(struct rd *r)
{
	u64 high = rd_u32(r);

	return high << 32 | rd_u32(r);
}

static bool key_read(enum kv_db db, struct slice key, struct place *at)
{
	struct rd r = rd_of(key);

	*at = (struct place){.db = db};
	at->a = number(&r);
	if (kv_pair(db))
		at->b = number(&r);
	return r.err == E_OK && rd_left(&r) == 0;
}

/* What can be said of a sealed record without the key. */
static bool sealed_looks_right(struct slice raw)
{
	struct rd r = rd_of(raw);
	size_t around = FORMAT_HEAD + FORMAT_NONCE + FORMAT_TAG;
	u8 format = rd_u8(&r), kind = rd_u8(&r);
	u32 n = rd_u32(&r);

	return r.err == E_OK && format == FORMAT_SEALED && kind >= REC_FORMAT &&
	       kind <= REC_ENDED && raw.n >= around && raw.n - around == n;
}

static void take_format(struct check *c, struct slice fields)
{
	static const u8 none[FORMAT_CHECK];
	struct record_format f;

	if (read_format(fields, &f) != E_OK)
		return;
	c->version = f.version;
	c->report->sealed = memcmp(f.check, none, sizeof(none)) != 0;
}

static bool record_whole(struct check *c, const struct place *at, struct slice raw)
{
	bool is_format = at->db == KV_META && at->a == META_FORMAT;
	struct slice fields;
	u8 kind;

	if (c->report->sealed && c->seal == NULL && !is_format)
		return sealed_looks_right(raw);
	chunk_reset(&c->scratch);
	if (record_open(is_format ? NULL : c->seal, at, raw, &c->scratch, &kind, &fields) != E_OK)
		return false;
	if (is_format && kind == REC_FORMAT)
		take_format(c, fields);
	return true;
}

static bool on_entry(void *arg, struct slice key, struct slice value)
{
	struct check *c = arg;
	struct place at;

	c->report->records++;
	if (!key_read(c->db, key, &at) || !record_whole(c, &at, value))
		c->report->damaged++;
	if (c->on != NULL && c->report->records % ASK_EVERY == 0 && !c->on(c->arg))
		c->stopped = true;
	return !c->stopped;
}

static enum err walk(struct check *c, enum kv_db db)
{
#define X(name, word, numbers) word,
	static const char *const names[KV_DBS] = {KV_DATABASES(X)};
#undef X
	enum err e;

	ASSERT(db < KV_DBS);
	c->db = db;
	e = pages_walk(c->pages, slice_str(names[db]), on_entry, c);
	/* All of them are made with the store: one that is not there is lost. */
	if (e == E_NOT_FOUND)
		c->report->lost++;
	return e == E_NOT_FOUND ? E_OK : e;
}

static enum err refuse(char *text, size_t cap, const char *why)
{
	(void)snprintf(text, cap, "%s", why);
	return E_CORRUPT;
}

/* The database that says what the others are. */
static enum err walk_meta(struct check *c, char *text, size_t cap)
{
	enum err e = walk(c, KV_META);

	if (e != E_OK)
		return e;
	if (c->version > FORMAT_VERSION)
		return refuse(text, cap, "it was written by a later release of picket");
	if (c->version != 0 && c->version < FORMAT_OLDEST)
		return refuse(text, cap, "its format is too old for this release");
	if (c->version == 0 && c->report->records == 0 && c->report->lost != 0)
		return refuse(text, cap, "it does not say that it is a store of picket");
	return E_OK;
}

/* What grows with the messages that wait comes last. */
static const enum kv_db order[] = {KV_SESSIONS, KV_SUBS,  KV_PIDS, KV_RETAINED, KV_DROPS,
				   KV_ENDED,	KV_QUEUE, KV_REFS, KV_BODIES};
_Static_assert(ARRAY_LEN(order) == KV_DBS - 1, "all of them, after KV_META");

static enum err walk_all(struct check *c, char *text, size_t cap)
{
	enum err e = walk_meta(c, text, cap);
	struct pages_damage d;

	for (u32 i = 0; i < ARRAY_LEN(order) && e == E_OK && !c->stopped; i++) {
		c->report->start |= order[i] == KV_QUEUE;
		e = walk(c, order[i]);
	}
	d = pages_damage(c->pages);
	c->report->lost += d.pages + d.nodes + d.lost;
	return e == E_OK && c->stopped ? E_STATE : e;
}

enum err check_file(int fd, const struct seal *seal, bool (*on)(void *arg), void *arg,
		    struct check_report *out, char *text, size_t cap)
{
	struct check c = {.seal = seal, .on = on, .arg = arg, .report = out};
	enum err e;

	ASSERT(fd >= 0);
	ASSERT(cap > 0);
	*out = (struct check_report){0};
	text[0] = '\0';
	e = pages_open(&c.pages, fd);
	if (e != E_OK)
		return e == E_CORRUPT ? refuse(text, cap, "it is no file of LMDB") : e;
	e = walk_all(&c, text, cap);
	pages_close(&c.pages);
	chunk_free(&c.scratch);
	return e;
}
