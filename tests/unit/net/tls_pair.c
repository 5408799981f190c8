/* tls_pair: see tls_pair.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "keys/cert.h"
#include "keys/pem.h"
#include "tls_pair.h"

/* ---- what the loop and its connections are to TLS ----------------------------------------------
 */
void **loop_tls_slot(struct loop *l)
{
	return &l->slot;
}

void conn_handshake_again(struct conn *c)
{
	c->again = true;
}

struct loop loop;

/* ---- the signer --------------------------------------------------------------------------------
 */
struct signer signer = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void sign_one(struct request *r)
{
	EVP_PKEY *key = r->slot == 7 ? signer.key : signer.more[r->slot - 8];
	enum err e =
		sign_handshake(key, r->shape, r->alg, slice_of(r->bytes, r->n), r->sig, &r->sig_n);

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

void on_sign(void *arg, struct loop *l, u64 id, u32 slot, u32 alg, u32 shape, struct slice bytes)
{
	static struct request scratch;
	struct request *r = &scratch;

	assert_ptr_equal(arg, &signer);
	assert_true(slot >= 7 && slot < 8 + ARRAY_LEN(signer.more));
	assert_true(bytes.n <= sizeof(r->bytes));
	pthread_mutex_lock(&signer.lock);
	signer.asked++;
	signer.last_slot = slot;
	if (signer.how == SIGN_THREAD)
		r = &signer.q[signer.queued];
	*r = (struct request){.id = id, .slot = slot, .alg = alg, .shape = shape, .n = bytes.n};
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
void signer_deliver(void)
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

void signer_mode(enum how how, u32 batch)
{
	pthread_mutex_lock(&signer.lock);
	signer.how = how;
	signer.batch = batch;
	signer.asked = signer.queued = signer.answered = 0;
	pthread_mutex_unlock(&signer.lock);
}

/* ---- certificates ------------------------------------------------------------------------------
 */
EVP_PKEY *ca_key, *server_key, *rsa_key, *p384_key;
X509 *ca, *server_cert, *rsa_cert, *p384_cert, *other_ca;

static X509 *issue(EVP_PKEY *key, const X509 *like)
{
	X509 *x = X509_dup(like);

	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_true(X509_sign(x, ca_key, EVP_sha256()) > 0);
	return x;
}

X509 *make_cert(EVP_PKEY **key, const char *name, const char *other)
{
	struct names n = {0};
	X509 *cert;

	assert_int_equal(names_add_dns(&n, name), E_OK);
	if (other != NULL)
		assert_int_equal(names_add_dns(&n, other), E_OK);
	assert_int_equal(cert_make_server(ca_key, ca, &n, clock_wall_ms(), key, &cert), E_OK);
	return cert;
}

int suite_setup(void **state)
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

int suite_teardown(void **state)
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

struct net_tls *make_tls_for(X509 *cert, u32 listener, u32 min)
{
	struct net_tls_certificate c = {.slot = 7};
	char name[16];
	struct net_tls_options o = {.certificates = &c,
				    .ncertificates = 1,
				    .min_version = min,
				    .sign = on_sign,
				    .sign_arg = &signer,
				    .name = slice_of(name, sizeof(name))};
	struct net_tls *t = NULL;
	struct sbuf pem;
	char what[160] = "";

	assert_int_equal(pem_of_certs(cert, NULL, &pem), E_OK);
	memset(name, 0, sizeof(name));
	snprintf(name, sizeof(name), "l%u", listener);
	c.chain_pem = sbuf_slice(&pem);
	assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_OK);
	sbuf_free(&pem);
	return t;
}

struct net_tls *make_tls(X509 *cert)
{
	return make_tls_for(cert, 0, 12);
}

/* ---- a pair: our server, OpenSSL's client ------------------------------------------------------
 */

SSL_CTX *client_ctx(X509 *trusted)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (trusted != NULL)
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), trusted);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return ctx;
}

void pair_fds(struct pair *p)
{
	*p = (struct pair){.fd = {-1, -1}};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd), 0);
}

/* Takes ctx. */
void pair_open(struct pair *p, struct net_tls *t, SSL_CTX *ctx, const char *name)
{
	pair_fds(p);
	p->server = tls_conn_new(t, &loop, &p->conn, p->fd[0]);
	p->ctx = ctx;
	p->client = SSL_new(ctx);
	SSL_set_fd(p->client, p->fd[1]);
	SSL_set1_host(p->client, name);
	SSL_set_connect_state(p->client);
}

void pair_close(struct pair *p)
{
	if (p->server != NULL)
		tls_conn_free(&p->server);
	SSL_free(p->client);
	SSL_CTX_free(p->ctx);
	close(p->fd[0]);
	close(p->fd[1]);
}

enum tls_io pair_server_step(struct pair *p)
{
	enum tls_io io = tls_handshake(p->server);

	p->server_done = io == TLS_OK;
	p->server_failed = io == TLS_FAILED || io == TLS_CLOSED;
	return io;
}

void pair_client_step(struct pair *p)
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
void pair_run(struct pair *p)
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

void pair_echo(struct pair *p)
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
