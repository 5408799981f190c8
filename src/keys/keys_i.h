/* keys_i: the insides of the keys process, shared by the files of this folder.
 *
 * main.c     messages, timers, the order of the start
 * files.c    files through the supervisor
 * start.c    pepper and CA: read or made
 * renew.c    the server certificate
 * external.c certificates that somebody else issued
 * serve.c    what broker, auth and admin get */
#ifndef PICKET_KEYS_KEYS_I_H
#define PICKET_KEYS_KEYS_I_H

#include <sys/queue.h>

#include "conf/conf.h"
#include "ipc/child.h"
#include "keys/cert.h"
#include "keys/derive.h"
#include "keys/pem.h"

#define KEYS_MAGIC 0x6b657973u
enum {
	/* External certificates: those of listeners, then the sections. */
	KEYS_EXTERNAL = CONF_LISTENERS + CONF_CERTIFICATES,
	KEYS_SLOTS = 1 + KEYS_EXTERNAL, /* 0: ours; 1 + i: the external one i */
	KEYS_JOBS = 2 * KEYS_EXTERNAL + 16,
	KEYS_HELD = 1024, /* requests to sign that wait for the end of the start */
	KEYS_TICK_MS = 60 * 1000,
	KEYS_TICKET_MS = 12 * 3600 * 1000,
	KEYS_CA_WARN_MS = 7 * 24 * 3600 * 1000,
};

struct keys;
/* The content of a file (secure memory, borrowed), or why there is none: E_NOT_FOUND and others. */
typedef void keys_read_fn(struct keys *k, u32 file, u32 index, enum err e, struct slice content);
/* A file is in place and durable, or not. */
typedef void keys_written_fn(struct keys *k, u32 file, enum err e);

struct job {
	enum { JOB_FREE, JOB_READ, JOB_OPEN, JOB_COMMIT } state;
	u64 id;
	u32 file, index;
	struct sbuf content; /* to be written */
	keys_read_fn *read;
	keys_written_fn *written;
};

/* What a listener serves. */
struct slot {
	EVP_PKEY *key; /* NULL: empty */
	X509 *cert;
	struct sbuf chain; /* PEM, leaf first */
};

struct renewal {
	EVP_PKEY *key; /* NULL: none under way */
	X509 *cert;
	void (*then)(struct keys *k, enum err e);
	u64 call; /* the id of the KEYS_CALL that wants to know; 0: nobody */
};

/* One external certificate while it is read. */
struct external {
	struct sbuf text[2]; /* certificate, key */
	enum err err[2];
	u8 seen[32]; /* hash of what was judged last, good or bad */
	struct slot fresh;
	char what[CERT_TEXT + 96];
	bool changed, bad;
};

/* A handshake that asked while the keys were being read, after a restart of this process. */
struct held {
	STAILQ_ENTRY(held) next;
	u64 id;
	struct m_sign m;
	size_t n;
	u8 bytes[];
};

/* In OpenSSL's secure heap. */
struct keys_secrets {
	u8 pepper[PEPPER_BYTES];
	struct m_token_key token;
	struct m_ticket_keys tickets;
};

struct keys {
	u32 magic;
	struct child *child;
	struct conf conf, next, offered; /* in force; being judged; offered last */
	bool configured, serving;
	bool reload, reload_waits; /* next is being judged; offered waits for its turn */
	u64 reload_generation, offered_generation;
	struct names machine, names;
	struct keys_secrets *secret;
	EVP_PKEY *ca_key;
	X509 *ca;
	struct slot slot[KEYS_SLOTS];
	struct renewal renewal;
	struct external external[KEYS_EXTERNAL];
	u32 external_waiting; /* files not read yet */
	void (*external_then)(struct keys *k);
	struct sbuf start_text[FILE_N];
	enum err start_err[FILE_N];
	u32 start_waiting;
	struct job job[KEYS_JOBS];
	u64 last_id;
	struct timer tick;
	u64 rotate_at_ms, ca_warn_at_ms; /* monotonic */
	STAILQ_HEAD(, held) held;
	u32 held_n;
	u64 refused_log_ms;
	u32 refused;
};

/* files.c: asks are answered later, never from inside the call. */
void files_read(struct keys *k, u32 file, u32 index, keys_read_fn *read);
/* Copies content; written may be NULL. */
void files_write(struct keys *k, u32 file, struct slice content, keys_written_fn *written);
void files_message(struct keys *k, struct ipc_msg *m);
void files_drop(struct keys *k);

/* start.c: then comes start_done (main.c), or the process ends with the reason in the log. */
void start_begin(struct keys *k);
void start_done(struct keys *k);
/* The name that the CA gets. */
const char *start_ca_name(const struct keys *k);

/* renew.c */
/* Make a new server certificate, write it, serve it, and call then; E_BUSY when one is under way.
 */
enum err renew_begin(struct keys *k, const char *why, u64 call,
		     void (*then)(struct keys *k, enum err e)) MUST;
/* Renew if there is a reason. */
void renew_if_due(struct keys *k);

/* external.c */
/* Read and judge the external certificates of c; then is called with external[] filled, at once
 * when there are none.  False: one is under way. */
bool external_load(struct keys *k, const struct conf *c, void (*then)(struct keys *k));
/* The first one that cannot be served; NULL: all can. */
const struct external *external_bad(const struct keys *k);
/* Serve what changed for the better; log the others once. */
void external_install(struct keys *k);
void external_drop(struct external *x);

/* serve.c */
void slot_clear(struct slot *s);
void slot_put(struct keys *k, u32 slot,
	      struct slot *fresh); /* takes what fresh holds; tells broker */
void serve_broker(struct keys *k);
void serve_auth(struct keys *k);
void serve_store_key(struct keys *k);
void serve_tickets(struct keys *k);
void serve_sign(struct keys *k, const struct ipc_msg *m);
void serve_held(struct keys *k); /* what asked before we served: sign, or drop when we never will */
void serve_call(struct keys *k, const struct ipc_msg *m);
void serve_reply(struct keys *k, u64 id, enum err e, struct slice text);

#endif
