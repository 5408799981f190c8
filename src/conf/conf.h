/* conf: the option table and everything that is made from it: parser, checks, printing, the manual.
 *
 * struct conf is plain data without pointers: the supervisor parses, every child gets the checked
 * bytes. Syntax is libconfuse's; an empty file is valid; an unknown key is an error that names the
 * nearest one. */
#ifndef PICKET_CONF_CONF_H
#define PICKET_CONF_CONF_H

#include "base/err.h"

enum {
	CONF_LISTENERS = 16,
	CONF_NAMES = 16,
	CONF_NETS = 32,
	CONF_CERTIFICATES = 16,
	CONF_PATH = 256,
	CONF_ORIGINS = 16,
	CONF_ORIGIN = 128
};

/* One row a limit: X(name, type, device default, service default, min, max, doc).  MS, SIZE, COUNT.
 * The service default applies to identities of kind service.  Reloadable unless doc says so. */
#include "conf/limits.def"

#define X(name, type, dev, svc, min, max, doc) u64 name;
struct conf_limits {
	LIMIT_TABLE(X)
};
#undef X
#define CONF_NO_LIMIT UINT64_MAX

struct conf_net {
	u8 addr[16]; /* IPv6, IPv4 mapped */
	u8 prefix;   /* 0..128 */
};
struct conf_nets {
	u32 n;
	struct conf_net net[CONF_NETS];
};

/* Ways in which a client may prove who it is.  A listener names those that it takes, in the order
 * in which they are asked. */
#define AUTHENTICATORS(X)                                                                          \
	X(PEER, "peer")                                                                            \
	X(CERTIFICATE, "certificate")                                                              \
	X(TOKEN, "token")                                                                          \
	X(PASSWORD, "password")
#define X(name, word) AUTHENTICATOR_##name,
enum authenticator { AUTHENTICATORS(X) AUTHENTICATOR_N };
#undef X

struct conf_listener {
	char name[32];
	char bind[128];	    /* "*:8883", "127.0.0.1:1883", "[::1]:8883", "unix:/run/x.sock" */
	char address[108];  /* taken apart: "" means every address; of a unix socket its path */
	u16 port;	    /* 0: a unix socket */
	char interface[16]; /* "": any */
	u32 socket_mode;    /* of a unix socket; and who owns it, "": as it comes */
	char socket_group[32];
	bool tls;
	bool local;			   /* a unix socket */
	bool loopback;			   /* the address is a loopback one, or it is local */
	u8 authenticators;		   /* how many */
	u8 authenticator[AUTHENTICATOR_N]; /* enum authenticator, in the order of asking */
	bool mqtt, websocket;		   /* what is spoken on it; one of them at least */
	bool limits_none;		   /* limits { all = none } */
	u32 origins;			   /* web pages that may connect; 0: none may */
	char origin[CONF_ORIGINS][CONF_ORIGIN];
	char websocket_path[64];
	/* What it serves of MQTT. */
	u32 maximum_qos;
	bool wildcard_subscriptions, shared_subscriptions, subscription_identifiers;
	char anonymous_role[132]; /* "" : none */
	char accept_risk[256];
	char certificate[CONF_PATH], key[CONF_PATH]; /* external ones; "" : the built-in CA's */
	/* Besides that one, by the name that a client asks for: sections, and where each stands. */
	u32 certificates;
	char certificate_name[CONF_CERTIFICATES][32];
	u8 certificate_at[CONF_CERTIFICATES];
	struct conf_nets allow; /* who may connect; none: all (needed for plaintext off loopback) */
	struct conf_nets deny;	/* who may not, whatever else is said */
	bool proxy;		/* connections begin with a PROXY header, and come from proxies */
	bool proxy_certificates;
	bool forwarded_for; /* the X-Forwarded-For of their WebSocket requests counts */
	struct conf_nets proxies;
	struct conf_limits limits; /* the global ones with this listener's changes */
	u32 line;		   /* where it stands in the file, for messages; 0: it does not */
};

/* Which member of a shared subscription gets a message; the order of core's enum. */
#define SHARED_STRATEGY_TABLE(X)                                                                   \
	X(ROUND_ROBIN, "round_robin")                                                              \
	X(STICKY, "sticky")                                                                        \
	X(HASH_TOPIC, "hash_topic")                                                                \
	X(LEAST_LOADED, "least_loaded")
#define X(name, word) CONF_SHARED_##name,
enum conf_shared { SHARED_STRATEGY_TABLE(X) CONF_SHARED_N };
#undef X

/* Does the listener take this kind of proof? */
bool conf_authenticates(const struct conf_listener *l, enum authenticator a);
const char *authenticator_word(enum authenticator a);

/* certificate NAME { … } */
struct conf_certificate {
	char name[32];
	char file[CONF_PATH], key[CONF_PATH];
	u32 line;
};

struct conf {
	char config_path[CONF_PATH], state_dir[CONF_PATH], run_dir[CONF_PATH], bootstrap[CONF_PATH];
	u32 shards; /* 0: auto, one a core */
	u32 log_level;
	u32 names, addresses; /* of the server certificate, besides the machine's own */
	char name[CONF_NAMES][256], ip[CONF_NAMES][64];
	u32 tls_min; /* 12 or 13 */
	bool persistence, store_encryption;
	u64 store_max_size;
	char store_key[CONF_PATH];	/* "keys", an absolute path, or "credential:NAME" */
	u32 shared_strategy;		/* enum conf_shared */
	char response_topic[CONF_PATH]; /* with {device} and {clientid}; "": none */
	struct conf_limits limits, service_limits;
	u32 certificates;
	struct conf_certificate certificate[CONF_CERTIFICATES];
	u32 listeners;
	struct conf_listener listener[CONF_LISTENERS];
};

/* What is wrong, where, why and what to do next; ours, with the offending text escaped. */
struct conf_error {
	char file[CONF_PATH];
	u32 line;
	char what[256];
	char hint[256];
};

/* The name of a systemd credential that store_key is; NULL: it is none. */
const char *conf_store_credential(const struct conf *c);

/* Everything at its default: one TLS listener "mqtts" on *:8883. */
void conf_defaults(struct conf *c);
/* Parse text (the content of path).  E_CONFIG fills err. */
enum err conf_parse(const char *path, const char *text, struct conf *out,
		    struct conf_error *err) MUST;
/* Read path (a missing default file is an empty one; missing is E_CONFIG when must_exist). */
enum err conf_load(const char *path, bool must_exist, struct conf *out,
		   struct conf_error *err) MUST;
/* The checked configuration as text that parses back to the same (conf_print), and the manual of
 * one option or of all (name NULL): name, type, default, range, what it is for.  The caller frees
 * *text. */
enum err conf_print(const struct conf *c, char **text) MUST;
enum err conf_explain(const char *name, char **text) MUST;
/* What a reload cannot change (state_dir, run_dir, shards): fills err with the name of the first.
 */
enum err conf_reload_ok(const struct conf *from, const struct conf *to,
			struct conf_error *err) MUST;
/* Is addr in one of the networks? */
bool conf_in_nets(const struct conf_nets *l, const u8 addr[16]);
/* May addr connect: is it in none of the denied networks, and in one of the allowed ones if any
 * are named? */
bool conf_may_connect(const struct conf_nets *allow, const struct conf_nets *deny,
		      const u8 addr[16]);
/* Bytes of a received struct conf: strings terminated, counts in range.  For children. */
bool conf_valid(const struct conf *c) MUST;

#endif
