/* derive: see derive.h.  Owns nothing. */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "base/mem.h"
#include "keys/derive.h"

enum err derive_key(const u8 pepper[PEPPER_BYTES], const char *label, u8 out[32])
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, sizeof(digest) - 1),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)pepper,
					PEPPER_BYTES),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)label,
					strlen(label)),
		OSSL_PARAM_END,
	};
	bool ok = ctx != NULL && EVP_KDF_derive(ctx, out, 32, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? E_OK : E_NOMEM;
}

enum err tickets_rotate(struct m_ticket_keys *t)
{
	struct m_ticket_keys next = {.count = MIN(t->count + 1, (u32)TICKET_KEYS_KEPT)};
	enum err e = E_NOMEM;

	ASSERT(t->count <= TICKET_KEYS_KEPT);
	for (u32 i = 1; i < next.count; i++) {
		memcpy(next.name[i], t->name[i - 1], sizeof(next.name[i]));
		memcpy(next.aes[i], t->aes[i - 1], sizeof(next.aes[i]));
		memcpy(next.hmac[i], t->hmac[i - 1], sizeof(next.hmac[i]));
	}
	if (RAND_bytes(next.name[0], sizeof(next.name[0])) == 1 &&
	    RAND_priv_bytes(next.aes[0], sizeof(next.aes[0])) == 1 &&
	    RAND_priv_bytes(next.hmac[0], sizeof(next.hmac[0])) == 1) {
		*t = next;
		e = E_OK;
	}
	mem_wipe(&next, sizeof(next));
	return e;
}
