/* bare_broker: the real broker process without the rest of picket: plain TCP on loopback, every
 * login is allowed and may do everything.  For measuring the data plane and for finding hot spots;
 * never installed.
 *
 *   bare_broker [PORT [SHARDS]] */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "world.h"

static volatile sig_atomic_t ended;

static void on_signal(int s)
{
	ended = 1;
}

static void answer_logins(struct world *w)
{
	struct ipc_msg m;

	while (!ended && world_await(w, ROLE_AUTH, IPC_LOGIN, 1000, &m)) {
		const struct m_login *l = m.body;
		world_allow(w, m.id, "bench",
			    slice_of(m.tail.p + l->client_id_len,
				     MIN((size_t)l->username_len, (size_t)100)));
	}
}

int main(int argc, char **argv)
{
	struct rlimit files;
	struct world w;
	char text[512];
	u32 shards = argc > 2 ? (u32)strtoul(argv[2], NULL, 10) : 1;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	log_setup("bare", LOG_WARN);
	snprintf(text, sizeof(text),
		 "listener bench { bind = \"127.0.0.1:%s\" tls = off anonymous_role = bench "
		 "accept_risk = \"measurement on loopback\" limits { all = none } }\n",
		 argc > 1 ? argv[1] : "1883");
	world_start(&w, text, shards);
	world_link(&w, ROLE_AUTH);
	world_policy(&w, "role bench { publish #; subscribe #; limit all none }", 1);
	while (!ended)
		answer_logins(&w);
	return world_stop(&w, true);
}
