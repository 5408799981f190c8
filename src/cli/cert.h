/* cert: reads certificates for people: names, end, fingerprint. */
#ifndef PICKET_CLI_CERT_H
#define PICKET_CLI_CERT_H

#include "base/err.h"

struct cert_info {
	char subject[256];
	char names[1024]; /* DNS names and addresses, ", " between */
	char key[32];	  /* "P-256", "RSA" */
	char sha256[100]; /* of the DER, in hexadecimal with colons */
	u64 not_before_ms, not_after_ms;
};
/* The first certificate of a PEM text.  E_SYNTAX. */
enum err cert_read(const char *pem, struct cert_info *out) MUST;
/* Its DER; the caller frees. */
enum err cert_der(const char *pem, u8 **der, size_t *n) MUST;
/* Is host one of names? */
bool cert_has_name(const struct cert_info *c, const char *host) MUST;

#endif
