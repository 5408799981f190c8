/* tls_pair: one of our TLS servers and one of OpenSSL's clients at the two ends of a socket pair,
 * with a signer that may sit in another thread; for the tests of TLS. */
#ifndef TEST_NET_TLS_PAIR_H
#define TEST_NET_TLS_PAIR_H

#include <pthread.h>

#include <openssl/ssl.h>

#include "keys/sign.h"
#include "net/tls.h"

/* What the loop and its connections are to TLS. */
struct loop {
	void *slot;
};
struct conn {
	bool again;
};
extern struct loop loop;

enum { QUEUE = 64 };
struct request {
	u64 id;
	u32 slot, alg, shape;
	size_t n;
	u8 bytes[1024];
	size_t sig_n;
	u8 sig[SIGNATURE_MAX];
};
/* At once; in the thread; never; with nothing. */
enum how { SIGN_DIRECT, SIGN_THREAD, SIGN_HOLD, SIGN_EMPTY };
struct signer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop;
	enum how how;
	EVP_PKEY *key;	   /* of slot 7 */
	EVP_PKEY *more[2]; /* of slots 8 and 9 */
	u32 last_slot;
	u32 asked, queued, answered; /* queue: [0, answered) done, [answered, queued) waiting */
	u32 batch;		     /* answer only when so many wait, last first */
	enum err last;
	struct request q[QUEUE];
};
extern struct signer signer;

void on_sign(void *arg, struct loop *l, u64 id, u32 slot, u32 alg, u32 shape, struct slice bytes);
/* batch: the thread answers only when so many wait. */
void signer_mode(enum how how, u32 batch);
/* Hand over what the thread has signed, last first. */
void signer_deliver(void);

/* A CA, and certificates for broker.test and 127.0.0.1 with three kinds of keys; another CA of the
 * same name. */
extern EVP_PKEY *ca_key, *server_key, *rsa_key, *p384_key;
extern X509 *ca, *server_cert, *rsa_cert, *p384_cert, *other_ca;
/* A certificate of the CA for up to two names, with a key of its own; the caller frees both. */
X509 *make_cert(EVP_PKEY **key, const char *name, const char *other);
int suite_setup(void **state);
int suite_teardown(void **state);
struct net_tls *make_tls_for(X509 *cert, u32 listener, u32 min);
struct net_tls *make_tls(X509 *cert);

struct pair {
	int fd[2];
	struct conn conn;
	struct tls_conn *server;
	SSL_CTX *ctx;
	SSL *client;
	bool server_done, client_done, server_failed, client_failed;
};

SSL_CTX *client_ctx(X509 *trusted);
void pair_fds(struct pair *p);
/* Takes ctx. */
void pair_open(struct pair *p, struct net_tls *t, SSL_CTX *ctx, const char *name);
void pair_close(struct pair *p);
enum tls_io pair_server_step(struct pair *p);
void pair_client_step(struct pair *p);
/* Until both are through or one has failed. */
void pair_run(struct pair *p);
void pair_echo(struct pair *p);

#endif
