/* derive: keys that are made from the pepper, and the rotating ticket keys. */
#ifndef PICKET_KEYS_DERIVE_H
#define PICKET_KEYS_DERIVE_H

#include "base/err.h"
#include "ipc/messages.h"

enum { PEPPER_BYTES = 32, TICKET_KEYS_KEPT = 3 };

/* HKDF-SHA-256 (RFC 5869) of the pepper, without salt; label tells uses apart.  fills 32 bytes.
 * E_NOMEM. */
enum err derive_key(const u8 pepper[PEPPER_BYTES], const char *label, u8 out[32]) MUST;
#define DERIVE_TOKEN "picket token hash 1"
#define DERIVE_STORE "picket store seal 1"

/* A fresh key in front; the oldest falls out at TICKET_KEYS_KEPT.  E_NOMEM: no randomness, nothing
 * changed. */
enum err tickets_rotate(struct m_ticket_keys *t) MUST;

#endif
