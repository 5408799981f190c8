/* serve: what the other processes get: chains, signatures and ticket keys for broker, the token key
 * for auth, certificates and the CA's backup for admin.  No private key is among it. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "keys/keys_i.h"
#include "keys/sign.h"

/* A peer that is gone or drowning learns it anew when it is linked again. */
static void tell(struct keys *k, enum role to, enum ipc_type type, u64 id, const void *body,
		 struct slice tail, int fd)
{
	enum err e;

	if (!child_linked(k->child, to))
		return;
	e = child_send(k->child, to, type, id, body, tail, fd);
	if (e != E_OK)
		log_msg(LOG_WARN, "send_failed", "%s to %s: %s", ipc_name(type), role_name(to),
			err_text(e));
}

/* ---- certificates ---- */
void slot_clear(struct slot *s)
{
	EVP_PKEY_free(s->key);
	X509_free(s->cert);
	sbuf_free(&s->chain);
	*s = (struct slot){NULL};
}

static void serve_chain(struct keys *k, u32 slot)
{
	const struct slot *s = &k->slot[slot];
	struct m_tls_chain m = {.slot = slot, .size = (u32)s->chain.n};
	int fd = ipc_memfd("tls-chain", sbuf_slice(&s->chain));

	ASSERT(s->key != NULL && s->chain.n <= PEM_FILE_MAX);
	if (fd < 0) {
		log_msg(LOG_ERROR, "send_failed", "no memory for a certificate chain");
		return;
	}
	m.not_before_ms = cert_not_before(s->cert);
	m.not_after_ms = cert_not_after(s->cert);
	tell(k, ROLE_BROKER, IPC_TLS_CHAIN, 0, &m, SLICE_NONE, fd);
	close(fd);
}

void slot_put(struct keys *k, u32 slot, struct slot *fresh)
{
	ASSERT(slot < KEYS_SLOTS && fresh->key != NULL && fresh->cert != NULL);
	slot_clear(&k->slot[slot]);
	k->slot[slot] = *fresh;
	*fresh = (struct slot){NULL};
	if (k->serving)
		serve_chain(k, slot);
}

void serve_tickets(struct keys *k)
{
	tell(k, ROLE_BROKER, IPC_TICKET_KEYS, 0, &k->secret->tickets, SLICE_NONE, -1);
}

void serve_broker(struct keys *k)
{
	serve_tickets(k);
	for (u32 i = 0; i < KEYS_SLOTS; i++) {
		if (k->slot[i].key != NULL)
			serve_chain(k, i);
	}
}

void serve_auth(struct keys *k)
{
	tell(k, ROLE_AUTH, IPC_TOKEN_KEY, 0, &k->secret->token, SLICE_NONE, -1);
}

/* In memory that the supervisor hands on unseen: broker wants it before its sandbox closes, when
 * nobody but the supervisor can talk to it. */
void serve_store_key(struct keys *k)
{
	const struct m_none none = {0};
	struct sbuf key;
	int fd = -1;

	if (!k->conf.store_encryption || strcmp(k->conf.store_key, "keys") != 0)
		return;
	sbuf_new(&key, STORE_KEY_BYTES);
	if (derive_key(k->secret->pepper, DERIVE_STORE, key.p) == E_OK)
		fd = ipc_memfd("store-key", sbuf_slice(&key));
	sbuf_free(&key);
	if (fd < 0) {
		log_msg(LOG_ERROR, "send_failed", "no memory for the key of the store");
		return;
	}
	tell(k, ROLE_SUP, IPC_STORE_KEY, 0, &none, SLICE_NONE, fd);
	close(fd);
}

/* ---- signatures ---- */
/* A broker that asks for what no handshake needs is not itself any more; one line a second says so.
 */
static void sign_refused(struct keys *k, const struct m_sign *s, enum err e)
{
	k->refused++;
	if (child_now(k->child) < k->refused_log_ms)
		return;
	log_msg(LOG_ERROR, "sign_refused",
		"broker asked for a signature that no handshake needs: slot %u alg %u shape %u: %s "
		"(%u since the "
		"last line)",
		s->slot, s->alg, s->shape, err_text(e), k->refused);
	k->refused = 0;
	k->refused_log_ms = child_now(k->child) + 1000;
}

static void sign_answer(struct keys *k, u64 id, const struct m_sign *s, struct slice bytes)
{
	struct m_signed done = {E_NOT_FOUND};
	u8 sig[SIGNATURE_MAX];
	size_t n = 0;

	if (s->slot < KEYS_SLOTS && k->slot[s->slot].key != NULL)
		done.err = sign_handshake(k->slot[s->slot].key, s->shape, s->alg, bytes, sig, &n);
	if (done.err != E_OK)
		sign_refused(k, s, (enum err)done.err);
	tell(k, ROLE_BROKER, IPC_SIGNED, id, &done, slice_of(sig, n), -1);
}

static void sign_hold(struct keys *k, const struct ipc_msg *m)
{
	struct held *h = k->held_n < KEYS_HELD ? malloc(sizeof(*h) + m->tail.n) : NULL;
	struct m_signed busy = {E_BUSY};

	if (h == NULL) {
		tell(k, ROLE_BROKER, IPC_SIGNED, m->id, &busy, SLICE_NONE, -1);
		return;
	}
	h->id = m->id;
	h->m = *(const struct m_sign *)m->body;
	h->n = m->tail.n;
	if (h->n > 0)
		memcpy(h->bytes, m->tail.p, h->n);
	STAILQ_INSERT_TAIL(&k->held, h, next);
	k->held_n++;
}

void serve_held(struct keys *k)
{
	struct held *h;

	while ((h = STAILQ_FIRST(&k->held)) != NULL) {
		STAILQ_REMOVE_HEAD(&k->held, next);
		if (k->serving)
			sign_answer(k, h->id, &h->m, slice_of(h->bytes, h->n));
		free(h);
	}
	k->held_n = 0;
}

void serve_sign(struct keys *k, const struct ipc_msg *m)
{
	if (k->serving)
		sign_answer(k, m->id, m->body, m->tail);
	else
		sign_hold(k, m);
}

/* ---- admin ---- */
void serve_reply(struct keys *k, u64 id, enum err e, struct slice text)
{
	struct m_call_reply r = {.err = e};

	tell(k, ROLE_ADMIN, IPC_KEYS_REPLY, id, &r, text, -1);
}

static enum err call_backup(struct keys *k, struct slice passphrase, struct sbuf *b)
{
	enum err e = pem_backup(k->ca_key, k->ca, passphrase, b);

	if (e == E_OK)
		log_msg(LOG_WARN, "ca_backup",
			"the CA's key was handed out, encrypted with a passphrase");
	return e;
}

void serve_call(struct keys *k, const struct ipc_msg *m)
{
	const struct m_keys_call *c = m->body;
	struct sbuf b = {NULL, 0};
	enum err e = k->serving ? E_RANGE : E_UNAVAILABLE;

	if (k->serving && c->op == KEYS_CA_CERT)
		e = pem_of_certs(k->ca, NULL, &b);
	else if (k->serving && c->op == KEYS_SERVER_CERT)
		e = pem_of_certs(k->slot[0].cert, k->ca, &b);
	else if (k->serving && c->op == KEYS_CA_BACKUP)
		e = call_backup(k, m->tail, &b);
	else if (k->serving && c->op == KEYS_RENEW)
		e = renew_begin(k, "an operator asked for it", m->id, NULL);
	if (c->op != KEYS_RENEW || e != E_OK) /* a renewal answers when it is done */
		serve_reply(k, m->id, e, sbuf_slice(&b));
	sbuf_free(&b);
}
