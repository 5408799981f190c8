/* session: a client's side of MQTT over any number of connections.  What it has to remember it
 * remembers whatever happens to the connection; only "session present: no" makes it forget. */
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum {
	CONNACK = 2,
	PUBLISH,
	PUBACK,
	PUBREC,
	PUBREL,
	PUBCOMP,
	SUBACK = 9,
	UNSUBACK = 11,
	PINGRESP = 13,
	DISCONNECT = 14
};
enum {
	PID_SUB = 50000,
	PID_UNSUB = 51000,
	REFUSED = 0x80,
	WATCH_MS = 2000,
	WILL_BYTES = 40,
	NOBODY = UINT16_MAX
};

static u8 scratch[PAYLOAD_MAX];

static void note(const struct conn *c, enum event kind, u32 flags, u32 a, u32 b)
{
	history_add(kind, c->s->id, c->number, flags, a, b, 0, 0);
}

/* ---- connecting ---------------------------------------------------------------------- */
static void will_announce(struct conn *c, struct connect_args *a)
{
	struct session *s = c->s;
	u32 topic = world.will0 + s->id;

	s->will_seq = ++s->seq;
	s->will_qos = (u8)random_below(3);
	s->will_delay_s = (u32[]){0, 1, 3}[random_below(3)];
	payload_make(scratch, WILL_BYTES, s->id, s->will_seq, world.topic[topic].text);
	a->will_topic = world.topic[topic].text;
	a->will = scratch;
	a->will_n = WILL_BYTES;
	a->will_qos = s->will_qos;
	a->will_delay_s = s->will_delay_s;
	history_add(EV_WILL, s->id, c->number, s->will_qos, s->will_seq, topic,
		    s->will_delay_s * 1000, 0);
}

static const char *client_id(const struct session *s, char out[16])
{
	static const char digits[] = "0123456789";
	u32 n = s->id;

	memcpy(out, "h00000", 7);
	for (u32 i = 5; i > 0; i--, n /= 10)
		out[i] = digits[n % 10];
	return out;
}

void session_opened(struct conn *c)
{
	struct session *s = c->s;
	char id[16];
	struct connect_args a = {.client_id = client_id(s, id),
				 .user = world.user,
				 .password = world.password,
				 .version = s->version,
				 .expiry_s = s->expiry_s};
	u32 expiry = s->expiry_s;

	c->clean = s->clean_next || s->expiry_s == 0;
	a.clean = c->clean;
	if (s->version == 4)
		expiry = c->clean ? 0 : UINT32_MAX;
	if (s->version == 5 && s->role != ENDER && s->id % 3 == 0)
		a.receive_max = 8;
	history_add(EV_OPEN, s->id, c->number, c->clean, expiry, s->version, 0, 0);
	if (s->role == WILL)
		will_announce(c, &a);
	put_connect(&c->out, &a);
}

static void forget(struct session *s)
{
	s->nflight = 0;
	s->nheld = 0;
	for (u32 i = 0; i < s->nwant; i++)
		s->want[i].state = WANT_OFF;
}

/* What was asked for over the last connection and not answered is asked for again. */
static void doubt(struct session *s)
{
	for (u32 i = 0; i < s->nwant; i++) {
		if (s->want[i].state == WANT_ASKED)
			s->want[i].state = WANT_OFF;
		else if (s->want[i].state == WANT_LEAVING)
			s->want[i].state = WANT_ON;
	}
}

static void flight_send(struct conn *c, const struct flight *f, bool dup)
{
	struct session *s = c->s;
	struct publish_args a = {.topic = world.topic[f->topic].text,
				 .payload = scratch,
				 .n = f->bytes,
				 .pid = f->pid,
				 .expiry_s = f->expires ? 1 : 0,
				 .version = s->version,
				 .qos = f->qos,
				 .dup = dup,
				 .retain = f->retain};
	u32 flags = f->qos | (dup ? FLAG_DUP : 0u) | (f->retain ? FLAG_RETAIN : 0u);

	if (f->bytes != 0)
		payload_make(scratch, f->bytes, s->id, f->seq, a.topic);
	history_add(EV_PUB, s->id, c->number, flags, f->seq, f->topic, f->pid, f->bytes);
	put_publish(&c->out, &a);
}

static void resume(struct conn *c)
{
	struct session *s = c->s;

	for (u32 i = 0; i < s->nflight; i++) {
		if (s->flight[i].received)
			put_ack(&c->out, PUBREL << 4 | 2, s->flight[i].pid);
		else
			flight_send(c, &s->flight[i], true);
	}
}

void session_ping(struct conn *c)
{
	note(c, EV_PING, 0, 0, 0);
	put_ping(&c->out);
}

static void watch(struct conn *c)
{
	if (c->state == CONN_ASKED)
		c->s->opening--;
	if (c->s->cur == c)
		c->s->cur = NULL;
	c->state = CONN_WATCHED;
	c->deadline_ns = now_ns() + WATCH_MS * NS_PER_MS;
}

/* c is the session's connection from now on.  What it has of others is only watched: they may not
 * live. */
static void take_over(struct conn *c)
{
	struct session *s = c->s;
	u32 others = 0;

	for (struct conn *o = conn_first(), *next; o != NULL; o = next) {
		next = o->next;
		if (o->s != s || o == c || o->bye)
			continue;
		if (o->state == CONN_CONNECTING) {
			conn_close(o, CLOSED_UNREACHED);
			continue;
		}
		if (o->state != CONN_WATCHED)
			watch(o);
		if (o->acked) {
			session_ping(o);
			others++;
		}
	}
	s->opening--;
	s->cur = c;
	c->state = CONN_LIVE;
	c->deadline_ns = 0;
	if (others != 0)
		session_ping(c);
}

static bool on_connack(struct conn *c, const struct packet *p)
{
	struct session *s = c->s;
	/* Its session may have ended meanwhile, and the CONNECT that nobody answered made a new one
	 * for it: then it is present and nothing is in it. */
	bool anew = p->present && s->doubt && (s->role == SHORT || s->role == RESET);

	note(c, EV_CONNACK, p->present | (anew ? 2u : 0), p->code, 0);
	if (p->code != 0) {
		conn_close(c, CLOSED_RUDELY);
		return false;
	}
	c->acked = true;
	if (c->state == CONN_WATCHED) {
		session_ping(c);
		if (s->cur != NULL)
			session_ping(s->cur);
		return true;
	}
	if (p->receive_max != 0)
		c->receive_max = p->receive_max;
	take_over(c);
	s->clean_next = false;
	s->known = true;
	s->doubt = false;
	if (!p->present || anew)
		forget(s);
	doubt(s);
	resume(c);
	session_settle(s);
	act_later(s, now_ns());
	return true;
}

void session_gone(struct conn *c)
{
	struct session *s = c->s;

	if (c->state == CONN_CONNECTING || c->state == CONN_ASKED)
		s->opening--;
	if (c->state == CONN_ASKED)
		s->doubt = true;
	if (s->cur == c)
		s->cur = NULL;
	if (s->cur == NULL && s->opening == 0 && c->state != CONN_WATCHED)
		s->wake_ns = now_ns() + random_ns(10, world.drain ? 50 : 300);
}

void session_bye(struct conn *c, u8 reason)
{
	note(c, EV_BYE, 0, reason, 0);
	put_bye(&c->out, c->s->version, reason);
	watch(c);
	c->bye = true;
	c->s->wake_ns = now_ns();
}

/* ---- subscribing --------------------------------------------------------------------- */
void session_settle(struct session *s)
{
	struct conn *c = s->cur;

	for (u32 i = 0; c != NULL && i < s->nwant; i++) {
		struct want *w = &s->want[i];
		const char *filter = world.filter[w->filter].text;
		if (w->wanted && w->state == WANT_OFF) {
			w->state = WANT_ASKED;
			note(c, EV_SUB, w->qos, w->filter, 0);
			put_subscribe(&c->out, s->version, (u16)(PID_SUB + i), filter, w->qos);
		} else if (!w->wanted && w->state == WANT_ON) {
			w->state = WANT_LEAVING;
			note(c, EV_UNSUB, 0, w->filter, 0);
			put_unsubscribe(&c->out, s->version, (u16)(PID_UNSUB + i), filter);
		}
	}
}

static void on_suback(struct conn *c, const struct packet *p, u32 base, enum want_state from)
{
	struct session *s = c->s;
	u32 i = p->pid - base;
	bool refused = p->code >= REFUSED;

	if (p->pid < base || i >= s->nwant || s->want[i].state != from) {
		note(c, EV_ODD, 0, p->type, p->pid);
		return;
	}
	note(c, from == WANT_ASKED ? EV_SUBACK : EV_UNSUBACK, 0, s->want[i].filter, p->code);
	s->want[i].state = (from == WANT_ASKED) != refused ? WANT_ON : WANT_OFF;
}

/* ---- publishing ---------------------------------------------------------------------- */
static struct flight *flight_find(struct session *s, u16 pid)
{
	for (u32 i = 0; i < s->nflight; i++) {
		if (s->flight[i].pid == pid)
			return &s->flight[i];
	}
	return NULL;
}

static void flight_end(struct session *s, struct flight *f)
{
	size_t at = (size_t)(f - s->flight);

	memmove(f, f + 1, (s->nflight - at - 1) * sizeof(*f));
	s->nflight--;
}

/* Identifiers are used again as soon as they may be: brokers that forget theirs are found out. */
bool session_publish(struct session *s, u32 topic, u8 qos, bool retain, u32 bytes)
{
	struct conn *c = s->cur;
	struct flight f = {.topic = (u16)topic, .qos = qos, .retain = retain, .bytes = bytes};

	if (c == NULL || s->nflight >= s->window || s->nflight >= c->receive_max)
		return false;
	f.seq = ++s->seq;
	f.expires = topic < world.retained0 && random_below(100) < world.expiring;
	if (qos != 0) {
		f.pid = 1;
		while (flight_find(s, f.pid) != NULL)
			f.pid++;
		s->flight[s->nflight++] = f;
	}
	flight_send(c, &f, false);
	world.published++;
	return true;
}

static void on_ack(struct conn *c, const struct packet *p)
{
	struct session *s = c->s;
	struct flight *f = flight_find(s, p->pid);
	u8 qos = p->type == PUBACK ? 1 : 2;

	if (f == NULL || f->qos != qos || f->received != (p->type == PUBCOMP)) {
		note(c, EV_ODD, 0, p->type, p->pid);
		return;
	}
	note(c, (enum event)(EV_PUBACK + (p->type == PUBREC) + 2 * (p->type == PUBCOMP)), 0, f->seq,
	     p->code);
	if (p->type == PUBREC && p->code < REFUSED) {
		f->received = true;
		put_ack(&c->out, PUBREL << 4 | 2, p->pid);
		return;
	}
	flight_end(s, f);
}

/* ---- receiving ----------------------------------------------------------------------- */
static struct held *held_find(struct session *s, u16 pid)
{
	for (u32 i = 0; i < s->nheld; i++) {
		if (s->held[i].pid == pid)
			return &s->held[i];
	}
	return NULL;
}

static u32 held_note(struct session *s, u16 pid, u32 publisher, u32 seq)
{
	struct held *h = held_find(s, pid);

	if (h != NULL && h->publisher == publisher && h->seq == seq)
		return FLAG_AGAIN;
	if (h != NULL)
		return FLAG_AGAIN | FLAG_CLASH;
	if (s->nheld == s->held_cap) {
		s->held_cap = s->held_cap * 2 + 16;
		s->held = realloc(s->held, s->held_cap * sizeof(*s->held));
		if (s->held == NULL)
			abort();
	}
	s->held[s->nheld++] = (struct held){publisher, seq, pid};
	return 0;
}

static void on_publish(struct conn *c, const struct packet *p)
{
	struct session *s = c->s;
	u32 publisher = NOBODY, seq = 0, flags = (p->flags >> 1 & 3u);
	int topic = topic_find(p->topic, p->topic_n);

	flags |= ((p->flags & 8) != 0 ? FLAG_DUP : 0u) | ((p->flags & 1) != 0 ? FLAG_RETAIN : 0u);
	if (p->n == 0)
		flags |= FLAG_EMPTY;
	if (topic < 0 || (p->n != 0 && !payload_check(p, &publisher, &seq)) || (flags & 3) == 3)
		flags |= FLAG_BAD;
	if ((flags & 3) == 2)
		flags |= held_note(s, p->pid, publisher, seq);
	history_add(EV_RECV, s->id, c->number, flags, seq, (u32)topic, publisher << 16 | p->pid,
		    (u32)p->n);
	if ((flags & 3) != 0)
		put_ack(&c->out, (flags & 3) == 1 ? PUBACK << 4 : PUBREC << 4, p->pid);
	if (world.drain && (u32)topic == world.end0 + s->id)
		s->ended = true;
	world.last_recv_ns = now_ns();
	world.received++;
}

static void on_release(struct conn *c, const struct packet *p)
{
	struct session *s = c->s;
	struct held *h = held_find(s, p->pid);

	note(c, EV_RELEASED, 0, p->pid, 0);
	if (h != NULL)
		*h = s->held[--s->nheld];
	put_ack(&c->out, PUBCOMP << 4, p->pid);
}

/* False: c has gone. */
bool session_packet(struct conn *c, const struct packet *p)
{
	if ((p->type == CONNACK) == c->acked) {
		note(c, EV_ODD, 0, p->type, p->pid);
		conn_close(c, CLOSED_RUDELY);
		return false;
	}
	if (p->type == CONNACK)
		return on_connack(c, p);
	if (p->type == PINGRESP) {
		note(c, EV_PONG, 0, 0, 0);
	} else if (p->type == DISCONNECT) {
		note(c, EV_KICKED, 0, p->code, 0);
	} else if (c->state == CONN_WATCHED) {
		return true; /* a client that has moved on does not look at it */
	} else if (p->type == PUBLISH) {
		on_publish(c, p);
	} else if (p->type == PUBREL) {
		on_release(c, p);
	} else if (p->type == SUBACK) {
		on_suback(c, p, PID_SUB, WANT_ASKED);
	} else if (p->type == UNSUBACK) {
		on_suback(c, p, PID_UNSUB, WANT_LEAVING);
	} else {
		on_ack(c, p);
	}
	return true;
}
