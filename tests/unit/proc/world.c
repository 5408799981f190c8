/* world: see world.h.  Links are socket pairs; the broker's end travels by LINK as in real life. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/broker.h"
#include "rights/rights.h"
#include "world.h"

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "world: %s\n", what);
	abort();
}

static int listening(u32 port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((u16)port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	must(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "bind");
	must(listen(fd, 4096) == 0, "listen");
	return fd;
}

u32 world_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "bind");
	must(getsockname(fd, (struct sockaddr *)&a, &len) == 0, "getsockname");
	close(fd);
	return ntohs(a.sin_port);
}

void world_say(struct world *w, enum role as, enum ipc_type t, u64 id, const void *body,
	       struct slice tail)
{
	must(ipc_send(w->link[as], t, id, body, tail, -1) == E_OK, ipc_name(t));
}

void world_say_fd(struct world *w, enum role as, enum ipc_type t, u64 id, const void *body, int fd)
{
	must(fd >= 0, "a descriptor");
	must(ipc_send(w->link[as], t, id, body, SLICE_NONE, fd) == E_OK, ipc_name(t));
	close(fd);
}

void world_link(struct world *w, enum role as)
{
	struct m_link m = {.peer = (u32)as};
	int fd[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0, "socketpair");
	if (w->link[as] != NULL)
		ipc_link_free(&w->link[as]);
	w->link[as] = ipc_link_new(fd[0], as, ROLE_BROKER);
	world_say_fd(w, ROLE_SUP, IPC_LINK, 0, &m, fd[1]);
}

static bool no_sandbox(enum role me, struct m_ready *ready)
{
	return true;
}

static void spawn(struct world *w)
{
	int fd[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0, "socketpair");
	w->pid = fork();
	must(w->pid >= 0, "fork");
	if (w->pid == 0) {
		close(fd[0]);
		exit(broker_main(fd[1], no_sandbox));
	}
	close(fd[1]);
	w->link[ROLE_SUP] = ipc_link_new(fd[0], ROLE_SUP, ROLE_BROKER);
}

static void configure(struct world *w, const struct conf *c, bool reload)
{
	struct m_config m = {.generation = 1, .size = sizeof(*c), .reload = reload};

	world_say_fd(w, ROLE_SUP, IPC_CONFIG, 0, &m, ipc_memfd("conf", slice_of(c, sizeof(*c))));
}

static void hand_over_sockets(struct world *w)
{
	for (u32 i = 0; i < w->conf.listeners; i++) {
		for (u32 k = 0; k < w->nshards; k++) {
			struct m_listener l = {.listener = i, .shard = k};
			l.last = i + 1 == w->conf.listeners && k + 1 == w->nshards;
			world_say_fd(w, ROLE_SUP, IPC_LISTENER, 0, &l,
				     listening(w->conf.listener[i].port));
		}
	}
}

void world_reload(struct world *w, const struct conf *c)
{
	configure(w, c, true);
}

void world_sockets(struct world *w, const struct conf *c)
{
	w->conf = *c;
	hand_over_sockets(w);
}

void world_start(struct world *w, const char *conf_text, u32 nshards)
{
	struct m_start start = {.nshards = nshards};
	struct conf_error err = {.line = 0};
	struct ipc_msg m;

	memset(w, 0, sizeof(*w));
	w->nshards = nshards;
	must(conf_parse("world", conf_text, &w->conf, &err) == E_OK, err.what);
	w->conf.persistence = false; /* there is no folder for it */
	spawn(w);
	configure(w, &w->conf, false);
	hand_over_sockets(w);
	world_say(w, ROLE_SUP, IPC_START, 0, &start, SLICE_NONE);
	must(world_await(w, ROLE_SUP, IPC_READY, 10000, &m), "READY");
}

void world_policy(struct world *w, const char *text, u64 generation)
{
	struct policy_doc *doc;
	struct policy_error err = {.line = 0};
	u32 ids[64];
	u8 *block;
	size_t len;
	struct m_policy m = {.generation = generation, .confirm = 1};

	for (u32 i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = i + 1;
	must(policy_parse(slice_str(text), POLICY_RULES, &doc, &err) == E_OK, err.what);
	must(policy_compile(doc, ids, generation, &block, &len) == E_OK, "policy_compile");
	m.size = len;
	world_say_fd(w, ROLE_AUTH, IPC_POLICY, 0, &m, ipc_memfd("policy", slice_of(block, len)));
	free(block);
	policy_doc_free(&doc);
}

void world_allow(struct world *w, u64 login_id, const char *name, struct slice username)
{
	struct m_verdict v = {
		.verdict = ALLOW, .identity_id = 1, .generation = 1, .kind = KIND_SERVICE};
	u8 tail[1024];
	struct wr wr = wr_of(tail, sizeof(tail));

	ipc_put_str(&wr, slice_str(name));
	ipc_put_str(&wr, SLICE_NONE);
	ipc_put_str(&wr, SLICE_LIT("*"));
	ipc_put_str(&wr, username);
	ipc_put_str(&wr, SLICE_NONE);
	ipc_put_str(&wr, SLICE_NONE);
	wr_u16(&wr, 1);
	wr_u32(&wr, 1);
	world_say(w, ROLE_AUTH, IPC_VERDICT, login_id, &v, wr_done(&wr));
}

bool world_await(struct world *w, enum role as, enum ipc_type t, u32 ms, struct ipc_msg *out)
{
	u64 until = clock_mono_ms() + ms;
	struct pollfd p = {ipc_link_fd(w->link[as]), POLLIN, 0};

	for (;;) {
		enum err e = ipc_recv(w->link[as], out);
		u64 now = clock_mono_ms();
		if (e == E_OK && out->type == t)
			return true;
		if (e == E_OK && out->fd >= 0)
			close(out->fd);
		if (e == E_EOF || e == E_IPC || (e != E_OK && now >= until))
			return false;
		if (e == E_MORE)
			poll(&p, 1, (int)(until - now));
	}
}

int world_stop(struct world *w, bool say)
{
	static const struct m_none none;
	int status = 0;

	if (say)
		world_say(w, ROLE_SUP, IPC_STOP, 0, &none, SLICE_NONE);
	must(waitpid(w->pid, &status, 0) == w->pid, "waitpid");
	for (u32 r = 0; r < ROLE_N; r++) {
		if (w->link[r] != NULL)
			ipc_link_free(&w->link[r]);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
