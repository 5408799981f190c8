/* tls_alpn: which protocol a connection speaks, as far as TLS is told (RFC 7301), and what the
 * upgrade to one of them asks of OpenSSL: a digest, and whether a name is ours. */
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "net/tls_i.h"

#define RAW	  "\x04mqtt"
#define WEBSOCKET "\x08http/1.1"

struct slice tls_alpn_offer(u32 protocols)
{
	ASSERT((protocols & ~(u32)(NET_RAW | NET_WEBSOCKET)) == 0);
	ASSERT(protocols != 0);
	if (protocols == NET_RAW)
		return SLICE_LIT(RAW);
	return protocols == NET_WEBSOCKET ? SLICE_LIT(WEBSOCKET) : SLICE_LIT(RAW WEBSOCKET);
}

u32 tls_protocol(const struct tls_conn *t)
{
	const u8 *name;
	unsigned n;

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	ASSERT(t->done);
	SSL_get0_alpn_selected(t->ssl, &name, &n);
	if (n == 0)
		return 0;
	return slice_eq(slice_of(name, n), SLICE_LIT("mqtt")) ? NET_RAW : NET_WEBSOCKET;
}

bool tls_has_name(const struct tls_conn *t, struct slice name)
{
	X509 *ours = SSL_get_certificate(t->ssl);

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	ASSERT(ours != NULL);
	return name.n != 0 && X509_check_host(ours, (const char *)name.p, name.n,
					      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
}

void tls_sha1(struct slice a, struct slice b, u8 out[20])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned n = 0;
	bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha1(), NULL) == 1 &&
		  EVP_DigestUpdate(md, a.p, a.n) == 1 && EVP_DigestUpdate(md, b.p, b.n) == 1 &&
		  EVP_DigestFinal_ex(md, out, &n) == 1;

	EVP_MD_CTX_free(md);
	ASSERT(ok);
	ASSERT(n == 20);
}
