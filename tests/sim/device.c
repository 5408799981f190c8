/* device: see device.h. */
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "crash.h"

static u64 rnd(const struct device *d, u64 n)
{
	return world_random(d->sim->w, n);
}

static void say(struct device *d, const struct wr *w)
{
	ASSERT(w->err == E_OK);
	ASSERT(d->tx_n + w->n <= sizeof(d->tx));
	memcpy(d->tx + d->tx_n, w->p, w->n);
	d->tx_n += w->n;
}

static bool has_room(const struct device *d)
{
	return d->tx_n + 512 < sizeof(d->tx);
}

static void say_ack(struct device *d, enum pkt_type type, u16 pid)
{
	u8 b[16];
	struct wr w = wr_of(b, sizeof(b));

	pkt_ack_encode(&w, (enum mqtt_version)d->version, type, pid, 0);
	say(d, &w);
}

/* ---- what it says -------------------------------------------------------------------- */

static u32 record_new(struct device *d, bool will, u8 qos, bool retain)
{
	struct sim *s = d->sim;
	struct record *r = &s->rec[s->nrec - s->base];

	ASSERT(s->nrec - s->base < INTERVAL);
	*r = (struct record){.dev = d->n,
			     .version = s->o.version,
			     .step = s->step,
			     .qos = qos,
			     .will = will,
			     .retained = retain};
	random_topic(s->w, r->topic);
	return s->nrec++;
}

static bool records_full(const struct sim *s)
{
	return s->nrec - s->base >= INTERVAL - 1;
}

static void say_connect(struct device *d)
{
	u8 b[512], payload[64];
	struct wr w = wr_of(b, sizeof(b));
	struct pkt_connect p = {.version = (enum mqtt_version)d->version,
				.has_username = true,
				.has_password = true,
				.client_id = slice_str(d->id),
				.username = slice_str(d->sim->w->identity[d->identity].name),
				.password = d->wrong ? SLICE_LIT("no") : SLICE_LIT("pw")};

	p.clean_start = d->clean;
	if (d->version == MQTT_5) {
		p.props.has = 1ull << 0x21 | (d->persistent ? 1ull << 0x11 : 0);
		p.props.session_expiry = 3600;
		p.props.receive_maximum = d->receive_max;
		if (d->alias_max != 0) {
			p.props.has |= 1ull << 0x22;
			p.props.topic_alias_maximum = d->alias_max;
		}
	}
	if (rnd(d, 3) == 0 && !records_full(d->sim)) {
		u32 rec = record_new(d, true, (u8)rnd(d, 3), false);
		d->has_will = true;
		d->will = rec;
		p.has_will = true;
		p.will.topic.s = slice_str(d->sim->rec[rec - d->sim->base].topic);
		p.will.qos = d->sim->rec[rec - d->sim->base].qos;
		p.will.payload = slice_of(
			payload, (size_t)sprintf((char *)payload, "%u",
						 rec * 2 + d->sim->rec[rec - d->sim->base].will));
		if (d->version == MQTT_5 && rnd(d, 2) == 0) {
			p.will.props.has = 1ull << 0x18;
			p.will.props.will_delay = 1;
		}
	}
	pkt_connect_encode(&w, &p);
	say(d, &w);
}

/* Its will may be said from now on, and is judged by the rights that hold then. */
void device_will_from_now(struct device *d)
{
	if (d->has_will && d->will >= d->sim->base)
		d->sim->rec[d->will - d->sim->base].version = d->sim->o.version;
	d->has_will = false;
}

/* The link breaks.  Half the time the broker does not notice yet, and learns by a takeover; but a
 * login that nobody waits for would take over the next one, and the model could not tell. */
void device_break(struct device *d)
{
	struct wconn *c = d->c;

	if (c == NULL)
		return;
	device_will_from_now(d);
	d->c = NULL;
	d->tx_n = 0;
	c->user = NULL;
	c->blocked = false;
	if (d->state == D_CONNECTING) {
		wconn_step(c); /* it may be on its way to another shard */
		d->unsure = true;
	}
	if (d->state == D_CONNECTING || rnd(d, 2) == 0)
		wconn_drop(c, E_EOF);
	if (d->ephemeral)
		device_session_gone(d);
	d->state = D_OFF;
}

/* Its side of the session. */
static void device_forgets(struct device *d)
{
	if (d->sim->w->store != NULL)
		writes_forget(d);
	d->nreleases = d->nowed = 0;
	memset(d->once, 0, sizeof(d->once));
	memset(d->flight, 0, sizeof(d->flight));
	for (u32 i = 0; i < D_SUBS; i++)
		d->sub[i].live = false;
}

/* well: with the right password, and keeping a session that may be kept. */
static void connect(struct device *d, bool well)
{
	struct sim *s = d->sim;

	ASSERT(d->state == D_OFF && d->c == NULL);
	d->state = D_CONNECTING;
	d->wrong = !well && rnd(d, 20) == 0;
	/* Who has forgotten has to go on asking for a new session until it has one. */
	d->clean = !d->persistent || d->forgot || (!well && rnd(d, 10) == 0);
	d->c = world_connect(s->w, (u32)rnd(d, s->w->n));
	d->c->user = d;
	d->c->version = d->version;
	d->clear_version = s->o.version;
	d->nowed = 0;
	memset(d->alias, 0, sizeof(d->alias));
	d->forgot = d->clean;
	if (d->clean)
		device_forgets(d);
	say_connect(d);
}

static struct dflight *flight_free(struct device *d)
{
	for (u32 i = 0; i < D_FLIGHTS; i++) {
		if (!d->flight[i].used)
			return &d->flight[i];
	}
	return NULL;
}

static struct dflight *flight_find(struct device *d, u16 pid)
{
	for (u32 i = 0; i < D_FLIGHTS; i++) {
		if (d->flight[i].used && d->flight[i].pid == pid)
			return &d->flight[i];
	}
	return NULL;
}

static u16 fresh_pid(struct device *d)
{
	do {
		d->next_pid = d->next_pid >= 1000 ? 1 : (u16)(d->next_pid + 1);
	} while (flight_find(d, d->next_pid) != NULL);
	return d->next_pid;
}

static void say_publish(struct device *d, u32 rec, u16 pid, bool dup)
{
	u8 b[256], payload[64];
	struct wr w = wr_of(b, sizeof(b));
	const struct record *r = &d->sim->rec[rec - d->sim->base];
	struct pkt_publish p = {.qos = r->qos,
				.packet_id = pid,
				.dup = dup,
				.retain = r->retained,
				.topic.s = slice_str(r->topic)};
	bool clears = r->clears;

	p.payload = slice_of(
		payload, clears ? 0 : (size_t)sprintf((char *)payload, "%u", rec * 2 + r->will));
	if (d->version == MQTT_5 && rec % 4 == 0) {
		p.props.has = 1ull << 0x02;
		p.props.message_expiry = 100000;
	}
	pkt_publish_encode(&w, (enum mqtt_version)d->version, &p);
	say(d, &w);
}

static void publish(struct device *d)
{
	u8 qos = (u8)rnd(d, 3);
	struct dflight *f = qos != 0 ? flight_free(d) : NULL;
	u32 rec;

	if ((qos != 0 && f == NULL) || records_full(d->sim) || !has_room(d))
		return;
	rec = record_new(d, false, qos, rnd(d, 12) == 0);
	d->sim->rec[rec - d->sim->base].clears = d->sim->rec[rec - d->sim->base].retained &&
						 d->sim->w->store != NULL && rnd(d, 3) == 0;
	if (f != NULL)
		*f = (struct dflight){.pid = fresh_pid(d), .qos = qos, .used = true, .rec = rec};
	if (d->sim->rec[rec - d->sim->base].retained)
		write_sent(d, d->sim->rec[rec - d->sim->base].topic,
			   d->sim->rec[rec - d->sim->base].clears ? NOTHING : rec,
			   f != NULL ? f->pid : 0);
	say_publish(d, rec, f != NULL ? f->pid : 0, false);
}

static bool sub_waits(const struct device *d)
{
	for (u32 i = 0; i < D_SUBS; i++) {
		if (d->sub[i].pid != 0)
			return true;
	}
	return false;
}

static void filter_remember(struct device *d, const char *text)
{
	char *to = d->filter[d->nfilters++ % D_FILTERS];

	memset(to, 0, O_TEXT);
	memcpy(to, text, strlen(text));
}

/* One at a time, so that answers are easy to tell. */
static void subscribe(struct device *d)
{
	struct dsub *b = &d->sub[rnd(d, D_SUBS)];
	u8 buf[256];
	struct wr w = wr_of(buf, sizeof(buf));
	struct slice raw = slice_str(b->filter);

	if (!has_room(d) || sub_waits(d))
		return;
	if (d->shares && b->live) {
		if (rnd(d, 16) != 0)
			return;
		d->sim->unshared = d->sim->step;
	}
	b->pid = fresh_pid(d);
	b->version = d->sim->o.version;
	if (b->live) {
		b->live = false;
		b->granted = 0xff; /* an UNSUBSCRIBE */
		pkt_unsubscribe_encode(&w, (enum mqtt_version)d->version, b->pid, &raw, 1);
	} else {
		struct sub_entry e;
		random_filter(d->sim->w, b->filter, false);
		if (d->shares) {
			char plain[O_TEXT] = "#"; /* often, so that a group has many members */
			if (rnd(d, 2) == 0)
				memcpy(plain, b->filter, O_TEXT);
			snprintf(b->filter, O_TEXT, "$share/g/%.30s", plain);
		}
		for (u32 i = 0; i < D_SUBS; i++) {
			if (&d->sub[i] != b && d->sub[i].live &&
			    strcmp(d->sub[i].filter, b->filter) == 0) {
				b->pid = 0;
				return;
			}
		}
		b->granted = 0;
		/* A member that may lose what it is sent says nothing about the others. */
		b->qos = (u8)(d->shares ? 1 + rnd(d, 2) : rnd(d, 3));
		filter_remember(d, b->filter + (d->shares ? strlen("$share/g/") : 0));
		e = (struct sub_entry){.raw = slice_str(b->filter), .qos = b->qos};
		pkt_subscribe_encode(&w, (enum mqtt_version)d->version, b->pid, 0, &e, 1);
	}
	say(d, &w);
}

static void goodbye(struct device *d)
{
	u8 b[16];
	struct wr w = wr_of(b, sizeof(b));
	struct pkt_disconnect p = {.reason = d->version == MQTT_5 && rnd(d, 2) ? 4 : 0};

	pkt_disconnect_encode(&w, (enum mqtt_version)d->version, PKT_DISCONNECT, &p);
	say(d, &w);
	device_link(d, true);
	while (d->c->in_n != 0 && d->c->cl != NULL && wconn_step(d->c))
		;
	device_break(d);
}

static void pay(struct device *d)
{
	for (u32 i = 0; i < d->nowed && has_room(d); i++)
		say_ack(d, PKT_PUBACK, d->owed[i]);
	d->nowed = 0;
}

void device_act(struct device *d)
{
	u64 k = rnd(d, 100);

	if (d->state == D_OFF) {
		if (k < 30)
			connect(d, false);
		return;
	}
	if (k < 2) {
		device_break(d);
	} else if (d->state == D_ON && d->session) { /* not one that was just revoked */
		if (k < 4)
			goodbye(d);
		else if (k < 8)
			d->c->blocked = !d->c->blocked;
		else if (k < 25)
			subscribe(d);
		else if (k < 70)
			publish(d);
		else
			pay(d);
	}
}

void device_link(struct device *d, bool all)
{
	size_t most = all ? d->tx_n : 1 + rnd(d, 200), n = MIN(d->tx_n, most);

	if (d->c == NULL || n == 0)
		return;
	wconn_send(d->c, slice_of(d->tx, n));
	memmove(d->tx, d->tx + n, d->tx_n - n);
	d->tx_n -= n;
}

/* ---- what it hears ------------------------------------------------------------------- */

void device_session_gone(struct device *d)
{
	d->session = false;
	device_forgets(d);
}

static void resend(struct device *d)
{
	for (u32 i = 0; i < D_FLIGHTS; i++) {
		struct dflight *f = &d->flight[i];
		if (!f->used)
			continue;
		if (f->released)
			say_ack(d, PKT_PUBREL, f->pid);
		else if (f->rec >= d->sim->base) {
			d->sim->rec[f->rec - d->sim->base].resent = true;
			say_publish(d, f->rec, f->pid, true);
		}
	}
}

static void hear_connack(struct device *d, const struct frame *f, struct slice body)
{
	struct pkt_connack a;

	CHECK(d, d->state == D_CONNECTING);
	CHECK(d, pkt_connack_decode(f, (enum mqtt_version)d->version, body, &a) == E_OK);
	if (a.code != 0)
		return; /* it will close */
	CHECK(d, !d->wrong);
	CHECK(d, !(d->clean && a.session_present));
	d->forgot = false;
	if (!d->unsure && !d->clean)
		CHECK(d, a.session_present == d->session);
	if (!a.session_present)
		device_session_gone(d);
	if (d->unsure || !d->session)
		d->since = d->sim->step;
	d->unsure = false;
	d->session = true;
	/* In 3.x a clean session ends with its connection. */
	d->ephemeral = !d->persistent || (d->clean && d->version != MQTT_5);
	d->state = D_ON;
	for (u32 i = 0; i < D_SUBS; i++)
		d->sub[i].pid = 0; /* no answer will come */
	memset(d->older, 1, sizeof(d->older));
	if (a.session_present)
		resend(d);
}

static void hear_suback(struct device *d, const struct frame *f, struct slice body)
{
	struct pkt_suback a;
	struct dsub *b = NULL;
	u8 code;

	CHECK(d, pkt_suback_decode(f, (enum mqtt_version)d->version, body, &a) == E_OK);
	for (u32 i = 0; i < D_SUBS; i++) {
		if (d->sub[i].pid == a.packet_id)
			b = &d->sub[i];
	}
	CHECK(d, b != NULL);
	b->pid = 0;
	if (f->type == PKT_UNSUBACK)
		return;
	CHECK(d, a.codes.n == 1);
	code = a.codes.p[0];
	CHECK(d, code <= b->qos || code == (d->version == MQTT_5 ? 0x87 : 0x80) ||
			 (d->sim->fulls != 0 && code == 0x97));
	b->granted = code;
	b->live = code <= 2;
	/* It may have been granted as long ago, or when it was asked for. */
	b->version = MIN(b->version, d->clear_version);
	b->step = d->sim->step;
}

static bool wanted(const struct device *d, const char *topic)
{
	/* One that was taken back may still have had messages on the way. */
	for (u32 i = 0; i < D_FILTERS; i++) {
		if (d->filter[i][0] != 0 && naive_matches(d->filter[i], topic))
			return true;
	}
	return false;
}

/* Was this delivery allowed, for the publisher and for the receiver? */
static void hear_rights(struct device *d, const struct record *r, const struct pkt_publish *p,
			const char *topic)
{
	struct sim *s = d->sim;
	u32 author = s->dev[r->dev].identity;
	/* A retained message is judged when it is handed out; sent again, it was handed out before.
	 */
	u32 from = p->retain && !p->dup ? d->clear_version : r->version;

	CHECK(d, oracle_any(&s->o, d->clear_version, d->identity, O_SUBSCRIBE, topic));
	CHECK(d, oracle_any(&s->o, from, author, O_PUBLISH, topic));
	s->delivered++;
	s->retained_seen += p->retain;
	s->wills_seen += r->will;
}

/* Which message it is; and whether it is a will, which may come long after it was announced. */
static u32 payload_record(const struct device *d, struct slice payload, bool *will)
{
	u64 v = 0;

	CHECK(d, num_parse(payload, UINT32_MAX, &v) == E_OK);
	*will = v & 1;
	return (u32)(v / 2);
}

/* From now on it is of this connection. */
static bool is_release_awaited(struct device *d, u16 pid)
{
	for (u32 i = 0; i < d->nreleases; i++) {
		if (d->releases[i] == pid) {
			d->older[i] = false;
			return true;
		}
	}
	return false;
}

static u32 releases_of_now(const struct device *d)
{
	u32 n = 0;

	for (u32 i = 0; i < d->nreleases; i++)
		n += !d->older[i];
	return n;
}

/* SPEC MQTT-4.6.0-5: of one publisher, topic and QoS in the order in which they were said. */
static void hear_order(struct device *d, u32 rec, const struct record *r,
		       const struct pkt_publish *p)
{
	struct order *o = NULL;

	if (p->dup || r->will || r->resent)
		return;
	for (u32 i = 0; i < d->norders; i++) {
		o = &d->order[i];
		if (o->dev == r->dev && o->qos == p->qos && strcmp(o->topic, r->topic) == 0) {
			CHECK(d, rec > o->rec);
			o->rec = rec;
			return;
		}
	}
	if (d->norders == D_ORDERS)
		return;
	o = &d->order[d->norders++];
	*o = (struct order){.dev = r->dev, .qos = p->qos, .rec = rec};
	snprintf(o->topic, sizeof(o->topic), "%s", r->topic);
}

static void hear_once(struct device *d, u32 rec, const struct record *r,
		      const struct pkt_publish *p)
{
	u8 *got = &d->got[rec - d->sim->base];

	if (p->retain)
		return;
	*got = (u8)MIN(*got + 1, 255);
	/* Overlapping shared subscriptions may each bring one. */
	if (d->shares)
		return;
	/* In one session: what is published again after a crash is new to another one. */
	if (p->qos == 2 && r->qos == 2)
		CHECK(d, d->once[rec - d->sim->base]++ == 0);
	hear_order(d, rec, r, p);
}

/* The topic, which an alias may stand for. */
static void hear_topic(struct device *d, const struct pkt_publish *p, char topic[O_TEXT])
{
	u16 alias = PROP_HAS(&p->props, 0x23) ? p->props.topic_alias : 0;

	if (d->version != MQTT_5)
		alias = 0;
	CHECK(d, alias <= d->alias_max);
	if (p->topic_absent) {
		CHECK(d, alias != 0 && d->alias[alias][0] != 0);
		memcpy(topic, d->alias[alias], O_TEXT);
		d->sim->aliases_seen++;
		return;
	}
	memset(topic, 0, O_TEXT);
	memcpy(topic, p->topic.s.p, MIN(p->topic.s.n, (size_t)O_TEXT - 1));
	if (alias != 0)
		memcpy(d->alias[alias], topic, O_TEXT);
}

static void hear_publish(struct device *d, const struct frame *f, struct slice body)
{
	struct pkt_publish p;
	struct record *r;
	char topic[O_TEXT];
	bool will;
	u32 rec;

	CHECK(d, d->state == D_ON);
	CHECK(d,
	      pkt_publish_decode(f, (enum mqtt_version)d->version, FROM_SERVER, body, &p) == E_OK);
	hear_topic(d, &p, topic);
	CHECK(d, wanted(d, topic));
	rec = p.payload.n != 0 ? payload_record(d, p.payload, &will) : 0;
	CHECK(d, rec < d->sim->nrec);
	if (p.qos == 1 && d->nowed < D_RELEASES)
		d->owed[d->nowed++] = p.packet_id;
	if (p.qos == 2) {
		bool again = is_release_awaited(d, p.packet_id);
		CHECK(d, !again || p.dup);
		say_ack(d, PKT_PUBREC, p.packet_id);
		if (again)
			return;
		CHECK(d, d->nreleases < D_RELEASES);
		d->older[d->nreleases] = false;
		d->releases[d->nreleases++] = p.packet_id;
	}
	if (d->version == MQTT_5)
		CHECK(d, d->nowed + releases_of_now(d) <= d->receive_max);
	if (p.payload.n == 0)
		return; /* it says of no record that it came */
	if (rec < d->sim->base) {
		CHECK(d, p.retain || will);
		CHECK(d, oracle_any(&d->sim->o, d->clear_version, d->identity, O_SUBSCRIBE, topic));
		return;
	}
	r = &d->sim->rec[rec - d->sim->base];
	CHECK(d, strcmp(r->topic, topic) == 0);
	CHECK(d, p.qos <= r->qos);
	hear_rights(d, r, &p, topic);
	hear_once(d, rec, r, &p);
}

static void hear_accepted(struct device *d, struct dflight *f, u8 reason)
{
	struct sim *s = d->sim;
	struct record *r;

	if (f->rec < s->base)
		return;
	r = &s->rec[f->rec - s->base];
	s->refused_full += reason == 0x97;
	/* SUBACK and PUBACK tell the truth. */
	if (reason == 0x87)
		CHECK(d, !oracle_all(&s->o, r->version, d->identity, O_PUBLISH, r->topic));
	else if (d->version == MQTT_5)
		CHECK(d, reason == 0x97 ||
				 oracle_any(&s->o, r->version, d->identity, O_PUBLISH, r->topic));
	r->accepted =
		reason < 0x80 && oracle_all(&s->o, r->version, d->identity, O_PUBLISH, r->topic);
	write_acked(d, f->pid, r->accepted);
}

static void hear_ack(struct device *d, const struct frame *f, struct slice body)
{
	struct pkt_ack a;
	struct dflight *x;

	CHECK(d, pkt_ack_decode(f, (enum mqtt_version)d->version, body, &a) == E_OK);
	if (f->type == PKT_PUBREL) {
		for (u32 i = 0; i < d->nreleases; i++) {
			if (d->releases[i] != a.packet_id)
				continue;
			d->releases[i] = d->releases[--d->nreleases];
			d->older[i] = d->older[d->nreleases];
		}
		say_ack(d, PKT_PUBCOMP, a.packet_id);
		return;
	}
	x = flight_find(d, a.packet_id);
	CHECK(d, x != NULL);
	if (f->type != PKT_PUBCOMP)
		hear_accepted(d, x, a.reason);
	if (f->type == PKT_PUBREC && a.reason < 0x80) {
		x->released = true;
		say_ack(d, PKT_PUBREL, a.packet_id);
	} else {
		x->used = false;
	}
}

static void hear(struct device *d, const struct frame *f, struct slice body)
{
	struct pkt_disconnect bye;

	if (d->state == D_CONNECTING)
		CHECK(d, f->type == PKT_CONNACK);
	else if (!d->session) /* revoked: what was on the way */
		return;
	switch (f->type) {
	case PKT_CONNACK:
		hear_connack(d, f, body);
		break;
	case PKT_PUBLISH:
		hear_publish(d, f, body);
		break;
	case PKT_SUBACK:
	case PKT_UNSUBACK:
		hear_suback(d, f, body);
		break;
	case PKT_PUBACK:
	case PKT_PUBREC:
	case PKT_PUBREL:
	case PKT_PUBCOMP:
		hear_ack(d, f, body);
		break;
	case PKT_DISCONNECT:
		CHECK(d, pkt_disconnect_decode(f, MQTT_5, FROM_SERVER, body, &bye) == E_OK);
		if (bye.reason != 0x98)
			fprintf(stderr, "sim: DISCONNECT %02x\n", bye.reason);
		CHECK(d, bye.reason == 0x98); /* revoked, or kicked */
		break;
	default:
		CHECK(d, false);
	}
}

static bool ended_well(const struct device *d)
{
	enum err why = d->c->why;

	return why == E_CREDENTIAL || why == E_DENIED || why == E_REVOKED || why == E_ADMIN ||
	       why == E_EOF || why == E_UNAVAILABLE || (why == E_QUOTA && d->sim->fulls != 0);
}

void device_read(struct device *d)
{
	struct frame f;
	struct slice body;

	if (d->c == NULL || d->c->blocked)
		return;
	while (d->c != NULL && has_room(d) && wconn_next(d->c, &f, &body))
		hear(d, &f, body);
	if (d->c->out_at == d->c->out_n) {
		d->c->out_at = d->c->out_n = 0;
		if (!d->c->dirty)
			d->clear_version = d->sim->o.version;
	}
	if (d->c->cl != NULL || d->c->out_n != 0)
		return;
	if (!ended_well(d))
		fprintf(stderr, "sim: closed: %s\n", err_text(d->c->why));
	CHECK(d, ended_well(d));
	device_break(d);
}

void device_settle(struct device *d)
{
	if (d->c != NULL)
		d->c->blocked = false;
	if (d->state == D_OFF && (d->session || d->unsure) &&
	    oracle_active(&d->sim->o, d->identity)) {
		connect(d, true);
	}
	device_link(d, true);
	device_read(d);
	if (d->state == D_ON && has_room(d))
		pay(d);
	device_link(d, true);
}
