/* What a broker in wrong hands may send to keys as a thing to be signed.  Whatever is let through
 * must have the one shape of its kind; the shape is checked here a second time, in other words. */
#include "keys/sign.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static bool is_verify(struct slice s)
{
	static const char context[] = "TLS 1.3, server CertificateVerify";
	u8 head[64 + sizeof(context)];

	memset(head, 0x20, 64);
	memcpy(head + 64, context, sizeof(context));
	return (s.n == sizeof(head) + 32 || s.n == sizeof(head) + 48) &&
	       memcmp(s.p, head, sizeof(head)) == 0;
}

static bool is_key_exchange(struct slice s)
{
	static const struct {
		size_t n;
		u8 head[5];
		size_t head_n;
	} kinds[] = {
		{64 + 4 + 32, {3, 0, 0x1d, 32}, 4},
		{64 + 4 + 65, {3, 0, 0x17, 65, 4}, 5},
		{64 + 4 + 97, {3, 0, 0x18, 97, 4}, 5},
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (s.n == kinds[i].n && memcmp(s.p + 64, kinds[i].head, kinds[i].head_n) == 0)
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct slice s = slice_skip(slice_of(data, size), 2);
	u32 shape, alg;

	if (size < 2)
		return 0;
	shape = data[0];
	alg = data[1];
	if (sign_request_check(shape, alg, s) != E_OK)
		return 0;
	ASSERT(alg >= SIGN_ECDSA_SHA256 && alg <= SIGN_RSA_PKCS1_SHA256);
	if (shape == SIGN_TLS13_SERVER)
		ASSERT(is_verify(s) && alg != SIGN_RSA_PKCS1_SHA256);
	else
		ASSERT(shape == SIGN_TLS12_SERVER_KX && is_key_exchange(s));
	return 0;
}
