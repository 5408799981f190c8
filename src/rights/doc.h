/* doc: what a policy text says, as data.  Internal to rights. */
#ifndef PICKET_RIGHTS_DOC_H
#define PICKET_RIGHTS_DOC_H

#include "rights/buf.h"
#include "rights/rights.h"

enum {
	POLICY_TEXT_MAX = 16 << 20, /* bytes of a policy text */
	POLICY_RULE_COUNT = 4096,   /* rules of a role, denies for everyone: all asked each time */
	POLICY_ID_ROLES = 64,	    /* roles of one identity */
	POLICY_FILTER_TEXT = 1024,  /* bytes of a filter as written, with its placeholders */
	POLICY_CLAIM_NAME = 64,	    /* bytes of NAME in ${claim.NAME} */
	POLICY_CLIENT_ID = 256,	    /* bytes of a client-id pattern */
	POLICY_ROLE_NETS = 64,	    /* networks of one role */
	POLICY_UID_NOBODY = 65534,  /* whom the kernel names instead of a user it does not know */
	POLICY_PACKET_MAX = 256 << 20,
};

enum cond_bit { COND_QOS = 1, COND_RETAIN = 2, COND_TLS = 4, COND_LISTENER = 8, COND_SOURCE = 16 };
enum { COND_ALL = 31 };

struct cond {
	u8 has; /* of enum cond_bit */
	u8 qos_min, qos_max;
	u8 retain, tls; /* 0 or 1 */
	u8 prefix;	/* bits of addr that count, 0..128 */
	u8 addr[16];	/* IPv4 is mapped; bits behind the prefix are zero */
	char *listener; /* owned, or NULL */
};

enum reach { REACH_ROLE, REACH_EVERYONE };

struct rule {
	bool deny, exact;
	enum action action;
	enum reach reach;
	char *filter; /* as written, unquoted; owned */
	struct cond cond;
	char *text; /* canonical, owned: what print, diff and explain show */
};

struct rule_list {
	struct rule *v;
	u32 n;
};

/* Where a role holds: in none of those denied, and in one of the others if there are any. */
struct role_net {
	u8 addr[16]; /* IPv4 is mapped; bits behind the prefix are zero */
	u8 prefix;
	bool deny;
};

struct role {
	char *name;
	size_t at; /* where in the text, for messages */
	struct rule_list rules;
	struct role_net *nets; /* sorted */
	u32 nnets;
	struct role_limits limits;
};

enum identity_kind { ID_DEVICE, ID_USER, ID_SERVICE };

struct identity {
	enum identity_kind kind;
	char *name;
	size_t at;
	char **roles; /* sorted */
	u32 nroles;
	char *group, *client_id, *token_file, *password_file; /* NULL: not said */
	bool has_uid;
	u32 uid; /* the user of this machine who is this identity */
};

#define POLICY_DOC_MAGIC 0xd0c0917cu
struct policy_doc {
	u32 magic;
	struct role *roles; /* by name */
	u32 nroles;
	struct rule_list denies;
	struct identity *identities; /* by kind, then name */
	u32 nidentities;
};

struct policy_doc *policy_doc_new(void) MUST;
/* Bring everything into canonical order and drop rules said twice. */
void policy_doc_sort(struct policy_doc *doc);
const struct role *policy_doc_role(const struct policy_doc *doc, const char *name);
const char *identity_word(enum identity_kind kind);

void rule_clear(struct rule *r);
void role_clear(struct role *r);
void identity_clear(struct identity *id);

/* The pieces of canonical text; rule_text sets r->text. */
void rule_text(struct rule *r);
void print_role(struct buf *b, const struct role *r);
void print_word(struct buf *b, const char *s); /* quoted when it has to be */
/* Item i of the limits of a role ("packet 16k"); false when there is no such item or it is not
 * said. */
enum { LIMIT_ITEMS = 6 };
/* "192.168.0.0/16", "not 10.9.0.0/16" */
void print_role_net(struct buf *b, const struct role_net *n);
bool print_limit(struct buf *b, const struct role_limits *l, u32 i);

#endif
