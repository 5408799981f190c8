/* jws and jwk: what the standards' own examples say, every algorithm there and back, and every way
 * in which a token lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/jws.h"
#include "base/mem.h"

enum { NOW = 1700000000, ALL = (1 << JWS_ALG_N) - 1, TEXT = 16384 };

static const struct jwt_rules plain = {.issuer = "", .audience = "", .now_s = NOW};

/* ---- the other side --------------------------------------------------------------------------
 */
static size_t encode(const u8 *in, size_t n, char *out)
{
	static const char a[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t at = 0;

	for (size_t i = 0; i < n; i += 3) {
		u32 v = (u32)in[i] << 16 | (i + 1 < n ? (u32)in[i + 1] << 8 : 0) |
			(i + 2 < n ? in[i + 2] : 0);
		size_t chars = n - i >= 3 ? 4 : n - i + 1;
		for (size_t k = 0; k < chars; k++)
			out[at++] = a[v >> (18 - 6 * k) & 63];
	}
	out[at] = '\0';
	return at;
}

static size_t raw_of_der(const u8 *der, size_t n, size_t size, u8 *out)
{
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)n);

	assert_non_null(s);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(s), out, (int)size), size);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(s), out + size, (int)size), size);
	ECDSA_SIG_free(s);
	return 2 * size;
}

static size_t sign(EVP_PKEY *key, enum jws_alg alg, const char *text, u8 *out, size_t cap)
{
	enum jws_how how = jws_alg_how(alg);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	u8 der[256];
	size_t n = cap, der_n = sizeof(der);
	bool ec = how == JWS_ECDSA;

	assert_int_equal(EVP_DigestSignInit_ex(ctx, &pctx,
					       how != JWS_EDDSA ? jws_alg_hash(alg) : NULL, NULL,
					       NULL, key, NULL),
			 1);
	if (how == JWS_PSS) {
		EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST);
	}
	assert_int_equal(EVP_DigestSign(ctx, ec ? der : out, ec ? &der_n : &n, (const u8 *)text,
					strlen(text)),
			 1);
	EVP_MD_CTX_free(ctx);
	return ec ? raw_of_der(der, der_n, jws_alg_bytes(alg), out) : n;
}

static void token_of(EVP_PKEY *key, enum jws_alg alg, const char *header, const char *claims,
		     char out[TEXT])
{
	u8 sig[1024];
	size_t n = encode((const u8 *)header, strlen(header), out);

	out[n++] = '.';
	n += encode((const u8 *)claims, strlen(claims), out + n);
	if (key == NULL) {
		snprintf(out + n, TEXT - n, ".");
		return;
	}
	size_t sig_n = sign(key, alg, out, sig, sizeof(sig));
	out[n++] = '.';
	encode(sig, sig_n, out + n);
}

static void bn_member(EVP_PKEY *key, const char *param, char *out)
{
	BIGNUM *b = NULL;
	u8 bytes[1024];
	int n;

	assert_int_equal(EVP_PKEY_get_bn_param(key, param, &b), 1);
	n = BN_bn2bin(b, bytes);
	encode(bytes, (size_t)n, out);
	BN_free(b);
}

static void bn_padded(EVP_PKEY *key, const char *param, size_t size, char *out)
{
	BIGNUM *b = NULL;
	u8 bytes[66];

	assert_int_equal(EVP_PKEY_get_bn_param(key, param, &b), 1);
	assert_int_equal(BN_bn2binpad(b, bytes, (int)size), size);
	encode(bytes, size, out);
	BN_free(b);
}

static const char secret_bytes[] =
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* A key and its JWK. */
static EVP_PKEY *make(enum jws_alg alg, const char *kid, char *jwk, size_t cap)
{
	static const char *const crv[] = {"P-256", "P-384", "P-521"};
	char a[1400], b[1400];
	u8 raw[32];
	size_t n = sizeof(raw);
	EVP_PKEY *key = NULL;

	if (jws_alg_how(alg) == JWS_HMAC) {
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, (const u8 *)secret_bytes,
						   64);
		encode((const u8 *)secret_bytes, 64, a);
		snprintf(jwk, cap, "{\"kty\":\"oct\",\"alg\":\"%s\",\"kid\":\"%s\",\"k\":\"%s\"}",
			 jws_alg_name(alg), kid, a);
	} else if (jws_alg_how(alg) == JWS_ECDSA) {
		key = EVP_EC_gen(crv[alg - JWS_ES256]);
		bn_padded(key, OSSL_PKEY_PARAM_EC_PUB_X, jws_alg_bytes(alg), a);
		bn_padded(key, OSSL_PKEY_PARAM_EC_PUB_Y, jws_alg_bytes(alg), b);
		snprintf(jwk, cap,
			 "{\"kty\":\"EC\",\"crv\":\"%s\",\"kid\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}",
			 crv[alg - JWS_ES256], kid, a, b);
	} else if (alg == JWS_EdDSA) {
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		EVP_PKEY_get_raw_public_key(key, raw, &n);
		encode(raw, n, a);
		snprintf(jwk, cap,
			 "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"%s\"}", kid,
			 a);
	} else {
		key = EVP_RSA_gen(2048);
		bn_member(key, OSSL_PKEY_PARAM_RSA_N, a);
		snprintf(jwk, cap,
			 "{\"kty\":\"RSA\",\"alg\":\"%s\",\"kid\":\"%s\",\"n\":\"%s\",\"e\":"
			 "\"AQAB\"}",
			 jws_alg_name(alg), kid, a);
	}
	assert_non_null(key);
	return key;
}

static enum err load(struct jwks *k, const char *json)
{
	char text[256];

	return jwks_parse(k, slice_str(json), ALL, text, sizeof(text));
}

static const char *refused(const struct jwks *k, const char *token, const struct jwt_rules *r)
{
	const char *why = NULL;
	struct jwt t;

	assert_int_equal(jwt_verify(k, slice_str(token), r, &t, &why), E_CREDENTIAL);
	assert_null(t.claims);
	assert_non_null(why);
	return why;
}

static void accepted(const struct jwks *k, const char *token, const struct jwt_rules *r)
{
	const char *why = NULL;
	struct jwt t;
	enum err e = jwt_verify(k, slice_str(token), r, &t, &why);

	if (e != E_OK)
		print_error("%s\n", why);
	assert_int_equal(e, E_OK);
	assert_true(json_is_object(t.claims));
	jwt_clear(&t);
}

/* ---- what the standards show -----------------------------------------------------------------
 */
static void examples_of_the_standards(void **state)
{
	const struct jwt_rules then = {.issuer = "joe", .audience = "", .now_s = 1300819379};
	const char *hs = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
			 "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODA"
			 "sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-"
			 "mB92K27uhbUJU1p1r_wW1"
			 "gFWFOEjXk";
	const char *es = "eyJhbGciOiJFUzI1NiJ9."
			 "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtc"
			 "GxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-"
			 "F4GawxaepmXFCgfTjDxw5djxL"
			 "a8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
	struct jwks k;

	(void)state;
	assert_int_equal(load(&k,
			      "{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzK"
			      "ObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}"),
			 E_OK);
	accepted(&k, hs, &then);
	refused(&k, es, &then);
	jwks_clear(&k);
	assert_int_equal(
		load(&k,
		     "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMz"
		     "V76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"),
		E_OK);
	accepted(&k, es, &then);
	refused(&k, hs, &then);
	jwks_clear(&k);
}

/* ---- there and back --------------------------------------------------------------------------
 */
static void every_algorithm(void **state)
{
	(void)state;
	for (u32 alg = 0; alg < JWS_ALG_N; alg++) {
		char jwk[4096], token[TEXT], header[64];
		EVP_PKEY *key = make(alg, "k1", jwk, sizeof(jwk));
		struct jwks k;

		assert_int_equal(load(&k, jwk), E_OK);
		assert_int_equal(k.key[0].alg, alg);
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k1\"}",
			 jws_alg_name(alg));
		token_of(key, alg, header, "{\"sub\":\"esp1\",\"exp\":1700000060}", token);
		assert_true(jwt_shaped(slice_str(token)));
		accepted(&k, token, &plain);
		/* Every character matters, in every part. */
		for (size_t i = 0; i < strlen(token); i += 7) {
			char was = token[i];
			token[i] = was == 'A' ? 'B' : 'A';
			refused(&k, token, &plain);
			token[i] = was;
		}
		for (size_t n = strlen(token); n-- > 0;) {
			char was = token[n];
			token[n] = '\0';
			refused(&k, token, &plain);
			token[n] = was;
		}
		jwks_clear(&k);
		EVP_PKEY_free(key);
	}
}

/* ---- lies ------------------------------------------------------------------------------------
 */
static void algorithm_is_the_keys(void **state)
{
	static const char *const none[] = {"none", "None", "NONE", "nOnE", "", "HS256 "};
	char jwk[4096], other[4096], token[TEXT], header[128];
	EVP_PKEY *rsa = make(JWS_RS256, "k", jwk, sizeof(jwk)), *mac;
	struct jwks k;
	u8 pub[2048], *p = pub;
	int n;

	(void)state;
	assert_int_equal(load(&k, jwk), E_OK);
	for (u32 i = 0; i < ARRAY_LEN(none); i++) {
		snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", none[i]);
		token_of(NULL, JWS_HS256, header, "{\"exp\":1700000060}", token);
		refused(&k, token, &plain);
	}
	/* HS256 with the public key as its secret: the classic. */
	n = i2d_PUBKEY(rsa, &p);
	mac = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, pub, (size_t)n);
	token_of(mac, JWS_HS256, "{\"alg\":\"HS256\",\"kid\":\"k\"}", "{\"exp\":1700000060}",
		 token);
	refused(&k, token, &plain);
	/* The right key with another of its algorithms. */
	token_of(rsa, JWS_PS256, "{\"alg\":\"PS256\",\"kid\":\"k\"}", "{\"exp\":1700000060}",
		 token);
	refused(&k, token, &plain);
	token_of(rsa, JWS_RS256, "{\"alg\":\"RS256\",\"kid\":\"k\"}", "{\"exp\":1700000060}",
		 token);
	accepted(&k, token, &plain);
	EVP_PKEY_free(mac);
	mac = make(JWS_HS256, "k", other, sizeof(other));
	token_of(mac, JWS_HS256, "{\"alg\":\"HS256\",\"kid\":\"k\"}", "{\"exp\":1700000060}",
		 token);
	refused(&k, token, &plain);
	EVP_PKEY_free(mac);
	EVP_PKEY_free(rsa);
	jwks_clear(&k);
}

static void headers_that_lie(void **state)
{
	static const char *const bad[] = {
		"{\"alg\":\"ES256\",\"crit\":[\"exp\"]}",
		"{\"alg\":\"ES256\",\"b64\":false,\"crit\":[\"b64\"]}",
		"{\"alg\":\"ES256\",\"zip\":\"DEF\"}",
		"{\"alg\":\"ES256\",\"enc\":\"A256GCM\"}",
		"{\"alg\":\"ES256\",\"kid\":\"../../dev/null\"}",
		"{\"alg\":\"ES256\",\"kid\":\"' UNION SELECT 'k\"}",
		"{\"alg\":\"ES256\",\"kid\":7}",
		"{\"alg\":\"ES256\",\"alg\":\"ES256\"}",
		"{\"alg\":[\"ES256\"]}",
		"{\"alg\":\"ES256\",\"typ\":\"logout+jwt\"}",
		"[\"ES256\"]",
		"{\"alg\":\"es256\"}",
		"{}",
	};
	char jwk[4096], token[TEXT];
	EVP_PKEY *key = make(JWS_ES256, "k", jwk, sizeof(jwk));
	struct jwks k;

	(void)state;
	assert_int_equal(load(&k, jwk), E_OK);
	for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
		token_of(key, JWS_ES256, bad[i], "{\"exp\":1700000060}", token);
		refused(&k, token, &plain);
	}
	/* Keys that it brings along are not looked at; without a key id every key of ours is asked.
	 */
	token_of(key, JWS_ES256,
		 "{\"alg\":\"ES256\",\"jku\":\"http://127.0.0.1/k\",\"typ\":\"jwt\"}",
		 "{\"exp\":1700000060}", token);
	accepted(&k, token, &plain);
	EVP_PKEY_free(key);
	jwks_clear(&k);
}

static void claims_that_lie(void **state)
{
	static const char *const bad[] = {
		"{}", /* never ends */
		"{\"exp\":1699999999}",
		"{\"exp\":1700000000}",
		"{\"exp\":\"1700000060\"}",
		"{\"exp\":[1700000060]}",
		"{\"exp\":-1}",
		"{\"exp\":1e400}",
		"{\"exp\":1e300}",
		"{\"exp\":1700000060,\"nbf\":1700000061}",
		"{\"exp\":1700000060,\"iat\":1700000061}",
		"{\"exp\":1700000060,\"nbf\":\"x\"}",
		"{\"exp\":1700000060,\"exp\":1700000060}",
		"{\"exp\":1700000060,\"sub\":\"a\\u0000b\"}",
		"[1700000060]",
		"{\"exp\":1700000060",
	};
	char jwk[4096], token[TEXT];
	EVP_PKEY *key = make(JWS_ES256, "k", jwk, sizeof(jwk));
	struct jwks k;

	(void)state;
	assert_int_equal(load(&k, jwk), E_OK);
	for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
		token_of(key, JWS_ES256, "{\"alg\":\"ES256\"}", bad[i], token);
		refused(&k, token, &plain);
	}
	token_of(key, JWS_ES256, "{\"alg\":\"ES256\"}",
		 "{\"exp\":1700000000.5e0,\"nbf\":1700000060,\"iat\":1700000060}", token);
	refused(&k, token, &plain);
	token_of(key, JWS_ES256, "{\"alg\":\"ES256\"}",
		 "{\"exp\":1700000001,\"nbf\":1700000060,\"iat\":1700000060}", token);
	accepted(&k, token, &plain);
	EVP_PKEY_free(key);
	jwks_clear(&k);
}

static void issuer_and_audience_are_exact(void **state)
{
	static const struct {
		const char *claims;
		bool good;
	} rows[] = {
		{"{\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":\"mqtt\"}", true},
		{"{\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":[\"x\",\"mqtt\"]}", true},
		{"{\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":[\"x\",\"mqtt2\"]}", false},
		{"{\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":[]}", false},
		{"{\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":{\"mqtt\":1}}", false},
		{"{\"exp\":1700000060,\"iss\":\"https://i\"}", false},
		{"{\"exp\":1700000060,\"iss\":\"https://i/\",\"aud\":\"mqtt\"}", false},
		{"{\"exp\":1700000060,\"iss\":[\"https://i\"],\"aud\":\"mqtt\"}", false},
		{"{\"exp\":1700000060,\"aud\":\"mqtt\"}", false},
	};
	const struct jwt_rules r = {.issuer = "https://i", .audience = "mqtt", .now_s = NOW};
	char jwk[4096], token[TEXT];
	EVP_PKEY *key = make(JWS_EdDSA, "k", jwk, sizeof(jwk));
	struct jwks k;

	(void)state;
	assert_int_equal(load(&k, jwk), E_OK);
	for (u32 i = 0; i < ARRAY_LEN(rows); i++) {
		token_of(key, JWS_EdDSA, "{\"alg\":\"EdDSA\"}", rows[i].claims, token);
		if (rows[i].good)
			accepted(&k, token, &r);
		else
			refused(&k, token, &r);
	}
	EVP_PKEY_free(key);
	jwks_clear(&k);
}

#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
static void signatures_of_nothing(void **state)
{
	static const char *const sigs[] = {
		ZEROS ZEROS "AA", /* r = s = 0 */
		"__________________________________________8",
		"AA",
		"====",
	};
	char jwk[4096], token[TEXT], bad[TEXT + 8];
	EVP_PKEY *key = make(JWS_ES256, "k", jwk, sizeof(jwk));
	struct jwks k;

	(void)state;
	assert_int_equal(load(&k, jwk), E_OK);
	token_of(key, JWS_ES256, "{\"alg\":\"ES256\"}", "{\"exp\":1700000060}", token);
	for (u32 i = 0; i < ARRAY_LEN(sigs); i++) {
		snprintf(bad, sizeof(bad), "%.*s%s", (int)(strrchr(token, '.') - token) + 1, token,
			 sigs[i]);
		refused(&k, bad, &plain);
	}
	snprintf(bad, sizeof(bad), "%s.x", token);
	refused(&k, bad, &plain);
	snprintf(bad, sizeof(bad), "%s=", token);
	refused(&k, bad, &plain);
	snprintf(bad, sizeof(bad), " %s", token);
	refused(&k, bad, &plain);
	assert_false(jwt_shaped(slice_str("a.b.c")));
	assert_false(jwt_shaped(slice_str("eyJ.eyJ")));
	EVP_PKEY_free(key);
	jwks_clear(&k);
}

/* ---- keys ------------------------------------------------------------------------------------
 */
static void bad_keys_are_refused_when_loaded(void **state)
{
	static const struct {
		const char *json;
		enum err e;
	} rows[] = {
		{"", E_SYNTAX},
		{"[]", E_SYNTAX},
		{"{\"keys\":{}}", E_SYNTAX},
		{"{\"keys\":[]}", E_NOT_FOUND},
		{"{\"keys\":[7]}", E_SYNTAX},
		{"{\"kty\":\"XXX\"}", E_NOT_FOUND},
		{"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T\"}",
		 E_SYNTAX},
		{"{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"c2hvcnQ\"}", E_SYNTAX},
		{"{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"\"}", E_SYNTAX},
		{"{\"kty\":\"oct\",\"alg\":\"RS256\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-"
		 "EstJQLr_T\"}",
		 E_SYNTAX},
		{"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", E_SYNTAX},
		{"{\"kty\":\"RSA\",\"alg\":\"RS256\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", E_SYNTAX},
		{"{\"kty\":\"RSA\",\"alg\":\"HS256\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", E_SYNTAX},
		{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}", E_SYNTAX},
		{"{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}", E_SYNTAX},
		{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		 "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		 "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
		 E_SYNTAX}, /* not on the curve */
		{"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}", E_SYNTAX},
		{"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_"
		 "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
		 E_SYNTAX},
		{"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
		 "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
		 E_OK},
		{"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"enc\",\"x\":"
		 "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
		 E_NOT_FOUND},
		{"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":7,\"x\":"
		 "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
		 E_SYNTAX},
	};
	struct jwks k;
	char text[256];

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(rows); i++) {
		text[0] = '\0';
		assert_int_equal(jwks_parse(&k, slice_str(rows[i].json), ALL, text, sizeof(text)),
				 rows[i].e);
		assert_true(rows[i].e == E_OK || text[0] != '\0');
		jwks_clear(&k);
	}
	/* Not allowed here. */
	assert_int_equal(
		jwks_parse(&k, slice_str(rows[18].json), 1u << JWS_ES256, text, sizeof(text)),
		E_NOT_FOUND);
}

static void canonical_base64url(void **state)
{
	static const char *const bad[] = {"A",	"AB=", "AB==", "A+", "A/",
					  "AB", "AAB", "AA\n", "A A"};
	u8 out[8];
	size_t n;

	(void)state;
	assert_int_equal(base64url_decode(slice_str("-_8"), out, sizeof(out), &n), E_OK);
	assert_int_equal(n, 2);
	assert_int_equal(out[0] << 8 | out[1], 0xfbff);
	assert_int_equal(base64url_decode(slice_str("AAAAAAAAAAAA"), out, sizeof(out), &n),
			 E_TOO_LARGE);
	for (u32 i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(base64url_decode(slice_str(bad[i]), out, sizeof(out), &n),
				 E_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_of_the_standards),
		cmocka_unit_test(every_algorithm),
		cmocka_unit_test(algorithm_is_the_keys),
		cmocka_unit_test(headers_that_lie),
		cmocka_unit_test(claims_that_lie),
		cmocka_unit_test(issuer_and_audience_are_exact),
		cmocka_unit_test(signatures_of_nothing),
		cmocka_unit_test(bad_keys_are_refused_when_loaded),
		cmocka_unit_test(canonical_base64url),
	};

	return cmocka_run_group_tests_name("auth/jws", tests, NULL, NULL);
}
