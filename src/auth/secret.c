/* secret: credentials as bytes.  See secret.h. */
#include <argon2.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <zxcvbn.h>

#include "auth/secret.h"
#include "base/utf8.h"

enum { SALT_BYTES = 16, PASSWORD_HASH_BYTES = 32 };

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

static void random_fill(u8 *out, size_t n)
{
	ASSERT(n <= 256);
	ASSERT(getrandom(out, n, 0) == (ssize_t)n);
}

/* ---- tokens --------------------------------------------------------------------------- */
void token_make(char out[static TOKEN_CHARS + 1])
{
	u8 raw[TOKEN_BYTES + 1] = {0};
	u32 acc = 0, bits = 0, next = 0;

	random_fill(raw, TOKEN_BYTES);
	memcpy(out, "pk_", 3);
	for (u32 i = 3; i < TOKEN_CHARS; i++) {
		if (bits < 5) {
			acc = acc << 8 | raw[next++];
			bits += 8;
		}
		bits -= 5;
		out[i] = base32[acc >> bits & 31];
	}
	out[TOKEN_CHARS] = '\0';
	mem_wipe(raw, sizeof(raw));
}

bool token_shaped(struct slice s)
{
	bool ok = s.n == TOKEN_CHARS && memcmp(s.p, "pk_", 3) == 0;

	for (size_t i = 3; ok && i < TOKEN_CHARS; i++)
		ok = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '2' && s.p[i] <= '7');
	return ok;
}

static double strength(const char *text, const char *name)
{
	const char *words[] = {name, "picket", "mqtt", NULL};

	return ZxcvbnMatch(text, words, NULL);
}

bool token_strong(struct slice s)
{
	char text[PASSWORD_MAX + 1];
	bool ok;

	if (token_shaped(s))
		return true;
	if (s.n < TOKEN_GIVEN_MIN || s.n > PASSWORD_MAX || memchr(s.p, 0, s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	ok = strength(text, "token") >= TOKEN_GIVEN_BITS;
	mem_wipe(text, sizeof(text));
	return ok;
}

void token_hash(const u8 key[static 32], struct slice token, u8 out[static TOKEN_HASH])
{
	unsigned n = 0;

	ASSERT(HMAC(EVP_sha256(), key, 32, token.p, token.n, out, &n) != NULL);
	ASSERT(n == TOKEN_HASH);
}

/* ---- passwords ------------------------------------------------------------------------ */
static size_t characters(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += (s.p[i] & 0xc0) != 0x80;
	return n;
}

/* The name within the password, letter case aside. */
static bool has_name(const char *text, const char *name)
{
	return strlen(name) >= 3 && strcasestr(text, name) != NULL;
}

const char *password_refuse(struct slice password, const char *name)
{
	char text[PASSWORD_MAX + 1];
	const char *why = NULL;

	if (password.n > PASSWORD_MAX)
		return "it is longer than 256 bytes";
	if (!utf8_ok(password))
		return "it is not well-formed text";
	if (characters(password) < PASSWORD_MIN)
		return "it is shorter than 8 characters";
	if (password.n >= 3 && memcmp(password.p, "pk_", 3) == 0)
		return "it begins as generated tokens do (pk_)";
	memcpy(text, password.p, password.n);
	text[password.n] = '\0';
	if (has_name(text, name))
		why = "it contains the name";
	else if (strength(text, name) < PASSWORD_BITS)
		why = "it is too easy to guess";
	mem_wipe(text, sizeof(text));
	return why;
}

enum err password_hash(struct slice password, char out[static HASH_TEXT])
{
	u8 salt[SALT_BYTES];
	int rc;

	random_fill(salt, sizeof(salt));
	rc = argon2id_hash_encoded(ARGON_PASSES, ARGON_KIB, 1, password.p, password.n, salt,
				   sizeof(salt), PASSWORD_HASH_BYTES, out, HASH_TEXT);
	ASSERT(rc == ARGON2_OK || rc == ARGON2_MEMORY_ALLOCATION_ERROR);
	return rc == ARGON2_OK ? E_OK : E_NOMEM;
}

enum err password_verify(const char *hash, struct slice password)
{
	switch (argon2id_verify(hash, password.p, password.n)) {
	case ARGON2_OK:
		return E_OK;
	case ARGON2_MEMORY_ALLOCATION_ERROR:
		return E_NOMEM;
	default:
		return E_CREDENTIAL;
	}
}

_Static_assert(ARGON_KIB >= ARGON_KIB_FLOOR, "OWASP: 19 MiB and 2 passes at least");
_Static_assert(ARGON_PASSES >= 2, "OWASP: 19 MiB and 2 passes at least");
