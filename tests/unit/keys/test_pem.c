/* Keys and certificates as text, and the backup of the CA. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "keys/cert.h"
#include "keys/pem.h"

static EVP_PKEY *key;
static X509 *cert;

static int setup(void **state)
{
	(void)state;
	return cert_make_ca("mqtt.lan", 0, &key, &cert) == E_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	X509_free(cert);
	return 0;
}

static void test_round_trip(void **state)
{
	struct sbuf k, c;
	EVP_PKEY *key2;
	X509 *cert2;

	(void)state;
	assert_int_equal(pem_of_key(key, &k), E_OK);
	assert_int_equal(pem_of_certs(cert, NULL, &c), E_OK);
	key2 = pem_key(sbuf_slice(&k));
	cert2 = pem_cert(sbuf_slice(&c));
	assert_int_equal(EVP_PKEY_eq(key, key2), 1);
	assert_int_equal(X509_cmp(cert, cert2), 0);
	assert_int_equal(X509_check_private_key(cert2, key2), 1);
	assert_null(pem_key(sbuf_slice(&c)));
	assert_null(pem_cert(sbuf_slice(&k)));
	EVP_PKEY_free(key2);
	X509_free(cert2);
	sbuf_free(&k);
	sbuf_free(&c);
}

static void test_damaged(void **state)
{
	struct sbuf k, c;

	(void)state;
	assert_null(pem_key(SLICE_NONE));
	assert_null(pem_cert(
		SLICE_LIT("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")));
	assert_int_equal(pem_of_key(key, &k), E_OK);
	for (size_t n = 0; n < k.n - 1; n++) { /* cut short at every byte */
		EVP_PKEY *part = pem_key(slice_of(k.p, n));
		EVP_PKEY_free(part);
		assert_true(part == NULL || n >= k.n - 2);
	}
	assert_int_equal(pem_chain(slice_of(k.p, k.n), &c), E_SYNTAX);
	assert_null(c.p);
	sbuf_free(&k);
}

/* The chain that leaves this process never carries what else the file held. */
static void test_chain(void **state)
{
	struct sbuf two, k, out, text;

	(void)state;
	assert_int_equal(pem_of_certs(cert, cert, &two), E_OK);
	assert_int_equal(pem_of_key(key, &k), E_OK);
	sbuf_new(&text, k.n + two.n);
	memcpy(text.p, k.p, k.n);
	memcpy(text.p + k.n, two.p, two.n);
	assert_int_equal(pem_chain(sbuf_slice(&text), &out), E_OK);
	assert_true(slice_eq(sbuf_slice(&out), sbuf_slice(&two)));
	sbuf_free(&out);
	assert_int_equal(pem_chain(slice_of(two.p, two.n - 30), &out), E_SYNTAX);
	assert_int_equal(pem_chain(SLICE_LIT("nothing"), &out), E_SYNTAX);
	sbuf_free(&two);
	sbuf_free(&k);
	sbuf_free(&text);
}

static void test_chain_too_long(void **state)
{
	struct sbuf one, text, out;

	(void)state;
	assert_int_equal(pem_of_certs(cert, NULL, &one), E_OK);
	sbuf_new(&text, one.n * (PEM_CHAIN_MAX + 1));
	for (size_t i = 0; i <= PEM_CHAIN_MAX; i++)
		memcpy(text.p + i * one.n, one.p, one.n);
	assert_int_equal(pem_chain(slice_of(text.p, one.n * PEM_CHAIN_MAX), &out), E_OK);
	sbuf_free(&out);
	assert_int_equal(pem_chain(sbuf_slice(&text), &out), E_SYNTAX);
	sbuf_free(&one);
	sbuf_free(&text);
}

static int passphrase(char *buf, int cap, int writing, void *arg)
{
	size_t n = strlen(arg);

	(void)writing;
	assert_true((size_t)cap >= n);
	memcpy(buf, arg, n);
	return (int)n;
}

static EVP_PKEY *open_backup(const struct sbuf *b, const char *pass)
{
	BIO *in = BIO_new_mem_buf(b->p, (int)b->n);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(in, NULL, passphrase, (void *)(uintptr_t)pass);

	BIO_free(in);
	ERR_clear_error();
	return k;
}

static void test_backup(void **state)
{
	struct sbuf b;
	EVP_PKEY *k;
	X509 *x;

	(void)state;
	assert_int_equal(pem_backup(key, cert, SLICE_LIT("correct horse battery"), &b), E_OK);
	assert_null(memmem(b.p, b.n, "BEGIN PRIVATE KEY", 17));
	assert_non_null(memmem(b.p, b.n, "BEGIN ENCRYPTED PRIVATE KEY", 27));
	k = open_backup(&b, "correct horse battery");
	assert_int_equal(EVP_PKEY_eq(key, k), 1);
	EVP_PKEY_free(k);
	assert_null(open_backup(&b, "correct horse batterY"));
	assert_null(pem_key(sbuf_slice(&b))); /* asks nobody */
	x = pem_cert(sbuf_slice(&b));
	assert_int_equal(X509_cmp(cert, x), 0);
	X509_free(x);
	sbuf_free(&b);
}

static void test_backup_strength(void **state)
{
	struct sbuf b;
	const X509_ALGOR *alg;
	const ASN1_OBJECT *oid;
	const void *value;
	int type;
	BIO *in;
	X509_SIG *sealed;
	PBE2PARAM *p;
	PBKDF2PARAM *kdf;

	(void)state;
	assert_int_equal(pem_backup(key, cert, SLICE_LIT("twelve bytes"), &b), E_OK);
	in = BIO_new_mem_buf(b.p, (int)b.n);
	sealed = PEM_read_bio_PKCS8(in, NULL, NULL, NULL);
	X509_SIG_get0(sealed, &alg, NULL);
	X509_ALGOR_get0(&oid, &type, &value, alg);
	assert_int_equal(OBJ_obj2nid(oid), NID_pbes2);
	p = ASN1_item_unpack(value, ASN1_ITEM_rptr(PBE2PARAM));
	assert_int_equal(OBJ_obj2nid(p->encryption->algorithm), NID_aes_256_cbc);
	assert_int_equal(OBJ_obj2nid(p->keyfunc->algorithm), NID_id_pbkdf2);
	kdf = ASN1_item_unpack(p->keyfunc->parameter->value.sequence, ASN1_ITEM_rptr(PBKDF2PARAM));
	assert_true(ASN1_INTEGER_get(kdf->iter) >= 600000);
	assert_int_equal(OBJ_obj2nid(kdf->prf->algorithm), NID_hmacWithSHA256);
	PBKDF2PARAM_free(kdf);
	PBE2PARAM_free(p);
	X509_SIG_free(sealed);
	BIO_free(in);
	sbuf_free(&b);
	assert_int_equal(pem_backup(key, cert, SLICE_LIT("eleven byte"), &b), E_RANGE);
	assert_null(b.p);
	assert_int_equal(pem_backup(key, cert, SLICE_NONE, &b), E_RANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_chain),	   cmocka_unit_test(test_chain_too_long),
		cmocka_unit_test(test_backup),	   cmocka_unit_test(test_backup_strength),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
