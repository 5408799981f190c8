/* tls_conn: one TLS connection: its handshake, its records, and what went wrong.
 *
 * Sits between conn.c, which owns the socket and decides when to read and write, and OpenSSL.  Owns
 * the SSL object and, while a handshake waits for its signature, the paused job: freeing the
 * connection ends the job first. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "base/mem.h"
#include "net/tls_i.h"

/* What a client may send after the handshake besides data: key updates, and tries to renegotiate.
 * Each costs us a record, so they are capped (I22). */
static void info_cb(const SSL *ssl, int where, int value)
{
	struct tls_conn *t = SSL_get_app_data(ssl);

	(void)value;
	OBJ_CHECK(t, TLS_CONN_MAGIC);
	if (!t->done || !(where & (SSL_CB_LOOP | SSL_CB_ALERT)))
		return;
	if (++t->extra > LIM_TLS_EXTRA + (u32)(t->bytes_in >> 20))
		t->flooded = true;
}

struct tls_conn *tls_conn_new(struct net_tls *tls, struct loop *l, struct conn *c, int fd)
{
	struct tls_conn *t = xcalloc(1, sizeof(*t));
	BIO *b;

	t->magic = TLS_CONN_MAGIC;
	t->fd = fd;
	t->tls = net_tls_ref(tls);
	t->loop = l;
	t->conn = c;
	ASSERT(fd >= 0);
	ASSERT(tls->nserved > 0);
	t->slot = tls->served[0].slot;
	t->epoch = tls_ticket_epoch();
	t->ssl = SSL_new(tls->served[0].ctx);
	ASSERT(t->ssl != NULL);
	b = tls_bio_new(t);
	SSL_set_bio(t->ssl, b, b); /* takes b */
	ASSERT(SSL_set_app_data(t->ssl, t) == 1);
	SSL_set_info_callback(t->ssl, info_cb);
	SSL_set_accept_state(t->ssl);
	return t;
}

/* A paused job holds references and a stack: it has to run to its end. */
static void sign_abandon(struct tls_conn *t)
{
	ASSERT(!t->done); /* only handshakes are signed */
	t->sign->state = SIGN_REFUSED;
	/* No alert on a socket that whoever frees this has done with. */
	t->flooded = true;
	ERR_clear_error();
	tls_sign_enter(t);
	SSL_do_handshake(t->ssl);
	tls_sign_enter(NULL);
	ERR_clear_error();
	ASSERT(t->sign == NULL);
}

void tls_conn_free(struct tls_conn **tp)
{
	struct tls_conn *t = *tp;

	*tp = NULL;
	OBJ_CHECK(t, TLS_CONN_MAGIC);
	if (t->sign != NULL)
		sign_abandon(t);
	SSL_free(t->ssl);
	net_tls_unref(&t->tls);
	free(t->error);
	t->magic = 0;
	free(t);
}

void tls_conn_move(struct tls_conn *t, struct loop *l)
{
	OBJ_CHECK(t, TLS_CONN_MAGIC);
	ASSERT(t->done && t->sign == NULL);
	t->loop = l;
}

static const char *own_fault(const struct tls_conn *t)
{
	if (t->unsigned_)
		return "our side - the keys process did not sign";
	if (t->flooded && !t->done)
		return "too much data - its handshake is larger than any honest one";
	return t->flooded ? "too many key updates or renegotiations" : NULL;
}

static void fail(struct tls_conn *t, int io)
{
	struct tls_fact f = {ERR_peek_last_error(), io, t->first, t->done ? 0 : t->first_n};

	t->failed = true;
	if (t->error != NULL)
		return;
	t->error = xmalloc(LIM_TLS_TEXT);
	if (own_fault(t) != NULL)
		snprintf(t->error, LIM_TLS_TEXT, "%s", own_fault(t));
	else
		tls_explain(&f, t->error, LIM_TLS_TEXT);
}

/* The peer is gone, by the rules (close_notify) or, once data flows, without them: the layers above
 * know from their own protocol whether it had said goodbye. */
static bool is_gone(const struct tls_conn *t, int code)
{
	unsigned long e = ERR_peek_last_error();

	if (code == SSL_ERROR_ZERO_RETURN)
		return true;
	if (!t->done || t->flooded)
		return false;
	return code == SSL_ERROR_SYSCALL ||
	       (ERR_GET_LIB(e) == ERR_LIB_SSL &&
		ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
}

/* After a call to OpenSSL that did not succeed. */
static enum tls_io outcome(struct tls_conn *t, int rc)
{
	int io = errno;
	int code = SSL_get_error(t->ssl, rc);
	bool gone;

	ASSERT(rc != 1);
	ASSERT(!t->failed);
	if (code == SSL_ERROR_WANT_READ)
		return TLS_WANT_READ;
	if (code == SSL_ERROR_WANT_WRITE)
		return TLS_WANT_WRITE;
	if (code == SSL_ERROR_WANT_ASYNC)
		return TLS_WANT_SIGN;
	gone = is_gone(t, code);
	fail(t, code == SSL_ERROR_SYSCALL ? io : 0);
	ERR_clear_error();
	return gone ? TLS_CLOSED : TLS_FAILED;
}

static void handshake_done(struct tls_conn *t)
{
	ASSERT(!t->done);
	ASSERT(t->sign == NULL);
	t->done = true;
	/* Reads and writes need no job of their own. */
	SSL_clear_mode(t->ssl, SSL_MODE_ASYNC);
}

enum tls_io tls_handshake(struct tls_conn *t)
{
	int rc;

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	if (t->failed)
		return TLS_FAILED;
	if (t->sign != NULL && t->sign->state == SIGN_ASKED)
		return TLS_WANT_SIGN;
	ERR_clear_error();
	errno = 0;
	tls_sign_enter(t);
	rc = SSL_do_handshake(t->ssl);
	tls_sign_enter(NULL);
	if (rc != 1)
		return outcome(t, rc);
	handshake_done(t);
	return TLS_OK;
}

enum tls_io tls_read(struct tls_conn *t, void *buf, size_t cap, size_t *n)
{
	int rc;

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	*n = 0;
	if (t->failed)
		return TLS_FAILED;
	ASSERT(t->done);
	ERR_clear_error();
	errno = 0;
	rc = SSL_read_ex(t->ssl, buf, cap, n);
	return rc == 1 ? TLS_OK : outcome(t, rc);
}

enum tls_io tls_write(struct tls_conn *t, const void *buf, size_t len, size_t *n)
{
	int rc;

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	*n = 0;
	if (t->failed)
		return TLS_FAILED;
	ASSERT(t->done && len > 0);
	ERR_clear_error();
	errno = 0;
	rc = SSL_write_ex(t->ssl, buf, len, n);
	return rc == 1 ? TLS_OK : outcome(t, rc);
}

bool tls_has_pending(const struct tls_conn *t)
{
	OBJ_CHECK(t, TLS_CONN_MAGIC);
	return t->done && !t->failed && SSL_has_pending(t->ssl) == 1;
}

void tls_shutdown(struct tls_conn *t)
{
	OBJ_CHECK(t, TLS_CONN_MAGIC);
	if (!t->done || t->failed)
		return;
	ERR_clear_error();
	SSL_shutdown(t->ssl);
	ERR_clear_error();
}

/* Strings that live as long as the process, so that a connection stores none. */
#define SUITES(X) /* IANA's number of the suite; each belongs to one version */                    \
	X(0x1301, "TLSv1.3 TLS_AES_128_GCM_SHA256")                                                \
	X(0x1302, "TLSv1.3 TLS_AES_256_GCM_SHA384")                                                \
	X(0x1303, "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256")                                          \
	X(0xc02b, "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256")                                         \
	X(0xc02c, "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384")                                         \
	X(0xc02f, "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256")                                           \
	X(0xc030, "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384")                                           \
	X(0xcca8, "TLSv1.2 ECDHE-RSA-CHACHA20-POLY1305")                                           \
	X(0xcca9, "TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305")
static const struct suite {
	u16 id;
	const char *text, *websocket;
} suites[] = {
#define X(id, text) {id, text, text " websocket"},
	SUITES(X)
#undef X
};

static const struct suite *suite_of(const struct tls_conn *t)
{
	static const struct suite none = {0, "", "websocket"};
	const SSL_CIPHER *c = SSL_get_current_cipher(t->ssl);
	u16 id = c != NULL ? SSL_CIPHER_get_protocol_id(c) : 0;

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
		if (suites[i].id == id && t->done)
			return &suites[i];
	}
	return &none;
}

const char *tls_describe(const struct tls_conn *t)
{
	return suite_of(t)->text;
}

const char *tls_describe_websocket(const struct tls_conn *t)
{
	return suite_of(t)->websocket;
}

const char *tls_error(const struct tls_conn *t)
{
	OBJ_CHECK(t, TLS_CONN_MAGIC);
	return t->error != NULL ? t->error : "";
}
