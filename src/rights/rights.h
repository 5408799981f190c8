/* rights: the policy language.  Text, document, policy; and the one matcher that everyone uses
 * (I12).
 *
 * Pure: no I/O, no clock, no globals.  auth parses and compiles; broker evaluates the very same
 * bytes: a compiled policy is one flat, position-independent block that travels as a sealed memfd
 * and is checked once when it is opened.  Nothing allowed means denied; a deny wins over any allow
 * in whatever order.
 *
 *   role sensor {
 *     publish   home/${device}/tele/#
 *     subscribe home/${device}/cmd/#
 *     deny publish home/${device}/tele/secret
 *     publish   plant/+/log if qos 0..1, retain no, tls yes, listener mqtts, source 10.0.0.0/8
 *     source    10.0.0.0/8, not 10.9.0.0/16
 *     limit     publish 5/s burst 50, packet 16k, inflight 8, queue 100/256k, retained 20
 *   }
 *   deny * subscribe exact #
 *   device probe { role sensor; token-file /path/token }
 *   user anna { role operators; unix-user 1000; password-file /path/password }
 *   service hub { role hubs; group home; client-id "hub-*" }
 */
#ifndef PICKET_RIGHTS_RIGHTS_H
#define PICKET_RIGHTS_RIGHTS_H

#include "base/err.h"
#include "wire/topic.h"

enum action { ACT_PUBLISH, ACT_SUBSCRIBE };
enum verdict { DENY = 0, ALLOW = 1 }; /* zeroed memory, an early return, a lost message: all deny */

/* ---- text and document ----------------------------------------------------------------- */

struct policy_doc; /* what a policy file says; owns all its strings */

/* Where a text stopped making sense.  what is ours, near is the offending text, escaped. */
struct policy_error {
	u32 line, column;
	char what[160];
	char near[64];
	char hint[160]; /* what to do next; the nearest known word for a misspelt one */
};

enum policy_file_kind {
	POLICY_RULES, /* what apply and export exchange: roles, denies, identities without secrets
		       */
	POLICY_FIRST, /* also token-file and password-file: the bootstrap file */
};
/* Takes nothing; on E_OK the caller owns *out.  E_SYNTAX fills err. */
enum err policy_parse(struct slice text, enum policy_file_kind kind, struct policy_doc **out,
		      struct policy_error *err) MUST;
void policy_doc_free(struct policy_doc **doc);
/* Canonical text, stable order, parses back to an equal document.  The caller frees *text. */
enum err policy_print(const struct policy_doc *doc, char **text) MUST;
/* A difference that a person reads: lines beginning with "+ ", "- ", one rule or attribute a line,
 * under the name of what they belong to.  Empty string when equal.  The caller frees *text. */
enum err policy_diff(const struct policy_doc *from, const struct policy_doc *to, char **text) MUST;

/* Walks, for auth to store and load a document. */
struct policy_identity_view { /* device NAME {…}, user NAME {…}, service NAME {…} */
	const char *kind, *name;
	const char *group, *client_id, *token_file, *password_file; /* NULL: not said */
	const char *const *roles;
	u32 nroles;
	bool has_uid;
	u32 uid; /* unix-user: who of this machine it is */
};
u32 policy_role_count(const struct policy_doc *doc);
const char *policy_role_name(const struct policy_doc *doc, u32 i);
/* The canonical text of one role, with its braces; the caller frees it. */
char *policy_role_text(const struct policy_doc *doc, u32 i);
/* The canonical text of all denies outside roles; the caller frees it. */
char *policy_denies_text(const struct policy_doc *doc);
u32 policy_identity_count(const struct policy_doc *doc);
void policy_identity_at(const struct policy_doc *doc, u32 i, struct policy_identity_view *out);

/* A role name or identity name that we accept: 1..128 bytes, letters, digits, '.', '_', '-', ':',
 * '@'. */
bool policy_name_ok(struct slice name);

/* ---- the compiled policy --------------------------------------------------------------- */

struct policy; /* the flat block; immutable, shared by all threads */

/* ids[i] is the stable number of role i of the document (policy_role_name), from auth's store.  The
 * caller frees *block.  E_SYNTAX never for a parsed document; E_NOMEM. */
enum err policy_compile(const struct policy_doc *doc, const u32 *ids, u64 generation, u8 **block,
			size_t *len) MUST;
/* Check every offset and count of a block, which begins at a multiple of 8 and must stay readable
 * and unchanged as long as the policy is used.  E_CORRUPT. */
enum err policy_open(struct slice block, const struct policy **out) MUST;
u64 policy_generation(const struct policy *p);
/* Is there a role with this stable number? */
bool policy_role_exists(const struct policy *p, u32 id);

/* Limits that a role may set; 0 means: the default of defaults.md.  UINT32_MAX means none. */
struct role_limits {
	u32 publish_rate, publish_burst; /* messages a second */
	u32 packet_bytes;
	u32 inflight;
	u32 queue_messages, queue_bytes;
	u32 retained;
	u32 subscriptions;
	bool all_none; /* limit all none */
};
/* The most generous of those roles that hold for who comes from addr and say anything about a
 * field; 0 in a field about which none does.  publish without burst: a burst of five seconds'
 * worth. */
void policy_limits(const struct policy *p, const u32 *roles, u32 nroles, const u8 addr[16],
		   struct role_limits *out);

/* ---- evaluation ------------------------------------------------------------------------ */

struct subject_claim { /* ${claim.NAME}: a string claim of the token that logged in */
	struct slice name, value;
};

/* Who acts: what placeholders stand for.  Views; empty means absent.  A value that is absent or
 * unsafe (a wildcard, '/', a control character, not UTF-8; a '$' that would begin the topic) never
 * makes an allow match; a deny treats it as any one level ('+'), so that what cannot be told is
 * denied.  A role number that the policy does not know says nothing. */
struct subject {
	struct slice device; /* the identity's name: ${device} */
	struct slice client_id, username, group, cert_cn, cert_san;
	const u32 *roles;
	u32 nroles;
	const struct subject_claim *claims;
	u32 nclaims;
};

/* How it acts: what conditions look at. */
struct circumstance {
	u8 qos;
	bool retain;
	bool tls;
	u8 addr[16]; /* of base/addr.h; all zero and a unix socket's peer are in no network */
	struct slice listener;
};

enum verdict rights_publish(const struct policy *p, const struct subject *who,
			    const struct topic *t, const struct circumstance *how);
/* May this concrete topic be delivered to who? */
enum verdict rights_deliver(const struct policy *p, const struct subject *who,
			    const struct topic *t, const struct circumstance *how);
/* Grants a filter that lies inside the union of what is allowed (exact set inclusion, f->share set
 * aside) and not wholly inside the union of what is denied; what denies cut out of it is withheld
 * by rights_deliver.  how->qos is the requested QoS (a condition on it may let a lower one pass:
 * ask again); retain conditions are left to rights_deliver.  *clear: no deny and no condition can
 * cut anything out of it, so deliveries under it need no check in this generation. */
enum verdict rights_subscribe(const struct policy *p, const struct subject *who,
			      const struct filter *f, const struct circumstance *how, bool *clear);

/* Why: the deciding rule as text and, for a denial, the allow that comes nearest. */
struct explanation {
	enum verdict verdict;
	char role[129]; /* empty: no rule decided, or a deny outside roles */
	char rule[1280];
	char nearest[1280]; /* the nearest allow, with placeholders as written */
	char nearest_role[129];
	bool elsewhere; /* that role holds only for other sources */
};
void rights_explain(const struct policy *p, const struct subject *who, enum action a,
		    struct slice raw, const struct circumstance *how, struct explanation *out);

/* Is every topic of b also a topic of a?  (Both without share.)  The brick of rights_subscribe. */
bool filter_includes(const struct filter *a, const struct filter *b) MUST;
/* Is there a topic that both match? */
bool filter_overlaps(const struct filter *a, const struct filter *b) MUST;

#endif
