/* world: the real broker process in a child, and this process in place of the supervisor, auth,
 * keys and admin, over the real links.  For tests of the broker alone and for measuring it. */
#ifndef TEST_PROC_WORLD_H
#define TEST_PROC_WORLD_H

#include <sys/types.h>

#include "conf/conf.h"
#include "ipc/ipc.h"

struct world {
	pid_t pid;
	u32 nshards;
	struct conf conf;
	struct ipc_link *link[ROLE_N]; /* ROLE_SUP: ours as the supervisor */
};

/* Any free port of loopback. */
u32 world_port(void);
/* Start the broker with this configuration, hand over one socket a listener and shard, and wait for
 * READY. */
void world_start(struct world *w, const char *conf_text, u32 nshards);
/* Be that process from now on (again). */
void world_link(struct world *w, enum role as);
/* Say something as that process. */
void world_say(struct world *w, enum role as, enum ipc_type t, u64 id, const void *body,
	       struct slice tail);
void world_say_fd(struct world *w, enum role as, enum ipc_type t, u64 id, const void *body, int fd);
/* As auth: the compiled policy; role ids count from 1 in the order of the text. */
void world_policy(struct world *w, const char *text, u64 generation);
/* As auth: allow login id as this identity of role 1, a service; name is also its client id
 * pattern's prefix. */
void world_allow(struct world *w, u64 login_id, const char *name, struct slice username);
/* The next message of that type to that process, waiting up to ms; others meanwhile are dropped.
 * False: none came. */
bool world_await(struct world *w, enum role as, enum ipc_type t, u32 ms, struct ipc_msg *out);
/* STOP, or none when it should be gone already; returns the exit code, -1 for a signal. */
int world_stop(struct world *w, bool say);
/* A reload: offer a configuration (CONFIG_DONE answers), then hand over its sockets, new ones. */
void world_reload(struct world *w, const struct conf *c);
void world_sockets(struct world *w, const struct conf *c);

#endif
