/* TLS after the handshake: records, ends, caps, resumption; what does not load; the client's side.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "keys/pem.h"
#include "tls_pair.h"

/* ---- after the handshake ---- */
static void open_pair(struct pair *p, struct net_tls *t, int version)
{
	SSL_CTX *ctx = client_ctx(ca);

	SSL_CTX_set_max_proto_version(ctx, version);
	signer_mode(SIGN_THREAD, 1);
	pair_open(p, t, ctx, "broker.test");
	pair_run(p);
	assert_true(p->server_done && p->client_done);
}

/* As a loop reads: until there is something. */
static enum tls_io read_until(struct tls_conn *t, void *buf, size_t cap, size_t *n)
{
	enum tls_io io;

	do
		io = tls_read(t, buf, cap, n);
	while (io == TLS_WANT_READ);
	return io;
}

static void test_closing(void **state)
{
	struct net_tls *t = make_tls(server_cert);
	struct pair p;
	char buf[16];
	size_t n;

	(void)state;
	open_pair(&p, t, TLS1_3_VERSION);
	SSL_shutdown(p.client);
	assert_int_equal(read_until(p.server, buf, sizeof(buf), &n), TLS_CLOSED);
	pair_close(&p);
	open_pair(&p, t, TLS1_3_VERSION);
	shutdown(p.fd[1], SHUT_WR);
	assert_int_equal(read_until(p.server, buf, sizeof(buf), &n), TLS_CLOSED);
	pair_close(&p);
	open_pair(&p, t, TLS1_3_VERSION);
	tls_shutdown(p.server);
	assert_int_equal(SSL_read_ex(p.client, buf, sizeof(buf), &n), 0);
	assert_int_equal(SSL_get_error(p.client, 0), SSL_ERROR_ZERO_RETURN);
	pair_close(&p);
	net_tls_unref(&t);
}

static void test_tampered_record(void **state)
{
	struct net_tls *t = make_tls(server_cert);
	static const u8 junk[] = {0x17, 3,  3,	0,  20, 1,  2,	3,  4,	5,  6,	7, 8,
				  9,	10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
	struct pair p;
	char buf[16];
	size_t n;

	(void)state;
	open_pair(&p, t, TLS1_3_VERSION);
	assert_int_equal(write(p.fd[1], junk, sizeof(junk)), sizeof(junk));
	assert_int_equal(read_until(p.server, buf, sizeof(buf), &n), TLS_FAILED);
	assert_non_null(strstr(tls_error(p.server), "a record was damaged"));
	assert_int_equal(read_until(p.server, buf, sizeof(buf), &n), TLS_FAILED);
	pair_close(&p);
	net_tls_unref(&t);
}

static void test_key_updates_are_capped(void **state)
{
	struct net_tls *t = make_tls(server_cert);
	struct pair p;
	char buf[64];
	size_t n;
	enum tls_io io = TLS_WANT_READ;
	u32 updates = 0;

	(void)state;
	open_pair(&p, t, TLS1_3_VERSION);
	for (u32 i = 0; i < 3; i++) { /* an honest few */
		assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
		pair_echo(&p);
	}
	while (io == TLS_WANT_READ && updates < 1000) {
		if (SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
		    SSL_do_handshake(p.client) != 1)
			break;
		updates++;
		io = tls_read(p.server, buf, sizeof(buf), &n);
	}
	assert_int_equal(io, TLS_FAILED);
	assert_in_range(updates, 10, 128);
	assert_string_equal(tls_error(p.server), "too many key updates or renegotiations");
	pair_close(&p);
	net_tls_unref(&t);
}

static void test_no_renegotiation(void **state)
{
	struct net_tls *t = make_tls(server_cert);
	struct pair p;
	char buf[64];
	size_t n;
	u32 asked;

	(void)state;
	open_pair(&p, t, TLS1_2_VERSION);
	asked = signer.asked;
	assert_int_equal(SSL_renegotiate(p.client), 1);
	SSL_do_handshake(p.client);
	for (u32 i = 0; i < 8; i++) {
		tls_read(p.server, buf, sizeof(buf), &n);
		SSL_do_handshake(p.client);
	}
	assert_int_equal(signer.asked, asked);
	pair_close(&p);
	net_tls_unref(&t);
}

static void test_large_and_pending(void **state)
{
	enum { BIG = 40000 };
	struct net_tls *t = make_tls(server_cert);
	static u8 out[BIG], in[BIG];
	struct pair p;
	size_t n = 0, total = 0;

	(void)state;
	open_pair(&p, t, TLS1_3_VERSION);
	assert_int_equal(RAND_bytes(out, BIG), 1);
	assert_int_equal(SSL_write_ex(p.client, out, BIG, &n), 1);
	while (total < BIG) {
		enum tls_io io = tls_read(p.server, in + total, MIN((size_t)1000, BIG - total), &n);
		if (io == TLS_WANT_READ)
			continue;
		assert_int_equal(io, TLS_OK);
		total += n;
		if (total == 1000)
			assert_true(tls_has_pending(p.server));
	}
	assert_memory_equal(in, out, BIG);
	assert_false(tls_has_pending(p.server));
	pair_close(&p);
	net_tls_unref(&t);
}

/* A write to a socket whose other side is gone is an error, not a signal. */
static void test_peer_gone(void **state)
{
	struct net_tls *t = make_tls(server_cert);
	enum tls_io io = TLS_OK;
	struct pair p;
	size_t n;

	(void)state;
	open_pair(&p, t, TLS1_3_VERSION);
	close(p.fd[1]);
	for (u32 i = 0; i < 4 && io == TLS_OK; i++)
		io = tls_write(p.server, "x", 1, &n);
	assert_int_equal(io, TLS_CLOSED);
	p.fd[1] = dup(p.fd[0]);
	pair_close(&p);
	net_tls_unref(&t);
}

/* ---- resumption ---- */
static u8 key_name[3][16], key_aes[3][32], key_hmac[3][32];

static void rotate(void)
{
	memmove(key_name[1], key_name[0], 32);
	memmove(key_aes[1], key_aes[0], 64);
	memmove(key_hmac[1], key_hmac[0], 64);
	assert_int_equal(RAND_bytes(key_name[0], 16), 1);
	assert_int_equal(RAND_bytes(key_aes[0], 32), 1);
	assert_int_equal(RAND_bytes(key_hmac[0], 32), 1);
	net_tls_ticket_keys((const u8(*)[16])key_name, (const u8(*)[32])key_aes,
			    (const u8(*)[32])key_hmac, 3);
}

static SSL_SESSION *kept;

static int keep_session(SSL *ssl, SSL_SESSION *s)
{
	(void)ssl;
	SSL_SESSION_free(kept);
	kept = s;
	return 1;
}

/* One connection; was it resumed?  Keeps the ticket that it gets. */
static bool connect_again(struct net_tls *t, int version)
{
	SSL_CTX *ctx = client_ctx(ca);
	struct pair p;
	bool reused;

	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	signer_mode(SIGN_THREAD, 1);
	pair_open(&p, t, ctx, "broker.test");
	if (kept != NULL)
		SSL_set_session(p.client, kept);
	pair_run(&p);
	assert_true(p.server_done && p.client_done);
	pair_echo(&p);
	reused = SSL_session_reused(p.client);
	assert_int_equal(signer.asked, reused ? 0 : 1);
	SSL_shutdown(p.client);
	pair_close(&p);
	return reused;
}

static void check_tickets(int version)
{
	struct net_tls *a = make_tls_for(server_cert, 1, 12), *b = make_tls_for(server_cert, 2, 12);
	struct net_tls *renewed;

	rotate();
	assert_false(connect_again(a, version));
	assert_non_null(kept);
	assert_true(connect_again(a, version));
	renewed = make_tls_for(server_cert, 1, 12); /* made anew from the same, as at a reload */
	assert_true(connect_again(renewed, version));
	net_tls_unref(&renewed);
	signer.key = rsa_key; /* another certificate: its client sees it before it goes on */
	renewed = make_tls_for(rsa_cert, 1, 12);
	assert_false(connect_again(renewed, version));
	net_tls_unref(&renewed);
	signer.key = server_key;
	SSL_SESSION_free(kept);
	kept = NULL;
	assert_false(connect_again(a, version));
	rotate();
	assert_true(connect_again(a, version));	 /* an older key still opens */
	assert_false(connect_again(b, version)); /* another listener's ticket does not */
	SSL_SESSION_free(kept);
	kept = NULL;
	assert_false(connect_again(a, version));
	rotate();
	rotate();
	rotate();
	assert_false(connect_again(a, version)); /* three rotations later it is worth nothing */
	SSL_SESSION_free(kept);
	kept = NULL;
	net_tls_unref(&a);
	net_tls_unref(&b);
}

static void test_tickets_13(void **state)
{
	(void)state;
	check_tickets(TLS1_3_VERSION);
}

static void test_tickets_12(void **state)
{
	(void)state;
	check_tickets(TLS1_2_VERSION);
}

static void test_no_keys_no_resumption(void **state)
{
	struct net_tls *t = make_tls(server_cert);

	(void)state;
	net_tls_ticket_keys(NULL, NULL, NULL, 0);
	assert_false(connect_again(t, TLS1_2_VERSION));
	assert_false(connect_again(t, TLS1_2_VERSION));
	assert_false(connect_again(t, TLS1_3_VERSION));
	assert_false(connect_again(t, TLS1_3_VERSION));
	SSL_SESSION_free(kept);
	kept = NULL;
	net_tls_unref(&t);
}

/* ---- resumption of clients with a certificate ---- */
static struct net_tls *make_mutual(void)
{
	struct net_tls_certificate c = {.slot = 7};
	struct net_tls_options o = {.certificates = &c,
				    .ncertificates = 1,
				    .min_version = 12,
				    .request_client_cert = true,
				    .sign = on_sign,
				    .sign_arg = &signer,
				    .name = SLICE_LIT("mutual")};
	struct net_tls *t = NULL;
	struct sbuf pem, ca_pem;
	char what[160] = "";

	assert_int_equal(pem_of_certs(server_cert, NULL, &pem), E_OK);
	assert_int_equal(pem_of_certs(ca, NULL, &ca_pem), E_OK);
	c.chain_pem = sbuf_slice(&pem);
	o.client_ca_pem = sbuf_slice(&ca_pem);
	assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_OK);
	sbuf_free(&pem);
	sbuf_free(&ca_pem);
	return t;
}

/* A client's certificate of the CA, which ends in so many seconds. */
static X509 *client_cert(EVP_PKEY *key, long seconds)
{
	X509 *x = X509_new();
	X509V3_CTX v;
	X509_EXTENSION *use;

	X509V3_set_ctx_nodb(&v);
	X509V3_set_ctx(&v, ca, x, NULL, NULL, 0);
	use = X509V3_EXT_conf_nid(NULL, &v, NID_ext_key_usage, "clientAuth");
	assert_true(X509_set_version(x, 2) == 1 && use != NULL);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 77), 1);
	assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(ca)), 1);
	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
						    (const u8 *)"esp07", -1, -1, 0),
			 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -10));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), seconds));
	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_int_equal(X509_add_ext(x, use, -1), 1);
	assert_true(X509_sign(x, ca_key, EVP_sha256()) > 0);
	X509_EXTENSION_free(use);
	return x;
}

/* One connection with that certificate (NULL: none).  -1: refused; else: was it resumed? */
static int connect_with(struct net_tls *t, int version, X509 *cert, EVP_PKEY *key)
{
	SSL_CTX *ctx = client_ctx(ca);
	struct pair p;
	int reused = -1;

	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	if (cert != NULL) {
		assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	}
	signer_mode(SIGN_THREAD, 1);
	pair_open(&p, t, ctx, "broker.test");
	if (kept != NULL)
		SSL_set_session(p.client, kept);
	pair_run(&p);
	if (p.server_done && p.client_done) {
		pair_echo(&p);
		reused = SSL_session_reused(p.client);
		SSL_shutdown(p.client);
	}
	pair_close(&p);
	return reused;
}

static void forget_session(void)
{
	SSL_SESSION_free(kept);
	kept = NULL;
}

static void check_certificate_tickets(int version)
{
	struct net_tls *t = make_mutual();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = client_cert(key, 3600), *brief;
	static u64 epoch = 100;

	rotate();
	assert_int_equal(connect_with(t, version, cert, key), 0);
	assert_int_equal(connect_with(t, version, cert, key), 1);
	net_tls_identity_epoch(++epoch); /* somebody's identity has ended, perhaps this one's */
	assert_int_equal(connect_with(t, version, cert, key), 0);
	assert_int_equal(connect_with(t, version, cert, key), 1);
	net_tls_identity_epoch(epoch - 50); /* it only grows */
	assert_int_equal(connect_with(t, version, cert, key), 1);
	forget_session();
	/* Who proves nobody's identity loses nothing. */
	assert_int_equal(connect_with(t, version, NULL, NULL), 0);
	net_tls_identity_epoch(++epoch);
	assert_int_equal(connect_with(t, version, NULL, NULL), 1);
	forget_session();
	/* Good when the session began, and not any more. */
	brief = client_cert(key, 2);
	assert_int_equal(connect_with(t, version, brief, key), 0);
	assert_int_equal(connect_with(t, version, brief, key), 1);
	while (X509_cmp_current_time(X509_get0_notAfter(brief)) > 0)
		usleep(100000);
	assert_int_equal(connect_with(t, version, brief, key), -1);
	forget_session();
	X509_free(brief);
	X509_free(cert);
	EVP_PKEY_free(key);
	net_tls_unref(&t);
}

static void test_certificate_tickets_13(void **state)
{
	check_certificate_tickets(TLS1_3_VERSION);
}

static void test_certificate_tickets_12(void **state)
{
	check_certificate_tickets(TLS1_2_VERSION);
}

/* ---- what does not load ---- */
static void test_bad_chains(void **state)
{
	struct net_tls_certificate c[2] = {{.slot = 7}, {.slot = 8}};
	struct net_tls_options o = {.certificates = c,
				    .ncertificates = 1,
				    .min_version = 12,
				    .sign = on_sign,
				    .sign_arg = &signer};
	static const char *const bad[] = {
		"", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
	struct net_tls *t = NULL;
	struct sbuf pem;
	char what[160];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		c[0].chain_pem = slice_str(bad[i]);
		what[0] = '\0';
		assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_TLS);
		assert_null(t);
		assert_non_null(strstr(what, "the certificate chain does not load"));
	}
	assert_int_equal(pem_of_certs(server_cert, NULL, &pem), E_OK);
	c[0].chain_pem = sbuf_slice(&pem);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) { /* all or nothing */
		c[1].chain_pem = slice_str(bad[i]);
		o.ncertificates = 2;
		assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_TLS);
		assert_null(t);
	}
	o.ncertificates = 1;
	o.request_client_cert = true; /* and no CA for them: refused, never served without (I01) */
	assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_TLS);
	assert_non_null(strstr(what, "the CA of client certificates does not load"));
	o.client_ca_pem = c[0].chain_pem;
	assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_OK);
	net_tls_unref(&t);
	sbuf_free(&pem);
}

/* ---- the client side ---- */
static void *client_server_run(void *arg)
{
	struct pair *p = arg;
	enum tls_io io = TLS_WANT_READ;
	char buf[64];
	size_t n = 0;

	while (io == TLS_WANT_READ || io == TLS_WANT_WRITE)
		io = tls_handshake(p->server);
	if (io != TLS_OK)
		return NULL;
	do
		io = tls_read(p->server, buf, sizeof(buf), &n);
	while (io == TLS_WANT_READ);
	if (io == TLS_OK)
		io = tls_write(p->server, buf, n, &n);
	tls_shutdown(p->server);
	return NULL;
}

static enum err client_try(const X509 *trusted, const char *name, char *what, size_t cap)
{
	struct net_tls *t = make_tls(server_cert);
	struct tls_client *c = NULL;
	char path[] = "/tmp/picket-ca-XXXXXX", buf[16];
	int ca_fd = mkstemp(path);
	FILE *f = fdopen(ca_fd, "w");
	struct pair p;
	pthread_t thread;
	size_t n = 0;
	enum err e;

	assert_int_equal(PEM_write_X509(f, (X509 *)(uintptr_t)trusted), 1);
	fclose(f);
	signer_mode(SIGN_DIRECT, 1);
	pair_fds(&p);
	fcntl(p.fd[1], F_SETFL, 0);
	p.server = tls_conn_new(t, &loop, &p.conn, p.fd[0]);
	assert_int_equal(pthread_create(&thread, NULL, client_server_run, &p), 0);
	e = tls_client_new(p.fd[1], path, name, &c, what, cap);
	if (e == E_OK) {
		assert_int_equal(tls_client_fd(c), p.fd[1]);
		assert_int_equal(tls_client_write(c, "ping", 4, &n), E_OK);
		assert_int_equal(tls_client_read(c, buf, sizeof(buf), &n), E_OK);
		assert_int_equal(n, 4);
		assert_int_equal(tls_client_read(c, buf, sizeof(buf), &n), E_EOF);
		tls_client_free(&c);
	}
	pthread_join(thread, NULL);
	unlink(path);
	pair_close(&p);
	net_tls_unref(&t);
	return e;
}

static void test_client(void **state)
{
	char what[200] = "";

	(void)state;
	assert_int_equal(client_try(ca, "broker.test", what, sizeof(what)), E_OK);
	assert_int_equal(client_try(ca, "127.0.0.1", what, sizeof(what)), E_OK);
	assert_int_equal(client_try(ca, "other.test", what, sizeof(what)), E_TLS);
	assert_non_null(strstr(what, "lacks the name that you connect to"));
	assert_int_equal(client_try(ca, "127.0.0.2", what, sizeof(what)), E_TLS);
	assert_non_null(strstr(what, "lacks the name that you connect to"));
	assert_int_equal(client_try(other_ca, "broker.test", what, sizeof(what)), E_TLS);
	assert_non_null(strstr(what, "the CA file is not the one of this server"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closing),
		cmocka_unit_test(test_tampered_record),
		cmocka_unit_test(test_key_updates_are_capped),
		cmocka_unit_test(test_no_renegotiation),
		cmocka_unit_test(test_large_and_pending),
		cmocka_unit_test(test_peer_gone),
		cmocka_unit_test(test_tickets_13),
		cmocka_unit_test(test_tickets_12),
		cmocka_unit_test(test_no_keys_no_resumption),
		cmocka_unit_test(test_certificate_tickets_13),
		cmocka_unit_test(test_certificate_tickets_12),
		cmocka_unit_test(test_bad_chains),
		cmocka_unit_test(test_client),
	};

	return cmocka_run_group_tests(tests, suite_setup, suite_teardown);
}
