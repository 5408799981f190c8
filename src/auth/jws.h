/* jws: is this a token that one of our keys signed, and what does it claim?  (RFC 7515 compact
 * form, RFC 7519, RFC 8725.)
 *
 * Pure: no clock of its own, no store, no network.  Whatever a token says of keys (jwk, jku, x5u,
 * x5c) is not looked at; with crit, or an encryption or compression of its own, it is refused. */
#ifndef PICKET_AUTH_JWS_H
#define PICKET_AUTH_JWS_H

#include <jansson.h>

#include "auth/jwk.h"

enum { JWT_BYTES = 8192, JWT_SKEW_S = 60 };

/* Has the form of one: three parts of base64url.  For the chain: else it is somebody else's. */
bool jwt_shaped(struct slice token);

struct jwt_rules {
	const char *issuer, *audience; /* exact; "": not asked for */
	u64 now_s;		       /* since 1970 */
	bool exp_optional;
};
struct jwt {
	json_t *claims; /* an object; jwt_clear lets it go */
	u64 exp_s;	/* 0: none */
	const struct jwk *key;
};

/* E_CREDENTIAL whatever is wrong; *why says it in our own words, for the log (I31).  E_NOMEM. */
enum err jwt_verify(const struct jwks *keys, struct slice token, const struct jwt_rules *rules,
		    struct jwt *out, const char **why) MUST;
void jwt_clear(struct jwt *t);

#endif
