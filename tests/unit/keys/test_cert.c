/* Certificates, judged by OpenSSL's verifier as a client would, with a wall clock of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/x509v3.h>

#include "keys/cert.h"

#define DAY (24ull * 3600 * 1000)
static const u64 now = 1795478400ull * 1000; /* 2026-11-24 */
static const u8 lan[4] = {192, 168, 1, 10}, six[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};

static EVP_PKEY *ca_key, *key;
static X509 *ca, *cert;
static struct names names;

static int setup(void **state)
{
	(void)state;
	names.n = 0;
	assert_int_equal(names_add_dns(&names, "mqtt.lan"), E_OK);
	assert_int_equal(names_add_dns(&names, "mqtt.local"), E_OK);
	assert_int_equal(names_add_address(&names, lan, sizeof(lan)), E_OK);
	assert_int_equal(names_add_address(&names, six, sizeof(six)), E_OK);
	assert_int_equal(cert_make_ca("mqtt.lan", now, &ca_key, &ca), E_OK);
	assert_int_equal(cert_make_server(ca_key, ca, &names, now, &key, &cert), E_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	X509_free(ca);
	X509_free(cert);
	return 0;
}

static int verify(X509 *trusted, X509 *leaf, u64 at_ms, int purpose, const char *host,
		  const char *ip)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *p;
	int rc;

	X509_STORE_add_cert(store, trusted);
	X509_STORE_CTX_init(ctx, store, leaf, NULL);
	p = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(p, (time_t)(at_ms / 1000));
	X509_VERIFY_PARAM_set_purpose(p, purpose);
	X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
	if (host != NULL)
		X509_VERIFY_PARAM_set1_host(p, host, 0);
	if (ip != NULL)
		X509_VERIFY_PARAM_set1_ip_asc(p, ip);
	X509_verify_cert(ctx);
	rc = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return rc;
}

static void test_ca(void **state)
{
	char text[128];

	(void)state;
	X509_NAME_get_text_by_NID(X509_get_subject_name(ca), NID_commonName, text, sizeof(text));
	assert_string_equal(text, "mqtt.lan device CA");
	assert_int_equal(X509_check_ca(ca), 1);
	assert_int_equal(X509_get_pathlen(ca), 0);
	assert_int_equal(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_true(X509_get_ext_by_NID(ca, NID_subject_key_identifier, -1) >= 0);
	assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(
				 ca, X509_get_ext_by_NID(ca, NID_basic_constraints, -1))),
			 1);
	assert_int_equal(X509_verify(ca, ca_key), 1);
	assert_int_equal(cert_not_after(ca), now + 3650 * DAY);
	assert_true(EVP_PKEY_is_a(ca_key, "EC"));
	assert_int_equal(EVP_PKEY_get_bits(ca_key), 256);
	assert_int_equal(cert_check_ca(ca_key, ca, text, sizeof(text)), E_OK);
	assert_int_equal(cert_check_ca(key, ca, text, sizeof(text)), E_CORRUPT);
	assert_int_equal(cert_check_ca(key, cert, text, sizeof(text)), E_CORRUPT);
}

static void test_server_verifies(void **state)
{
	(void)state;
	assert_int_equal(verify(ca, cert, now, X509_PURPOSE_SSL_SERVER, "mqtt.lan", NULL),
			 X509_V_OK);
	assert_int_equal(verify(ca, cert, now, X509_PURPOSE_SSL_SERVER, "MQTT.local", NULL),
			 X509_V_OK);
	assert_int_equal(verify(ca, cert, now, X509_PURPOSE_SSL_SERVER, NULL, "192.168.1.10"),
			 X509_V_OK);
	assert_int_equal(verify(ca, cert, now, X509_PURPOSE_SSL_SERVER, NULL, "2001:db8::1"),
			 X509_V_OK);
	assert_int_equal(verify(ca, cert, now, X509_PURPOSE_SSL_SERVER, "other.lan", NULL),
			 X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(verify(ca, cert, now, X509_PURPOSE_SSL_SERVER, NULL, "192.168.1.11"),
			 X509_V_ERR_IP_ADDRESS_MISMATCH);
	assert_int_equal(verify(ca, cert, now, X509_PURPOSE_SSL_CLIENT, NULL, NULL),
			 X509_V_ERR_INVALID_PURPOSE);
	assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
}

/* A device whose clock takes local time for UTC still connects on the first day. */
static void test_server_life(void **state)
{
	(void)state;
	assert_int_equal(cert_not_after(cert), now + 90 * DAY);
	assert_int_equal(cert_not_before(cert), now - DAY);
	assert_int_equal(verify(ca, cert, now - DAY / 2, X509_PURPOSE_SSL_SERVER, "mqtt.lan", NULL),
			 X509_V_OK);
	assert_int_equal(
		verify(ca, cert, now + 91 * DAY, X509_PURPOSE_SSL_SERVER, "mqtt.lan", NULL),
		X509_V_ERR_CERT_HAS_EXPIRED);
}

static void test_serials(void **state)
{
	BIGNUM *a = ASN1_INTEGER_to_BN(X509_get_serialNumber(cert), NULL);
	BIGNUM *b = ASN1_INTEGER_to_BN(X509_get_serialNumber(ca), NULL);

	(void)state;
	assert_true(BN_num_bytes(a) == 16 && BN_num_bytes(b) == 16);
	assert_int_not_equal(BN_cmp(a, b), 0);
	assert_false(BN_is_negative(a));
	BN_free(a);
	BN_free(b);
}

static void test_never_longer_than_the_ca(void **state)
{
	u64 late = now + 3600 * DAY;
	EVP_PKEY *k;
	X509 *x;

	(void)state;
	assert_int_equal(cert_make_server(ca_key, ca, &names, late, &k, &x), E_OK);
	assert_int_equal(cert_not_after(x), cert_not_after(ca));
	assert_null(
		cert_why_renew(k, x, ca, &names, late + 49 * DAY)); /* nothing would be gained */
	assert_null(cert_why_renew(k, x, ca, &names, late + 51 * DAY));
	EVP_PKEY_free(k);
	X509_free(x);
}

/* Without a battery a board begins in 1970; its certificates must still be good when the time is
 * known. */
static void test_clock_in_the_past(void **state)
{
	EVP_PKEY *k, *k2;
	X509 *x, *x2;

	(void)state;
	assert_int_equal(cert_make_ca("mqtt.lan", 1000, &k, &x), E_OK);
	assert_int_equal(cert_make_server(k, x, &names, 1000, &k2, &x2), E_OK);
	assert_null(cert_why_renew(k2, x2, x, &names, 1000));
	assert_int_equal(verify(x, x2, now, X509_PURPOSE_SSL_SERVER, "mqtt.lan", NULL), X509_V_OK);
	EVP_PKEY_free(k);
	EVP_PKEY_free(k2);
	X509_free(x);
	X509_free(x2);
}

static void test_renewal_by_time(void **state)
{
	u64 at = cert_renew_at(cert);

	(void)state;
	assert_null(cert_why_renew(key, cert, ca, &names, now));
	assert_null(cert_why_renew(key, cert, ca, &names, at - 1000));
	assert_string_equal(cert_why_renew(key, cert, ca, &names, at),
			    "two thirds of its life are over");
	assert_string_equal(cert_why_renew(key, cert, ca, &names, now + 1000 * DAY),
			    "two thirds of its life are over");
	assert_in_range(at, now + 59 * DAY, now + 61 * DAY);
}

static void test_renewal_by_names(void **state)
{
	struct names more = names, fewer = names, other = names;

	(void)state;
	assert_int_equal(names_add_dns(&more, "new.lan"), E_OK);
	fewer.n--;
	other.name[2].addr[3]++;
	assert_non_null(cert_why_renew(key, cert, ca, &more, now));
	assert_non_null(cert_why_renew(key, cert, ca, &fewer, now));
	assert_non_null(cert_why_renew(key, cert, ca, &other, now));
}

static void test_renewal_by_mismatch(void **state)
{
	EVP_PKEY *k, *k2;
	X509 *x, *x2;

	(void)state;
	assert_string_equal(cert_why_renew(NULL, NULL, ca, &names, now), "there is none yet");
	assert_int_equal(cert_make_ca("mqtt.lan", now, &k, &x),
			 E_OK); /* the same name, another key */
	assert_int_equal(cert_make_server(k, x, &names, now, &k2, &x2), E_OK);
	assert_string_equal(cert_why_renew(k2, cert, ca, &names, now),
			    "its key does not belong to it");
	assert_string_equal(cert_why_renew(k2, x2, ca, &names, now), "another CA issued it");
	EVP_PKEY_free(k);
	EVP_PKEY_free(k2);
	X509_free(x);
	X509_free(x2);
}

static void test_ca_again(void **state)
{
	X509 *again;

	(void)state;
	assert_int_equal(cert_make_ca_again("mqtt.lan", now, ca_key, &again), E_OK);
	assert_int_equal(verify(again, cert, now, X509_PURPOSE_SSL_SERVER, "mqtt.lan", NULL),
			 X509_V_OK);
	X509_free(again);
}

static void test_long_names(void **state)
{
	char dns[NAME_BYTES];
	struct names n = {0};
	EVP_PKEY *k;
	X509 *x;

	(void)state;
	memset(dns, 'a', 63);
	memcpy(dns + 63, ".lan", 5);
	assert_int_equal(names_add_dns(&n, dns), E_OK);
	assert_int_equal(cert_make_server(ca_key, ca, &n, now, &k, &x), E_OK);
	assert_int_equal(verify(ca, x, now, X509_PURPOSE_SSL_SERVER, dns, NULL), X509_V_OK);
	EVP_PKEY_free(k);
	X509_free(x);
	assert_int_equal(cert_make_ca(dns, now, &k, &x), E_OK);
	EVP_PKEY_free(k);
	X509_free(x);
}

static void check_external(EVP_PKEY *k, enum err expect)
{
	X509 *x = X509_dup(cert);
	char what[CERT_TEXT];

	assert_int_equal(X509_set_pubkey(x, k), 1);
	assert_true(X509_sign(x, ca_key, EVP_sha256()) > 0);
	assert_int_equal(cert_check_external(k, x, what, sizeof(what)), expect);
	assert_int_equal(cert_check_external(key, x, what, sizeof(what)), E_CONFIG);
	X509_free(x);
	EVP_PKEY_free(k);
}

static void test_external(void **state)
{
	(void)state;
	check_external(EVP_EC_gen("P-256"), E_OK);
	check_external(EVP_EC_gen("P-384"), E_OK);
	check_external(EVP_EC_gen("P-521"), E_CONFIG);
	check_external(EVP_RSA_gen(2048), E_OK);
	check_external(EVP_RSA_gen(1024), E_CONFIG);
	check_external(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), E_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ca),
		cmocka_unit_test(test_server_verifies),
		cmocka_unit_test(test_server_life),
		cmocka_unit_test(test_serials),
		cmocka_unit_test(test_never_longer_than_the_ca),
		cmocka_unit_test(test_clock_in_the_past),
		cmocka_unit_test(test_renewal_by_time),
		cmocka_unit_test(test_renewal_by_names),
		cmocka_unit_test(test_renewal_by_mismatch),
		cmocka_unit_test(test_ca_again),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_external),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
