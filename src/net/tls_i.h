/* tls_i: the insides of TLS, shared by the tls files of this folder and by nobody else. */
#ifndef PICKET_NET_TLS_I_H
#define PICKET_NET_TLS_I_H

#include <stdatomic.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "net/tls.h"

#define NET_TLS_MAGIC  0x4e65744cu
#define TLS_CONN_MAGIC 0x546c7343u

enum {
	LIM_TLS_TEXT = 160,	   /* an explanation for people */
	LIM_TLS_SIGNATURE = 1024,  /* RSA of 8,192 bits; the tail of SIGNED */
	LIM_TLS_HELLO = 32 * 1024, /* bytes a peer may send before the handshake ends */
	LIM_TLS_CERTS = 32 * 1024, /* a client's certificate chain */
	LIM_TLS_EXTRA = 128, /* steps for key updates and the like (each takes a few), and one more
				per MiB */
	LIM_TLS_NAME = 253,  /* bytes of a host name */
	TLS_TICKET_LIFE_S = 8 * 3600,
};

/* One certificate, and a context for it that is otherwise like the others. */
struct tls_served {
	SSL_CTX *ctx;
	u32 slot; /* which key signs */
};

struct net_tls {
	u32 magic;
	_Atomic u32 refs;
	u32 protocols;
	u32 nserved; /* 0: the default one */
	struct tls_served *served;
	tls_sign_fn *sign;
	void *sign_arg;
};

/* One signature that is asked for.  Lives on the stack of the handshake's job. */
struct tls_sign {
	u64 id;
	struct tls_sign *next; /* of the same bucket of pending ones */
	struct tls_conn *conn;
	enum { SIGN_ASKED, SIGN_ANSWERED, SIGN_REFUSED } state;
	size_t n;
	u8 signature[LIM_TLS_SIGNATURE];
};

struct tls_conn {
	u32 magic;
	int fd;
	SSL *ssl;
	struct net_tls *tls;
	struct loop *loop;
	struct conn *conn;
	struct tls_sign *sign; /* NULL: no signature is awaited */
	char *error;	       /* LIM_TLS_TEXT bytes; NULL until it failed */
	u64 bytes_in;
	u64 epoch;   /* of identities, when it began */
	u32 slot;    /* of the certificate that it gets */
	u32 extra;   /* messages after the handshake that are not data */
	u8 first[4]; /* the first bytes that came */
	u8 first_n;
	bool drained;	/* the last read took all there was: epoll is asked before the next */
	bool done;	/* the handshake is over */
	bool failed;	/* nothing more may be asked of ssl */
	bool unsigned_; /* the signature did not come */
	bool flooded;	/* a cap was passed: neither read nor write any more */
};

/* tls_provider.c: the library context that knows keys which are elsewhere, made once a process. */
OSSL_LIB_CTX *tls_library(void);
/* A private key without its secret, as OpenSSL wants one beside a certificate; NULL: not EC or RSA.
 */
EVP_PKEY *tls_remote_key(EVP_PKEY *public_key);

/* tls_sign.c */
/* The connection whose handshake runs on this thread now; NULL: none. */
void tls_sign_enter(struct tls_conn *t);
/* Called inside the handshake's job: asks, pauses the job, and fills the signature. */
bool tls_sign_ask(u32 alg, struct slice tbs, u8 *sig, size_t cap, size_t *n);

/* tls_sni.c */
/* The host name of a server_name extension; empty: none that could be one. */
struct slice tls_sni_name(struct slice extension);
/* SSL_CTX_set_client_hello_cb(3); arg is the struct net_tls. */
int tls_sni_choose(SSL *ssl, int *alert, void *arg);

/* tls_ticket.c: the keys of net_tls_ticket_keys for this context. */
void tls_ticket_use(SSL_CTX *ctx);
/* What net_tls_identity_epoch has set. */
u64 tls_ticket_epoch(void);

/* tls_bio.c: a connection's socket, counted and capped. */
BIO *tls_bio_new(struct tls_conn *t);

/* tls_alpn.c: what ALPN may select, as RFC 7301 writes lists. */
struct slice tls_alpn_offer(u32 protocols);

/* tls_text.c */
struct tls_fact {
	unsigned long error; /* of OpenSSL; 0: none */
	int io;		     /* errno; 0: the peer closed */
	const u8 *first;     /* first bytes that came, for a peer that speaks no TLS */
	size_t first_n;
};
/* Fill out with why a handshake or a connection failed, and what to do about it. */
void tls_explain(const struct tls_fact *f, char *out, size_t cap);

#endif
