/* fuzz broker_tail: what auth and admin write behind their messages to the broker.  Whatever is
 * accepted must view only what came. */
#include <stdlib.h>

#include "proc/broker_i.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t n);

/* As a shard would, but nobody runs: give everything back. */
static void drain(struct broker *b)
{
	struct inbox_item *it;
	size_t n = inbox_take(&b->shard[0].inbox, &it);

	for (size_t i = 0; i < n; i++) {
		if (it[i].kind == SI_LOGIN) {
			const struct login_done *d = it[i].p;
			ASSERT(d->a.identity.n <= sizeof(d->bytes));
			ASSERT(d->a.nroles <= ARRAY_LEN(d->roles));
		}
		free(it[i].p);
	}
}

static struct broker *broker_once(void)
{
	static struct broker *b;
	const struct hash_key key = {1, 2};
	const struct hub_options o = {.nshards = 1, .retained_total = 1, .retained_bytes = 1};

	if (b == NULL) {
		b = calloc(1, sizeof(*b));
		ASSERT(b != NULL);
		b->nshards = 1;
		b->hub = hub_new(&o);
		inbox_init(&b->shard[0].inbox, NULL);
		/* As while it loads what is stored: auth tells whose it is. */
		b->stored.restore = (void *)b; /* only whether there is one is asked */
		b->stored.nasks = 1;
		b->stored.answered = calloc(1, sizeof(*b->stored.answered));
		map_init(&b->stored.owners, &key);
	}
	return b;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t n)
{
	struct broker *b = broker_once();
	struct m_verdict verdict = {.identity_id = 1};
	struct m_identity identity = {.identity_id = 1, .status = STATUS_ACTIVE};
	struct m_kick kick = {.reason = E_ADMIN};
	struct m_watch watch = {.on = 1};
	struct m_rights rights = {.count = 1};
	struct m_session_drop drop = {.dry = 1};
	struct m_retained_delete deletion = {.dry = 1};
	struct ipc_msg m = {.fd = -1};
	enum err e;

	if (n < 2)
		return 0;
	m.tail = slice_of(data + 2, n - 2);
	m.id = (u64)(data[0] >> 4 & 1) << SHARD_SHIFT;
	verdict.verdict = data[1] & 1;
	verdict.reason = data[1];
	identity.status = data[1] & 7;
	switch (data[0] & 7) {
	case 0:
		m.body = &verdict;
		e = login_verdict(b, &m);
		break;
	case 1:
		m.body = &identity;
		e = rights_identity(b, &m);
		break;
	case 2:
		m.body = &kick;
		m.type = IPC_CLIENT_KICK;
		e = admin_ask(b, &m);
		break;
	case 4:
		m.body = &rights;
		m.id = 0;
		e = stored_rights(b, &m);
		break;
	case 5:
		m.body = &drop;
		m.type = IPC_SESSION_DROP;
		e = kept_ask(b, &m);
		break;
	case 6:
		m.body = &deletion;
		m.type = IPC_RETAINED_DELETE;
		e = kept_ask(b, &m);
		break;
	default:
		watch.on = data[1] & 1;
		m.body = &watch;
		e = admin_watch(b, &m);
		break;
	}
	ASSERT(e < E_N);
	drain(b);
	return 0;
}
