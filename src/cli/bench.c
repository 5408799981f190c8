/* bench: what to run, the event loop of a run, and the report. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/bench.h"
#include "wire/packet.h"

enum {
	STALL_MS = 10000,
	HEADER = 8, /* publisher and sequence number, in the payload */
	OPEN_AT_ONCE = 64,
};

struct bench {
	const struct bench_options *o;
	struct bench_client *clients; /* publishers, then subscribers */
	u32 nclients;
	int ep;
	u8 *payload;
	u64 sent, acked, received, wanted, disordered, closed;
	u32 fan_out; /* deliveries of one message */
};

static void usage(void)
{
	(void)fputs(
		"usage: picket bench --host H --port P [--tls --ca FILE] [--user U "
		"--password-file F]\n"
		"         [--publishers N] [--subscribers N] [--pairs N] [--spread] [--qos 0|1] "
		"[--size BYTES]\n"
		"         [--messages N] [--window N] [--mqtt 4|5] [--topic T] [--idle N] "
		"[--pid PID] [--json]\n"
		"         [--durable] [--queue] [--drain]\n"
		"  One message to every subscriber: --publishers 1 --subscribers 100; pairs: "
		"--pairs 10;\n"
		"  a topic of its own for each of many subscribers: --publishers 10 "
		"--subscribers 1000 --spread.\n"
		"  --durable: the subscribers' sessions outlive their connections; --queue: they "
		"have gone before the\n"
		"  first message, acknowledgements count; --drain: they come for what the same "
		"with --queue has left.\n"
		"  --pid: the broker's first process; its tree's CPU is quoted per delivered "
		"message.\n"
		"  --idle N: open N connections, and tell the memory of the last half per "
		"connection.\n",
		stderr);
}

static bool number(const char *s, u64 max, u64 *out)
{
	return num_parse(slice_str(s), max, out) == E_OK;
}

static bool read_password(struct bench_options *o)
{
	FILE *f = fopen(o->password_file, "re");
	bool got;

	if (f == NULL) {
		perror(o->password_file);
		return false;
	}
	got = fgets(o->password, sizeof(o->password), f) != NULL;
	(void)fclose(f);
	o->password[strcspn(o->password, "\r\n")] = '\0';
	return got;
}

enum {
	OPT_HOST = 256,
	OPT_PORT,
	OPT_CA,
	OPT_USER,
	OPT_PASSWORD,
	OPT_TOPIC,
	OPT_TLS,
	OPT_JSON,
	OPT_SPREAD,
	OPT_DURABLE,
	OPT_QUEUE,
	OPT_DRAIN,
	OPT_NUMBER
};
static const struct option options[] = {
	{"host", 1, NULL, OPT_HOST},
	{"port", 1, NULL, OPT_PORT},
	{"ca", 1, NULL, OPT_CA},
	{"user", 1, NULL, OPT_USER},
	{"password-file", 1, NULL, OPT_PASSWORD},
	{"topic", 1, NULL, OPT_TOPIC},
	{"tls", 0, NULL, OPT_TLS},
	{"json", 0, NULL, OPT_JSON},
	{"spread", 0, NULL, OPT_SPREAD},
	{"durable", 0, NULL, OPT_DURABLE},
	{"queue", 0, NULL, OPT_QUEUE},
	{"drain", 0, NULL, OPT_DRAIN},
	{"publishers", 1, NULL, OPT_NUMBER},
	{"subscribers", 1, NULL, OPT_NUMBER + 1},
	{"pairs", 1, NULL, OPT_NUMBER + 2},
	{"qos", 1, NULL, OPT_NUMBER + 3},
	{"size", 1, NULL, OPT_NUMBER + 4},
	{"messages", 1, NULL, OPT_NUMBER + 5},
	{"window", 1, NULL, OPT_NUMBER + 6},
	{"mqtt", 1, NULL, OPT_NUMBER + 7},
	{"idle", 1, NULL, OPT_NUMBER + 8},
	{"pid", 1, NULL, OPT_NUMBER + 9},
	{NULL, 0, NULL, 0},
};

static void set_number(struct bench_options *o, int which, u64 v)
{
	u32 *const small[] = {&o->publishers, &o->subscribers, &o->publishers, &o->qos,	 &o->size,
			      NULL,	      &o->window,      &o->version,    &o->idle, &o->pid};

	if (small[which] == NULL)
		o->messages = v;
	else
		*small[which] = (u32)v;
	if (which == 2) {
		o->spread = true;
		o->subscribers = (u32)v;
	}
}

static bool set_flag(struct bench_options *o, int opt)
{
	bool *const flag[] = {&o->tls, &o->json, &o->spread, &o->durable, &o->queue, &o->drain};

	if (opt < OPT_TLS || opt > OPT_DRAIN)
		return false;
	*flag[opt - OPT_TLS] = true;
	return true;
}

static bool makes_sense(const struct bench_options *o)
{
	if (o->qos > 1 || o->size < HEADER || o->size > 1 << 20 || o->window == 0 ||
	    o->publishers == 0 || (o->version != 4 && o->version != 5) || (o->tls && o->ca == NULL))
		return false;
	/* One message of a stream a subscriber that nobody takes is not a measurement. */
	if (o->spread && o->subscribers < o->publishers)
		return false;
	return !o->durable || (o->qos == 1 && o->version == 4 && !(o->queue && o->drain));
}

static bool parse(int argc, char **argv, struct bench_options *o)
{
	int opt;
	u64 v;

	*o = (struct bench_options){.host = "127.0.0.1",
				    .port = "1883",
				    .topic = "bench",
				    .publishers = 1,
				    .subscribers = 1,
				    .size = 64,
				    .messages = 100000,
				    .window = 64,
				    .version = 4};
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt >= OPT_NUMBER) {
			if (!number(optarg, UINT32_MAX, &v))
				return false;
			set_number(o, opt - OPT_NUMBER, v);
			continue;
		}
		switch (opt) {
		case OPT_HOST:
			o->host = optarg;
			break;
		case OPT_PORT:
			o->port = optarg;
			break;
		case OPT_CA:
			o->ca = optarg;
			break;
		case OPT_USER:
			o->user = optarg;
			break;
		case OPT_PASSWORD:
			o->password_file = optarg;
			break;
		case OPT_TOPIC:
			o->topic = optarg;
			break;
		default:
			if (!set_flag(o, opt))
				return false;
		}
	}
	o->durable |= o->queue || o->drain;
	if (optind != argc || !makes_sense(o))
		return false;
	return o->password_file == NULL || read_password(o);
}

/* ---- a run -------------------------------------------------------------------------------------
 */

static void topic_of(const struct bench *b, u32 index, char out[128])
{
	if (b->o->spread)
		(void)snprintf(out, 128, "%s/%u", b->o->topic, index);
	else
		(void)snprintf(out, 128, "%s/all", b->o->topic);
}

/* A session that is kept has a name that another run finds again. */
static void id_of(const struct bench *b, u32 i, char id[128])
{
	const struct bench_client *c = &b->clients[i];
	const char *user = b->o->user ? b->o->user : "", *colon = b->o->user ? ":" : "";

	if (c->keep)
		(void)snprintf(id, 128, "%s%s%s-%u", user, colon, b->o->topic, c->index);
	else
		(void)snprintf(id, 128, "%s%s%d-%u", user, b->o->user ? ":" : "bench",
			       (int)getpid(), i);
}

static void on_packet(void *arg, struct bench_client *c, u8 first, const u8 *body, size_t n);

static bool enter(struct bench *b, struct bench_client *c)
{
	struct epoll_event e = {EPOLLIN, {.ptr = c}};
	char topic[128];

	topic_of(b, c->index, topic);
	if (!bench_client_enter(c, b->o, c->publisher || b->o->drain ? NULL : topic, on_packet, b))
		return false;
	if (b->o->drain && c->keep && !c->present) {
		(void)fputs("there is no session to come back to\n", stderr);
		return false;
	}
	if (b->o->queue && c->keep)
		bench_client_leave(c);
	return c->fd < 0 || epoll_ctl(b->ep, EPOLL_CTL_ADD, c->fd, &e) == 0;
}

static bool open_some(struct bench *b, SSL_CTX *tls, u32 from, u32 to)
{
	char id[128];

	for (u32 i = from; i < to; i++) {
		id_of(b, i, id);
		if (!bench_client_greet(&b->clients[i], b->o, tls, id))
			return false;
	}
	for (u32 i = from; i < to; i++)
		if (!enter(b, &b->clients[i]))
			return false;
	return true;
}

static bool open_all(struct bench *b, SSL_CTX *tls)
{
	const struct bench_options *o = b->o;

	b->nclients = o->publishers + o->subscribers;
	b->clients = xcalloc(b->nclients, sizeof(*b->clients));
	for (u32 i = 0; i < b->nclients; i++) {
		struct bench_client *c = &b->clients[i];
		c->fd = -1;
		c->publisher = i < o->publishers;
		c->index = c->publisher ? i : i - o->publishers;
		c->keep = !c->publisher && o->durable;
		if (!c->publisher)
			c->expected = xcalloc(o->publishers, sizeof(u32));
	}
	/* Each waits for the disk when its session is kept: so many do at once. */
	for (u32 i = 0; i < b->nclients; i += OPEN_AT_ONCE)
		if (!open_some(b, tls, i, MIN(i + OPEN_AT_ONCE, b->nclients)))
			return false;
	return true;
}

/* Publisher and sequence number of a delivered payload, which ends the body. */
static void note_delivery(struct bench *b, struct bench_client *c, const u8 *payload)
{
	struct rd r = rd_of(slice_of(payload, HEADER));
	u32 from = rd_u32(&r), seq = rd_u32(&r);

	b->received++;
	if (from >= b->o->publishers || seq != c->expected[from])
		b->disordered++;
	if (from < b->o->publishers)
		c->expected[from] = seq + 1;
}

static void on_packet(void *arg, struct bench_client *c, u8 first, const u8 *body, size_t n)
{
	struct bench *b = arg;
	u32 type = first >> 4;

	if (type == PKT_PUBACK) {
		c->acked++;
		b->acked++;
	}
	if (type != PKT_PUBLISH || n < b->o->size || c->expected == NULL)
		return;
	if ((first >> 1 & 3) == 1) {
		size_t topic = (size_t)body[0] << 8 | body[1];
		u8 *ack = bench_client_room(c, 4);
		ack[0] = PKT_PUBACK << 4;
		ack[1] = 2;
		memcpy(ack + 2, body + 2 + topic, 2);
	}
	note_delivery(b, c, body + n - b->o->size);
}

/* Which topic, and which message there, comes next from this publisher. */
static void next_of(const struct bench *b, const struct bench_client *c, u32 *topic, u32 *seq)
{
	const struct bench_options *o = b->o;
	u32 own = o->spread ? (o->subscribers - c->index + o->publishers - 1) / o->publishers : 1;

	*topic = c->index + c->sent % own * o->publishers;
	*seq = c->sent / own;
}

static void publish_one(struct bench *b, struct bench_client *c)
{
	u8 head[256];
	char topic[128];
	struct wr w = wr_of(head, sizeof(head));
	size_t topic_n, var, body;
	struct wr p = wr_of(b->payload, HEADER);
	u32 to, seq;

	next_of(b, c, &to, &seq);
	topic_of(b, to, topic);
	topic_n = strlen(topic);
	var = 2 + topic_n + (b->o->qos ? 2 : 0) + (b->o->version == 5 ? 1 : 0);
	body = var + b->o->size;
	w.n = frame_header((u8)(PKT_PUBLISH << 4 | b->o->qos << 1), (u32)body, head);
	wr_u16(&w, (u16)topic_n);
	wr_bytes(&w, topic, topic_n);
	if (b->o->qos) {
		c->packet_id = (u16)(c->packet_id == UINT16_MAX ? 1 : c->packet_id + 1);
		wr_u16(&w, c->packet_id);
	}
	if (b->o->version == 5)
		wr_u8(&w, 0);
	wr_u32(&p, c->index);
	wr_u32(&p, seq);
	c->sent++;
	memcpy(bench_client_room(c, w.n), head, w.n);
	memcpy(bench_client_room(c, b->o->size), b->payload, b->o->size);
	b->sent++;
}

/* Publishers go on while fewer than window of their messages are under way. */
static void publish_more(struct bench *b)
{
	u64 window = (u64)b->o->window * b->o->publishers;

	for (u32 i = 0; i < b->o->publishers; i++) {
		struct bench_client *c = &b->clients[i];
		u64 share = (b->o->messages + b->o->publishers - 1) / b->o->publishers;
		while (c->sent < share && b->sent < b->o->messages &&
		       (b->o->queue || b->sent - b->received / MAX(b->fan_out, 1u) < window) &&
		       (b->o->qos == 0 || c->sent - c->acked < b->o->window))
			publish_one(b, c);
	}
}

static void flush_all(struct bench *b)
{
	for (u32 i = 0; i < b->nclients; i++) {
		struct bench_client *c = &b->clients[i];
		bool more;
		if (c->out_n == 0)
			continue;
		if (!bench_client_flush(c))
			b->closed++;
		more = c->out_n != 0;
		if (more != c->want_write) {
			struct epoll_event e = {EPOLLIN | (more ? EPOLLOUT : 0u), {.ptr = c}};
			(void)epoll_ctl(b->ep, EPOLL_CTL_MOD, c->fd, &e);
			c->want_write = more;
		}
	}
}

/* Of those that are wanted. */
static u64 done(const struct bench *b)
{
	return b->o->queue ? b->acked : b->received;
}

static bool run_messages(struct bench *b)
{
	u64 last = 0, last_ms = clock_mono_ms();
	struct epoll_event ev[256];

	while (done(b) < b->wanted && b->closed == 0) {
		int n;
		if (!b->o->drain)
			publish_more(b);
		flush_all(b);
		n = epoll_wait(b->ep, ev, (int)ARRAY_LEN(ev), 100);
		for (int i = 0; i < n; i++)
			if (!bench_client_read(ev[i].data.ptr, on_packet, b))
				b->closed++;
		if (done(b) != last) {
			last = done(b);
			last_ms = clock_mono_ms();
		} else if (clock_mono_ms() - last_ms > STALL_MS) {
			break;
		}
	}
	return done(b) == b->wanted && b->closed == 0 && b->disordered == 0;
}

static void report(const struct bench *b, u64 wall_ms, u64 cpu_ns, u64 own_ns)
{
	double seconds = (double)MAX(wall_ms, (u64)1) / 1000.0, n = (double)MAX(done(b), (u64)1);

	(void)printf(b->o->json ? "{\"delivered\": %llu, \"wanted\": %llu, \"disordered\": %llu, "
				  "\"closed\": %llu, \"seconds\": %.3f, "
				  "\"per_second\": %.0f, \"broker_us_per_message\": %.3f, "
				  "\"generator_us_per_message\": %.3f}\n"
				: "delivered %llu of %llu  out of order %llu  closed %llu  %.3f s  "
				  "%.0f/s  broker %.3f us CPU a "
				  "delivered message  generator %.3f us\n",
		     (unsigned long long)done(b), (unsigned long long)b->wanted,
		     (unsigned long long)b->disordered, (unsigned long long)b->closed, seconds,
		     (double)done(b) / seconds, (double)cpu_ns / 1000.0 / n,
		     (double)own_ns / 1000.0 / n);
}

static u64 own_cpu_ns(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return ((u64)u.ru_utime.tv_sec + (u64)u.ru_stime.tv_sec) * 1000000000ull +
	       ((u64)u.ru_utime.tv_usec + (u64)u.ru_stime.tv_usec) * 1000ull;
}

static int bench_messages(struct bench *b, SSL_CTX *tls)
{
	u64 cpu, own, began;
	bool ok, entered = false;

	b->payload = xcalloc(1, b->o->size);
	b->fan_out = b->o->spread || b->o->queue ? 1 : b->o->subscribers;
	b->wanted = b->o->messages * b->fan_out;
	/* Who drains is served as soon as it is in, so its login counts. */
	if (!b->o->drain) {
		entered = open_all(b, tls);
		(void)usleep(200000); /* logins are done, let the broker come to rest */
	}
	cpu = b->o->pid ? cost_cpu_ns(b->o->pid) : 0;
	own = own_cpu_ns();
	began = clock_mono_ms();
	if (!entered && !(b->o->drain && open_all(b, tls)))
		return 1;
	ok = run_messages(b);
	own = own_cpu_ns() - own;
	report(b, clock_mono_ms() - began, b->o->pid ? cost_cpu_ns(b->o->pid) - cpu : 0, own);
	return ok ? 0 : 1;
}

static bool open_idle(struct bench *b, SSL_CTX *tls, u32 from, u32 to)
{
	for (u32 i = from; i < to; i++) {
		char id[64];
		(void)snprintf(id, sizeof(id), b->o->user ? "%s:%d-%u" : "%sbench%d-%u",
			       b->o->user ? b->o->user : "", (int)getpid(), i);
		b->clients[i].fd = -1;
		if (!bench_client_open(&b->clients[i], b->o, tls, id, NULL))
			return false;
		free(b->clients[i].in);
		free(b->clients[i].out);
		b->clients[i].in = b->clients[i].out = NULL;
		b->clients[i].in_cap = b->clients[i].out_cap = 0;
	}
	return true;
}

/* The slope between half and all of the connections leaves out what the broker needs anyway. */
static int bench_idle(struct bench *b, SSL_CTX *tls)
{
	u32 half = b->o->idle / 2;
	u64 first, last;

	b->nclients = b->o->idle;
	b->clients = xcalloc(b->nclients, sizeof(*b->clients));
	if (!open_idle(b, tls, 0, half))
		return 1;
	(void)sleep(1);
	first = b->o->pid ? cost_pss_kib(b->o->pid) : 0;
	if (!open_idle(b, tls, half, b->nclients))
		return 1;
	(void)sleep(1);
	last = b->o->pid ? cost_pss_kib(b->o->pid) : 0;
	(void)printf(b->o->json ? "{\"connections\": %u, \"pss_kib\": %llu, "
				  "\"bytes_per_connection\": %.0f}\n"
				: "%u connections  %llu KiB PSS in all  %.0f bytes each\n",
		     b->nclients, (unsigned long long)last,
		     ((double)last - (double)first) * 1024.0 / (double)MAX(b->nclients - half, 1u));
	return 0;
}

int bench_main(int argc, char **argv)
{
	struct bench_options o;
	struct bench b = {.o = &o};
	struct rlimit files;
	SSL_CTX *tls = NULL;
	int code;

	if (!parse(argc, argv, &o)) {
		usage();
		return 2;
	}
	(void)getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	if (o.tls && (tls = bench_tls(&o)) == NULL)
		return 1;
	b.ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT(b.ep >= 0);
	code = o.idle ? bench_idle(&b, tls) : bench_messages(&b, tls);
	for (u32 i = 0; i < b.nclients && b.clients != NULL; i++)
		bench_client_close(&b.clients[i]);
	free(b.clients);
	free(b.payload);
	SSL_CTX_free(tls);
	(void)close(b.ep);
	return code;
}
