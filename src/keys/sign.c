/* sign: signs a handshake that sign_request.c let through, with an algorithm that fits the key. */
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "keys/sign.h"

struct alg {
	const char *type, *hash;
	int padding; /* 0: not RSA */
};
static const struct alg algs[] = {
	[SIGN_ECDSA_SHA256] = {"EC", "SHA256", 0},
	[SIGN_ECDSA_SHA384] = {"EC", "SHA384", 0},
	[SIGN_RSA_PSS_SHA256] = {"RSA", "SHA256", RSA_PKCS1_PSS_PADDING},
	[SIGN_RSA_PSS_SHA384] = {"RSA", "SHA384", RSA_PKCS1_PSS_PADDING},
	[SIGN_RSA_PKCS1_SHA256] = {"RSA", "SHA256", RSA_PKCS1_PADDING},
};

/* TLS 1.3 binds the curve to the hash (RFC 8446 section 4.2.3), TLS 1.2 does not. */
static bool fits(EVP_PKEY *key, u32 shape, u32 alg)
{
	if (!EVP_PKEY_is_a(key, algs[alg].type))
		return false;
	if (algs[alg].padding != 0 || shape != SIGN_TLS13_SERVER)
		return true;
	return EVP_PKEY_get_bits(key) == (alg == SIGN_ECDSA_SHA256 ? 256 : 384);
}

static bool set_padding(EVP_PKEY_CTX *ctx, int padding)
{
	if (padding == 0)
		return true;
	if (EVP_PKEY_CTX_set_rsa_padding(ctx, padding) != 1)
		return false;
	return padding != RSA_PKCS1_PSS_PADDING ||
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool sign_bytes(EVP_PKEY *key, const struct alg *a, struct slice bytes, u8 *sig, size_t *n)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx = NULL;
	bool ok;

	*n = SIGNATURE_MAX;
	ok = md != NULL && EVP_DigestSignInit_ex(md, &ctx, a->hash, NULL, NULL, key, NULL) == 1 &&
	     set_padding(ctx, a->padding) && EVP_DigestSign(md, sig, n, bytes.p, bytes.n) == 1;
	EVP_MD_CTX_free(md);
	return ok;
}

enum err sign_handshake(EVP_PKEY *key, u32 shape, u32 alg, struct slice bytes, u8 *sig, size_t *n)
{
	enum err e = sign_request_check(shape, alg, bytes);

	*n = 0;
	if (e != E_OK)
		return e;
	if (!fits(key, shape, alg))
		return E_RANGE;
	if (EVP_PKEY_get_size(key) <= SIGNATURE_MAX && sign_bytes(key, &algs[alg], bytes, sig, n))
		return E_OK;
	ERR_clear_error();
	*n = 0;
	return E_IO;
}
