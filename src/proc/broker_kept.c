/* broker_kept: what operators ask about what is kept: sessions a page at a time, retained messages
 * from a list made once, and their end.
 *
 * A question goes to the shard whose turn it is, or to all; the answer fits one page whatever there
 * is.  Lists wait for their next page for a while only. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proc/broker_i.h"

enum {
	LISTINGS_MAX = 8,
	LISTING_AGE_MS = 120 * 1000,
	SLOTS_A_TURN = 20000,	 /* sessions looked at in one turn of a shard */
	PAGE_BYTES = 192 * 1024, /* of retained rows; admin's answer holds them as text */
};

/* A list that admin goes through. */
struct listing {
	struct listing *next;
	u64 id, used_ms;
	size_t at;
	struct retained_list *list;
};

struct kept_ask {
	enum ipc_type type;
	u64 id;
	u32 waiting;		    /* shards; the main thread's */
	struct slice first, second; /* view text: identity and client id, or filter and identity */
	u8 text[2048];
	enum err err;
	/* sessions */
	u64 cursor;
	struct session_row *rows;
	u32 nrows;
	struct drop_count dropped[LIM_SHARDS];
	u64 ticket[LIM_SHARDS]; /* when what a shard did is on disk */
	/* retained */
	struct m_retained_query query;
	bool dry;
	u64 older_ms, deleted, bytes;
	struct retained_list *list;
};

/* ---- asking ---------------------------------------------------------------------------------- */
static bool texts_take(struct kept_ask *a, struct slice tail)
{
	struct rd r;

	if (tail.n > sizeof(a->text))
		return false;
	if (tail.n != 0)
		memcpy(a->text, tail.p, tail.n);
	r = rd_of(slice_of(a->text, tail.n));
	a->first = ipc_get_str(&r);
	a->second = ipc_get_str(&r);
	return r.err == E_OK && rd_left(&r) == 0;
}

static void free_ask(struct kept_ask *a)
{
	retained_list_free(&a->list);
	free(a->rows);
	free(a);
}

static void ask_one(struct broker *b, struct kept_ask *a, u32 shard)
{
	ASSERT(shard < b->nshards);
	a->waiting = 1;
	shard_tell(&b->shard[shard], SI_KEPT, 0, a);
}

static void ask_all(struct broker *b, struct kept_ask *a)
{
	a->waiting = b->nshards;
	shards_tell(b, SI_KEPT, 0, a);
}

static void reply(struct broker *b, const struct kept_ask *a, enum ipc_type type, const void *body,
		  int fd)
{
	enum err e = child_send(b->child, ROLE_ADMIN, type, a->id, body, SLICE_NONE, fd);

	if (e != E_OK)
		log_msg(LOG_WARN, "answer_lost", "admin: %s", err_text(e));
	if (fd >= 0)
		close(fd);
}

/* ---- sessions -------------------------------------------------------------------------------- */
/* Where a walk over all shards stands: the shard, and the slot in it. */
static u64 cursor_of(u32 shard, u32 slot)
{
	return (u64)shard << 32 | slot;
}

static void put(char *out, size_t cap, struct slice s)
{
	size_t n = MIN(s.n, cap - 1);

	if (n != 0)
		memcpy(out, s.p, n);
	out[n] = '\0';
}

#define X(word) +1
_Static_assert((int)DROP_KINDS == 0 KEPT_DROPS(X), "admin knows every reason");
#undef X

static void row_fill(struct session_row *w, const struct client_info *i)
{
	_Static_assert((u32)DROP_KINDS <= ARRAY_LEN(w->drops), "a row holds every reason");
	put(w->identity, sizeof(w->identity), i->identity);
	put(w->client_id, sizeof(w->client_id), i->client_id);
	put(w->listener, sizeof(w->listener), slice_str(i->listener != NULL ? i->listener : ""));
	if (i->online)
		addr_port_format(i->addr, i->port, w->addr, sizeof(w->addr));
	w->queued = i->queued;
	w->queued_bytes = i->queued_bytes;
	w->stored = i->stored;
	w->expiry_s = i->expiry_s;
	w->ends_in_ms = i->ends_in_ms;
	w->connected_wall_ms = i->connected_wall_ms;
	for (u32 k = 0; k < DROP_KINDS && i->drops != NULL; k++)
		w->drops[k] = i->drops[k];
	w->subscriptions = i->subscriptions;
	w->inflight = i->inflight;
	w->version = i->version;
	w->kind = i->kind;
	w->online = i->online;
	w->durable = i->durable;
	w->clean = i->clean;
}

static bool row_add(void *arg, const struct client_info *i)
{
	struct kept_ask *a = arg;

	if ((a->first.n != 0 && !slice_eq(a->first, i->identity)) ||
	    (a->second.n != 0 && !slice_eq(a->second, i->client_id)))
		return true;
	ASSERT(a->nrows < KEPT_ROWS);
	row_fill(&a->rows[a->nrows++], i);
	return a->nrows < KEPT_ROWS;
}

static void sessions_some(struct shard *s, struct kept_ask *a)
{
	u32 at = (u32)a->cursor;
	bool more = core_each_some(s->core, &at, SLOTS_A_TURN, row_add, a);

	a->cursor = more ? cursor_of(s->index, at) : cursor_of(s->index + 1, 0);
}

static void sessions_answered(struct broker *b, struct kept_ask *a)
{
	u64 shard = a->cursor >> 32;
	struct m_page m = {.cursor = shard < b->nshards ? a->cursor : KEPT_END, .count = a->nrows};
	size_t bytes = a->nrows * sizeof(*a->rows);
	int fd = -1;

	/* Nothing yet: the next part of the walk, which may be long, is nobody's turn for long. */
	if (a->nrows == 0 && m.cursor != KEPT_END) {
		ask_one(b, a, (u32)shard);
		return;
	}
	if (bytes != 0)
		fd = ipc_memfd("sessions", slice_of(a->rows, bytes));
	m.size = fd >= 0 ? (u32)bytes : 0;
	m.count = fd >= 0 ? m.count : 0;
	reply(b, a, IPC_SESSION_ROWS, &m, fd);
	free_ask(a);
}

static void drop_answered(struct broker *b, struct kept_ask *a)
{
	struct m_dropped m = {.err = E_OK};

	for (u32 i = 0; i < b->nshards; i++) {
		m.sessions += a->dropped[i].sessions;
		m.connections += a->dropped[i].connections;
		m.subscriptions += a->dropped[i].subscriptions;
		m.queued += a->dropped[i].queued;
	}
	reply(b, a, IPC_DROPPED, &m, -1);
	free_ask(a);
}

/* ---- retained messages ----------------------------------------------------------------------- */
static enum err which_of(const struct kept_ask *a, struct filter *f, struct retained_which *w)
{
	enum err e = filter_parse(a->first, f);

	*w = (struct retained_which){.filter = f, .identity = a->second, .older_ms = a->older_ms};
	return e == E_OK && f->share.n != 0 ? E_FILTER : e;
}

/* On one shard: all of them share the tree. */
static void retained_work(struct shard *s, struct kept_ask *a)
{
	struct retained_which w;
	struct filter f;

	a->err = which_of(a, &f, &w);
	if (a->err != E_OK)
		return;
	if (a->type == IPC_RETAINED_QUERY || a->dry)
		a->list = core_retained_list(s->core, &w);
	else
		a->deleted = core_retained_delete(s->core, &w, &a->bytes);
}

static void delete_answered(struct broker *b, struct kept_ask *a)
{
	struct m_dropped m = {.err = a->err, .retained = a->deleted, .bytes = a->bytes};

	for (size_t i = 0; a->list != NULL && i < retained_list_count(a->list); i++)
		m.bytes += retained_list_at(a->list, i).payload.n;
	if (a->list != NULL)
		m.retained = retained_list_count(a->list);
	reply(b, a, IPC_DROPPED, &m, -1);
	free_ask(a);
}

static void listing_free(struct listing **at)
{
	struct listing *l = *at;

	*at = l->next;
	retained_list_free(&l->list);
	free(l);
}

void kept_forget(struct broker *b)
{
	while (b->listings != NULL)
		listing_free(&b->listings);
}

/* The old ones, and the oldest when there are too many. */
static void listings_sweep(struct broker *b)
{
	u64 now = child_now(b->child);
	struct listing **at = &b->listings;

	for (u32 n = 1; *at != NULL; n++) {
		if (n > LISTINGS_MAX || (*at)->used_ms + LISTING_AGE_MS < now)
			listing_free(at);
		else
			at = &(*at)->next;
	}
}

static struct listing **listing_find(struct broker *b, u64 id)
{
	struct listing **at = &b->listings;

	while (*at != NULL && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

static void row_put(struct wr *w, const struct retained_info *i, u32 payload_max)
{
	struct retained_row row = {.age_ms = i->age_ms,
				   .expires_in_ms = i->expires_in_ms,
				   .qos = i->qos,
				   .bytes = (u32)i->payload.n,
				   .topic_n = (u32)i->topic.n,
				   .identity_n = (u32)i->identity.n,
				   .client_id_n = (u32)i->client_id.n,
				   .payload_n = (u32)MIN(i->payload.n, (size_t)payload_max)};

	wr_bytes(w, &row, sizeof(row));
	wr_slice(w, i->topic);
	wr_slice(w, i->identity);
	wr_slice(w, i->client_id);
	wr_bytes(w, i->payload.p, row.payload_n);
}

/* A page from where the list stands; at least one row, which always fits. */
static void page_fill(struct listing *l, bool payloads, struct wr *w, struct m_page *m)
{
	size_t all = retained_list_count(l->list), room = PAGE_BYTES;

	while (l->at < all && m->count < KEPT_ROWS) {
		struct retained_info i = retained_list_at(l->list, l->at);
		size_t n = sizeof(struct retained_row) + i.topic.n + i.identity.n + i.client_id.n +
			   (payloads ? MIN(i.payload.n, (size_t)KEPT_PAYLOAD) : 0);
		if (n > room && m->count != 0)
			break;
		room -= MIN(n, room);
		row_put(w, &i, payloads ? KEPT_PAYLOAD : 0);
		ASSERT(w->err == E_OK);
		m->count++;
		l->at++;
	}
	m->cursor = l->at < all ? l->id : KEPT_END;
}

static void page_reply(struct broker *b, const struct kept_ask *a, struct listing **at)
{
	struct m_page m = {.cursor = KEPT_END};
	size_t cap = PAGE_BYTES + sizeof(struct retained_row) + KEPT_PAYLOAD + 65536;
	u8 *buf = xmalloc(cap);
	struct wr w = wr_of(buf, cap);
	int fd = -1;

	(*at)->used_ms = child_now(b->child);
	page_fill(*at, a->query.payload != 0, &w, &m);
	if (m.count != 0)
		fd = ipc_memfd("retained", wr_done(&w));
	free(buf);
	m.size = fd >= 0 ? (u32)w.n : 0;
	m.count = fd >= 0 ? m.count : 0;
	if (m.cursor == KEPT_END)
		listing_free(at);
	reply(b, a, IPC_RETAINED_ROWS, &m, fd);
}

/* The whole payload of the first one. */
static void payload_reply(struct broker *b, const struct kept_ask *a)
{
	struct m_page m = {.cursor = KEPT_END};
	int fd = -1;

	if (retained_list_count(a->list) != 0) {
		struct slice p = retained_list_at(a->list, 0).payload;
		m.count = 1;
		fd = ipc_memfd("payload", p);
		m.size = fd >= 0 ? (u32)p.n : 0;
		m.count = fd >= 0;
	}
	reply(b, a, IPC_RETAINED_ROWS, &m, fd);
}

static void listing_begin(struct broker *b, struct kept_ask *a)
{
	struct listing *l = xcalloc(1, sizeof(*l));

	*l = (struct listing){.next = b->listings, .id = ++b->last_listing, .list = a->list};
	a->list = NULL;
	b->listings = l;
	page_reply(b, a, &b->listings);
	listings_sweep(b);
}

static void list_answered(struct broker *b, struct kept_ask *a)
{
	struct m_page none = {.cursor = KEPT_END};

	if (a->err != E_OK)
		reply(b, a, IPC_RETAINED_ROWS, &none, -1);
	else if (a->query.payload == 2)
		payload_reply(b, a);
	else
		listing_begin(b, a);
	free_ask(a);
}

/* The next page of a list that is there; one that is there no more ends short. */
static void list_go_on(struct broker *b, struct kept_ask *a)
{
	struct listing **at = listing_find(b, a->query.cursor);
	struct m_page gone = {.cursor = a->query.cursor};

	if (*at != NULL)
		page_reply(b, a, at);
	else
		reply(b, a, IPC_RETAINED_ROWS, &gone, -1);
	free_ask(a);
}

/* ---- the way there and back ------------------------------------------------------------------ */
static enum err begin(struct broker *b, struct kept_ask *a, const struct ipc_msg *m)
{
	const struct m_session_query *q = m->body;
	const struct m_retained_delete *d = m->body;

	if (a->type == IPC_SESSION_QUERY) {
		a->cursor = q->cursor;
		a->rows = xcalloc(KEPT_ROWS, sizeof(*a->rows));
		if (a->cursor >> 32 >= b->nshards)
			return E_IPC;
		ask_one(b, a, (u32)(a->cursor >> 32));
	} else if (a->type == IPC_SESSION_DROP) {
		a->dry = ((const struct m_session_drop *)m->body)->dry != 0;
		if (a->first.n == 0 && a->second.n == 0)
			return E_IPC;
		ask_all(b, a);
	} else if (a->type == IPC_RETAINED_QUERY) {
		a->query = *(const struct m_retained_query *)m->body;
		a->older_ms = a->query.older_ms;
		if (a->query.cursor != 0)
			list_go_on(b, a);
		else
			ask_one(b, a, 0);
	} else {
		a->older_ms = d->older_ms;
		a->dry = d->dry != 0;
		ask_one(b, a, 0);
	}
	return E_OK;
}

enum err kept_ask(struct broker *b, const struct ipc_msg *m)
{
	struct kept_ask *a = xcalloc(1, sizeof(*a));
	enum err e;

	a->type = m->type;
	a->id = m->id;
	e = texts_take(a, m->tail) ? begin(b, a, m) : E_IPC;
	if (e != E_OK)
		free_ask(a);
	return e;
}

void shard_kept(struct shard *s, struct kept_ask *a)
{
	if (a->type == IPC_SESSION_QUERY)
		sessions_some(s, a);
	else if (a->type == IPC_SESSION_DROP)
		core_drop(s->core, a->first, a->second, a->dry ? DROP_DRY : DROP_FOR_GOOD,
			  &a->dropped[s->index]);
	else
		retained_work(s, a);
	a->ticket[s->index] = core_stored_ticket(s->core);
	outbox_add(&s->kept, (struct inbox_item){.kind = MI_KEPT, .from = s->index, .p = a});
}

/* Who is told that something is gone is told so when it cannot come back. */
void shard_kept_turn(struct shard *s)
{
	size_t left = 0;

	for (size_t i = 0; i < s->kept.n; i++) {
		const struct inbox_item *it = &s->kept.items[i];
		const struct kept_ask *a = it->p;

		if (a->type == IPC_SESSION_QUERY || a->type == IPC_RETAINED_QUERY ||
		    core_stored_upto(s->core, a->ticket[s->index]))
			outbox_add(&s->to_main, *it);
		else
			s->kept.items[left++] = *it;
	}
	s->kept.n = left;
}

void kept_answered(struct broker *b, struct kept_ask *a)
{
	ASSERT(a->waiting > 0);
	if (--a->waiting != 0)
		return;
	if (a->type == IPC_SESSION_QUERY)
		sessions_answered(b, a);
	else if (a->type == IPC_SESSION_DROP)
		drop_answered(b, a);
	else if (a->type == IPC_RETAINED_QUERY)
		list_answered(b, a);
	else
		delete_answered(b, a);
}
