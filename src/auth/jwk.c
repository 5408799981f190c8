/* jwk: from JSON to keys that can do one thing. */
#include "auth/jwk.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdio.h>

#include "base/mem.h"

/* ---- algorithms ------------------------------------------------------------------------------
 */
static const struct {
	const char *name;
	enum jws_how how;
	const char *hash;
	size_t bytes;
} algs[] = {
#define X(name, how, hash, bytes) {#name, JWS_##how, hash, bytes},
	JWS_ALGS(X)
#undef X
};

bool jws_alg_parse(struct slice name, enum jws_alg *out)
{
	for (u32 i = 0; i < JWS_ALG_N; i++) {
		if (!slice_eq(name, slice_str(algs[i].name)))
			continue;
		*out = (enum jws_alg)i;
		return true;
	}
	return false;
}

const char *jws_alg_name(enum jws_alg a)
{
	ASSERT(a < JWS_ALG_N);
	return algs[a].name;
}

enum jws_how jws_alg_how(enum jws_alg a)
{
	ASSERT(a < JWS_ALG_N);
	return algs[a].how;
}

const char *jws_alg_hash(enum jws_alg a)
{
	ASSERT(a < JWS_ALG_N);
	return algs[a].hash;
}

size_t jws_alg_bytes(enum jws_alg a)
{
	ASSERT(a < JWS_ALG_N);
	return algs[a].bytes;
}

/* ---- base64url -------------------------------------------------------------------------------
 */
static int sextet(u8 c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* The bits behind the last whole byte are zero in the canonical form; with others one text would
 * have several spellings. */
enum err base64url_decode(struct slice text, u8 *out, size_t cap, size_t *n)
{
	u32 bits = 0, have = 0;

	*n = 0;
	if (text.n % 4 == 1)
		return E_SYNTAX;
	if (text.n / 4 * 3 + text.n % 4 * 3 / 4 > cap)
		return E_TOO_LARGE;
	for (size_t i = 0; i < text.n; i++) {
		int s = sextet(text.p[i]);
		if (s < 0)
			return E_SYNTAX;
		bits = (bits << 6 | (u32)s) & 0xffff;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		out[(*n)++] = (u8)(bits >> have);
	}
	return (bits & ((1u << have) - 1)) == 0 ? E_OK : E_SYNTAX;
}

/* ---- one key ---------------------------------------------------------------------------------
 */
enum { MEMBER_MAX = 1024 }; /* a modulus of 8,192 bits */
struct bytes {
	u8 b[MEMBER_MAX];
	size_t n;
};

static const char *text_member(const json_t *key, const char *name)
{
	const char *s = json_string_value(json_object_get(key, name));

	return s != NULL ? s : "";
}

static bool bytes_member(const json_t *key, const char *name, struct bytes *out)
{
	const json_t *v = json_object_get(key, name);
	struct slice text = slice_of((const u8 *)json_string_value(v), json_string_length(v));

	return json_is_string(v) &&
	       base64url_decode(text, out->b, sizeof(out->b), &out->n) == E_OK && out->n > 0;
}

static EVP_PKEY *pkey_of(const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY *pkey = NULL;

	if (ctx == NULL || params == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		pkey = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static const char *rsa_key(const json_t *key, struct jwk *out)
{
	struct bytes n, e;
	OSSL_PARAM_BLD *bld;
	BIGNUM *bn, *be;

	if (!bytes_member(key, "n", &n) || !bytes_member(key, "e", &e))
		return "has no modulus (n) or exponent (e) in base64url";
	bld = OSSL_PARAM_BLD_new();
	bn = BN_bin2bn(n.b, (int)n.n, NULL);
	be = BN_bin2bn(e.b, (int)e.n, NULL);
	if (bld != NULL && bn != NULL && be != NULL &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be) == 1)
		out->pkey = pkey_of("RSA", bld);
	OSSL_PARAM_BLD_free(bld);
	BN_free(bn);
	BN_free(be);
	if (out->pkey == NULL)
		return "is no RSA key";
	return EVP_PKEY_get_bits(out->pkey) >= JWK_RSA_BITS_MIN ? NULL
								: "is an RSA key below 2,048 bits";
}

struct curve {
	const char *jwk, *openssl;
	enum jws_alg alg;
};
static const struct curve curves[] = {{"P-256", "P-256", JWS_ES256},
				      {"P-384", "P-384", JWS_ES384},
				      {"P-521", "P-521", JWS_ES512}};

static const char *ec_key(const json_t *key, const struct curve *curve, struct jwk *out)
{
	size_t size = jws_alg_bytes(curve->alg);
	u8 point[1 + 2 * 66] = {4}; /* uncompressed: x, y */
	struct bytes x, y;
	OSSL_PARAM_BLD *bld;

	if (!bytes_member(key, "x", &x) || !bytes_member(key, "y", &y) || x.n != size ||
	    y.n != size)
		return "has no coordinates x and y of the curve's size in base64url";
	memcpy(point + 1, x.b, size);
	memcpy(point + 1 + size, y.b, size);
	bld = OSSL_PARAM_BLD_new();
	if (bld != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve->openssl, 0) ==
		    1 &&
	    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * size) ==
		    1)
		out->pkey = pkey_of("EC", bld);
	OSSL_PARAM_BLD_free(bld);
	return out->pkey != NULL ? NULL : "is no point of its curve";
}

static const char *ed_key(const json_t *key, struct jwk *out)
{
	struct bytes x;

	if (strcmp(text_member(key, "crv"), "Ed25519") != 0)
		return "is of a curve that is not taken: Ed25519 is";
	if (!bytes_member(key, "x", &x) || x.n != 32)
		return "has no 32 bytes x in base64url";
	out->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.b, x.n);
	return out->pkey != NULL ? NULL : "is no Ed25519 key";
}

static const char *secret_key(const json_t *key, struct jwk *out)
{
	struct bytes k = {.n = 0};
	const char *bad = NULL;

	if (!bytes_member(key, "k", &k) || k.n < JWK_SECRET_MIN)
		bad = "is a secret of less than 32 bytes";
	else
		out->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, k.b, k.n);
	mem_wipe(&k, sizeof(k));
	return bad != NULL || out->pkey != NULL ? bad : "is no secret";
}

/* The algorithm is the key's: said by it, or the only one that it is good for. */
static const char *algorithm(const json_t *key, const char *implied, enum jws_how a, enum jws_how b,
			     struct jwk *out)
{
	const char *said = text_member(key, "alg");

	if (said[0] == '\0')
		said = implied;
	if (said[0] == '\0')
		return "does not say its algorithm (alg)";
	if (!jws_alg_parse(slice_str(said), &out->alg))
		return "names an algorithm that is not known";
	if (jws_alg_how(out->alg) != a && jws_alg_how(out->alg) != b)
		return "names an algorithm that is not for its kind of key";
	return implied[0] == '\0' || strcmp(said, implied) == 0
		       ? NULL
		       : "names an algorithm that is not for its curve";
}

static const char *ec_parse(const json_t *key, struct jwk *out)
{
	const char *name = text_member(key, "crv"), *bad;

	for (u32 i = 0; i < ARRAY_LEN(curves); i++) {
		if (strcmp(name, curves[i].jwk) != 0)
			continue;
		bad = algorithm(key, jws_alg_name(curves[i].alg), JWS_ECDSA, JWS_ECDSA, out);
		return bad != NULL ? bad : ec_key(key, &curves[i], out);
	}
	return "is of a curve that is not taken: P-256, P-384 and P-521 are";
}

/* NULL: a key, or (out->pkey NULL) one of a kind that is left out. */
static const char *key_parse(const json_t *key, struct jwk *out)
{
	const char *kty = text_member(key, "kty"), *bad;

	if (strcmp(kty, "EC") == 0)
		return ec_parse(key, out);
	if (strcmp(kty, "RSA") == 0) {
		bad = algorithm(key, "", JWS_RSA, JWS_PSS, out);
		return bad != NULL ? bad : rsa_key(key, out);
	}
	if (strcmp(kty, "OKP") == 0) {
		bad = algorithm(key, "EdDSA", JWS_EDDSA, JWS_EDDSA, out);
		return bad != NULL ? bad : ed_key(key, out);
	}
	if (strcmp(kty, "oct") == 0) {
		bad = algorithm(key, "", JWS_HMAC, JWS_HMAC, out);
		return bad != NULL ? bad : secret_key(key, out);
	}
	return NULL;
}

/* ---- a set -----------------------------------------------------------------------------------
 */
static bool for_signatures(const json_t *key)
{
	const char *use = text_member(key, "use");

	return use[0] == '\0' || strcmp(use, "sig") == 0;
}

static const char *kid_copy(const json_t *key, struct jwk *out)
{
	const json_t *kid = json_object_get(key, "kid");

	if (kid == NULL)
		return NULL;
	if (!json_is_string(kid) || json_string_length(kid) > JWK_KID)
		return "has a key id (kid) that is no text of at most 128 bytes";
	snprintf(out->kid, sizeof(out->kid), "%s", json_string_value(kid));
	return NULL;
}

static const char *set_add(struct jwks *s, const json_t *key, u32 allowed)
{
	struct jwk k = {.pkey = NULL};
	const char *bad;

	if (!json_is_object(key))
		return "is no object";
	if (!for_signatures(key))
		return NULL;
	bad = kid_copy(key, &k);
	if (bad == NULL)
		bad = key_parse(key, &k);
	if (bad == NULL && k.pkey != NULL && (allowed & 1u << k.alg) != 0 && s->n < JWK_MAX) {
		s->key[s->n++] = k;
		return NULL;
	}
	if (bad == NULL && k.pkey != NULL && (allowed & 1u << k.alg) != 0)
		bad = "is one too many";
	EVP_PKEY_free(k.pkey);
	return bad;
}

static enum err set_fill(struct jwks *s, const json_t *root, u32 allowed, char *text, size_t cap)
{
	const json_t *keys = json_object_get(root, "keys");
	size_t n = keys != NULL ? json_array_size(keys) : 1;

	if (!json_is_object(root) || (keys != NULL && !json_is_array(keys))) {
		snprintf(text, cap, "this is neither a JWK nor a set of them");
		return E_SYNTAX;
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *key = keys != NULL ? json_array_get(keys, i) : root;
		const char *bad = set_add(s, key, allowed);
		if (bad == NULL)
			continue;
		snprintf(text, cap, "key %zu %s", i + 1, bad);
		return s->n == JWK_MAX ? E_QUOTA : E_SYNTAX;
	}
	if (s->n != 0)
		return E_OK;
	snprintf(text, cap, "no key in it is for signatures with an algorithm that is allowed");
	return E_NOT_FOUND;
}

enum err jwks_parse(struct jwks *out, struct slice json, u32 allowed, char *text, size_t cap)
{
	json_error_t why;
	json_t *root;
	enum err e;

	*out = (struct jwks){0};
	if (json.n > JWK_BYTES) {
		snprintf(text, cap, "it is larger than %d bytes", JWK_BYTES);
		return E_QUOTA;
	}
	root = json_loadb((const char *)json.p, json.n, JSON_REJECT_DUPLICATES, &why);
	if (root == NULL) {
		snprintf(text, cap, "it is no JSON, from line %d on", why.line);
		return E_SYNTAX;
	}
	e = set_fill(out, root, allowed, text, cap);
	json_decref(root);
	if (e != E_OK)
		jwks_clear(out);
	return e;
}

void jwks_clear(struct jwks *k)
{
	for (u32 i = 0; i < k->n; i++)
		EVP_PKEY_free(k->key[i].pkey);
	*k = (struct jwks){0};
}
