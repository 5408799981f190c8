/* sign_request: reads what the broker wants signed and refuses all that is not a TLS handshake.
 * Pure and total: no key, no OpenSSL. */
#include "base/rd.h"
#include "keys/sign.h"

/* RFC 8446 section 4.4.3. */
static const char context_13[] = "TLS 1.3, server CertificateVerify";
enum { SPACES = 64, HASH_256 = 32, HASH_384 = 48 };
/* RFC 8422 section 5.4. */
enum {
	RANDOM = 32,
	NAMED_CURVE = 3,
	P256 = 0x0017,
	P384 = 0x0018,
	X25519 = 0x001d,
	UNCOMPRESSED = 4
};

static enum err check_13(struct rd *r)
{
	struct slice spaces = rd_bytes(r, SPACES);
	struct slice context = rd_bytes(r, sizeof(context_13)); /* with its zero byte */
	size_t hash = rd_left(r);

	if (r->err != E_OK || (hash != HASH_256 && hash != HASH_384))
		return E_MALFORM;
	for (size_t i = 0; i < spaces.n; i++) {
		if (spaces.p[i] != ' ')
			return E_MALFORM;
	}
	return memcmp(context.p, context_13, sizeof(context_13)) == 0 ? E_OK : E_MALFORM;
}

static size_t point_bytes(u32 group)
{
	switch (group) {
	case P256:
		return 65;
	case P384:
		return 97;
	case X25519:
		return 32;
	default:
		return 0;
	}
}

static enum err check_12(struct rd *r)
{
	struct slice randoms = rd_bytes(r, RANDOM + RANDOM);
	u8 type = rd_u8(r);
	u32 group = rd_u16(r);
	struct slice point = rd_bytes(r, rd_u8(r));

	(void)randoms; /* any bytes: they are the client's and the server's chance */
	if (r->err != E_OK || rd_left(r) != 0 || type != NAMED_CURVE)
		return E_MALFORM;
	if (point.n == 0 || point.n != point_bytes(group))
		return E_MALFORM;
	return group == X25519 || point.p[0] == UNCOMPRESSED ? E_OK : E_MALFORM;
}

enum err sign_request_check(u32 shape, u32 alg, struct slice bytes)
{
	struct rd r = rd_of(bytes);

	if (alg < SIGN_ECDSA_SHA256 || alg > SIGN_RSA_PKCS1_SHA256)
		return E_RANGE;
	if (shape == SIGN_TLS12_SERVER_KX)
		return check_12(&r);
	/* TLS 1.3 has no PKCS #1 v1.5 in handshakes (RFC 8446 section 4.2.3). */
	if (shape != SIGN_TLS13_SERVER || alg == SIGN_RSA_PKCS1_SHA256)
		return E_RANGE;
	return check_13(&r);
}
