/* handlers: one function a route; each answers the request, asks other processes, or begins a
 * stream. */
#ifndef PICKET_ADMIN_HANDLERS_H
#define PICKET_ADMIN_HANDLERS_H

#include "admin/route.h"

#define X(method, path, needs, max, fn, doc) void route_##fn(struct request *r);
ROUTE_TABLE(X)
#undef X

#endif
