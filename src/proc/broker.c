/* broker: the main thread: owns the links to the other processes and the order in which the broker
 * comes to life.
 *
 * Start: the supervisor hands over configuration and listening sockets; the shards run before the
 * sandbox closes; listeners open when auth has sent the policy and keys the certificates.
 * Afterwards this thread only carries messages.  What it carries is looked at elsewhere
 * (broker_*.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proc/broker.h"
#include "proc/broker_i.h"

/* ---- from the shards
 * ------------------------------------------------------------------------------ */
static void event_send(struct broker *b, u64 wall_ms, struct blob *tail)
{
	struct m_event m = {wall_ms};

	/* Nobody waits for it: what admin does not take is lost. */
	if (child_send(b->child, ROLE_ADMIN, IPC_EVENT, 0, &m, slice_of(tail->b, tail->n), -1) !=
	    E_OK)
		log_msg(LOG_DEBUG, "event_lost", "admin is busy or away");
	blob_free(&tail);
}

static void take(struct broker *b, const struct inbox_item *it)
{
	struct blob *blob = it->p;

	switch ((enum main_item)it->kind) {
	case MI_LOGIN:
		login_send(b, it->n, &blob);
		break;
	case MI_SIGN:
		sign_send(b, it->p);
		break;
	case MI_GENERATION:
		rights_confirmed(b, it->p);
		break;
	case MI_ASKED:
		admin_answered(b, it->p);
		break;
	case MI_EVENT:
		event_send(b, it->n, it->p);
		break;
	case MI_KEPT:
		kept_answered(b, it->p);
		break;
	case MI_STORE_FULL:
		stored_full(b, it->n != 0);
		break;
	case MI_STORE_TOLD:
		store_told(b, it->p);
		break;
	}
}

static void shards_spoke(void *arg, u32 events)
{
	struct broker *b = arg;
	struct inbox_item *it;
	size_t n;
	u64 count;

	if (read(b->wake_fd, &count, sizeof(count)) < 0)
		ASSERT(errno == EAGAIN || errno == EINTR);
	n = inbox_take(&b->inbox, &it);
	for (size_t i = 0; i < n; i++)
		take(b, &it[i]);
}

/* ---- from the other processes
 * --------------------------------------------------------------------- */
static enum err take_listener(struct broker *b, struct ipc_msg *m)
{
	const struct m_listener *l = m->body;

	if (l->listener >= CONF_LISTENERS || l->shard >= LIM_SHARDS)
		return E_IPC;
	/* None: there is nothing for this shard to listen on, at least not yet. */
	if (b->listen_fd[l->listener][l->shard] >= 0)
		close(b->listen_fd[l->listener][l->shard]);
	b->listen_fd[l->listener][l->shard] = m->fd;
	m->fd = -1;
	if (l->last && !l->renewed)
		conf_apply(b);
	if (l->last)
		listeners_open(b);
	return E_OK;
}

static enum err from_supervisor(struct broker *b, struct ipc_msg *m)
{
	if (m->type == IPC_CONFIG)
		return conf_take(b, m);
	if (m->type == IPC_FILE)
		return stored_key(b, m);
	if (m->type == IPC_LISTENER)
		return take_listener(b, m);
	return E_IPC;
}

static enum err from_auth(struct broker *b, struct ipc_msg *m)
{
	if (m->type == IPC_VERDICT)
		return login_verdict(b, m);
	if (m->type == IPC_POLICY)
		return rights_policy(b, m);
	if (m->type == IPC_IDENTITY)
		return rights_identity(b, m);
	if (m->type == IPC_RIGHTS)
		return stored_rights(b, m);
	return E_IPC;
}

static enum err from_keys(struct broker *b, struct ipc_msg *m)
{
	if (m->type == IPC_SIGNED)
		return sign_answer(b, m);
	if (m->type == IPC_TLS_CHAIN)
		return tls_chain(b, m);
	if (m->type == IPC_TICKET_KEYS) {
		tls_tickets(b, m->body);
		return E_OK;
	}
	return E_IPC;
}

static enum err message(struct child *c, enum role from, struct ipc_msg *m)
{
	struct broker *b = child_arg(c);

	b->child = c;
	if (from == ROLE_SUP)
		return from_supervisor(b, m);
	if (from == ROLE_AUTH)
		return from_auth(b, m);
	if (from == ROLE_KEYS)
		return from_keys(b, m);
	if (m->type == IPC_WATCH)
		return admin_watch(b, m);
	if (m->type == IPC_STORE_ASK)
		return store_ask(b, m);
	if (m->type == IPC_SESSION_QUERY || m->type == IPC_SESSION_DROP ||
	    m->type == IPC_RETAINED_QUERY || m->type == IPC_RETAINED_DELETE)
		return kept_ask(b, m);
	if (m->type == IPC_CLIENT_QUERY || m->type == IPC_CLIENT_KICK || m->type == IPC_STATS)
		return admin_ask(b, m);
	return E_IPC;
}

static void linked(struct child *c, enum role peer)
{
	struct broker *b = child_arg(c);

	b->child = c;
	if (peer == ROLE_AUTH) {
		shards_tell(b, SI_LOGIN_AGAIN, 0, NULL);
		stored_auth_linked(b);
	}
	if (peer == ROLE_KEYS)
		sign_again(b);
	if (peer == ROLE_ADMIN) { /* says anew whom it watches */
		atomic_store(&b->watching, 0);
		atomic_store(&b->watching_all, 0);
		kept_forget(b);
	}
}

/* ---- life
 * ------------------------------------------------------------------------------------------- */
static enum err hub_make(struct broker *b)
{
	struct hub_options o = {.nshards = b->nshards};
	struct core_listener l[CONF_LISTENERS];

	o.retained_total = (u32)MIN(b->conf.limits.retained_total, (u64)UINT32_MAX);
	o.retained_bytes = b->conf.limits.retained_bytes;
	if (getrandom(o.hash_key, sizeof(o.hash_key), 0) != sizeof(o.hash_key))
		return E_UNAVAILABLE;
	stored_hub_options(b, &o);
	b->hub = hub_new(&o);
	listeners_describe(&b->conf, l);
	hub_set_listeners(b->hub, l, b->conf.listeners, false);
	hub_set_shared(b->hub, (enum shared_strategy)b->conf.shared_strategy);
	return E_OK;
}

/* The log is a pipe to the supervisor: a line that finds it full is lost, a shard never waits for
 * it. */
static void log_never_blocks(void)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) == 0 && S_ISFIFO(st.st_mode))
		(void)fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
}

static enum err prepare(struct child *c, const struct m_start *start)
{
	struct broker *b = child_arg(c);
	enum err e;

	b->child = c;
	if (!b->have_conf || start->nshards == 0 || start->nshards > LIM_SHARDS)
		return E_STATE;
	b->nshards = start->nshards;
	log_never_blocks();
	e = stored_open(b, start->store_epoch_min);
	if (e == E_OK)
		e = hub_make(b);
	if (e != E_OK)
		return e;
	for (u32 i = 0; i < b->nshards; i++)
		shard_init(&b->shard[i], b, i);
	child_watch(c, b->wake_fd, EPOLLIN, shards_spoke, b);
	return E_OK;
}

/* The shards run when all that was stored is there and judged; not before the sandbox closes: a
 * thread that is there by then would stay outside of Landlock. */
static void started(struct child *c)
{
	struct broker *b = child_arg(c);
	struct hash_key key;

	if (getrandom(&key, sizeof(key), 0) != sizeof(key)) {
		child_quit(c, 1);
		return;
	}
	if (stored_load(b, &key) != E_OK)
		return;
	b->loaded = true;
	(void)stored_go_on(b);
}

static void stop(struct child *c)
{
	struct broker *b = child_arg(c);

	if (b->nshards == 0)
		return;
	b->child = c;
	if (b->stored.restore != NULL) { /* nothing has begun: nothing has to be taken apart */
		stored_close(b);
		return;
	}
	shards_stop(b);
	if (!store_orders_end(b))
		return; /* the threads end with the process, and the next start looks closer */
	stored_close(b);
	kept_forget(b);
	shards_free(b);
	hub_free(&b->hub);
	b->nshards = 0;
}

static void broker_init(struct broker *b)
{
	for (u32 i = 0; i < CONF_LISTENERS; i++) {
		for (u32 k = 0; k < LIM_SHARDS; k++)
			b->listen_fd[i][k] = -1;
	}
	b->stored.data_fd = -1;
	b->admission = admission_new();
	b->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT(b->wake_fd >= 0);
	inbox_init(&b->inbox, NULL);
}

int broker_main(int sup_fd, bool (*enter_sandbox)(enum role me, struct m_ready *ready))
{
	static const struct child_ops ops = {.message = message,
					     .linked = linked,
					     .prepare = prepare,
					     .started = started,
					     .stop = stop};
	struct broker *b = xcalloc(1, sizeof(*b));
	int code;

	broker_init(b);
	code = child_run(ROLE_BROKER, sup_fd, &ops, b, enter_sandbox);
	/* Without STOP the supervisor is gone, or we broke a rule: the threads end with the
	 * process. */
	if (b->nshards != 0)
		_exit(code);
	tls_free(b);
	free(b->offered);
	free(b->taking);
	admission_free(&b->admission);
	inbox_free(&b->inbox);
	close(b->wake_fd);
	free(b);
	return code;
}
