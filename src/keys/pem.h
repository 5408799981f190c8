/* pem: keys and certificates as text, and the bytes of secret files. */
#ifndef PICKET_KEYS_PEM_H
#define PICKET_KEYS_PEM_H

#include <openssl/x509.h>

#include "base/err.h"

enum { PEM_FILE_MAX = 32 * 1024 - 1, PEM_CHAIN_MAX = 8, BACKUP_PASSPHRASE_MIN = 12 };

/* Bytes in OpenSSL's secure heap (locked, not dumped) where there is one; wiped when freed. */
struct sbuf {
	u8 *p;
	size_t n;
};
/* n bytes, zeroed. */
void sbuf_new(struct sbuf *b, size_t n);
void sbuf_copy(struct sbuf *b, struct slice s);
void sbuf_free(struct sbuf *b);
static inline struct slice sbuf_slice(const struct sbuf *b)
{
	return slice_of(b->p, b->n);
}

/* The first private key of a text; NULL: none, or encrypted (nobody can be asked here).  The caller
 * owns it. */
EVP_PKEY *pem_key(struct slice text);
/* The first certificate; NULL: none. */
X509 *pem_cert(struct slice text);
/* The certificates of a chain in order, PEM again, without anything else that the text holds (never
 * a key). E_SYNTAX: none, damaged, or more than PEM_CHAIN_MAX.  The caller frees with sbuf_free. */
enum err pem_chain(struct slice text, struct sbuf *out) MUST;
/* The caller frees with sbuf_free; b may be NULL. */
enum err pem_of_key(EVP_PKEY *key, struct sbuf *out) MUST;
enum err pem_of_certs(X509 *a, X509 *b, struct sbuf *out) MUST;

/* The CA's key, encrypted with a passphrase (PKCS #8, PBES2: PBKDF2 with 600,000 rounds of
 * HMAC-SHA-256, AES-256-CBC; RFC 8018), and its certificate.  E_RANGE: a passphrase of fewer than
 * BACKUP_PASSPHRASE_MIN bytes. */
enum err pem_backup(EVP_PKEY *key, X509 *cert, struct slice passphrase, struct sbuf *out) MUST;

#endif
