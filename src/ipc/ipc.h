/* ipc: the boundary between our own processes.
 *
 * One SOCK_SEQPACKET socket pair a pair of processes: a message is a datagram of header, fixed
 * payload, tail and at most one descriptor.  Every message is checked against its row of
 * messages.def on both ends; what breaks a row ends the link (E_IPC).  Requests carry an id that
 * answers repeat; answers come in any order. Not thread-safe: one thread owns a link. */
#ifndef PICKET_IPC_IPC_H
#define PICKET_IPC_IPC_H

#include "base/rd.h"
#include "base/wr.h"
#include "ipc/messages.h"

enum { IPC_TAIL_MAX = 65536, IPC_BODY_MAX = 4096 };

struct ipc_msg {
	enum ipc_type type;
	u64 id;
	const void *body; /* views the link's buffer until the next ipc_recv; the payload struct of
			     the row */
	struct slice tail;
	int fd; /* -1: none.  The receiver owns it: close it or set it to -1. */
};

struct ipc_link;

/* Takes fd (non-blocking afterwards).  Never NULL. */
struct ipc_link *ipc_link_new(int fd, enum role me, enum role peer);
void ipc_link_free(struct ipc_link **l); /* closes, wipes the buffers */
int ipc_link_fd(const struct ipc_link *l);
enum role ipc_link_peer(const struct ipc_link *l);

/* Queue and try to send.  body has exactly the row's size.  Borrows all; fd stays the caller's (it
 * is duplicated when queued).  E_IPC: the row does not allow this (our bug), E_BUSY: 1,024 messages
 * already wait or memory is out, E_EOF: the peer is gone. */
enum err ipc_send(struct ipc_link *l, enum ipc_type type, u64 id, const void *body,
		  struct slice tail, int fd) MUST;
/* Send what is queued.  E_OK: all sent; E_MORE: wait for POLLOUT; E_EOF. */
enum err ipc_flush(struct ipc_link *l) MUST;
bool ipc_wants_write(const struct ipc_link *l);
/* The next message.  E_MORE: none now; E_EOF: peer gone; E_IPC: it broke its row. */
enum err ipc_recv(struct ipc_link *l, struct ipc_msg *out) MUST;

/* Is this message allowed at all?  (The table, for tests and fuzzing.) */
bool ipc_allowed(enum ipc_type type, enum role from, enum role to, size_t body_len, size_t tail_len,
		 bool has_fd);
size_t ipc_body_size(enum ipc_type type);
const char *ipc_name(enum ipc_type type);
/* Does the table let these two talk at all?  Only such pairs get a link. */
bool ipc_pair_talks(enum role a, enum role b);

/* Strings in a tail: u16 length, bytes. */
void ipc_put_str(struct wr *w, struct slice s);
struct slice ipc_get_str(struct rd *r);

/* A sealed memfd with these bytes (read-only for whoever gets it); -1 on failure. */
int ipc_memfd(const char *name, struct slice bytes) MUST;
/* Map a received memfd of size bytes: checks seals and size, E_IPC otherwise.  Unmap with munmap.
 */
enum err ipc_memfd_map(int fd, size_t size, struct slice *out) MUST;

#endif
