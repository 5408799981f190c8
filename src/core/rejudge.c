/* rejudge: a change of rights reaches everything that this shard holds (I11): limits,
 * subscriptions, queues, wills. Retained messages are judged whenever one is handed out. */
#include "core/impl.h"

enum { REJUDGED_A_TURN = 2000 }; /* subscriptions and waiting messages; some hundred us */

static void session_limits(struct core *c, struct session *s)
{
	const struct grant *g = principal_grant(s->who->pr);
	struct limits *old = s->lim;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->client == NULL)
		return; /* its next connection brings them */
	ASSERT(g != NULL);
	s->lim = limits_of(c, s->client->listener, g, s->who->addr);
	limits_unref(c, &old);
}

static void session_rejudge(struct core *c, struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	session_limits(c, s);
	subs_rejudge(c, s);
	session_rejudge_waiting(c, s);
	will_rejudge(c, s);
}

/* How much judging a session costs. */
static u64 session_weight(const struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	return 1 + (u64)s->subs_n + s->queue_n + s->replay_n + (s->out.n - s->out.sent);
}

void core_rejudge(struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	c->rejudge_next = 0; /* those already judged under the policy before this one too */
	c->rejudging = true;
}

bool core_rejudging(const struct core *c)
{
	OBJ_CHECK(c, CORE_MAGIC);
	return c->rejudging;
}

/* Sessions that are made meanwhile, before or behind, know the new rights already. */
void rejudge_some(struct core *c)
{
	u64 done = 0;

	ASSERT(c->rejudge_next <= c->slots_used);
	for (; c->rejudging && done < REJUDGED_A_TURN; c->rejudge_next++) {
		struct session *s;
		if (c->rejudge_next == c->slots_used) {
			c->rejudging = false;
			break;
		}
		s = c->slots[c->rejudge_next].s;
		done++;
		if (s == NULL)
			continue;
		done += session_weight(s);
		session_rejudge(c, s);
	}
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
	struct retained_log log = record_retained(c);
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
		retained_purge(&c->hub->retained, is_author, pr, &log);
	core_leave(c);
	principal_unref(c->hub, &pr);
}
