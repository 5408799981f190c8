/* A token and a set of keys, both of any bytes (a newline between them): neither parser trips, and
 * nothing that our own keys did not sign is ever accepted. */
#include "auth/jws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char ours[] =
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\n', size);
	struct slice token = slice_of(data, end != NULL ? (size_t)(end - data) : size);
	struct slice json = end != NULL ? slice_of(end + 1, size - token.n - 1) : SLICE_NONE;
	const struct jwt_rules rules = {.issuer = "", .audience = "", .now_s = 1700000000};
	static struct jwks keys;
	struct jwks theirs;
	struct jwt t;
	const char *why;
	char text[128];

	if (keys.n == 0 &&
	    jwks_parse(&keys, slice_str(ours), UINT32_MAX, text, sizeof(text)) != E_OK)
		return 0;
	ASSERT(jwt_verify(&keys, token, &rules, &t, &why) == E_CREDENTIAL);
	if (jwks_parse(&theirs, json, UINT32_MAX, text, sizeof(text)) != E_OK)
		return 0;
	if (jwt_verify(&theirs, token, &rules, &t, &why) == E_OK)
		jwt_clear(&t);
	jwks_clear(&theirs);
	return 0;
}
