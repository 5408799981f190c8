/* impl: one shard's core from the inside: its clients and sessions, and what the files of core call
 * of each other.  Nothing outside src/core includes this.
 *
 * A client is a connection, a session what outlives it.  A live client has a session and a session
 * at most one client.  Handlers never free a client: they end it (client_end), the connection
 * closes, core_closed frees. */
#ifndef PICKET_CORE_IMPL_H
#define PICKET_CORE_IMPL_H

#include <sys/queue.h>

#include "base/pool.h"
#include "core/durable.h"
#include "core/hub.h"
#include "core/outq.h"
#include "core/post.h"
#include "core/queue.h"
#include "wire/packet.h"

/* Effective limits: the listener's for the kind of identity, with those of its roles; equal ones
 * are one object a shard. */
struct limits {
	struct limits *next;
	u32 refs;
	struct core_limits v;
};

/* Why we hold back reading. */
enum pause_why { P_LOGIN = 1, P_RATE = 2, P_OUTPUT = 4, P_STORE = 8 };
enum client_state {
	C_NEW,
	C_LOGIN,
	C_REFUSED,
	C_GREETED, /* it is in, and CONNACK waits for the store */
	C_LIVE,
	C_CLOSING,
	C_STATES
};

struct hello {		     /* a CONNECT that waits for its answer; wiped and freed after login */
	u64 login_id, at_ms; /* when it was complete; refused: when that is said */
	TAILQ_ENTRY(hello) held_link; /* of a refusal that waits for the grid */
	struct client *client;
	bool held;
	struct frame frame;
	enum err why; /* of a refusal that waits for the grid */
	/* Allowed: */
	struct who *who;
	struct home *home;
	u64 expires_wall_ms;
	u32 kind, credential;
	bool assigned;
	u32 body_len;
	u8 body[];
};

#define CLIENT_MAGIC 0xc11e47u
struct client {
	u32 magic;
	u8 state, version;
	u8 paused; /* enum pause_why bits; 0: reading */
	bool dirty;
	void *conn;
	struct session *session;
	struct core *core; /* the shard it is on */
	struct hello *hello;
	struct listener_set *set;
	const struct core_listener *listener;
	TAILQ_ENTRY(client) link;
	struct timer timer; /* the nearest of the deadlines below */
	u64 accepted_ms, last_in_ms;
	u64 packet_ms;	/* since when a packet is unfinished; 0: none */
	u64 stall_ms;	/* since when the output is over its limit; 0: it is not */
	u64 resume_ms;	/* paused by rate until then; 0: not */
	u32 packet_len; /* of the unfinished one */
	u16 keep_alive_s, receive_max, port;
	u16 alias_max_out; /* aliases that we may give out; 0: none */
	u32 max_packet;	   /* what it accepts */
	u32 credential;	   /* the number of the one it came with; 0: none */
	bool wants_words;  /* Request Problem Information */
	bool fresh;	   /* its session began with it */
	u16 pinged_s;	   /* quirks.c: when it sent PINGREQ last */
	struct outq out;
	struct aliases *aliases; /* alias.c; NULL: none was used yet */
	struct waits *waits;	 /* answers that wait for the store; NULL: none */
	const char *tls;
	const char *cert_cn; /* NULL: it has proved no certificate */
	u64 connected_wall_ms;
	u64 expires_ms; /* of the credential, monotonic; UINT64_MAX: never */
	u64 msgs_in, msgs_out, bytes_in, bytes_out;
	u8 addr[16];
};

/* One subscription, the session's own view; the index refers to it by number. */
struct sub {
	struct filter filter; /* views text */
	u32 id;		      /* Subscription Identifier; 0: none */
	u8 granted, qos;      /* as SUBACK said; as the rights of now allow */
	bool no_local, retain_as_published;
	bool clear; /* under serial: nothing of it is denied */
	u32 futile; /* strand.c: the look that found nobody else */
	u64 serial; /* of the rights that clear was judged under; 0: judge again */
	u64 place;  /* in the index */
	u8 text[];  /* the filter as it came, "$share/…" and all */
};

struct pids { /* QoS 2 from the client: received and not released */
	u16 *v;
	u32 n, cap;
};

struct will {
	struct msg *m;	       /* QoS and retain are the message's */
	u32 delay_s, expiry_s; /* expiry_s, where it has one, counts from when it is said */
	bool expires;
	struct who *author;
	u64 number; /* by which the store knows it */
};

#define SESSION_MAGIC 0x5e551047u
struct session {
	u32 magic;
	u32 slot, gen;
	u32 mark; /* deliver.c: where this one stands in the list being made */
	struct core *core;
	struct client *client; /* NULL: away */
	struct home *home;
	struct who *who; /* of the newest login */
	struct limits *lim;
	struct durable *durable; /* NULL: it ends with its connection, or there is no store */
	struct sub **subs;	 /* holes are NULL */
	u32 *sub_hash;		 /* of their texts, to find one quickly */
	u32 subs_cap, subs_n;
	struct queue_list queue;
	u32 queue_n, replay_n; /* charged; not charged */
	u64 queue_bytes;
	struct flights out;
	struct pids in;
	struct will *will;
	u32 expiry_s;
	u16 next_pid;
	u8 version;
	bool clean;
	bool lapped;   /* packet identifiers have come round to one that was still in use */
	bool shares;   /* it has or had shared subscriptions: the board knows it */
	bool stranded; /* strand.c looks after it */
	bool handing;  /* its shared messages are being handed on: it takes none */
	u32 denied, dropped;
	u32 quirks;	      /* those it has shown: bits of enum quirk */
	struct timer timer;   /* away: the end, or the will before it */
	u64 ends_ms, will_ms; /* UINT64_MAX: not */
};

struct slot {
	struct session *s;
	u32 gen; /* of the session here, or of the next one */
};

/* deliver.c: one receiver of the message being routed. */
struct receiver {
	struct session *s;
	u8 qos;
	bool retain_as_published;
	u32 nids, first_id; /* into ids */
};
struct id_link {
	u32 id, next;
};

enum { WAIT_SLOTS_MAX = 1 << 20 };
/* Refusals that wait for the grid; more than that crowd. */
enum { REFUSALS_HELD_MAX = 1024 };

#define CORE_MAGIC 0x0c04e001u
struct core {
	u32 magic, shard;
	struct hub *hub;
	struct core_env env;
	u64 now_ms;
	struct wheel wheel;
	TAILQ_HEAD(, client) clients;
	TAILQ_HEAD(, hello) held; /* refused and not yet told, oldest first */
	u32 nheld;
	u32 rejudge_next; /* the slot that is judged next */
	bool rejudging;
	struct slot *slots;
	u32 nslots, slots_used; /* used: slots that were ever given out */
	u32 *free_slots, nfree_slots;
	struct client **waiting; /* logins under way, by the low bits of their id */
	u32 nwaiting, waiting_cap;
	u64 login_serial;
	u64 purge_ms; /* when to look for expired retained messages again */
	bool asking;  /* inside env.login */
	struct limits *limits;
	struct seg_pool segs;
	struct pool queued_pool;
	struct match match;
	bool matching; /* scratch is in use: routing does not nest */
	struct receiver *receivers;
	u32 nreceivers, receivers_cap;
	struct id_link *ids;
	u32 nids, ids_cap;
	u32 *idbuf; /* count, ids: what one receiver is told */
	u32 idbuf_cap;
	u8 *scratch; /* of the packet being handled */
	size_t scratch_cap;
	struct strands strands;
	u64 shared_lost; /* messages that no member of a group could take */
	bool again;	 /* the packet being handled is to be offered again later */
	struct ops ops;
	struct core_stats stats;
};

/* ---- core.c ---- */
void core_enter(struct core *c);
void core_leave(struct core *c);
/* At least n bytes, valid until the next call. */
u8 *core_scratch(struct core *c, size_t n);
struct session *core_session(const struct core *c, u32 slot, u32 gen);

/* ---- limits.c ---- */
struct limits *limits_of(struct core *c, const struct core_listener *l, const struct grant *g,
			 const u8 addr[16]);
void limits_unref(struct core *c, struct limits **l);
/* Are there no more user properties than one packet may carry?  Of MQTT 5; 3 has none. */
bool limits_user_properties(const struct core_limits *l, const struct props *p);

/* ---- client.c ---- */
void client_end(struct core *c, struct client *cl, enum err why);
void client_arm(struct core *c, struct client *cl);
void client_pause(struct core *c, struct client *cl, enum pause_why why);
void client_resume(struct core *c, struct client *cl, enum pause_why why);
void client_dirty(struct core *c, struct client *cl);
void client_unlink(struct core *c, struct client *cl);
void client_free(struct core *c, struct client **cl);
void hello_free(struct client *cl);
/* Reserve room for a packet of at most cap bytes, encode, commit. */
struct wr client_wr(struct core *c, struct client *cl, size_t cap);
/* Nothing is sent when the packet did not fit or is larger than the client accepts: false. */
bool client_wr_done(struct core *c, struct client *cl, struct wr *w);
const struct core_limits *client_limits(const struct client *cl);

/* ---- goodbye.c ---- */
/* Why the connection is about to be closed, to who can be told. */
void goodbye(struct core *c, struct client *cl, enum err why);

/* ---- quirks.c ---- */
void quirk(struct session *s, enum quirk q);
/* How often each was seen of an identity; what is beyond 65,535 is not told. */
void quirks_read(const struct principal *pr, u16 out[QUIRK_N]);
/* open: an older connection of it was, too. */
void quirks_login(struct client *cl, const struct pkt_connect *p, bool open);
void quirks_ping(const struct core *c, struct client *cl);
void quirks_publish(struct client *cl, const struct pkt_publish *p, bool again);
/* It said something after a silence longer than its keep alive; or has none. */
void quirks_silent(struct client *cl);
/* Its packet's length was written longer than it needs. */
void quirks_padded(struct client *cl);

/* ---- login.c ---- */
void on_connect(struct core *c, struct client *cl, const struct frame *f, struct slice body);
void hello_decode(const struct hello *h, struct pkt_connect *p);
/* Nobody waits for an answer, or for the grid, any more. */
void login_forget(struct core *c, struct client *cl);

/* ---- refuse.c ---- */
/* At once, and with its own code. */
void refuse_now(struct core *c, struct client *cl, enum err why);
/* Later, and as every refusal of a credential. */
void refuse_on_grid(struct core *c, struct client *cl, enum err why);
/* Whichever of the two why calls for. */
void refuse(struct core *c, struct client *cl, enum err why);
u64 login_next_ms(const struct client *cl);
void login_due(struct core *c, struct client *cl); /* its deadline or its place on the grid */

/* ---- home.c ---- */
void login_home(struct core *c, struct client *cl);

/* ---- features.c ---- */
void features_connack(const struct client *cl, struct props *q);
/* What the listener serves of this filter; and of this packet, where to ask for more breaks the
 * protocol. */
enum err features_filter(const struct client *cl, const struct filter *f) MUST;
enum err features_subscribe(const struct client *cl, const struct pkt_subscribe *p) MUST;
/* The Response Information for this client, in buf; empty: none. */
struct slice features_response(const struct client *cl, const struct pkt_connect *p, u8 *buf,
			       size_t cap);

/* ---- session.c ---- */
struct session *session_new(struct core *c, struct home *home, struct who *who);
/* One of the store: its clocks go on. */
void session_restored(struct core *c, struct session *s);
/* The connection has been counted at the identity. */
void session_attach(struct core *c, struct session *s, struct client *cl);
/* The client goes; what that means for the will and the session's end. */
enum detach_why { DETACH_LOST, DETACH_GOODBYE /* the will is void */ };
void session_detach(struct core *c, struct session *s, enum detach_why why);
void session_end(struct core *c, struct session **s);

/* ---- subs.c ---- */
void on_subscribe(struct core *c, struct client *cl, const struct frame *f, struct slice body);
void on_unsubscribe(struct core *c, struct client *cl, const struct frame *f, struct slice body);
void subs_drop_all(struct core *c, struct session *s);
void subs_rejudge(struct core *c, struct session *s);
struct slice sub_text(const struct sub *b); /* the filter as it came */
/* From the store; it has not been judged yet. */
void subs_restore(struct core *c, struct session *s, const struct store_sub *x);

/* ---- publish.c ---- */
void on_publish(struct core *c, struct client *cl, const struct frame *f, struct slice body);
/* Keep as retained, route.  m may be borrowed; the caller's reference stays.  receivers: how many
 * subscriptions matched.  E_QUOTA: it may not be retained, and then it goes nowhere. */
enum err publish_effect(struct core *c, struct msg **m, const struct topic *t, struct who *author,
			u32 retained_max, u32 *receivers) MUST;

/* ---- qos.c ---- */
void on_ack(struct core *c, struct client *cl, const struct frame *f, struct slice body);
void ack_send(struct core *c, struct client *cl, enum pkt_type type, u16 pid, u8 reason);
bool pids_has(const struct pids *p, u16 pid);
bool pids_add(struct pids *p, u16 pid);
bool pids_del(struct pids *p, u16 pid);
u16 session_pid(struct session *s);

/* ---- deliver.c ---- */
/* To every session whose subscription matches, on every shard.  Returns how many subscriptions. */
u32 route(struct core *c, struct msg **m, const struct topic *t);
/* Would it come to a session that the store knows? */
bool route_is_durable(struct core *c, const struct topic *t);
/* STALE: the targets were matched on another shard, some time ago. */
enum target_age { FRESH, STALE };
/* number: of the message, for the store; 0: it has none yet. */
void deliver_targets(struct core *c, struct msg **m, const struct topic *t, const struct targets *v,
		     enum target_age age, u64 number);
/* The subscription that a target means, if it is still there. */
struct sub *target_sub(const struct core *c, const struct target *to, struct session **s);
/* May a message on this topic be delivered under sub, as of now? */
bool sub_allows(const struct core *c, const struct session *s, struct sub *sub,
		const struct topic *t, u8 qos, bool retain);

/* ---- alias.c ---- */
void aliases_free(struct client *cl);
/* p has an alias: fills p->topic when that stands for it. */
enum err alias_resolve(struct client *cl, struct pkt_publish *p) MUST;
/* The alias of a topic towards the client, 0: none.  known: it has been told, so the topic is left
 * out; else the packet tells it, which takes ALIAS_BYTES more, if there is room for them.  The
 * packet must follow. */
enum { ALIAS_BYTES = 3, ALIAS_GROWS = ALIAS_BYTES + 2 /* with what the lengths may grow */ };
u16 alias_for(struct client *cl, struct slice topic, bool room, bool *known);

/* ---- encode.c ---- */
struct outgoing {
	u8 first; /* the fixed header's first byte */
	u16 pid;
	const u32 *ids;
};
/* The size of the whole packet for this client; 0: it cannot be sent at all. */
u64 publish_size(const struct core *c, const struct client *cl, const struct msg *m,
		 const struct outgoing *o);
/* False when memory is out; then nothing was written. */
bool publish_send(struct core *c, struct client *cl, struct msg **m, const struct outgoing *o) MUST;

/* ---- operators.c ---- */
struct client_info;
void session_info(const struct core *c, const struct session *s, struct client_info *i);

/* ---- rejudge.c ---- */
void rejudge_some(struct core *c);

/* ---- will.c ---- */
struct will *will_new(const struct pkt_connect *p, struct who *author, u32 delay_max_s);
struct will *will_restore(const struct store_will *x, struct who *author);
void will_free(struct will **w);
void will_fire(struct core *c, struct session *s);
void will_say(struct core *c, struct session *s); /* as part of the effect under way */
void will_rejudge(struct core *c, struct session *s);

/* ---- rate.c ---- */
/* Charge a publication; returns until when (ms) the identity has to wait, 0: go on. */
u64 rate_charge(struct principal *p, const struct core_limits *l, size_t bytes, u64 now_ms);
/* The same for a look through the retained messages: twenty bytes may ask for all of them. */
u64 rate_charge_replay(struct principal *p, u32 nodes, u64 now_ms);

/* ---- events.c ---- */
void event_emit(struct core *c, const struct core_event *e);
struct core_event event_of_client(const struct client *cl, enum event_kind kind, enum err why);
void event_client(struct core *c, const struct client *cl, enum event_kind kind, enum err why,
		  const char *text);
void event_denied(struct core *c, const struct session *s, enum action a, struct slice topic,
		  enum err why);
void event_session(struct core *c, const struct session *s, enum event_kind kind, enum err why,
		   struct slice topic);

#endif
