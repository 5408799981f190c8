/* bootstrap: the first policy, applied once, when the store is empty: roles, denies, identities and
 * their secrets from files.  All or nothing: what does not parse or is too weak stops the start.
 *
 * The supervisor opens the files, by itself before START or when asked: the policy as
 * FILE_BOOTSTRAP, and the nth secret as FILE_BOOTSTRAP_SECRET with index n, counted over the
 * identities of the document, the token file of one before its password file. */
#ifndef PICKET_AUTH_BOOTSTRAP_H
#define PICKET_AUTH_BOOTSTRAP_H

#include "auth/state.h"

/* At start, with store and configuration: is there anything to do?  E_CONFIG: a text that came
 * already is wrong (said in the log). */
enum err bootstrap_prepare(struct auth *a) MUST;
/* The supervisor's answer to a file_get, or before it; fd is borrowed, -1 with an error. */
enum err bootstrap_file(struct auth *a, const struct m_file *m, int fd) MUST;
/* Go on as far as possible; a->has_boot when it is done.  E_CONFIG. */
enum err bootstrap_run(struct auth *a) MUST;
void bootstrap_free(struct auth *a);

#endif
