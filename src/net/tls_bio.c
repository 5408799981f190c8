/* tls_bio: the socket under a TLS connection.
 *
 * Counts what comes in, keeps the first four bytes for the one who asks what a client spoke instead
 * of TLS, and closes the door on a peer that sends too much before its handshake is over or floods
 * afterwards. Never raises SIGPIPE.  Owns nothing: the descriptor is the connection's. */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#include <openssl/bio.h>

#include "net/tls_i.h"

static bool would_wait(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static bool over_cap(const struct tls_conn *t)
{
	OBJ_CHECK(t, TLS_CONN_MAGIC);
	return t->flooded || (!t->done && t->bytes_in >= LIM_TLS_HELLO);
}

static void count_in(struct tls_conn *t, const char *buf, size_t n)
{
	ASSERT(t->first_n <= sizeof(t->first));
	t->bytes_in += n;
	while (t->first_n < sizeof(t->first) && n-- > 0)
		t->first[t->first_n++] = (u8)*buf++;
}

static int bio_read(BIO *b, char *buf, int cap)
{
	struct tls_conn *t = BIO_get_data(b);
	ssize_t n;

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	BIO_clear_retry_flags(b);
	if (cap <= 0)
		return 0;
	if (over_cap(t)) {
		t->flooded = true;
		errno = EPROTO;
		return -1;
	}
	/* OpenSSL always reads until there is nothing; after a short read that is known without a
	 * call.  The loop watches level-triggered, so what comes meanwhile is announced. */
	if (t->drained) {
		t->drained = false;
		BIO_set_retry_read(b);
		return -1;
	}
	n = recv(t->fd, buf, (size_t)cap, 0);
	t->drained = n > 0 && n < cap;
	if (n > 0)
		count_in(t, buf, (size_t)n);
	else if (n < 0 && would_wait())
		BIO_set_retry_read(b);
	return (int)n;
}

static int bio_write(BIO *b, const char *buf, int len)
{
	struct tls_conn *t = BIO_get_data(b);
	ssize_t n;

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	BIO_clear_retry_flags(b);
	if (len <= 0)
		return 0;
	if (t->flooded) {
		errno = EPROTO;
		return -1;
	}
	n = send(t->fd, buf, (size_t)len, MSG_NOSIGNAL);
	if (n < 0 && would_wait())
		BIO_set_retry_write(b);
	return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void method_make(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "picket socket");
	ASSERT(method != NULL);
	ASSERT(BIO_meth_set_read(method, bio_read) == 1);
	ASSERT(BIO_meth_set_write(method, bio_write) == 1);
	ASSERT(BIO_meth_set_ctrl(method, bio_ctrl) == 1);
}

BIO *tls_bio_new(struct tls_conn *t)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *b;

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	ASSERT(t->fd >= 0);
	ASSERT(pthread_once(&once, method_make) == 0);
	b = BIO_new(method);
	ASSERT(b != NULL);
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	return b;
}
