/* calls: what admin may ask of auth; one row an operation.
 *
 * A call is a JSON object {"op": NAME, …arguments…}; the reply is a JSON object.  On success the
 * reply has the fields below.  On refusal m_call_reply.err is not E_OK and the reply is
 *   {"error": {"code": "E1042", "word": "exists", "text": "what happened and why", "next": "what to
 * do"}}. A call that changes rights is answered only after it is durable and every shard of broker
 * has confirmed the generation (I11).  With "dry_run": true nothing is written and the reply says
 * what would change.  Every mutating reply has "changed", "effect", "undo", "next" (one line each;
 * journeys.md, conventions).
 *
 *   X(op, needs admin, arguments, reply)
 */
#ifndef PICKET_IPC_CALLS_H
#define PICKET_IPC_CALLS_H

#define AUTH_CALL_TABLE(X)                                                                         \
	X("identity.add", 1,                                                                       \
	  "kind device|user|service; name | prefix+count; roles[]; group?; client_id?; auth "      \
	  "token|password; password? (chosen); dry_run?",                                          \
	  "identities[]: {name, kind, roles[], group, token? (generated secret, shown once)}")     \
	X("identity.list", 0, "kind?; never? (never connected); prefix?",                          \
	  "identities[]: {id, name, kind, status, roles[], group, client_id, created, last_seen, " \
	  "credentials: n, unix_user?}")                                                           \
	X("identity.show", 0, "name",                                                              \
	  "identity: as in list, and credentials[]: {number, type token|password|certificate, "    \
	  "created, expires, last_used, state}")                                                   \
	X("identity.rotate", 1, "name; overlap_s?; password? (else a new token)",                  \
	  "identity, token?")                                                                      \
	X("identity.password", 1, "name; password", "identity")                                    \
	X("identity.revoke", 1, "name; reason?", "identity")                                       \
	X("identity.restore", 1, "name", "identity, token (a new credential)")                     \
	X("identity.remove", 1, "name", "identity")                                                \
	X("identity.roles", 1, "name; roles[] (the new set)", "identity")                          \
	X("identity.local", 1,                                                                     \
	  "name; uid? (the user of this machine who it is; left out: nobody)", "identity")         \
	X("role.list", 0, "", "roles[]: {name, identities: n, rules: n}")                          \
	X("role.show", 0, "name", "name, text (canonical policy text)")                            \
	X("role.set", 1, "name; text (the whole role in the policy language)", "name, diff")       \
	X("role.allow", 1, "name; action publish|subscribe; filter", "name, diff")                 \
	X("role.deny", 1, "name; action publish|subscribe; filter", "name, diff")                  \
	X("role.remove", 1, "name", "name")                                                        \
	X("policy.export", 0, "", "text")                                                          \
	X("policy.check", 0, "text", "ok, diff")                                                   \
	X("policy.apply", 1, "text; confirm_s? (roll back after this unless confirmed); dry_run?", \
	  "diff, generation, confirm_until?")                                                      \
	X("policy.confirm", 1, "", "generation")                                                   \
	X("policy.rollback", 1, "", "generation, diff")                                            \
	X("explain", 0,                                                                            \
	  "identity; action publish|subscribe; topic; qos?; retain?; from? (an address)",          \
	  "verdict allow|deny, role, rule, nearest, nearest_role, text (one line for people), "    \
	  "fix? (a picket command)")                                                               \
	X("status", 0, "",                                                                         \
	  "identities, devices, users, services, never_connected, roles, generation, hashing: "    \
	  "{threads, waiting}")

#endif
