/* main: the keys process: its messages, its timer, and the order of its start.
 *
 * Pepper and CA first (start.c), then the server certificate (renew.c), then external ones
 * (external.c); only when all stand does anybody get anything.  Later one tick a minute looks at
 * what is due. */
#include <stdlib.h>
#include <sys/mman.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "keys/keys.h"
#include "keys/keys_i.h"

enum { SECURE_HEAP = 256 * 1024, SECURE_MIN = 32 };

static struct keys *keys_of(struct child *c)
{
	struct keys *k = child_arg(c);

	OBJ_CHECK(k, KEYS_MAGIC);
	k->child = c;
	return k;
}

/* ---- configuration ---- */
static enum err conf_take(const struct ipc_msg *m, struct conf *out)
{
	const struct m_config *c = m->body;
	struct slice bytes;
	enum err e = c->size == sizeof(*out) ? ipc_memfd_map(m->fd, c->size, &bytes) : E_IPC;

	if (e != E_OK)
		return e;
	memcpy(out, bytes.p, sizeof(*out));
	munmap((void *)(uintptr_t)bytes.p, bytes.n);
	return conf_valid(out) ? E_OK : E_IPC;
}

static void reload_answer(struct keys *k, enum err e, const char *what)
{
	struct m_config_done done = {k->reload_generation, e};
	u8 tail[512];
	struct wr w = wr_of(tail, sizeof(tail));

	k->reload = false;
	if (e != E_OK)
		ipc_put_str(&w, slice_str(what));
	if (child_send(k->child, ROLE_SUP, IPC_CONFIG_DONE, 0, &done, wr_done(&w), -1) != E_OK)
		child_quit(k->child, 1);
}

/* All or nothing: the external certificates of the new configuration are read and judged by now. */
static void reload_judged(struct keys *k)
{
	const struct external *bad = external_bad(k);
	char what[CERT_TEXT];
	struct names names;

	if (bad != NULL) {
		reload_answer(k, E_CONFIG, bad->what);
		return;
	}
	if (names_of(&k->next, &k->machine, &names, what, sizeof(what)) != E_OK) {
		reload_answer(k, E_CONFIG, what);
		return;
	}
	k->conf = k->next;
	k->names = names;
	external_install(k);
	reload_answer(k, E_OK, NULL);
	renew_if_due(k);
}

/* One at a time, after the start and after whatever is being read; of those that came meanwhile
 * only the newest counts (the supervisor takes an offer back by sending what was in force before).
 */
static void reload_try(struct keys *k)
{
	if (!k->reload_waits || !k->serving || k->external_then != NULL)
		return;
	k->reload_waits = false;
	k->reload = true;
	k->next = k->offered;
	k->reload_generation = k->offered_generation;
	ASSERT(external_load(k, &k->next, reload_judged));
}

static enum err on_config(struct keys *k, const struct ipc_msg *m)
{
	const struct m_config *c = m->body;
	enum err e = conf_take(m, c->reload ? &k->offered : &k->conf);

	if (e != E_OK)
		return e;
	k->configured = true;
	k->reload_waits = c->reload != 0;
	k->offered_generation = c->generation;
	return E_OK;
}

/* ---- the order of the start ---- */
static void tick(struct timer *t);

static void start_serving(struct keys *k)
{
	struct keys_secrets *s = k->secret;

	ASSERT(tickets_rotate(&s->tickets) == E_OK);
	ASSERT(derive_key(s->pepper, DERIVE_TOKEN, s->token.key) == E_OK);
	k->serving = true;
	if (child_linked(k->child, ROLE_BROKER))
		serve_broker(k);
	if (child_linked(k->child, ROLE_AUTH))
		serve_auth(k);
	serve_store_key(k);
	serve_held(k);
	k->rotate_at_ms = child_now(k->child) + KEYS_TICKET_MS;
	k->tick.fire = tick;
	timer_start(child_wheel(k->child), &k->tick, child_now(k->child) + KEYS_TICK_MS);
}

static void start_external_done(struct keys *k)
{
	const struct external *bad = external_bad(k);

	if (bad != NULL) {
		log_msg(LOG_ERROR, "keys_start_failed", "%s", bad->what);
		child_quit(k->child, 1);
		return;
	}
	external_install(k);
	start_serving(k);
}

static void start_server_done(struct keys *k, enum err e)
{
	if (e != E_OK && k->slot[0].key == NULL) {
		log_msg(LOG_ERROR, "keys_start_failed", "no server certificate: %s", err_text(e));
		child_quit(k->child, 1);
		return;
	}
	ASSERT(external_load(k, &k->conf, start_external_done));
}

void start_done(struct keys *k)
{
	struct slot *s = &k->slot[0];
	const char *why = cert_why_renew(s->key, s->cert, k->ca, &k->names, clock_wall_ms());
	enum err e = why != NULL ? renew_begin(k, why, 0, start_server_done) : E_OK;

	if (e != E_OK || why == NULL)
		start_server_done(k, e);
}

/* ---- time ---- */
static void poll_done(struct keys *k)
{
	if (!k->reload_waits) /* else what was read may be of either configuration */
		external_install(k);
}

/* Its end locks every device out at once, and none can be told of a new one over the old: a year's
 * notice. */
static void ca_watch(struct keys *k)
{
	u64 until = cert_not_after(k->ca);
	char text[32];

	if (cert_clock(clock_wall_ms()) + CERT_CA_WARN_DAYS * 86400000ull < until ||
	    child_now(k->child) < k->ca_warn_at_ms)
		return;
	k->ca_warn_at_ms = child_now(k->child) + KEYS_CA_WARN_MS;
	clock_format(until, text, sizeof(text));
	log_msg(LOG_WARN, "ca_expires",
		"the CA that all clients trust ends on %s; they need a new one before", text);
}

static void tick(struct timer *t)
{
	struct keys *k = CONTAINER_OF(t, struct keys, tick);

	OBJ_CHECK(k, KEYS_MAGIC);
	timer_start(child_wheel(k->child), t, child_now(k->child) + KEYS_TICK_MS);
	renew_if_due(k);
	ca_watch(k);
	if (child_now(k->child) >= k->rotate_at_ms && tickets_rotate(&k->secret->tickets) == E_OK) {
		k->rotate_at_ms = child_now(k->child) + KEYS_TICKET_MS;
		serve_tickets(k);
	}
	if (!k->reload && !k->reload_waits && !external_load(k, &k->conf, poll_done))
		log_msg(LOG_WARN, "certificate_slow", "external certificates are still being read");
}

/* ---- the child's hooks ---- */
static enum err on_message(struct child *c, enum role from, struct ipc_msg *m)
{
	struct keys *k = keys_of(c);
	enum err e;

	(void)from; /* the table of messages let only the right ones through */
	switch ((u32)m->type) {
	case IPC_CONFIG:
		e = on_config(k, m);
		reload_try(k);
		return e;
	case IPC_FILE:
		files_message(k, m);
		reload_try(k);
		return E_OK;
	case IPC_SIGN:
		serve_sign(k, m);
		return E_OK;
	case IPC_KEYS_CALL:
		serve_call(k, m);
		return E_OK;
	default:
		return E_IPC;
	}
}

static void on_linked(struct child *c, enum role peer)
{
	struct keys *k = keys_of(c);

	if (k->serving && peer == ROLE_BROKER)
		serve_broker(k);
	if (k->serving && peer == ROLE_AUTH)
		serve_auth(k);
}

/* What only works before the sandbox closes: the machine's names, OpenSSL's start, locked memory.
 */
static enum err on_prepare(struct child *c, const struct m_start *start)
{
	struct keys *k = keys_of(c);
	char what[CERT_TEXT];
	u8 one;

	(void)start;
	if (!k->configured)
		return E_STATE;
	ASSERT(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1);
	if (CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_MIN) != 1)
		log_msg(LOG_WARN, "secure_memory",
			"key memory could not be locked; it may reach swap");
	k->secret = OPENSSL_secure_zalloc(sizeof(*k->secret));
	if (k->secret == NULL || RAND_bytes(&one, 1) != 1)
		return E_NOMEM;
	names_machine(&k->machine);
	if (names_of(&k->conf, &k->machine, &k->names, what, sizeof(what)) == E_OK)
		return E_OK;
	log_msg(LOG_ERROR, "keys_start_failed", "%s", what);
	return E_CONFIG;
}

static void on_started(struct child *c)
{
	start_begin(keys_of(c));
}

static void keys_free(struct keys *k)
{
	files_drop(k);
	k->serving = false;
	serve_held(k);
	for (u32 i = 0; i < KEYS_SLOTS; i++)
		slot_clear(&k->slot[i]);
	for (u32 i = 0; i < CONF_LISTENERS; i++)
		external_drop(&k->external[i]);
	for (u32 i = 0; i < FILE_N; i++)
		sbuf_free(&k->start_text[i]);
	EVP_PKEY_free(k->renewal.key);
	X509_free(k->renewal.cert);
	EVP_PKEY_free(k->ca_key);
	X509_free(k->ca);
	OPENSSL_secure_clear_free(k->secret, sizeof(*k->secret));
	mem_wipe(k, sizeof(*k));
	free(k);
}

int keys_main(int sup_fd, bool (*enter_sandbox)(enum role me, struct m_ready *ready))
{
	static const struct child_ops ops = {
		.message = on_message,
		.linked = on_linked,
		.prepare = on_prepare,
		.started = on_started,
	};
	struct keys *k = xcalloc(1, sizeof(*k));
	int code;

	k->magic = KEYS_MAGIC;
	STAILQ_INIT(&k->held);
	code = child_run(ROLE_KEYS, sup_fd, &ops, k, enter_sandbox);
	keys_free(k);
	return code;
}
