/* broker_admin: what operators ask: who is connected, close those, how much, watch this one.  A
 * question goes to all shards, each writes its own part, the last one back completes it. */
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/broker_i.h"

enum { LIM_ROWS = 100000 }; /* of one shard in one answer */

/* ---- main thread ------------------------------------------------------------------------------
 */
static bool ask_names(struct ask *a, struct slice tail)
{
	struct rd r;

	if (tail.n > sizeof(a->text))
		return false;
	if (tail.n != 0)
		memcpy(a->text, tail.p, tail.n);
	r = rd_of(slice_of(a->text, tail.n));
	a->identity = ipc_get_str(&r);
	a->client_id = ipc_get_str(&r);
	return r.err == E_OK && rd_left(&r) == 0;
}

enum err admin_ask(struct broker *b, const struct ipc_msg *m)
{
	struct ask *a = xcalloc(1, sizeof(*a));

	a->type = m->type;
	a->id = m->id;
	a->waiting = b->nshards;
	if (m->type != IPC_STATS && !ask_names(a, m->tail)) {
		free(a);
		return E_IPC;
	}
	if (m->type == IPC_CLIENT_KICK) {
		u32 reason = ((const struct m_kick *)m->body)->reason;
		a->reason = reason == E_OK || reason >= E_N ? E_ADMIN : (enum err)reason;
	}
	shards_tell(b, SI_ASK, 0, a);
	return E_OK;
}

static void count(_Atomic u32 *n, bool up)
{
	if (up)
		atomic_fetch_add(n, 1);
	else if (atomic_load(n) > 0)
		atomic_fetch_sub(n, 1);
}

enum err admin_watch(struct broker *b, const struct ipc_msg *m)
{
	const struct m_watch *w = m->body;
	struct rd r = rd_of(m->tail);
	struct slice identity = ipc_get_str(&r);

	if (r.err != E_OK)
		return E_IPC;
	if (identity.n != 0)
		hub_watch(b->hub, identity, w->on != 0);
	count(&b->watching, w->on != 0);
	if (identity.n == 0)
		count(&b->watching_all, w->on != 0);
	return E_OK;
}

static enum err rows_send(struct broker *b, struct ask *a)
{
	struct m_rows m = {.row_size = sizeof(struct client_row)};
	struct client_row *all = NULL;
	enum err e;
	int fd;

	for (u32 i = 0; i < b->nshards; i++) {
		if (a->of[i].n == 0)
			continue;
		all = xrealloc(all, (m.count + a->of[i].n) * sizeof(*all));
		memcpy(all + m.count, a->of[i].rows, a->of[i].n * sizeof(*all));
		m.count += a->of[i].n;
	}
	fd = ipc_memfd("clients", slice_of(all, m.count * sizeof(*all)));
	free(all);
	if (fd < 0)
		return E_NOMEM;
	e = child_send(b->child, ROLE_ADMIN, IPC_CLIENT_ROWS, a->id, &m, SLICE_NONE, fd);
	close(fd);
	return e;
}

static enum err kicked_send(struct broker *b, struct ask *a)
{
	struct m_kicked m = {0};

	for (u32 i = 0; i < b->nshards; i++)
		m.count += a->of[i].kicked;
	return child_send(b->child, ROLE_ADMIN, IPC_CLIENT_KICKED, a->id, &m, SLICE_NONE, -1);
}

static enum err stats_send(struct broker *b, struct ask *a)
{
	struct m_stats m = {.policy_generation = hub_policy_generation(b->hub)};

	admission_counts(b->admission, &m.turned_away, &m.turned_away_network);
	for (u32 i = 0; i < b->nshards; i++) {
		m.tls_handshakes += a->of[i].handshakes;
		m.tls_failed += a->of[i].tls_failed;
#define ADD(f) m.f += a->of[i].stats.f
		ADD(clients), ADD(sessions), ADD(subscriptions), ADD(retained);
		ADD(msgs_in), ADD(msgs_out), ADD(bytes_in), ADD(bytes_out);
		ADD(logins_ok), ADD(logins_refused), ADD(denied_publish), ADD(denied_subscribe);
		ADD(denied_delivery), ADD(dropped), ADD(malformed), ADD(plaintext_logins);
#undef ADD
	}
	return child_send(b->child, ROLE_ADMIN, IPC_STATS_REPLY, a->id, &m, SLICE_NONE, -1);
}

static void ask_free(struct ask *a)
{
	for (u32 i = 0; i < LIM_SHARDS; i++)
		free(a->of[i].rows);
	free(a);
}

void admin_answered(struct broker *b, struct ask *a)
{
	enum err e;

	ASSERT(a->waiting > 0);
	if (--a->waiting != 0)
		return;
	if (a->type == IPC_CLIENT_QUERY)
		e = rows_send(b, a);
	else if (a->type == IPC_CLIENT_KICK)
		e = kicked_send(b, a);
	else
		e = stats_send(b, a);
	if (e != E_OK)
		log_msg(LOG_WARN, "answer_lost", "admin: %s", err_text(e));
	ask_free(a);
}

/* ---- a shard
 * ------------------------------------------------------------------------------------- */
/* Cut to fit, always terminated; not beyond a NUL that a client put there. */
static void put(char *out, size_t cap, struct slice s)
{
	size_t n = MIN(s.n, cap - 1);

	if (n != 0)
		memcpy(out, s.p, n);
	out[n] = '\0';
}

static void row_fill(struct client_row *w, const struct client_info *i, u32 shard)
{
	put(w->identity, sizeof(w->identity), i->identity);
	put(w->client_id, sizeof(w->client_id), i->client_id);
	put(w->listener, sizeof(w->listener), slice_str(i->listener != NULL ? i->listener : ""));
	put(w->tls, sizeof(w->tls), slice_str(i->tls != NULL ? i->tls : ""));
	if (i->online)
		addr_port_format(i->addr, i->port, w->addr, sizeof(w->addr));
	w->connected_wall_ms = i->connected_wall_ms;
	w->last_in_ms_ago = i->last_in_ms_ago;
	w->msgs_in = i->msgs_in;
	w->msgs_out = i->msgs_out;
	w->bytes_in = i->bytes_in;
	w->bytes_out = i->bytes_out;
	w->denied = i->denied;
	w->dropped = i->dropped;
	w->version = i->version;
	w->keep_alive_s = i->keep_alive_s;
	w->subscriptions = i->subscriptions;
	w->queued = i->queued;
	w->inflight = i->inflight;
	w->kind = i->kind;
	w->quirks = i->quirks;
	_Static_assert(sizeof(w->quirk) == sizeof(i->quirk), "both have all of them");
	memcpy(w->quirk, i->quirk, sizeof(w->quirk));
	w->online = i->online;
	w->clean = i->clean;
	w->shard = shard;
}

struct row_walk {
	struct ask *a;
	u32 shard;
};

static bool row_add(void *arg, const struct client_info *i)
{
	struct row_walk *w = arg;
	struct ask *a = w->a;
	u32 k = w->shard;

	if ((a->identity.n != 0 && !slice_eq(a->identity, i->identity)) ||
	    (a->client_id.n != 0 && !slice_eq(a->client_id, i->client_id)))
		return true;
	if (a->of[k].n == a->of[k].cap) {
		a->of[k].cap = a->of[k].cap == 0 ? 16 : a->of[k].cap * 2;
		a->of[k].rows = xrealloc(a->of[k].rows, a->of[k].cap * sizeof(*a->of[k].rows));
	}
	memset(&a->of[k].rows[a->of[k].n], 0, sizeof(a->of[k].rows[0]));
	row_fill(&a->of[k].rows[a->of[k].n++], i, k);
	return a->of[k].n < LIM_ROWS;
}

void shard_answer(struct shard *s, struct ask *a)
{
	struct row_walk w = {.a = a, .shard = s->index};

	if (a->type == IPC_CLIENT_QUERY)
		core_each(s->core, row_add, &w);
	else if (a->type == IPC_CLIENT_KICK)
		a->of[s->index].kicked = core_kick(s->core, a->identity, a->client_id, a->reason);
	else
		core_stats_add(s->core, &a->of[s->index].stats);
	a->of[s->index].handshakes = s->handshakes;
	a->of[s->index].tls_failed = s->tls_failed;
	shard_report(s, MI_ASKED, 0, a);
}
