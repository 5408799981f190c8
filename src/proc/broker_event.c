/* broker_event: what happened, as one line of the log and as an EVENT for who watches.  Counts
 * failed logins of a source.  Words are a closed vocabulary of ours; what a peer said is escaped.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/broker_i.h"

struct kind_row {
	const char *log;   /* event= in the log; NULL: not logged */
	const char *watch; /* the word of EVENT */
	enum log_level level;
};
static const struct kind_row kinds[] = {
	[EV_CONNECT] = {"connect", "connect", LOG_INFO},
	[EV_REFUSED] = {"refused", "refused", LOG_INFO},
	[EV_DISCONNECT] = {"disconnect", "disconnect", LOG_INFO},
	[EV_SUBSCRIBE] = {NULL, "sub", LOG_DEBUG},
	[EV_PUBLISH] = {NULL, "pub", LOG_DEBUG},
	[EV_DENIED] = {"denied", "deny", LOG_INFO},
	[EV_DROPPED] = {"dropped", "drop", LOG_INFO},
	[EV_TAKEOVER] = {"takeover", "takeover", LOG_INFO},
	[EV_WILL] = {NULL, "will", LOG_DEBUG},
};

static const char *action_word(enum action a)
{
	return a == ACT_PUBLISH ? "publish" : "subscribe";
}

/* "TLSv1.3 TLS_AES_128_GCM_SHA256 websocket", "plain"; "" where there is no connection. */
static const char *tls_of(const struct core_event *e)
{
	const char *tls = e->conn != NULL ? conn_describe(e->conn) : "";

	return e->conn != NULL && tls[0] == '\0' ? "plain" : tls;
}

/* ---- the log
 * -------------------------------------------------------------------------------------- */
static void put_left_out(const u8 addr[16], u32 left_out)
{
	struct logline l;
	char text[46];

	if (left_out == 0)
		return;
	addr_format(addr, text, sizeof(text));
	log_begin(&l, LOG_WARN, "lines_left_out");
	log_word(&l, "addr", text);
	log_num(&l, "count", left_out);
	log_end(&l);
}

static bool may_log(struct shard *s, const u8 addr[16])
{
	u32 left_out;
	bool yes = admission_may_log(s->b->admission, addr, s->now_ms, &left_out);

	if (yes)
		put_left_out(addr, left_out);
	return yes;
}

static void put_proxy(struct logline *l, const u8 *proxy)
{
	char text[46];

	if (proxy == NULL)
		return;
	addr_format(proxy, text, sizeof(text));
	log_word(l, "via", text);
}

/* Where it came from.  False: it is about no connection. */
static bool put_peer(const struct core_event *e, char *out, size_t cap)
{
	static const u8 nowhere[16];

	if (e->addr == NULL || memcmp(e->addr, nowhere, sizeof(nowhere)) == 0)
		return false;
	addr_port_format(e->addr, e->port, out, cap);
	return true;
}

static void put_who(struct logline *l, const struct core_event *e)
{
	char addr[64];

	if (e->identity.n != 0)
		log_peer(l, "identity", e->identity);
	else if (e->username.n != 0)
		log_peer(l, "claimed", e->username);
	log_peer(l, "client", e->client_id);
	if (put_peer(e, addr, sizeof(addr)))
		log_word(l, "addr", addr);
	put_proxy(l, e->conn != NULL ? conn_proxy(e->conn) : NULL);
	log_word(l, "listener", e->listener != NULL ? e->listener : "");
}

static void log_event(struct shard *s, const struct core_event *e)
{
	static const u8 nowhere[16];
	const struct kind_row *k = &kinds[e->kind];
	struct logline l;

	if (k->log == NULL || !may_log(s, e->addr != NULL ? e->addr : nowhere))
		return;
	log_begin(&l, k->level, k->log);
	put_who(&l, e);
	if (e->kind == EV_DENIED)
		log_word(&l, "action", action_word(e->action));
	if (e->topic.n != 0)
		log_peer(&l, "topic", e->topic);
	if (e->kind == EV_CONNECT) {
		log_num(&l, "version", e->version);
		log_peer(&l, "tls", slice_str(tls_of(e)));
	} else {
		log_err(&l, e->why);
	}
	if (e->text != NULL && e->text[0] != '\0')
		log_peer(&l, "note", slice_str(e->text));
	log_end(&l);
}

/* ---- who watches
 * ------------------------------------------------------------------------------------ */
static void watch_send(struct shard *s, struct slice identity, const char *word, const char *text,
		       const char *action, struct slice topic)
{
	u8 tail[2048];
	struct wr w = wr_of(tail, sizeof(tail));
	struct blob *b;

	ipc_put_str(&w, identity);
	ipc_put_str(&w, slice_str(word));
	ipc_put_str(&w, slice_str(text));
	if (action != NULL) {
		ipc_put_str(&w, slice_str(action));
		ipc_put_str(&w, topic);
	}
	if (w.err != E_OK)
		return; /* a topic of 1,024 bytes still fits */
	b = blob_new(w.n);
	memcpy(b->b, tail, w.n);
	shard_report(s, MI_EVENT, clock_wall_ms(), b);
}

static void text_connect(const struct core_event *e, char *out, size_t cap)
{
	char addr[64], id[200];

	addr_port_format(e->addr, e->port, addr, sizeof(addr));
	log_escape(e->client_id, id, sizeof(id));
	snprintf(out, cap, "%s  %s  %s  auth ok  id %s", addr, e->listener, tls_of(e), id);
}

static void text_other(const struct core_event *e, char *out, size_t cap)
{
	char topic[700], id[200], addr[64] = "";

	log_escape(e->topic, topic, sizeof(topic));
	log_escape(e->client_id, id, sizeof(id));
	put_peer(e, addr, sizeof(addr));
	if (e->kind == EV_SUBSCRIBE)
		snprintf(out, cap, "%s  granted qos%u", topic, (unsigned)e->qos);
	else if (e->kind == EV_PUBLISH)
		snprintf(out, cap, "%s  %u B qos%u  delivered %u%s", topic, (unsigned)e->bytes,
			 (unsigned)e->qos, (unsigned)e->receivers,
			 e->receivers == 0 ? " (nobody subscribed yet)" : "");
	else if (e->kind == EV_DENIED)
		snprintf(out, cap, "%s %s  %s", action_word(e->action), topic, err_text(e->why));
	else if (e->kind == EV_WILL || e->kind == EV_DROPPED)
		snprintf(out, cap, "%s  %s", topic, err_text(e->why));
	else
		snprintf(out, cap, "%s  %s  id %s  %s: %s", addr, e->listener, id, err_word(e->why),
			 err_text(e->why));
}

/* A refused login names only whom it claims to be: whoever watches finds out whether it is theirs.
 */
static bool is_watched(const struct shard *s, const struct core_event *e)
{
	return e->watched || atomic_load_explicit(&s->b->watching_all, memory_order_relaxed) != 0 ||
	       (e->kind == EV_REFUSED &&
		atomic_load_explicit(&s->b->watching, memory_order_relaxed) != 0);
}

static void watch_event(struct shard *s, const struct core_event *e)
{
	struct slice who = e->identity.n != 0 ? e->identity : e->username;
	bool denied = e->kind == EV_DENIED;
	char text[1024];

	if (!is_watched(s, e))
		return;
	if (e->kind == EV_CONNECT)
		text_connect(e, text, sizeof(text));
	else
		text_other(e, text, sizeof(text));
	watch_send(s, who, kinds[e->kind].watch, text, denied ? action_word(e->action) : NULL,
		   e->topic);
}

/* ---- what net and core report
 * ------------------------------------------------------------------------ */
static void count_login(struct shard *s, const struct core_event *e)
{
	struct conn *c = e->conn;

	if (e->kind == EV_CONNECT && c != NULL && !conn_mark(c)) {
		conn_set_mark(c, true);
		admission_login(s->b->admission, conn_addr(c), s->now_ms);
	}
	if (e->kind == EV_REFUSED && c != NULL && (e->why == E_CREDENTIAL || e->why == E_REVOKED))
		admission_failed(s->b->admission, conn_addr(c), conn_listener(c), s->now_ms);
}

void event_core(void *arg, const struct core_event *e)
{
	struct shard *s = arg;

	ASSERT(e->kind < ARRAY_LEN(kinds));
	count_login(s, e);
	log_event(s, e);
	watch_event(s, e);
}

void event_not_admitted(struct shard *s, const u8 addr[16], const u8 *proxy, u32 listener,
			enum err why)
{
	struct logline l;
	char text[46];

	if (!may_log(s, addr))
		return;
	addr_format(addr, text, sizeof(text));
	log_begin(&l, LOG_INFO, "refused");
	log_word(&l, "addr", text);
	log_word(&l, "listener", listener < CONF_LISTENERS ? s->listener_name[listener] : "");
	log_err(&l, why);
	put_proxy(&l, proxy);
	log_peer(&l, "note", SLICE_LIT("at accept"));
	log_end(&l);
}

static void log_refused(struct shard *s, const char *word, const u8 addr[16], u16 port,
			u32 listener, enum err why, const char *text)
{
	struct logline l;
	char peer[64];

	if (!may_log(s, addr))
		return;
	addr_port_format(addr, port, peer, sizeof(peer));
	log_begin(&l, LOG_INFO, word);
	log_word(&l, "addr", peer);
	log_word(&l, "listener", listener < CONF_LISTENERS ? s->listener_name[listener] : "");
	log_err(&l, why);
	log_peer(&l, "note", slice_str(text));
	log_end(&l);
}

void event_refused(struct shard *s, const char *word, const u8 addr[16], u16 port, u32 listener,
		   enum err why, const char *text)
{
	char peer[64], line[512];

	if (atomic_load_explicit(&s->b->watching, memory_order_relaxed) != 0) {
		addr_port_format(addr, port, peer, sizeof(peer));
		snprintf(line, sizeof(line), "%s: %s", peer, text);
		watch_send(s, SLICE_NONE, word, line, NULL, SLICE_NONE);
	}
	log_refused(s, word, addr, port, listener, why, text);
}

/* Whoever watches a device learns nothing from it. */
void event_silent(struct shard *s, const u8 addr[16], u16 port, u32 listener, enum err why,
		  const char *text)
{
	log_refused(s, kinds[EV_DISCONNECT].log, addr, port, listener, why, text);
}
