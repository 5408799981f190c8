/* A listening socket that another process holds open, too: once it is given up, its clients concern
 * us no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net.h"

static struct {
	struct loop *loop;
	struct net_listener *listener;
	int turns, client, admitted;
	struct sockaddr_in addr;
} t;

static bool on_opened(void *arg, struct conn *c)
{
	(void)arg;
	(void)c;
	return false;
}

static size_t on_input(void *arg, struct conn *c, struct slice bytes)
{
	(void)arg;
	(void)c;
	return bytes.n;
}

static int on_output(void *arg, struct conn *c, struct iovec *iov, int max)
{
	(void)arg;
	(void)c;
	(void)iov;
	(void)max;
	return 0;
}

static void on_sent(void *arg, struct conn *c, size_t bytes)
{
	(void)arg;
	(void)c;
	(void)bytes;
}

static void on_closed(void *arg, struct conn *c, enum err why)
{
	(void)arg;
	(void)c;
	(void)why;
}

static void on_refused(void *arg, const u8 addr[16], u16 port, u32 listener, enum net_stage stage,
		       enum err why, const char *text)
{
	(void)arg;
	(void)addr;
	(void)port;
	(void)listener;
	(void)stage;
	(void)why;
	(void)text;
}

static enum net_admit on_admit(void *arg, const u8 addr[16], u32 listener)
{
	(void)arg;
	(void)addr;
	(void)listener;
	t.admitted++;
	return NET_REFUSE;
}

/* Give the listener up, let a client come to the socket a turn later, look again some turns later.
 */
static void on_turn(void *arg, u64 now_ms)
{
	(void)arg;
	t.turns++;
	if (t.turns == 1)
		loop_unlisten(t.loop, t.listener);
	if (t.turns == 3)
		assert_int_equal(connect(t.client, (struct sockaddr *)&t.addr, sizeof(t.addr)), 0);
	if (t.turns > 6)
		loop_stop(t.loop);
	loop_wake_at(t.loop, now_ms + 1);
}

static void test_shared_socket(void **state)
{
	static const struct net_handler h = {
		.opened = on_opened,
		.input = on_input,
		.output = on_output,
		.sent = on_sent,
		.closed = on_closed,
		.refused = on_refused,
		.turn = on_turn,
		.admit = on_admit,
	};
	struct net_listen_options o = {0};
	int fd = socket(AF_INET, SOCK_STREAM, 0), other;
	socklen_t len = sizeof(t.addr);

	(void)state;
	t.addr = (struct sockaddr_in){.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (struct sockaddr *)&t.addr, sizeof(t.addr)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&t.addr, &len), 0);
	other = dup(fd); /* as the supervisor has it */
	t.client = socket(AF_INET, SOCK_STREAM, 0);
	t.loop = loop_new(&h, NULL);
	t.listener = loop_listen(t.loop, fd, &o);
	loop_wake_at(t.loop, loop_now(t.loop) + 1);
	loop_run(t.loop);
	assert_true(t.turns > 6);
	assert_int_equal(t.admitted, 0);
	loop_free(&t.loop);
	close(other);
	close(t.client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_shared_socket)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
