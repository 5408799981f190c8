/* tls_ticket: session tickets that any shard opens and nobody stores.
 *
 * Tickets are sealed with AES-256-CBC and HMAC-SHA-256 (RFC 5077 section 4) under keys that keys
 * makes at random, rotates and keeps in memory only.  Owns the current keys; a context without keys
 * gives no tickets, never ones under a key that somebody could know (CVE-2020-13777). */
#include <pthread.h>

#include <openssl/core_names.h>
#include <openssl/rand.h>

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

void tls_ticket_use(SSL_CTX *ctx)
{
	/* Nothing is kept here for a session: it lives in the ticket (CVE-2024-2511). */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, TLS_TICKET_LIFE_S);
	ASSERT(SSL_CTX_set_num_tickets(ctx, 1) == 1);
	ASSERT(SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_cb) == 1);
}
