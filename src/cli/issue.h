/* issue: hand out new generated secrets: into bundles of files, or once to a terminal; never
 * elsewhere. */
#ifndef PICKET_CLI_ISSUE_H
#define PICKET_CLI_ISSUE_H

#include <jansson.h>

#include "cli/bundle.h"
#include "cli/cli.h"
#include "cli/site.h"

struct issue {
	const char *out; /* NULL: to the terminal */
	struct bundles *bundles;
	struct site site;
};

/* Before anything is made: is there a place for a secret, is it free, does picketd say what a
 * bundle needs? names: those known beforehand (may be empty).  Prints its refusal; 0 when well. */
int issue_begin(struct cli *c, const json_t *roles, const char *const *names, u32 n,
		struct issue *is) MUST;
/* identities: objects with name and token.  Writes all or nothing.  Prints its refusal; 0 when
 * well. */
int issue_write(struct cli *c, struct issue *is, const json_t *identities) MUST;
/* Where the secrets are, or the secrets themselves at a terminal; and the next command. */
void issue_tell(struct cli *c, const struct issue *is, const json_t *identities);
void issue_end(struct issue *is);

#endif
