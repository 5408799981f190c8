/* jws: three parts, one signature, some claims. */
#include "auth/jws.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <strings.h>

#include "base/mem.h"

enum { SIGNATURE_MAX = 1024, HEADER_MAX = 1024, PARTS = 3 };

struct parts {
	struct slice part[PARTS]; /* header, claims, signature: as base64url */
	struct slice is_signed;	  /* header '.' claims */
};

/* ---- the form --------------------------------------------------------------------------------
 */
static bool parts_of(struct slice token, struct parts *out)
{
	size_t from = 0;
	u32 n = 0;

	if (token.n > JWT_BYTES)
		return false;
	for (size_t i = 0; i <= token.n; i++) {
		if (i < token.n && token.p[i] != '.')
			continue;
		if (n == PARTS || i == from)
			return false;
		out->part[n++] = slice_of(token.p + from, i - from);
		from = i + 1;
	}
	out->is_signed = slice_of(token.p, token.n - MIN(token.n, out->part[PARTS - 1].n + 1));
	return n == PARTS;
}

/* A JSON object begins with '{"', which is "ey" in base64. */
bool jwt_shaped(struct slice token)
{
	struct parts p;

	return parts_of(token, &p) && token.n > 2 && token.p[0] == 'e' && token.p[1] == 'y';
}

static json_t *object_of(struct slice part, u8 *buf, size_t cap)
{
	size_t n;
	json_t *o;

	if (base64url_decode(part, buf, cap, &n) != E_OK)
		return NULL;
	o = json_loadb((const char *)buf, n, JSON_REJECT_DUPLICATES, NULL);
	if (o != NULL && !json_is_object(o)) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* ---- the header ------------------------------------------------------------------------------
 */
static bool type_ok(const json_t *header)
{
	const json_t *typ = json_object_get(header, "typ");
	const char *s = json_string_value(typ);

	return typ == NULL ||
	       (s != NULL && (strcasecmp(s, "JWT") == 0 || strcasecmp(s, "at+jwt") == 0 ||
			      strcasecmp(s, "application/at+jwt") == 0));
}

struct header {
	enum jws_alg alg;
	char kid[JWK_KID + 1];
	bool has_kid;
};

static const char *header_read(const json_t *h, struct header *out)
{
	const json_t *alg = json_object_get(h, "alg"), *kid = json_object_get(h, "kid");
	struct slice name = slice_of((const u8 *)json_string_value(alg), json_string_length(alg));

	if (!json_is_string(alg) || !jws_alg_parse(name, &out->alg))
		return "its algorithm is not one that is used";
	if (json_object_get(h, "crit") != NULL || json_object_get(h, "b64") != NULL ||
	    json_object_get(h, "zip") != NULL || json_object_get(h, "enc") != NULL)
		return "it wants an extension";
	if (!type_ok(h))
		return "it is not a JWT";
	out->has_kid = kid != NULL;
	if (kid == NULL)
		return NULL;
	if (!json_is_string(kid) || json_string_length(kid) > JWK_KID)
		return "its key id is not text of at most 128 bytes";
	memcpy(out->kid, json_string_value(kid), json_string_length(kid) + 1);
	return NULL;
}

/* ---- the signature ---------------------------------------------------------------------------
 */
static bool hmac_right(const struct jwk *k, struct slice text, struct slice sig)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	u8 mac[EVP_MAX_MD_SIZE];
	size_t n = sizeof(mac);
	bool ok = ctx != NULL &&
		  EVP_DigestSignInit_ex(ctx, NULL, jws_alg_hash(k->alg), NULL, NULL, k->pkey,
					NULL) == 1 &&
		  EVP_DigestSign(ctx, mac, &n, text.p, text.n) == 1;

	EVP_MD_CTX_free(ctx);
	return ok && sig.n == n && mem_eq_const(mac, sig.p, n);
}

static bool pss_set(EVP_PKEY_CTX *ctx, const struct jwk *k)
{
	return jws_alg_how(k->alg) != JWS_PSS ||
	       (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
		EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
}

static bool pkey_right(const struct jwk *k, struct slice text, struct slice sig)
{
	const char *hash = jws_alg_how(k->alg) != JWS_EDDSA ? jws_alg_hash(k->alg) : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	bool ok = ctx != NULL &&
		  EVP_DigestVerifyInit_ex(ctx, &pctx, hash, NULL, NULL, k->pkey, NULL) == 1 &&
		  pss_set(pctx, k) && EVP_DigestVerify(ctx, sig.p, sig.n, text.p, text.n) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

/* RFC 7518 section 3.4: two integers side by side; OpenSSL wants them in DER. */
static bool ecdsa_right(const struct jwk *k, struct slice text, struct slice sig)
{
	size_t size = jws_alg_bytes(k->alg);
	ECDSA_SIG *s;
	u8 *der = NULL;
	int n = -1;
	bool ok;

	if (sig.n != 2 * size)
		return false;
	s = ECDSA_SIG_new();
	if (s != NULL && ECDSA_SIG_set0(s, BN_bin2bn(sig.p, (int)size, NULL),
					BN_bin2bn(sig.p + size, (int)size, NULL)) == 1)
		n = i2d_ECDSA_SIG(s, &der);
	ok = n > 0 && pkey_right(k, text, slice_of(der, (size_t)n));
	ECDSA_SIG_free(s);
	OPENSSL_free(der);
	return ok;
}

static bool signature_right(const struct jwk *k, struct slice text, struct slice sig)
{
	enum jws_how how = jws_alg_how(k->alg);

	if (how == JWS_HMAC)
		return hmac_right(k, text, sig);
	return how == JWS_ECDSA ? ecdsa_right(k, text, sig) : pkey_right(k, text, sig);
}

/* Keys of that algorithm, and of that name where the token names one. */
static const struct jwk *key_of(const struct jwks *keys, const struct header *h,
				const struct parts *p, struct slice sig)
{
	for (u32 i = 0; i < keys->n; i++) {
		const struct jwk *k = &keys->key[i];
		if (k->alg != h->alg || (h->has_kid && strcmp(k->kid, h->kid) != 0))
			continue;
		if (signature_right(k, p->is_signed, sig))
			return k;
	}
	return NULL;
}

/* ---- the claims ------------------------------------------------------------------------------
 */
/* A whole number of seconds since 1970 (RFC 7519 allows fractions; a real one is cut).  False: it
 * is there and is none. */
static bool date_of(const json_t *claims, const char *name, bool *there, u64 *out)
{
	const json_t *v = json_object_get(claims, name);
	double d = json_number_value(v);

	*there = v != NULL;
	*out = 0;
	if (v == NULL)
		return true;
	if (!json_is_number(v) || !(d >= 0) || d > 1e11) /* the year 5138 */
		return false;
	*out = (u64)d;
	return true;
}

static const char *times_wrong(const json_t *claims, const struct jwt_rules *r, u64 *exp_s)
{
	bool has_exp, has_nbf, has_iat;
	u64 nbf, iat;

	if (!date_of(claims, "exp", &has_exp, exp_s) || !date_of(claims, "nbf", &has_nbf, &nbf) ||
	    !date_of(claims, "iat", &has_iat, &iat))
		return "a time in it is no number";
	if (!has_exp && !r->exp_optional)
		return "it never ends (exp)";
	if (has_exp && *exp_s <= r->now_s)
		return "it has expired";
	if (has_nbf && nbf > r->now_s + JWT_SKEW_S)
		return "it is not valid yet (nbf)";
	return has_iat && iat > r->now_s + JWT_SKEW_S ? "it was issued in the future (iat)" : NULL;
}

static bool audience_has(const json_t *aud, const char *want)
{
	size_t i;
	json_t *v;

	if (json_is_string(aud))
		return strcmp(json_string_value(aud), want) == 0;
	json_array_foreach(aud, i, v)
	{
		if (json_is_string(v) && strcmp(json_string_value(v), want) == 0)
			return true;
	}
	return false;
}

static const char *parties_wrong(const json_t *claims, const struct jwt_rules *r)
{
	const char *iss = json_string_value(json_object_get(claims, "iss"));

	if (r->issuer[0] != '\0' && (iss == NULL || strcmp(iss, r->issuer) != 0))
		return "it is of another issuer (iss)";
	if (r->audience[0] != '\0' && !audience_has(json_object_get(claims, "aud"), r->audience))
		return "it is for somebody else (aud)";
	return NULL;
}

/* ---- all of it -------------------------------------------------------------------------------
 */
static const char *verify_signed(const struct jwks *keys, const struct parts *p, struct jwt *out)
{
	u8 text[HEADER_MAX], sig[SIGNATURE_MAX];
	struct header h = {.has_kid = false};
	json_t *o = object_of(p->part[0], text, sizeof(text));
	const char *bad = o != NULL ? header_read(o, &h) : "its header is not JSON in base64url";
	size_t n;

	json_decref(o);
	if (bad != NULL)
		return bad;
	if (base64url_decode(p->part[2], sig, sizeof(sig), &n) != E_OK)
		return "its signature is not base64url";
	out->key = key_of(keys, &h, p, slice_of(sig, n));
	return out->key != NULL ? NULL : "no key of ours signed it";
}

static const char *verify_claims(const struct parts *p, const struct jwt_rules *r, struct jwt *out)
{
	u8 text[JWT_BYTES];
	const char *bad;

	out->claims = object_of(p->part[1], text, sizeof(text));
	if (out->claims == NULL)
		return "its claims are not JSON in base64url";
	bad = parties_wrong(out->claims, r);
	return bad != NULL ? bad : times_wrong(out->claims, r, &out->exp_s);
}

enum err jwt_verify(const struct jwks *keys, struct slice token, const struct jwt_rules *rules,
		    struct jwt *out, const char **why)
{
	struct parts p;

	*out = (struct jwt){.claims = NULL};
	*why = parts_of(token, &p) ? verify_signed(keys, &p, out) : "it is no compact JWS";
	if (*why == NULL)
		*why = verify_claims(&p, rules, out);
	if (*why == NULL)
		return E_OK;
	jwt_clear(out);
	return E_CREDENTIAL;
}

void jwt_clear(struct jwt *t)
{
	json_decref(t->claims);
	*t = (struct jwt){.claims = NULL};
}
