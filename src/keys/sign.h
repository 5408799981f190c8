/* sign: what the broker may have signed, and the signing. */
#ifndef PICKET_KEYS_SIGN_H
#define PICKET_KEYS_SIGN_H

#include <openssl/evp.h>

#include "base/err.h"
#include "ipc/messages.h"

enum { SIGNATURE_MAX = 1024 };

/* Are these bytes what a TLS server signs in a handshake, and may this algorithm sign that? Nothing
 * else is ever signed, so that a broker in wrong hands cannot have a certificate, a token or
 * another protocol's message signed. E_MALFORM: the bytes are neither a TLS 1.3 server
 * CertificateVerify (RFC 8446 section 4.4.3) nor TLS 1.2 ECDHE parameters (RFC 8422 section 5.4);
 * E_RANGE: no such shape or algorithm, or not together.  Pure. */
enum err sign_request_check(u32 shape, u32 alg, struct slice bytes) MUST;

/* Check, hash and sign.  fills sig (SIGNATURE_MAX bytes).  Besides the above: E_RANGE when the
 * algorithm does not fit the key, E_IO when OpenSSL fails. */
enum err sign_handshake(EVP_PKEY *key, u32 shape, u32 alg, struct slice bytes, u8 *sig,
			size_t *n) MUST;

#endif
