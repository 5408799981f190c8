/* route: what may be asked, and by whom.  Pure: tables and decisions, no HTTP, no sockets. */
#ifndef PICKET_ADMIN_ROUTE_H
#define PICKET_ADMIN_ROUTE_H

#include <sys/types.h>

#include "admin/routes.def"
#include "base/err.h"

/* Zero is nobody: an early return or a forgotten field refuses. */
enum authority { AUTHORITY_NONE = 0, AUTHORITY_OPS, AUTHORITY_ADMIN };

struct request;
typedef void route_fn(struct request *r);
struct route {
	const char *method, *path;
	enum authority needs;
	size_t body_max;
	route_fn *start;
	const char *doc;
};

/* The process at the other end, as the kernel tells it (SO_PEERCRED, SO_PEERGROUPS; unix(7)). */
struct peer {
	uid_t uid;
	gid_t gid;
	u32 ngroups;
	gid_t group[64];
};
/* Who has which authority on this machine; found before the sandbox closes. */
struct authority_rules {
	uid_t owner; /* runs picketd */
	bool has_admin_group, has_ops_group;
	gid_t admin_group, ops_group;
};

/* One call of POST /v1/call (ipc/calls.h). */
struct call_rule {
	const char *op;
	bool admin;
	const char *arguments, *reply;
};

enum route_found { ROUTE_OK, ROUTE_NO_PATH, ROUTE_NO_METHOD };
/* The row for exactly this method and path. */
enum route_found route_find(const char *method, const char *path, const struct route **out) MUST;
const struct route *route_at(size_t i); /* NULL past the last */
const struct call_rule *call_at(size_t i);

enum authority authority_of(const struct authority_rules *rules, const struct peer *p) MUST;
/* May a caller of this authority make the call named op?  E_NOT_FOUND: no such call; E_DENIED. */
enum err call_allowed(const char *op, enum authority who) MUST;

#endif
