/* Several certificates by the name that a client asks for: the right one, signed by the right key,
 * in every version, however the name arrives; and sessions that belong to one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "keys/pem.h"
#include "net/tls_i.h"
#include "tls_pair.h"

static EVP_PKEY *shop_key, *other_key;
static X509 *shop_cert, *other_cert;
static SSL_SESSION *kept;

static int setup(void **state)
{
	if (suite_setup(state) != 0)
		return -1;
	shop_cert = make_cert(&shop_key, "shop.test", "*.shop.test");
	other_cert = make_cert(&other_key, "other.test",
			       "broker.test"); /* a name of the default's, too */
	signer.more[0] = shop_key;
	signer.more[1] = other_key;
	return 0;
}

static int teardown(void **state)
{
	EVP_PKEY_free(shop_key);
	EVP_PKEY_free(other_key);
	X509_free(shop_cert);
	X509_free(other_cert);
	return suite_teardown(state);
}

/* The default, and so many of shop and other. */
static struct net_tls *make(u32 n, const char *listener)
{
	X509 *const certs[] = {server_cert, shop_cert, other_cert};
	struct net_tls_certificate c[3];
	struct net_tls_options o = {.certificates = c,
				    .ncertificates = n,
				    .min_version = 12,
				    .sign = on_sign,
				    .sign_arg = &signer,
				    .name = slice_str(listener),
				    .protocols = NET_RAW | NET_WEBSOCKET};
	struct net_tls *t = NULL;
	struct sbuf pem[3];
	char what[160] = "";

	for (u32 i = 0; i < n; i++) {
		assert_int_equal(pem_of_certs(certs[i], NULL, &pem[i]), E_OK);
		c[i] = (struct net_tls_certificate){7 + i, sbuf_slice(&pem[i])};
	}
	assert_int_equal(net_tls_new(&o, &t, what, sizeof(what)), E_OK);
	for (u32 i = 0; i < n; i++)
		sbuf_free(&pem[i]);
	return t;
}

static int keep_session(SSL *ssl, SSL_SESSION *s)
{
	SSL_SESSION_free(kept);
	kept = s;
	return 1;
}

/* OpenSSL copies what it takes as writable. */
static void ask_for(SSL *ssl, const char *name)
{
	char copy[256];

	snprintf(copy, sizeof(copy), "%s", name);
	assert_int_equal(SSL_set_tlsext_host_name(ssl, copy), 1);
}

/* A pair whose client asks for that name (NULL: for none) and believes any. */
static void open_for(struct pair *p, struct net_tls *t, int version, const char *name)
{
	SSL_CTX *ctx = client_ctx(ca);

	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	signer_mode(SIGN_THREAD, 1);
	pair_open(p, t, ctx, NULL);
	if (name != NULL)
		ask_for(p->client, name);
	assert_int_equal(SSL_set_alpn_protos(p->client, (const u8 *)"\x04mqtt", 5), 0);
}

static void expect(struct pair *p, X509 *want, u32 slot)
{
	const u8 *alpn;
	unsigned n;

	assert_true(p->server_done && p->client_done);
	assert_int_equal(X509_cmp(SSL_get0_peer_certificate(p->client), want), 0);
	assert_int_equal(signer.last_slot, slot);
	SSL_get0_alpn_selected(p->client, &alpn, &n);
	assert_int_equal(n, 4); /* everything else is the listener's */
	pair_echo(p);
}

static void check(struct net_tls *t, const char *name, X509 *want, u32 slot)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
	struct pair p;

	for (u32 i = 0; i < ARRAY_LEN(versions); i++) {
		open_for(&p, t, versions[i], name);
		pair_run(&p);
		expect(&p, want, slot);
		pair_close(&p);
	}
}

static void test_the_name_chooses(void **state)
{
	struct net_tls *t = make(3, "l");

	check(t, "shop.test", shop_cert, 8);
	check(t, "SHOP.test", shop_cert, 8);
	check(t, "eu.shop.test", shop_cert, 8);
	check(t, "other.test", other_cert, 9);
	check(t, "broker.test", server_cert, 7); /* the default's own name stays its own */
	net_tls_unref(&t);
}

static void test_all_others_get_the_default(void **state)
{
	struct net_tls *t = make(3, "l");

	check(t, NULL, server_cert, 7);
	check(t, "nobody.test", server_cert, 7);
	check(t, "a.b.shop.test", server_cert, 7); /* '*' is one label */
	check(t, "shop.test.", server_cert, 7);
	check(t, "shop.test/../other", server_cert, 7);
	net_tls_unref(&t);
}

/* A listener serves what it names and nothing of another one. */
static void test_listeners_are_not_confused(void **state)
{
	struct net_tls *with = make(2, "with"), *without = make(1, "without");

	check(without, "shop.test", server_cert, 7);
	check(with, "shop.test", shop_cert, 8);
	check(with, "other.test", server_cert, 7);
	net_tls_unref(&with);
	net_tls_unref(&without);
}

/* The ClientHello a byte at a time: the name is not guessed from its first piece (TLS-SNIFRAG). */
static void test_a_name_in_pieces(void **state)
{
	struct net_tls *t = make(3, "l");
	struct pair p;
	u8 hello[4096];
	int relay[2];
	ssize_t n;

	open_for(&p, t, TLS1_3_VERSION, "shop.test");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, relay), 0);
	SSL_set_fd(p.client, relay[0]); /* its first flight goes through our hands */
	pair_client_step(&p);
	n = recv(relay[1], hello, sizeof(hello), 0);
	assert_true(n > 100);
	for (ssize_t i = 0; i < n; i++) {
		assert_int_equal(send(p.fd[1], hello + i, 1, 0), 1);
		pair_server_step(&p);
	}
	SSL_set_fd(p.client, p.fd[1]);
	pair_run(&p);
	expect(&p, shop_cert, 8);
	close(relay[0]);
	close(relay[1]);
	pair_close(&p);
	net_tls_unref(&t);
}

static void ticket_keys(void)
{
	u8 name[1][16], aes[1][32], hmac[1][32];

	assert_int_equal(RAND_bytes(name[0], 16), 1);
	assert_int_equal(RAND_bytes(aes[0], 32), 1);
	assert_int_equal(RAND_bytes(hmac[0], 32), 1);
	net_tls_ticket_keys((const u8(*)[16])name, (const u8(*)[32])aes, (const u8(*)[32])hmac, 1);
}

static bool resumes(struct net_tls *t, int version, const char *name, SSL_SESSION *s)
{
	struct pair p;
	bool yes;

	open_for(&p, t, version, name);
	assert_int_equal(SSL_set_session(p.client, s), 1);
	if (name != NULL) /* the session remembers its own */
		ask_for(p.client, name);
	pair_run(&p);
	assert_true(p.server_done && p.client_done);
	pair_echo(&p);
	yes = SSL_session_reused(p.client);
	SSL_shutdown(p.client); /* else its session is spoilt */
	pair_close(&p);
	return yes;
}

/* A session that began with one certificate is not gone on with under another's name. */
static void check_sessions(int version)
{
	struct net_tls *t = make(3, "l"), *elsewhere = make(3, "m");
	SSL_SESSION *s;
	struct pair p;

	ticket_keys();
	open_for(&p, t, version, "shop.test");
	pair_run(&p);
	expect(&p, shop_cert, 8);
	SSL_shutdown(p.client);
	pair_close(&p);
	assert_non_null(kept);
	s = SSL_SESSION_dup(kept);
	assert_true(resumes(t, version, "shop.test", s));
	SSL_SESSION_free(s);
	s = SSL_SESSION_dup(kept);
	assert_true(resumes(t, version, "eu.shop.test", s)); /* the same certificate */
	SSL_SESSION_free(s);
	s = SSL_SESSION_dup(kept);
	assert_false(resumes(t, version, "other.test", s));
	SSL_SESSION_free(s);
	SSL_SESSION_free(kept);
	kept = NULL;
	open_for(&p, t, version, "shop.test");
	pair_run(&p);
	pair_echo(&p);
	SSL_shutdown(p.client);
	pair_close(&p);
	s = SSL_SESSION_dup(kept);
	assert_false(resumes(elsewhere, version, "shop.test", s));
	SSL_SESSION_free(s);
	SSL_SESSION_free(kept);
	kept = NULL;
	net_tls_unref(&t);
	net_tls_unref(&elsewhere);
}

static void test_sessions_13(void **state)
{
	check_sessions(TLS1_3_VERSION);
}

static void test_sessions_12(void **state)
{
	check_sessions(TLS1_2_VERSION);
}

/* ---- the extension as bytes ---- */
static void test_what_is_a_name(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *name;
	} v[] = {
#define E(bytes, name) {bytes, sizeof(bytes) - 1, name}
		E("\0\x0c\0\0\x09shop.test", "shop.test"),
		E("\0\x04\0\0\x01x", "x"),
		E("", ""),
		E("\0", ""),
		E("\0\0", ""),
		E("\0\x03\0\0\0", ""),
		E("\0\x04\0\0\0", ""),
		E("\0\x04\0\0\x02x", ""),
		E("\0\x05\0\0\x01x", ""),
		E("\0\x04\1\0\x01x", ""),	   /* not a host name */
		E("\0\x08\0\0\x01x\0\0\x01y", ""), /* two of them */
		E("\0\x05\0\0\x02x\0", ""),
		E("\0\x05\0\0\x02x ", ""),
		E("\0\x05\0\0\x02\xc3\xa4", ""),
#undef E
	};
	u8 longest[512] = {0};

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct slice s = tls_sni_name(slice_of(v[i].bytes, v[i].n));
		assert_true(slice_eq(s, slice_str(v[i].name)));
	}
	memset(longest + 5, 'x', 254);
	for (u32 n = 253; n <= 254; n++) {
		longest[0] = (u8)((n + 3) >> 8);
		longest[1] = (u8)(n + 3);
		longest[4] = (u8)n;
		assert_int_equal(tls_sni_name(slice_of(longest, n + 5)).n, n == 253 ? 253 : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_name_chooses),
		cmocka_unit_test(test_all_others_get_the_default),
		cmocka_unit_test(test_listeners_are_not_confused),
		cmocka_unit_test(test_a_name_in_pieces),
		cmocka_unit_test(test_sessions_13),
		cmocka_unit_test(test_sessions_12),
		cmocka_unit_test(test_what_is_a_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
