/* test_canary: the canary against servers that refuse, and against those that a canary is there
 * for. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "ipc/ipc.h"
#include "proc/supervisor.h"

/* What the server says after it has heard CONNECT, then it closes. */
struct answer {
	struct slice v3, v5;
};

static pid_t serve(const struct answer *a, u16 *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, n), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &n), 0);
	*port = ntohs(addr.sin_port);
	pid = fork();
	if (pid != 0) {
		close(fd);
		return pid;
	}
	alarm(30);
	for (;;) {
		u8 b[512];
		int c = accept(fd, NULL, NULL);
		ssize_t got = recv(c, b, sizeof(b), 0);
		struct slice s = got > 0 && memmem(b, (size_t)got, "MQTT\x05", 5) ? a->v5 : a->v3;
		if (s.n != 0 && send(c, s.p, s.n, MSG_NOSIGNAL) < 0)
			_exit(1);
		close(c);
	}
}

static int canary(struct conf *c)
{
	int fd = ipc_memfd("conf", slice_of(c, sizeof(*c))), status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(canary_main(fd));
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int against_what(struct answer a, bool websocket)
{
	static struct conf c;
	u16 port;
	pid_t server = serve(&a, &port);
	int result;

	conf_defaults(&c);
	c.listener[0].tls = false;
	snprintf(c.listener[0].address, sizeof(c.listener[0].address), "127.0.0.1");
	c.listener[0].port = port;
	c.listener[0].mqtt = !websocket;
	result = canary(&c);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return result;
}

static int against(struct answer a)
{
	return against_what(a, false);
}

#define BYTES(lit) SLICE_LIT(lit)

static void test_refusals(void **state)
{
	assert_int_equal(
		against((struct answer){BYTES("\x20\x02\x00\x05"), BYTES("\x20\x03\x00\x87\x00")}),
		CANARY_REFUSED);
	assert_int_equal(against((struct answer){SLICE_NONE, SLICE_NONE}),
			 CANARY_REFUSED); /* closed without a word */
}

static void test_alarms(void **state)
{
	struct slice no3 = BYTES("\x20\x02\x00\x05"), no5 = BYTES("\x20\x03\x00\x87\x00");

	/* let in, in one version only */
	assert_int_equal(against((struct answer){BYTES("\x20\x02\x00\x00"), no5}),
			 CANARY_NOT_REFUSED);
	assert_int_equal(against((struct answer){no3, BYTES("\x20\x03\x00\x00\x00")}),
			 CANARY_NOT_REFUSED);
	/* into a session that exists */
	assert_int_equal(against((struct answer){BYTES("\x20\x02\x01\x05"), no5}),
			 CANARY_NOT_REFUSED);
	/* refused, and what came behind CONNECT was acted on all the same: SUBACK, PUBACK, a
	 * message */
	assert_int_equal(
		against((struct answer){BYTES("\x20\x02\x00\x05\x90\x03\x00\x01\x01"), no5}),
		CANARY_NOT_REFUSED);
	assert_int_equal(
		against((struct answer){no3, BYTES("\x20\x03\x00\x87\x00\x40\x02\x00\x02")}),
		CANARY_NOT_REFUSED);
	assert_int_equal(against((struct answer){BYTES("\x30\x03\x00\x01x"), no5}),
			 CANARY_NOT_REFUSED);
	assert_int_equal(against((struct answer){BYTES("HTTP/1.1 400\r\n"), no5}),
			 CANARY_NOT_REFUSED);
}

/* Where only WebSocket is spoken: the same, in frames. */
static void test_websocket(void **state)
{
#define YES "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
#define BYE "\x88\x02\x03\xf0"
	struct slice no3 = BYTES(YES "\x82\x04\x20\x02\x00\x05" BYE),
		     no5 = BYTES(YES "\x82\x05\x20\x03\x00\x87\x00" BYE);

	assert_int_equal(against_what((struct answer){no3, no5}, true), CANARY_REFUSED);
	assert_int_equal(against_what((struct answer){BYTES(YES BYE), BYTES(YES)}, true),
			 CANARY_REFUSED);
	assert_int_equal(against_what((struct answer){SLICE_NONE, SLICE_NONE}, true),
			 CANARY_REFUSED);
	assert_int_equal(
		against_what((struct answer){BYTES(YES "\x82\x04\x20\x02\x00\x00"), no5}, true),
		CANARY_NOT_REFUSED);
	assert_int_equal(against_what((struct answer){no3, BYTES(YES "\x82\x02\x20\x03\x82\x03"
								     "\x00\x00\x00")},
				      true),
			 CANARY_NOT_REFUSED);
	assert_int_equal(against_what((struct answer){BYTES(YES "\x82\x04\x20\x02\x00\x05\x82"
								"\x05\x90\x03\x00\x01\x01" BYE),
						      no5},
				      true),
			 CANARY_NOT_REFUSED);
	/* It was not even asked. */
	assert_int_equal(
		against_what((struct answer){no3, BYTES("HTTP/1.1 404 Not Found\r\n\r\n")}, true),
		CANARY_NOT_REFUSED);
}

/* Where strangers are welcome there is nothing to try. */
static void test_anonymous_is_left_out(void **state)
{
	static struct conf c;

	conf_defaults(&c);
	snprintf(c.listener[0].anonymous_role, sizeof(c.listener[0].anonymous_role), "guest");
	c.listener[0].port = 1; /* nobody is there */
	assert_int_equal(canary(&c), CANARY_REFUSED);
}

/* A listener whose networks leave this machine out turns the canary away at the door. */
static void test_network_list(void **state)
{
	static struct conf c;

	conf_defaults(&c);
	c.listener[0].port = 1;
	c.listener[0].allow.n = 1;
	c.listener[0].allow.net[0].prefix = 104;
	memset(c.listener[0].allow.net[0].addr + 10, 0xff, 2);
	c.listener[0].allow.net[0].addr[12] = 10;
	assert_int_equal(canary(&c), CANARY_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),     cmocka_unit_test(test_alarms),
		cmocka_unit_test(test_websocket),    cmocka_unit_test(test_anonymous_is_left_out),
		cmocka_unit_test(test_network_list),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
