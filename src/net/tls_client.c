/* tls_client: the client's side of TLS, blocking, for the picket command and its tests.
 *
 * Verifies the server's certificate against a CA file and a name, always; there is no way to turn
 * that off.  Only picketd's own canary, which asks its own listeners, uses the other constructor.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "net/tls.h"

#define TLS_CLIENT_MAGIC 0x546c7363u

struct tls_client {
	u32 magic;
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
};

static bool is_address(const char *name)
{
	u8 a[16];

	return inet_pton(AF_INET, name, a) == 1 || inet_pton(AF_INET6, name, a) == 1;
}

static bool expect_name(SSL *ssl, const char *name)
{
	if (is_address(name))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 &&
	       SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
			(void *)(uintptr_t)name) == 1;
}

static const char *verify_advice(long v)
{
	switch (v) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		return "the CA file is not the one of this server";
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "look at the clocks of both sides";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "the certificate lacks the name that you connect to";
	default:
		return "";
	}
}

static void handshake_explain(SSL *ssl, char *what, size_t cap)
{
	long v = SSL_get_verify_result(ssl);
	unsigned long e = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(e);

	if (v != X509_V_OK)
		snprintf(what, cap, "the server's certificate was refused: %s; %s",
			 X509_verify_cert_error_string(v), verify_advice(v));
	else if (ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == SSL_R_WRONG_VERSION_NUMBER)
		snprintf(what, cap, "the server does not speak TLS on this port");
	else
		snprintf(what, cap, "TLS handshake failed: %s",
			 reason != NULL ? reason
			 : errno != 0	? strerror(errno)
					: "closed by the server");
}

static bool client_begin(struct tls_client *c, const char *ca_file, char *what, size_t cap)
{
	c->ctx = SSL_CTX_new(TLS_client_method());
	ASSERT(c->ctx != NULL);
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	ASSERT(SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) == 1);
	if ((ca_file != NULL ? SSL_CTX_load_verify_file(c->ctx, ca_file)
			     : SSL_CTX_set_default_verify_paths(c->ctx)) == 1)
		return true;
	snprintf(what, cap, "the CA file does not load: %s",
		 ERR_reason_error_string(ERR_peek_last_error()));
	return false;
}

static bool client_connect(struct tls_client *c, const char *name, char *what, size_t cap)
{
	static const u8 alpn[] = "\x04mqtt";

	c->ssl = SSL_new(c->ctx);
	ASSERT(c->ssl != NULL);
	SSL_set_alpn_protos(c->ssl, alpn, sizeof(alpn) - 1);
	if (!expect_name(c->ssl, name) || SSL_set_fd(c->ssl, c->fd) != 1) {
		snprintf(what, cap, "the server's name is neither a DNS name nor an address");
		return false;
	}
	errno = 0;
	if (SSL_connect(c->ssl) == 1)
		return true;
	handshake_explain(c->ssl, what, cap);
	return false;
}

/* Believes any server: it has no secret to lose and nothing to learn. */
enum err tls_client_new_canary(int fd, struct tls_client **out, char *what, size_t cap)
{
	struct tls_client *c = xcalloc(1, sizeof(*c));

	ASSERT(cap > 0);
	c->magic = TLS_CLIENT_MAGIC;
	c->fd = fd;
	*out = c;
	ERR_clear_error();
	c->ctx = SSL_CTX_new(TLS_client_method());
	ASSERT(c->ctx != NULL);
	c->ssl = SSL_new(c->ctx);
	ASSERT(c->ssl != NULL);
	errno = 0;
	if (SSL_set_fd(c->ssl, fd) == 1 && SSL_connect(c->ssl) == 1)
		return E_OK;
	handshake_explain(c->ssl, what, cap);
	ERR_clear_error();
	tls_client_free(out);
	return E_TLS;
}

enum err tls_client_new(int fd, const char *ca_file, const char *name, struct tls_client **out,
			char *what, size_t cap)
{
	struct tls_client *c = xcalloc(1, sizeof(*c));

	ASSERT(name != NULL && cap > 0);
	c->magic = TLS_CLIENT_MAGIC;
	c->fd = fd;
	*out = c;
	ERR_clear_error();
	if (client_begin(c, ca_file, what, cap) && client_connect(c, name, what, cap))
		return E_OK;
	ERR_clear_error();
	tls_client_free(out);
	return E_TLS;
}

void tls_client_free(struct tls_client **cp)
{
	struct tls_client *c = *cp;

	*cp = NULL;
	OBJ_CHECK(c, TLS_CLIENT_MAGIC);
	if (c->ssl != NULL && SSL_is_init_finished(c->ssl))
		SSL_shutdown(c->ssl);
	ERR_clear_error();
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	c->magic = 0;
	free(c);
}

/* errno of a socket with a receive timeout that ran out is told from a broken connection. */
static enum err client_outcome(struct tls_client *c, int rc)
{
	int io = errno;
	int code = SSL_get_error(c->ssl, rc);

	ERR_clear_error();
	if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
		return E_MORE;
	if (code == SSL_ERROR_ZERO_RETURN || (code == SSL_ERROR_SYSCALL && io == 0))
		return E_EOF;
	return code == SSL_ERROR_SYSCALL ? E_IO : E_TLS;
}

enum err tls_client_read(struct tls_client *c, void *buf, size_t cap, size_t *n)
{
	int rc;

	OBJ_CHECK(c, TLS_CLIENT_MAGIC);
	*n = 0;
	errno = 0;
	rc = SSL_read_ex(c->ssl, buf, cap, n);
	return rc == 1 ? E_OK : client_outcome(c, rc);
}

enum err tls_client_write(struct tls_client *c, const void *buf, size_t len, size_t *n)
{
	int rc;

	OBJ_CHECK(c, TLS_CLIENT_MAGIC);
	*n = 0;
	errno = 0;
	rc = SSL_write_ex(c->ssl, buf, len, n);
	return rc == 1 ? E_OK : client_outcome(c, rc);
}

int tls_client_fd(const struct tls_client *c)
{
	OBJ_CHECK(c, TLS_CLIENT_MAGIC);
	return c->fd;
}
