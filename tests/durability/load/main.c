/* main: durability_load --port N --out FILE [--seed N] [--scale N] [--rate N] [--bytes N]
 * [--expiring N] [--user U
 * --password P]
 *
 * Reads commands from standard input, one a line: "storm" (everybody reconnects at once), "drain"
 * (come to an end).  Says "ready" when all sessions are known to the broker, and in the end
 * "done PUBLISHED RECEIVED". */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

enum { TURN_MS = 1, READY_MS = 15000 };
static const char *const event_names[] = {
	[EV_OPEN] = "OPEN",	[EV_CONNACK] = "CONNACK",   [EV_CLOSED] = "CLOSED",
	[EV_BYE] = "BYE",	[EV_SUB] = "SUB",	    [EV_SUBACK] = "SUBACK",
	[EV_UNSUB] = "UNSUB",	[EV_UNSUBACK] = "UNSUBACK", [EV_PUB] = "PUB",
	[EV_PUBACK] = "PUBACK", [EV_PUBREC] = "PUBREC",	    [EV_PUBCOMP] = "PUBCOMP",
	[EV_RECV] = "RECV",	[EV_PING] = "PING",	    [EV_PONG] = "PONG",
	[EV_ODD] = "ODD",	[EV_KICKED] = "KICKED",	    [EV_WILL] = "WILL",
	[EV_PHASE] = "PHASE",	[EV_RELEASED] = "RELEASED",
};
static const char *const role_names[] = {
	[PUBLISHER] = "publisher", [PLAIN] = "plain",	[OVERLAP] = "overlap", [CHURN] = "churn",
	[CLEAN] = "clean",	   [SHARED] = "shared", [RESET] = "reset",     [SHORT] = "short",
	[WILL] = "will",	   [WATCH] = "watch",	[ENDER] = "ender",     [READER] = "reader",
};

static void out(const char *text)
{
	history_header(text);
}

static void header_write(u64 seed)
{
	char text[128];
	const struct session *s;

	snprintf(text, sizeof(text), "{\"seed\": %llu, \"events\": {", (unsigned long long)seed);
	out(text);
	for (u32 i = 1; i < sizeof(event_names) / sizeof(event_names[0]); i++) {
		snprintf(text, sizeof(text), "%s\"%s\": %u", i == 1 ? "" : ", ", event_names[i], i);
		out(text);
	}
	out("}, \"topics\": [");
	for (u32 i = 0; i < world.ntopics; i++) {
		snprintf(text, sizeof(text), "%s\"%s\"", i == 0 ? "" : ", ", world.topic[i].text);
		out(text);
	}
	out("], \"filters\": [");
	for (u32 i = 0; i < world.nfilters; i++) {
		snprintf(text, sizeof(text), "%s\"%s\"", i == 0 ? "" : ", ", world.filter[i].text);
		out(text);
	}
	out("], \"clients\": [");
	for (u32 i = 0; i < world.nsessions; i++) {
		s = &world.session[i];
		snprintf(text, sizeof(text),
			 "%s{\"id\": \"h%05u\", \"role\": \"%s\", \"version\": %u}",
			 i == 0 ? "" : ", ", i, role_names[s->role], s->version);
		out(text);
	}
	out("]}\n");
}

static bool all_known(void)
{
	for (u32 i = 0; i < world.nsessions; i++) {
		const struct session *s = &world.session[i];
		for (u32 k = 0; s->role != READER && k < s->nwant; k++) {
			if (s->want[k].state == WANT_OFF || s->want[k].state == WANT_ASKED)
				return false;
		}
		if (s->role != READER && !s->known)
			return false;
	}
	return true;
}

static bool command(bool *drain)
{
	char text[64];
	ssize_t n = read(STDIN_FILENO, text, sizeof(text) - 1);

	if (n <= 0)
		return n != 0;
	text[n] = '\0';
	if (strstr(text, "storm") != NULL)
		act_storm();
	if (strstr(text, "drain") != NULL)
		*drain = true;
	return true;
}

static void run(void)
{
	u64 began = now_ns();
	bool drain = false, ready = false;
	double rate = world.rate;

	world.rate = 0; /* nothing is said before everybody listens */
	for (;;) {
		u64 now = now_ns();
		if (!command(&drain))
			drain = true; /* nobody is there any more */
		act_tick(now);
		if (!ready && (all_known() || now > began + READY_MS * NS_PER_MS)) {
			ready = true;
			world.rate = rate;
			puts("ready");
			fflush(stdout);
		}
		if (drain && drain_step(now))
			break;
		conn_tick(now);
		conn_turn(TURN_MS);
	}
	printf("done %llu %llu\n", (unsigned long long)world.published,
	       (unsigned long long)world.received);
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"port", 1, NULL, 'p'},	 {"out", 1, NULL, 'o'},	     {"seed", 1, NULL, 's'},
		{"scale", 1, NULL, 'c'}, {"rate", 1, NULL, 'r'},     {"user", 1, NULL, 'u'},
		{"bytes", 1, NULL, 'b'}, {"expiring", 1, NULL, 'x'}, {"password", 1, NULL, 'w'},
		{NULL, 0, NULL, 0}};
	struct rlimit files;
	u64 seed = 1;
	u32 scale = 1;
	int o;

	world.rate = 2000;
	world.bytes_max = PAYLOAD_MAX;
	while ((o = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (o == 'p')
			world.port = (u16)strtoul(optarg, NULL, 10);
		else if (o == 'o')
			history_open(optarg);
		else if (o == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (o == 'c')
			scale = (u32)strtoul(optarg, NULL, 10);
		else if (o == 'r')
			world.rate = strtod(optarg, NULL);
		else if (o == 'b')
			world.bytes_max = (u32)strtoul(optarg, NULL, 10);
		else if (o == 'x')
			world.expiring = (u32)strtoul(optarg, NULL, 10);
		else if (o == 'u')
			world.user = optarg;
		else if (o == 'w')
			world.password = optarg;
		else
			return 2;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
	conn_start();
	plan_make(seed, scale);
	header_write(seed);
	run();
	history_close();
	return 0;
}
