/* messages: the fixed payloads of messages.def and the roles that exchange them.
 *
 * Plain data without pointers, zeroed before it is filled.  A verdict of zero denies. */
#ifndef PICKET_IPC_MESSAGES_H
#define PICKET_IPC_MESSAGES_H

#include "base/base.h"
#include "base/quirk.h"
#include "ipc/messages.def"

enum role {
	ROLE_SUP,
	ROLE_BROKER,
	ROLE_AUTH,
	ROLE_KEYS,
	ROLE_ADMIN,
	ROLE_CANARY,
	ROLE_CHECK,
	ROLE_SALVAGE,
	ROLE_N
};
const char *role_name(enum role r); /* "supervisor", "broker", … */

enum ipc_fd { IPC_NO_FD, IPC_FD, IPC_FD_MAYBE };

struct m_none {
	u32 unused;
};
struct m_link {
	u32 peer; /* enum role; the descriptor replaces any older link to it */
};
struct m_config {
	u64 generation;
	u32 size;   /* sizeof(struct conf), which is what the memfd holds */
	u32 reload; /* 0 at start, 1 at SIGHUP: answer CONFIG_DONE, change nothing on an error */
};
struct m_listener {
	u32 listener; /* index into conf.listeners */
	u32 shard;
	u32 last;    /* no more of this generation follow */
	u32 renewed; /* in place of one that is in force, whose interface went and came */
};

enum { STORE_KEY_BYTES = 32 }; /* in the memory of STORE_KEY */

/* Files are opened by the supervisor under these names only; index tells several of a kind apart.
 */
enum file_name {
	FILE_CA_KEY,
	FILE_CA_CERT,
	FILE_SERVER_KEY,
	FILE_SERVER_CERT,
	FILE_EXTERNAL_CERT,
	FILE_EXTERNAL_KEY, /* index: listener; CONF_LISTENERS + certificate section */
	FILE_PEPPER,
	FILE_AUTH_DIR,
	FILE_BOOTSTRAP,
	FILE_BOOTSTRAP_SECRET, /* index: nth secret file named by the bootstrap policy */
	FILE_LOG,
	FILE_STORE_KEY, /* given to broker at its start */
	FILE_N
};
enum file_mode {
	FILE_READ,
	FILE_NEW,  /* a temporary; FILE_COMMIT fsyncs and renames it into place */
	FILE_DONE, /* in FILE, the answer to FILE_COMMIT (same id): err says whether it is in place
		    */
};
struct m_file_get {
	u32 file, index, mode;
};
struct m_file {
	u32 file, index, mode;
	u32 err; /* enum err; E_NOT_FOUND when it does not exist.  No descriptor then. */
};
struct m_start {
	u32 nshards;
	u32 first_start;     /* the state folder was empty */
	u64 store_epoch_min; /* a store that was set back gives out no number twice */
};
struct m_ready {
	u32 seccomp;	  /* 1: a filter is in force */
	u32 landlock_abi; /* 0: none */
};
/* What broker found in its store. */
struct m_serving {
	u64 sessions, subscriptions, retained, dropped, damaged;
	u64 epoch;	/* of the store */
	u32 ms;		/* from its start until now */
	u32 persistent; /* 0: there is no store */
};
struct m_config_done {
	u64 generation;
	u32 err;
};
struct m_generation {
	u64 generation;
};

struct m_login {
	u64 now_ms;
	u64 conf_generation; /* of the CONFIG that listener counts in */
	u32 listener;
	u16 client_id_len, username_len,
		password_len; /* the tail, in this order, then cn and san */
	u16 cert_cn_len, cert_san_len;
	u8 has_username, has_password;
	u8 version; /* 3, 4, 5 */
	u8 tls;
	u8 addr[16];
};
enum identity_kind { KIND_DEVICE, KIND_USER, KIND_SERVICE, KIND_ANONYMOUS };
enum identity_status {
	STATUS_REVOKED = 0,
	STATUS_ACTIVE,
	STATUS_MUST_ROTATE,
	STATUS_QUARANTINED,
	STATUS_SUSPENDED
};
/* The client id pattern of VERDICT and IDENTITY: empty is the default of the kind (device: the
 * name, or the name, ':' and anything; others: anything); else a literal, or a prefix that ends in
 * '*'. */
struct m_verdict {
	u32 verdict;	 /* 1: allow; all else denies */
	u32 reason;	 /* enum err, for the log alone: what leaves is the same for all (E_BUSY and
			    E_UNAVAILABLE apart) */
	u64 identity_id; /* never reused; 0 for anonymous */
	u64 generation;	 /* of the identity, as of this answer */
	u64 expires_ms;	 /* wall clock; 0: never */
	u32 kind;
	u32 credential; /* number of the credential used; with VERDICT_LOCAL one of another series
			 */
};
#define VERDICT_LOCAL (1u << 31) /* by user id, through a unix socket */
struct m_policy {
	u64 generation;
	u64 size;
	u32 confirm; /* GENERATION_DONE is awaited */
};
struct m_identity {
	u64 identity_id;
	u64 generation; /* GENERATION_DONE is awaited */
	u32 status; /* revoked or suspended: close its clients, drop its sessions, void its wills */
	u32 kind;
	u32 credential_min; /* close clients whose VERDICT named a lower credential (rotated,
			       expired) */
	u32 local_min;	    /* the same of numbers with VERDICT_LOCAL */
};
/* Whose rights?  Of identities that own something stored; the answers have the same id. */
enum { RIGHTS_ASKED = 512 };
struct m_rights_ask {
	u32 count; /* identity ids (u64, of this machine) in the tail; at most RIGHTS_ASKED */
	u32 unused;
};
struct m_rights {
	u32 count; /* in the tail */
	u32 last;  /* 1: all that were asked for with this id have been told */
};
/* One of RIGHTS: then its strings and roles as in IDENTITY.  An identity that does not exist is a
 * revoked one without a name. */
struct rights_row {
	u64 identity_id, generation;
	u32 status, kind, credential_min, unused;
};

/* What a handshake may ask to have signed (RFC 8446 section 4.4.3; RFC 5246 section 7.4.3). */
enum sign_alg {
	SIGN_ECDSA_SHA256 = 1,
	SIGN_ECDSA_SHA384,
	SIGN_RSA_PSS_SHA256,
	SIGN_RSA_PSS_SHA384,
	SIGN_RSA_PKCS1_SHA256
};
enum sign_shape { SIGN_TLS13_SERVER = 1, SIGN_TLS12_SERVER_KX };
struct m_sign {
	u32 slot; /* which certificate: 0 built-in, else 1 + index of FILE_EXTERNAL_CERT */
	u32 alg, shape;
};
struct m_signed {
	u32 err;
};
struct m_tls_chain {
	u32 slot;
	u32 size; /* PEM, leaf first, in the memfd */
	u64 not_before_ms, not_after_ms;
};
struct m_ticket_keys { /* newest first; the first seals, all open */
	u8 name[3][16], aes[3][32], hmac[3][32];
	u32 count;
};
struct m_token_key {
	u8 key[32]; /* derived from the pepper; keyed hashes of generated secrets */
};

struct m_call {
	u32 uid;   /* of the peer of the unix socket */
	u32 admin; /* 1: may change; 0: may read */
	u32 size;  /* of the memfd, when there is one */
};
struct m_call_reply {
	u32 err;
	u32 size;
};
enum keys_op {
	KEYS_CA_CERT = 1,
	KEYS_SERVER_CERT,
	KEYS_CA_BACKUP /* tail = passphrase; reply = PKCS#8 PEM, encrypted, and the certificate */,
	KEYS_RENEW
};
struct m_keys_call {
	u32 op;
};
enum sup_op {
	SUP_STATUS = 1,
	SUP_RELOAD,
	SUP_LOG /* reply: the log, read-only */,
	SUP_CONFIG, /* reply tail: nothing; memfd: struct conf */
	/* A backup takes the place of the store: OPEN's reply has a new file to write it to; DONE's
	   comes when broker serves it, or all is as it was; DROP: no more of it comes. */
	SUP_RESTORE_OPEN,
	SUP_RESTORE_DONE,
	SUP_RESTORE_DROP
};
struct m_sup_call {
	u32 op;
};
struct m_sup_child {
	u32 pid, uid, restarts, seccomp, landlock_abi, up;
};
struct m_sup_reply {
	u32 err;
	u32 size;
	u64 up_ms, started_wall_ms;
	struct m_sup_child child[ROLE_N];
};

/* One client of CLIENT_ROWS; strings are NUL-terminated, cut to fit. */
struct client_row {
	char identity[132], client_id[260], addr[64], listener[32], tls[64];
	u64 connected_wall_ms, last_in_ms_ago;
	u64 msgs_in, msgs_out, bytes_in, bytes_out, denied, dropped;
	u32 version, keep_alive_s, subscriptions, queued, inflight, shard, kind, online, clean;
	u32 quirks;	    /* that this session has shown: bits of enum quirk */
	u16 quirk[QUIRK_N]; /* how often each was seen of the identity; 65,535: or more */
};
/* What is kept, a page at a time.  An identity or a client id that is empty stands for any. */
enum { KEPT_ROWS = 256 }; /* of a page */
#define KEPT_END UINT64_MAX
struct m_session_query {
	u64 cursor; /* 0, then what the page before said */
};
struct m_page {
	u64 cursor;	 /* of the next page; KEPT_END: this was the last */
	u32 count, size; /* rows; bytes of the memfd, if there is one */
};
/* Why messages of a session were dropped; the reasons of store.h, which admin does not see, in
 * their order. */
#define KEPT_DROPS(X) X("quota") X("expired") X("too_large") X("denied") X("damaged")
/* One session of SESSION_ROWS; strings as in client_row. */
struct session_row {
	char identity[132], client_id[260], addr[64], listener[32];
	u64 queued, queued_bytes, stored, expiry_s, ends_in_ms, connected_wall_ms;
	u64 drops[8]; /* as KEPT_DROPS */
	u32 subscriptions, inflight, version, kind, online, durable, clean, unused;
};
struct m_session_drop {
	u32 dry; /* 1: only say what would go */
};
struct m_retained_query {
	u64 cursor, older_ms;
	u32 payload; /* 1: the payloads, too, KEPT_PAYLOAD bytes of each; 2: the whole one of the
			first, and nothing else: the memfd is that */
	u32 unused;
};
enum { KEPT_PAYLOAD = 16384 };
/* One of RETAINED_ROWS, followed by topic, identity, client id, payload (its length may be less
 * than bytes). */
struct retained_row {
	u64 age_ms, expires_in_ms;
	u32 qos, bytes;
	u32 topic_n, identity_n, client_id_n, payload_n;
};
struct m_retained_delete {
	u64 older_ms;
	u32 dry, unused;
};
struct m_dropped {
	u64 sessions, connections, subscriptions, queued;
	u64 retained, bytes;
	u32 err, unused;
};

/* STORE_ASK and its answer. */
enum store_ask {
	STORE_STATUS = 1,
	STORE_CHECK,  /* every record, while it is in use; told when done */
	STORE_BACKUP, /* to the pipe that comes along; told when all is written */
};
struct m_store_ask {
	u32 op;
};
struct m_store_told {
	u32 op, err;
	u32 persistent, sealed, full, clean; /* clean: it had been closed in order */
	u64 sessions, subs, queued, retained, messages;
	u64 bytes, free_bytes, map_bytes, commits, operations, syncs;
	u64 epoch, up_ms;
	u64 records, damaged, written; /* of a check; of a backup, bytes */
};
struct m_rows {
	u32 count, row_size;
};
struct m_kick {
	u32 reason; /* enum err */
};
struct m_kicked {
	u32 count;
};
struct m_stats {
	u64 clients, sessions, subscriptions, retained, msgs_in, msgs_out, bytes_in, bytes_out;
	u64 logins_ok, logins_refused, denied_publish, denied_subscribe, denied_delivery, dropped,
		malformed;
	u64 plaintext_logins, policy_generation, tls_handshakes, tls_failed;
	u64 turned_away, turned_away_network; /* connections, at accept; the latter by networks */
};
struct m_watch {
	u32 on;
};
struct m_event {
	u64 wall_ms;
};

#define R(name)				     (1u << ROLE_##name)
#define X(name, from, to, payload, tail, fd) IPC_##name,
enum ipc_type { IPC_NONE, IPC_TABLE(X) IPC_N };
#undef X

#endif
