/* TLS with keys that are elsewhere: handshakes whose signatures come from another thread, late and
 * out of order, against OpenSSL's own client, and what is said when they fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_pair.h"

_Static_assert((int)TLS_ECDSA_SHA256 == (int)SIGN_ECDSA_SHA256, "the numbers of the messages");
_Static_assert((int)TLS_ECDSA_SHA384 == (int)SIGN_ECDSA_SHA384, "the numbers of the messages");
_Static_assert((int)TLS_RSA_PSS_SHA256 == (int)SIGN_RSA_PSS_SHA256, "the numbers of the messages");
_Static_assert((int)TLS_RSA_PSS_SHA384 == (int)SIGN_RSA_PSS_SHA384, "the numbers of the messages");
_Static_assert((int)TLS_RSA_PKCS1_SHA256 == (int)SIGN_RSA_PKCS1_SHA256,
	       "the numbers of the messages");
_Static_assert((int)TLS_SHAPE_13 == (int)SIGN_TLS13_SERVER, "the numbers of the messages");
_Static_assert((int)TLS_SHAPE_12 == (int)SIGN_TLS12_SERVER_KX, "the numbers of the messages");

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

/* ---- what goes wrong, in words ---- */
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
	};

	return cmocka_run_group_tests(tests, suite_setup, suite_teardown);
}
