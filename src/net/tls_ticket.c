/* tls_ticket: session tickets that any shard opens and nobody stores.
 *
 * Tickets are sealed with AES-256-CBC and HMAC-SHA-256 (RFC 5077 section 4) under keys that keys
 * makes at random, rotates and keeps in memory only.  Owns the current keys; a context without keys
 * gives no tickets, never ones under a key that somebody could know (CVE-2020-13777).
 *
 * A ticket resumes encryption.  It carries nobody's name or secret: who it is is asked at every
 * login. Where a client had a certificate, the ticket holds as long as no identity has ended since,
 * and the certificate is judged again before it is used (I11, I22). */
#include <pthread.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509_vfy.h>

#include "base/mem.h"
#include "net/tls_i.h"

enum { TICKET_KEYS = 3 };

struct ticket_key {
	u8 name[16], aes[32], hmac[32];
};

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct ticket_key ticket_keys[TICKET_KEYS];
static u32 ticket_count;

void net_tls_ticket_keys(const u8 (*name)[16], const u8 (*aes)[32], const u8 (*hmac)[32], u32 count)
{
	ASSERT(count <= TICKET_KEYS);
	ASSERT(pthread_rwlock_wrlock(&lock) == 0);
	mem_wipe(ticket_keys, sizeof(ticket_keys));
	for (u32 i = 0; i < count; i++) {
		memcpy(ticket_keys[i].name, name[i], sizeof(ticket_keys[i].name));
		memcpy(ticket_keys[i].aes, aes[i], sizeof(ticket_keys[i].aes));
		memcpy(ticket_keys[i].hmac, hmac[i], sizeof(ticket_keys[i].hmac));
	}
	ticket_count = count;
	ASSERT(pthread_rwlock_unlock(&lock) == 0);
}

/* The key of that name (NULL: the newest) into out; its place, or -1. */
static int key_find(const u8 *name, struct ticket_key *out)
{
	int found = -1;

	ASSERT(pthread_rwlock_rdlock(&lock) == 0);
	for (u32 i = 0; i < ticket_count && found < 0; i++) {
		if (name == NULL || memcmp(ticket_keys[i].name, name, 16) == 0)
			found = (int)i;
	}
	if (found >= 0)
		*out = ticket_keys[found];
	ASSERT(pthread_rwlock_unlock(&lock) == 0);
	return found;
}

static EVP_CIPHER *cipher;

static void cipher_fetch(void)
{
	cipher = EVP_CIPHER_fetch(tls_library(), "AES-256-CBC", NULL);
	ASSERT(cipher != NULL);
}

static bool key_use(struct ticket_key *k, u8 *iv, EVP_CIPHER_CTX *c, EVP_MAC_CTX *mac, int seal)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, k->hmac, sizeof(k->hmac)),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof(digest) - 1),
		OSSL_PARAM_END,
	};

	ASSERT(pthread_once(&once, cipher_fetch) == 0);
	return EVP_CipherInit_ex2(c, cipher, k->aes, iv, seal, NULL) == 1 &&
	       EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0 no key, 1 go on, 2 opened and to be sealed anew. */
static int ticket_cb(SSL *ssl, u8 name[16], u8 *iv, EVP_CIPHER_CTX *c, EVP_MAC_CTX *mac, int seal)
{
	struct ticket_key k;
	int at = key_find(seal ? NULL : name, &k);
	bool ok;

	if (at < 0)
		return 0;
	if (seal) {
		memcpy(name, k.name, sizeof(k.name));
		if (RAND_bytes_ex(tls_library(), iv, 16, 0) != 1)
			at = -1;
	}
	ok = at >= 0 && key_use(&k, iv, c, mac, seal);
	mem_wipe(&k, sizeof(k));
	if (!ok)
		return -1;
	/* A ticket of TLS 1.3 is used once (RFC 8446 appendix C.4): the next comes with this
	 * connection. */
	return seal || (at == 0 && SSL_version(ssl) < TLS1_3_VERSION) ? 1 : 2;
}

/* ---- tickets of clients with a certificate
 * --------------------------------------------------------
 */
static _Atomic u64 identity_epoch;

void net_tls_identity_epoch(u64 epoch)
{
	u64 now = atomic_load(&identity_epoch);

	while (now < epoch && !atomic_compare_exchange_weak(&identity_epoch, &now, epoch))
		continue;
}

u64 tls_ticket_epoch(void)
{
	return atomic_load(&identity_epoch);
}

/* What was true of identities when this handshake began goes with the ticket.  A session that is
 * resumed has been judged again on the way, so it counts from its own beginning. */
static int ticket_made(SSL *ssl, void *arg)
{
	const struct tls_conn *t = SSL_get_app_data(ssl);

	(void)arg;
	OBJ_CHECK(t, TLS_CONN_MAGIC);
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &t->epoch, sizeof(t->epoch));
}

/* The certificate that the session began with, judged as in a whole handshake: its time, its CA,
 * its purpose.  A chain that needs what the client would send along is judged there. */
static bool certificate_holds(SSL *ssl, X509 *peer)
{
	X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
	X509_STORE_CTX *c = X509_STORE_CTX_new_ex(tls_library(), NULL);
	bool ok = c != NULL && X509_STORE_CTX_init(c, store, peer, NULL) == 1 &&
		  X509_STORE_CTX_set_default(c, "ssl_client") == 1 && X509_verify_cert(c) == 1;

	X509_STORE_CTX_free(c);
	ERR_clear_error();
	return ok;
}

/* Not since any identity has ended, and with a certificate that holds. */
static bool session_holds(SSL *ssl, SSL_SESSION *s)
{
	const struct tls_conn *t = SSL_get_app_data(ssl);
	X509 *peer = SSL_SESSION_get0_peer(s);
	void *data = NULL;
	size_t n = 0;

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	if (peer == NULL)
		return true; /* it proved nobody's identity, and resumes nobody's */
	return SSL_SESSION_get0_ticket_appdata(s, &data, &n) == 1 && n == sizeof(t->epoch) &&
	       memcmp(data, &t->epoch, n) == 0 && certificate_holds(ssl, peer);
}

/* SSL_CTX_set_session_ticket_cb(3). */
static SSL_TICKET_RETURN ticket_opened(SSL *ssl, SSL_SESSION *s, const u8 *name, size_t name_n,
				       SSL_TICKET_STATUS status, void *arg)
{
	(void)name;
	(void)name_n;
	(void)arg;
	switch (status) {
	case SSL_TICKET_SUCCESS:
		return session_holds(ssl, s) ? SSL_TICKET_RETURN_USE
					     : SSL_TICKET_RETURN_IGNORE_RENEW;
	case SSL_TICKET_SUCCESS_RENEW:
		return session_holds(ssl, s) ? SSL_TICKET_RETURN_USE_RENEW
					     : SSL_TICKET_RETURN_IGNORE_RENEW;
	case SSL_TICKET_EMPTY:
	case SSL_TICKET_NO_DECRYPT:
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	default:
		return SSL_TICKET_RETURN_ABORT;
	}
}

void tls_ticket_use(SSL_CTX *ctx)
{
	/* Nothing is kept here for a session: it lives in the ticket (CVE-2024-2511). */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, TLS_TICKET_LIFE_S);
	ASSERT(SSL_CTX_set_num_tickets(ctx, 1) == 1);
	ASSERT(SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_cb) == 1);
	ASSERT(SSL_CTX_set_session_ticket_cb(ctx, ticket_made, ticket_opened, NULL) == 1);
}
