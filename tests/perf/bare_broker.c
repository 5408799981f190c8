/* bare_broker: the real broker process without the rest of picket: plain TCP on loopback, every
 * login is allowed and may do everything.  A thread plays the supervisor and auth over the same
 * links.  For measuring the data plane and for finding hot spots; never installed.
 *
 *   bare_broker [PORT [SHARDS]] */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "proc/broker.h"
#include "rights/rights.h"

static const char conf_text[] =
	"listener bench { bind = \"127.0.0.1:%u\" tls = off anonymous_role = bench "
	"accept_risk = \"measurement on loopback\" limits { all = none } }\n";
static const char policy_text[] = "role bench { publish #; subscribe #; limit all none }\n";

struct world {
	struct ipc_link *sup, *auth;
	int auth_fd; /* the broker's end, handed over by LINK */
	u32 port, nshards;
	struct conf conf;
};

static void must(enum err e, const char *what)
{
	if (e == E_OK)
		return;
	fprintf(stderr, "bare_broker: %s: %s\n", what, err_text(e));
	exit(1);
}

static void pair(int fd[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0)
		must(E_IO, "socketpair");
}

static int listening(u32 port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((u16)port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 4096) != 0)
		must(E_IO, "listen");
	return fd;
}

static void say(struct ipc_link *l, enum ipc_type t, u64 id, const void *body, struct slice tail,
		int fd)
{
	must(ipc_send(l, t, id, body, tail, fd), ipc_name(t));
	if (fd >= 0)
		close(fd);
}

static void send_policy(struct world *w)
{
	struct policy_doc *doc;
	struct policy_error err;
	const u32 ids[] = {1};
	u8 *block;
	size_t len;
	struct m_policy m = {.generation = 1, .confirm = 1};

	must(policy_parse(slice_str(policy_text), POLICY_RULES, &doc, &err), err.what);
	must(policy_compile(doc, ids, 1, &block, &len), "policy_compile");
	m.size = len;
	say(w->auth, IPC_POLICY, 0, &m, SLICE_NONE, ipc_memfd("policy", slice_of(block, len)));
	free(block);
	policy_doc_free(&doc);
}

static void begin(struct world *w)
{
	struct m_link link = {ROLE_AUTH};
	struct m_config conf = {.generation = 1, .size = sizeof(w->conf)};
	struct m_start start = {.nshards = w->nshards};

	say(w->sup, IPC_LINK, 0, &link, SLICE_NONE, w->auth_fd);
	say(w->sup, IPC_CONFIG, 0, &conf, SLICE_NONE,
	    ipc_memfd("conf", slice_of(&w->conf, sizeof(w->conf))));
	for (u32 i = 0; i < w->nshards; i++) {
		struct m_listener l = {.listener = 0, .shard = i, .last = i + 1 == w->nshards};
		say(w->sup, IPC_LISTENER, 0, &l, SLICE_NONE, listening(w->port));
	}
	say(w->sup, IPC_START, 0, &start, SLICE_NONE, -1);
}

/* Everybody is a service of the same identity, named after the claimed user or nobody. */
static void answer_login(struct world *w, const struct ipc_msg *m)
{
	const struct m_login *l = m->body;
	struct m_verdict v = {
		.verdict = ALLOW, .identity_id = 1, .generation = 1, .kind = KIND_SERVICE};
	u8 tail[1024];
	struct wr wr = wr_of(tail, sizeof(tail));

	ipc_put_str(&wr, SLICE_LIT("bench"));
	ipc_put_str(&wr, SLICE_NONE);
	ipc_put_str(&wr, SLICE_LIT("*"));
	ipc_put_str(&wr, slice_of(m->tail.p + l->client_id_len, MIN(l->username_len, 100)));
	ipc_put_str(&wr, SLICE_NONE);
	ipc_put_str(&wr, SLICE_NONE);
	wr_u16(&wr, 1);
	wr_u32(&wr, 1);
	say(w->auth, IPC_VERDICT, m->id, &v, wr_done(&wr), -1);
}

static void serve(struct world *w, struct ipc_link *l)
{
	struct ipc_msg m;
	enum err e;

	while ((e = ipc_recv(l, &m)) == E_OK) {
		if (m.type == IPC_READY)
			send_policy(w);
		if (m.type == IPC_LOGIN)
			answer_login(w, &m);
	}
	if (e == E_EOF || e == E_IPC)
		must(e, "the broker's link");
}

static void *world_run(void *arg)
{
	struct world *w = arg;
	struct pollfd p[2] = {{ipc_link_fd(w->sup), POLLIN, 0}, {ipc_link_fd(w->auth), POLLIN, 0}};
	static const struct m_none none;
	sigset_t end;
	int got;

	begin(w);
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	for (;;) {
		struct timespec soon = {0};
		if (poll(p, 2, 200) < 0 && errno != EINTR)
			must(E_IO, "poll");
		serve(w, w->sup);
		serve(w, w->auth);
		got = sigtimedwait(&end, NULL, &soon);
		if (got > 0) {
			say(w->sup, IPC_STOP, 0, &none, SLICE_NONE, -1);
			return NULL;
		}
	}
}

static bool no_sandbox(enum role me, struct m_ready *ready)
{
	return true;
}

int main(int argc, char **argv)
{
	static struct world w;
	static struct conf_error err;
	struct rlimit files;
	char text[512];
	int sup[2], auth[2];
	pthread_t t;
	sigset_t end;

	w.port = argc > 1 ? (u32)strtoul(argv[1], NULL, 10) : 1883;
	w.nshards = argc > 2 ? (u32)strtoul(argv[2], NULL, 10) : 1;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	log_setup("bare", LOG_WARN);
	snprintf(text, sizeof(text), conf_text, w.port);
	must(conf_parse("bare", text, &w.conf, &err), err.what);
	pair(sup);
	pair(auth);
	w.sup = ipc_link_new(sup[0], ROLE_SUP, ROLE_BROKER);
	w.auth = ipc_link_new(auth[0], ROLE_AUTH, ROLE_BROKER);
	w.auth_fd = auth[1];
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	pthread_sigmask(SIG_BLOCK, &end, NULL);
	if (pthread_create(&t, NULL, world_run, &w) != 0)
		must(E_IO, "thread");
	return broker_main(sup[1], no_sandbox);
}
