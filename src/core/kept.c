/* kept: what operators ask about what is kept: sessions, a few at a time, and their end; retained
 * messages, listed as of one moment, and deleted. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

/* ---- sessions ------------------------------------------------------------------------ */

bool core_each_some(struct core *c, u32 *at, u32 max,
		    bool (*cb)(void *arg, const struct client_info *i), void *arg)
{
	struct client_info i;
	u32 end;

	OBJ_CHECK(c, CORE_MAGIC);
	ASSERT(max > 0);
	core_enter(c);
	end = MIN(c->slots_used, *at + MIN(max, UINT32_MAX - *at));
	for (; *at < end; ++*at) {
		if (c->slots[*at].s == NULL)
			continue;
		session_info(c, c->slots[*at].s, &i);
		if (!cb(arg, &i)) {
			++*at;
			break;
		}
	}
	core_leave(c);
	return *at < c->slots_used;
}

static void session_drop(struct core *c, struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	s->expiry_s = 0;
	if (s->client != NULL) {
		if (s->durable != NULL)
			record_put(c, s); /* from now on it ends, whatever comes before it has */
		client_end(c, s->client, E_ADMIN);
	} else {
		session_end(c, &s);
	}
}

void core_drop(struct core *c, struct slice identity, struct slice client_id, enum drop_how how,
	       struct drop_count *out)
{
	struct client_info i;

	OBJ_CHECK(c, CORE_MAGIC);
	ASSERT(identity.n != 0 || client_id.n != 0);
	core_enter(c);
	for (u32 k = 0; k < c->slots_used; k++) {
		if (c->slots[k].s == NULL)
			continue;
		session_info(c, c->slots[k].s, &i);
		if ((identity.n != 0 && !slice_eq(i.identity, identity)) ||
		    (client_id.n != 0 && !slice_eq(i.client_id, client_id)))
			continue;
		out->sessions++;
		out->connections += i.online;
		out->subscriptions += i.subscriptions;
		out->queued += i.queued;
		if (how == DROP_FOR_GOOD)
			session_drop(c, c->slots[k].s);
	}
	core_leave(c);
}

/* ---- retained messages --------------------------------------------------------------- */

struct retained_item {
	struct msg *m;
	struct who *author;
	u64 stored_ms;
	u32 name; /* where the author's identity stands in names */
	u32 name_n;
};
#define RETAINED_LIST_MAGIC 0x11575047u
struct retained_list {
	u32 magic;
	u64 now_ms, mono_ms; /* store time, and ours */
	size_t n, cap;
	struct retained_item *item;
	u8 *names; /* each once where authors come in a row */
	size_t names_n, names_cap;
};

/* Inside an epoch. */
static bool is_meant(const struct retained_which *w, const struct retained *e, u64 now_ms)
{
	const struct grant *g = principal_grant(e->author->pr);

	if (w->older_ms != 0 && (e->stored_ms > now_ms || now_ms - e->stored_ms < w->older_ms))
		return false;
	return w->identity.n == 0 || (g != NULL && slice_eq(g->name, w->identity));
}

static void name_add(struct retained_list *l, struct retained_item *it)
{
	const struct grant *g = principal_grant(it->author->pr);
	const struct retained_item *last = l->n != 0 ? &l->item[l->n - 1] : NULL;
	struct slice name = g != NULL ? g->name : SLICE_NONE;

	if (last != NULL && last->author->pr == it->author->pr) {
		it->name = last->name;
		it->name_n = last->name_n;
		return;
	}
	if (l->names_n + name.n > l->names_cap) {
		l->names_cap = MAX(l->names_cap * 2, l->names_n + name.n + 1024);
		l->names = xrealloc(l->names, l->names_cap);
	}
	if (name.n != 0)
		memcpy(l->names + l->names_n, name.p, name.n);
	it->name = (u32)l->names_n;
	it->name_n = (u32)name.n;
	l->names_n += name.n;
}

struct listing {
	struct retained_list *l;
	const struct retained_which *w;
};

static bool list_add(void *arg, const struct retained *e)
{
	struct listing *x = arg;
	struct retained_list *l = x->l;
	struct retained_item it = {.stored_ms = e->stored_ms};

	if (msg_expired(e->m, l->mono_ms) || !is_meant(x->w, e, l->now_ms))
		return true;
	if (l->n == l->cap) {
		l->cap = MAX(l->cap * 2, (size_t)64);
		l->item = xrealloc(l->item, l->cap * sizeof(*l->item));
	}
	it.m = msg_ref(e->m);
	it.author = who_ref(e->author);
	name_add(l, &it);
	l->item[l->n++] = it;
	return true;
}

struct retained_list *core_retained_list(struct core *c, const struct retained_which *w)
{
	struct retained_list *l = xcalloc(1, sizeof(*l));
	struct listing x = {l, w};

	OBJ_CHECK(c, CORE_MAGIC);
	l->magic = RETAINED_LIST_MAGIC;
	l->now_ms = kept_now(c);
	l->mono_ms = c->now_ms;
	core_enter(c);
	retained_each(&c->hub->retained, w->filter, list_add, &x);
	core_leave(c);
	return l;
}

size_t retained_list_count(const struct retained_list *l)
{
	OBJ_CHECK(l, RETAINED_LIST_MAGIC);
	ASSERT(l->n <= l->cap);
	return l->n;
}

struct retained_info retained_list_at(const struct retained_list *l, size_t i)
{
	const struct retained_item *it = &l->item[i];
	const struct msg *m = it->m;

	OBJ_CHECK(l, RETAINED_LIST_MAGIC);
	ASSERT(i < l->n);
	return (struct retained_info){
		.topic = m->topic,
		.payload = m->payload,
		.props = m->props,
		.identity = slice_of(l->names + it->name, it->name_n),
		.client_id = it->author->client_id,
		.age_ms = l->now_ms > it->stored_ms ? l->now_ms - it->stored_ms : 0,
		.expires_in_ms = m->expires_ms == 0	      ? UINT64_MAX
				 : m->expires_ms > l->mono_ms ? m->expires_ms - l->mono_ms
							      : 0,
		.qos = m->qos};
}

void retained_list_free(struct retained_list **lp)
{
	struct retained_list *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	OBJ_CHECK(l, RETAINED_LIST_MAGIC);
	for (size_t i = 0; i < l->n; i++) {
		msg_unref(&l->item[i].m);
		who_unref(&l->item[i].author);
	}
	free(l->item);
	free(l->names);
	l->magic = 0;
	free(l);
}

struct deletion {
	const struct core *c;
	const struct retained_which *w;
	u64 n, bytes;
};

static bool is_to_go(void *arg, const struct retained *e)
{
	struct deletion *d = arg;
	struct topic t;

	if (topic_parse(e->m->topic, &t) != E_OK || !filter_matches(d->w->filter, &t) ||
	    !is_meant(d->w, e, kept_now(d->c)))
		return false;
	d->n++;
	d->bytes += e->m->payload.n;
	return true;
}

u64 core_retained_delete(struct core *c, const struct retained_which *w, u64 *bytes)
{
	struct deletion d = {.c = c, .w = w};
	struct retained_log log = record_retained(c);

	OBJ_CHECK(c, CORE_MAGIC);
	core_enter(c);
	retained_purge(&c->hub->retained, is_to_go, &d, &log);
	core_leave(c);
	*bytes = d.bytes;
	ASSERT(d.n != 0 || d.bytes == 0);
	return d.n;
}
