/* bench: a load generator.  Measures what a broker costs: CPU per delivered message of its whole
 * process tree, memory per idle client, and whether anything was lost, doubled or reordered.
 *
 * One thread, epoll, MQTT 3.1.1 or 5, plain or TLS.  It keeps a bounded number of messages under
 * way, so that no broker has to drop; it works against any broker that speaks MQTT. */
#ifndef PICKET_CLI_BENCH_H
#define PICKET_CLI_BENCH_H

#include <openssl/ssl.h>

#include "base/base.h"

/* `picket bench …`: argv[0] is "bench".  Exit code of the command: 0, 1 (the broker refused or lost
 * something), 2 (usage). */
int bench_main(int argc, char **argv);

struct bench_options {
	const char *host, *port, *ca, *user, *password_file, *topic;
	u32 publishers, subscribers;
	bool spread; /* every subscriber has a topic of its own; publishers take them in turn */
	bool json, tls;
	/* Subscribers have sessions that outlive their connections.  Queue: they have gone before
	 * the first message, and it is the acknowledgements that count; drain: they come back for
	 * what a run with the same numbers has queued. */
	bool durable, queue, drain;
	u32 idle; /* instead of messages: hold this many connections and tell the memory of each */
	u32 qos, size, window, version;
	u64 messages; /* published in all */
	u32 pid;      /* of the broker's first process; 0: no CPU figures */
	char password[512];
};

/* ---- one connection (bench_client.c) ---- */
struct bench_client {
	int fd;
	SSL *ssl;
	u32 index;
	u8 *in, *out;
	size_t in_n, in_cap, out_n, out_off, out_cap;
	u16 packet_id;
	u32 sent, acked;
	bool publisher, waiting, want_write;
	bool keep;     /* its session outlives the connection */
	bool present;  /* there was one */
	u32 *expected; /* next sequence number a publisher, for subscribers */
};

struct bench;
typedef void bench_packet(void *arg, struct bench_client *c, u8 first, const u8 *body, size_t n);
/* Connects, does TLS and sends CONNECT.  false: says why on stderr. */
bool bench_client_greet(struct bench_client *c, const struct bench_options *o, SSL_CTX *tls,
			const char *client_id);
/* Waits for CONNACK; and SUBSCRIBE for filter when not NULL.  Then non-blocking.  A message that
 * comes meanwhile is packet's.  false: says why on stderr. */
bool bench_client_enter(struct bench_client *c, const struct bench_options *o, const char *filter,
			bench_packet *packet, void *arg);
/* Both, for one that has no session: no message can come. */
bool bench_client_open(struct bench_client *c, const struct bench_options *o, SSL_CTX *tls,
		       const char *client_id, const char *filter);
/* With DISCONNECT: its session, if it is kept, goes on waiting. */
void bench_client_leave(struct bench_client *c);
void bench_client_close(struct bench_client *c);
/* Room for n bytes at the end of the output; the caller writes all of them. */
u8 *bench_client_room(struct bench_client *c, size_t n);
/* Write what is there; false when the broker has closed. */
bool bench_client_flush(struct bench_client *c);
/* Read what is there and give each packet to packet(); false when the broker has closed. */
bool bench_client_read(struct bench_client *c, bench_packet *packet, void *arg);
SSL_CTX *bench_tls(const struct bench_options *o);

/* ---- what a process tree costs (bench_cost.c) ---- */
u64 cost_cpu_ns(u32 pid);  /* run time of all threads of pid and its descendants */
u64 cost_pss_kib(u32 pid); /* proportional memory of the same */

#endif
