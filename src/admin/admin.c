/* admin: the process main: what comes from the other processes, and start and stop.
 * Owns the api.  HTTP is request.c's, what routes mean is handlers.c's. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/peer.h"
#include "admin/request.h"
#include "admin/stream.h"
#include "base/log.h"
#include "base/mem.h"

/* Read and checked on every start and reload; a bad one changes nothing. */
static enum err take_config(struct api *a, const struct ipc_msg *m)
{
	const struct m_config *b = m->body;
	struct m_config_done done = {.generation = b->generation, .err = E_CONFIG};
	struct slice s;

	if (b->size == sizeof(struct conf) && ipc_memfd_map(m->fd, b->size, &s) == E_OK) {
		struct conf *c = xmalloc(sizeof(*c));

		memcpy(c, s.p, sizeof(*c));
		munmap((void *)(uintptr_t)s.p, s.n);
		if (conf_valid(c)) {
			a->conf = *c;
			a->have_conf = true;
			done.err = E_OK;
		}
		free(c);
	}
	if (b->reload)
		return child_send(a->child, ROLE_SUP, IPC_CONFIG_DONE, 0, &done, SLICE_NONE, -1);
	return (enum err)done.err;
}

static enum err on_message(struct child *c, enum role from, struct ipc_msg *m)
{
	struct api *a = child_arg(c);

	a->child = c;
	if (request_answer_arrived(a, from, m))
		return E_OK;
	switch ((u32)m->type) {
	case IPC_CONFIG:
		return take_config(a, m);
	case IPC_ADMIN_SOCKET:
		if (a->socket >= 0)
			return E_STATE;
		a->socket = m->fd;
		m->fd = -1;
		return E_OK;
	case IPC_EVENT:
		return stream_event(a, m);
	default:
		return E_OK; /* files that this process has no use for */
	}
}

static void on_linked(struct child *c, enum role peer)
{
	struct api *a = child_arg(c);

	request_peer_lost(a, peer);
	if (peer == ROLE_BROKER)
		stream_rewatch(a);
}

static enum err on_prepare(struct child *c, const struct m_start *start)
{
	struct api *a = child_arg(c);

	a->child = c;
	if (a->socket < 0 || !a->have_conf)
		return E_STATE;
	return request_serve(a);
}

static void on_stop(struct child *c)
{
	request_stop(child_arg(c));
}

int admin_main(int sup_fd, bool (*enter_sandbox)(enum role me, struct m_ready *ready))
{
	static const struct child_ops ops = {
		.message = on_message,
		.linked = on_linked,
		.prepare = on_prepare,
		.stop = on_stop,
	};
	struct api *a = xcalloc(1, sizeof(*a));
	int code;

	json_set_alloc_funcs(malloc, mem_wipe_free); /* calls may carry a password or a token */
	json_object_seed(0); /* reads /dev/urandom: not once the sandbox is closed */
	a->socket = -1;
	LIST_INIT(&a->requests);
	LIST_INIT(&a->streams);
	authority_rules_load(sup_fd, &a->rules);
	code = child_run(ROLE_ADMIN, sup_fd, &ops, a, enter_sandbox);
	a->child = NULL;
	request_stop(a);
	free(a);
	return code;
}
