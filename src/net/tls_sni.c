/* tls_sni: which certificate a client gets, by the name that it asks for (RFC 6066 section 3).
 *
 * Decided when the ClientHello has come whole, before a session is resumed or a key is chosen, so
 * that everything that follows belongs to one certificate.  A name chooses a certificate and
 * nothing else: versions, ALPN and what is asked of clients are the listener's (I22).  A name that
 * no certificate has gets the default one, as does none at all. */
#include <openssl/x509v3.h>

#include "base/rd.h"
#include "net/tls_i.h"

struct slice tls_sni_name(struct slice extension)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	struct rd r = rd_of(extension);
	size_t list = rd_u16(&r);
	u8 type = rd_u8(&r);
	struct slice name = rd_bytes(&r, rd_u16(&r));

	if (r.err != E_OK || rd_left(&r) != 0 || list != extension.n - 2 || type != 0 ||
	    name.n == 0 || name.n > LIM_TLS_NAME)
		return SLICE_NONE;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '\0' || strchr(allowed, name.p[i]) == NULL)
			return SLICE_NONE;
	}
	return name;
}

static bool is_for(SSL_CTX *ctx, struct slice name)
{
	X509 *leaf = SSL_CTX_get0_certificate(ctx);

	ASSERT(leaf != NULL);
	return X509_check_host(leaf, (const char *)name.p, name.n,
			       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

/* The default one where it fits too, so that what is added later takes nothing away from it. */
static const struct tls_served *served_for(const struct net_tls *t, struct slice name)
{
	if (name.n == 0 || is_for(t->served[0].ctx, name))
		return &t->served[0];
	for (u32 i = 1; i < t->nserved; i++) {
		if (is_for(t->served[i].ctx, name))
			return &t->served[i];
	}
	return &t->served[0];
}

int tls_sni_choose(SSL *ssl, int *alert, void *arg)
{
	struct net_tls *t = arg;
	struct tls_conn *c = SSL_get_app_data(ssl);
	const struct tls_served *s;
	const u8 *ext = NULL;
	size_t n = 0;

	OBJ_CHECK(t, NET_TLS_MAGIC);
	OBJ_CHECK(c, TLS_CONN_MAGIC);
	ASSERT(c->tls == t);
	if (t->nserved == 1 ||
	    SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &n) != 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	s = served_for(t, tls_sni_name(slice_of(ext, n)));
	c->slot = s->slot;
	if (s == &t->served[0] || SSL_set_SSL_CTX(ssl, s->ctx) != NULL)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_CLIENT_HELLO_ERROR;
}
