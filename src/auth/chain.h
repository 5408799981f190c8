/* chain: the authenticators of a listener, asked in its order, until one answers for the login.
 *
 * Each says allow, deny or not mine.  One that needs time (a hash, a server elsewhere) says later,
 * keeps the login and comes back with its answer.  Who is not answered for is denied, and so is
 * whoever an authenticator failed on (I01, I26).  For a known and an unknown name the same
 * functions run (I20, I31). */
#ifndef PICKET_AUTH_CHAIN_H
#define PICKET_AUTH_CHAIN_H

#include "auth/state.h"

enum answer { ANSWER_DENY, ANSWER_ALLOW, ANSWER_NOT_MINE, ANSWER_LATER };

/* One login on its way: what the client said, what the store says of it, what was found. */
#define LOGIN_MAGIC 0x10914c4au
struct login {
	u32 magic;
	u64 id;
	const struct conf_listener *listener; /* of a configuration that is kept (login_conf) */
	struct conf_listener *own;	      /* a copy, once it is kept */
	struct slice client_id, username, password, cert_cn, cert_san;
	u8 source[FAIRQ_KEY]; /* the source's prefix: /32 or /64 */
	bool tls;
	bool local; /* through a unix socket, by the user uid */
	u32 uid;
	u32 step;	       /* of the listener's authenticators, the one that is asked */
	struct identity named; /* whom the user name names; id 0: nobody */
	/* Of ANSWER_ALLOW: who it is, and by what (number 0: no credential of the store). */
	struct identity who;
	struct credential by;
	bool person;  /* remember the source: its chosen password was right */
	enum err why; /* of ANSWER_DENY; for the log */
	bool kept;
	size_t n; /* of bytes; they are wiped at the end */
	u8 bytes[];
};

/* Decide this login, now or later; never nothing.  l is borrowed (see login_keep). */
void chain_start(struct auth *a, struct login *l);
/* An authenticator that said ANSWER_LATER has its answer.  Takes l. */
void chain_resume(struct auth *a, struct login *l, enum answer answer);
/* The login as one that outlives the turn, for ANSWER_LATER: a copy of l and all that it views, or
 * l itself when it is one already.  NULL: no memory. */
struct login *login_keep(struct login *l) MUST;
/* Instead of chain_resume, when there is nobody to answer any more. */
void login_drop(struct login **l);

/* What a listener's authenticators are made of; by_NAME.c. */
enum answer by_peer(struct auth *a, struct login *l);
enum answer by_token(struct auth *a, struct login *l);
enum answer by_password(struct auth *a, struct login *l);

#endif
