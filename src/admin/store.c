/* store: the routes about the store of sessions.  Its bytes pass through here on their way to and
 * from a file of the operator's, whose name nobody but the operator's own command ever sees. */
#include <fcntl.h>
#include <unistd.h>

#include "admin/handlers.h"
#include "admin/request.h"
#include "admin/status.h"
#include "admin/stream.h"
#include "base/log.h"

enum { PART_TOLD, PART_SUP };

static void ask(struct request *r, u32 op, int fd)
{
	const struct m_store_ask m = {op};

	request_ask(r, PART_TOLD, ROLE_BROKER, IPC_STORE_ASK, &m, SLICE_NONE, fd);
}

/* The words that came with an error, ours but perhaps with a name of the system's. */
static void refuse_told(struct request *r, const struct part *p)
{
	char text[400] = "";

	log_escape(slice_of(p->data, p->n), text, sizeof(text));
	request_refuse(r, 409, CODE_STORE_FAILED, text[0] != '\0' ? text : err_text(p->err));
}

/* Did broker tell what it was asked?  If not, the request has its answer. */
static bool told(struct request *r)
{
	const struct part *p = &r->part[PART_TOLD];

	if (p->err == E_OK && p->body.store.persistent == 0)
		request_refuse(r, 409, CODE_NO_STORE, NULL);
	else if (p->err != E_OK && p->data == NULL)
		request_refuse_part(r, PART_TOLD, "broker");
	else if (p->err != E_OK)
		refuse_told(r, p);
	return r->status == 0;
}

/* ---- status ---------------------------------------------------------------------------------- */
static void store_done(struct request *r)
{
	const struct part *p = &r->part[PART_TOLD], *sup = &r->part[PART_SUP];

	if (p->err != E_OK) {
		request_refuse_part(r, PART_TOLD, "broker");
		return;
	}
	request_json(r, 200,
		     status_store(&p->body.store, sup->err == E_OK ? sup : NULL, &r->api->conf));
}

void route_store(struct request *r)
{
	const struct m_sup_call sup = {SUP_STATUS};

	r->done = store_done;
	ask(r, STORE_STATUS, -1);
	request_ask(r, PART_SUP, ROLE_SUP, IPC_SUP_CALL, &sup, SLICE_NONE, -1);
}

/* ---- check ----------------------------------------------------------------------------------- */
static void check_done(struct request *r)
{
	const struct m_store_told *t = &r->part[PART_TOLD].body.store;

	if (told(r))
		request_json(r, 200,
			     json_pack("{s:b,s:I,s:I}", "sound", t->damaged == 0, "records",
				       (json_int_t)t->records, "damaged", (json_int_t)t->damaged));
}

void route_store_check(struct request *r)
{
	request_log(r, "store.check", NULL);
	r->done = check_done;
	r->deadline_ms = REQUEST_PATIENCE_MS;
	ask(r, STORE_CHECK, -1);
}

/* ---- backup ---------------------------------------------------------------------------------- */
/* There is a store: now it is written into a pipe, whose other end is read as fast as the reader of
 * the answer takes it. */
static void backup_begin(struct request *r)
{
	int fd[2];

	if (!told(r))
		return;
	if (pipe2(fd, O_CLOEXEC) != 0) {
		request_refuse(r, 503, CODE_UNAVAILABLE, "no descriptor is free");
		return;
	}
	request_log(r, "store.backup", NULL);
	request_part_again(r, PART_TOLD);
	ask(r, STORE_BACKUP, fd[1]);
	close(fd[1]);
	r->stream = stream_pipe(r, fd[0], PART_TOLD);
}

void route_store_backup(struct request *r)
{
	r->done = backup_begin;
	ask(r, STORE_STATUS, -1);
}

/* ---- restore --------------------------------------------------------------------------------- */
static void sup(struct request *r, u32 op)
{
	const struct m_sup_call m = {op};

	request_ask(r, PART_SUP, ROLE_SUP, IPC_SUP_CALL, &m, SLICE_NONE, -1);
}

/* The one string of the supervisor's answer. */
static struct slice sup_text(const struct part *p)
{
	struct rd rd = rd_of(slice_of(p->data, p->n));
	struct slice s = ipc_get_str(&rd);

	return rd.err == E_OK ? s : SLICE_NONE;
}

static void refuse_sup(struct request *r)
{
	const struct part *p = &r->part[PART_SUP];
	char text[400] = "";

	if (p->data == NULL) {
		request_refuse_part(r, PART_SUP, "supervisor");
		return;
	}
	log_escape(sup_text(p), text, sizeof(text));
	request_refuse(r, 409, CODE_STORE_FAILED, text[0] != '\0' ? text : err_text(p->err));
}

/* The one who sends it has gone before its end. */
static void restore_gone(struct request *r)
{
	const struct m_sup_call m = {SUP_RESTORE_DROP};

	if (child_send(r->api->child, ROLE_SUP, IPC_SUP_CALL, 0, &m, SLICE_NONE, -1) != E_OK)
		log_msg(LOG_WARN, "restore", "the supervisor cannot be told that it is given up");
}

static void restore_opened(struct request *r)
{
	struct part *p = &r->part[PART_SUP];

	if (p->err != E_OK || p->fd < 0) {
		refuse_sup(r);
		return;
	}
	r->sink = p->fd;
	p->fd = -1;
	r->gone = restore_gone;
}

static void restore_done(struct request *r)
{
	const struct part *p = &r->part[PART_SUP];
	struct slice before = sup_text(p);

	if (p->err != E_OK) {
		refuse_sup(r);
		return;
	}
	request_json(
		r, 200,
		json_pack("{s:b,s:s%}", "restored", 1, "before", (const char *)before.p, before.n));
}

/* At the first bytes, and again when all have been written. */
void route_store_restore(struct request *r)
{
	if (r->ended && r->sink < 0) {
		request_refuse(r, 400, CODE_BAD_REQUEST, "the backup is empty");
		return;
	}
	r->deadline_ms = REQUEST_PATIENCE_MS;
	if (r->sink < 0) {
		request_log(r, "store.restore", NULL);
		r->done = restore_opened;
		sup(r, SUP_RESTORE_OPEN);
		return;
	}
	r->gone = NULL;
	r->done = restore_done;
	request_part_again(r, PART_SUP);
	sup(r, SUP_RESTORE_DONE);
}
