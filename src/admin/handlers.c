/* handlers: what each route does.  A handler checks its arguments, asks the process that knows, and
 * its done function makes the answer of what came back. */
#include <stdlib.h>
#include <unistd.h>

#include "admin/handlers.h"
#include "admin/request.h"
#include "admin/status.h"
#include "admin/stream.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

enum { CALL_INLINE_MAX = 32768, NAME_MAX_BYTES = 131 };

/* ---- the API itself
 * ------------------------------------------------------------------------------ */

static const char *needs_word(bool admin)
{
	return admin ? "admin" : "ops";
}

void route_api(struct request *r)
{
	json_t *list = json_array(), *calls = json_array();

	for (size_t i = 0; route_at(i) != NULL; i++) {
		const struct route *t = route_at(i);

		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s}", "method", t->method,
						      "path", t->path, "needs",
						      needs_word(t->needs == AUTHORITY_ADMIN),
						      "does", t->doc));
	}
	for (size_t i = 0; call_at(i) != NULL; i++) {
		const struct call_rule *t = call_at(i);

		json_array_append_new(calls, json_pack("{s:s,s:s,s:s,s:s}", "op", t->op, "needs",
						       needs_word(t->admin), "arguments",
						       t->arguments, "reply", t->reply));
	}
	request_json(r, 200, json_pack("{s:o,s:o}", "routes", list, "calls", calls));
}

/* ---- status
 * -------------------------------------------------------------------------------------- */

static void status_done(struct request *r)
{
	request_json(r, 200, status_json(&r->api->conf, r->part));
}

void route_status(struct request *r)
{
	const struct m_sup_call sup = {SUP_STATUS};
	const struct m_call call = {.uid = r->uid, .admin = 0};
	const struct m_keys_call keys = {KEYS_SERVER_CERT};
	const struct m_store_ask store = {STORE_STATUS};
	const struct m_none none = {0};

	r->done = status_done;
	request_ask(r, STATUS_SUP, ROLE_SUP, IPC_SUP_CALL, &sup, SLICE_NONE, -1);
	request_ask(r, STATUS_AUTH, ROLE_AUTH, IPC_CALL, &call, SLICE_LIT("{\"op\":\"status\"}"),
		    -1);
	request_ask(r, STATUS_BROKER, ROLE_BROKER, IPC_STATS, &none, SLICE_NONE, -1);
	request_ask(r, STATUS_STORE, ROLE_BROKER, IPC_STORE_ASK, &store, SLICE_NONE, -1);
	request_ask(r, STATUS_CERT, ROLE_KEYS, IPC_KEYS_CALL, &keys, SLICE_NONE, -1);
}

/* ---- calls of auth
 * ------------------------------------------------------------------------------- */

static void call_done(struct request *r)
{
	struct part *p = &r->part[0];
	u8 *data = p->data;

	if (p->n == 0) {
		request_refuse_part(r, 0, "auth");
		return;
	}
	/* The reply is JSON in both cases; an error says what, the status that it is one. */
	r->status = p->err == E_OK ? 200 : p->err == E_DENIED ? 403 : 409;
	r->type = "application/json";
	r->out = data;
	r->out_len = p->n;
	p->data = NULL;
}

static void call_send(struct request *r)
{
	struct m_call m = {.uid = r->uid, .admin = r->who == AUTHORITY_ADMIN};
	struct slice body = slice_of(r->body, r->body_len);
	int fd = -1;

	r->done = call_done;
	if (body.n > CALL_INLINE_MAX) {
		fd = ipc_memfd("call", body);
		m.size = (u32)body.n;
		body = SLICE_NONE;
		if (fd < 0) {
			r->part[0].err = E_NOMEM;
			return;
		}
	}
	request_ask(r, 0, ROLE_AUTH, IPC_CALL, &m, body, fd);
	if (fd >= 0)
		close(fd);
}

void route_call(struct request *r)
{
	json_t *j = request_object(r);
	const char *op;
	enum err e;

	if (j == NULL)
		return;
	op = json_string_value(json_object_get(j, "op"));
	e = op == NULL ? E_NOT_FOUND : call_allowed(op, r->who);
	if (e == E_OK) {
		request_log(r, op, NULL);
		call_send(r);
	} else if (e == E_DENIED) {
		request_refuse(r, 403, CODE_FORBIDDEN, NULL);
	} else {
		request_refuse(r, 400, CODE_BAD_REQUEST, "no such call");
	}
	json_decref(j);
}

/* ---- clients
 * ------------------------------------------------------------------------------------- */

static bool name_fits(const char *s, size_t max)
{
	return s == NULL || strlen(s) <= max;
}

static void clients_done(struct request *r)
{
	const struct part *p = &r->part[0];
	json_t *list;

	if (p->err != E_OK) {
		request_refuse_part(r, 0, "broker");
		return;
	}
	list = clients_json(slice_of(p->data, p->n), p->body.rows.count);
	request_json(r, 200, json_pack("{s:o}", "clients", list));
}

/* Identity and client id, as CLIENT_QUERY and CLIENT_KICK carry them. */
static struct slice who_tail(u8 *buf, size_t cap, const char *identity, const char *client_id)
{
	struct wr w = wr_of(buf, cap);

	ipc_put_str(&w, slice_str(identity ? identity : ""));
	ipc_put_str(&w, slice_str(client_id ? client_id : ""));
	ASSERT(w.err == E_OK);
	return wr_done(&w);
}

void route_clients(struct request *r)
{
	const struct m_none none = {0};
	const char *identity = request_query(r, "identity");
	const char *client_id = request_query(r, "client_id");
	u8 buf[1024];

	if (!name_fits(identity, NAME_MAX_BYTES) || !name_fits(client_id, 512)) {
		request_refuse(r, 400, CODE_BAD_REQUEST, "a name is too long");
		return;
	}
	r->done = clients_done;
	request_ask(r, 0, ROLE_BROKER, IPC_CLIENT_QUERY, &none,
		    who_tail(buf, sizeof(buf), identity, client_id), -1);
}

static void kick_done(struct request *r)
{
	const struct part *p = &r->part[0];

	if (p->err != E_OK) {
		request_refuse_part(r, 0, "broker");
		return;
	}
	if (p->body.kicked.count == 0) {
		request_refuse(r, 409, CODE_NO_CLIENT, NULL);
		return;
	}
	request_json(r, 200, json_pack("{s:i}", "kicked", (int)p->body.kicked.count));
}

void route_kick(struct request *r)
{
	const struct m_kick m = {E_ADMIN};
	json_t *j = request_object(r);
	const char *identity, *client_id;
	u8 buf[1024];

	if (j == NULL)
		return;
	identity = json_string_value(json_object_get(j, "identity"));
	client_id = json_string_value(json_object_get(j, "client_id"));
	if ((identity == NULL && client_id == NULL) || !name_fits(identity, NAME_MAX_BYTES) ||
	    !name_fits(client_id, 512)) {
		request_refuse(r, 400, CODE_BAD_REQUEST, "give identity or client_id");
	} else {
		request_log(r, "client.kick", NULL);
		r->done = kick_done;
		request_ask(r, 0, ROLE_BROKER, IPC_CLIENT_KICK, &m,
			    who_tail(buf, sizeof(buf), identity, client_id), -1);
	}
	json_decref(j);
}

void route_watch(struct request *r)
{
	const char *name = request_query(r, "name");

	if (!name_fits(name, NAME_MAX_BYTES))
		request_refuse(r, 400, CODE_BAD_REQUEST, "a name is too long");
	else
		r->stream = stream_watch(r, name ? name : "");
}

/* ---- the CA
 * -------------------------------------------------------------------------------------- */

static void pem_done(struct request *r)
{
	const struct part *p = &r->part[0];

	if (p->err != E_OK)
		request_refuse_part(r, 0, "keys");
	else
		request_text(r, "application/x-pem-file", slice_of(p->data, p->n));
}

void route_ca(struct request *r)
{
	const struct m_keys_call m = {KEYS_CA_CERT};

	r->done = pem_done;
	request_ask(r, 0, ROLE_KEYS, IPC_KEYS_CALL, &m, SLICE_NONE, -1);
}

void route_ca_backup(struct request *r)
{
	const struct m_keys_call m = {KEYS_CA_BACKUP};
	json_t *j = request_object(r), *pass;
	size_t n;

	if (j == NULL)
		return;
	pass = json_object_get(j, "passphrase");
	n = json_string_length(pass);
	if (n < 8 || n > 1024) {
		request_refuse(r, 400, CODE_BAD_REQUEST,
			       "the passphrase is a text of 8 to 1024 bytes");
	} else {
		request_log(r, "ca.backup", NULL);
		r->done = pem_done;
		request_ask(r, 0, ROLE_KEYS, IPC_KEYS_CALL, &m,
			    slice_of(json_string_value(pass), n), -1);
		mem_wipe((void *)(uintptr_t)json_string_value(pass), n);
	}
	json_decref(j);
}

/* ---- configuration
 * ------------------------------------------------------------------------------- */

void route_config(struct request *r)
{
	char *text;

	if (conf_print(&r->api->conf, &text) != E_OK) {
		request_refuse(r, 503, CODE_UNAVAILABLE, "the configuration cannot be printed");
		return;
	}
	request_text(r, "text/plain; charset=utf-8", slice_str(text));
	free(text);
}

/* The supervisor's tail says in one line why a reload was not taken. */
static void reload_done(struct request *r)
{
	const struct part *p = &r->part[0];
	struct rd rd = rd_of(slice_of(p->data, p->n));
	struct slice why = ipc_get_str(&rd);
	char text[400] = "";

	if (p->err == E_OK) {
		request_json(r, 200, json_pack("{s:b}", "reloaded", 1));
		return;
	}
	if (p->data == NULL) {
		request_refuse_part(r, 0, "supervisor");
		return;
	}
	log_escape(rd.err == E_OK ? why : SLICE_LIT(""), text, sizeof(text));
	request_refuse(r, 409, CODE_RELOAD_REFUSED, text[0] ? text : err_text(p->err));
}

void route_reload(struct request *r)
{
	const struct m_sup_call m = {SUP_RELOAD};

	request_log(r, "config.reload", NULL);
	r->done = reload_done;
	request_ask(r, 0, ROLE_SUP, IPC_SUP_CALL, &m, SLICE_NONE, -1);
}

/* ---- the log
 * ------------------------------------------------------------------------------------- */

static u32 query_lines(struct request *r)
{
	const char *s = request_query(r, "lines");
	u64 n;

	if (s == NULL || num_parse(slice_str(s), 100000, &n) != E_OK)
		return 50;
	return (u32)n;
}

static void logs_done(struct request *r)
{
	struct part *p = &r->part[0];

	if (p->err != E_OK || p->fd < 0) {
		p->err = p->err != E_OK ? p->err : E_NOT_FOUND;
		request_refuse_part(r, 0, "supervisor");
		return;
	}
	r->stream = stream_logs(r, p->fd, query_lines(r), request_query(r, "follow") != NULL);
	p->fd = -1;
}

void route_logs(struct request *r)
{
	const struct m_sup_call m = {SUP_LOG};

	r->done = logs_done;
	request_ask(r, 0, ROLE_SUP, IPC_SUP_CALL, &m, SLICE_NONE, -1);
}
