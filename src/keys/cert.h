/* cert: the certificates that picket makes itself: its CA and its server certificate. */
#ifndef PICKET_KEYS_CERT_H
#define PICKET_KEYS_CERT_H

#include <openssl/x509.h>

#include "keys/names.h"

enum {
	CERT_CA_DAYS = 3650,
	CERT_SERVER_DAYS = 90,
	CERT_CA_WARN_DAYS = 365,
	CERT_BACKDATE_DAYS = 1,
	CERT_TEXT = 160
};

/* All times are wall clock milliseconds.  A clock that stands before this program was written is
 * wrong (no battery, no network yet); certificates are then counted from here instead. */
u64 cert_clock(u64 wall_ms);

/* A CA: P-256, "NAME device CA", 10 years, signs end certificates only.  The caller owns both.
 * E_NOMEM. */
enum err cert_make_ca(const char *name, u64 now_ms, EVP_PKEY **key, X509 **cert) MUST;
/* A server certificate of that CA for those names, with a new P-256 key; 90 days, never longer than
 * the CA. */
enum err cert_make_server(EVP_PKEY *ca_key, X509 *ca, const struct names *names, u64 now_ms,
			  EVP_PKEY **key, X509 **cert) MUST;
/* A self-signed certificate for a CA key whose certificate was lost: the same name as name gives.
 */
enum err cert_make_ca_again(const char *name, u64 now_ms, EVP_PKEY *key, X509 **cert) MUST;

/* Is this pair a CA that may sign?  E_CORRUPT fills what. */
enum err cert_check_ca(EVP_PKEY *key, X509 *cert, char *what, size_t cap) MUST;
/* Why the server certificate has to be made anew now; NULL: it stays.  key, cert may be NULL (none
 * yet). */
const char *cert_why_renew(EVP_PKEY *key, X509 *cert, X509 *ca, const struct names *names,
			   u64 now_ms);
/* May a certificate that somebody else issued be served?  E_CONFIG fills what: the key does not
 * belong to it, or is of a kind that TLS here does not sign with (EC P-256, P-384, RSA of 2,048 to
 * 8,192 bits). */
enum err cert_check_external(EVP_PKEY *key, X509 *cert, char *what, size_t cap) MUST;

u64 cert_not_before(const X509 *cert);
u64 cert_not_after(const X509 *cert);
/* Two thirds of its life are over then. */
u64 cert_renew_at(const X509 *cert);

#endif
