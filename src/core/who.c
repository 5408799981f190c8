/* who: see who.h.  Grants and the map of principals change under the hub's lock; reading a grant
 * takes none. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/hub.h"

enum { PRINCIPALS_IDLE = 4096 }; /* who published, and has no connection now */

static u8 *put(u8 *at, struct slice s, struct slice *out)
{
	if (s.n != 0)
		memcpy(at, s.p, s.n);
	*out = slice_of(at, s.n);
	return at + s.n;
}

/* ---- grants -------------------------------------------------------------------------- */

static struct grant *grant_new(const struct identity_change *c)
{
	size_t roles = c->nroles * sizeof(u32);
	struct grant *g = xcalloc(1, sizeof(*g) + roles + c->identity.n + c->group.n +
					     c->client_id_pattern.n);
	u32 *r = (u32 *)(void *)g->data;
	u8 *at = g->data + roles;

	_Static_assert(offsetof(struct grant, data) % _Alignof(u32) == 0, "roles come first");
	*g = (struct grant){.generation = c->generation,
			    .status = c->status,
			    .kind = c->kind,
			    .credential_min = c->credential_min,
			    .local_min = c->local_min,
			    .nroles = c->nroles,
			    .roles = r};
	if (roles != 0)
		memcpy(r, c->roles, roles);
	ASSERT(c->nroles == 0 || c->roles != NULL);
	at = put(at, c->identity, &g->name);
	at = put(at, c->group, &g->group);
	put(at, c->client_id_pattern, &g->pattern);
	return g;
}

static void grant_drop(struct retired *r)
{
	free(CONTAINER_OF(r, struct grant, gc));
}

/* The lock is held. */
static void principal_grant_set(struct hub *h, struct principal *p, const struct identity_change *c)
{
	struct grant *g = grant_new(c), *old = atomic_exchange(&p->grant, g);

	OBJ_CHECK(h, HUB_MAGIC);
	atomic_store(&p->watched, hub_is_watched(h, g->name));
	if (old != NULL)
		epoch_retire(&h->epoch, &old->gc, grant_drop);
}

/* ---- principals ---------------------------------------------------------------------- */

static struct slice principal_key(const struct principal *p)
{
	return slice_of(&p->id, sizeof(p->id));
}

/* ---- idle ones: how fast somebody published is remembered beyond the last connection, or a new
 * one would bring a new burst.  The longest gone is forgotten first; the lock is held. */

static void principal_idle_end(struct hub *h, struct principal *p)
{
	if (!p->idle)
		return;
	ASSERT(h->nidle > 0);
	p->idle = false;
	h->nidle--;
	TAILQ_REMOVE(&h->idle, p, idle_link);
}

/* Returns the one that is to be forgotten, or NULL. */
static struct principal *principal_idle_begin(struct hub *h, struct principal *p)
{
	ASSERT(!p->idle && p->refs == 0);
	if (atomic_load(&p->rate_messages_us) == 0 && atomic_load(&p->rate_bytes_us) == 0 &&
	    atomic_load(&p->rate_replay_us) == 0 && atomic_load(&p->quirks) == NULL)
		return p;
	p->idle = true;
	h->nidle++;
	TAILQ_INSERT_TAIL(&h->idle, p, idle_link);
	if (h->nidle <= PRINCIPALS_IDLE)
		return NULL;
	p = TAILQ_FIRST(&h->idle);
	principal_idle_end(h, p);
	return p;
}

static struct principal *principal_make(struct hub *h, u64 id)
{
	struct principal *p = map_get(&h->principals, slice_of(&id, sizeof(id)));

	if (p != NULL) {
		principal_idle_end(h, p);
		return p;
	}
	p = xcalloc(1, sizeof(*p));
	p->magic = PRINCIPAL_MAGIC;
	p->id = id;
	ASSERT(map_put(&h->principals, principal_key(p), p) == NULL);
	return p;
}

struct principal *principal_of_answer(struct hub *h, const struct login_answer *a)
{
	struct identity_change c = {.identity_id = a->identity_id,
				    .generation = a->generation,
				    .status = WHO_ACTIVE,
				    .kind = a->kind,
				    .identity = a->identity,
				    .group = a->group,
				    .client_id_pattern = a->client_id_pattern,
				    .roles = a->roles,
				    .nroles = a->nroles};
	const struct grant *g;
	struct principal *p;

	OBJ_CHECK(h, HUB_MAGIC);
	pthread_mutex_lock(&h->lock);
	p = principal_make(h, a->identity_id);
	ASSERT(a->verdict == E_OK);
	ASSERT(p->refs < UINT32_MAX);
	p->refs++;
	g = atomic_load(&p->grant);
	/* An answer does not say which credentials have ended; a newer one revives none. */
	if (g != NULL) {
		c.credential_min = g->credential_min;
		c.local_min = g->local_min;
	}
	if (g == NULL || a->generation > g->generation)
		principal_grant_set(h, p, &c);
	pthread_mutex_unlock(&h->lock);
	return p;
}

struct principal *principal_claim(struct hub *h, u64 id)
{
	struct principal *p;

	OBJ_CHECK(h, HUB_MAGIC);
	pthread_mutex_lock(&h->lock);
	p = principal_make(h, id);
	ASSERT(p->refs < UINT32_MAX);
	p->refs++;
	pthread_mutex_unlock(&h->lock);
	return p;
}

struct principal *principal_find(struct hub *h, u64 id)
{
	struct principal *p;

	OBJ_CHECK(h, HUB_MAGIC);
	pthread_mutex_lock(&h->lock);
	p = map_get(&h->principals, slice_of(&id, sizeof(id)));
	if (p != NULL) {
		principal_idle_end(h, p);
		p->refs++;
	}
	pthread_mutex_unlock(&h->lock);
	return p;
}

void principal_unref(struct hub *h, struct principal **pp)
{
	struct principal *p = *pp;
	struct grant *g;

	*pp = NULL;
	OBJ_CHECK(p, PRINCIPAL_MAGIC);
	pthread_mutex_lock(&h->lock);
	ASSERT(p->refs > 0);
	p = --p->refs != 0 || p->pinned ? NULL : principal_idle_begin(h, p);
	if (p != NULL)
		ASSERT(map_del(&h->principals, principal_key(p)) == p);
	pthread_mutex_unlock(&h->lock);
	if (p == NULL)
		return;
	ASSERT(atomic_load(&p->connections) == 0);
	ASSERT(atomic_load(&p->sessions) == 0);
	ASSERT(atomic_load(&p->subscriptions) == 0);
	ASSERT(atomic_load(&p->retained) == 0);
	ASSERT(atomic_load(&p->queued_bytes) == 0);
	/* A reader may still hold the grant; the principal itself is only reached through a
	 * reference. */
	g = atomic_load(&p->grant);
	if (g != NULL)
		epoch_retire(&h->epoch, &g->gc, grant_drop);
	p->magic = 0;
	free(atomic_load(&p->quirks));
	free(p);
}

/* Remembered even when nobody of that name is here: an answer to a login may be on its way that was
 * given before the change (I11). */
void hub_identity_changed(struct hub *h, const struct identity_change *c)
{
	const struct grant *g;
	struct principal *p;

	OBJ_CHECK(h, HUB_MAGIC);
	pthread_mutex_lock(&h->lock);
	p = principal_make(h, c->identity_id);
	p->pinned = true;
	g = atomic_load(&p->grant);
	if (g == NULL || c->generation >= g->generation)
		principal_grant_set(h, p, c);
	pthread_mutex_unlock(&h->lock);
}

/* ---- logins -------------------------------------------------------------------------- */

struct who *who_new(struct hub *h, struct principal *pr, const struct who_login *l)
{
	struct who *w = xcalloc(1, sizeof(*w) + l->client_id.n + l->username.n + l->cert_cn.n +
					   l->cert_san.n + l->listener.n);
	u8 *at = w->data;

	OBJ_CHECK(h, HUB_MAGIC);
	w->magic = WHO_MAGIC;
	atomic_init(&w->refs, 1);
	w->hub = h;
	w->pr = pr;
	w->tls = l->tls;
	memcpy(w->addr, l->addr, sizeof(w->addr));
	at = put(at, l->client_id, &w->client_id);
	at = put(at, l->username, &w->username);
	at = put(at, l->cert_cn, &w->cert_cn);
	at = put(at, l->cert_san, &w->cert_san);
	put(at, l->listener, &w->listener);
	return w;
}

struct who *who_ref(struct who *w)
{
	OBJ_CHECK(w, WHO_MAGIC);
	ASSERT(atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed) > 0);
	return w;
}

void who_unref(struct who **wp)
{
	struct who *w = *wp;

	*wp = NULL;
	OBJ_CHECK(w, WHO_MAGIC);
	if (atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) != 1)
		return;
	principal_unref(w->hub, &w->pr);
	w->magic = 0;
	free(w);
}

/* ---- judging ------------------------------------------------------------------------- */

/* False: this one has no rights at all now. */
static bool judge_begin(const struct who *w, const struct policy_box **b, struct subject *s,
			struct circumstance *how)
{
	const struct grant *g = principal_grant(w->pr);

	OBJ_CHECK(w, WHO_MAGIC);
	ASSERT(w->magic == WHO_MAGIC);
	*b = hub_policy(w->hub);
	if (*b == NULL || g == NULL || !status_acts(g->status))
		return false;
	*s = (struct subject){.device = g->name,
			      .client_id = w->client_id,
			      .username = w->username,
			      .group = g->group,
			      .cert_cn = w->cert_cn,
			      .cert_san = w->cert_san,
			      .roles = g->roles,
			      .nroles = g->nroles};
	*how = (struct circumstance){.tls = w->tls, .listener = w->listener};
	memcpy(how->addr, w->addr, sizeof(how->addr));
	return true;
}

/* Our own namespaces are nobody's to write (I13). */
static bool topic_reserved(const struct topic *t)
{
	struct slice first = topic_level(t, 0);

	return t->dollar &&
	       (slice_eq(first, SLICE_LIT("$SYS")) || slice_eq(first, SLICE_LIT("$share")));
}

enum verdict judge_publish(const struct who *w, const struct topic *t, u8 qos, bool retain)
{
	const struct policy_box *b;
	struct circumstance how;
	struct subject s;

	OBJ_CHECK(w, WHO_MAGIC);
	if (topic_reserved(t) || !judge_begin(w, &b, &s, &how))
		return DENY;
	how.qos = qos;
	how.retain = retain;
	return rights_publish(b->p, &s, t, &how);
}

enum verdict judge_deliver(const struct who *w, const struct topic *t, u8 qos, bool retain)
{
	const struct policy_box *b;
	struct circumstance how;
	struct subject s;

	OBJ_CHECK(w, WHO_MAGIC);
	if (!judge_begin(w, &b, &s, &how))
		return DENY;
	how.qos = qos;
	how.retain = retain;
	return rights_deliver(b->p, &s, t, &how);
}

enum verdict judge_subscribe(const struct who *w, const struct filter *f, u8 qos, bool *clear)
{
	const struct policy_box *b;
	struct circumstance how;
	struct subject s;

	OBJ_CHECK(w, WHO_MAGIC);
	*clear = false;
	if (!judge_begin(w, &b, &s, &how))
		return DENY;
	how.qos = qos;
	return rights_subscribe(b->p, &s, f, &how, clear);
}
