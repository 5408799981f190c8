/* core: the broker as a pure machine.  Bytes in, bytes out; time, randomness and everything outside
 * are arguments.  The same object runs under net's loop, in the fuzzer and in the simulator.
 *
 * struct hub is what the shards of one broker share: the directory (identity, client id) -> shard,
 * the subscription index and the retained tree (lock-free for readers), the policy of the moment,
 * the principals.  struct core is one shard: the clients and sessions that it owns.  One thread a
 * core; shards talk only by struct core_msg through env->post. */
#ifndef PICKET_CORE_CORE_H
#define PICKET_CORE_CORE_H

#include <sys/uio.h>

#include "base/err.h"
#include "base/quirk.h"
#include "base/wheel.h"
#include "rights/rights.h"
#include "store/store.h"

struct hub;
struct core;
struct client;	 /* one connection, from its first byte */
struct core_msg; /* what one shard tells another; opaque to who carries it */

/* Limits of one kind of identity on one listener: the values of conf/limits.def that core needs,
 * filled by the glue.  UINT32_MAX / UINT64_MAX: none.  A role's limits (rights.h) override the
 * defaults. */
struct core_limits {
	u32 prelogin_bytes, max_packet;
	u32 connect_ms, login_ms, packet_ms;
	u32 keep_alive_max_s;
	u32 subscriptions, filters_per_subscribe, topic_aliases;
	u32 receive_maximum, inflight;
	u32 queue_messages, offline_messages;
	u64 queue_bytes, offline_bytes, output_buffer;
	u32 output_stall_ms;
	u32 publish_rate, publish_burst;
	u64 publish_bytes;
	u32 retained_identity, connections_identity;
	u32 session_expiry_max_s;
	u32 user_properties, user_property_bytes;
	u32 refusal_grid_ms;
};

/* What a listener serves of MQTT, and says so in CONNACK. */
struct core_features {
	u8 maximum_qos;
	bool wildcards, shared, subscription_ids;
	/* Response Information, with {device} and {clientid}; "": none is given. */
	char response_topic[256];
};
static inline struct core_features core_features_all(void)
{
	return (struct core_features){2, true, true, true, ""};
}

/* What a listener means to core. */
struct core_listener {
	char name[32];
	bool tls;
	bool anonymous; /* clients without credentials are asked about too (auth knows the role) */
	struct core_features features;
	struct core_limits device, service; /* before login: device */
};

struct hub_options {
	u32 nshards;
	u32 retained_total;
	u64 retained_bytes;
	u8 hash_key[16];
	/* Durable state (docs/decisions/0005-durability.md).  submit takes b and brings it to the
	 * store thread, in the order of its calls; any shard's thread, some calls under a lock.
	 * NULL: nothing is durable. */
	void (*submit)(void *arg, struct store_batch *b);
	/* The disk is full: new durable work is refused.  Any shard's thread. */
	bool (*store_full)(void *arg);
	void *submit_arg;    /* of both */
	u64 store_epoch;     /* store_epoch() */
	u64 store_offset_ms; /* store time = now_ms of core_turn + this, modulo 2^64 */
};

struct login_request { /* views the CONNECT packet; valid during env->login only */
	u64 id;	       /* answer with core_login_done; the top 8 bits are the shard */
	u32 listener;
	u8 version;
	bool tls, has_username, has_password;
	struct slice client_id, username, password;
	struct slice cert_cn;  /* of core_certificate */
	struct slice cert_san; /* empty for now */
	const u8 *addr;
};
/* In the number of a credential: it is of another series, of users of this machine. */
#define CREDENTIAL_LOCAL (1u << 31)
struct login_answer {	  /* borrowed by core_login_done */
	enum err verdict; /* E_OK: allow.  E_BUSY, E_UNAVAILABLE: said as such.  Everything else:
			     the one refusal. */
	u64 identity_id, generation, expires_wall_ms;
	u32 kind; /* enum identity_kind of ipc/messages.h */
	struct slice identity, group, username, client_id_pattern, cert_cn, cert_san;
	const u32 *roles;
	u32 nroles;
	u32 credential; /* number of the one that was used; 0: none */
};

/* One line of the log or of `picket wait`; closed vocabulary in word. */
enum event_kind {
	EV_CONNECT,
	EV_REFUSED,
	EV_DISCONNECT,
	EV_SUBSCRIBE,
	EV_PUBLISH /* watched only */,
	EV_DENIED,
	EV_DROPPED,
	EV_TAKEOVER,
	EV_WILL
};
struct core_event {
	enum event_kind kind;
	enum err why;
	const char *listener;
	const u8 *addr;
	u16 port;
	u8 version;
	bool watched; /* somebody waits for this identity's events */
	struct slice
		identity; /* empty before login: then client_id and username are what was claimed */
	struct slice client_id, username;
	struct slice topic; /* topic or filter */
	enum action action; /* of EV_DENIED */
	u32 bytes, receivers, qos;
	const char *text; /* ours: "tls TLSv1.3", "session kept" … may be NULL */
	void *conn; /* the connection that it is about; NULL: none (a will, a session alone) */
};

struct core_env {
	void *arg;
	/* Check this login; nothing has happened yet (I03).  The client reads nothing until the
	 * answer, which comes through core_login_done later, never from within this call. */
	void (*login)(void *arg, const struct login_request *r);
	/* Carry m (taken) to that shard, which gives it to core_receive.  In order for each pair of
	 * shards. */
	void (*post)(void *arg, u32 shard, struct core_msg *m);
	/* The client has left this core (no timers, nothing refers to it): move its connection to
	 * that shard and call core_adopt there. */
	void (*move)(void *arg, struct client *c, void *conn, u32 shard);
	/* Output is pending for conn: ask core_output at the end of the turn. */
	void (*dirty)(void *arg, void *conn);
	/* Close the connection; flush: what is pending is to be sent first.  core_closed follows.
	 */
	void (*close)(void *arg, void *conn, bool flush, enum err why);
	/* Back-pressure: stop and go on offering input. */
	void (*pause)(void *arg, void *conn);
	void (*resume)(void *arg, void *conn);
	void (*event)(void *arg, const struct core_event *e);
	void (*random)(void *arg, void *out, size_t n);
	u64 (*wall_ms)(void *arg);
};

/* Which member of a $share group gets a message. */
enum shared_strategy {
	SHARED_ROUND_ROBIN,
	SHARED_STICKY,	     /* the one that had the last, as long as it is here */
	SHARED_HASH_TOPIC,   /* one for each topic, as long as the members stay the same */
	SHARED_LEAST_LOADED, /* the one with the least that waits or is not acknowledged */
	SHARED_STRATEGIES
};

struct hub *hub_new(const struct hub_options *o);
void hub_free(struct hub **h); /* all cores are gone */
/* New connections meet these listeners from now on (copied).  Any thread. */
void hub_set_listeners(struct hub *h, const struct core_listener *l, u32 n, bool reload);
/* From the next message on.  Any thread. */
void hub_set_shared(struct hub *h, enum shared_strategy how);

struct core *core_new(struct hub *h, u32 shard, const struct core_env *env, u64 now_ms);
void core_free(struct core **c); /* drops all clients and sessions; closes nothing */

/* ---- connections --------------------------------------------------------------------- */
/* A connection is open (after TLS).  addr is copied.  NULL: refused (no memory). */
struct client *core_open(struct core *c, void *conn, u32 listener, const u8 addr[16], u16 port,
			 u64 accepted_ms, const char *tls);
/* Before its first bytes: whoever ended its TLS has verified a certificate with this common name,
 * which is viewed as long as the connection lives. */
void core_certificate(struct core *c, struct client *cl, const char *cn);
/* Bytes came; returns how many were consumed (whole packets; 0: wait for more or paused). */
size_t core_input(struct core *c, struct client *cl, struct slice bytes);
int core_output(struct core *c, struct client *cl, struct iovec *iov, int max);
void core_sent(struct core *c, struct client *cl, size_t bytes);
/* The connection is gone (why: E_EOF, E_IO, E_TIMEOUT or what env->close was given).  Frees the
 * client; publishes its will where due. */
void core_closed(struct core *c, struct client *cl, enum err why);
/* The new home after env->move. */
void core_adopt(struct core *c, struct client *cl, void *conn);
void *client_conn(const struct client *cl);

/* ---- answers and messages ------------------------------------------------------------ */
void core_login_done(struct core *c, u64 login_id, const struct login_answer *a);
/* auth is away: every login in waiting is asked again through env->login. */
void core_login_again(struct core *c);
void core_receive(struct core *c, struct core_msg *m); /* takes m */
void core_msg_drop(struct core_msg *m);		       /* instead of receiving it, at shutdown */

/* Once a turn, first: the time.  Fires timers, advances the reclamation epoch. */
void core_turn(struct core *c, u64 now_ms);
/* When core_turn has to run next; UINT64_MAX: not before something happens. */
u64 core_next(const struct core *c);

/* Once a turn, last (net's turned), after everything else that the turn had to do: hand the shard's
 * batch to the store, if there is one and it is time. */
void core_turn_end(struct core *c);

/* ---- durable state ------------------------------------------------------------------- */
/* What the store thread tells this shard.  Takes n.  Counts of sessions that are another shard's
 * are passed over, so they may be told to every shard. */
void core_stored(struct core *c, struct store_notice **n);

/* What this shard has described so far is on disk when core_stored_upto says so of this ticket. */
u64 core_stored_ticket(const struct core *c);
bool core_stored_upto(const struct core *c, u64 ticket);
/* Is all that this shard has described on disk?  (At a shutdown there is nothing to wait for then.)
 */
bool core_stored_all(const struct core *c);

/* Instead of core_stored, when the core is gone or about to go. */
void core_notice_drop(struct store_notice **n);

/* The start: what the store holds becomes sessions and retained messages, on one thread, before any
 * shard runs.  In this order: begin; every session; every subscription, identifier and retained
 * message, in any order; then the glue asks auth about restore_identities and tells the hub
 * (hub_identity_changed; WHO_REVOKED for those that auth does not know) and sets the policy;
 * restore_end.  Listeners may open after that: until then no will, expiry or queue goes on.
 * Operations that the end causes (what has expired, whose owner is gone) wait in each shard's batch
 * for its first core_turn_end. */
struct restore;
struct restore *restore_begin(struct hub *h, struct core *const *cores, u32 n);
void restore_session(struct restore *r, const struct store_session *s);
void restore_sub(struct restore *r, const struct store_sub *s);
void restore_pid(struct restore *r, u64 sid, u16 pid);
void restore_retained(struct restore *r, const struct store_retained *x);
/* Each identity that owns something of it, once, in no order. */
void restore_identities(struct restore *r, void (*cb)(void *arg, u64 identity_id), void *arg);
/* Takes r.  Drops what belongs to identities that nobody told the hub about or that are revoked or
 * suspended; starts the clocks. */
struct restored {
	u64 sessions, subscriptions, retained; /* that live */
	u64 dropped; /* sessions and retained messages whose owner is gone, or that had expired */
};
void restore_end(struct restore **r, struct restored *out);

/* ---- rights at every moment (I09, I11) ----------------------------------------------- */
/* Publish a policy to all shards.  block is owned by the hub from now on and unmapped by
 * drop(block, len, arg) after the last reader.  Any thread; then core_rejudge on every shard. */
void hub_set_policy(struct hub *h, const struct policy *p,
		    void (*drop)(const struct policy *p, void *arg), void *arg);
u64 hub_policy_generation(const struct hub *h);
/* Judge again all that this shard holds: subscriptions, queues, wills.  core_turn does it, some
 * sessions a turn; when core_rejudging is false the shard has confirmed the generation.  What is
 * published, subscribed or newly delivered is judged with the new rights at once. */
void core_rejudge(struct core *c);
bool core_rejudging(const struct core *c);
struct identity_change {
	u64 identity_id, generation;
	u32 status, kind; /* enum identity_status / identity_kind; revoked or suspended: close, drop
			     sessions, void wills */
	struct slice identity, group, client_id_pattern;
	const u32 *roles;
	u32 nroles;
	u32 local_min;	    /* the same for numbers with CREDENTIAL_LOCAL; 0: none */
	u32 credential_min; /* connections of a lower credential end (it was replaced or expired);
			       0: none */
};
/* First on any one thread, then core_identity_apply on every shard. */
void hub_identity_changed(struct hub *h, const struct identity_change *ch);
void core_identity_apply(struct core *c, u64 identity_id);

/* ---- for operators ------------------------------------------------------------------- */
struct client_info {
	struct slice identity, client_id;
	const char *listener, *tls;
	const u8 *addr;
	u16 port;
	u64 connected_wall_ms, last_in_ms_ago, msgs_in, msgs_out, bytes_in, bytes_out, denied,
		dropped;
	u32 version, keep_alive_s, subscriptions, inflight, kind;
	u32 quirks;	    /* that the session has shown: bits of enum quirk */
	u16 quirk[QUIRK_N]; /* how often each was seen of its identity; 65,535: or more */
	u32 queued;	    /* what waits, in memory or on disk */
	u64 queued_bytes;
	u32 stored; /* so many of queued are on disk only */
	u32 expiry_s;
	const u32 *drops; /* DROP_KINDS counters, kept with the session; NULL: it is not durable */
	u64 ends_in_ms;	  /* of one that is away; UINT64_MAX: never, or it is here */
	bool online, clean, durable;
};
/* Every session of this shard, online or not; stops when cb returns false. */
void core_each(struct core *c, bool (*cb)(void *arg, const struct client_info *i), void *arg);
/* The same from slot *at on, looking at most at max of them; *at moves on.  False: there are no
 * more. */
bool core_each_some(struct core *c, u32 *at, u32 max,
		    bool (*cb)(void *arg, const struct client_info *i), void *arg);
/* End the sessions of that identity, or the one with that client id, too; empty slices match all,
 * but not both.  Connections are closed (E_ADMIN); what waits is lost; a will is said.  It is so
 * for good when core_stored_ticket is reached. */
enum drop_how { DROP_FOR_GOOD, DROP_DRY };
struct drop_count {
	u64 sessions, connections, subscriptions, queued;
};
void core_drop(struct core *c, struct slice identity, struct slice client_id, enum drop_how how,
	       struct drop_count *out);

/* What is retained under a filter, as of one moment; holds on to the messages until it is freed
 * (any thread; before the hub).  By any one shard, which looks at the whole tree for it. */
struct retained_which {
	const struct filter *filter;
	struct slice identity; /* of the author; empty: any */
	u64 older_ms;	       /* kept at least so long ago */
};
struct retained_info { /* views the list */
	struct slice topic, payload, props, identity, client_id;
	u64 age_ms;	   /* since it was kept, when the list was made */
	u64 expires_in_ms; /* UINT64_MAX: never */
	u8 qos;
};
struct retained_list;
struct retained_list *core_retained_list(struct core *c, const struct retained_which *w);
size_t retained_list_count(const struct retained_list *l);
struct retained_info retained_list_at(const struct retained_list *l, size_t i);
void retained_list_free(struct retained_list **l);
/* Delete them.  Writers wait meanwhile.  Returns how many and of how many bytes of payload. */
u64 core_retained_delete(struct core *c, const struct retained_which *w, u64 *bytes);

/* Close clients: empty slices match all.  Returns how many. */
u32 core_kick(struct core *c, struct slice identity, struct slice client_id, enum err why);
void hub_watch(struct hub *h, struct slice identity, bool on);

struct core_stats {
	u64 clients, sessions, subscriptions, retained, msgs_in, msgs_out, bytes_in, bytes_out;
	u64 logins_ok, logins_refused, denied_publish, denied_subscribe, denied_delivery, dropped,
		malformed;
	u64 plaintext_logins;
};
/* Adds this shard's figures to out (retained: once a hub, by shard 0). */
void core_stats_add(const struct core *c, struct core_stats *out);
/* Shutdown: DISCONNECT 0x8b to every client of MQTT 5, then close. */
void core_shutdown(struct core *c);

#endif
