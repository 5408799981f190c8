/* broker_i: the broker process from the inside: what its main thread and its shards share and tell
 * each other.
 *
 * Both sides speak through inboxes; what an item points to belongs to whoever takes it out. */
#ifndef PICKET_PROC_BROKER_I_H
#define PICKET_PROC_BROKER_I_H

#include "base/map.h"
#include "conf/conf.h"
#include "core/core.h"
#include "ipc/child.h"
#include "net/inbox.h"
#include "net/net.h"
#include "net/tls.h"
#include "proc/admission.h"
#include "store/writer.h"

enum {
	LIM_SHARDS = 64,
	/* 0: the built-in certificate; then those of listeners, then the sections. */
	LIM_TLS_SLOTS = 1 + CONF_LISTENERS + CONF_CERTIFICATES,
	LIM_SIGN_BYTES = 1024,
	LIM_LOGIN_TAIL = 4096,	     /* messages.def */
	LIM_SIGN_AGE_MS = 60 * 1000, /* no handshake waits longer */
	LIM_STOP_MS = 1500,	     /* for the last words of a shard */
	SHARD_SHIFT = 56,	     /* an id's top bits are the shard (core.h) */
};

/* To a shard; n and p as said. */
enum shard_item {
	SI_CORE = 1, /* p: struct core_msg */
	SI_ADOPT,    /* p: struct client, n: its struct conn */
	SI_LOGIN,    /* p: struct login_done, n: login id */
	SI_LOGIN_AGAIN,
	SI_SIGNED,   /* p: struct blob (empty: refused), n: id */
	SI_REJUDGE,  /* p: struct generation */
	SI_IDENTITY, /* p: struct generation, n: identity id */
	SI_LISTEN,   /* p: struct listen_order */
	SI_UNLISTEN, /* n: listener */
	SI_DEADLINE, /* n: listener << 32 | ms of the handshake */
	SI_BARRIER,  /* p: struct generation; nothing but to confirm */
	SI_TLS,	     /* n: listener, p: struct net_tls, a reference */
	SI_GREETING, /* n: listener, p: struct net_greeting, a reference */
	SI_ASK,	     /* p: struct ask */
	SI_STORED,   /* p: struct store_notice */
	SI_KEPT,     /* p: struct kept_ask */
	SI_STOP,
};
/* To the main thread. */
enum main_item {
	MI_LOGIN = 1,  /* p: struct blob (struct m_login, tail), n: id */
	MI_SIGN,       /* p: struct sign_order, n: id */
	MI_GENERATION, /* p: struct generation; one shard has confirmed */
	MI_ASKED,      /* p: struct ask; one shard has answered */
	MI_EVENT,      /* p: struct blob, the tail of EVENT; n: wall ms */
	MI_KEPT,       /* p: struct kept_ask; one shard has done its part */
	MI_STORE_FULL, /* n: 1: it is full, 0: it has room again */
	MI_STORE_TOLD, /* p: struct store_order, done */
};

/* Bytes on their way between threads. */
struct blob {
	size_t n;
	u8 b[];
};
struct blob *blob_new(size_t n);
void blob_free(struct blob **b); /* wipes */

struct login_done {
	struct login_answer a; /* views bytes */
	u32 roles[256];
	u8 bytes[2048];
};
struct sign_order {
	struct sign_order *next;
	u64 id, at_ms;
	struct m_sign m;
	size_t n;
	u8 bytes[LIM_SIGN_BYTES];
};
/* A change of rights on its way through all shards. */
struct generation {
	u64 generation;
	_Atomic u32 waiting;
	bool confirm;
	bool reload; /* a configuration waits for it */
};
struct listen_order {
	int fd;
	char name[32];
	struct net_listen_options o; /* o.tls and o.greeting are references */
};
/* A question of admin to all shards. */
struct ask {
	enum ipc_type type;
	u64 id;
	u32 waiting; /* the main thread's */
	enum err reason;
	struct slice identity, client_id; /* view text */
	u8 text[1024];
	struct { /* one a shard, written by it alone until it is back */
		struct client_row *rows;
		u32 n, cap, kicked;
		struct core_stats stats;
		u64 handshakes, tls_failed;
	} of[LIM_SHARDS];
};

struct listing; /* broker_kept.c */
struct kept_ask;

/* What an operator wants of the store (broker_store_ask.c). */
struct store_order {
	struct broker *b;
	struct store *store; /* the writer's */
	u64 id;
	int fd;			 /* of a backup; -1 */
	_Atomic bool has_thread; /* its own, joined when it has told */
	pthread_t thread;
	_Atomic bool over; /* broker stops: be quick */
	struct m_store_told told;
	char text[200];
};
/* The store (broker_store.c, broker_store_ask.c). */
struct stored {
	struct store *store;	 /* until the writer has it; NULL: nothing is durable */
	struct writer *writer;	 /* from when the shards run */
	struct restore *restore; /* while it is loaded, into these */
	struct core *cores[LIM_SHARDS];
	u8 key[STORE_KEY_BYTES];
	bool have_key, clean, sealed, full;
	enum err key_err;
	u64 epoch, offset_ms, began_ms;
	int data_fd; /* its file, to be read; -1 */
	struct m_serving found;
	struct map owners; /* struct owner, by id; while it is loaded */
	u64 *ids;	   /* theirs, in slices that auth is asked about: */
	bool *answered;
	u32 nasks, asked, told;
	struct store_order *long_order; /* the one that takes long; one at a time */
};

struct broker;
struct shard {
	struct broker *b;
	u32 index;
	pthread_t thread;
	bool running;
	struct loop *loop;
	struct core *core;
	struct inbox inbox;
	struct inbox_batch to_main, to_shard[LIM_SHARDS];
	struct inbox_batch unconfirmed; /* generations whose judging is not done */
	struct inbox_batch kept;	/* operators' orders that are not on disk yet */
	struct net_listener *listener[CONF_LISTENERS];
	char listener_name[CONF_LISTENERS][32]; /* for the log */
	u64 now_ms, stop_at_ms;
	u64 handshakes, tls_failed;
	bool stopping;
	bool left_waiting; /* between closed() and released(): it had not logged in */
};

struct broker {
	struct child *child;
	struct hub *hub;
	struct admission *admission;
	struct conf conf;
	bool have_conf, have_policy, have_tickets, loaded, started, serving;
	struct stored stored;
	struct listing *listings; /* of retained messages that admin goes through, newest first */
	u64 last_listing;
	struct conf *offered; /* checked, and in force when its sockets have come */
	struct conf *taking;  /* on its way into force: the shards are being told */
	u64 conf_generation, offered_generation, taking_generation; /* of CONFIG */
	bool apply_again;
	bool open[CONF_LISTENERS];
	u32 nshards;
	struct shard shard[LIM_SHARDS];
	/* From the shards. */
	struct inbox inbox;
	int wake_fd;
	_Atomic u32 watching, watching_all;	   /* identities that admin watches; every one */
	int listen_fd[CONF_LISTENERS][LIM_SHARDS]; /* received and not yet opened; -1 */
	struct blob *chain[LIM_TLS_SLOTS];
	struct net_tls *tls[CONF_LISTENERS];
	struct sign_order *signs; /* asked and not answered, newest first */
};

/* broker_shard.c */
void shard_init(struct shard *s, struct broker *b, u32 index);
void shards_start(struct broker *b);
/* Main thread: tell one shard, tell all. */
void shard_tell(struct shard *s, u32 kind, u64 n, void *p);
void shards_tell(struct broker *b, u32 kind, u64 n, void *p);
/* A shard: tell the main thread, at the end of the turn. */
void shard_report(struct shard *s, u32 kind, u64 n, void *p);
/* All threads end, with what they have described stored; then everything they owned is freed. */
void shards_stop(struct broker *b);
void shards_free(struct broker *b);
/* Any other thread: tell the main thread, now. */
void main_tell(struct broker *b, u32 kind, u64 n, void *p);

/* broker_event.c */
void event_core(void *arg, const struct core_event *e);
/* proxy: through which it came; NULL: by itself. */
void event_not_admitted(struct shard *s, const u8 addr[16], const u8 *proxy, u32 listener,
			enum err why);
/* word: of the log and of EVENT. */
void event_refused(struct shard *s, const char *word, const u8 addr[16], u16 port, u32 listener,
		   enum err why, const char *text);
/* Gone before it had said anything. */
void event_silent(struct shard *s, const u8 addr[16], u16 port, u32 listener, enum err why,
		  const char *text);

/* broker_login.c */
void shard_login(void *arg, const struct login_request *r);
void login_send(struct broker *b, u64 id, struct blob **login);
enum err login_verdict(struct broker *b, const struct ipc_msg *m) MUST;

/* broker_rights.c */
enum err rights_policy(struct broker *b, struct ipc_msg *m) MUST;
enum err rights_identity(struct broker *b, const struct ipc_msg *m) MUST;
struct generation *generation_new(const struct broker *b, u64 generation, bool confirm);
void rights_confirmed(struct broker *b, struct generation *g);

/* broker_tls.c */
void shard_sign(void *arg, struct loop *l, u64 id, u32 slot, u32 alg, u32 shape,
		struct slice bytes);
void sign_send(struct broker *b, struct sign_order *o);
void sign_again(struct broker *b);
enum err sign_answer(struct broker *b, const struct ipc_msg *m) MUST;
enum err tls_chain(struct broker *b, struct ipc_msg *m) MUST;
/* The configuration has changed: every listener's TLS is made anew. */
void tls_renew(struct broker *b);
u64 listener_deadline(const struct broker *b, u32 listener);
void listener_fds_close(struct broker *b, u32 listener);
void tls_tickets(struct broker *b, const struct m_ticket_keys *k);
/* Open what is ready to be opened. */
void listeners_open(struct broker *b);
void tls_free(struct broker *b);

/* broker_conf.c */
enum err conf_take(struct broker *b, struct ipc_msg *m) MUST;
/* All sockets of a configuration have come: what was offered comes into force. */
void conf_apply(struct broker *b);
/* Every shard has turned out who came through what is no more. */
void conf_applied(struct broker *b);
/* How connections to l have to begin; the caller's reference. */
struct net_greeting *greeting_of(const struct conf_listener *l);
/* Set of enum net_protocol. */
u32 protocols_of(const struct conf_listener *l);
void listeners_describe(const struct conf *c, struct core_listener *out);

/* broker_admin.c */
enum err admin_ask(struct broker *b, const struct ipc_msg *m) MUST;
enum err admin_watch(struct broker *b, const struct ipc_msg *m) MUST;
void shard_answer(struct shard *s, struct ask *a);
void admin_answered(struct broker *b, struct ask *a);

/* broker_kept.c */
/* SESSION_QUERY, SESSION_DROP, RETAINED_QUERY, RETAINED_DELETE. */
enum err kept_ask(struct broker *b, const struct ipc_msg *m) MUST;
void shard_kept(struct shard *s, struct kept_ask *a);
void shard_kept_turn(struct shard *s); /* at the end of a turn */
void kept_answered(struct broker *b, struct kept_ask *a);
/* admin is another one: nobody goes on with those. */
void kept_forget(struct broker *b);

/* broker_store.c */
/* The key came; its own file, before the start. */
enum err stored_key(struct broker *b, const struct ipc_msg *m) MUST;
bool store_key_read(struct slice text, u8 key[STORE_KEY_BYTES]) MUST;
/* Before the sandbox closes.  An error has been said. */
enum err stored_open(struct broker *b, u64 epoch_min) MUST;
void stored_hub_options(struct broker *b, struct hub_options *o);
/* What is stored becomes sessions; their owners' rights are asked for.  An error has been said. */
enum err stored_load(struct broker *b, const struct hash_key *key) MUST;
void stored_auth_linked(struct broker *b);
enum err stored_rights(struct broker *b, const struct ipc_msg *m) MUST;
/* Serve, if all is known that has to be; true: it does. */
bool stored_go_on(struct broker *b);
void stored_full(struct broker *b, bool full);
/* After the last shard: commit what is there, close it as after an orderly end. */
void stored_close(struct broker *b);

/* broker_store_ask.c */
void store_told(struct broker *b, struct store_order *o);
/* Whoever reads or writes the store for an operator lets go of it.  False: it does not in time. */
bool store_orders_end(struct broker *b);
enum err store_ask(struct broker *b, struct ipc_msg *m) MUST;

#endif
