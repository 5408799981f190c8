/* site: what a bundle has to know of the broker: host, port, CA, and topics of a role. */
#ifndef PICKET_CLI_SITE_H
#define PICKET_CLI_SITE_H

#include <jansson.h>

#include "cli/bundle.h"
#include "cli/cli.h"

struct site {
	struct bundle_site view; /* what the bundles use; views the rest */
	char host[256];
	char *ca_pem;
	u8 *ca_der;
	char subscribe[512], publish[512]; /* "" : none */
	char may_publish[512];		   /* the filter that publish is an example of */
	bool host_unsure;		   /* the name is not in the server's certificate */
};

/* Ask picketd.  roles: of the new identities.  Prints its refusal; 0 when well. */
int site_load(struct cli *c, const json_t *roles, struct site *out) MUST;
void site_free(struct site *s);

/* The first filter that the role's text allows for the action; "" when there is none that ${device}
 * alone fills. */
void site_filter(const char *role_text, const char *action, char *out, size_t cap);
/* A topic inside a filter: wildcards become words. */
void site_topic(const char *filter, char *out, size_t cap);

#endif
