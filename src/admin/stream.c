/* stream: the unread part of an answer that goes on, and what feeds it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/stream_i.h"
#include "base/mem.h"
#include "base/log.h"

enum {
	STREAM_TAIL_MAX = 1024 * 1024, /* of a log, at the start */
	STREAM_BEAT_MS = 15000, /* an empty line now and then shows whether the reader is there */
	STREAM_LOG_MS = 500,
};

void stream_wake(struct stream *s)
{
	if (!s->resting)
		return;
	s->resting = false;
	request_resume(s->r->api, s->r->conn);
}

bool stream_room(struct stream *s, size_t n, size_t max)
{
	size_t cap = s->cap;
	u8 *p;

	if (n > max - MIN(max, s->n))
		return false;
	while (cap < s->n + n)
		cap = cap ? cap * 2 : 4096;
	if (cap == s->cap)
		return true;
	p = realloc(s->held, cap);
	if (p == NULL)
		return false;
	s->held = p;
	s->cap = cap;
	return true;
}

bool stream_put(struct stream *s, struct slice bytes)
{
	if (!stream_room(s, bytes.n, STREAM_HELD_MAX))
		return false;
	memcpy(s->held + s->n, bytes.p, bytes.n);
	s->n += bytes.n;
	stream_wake(s);
	return true;
}

struct stream *stream_new(struct request *r, enum stream_kind kind, int fd,
			  void (*fire)(struct timer *t))
{
	struct stream *s = xcalloc(1, sizeof(*s));

	s->magic = STREAM_MAGIC;
	s->r = r;
	s->kind = kind;
	s->fd = fd;
	s->timer.fire = fire;
	LIST_INSERT_HEAD(&r->api->streams, s, next);
	return s;
}

/* ---- watching
 * ------------------------------------------------------------------------------------ */

static bool watched_by_other(const struct stream *s)
{
	struct stream *o;

	LIST_FOREACH (o, &s->r->api->streams, next)
		if (o != s && o->kind == STREAM_WATCH && strcmp(o->name, s->name) == 0)
			return true;
	return false;
}

static void watch_say(struct stream *s, u32 on)
{
	struct m_watch m = {on};
	u8 buf[256];
	struct wr w = wr_of(buf, sizeof(buf));

	ipc_put_str(&w, slice_str(s->name));
	/* When broker is away it is told by stream_rewatch. */
	if (child_send(s->r->api->child, ROLE_BROKER, IPC_WATCH, 0, &m, wr_done(&w), -1) != E_OK)
		return;
}

static void watch_beat(struct timer *t)
{
	struct stream *s = CONTAINER_OF(t, struct stream, timer);

	OBJ_CHECK(s, STREAM_MAGIC);
	if (!stream_put(s, SLICE_LIT("\n")))
		s->lost++;
	api_timer_start(s->r->api, t, STREAM_BEAT_MS);
}

struct stream *stream_watch(struct request *r, const char *name)
{
	struct stream *s = stream_new(r, STREAM_WATCH, -1, watch_beat);

	ASSERT(strlen(name) < sizeof(s->name));
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->follow = true;
	watch_say(s, 1);
	watch_beat(&s->timer); /* the first line tells the reader that watching has begun */
	return s;
}

static void watch_line(struct stream *s, json_t *event)
{
	char *line;

	if (s->lost > 0)
		json_object_set_new(event, "lost", json_integer((json_int_t)s->lost));
	line = json_dumps(event, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_object_del(event, "lost");
	ASSERT(line != NULL);
	if (stream_room(s, strlen(line) + 1, STREAM_HELD_MAX) && stream_put(s, slice_str(line)) &&
	    stream_put(s, SLICE_LIT("\n")))
		s->lost = 0;
	else
		s->lost++;
	free(line);
}

/* JSON holds text only: what is not UTF-8 is shown escaped. */
static json_t *json_peer(struct slice s)
{
	json_t *j = json_stringn((const char *)s.p, s.n);
	char *out;

	if (j != NULL)
		return j;
	out = xcalloc(s.n * 4 + 1, 1);
	log_escape(s, out, s.n * 4 + 1);
	j = json_string(out);
	free(out);
	return j;
}

enum err stream_event(struct api *a, struct ipc_msg *m)
{
	const struct m_event *b = m->body;
	struct rd r = rd_of(m->tail);
	struct slice who = ipc_get_str(&r), word = ipc_get_str(&r), text = ipc_get_str(&r);
	struct slice action = SLICE_NONE, topic = SLICE_NONE;
	struct stream *s;
	json_t *j;

	if (r.err != E_OK)
		return E_IPC;
	if (rd_left(&r) > 0) {
		action = ipc_get_str(&r);
		topic = ipc_get_str(&r);
	}
	j = json_object();
	json_object_set_new(j, "time", json_integer((json_int_t)b->wall_ms));
	json_object_set_new(j, "identity", json_peer(who));
	json_object_set_new(j, "event", json_peer(word));
	json_object_set_new(j, "text", json_peer(text));
	if (r.err == E_OK && action.n > 0) {
		json_object_set_new(j, "action", json_peer(action));
		json_object_set_new(j, "topic", json_peer(topic));
	}
	LIST_FOREACH (s, &a->streams, next)
		if (s->kind == STREAM_WATCH &&
		    (s->name[0] == 0 || who.n == 0 || slice_eq(who, slice_str(s->name))))
			watch_line(s, j);
	json_decref(j);
	return E_OK;
}

void stream_rewatch(struct api *a)
{
	struct stream *s;

	LIST_FOREACH (s, &a->streams, next)
		if (s->kind == STREAM_WATCH)
			watch_say(s, 1);
}

/* ---- the log
 * ------------------------------------------------------------------------------------- */

static u64 log_size(const struct stream *s)
{
	struct stat st;

	return fstat(s->fd, &st) == 0 && st.st_size > 0 ? (u64)st.st_size : 0;
}

static void log_read(struct stream *s, size_t max)
{
	while (s->n < max && stream_room(s, 4096, max + 4096)) {
		ssize_t n = pread(s->fd, s->held + s->n, 4096, (off_t)s->at);

		if (n <= 0)
			break;
		s->n += (size_t)n;
		s->at += (size_t)n;
	}
}

/* Where the last lines of the n bytes begin. */
static size_t log_last_lines(const u8 *p, size_t n, u32 lines)
{
	size_t i = n;

	while (i > 0) {
		if (p[i - 1] == '\n' && i != n && lines-- == 1)
			return i;
		i--;
	}
	return 0;
}

/* The supervisor renames a full log and begins another: ours may be one that nobody writes to. */
static void log_ask(struct stream *s)
{
	const struct m_sup_call m = {SUP_LOG};
	struct api *a = s->r->api;

	s->asked = ++a->last_id;
	if (child_send(a->child, ROLE_SUP, IPC_SUP_CALL, s->asked, &m, SLICE_NONE, -1) != E_OK)
		s->asked = 0; /* the next look asks again */
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino &&
	       x.st_dev == y.st_dev;
}

void stream_log_named(struct api *a, struct ipc_msg *m)
{
	struct stream *s;

	LIST_FOREACH (s, &a->streams, next) {
		if (s->kind == STREAM_LOG && s->asked == m->id)
			break;
	}
	if (s == NULL || m->fd < 0)
		return;
	OBJ_CHECK(s, STREAM_MAGIC);
	s->asked = 0;
	/* To the end of the old one first. */
	log_read(s, STREAM_HELD_MAX - 4096);
	if (same_file(s->fd, m->fd) || s->at < log_size(s))
		return;
	close(s->fd);
	s->fd = m->fd;
	m->fd = -1;
	s->at = 0;
}

static void log_poll(struct timer *t)
{
	struct stream *s = CONTAINER_OF(t, struct stream, timer);
	u64 had;

	OBJ_CHECK(s, STREAM_MAGIC);
	had = s->at;
	log_read(s, STREAM_HELD_MAX - 4096);
	if (s->n > 0)
		stream_wake(s);
	else if (s->at == had && s->asked == 0)
		log_ask(s);
	api_timer_start(s->r->api, t, STREAM_LOG_MS);
}

struct stream *stream_logs(struct request *r, int fd, u32 lines, bool follow)
{
	struct stream *s = stream_new(r, STREAM_LOG, fd, log_poll);
	u64 size = log_size(s);
	size_t from;

	s->at = size > STREAM_TAIL_MAX ? size - STREAM_TAIL_MAX : 0;
	log_read(s, STREAM_TAIL_MAX);
	from = lines == 0 ? s->n : log_last_lines(s->held, s->n, lines);
	if (from > 0)
		memmove(s->held, s->held + from, s->n - from);
	s->n -= from;
	s->follow = follow;
	s->ended = !follow;
	if (follow)
		api_timer_start(r->api, &s->timer, STREAM_LOG_MS);
	return s;
}

/* ---- both
 * ---------------------------------------------------------------------------------------- */

void stream_free(struct stream **sp)
{
	struct stream *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	OBJ_CHECK(s, STREAM_MAGIC);
	api_timer_stop(s->r->api, &s->timer);
	if (s->kind == STREAM_WATCH && s->r->api->child != NULL && !watched_by_other(s))
		watch_say(s, 0);
	if (s->kind == STREAM_PIPE)
		pipe_end(s);
	if (s->fd >= 0)
		close(s->fd);
	LIST_REMOVE(s, next);
	free(s->held);
	s->magic = 0;
	free(s);
}

void stream_end(struct stream *s)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	s->ended = true;
	stream_wake(s);
}

const char *stream_type(const struct stream *s)
{
	return s->kind == STREAM_LOG	? "text/plain; charset=utf-8"
	       : s->kind == STREAM_PIPE ? "application/octet-stream"
					: "application/jsonlines";
}

ssize_t stream_rest(struct stream *s)
{
	s->resting = true;
	MHD_suspend_connection(s->r->conn);
	return 0;
}

static ssize_t stream_read(void *arg, uint64_t pos, char *buf, size_t max)
{
	struct stream *s = arg;
	size_t n = MIN(max, s->n);

	OBJ_CHECK(s, STREAM_MAGIC);
	if (s->kind == STREAM_PIPE)
		return pipe_read(s, buf, max);
	if (s->kind == STREAM_PAGES && n == 0)
		n = MIN(max, pages_more(s));
	if (n > 0) {
		memcpy(buf, s->held, n);
		memmove(s->held, s->held + n, s->n - n);
		s->n -= n;
		return (ssize_t)n;
	}
	if (s->failed)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (s->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	return stream_rest(s);
}

struct MHD_Response *stream_response(struct stream *s)
{
	/* The request owns the stream and outlives the response. */
	return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, stream_read, s, NULL);
}
