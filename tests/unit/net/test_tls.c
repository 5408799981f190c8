/* TLS with keys that are elsewhere: a server over socket pairs whose signatures come from another
 * thread, late and out of order, against OpenSSL's own client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "keys/cert.h"
#include "keys/pem.h"
#include "keys/sign.h"
#include "net/tls.h"

_Static_assert((int)TLS_ECDSA_SHA256 == (int)SIGN_ECDSA_SHA256, "the numbers of the messages");
_Static_assert((int)TLS_ECDSA_SHA384 == (int)SIGN_ECDSA_SHA384, "the numbers of the messages");
_Static_assert((int)TLS_RSA_PSS_SHA256 == (int)SIGN_RSA_PSS_SHA256, "the numbers of the messages");
_Static_assert((int)TLS_RSA_PSS_SHA384 == (int)SIGN_RSA_PSS_SHA384, "the numbers of the messages");
_Static_assert((int)TLS_RSA_PKCS1_SHA256 == (int)SIGN_RSA_PKCS1_SHA256,
	       "the numbers of the messages");
_Static_assert((int)TLS_SHAPE_13 == (int)SIGN_TLS13_SERVER, "the numbers of the messages");
_Static_assert((int)TLS_SHAPE_12 == (int)SIGN_TLS12_SERVER_KX, "the numbers of the messages");

/* ---- what the loop and its connections are to TLS ----------------------------------------------
 */
struct loop {
	void *slot;
};
struct conn {
	bool again;
};

void **loop_tls_slot(struct loop *l)
{
	return &l->slot;
}

void conn_handshake_again(struct conn *c)
{
	c->again = true;
}

static struct loop loop;

/* ---- the signer --------------------------------------------------------------------------------
 */
enum { QUEUE = 64 };
struct request {
	u64 id;
	u32 alg, shape;
	size_t n;
	u8 bytes[1024];
	size_t sig_n;
	u8 sig[SIGNATURE_MAX];
};
enum how { SIGN_DIRECT, SIGN_THREAD, SIGN_HOLD, SIGN_EMPTY };
static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop;
	enum how how;
	EVP_PKEY *key;
	u32 asked, queued, answered; /* queue: [0, answered) done, [answered, queued) waiting */
	u32 batch;		     /* answer only when so many wait, last first */
	enum err last;
	struct request q[QUEUE];
} signer = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void sign_one(struct request *r)
{
	enum err e = sign_handshake(signer.key, r->shape, r->alg, slice_of(r->bytes, r->n), r->sig,
				    &r->sig_n);

	signer.last = e;
}

static void *signer_run(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&signer.lock);
	while (!signer.stop) {
		if (signer.queued - signer.answered < MAX(signer.batch, 1u)) {
			pthread_cond_wait(&signer.cond, &signer.lock);
			continue;
		}
		for (u32 i = signer.answered; i < signer.queued; i++)
			sign_one(&signer.q[i]);
		signer.answered = signer.queued;
	}
	pthread_mutex_unlock(&signer.lock);
	return NULL;
}

static void on_sign(void *arg, struct loop *l, u64 id, u32 slot, u32 alg, u32 shape,
		    struct slice bytes)
{
	static struct request scratch;
	struct request *r = &scratch;

	assert_ptr_equal(arg, &signer);
	assert_int_equal(slot, 7);
	assert_true(bytes.n <= sizeof(r->bytes));
	pthread_mutex_lock(&signer.lock);
	signer.asked++;
	if (signer.how == SIGN_THREAD)
		r = &signer.q[signer.queued];
	*r = (struct request){.id = id, .alg = alg, .shape = shape, .n = bytes.n};
	memcpy(r->bytes, bytes.p, bytes.n);
	if (signer.how == SIGN_THREAD) {
		signer.queued++;
		pthread_cond_signal(&signer.cond);
	}
	pthread_mutex_unlock(&signer.lock);
	if (signer.how == SIGN_DIRECT) {
		sign_one(r);
		tls_sign_done(l, id, slice_of(r->sig, r->sig_n));
	} else if (signer.how == SIGN_EMPTY) {
		tls_sign_done(l, id, SLICE_NONE);
	}
}

/* Hand over what the thread has signed, last first. */
static void signer_deliver(void)
{
	pthread_mutex_lock(&signer.lock);
	if (signer.queued > 0 && signer.answered == signer.queued) {
		for (u32 i = signer.queued; i-- > 0;)
			tls_sign_done(&loop, signer.q[i].id,
				      slice_of(signer.q[i].sig, signer.q[i].sig_n));
		signer.queued = signer.answered = 0;
	}
	pthread_mutex_unlock(&signer.lock);
}

static void signer_mode(enum how how, u32 batch)
{
	pthread_mutex_lock(&signer.lock);
	signer.how = how;
	signer.batch = batch;
	signer.asked = signer.queued = signer.answered = 0;
	pthread_mutex_unlock(&signer.lock);
}

/* ---- certificates ------------------------------------------------------------------------------
 */
static EVP_PKEY *ca_key, *server_key, *rsa_key, *p384_key;
static X509 *ca, *server_cert, *rsa_cert, *p384_cert, *other_ca;

static X509 *issue(EVP_PKEY *key, const X509 *like)
{
	X509 *x = X509_dup(like);

	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_true(X509_sign(x, ca_key, EVP_sha256()) > 0);
	return x;
}

static int suite_setup(void **state)
{
	struct names n = {0};
	static const u8 ip[4] = {127, 0, 0, 1};
	EVP_PKEY *other;

	(void)state;
	assert_int_equal(names_add_dns(&n, "broker.test"), E_OK);
	assert_int_equal(names_add_address(&n, ip, sizeof(ip)), E_OK);
	assert_int_equal(cert_make_ca("broker.test", clock_wall_ms(), &ca_key, &ca), E_OK);
	assert_int_equal(cert_make_ca("broker.test", clock_wall_ms(), &other, &other_ca), E_OK);
	EVP_PKEY_free(other);
	assert_int_equal(
		cert_make_server(ca_key, ca, &n, clock_wall_ms(), &server_key, &server_cert), E_OK);
	rsa_key = EVP_RSA_gen(2048);
	p384_key = EVP_EC_gen("P-384");
	rsa_cert = issue(rsa_key, server_cert);
	p384_cert = issue(p384_key, server_cert);
	signer.key = server_key;
	return pthread_create(&signer.thread, NULL, signer_run, NULL);
}

static int suite_teardown(void **state)
{
	(void)state;
	pthread_mutex_lock(&signer.lock);
	signer.stop = true;
	pthread_cond_signal(&signer.cond);
	pthread_mutex_unlock(&signer.lock);
	pthread_join(signer.thread, NULL);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(server_key);
	EVP_PKEY_free(rsa_key);
	EVP_PKEY_free(p384_key);
	X509_free(ca);
	X509_free(other_ca);
	X509_free(server_cert);
	X509_free(rsa_cert);
	X509_free(p384_cert);
	tls_loop_free(&loop.slot);
	return 0;
}

static struct net_tls *make_tls_for(X509 *cert, u32 listener, u32 min)
{
	struct net_tls_options o = {.slot = 7,
				    .min_version = min,
				    .sign = on_sign,
				    .sign_arg = &signer,
				    .listener = listener};
	struct net_tls *t = NULL;
	struct sbuf pem;
	char what[160] = "";

	assert_int_equal(pem_of_certs(cert, NULL, &pem), E_OK);
	o.chain_pem = sbuf_slice(&pem);
	assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_OK);
	sbuf_free(&pem);
	return t;
}

static struct net_tls *make_tls(X509 *cert)
{
	return make_tls_for(cert, 0, 12);
}

/* ---- a pair: our server, OpenSSL's client ------------------------------------------------------
 */
struct pair {
	int fd[2];
	struct conn conn;
	struct tls_conn *server;
	SSL_CTX *ctx;
	SSL *client;
	bool server_done, client_done, server_failed, client_failed;
};

static SSL_CTX *client_ctx(X509 *trusted)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (trusted != NULL)
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), trusted);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return ctx;
}

static void pair_fds(struct pair *p)
{
	*p = (struct pair){.fd = {-1, -1}};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd), 0);
}

/* Takes ctx. */
static void pair_open(struct pair *p, struct net_tls *t, SSL_CTX *ctx, const char *name)
{
	pair_fds(p);
	p->server = tls_conn_new(t, &loop, &p->conn, p->fd[0]);
	p->ctx = ctx;
	p->client = SSL_new(ctx);
	SSL_set_fd(p->client, p->fd[1]);
	SSL_set1_host(p->client, name);
	SSL_set_connect_state(p->client);
}

static void pair_close(struct pair *p)
{
	if (p->server != NULL)
		tls_conn_free(&p->server);
	SSL_free(p->client);
	SSL_CTX_free(p->ctx);
	close(p->fd[0]);
	close(p->fd[1]);
}

static enum tls_io pair_server_step(struct pair *p)
{
	enum tls_io io = tls_handshake(p->server);

	p->server_done = io == TLS_OK;
	p->server_failed = io == TLS_FAILED || io == TLS_CLOSED;
	return io;
}

static void pair_client_step(struct pair *p)
{
	int rc, code;

	ERR_clear_error();
	rc = SSL_do_handshake(p->client);
	code = SSL_get_error(p->client, rc);
	p->client_done = rc == 1;
	p->client_failed = rc != 1 && code != SSL_ERROR_WANT_READ && code != SSL_ERROR_WANT_WRITE;
}

static bool pair_over(const struct pair *p)
{
	return (p->server_done || p->server_failed) && (p->client_done || p->client_failed);
}

/* Until both are through or one has failed. */
static void pair_run(struct pair *p)
{
	while (!pair_over(p)) {
		if (!p->client_done && !p->client_failed)
			pair_client_step(p);
		if (!p->server_done && !p->server_failed)
			pair_server_step(p);
		signer_deliver();
	}
}

static size_t client_read(struct pair *p, void *buf, size_t cap)
{
	size_t n = 0;

	while (SSL_read_ex(p->client, buf, cap, &n) != 1) {
		if (SSL_get_error(p->client, 0) != SSL_ERROR_WANT_READ)
			return 0;
	}
	return n;
}

static void pair_echo(struct pair *p)
{
	char buf[64];
	size_t n = 0;
	enum tls_io io = TLS_WANT_READ;

	assert_int_equal(SSL_write_ex(p->client, "hello", 5, &n), 1);
	while (io == TLS_WANT_READ)
		io = tls_read(p->server, buf, sizeof(buf), &n);
	assert_int_equal(io, TLS_OK);
	assert_int_equal(n, 5);
	assert_int_equal(tls_write(p->server, buf, 5, &n), TLS_OK);
	assert_int_equal(client_read(p, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "hello", 5);
}

static void check_works(X509 *cert, EVP_PKEY *key, int version, const char *sigalgs,
			const char *describe)
{
	struct net_tls *t = make_tls(cert);
	SSL_CTX *ctx = client_ctx(ca);
	struct pair p;

	signer.key = key;
	signer_mode(SIGN_THREAD, 1);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_security_level(ctx, 1);
	if (sigalgs != NULL)
		assert_int_equal(SSL_CTX_set1_sigalgs_list(ctx, (void *)(uintptr_t)sigalgs), 1);
	pair_open(&p, t, ctx, "broker.test");
	assert_string_equal(tls_describe(p.server), "");
	pair_run(&p);
	assert_true(p.server_done);
	assert_true(p.client_done);
	assert_int_equal(signer.asked, 1);
	assert_int_equal(signer.last, E_OK);
	assert_string_equal(tls_describe(p.server), describe);
	pair_echo(&p);
	pair_close(&p);
	net_tls_unref(&t);
	signer.key = server_key;
}

static void test_ec_13(void **state)
{
	(void)state;
	check_works(server_cert, server_key, TLS1_3_VERSION, NULL,
		    "TLSv1.3 TLS_AES_128_GCM_SHA256");
}

static void test_ec_12(void **state)
{
	(void)state;
	check_works(server_cert, server_key, TLS1_2_VERSION, NULL,
		    "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256");
}

static void test_p384(void **state)
{
	(void)state;
	check_works(p384_cert, p384_key, TLS1_3_VERSION, NULL, "TLSv1.3 TLS_AES_128_GCM_SHA256");
	check_works(p384_cert, p384_key, TLS1_2_VERSION, NULL,
		    "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256");
}

static void test_rsa(void **state)
{
	(void)state;
	check_works(rsa_cert, rsa_key, TLS1_3_VERSION, NULL, "TLSv1.3 TLS_AES_128_GCM_SHA256");
	check_works(rsa_cert, rsa_key, TLS1_3_VERSION, "RSA-PSS+SHA384:RSA+SHA256",
		    "TLSv1.3 TLS_AES_128_GCM_SHA256");
	check_works(rsa_cert, rsa_key, TLS1_2_VERSION, NULL, "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256");
	check_works(rsa_cert, rsa_key, TLS1_2_VERSION, "RSA+SHA256",
		    "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256");
}

static void test_signed_at_once(void **state)
{
	struct net_tls *t = make_tls(server_cert);
	struct pair p;

	(void)state;
	signer_mode(SIGN_DIRECT, 1);
	pair_open(&p, t, client_ctx(ca), "broker.test");
	pair_run(&p);
	assert_true(p.server_done && p.client_done);
	pair_echo(&p);
	pair_close(&p);
	net_tls_unref(&t);
}

enum { MANY = 24 };

static void test_late_and_out_of_order(void **state)
{
	static struct pair p[MANY];
	struct net_tls *t = make_tls(server_cert);
	u32 done = 0;

	(void)state;
	signer_mode(SIGN_THREAD, MANY); /* nobody gets an answer before the last has asked */
	for (u32 i = 0; i < MANY; i++) {
		pair_open(&p[i], t, client_ctx(ca), "broker.test");
		pair_client_step(&p[i]);
		assert_int_equal(pair_server_step(&p[i]), TLS_WANT_SIGN);
		assert_int_equal(pair_server_step(&p[i]), TLS_WANT_SIGN); /* asks once */
	}
	assert_int_equal(signer.asked, MANY);
	while (done < MANY) {
		signer_deliver();
		for (u32 i = 0; i < MANY; i++) {
			if (!p[i].conn.again || p[i].server_done)
				continue;
			pair_run(&p[i]);
			done++;
		}
	}
	for (u32 i = 0; i < MANY; i++) {
		assert_true(p[i].client_done);
		pair_echo(&p[i]);
		pair_close(&p[i]);
	}
	net_tls_unref(&t);
}

static void test_freed_while_signing(void **state)
{
	struct net_tls *t = make_tls(server_cert);
	u64 id;
	struct pair p;

	(void)state;
	signer_mode(SIGN_HOLD, 1);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *ctx = client_ctx(ca);
		SSL_CTX_set_max_proto_version(ctx, version);
		pair_open(&p, t, ctx, "broker.test");
		pair_client_step(&p);
		assert_int_equal(pair_server_step(&p), TLS_WANT_SIGN);
		tls_conn_free(&p.server);
		pair_close(&p);
	}
	id = signer.asked;
	for (u64 late = 0; late <= id + 1000; late++)
		tls_sign_done(&loop, late, SLICE_LIT("too late"));
	net_tls_unref(&t);
}

static void test_signature_refused(void **state)
{
	struct net_tls *t = make_tls(server_cert);
	struct pair p;

	(void)state;
	signer_mode(SIGN_EMPTY, 1);
	pair_open(&p, t, client_ctx(ca), "broker.test");
	pair_run(&p);
	assert_true(p.server_failed && p.client_failed);
	assert_string_equal(tls_error(p.server), "our side - the keys process did not sign");
	assert_int_equal(tls_handshake(p.server), TLS_FAILED);
	pair_close(&p);
	net_tls_unref(&t);
}

static void test_wrong_signature(void **state)
{
	struct net_tls *t = make_tls(server_cert);
	struct pair p;

	(void)state;
	signer.key = ca_key;
	signer_mode(SIGN_THREAD, 1);
	pair_open(&p, t, client_ctx(ca), "broker.test");
	pair_run(&p);
	assert_true(p.client_failed);
	assert_true(p.server_failed);
	assert_non_null(strstr(tls_error(p.server), "alert decrypt_error"));
	signer.key = server_key;
	pair_close(&p);
	net_tls_unref(&t);
}

/* ---- what goes wrong, in words -----------------------------------------------------------------
 */
static void check_refused(SSL_CTX *ctx, const char *name, u32 min_version, const char *text)
{
	struct net_tls *t = make_tls_for(server_cert, 0, min_version);
	struct pair p;

	signer_mode(SIGN_THREAD, 1);
	pair_open(&p, t, ctx, name);
	pair_run(&p);
	assert_true(p.server_failed);
	assert_string_equal(tls_error(p.server), text);
	pair_close(&p);
	net_tls_unref(&t);
}

static void test_unknown_ca(void **state)
{
	(void)state;
	check_refused(client_ctx(NULL), "broker.test", 12,
		      "alert unknown_ca - it does not have our CA");
}

static void test_wrong_name(void **state)
{
	(void)state;
	check_refused(client_ctx(ca), "other.test", 12,
		      "alert bad_certificate - it does not accept our certificate: most often for "
		      "a name or "
		      "address that this lacks");
}

static void test_no_shared_version(void **state)
{
	SSL_CTX *old = client_ctx(ca), *twelve = client_ctx(ca);

	(void)state;
	SSL_CTX_set_security_level(old, 0);
	SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
	SSL_CTX_set_cipher_list(old, "ALL:@SECLEVEL=0");
	check_refused(old, "broker.test", 12,
		      "no shared TLS version - it offers only older ones than this listener takes");
	SSL_CTX_set_max_proto_version(twelve, TLS1_2_VERSION);
	check_refused(twelve, "broker.test", 13,
		      "no shared TLS version - it offers only older ones than this listener takes");
}

static void test_weak_offers(void **state)
{
	SSL_CTX *cbc = client_ctx(ca), *curve = client_ctx(ca);

	(void)state;
	SSL_CTX_set_max_proto_version(cbc, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(cbc, "ECDHE-ECDSA-AES128-SHA256:AES128-GCM-SHA256");
	check_refused(
		cbc, "broker.test", 12,
		"no shared cipher suite - it must offer ECDHE with AES-GCM or ChaCha20-Poly1305");
	SSL_CTX_set1_groups_list(curve, "P-521");
	check_refused(curve, "broker.test", 12,
		      "no shared curve - it must offer X25519, P-256 or P-384");
}

static void test_alpn(void **state)
{
	SSL_CTX *h2 = client_ctx(ca), *mqtt = client_ctx(ca);
	struct net_tls *t = make_tls(server_cert);
	const u8 *chosen = NULL;
	unsigned n = 0;
	struct pair p;

	(void)state;
	SSL_CTX_set_alpn_protos(h2, (const u8 *)"\x02h2", 3);
	check_refused(h2, "broker.test", 12,
		      "no shared protocol - by ALPN it wants another one than mqtt");
	SSL_CTX_set_alpn_protos(mqtt, (const u8 *)"\x02h2\x04mqtt", 8);
	pair_open(&p, t, mqtt, "broker.test");
	pair_run(&p);
	SSL_get0_alpn_selected(p.client, &chosen, &n);
	assert_int_equal(n, 4);
	assert_memory_equal(chosen, "mqtt", 4);
	pair_close(&p);
	net_tls_unref(&t);
}

static void check_plain(const void *bytes, size_t n, const char *text)
{
	struct net_tls *t = make_tls(server_cert);
	struct pair p;
	enum tls_io io = TLS_WANT_READ;

	pair_fds(&p);
	p.server = tls_conn_new(t, &loop, &p.conn, p.fd[0]);
	if (n > 0)
		assert_int_equal(write(p.fd[1], bytes, n), (ssize_t)n);
	shutdown(p.fd[1], SHUT_WR);
	while (io == TLS_WANT_READ)
		io = tls_handshake(p.server);
	assert_true(io == TLS_FAILED || io == TLS_CLOSED);
	assert_non_null(strstr(tls_error(p.server), text));
	pair_close(&p);
	net_tls_unref(&t);
}

static void test_plain_bytes(void **state)
{
	(void)state;
	check_plain("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, "plain HTTP on a TLS port");
	check_plain("\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", 14, "plain MQTT on a TLS port");
	check_plain("SSH-2.0-OpenSSH_9.2\r\n", 21,
		    "no TLS - its first bytes are not a TLS handshake");
	check_plain("PROXY TCP4 1.2.3.4", 18, "a PROXY header");
	check_plain("", 0, "went away without a word");
	check_plain("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10, "malformed handshake");
}

static void test_handshake_is_capped(void **state)
{
	/* Records of a ClientHello that claims 128 KiB. */
	struct net_tls *t = make_tls(server_cert);
	enum tls_io io = TLS_WANT_READ;
	static u8 record[5 + 1024] = {0x16, 3, 1, 4, 0, 1, 1, 0xff, 0};
	struct pair p;
	u32 sent = 0;

	(void)state;
	pair_fds(&p);
	p.server = tls_conn_new(t, &loop, &p.conn, p.fd[0]);
	while (io == TLS_WANT_READ && sent < 1000) {
		if (write(p.fd[1], record, sizeof(record)) > 0)
			sent++;
		memset(record + 5, 0, 4);
		io = tls_handshake(p.server);
	}
	assert_int_equal(io, TLS_FAILED);
	assert_true(sent <= 64);
	assert_non_null(strstr(tls_error(p.server), "too much data"));
	pair_close(&p);
	net_tls_unref(&t);
}

/* ---- after the handshake -----------------------------------------------------------------------
 */
static void open_pair(struct pair *p, struct net_tls *t, int version)
{
	SSL_CTX *ctx = client_ctx(ca);

	SSL_CTX_set_max_proto_version(ctx, version);
	signer_mode(SIGN_THREAD, 1);
	pair_open(p, t, ctx, "broker.test");
	pair_run(p);
	assert_true(p->server_done && p->client_done);
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
	assert_int_equal(tls_read(p.server, buf, sizeof(buf), &n), TLS_CLOSED);
	pair_close(&p);
	open_pair(&p, t, TLS1_3_VERSION);
	shutdown(p.fd[1], SHUT_WR);
	assert_int_equal(tls_read(p.server, buf, sizeof(buf), &n), TLS_CLOSED);
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
	assert_int_equal(tls_read(p.server, buf, sizeof(buf), &n), TLS_FAILED);
	assert_non_null(strstr(tls_error(p.server), "a record was damaged"));
	assert_int_equal(tls_read(p.server, buf, sizeof(buf), &n), TLS_FAILED);
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

/* ---- resumption --------------------------------------------------------------------------------
 */
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
	renewed =
		make_tls_for(server_cert, 1, 12); /* a rotation of the certificate keeps sessions */
	assert_true(connect_again(renewed, version));
	net_tls_unref(&renewed);
	rotate();
	assert_true(connect_again(a, version)); /* an older key still opens */
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

/* ---- what does not load ------------------------------------------------------------------------
 */
static void test_bad_chains(void **state)
{
	struct net_tls_options o = {
		.slot = 7, .min_version = 12, .sign = on_sign, .sign_arg = &signer};
	static const char *const bad[] = {
		"", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
	struct net_tls *t = NULL;
	struct sbuf pem;
	char what[160];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		o.chain_pem = slice_str(bad[i]);
		what[0] = '\0';
		assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_TLS);
		assert_null(t);
		assert_non_null(strstr(what, "the certificate chain does not load"));
	}
	assert_int_equal(pem_of_certs(server_cert, NULL, &pem), E_OK);
	o.chain_pem = sbuf_slice(&pem);
	o.request_client_cert = true; /* and no CA for them: refused, never served without (I01) */
	assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_TLS);
	assert_non_null(strstr(what, "the CA of client certificates does not load"));
	o.client_ca_pem = o.chain_pem;
	assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_OK);
	net_tls_unref(&t);
	sbuf_free(&pem);
}

/* ---- the client side ---------------------------------------------------------------------------
 */
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
		cmocka_unit_test(test_ec_13),
		cmocka_unit_test(test_ec_12),
		cmocka_unit_test(test_p384),
		cmocka_unit_test(test_rsa),
		cmocka_unit_test(test_signed_at_once),
		cmocka_unit_test(test_late_and_out_of_order),
		cmocka_unit_test(test_freed_while_signing),
		cmocka_unit_test(test_signature_refused),
		cmocka_unit_test(test_wrong_signature),
		cmocka_unit_test(test_unknown_ca),
		cmocka_unit_test(test_wrong_name),
		cmocka_unit_test(test_no_shared_version),
		cmocka_unit_test(test_weak_offers),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_plain_bytes),
		cmocka_unit_test(test_handshake_is_capped),
		cmocka_unit_test(test_closing),
		cmocka_unit_test(test_tampered_record),
		cmocka_unit_test(test_key_updates_are_capped),
		cmocka_unit_test(test_no_renegotiation),
		cmocka_unit_test(test_large_and_pending),
		cmocka_unit_test(test_peer_gone),
		cmocka_unit_test(test_tickets_13),
		cmocka_unit_test(test_tickets_12),
		cmocka_unit_test(test_no_keys_no_resumption),
		cmocka_unit_test(test_bad_chains),
		cmocka_unit_test(test_client),
	};

	return cmocka_run_group_tests(tests, suite_setup, suite_teardown);
}
