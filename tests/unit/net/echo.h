/* echo: a little protocol for the tests of net: frames of four bytes of length and a body, sent
 * back as they came.  A body of one letter is a command to the server. */
#ifndef TEST_NET_ECHO_H
#define TEST_NET_ECHO_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/inbox.h"
#include "net/net.h"

struct echo {
	struct loop *loop;
	pthread_t thread;
	struct inbox inbox;
	struct inbox_batch out; /* for the neighbour */
	struct echo *neighbour; /* 'M' moves a connection there */
	int port;
	bool refuse_open;
	struct net_listen_options opt; /* listener and the like; zero: plain */
	bool refuse_source;
	bool (*trusted)(const u8 addr[16]); /* declared proxies; NULL: there are none */
	u8 source[16], last_released[16]; /* of the newest connection, when its counter has moved */
	char cn[300];
	_Atomic u32 sourced, unsourced;
	_Atomic u32 admit_max; /* connections admitted in all */
	_Atomic u32 admitted, released, opened, closed, refused, moved_in, largest_input;
	_Atomic u32 last_why, pauses;
};

/* Listens on loopback and runs its loop in a thread. */
void echo_start(struct echo *e, struct echo *neighbour);
/* All threads have to be joined before the first loop is freed: a neighbour may still wake it. */
void echo_join(struct echo *e);
void echo_free(struct echo *e);
/* A blocking client with a receive timeout. */
int echo_connect(const struct echo *e);
void echo_send(int fd, const void *p, size_t n);
/* Exactly n bytes; returns how many came before the end. */
size_t echo_recv(int fd, void *p, size_t n);
void echo_frame(int fd, const void *body, u32 n);
/* Waits until *counter is at least n (bounded; fails the test). */
void echo_await(_Atomic u32 *counter, u32 n);

#endif
