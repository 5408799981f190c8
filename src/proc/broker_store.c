/* broker_store: the store's life in the broker process: opened before the sandbox closes, loaded
 * before a shard runs, written by a thread of its own, closed after the last shard has ended. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/broker.h"
#include "proc/broker_i.h"
#include "proc/sandbox.h"

/* ---- the key --------------------------------------------------------------------------------- */
static bool hex_key(const u8 *text, u8 key[STORE_KEY_BYTES])
{
	for (u32 i = 0; i < 2 * STORE_KEY_BYTES; i++) {
		u8 c = text[i] | 0x20;
		u8 digit = (u8)(c >= 'a' ? c - 'a' + 10 : c - '0');
		if (!(text[i] >= '0' && text[i] <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
		key[i / 2] = (u8)(i % 2 == 0 ? digit << 4 : key[i / 2] | digit);
	}
	return true;
}

/* 32 bytes as they are, or 64 hexadecimal digits with or without the end of their line. */
bool store_key_read(struct slice text, u8 key[STORE_KEY_BYTES])
{
	if (text.n == STORE_KEY_BYTES) {
		memcpy(key, text.p, STORE_KEY_BYTES);
		return true;
	}
	if (text.n == 2 * STORE_KEY_BYTES + 1 && text.p[text.n - 1] == '\n')
		text.n--;
	return text.n == 2 * STORE_KEY_BYTES && hex_key(text.p, key);
}

enum err stored_key(struct broker *b, const struct ipc_msg *m)
{
	const struct m_file *f = m->body;
	struct stored *s = &b->stored;
	u8 text[2 * STORE_KEY_BYTES + 2];
	ssize_t n;

	if (f->file != FILE_STORE_KEY || b->nshards != 0)
		return E_IPC;
	s->key_err = f->err < E_N ? (enum err)f->err : E_IO;
	if (s->key_err != E_OK)
		return E_OK; /* said when it is wanted */
	/* From the first byte on: whoever had it before us has left the place somewhere. */
	n = m->fd >= 0 ? pread(m->fd, text, sizeof(text), 0) : -1;
	s->have_key = n > 0 && store_key_read(slice_of(text, (size_t)n), s->key);
	s->key_err = s->have_key ? E_OK : E_SYNTAX;
	mem_wipe(text, sizeof(text));
	return E_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */
static enum err key_missing(const struct broker *b)
{
	enum err e = b->stored.key_err;

	log_msg(LOG_ERROR, "store", "the key of the store (store_key = %s) %s", b->conf.store_key,
		e == E_SYNTAX	   ? "is neither 32 bytes nor 64 hexadecimal digits"
		: e == E_NOT_FOUND ? "is not there"
		: e == E_DENIED	   ? "may not be read: it has to belong to picketd alone"
				   : "has not come");
	return E_CONFIG;
}

/* What to do about it, for the one who reads the log. */
static const char *advice(enum err e)
{
	return e == E_CORRUPT	   ? "picketd sets it aside and begins anew"
	       : e == E_CREDENTIAL ? "give it the key that it was made with, or move the folder "
				     "away to begin anew"
	       : e == E_QUOTA	   ? "make room on its disk"
				   : "look at its disk";
}

static enum err open_failed(struct broker *b, enum err e, const char *text)
{
	log_msg(LOG_ERROR, "store", "%s/store cannot be opened: %s; %s", b->conf.state_dir, text,
		advice(e));
	if (e == E_CORRUPT)
		child_quit(b->child, BROKER_STORE_DAMAGED);
	return e;
}

enum err stored_open(struct broker *b, u64 epoch_min)
{
	struct stored *s = &b->stored;
	struct store_options o = {.dir_fd = SANDBOX_FOLDER_FD,
				  .map_bytes = b->conf.store_max_size,
				  .epoch_min = epoch_min,
				  .wall_ms = clock_wall_ms(),
				  .mono_ms = clock_mono_ms()};
	char path[64], text[200];
	enum err e;

	s->began_ms = o.mono_ms;
	if (!b->conf.persistence)
		return E_OK;
	if (b->conf.store_encryption && !s->have_key)
		return key_missing(b);
	/* Our user need not be able to walk the path to it. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", SANDBOX_FOLDER_FD);
	o.path = path;
	o.key = b->conf.store_encryption ? s->key : NULL;
	e = store_open(&s->store, &o, text, sizeof(text));
	mem_wipe(s->key, sizeof(s->key));
	s->have_key = false;
	if (e != E_OK)
		return open_failed(b, e, text);
	s->data_fd = openat(SANDBOX_FOLDER_FD, "data.mdb", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (s->data_fd < 0)
		return open_failed(b, E_IO, "data.mdb is not there");
	s->clean = store_was_clean(s->store);
	s->sealed = b->conf.store_encryption;
	s->epoch = store_epoch(s->store);
	s->offset_ms = store_time(s->store, o.mono_ms) - o.mono_ms;
	return E_OK;
}

/* ---- what core asks of it -------------------------------------------------------------------- */
static void submit(void *arg, struct store_batch *batch)
{
	writer_submit(((struct broker *)arg)->stored.writer, batch);
}

static bool is_full(void *arg)
{
	return writer_full(((struct broker *)arg)->stored.writer);
}

void stored_hub_options(struct broker *b, struct hub_options *o)
{
	if (b->stored.store == NULL)
		return;
	o->submit = submit;
	o->store_full = is_full;
	o->submit_arg = b;
	o->store_epoch = b->stored.epoch;
	o->store_offset_ms = b->stored.offset_ms;
}

/* ---- the store thread's surroundings --------------------------------------------------------- */
static void on_notice(void *arg, u32 shard, struct store_notice *n)
{
	struct broker *b = arg;

	ASSERT(shard < b->nshards);
	shard_tell(&b->shard[shard], SI_STORED, 0, n);
}

static void on_full(void *arg, bool full)
{
	main_tell(arg, MI_STORE_FULL, full, NULL);
}

/* What is on disk now only a new start can tell. */
static void on_fatal(void *arg, enum err e)
{
	const struct broker *b = arg;

	log_msg(LOG_ERROR, "store",
		"%s/store %s; broker ends, and its next start reads what is really there",
		b->conf.state_dir,
		e == E_CORRUPT ? "is damaged" : "cannot be written or synced, its disk fails");
	_exit(e == E_CORRUPT ? BROKER_STORE_DAMAGED : 1);
}

static u64 now_wall(void *arg)
{
	return clock_wall_ms();
}

static u64 now_mono(void *arg)
{
	return clock_mono_ms();
}

static void writer_begin(struct broker *b)
{
	const struct writer_env env = {.arg = b,
				       .notice = on_notice,
				       .full = on_full,
				       .fatal = on_fatal,
				       .wall_ms = now_wall,
				       .mono_ms = now_mono};

	ASSERT(b->stored.writer == NULL);
	b->stored.writer = writer_new(b->stored.store, &env, b->nshards, true);
	b->stored.store = NULL;
}

void stored_full(struct broker *b, bool full)
{
	const struct m_event m = {clock_wall_ms()};
	const char *text = full ? "the store is full: what would have to be stored is refused"
				: "the store has room again";
	u8 tail[256];
	struct wr w = wr_of(tail, sizeof(tail));

	log_msg(full ? LOG_ERROR : LOG_INFO, full ? "alarm" : "store", "%s (%s/store)", text,
		b->conf.state_dir);
	ipc_put_str(&w, SLICE_NONE);
	ipc_put_str(&w, SLICE_LIT("alarm"));
	ipc_put_str(&w, slice_str(text));
	if (child_send(b->child, ROLE_ADMIN, IPC_EVENT, 0, &m, wr_done(&w), -1) != E_OK)
		log_msg(LOG_DEBUG, "event_lost", "admin is busy or away");
}

/* ---- loading --------------------------------------------------------------------------------- */
/* One who owns something of what is stored; checked against who has that number now: identities may
 * have been restored, or begun anew, while the store stayed. */
struct owner {
	u64 id, name; /* name: a hash */
	bool several; /* names under that number */
};

static void owner_note(struct stored *s, u64 id, struct slice name)
{
	struct owner *o = map_get(&s->owners, slice_of(&id, sizeof(id)));
	u64 hash = hash_bytes(&s->owners.key, name.p, name.n);

	if (o != NULL) {
		o->several |= o->name != hash;
		return;
	}
	o = xcalloc(1, sizeof(*o));
	*o = (struct owner){.id = id, .name = hash};
	map_put(&s->owners, slice_of(&o->id, sizeof(o->id)), o);
}

static bool load_session(void *arg, const struct store_session *x)
{
	struct stored *s = arg;

	owner_note(s, x->identity_id, x->identity);
	restore_session(s->restore, x);
	return true;
}

static bool load_sub(void *arg, const struct store_sub *x)
{
	restore_sub(((struct stored *)arg)->restore, x);
	return true;
}

static bool load_pid(void *arg, u64 sid, u16 pid)
{
	restore_pid(((struct stored *)arg)->restore, sid, pid);
	return true;
}

static bool load_retained(void *arg, const struct store_retained *x)
{
	struct stored *s = arg;

	owner_note(s, x->identity_id, x->identity);
	restore_retained(s->restore, x);
	return true;
}

static enum err load_all(struct stored *s)
{
	u64 *damaged = &s->found.damaged;
	enum err e = store_each_session(s->store, load_session, s, damaged);

	if (e == E_OK)
		e = store_each_sub(s->store, load_sub, s, damaged);
	if (e == E_OK)
		e = store_each_pid(s->store, load_pid, s);
	if (e == E_OK)
		e = store_each_retained(s->store, load_retained, s, damaged);
	return e;
}

/* In slices, each with the number by which its answers come. */
static void owners_list(struct stored *s)
{
	const struct owner *o;
	size_t pos = 0;
	u32 n = 0;

	s->nasks = (u32)((s->owners.n + RIGHTS_ASKED - 1) / RIGHTS_ASKED);
	s->ids = xcalloc(s->owners.n + 1, sizeof(*s->ids));
	s->answered = xcalloc(s->nasks + 1, sizeof(*s->answered));
	while ((o = map_next(&s->owners, &pos)) != NULL)
		s->ids[n++] = o->id;
	ASSERT(n == s->owners.n);
}

enum err stored_load(struct broker *b, const struct hash_key *key)
{
	struct stored *s = &b->stored;
	enum err e;

	map_init(&s->owners, key);
	if (s->store == NULL)
		return E_OK;
	for (u32 i = 0; i < b->nshards; i++)
		s->cores[i] = b->shard[i].core;
	s->restore = restore_begin(b->hub, s->cores, b->nshards);
	e = load_all(s);
	owners_list(s);
	if (e == E_OK)
		return E_OK;
	log_msg(LOG_ERROR, "store", "%s/store cannot be read: %s", b->conf.state_dir, err_text(e));
	child_quit(b->child, e == E_CORRUPT ? BROKER_STORE_DAMAGED : 1);
	return e;
}

/* ---- whose is it? ---------------------------------------------------------------------------- */
enum { ASKS_AT_ONCE = 8 };

static void ask_more(struct broker *b)
{
	struct stored *s = &b->stored;

	while (s->asked < s->nasks && s->asked - s->told < ASKS_AT_ONCE) {
		u32 from = s->asked * RIGHTS_ASKED;
		u32 n = MIN((u32)s->owners.n - from, (u32)RIGHTS_ASKED);
		const struct m_rights_ask m = {.count = n};

		if (!s->answered[s->asked] &&
		    child_send(b->child, ROLE_AUTH, IPC_RIGHTS_ASK, s->asked, &m,
			       slice_of(s->ids + from, n * sizeof(*s->ids)), -1) != E_OK)
			return; /* auth is away: all is asked again when it is back */
		s->told += s->answered[s->asked++];
	}
}

/* A new auth knows of no question. */
void stored_auth_linked(struct broker *b)
{
	struct stored *s = &b->stored;

	if (s->restore == NULL)
		return;
	s->asked = s->told = 0;
	ask_more(b);
}

static bool row_take(struct rd *r, struct rights_row *row, struct identity_change *ch, u32 *roles,
		     u32 cap)
{
	struct slice head = rd_bytes(r, sizeof(*row));

	if (r->err != E_OK)
		return false;
	memcpy(row, head.p, sizeof(*row));
	*ch = (struct identity_change){.identity_id = row->identity_id,
				       .generation = row->generation,
				       .status = row->status,
				       .kind = row->kind,
				       .credential_min = row->credential_min,
				       .roles = roles};
	ch->identity = ipc_get_str(r);
	ch->group = ipc_get_str(r);
	ch->client_id_pattern = ipc_get_str(r);
	ch->nroles = rd_u16(r);
	if (ch->nroles > cap)
		return false;
	for (u32 k = 0; k < ch->nroles; k++)
		roles[k] = rd_u32(r);
	return r->err == E_OK;
}

/* The number of another identity now, or of several: nothing of it is handed on. */
static bool is_another(const struct stored *s, const struct identity_change *ch)
{
	const struct owner *o =
		map_get(&s->owners, slice_of(&ch->identity_id, sizeof(ch->identity_id)));

	return o == NULL || o->several ||
	       o->name != hash_bytes(&s->owners.key, ch->identity.p, ch->identity.n);
}

static enum err rows_take(struct broker *b, u32 count, struct slice tail)
{
	struct rd r = rd_of(tail);
	struct identity_change ch;
	struct rights_row row;
	u32 roles[256];

	for (u32 i = 0; i < count; i++) {
		if (!row_take(&r, &row, &ch, roles, ARRAY_LEN(roles)))
			return E_IPC;
		/* What nobody told the hub about goes at the end of restoring. */
		if (!is_another(&b->stored, &ch))
			hub_identity_changed(b->hub, &ch);
	}
	return rd_left(&r) == 0 ? E_OK : E_IPC;
}

enum err stored_rights(struct broker *b, const struct ipc_msg *m)
{
	const struct m_rights *rights = m->body;
	struct stored *s = &b->stored;
	enum err e;

	if (s->restore == NULL || m->id >= s->nasks || s->answered[m->id])
		return E_OK; /* of an auth that has ended meanwhile: all of it has been told again
			      */
	e = rows_take(b, rights->count, m->tail);
	if (e != E_OK || rights->last == 0)
		return e;
	s->answered[m->id] = true;
	s->told++;
	ask_more(b);
	stored_go_on(b);
	return E_OK;
}

/* ---- and then -------------------------------------------------------------------------------- */
static void owners_free(struct stored *s)
{
	struct owner *o;
	size_t pos = 0;

	while ((o = map_next(&s->owners, &pos)) != NULL)
		free(o);
	map_free(&s->owners);
	free(s->ids);
	free(s->answered);
	s->ids = NULL;
	s->answered = NULL;
}

static void restored(struct broker *b)
{
	struct stored *s = &b->stored;
	struct restored done;

	restore_end(&s->restore, &done);
	s->found.sessions = done.sessions;
	s->found.subscriptions = done.subscriptions;
	s->found.retained = done.retained;
	s->found.dropped = done.dropped;
	writer_begin(b);
}

bool stored_go_on(struct broker *b)
{
	struct stored *s = &b->stored;

	if (!b->loaded || b->started)
		return b->started;
	if (s->restore != NULL) {
		if (!b->have_policy || s->told < s->nasks)
			return false; /* whose it is, and what they may, is not known yet */
		restored(b);
	}
	owners_free(s);
	s->found.persistent = s->writer != NULL;
	s->found.epoch = s->epoch;
	s->found.ms = (u32)MIN(clock_mono_ms() - s->began_ms, (u64)UINT32_MAX);
	shards_start(b);
	b->started = true;
	listeners_open(b);
	return true;
}

/* ---- the end --------------------------------------------------------------------------------- */
void stored_close(struct broker *b)
{
	struct stored *s = &b->stored;

	if (s->writer != NULL)
		writer_free(&s->writer, false);
	store_close(&s->store);
	if (s->data_fd >= 0)
		close(s->data_fd);
	s->data_fd = -1;
}
