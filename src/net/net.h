/* net: bytes between sockets and whoever speaks a protocol over them.  Knows no MQTT.
 *
 * One struct loop a thread (a shard): epoll, a timer wheel, one read buffer that all its
 * connections share.  A connection owns no buffer while it is idle; an unfinished packet is copied
 * aside.  Handlers never free and never write: they mark a connection dirty or closing, and the end
 * of the turn flushes once and then destroys. */
#ifndef PICKET_NET_NET_H
#define PICKET_NET_NET_H

#include <sys/uio.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/wheel.h"

struct loop;
struct conn;
struct net_tls; /* TLS of one listener: certificate, versions; swapped whole at rotation (net/tls.h)
		 */
struct net_greeting; /* how a connection to a listener has to begin; swapped whole at a reload */
struct net_listener; /* one listening socket in one loop */

/* What is spoken on a listener.  RAW: the handler's own bytes, as they come.  WEBSOCKET: the same
 * bytes in binary frames, after an HTTP upgrade (RFC 6455); the handler sees no difference. */
enum net_protocol { NET_RAW = 1, NET_WEBSOCKET = 2 };

/* How far a connection had come that was refused before opened(): its TLS handshake; nothing said
 * yet by which its protocol could be told; its HTTP request. */
enum net_stage { NET_STAGE_TLS, NET_STAGE_FIRST, NET_STAGE_UPGRADE };

/* What admission says of a connection.  PROXY: it comes from a declared proxy; who its client is
 * shows later (sourced). */
enum net_admit { NET_REFUSE, NET_ADMIT, NET_ADMIT_PROXY };

enum { NET_READ_BUFFER = 65536, NET_IOV = 64 };

/* The protocol above.  All run on the loop's thread. */
struct net_handler {
	/* What a connection speaks is known: the TLS handshake is over and, where a listener has a
	 * greeting, the first bytes have come or the upgrade to WebSocket has been granted.
	 * Returns false to refuse it. */
	bool (*opened)(void *arg, struct conn *c);
	/* Bytes came: how many of them were consumed?  The rest comes again with more behind it. Is
	 * not called while the connection is paused. */
	size_t (*input)(void *arg, struct conn *c, struct slice bytes);
	/* Fill iov with what is to be sent next, at most max entries; 0: nothing.  What it views
	 * must stay until sent() takes it off. */
	int (*output)(void *arg, struct conn *c, struct iovec *iov, int max);
	void (*sent)(void *arg, struct conn *c, size_t bytes);
	/* The connection is gone (why: E_EOF, E_TIMEOUT, E_TLS, E_IO, or what conn_close was
	 * given); user is still set; free it.  Called once for each opened() that returned true;
	 * what ends before opened() is reported through refused(). */
	void (*closed)(void *arg, struct conn *c, enum err why);
	/* Refused before opened(): text is ours ("alert unknown_ca: the client does not have our
	 * CA"); what a peer said stands in it escaped. */
	void (*refused)(void *arg, const u8 addr[16], u16 port, u32 listener, enum net_stage stage,
			enum err why, const char *text);
	/* Work of the turn, before it flushes: the inbox, the core's timers. */
	void (*turn)(void *arg, u64 now_ms);
	/* Admission at accept, before anything is allocated; false: close at once (counted). */
	enum net_admit (*admit)(void *arg, const u8 addr[16], u32 listener);
	/* An admitted connection is gone (also one that never opened): the other half of admit. */
	void (*released)(void *arg, const u8 addr[16], u32 listener);
	/* The turn is over, nothing is called any more before the loop sleeps: hand what has
	 * gathered for other threads over here, once. */
	void (*turned)(void *arg);
	/* How many bytes has the message of the protocol above that begins with head, its first
	 * bytes? 0: head is too short to tell.  For WebSocket, where each is to be a frame of its
	 * own: there are clients that wait for the socket while a second message of a frame lies in
	 * their buffer. NULL: it does not matter. */
	size_t (*unit)(void *arg, struct slice head);
	/* The turn begins, before any input(): the time. */
	void (*begin)(void *arg, u64 now_ms);
	/* A connection that was admitted as proxy's turns out to come from addr, by its PROXY
	 * header or the X-Forwarded-For of its upgrade (which may be the proxy, speaking for
	 * itself): admit that one in its place; false: close at once. */
	bool (*sourced)(void *arg, const u8 proxy[16], const u8 addr[16], u32 listener);
	/* Does the word of whoever has this address count on this listener: is it a declared proxy?
	 */
	bool (*trusts)(void *arg, const u8 addr[16], u32 listener);
	/* A proxy's connection that did not come as far as that: no header, or no good one. */
	void (*unsourced)(void *arg, const u8 proxy[16], u16 port, u32 listener, enum err why,
			  const char *text);
};

struct loop *loop_new(const struct net_handler *h, void *arg);
void loop_free(struct loop **l);
/* Until loop_stop (any thread may call it). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* Wake the loop from another thread so that turn() runs; cheap when it is awake already. */
void loop_wake(struct loop *l);
struct wheel *loop_wheel(struct loop *l);
u64 loop_now(const struct loop *l); /* monotonic ms of this turn */
void *loop_arg(struct loop *l);
/* turn() is called no later than this; UINT64_MAX: no wish.  For the core's timers. */
void loop_wake_at(struct loop *l, u64 at_ms);

enum { NET_ORIGIN = 128, NET_PATH = 64 };
struct net_greeting_options {
	u32 protocols;	  /* set of enum net_protocol; not empty */
	u64 first_ms;	  /* from accept to the first byte; UINT64_MAX: no deadline */
	u64 upgrade_ms;	  /* from the first byte of an HTTP request to its end */
	const char *path; /* of the upgrade, besides "/" */
	/* The web pages whose scripts may connect: scheme, host and port as browsers write them
	 * (RFC 6454 section 6.1), compared byte by byte.  Clients that are no browsers send no
	 * Origin and are not concerned. */
	u32 origins;
	const char (*origin)[NET_ORIGIN];
};
/* Copies o. */
struct net_greeting *net_greeting_new(const struct net_greeting_options *o);
struct net_greeting *net_greeting_ref(struct net_greeting *g);
void net_greeting_unref(struct net_greeting **g);

struct net_listen_options {
	u32 listener;	     /* handed to the callbacks */
	u64 handshake_ms;    /* deadline of the TLS handshake */
	struct net_tls *tls; /* NULL: plain.  Borrowed; see loop_listener_tls. */
	/* Every connection begins with a PROXY header (proxy.h), before TLS; one without is closed.
	 * admit() has let in proxies alone. */
	bool proxy;
	bool proxy_certificates; /* what a header says of the client's certificate counts */
	/* NULL: connections are opened at once and all they send is the handler's.  Borrowed. */
	struct net_greeting *greeting;
};
/* Takes fd, a listening socket.  The listener lives until loop_unlisten or loop_free. */
struct net_listener *loop_listen(struct loop *l, int fd, const struct net_listen_options *o);
/* Its connections without the user's mark are closed (E_SHUTDOWN); marked ones live on. */
void loop_unlisten(struct loop *l, struct net_listener *n);
/* New handshakes use this from now on; live connections keep theirs (shared by reference). */
void loop_listener_tls(struct net_listener *n, struct net_tls *tls);
void loop_listener_deadline(struct net_listener *n, u64 handshake_ms);
/* Holds from now on, also for connections that have not finished theirs.  Shared by reference. */
void loop_listener_greeting(struct net_listener *n, struct net_greeting *g);

/* ---- connections ------------------------------------------------------------------------------
 */
void conn_set_user(struct conn *c, void *user);
void *conn_user(const struct conn *c);
/* One bit for the user; false at first. */
void conn_set_mark(struct conn *c, bool mark);
bool conn_mark(const struct conn *c);
struct loop *conn_loop(const struct conn *c);
u32 conn_listener(const struct conn *c);
const u8 *conn_addr(const struct conn *c); /* 16 bytes; IPv4 mapped */
u16 conn_port(const struct conn *c);
/* The proxy through which it came, 16 bytes; NULL: it came by itself. */
const u8 *conn_proxy(const struct conn *c);
/* Common name of the certificate that the client proved to a proxy whose word counts; NULL: none.
 * Lives as long as the connection, wherever it moves. */
const char *conn_proxied_cn(const struct conn *c);
u64 conn_accepted_ms(const struct conn *c);
/* "TLSv1.3 TLS_AES_128_GCM_SHA256", "" when plain. */
const char *conn_tls(const struct conn *c);
bool conn_websocket(const struct conn *c);
/* The same for people: "TLSv1.3 TLS_AES_128_GCM_SHA256 websocket", "plain websocket"; "" when
 * plain. Static. */
const char *conn_describe(const struct conn *c);
/* Something is to be sent: output() will be asked at the end of this turn. */
void conn_dirty(struct conn *c);
/* Stop and go on calling input().  While paused nothing is read from the socket. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
/* Close at the end of the turn, after one try to send what output() has (CLOSE_FLUSH: keeps trying
 * for up to a second), or at once (CLOSE_NOW). */
enum close_how { CLOSE_FLUSH, CLOSE_NOW };
void conn_close(struct conn *c, enum close_how how, enum err why);
/* Bytes that input() has left over and that are kept aside. */
size_t conn_pending(const struct conn *c);

/* Move a connection to another loop: detach on the old loop's thread (it leaves epoll and the
 * wheel; nothing is called for it), hand the pointer over, attach on the new loop's thread (pending
 * bytes are offered to input() in that turn unless it is paused). */
void conn_detach(struct conn *c);
void conn_attach(struct loop *l, struct conn *c);

#endif
