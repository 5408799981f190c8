/* The broker process over its real links: nothing is served before there are rights, answers find
 * their way, what waits survives the restart of a neighbour, and every shard confirms a change of
 * rights. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "world.h"

static const char policy_all[] = "role all { publish #; subscribe # }";
static struct world w;
static u32 port;

static void start(u32 shards, const char *more)
{
	char text[1024];

	port = world_port();
	snprintf(text, sizeof(text),
		 "listener plain { bind = \"127.0.0.1:%u\" tls = off accept_risk = \"test\" %s }\n",
		 port, more);
	world_start(&w, text, shards);
	world_link(&w, ROLE_AUTH);
}

static void expect_done(u64 generation)
{
	struct ipc_msg m;

	assert_true(world_await(&w, ROLE_AUTH, IPC_GENERATION_DONE, 10000, &m));
	assert_int_equal(((const struct m_generation *)m.body)->generation, generation);
}

static void start_ready(u32 shards)
{
	start(shards, "");
	world_policy(&w, policy_all, 1);
	expect_done(1);
}

static int dial(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((u16)port)};
	struct timeval patience = {.tv_sec = 20};
	int fd = -1, rc = -1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* Where sockets are being exchanged the kernel resets what waits at the one that goes. */
	for (int i = 0; i < 100 && rc != 0; i++) {
		if (fd >= 0)
			close(fd);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		rc = connect(fd, (struct sockaddr *)&a, sizeof(a));
	}
	assert_int_equal(rc, 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	return fd;
}

/* CONNECT of MQTT 3.1.1, clean, user name "u", password "p", client id of one letter. */
static int hello(char id)
{
	u8 p[] = {0x10, 19, 0, 4,      'M', 'Q', 'T', 'T', 4, 0xc2, 0,
		  60,	0,  1, (u8)id, 0,   1,	 'u', 0,   1, 'p'};
	int fd = dial();

	assert_int_equal(send(fd, p, sizeof(p), MSG_NOSIGNAL), sizeof(p));
	return fd;
}

static void expect_bytes(int fd, const void *want, size_t n)
{
	u8 got[64];

	assert_true(n <= sizeof(got));
	assert_int_equal(recv(fd, got, n, MSG_WAITALL), n);
	assert_memory_equal(got, want, n);
}

static void expect_closed(int fd)
{
	u8 byte;

	assert_true(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
}

static u64 expect_login(char id)
{
	struct ipc_msg m;
	const struct m_login *l;

	assert_true(world_await(&w, ROLE_AUTH, IPC_LOGIN, 10000, &m));
	l = m.body;
	assert_int_equal(l->client_id_len, 1);
	assert_int_equal(m.tail.p[0], id);
	assert_int_equal(l->has_password, 1);
	assert_memory_equal(m.tail.p + 1, "up", 2);
	assert_int_equal(m.tail.n, 3);
	return m.id;
}

static int client(char id)
{
	int fd = hello(id);

	world_allow(&w, expect_login(id), "dev", SLICE_LIT("u"));
	expect_bytes(fd, "\x20\2\0\0", 4);
	return fd;
}

static void stop(void)
{
	assert_int_equal(world_stop(&w, true), 0);
}

static void test_nothing_before_policy(void **state)
{
	struct ipc_msg m;
	int fd;

	start(2, "");
	fd = hello('a');
	assert_false(world_await(&w, ROLE_AUTH, IPC_LOGIN, 300, &m));
	world_policy(&w, policy_all, 1);
	world_allow(&w, expect_login('a'), "dev", SLICE_LIT("u"));
	expect_bytes(fd, "\x20\2\0\0", 4);
	stop();
	expect_closed(fd);
}

static void test_refusal(void **state)
{
	struct m_verdict v = {.verdict = 0, .reason = E_CREDENTIAL};
	int fd;

	start_ready(1);
	fd = hello('a');
	world_say(&w, ROLE_AUTH, IPC_VERDICT, expect_login('a'), &v, SLICE_NONE);
	expect_bytes(fd, "\x20\2\0\5", 4);
	expect_closed(fd);
	/* No verdict at all denies: zeroed memory with a tail that would allow. */
	fd = hello('b');
	memset(&v, 0, sizeof(v));
	world_say(&w, ROLE_AUTH, IPC_VERDICT, expect_login('b'), &v, SLICE_NONE);
	expect_bytes(fd, "\x20\2\0\5", 4);
	expect_closed(fd);
	stop();
}

/* Over several shards a connection moves to its session's home; what it sent meanwhile is not lost.
 */
static void test_clients_on_shards(void **state)
{
	int fd[16];

	start_ready(3);
	for (u32 i = 0; i < 16; i++)
		fd[i] = client((char)('a' + i));
	for (u32 i = 0; i < 16; i++) {
		assert_int_equal(send(fd[i], "\x82\6\0\1\0\1t\0", 8, MSG_NOSIGNAL), 8);
		expect_bytes(fd[i], "\x90\3\0\1\0", 5);
	}
	assert_int_equal(send(fd[0], "\x30\5\0\1thi", 7, MSG_NOSIGNAL), 7);
	for (u32 i = 0; i < 16; i++)
		expect_bytes(fd[i], "\x30\5\0\1thi", 7);
	for (u32 i = 0; i < 16; i++)
		close(fd[i]);
	stop();
}

static void test_auth_restarts(void **state)
{
	int fd, other;

	start_ready(2);
	other = client('o');
	fd = hello('a');
	expect_login('a');
	world_link(&w, ROLE_AUTH); /* the old one is gone, and with it the question */
	world_policy(&w, policy_all, 2);
	world_allow(&w, expect_login('a'), "dev", SLICE_LIT("u"));
	expect_bytes(fd, "\x20\2\0\0", 4);
	assert_int_equal(send(other, "\xc0\0", 2, MSG_NOSIGNAL), 2);
	expect_bytes(other, "\xd0\0", 2);
	close(fd);
	close(other);
	stop();
}

static void test_identity_is_revoked(void **state)
{
	struct m_identity i = {
		.identity_id = 1, .generation = 7, .status = STATUS_REVOKED, .kind = KIND_SERVICE};
	u8 tail[256];
	struct wr wr = wr_of(tail, sizeof(tail));
	int fd;

	start_ready(2);
	fd = client('a');
	ipc_put_str(&wr, SLICE_LIT("dev"));
	ipc_put_str(&wr, SLICE_NONE);
	ipc_put_str(&wr, SLICE_LIT("*"));
	wr_u16(&wr, 0);
	world_say(&w, ROLE_AUTH, IPC_IDENTITY, 0, &i, wr_done(&wr));
	expect_done(7);
	expect_closed(fd);
	stop();
}

static void names(struct wr *wr, const char *identity, const char *client_id)
{
	ipc_put_str(wr, slice_str(identity));
	ipc_put_str(wr, slice_str(client_id));
}

static void test_admin(void **state)
{
	static const struct m_none none;
	struct client_row *row;
	struct slice rows;
	struct ipc_msg m;
	u8 tail[256];
	struct wr wr = wr_of(tail, sizeof(tail));
	int one, two;

	start_ready(2);
	world_link(&w, ROLE_ADMIN);
	one = client('a');
	two = client('b');
	names(&wr, "", "");
	world_say(&w, ROLE_ADMIN, IPC_CLIENT_QUERY, 5, &none, wr_done(&wr));
	assert_true(world_await(&w, ROLE_ADMIN, IPC_CLIENT_ROWS, 10000, &m));
	assert_int_equal(m.id, 5);
	assert_int_equal(((const struct m_rows *)m.body)->count, 2);
	assert_int_equal(ipc_memfd_map(m.fd, 2 * sizeof(*row), &rows), E_OK);
	row = xcalloc(2, sizeof(*row));
	memcpy(row, rows.p, rows.n);
	assert_string_equal(row[0].identity, "dev");
	assert_string_equal(row[0].listener, "plain");
	assert_memory_equal(row[0].addr, "127.0.0.1:", 10);
	assert_true(row[0].online && row[0].clean);
	assert_int_equal(row[0].client_id[0] + row[1].client_id[0], 'a' + 'b');
	free(row);
	close(m.fd);

	world_say(&w, ROLE_ADMIN, IPC_STATS, 6, &none, SLICE_NONE);
	assert_true(world_await(&w, ROLE_ADMIN, IPC_STATS_REPLY, 10000, &m));
	assert_int_equal(((const struct m_stats *)m.body)->clients, 2);
	assert_int_equal(((const struct m_stats *)m.body)->policy_generation, 1);
	assert_int_equal(((const struct m_stats *)m.body)->plaintext_logins, 2);

	wr = wr_of(tail, sizeof(tail));
	names(&wr, "", "a");
	world_say(&w, ROLE_ADMIN, IPC_CLIENT_KICK, 7, &(struct m_kick){.reason = 0}, wr_done(&wr));
	assert_true(world_await(&w, ROLE_ADMIN, IPC_CLIENT_KICKED, 10000, &m));
	assert_int_equal(((const struct m_kicked *)m.body)->count, 1);
	expect_closed(one);
	assert_int_equal(send(two, "\xc0\0", 2, MSG_NOSIGNAL), 2);
	expect_bytes(two, "\xd0\0", 2);
	close(two);
	stop();
}

static void expect_event(const char *identity, const char *word)
{
	struct ipc_msg m;
	struct rd r;
	struct slice who, what;

	assert_true(world_await(&w, ROLE_ADMIN, IPC_EVENT, 10000, &m));
	r = rd_of(m.tail);
	who = ipc_get_str(&r);
	what = ipc_get_str(&r);
	ipc_get_str(&r);
	assert_int_equal(r.err, E_OK);
	assert_int_equal(who.n, strlen(identity));
	assert_memory_equal(who.p, identity, who.n);
	assert_int_equal(what.n, strlen(word));
	assert_memory_equal(what.p, word, what.n);
}

static void test_watch(void **state)
{
	u8 tail[64];
	struct wr wr = wr_of(tail, sizeof(tail));
	int fd;

	start_ready(2);
	world_link(&w, ROLE_ADMIN);
	ipc_put_str(&wr, SLICE_LIT("dev"));
	world_say(&w, ROLE_ADMIN, IPC_WATCH, 0, &(struct m_watch){.on = 1}, wr_done(&wr));
	/* Watching and logging in go over different links. */
	usleep(200000);
	fd = client('a');
	expect_event("dev", "connect");
	assert_int_equal(send(fd, "\x82\6\0\1\0\1t\0", 8, MSG_NOSIGNAL), 8);
	expect_event("dev", "sub");
	assert_int_equal(send(fd, "\x30\5\0\1thi", 7, MSG_NOSIGNAL), 7);
	expect_event("dev", "pub");
	close(fd);
	expect_event("dev", "disconnect");
	stop();
}

static void offer(const struct conf *c, bool good)
{
	struct ipc_msg m;

	world_reload(&w, c);
	assert_true(world_await(&w, ROLE_SUP, IPC_CONFIG_DONE, 10000, &m));
	assert_int_equal(((const struct m_config_done *)m.body)->err == E_OK, good);
}

static void ping(int fd)
{
	assert_int_equal(send(fd, "\xc0\0", 2, MSG_NOSIGNAL), 2);
	expect_bytes(fd, "\xd0\0", 2);
}

/* Offered is not yet in force; its sockets put it there; a bad one changes nothing. */
static void test_reload(void **state)
{
	struct conf next;
	int fd, more;

	start_ready(2);
	fd = client('a');
	next = w.conf;
	next.listener[0].limits.connections_source = 1;
	offer(&next, true);
	more = client('b');
	close(more);
	world_sockets(&w, &next);
	for (int i = 0; i < 1000; i++) { /* until it is in force */
		u8 byte;
		more = dial();
		if (recv(more, &byte, 1, MSG_DONTWAIT) <= 0 && errno != EAGAIN)
			i = 1000;
		usleep(1000);
		close(more);
	}
	expect_closed(dial());
	next.listeners = CONF_LISTENERS + 1;
	offer(&next, false);
	ping(fd);
	close(fd);
	stop();
}

/* A listener goes and another takes its number: who was on the way in is turned out, who was in
 * stays. */
static void test_reload_renumbers(void **state)
{
	struct conf next;
	int fd, early;

	start_ready(2);
	fd = client('a');
	early = dial();
	send(early, "\x10", 1, MSG_NOSIGNAL);
	next = w.conf;
	port = world_port();
	snprintf(next.listener[0].bind, sizeof(next.listener[0].bind), "127.0.0.1:%u", port);
	next.listener[0].port = (u16)port;
	offer(&next, true);
	world_sockets(&w, &next);
	expect_closed(early);
	ping(fd);
	close(client('b'));
	close(fd);
	stop();
}

/* Failed logins of one source: the sixth connection is not even asked for its CONNECT. */
static void test_failed_logins(void **state)
{
	struct m_verdict v = {.verdict = 0, .reason = E_CREDENTIAL};

	start_ready(1);
	for (int i = 0; i < 5; i++) {
		int fd = hello('a');
		world_say(&w, ROLE_AUTH, IPC_VERDICT, expect_login('a'), &v, SLICE_NONE);
		expect_bytes(fd, "\x20\2\0\5", 4);
		expect_closed(fd);
	}
	expect_closed(dial());
	stop();
}

/* PROXY version 2, TCP4 from 192.0.2.7:56324, and a certificate of esp07 that the proxy verified.
 */
static const u8 proxied[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54,
			     0x0a, 0x21, 0x11, 0x00, 0x1c, 192,	 0,    2,    7,	   198,	 51,
			     100,  1,	 0xdc, 0x04, 0x22, 0xb3, 0x20, 0x00, 0x0d, 0x07, 0,
			     0,	   0,	 0,    0x22, 0x00, 0x05, 'e',  's',  'p',  '0',	 '7'};
/* CONNECT of MQTT 3.1.1 without credentials, client id "a". */
static const u8 bare[] = {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'a'};

static int dial_proxied(const void *connect, size_t n)
{
	int fd = dial();

	assert_int_equal(send(fd, proxied, sizeof(proxied), MSG_NOSIGNAL), sizeof(proxied));
	assert_int_equal(send(fd, connect, n, MSG_NOSIGNAL), n);
	return fd;
}

/* What a declared proxy says of address and certificate is what auth hears. */
static void test_certificate_of_a_proxy(void **state)
{
	static const u8 client[16] = {[10] = 0xff, 0xff, 192, 0, 2, 7};
	const struct m_login *l;
	struct ipc_msg m;
	int fd;

	start(2, "proxy = on trusted_proxies = {127.0.0.0/8} proxy_certificates = on");
	world_policy(&w, policy_all, 1);
	expect_done(1);
	fd = dial_proxied(bare, sizeof(bare));
	assert_true(world_await(&w, ROLE_AUTH, IPC_LOGIN, 10000, &m));
	l = m.body;
	assert_int_equal(l->has_username + l->has_password, 0);
	assert_int_equal(l->cert_cn_len, 5);
	assert_memory_equal(m.tail.p, "aesp07", 6);
	assert_memory_equal(l->addr, client, 16);
	world_allow(&w, m.id, "dev", SLICE_NONE);
	expect_bytes(fd, "\x20\2\0\0", 4);
	close(fd);
	stop();
}

/* Where its word about certificates is not asked for, there is none, and nobody is asked. */
static void test_certificate_not_wanted(void **state)
{
	struct ipc_msg m;
	int fd;

	start(1, "proxy = on trusted_proxies = {127.0.0.0/8}");
	world_policy(&w, policy_all, 1);
	expect_done(1);
	fd = dial_proxied(bare, sizeof(bare));
	expect_bytes(fd, "\x20\2\0\5", 4);
	expect_closed(fd);
	assert_false(world_await(&w, ROLE_AUTH, IPC_LOGIN, 0, &m));
	stop();
}

/* Failures count against the client, neither against its proxy nor against the proxy's others. */
static void test_failed_logins_behind_a_proxy(void **state)
{
	static const u8 other[] = "PROXY TCP4 192.0.2.8 198.51.100.1 1 2\r\n";
	struct m_verdict v = {.verdict = 0, .reason = E_CREDENTIAL};
	struct ipc_msg m;
	int fd;

	start(1, "proxy = on trusted_proxies = {127.0.0.0/8} proxy_certificates = on");
	world_policy(&w, policy_all, 1);
	expect_done(1);
	for (int i = 0; i < 5; i++) {
		fd = dial_proxied(bare, sizeof(bare));
		assert_true(world_await(&w, ROLE_AUTH, IPC_LOGIN, 10000, &m));
		world_say(&w, ROLE_AUTH, IPC_VERDICT, m.id, &v, SLICE_NONE);
		expect_bytes(fd, "\x20\2\0\5", 4);
		expect_closed(fd);
	}
	expect_closed(dial_proxied(bare, sizeof(bare)));
	fd = dial();
	assert_int_equal(send(fd, other, sizeof(other) - 1, MSG_NOSIGNAL), sizeof(other) - 1);
	assert_int_equal(send(fd, bare, sizeof(bare), MSG_NOSIGNAL), sizeof(bare));
	expect_bytes(fd, "\x20\2\0\5", 4); /* it has no certificate, but is heard */
	close(fd);
	stop();
}

static void test_verdict_that_does_not_parse(void **state)
{
	struct m_verdict v = {.verdict = 1, .identity_id = 1};

	start_ready(1);
	close(hello('a'));
	world_say(&w, ROLE_AUTH, IPC_VERDICT, expect_login('a'), &v, SLICE_LIT("\xff\xff"));
	assert_int_equal(world_stop(&w, false), 1);
}

/* A memfd that can still be written is no policy. */
static void test_unsealed_policy(void **state)
{
	struct m_policy p = {.generation = 1, .size = 4, .confirm = 1};
	int fd = memfd_create("policy", MFD_CLOEXEC);

	start(1, "");
	assert_int_equal(write(fd, "abcd", 4), 4);
	world_say_fd(&w, ROLE_AUTH, IPC_POLICY, 0, &p, fd);
	assert_int_equal(world_stop(&w, false), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_before_policy),
		cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_clients_on_shards),
		cmocka_unit_test(test_auth_restarts),
		cmocka_unit_test(test_identity_is_revoked),
		cmocka_unit_test(test_admin),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_reload_renumbers),
		cmocka_unit_test(test_failed_logins),
		cmocka_unit_test(test_certificate_of_a_proxy),
		cmocka_unit_test(test_certificate_not_wanted),
		cmocka_unit_test(test_failed_logins_behind_a_proxy),
		cmocka_unit_test(test_verdict_that_does_not_parse),
		cmocka_unit_test(test_unsealed_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
