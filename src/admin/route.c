/* route: the table of routes, the table of calls, and the decision who may use them. */
#include "admin/handlers.h"
#include "admin/route.h"
#include "ipc/calls.h"

#define X(method, path, needs, max, fn, doc)                                                       \
	{method, path, AUTHORITY_##needs, max, route_##fn, doc},
static const struct route routes[] = {ROUTE_TABLE(X)};
#undef X

#define X(op, admin, args, reply) {op, admin, args, reply},
static const struct call_rule calls[] = {AUTH_CALL_TABLE(X)};
#undef X

const struct route *route_at(size_t i)
{
	return i < ARRAY_LEN(routes) ? &routes[i] : NULL;
}

const struct call_rule *call_at(size_t i)
{
	return i < ARRAY_LEN(calls) ? &calls[i] : NULL;
}

enum route_found route_find(const char *method, const char *path, const struct route **out)
{
	enum route_found found = ROUTE_NO_PATH;

	*out = NULL;
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (strcmp(routes[i].path, path) != 0)
			continue;
		found = ROUTE_NO_METHOD;
		if (strcmp(routes[i].method, method) == 0) {
			*out = &routes[i];
			return ROUTE_OK;
		}
	}
	return found;
}

static bool peer_in(const struct peer *p, bool exists, gid_t group)
{
	if (!exists)
		return false;
	if (p->gid == group)
		return true;
	for (u32 i = 0; i < p->ngroups; i++)
		if (p->group[i] == group)
			return true;
	return false;
}

enum authority authority_of(const struct authority_rules *rules, const struct peer *p)
{
	ASSERT(p->ngroups <= ARRAY_LEN(p->group));
	if (p->uid == 0 || p->uid == rules->owner)
		return AUTHORITY_ADMIN;
	if (peer_in(p, rules->has_admin_group, rules->admin_group))
		return AUTHORITY_ADMIN;
	if (peer_in(p, rules->has_ops_group, rules->ops_group))
		return AUTHORITY_OPS;
	return AUTHORITY_NONE;
}

enum err call_allowed(const char *op, enum authority who)
{
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (strcmp(calls[i].op, op) != 0)
			continue;
		if (who == AUTHORITY_NONE || (calls[i].admin && who != AUTHORITY_ADMIN))
			return E_DENIED;
		return E_OK;
	}
	return E_NOT_FOUND;
}
