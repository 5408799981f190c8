/* fuzz ipc: a hostile process on the other end of a link.
 *
 * Input: role pair, number of descriptors, then the datagram.  Whatever is received must obey its
 * row. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/ipc.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t n);

static void hostile_send(int fd, struct slice bytes, u32 fds)
{
	struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.n};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = {0};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fds != 0) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)control;
		h.msg_control = control;
		h.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		*c = (struct cmsghdr){CMSG_LEN(fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		for (u32 i = 0; i < fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	}
	if (sendmsg(fd, &h, MSG_NOSIGNAL) < 0)
		return;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t n)
{
	int fd[2];
	struct ipc_link *l;
	struct ipc_msg m;
	enum role me, peer;
	u32 fds;

	if (n < 3)
		return 0;
	me = (enum role)(data[0] % ROLE_N);
	peer = (enum role)(data[1] % ROLE_N);
	fds = data[2] % 4;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0)
		abort();
	l = ipc_link_new(fd[0], me, peer);
	hostile_send(fd[1], slice_of(data + 3, n - 3), fds);
	if (ipc_recv(l, &m) == E_OK) {
		struct rd r = rd_of(m.tail);
		ASSERT(ipc_allowed(m.type, peer, me, ipc_body_size(m.type), m.tail.n, m.fd >= 0));
		while (rd_left(&r) != 0 && ipc_get_str(&r).n <= m.tail.n)
			continue;
	} else {
		ASSERT(m.fd == -1);
	}
	if (m.fd >= 0)
		close(m.fd);
	ipc_link_free(&l);
	close(fd[1]);
	return 0;
}
