/* restore: what the store holds becomes sessions, subscriptions and retained messages again.
 *
 * Before any shard runs, on one thread.  What the store gives may have been damaged where no
 * checksum saw it, so it is parsed again.  A client may have two sessions here: the older one was
 * being ended when the process died; it ends now. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { MS = 1000 };

struct restored_session {
	u64 sid; /* the map's key */
	struct session *s;
	bool was_here; /* it had a connection when the process ended */
};

struct restore {
	struct hub *hub;
	struct core *const *cores;
	u32 n;
	struct map sessions;   /* struct restored_session */
	struct map principals; /* each with a reference */
	struct who *author;    /* of the last retained message: the next may have the same one */
	struct restored done;
};

static struct retained_log restore_log(struct restore *r);

struct restore *restore_begin(struct hub *h, struct core *const *cores, u32 n)
{
	struct restore *r = xcalloc(1, sizeof(*r));

	OBJ_CHECK(h, HUB_MAGIC);
	ASSERT(n == h->o.nshards);
	ASSERT(ops_on(cores[0]));
	r->hub = h;
	r->cores = cores;
	r->n = n;
	map_init(&r->sessions, &h->key);
	map_init(&r->principals, &h->key);
	return r;
}

static struct slice id_key(const u64 *id)
{
	ASSERT(id != NULL);
	return slice_of((const u8 *)id, sizeof(*id));
}

/* A reference of the caller's own. */
static struct principal *principal_of(struct restore *r, u64 id)
{
	struct principal *p = principal_claim(r->hub, id), *ours;

	OBJ_CHECK(p, PRINCIPAL_MAGIC);
	if (map_get(&r->principals, id_key(&id)) != NULL)
		return p;
	ours = principal_claim(r->hub, id);
	ASSERT(ours == p);
	map_put(&r->principals, id_key(&p->id), ours);
	return p;
}

/* ---- sessions ------------------------------------------------------------------------ */

static u64 due(u64 since_ms, u64 after_s, u64 store_now_ms, u64 now_ms)
{
	u64 at = since_ms + after_s * MS;

	ASSERT(since_ms <= store_now_ms);
	return at > store_now_ms ? now_ms + (at - store_now_ms) : now_ms;
}

/* Its clocks, from when it went away; in this process' time. */
static void session_clocks(const struct core *c, struct session *s, u64 away_ms)
{
	u64 now = store_now(c);
	u64 since = away_ms != 0 ? MIN(away_ms, now) : now;

	OBJ_CHECK(s, SESSION_MAGIC);
	ASSERT(s->client == NULL);
	if (s->expiry_s != UINT32_MAX)
		s->ends_ms = due(since, s->expiry_s, now, c->now_ms);
	if (s->will != NULL)
		s->will_ms = due(since, s->will->delay_s, now, c->now_ms);
}

/* The older of two sessions of one client lives where nobody finds it, and not long. */
static struct home *home_of(struct restore *r, u64 identity, const struct store_session *x)
{
	struct directory *d = &r->hub->directory;
	struct home *h = directory_claim(d, identity, x->client_id, (u32)(x->sid % r->n));
	struct session *old = h->session;

	ASSERT(h->shard < r->n);
	if (old == NULL)
		return h;
	if (old->durable->sid < x->sid) {
		directory_release(d, &old->home);
		old->home = directory_ghost(d, h->shard);
		old->home->session = old;
		old->ends_ms = r->cores[h->shard]->now_ms;
		h->session = NULL;
		return h;
	}
	directory_release(d, &h);
	return directory_ghost(d, (u32)(x->sid % r->n));
}

void restore_session(struct restore *r, const struct store_session *x)
{
	struct who_login l = {.client_id = x->client_id,
			      .username = x->username,
			      .cert_cn = x->cert_cn,
			      .cert_san = x->cert_san,
			      .listener = x->listener,
			      .addr = x->addr,
			      .tls = x->tls};
	struct restored_session *item = xcalloc(1, sizeof(*item));
	struct principal *pr = principal_of(r, x->identity_id);
	struct home *h = home_of(r, pr->id, x);
	struct core *c = r->cores[h->shard];
	struct session *s = session_new(c, h, who_new(r->hub, pr, &l));

	s->version = x->version;
	s->expiry_s = x->expiry_s;
	s->will = will_restore(&x->will, s->who);
	record_restore(c, s, x);
	session_clocks(c, s, x->away_ms);
	if (h->ghost)
		s->ends_ms = c->now_ms;
	*item = (struct restored_session){x->sid, s, x->away_ms == 0 && !h->ghost};
	ASSERT(map_put(&r->sessions, id_key(&item->sid), item) == NULL);
}

static struct session *session_of(const struct restore *r, u64 sid)
{
	const struct restored_session *item = map_get(&r->sessions, id_key(&sid));

	ASSERT(item == NULL || item->s->durable->sid == sid);
	return item != NULL ? item->s : NULL;
}

void restore_sub(struct restore *r, const struct store_sub *x)
{
	struct session *s = session_of(r, x->sid);

	ASSERT(r->n > 0);
	if (s == NULL)
		return;
	core_enter(s->core);
	subs_restore(s->core, s, x);
	core_leave(s->core);
}

void restore_pid(struct restore *r, u64 sid, u16 pid)
{
	struct session *s = session_of(r, sid);

	ASSERT(r->n > 0);
	if (s != NULL && pid != 0)
		pids_add(&s->in, pid);
}

/* ---- retained messages --------------------------------------------------------------- */

static struct who *author_of(struct restore *r, const struct store_retained *x)
{
	struct who_login l = {.client_id = x->client_id,
			      .username = x->username,
			      .cert_cn = x->cert_cn,
			      .cert_san = x->cert_san,
			      .listener = x->listener,
			      .addr = x->addr,
			      .tls = x->tls};
	const struct who *w = r->author;

	if (w != NULL && w->pr->id == x->identity_id && slice_eq(w->client_id, x->client_id) &&
	    slice_eq(w->username, x->username) && slice_eq(w->cert_cn, x->cert_cn) &&
	    slice_eq(w->cert_san, x->cert_san) && slice_eq(w->listener, x->listener) &&
	    w->tls == x->tls && memcmp(w->addr, x->addr, sizeof(w->addr)) == 0)
		return r->author;
	if (r->author != NULL)
		who_unref(&r->author);
	r->author = who_new(r->hub, principal_of(r, x->identity_id), &l);
	ASSERT(r->author != NULL);
	return r->author;
}

/* What has expired is taken in as well: the purge that follows takes it out, here and there. */
void restore_retained(struct restore *r, const struct store_retained *x)
{
	const struct core *c = r->cores[0];
	struct retained_log log = restore_log(r);
	struct msg view = {.magic = MSG_MAGIC,
			   .topic = x->m.topic,
			   .props = x->m.props,
			   .payload = x->m.payload,
			   .expires_ms = time_of_store(c, x->m.expires_ms),
			   .qos = x->m.qos,
			   .retain = true};
	struct msg *m = &view, *kept;
	struct topic t;

	if (topic_parse(view.topic, &t) != E_OK || view.payload.n == 0 || view.qos > 2)
		return;
	kept = msg_keep(&m);
	ASSERT(kept != NULL);
	msg_unref(&kept);
	log.now_ms = x->stored_ms;
	retained_restore(&r->hub->retained, &t, m, author_of(r, x), x->number, &log);
	msg_unref(&m);
}

/* Described in the first shard's batch, and submitted with it. */
static void submit_later(void *arg)
{
	const struct core *c = arg;

	OBJ_CHECK(c, CORE_MAGIC);
}

static struct retained_log restore_log(struct restore *r)
{
	struct retained_log log = record_retained(r->cores[0]);

	ASSERT(log.change != NULL);
	log.done = submit_later;
	return log;
}

/* ---- the end ------------------------------------------------------------------------- */

void restore_identities(struct restore *r, void (*cb)(void *arg, u64 identity_id), void *arg)
{
	const struct principal *p;
	size_t pos = 0;

	while ((p = map_next(&r->principals, &pos)) != NULL) {
		ASSERT(p->refs > 0);
		cb(arg, p->id);
	}
}

static bool is_gone(const struct principal *pr)
{
	const struct grant *g = principal_grant(pr);

	OBJ_CHECK(pr, PRINCIPAL_MAGIC);
	return g == NULL || g->status == WHO_REVOKED;
}

static bool keeps_sessions(const struct principal *pr)
{
	return !is_gone(pr) && principal_grant(pr)->status != WHO_SUSPENDED;
}

static const struct core_listener *listener_of(const struct listener_set *set, const struct who *w)
{
	ASSERT(set->n > 0);
	for (u32 i = 0; i < set->n; i++) {
		if (slice_eq(slice_str(set->l[i].name), w->listener))
			return &set->l[i];
	}
	return &set->l[0];
}

static void session_settle(struct restore *r, const struct listener_set *set,
			   const struct restored_session *item)
{
	struct session *s = item->s;
	struct core *c = s->core;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (!keeps_sessions(s->who->pr)) {
		if (s->will != NULL)
			will_free(&s->will);
		session_end(c, &s);
		r->done.dropped++;
		return;
	}
	s->lim = limits_of(c, listener_of(set, s->who), principal_grant(s->who->pr), s->who->addr);
	if (item->was_here)
		record_put(c, s); /* it is away from now on */
	session_restored(c, s);
	r->done.sessions++;
	r->done.subscriptions += s->subs_n;
}

static void sessions_settle(struct restore *r)
{
	struct listener_set *set = hub_listeners(r->hub);
	struct restored_session *item;
	size_t pos = 0;

	ASSERT(set != NULL);
	while ((item = map_next(&r->sessions, &pos)) != NULL) {
		struct core *c = item->s->core;
		core_enter(c);
		session_settle(r, set, item);
		core_leave(c);
		free(item);
	}
	map_free(&r->sessions);
	listener_set_unref(&set);
}

static bool retained_is_over(void *arg, const struct retained *e)
{
	const struct core *c = arg;

	ASSERT(e->m != NULL);
	return msg_expired(e->m, c->now_ms) || is_gone(e->author->pr);
}

static void retained_settle(struct restore *r)
{
	struct retained_store *all = &r->hub->retained;
	struct retained_log log = restore_log(r);
	struct core *c = r->cores[0];
	u64 before = atomic_load(&all->count);

	core_enter(c);
	retained_purge(all, retained_is_over, c, &log);
	core_leave(c);
	r->done.retained = atomic_load(&all->count);
	ASSERT(r->done.retained <= before);
	r->done.dropped += before - r->done.retained;
}

void restore_end(struct restore **rp, struct restored *out)
{
	struct restore *r = *rp;
	struct principal *p;
	size_t pos = 0;

	*rp = NULL;
	ASSERT(r->n > 0);
	sessions_settle(r);
	retained_settle(r);
	for (u32 i = 0; i < r->n; i++)
		core_rejudge(r->cores[i]);
	if (r->author != NULL)
		who_unref(&r->author);
	while ((p = map_next(&r->principals, &pos)) != NULL)
		principal_unref(r->hub, &p);
	map_free(&r->principals);
	*out = r->done;
	free(r);
}
