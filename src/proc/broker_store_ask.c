/* broker_store_ask: what operators ask of the store: how it is, is it sound, a copy of it.  What
 * takes long has a thread of its own: neither the shards nor the store thread wait for it. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proc/broker_i.h"

static void tell(struct broker *b, u64 id, const struct m_store_told *t, const char *text)
{
	if (child_send(b->child, ROLE_ADMIN, IPC_STORE_TOLD, id, t, slice_str(text), -1) != E_OK)
		log_msg(LOG_WARN, "answer_lost", "admin is not there to be told of the store");
}

enum err store_ask(struct broker *b, struct ipc_msg *m)
{
	const struct m_store_ask *a = m->body;
	struct m_store_told t = {.op = a->op};

	if (a->op < STORE_STATUS || a->op > STORE_BACKUP || (m->fd >= 0) != (a->op == STORE_BACKUP))
		return E_IPC;
	tell(b, m->id, &t, "");
	return E_OK;
}
