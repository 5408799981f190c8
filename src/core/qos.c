/* qos: the acknowledgements of QoS 1 and 2, both ways; and the two small tables that they need. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { FLIGHTS_MIN = 3, PIDS_MIN = 8, REASON_FAILED = 0x80, REASON_UNKNOWN = 0x92 };

/* ---- messages towards the client ----------------------------------------------------- */

struct flight *flights_at(const struct flights *f, u32 i)
{
	ASSERT(i < f->n);
	return &f->v[f->start + i];
}

struct flight *flights_add(struct flights *f)
{
	ASSERT(f->start + f->n <= f->cap);
	ASSERT(f->sent <= f->n);
	/* Moving at least halves what is there to be moved next: a full window costs no more. */
	if (f->start + f->n == f->cap && f->start > f->n) {
		memmove(f->v, f->v + f->start, f->n * sizeof(*f->v));
		f->start = 0;
	}
	if (f->start + f->n == f->cap) {
		f->cap = f->cap != 0 ? f->cap * 2 : FLIGHTS_MIN;
		f->v = xrealloc(f->v, f->cap * sizeof(*f->v));
	}
	f->v[f->start + f->n] = (struct flight){0};
	return &f->v[f->start + f->n++];
}

/* Acknowledgements come in order as a rule, so it is the first nearly always. */
struct flight *flights_find(struct flights *f, u16 pid)
{
	ASSERT(f->sent <= f->n);
	for (u32 i = 0; i < f->n; i++) {
		struct flight *x = flights_at(f, i);
		if (x->pid == pid)
			return x;
	}
	return NULL;
}

static void flight_empty(struct flight *x)
{
	ASSERT(x->m != NULL || x->qos == 2);
	if (x->m != NULL)
		msg_unref(&x->m);
	free(x->ids);
	x->ids = NULL;
}

void flights_remove(struct flights *f, struct flight *x)
{
	u32 i = (u32)(x - flights_at(f, 0));

	ASSERT(i < f->n);
	flight_empty(x);
	if (i < f->sent)
		f->sent--;
	if (i == 0)
		f->start++;
	else
		memmove(x, x + 1, (f->n - i - 1) * sizeof(*x));
	if (--f->n == 0)
		f->start = 0;
	ASSERT(f->sent <= f->n);
	ASSERT(f->start + f->n <= f->cap);
}

void flights_clear(struct flights *f)
{
	for (u32 i = 0; i < f->n; i++)
		flight_empty(flights_at(f, i));
	free(f->v);
	*f = (struct flights){0};
}

/* Identifiers are given out in turn, so none is in use until the turn comes to the oldest that
 * still is; from there on any may be, until all have been given back. */
static bool pid_in_use(struct session *s, u16 pid)
{
	if (s->out.n == 0)
		s->lapped = false;
	else if (pid == flights_at(&s->out, 0)->pid)
		s->lapped = true;
	return s->lapped && flights_find(&s->out, pid) != NULL;
}

/* SPEC MQTT-2.2.1-4: not zero and not in use; there are more identifiers than a window has room. */
u16 session_pid(struct session *s)
{
	ASSERT(s->out.n < UINT16_MAX);
	do {
		s->next_pid = s->next_pid == UINT16_MAX ? 1 : (u16)(s->next_pid + 1);
	} while (pid_in_use(s, s->next_pid));
	return s->next_pid;
}

/* ---- QoS 2 from the client ----------------------------------------------------------- */

static u32 pids_find(const struct pids *p, u16 pid)
{
	u32 i = 0;

	ASSERT(p->n <= UINT16_MAX);
	while (i < p->n && p->v[i] != pid)
		i++;
	return i;
}

bool pids_has(const struct pids *p, u16 pid)
{
	return pids_find(p, pid) < p->n;
}

bool pids_add(struct pids *p, u16 pid)
{
	ASSERT(pid != 0);
	ASSERT(p->n <= p->cap);
	if (pids_has(p, pid))
		return false;
	if (p->n == p->cap) {
		p->cap = p->cap != 0 ? p->cap * 2 : PIDS_MIN;
		p->v = xrealloc(p->v, p->cap * sizeof(*p->v));
	}
	p->v[p->n++] = pid;
	return true;
}

bool pids_del(struct pids *p, u16 pid)
{
	u32 i = pids_find(p, pid);

	if (i == p->n)
		return false;
	ASSERT(p->n > 0);
	memmove(p->v + i, p->v + i + 1, (p->n - i - 1) * sizeof(*p->v));
	if (--p->n == 0 && p->cap > PIDS_MIN) { /* idle costs next to nothing */
		free(p->v);
		*p = (struct pids){0};
	}
	return true;
}

/* ---- packets ------------------------------------------------------------------------- */

void ack_send(struct core *c, struct client *cl, enum pkt_type type, u16 pid, u8 reason)
{
	struct wr w = client_wr(c, cl, 8);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	pkt_ack_encode(&w, (enum mqtt_version)cl->version, type, pid, reason);
	client_wr_done(c, cl, &w);
}

static void flight_done(struct core *c, struct session *s, struct flight *x)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->durable != NULL)
		backlog_gone(c, s, x);
	flights_remove(&s->out, x);
	if (s->out.n == 0 && s->out.cap > FLIGHTS_MIN) /* idle costs next to nothing */
		flights_clear(&s->out);
	session_pump(c, s);
}

static enum err on_puback(struct core *c, struct session *s, const struct pkt_ack *p)
{
	struct flight *x = flights_find(&s->out, p->packet_id);

	OBJ_CHECK(s, SESSION_MAGIC);
	if (x == NULL) { /* late, after a resend; harmless */
		quirk(s, QUIRK_ack_unknown);
		return E_OK;
	}
	if (x->qos != 1)
		return E_PROTO;
	flight_done(c, s, x);
	return E_OK;
}

/* SPEC MQTT-4.3.3-4: below 0x80 the message is released, else its delivery is over. */
static enum err on_pubrec(struct core *c, struct session *s, const struct pkt_ack *p)
{
	struct flight *x = flights_find(&s->out, p->packet_id);
	u64 ticket = 0;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (x == NULL) {
		quirk(s, QUIRK_ack_unknown);
		if (p->reason < REASON_FAILED)
			answer_ack(c, s->client, 0, PKT_PUBREL, p->packet_id, REASON_UNKNOWN);
		return E_OK;
	}
	if (x->qos != 2)
		return E_PROTO;
	if (p->reason >= REASON_FAILED) {
		flight_done(c, s, x);
		return E_OK;
	}
	/* A crash may not send it again to a client that has forgotten the identifier. */
	if (s->durable != NULL && x->m != NULL)
		ticket = backlog_released(c, s, x);
	flight_empty(x);
	answer_ack(c, s->client, ticket, PKT_PUBREL, p->packet_id, 0);
	return E_OK;
}

static enum err on_pubcomp(struct core *c, struct session *s, const struct pkt_ack *p)
{
	struct flight *x = flights_find(&s->out, p->packet_id);

	OBJ_CHECK(s, SESSION_MAGIC);
	if (x == NULL) {
		quirk(s, QUIRK_ack_unknown);
		return E_OK;
	}
	if (x->qos != 2 || x->m != NULL)
		return E_PROTO;
	flight_done(c, s, x);
	return E_OK;
}

static enum err on_pubrel(struct core *c, struct session *s, const struct pkt_ack *p)
{
	bool known = pids_del(&s->in, p->packet_id);
	u64 ticket = 0;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (!known)
		quirk(s, QUIRK_release_unknown);
	if (known && s->durable != NULL) {
		record_pid(c, s, p->packet_id, false);
		ticket = ops_now(c);
	}
	answer_ack(c, s->client, ticket, PKT_PUBCOMP, p->packet_id, known ? 0 : REASON_UNKNOWN);
	return E_OK;
}

void on_ack(struct core *c, struct client *cl, const struct frame *f, struct slice body)
{
	struct session *s = cl->session;
	struct pkt_ack p;
	enum err e = pkt_ack_decode(f, (enum mqtt_version)cl->version, body, &p);

	OBJ_CHECK(cl, CLIENT_MAGIC);
	ASSERT(s != NULL);
	if (e == E_OK) {
		if (f->type == PKT_PUBACK)
			e = on_puback(c, s, &p);
		else if (f->type == PKT_PUBREC)
			e = on_pubrec(c, s, &p);
		else if (f->type == PKT_PUBREL)
			e = on_pubrel(c, s, &p);
		else
			e = on_pubcomp(c, s, &p);
	}
	if (e != E_OK)
		client_end(c, cl, e);
}
