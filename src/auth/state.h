/* state: what the auth process knows while it runs, and the doors out of it.
 *
 * Everything here belongs to the one thread that serves messages.  The doors (auth_env) are what
 * the process main wires to links, clocks and the wheel; tests wire them to themselves. */
#ifndef PICKET_AUTH_STATE_H
#define PICKET_AUTH_STATE_H

#include <jansson.h>
#include <sys/queue.h>

#include "auth/code.h"
#include "auth/hasher.h"
#include "auth/people.h"
#include "auth/throttle.h"
#include "base/wheel.h"
#include "conf/conf.h"
#include "rights/rights.h"

enum {
	LIM_HELD = 4096,       /* logins that wait for keys at start */
	LIM_SEEN = 512,	       /* remembered sightings before they are written */
	LIM_UNCONFIRMED = 256, /* identity changes on their way to broker at once */
	LIM_ADD = 10000,       /* identities of one call */
	LIM_CHANGES = 10240,   /* identities changed by one call */
	LIM_LIST_TURN = 500,   /* identities of a list read in one turn */
	LIM_CALL_BYTES = 16 << 20,
	LIM_CONFS_BEFORE = 3,
	CONFIRM_WAIT_MS = 5000, /* for broker, before a call is answered with a warning */
	SEEN_FLUSH_MS = 2000,
	SEEN_COARSE_MS = 600 * 1000, /* last_seen is this coarse */
	SOURCE_KNOWN_DAYS = 30,
};

struct auth;

struct auth_env {
	void *arg;
	u64 (*now_ms)(void *arg);
	u64 (*wall_ms)(void *arg);
	/* E_STATE: no broker now. */
	enum err (*to_broker)(void *arg, enum ipc_type type, u64 id, const void *body,
			      struct slice tail, int fd);
	/* The answer to a call.  Borrows. */
	void (*reply)(void *arg, u64 call_id, enum err err, struct slice json);
	enum err (*file_get)(void *arg, enum file_name file, u32 index);
};

struct call;
/* A change on its way to broker. */
struct out {
	TAILQ_ENTRY(out) next;
	u64 generation, identity; /* identity 0: the policy */
	bool sent;
	struct call *call; /* who waits for it; NULL: nobody */
};
TAILQ_HEAD(outs, out);

/* What one transaction changes, gathered until it is durable. */
struct change {
	bool open, policy;
	u64 policy_generation;
	u32 n, cap;
	struct {
		u64 id, generation;
	} * identity;
};

struct call {
	u64 id;
	u32 uid;
	bool admin, dry, stopped; /* stopped: refused; nothing more may be written */
	json_t *req, *reply;
	enum err err;
	const char *op;
	char hash[HASH_TEXT]; /* of the chosen password in req, once made; "" before */
	struct change change;
	u32 waiting; /* outs that broker has not confirmed */
	bool hashing;
	struct timer timer, again; /* again: call_again */
	char after[LIM_NAME + 1];  /* of a list: the last name that it has */
	struct auth *auth;
	TAILQ_ENTRY(call) next;
};
TAILQ_HEAD(calls, call);

struct held_login {
	TAILQ_ENTRY(held_login) next;
	u64 id, since_ms;
	struct m_login m;
	size_t n;
	u8 tail[];
};
TAILQ_HEAD(held_logins, held_login);

struct seen {
	u64 identity, wall_ms;
	u32 credential;
	bool person; /* remember the prefix too */
	u8 prefix[FAIRQ_KEY];
};

struct bootstrap;

/* During a reload broker may still, or again, count its listeners in an earlier one. */
struct conf_before {
	u64 generation;
	struct conf conf;
};

#define AUTH_MAGIC 0xa0747e57u
struct auth {
	u32 magic;
	const struct auth_env *env;
	struct wheel *wheel;
	struct db *db;
	struct conf conf;
	u64 conf_generation;
	struct conf_before before[LIM_CONFS_BEFORE];
	bool has_conf, has_key, has_boot; /* all three: logins are answered */
	bool released;
	u8 token_key[32];

	u64 generation; /* the last one given to a change */
	u8 *block;	/* the policy in force, compiled */
	size_t block_len;
	const struct policy *policy; /* views block */
	u64 policy_generation;
	struct outs outs;
	u32 unconfirmed;
	bool broker_up; /* as far as the last message told */

	struct hasher *hasher;
	struct throttle throttle;
	char decoy[HASH_TEXT]; /* what the password of nobody is checked against */
	struct held_logins held;
	u32 nheld;
	struct seen seen[LIM_SEEN];
	u32 nseen;
	struct timer seen_timer, confirm_timer, expiry_timer, pump_timer;
	struct calls calls;
	struct bootstrap *boot;
};

/* A state with nothing in it; env and wheel are borrowed until auth_free.  Never NULL. */
struct auth *auth_new(const struct auth_env *env, struct wheel *wheel);
/* Ends the threads, answers what waits, closes the store, wipes the key. */
void auth_free(struct auth **a);

static inline u64 auth_now(struct auth *a)
{
	return a->env->now_ms(a->env->arg);
}

static inline u64 auth_wall(struct auth *a)
{
	return a->env->wall_ms(a->env->arg);
}

#endif
