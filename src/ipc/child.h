/* child: what every child process does the same way: take links, configuration and files from the
 * supervisor, close the sandbox, then serve messages, timers and descriptors in one thread.
 *
 * The order at start: LINK…, CONFIG, FILE…, LISTENER…, then START: the ready hook runs, the sandbox
 * closes (a callback that proc provides), READY is sent, and the loop serves.  When a peer
 * restarts, a new LINK arrives at any time. */
#ifndef PICKET_IPC_CHILD_H
#define PICKET_IPC_CHILD_H

#include "base/wheel.h"
#include "ipc/ipc.h"

struct child;
struct child_ops {
	/* Every message except LINK.  m is borrowed.  An error other than E_OK ends the process (a
	 * bug of a peer must not be lived with); peers' mistakes about data are answered, not
	 * returned. */
	enum err (*message)(struct child *c, enum role from, struct ipc_msg *m);
	/* A link to peer is there (again): send it what it has to know first.  For links that came
	 * before START it is called after started(); peers' messages wait until then, too. */
	void (*linked)(struct child *c, enum role peer);
	/* START came: all is handed over; open what must be open before the sandbox. */
	enum err (*prepare)(struct child *c, const struct m_start *start);
	/* The sandbox is closed, READY is sent. */
	void (*started)(struct child *c);
	/* Stop in order; the loop ends after it. */
	void (*stop)(struct child *c);
};

/* Runs until STOP or the supervisor is gone; returns the exit code.  sup_fd: the link to the
 * supervisor. enter_sandbox fills m_ready; false ends the process. */
int child_run(enum role me, int sup_fd, const struct child_ops *ops, void *arg,
	      bool (*enter_sandbox)(enum role me, struct m_ready *ready));

void *child_arg(struct child *c);
/* E_STATE when there is no link to that peer now. */
enum err child_send(struct child *c, enum role to, enum ipc_type type, u64 id, const void *body,
		    struct slice tail, int fd) MUST;
bool child_linked(const struct child *c, enum role peer);
u64 child_now(const struct child *c); /* monotonic ms of this turn */
struct wheel *child_wheel(struct child *c);

/* Watch a descriptor (level-triggered; events: EPOLLIN | EPOLLOUT). */
void child_watch(struct child *c, int fd, u32 events, void (*ready)(void *arg, u32 events),
		 void *arg);
void child_unwatch(struct child *c, int fd);
void child_quit(struct child *c, int code);

#endif
