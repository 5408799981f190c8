/* operators: what people ask of a shard: who is here, go away, how much. */
#include "core/impl.h"

static void info_of_client(const struct core *c, const struct client *cl, struct client_info *i)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(c->now_ms >= cl->last_in_ms);
	i->listener = cl->listener->name;
	i->tls = cl->tls;
	i->addr = cl->addr;
	i->port = cl->port;
	i->connected_wall_ms = cl->connected_wall_ms;
	i->last_in_ms_ago = c->now_ms - cl->last_in_ms;
	i->msgs_in = cl->msgs_in;
	i->msgs_out = cl->msgs_out;
	i->bytes_in = cl->bytes_in;
	i->bytes_out = cl->bytes_out;
	i->keep_alive_s = cl->keep_alive_s;
	i->online = true;
}

void session_info(const struct core *c, const struct session *s, struct client_info *i)
{
	static const u8 nowhere[16];
	const struct grant *g = principal_grant(s->who->pr);

	OBJ_CHECK(s, SESSION_MAGIC);
	*i = (struct client_info){.identity = g->name,
				  .client_id = s->who->client_id,
				  .listener = "",
				  .tls = "",
				  .addr = nowhere,
				  .denied = s->denied,
				  .dropped = s->dropped,
				  .version = s->version,
				  .subscriptions = s->subs_n,
				  .queued = backlog_count(s),
				  .queued_bytes = backlog_bytes(s),
				  .stored = s->durable != NULL ? s->durable->disk_n : 0,
				  .drops = s->durable != NULL ? s->durable->dropped : NULL,
				  .durable = s->durable != NULL,
				  .expiry_s = s->expiry_s,
				  .inflight = s->out.n,
				  .kind = g->kind,
				  .quirks = s->quirks,
				  .clean = s->clean};
	quirks_read(s->who->pr, i->quirk);
	i->ends_in_ms = UINT64_MAX;
	if (s->client != NULL)
		info_of_client(c, s->client, i);
	else if (s->ends_ms != UINT64_MAX)
		i->ends_in_ms = s->ends_ms > c->now_ms ? s->ends_ms - c->now_ms : 0;
}

void core_each(struct core *c, bool (*cb)(void *arg, const struct client_info *i), void *arg)
{
	struct client_info i;
	bool more = true;

	OBJ_CHECK(c, CORE_MAGIC);
	core_enter(c);
	for (u32 k = 0; k < c->slots_used && more; k++) {
		if (c->slots[k].s == NULL)
			continue;
		session_info(c, c->slots[k].s, &i);
		more = cb(arg, &i);
	}
	core_leave(c);
}

static bool kick_means(const struct session *s, struct slice identity, struct slice client_id)
{
	const struct grant *g = principal_grant(s->who->pr);

	OBJ_CHECK(s, SESSION_MAGIC);
	return (identity.n == 0 || slice_eq(g->name, identity)) &&
	       (client_id.n == 0 || slice_eq(s->who->client_id, client_id));
}

u32 core_kick(struct core *c, struct slice identity, struct slice client_id, enum err why)
{
	u32 n = 0;

	OBJ_CHECK(c, CORE_MAGIC);
	core_enter(c);
	for (u32 k = 0; k < c->slots_used; k++) {
		struct session *s = c->slots[k].s;
		if (s == NULL || s->client == NULL || !kick_means(s, identity, client_id))
			continue;
		client_end(c, s->client, why);
		n++;
	}
	core_leave(c);
	return n;
}

void core_stats_add(const struct core *c, struct core_stats *out)
{
	const struct core_stats *s = &c->stats;

	OBJ_CHECK(c, CORE_MAGIC);
	out->clients += s->clients;
	out->sessions += s->sessions;
	out->subscriptions += s->subscriptions;
	out->msgs_in += s->msgs_in;
	out->msgs_out += s->msgs_out;
	out->bytes_in += s->bytes_in;
	out->bytes_out += s->bytes_out;
	out->logins_ok += s->logins_ok;
	out->logins_refused += s->logins_refused;
	out->denied_publish += s->denied_publish;
	out->denied_subscribe += s->denied_subscribe;
	out->denied_delivery += s->denied_delivery;
	out->dropped += s->dropped;
	out->malformed += s->malformed;
	out->plaintext_logins += s->plaintext_logins;
	if (c->shard == 0)
		out->retained += atomic_load(&c->hub->retained.count);
}
