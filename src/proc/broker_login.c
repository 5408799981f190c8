/* broker_login: a login on its way from a shard to auth and back.  Carries it and decides nothing:
 * an answer that does not come, or does not parse, is no answer. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "proc/broker_i.h"

struct blob *blob_new(size_t n)
{
	struct blob *b = xmalloc(sizeof(*b) + n);

	b->n = n;
	return b;
}

void blob_free(struct blob **bp)
{
	struct blob *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	mem_wipe(b->b, b->n);
	free(b);
}

static bool lengths_of(const struct login_request *r, struct m_login *m)
{
	return narrow_u16(r->client_id.n, &m->client_id_len) &&
	       narrow_u16(r->username.n, &m->username_len) &&
	       narrow_u16(r->password.n, &m->password_len) &&
	       narrow_u16(r->cert_cn.n, &m->cert_cn_len) &&
	       narrow_u16(r->cert_san.n, &m->cert_san_len);
}

/* Too long to be anybody: the empty request that main answers with a refusal. */
static void login_too_long(struct shard *s, u64 id)
{
	shard_report(s, MI_LOGIN, id, blob_new(0));
}

void shard_login(void *arg, const struct login_request *r)
{
	struct shard *s = arg;
	size_t tail = r->client_id.n + r->username.n + r->password.n + r->cert_cn.n + r->cert_san.n;
	struct m_login m = {.now_ms = clock_wall_ms(), .listener = r->listener};
	struct blob *b;
	struct wr w;

	if (tail > LIM_LOGIN_TAIL || !lengths_of(r, &m)) {
		login_too_long(s, r->id);
		return;
	}
	m.has_username = r->has_username;
	m.has_password = r->has_password;
	m.version = r->version;
	m.tls = r->tls;
	memcpy(m.addr, r->addr, sizeof(m.addr));
	b = blob_new(sizeof(m) + tail);
	w = wr_of(b->b, b->n);
	wr_bytes(&w, &m, sizeof(m));
	wr_slice(&w, r->client_id);
	wr_slice(&w, r->username);
	wr_slice(&w, r->password);
	wr_slice(&w, r->cert_cn);
	wr_slice(&w, r->cert_san);
	ASSERT(w.err == E_OK);
	shard_report(s, MI_LOGIN, r->id, b);
}

static void login_refuse(struct broker *b, u64 id, enum err why)
{
	u64 shard = id >> SHARD_SHIFT;
	struct login_done *d = xcalloc(1, sizeof(*d));

	ASSERT(shard < b->nshards);
	d->a.verdict = why;
	shard_tell(&b->shard[shard], SI_LOGIN, id, d);
}

void login_send(struct broker *b, u64 id, struct blob **login)
{
	struct blob *l = *login;
	enum err e = E_CREDENTIAL;
	struct m_login m;

	if (l->n >= sizeof(m)) {
		memcpy(&m, l->b, sizeof(m));
		m.conf_generation = b->conf_generation;
		e = child_send(b->child, ROLE_AUTH, IPC_LOGIN, id, &m,
			       slice_of(l->b + sizeof(m), l->n - sizeof(m)), -1);
	}
	blob_free(login);
	/* auth is away: the client waits, and is asked about again when it is back. */
	if (e != E_OK && e != E_STATE && e != E_EOF)
		login_refuse(b, id, e == E_BUSY ? E_BUSY : E_CREDENTIAL);
}

/* The next string of the tail, kept in d. */
static struct slice keep(struct login_done *d, size_t *used, struct slice s)
{
	u8 *at = d->bytes + *used;

	ASSERT(s.n <= sizeof(d->bytes) - *used); /* the tail is no longer than bytes */
	if (s.n != 0)
		memcpy(at, s.p, s.n);
	*used += s.n;
	return slice_of(at, s.n);
}

static bool roles_read(struct rd *r, struct login_done *d)
{
	u16 n = rd_u16(r);

	if (n > ARRAY_LEN(d->roles))
		return false;
	for (u16 i = 0; i < n; i++)
		d->roles[i] = rd_u32(r);
	d->a.roles = d->roles;
	d->a.nroles = n;
	return r->err == E_OK;
}

static bool allow_read(const struct ipc_msg *msg, struct login_done *d)
{
	struct rd r = rd_of(msg->tail);
	size_t used = 0;

	d->a.identity = keep(d, &used, ipc_get_str(&r));
	d->a.group = keep(d, &used, ipc_get_str(&r));
	d->a.client_id_pattern = keep(d, &used, ipc_get_str(&r));
	d->a.username = keep(d, &used, ipc_get_str(&r));
	d->a.cert_cn = keep(d, &used, ipc_get_str(&r));
	d->a.cert_san = keep(d, &used, ipc_get_str(&r));
	return roles_read(&r, d) && rd_left(&r) == 0;
}

enum err login_verdict(struct broker *b, const struct ipc_msg *msg)
{
	const struct m_verdict *m = msg->body;
	u64 shard = msg->id >> SHARD_SHIFT;
	struct login_done *d;

	if (shard >= b->nshards || msg->tail.n > sizeof(d->bytes))
		return E_IPC;
	d = xcalloc(1, sizeof(*d));
	d->a.identity_id = m->identity_id;
	d->a.generation = m->generation;
	d->a.expires_wall_ms = m->expires_ms;
	d->a.kind = m->kind;
	d->a.credential = m->credential;
	/* What is not plainly allowed is refused; "allowed" for no reason at all is refused too. */
	if (m->verdict != ALLOW)
		d->a.verdict =
			m->reason == E_OK || m->reason >= E_N ? E_CREDENTIAL : (enum err)m->reason;
	else if (!allow_read(msg, d)) {
		free(d);
		return E_IPC;
	}
	shard_tell(&b->shard[shard], SI_LOGIN, msg->id, d);
	return E_OK;
}
