/* The broker process and keys: nothing listens before a certificate is there; a signature that keys
 * took to its grave is asked for again; a new certificate is for new connections and ends no old
 * one. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "world.h"

static struct world w;
static u32 port;
static EVP_PKEY *key;

static X509 *certificate(long serial)
{
	X509 *c = X509_new();
	X509_NAME *n = X509_get_subject_name(c);

	X509_set_version(c, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c), serial);
	X509_gmtime_adj(X509_getm_notBefore(c), 0);
	X509_gmtime_adj(X509_getm_notAfter(c), 86400);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const u8 *)"broker.test", -1, -1, 0);
	X509_set_issuer_name(c, n);
	X509_set_pubkey(c, key);
	assert_true(X509_sign(c, key, EVP_sha256()) > 0);
	return c;
}

static void say_chain(long serial)
{
	X509 *c = certificate(serial);
	BIO *b = BIO_new(BIO_s_mem());
	struct m_tls_chain m = {.slot = 0};
	char *pem;
	long n;

	assert_int_equal(PEM_write_bio_X509(b, c), 1);
	n = BIO_get_mem_data(b, &pem);
	m.size = (u32)n;
	world_say_fd(&w, ROLE_KEYS, IPC_TLS_CHAIN, 0, &m,
		     ipc_memfd("chain", slice_of(pem, (size_t)n)));
	BIO_free(b);
	X509_free(c);
}

static void say_tickets(void)
{
	struct m_ticket_keys t = {.count = 1, .name = {{1}}, .aes = {{2}}, .hmac = {{3}}};

	world_say(&w, ROLE_KEYS, IPC_TICKET_KEYS, 0, &t, SLICE_NONE);
}

static u64 expect_sign(struct ipc_msg *m)
{
	assert_true(world_await(&w, ROLE_KEYS, IPC_SIGN, 10000, m));
	return m->id;
}

static void answer_sign(const struct ipc_msg *m)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	struct m_signed s = {.err = E_OK};
	u8 sig[256];
	size_t n = sizeof(sig);

	assert_int_equal(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSign(c, sig, &n, m->tail.p, m->tail.n), 1);
	EVP_MD_CTX_free(c);
	world_say(&w, ROLE_KEYS, IPC_SIGNED, m->id, &s, slice_of(sig, n));
}

/* A client in a thread of its own, since its handshake waits for us. */
struct client {
	pthread_t thread;
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	bool ok;
};

static void *client_run(void *arg)
{
	struct client *c = arg;

	c->ok = SSL_connect(c->ssl) == 1;
	return NULL;
}

static void client_open(struct client *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((u16)port)};
	struct timeval patience = {.tv_sec = 20};

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	c->ctx = SSL_CTX_new(TLS_client_method());
	c->ssl = SSL_new(c->ctx);
	SSL_set_fd(c->ssl, c->fd);
	assert_int_equal(pthread_create(&c->thread, NULL, client_run, c), 0);
}

static void client_close(struct client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
}

static long client_serial(const struct client *c)
{
	X509 *x = SSL_get1_peer_certificate(c->ssl);
	long serial = ASN1_INTEGER_get(X509_get0_serialNumber(x));

	X509_free(x);
	return serial;
}

static void expect_bytes(struct client *c, const void *want, int n)
{
	u8 got[16];

	assert_int_equal(SSL_read(c->ssl, got, n), n);
	assert_memory_equal(got, want, (size_t)n);
}

static void log_in(struct client *c)
{
	struct ipc_msg m;
	static const u8 hello[] = {0x10, 19, 0, 4,   'M', 'Q', 'T', 'T', 4, 0xc2, 0,
				   60,	 0,  1, 'a', 0,	  1,   'u', 0,	 1, 'p'};

	assert_int_equal(SSL_write(c->ssl, hello, sizeof(hello)), sizeof(hello));
	assert_true(world_await(&w, ROLE_AUTH, IPC_LOGIN, 10000, &m));
	assert_int_equal(((const struct m_login *)m.body)->tls, 1);
	world_allow(&w, m.id, "dev", SLICE_NONE);
	expect_bytes(c, "\x20\2\0\0", 4);
}

static void start(void)
{
	char text[256];
	struct ipc_msg m;

	port = world_port();
	snprintf(text, sizeof(text), "listener mqtts { bind = \"127.0.0.1:%u\" tls = on }\n", port);
	world_start(&w, text, 2);
	world_link(&w, ROLE_AUTH);
	world_link(&w, ROLE_KEYS);
	world_policy(&w, "role all { publish #; subscribe # }", 1);
	assert_true(world_await(&w, ROLE_AUTH, IPC_GENERATION_DONE, 10000, &m));
}

/* A signature is asked for once, and once more of whoever comes after keys was gone. */
static void test_keys_restarts(void **state)
{
	struct client c = {.fd = -1};
	struct ipc_msg m;
	u64 id;

	start();
	say_tickets();
	client_open(&c);
	assert_false(world_await(&w, ROLE_KEYS, IPC_SIGN, 300, &m)); /* no certificate yet */
	say_chain(7);
	id = expect_sign(&m);
	world_link(&w, ROLE_KEYS);
	assert_int_equal(expect_sign(&m), id);
	answer_sign(&m);
	pthread_join(c.thread, NULL);
	assert_true(c.ok);
	assert_int_equal(client_serial(&c), 7);
	log_in(&c);
	client_close(&c);
	assert_int_equal(world_stop(&w, true), 0);
}

static void test_new_certificate(void **state)
{
	struct client old = {.fd = -1}, new = {.fd = -1};
	struct ipc_msg m;
	long serial = 0;

	start();
	say_tickets();
	say_chain(7);
	client_open(&old);
	expect_sign(&m);
	answer_sign(&m);
	pthread_join(old.thread, NULL);
	log_in(&old);
	say_chain(8);
	assert_int_equal(SSL_write(old.ssl, "\xc0\0", 2), 2);
	expect_bytes(&old, "\xd0\0", 2);
	/* The certificate and the connection travel on different ways. */
	for (int i = 0; i < 100 && serial != 8; i++) {
		client_open(&new);
		expect_sign(&m);
		answer_sign(&m);
		pthread_join(new.thread, NULL);
		assert_true(new.ok);
		serial = client_serial(&new);
		client_close(&new);
	}
	assert_int_equal(serial, 8);
	assert_int_equal(SSL_write(old.ssl, "\xc0\0", 2), 2);
	expect_bytes(&old, "\xd0\0", 2);
	client_close(&old);
	assert_int_equal(world_stop(&w, true), 0);
}

/* keys says no: that handshake ends, the broker does not. */
static void test_refused_signature(void **state)
{
	struct m_signed no = {.err = E_DENIED};
	struct client c = {.fd = -1};
	struct ipc_msg m;

	start();
	say_tickets();
	say_chain(7);
	client_open(&c);
	world_say(&w, ROLE_KEYS, IPC_SIGNED, expect_sign(&m), &no, SLICE_NONE);
	pthread_join(c.thread, NULL);
	assert_false(c.ok);
	client_close(&c);
	assert_int_equal(world_stop(&w, true), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys_restarts),
					   cmocka_unit_test(test_new_certificate),
					   cmocka_unit_test(test_refused_signature)};
	int failed;

	key = EVP_EC_gen("P-256");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	EVP_PKEY_free(key);
	return failed;
}
