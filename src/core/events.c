/* events: what happened, for the log and for whoever watches. */
#include "core/impl.h"

void event_emit(struct core *c, const struct core_event *e)
{
	ASSERT(e->kind <= EV_WILL);
	ASSERT(e->listener != NULL && e->addr != NULL);
	if (c->env.event != NULL)
		c->env.event(c->env.arg, e);
}

/* Inside an epoch: the identity views the grant. */
static void event_who(struct core_event *e, const struct who *w)
{
	const struct grant *g = principal_grant(w->pr);

	OBJ_CHECK(w, WHO_MAGIC);
	if (g != NULL)
		e->identity = g->name;
	e->client_id = w->client_id;
	e->username = w->username;
	e->watched = atomic_load_explicit(&w->pr->watched, memory_order_relaxed);
}

struct core_event event_of_client(const struct client *cl, enum event_kind kind, enum err why)
{
	struct core_event e = {.kind = kind,
			       .why = why,
			       .listener = cl->listener->name,
			       .addr = cl->addr,
			       .port = cl->port,
			       .version = cl->version,
			       .conn = cl->conn};

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->session != NULL)
		event_who(&e, cl->session->who);
	else if (cl->hello != NULL && cl->hello->who != NULL)
		event_who(&e, cl->hello->who);
	return e;
}

void event_client(struct core *c, const struct client *cl, enum event_kind kind, enum err why,
		  const char *text)
{
	struct core_event e = event_of_client(cl, kind, why);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	e.text = text;
	event_emit(c, &e);
}

static struct core_event event_of_session(const struct session *s, enum event_kind kind,
					  enum err why)
{
	static const u8 nowhere[16];
	struct core_event e;

	if (s->client != NULL)
		return event_of_client(s->client, kind, why);
	e = (struct core_event){
		.kind = kind, .why = why, .listener = "", .addr = nowhere, .version = s->version};
	event_who(&e, s->who);
	return e;
}

void event_session(struct core *c, const struct session *s, enum event_kind kind, enum err why,
		   struct slice topic)
{
	struct core_event e = event_of_session(s, kind, why);

	OBJ_CHECK(s, SESSION_MAGIC);
	e.topic = topic;
	event_emit(c, &e);
}

void event_denied(struct core *c, const struct session *s, enum action a, struct slice topic,
		  enum err why)
{
	struct core_event e = event_of_session(s, EV_DENIED, why);

	OBJ_CHECK(s, SESSION_MAGIC);
	e.topic = topic;
	e.action = a;
	event_emit(c, &e);
}
