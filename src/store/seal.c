/* seal: AES-256-GCM by OpenSSL; two contexts that keep the key's schedule. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/wr.h"
#include "store/seal.h"

#define SEAL_MAGIC 0x5ea15ea1u
enum { SEAL_KEY = 32 };
_Static_assert(FORMAT_NONCE == 12, "the nonce of GCM");

struct seal {
	u32 magic;
	u32 opening; /* 24 random bits */
	u64 epoch, counter;
	EVP_CIPHER_CTX *close, *open;
	u8 check[FORMAT_CHECK];
};

/* A library that fails here is out of memory: what was to be written cannot be. */
static void must(int rc)
{
	if (rc != 1)
		UNREACHABLE("AES-256-GCM is always there");
}

static EVP_CIPHER_CTX *context(const u8 *key, int encrypts)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	ASSERT(key != NULL);
	if (c != NULL)
		must(EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, NULL, encrypts));
	return c;
}

/* The beginning of the hash of a fixed text and the key: it takes the key to make it. */
static void make_check(struct seal *s, const u8 *key)
{
	static const char text[] = "picket store key check";
	u8 in[sizeof(text) + SEAL_KEY], out[SHA256_DIGEST_LENGTH];

	memcpy(in, text, sizeof(text));
	memcpy(in + sizeof(text), key, SEAL_KEY);
	ASSERT(SHA256(in, sizeof(in), out) != NULL);
	memcpy(s->check, out, sizeof(s->check));
	s->check[0] |= 1; /* all zero means no key */
	mem_wipe(in, sizeof(in));
}

struct seal *seal_new(const u8 *key)
{
	struct seal *s = calloc(1, sizeof(*s));

	ASSERT(key != NULL);
	if (s == NULL)
		return NULL;
	s->magic = SEAL_MAGIC;
	s->close = context(key, 1);
	s->open = context(key, 0);
	make_check(s, key);
	if (s->close == NULL || s->open == NULL)
		seal_free(&s);
	return s;
}

void seal_free(struct seal **sp)
{
	struct seal *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	OBJ_CHECK(s, SEAL_MAGIC);
	EVP_CIPHER_CTX_free(s->close); /* wipes the schedule */
	EVP_CIPHER_CTX_free(s->open);
	mem_wipe(s, sizeof(*s));
	free(s);
}

void seal_check(const struct seal *s, u8 out[FORMAT_CHECK])
{
	OBJ_CHECK(s, SEAL_MAGIC);
	memcpy(out, s->check, FORMAT_CHECK);
}

void seal_begin(struct seal *s, u64 epoch)
{
	u8 b[3];

	OBJ_CHECK(s, SEAL_MAGIC);
	ASSERT(epoch > s->epoch && epoch < 1u << 24);
	must(RAND_bytes(b, sizeof(b)));
	s->opening = (u32)(b[0] << 16 | b[1] << 8 | b[2]);
	s->epoch = epoch;
	s->counter = 0;
}

static void next_nonce(struct seal *s, u8 nonce[FORMAT_NONCE])
{
	struct wr w = wr_of(nonce, FORMAT_NONCE);

	ASSERT(s->epoch != 0);
	ASSERT(s->counter < 1ull << 48);
	wr_be(&w, (u32)s->epoch, 3);
	wr_be(&w, s->opening, 3);
	wr_u16(&w, (u16)(s->counter >> 32));
	wr_u32(&w, (u32)s->counter);
	ASSERT(w.err == E_OK && w.n == FORMAT_NONCE);
	s->counter++;
}

void seal_close(struct seal *s, struct slice aad, u8 *b, size_t n, u8 nonce[FORMAT_NONCE],
		u8 tag[FORMAT_TAG])
{
	int out = 0;

	OBJ_CHECK(s, SEAL_MAGIC);
	ASSERT(n <= INT32_MAX && aad.n <= INT32_MAX);
	next_nonce(s, nonce);
	must(EVP_EncryptInit_ex(s->close, NULL, NULL, NULL, nonce));
	must(EVP_EncryptUpdate(s->close, NULL, &out, aad.p, (int)aad.n));
	must(EVP_EncryptUpdate(s->close, b, &out, b, (int)n));
	ASSERT((size_t)out == n);
	must(EVP_EncryptFinal_ex(s->close, b + n, &out));
	must(EVP_CIPHER_CTX_ctrl(s->close, EVP_CTRL_GCM_GET_TAG, FORMAT_TAG, tag));
}

enum err seal_open(const struct seal *s, struct slice aad, const u8 *nonce, struct slice in,
		   const u8 *tag, u8 *out)
{
	u8 want[FORMAT_TAG];
	int n = 0;

	OBJ_CHECK(s, SEAL_MAGIC);
	if (in.n > INT32_MAX)
		return E_CORRUPT;
	ASSERT(aad.n <= INT32_MAX);
	memcpy(want, tag, sizeof(want));
	must(EVP_DecryptInit_ex(s->open, NULL, NULL, NULL, nonce));
	must(EVP_DecryptUpdate(s->open, NULL, &n, aad.p, (int)aad.n));
	must(EVP_DecryptUpdate(s->open, out, &n, in.p, (int)in.n));
	must(EVP_CIPHER_CTX_ctrl(s->open, EVP_CTRL_GCM_SET_TAG, FORMAT_TAG, want));
	return EVP_DecryptFinal_ex(s->open, out + in.n, &n) == 1 ? E_OK : E_CORRUPT;
}
