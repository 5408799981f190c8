/* rejudge: a change of rights reaches everything that this shard holds (I11): limits,
 * subscriptions, queues, wills. Retained messages are judged whenever one is handed out. */
#include "core/impl.h"

static void session_limits(struct core *c, struct session *s)
{
	const struct grant *g = principal_grant(s->who->pr);
	struct limits *old = s->lim;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->client == NULL)
		return; /* its next connection brings them */
	ASSERT(g != NULL);
	s->lim = limits_of(c, s->client->listener, g);
	limits_unref(c, &old);
}

static void session_rejudge(struct core *c, struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	session_limits(c, s);
	subs_rejudge(c, s);
	queue_rejudge(c, s);
	will_rejudge(c, s);
}

void core_rejudge(struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	core_enter(c);
	for (u32 i = 0; i < c->slots_used; i++) {
		if (c->slots[i].s != NULL)
			session_rejudge(c, c->slots[i].s);
	}
	core_leave(c);
}

/* Nothing of it stays: the connection, the session, the will. */
static void session_revoke(struct core *c, struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->will != NULL)
		will_free(&s->will);
	s->expiry_s = 0;
	if (s->client != NULL)
		client_end(c, s->client, E_REVOKED); /* ends the session too */
	else
		session_end(c, &s);
}

static bool is_author(void *arg, const struct retained *e)
{
	return e->author->pr == arg;
}

void core_identity_apply(struct core *c, u64 identity_id)
{
	struct principal *pr = principal_find(c->hub, identity_id);
	const struct grant *g;

	OBJ_CHECK(c, CORE_MAGIC);
	if (pr == NULL)
		return;
	core_enter(c);
	g = principal_grant(pr);
	for (u32 i = 0; i < c->slots_used; i++) {
		struct session *s = c->slots[i].s;
		if (s == NULL)
			continue;
		if (s->who->pr != pr) {
			if (s->replay_n != 0) /* perhaps with a message of this author */
				queue_rejudge(c, s);
			continue;
		}
		if (g->status == WHO_REVOKED || g->status == WHO_SUSPENDED) {
			session_revoke(c, s);
			continue;
		}
		/* It may come back with its new credential; a session that lasts waits for it. */
		if (s->client != NULL && credential_ended(g, s->client->credential))
			client_end(c, s->client, E_CREDENTIAL);
		s = c->slots[i].s;
		if (s != NULL)
			session_rejudge(c, s);
	}
	if (g->status == WHO_REVOKED && c->shard == 0)
		retained_purge(&c->hub->retained, is_author, pr);
	core_leave(c);
	principal_unref(c->hub, &pr);
}
