/* test_ipc: links over real socket pairs: order, descriptors, full queues, hostile datagrams. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "ipc/ipc.h"

struct pair {
	struct ipc_link *broker, *auth;
};

static void pair_open(struct pair *p)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	p->broker = ipc_link_new(fd[0], ROLE_BROKER, ROLE_AUTH);
	p->auth = ipc_link_new(fd[1], ROLE_AUTH, ROLE_BROKER);
}

static void pair_close(struct pair *p)
{
	ipc_link_free(&p->broker);
	ipc_link_free(&p->auth);
	assert_null(p->broker);
}

static void test_round_trip(void **state)
{
	struct pair p;
	struct m_login login = {.listener = 3, .version = 5};
	struct ipc_msg m;

	pair_open(&p);
	assert_int_equal(ipc_link_peer(p.broker), ROLE_AUTH);
	assert_int_equal(ipc_recv(p.auth, &m), E_MORE);
	for (u64 id = 1; id <= 3; id++)
		assert_int_equal(ipc_send(p.broker, IPC_LOGIN, id, &login, SLICE_LIT("esp01"), -1),
				 E_OK);
	for (u64 id = 1; id <= 3; id++) {
		const struct m_login *got;
		assert_int_equal(ipc_recv(p.auth, &m), E_OK);
		got = m.body;
		assert_int_equal(m.type, IPC_LOGIN);
		assert_int_equal(m.id, id);
		assert_int_equal(got->listener, 3);
		assert_true(slice_eq(m.tail, SLICE_LIT("esp01")));
		assert_int_equal(m.fd, -1);
	}
	assert_int_equal(ipc_recv(p.auth, &m), E_MORE);
	pair_close(&p);
}

static void test_row_is_kept_when_sending(void **state)
{
	static const u8 big[4097];
	struct pair p;
	struct m_login login = {0};
	struct m_verdict v = {0};

	pair_open(&p);
	/* not the receiver of this row; too long a tail; a descriptor where none belongs; none
	 * where one does */
	assert_int_equal(ipc_send(p.broker, IPC_VERDICT, 1, &v, SLICE_NONE, -1), E_IPC);
	assert_int_equal(ipc_send(p.broker, IPC_LOGIN, 1, &login, slice_of(big, sizeof(big)), -1),
			 E_IPC);
	assert_int_equal(ipc_send(p.broker, IPC_LOGIN, 1, &login, SLICE_NONE, 0), E_IPC);
	assert_int_equal(ipc_send(p.auth, IPC_POLICY, 1, &(struct m_policy){0}, SLICE_NONE, -1),
			 E_IPC);
	pair_close(&p);
}

static void test_descriptor_travels(void **state)
{
	struct pair p;
	struct m_policy policy = {.size = 5};
	int fd = ipc_memfd("policy", SLICE_LIT("hello"));
	struct ipc_msg m;
	struct slice s;

	pair_open(&p);
	assert_true(fd >= 0);
	assert_int_equal(ipc_send(p.auth, IPC_POLICY, 9, &policy, SLICE_NONE, fd), E_OK);
	close(fd);
	assert_int_equal(ipc_recv(p.broker, &m), E_OK);
	assert_true(m.fd >= 0);
	assert_true(fcntl(m.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(ipc_memfd_map(m.fd, 5, &s), E_OK);
	assert_true(slice_eq(s, SLICE_LIT("hello")));
	munmap((void *)(uintptr_t)s.p, s.n);
	close(m.fd);
	pair_close(&p);
}

static void test_memfd_distrust(void **state)
{
	int fd = ipc_memfd("x", SLICE_LIT("hello"));
	int loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int empty = ipc_memfd("x", SLICE_NONE);
	struct slice s;

	assert_int_equal(ipc_memfd_map(fd, 6, &s), E_IPC);
	assert_int_equal(ipc_memfd_map(fd, 4, &s), E_IPC);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(write(loose, "hello", 5), 5);
	assert_int_equal(ipc_memfd_map(loose, 5, &s), E_IPC);
	assert_int_equal(ipc_memfd_map(-1, 5, &s), E_IPC);
	assert_int_equal(ipc_memfd_map(empty, 0, &s), E_OK);
	assert_int_equal(s.n, 0);
	close(fd);
	close(loose);
	close(empty);
}

/* A slow reader: what does not fit waits, in order, and the 1,025th waiting message is refused. */
static void test_full_queue(void **state)
{
	static u8 tail[4096];
	struct pair p;
	struct m_login login = {0};
	struct ipc_msg m;
	enum err e;
	u64 sent = 0, got = 0;

	pair_open(&p);
	while ((e = ipc_send(p.broker, IPC_LOGIN, sent, &login, slice_of(tail, sizeof(tail)),
			     -1)) == E_OK)
		sent++;
	assert_int_equal(e, E_BUSY);
	assert_true(sent > 1024);
	assert_true(ipc_wants_write(p.broker));
	do {
		e = ipc_flush(p.broker);
		while (ipc_recv(p.auth, &m) == E_OK) {
			assert_int_equal(m.id, got);
			got++;
		}
	} while (e == E_MORE);
	assert_int_equal(e, E_OK);
	assert_int_equal(got, sent);
	assert_false(ipc_wants_write(p.broker));
	pair_close(&p);
}

static void test_peer_gone(void **state)
{
	struct pair p;
	struct m_login login = {0};
	struct ipc_msg m;

	pair_open(&p);
	/* its last words are still heard, even with unread messages of ours in its queue */
	assert_int_equal(ipc_send(p.auth, IPC_VERDICT, 1, &(struct m_verdict){0}, SLICE_NONE, -1),
			 E_OK);
	assert_int_equal(ipc_send(p.broker, IPC_LOGIN, 7, &login, SLICE_NONE, -1), E_OK);
	ipc_link_free(&p.auth);
	assert_int_equal(ipc_recv(p.broker, &m), E_OK);
	assert_int_equal(m.type, IPC_VERDICT);
	assert_int_equal(ipc_recv(p.broker, &m), E_EOF);
	assert_int_equal(ipc_send(p.broker, IPC_LOGIN, 8, &login, SLICE_NONE, -1), E_EOF);
	assert_int_equal(ipc_flush(p.broker), E_EOF);
	pair_close(&p);
}

struct hostile {
	u16 magic, type;
	u32 tail;
	u64 id;
	u8 rest[200];
};

/* Sends raw bytes (and n descriptors) to a broker's end; the link must break and stay broken. */
static void hostile(const void *bytes, size_t n, u32 fds)
{
	int fd[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct iovec iov = {(void *)(uintptr_t)bytes, n};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {0};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	struct ipc_link *l;
	struct ipc_msg m;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	l = ipc_link_new(fd[0], ROLE_BROKER, ROLE_AUTH);
	if (fds != 0) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)control;
		h.msg_control = control;
		h.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		*c = (struct cmsghdr){CMSG_LEN(fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		for (u32 i = 0; i < fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &null, sizeof(int));
	}
	assert_true(sendmsg(fd[1], &h, 0) >= 0);
	assert_int_equal(ipc_recv(l, &m), E_IPC);
	assert_int_equal(m.fd, -1);
	assert_int_equal(ipc_recv(l, &m), E_IPC);
	assert_int_equal(ipc_send(l, IPC_LOGIN, 1, &(struct m_login){0}, SLICE_NONE, -1), E_IPC);
	ipc_link_free(&l);
	close(fd[1]);
	/* no descriptor stayed behind: the lowest free one is the same again */
	int again = dup(null);
	assert_int_equal(again, fd[0] < fd[1] ? fd[0] : fd[1]);
	close(again);
	close(null);
}

static void test_hostile(void **state)
{
	static u8 huge[100000];
	struct hostile h = {0x504b, IPC_VERDICT, 0, 1, {0}};
	size_t n = 16 + sizeof(struct m_verdict);

	hostile("x", 1, 0);
	hostile(&h, n - 1, 0); /* short body */
	hostile(&h, n + 1, 0); /* long body */
	hostile(&h, n, 1);     /* a descriptor where none belongs */
	h.tail = 5;
	hostile(&h, n, 0); /* the tail eats the body */
	h.tail = UINT32_MAX;
	hostile(&h, n, 0);
	h = (struct hostile){0x504c, IPC_VERDICT, 0, 1, {0}};
	hostile(&h, n, 0); /* magic */
	h = (struct hostile){0x504b, IPC_N, 0, 1, {0}};
	hostile(&h, n, 0); /* no such row */
	h.type = IPC_NONE;
	hostile(&h, 16, 0);
	h.type = IPC_LOGIN; /* a row of the other direction */
	hostile(&h, 16 + sizeof(struct m_login), 0);
	h.type = IPC_POLICY;
	hostile(&h, 16 + sizeof(struct m_policy), 0);  /* no descriptor */
	hostile(&h, 16 + sizeof(struct m_policy), 2);  /* two */
	hostile(&h, 16 + sizeof(struct m_policy), 16); /* more than are looked at */
	memcpy(huge, &h, sizeof(h));
	hostile(huge, sizeof(huge), 0);
}

static void test_strings(void **state)
{
	u8 b[16];
	static u8 big[70000];
	struct wr w = wr_of(b, sizeof(b)), none = wr_count();
	struct rd r;

	ipc_put_str(&w, SLICE_LIT("ab"));
	ipc_put_str(&w, SLICE_NONE);
	r = rd_of(wr_done(&w));
	assert_true(slice_eq(ipc_get_str(&r), SLICE_LIT("ab")));
	assert_int_equal(ipc_get_str(&r).n, 0);
	assert_int_equal(r.err, E_OK);
	assert_int_equal(ipc_get_str(&r).n, 0);
	assert_int_equal(r.err, E_SHORT);
	r = rd_of(SLICE_LIT("\0\5abc"));
	assert_int_equal(ipc_get_str(&r).n, 0);
	assert_int_equal(r.err, E_SHORT);
	ipc_put_str(&none, slice_of(big, sizeof(big)));
	assert_int_equal(none.err, E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_row_is_kept_when_sending),
		cmocka_unit_test(test_descriptor_travels),
		cmocka_unit_test(test_memfd_distrust),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_peer_gone),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
