/* kept: the routes about sessions and retained messages.  Lists are asked for a page at a time,
 * each when the one before has been read, so that their length costs nothing here. */
#include <stdlib.h>

#include "admin/handlers.h"
#include "admin/request.h"
#include "admin/stream.h"
#include "base/log.h"
#include "base/num.h"

enum { NAME_BYTES = 131, CLIENT_BYTES = 512, FILTER_BYTES = 1100, YEARS_S = 100u * 366 * 86400 };

/* ---- what is asked --------------------------------------------------------------------------- */
static bool fits(const char *s, size_t max)
{
	return s == NULL || strlen(s) <= max;
}

static struct slice two(u8 *buf, size_t cap, const char *a, const char *b)
{
	struct wr w = wr_of(buf, cap);

	ipc_put_str(&w, slice_str(a != NULL ? a : ""));
	ipc_put_str(&w, slice_str(b != NULL ? b : ""));
	ASSERT(w.err == E_OK);
	return wr_done(&w);
}

/* JSON holds text only: what is not UTF-8 is shown escaped. */
static json_t *text_of(struct slice s)
{
	json_t *j = json_stringn((const char *)s.p, s.n);
	char *out;

	if (j != NULL)
		return j;
	out = calloc(s.n * 4 + 1, 1);
	if (out == NULL)
		return json_null();
	log_escape(s, out, s.n * 4 + 1);
	j = json_string(out);
	free(out);
	return j;
}

static json_t *num(u64 v)
{
	return json_integer((json_int_t)MIN(v, (u64)INT64_MAX));
}

static json_t *num_or_null(u64 v, bool none)
{
	return none ? json_null() : num(v);
}

/* ---- pages ----------------------------------------------------------------------------------- */
/* The page that has come; false: it has not, or there is no such list any more. */
static bool page_there(const struct request *r)
{
	const struct part *p = &r->part[0];

	return p->err == E_OK && (p->body.page.count != 0 || p->body.page.cursor == KEPT_END ||
				  p->body.page.cursor != r->cursor);
}

static enum stream_page page_end(struct request *r)
{
	r->cursor = r->part[0].body.page.cursor;
	request_part_again(r, 0);
	if (r->cursor != KEPT_END)
		return STREAM_PAGES_ON;
	return stream_line(r->stream, json_pack("{s:b}", "end", 1)) ? STREAM_PAGES_END
								    : STREAM_PAGES_FAILED;
}

/* ---- sessions -------------------------------------------------------------------------------- */
#define X(word) word,
static const char *const drop_words[] = {KEPT_DROPS(X)};
#undef X
_Static_assert(ARRAY_LEN(drop_words) <= ARRAY_LEN(((struct session_row *)0)->drops),
	       "a row holds every reason");

static json_t *drops_json(const struct session_row *row)
{
	json_t *j = json_object();

	for (size_t i = 0; i < ARRAY_LEN(drop_words); i++)
		json_object_set_new(j, drop_words[i], num(row->drops[i]));
	return j;
}

static struct slice cut(const char *s, size_t cap)
{
	return slice_of(s, strnlen(s, cap));
}

static json_t *session_json(const struct session_row *row)
{
	json_t *j = json_object();

	json_object_set_new(j, "identity", text_of(cut(row->identity, sizeof(row->identity))));
	json_object_set_new(j, "client_id", text_of(cut(row->client_id, sizeof(row->client_id))));
	json_object_set_new(j, "online", json_boolean(row->online != 0));
	json_object_set_new(j, "durable", json_boolean(row->durable != 0));
	json_object_set_new(j, "addr", text_of(cut(row->addr, sizeof(row->addr))));
	json_object_set_new(j, "listener", text_of(cut(row->listener, sizeof(row->listener))));
	json_object_set_new(j, "connected_wall_ms", num(row->connected_wall_ms));
	json_object_set_new(j, "version", num(row->version));
	json_object_set_new(j, "subscriptions", num(row->subscriptions));
	json_object_set_new(j, "inflight", num(row->inflight));
	json_object_set_new(j, "queued", num(row->queued));
	json_object_set_new(j, "queued_bytes", num(row->queued_bytes));
	json_object_set_new(j, "on_disk", num(row->stored));
	json_object_set_new(j, "expiry_s", num_or_null(row->expiry_s, row->expiry_s == UINT32_MAX));
	json_object_set_new(j, "ends_in_s",
			    num_or_null(row->ends_in_ms / 1000, row->ends_in_ms == UINT64_MAX));
	json_object_set_new(j, "dropped", drops_json(row));
	return j;
}

static enum stream_page sessions_page(struct request *r)
{
	const struct part *p = &r->part[0];
	struct session_row row;

	if (!page_there(r) || p->n != p->body.page.count * sizeof(row))
		return STREAM_PAGES_FAILED;
	for (u32 i = 0; i < p->body.page.count; i++) {
		memcpy(&row, p->data + i * sizeof(row), sizeof(row));
		if (!stream_line(r->stream, session_json(&row)))
			return STREAM_PAGES_FAILED;
	}
	return page_end(r);
}

static void sessions_more(struct request *r)
{
	const struct m_session_query m = {r->cursor};
	u8 buf[1024];

	request_ask(
		r, 0, ROLE_BROKER, IPC_SESSION_QUERY, &m,
		two(buf, sizeof(buf), request_query(r, "identity"), request_query(r, "client_id")),
		-1);
}

void route_sessions(struct request *r)
{
	if (!fits(request_query(r, "identity"), NAME_BYTES) ||
	    !fits(request_query(r, "client_id"), CLIENT_BYTES))
		request_refuse(r, 400, CODE_BAD_REQUEST, "a name is too long");
	else
		r->stream = stream_pages(r, sessions_more, sessions_page);
}

/* ---- ending ---------------------------------------------------------------------------------- */
static void dropped_done(struct request *r)
{
	const struct part *p = &r->part[0];
	const struct m_dropped *d = &p->body.dropped;

	if (p->err == E_FILTER || p->err == E_UTF8)
		request_refuse(r, 400, CODE_BAD_REQUEST, err_text(p->err));
	else if (p->err != E_OK)
		request_refuse_part(r, 0, "broker");
	else
		request_json(r, 200,
			     json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "sessions", num(d->sessions),
				       "connections", num(d->connections), "subscriptions",
				       num(d->subscriptions), "queued", num(d->queued), "retained",
				       num(d->retained), "bytes", num(d->bytes)));
}

void route_sessions_drop(struct request *r)
{
	json_t *j = request_object(r);
	const char *identity, *client_id;
	struct m_session_drop m;
	u8 buf[1024];

	if (j == NULL)
		return;
	identity = json_string_value(json_object_get(j, "identity"));
	client_id = json_string_value(json_object_get(j, "client_id"));
	m = (struct m_session_drop){json_is_true(json_object_get(j, "dry_run"))};
	if ((identity == NULL && client_id == NULL) || !fits(identity, NAME_BYTES) ||
	    !fits(client_id, CLIENT_BYTES) || (identity != NULL && identity[0] == '\0') ||
	    (client_id != NULL && client_id[0] == '\0')) {
		request_refuse(r, 400, CODE_BAD_REQUEST, "give identity or client_id");
	} else {
		if (!m.dry)
			request_log(r, "session.drop", identity != NULL ? identity : client_id);
		r->done = dropped_done;
		request_ask(r, 0, ROLE_BROKER, IPC_SESSION_DROP, &m,
			    two(buf, sizeof(buf), identity, client_id), -1);
	}
	json_decref(j);
}

/* ---- retained messages ----------------------------------------------------------------------- */
static void put_base64(json_t *j, const u8 *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = malloc((n + 2) / 3 * 4 + 1);
	size_t at = 0;

	if (out == NULL)
		return;
	for (size_t i = 0; i < n; i += 3) {
		u32 v = (u32)p[i] << 16 | (i + 1 < n ? (u32)p[i + 1] << 8 : 0) |
			(i + 2 < n ? p[i + 2] : 0);
		for (u32 k = 0; k < 4; k++)
			out[at++] = i + k > n ? '=' : digits[v >> (18 - 6 * k) & 63];
	}
	json_object_set_new(j, "payload_base64", json_stringn(out, at));
	free(out);
}

/* The row at the beginning of rest; false: it does not hold one. */
static json_t *retained_json(struct rd *rd, bool payloads)
{
	struct slice head = rd_bytes(rd, sizeof(struct retained_row)), topic, identity, client_id,
		     payload;
	struct retained_row row;
	json_t *j;

	if (rd->err != E_OK)
		return NULL;
	memcpy(&row, head.p, sizeof(row));
	topic = rd_bytes(rd, row.topic_n);
	identity = rd_bytes(rd, row.identity_n);
	client_id = rd_bytes(rd, row.client_id_n);
	payload = rd_bytes(rd, row.payload_n);
	if (rd->err != E_OK)
		return NULL;
	j = json_object();
	json_object_set_new(j, "topic", text_of(topic));
	json_object_set_new(j, "bytes", num(row.bytes));
	json_object_set_new(j, "qos", num(row.qos));
	json_object_set_new(j, "identity", text_of(identity));
	json_object_set_new(j, "client_id", text_of(client_id));
	json_object_set_new(j, "age_s", num(row.age_ms / 1000));
	json_object_set_new(j, "expires_in_s",
			    num_or_null(row.expires_in_ms / 1000, row.expires_in_ms == UINT64_MAX));
	if (payloads)
		put_base64(j, payload.p, payload.n);
	return j;
}

static bool wants_payloads(const struct request *r)
{
	return r->route->start == route_retained_show;
}

static enum stream_page retained_page(struct request *r)
{
	const struct part *p = &r->part[0];
	struct rd rd = rd_of(slice_of(p->data, p->n));

	if (!page_there(r))
		return STREAM_PAGES_FAILED;
	for (u32 i = 0; i < p->body.page.count; i++) {
		json_t *line = retained_json(&rd, wants_payloads(r));
		if (line == NULL || !stream_line(r->stream, line))
			return STREAM_PAGES_FAILED;
	}
	return page_end(r);
}

static bool older_read(struct request *r, u64 *ms)
{
	const char *s = request_query(r, "older_s");

	*ms = 0;
	if (s == NULL)
		return true;
	if (num_parse(slice_str(s), YEARS_S, ms) != E_OK)
		return false;
	*ms *= 1000;
	return true;
}

static void retained_ask(struct request *r, u32 payload)
{
	struct m_retained_query m = {.cursor = r->cursor, .payload = payload};
	const char *filter = request_query(r, "filter");
	u8 buf[2048];

	ASSERT(older_read(r, &m.older_ms));
	request_ask(
		r, 0, ROLE_BROKER, IPC_RETAINED_QUERY, &m,
		two(buf, sizeof(buf), filter != NULL ? filter : "#", request_query(r, "identity")),
		-1);
}

static void retained_more(struct request *r)
{
	retained_ask(r, wants_payloads(r));
}

static bool retained_asked_well(struct request *r)
{
	u64 ms;

	if (fits(request_query(r, "filter"), FILTER_BYTES) &&
	    fits(request_query(r, "identity"), NAME_BYTES) && older_read(r, &ms))
		return true;
	request_refuse(r, 400, CODE_BAD_REQUEST, "a name is too long, or older_s is no number");
	return false;
}

void route_retained(struct request *r)
{
	if (retained_asked_well(r))
		r->stream = stream_pages(r, retained_more, retained_page);
}

void route_retained_show(struct request *r)
{
	if (!retained_asked_well(r))
		return;
	request_log(r, "retained.show", request_query(r, "filter"));
	r->stream = stream_pages(r, retained_more, retained_page);
}

static void payload_done(struct request *r)
{
	struct part *p = &r->part[0];

	if (p->err != E_OK)
		request_refuse_part(r, 0, "broker");
	else if (p->body.page.count == 0)
		request_refuse(r, 409, CODE_NOT_RETAINED, NULL);
	else
		request_text(r, "application/octet-stream", slice_of(p->data, p->n));
}

void route_retained_payload(struct request *r)
{
	if (!retained_asked_well(r))
		return;
	request_log(r, "retained.show", request_query(r, "filter"));
	r->done = payload_done;
	retained_ask(r, 2);
}

void route_retained_delete(struct request *r)
{
	json_t *j = request_object(r), *older;
	struct m_retained_delete m = {0};
	const char *filter, *identity;
	u8 buf[2048];

	if (j == NULL)
		return;
	filter = json_string_value(json_object_get(j, "filter"));
	identity = json_string_value(json_object_get(j, "identity"));
	older = json_object_get(j, "older_s");
	m.dry = json_is_true(json_object_get(j, "dry_run"));
	if (json_is_integer(older) && json_integer_value(older) >= 0 &&
	    json_integer_value(older) <= (json_int_t)YEARS_S)
		m.older_ms = (u64)json_integer_value(older) * 1000;
	else if (older != NULL)
		filter = NULL;
	if (filter == NULL || !fits(filter, FILTER_BYTES) || !fits(identity, NAME_BYTES)) {
		request_refuse(r, 400, CODE_BAD_REQUEST,
			       "give filter; identity is a name, older_s a number of seconds");
	} else {
		if (!m.dry)
			request_log(r, "retained.delete", filter);
		r->done = dropped_done;
		request_ask(r, 0, ROLE_BROKER, IPC_RETAINED_DELETE, &m,
			    two(buf, sizeof(buf), filter, identity), -1);
	}
	json_decref(j);
}
