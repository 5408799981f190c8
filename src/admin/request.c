/* request: libmicrohttpd's callbacks, and the questions that a request asks of other processes.
 * Owns requests and their parts.  Knows no route's meaning. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "admin/peer.h"
#include "admin/request.h"
#include "admin/stream.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

void api_timer_start(struct api *a, struct timer *t, u64 in_ms)
{
	timer_stop(child_wheel(a->child), t);
	timer_start(child_wheel(a->child), t, child_now(a->child) + in_ms);
}

void api_timer_stop(struct api *a, struct timer *t)
{
	if (a->child != NULL)
		timer_stop(child_wheel(a->child), t);
}

static struct request *request_new(struct api *a, struct MHD_Connection *conn)
{
	struct request *r = xcalloc(1, sizeof(*r));

	r->magic = REQUEST_MAGIC;
	r->api = a;
	r->conn = conn;
	for (u32 i = 0; i < REQUEST_PARTS; i++)
		r->part[i] = (struct part){.err = E_UNAVAILABLE, .fd = -1};
	r->sink = -1;
	LIST_INSERT_HEAD(&a->requests, r, next);
	return r;
}

static void wipe_free(u8 **p, size_t n)
{
	if (*p != NULL)
		mem_wipe(*p, n);
	free(*p);
	*p = NULL;
}

static void part_clear(struct part *p)
{
	wipe_free(&p->data, p->n);
	if (p->fd >= 0)
		close(p->fd);
	*p = (struct part){.err = E_UNAVAILABLE, .fd = -1};
}

void request_part_again(struct request *r, u32 part)
{
	ASSERT(part < REQUEST_PARTS);
	part_clear(&r->part[part]);
}

/* Bodies and answers may carry a new token or a passphrase: nothing of them stays. */
static void request_free(struct request **rp)
{
	struct request *r = *rp;

	*rp = NULL;
	OBJ_CHECK(r, REQUEST_MAGIC);
	for (u32 i = 0; i < REQUEST_ASKS; i++)
		if (r->api->ask[i].r == r)
			r->api->ask[i].r = NULL;
	if (r->gone != NULL && r->api->child != NULL)
		r->gone(r);
	for (u32 i = 0; i < REQUEST_PARTS; i++)
		part_clear(&r->part[i]);
	if (r->sink >= 0)
		close(r->sink);
	wipe_free(&r->body, r->body_len);
	wipe_free(&r->out, r->out_len);
	stream_free(&r->stream);
	api_timer_stop(r->api, &r->deadline);
	LIST_REMOVE(r, next);
	r->magic = 0;
	free(r);
}

/* ---- questions to other processes
 * ---------------------------------------------------------------- */

/* MHD has no thread here that would notice by itself. */
void request_resume(struct api *a, struct MHD_Connection *conn)
{
	MHD_resume_connection(conn);
	if (a->child != NULL)
		api_timer_start(a, &a->turn, 0);
}

static void request_wake(struct request *r)
{
	if (!r->resting)
		return;
	r->resting = false;
	api_timer_stop(r->api, &r->deadline);
	request_resume(r->api, r->conn);
}

static void request_finish(struct request *r)
{
	if (r->stream != NULL) {
		stream_told(r->stream);
		return;
	}
	if (r->status != 0)
		return;
	ASSERT(r->done != NULL);
	r->done(r);
	/* An upload goes on when it knows where to; all others have their answer. */
	ASSERT(r->status != 0 || r->stream != NULL || r->sink >= 0);
	request_wake(r);
}

static void request_late(struct timer *t)
{
	struct request *r = CONTAINER_OF(t, struct request, deadline);

	OBJ_CHECK(r, REQUEST_MAGIC);
	for (u32 i = 0; i < REQUEST_ASKS; i++)
		if (r->api->ask[i].r == r)
			r->api->ask[i].r = NULL;
	r->waiting = 0;
	request_finish(r);
}

static struct ask *ask_free_slot(struct api *a)
{
	for (u32 i = 0; i < REQUEST_ASKS; i++)
		if (a->ask[i].r == NULL)
			return &a->ask[i];
	return NULL;
}

void request_ask(struct request *r, u32 part, enum role to, enum ipc_type type, const void *body,
		 struct slice tail, int fd)
{
	struct api *a = r->api;
	struct ask *q = ask_free_slot(a);

	ASSERT(part < REQUEST_PARTS && !r->part[part].asked);
	r->part[part].asked = true;
	if (q == NULL) {
		r->part[part].err = E_BUSY;
		return;
	}
	r->part[part].err = child_send(a->child, to, type, ++a->last_id, body, tail, fd);
	if (r->part[part].err != E_OK)
		return;
	r->part[part].err = E_UNAVAILABLE;
	*q = (struct ask){.id = a->last_id, .r = r, .part = part, .from = to};
	r->waiting++;
}

static enum err part_take_memfd(struct part *p, int fd, size_t size)
{
	struct slice s;
	enum err e;

	if (size > REQUEST_ANSWER_MAX)
		return E_TOO_LARGE;
	e = ipc_memfd_map(fd, size, &s);
	if (e != E_OK)
		return e;
	p->data = malloc(size + 1);
	if (p->data != NULL) {
		memcpy(p->data, s.p, size);
		p->data[size] = 0;
		p->n = size;
	}
	munmap((void *)(uintptr_t)s.p, size);
	return p->data != NULL ? E_OK : E_NOMEM;
}

static void part_take_tail(struct part *p, struct slice tail)
{
	p->data = xmalloc(tail.n + 1);
	if (tail.n > 0)
		memcpy(p->data, tail.p, tail.n);
	p->data[tail.n] = 0;
	p->n = tail.n;
}

/* A reply of auth or keys: JSON or PEM, in the tail or in a memfd. */
static void part_take_call(struct part *p, struct ipc_msg *m)
{
	const struct m_call_reply *b = m->body;
	enum err e = E_OK;

	if (m->fd >= 0 && b->size > 0)
		e = part_take_memfd(p, m->fd, b->size);
	else
		part_take_tail(p, m->tail);
	p->err = e != E_OK ? e : b->err < E_N ? (enum err)b->err : E_IPC;
}

static void part_take_sup(struct part *p, struct ipc_msg *m)
{
	p->body.sup = *(const struct m_sup_reply *)m->body;
	p->err = p->body.sup.err < E_N ? (enum err)p->body.sup.err : E_IPC;
	part_take_tail(p, m->tail);
	p->fd = m->fd;
	m->fd = -1;
}

static void part_take_rows(struct part *p, struct ipc_msg *m)
{
	const struct m_rows *b = m->body;
	size_t size;

	p->body.rows = *b;
	p->err = E_OK;
	if (b->row_size != sizeof(struct client_row) || !mul_sz(b->count, b->row_size, &size))
		p->err = E_IPC;
	else if (size > 0)
		p->err = part_take_memfd(p, m->fd, size);
}

static void part_take(struct part *p, struct ipc_msg *m)
{
	switch ((u32)m->type) {
	case IPC_CALL_REPLY:
	case IPC_KEYS_REPLY:
		part_take_call(p, m);
		break;
	case IPC_SUP_REPLY:
		part_take_sup(p, m);
		break;
	case IPC_CLIENT_ROWS:
		part_take_rows(p, m);
		break;
	case IPC_STATS_REPLY:
		p->body.stats = *(const struct m_stats *)m->body;
		p->err = E_OK;
		break;
	case IPC_SESSION_ROWS:
	case IPC_RETAINED_ROWS:
		p->body.page = *(const struct m_page *)m->body;
		p->err = m->fd >= 0 ? part_take_memfd(p, m->fd, p->body.page.size) : E_OK;
		break;
	case IPC_DROPPED:
		p->body.dropped = *(const struct m_dropped *)m->body;
		p->err = p->body.dropped.err < E_N ? (enum err)p->body.dropped.err : E_IPC;
		break;
	case IPC_STORE_TOLD:
		p->body.store = *(const struct m_store_told *)m->body;
		p->err = p->body.store.err < E_N ? (enum err)p->body.store.err : E_IPC;
		part_take_tail(p, m->tail);
		break;
	case IPC_CLIENT_KICKED:
		p->body.kicked = *(const struct m_kicked *)m->body;
		p->err = E_OK;
		break;
	default:
		UNREACHABLE("only answers come here");
	}
}

static void ask_done(struct ask *q)
{
	struct request *r = q->r;

	OBJ_CHECK(r, REQUEST_MAGIC);
	q->r = NULL;
	ASSERT(r->waiting > 0);
	if (--r->waiting == 0)
		request_finish(r);
}

bool request_answer_arrived(struct api *a, enum role from, struct ipc_msg *m)
{
	bool answer = m->type == IPC_CALL_REPLY || m->type == IPC_KEYS_REPLY ||
		      m->type == IPC_SUP_REPLY || m->type == IPC_CLIENT_ROWS ||
		      m->type == IPC_STATS_REPLY || m->type == IPC_CLIENT_KICKED ||
		      m->type == IPC_STORE_TOLD || m->type == IPC_SESSION_ROWS ||
		      m->type == IPC_RETAINED_ROWS || m->type == IPC_DROPPED;

	if (!answer)
		return false;
	for (u32 i = 0; i < REQUEST_ASKS; i++) {
		struct ask *q = &a->ask[i];

		if (q->r == NULL || q->id != m->id || q->from != from)
			continue;
		part_take(&q->r->part[q->part], m);
		ask_done(q);
		break; /* an answer that nobody waits for any more is dropped */
	}
	if (m->type == IPC_SUP_REPLY)
		stream_log_named(a, m);
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
	return true;
}

void request_peer_lost(struct api *a, enum role peer)
{
	for (u32 i = 0; i < REQUEST_ASKS; i++)
		if (a->ask[i].r != NULL && a->ask[i].from == peer)
			ask_done(&a->ask[i]);
}

/* ---- answers
 * ------------------------------------------------------------------------------------- */

static void request_bytes(struct request *r, unsigned status, const char *type, u8 *out, size_t n)
{
	ASSERT(r->status == 0);
	r->status = status;
	r->type = type;
	r->out = out;
	r->out_len = n;
}

void request_json(struct request *r, unsigned status, json_t *value)
{
	char *s = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII);

	json_decref(value);
	ASSERT(s != NULL);
	request_bytes(r, status, "application/json", (u8 *)s, strlen(s));
}

void request_text(struct request *r, const char *type, struct slice text)
{
	u8 *copy = xmalloc(text.n + 1);

	if (text.n > 0)
		memcpy(copy, text.p, text.n);
	request_bytes(r, 200, type, copy, text.n);
}

void request_refuse(struct request *r, unsigned status, u32 code, const char *detail)
{
	const struct code_row *row = code_find(code);
	char text[512], name[16];

	ASSERT(row != NULL);
	snprintf(name, sizeof(name), "E%04u", row->number);
	snprintf(text, sizeof(text), "%s%s%s", row->text, detail ? ": " : "", detail ? detail : "");
	request_json(r, status,
		     json_pack("{s:{s:s,s:s,s:s,s:s}}", "error", "code", name, "word", row->word,
			       "text", text, "next", row->next));
}

void request_refuse_part(struct request *r, u32 part, const char *process)
{
	const struct part *p = &r->part[part];
	char detail[128];

	ASSERT(p->err != E_OK);
	snprintf(detail, sizeof(detail), "%s: %s", process, err_text(p->err));
	request_refuse(r, 503, CODE_UNAVAILABLE, detail);
}

json_t *request_object(struct request *r)
{
	json_error_t e;
	json_t *j = json_loadb((const char *)r->body, r->body_len, JSON_REJECT_DUPLICATES, &e);

	if (json_is_object(j))
		return j;
	json_decref(j);
	request_refuse(r, 400, CODE_BAD_REQUEST, "the body is not a JSON object");
	return NULL;
}

const char *request_query(struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, name);
}

void request_log(const struct request *r, const char *op, const char *to)
{
	struct logline l;

	log_begin(&l, LOG_INFO, "admin_call");
	log_word(&l, "op", op);
	if (to != NULL)
		log_peer(&l, "to", slice_str(to));
	log_num(&l, "uid", r->uid);
	log_end(&l);
}

static enum MHD_Result request_send(struct request *r)
{
	struct MHD_Response *resp;
	enum MHD_Result ok;

	if (r->stream != NULL)
		resp = stream_response(r->stream);
	else
		resp = MHD_create_response_from_buffer(r->out_len, r->out, MHD_RESPMEM_MUST_COPY);
	if (resp == NULL)
		return MHD_NO;
	MHD_add_response_header(resp, "Content-Type", r->stream ? stream_type(r->stream) : r->type);
	MHD_add_response_header(resp, "Cache-Control", "no-store");
	MHD_add_response_header(resp, "Connection", "close");
	ok = MHD_queue_response(r->conn, r->stream ? 200 : r->status, resp);
	MHD_destroy_response(resp);
	return ok;
}

/* ---- libmicrohttpd
 * ------------------------------------------------------------------------------- */

static void log_refused(const struct request *r, const char *method, const char *path)
{
	struct logline l;

	log_begin(&l, LOG_WARN, "admin_refused");
	log_num(&l, "uid", r->uid);
	log_peer(&l, "method", slice_str(method));
	log_peer(&l, "path", slice_str(path));
	log_end(&l);
}

/* Who asks, and may they: before one byte of the body is taken. */
static void request_admit(struct request *r, const char *method, const char *path)
{
	const union MHD_ConnectionInfo *ci =
		MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct peer p = {0};
	enum route_found found = route_find(method, path, &r->route);

	r->uid = UINT32_MAX;
	if (ci != NULL && peer_of(ci->connect_fd, &p) == E_OK) {
		r->who = authority_of(&r->api->rules, &p);
		r->uid = p.uid;
	}
	/* A browser sends Origin and cannot reach a unix socket; what relays one is refused (I33).
	 */
	if (MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Origin") != NULL)
		r->who = AUTHORITY_NONE;
	if (r->who == AUTHORITY_NONE)
		request_refuse(r, 403, CODE_FORBIDDEN, NULL);
	else if (found == ROUTE_NO_PATH)
		request_refuse(r, 404, CODE_NO_ROUTE, NULL);
	else if (found == ROUTE_NO_METHOD)
		request_refuse(r, 405, CODE_NO_ROUTE, NULL);
	else if (r->who < r->route->needs)
		request_refuse(r, 403, CODE_FORBIDDEN, NULL);
	if (r->status == 403)
		log_refused(r, method, path);
}

/* The sleep of a request that asked something; false: it has its answer already. */
static bool request_rest(struct request *r)
{
	if (r->status == 0 && r->stream == NULL && r->waiting == 0)
		request_finish(r); /* nothing could be asked: the parts say why */
	if (r->status != 0 || r->stream != NULL || r->waiting == 0)
		return false;
	r->resting = true;
	api_timer_start(r->api, &r->deadline,
			r->deadline_ms != 0 ? r->deadline_ms : REQUEST_DEADLINE_MS);
	MHD_suspend_connection(r->conn);
	return true;
}

/* Some bytes of an upload; returns how many are taken.  The route says where they go, once it
 * knows. */
static size_t request_upload(struct request *r, const char *data, size_t n)
{
	ssize_t put;

	if (r->status == 0 && r->sink < 0 && !r->begun) {
		r->begun = true;
		r->route->start(r);
		if (request_rest(r))
			return 0;
	}
	while (r->status == 0 && n > 0) {
		put = write(r->sink, data, n);
		if (put > 0)
			return (size_t)put;
		if (put < 0 && errno != EINTR)
			request_refuse(r, 507, CODE_DISK_FULL, NULL);
	}
	return n; /* refused: the rest is read and thrown away */
}

static void request_body(struct request *r, const char *data, size_t n)
{
	size_t max = r->status == 0 ? r->route->body_max : 0;
	u8 *bigger;

	if (r->status != 0)
		return;
	if (n > max - r->body_len) {
		request_refuse(r, 413, CODE_TOO_LARGE, NULL);
		return;
	}
	bigger = malloc(r->body_len + n);
	if (bigger == NULL) {
		request_refuse(r, 503, CODE_UNAVAILABLE, "memory");
		return;
	}
	if (r->body_len > 0)
		memcpy(bigger, r->body, r->body_len);
	memcpy(bigger + r->body_len, data, n);
	wipe_free(&r->body, r->body_len);
	r->body = bigger;
	r->body_len += n;
}

/* The whole request is here. */
static enum MHD_Result request_start(struct request *r)
{
	if (r->status == 0)
		r->route->start(r);
	return request_rest(r) ? MHD_YES : request_send(r);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *conn, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *n, void **state)
{
	struct request *r = *state;

	if (r == NULL) {
		r = request_new(arg, conn);
		r->deadline.fire = request_late;
		*state = r;
		request_admit(r, method, path);
		return MHD_YES;
	}
	OBJ_CHECK(r, REQUEST_MAGIC);
	if (*n > 0 && r->route != NULL && r->route->body_max == ROUTE_UPLOAD) {
		*n -= request_upload(r, data, *n);
		return MHD_YES;
	}
	if (*n > 0) {
		request_body(r, data, *n);
		*n = 0;
		return MHD_YES;
	}
	if (r->ended)
		return request_send(r);
	r->ended = true;
	return request_start(r);
}

static void on_completed(void *arg, struct MHD_Connection *conn, void **state,
			 enum MHD_RequestTerminationCode why)
{
	struct request *r = *state;

	if (r != NULL)
		request_free(&r);
	*state = NULL;
}

/* Whoever may do nothing gets his refusal, and no place to sit in. */
static void on_connection(void *arg, struct MHD_Connection *conn, void **state,
			  enum MHD_ConnectionNotificationCode what)
{
	struct api *a = arg;
	const union MHD_ConnectionInfo *ci =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct peer p;

	if (what != MHD_CONNECTION_NOTIFY_STARTED || ci == NULL)
		return;
	if (peer_of(ci->connect_fd, &p) != E_OK || authority_of(&a->rules, &p) == AUTHORITY_NONE)
		MHD_set_connection_option(conn, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
}

static unsigned http_connections(struct api *a)
{
	const union MHD_DaemonInfo *i =
		MHD_get_daemon_info(a->http, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return i != NULL ? i->num_connections : 0;
}

/* At its limit MHD stops listening, and looks again only when it runs after a connection has gone.
 */
static void http_run(struct api *a)
{
	unsigned before;

	do {
		before = http_connections(a);
		MHD_run(a->http);
	} while (http_connections(a) < before);
}

static void http_turn(void *arg, u32 events)
{
	struct api *a = arg;
	MHD_UNSIGNED_LONG_LONG ms;

	http_run(a);
	api_timer_stop(a, &a->turn);
	if (MHD_get_timeout(a->http, &ms) == MHD_YES)
		api_timer_start(a, &a->turn, MAX(ms, 1));
}

static void http_timer(struct timer *t)
{
	http_turn(CONTAINER_OF(t, struct api, turn), 0);
}

static void on_http_log(void *arg, const char *fmt, va_list ap)
{
	char text[256];

	vsnprintf(text, sizeof(text), fmt, ap);
	log_msg(LOG_DEBUG, "admin_http", "%s", text);
}

enum err request_serve(struct api *a)
{
	const union MHD_DaemonInfo *info;

	a->http = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
		on_request, a, MHD_OPTION_EXTERNAL_LOGGER, on_http_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, a->socket, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)REQUEST_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, 30u,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32768, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, a, MHD_OPTION_NOTIFY_CONNECTION, on_connection, a,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (a->http == NULL)
		return E_IO;
	info = MHD_get_daemon_info(a->http, MHD_DAEMON_INFO_EPOLL_FD);
	ASSERT(info != NULL && info->epoll_fd >= 0);
	a->turn.fire = http_timer;
	child_watch(a->child, info->epoll_fd, EPOLLIN, http_turn, a);
	return E_OK;
}

void request_stop(struct api *a)
{
	struct request *r;

	if (a->http == NULL)
		return;
	/* MHD wants no connection at rest when it stops. */
	LIST_FOREACH (r, &a->requests, next) {
		if (r->stream != NULL)
			stream_end(r->stream);
		if (r->resting && r->status == 0)
			request_refuse(r, 503, CODE_UNAVAILABLE, "picketd stops");
		request_wake(r);
	}
	MHD_stop_daemon(a->http);
	a->http = NULL;
}
