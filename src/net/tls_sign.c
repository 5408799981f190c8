/* tls_sign: handshakes that wait for a signature.
 *
 * A handshake runs in an OpenSSL ASYNC job.  When it comes to its signature the job asks for it,
 * pauses, and the shard goes on with others; tls_sign_done finds the job by the id and wakes its
 * connection, whose next tls_handshake resumes it.  Owns the table of what is pending, one a
 * loop: a handshake never changes its loop. */
#include <stdlib.h>

#include <openssl/async.h>

#include "base/mem.h"
#include "net/tls_i.h"

#define TLS_TABLE_MAGIC 0x546c7354u
enum { PENDING_BUCKETS = 256 };
_Static_assert((PENDING_BUCKETS & (PENDING_BUCKETS - 1)) == 0, "the id's low bits choose");

/* Of one loop. */
struct tls_table {
	u32 magic;
	struct tls_sign *bucket[PENDING_BUCKETS];
};

/* OpenSSL hands no context of ours to a signature; the handshake's thread does. */
static _Thread_local struct tls_conn *running;
/* Ids are unique in the process: whoever carries the request may key by the id alone. */
static _Atomic u64 last_id;

static struct tls_table *table_of(struct loop *l)
{
	void **slot = loop_tls_slot(l);
	struct tls_table *t = *slot;

	if (t == NULL) {
		*slot = t = xcalloc(1, sizeof(*t));
		t->magic = TLS_TABLE_MAGIC;
	}
	OBJ_CHECK(t, TLS_TABLE_MAGIC);
	return t;
}

void tls_loop_free(void **slot)
{
	struct tls_table *t = *slot;

	*slot = NULL;
	if (t == NULL)
		return;
	OBJ_CHECK(t, TLS_TABLE_MAGIC);
	for (u32 i = 0; i < PENDING_BUCKETS; i++)
		ASSERT(t->bucket[i] == NULL); /* connections go before their loop */
	t->magic = 0;
	free(t);
}

static struct tls_sign **bucket(struct loop *l, u64 id)
{
	return &table_of(l)->bucket[id & (PENDING_BUCKETS - 1)];
}

static void pending_add(struct tls_sign *s)
{
	struct tls_sign **at = bucket(s->conn->loop, s->id);

	ASSERT(s->id != 0);
	ASSERT(s->state == SIGN_ASKED);
	s->next = *at;
	*at = s;
}

static void pending_remove(struct tls_sign *s)
{
	struct tls_sign **at = bucket(s->conn->loop, s->id);

	while (*at != s) {
		ASSERT(*at != NULL);
		at = &(*at)->next;
	}
	*at = s->next;
}

void tls_sign_enter(struct tls_conn *t)
{
	ASSERT(t == NULL || running == NULL); /* no handshake runs inside another */
	running = t;
}

static void sign_ask(struct tls_conn *t, struct tls_sign *s, u32 alg, struct slice tbs)
{
	u32 shape = SSL_version(t->ssl) >= TLS1_3_VERSION ? TLS_SHAPE_13 : TLS_SHAPE_12;

	ASSERT(!t->done);
	ASSERT(tbs.n > 0);
	t->sign = s;
	pending_add(s);
	t->tls->sign(t->tls->sign_arg, t->loop, s->id, t->slot, alg, shape, tbs);
	/* Outside a job there is nothing to pause.  Whoever frees the connection meanwhile refuses
	 * first (tls_conn_free), so this ends. */
	while (s->state == SIGN_ASKED && ASYNC_get_current_job() != NULL && ASYNC_pause_job() == 1)
		;
	pending_remove(s);
	t->sign = NULL;
}

bool tls_sign_ask(u32 alg, struct slice tbs, u8 *sig, size_t cap, size_t *n)
{
	struct tls_conn *t = running;
	struct tls_sign s = {.id = atomic_fetch_add(&last_id, 1) + 1, .conn = t};

	OBJ_CHECK(t, TLS_CONN_MAGIC);
	ASSERT(t->sign == NULL);
	sign_ask(t, &s, alg, tbs);
	if (s.state != SIGN_ANSWERED || s.n > cap) {
		t->unsigned_ = true;
		return false;
	}
	memcpy(sig, s.signature, s.n);
	*n = s.n;
	return true;
}

void tls_sign_done(struct loop *l, u64 id, struct slice signature)
{
	struct tls_sign *s = *bucket(l, id);

	while (s != NULL && s->id != id)
		s = s->next;
	if (s == NULL || s->state != SIGN_ASKED)
		return;
	OBJ_CHECK(s->conn, TLS_CONN_MAGIC);
	s->state = SIGN_REFUSED;
	if (signature.n > 0 && signature.n <= sizeof(s->signature)) {
		memcpy(s->signature, signature.p, signature.n);
		s->n = signature.n;
		s->state = SIGN_ANSWERED;
	}
	conn_handshake_again(s->conn->conn);
}
