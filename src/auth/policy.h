/* policy: the rights in the store as policy text, as a document and as the compiled block in force.
 */
#ifndef PICKET_AUTH_POLICY_H
#define PICKET_AUTH_POLICY_H

#include "auth/state.h"

/* A growing text.  NULL-safe; free with free(). */
struct text {
	char *p;
	size_t n, cap;
};
void text_add(struct text *t, const char *s);
void text_addf(struct text *t, const char *fmt, ...) PRINTF(2, 3);

/* Roles and denies of the store as text; the caller frees *out. */
enum err policy_text(struct db *d, char **out) MUST;
/* One identity as a statement of the policy language. */
enum err policy_identity_text(struct db *d, const struct identity *i, struct text *t) MUST;
/* Roles, denies and all identities: what export prints (canonical). */
enum err policy_export(struct db *d, char **out) MUST;

/* Compile what the store (with an open transaction) says.  The caller frees *block. */
enum err policy_build(struct auth *a, u64 generation, u8 **block, size_t *len) MUST;
/* Put a compiled block (taken) in force. */
enum err policy_install(struct auth *a, u8 *block, size_t len, u64 generation) MUST;
/* The difference between the store and what doc would make of it, for the identities that doc
 * names; the caller frees *diff and *before (the text that leads back). */
enum err policy_difference(struct db *d, const struct policy_doc *doc, char **before,
			   char **diff) MUST;
/* Write what doc says over the rows, in the open change of c: all roles and denies; identities that
 * it names, without credentials where they are new (their ids are added to created).  keep_used: a
 * role that somebody holds stays.  What is not possible is refused in c. */
enum err policy_write(struct auth *a, struct call *c, const struct policy_doc *doc, bool keep_used,
		      json_t *created) MUST;
/* Refuse a text that does not parse. */
void policy_refuse(struct call *c, const struct policy_error *pe);

/* An applied policy that waits to be confirmed is taken back when its time is over, across
 * restarts. */
void policy_confirm_resume(struct auth *a);
void policy_confirm_timer(struct timer *t);

/* At start: what the store says, under its last generation. */
enum err policy_load(struct auth *a) MUST;

#endif
