/* broker_store_ask: what operators ask of the store: how it is, is it sound, a copy of it.  What
 * takes long has a thread of its own: neither the shards nor the store thread wait for it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/broker_i.h"
#include "store/check.h"

enum { END_MS = 1500 };

static void order_free(struct store_order *o)
{
	if (o->fd >= 0)
		close(o->fd);
	free(o);
}

static void refuse(struct store_order *o, enum err e, const char *text)
{
	o->told.err = e;
	if (o->text[0] == '\0')
		(void)snprintf(o->text, sizeof(o->text), "%s", text);
}

void store_told(struct broker *b, struct store_order *o)
{
	if (atomic_load(&o->has_thread))
		pthread_join(o->thread, NULL);
	if (b->stored.long_order == o)
		b->stored.long_order = NULL;
	if (child_send(b->child, ROLE_ADMIN, IPC_STORE_TOLD, o->id, &o->told, slice_str(o->text),
		       -1) != E_OK)
		log_msg(LOG_WARN, "answer_lost", "admin is not there to be told of the store");
	order_free(o);
}

/* ---- status ---------------------------------------------------------------------------------- */
/* On the store thread. */
static void status(struct store *s, void *arg)
{
	struct store_order *o = arg;
	struct m_store_told *t = &o->told;
	struct store_stats st;

	store_stats(s, &st);
	t->sealed = st.sealed;
	t->full = st.full;
	t->sessions = st.sessions;
	t->subs = st.subs;
	t->queued = st.queued;
	t->retained = st.retained;
	t->messages = st.messages;
	t->bytes = st.bytes;
	t->free_bytes = st.free_bytes;
	t->map_bytes = st.map_bytes;
	t->commits = st.commits;
	t->operations = st.operations;
	t->syncs = st.syncs;
	main_tell(o->b, MI_STORE_TOLD, 0, o);
}

/* ---- what takes long ------------------------------------------------------------------------- */
static bool go_on(void *arg)
{
	return !atomic_load(&((struct store_order *)arg)->over);
}

/* The first problem says enough; all are counted. */
static bool problem(void *arg, const char *text)
{
	struct store_order *o = arg;

	if (o->text[0] == '\0')
		(void)snprintf(o->text, sizeof(o->text), "%s", text);
	return go_on(o);
}

/* First what reads without believing, then, if the pages are whole, what has to fit together. */
static void check(struct store_order *o)
{
	const struct store_witness w = {o, problem};
	struct store_report r = {0};
	struct check_report c;
	struct store_pin *pin;
	enum err e = store_pin(o->store, &pin);

	if (e == E_OK) {
		e = check_file(o->b->stored.data_fd, NULL, go_on, o, &c, o->text, sizeof(o->text));
		store_unpin(&pin);
		o->told.records = c.records;
		o->told.damaged = c.damaged + c.lost;
	}
	if (e == E_OK && o->told.damaged == 0) {
		e = store_verify(o->store, &w, &r);
		o->told.damaged = r.damaged + r.orphans + r.lost + r.miscount;
	}
	if (e == E_CORRUPT) { /* that is a finding, not a failure */
		o->told.damaged = MAX(o->told.damaged, 1u);
		e = E_OK;
	}
	if (e != E_OK)
		refuse(o, e, err_text(e));
}

static void backup(struct store_order *o)
{
	enum err e = store_copy(o->store, o->fd);

	if (e != E_OK)
		refuse(o, e, errno == EPIPE ? "its reader has gone" : err_text(e));
	close(o->fd); /* the end of it, before the word that it was all */
	o->fd = -1;
}

static void *run(void *arg)
{
	struct store_order *o = arg;

	if (o->told.op == STORE_CHECK)
		check(o);
	else
		backup(o);
	main_tell(o->b, MI_STORE_TOLD, 0, o);
	return NULL;
}

/* On the store thread, which knows the store; it is there until the orders have ended. */
static void begin(struct store *s, void *arg)
{
	struct store_order *o = arg;
	sigset_t all, old;

	o->store = s;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	atomic_store(&o->has_thread, true);
	if (pthread_create(&o->thread, NULL, run, o) != 0) {
		atomic_store(&o->has_thread, false);
		refuse(o, E_NOMEM, "no thread can be made for it");
		main_tell(o->b, MI_STORE_TOLD, 0, o);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* ---- from admin ------------------------------------------------------------------------------ */
static void give(struct broker *b, struct store_order *o)
{
	struct stored *s = &b->stored;

	if (b->conf.persistence && s->writer == NULL) {
		refuse(o, E_BUSY, "what is stored is being loaded; try again in a moment");
	} else if (s->writer != NULL && o->told.op == STORE_STATUS) {
		writer_do(s->writer, status, o);
		return;
	} else if (s->writer != NULL && s->long_order != NULL) {
		refuse(o, E_BUSY, "another check or backup is under way; try again later");
	} else if (s->writer != NULL) {
		s->long_order = o;
		writer_do(s->writer, begin, o);
		return;
	}
	store_told(b, o);
}

enum err store_ask(struct broker *b, struct ipc_msg *m)
{
	const struct m_store_ask *a = m->body;
	struct store_order *o;

	if (a->op < STORE_STATUS || a->op > STORE_BACKUP || (m->fd >= 0) != (a->op == STORE_BACKUP))
		return E_IPC;
	o = xcalloc(1, sizeof(*o));
	o->b = b;
	o->id = m->id;
	o->fd = m->fd;
	m->fd = -1;
	o->told = (struct m_store_told){.op = a->op,
					.persistent = b->conf.persistence,
					.clean = b->stored.clean,
					.epoch = b->stored.epoch,
					.up_ms = clock_mono_ms() - b->stored.began_ms};
	give(b, o);
	return E_OK;
}

/* ---- broker stops ---------------------------------------------------------------------------- */
bool store_orders_end(struct broker *b)
{
	struct store_order *o = b->stored.long_order;
	struct m_store_told told = {.err = E_SHUTDOWN};
	struct timespec until;

	if (o == NULL)
		return true;
	atomic_store(&o->over, true);
	/* Who reads a backup hears that there is no more, and lets go of the pipe. */
	told.op = o->told.op;
	if (child_send(b->child, ROLE_ADMIN, IPC_STORE_TOLD, o->id, &told,
		       SLICE_LIT("picketd stops"), -1) != E_OK)
		log_msg(LOG_DEBUG, "answer_lost", "admin is not there to be told of the store");
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += END_MS % 1000 * 1000000;
	until.tv_sec += END_MS / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	/* It may not have been begun: then the store thread has not come to it. */
	if (!atomic_load(&o->has_thread) || pthread_timedjoin_np(o->thread, NULL, &until) != 0)
		return false;
	order_free(o);
	return true;
}
