/* jwk: the keys that tokens of others are verified with (RFC 7517, RFC 7518, RFC 8037).
 *
 * A key carries the one algorithm that it is for; what a token says of itself only chooses among
 * keys that were loaded (RFC 8725 section 3.1; I24).  A key without a clear algorithm, a short one
 * or one for another use is refused when it is loaded, not when a token comes. */
#ifndef PICKET_AUTH_JWK_H
#define PICKET_AUTH_JWK_H

#include <openssl/evp.h>

#include "base/err.h"

/* name, how it is made, hash, bytes of an integer of the signature (ECDSA) */
#define JWS_ALGS(X)                                                                                \
	X(HS256, HMAC, "SHA256", 0)                                                                \
	X(HS384, HMAC, "SHA384", 0)                                                                \
	X(HS512, HMAC, "SHA512", 0)                                                                \
	X(RS256, RSA, "SHA256", 0)                                                                 \
	X(RS384, RSA, "SHA384", 0)                                                                 \
	X(RS512, RSA, "SHA512", 0)                                                                 \
	X(PS256, PSS, "SHA256", 0)                                                                 \
	X(PS384, PSS, "SHA384", 0)                                                                 \
	X(PS512, PSS, "SHA512", 0)                                                                 \
	X(ES256, ECDSA, "SHA256", 32)                                                              \
	X(ES384, ECDSA, "SHA384", 48)                                                              \
	X(ES512, ECDSA, "SHA512", 66)                                                              \
	X(EdDSA, EDDSA, "", 0)
#define X(name, how, hash, bytes) JWS_##name,
enum jws_alg { JWS_ALGS(X) JWS_ALG_N };
#undef X
enum jws_how { JWS_HMAC, JWS_RSA, JWS_PSS, JWS_ECDSA, JWS_EDDSA };

/* By its exact name (RFC 7518 section 3.1: case-sensitive); false: unknown, or "none". */
bool jws_alg_parse(struct slice name, enum jws_alg *out) MUST;
const char *jws_alg_name(enum jws_alg a);
enum jws_how jws_alg_how(enum jws_alg a);
const char *jws_alg_hash(enum jws_alg a);
size_t jws_alg_bytes(enum jws_alg a);

enum {
	JWK_MAX = 32,
	JWK_KID = 128,
	JWK_SECRET_MIN = 32,
	JWK_RSA_BITS_MIN = 2048,
	JWK_BYTES = 1 << 20
};

struct jwk {
	char kid[JWK_KID + 1]; /* "": none */
	enum jws_alg alg;
	EVP_PKEY *pkey; /* of HMAC too */
};
struct jwks {
	u32 n;
	struct jwk key[JWK_MAX];
};

/* A JWK set, or one JWK.  allowed: a bit 1 << alg for each algorithm that may be used.  Keys for
 * encryption, and of kinds that picket does not know, are left out; one that is bad makes the whole
 * set bad: text says which and why, for the operator.  E_SYNTAX, E_QUOTA (too many, too large),
 * E_NOT_FOUND (none is left). */
enum err jwks_parse(struct jwks *out, struct slice json, u32 allowed, char *text, size_t cap) MUST;
void jwks_clear(struct jwks *k);

/* base64url without padding, the canonical form only (RFC 7515 section 2).  Fills out; *n is its
 * length.  E_SYNTAX, E_TOO_LARGE. */
enum err base64url_decode(struct slice text, u8 *out, size_t cap, size_t *n) MUST;

#endif
