/* table: the rows of messages.def as data, and the one check that both ends make of every message.
 *
 * Owns nothing that changes.  Knows no sockets. */
#include "ipc/ipc.h"

struct ipc_row {
	const char *name;
	u32 from, to; /* sets of roles */
	u32 body, tail_max;
	enum ipc_fd fd;
};

#define X(name, from, to, payload, tail, fd)                                                       \
	[IPC_##name] = {#name, from, to, sizeof(payload), tail, fd},
static const struct ipc_row ipc_rows[IPC_N] = {IPC_TABLE(X)};
#undef X

#define X(name, from, to, payload, tail, fd)                                                       \
	_Static_assert(sizeof(payload) <= IPC_BODY_MAX, "the receive buffer holds every payload"); \
	_Static_assert((tail) <= IPC_TAIL_MAX, "the receive buffer holds every tail");
IPC_TABLE(X)
#undef X

const char *role_name(enum role r)
{
	static const char *const names[ROLE_N] = {
		[ROLE_SUP] = "supervisor", [ROLE_BROKER] = "broker",   [ROLE_AUTH] = "auth",
		[ROLE_KEYS] = "keys",	   [ROLE_ADMIN] = "admin",     [ROLE_CANARY] = "canary",
		[ROLE_CHECK] = "check",	   [ROLE_SALVAGE] = "salvage",
	};

	return r < ROLE_N ? names[r] : "?";
}

static const struct ipc_row *ipc_row(u32 type)
{
	return type > IPC_NONE && type < IPC_N ? &ipc_rows[type] : NULL;
}

bool ipc_allowed(enum ipc_type type, enum role from, enum role to, size_t body_len, size_t tail_len,
		 bool has_fd)
{
	const struct ipc_row *r = ipc_row((u32)type);

	if (r == NULL || from >= ROLE_N || to >= ROLE_N || from == to)
		return false;
	if (!(r->from & 1u << from) || !(r->to & 1u << to))
		return false;
	if (body_len != r->body || tail_len > r->tail_max)
		return false;
	return r->fd == IPC_FD_MAYBE || has_fd == (r->fd == IPC_FD);
}

size_t ipc_body_size(enum ipc_type type)
{
	const struct ipc_row *r = ipc_row((u32)type);

	return r == NULL ? 0 : r->body;
}

const char *ipc_name(enum ipc_type type)
{
	const struct ipc_row *r = ipc_row((u32)type);

	return r == NULL ? "?" : r->name;
}

/* Does any row go from one role to the other?  Only such pairs get a link. */
bool ipc_pair_talks(enum role a, enum role b)
{
	ASSERT(a < ROLE_N);
	ASSERT(b < ROLE_N);
	for (u32 i = IPC_NONE + 1; i < IPC_N; i++) {
		const struct ipc_row *r = &ipc_rows[i];
		if ((r->from & 1u << a && r->to & 1u << b) ||
		    (r->from & 1u << b && r->to & 1u << a))
			return a != b;
	}
	return false;
}
