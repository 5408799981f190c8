/* status: what supervisor, auth, broker and keys say, put together.  Pure: data in, JSON out. */
#include "admin/status.h"
#include "base/log.h"

static json_t *num(u64 v)
{
	return json_integer((json_int_t)v);
}

static json_t *process_json(enum role r, const struct m_sup_child *c)
{
	return json_pack("{s:s,s:o,s:o,s:b,s:o,s:o,s:o}", "name", role_name(r), "pid", num(c->pid),
			 "uid", num(c->uid), "up", c->up != 0, "restarts", num(c->restarts),
			 "seccomp", num(c->seccomp), "landlock_abi", num(c->landlock_abi));
}

static void sup_json(json_t *out, const struct part *p)
{
	const struct m_sup_reply *s = &p->body.sup;
	json_t *list = json_array();
	struct rd r = rd_of(slice_of(p->data, p->n));
	struct slice found = ipc_get_str(&r);

	for (u32 i = ROLE_BROKER; i <= ROLE_ADMIN; i++)
		json_array_append_new(list, process_json((enum role)i, &s->child[i]));
	json_object_set_new(out, "processes", list);
	json_object_set_new(out, "up_ms", num(s->up_ms));
	json_object_set_new(out, "started_ms", num(s->started_wall_ms));
	if (r.err != E_OK)
		found = SLICE_LIT("");
	json_object_set_new(out, "canary",
			    json_pack("{s:b,s:s%}", "ok", s->child[ROLE_CANARY].up != 0, "text",
				      (const char *)found.p, found.n));
}

json_t *status_listener(const struct conf_listener *l)
{
	json_t *who = json_array(), *risks = json_array(), *spoken = json_array();

	for (u32 i = 0; i < l->authenticators; i++)
		json_array_append_new(who, json_string(authenticator_word(l->authenticator[i])));
	if (l->mqtt)
		json_array_append_new(spoken, json_string("mqtt"));
	if (l->websocket)
		json_array_append_new(spoken, json_string("websocket"));
	if (!l->tls && !l->local)
		json_array_append_new(risks, json_string("plaintext"));
	if (l->anonymous_role[0] != 0)
		json_array_append_new(risks, json_string("anonymous"));
	return json_pack("{s:s,s:s,s:s,s:i,s:b,s:b,s:b,s:s,s:o,s:o,s:s,s:s,s:o}", "name", l->name,
			 "bind", l->bind, "address", l->address, "port", (int)l->port, "tls",
			 l->tls, "loopback", l->loopback, "local", l->local, "interface",
			 l->interface, "protocols", spoken, "authenticators", who, "anonymous_role",
			 l->anonymous_role, "accept_risk", l->accept_risk, "risks", risks);
}

static void conf_json(json_t *out, const struct conf *c)
{
	json_t *listeners = json_array(), *names = json_array(), *ips = json_array();

	for (u32 i = 0; i < c->listeners; i++)
		json_array_append_new(listeners, status_listener(&c->listener[i]));
	for (u32 i = 0; i < c->names; i++)
		json_array_append_new(names, json_string(c->name[i]));
	for (u32 i = 0; i < c->addresses; i++)
		json_array_append_new(ips, json_string(c->ip[i]));
	json_object_set_new(out, "listeners", listeners);
	json_object_set_new(out, "names", names);
	json_object_set_new(out, "addresses", ips);
	json_object_set_new(out, "config", json_string(c->config_path));
	json_object_set_new(out, "state_dir", json_string(c->state_dir));
	json_object_set_new(out, "run_dir", json_string(c->run_dir));
}

/* X(field) of m_stats, all of them u64. */
/* The formatter never comes to an end with lists like this. */
/* clang-format off */
#define STORE_FIELDS(X) \
	X(sessions) X(subs) X(queued) X(retained) X(messages) X(bytes) X(free_bytes) \
	X(map_bytes) X(commits) X(operations) X(syncs) X(epoch) X(up_ms)
#define STATS_FIELDS(X) \
	X(clients) X(sessions) X(subscriptions) X(retained) X(msgs_in) X(msgs_out) \
	X(bytes_in) X(bytes_out) X(logins_ok) X(logins_refused) X(denied_publish) \
	X(denied_subscribe) X(denied_delivery) X(dropped) X(malformed) \
	X(plaintext_logins) X(policy_generation) X(tls_handshakes) X(tls_failed) \
	X(turned_away) X(turned_away_network)
/* clang-format on */

static void broker_json(json_t *out, const struct part *p)
{
	json_t *j = json_object();

#define X(field) json_object_set_new(j, #field, num(p->body.stats.field));
	STATS_FIELDS(X)
#undef X
	json_object_set_new(out, "broker", j);
}

static void auth_json(json_t *out, const struct part *p)
{
	json_t *j = json_loadb((const char *)p->data, p->n, 0, NULL);

	json_object_set_new(out, "auth", j != NULL ? j : json_object());
}

/* The second string of the supervisor's answer. */
static json_t *trouble_json(const struct part *sup)
{
	struct rd r = rd_of(slice_of(sup->data, sup->n));
	struct slice s;
	json_t *j;

	ipc_get_str(&r);
	s = ipc_get_str(&r);
	j = r.err == E_OK ? json_stringn((const char *)s.p, s.n) : NULL;
	return j != NULL ? j : json_string("");
}

json_t *status_store(const struct m_store_told *t, const struct part *sup, const struct conf *c)
{
	char path[CONF_PATH + 16];
	json_t *j = json_object();

	snprintf(path, sizeof(path), "%s/store", c->state_dir);
	json_object_set_new(j, "path", json_string(path));
	json_object_set_new(j, "persistent", json_boolean(t->persistent != 0));
	json_object_set_new(j, "sealed", json_boolean(t->sealed != 0));
	json_object_set_new(j, "full", json_boolean(t->full != 0));
	json_object_set_new(j, "clean", json_boolean(t->clean != 0));
#define X(field) json_object_set_new(j, #field, num(t->field));
	STORE_FIELDS(X)
#undef X
	json_object_set_new(j, "trouble", sup != NULL ? trouble_json(sup) : json_string(""));
	return j;
}

static void cert_json(json_t *out, const struct part *p)
{
	json_object_set_new(out, "certificate",
			    json_pack("{s:s%}", "pem", (const char *)p->data, p->n));
}

json_t *status_json(const struct conf *c, const struct part part[REQUEST_PARTS])
{
	static const char *const names[] = {"supervisor", "auth", "broker", "keys"};
	static void (*const add[])(json_t *, const struct part *) = {sup_json, auth_json,
								     broker_json, cert_json};
	json_t *out = json_object(), *away = json_array();

	json_object_set_new(out, "version", json_string(PICKET_VERSION));
	conf_json(out, c);
	for (u32 i = 0; i < ARRAY_LEN(add); i++) {
		if (part[i].err == E_OK)
			add[i](out, &part[i]);
		else
			json_array_append_new(away, json_string(names[i]));
	}
	/* Broker that is away has been named. */
	if (part[STATUS_STORE].err == E_OK)
		json_object_set_new(
			out, "store",
			status_store(&part[STATUS_STORE].body.store,
				     part[STATUS_SUP].err == E_OK ? &part[STATUS_SUP] : NULL, c));
	json_object_set_new(out, "ready",
			    json_boolean(json_array_size(away) == 0 &&
					 part[STATUS_SUP].body.sup.child[ROLE_CANARY].up != 0));
	json_object_set_new(out, "unavailable", away);
	return out;
}

/* ---- clients
 * ------------------------------------------------------------------------------------- */

/* A text of fixed size that broker cut to fit, perhaps inside a character: what is not UTF-8 is
 * escaped. */
static json_t *row_text(const char *s, size_t cap)
{
	size_t n = strnlen(s, cap);
	json_t *j = json_stringn(s, n);
	char out[4 * 264];

	if (j != NULL)
		return j;
	log_escape(slice_of(s, n), out, sizeof(out));
	return json_string(out);
}

#define ROW_TEXTS(X) X(identity) X(client_id) X(addr) X(listener) X(tls)
/* The formatter never comes to an end with lists like this. */
/* clang-format off */
#define ROW_NUMBERS(X) \
	X(connected_wall_ms) X(last_in_ms_ago) X(msgs_in) X(msgs_out) X(bytes_in) \
	X(bytes_out) X(denied) X(dropped) X(version) X(keep_alive_s) X(subscriptions) \
	X(queued) X(inflight) X(shard) X(kind) X(online) X(clean)
/* clang-format on */

/* Those that were seen: how often of the identity, and whether this session showed it. */
static json_t *quirks_json(const struct client_row *row)
{
	json_t *j = json_object();

	for (u32 q = 0; q < QUIRK_N; q++) {
		bool here = (row->quirks >> q & 1) != 0;
		if (here || row->quirk[q] != 0)
			json_object_set_new(j, quirk_name((enum quirk)q),
					    json_pack("{s:i, s:b}", "count", (int)row->quirk[q],
						      "session", (int)here));
	}
	return j;
}

static json_t *row_json(const struct client_row *row)
{
	json_t *j = json_object();

#define X(field) json_object_set_new(j, #field, row_text(row->field, sizeof(row->field)));
	ROW_TEXTS(X)
#undef X
#define X(field) json_object_set_new(j, #field, num(row->field));
	ROW_NUMBERS(X)
#undef X
	json_object_set_new(j, "quirks", quirks_json(row));
	return j;
}

json_t *clients_json(struct slice rows, u32 count)
{
	json_t *list = json_array();
	struct client_row row;

	ASSERT(rows.n == (size_t)count * sizeof(row));
	for (u32 i = 0; i < count; i++) {
		memcpy(&row, rows.p + (size_t)i * sizeof(row), sizeof(row));
		json_array_append_new(list, row_json(&row));
	}
	return list;
}
