/* tls_ctx: the TLS of one listener, made whole from its certificate chains and shared by reference,
 * so that a rotation is a new one while live connections keep theirs.
 *
 * Owns an SSL_CTX a certificate, alike in all but that, and what they accept: TLS 1.3 and 1.2,
 * forward secrecy and AEAD only.  Fails closed: what does not load is an error, never a weaker
 * context (I01). */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/mem.h"
#include "net/tls_i.h"

static const char ciphers_12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
				 "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
				 "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char ciphers_13[] =
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static enum err fail(char *what, size_t cap, const char *ours)
{
	const char *theirs = ERR_reason_error_string(ERR_peek_last_error());

	ASSERT(cap >= LIM_TLS_TEXT);
	snprintf(what, cap, "%s%s%s", ours, theirs ? ": " : "", theirs ? theirs : "");
	ERR_clear_error();
	return E_TLS;
}

/* The next certificate of a PEM text, its key in our library context; NULL at the end. */
static X509 *next_cert(BIO *pem)
{
	X509 *x = X509_new_ex(tls_library(), NULL);

	ASSERT(x != NULL);
	if (PEM_read_bio_X509(pem, &x, NULL, NULL) != NULL)
		return x;
	X509_free(x);
	return NULL;
}

static BIO *pem_open(struct slice pem)
{
	return pem.n > 0 && pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
}

/* PEM that ends with anything but the end of its text is damaged, and so refused whole. */
static bool pem_ended(void)
{
	unsigned long e = ERR_peek_last_error();

	return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static bool leaf_use(SSL_CTX *ctx, X509 *leaf)
{
	EVP_PKEY *key = leaf != NULL ? tls_remote_key(X509_get0_pubkey(leaf)) : NULL;
	bool ok = key != NULL && SSL_CTX_use_certificate(ctx, leaf) == 1 &&
		  SSL_CTX_use_PrivateKey(ctx, key) == 1;

	EVP_PKEY_free(key);
	return ok;
}

static bool chain_use(SSL_CTX *ctx, struct slice pem)
{
	BIO *b = pem_open(pem);
	X509 *x = b != NULL ? next_cert(b) : NULL;
	bool ok = x != NULL && leaf_use(ctx, x);

	X509_free(x);
	while (ok && (x = next_cert(b)) != NULL) {
		ok = SSL_CTX_add0_chain_cert(ctx, x) == 1; /* takes x */
		if (!ok)
			X509_free(x);
	}
	ok = ok && pem_ended();
	BIO_free(b);
	if (ok)
		ERR_clear_error();
	return ok;
}

static bool client_cas_use(SSL_CTX *ctx, struct slice pem)
{
	BIO *b = pem_open(pem);
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	u32 n = 0;
	bool ok = b != NULL;
	X509 *x;

	while (ok && (x = next_cert(b)) != NULL) {
		ok = X509_STORE_add_cert(store, x) == 1 && SSL_CTX_add_client_CA(ctx, x) == 1;
		n++;
		X509_free(x);
	}
	ok = ok && n > 0 && pem_ended();
	BIO_free(b);
	if (ok)
		ERR_clear_error();
	return ok;
}

/* Which protocol, by ALPN (RFC 7301): a client that offers only others meant another server. */
static int alpn_cb(SSL *ssl, const u8 **out, u8 *out_n, const u8 *in, unsigned in_n, void *arg)
{
	const struct net_tls *t = arg;
	struct slice ours = tls_alpn_offer(t->protocols);
	u8 *chosen;

	(void)ssl;
	OBJ_CHECK(t, NET_TLS_MAGIC);
	if (SSL_select_next_proto(&chosen, out_n, ours.p, (unsigned)ours.n, in, in_n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static bool digest_slice(EVP_MD_CTX *md, struct slice s)
{
	u64 n = s.n;

	return EVP_DigestUpdate(md, &n, sizeof(n)) == 1 && EVP_DigestUpdate(md, s.p, s.n) == 1;
}

/* A ticket opens only on the listener that gave it, with the certificate that its client has seen,
 * and only while what is asked of clients is the same.  After the chain is there. */
static bool session_context(SSL_CTX *ctx, const struct net_tls_options *o)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	u32 words[] = {o->min_version, o->request_client_cert};
	u8 leaf[EVP_MAX_MD_SIZE], id[EVP_MAX_MD_SIZE];
	unsigned leaf_n = 0, n = 0;
	bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		  X509_digest(SSL_CTX_get0_certificate(ctx), EVP_sha256(), leaf, &leaf_n) == 1 &&
		  digest_slice(md, slice_of(words, sizeof(words))) &&
		  digest_slice(md, slice_of(leaf, leaf_n)) && digest_slice(md, o->name) &&
		  digest_slice(md, o->client_ca_pem) && EVP_DigestFinal_ex(md, id, &n) == 1 &&
		  SSL_CTX_set_session_id_context(ctx, id,
						 MIN(n, (unsigned)SSL_MAX_SID_CTX_LENGTH)) == 1;

	EVP_MD_CTX_free(md);
	return ok;
}

static bool algorithms_set(SSL_CTX *ctx, u32 min_version)
{
	/* These two calls take what they only read as writable. */
	char groups[] = "X25519:P-256:P-384";
	/* What keys signs, and what a client's certificate may be signed with. */
	char signatures[] = "ECDSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA+SHA256";

	SSL_CTX_set_security_level(ctx, 2);
	return SSL_CTX_set_min_proto_version(ctx, min_version >= 13 ? TLS1_3_VERSION
								    : TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, ciphers_12) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, ciphers_13) == 1 &&
	       SSL_CTX_set1_groups_list(ctx, groups) == 1 &&
	       SSL_CTX_set1_sigalgs_list(ctx, signatures) == 1;
}

static void behaviour_set(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ASYNC);
	SSL_CTX_set_read_ahead(ctx, 1); /* one read a record, not two */
	SSL_CTX_set_max_cert_list(ctx, LIM_TLS_CERTS);
	ASSERT(SSL_CTX_set_max_early_data(ctx, 0) == 1);
	ASSERT(SSL_CTX_set_recv_max_early_data(ctx, 0) == 1);
	tls_ticket_use(ctx);
}

static enum err ctx_fill(SSL_CTX *ctx, const struct net_tls_options *o, struct slice chain,
			 char *what, size_t cap)
{
	behaviour_set(ctx);
	if (!algorithms_set(ctx, o->min_version))
		return fail(what, cap, "this OpenSSL lacks what picket needs");
	if (!chain_use(ctx, chain))
		return fail(what, cap, "the certificate chain does not load");
	if (!session_context(ctx, o))
		return fail(what, cap, "this OpenSSL lacks what picket needs");
	if (!o->request_client_cert)
		return E_OK;
	if (!client_cas_use(ctx, o->client_ca_pem))
		return fail(what, cap, "the CA of client certificates does not load");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return E_OK;
}

static enum err served_make(struct net_tls *t, const struct net_tls_options *o,
			    const struct net_tls_certificate *c, char *what, size_t cap)
{
	struct tls_served *s = &t->served[t->nserved++];

	s->slot = c->slot;
	/* Ephemeral keys come from OpenSSL's own provider, only the certificate's from ours. */
	s->ctx = SSL_CTX_new_ex(tls_library(), "?provider=default", TLS_server_method());
	ASSERT(s->ctx != NULL);
	SSL_CTX_set_alpn_select_cb(s->ctx, alpn_cb, t);
	SSL_CTX_set_client_hello_cb(s->ctx, tls_sni_choose, t);
	return ctx_fill(s->ctx, o, c->chain_pem, what, cap);
}

enum err net_tls_new(const struct net_tls_options *o, struct net_tls **out, char *what, size_t cap)
{
	struct net_tls *t;
	enum err e = E_OK;

	ASSERT(o->sign != NULL && cap >= LIM_TLS_TEXT);
	ASSERT(o->ncertificates > 0);
	t = xcalloc(1, sizeof(*t));
	t->magic = NET_TLS_MAGIC;
	atomic_init(&t->refs, 1);
	t->protocols = o->protocols != 0 ? o->protocols : (u32)NET_RAW;
	t->sign = o->sign;
	t->sign_arg = o->sign_arg;
	t->served = xcalloc(o->ncertificates, sizeof(*t->served));
	ERR_clear_error();
	for (u32 i = 0; e == E_OK && i < o->ncertificates; i++)
		e = served_make(t, o, &o->certificates[i], what, cap);
	if (e != E_OK)
		net_tls_unref(&t);
	*out = t;
	return e;
}

struct net_tls *net_tls_ref(struct net_tls *t)
{
	OBJ_CHECK(t, NET_TLS_MAGIC);
	ASSERT(atomic_fetch_add(&t->refs, 1) > 0);
	return t;
}

void net_tls_unref(struct net_tls **tp)
{
	struct net_tls *t = *tp;
	u32 had;

	*tp = NULL;
	OBJ_CHECK(t, NET_TLS_MAGIC);
	had = atomic_fetch_sub(&t->refs, 1);
	ASSERT(had > 0);
	if (had > 1)
		return;
	for (u32 i = 0; i < t->nserved; i++)
		SSL_CTX_free(t->served[i].ctx);
	free(t->served);
	t->magic = 0;
	free(t);
}
