/* world: shards of core without sockets, threads or clocks.
 *
 * Connections are buffers, time is a number, the order in which things happen is the caller's. Unit
 * tests, the simulator and the fuzzer all run the very core that picketd runs.  Logins are answered
 * from a table: the user name is the identity, the password is "pw". */
#ifndef PICKET_TESTS_WORLD_H
#define PICKET_TESTS_WORLD_H

#include "core/core.h"
#include "store/writer.h"
#include "wire/packet.h"

enum { W_SHARDS = 8, W_ROLES = 8, W_IDENTITIES = 64 };

struct identity {
	char name[32];
	u64 id, generation;
	u32 kind, status; /* of core/who.h */
	u32 roles[W_ROLES], nroles;
	char pattern[40];
	u32 credential; /* number of the only one in force; 0: not counted */
	u32 local_min;	/* the lowest in force of users of this machine */
};

struct wconn {
	struct world *w;
	struct wconn *next; /* all of a world */
	struct client *cl;  /* NULL: gone */
	u32 shard;
	u8 version;
	bool paused, dirty, closing, flush, moving, blocked; /* blocked: reads nothing */
	enum err why;
	u8 *in, *out;
	size_t in_n, in_cap, out_n, out_cap, out_at; /* out_at: read by the test so far */
	void *user;
};

struct post {
	struct post *next;
	struct core_msg *m;
};
struct lane { /* from one shard to another, in order */
	struct post *head, **tail;
};
struct told { /* what the store told a shard, which has not heard it yet */
	struct told *next;
	struct store_notice *n;
};
struct wshard { /* what a shard's core calls back with */
	struct world *w;
	u32 shard;
};
struct login {
	struct login *next;
	u64 id;
	char username[64], password[64];
	bool has_username;
};

struct world {
	struct hub *hub;
	u32 n;
	struct core *core[W_SHARDS];
	struct core_env env[W_SHARDS];
	struct core_listener listener;
	u64 now_ms, wall_ms, rng;
	struct wconn *conns;
	struct wshard self[W_SHARDS];
	struct lane lane[W_SHARDS][W_SHARDS]; /* [from][to] */
	struct login *logins, **logins_tail;
	bool hold_logins, hold_posts;
	bool hold_rejudge; /* a policy is judged turn by turn */
	bool allow_all;	   /* every login is this identity 0 */
	/* With a store (in memory): it lives on when everything else dies. */
	struct store *store;
	struct writer *writer;
	struct told *told[W_SHARDS], **told_tail[W_SHARDS];
	bool hold_store, hold_told; /* nothing is committed; nobody hears of it */
	u64 submitted;		    /* batches */
	u32 ops[SO_KINDS];	    /* operations in them */
	struct hub_options options;
	char *policy; /* the text of now */
	struct identity identity[W_IDENTITIES];
	u32 identities;
	u64 generation;
	/* What was seen. */
	u32 events[16];
	enum err last_why[16];
	void (*on_event)(struct world *w, const struct core_event *e);
	void *user;
};

struct world *world_new(u32 shards, const struct core_limits *limits);
/* The same with a store. */
struct world *world_new_stored(u32 shards, const struct core_limits *limits);
/* Everything dies at this moment but what was committed, and starts again, on so many shards.  The
 * connections are gone (cl NULL, freed by who made them). */
struct restored world_crash(struct world *w, u32 shards);
void world_die(struct world *w); /* the first half of it */
/* The end of a turn of that shard. */
void world_turn_end(struct world *w, u32 shard);
/* One transaction; false: there was nothing to commit. */
bool world_commit(struct world *w);
/* The next notice for that shard; false: there is none. */
bool world_tell(struct world *w, u32 shard);
void world_full(struct world *w, bool full); /* the disk */
/* Closes everything; asserts that nothing is left. */
void world_free(struct world **w);
struct core_limits world_limits(void); /* defaults.md, devices */
u64 world_random(struct world *w, u64 below);

/* Policy text; role i of it gets number i + 1.  Every shard judges again. */
void world_policy(struct world *w, const char *text);
/* roles: numbers, ended by 0. */
struct identity *world_identity(struct world *w, const char *name, u32 kind, const u32 *roles);
void world_identity_changed(struct world *w, struct identity *i);

struct wconn *world_connect(struct world *w, u32 shard);
void wconn_send(struct wconn *c, struct slice bytes);
void wconn_drop(struct wconn *c, enum err why); /* the network's fault */
void wconn_free(struct wconn *c);		/* gone already */
/* The next whole packet that came; false: none. */
bool wconn_next(struct wconn *c, struct frame *f, struct slice *body);

/* One thing that may happen next, any one: an answer, a message between shards.  False: nothing
 * can. */
bool world_some(struct world *w);
/* A turn ends, the store commits, a shard hears of it: any one. */
bool world_store_some(struct world *w);
/* Input, a move, output or the end of one connection. */
bool wconn_step(struct wconn *c);
/* Everything that can happen without time going on. */
void world_run(struct world *w);
/* Let time go on, firing what becomes due in between. */
void world_advance(struct world *w, u64 ms);
struct core_stats world_stats(struct world *w);

#endif
