/* broker_tls: certificates and ticket keys as keys hands them over, signatures on their way there
 * and back, and the listeners, which open when all that they need has come.  The main thread owns
 * all of it; a shard only asks. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proc/broker_i.h"

/* tls.h speaks in the numbers of messages.h without knowing them. */
_Static_assert((int)SIGN_TLS13_SERVER == 1 && (int)SIGN_TLS12_SERVER_KX == 2, "as tls.h has them");

/* ---- signatures
 * ---------------------------------------------------------------------------------- */
void shard_sign(void *arg, struct loop *l, u64 id, u32 slot, u32 alg, u32 shape, struct slice bytes)
{
	struct shard *s = loop_arg(l);
	struct sign_order *o;

	ASSERT(id >> SHARD_SHIFT == 0);
	if (bytes.n > LIM_SIGN_BYTES) {
		tls_sign_done(l, id, SLICE_NONE);
		return;
	}
	o = xcalloc(1, sizeof(*o));
	o->id = (u64)s->index << SHARD_SHIFT | id;
	o->at_ms = s->now_ms;
	o->m = (struct m_sign){.slot = slot, .alg = alg, .shape = shape};
	o->n = bytes.n;
	memcpy(o->bytes, bytes.p, bytes.n);
	shard_report(s, MI_SIGN, o->id, o);
}

static enum err sign_ask(struct broker *b, const struct sign_order *o)
{
	return child_send(b->child, ROLE_KEYS, IPC_SIGN, o->id, &o->m, slice_of(o->bytes, o->n),
			  -1);
}

static void sign_tell(struct broker *b, u64 id, struct slice signature)
{
	struct blob *s = blob_new(signature.n);

	ASSERT(id >> SHARD_SHIFT < b->nshards);
	if (signature.n != 0)
		memcpy(s->b, signature.p, signature.n);
	shard_tell(&b->shard[id >> SHARD_SHIFT], SI_SIGNED, id, s);
}

/* Newest first, so everything behind an old one is old. */
static void signs_forget(struct sign_order **at, u64 now_ms)
{
	struct sign_order *o;

	while ((o = *at) != NULL && o->at_ms + LIM_SIGN_AGE_MS > now_ms)
		at = &o->next;
	while ((o = *at) != NULL) {
		*at = o->next;
		free(o);
	}
}

void sign_send(struct broker *b, struct sign_order *o)
{
	enum err e = sign_ask(b, o);

	if (e == E_BUSY || e == E_IPC) {
		sign_tell(b, o->id, SLICE_NONE);
		free(o);
		return;
	}
	/* keys is away: asked again when it is back. */
	o->next = b->signs;
	b->signs = o;
}

void sign_again(struct broker *b)
{
	signs_forget(&b->signs, child_now(b->child));
	for (struct sign_order *o = b->signs; o != NULL; o = o->next) {
		if (sign_ask(b, o) != E_OK)
			return;
	}
}

enum err sign_answer(struct broker *b, const struct ipc_msg *m)
{
	const struct m_signed *s = m->body;
	struct sign_order **at = &b->signs, *o;

	signs_forget(&b->signs, child_now(b->child));
	while ((o = *at) != NULL && o->id != m->id)
		at = &o->next;
	if (o == NULL) /* asked twice around a restart, or given up */
		return E_OK;
	*at = o->next;
	free(o);
	if (s->err != E_OK)
		log_msg(LOG_ERROR, "sign", "keys refused to sign a handshake (reason %s)",
			err_word((enum err)MIN(s->err, (u32)E_N - 1)));
	sign_tell(b, m->id, s->err == E_OK ? m->tail : SLICE_NONE);
	return E_OK;
}

/* ---- certificates
 * -------------------------------------------------------------------------------- */
static u32 slot_of(const struct broker *b, u32 listener)
{
	return b->conf.listener[listener].certificate[0] == '\0' ? 0 : 1 + listener;
}

/* All that a listener serves, its own first.  0: one of them has not come yet. */
static u32 certificates_of(const struct broker *b, u32 listener,
			   struct net_tls_certificate out[static 1 + CONF_CERTIFICATES])
{
	const struct conf_listener *l = &b->conf.listener[listener];

	for (u32 i = 0; i < 1 + l->certificates; i++) {
		u32 slot = i == 0 ? slot_of(b, listener)
				  : 1u + CONF_LISTENERS + l->certificate_at[i - 1];
		const struct blob *chain = b->chain[slot];
		if (chain == NULL)
			return 0;
		out[i] = (struct net_tls_certificate){slot, slice_of(chain->b, chain->n)};
	}
	return 1 + l->certificates;
}

/* NULL: not everything is there, or it does not load. */
static struct net_tls *tls_make(struct broker *b, u32 listener)
{
	const struct conf_listener *l = &b->conf.listener[listener];
	struct net_tls_certificate certificates[1 + CONF_CERTIFICATES];
	struct net_tls_options o = {.certificates = certificates,
				    .ncertificates = certificates_of(b, listener, certificates),
				    .min_version = b->conf.tls_min,
				    .sign = shard_sign,
				    .name = slice_str(l->name),
				    .protocols = protocols_of(l)};
	struct net_tls *t = NULL;
	char what[160];

	if (o.ncertificates == 0 || net_tls_new(&o, &t, what, sizeof(what)) == E_OK)
		return t;
	log_msg(LOG_ERROR, "tls", "listener %s: a certificate does not load: %s", l->name, what);
	return NULL;
}

/* New handshakes of this listener use what is there from now on. */
static void tls_swap(struct broker *b, u32 listener)
{
	struct net_tls *t;

	if (!b->conf.listener[listener].tls)
		return;
	t = tls_make(b, listener);
	if (t == NULL)
		return; /* the old one goes on */
	if (b->tls[listener] != NULL)
		net_tls_unref(&b->tls[listener]);
	b->tls[listener] = t;
	for (u32 i = 0; i < b->nshards; i++)
		shard_tell(&b->shard[i], SI_TLS, listener, net_tls_ref(t));
}

static bool serves_slot(const struct broker *b, u32 listener, u32 slot)
{
	const struct conf_listener *l = &b->conf.listener[listener];
	bool yes = slot_of(b, listener) == slot;

	for (u32 i = 0; i < l->certificates; i++)
		yes = yes || 1u + CONF_LISTENERS + l->certificate_at[i] == slot;
	return yes;
}

void tls_renew(struct broker *b)
{
	for (u32 i = 0; i < b->conf.listeners; i++)
		tls_swap(b, i);
}

enum err tls_chain(struct broker *b, struct ipc_msg *m)
{
	const struct m_tls_chain *c = m->body;
	struct slice pem;

	if (c->slot >= LIM_TLS_SLOTS || ipc_memfd_map(m->fd, c->size, &pem) != E_OK || pem.n == 0)
		return E_IPC;
	blob_free(&b->chain[c->slot]);
	b->chain[c->slot] = blob_new(pem.n);
	memcpy(b->chain[c->slot]->b, pem.p, pem.n);
	munmap((void *)(uintptr_t)pem.p, pem.n);
	for (u32 i = 0; i < b->conf.listeners; i++) {
		if (serves_slot(b, i, c->slot))
			tls_swap(b, i);
	}
	listeners_open(b);
	return E_OK;
}

void tls_tickets(struct broker *b, const struct m_ticket_keys *k)
{
	net_tls_ticket_keys(k->name, k->aes, k->hmac, MIN(k->count, 3u));
	b->have_tickets = true;
	listeners_open(b);
}

/* ---- listeners
 * ----------------------------------------------------------------------------------- */
static bool listener_ready(const struct broker *b, u32 i)
{
	return !b->conf.listener[i].tls || (b->tls[i] != NULL && b->have_tickets);
}

u64 listener_deadline(const struct broker *b, u32 listener)
{
	const u64 longest = 60000; /* no listener waits for ever */

	return MIN(b->conf.listener[listener].limits.tls_handshake_deadline, longest);
}

void listener_fds_close(struct broker *b, u32 listener)
{
	for (u32 k = 0; k < LIM_SHARDS; k++) {
		if (b->listen_fd[listener][k] >= 0)
			close(b->listen_fd[listener][k]);
		b->listen_fd[listener][k] = -1;
	}
}

static void listener_open(struct broker *b, u32 i, u32 shard)
{
	const struct conf_listener *l = &b->conf.listener[i];
	struct listen_order *o = xcalloc(1, sizeof(*o));

	o->fd = b->listen_fd[i][shard];
	b->listen_fd[i][shard] = -1;
	memcpy(o->name, l->name, sizeof(o->name));
	o->o = (struct net_listen_options){.listener = i,
					   .handshake_ms = listener_deadline(b, i),
					   .proxy = l->proxy,
					   .proxy_certificates = l->proxy_certificates};
	b->open[i] = true;
	o->o.greeting = greeting_of(l);
	o->o.tls = l->tls ? net_tls_ref(b->tls[i]) : NULL;
	shard_tell(&b->shard[shard], SI_LISTEN, 0, o);
}

/* Once: clients are served from now on. */
static void serving_say(struct broker *b)
{
	const struct m_serving *m = &b->stored.found;

	if (b->serving)
		return;
	b->serving = true;
	if (child_send(b->child, ROLE_SUP, IPC_SERVING, 0, m, SLICE_NONE, -1) != E_OK)
		child_quit(b->child, 1);
}

void listeners_open(struct broker *b)
{
	if (!b->started || !b->have_policy || b->taking != NULL)
		return; /* nobody could be judged */
	serving_say(b);
	for (u32 i = 0; i < b->conf.listeners; i++) {
		if (b->tls[i] == NULL)
			tls_swap(b, i);
		for (u32 k = 0; k < b->nshards && listener_ready(b, i); k++) {
			if (b->listen_fd[i][k] >= 0)
				listener_open(b, i, k);
		}
	}
}

void tls_free(struct broker *b)
{
	signs_forget(&b->signs, UINT64_MAX);
	for (u32 i = 0; i < LIM_TLS_SLOTS; i++)
		blob_free(&b->chain[i]);
	for (u32 i = 0; i < CONF_LISTENERS; i++) {
		if (b->tls[i] != NULL)
			net_tls_unref(&b->tls[i]);
		listener_fds_close(b, i);
	}
}
