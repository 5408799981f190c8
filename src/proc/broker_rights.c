/* broker_rights: changes of rights on their way from auth through all shards.  A generation is
 * confirmed when every shard has judged again what it holds (I11). */
#include <stdlib.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/mem.h"
#include "proc/broker_i.h"

struct mapped {
	struct slice block;
};

static void policy_drop(const struct policy *p, void *arg)
{
	struct mapped *m = arg;

	munmap((void *)(uintptr_t)m->block.p, m->block.n);
	free(m);
}

struct generation *generation_new(const struct broker *b, u64 generation, bool confirm)
{
	struct generation *g = xcalloc(1, sizeof(*g));

	g->generation = generation;
	g->confirm = confirm;
	atomic_init(&g->waiting, b->nshards);
	return g;
}

enum err rights_policy(struct broker *b, struct ipc_msg *m)
{
	const struct m_policy *p = m->body;
	const struct policy *policy;
	struct slice block;
	struct mapped *map;
	enum err e = ipc_memfd_map(m->fd, p->size, &block);

	if (e != E_OK || block.n == 0)
		return E_IPC;
	e = policy_open(block, &policy);
	if (e != E_OK) {
		munmap((void *)(uintptr_t)block.p, block.n);
		return e;
	}
	map = xcalloc(1, sizeof(*map));
	map->block = block;
	hub_set_policy(b->hub, policy, policy_drop, map);
	shards_tell(b, SI_REJUDGE, 0, generation_new(b, p->generation, p->confirm != 0));
	log_msg(LOG_INFO, "policy", "generation %llu, %zu bytes", (unsigned long long)p->generation,
		block.n);
	b->have_policy = true;
	if (stored_go_on(b))
		listeners_open(b);
	return E_OK;
}

_Static_assert(VERDICT_LOCAL == CREDENTIAL_LOCAL, "core.h speaks in the numbers of messages.h");

enum err rights_identity(struct broker *b, const struct ipc_msg *m)
{
	const struct m_identity *i = m->body;
	struct identity_change ch = {.identity_id = i->identity_id,
				     .generation = i->generation,
				     .status = i->status,
				     .kind = i->kind,
				     .local_min = i->local_min,
				     .credential_min = i->credential_min};
	struct rd r = rd_of(m->tail);
	u32 roles[256];

	ch.identity = ipc_get_str(&r);
	ch.group = ipc_get_str(&r);
	ch.client_id_pattern = ipc_get_str(&r);
	ch.nroles = rd_u16(&r);
	if (ch.nroles > ARRAY_LEN(roles))
		return E_IPC;
	for (u32 k = 0; k < ch.nroles; k++)
		roles[k] = rd_u32(&r);
	if (r.err != E_OK || rd_left(&r) != 0)
		return E_IPC;
	ch.roles = roles;
	hub_identity_changed(b->hub, &ch);
	if (i->status != STATUS_ACTIVE && i->status != STATUS_MUST_ROTATE)
		net_tls_identity_epoch(i->generation);
	shards_tell(b, SI_IDENTITY, i->identity_id, generation_new(b, i->generation, true));
	return E_OK;
}

void rights_confirmed(struct broker *b, struct generation *g)
{
	struct m_generation m = {g->generation};

	ASSERT(g->waiting > 0);
	if (atomic_fetch_sub(&g->waiting, 1) != 1)
		return;
	if (g->reload)
		conf_applied(b);
	/* auth away: when it is back it sends everything again and waits for that. */
	if (g->confirm &&
	    child_send(b->child, ROLE_AUTH, IPC_GENERATION_DONE, 0, &m, SLICE_NONE, -1) != E_OK)
		log_msg(LOG_WARN, "generation", "auth is not there to be told of generation %llu",
			(unsigned long long)g->generation);
	free(g);
}
