/* pem: reads and writes the texts that keys and certificates are kept in.  Secret bytes stay in
 * secure memory and are wiped. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>

#include "keys/pem.h"

enum { BACKUP_ROUNDS = 600000, BACKUP_SALT = 16 };

void sbuf_new(struct sbuf *b, size_t n)
{
	b->p = OPENSSL_secure_zalloc(MAX(n, (size_t)1));
	if (b->p == NULL) /* it is small; what does not fit is still wiped */
		b->p = OPENSSL_zalloc(MAX(n, (size_t)1));
	ASSERT(b->p != NULL);
	b->n = n;
}

void sbuf_copy(struct sbuf *b, struct slice s)
{
	sbuf_new(b, s.n);
	if (s.n > 0)
		memcpy(b->p, s.p, s.n);
}

void sbuf_free(struct sbuf *b)
{
	OPENSSL_secure_clear_free(b->p, b->n);
	*b = (struct sbuf){NULL, 0};
}

static BIO *text_open(struct slice text)
{
	return text.n > 0 && text.n <= PEM_FILE_MAX ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
}

/* An encrypted key would make OpenSSL ask the terminal. */
static int no_passphrase(char *buf, int cap, int writing, void *arg)
{
	(void)buf;
	(void)cap;
	(void)writing;
	(void)arg;
	return -1;
}

EVP_PKEY *pem_key(struct slice text)
{
	BIO *b = text_open(text);
	EVP_PKEY *key = b != NULL ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;

	BIO_free(b);
	ERR_clear_error();
	return key;
}

X509 *pem_cert(struct slice text)
{
	BIO *b = text_open(text);
	X509 *x = b != NULL ? PEM_read_bio_X509(b, NULL, no_passphrase, NULL) : NULL;

	BIO_free(b);
	ERR_clear_error();
	return x;
}

static enum err take_output(BIO *out, bool ok, struct sbuf *b)
{
	char *p = NULL;
	long n = ok ? BIO_get_mem_data(out, &p) : 0;

	if (n > 0)
		sbuf_copy(b, slice_of(p, (size_t)n));
	BIO_free(out); /* secure memory is wiped */
	ERR_clear_error();
	return n > 0 ? E_OK : E_NOMEM;
}

static BIO *output_open(struct sbuf *b)
{
	BIO *out = BIO_new(BIO_s_secmem());

	*b = (struct sbuf){NULL, 0};
	ASSERT(out != NULL);
	return out;
}

enum err pem_of_key(EVP_PKEY *key, struct sbuf *b)
{
	BIO *out = output_open(b);

	return take_output(
		out, PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1, b);
}

enum err pem_of_certs(X509 *x, X509 *next, struct sbuf *b)
{
	BIO *out = output_open(b);
	bool ok = PEM_write_bio_X509(out, x) == 1 &&
		  (next == NULL || PEM_write_bio_X509(out, next) == 1);

	return take_output(out, ok, b);
}

static bool at_end(void)
{
	unsigned long e = ERR_peek_last_error();

	return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

enum err pem_chain(struct slice text, struct sbuf *b)
{
	BIO *in = text_open(text), *out = output_open(b);
	bool ok = in != NULL;
	u32 n = 0;

	ERR_clear_error();
	while (ok && n <= PEM_CHAIN_MAX) {
		X509 *x = PEM_read_bio_X509(in, NULL, no_passphrase, NULL);
		if (x == NULL)
			break;
		ok = PEM_write_bio_X509(out, x) == 1;
		X509_free(x);
		n++;
	}
	ok = ok && n > 0 && n <= PEM_CHAIN_MAX && at_end();
	BIO_free(in);
	return take_output(out, ok, b) == E_OK ? E_OK : E_SYNTAX;
}

static X509_SIG *encrypt(EVP_PKEY *key, struct slice pass)
{
	u8 salt[BACKUP_SALT];
	PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(key);
	X509_ALGOR *pbe = NULL;
	X509_SIG *sealed = NULL;

	if (plain != NULL && RAND_bytes(salt, sizeof(salt)) == 1)
		pbe = PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), BACKUP_ROUNDS, salt, sizeof(salt), NULL,
					NID_hmacWithSHA256);
	if (pbe != NULL)
		sealed = PKCS8_set0_pbe((const char *)pass.p, (int)pass.n, plain,
					pbe); /* takes pbe */
	if (pbe != NULL && sealed == NULL)
		X509_ALGOR_free(pbe);
	PKCS8_PRIV_KEY_INFO_free(plain);
	return sealed;
}

enum err pem_backup(EVP_PKEY *key, X509 *cert, struct slice passphrase, struct sbuf *b)
{
	BIO *out;
	X509_SIG *sealed;
	bool ok;

	*b = (struct sbuf){NULL, 0};
	if (passphrase.n < BACKUP_PASSPHRASE_MIN || passphrase.n > PEM_FILE_MAX)
		return E_RANGE;
	out = output_open(b);
	sealed = encrypt(key, passphrase);
	ok = sealed != NULL && PEM_write_bio_PKCS8(out, sealed) == 1 &&
	     PEM_write_bio_X509(out, cert) == 1;
	X509_SIG_free(sealed);
	return take_output(out, ok, b);
}
