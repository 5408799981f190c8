/* seal: records encrypted and authenticated with AES-256-GCM.  Owns the key and the nonces, none of
 * which is used twice: each begins with the epoch of this opening of the store and with a random
 * number, so that a store that was set back to an older copy does not repeat itself either. */
#ifndef PICKET_STORE_SEAL_H
#define PICKET_STORE_SEAL_H

#include "base/err.h"
#include "store/format.h"

struct seal;

/* key: 32 bytes, borrowed; kept apart from what a core dump shows.  NULL when memory is out. */
struct seal *seal_new(const u8 *key) MUST;
void seal_free(struct seal **s);
/* What tells whether a key is the right one, and nothing else about it. */
void seal_check(const struct seal *s, u8 out[FORMAT_CHECK]);
/* Before anything is sealed: the number of this opening, below 2^24. */
void seal_begin(struct seal *s, u64 epoch);

/* Encrypt n bytes in place; fills nonce and tag. */
void seal_close(struct seal *s, struct slice aad, u8 *b, size_t n, u8 nonce[FORMAT_NONCE],
		u8 tag[FORMAT_TAG]);
/* Decrypt in into out, of as many bytes.  E_CORRUPT: it is not what was sealed. */
enum err seal_open(const struct seal *s, struct slice aad, const u8 *nonce, struct slice in,
		   const u8 *tag, u8 *out) MUST;

#endif
