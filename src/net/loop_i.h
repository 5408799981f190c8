/* loop_i: the insides of net, shared by its own files and by nobody else. */
#ifndef PICKET_NET_LOOP_I_H
#define PICKET_NET_LOOP_I_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "net/net.h"
#include "net/tls.h"
#include "net/ws.h"

enum {
	LIM_EVENTS = 256,	    /* of one epoll_wait */
	LIM_ACCEPTS = 16,	    /* of one listener in one turn */
	LIM_FLUSH_ROUNDS = 4,	    /* writes of one connection in one turn */
	LIM_READ_YOUNG = 16 * 1024, /* one read of a connection that was never resumed */
	LIM_COPY_ASIDE = 16 * 1024, /* what is kept is read behind in place above this */
	LIM_TLS_RECORD = 16 * 1024, /* one TLS record (RFC 8446 section 5.1) */
	LIM_LINGER_MS = 1000,	    /* for what is pending at CLOSE_FLUSH */
	LIM_ACCEPT_REST = 100,	    /* ms without accepting when descriptors are out */
	LIM_PROBE_IDLE_S = 1200,    /* TCP probes begin where keep alive ends (defaults.md) */
	LIM_PROBE_EVERY_S = 60,
	LIM_PROBES = 5,
};
_Static_assert(LIM_COPY_ASIDE + LIM_READ_YOUNG <= (int)NET_READ_BUFFER, "a kept part leaves room");
_Static_assert((int)LIM_TLS_RECORD <= (int)NET_READ_BUFFER, "a record fits the gather buffer");

#define LOOP_MAGIC     0x4c6f6f70u
#define CONN_MAGIC     0x436f6e6eu
#define LISTENER_MAGIC 0x4c697374u

/* PROXY: its header is awaited.  HANDSHAKE: TLS.  GREETING: what it speaks is not known yet, or its
 * upgrade is under way; all before opened().  LINGER: CLOSE_FLUSH, sends what is left.  CLOSING: on
 * the closing list, destroyed at the end of the turn.  DETACHED: between two loops. */
enum conn_state {
	CONN_PROXY,
	CONN_HANDSHAKE,
	CONN_GREETING,
	CONN_OPEN,
	CONN_LINGER,
	CONN_CLOSING,
	CONN_DETACHED,
};

enum conn_flag {
	CF_OPENED = 1 << 0, /* opened() said yes: closed() is owed */
	CF_PAUSED = 1 << 1,
	CF_DIRTY = 1 << 2, /* on the dirty list */
	CF_AGAIN =
		1 << 3, /* on the again list: has work for the next turn that epoll does not know */
	CF_SIGNING = 1 << 4, /* the handshake waits for a signature */
	CF_BLOCKED = 1 << 5, /* the socket took no more: wait for EPOLLOUT */
	CF_YOUNG =
		1 << 6,	  /* never resumed: reads little, so that a stranger makes us keep little */
	CF_MORE = 1 << 7, /* has more output than one turn sends */
	CF_INPUT = 1 << 8,	/* inside input() */
	CF_MARK = 1 << 9,	/* the user's */
	CF_GREETED = 1 << 10,	/* was in CONN_GREETING */
	CF_ALPN_HTTP = 1 << 11, /* has promised to speak HTTP */
	CF_HTTP = 1 << 12,	/* has begun a request */
	CF_TOLD = 1 << 13,	/* refused() has been called */
};

/* Of a connection that came through a proxy. */
struct conn_via {
	u8 addr[16];	     /* the proxy's own */
	struct net_tls *tls; /* a reference, until the header has come; NULL: plain */
	bool header;	     /* a PROXY header is to say who its client is */
	bool certificates;   /* and what it says of certificates counts */
	bool sourced;	     /* that is known */
	char *cn;
};

struct conn {
	u32 magic;
	int fd;
	struct loop *loop;
	void *user;
	struct tls_conn *tls; /* NULL: plain */
	struct conn_via *via; /* NULL: it came by itself */
	struct ws *ws;	      /* NULL: no WebSocket */
	struct timer timer;   /* deadlines of handshake and greeting, then linger */
	LIST_ENTRY(conn) all;
	TAILQ_ENTRY(conn) dirty; /* the dirty or the closing list */
	TAILQ_ENTRY(conn) again;
	u64 accepted_ms;
	u8 *held; /* what input() left over; NULL when idle */
	u8 *out;  /* what has begun to be sent and must be sent as it was: the rest of a record, of
		     a frame, of an HTTP answer */
	u32 held_n, held_cap;
	u32 out_n, out_off;
	u32 listener;
	u32 interest; /* what epoll watches */
	u8 addr[16];
	u16 port, flags;
	u8 state; /* enum conn_state */
	u8 why;	  /* enum err */
};
_Static_assert(sizeof(struct conn) <= 208, "an idle connection is small");

struct net_listener {
	u32 magic;
	int fd;
	struct loop *loop;
	struct net_listen_options opt;
	struct timer rest; /* runs while no descriptors are left */
	bool dead;	   /* freed at the end of the turn */
	LIST_ENTRY(net_listener) all;
};

TAILQ_HEAD(conn_queue, conn);
enum wake_state { WAKE_AWAKE, WAKE_ASLEEP, WAKE_NOTIFIED };

struct loop {
	u32 magic;
	int epoll_fd, wake_fd;
	int spare_fd; /* given up for a moment to turn a client away when descriptors are out */
	struct net_handler h;
	void *arg;
	struct wheel wheel;
	u64 now_ms, wake_at_ms;
	_Atomic u32 wake; /* enum wake_state */
	_Atomic bool stop;
	LIST_HEAD(, conn) conns;
	LIST_HEAD(, net_listener) listeners;
	struct conn_queue dirty, closing, again;
	void *tls_table;
	struct ws_tools *ws;
	u8 *rbuf; /* NET_READ_BUFFER: all connections read here */
	u8 *gbuf; /* NET_READ_BUFFER: small pieces of output are gathered here */
	struct iovec *iov;
};

/* conn.c */
/* A new connection on an accepted socket, which it takes; it may be closing already. */
void conn_begin(struct loop *l, struct net_listener *n, int fd, const u8 addr[16], u16 port,
		enum net_admit as);
void conn_event(struct conn *c, u32 events);
void conn_go_on(struct conn *c); /* the again list's turn */
void conn_destroy(struct conn *c);
void conn_watch(struct conn *c, u32 interest);
void conn_put_again(struct conn *c);
/* What it speaks is known. */
void conn_opened(struct conn *c);
static inline bool conn_reads(const struct conn *c)
{
	return c->state == CONN_GREETING || c->state == CONN_OPEN;
}

/* greet.c */
/* The handshake is over. */
void conn_greeting(struct conn *c);
/* All bytes that came so far; from of them were seen before.  Returns how many are done with; the
 * connection is open then, or still greeting, or ending. */
size_t conn_greet(struct conn *c, struct slice s, size_t from);
/* Its deadline has passed. */
void conn_greeting_late(struct conn *c);

/* Whoever it is, it is let in: TLS, then what it speaks. */
void conn_start(struct conn *c, struct net_tls *tls);

/* conn_proxy.c */
/* False: no memory. */
bool conn_via_begin(struct conn *c, const struct net_listen_options *o);
void conn_via_free(struct conn *c);
/* It comes through a proxy, and for whom is not known yet. */
static inline bool conn_unsourced(const struct conn *c)
{
	return c->via != NULL && !c->via->sourced;
}
/* Now it is: from here on the connection is its client's.  False: who is not admitted; it is
 * closing.
 */
bool conn_source(struct conn *c, const u8 addr[16], u16 port);
void conn_proxy_read(struct conn *c);

/* conn_io.c */
void conn_read(struct conn *c);
/* Give back what is kept; wiped before login, when it may hold a password. */
void conn_forget(struct conn *c);
/* Offer what is kept. */
void conn_offer_held(struct conn *c);

/* conn_out.c */
/* n bytes of our own go before all else; nothing is owed yet.  False: no memory, it is closing. */
bool conn_owe(struct conn *c, const u8 *p, size_t n);
/* Send what the handler has; the connection is on no dirty list. */
void conn_flush(struct conn *c);

/* listen.c */
void listener_event(struct net_listener *n);
void listeners_sweep(struct loop *l, bool all);
/* NULL: it has none, or is gone. */
const struct net_greeting *listener_greeting(const struct loop *l, u32 listener);

#endif
