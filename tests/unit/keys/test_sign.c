/* What may be signed: every way in which a request is not a TLS handshake is refused, and what is
 * signed verifies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/wr.h"
#include "keys/sign.h"

static u8 buf[512];

static struct slice verify_13(size_t hash)
{
	struct wr w = wr_of(buf, sizeof(buf));

	for (u32 i = 0; i < 64; i++)
		wr_u8(&w, ' ');
	wr_bytes(&w, "TLS 1.3, server CertificateVerify", 34);
	for (size_t i = 0; i < hash; i++)
		wr_u8(&w, (u8)(i * 7));
	return wr_done(&w);
}

static struct slice kx_12(u32 type, u32 group, size_t point, u8 first)
{
	struct wr w = wr_of(buf, sizeof(buf));

	for (u32 i = 0; i < 64; i++)
		wr_u8(&w, (u8)i);
	wr_u8(&w, (u8)type);
	wr_u16(&w, (u16)group);
	wr_u8(&w, (u8)point);
	for (size_t i = 0; i < point; i++)
		wr_u8(&w, i == 0 ? first : (u8)(i * 3));
	return wr_done(&w);
}

static enum err check_13(struct slice s)
{
	return sign_request_check(SIGN_TLS13_SERVER, SIGN_ECDSA_SHA256, s);
}

static enum err check_12(struct slice s)
{
	return sign_request_check(SIGN_TLS12_SERVER_KX, SIGN_ECDSA_SHA256, s);
}

static void test_13_good(void **state)
{
	(void)state;
	assert_int_equal(check_13(verify_13(32)), E_OK);
	assert_int_equal(check_13(verify_13(48)), E_OK);
}

static void test_13_lengths(void **state)
{
	(void)state;
	for (size_t hash = 0; hash <= 64; hash++)
		assert_int_equal(check_13(verify_13(hash)),
				 hash == 32 || hash == 48 ? E_OK : E_MALFORM);
	for (size_t n = 0; n < 64 + 34 + 32; n++)
		assert_int_equal(check_13(slice_of(verify_13(32).p, n)), E_MALFORM);
	assert_int_equal(check_13(SLICE_NONE), E_MALFORM);
}

/* One changed bit in spaces, context or the zero byte: refused.  (The hash is free.) */
static void test_13_every_bit(void **state)
{
	(void)state;
	for (size_t i = 0; i < 64 + 34; i++) {
		for (u32 bit = 0; bit < 8; bit++) {
			struct slice s = verify_13(32);
			buf[i] ^= (u8)(1u << bit);
			assert_int_equal(check_13(s), E_MALFORM);
		}
	}
}

/* The client's context must not be signed with the server's key. */
static void test_13_other_context(void **state)
{
	struct slice s = verify_13(32);

	(void)state;
	memcpy(buf + 64, "TLS 1.3, client CertificateVerify", 34);
	assert_int_equal(check_13(s), E_MALFORM);
}

static void test_12_good(void **state)
{
	(void)state;
	assert_int_equal(check_12(kx_12(3, 0x001d, 32, 9)), E_OK);
	assert_int_equal(check_12(kx_12(3, 0x0017, 65, 4)), E_OK);
	assert_int_equal(check_12(kx_12(3, 0x0018, 97, 4)), E_OK);
}

static void test_12_bad(void **state)
{
	(void)state;
	for (u32 type = 0; type < 256; type++)
		assert_int_equal(check_12(kx_12(type, 0x001d, 32, 9)),
				 type == 3 ? E_OK : E_MALFORM);
	for (size_t point = 0; point < 256; point++) {
		assert_int_equal(check_12(kx_12(3, 0x001d, point, 4)),
				 point == 32 ? E_OK : E_MALFORM);
		assert_int_equal(check_12(kx_12(3, 0x0017, point, 4)),
				 point == 65 ? E_OK : E_MALFORM);
		assert_int_equal(check_12(kx_12(3, 0x0018, point, 4)),
				 point == 97 ? E_OK : E_MALFORM);
	}
	for (u32 group = 0; group < 0x10000; group++) {
		enum err e = check_12(kx_12(3, group, 65, 4));
		assert_int_equal(e, group == 0x17 ? E_OK : E_MALFORM);
	}
	assert_int_equal(check_12(kx_12(3, 0x0017, 65, 2)), E_MALFORM); /* a compressed point */
	assert_int_equal(check_12(kx_12(3, 0x0018, 97, 0)), E_MALFORM);
}

static void test_12_lengths(void **state)
{
	struct slice s = kx_12(3, 0x001d, 32, 9);

	(void)state;
	for (size_t n = 0; n < s.n; n++)
		assert_int_equal(check_12(slice_of(s.p, n)), E_MALFORM);
	assert_int_equal(check_12(slice_of(s.p, s.n + 1)), E_MALFORM);
	assert_int_equal(check_12(SLICE_NONE), E_MALFORM);
}

static void test_shapes_and_algorithms(void **state)
{
	struct slice s = verify_13(32);

	(void)state;
	for (u32 shape = 0; shape < 5; shape++) {
		for (u32 alg = 0; alg < 8; alg++) {
			bool ok = shape == SIGN_TLS13_SERVER && alg >= SIGN_ECDSA_SHA256 &&
				  alg < SIGN_RSA_PKCS1_SHA256;
			enum err e = sign_request_check(shape, alg, s);
			assert_int_equal(e == E_OK, ok);
		}
	}
	assert_int_equal(sign_request_check(UINT32_MAX, SIGN_ECDSA_SHA256, s), E_RANGE);
	assert_int_equal(sign_request_check(SIGN_TLS13_SERVER, UINT32_MAX, s), E_RANGE);
	assert_int_equal(sign_request_check(SIGN_TLS12_SERVER_KX, SIGN_ECDSA_SHA256, s), E_MALFORM);
	assert_int_equal(
		sign_request_check(SIGN_TLS13_SERVER, SIGN_ECDSA_SHA256, kx_12(3, 0x17, 65, 4)),
		E_MALFORM);
}

/* Other things that a server key must never sign: a certificate, a JWT, plain text. */
static void test_other_things(void **state)
{
	static const char jwt[] = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9";
	static const u8 der[200] = {0x30, 0x81, 0xc5, 0xa0, 3, 2, 1, 2};

	(void)state;
	assert_int_equal(check_13(slice_str(jwt)), E_MALFORM);
	assert_int_equal(check_12(slice_str(jwt)), E_MALFORM);
	assert_int_equal(check_13(slice_of(der, sizeof(der))), E_MALFORM);
	assert_int_equal(check_12(slice_of(der, sizeof(der))), E_MALFORM);
}

/* ---- signing ---- */
static bool verifies(EVP_PKEY *key, const char *hash, int padding, struct slice s, const u8 *sig,
		     size_t n)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx;
	bool ok;

	assert_int_equal(EVP_DigestVerifyInit_ex(md, &ctx, hash, NULL, NULL, key, NULL), 1);
	if (padding != 0)
		EVP_PKEY_CTX_set_rsa_padding(ctx, padding);
	if (padding == RSA_PKCS1_PSS_PADDING)
		EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST);
	ok = EVP_DigestVerify(md, sig, n, s.p, s.n) == 1;
	EVP_MD_CTX_free(md);
	return ok;
}

static void check_signs(EVP_PKEY *key, u32 shape, u32 alg, const char *hash, int padding)
{
	struct slice s = shape == SIGN_TLS13_SERVER ? verify_13(48) : kx_12(3, 0x001d, 32, 1);
	u8 sig[SIGNATURE_MAX];
	size_t n = 0;

	assert_int_equal(sign_handshake(key, shape, alg, s, sig, &n), E_OK);
	assert_true(verifies(key, hash, padding, s, sig, n));
	buf[0] ^= 1;
	n = 1;
	if (shape == SIGN_TLS13_SERVER)
		assert_int_equal(sign_handshake(key, shape, alg, s, sig, &n), E_MALFORM);
	assert_true(shape != SIGN_TLS13_SERVER || n == 0);
}

static void check_does_not_fit(EVP_PKEY *key, u32 shape, u32 alg)
{
	struct slice s = shape == SIGN_TLS13_SERVER ? verify_13(32) : kx_12(3, 0x001d, 32, 1);
	u8 sig[SIGNATURE_MAX];
	size_t n = 1;

	assert_int_equal(sign_handshake(key, shape, alg, s, sig, &n), E_RANGE);
	assert_int_equal(n, 0);
}

static void test_signing(void **state)
{
	EVP_PKEY *p256 = EVP_EC_gen("P-256"), *p384 = EVP_EC_gen("P-384"), *rsa = EVP_RSA_gen(2048);
	const int pss = RSA_PKCS1_PSS_PADDING, pkcs1 = RSA_PKCS1_PADDING;

	(void)state;
	check_signs(p256, SIGN_TLS13_SERVER, SIGN_ECDSA_SHA256, "SHA256", 0);
	check_signs(p384, SIGN_TLS13_SERVER, SIGN_ECDSA_SHA384, "SHA384", 0);
	check_signs(p256, SIGN_TLS12_SERVER_KX, SIGN_ECDSA_SHA384, "SHA384", 0);
	check_signs(p384, SIGN_TLS12_SERVER_KX, SIGN_ECDSA_SHA256, "SHA256", 0);
	check_signs(rsa, SIGN_TLS13_SERVER, SIGN_RSA_PSS_SHA256, "SHA256", pss);
	check_signs(rsa, SIGN_TLS13_SERVER, SIGN_RSA_PSS_SHA384, "SHA384", pss);
	check_signs(rsa, SIGN_TLS12_SERVER_KX, SIGN_RSA_PKCS1_SHA256, "SHA256", pkcs1);
	check_does_not_fit(p256, SIGN_TLS13_SERVER, SIGN_ECDSA_SHA384);
	check_does_not_fit(p384, SIGN_TLS13_SERVER, SIGN_ECDSA_SHA256);
	check_does_not_fit(p256, SIGN_TLS13_SERVER, SIGN_RSA_PSS_SHA256);
	check_does_not_fit(rsa, SIGN_TLS13_SERVER, SIGN_ECDSA_SHA256);
	check_does_not_fit(rsa, SIGN_TLS13_SERVER, SIGN_RSA_PKCS1_SHA256);
	check_does_not_fit(p256, SIGN_TLS12_SERVER_KX, SIGN_RSA_PKCS1_SHA256);
	EVP_PKEY_free(p256);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(rsa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_13_good),	     cmocka_unit_test(test_13_lengths),
		cmocka_unit_test(test_13_every_bit), cmocka_unit_test(test_13_other_context),
		cmocka_unit_test(test_12_good),	     cmocka_unit_test(test_12_bad),
		cmocka_unit_test(test_12_lengths),   cmocka_unit_test(test_shapes_and_algorithms),
		cmocka_unit_test(test_other_things), cmocka_unit_test(test_signing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
