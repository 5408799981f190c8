/* tls: server-side TLS for connections of a loop, and client-side TLS for the command's own client.
 *
 * The server's private key is never in this process.  A handshake signature is asked for through a
 * callback and arrives later; the handshake rests meanwhile in an OpenSSL ASYNC job, so a shard
 * never waits. TLS 1.3 and 1.2 with forward secrecy and AEAD only; no renegotiation, no
 * compression, no early data. */
#ifndef PICKET_NET_TLS_H
#define PICKET_NET_TLS_H

#include "net/net.h"

/* What is asked for; the numbers of ipc/messages.h (enum sign_alg, sign_shape), which net may not
 * see. */
enum tls_sign_alg {
	TLS_ECDSA_SHA256 = 1,
	TLS_ECDSA_SHA384,
	TLS_RSA_PSS_SHA256,
	TLS_RSA_PSS_SHA384,
	TLS_RSA_PKCS1_SHA256,
};
enum tls_sign_shape { TLS_SHAPE_13 = 1, TLS_SHAPE_12 };

/* Ask for a signature: bytes are exactly what is to be signed (RFC 8446 4.4.3, RFC 5246 7.4.3),
 * borrowed; the answer comes through tls_sign_done with the same id on the thread of the loop that
 * asked (at once is allowed). Ids are unique in the process.  alg and shape are the enums above. */
typedef void tls_sign_fn(void *arg, struct loop *l, u64 id, u32 slot, u32 alg, u32 shape,
			 struct slice bytes);

struct net_tls_certificate {
	u32 slot;		/* which key signs */
	struct slice chain_pem; /* leaf first */
};
struct net_tls_options {
	/* The first is the default; each other is for clients that name (SNI) a host of it. */
	const struct net_tls_certificate *certificates;
	u32 ncertificates; /* 1 at least */
	u32 min_version;   /* 12 or 13 */
	bool request_client_cert;
	struct slice client_ca_pem;
	tls_sign_fn *sign;
	void *sign_arg;
	/* Of the listener.  A session (a ticket) resumes only where the name, the certificate and
	 * everything that is asked of clients are what they were. */
	struct slice name;
	u32 protocols; /* set of enum net_protocol that ALPN may select; 0: NET_RAW */
};
/* E_TLS with a text of ours in what (at least 160 bytes) when the chain does not load. */
enum err net_tls_new(const struct net_tls_options *o, struct net_tls **out, char *what,
		     size_t cap) MUST;
struct net_tls *net_tls_ref(struct net_tls *t);
void net_tls_unref(struct net_tls **t);

/* The session-ticket keys of all net_tls of this process: newest first (seals), all open.
 * Thread-safe. */
void net_tls_ticket_keys(const u8 (*name)[16], const u8 (*aes)[32], const u8 (*hmac)[32],
			 u32 count);

/* Identities or their certificates have ended: a session that began with a client's certificate
 * before this resumes no more; its client makes a whole handshake, where the certificate is judged
 * anew. Only ever grows.  Thread-safe. */
void net_tls_identity_epoch(u64 epoch);

/* The answer to a sign request; an empty signature fails that handshake.  An id whose handshake is
 * gone is ignored. */
void tls_sign_done(struct loop *l, u64 id, struct slice signature);

/* ---- between conn.c and tls.c ---- */
struct tls_conn; /* one SSL object */
enum tls_io { TLS_OK, TLS_WANT_READ, TLS_WANT_WRITE, TLS_WANT_SIGN, TLS_CLOSED, TLS_FAILED };
struct tls_conn *tls_conn_new(struct net_tls *t, struct loop *l, struct conn *c, int fd);
void tls_conn_free(struct tls_conn **t);
/* Moved to another loop (after the handshake only). */
void tls_conn_move(struct tls_conn *t, struct loop *l);
enum tls_io tls_handshake(struct tls_conn *t);
/* TLS_WANT_READ: wait for the socket to be readable, watched level-triggered (it may be already).
 */
enum tls_io tls_read(struct tls_conn *t, void *buf, size_t cap, size_t *n);
enum tls_io tls_write(struct tls_conn *t, const void *buf, size_t len, size_t *n);
bool tls_has_pending(const struct tls_conn *t);
void tls_shutdown(struct tls_conn *t);
const char *tls_describe(const struct tls_conn *t);
const char *tls_describe_websocket(const struct tls_conn *t);
/* What ALPN selected (RFC 7301): an enum net_protocol; 0: the client did not ask.  After the
 * handshake. */
u32 tls_protocol(const struct tls_conn *t);
/* Why it failed, for the log and the person: names the alert and what to do about it. */
const char *tls_error(const struct tls_conn *t);
/* The table of handshakes of one loop that wait for a signature: tls.c makes it in *slot (NULL at
 * first) and frees it when the loop goes.  Both on the loop's thread. */
void **loop_tls_slot(struct loop *l);
void tls_loop_free(void **slot);
/* Of conn.c, for tls_sign_done: the signature is there (or will never be): handshake again in this
 * turn.  Does not call back before it returns. */
void conn_handshake_again(struct conn *c);

/* Is this a DNS name of the certificate that we showed (RFC 9525)? */
bool tls_has_name(const struct tls_conn *t, struct slice name);

/* SHA-1 of a followed by b, for RFC 6455 section 4.2.2, where it keeps nothing secret. */
void tls_sha1(struct slice a, struct slice b, u8 out[20]);

/* ---- the client side (blocking), for the picket command * ---- */
struct tls_client;
/* Connects fd's TLS with verification of name (DNS or IP) against the CA file; E_TLS fills what. */
enum err tls_client_new(int fd, const char *ca_file, const char *name, struct tls_client **out,
			char *what, size_t cap) MUST;
/* Without any verification: for picketd's canary, which tells its own server no secret. */
enum err tls_client_new_canary(int fd, struct tls_client **out, char *what, size_t cap) MUST;
void tls_client_free(struct tls_client **c);
enum err tls_client_read(struct tls_client *c, void *buf, size_t cap, size_t *n) MUST;
enum err tls_client_write(struct tls_client *c, const void *buf, size_t len, size_t *n) MUST;
int tls_client_fd(const struct tls_client *c);

#endif
