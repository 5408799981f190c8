/* The keys process itself, forked, with this test in the place of supervisor, broker, auth and
 * admin: files in a folder, real links, real messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "base/clock.h"
#include "ipc/child.h"
#include "keys/cert.h"
#include "keys/keys.h"
#include "keys/pem.h"
#include "keys/sign.h"

static const char *const file_names[FILE_N] = {
	[FILE_CA_KEY] = "ca.key",	  [FILE_CA_CERT] = "ca.crt",
	[FILE_SERVER_KEY] = "server.key", [FILE_SERVER_CERT] = "server.crt",
	[FILE_PEPPER] = "pepper",	  [FILE_EXTERNAL_CERT] = "ext.crt",
	[FILE_EXTERNAL_KEY] = "ext.key",
};

static char dir[64];
static struct conf conf;

/* What keys said, by type; the newest of each. */
struct heard {
	u32 n;
	u64 id;
	u8 body[512];
	size_t tail_n;
	u8 tail[65536];
	size_t file_n;
	u8 file[65536];
};
struct world {
	pid_t pid;
	struct ipc_link *link[ROLE_N];
	struct heard heard[IPC_N];
	bool full_disk; /* every commit fails */
	u64 generation;
};
static struct world w;

static bool no_sandbox(enum role me, struct m_ready *ready)
{
	(void)me;
	(void)ready;
	return true;
}

/* ---- the supervisor's part ---- */
static const char *path_of(u32 file, bool temp)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s%s", dir, file_names[file], temp ? ".new" : "");
	return path;
}

static void answer_get(const struct m_file_get *g, u64 id)
{
	struct m_file f = {g->file, g->index, g->mode, E_OK};
	int fd = g->mode == FILE_NEW
			 ? open(path_of(g->file, true), O_RDWR | O_CREAT | O_TRUNC, 0600)
			 : open(path_of(g->file, false), O_RDONLY);

	if (fd < 0)
		f.err = E_NOT_FOUND;
	assert_int_equal(ipc_send(w.link[ROLE_SUP], IPC_FILE, id, &f, SLICE_NONE, fd), E_OK);
	if (fd >= 0)
		close(fd);
}

static void answer_commit(const struct m_file_get *g, u64 id)
{
	struct m_file f = {g->file, g->index, FILE_DONE, w.full_disk ? E_IO : E_OK};
	char to[128];

	snprintf(to, sizeof(to), "%s", path_of(g->file, false));
	if (!w.full_disk)
		assert_int_equal(rename(path_of(g->file, true), to), 0);
	assert_int_equal(ipc_send(w.link[ROLE_SUP], IPC_FILE, id, &f, SLICE_NONE, -1), E_OK);
}

static void take_file(struct heard *h, int fd)
{
	ssize_t n = pread(fd, h->file, sizeof(h->file), 0);

	assert_true(n >= 0);
	h->file_n = (size_t)n;
}

static void hear(struct ipc_msg *m)
{
	struct heard *h = &w.heard[m->type];

	if (m->type == IPC_FILE_GET)
		answer_get(m->body, m->id);
	if (m->type == IPC_FILE_COMMIT)
		answer_commit(m->body, m->id);
	h->n++;
	h->id = m->id;
	memcpy(h->body, m->body, ipc_body_size(m->type));
	h->tail_n = m->tail.n;
	memcpy(h->tail, m->tail.p, m->tail.n);
	h->file_n = 0;
	if (m->fd >= 0) {
		take_file(h, m->fd);
		close(m->fd);
	}
}

/* One round; false when keys is gone. */
static bool serve(int wait_ms)
{
	struct pollfd p[ROLE_N];
	u32 n = 0;
	struct ipc_msg m;
	bool alive = true;

	for (u32 r = 0; r < ROLE_N; r++) {
		if (w.link[r] != NULL)
			p[n++] = (struct pollfd){ipc_link_fd(w.link[r]), POLLIN, 0};
	}
	poll(p, n, wait_ms);
	for (u32 r = 0; r < ROLE_N; r++) {
		enum err e;
		while (w.link[r] != NULL && (e = ipc_recv(w.link[r], &m)) != E_MORE) {
			if (e != E_OK) {
				alive = false;
				break;
			}
			hear(&m);
		}
	}
	return alive;
}

static void wait_for(enum ipc_type type, u32 n)
{
	u64 until = clock_mono_ms() + 30000;

	while (w.heard[type].n < n) {
		assert_true(clock_mono_ms() < until);
		assert_true(serve(1000));
	}
}

static int exit_code(void)
{
	int status = 0;

	while (serve(100))
		;
	assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
	assert_true(WIFEXITED(status));
	w.pid = 0;
	return WEXITSTATUS(status);
}

static void send_sup(enum ipc_type type, const void *body, int fd)
{
	assert_int_equal(ipc_send(w.link[ROLE_SUP], type, 0, body, SLICE_NONE, fd), E_OK);
}

static void send_config(u32 reload)
{
	struct m_config m = {++w.generation, sizeof(conf), reload};
	int fd = ipc_memfd("conf", slice_of(&conf, sizeof(conf)));

	assert_true(fd >= 0);
	send_sup(IPC_CONFIG, &m, fd);
	close(fd);
}

static void link_peer(enum role peer)
{
	struct m_link m = {peer};
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	if (w.link[peer] != NULL)
		ipc_link_free(&w.link[peer]);
	w.link[peer] = ipc_link_new(fd[0], peer, ROLE_KEYS);
	send_sup(IPC_LINK, &m, fd[1]);
	close(fd[1]);
}

static void start(void)
{
	struct m_start s = {1, 1};
	int fd[2];

	memset(&w, 0, sizeof(w));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	w.pid = fork();
	if (w.pid == 0) {
		close(fd[0]);
		exit(keys_main(fd[1], no_sandbox)); /* with the leak check of a sanitizer */
	}
	close(fd[1]);
	w.link[ROLE_SUP] = ipc_link_new(fd[0], ROLE_SUP, ROLE_KEYS);
	link_peer(ROLE_BROKER);
	link_peer(ROLE_AUTH);
	link_peer(ROLE_ADMIN);
	send_config(0);
	send_sup(IPC_START, &s, -1);
}

static void start_ready(void)
{
	start();
	wait_for(IPC_TLS_CHAIN, 1);
	wait_for(IPC_TICKET_KEYS, 1);
	wait_for(IPC_TOKEN_KEY, 1);
}

static void stop(void)
{
	struct m_none none = {0};

	if (w.pid != 0) {
		send_sup(IPC_STOP, &none, -1);
		assert_int_equal(exit_code(), 0);
	}
	for (u32 r = 0; r < ROLE_N; r++) {
		if (w.link[r] != NULL)
			ipc_link_free(&w.link[r]);
	}
}

static void put_file(u32 file, struct slice s)
{
	int fd = open(path_of(file, false), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, s.p, s.n), (ssize_t)s.n);
	close(fd);
}

static size_t get_file(u32 file, u8 *out, size_t cap)
{
	int fd = open(path_of(file, false), O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, out, cap) : 0;

	if (fd >= 0)
		close(fd);
	return n > 0 ? (size_t)n : 0;
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/picket-keys-XXXXXX");
	assert_non_null(mkdtemp(dir));
	conf_defaults(&conf);
	conf.names = 1;
	snprintf(conf.name[0], sizeof(conf.name[0]), "mqtt.lan");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop();
	for (u32 f = 0; f < FILE_N; f++) {
		if (file_names[f] == NULL)
			continue;
		unlink(path_of(f, false));
		unlink(path_of(f, true));
	}
	return rmdir(dir);
}

/* ---- the parts of broker and admin ---- */
static struct slice verify_bytes(void)
{
	static u8 b[64 + 34 + 32];

	memset(b, ' ', 64);
	memcpy(b + 64, "TLS 1.3, server CertificateVerify", 34);
	memset(b + 98, 7, 32);
	return slice_of(b, sizeof(b));
}

static u32 ask_sign(u32 slot, u32 alg, struct slice bytes)
{
	struct m_sign m = {slot, alg, SIGN_TLS13_SERVER};
	u32 n = w.heard[IPC_SIGNED].n;

	assert_int_equal(ipc_send(w.link[ROLE_BROKER], IPC_SIGN, 77, &m, bytes, -1), E_OK);
	wait_for(IPC_SIGNED, n + 1);
	assert_int_equal(w.heard[IPC_SIGNED].id, 77);
	return ((const struct m_signed *)(const void *)w.heard[IPC_SIGNED].body)->err;
}

static u32 call(u32 op, struct slice tail)
{
	struct m_keys_call m = {op};
	u32 n = w.heard[IPC_KEYS_REPLY].n;

	assert_int_equal(ipc_send(w.link[ROLE_ADMIN], IPC_KEYS_CALL, 99, &m, tail, -1), E_OK);
	wait_for(IPC_KEYS_REPLY, n + 1);
	assert_int_equal(w.heard[IPC_KEYS_REPLY].id, 99);
	return ((const struct m_call_reply *)(const void *)w.heard[IPC_KEYS_REPLY].body)->err;
}

static X509 *reply_cert(void)
{
	return pem_cert(slice_of(w.heard[IPC_KEYS_REPLY].tail, w.heard[IPC_KEYS_REPLY].tail_n));
}

static X509 *served_cert(void)
{
	return pem_cert(slice_of(w.heard[IPC_TLS_CHAIN].file, w.heard[IPC_TLS_CHAIN].file_n));
}

static bool verifies(X509 *cert, struct slice bytes)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = EVP_DigestVerifyInit_ex(md, NULL, "SHA256", NULL, NULL, X509_get0_pubkey(cert),
					  NULL) == 1 &&
		  EVP_DigestVerify(md, w.heard[IPC_SIGNED].tail, w.heard[IPC_SIGNED].tail_n,
				   bytes.p, bytes.n) == 1;

	EVP_MD_CTX_free(md);
	return ok;
}

/* ---- tests ---- */
static void test_first_start(void **state)
{
	X509 *leaf, *ca;
	u8 pepper[64];

	(void)state;
	start_ready();
	leaf = served_cert();
	assert_int_equal(call(KEYS_CA_CERT, SLICE_NONE), E_OK);
	ca = reply_cert();
	assert_non_null(leaf);
	assert_non_null(ca);
	assert_int_equal(X509_verify(leaf, X509_get0_pubkey(ca)), 1);
	assert_int_equal(X509_check_host(leaf, "mqtt.lan", 0, 0, NULL), 1);
	assert_int_equal(X509_check_ip_asc(leaf, "127.0.0.1", 0), 1);
	assert_int_equal(ask_sign(0, SIGN_ECDSA_SHA256, verify_bytes()), E_OK);
	assert_true(verifies(leaf, verify_bytes()));
	assert_int_equal(get_file(FILE_PEPPER, pepper, sizeof(pepper)), 32);
	X509_free(leaf);
	X509_free(ca);
}

static void test_restart_keeps_everything(void **state)
{
	u8 token[32], chain[4096], ticket[32];
	size_t n;

	(void)state;
	start_ready();
	memcpy(token, w.heard[IPC_TOKEN_KEY].body, 32);
	memcpy(ticket, w.heard[IPC_TICKET_KEYS].body + 48, 32);
	n = w.heard[IPC_TLS_CHAIN].file_n;
	memcpy(chain, w.heard[IPC_TLS_CHAIN].file, n);
	stop();
	start_ready();
	assert_memory_equal(w.heard[IPC_TOKEN_KEY].body, token, 32);
	assert_int_equal(w.heard[IPC_TLS_CHAIN].file_n, n);
	assert_memory_equal(w.heard[IPC_TLS_CHAIN].file, chain, n);
	assert_memory_not_equal(w.heard[IPC_TICKET_KEYS].body + 48, ticket,
				32); /* never the same twice */
}

static void test_new_broker_is_told(void **state)
{
	(void)state;
	start_ready();
	link_peer(ROLE_BROKER);
	wait_for(IPC_TLS_CHAIN, 2);
	wait_for(IPC_TICKET_KEYS, 2);
	link_peer(ROLE_AUTH);
	wait_for(IPC_TOKEN_KEY, 2);
}

/* A handshake that asks while keys is still reading its files (after a restart) is answered all the
 * same. */
static void test_asked_before_ready(void **state)
{
	struct m_sign m = {0, SIGN_ECDSA_SHA256, SIGN_TLS13_SERVER};
	X509 *leaf;

	(void)state;
	start_ready();
	stop();
	start();
	for (u32 i = 0; i < 100; i++)
		assert_int_equal(ipc_send(w.link[ROLE_BROKER], IPC_SIGN, i, &m, verify_bytes(), -1),
				 E_OK);
	wait_for(IPC_SIGNED, 100);
	leaf = served_cert();
	assert_true(verifies(leaf, verify_bytes()));
	X509_free(leaf);
}

static void test_refuses_to_sign(void **state)
{
	struct slice good = verify_bytes();

	(void)state;
	start_ready();
	assert_int_equal(ask_sign(0, SIGN_ECDSA_SHA256, SLICE_LIT("anything else")), E_MALFORM);
	assert_int_equal(w.heard[IPC_SIGNED].tail_n, 0);
	assert_int_equal(ask_sign(0, SIGN_ECDSA_SHA384, good), E_RANGE);
	assert_int_equal(ask_sign(0, SIGN_RSA_PSS_SHA256, good), E_RANGE);
	assert_int_equal(ask_sign(0, 0, good), E_RANGE);
	assert_int_equal(ask_sign(1, SIGN_ECDSA_SHA256, good), E_NOT_FOUND);
	assert_int_equal(ask_sign(UINT32_MAX, SIGN_ECDSA_SHA256, good), E_NOT_FOUND);
	assert_int_equal(w.heard[IPC_SIGNED].tail_n, 0);
	assert_int_equal(ask_sign(0, SIGN_ECDSA_SHA256, good), E_OK); /* and lives on */
}

static void test_admin_calls(void **state)
{
	X509 *leaf, *ca, *renewed;
	char text[65536];

	(void)state;
	start_ready();
	leaf = served_cert();
	assert_int_equal(call(KEYS_CA_CERT, SLICE_NONE), E_OK);
	ca = reply_cert();
	assert_int_equal(call(KEYS_SERVER_CERT, SLICE_NONE), E_OK);
	renewed = reply_cert();
	assert_int_equal(X509_cmp(leaf, renewed), 0);
	X509_free(renewed);
	assert_int_equal(call(KEYS_RENEW, SLICE_NONE), E_OK);
	wait_for(IPC_TLS_CHAIN, 2);
	renewed = served_cert();
	assert_int_not_equal(X509_cmp(leaf, renewed), 0);
	assert_int_equal(X509_verify(renewed, X509_get0_pubkey(ca)), 1);
	assert_int_equal(ask_sign(0, SIGN_ECDSA_SHA256, verify_bytes()), E_OK);
	assert_true(verifies(renewed, verify_bytes()));
	assert_false(verifies(leaf, verify_bytes()));
	assert_int_equal(call(KEYS_CA_BACKUP, SLICE_LIT("short")), E_RANGE);
	assert_int_equal(call(KEYS_CA_BACKUP, SLICE_LIT("a long passphrase")), E_OK);
	memcpy(text, w.heard[IPC_KEYS_REPLY].tail, w.heard[IPC_KEYS_REPLY].tail_n);
	assert_non_null(
		memmem(text, w.heard[IPC_KEYS_REPLY].tail_n, "BEGIN ENCRYPTED PRIVATE KEY", 27));
	assert_null(memmem(text, w.heard[IPC_KEYS_REPLY].tail_n, "BEGIN PRIVATE KEY", 17));
	assert_int_equal(call(0, SLICE_NONE), E_RANGE);
	assert_int_equal(call(1000, SLICE_NONE), E_RANGE);
	X509_free(leaf);
	X509_free(ca);
	X509_free(renewed);
}

/* A renewal that cannot be written changes nothing. */
static void test_renewal_on_a_full_disk(void **state)
{
	X509 *leaf;

	(void)state;
	start_ready();
	leaf = served_cert();
	w.full_disk = true;
	assert_int_equal(call(KEYS_RENEW, SLICE_NONE), E_IO);
	assert_int_equal(w.heard[IPC_TLS_CHAIN].n, 1);
	assert_int_equal(ask_sign(0, SIGN_ECDSA_SHA256, verify_bytes()), E_OK);
	assert_true(verifies(leaf, verify_bytes()));
	w.full_disk = false;
	assert_int_equal(call(KEYS_RENEW, SLICE_NONE), E_OK);
	X509_free(leaf);
}

static u32 reload(void)
{
	u32 n = w.heard[IPC_CONFIG_DONE].n;
	const struct m_config_done *d = (const void *)w.heard[IPC_CONFIG_DONE].body;

	send_config(1);
	wait_for(IPC_CONFIG_DONE, n + 1);
	assert_int_equal(d->generation, w.generation);
	return d->err;
}

static void test_reload_with_new_names(void **state)
{
	X509 *leaf;

	(void)state;
	start_ready();
	assert_int_equal(reload(), E_OK); /* nothing new: nothing made */
	assert_int_equal(w.heard[IPC_TLS_CHAIN].n, 1);
	conf.names = 2;
	snprintf(conf.name[1], sizeof(conf.name[1]), "second.lan");
	assert_int_equal(reload(), E_OK);
	wait_for(IPC_TLS_CHAIN, 2);
	leaf = served_cert();
	assert_int_equal(X509_check_host(leaf, "second.lan", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(leaf, "mqtt.lan", 0, 0, NULL), 1);
	X509_free(leaf);
	snprintf(conf.name[1], sizeof(conf.name[1]), "not a name");
	assert_int_equal(reload(), E_CONFIG);
	assert_int_equal(w.heard[IPC_TLS_CHAIN].n, 2);
}

/* A pair of somebody else's CA in the place of the files of listener 0. */
static X509 *make_external(u64 now_ms)
{
	struct names n = {0};
	EVP_PKEY *ca_key, *key;
	X509 *ca, *cert;
	struct sbuf k, c;

	assert_int_equal(names_add_dns(&n, "public.example"), E_OK);
	assert_int_equal(cert_make_ca("somebody", now_ms, &ca_key, &ca), E_OK);
	assert_int_equal(cert_make_server(ca_key, ca, &n, now_ms, &key, &cert), E_OK);
	assert_int_equal(pem_of_key(key, &k), E_OK);
	assert_int_equal(pem_of_certs(cert, ca, &c), E_OK);
	put_file(FILE_EXTERNAL_KEY, sbuf_slice(&k));
	put_file(FILE_EXTERNAL_CERT, sbuf_slice(&c));
	sbuf_free(&k);
	sbuf_free(&c);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	X509_free(ca);
	return cert;
}

static void use_external(void)
{
	snprintf(conf.listener[0].certificate, CONF_PATH, "/etc/ext.crt");
	snprintf(conf.listener[0].key, CONF_PATH, "/etc/ext.key");
}

static u32 slot_heard(void)
{
	return ((const struct m_tls_chain *)(const void *)w.heard[IPC_TLS_CHAIN].body)->slot;
}

static void test_external(void **state)
{
	X509 *first = make_external(clock_wall_ms()), *second, *served;

	(void)state;
	use_external();
	start();
	wait_for(IPC_TLS_CHAIN, 2); /* ours and the external one */
	assert_int_equal(slot_heard(), 1);
	served = served_cert();
	assert_int_equal(X509_cmp(first, served), 0);
	assert_int_equal(ask_sign(1, SIGN_ECDSA_SHA256, verify_bytes()), E_OK);
	assert_true(verifies(first, verify_bytes()));
	X509_free(served);
	second = make_external(clock_wall_ms());
	assert_int_equal(reload(), E_OK);
	wait_for(IPC_TLS_CHAIN, 3);
	served = served_cert();
	assert_int_equal(X509_cmp(second, served), 0);
	put_file(FILE_EXTERNAL_KEY, SLICE_LIT("-----BEGIN PRIVATE KEY-----\nrubbish\n"));
	assert_int_equal(reload(), E_CONFIG);
	assert_non_null(memmem(w.heard[IPC_CONFIG_DONE].tail, w.heard[IPC_CONFIG_DONE].tail_n,
			       "the key file holds no PEM key", 29));
	assert_int_equal(ask_sign(1, SIGN_ECDSA_SHA256, verify_bytes()), E_OK);
	assert_true(verifies(second, verify_bytes())); /* the old one stays */
	X509_free(first);
	X509_free(second);
	X509_free(served);
}

/* A certificate of a section has a slot and a key of its own. */
static void test_external_of_a_section(void **state)
{
	X509 *cert = make_external(clock_wall_ms()), *served;
	u32 slot = 1 + CONF_LISTENERS + 1;

	(void)state;
	conf.certificates = 2;
	for (u32 i = 0; i < conf.certificates; i++) {
		snprintf(conf.certificate[i].name, sizeof(conf.certificate[i].name), "c%u", i);
		snprintf(conf.certificate[i].file, CONF_PATH, "/etc/ext.crt");
		snprintf(conf.certificate[i].key, CONF_PATH, "/etc/ext.key");
	}
	start();
	wait_for(IPC_TLS_CHAIN, 3); /* ours and two */
	assert_int_equal(slot_heard(), slot);
	served = served_cert();
	assert_int_equal(X509_cmp(cert, served), 0);
	assert_int_equal(ask_sign(slot, SIGN_ECDSA_SHA256, verify_bytes()), E_OK);
	assert_true(verifies(cert, verify_bytes()));
	assert_int_equal(ask_sign(slot + 1, SIGN_ECDSA_SHA256, verify_bytes()), E_NOT_FOUND);
	assert_int_equal(ask_sign(1, SIGN_ECDSA_SHA256, verify_bytes()), E_NOT_FOUND);
	assert_int_equal(
		ask_sign(1 + CONF_LISTENERS + CONF_CERTIFICATES, SIGN_ECDSA_SHA256, verify_bytes()),
		E_NOT_FOUND);
	put_file(FILE_EXTERNAL_KEY, SLICE_LIT("rubbish\n"));
	assert_int_equal(reload(), E_CONFIG);
	assert_non_null(memmem(w.heard[IPC_CONFIG_DONE].tail, w.heard[IPC_CONFIG_DONE].tail_n,
			       "certificate c0: the key file holds no PEM key", 45));
	conf.certificates = 1;
	put_file(FILE_EXTERNAL_CERT, SLICE_LIT(""));
	X509_free(cert);
	cert = make_external(clock_wall_ms());
	assert_int_equal(reload(), E_OK);
	assert_int_equal(ask_sign(slot, SIGN_ECDSA_SHA256, verify_bytes()), E_NOT_FOUND);
	assert_int_equal(ask_sign(slot - 1, SIGN_ECDSA_SHA256, verify_bytes()), E_OK);
	conf.certificates = 0;
	X509_free(cert);
	X509_free(served);
}

static void test_external_is_taken_away(void **state)
{
	X509 *first = make_external(clock_wall_ms());

	(void)state;
	use_external();
	start();
	wait_for(IPC_TLS_CHAIN, 2);
	conf.listener[0].certificate[0] = '\0';
	conf.listener[0].key[0] = '\0';
	assert_int_equal(reload(), E_OK);
	assert_int_equal(ask_sign(1, SIGN_ECDSA_SHA256, verify_bytes()), E_NOT_FOUND);
	X509_free(first);
}

static void test_external_bad_at_start(void **state)
{
	(void)state;
	use_external(); /* and no files */
	start();
	assert_int_equal(exit_code(), 1);
}

/* Several offers at once: each newest one is judged in the end, and the last word counts. */
static void test_offers_taken_back(void **state)
{
	const struct m_config_done *done = (const void *)w.heard[IPC_CONFIG_DONE].body;
	X509 *x = make_external(clock_wall_ms()), *served;

	(void)state;
	use_external();
	start();
	wait_for(IPC_TLS_CHAIN, 2);
	for (u32 i = 0; i < 4; i++) {
		conf.names = 1 + i % 2;
		snprintf(conf.name[1], sizeof(conf.name[1]), "taken-back.lan");
		send_config(1);
	}
	conf.names = 1;
	send_config(1);
	while (done->generation < w.generation)
		assert_true(serve(1000));
	assert_int_equal(done->err, E_OK);
	while (call(KEYS_RENEW, SLICE_NONE) == E_BUSY)
		;
	served = served_cert();
	assert_int_equal(X509_check_host(served, "taken-back.lan", 0, 0, NULL), 0);
	X509_free(served);
	X509_free(x);
}

/* What a loss looks like: the start ends, nothing is made in its place. */
static void check_loss(u32 file)
{
	u8 before[4096], after[4096];
	size_t n;

	start_ready();
	stop();
	n = get_file(FILE_CA_CERT, before, sizeof(before));
	unlink(path_of(file, false));
	start();
	assert_int_equal(exit_code(), 1);
	stop();
	assert_int_equal(get_file(file, after, sizeof(after)), 0);
	assert_int_equal(get_file(FILE_CA_CERT, after, sizeof(after)),
			 file == FILE_CA_CERT ? 0 : n);
}

static void test_lost_pepper(void **state)
{
	(void)state;
	check_loss(FILE_PEPPER);
}

static void test_lost_ca_key(void **state)
{
	(void)state;
	check_loss(FILE_CA_KEY);
}

static void test_damaged_ca(void **state)
{
	(void)state;
	start_ready();
	stop();
	put_file(FILE_CA_KEY, SLICE_LIT("damaged"));
	start();
	assert_int_equal(exit_code(), 1);
}

/* What a crash at the first start leaves is completed. */
static void test_interrupted_first_start(void **state)
{
	X509 *leaf, *ca;

	(void)state;
	start_ready();
	stop();
	unlink(path_of(FILE_CA_CERT, false));
	unlink(path_of(FILE_SERVER_KEY, false));
	start_ready();
	leaf = served_cert();
	assert_int_equal(call(KEYS_CA_CERT, SLICE_NONE), E_OK);
	ca = reply_cert();
	assert_int_equal(X509_verify(leaf, X509_get0_pubkey(ca)), 1);
	X509_free(leaf);
	X509_free(ca);
}

static void test_server_key_of_another(void **state)
{
	EVP_PKEY *other = EVP_EC_gen("P-256");
	struct sbuf k;
	X509 *leaf;

	(void)state;
	start_ready();
	stop();
	assert_int_equal(pem_of_key(other, &k), E_OK);
	put_file(FILE_SERVER_KEY, sbuf_slice(&k));
	start_ready();
	leaf = served_cert();
	assert_int_equal(ask_sign(0, SIGN_ECDSA_SHA256, verify_bytes()), E_OK);
	assert_true(verifies(leaf, verify_bytes()));
	sbuf_free(&k);
	EVP_PKEY_free(other);
	X509_free(leaf);
}

/* Only where it is wanted, to the supervisor alone, the same after a restart, and no other key. */
static void test_store_key(void **state)
{
	u8 key[STORE_KEY_BYTES];

	(void)state;
	start_ready();
	call(KEYS_CA_CERT, SLICE_NONE); /* all that comes at the start has come */
	assert_int_equal(w.heard[IPC_STORE_KEY].n, 0);
	stop();
	conf.store_encryption = true;
	start_ready();
	wait_for(IPC_STORE_KEY, 1);
	assert_int_equal(w.heard[IPC_STORE_KEY].file_n, STORE_KEY_BYTES);
	memcpy(key, w.heard[IPC_STORE_KEY].file, sizeof(key));
	assert_memory_not_equal(key, w.heard[IPC_TOKEN_KEY].body, sizeof(key));
	stop();
	start_ready();
	wait_for(IPC_STORE_KEY, 1);
	assert_memory_equal(key, w.heard[IPC_STORE_KEY].file, sizeof(key));
	stop();
	snprintf(conf.store_key, sizeof(conf.store_key), "/etc/picket/store.key");
	start_ready();
	call(KEYS_CA_CERT, SLICE_NONE);
	assert_int_equal(w.heard[IPC_STORE_KEY].n, 0);
}

static void test_first_start_on_a_full_disk(void **state)
{
	(void)state;
	start();
	w.full_disk = true;
	assert_int_equal(exit_code(), 1);
	assert_int_equal(w.heard[IPC_TLS_CHAIN].n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_first_start),
		T(test_restart_keeps_everything),
		T(test_new_broker_is_told),
		T(test_asked_before_ready),
		T(test_refuses_to_sign),
		T(test_admin_calls),
		T(test_renewal_on_a_full_disk),
		T(test_reload_with_new_names),
		T(test_external),
		T(test_external_is_taken_away),
		T(test_external_of_a_section),
		T(test_external_bad_at_start),
		T(test_offers_taken_back),
		T(test_lost_pepper),
		T(test_lost_ca_key),
		T(test_damaged_ca),
		T(test_interrupted_first_start),
		T(test_server_key_of_another),
		T(test_store_key),
		T(test_first_start_on_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
