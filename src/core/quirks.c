/* quirks: what a client does that is sloppy and harms nobody: counted, not punished.
 *
 * The session remembers which, the identity how often; the counts exist from the first quirk on, so
 * who has none has no memory for any. */
#include <stdlib.h>

#include "core/impl.h"

enum { OFTEN = 10 /* PINGREQs so many times a keep alive */, PINGED_AGAIN = UINT16_MAX };

/* Any thread. */
static _Atomic u16 *counts_of(struct principal *pr)
{
	_Atomic u16 *have = atomic_load_explicit(&pr->quirks, memory_order_acquire), *fresh;

	OBJ_CHECK(pr, PRINCIPAL_MAGIC);
	if (have != NULL)
		return have;
	fresh = calloc(QUIRK_N, sizeof(*fresh));
	if (fresh == NULL || atomic_compare_exchange_strong(&pr->quirks, &have, fresh))
		return fresh;
	free(fresh);
	return have;
}

void quirk(struct session *s, enum quirk q)
{
	_Atomic u16 *counts = counts_of(s->who->pr);
	u16 n;

	OBJ_CHECK(s, SESSION_MAGIC);
	ASSERT(q < QUIRK_N);
	s->quirks |= 1u << q;
	if (counts == NULL)
		return;
	n = atomic_load_explicit(&counts[q], memory_order_relaxed);
	while (n != UINT16_MAX && !atomic_compare_exchange_weak(&counts[q], &n, (u16)(n + 1)))
		;
}

void quirks_read(const struct principal *pr, u16 out[QUIRK_N])
{
	const _Atomic u16 *counts = atomic_load_explicit(&pr->quirks, memory_order_acquire);

	OBJ_CHECK(pr, PRINCIPAL_MAGIC);
	for (u32 i = 0; i < QUIRK_N; i++)
		out[i] =
			counts != NULL ? atomic_load_explicit(&counts[i], memory_order_relaxed) : 0;
}

void quirks_login(struct client *cl, const struct pkt_connect *p, bool open)
{
	struct session *s = cl->session;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (p->version == MQTT_31)
		quirk(s, QUIRK_protocol_31);
	if (p->version == MQTT_311 && p->client_id.n == 0)
		quirk(s, QUIRK_client_id_empty);
	if (cl->keep_alive_s == 0)
		quirk(s, QUIRK_keep_alive_zero);
	if (open)
		quirk(s, QUIRK_reconnect_open);
}

void quirks_ping(const struct core *c, struct client *cl)
{
	/* Seconds as far as they fit; 0: it has not pinged yet. */
	u16 now = (u16)(c->now_ms / 1000 % PINGED_AGAIN + 1), last = cl->pinged_s;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	cl->pinged_s = now;
	if (last != 0 && (u32)(now + PINGED_AGAIN - last) % PINGED_AGAIN * OFTEN < cl->keep_alive_s)
		quirk(cl->session, QUIRK_ping_often);
}

void quirks_publish(struct client *cl, const struct pkt_publish *p, bool again)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (again && !p->dup)
		quirk(cl->session, QUIRK_dup_missing);
	if (!again && p->dup && cl->fresh)
		quirk(cl->session, QUIRK_dup_new);
}

void quirks_silent(struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->state == C_LIVE && cl->keep_alive_s != 0)
		quirk(cl->session, QUIRK_keep_alive_late);
}

void quirks_padded(struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->state == C_LIVE)
		quirk(cl->session, QUIRK_length_padded);
}
