/* secret: credentials as bytes: generated tokens and the policy for chosen passwords, their hashes.
 *
 * A generated token has 128 bits of the kernel's randomness; guessing it is hopeless, so what is
 * stored is a keyed hash (HMAC-SHA-256) and a check costs a microsecond.  A chosen password is
 * stored as an Argon2id string (RFC 9106; parameters in the string, OWASP's minimum is the floor).
 * Pure apart from getrandom. */
#ifndef PICKET_AUTH_SECRET_H
#define PICKET_AUTH_SECRET_H

#include "base/err.h"
#include "base/mem.h"

enum {
	TOKEN_BYTES = 16,
	TOKEN_CHARS = 3 + 26, /* "pk_" and 26 letters of base32 */
	TOKEN_HASH = 32,
	PASSWORD_MIN = 8,   /* characters: NIST SP 800-63B section 3.1.1 */
	PASSWORD_MAX = 256, /* bytes */
	PASSWORD_BITS = 50, /* least strength that zxcvbn estimates */
	TOKEN_GIVEN_MIN =
		22, /* characters: a secret from elsewhere that passes for 128 random bits */
	TOKEN_GIVEN_BITS = 90,
	HASH_TEXT = 128, /* an encoded Argon2id string with its NUL */
};

/* Argon2id: about 50 ms on a small server's core, and never under 19 MiB, 2 passes. */
enum { ARGON_KIB = 32 * 1024, ARGON_PASSES = 2, ARGON_KIB_FLOOR = 19 * 1024 };

/* A new token as text. */
void token_make(char out[static TOKEN_CHARS + 1]);
/* Has the form of a token that picket makes. */
bool token_shaped(struct slice s);
/* May a secret that was made elsewhere be treated as a generated one? */
bool token_strong(struct slice s);
void token_hash(const u8 key[static 32], struct slice token, u8 out[static TOKEN_HASH]);

/* NULL: good enough; else why not, for the person who chose it. */
const char *password_refuse(struct slice password, const char *name);
/* A fresh salt.  Borrows; takes ARGON_KIB of memory.  E_NOMEM. */
enum err password_hash(struct slice password, char out[static HASH_TEXT]) MUST;
/* E_OK or E_CREDENTIAL; E_NOMEM when there is no memory to find out.  hash is NUL-terminated. */
enum err password_verify(const char *hash, struct slice password) MUST;

#endif
