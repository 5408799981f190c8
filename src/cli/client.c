/* client: a blocking HTTP client over the unix socket.  The answer is parsed by http.c; nothing in
 * it is trusted to be sensible. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/wr.h"
#include "cli/client.h"
#include "cli/http.h"
#include "cli/out.h"
#include "ipc/codes.h"

enum {
	ANSWER_MAX = 64 << 20,
	ANSWER_WAIT_MS = 60000,
	STORE_WAIT_MS = 3600 * 1000,
	STREAM_LINE_MAX = 64 * 1024
};

static bool socket_exists(const char *dir)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/admin.sock", dir);
	return access(path, F_OK) == 0;
}

void client_run_dir(char *out, size_t cap)
{
	const char *env = getenv("PICKET_RUN"), *xdg = getenv("XDG_RUNTIME_DIR");
	const char *home = getenv("HOME");

	if (env != NULL && env[0] != 0) {
		snprintf(out, cap, "%s", env);
		return;
	}
	if (geteuid() != 0 && xdg != NULL) {
		snprintf(out, cap, "%s/picket", xdg);
		if (socket_exists(out))
			return;
	}
	if (geteuid() != 0 && home != NULL) {
		snprintf(out, cap, "%s/.local/state/picket/run", home);
		if (socket_exists(out))
			return;
	}
	snprintf(out, cap, "/run/picket");
}

/* ---- one connection
 * ------------------------------------------------------------------------------ */

static enum err client_connect(const char *run_dir, int *out)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/admin.sock", run_dir);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(a.sun_path))
		return E_RANGE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return E_IO;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		close(fd);
		return E_EOF;
	}
	*out = fd;
	return E_OK;
}

static enum err write_all(int fd, const void *p, size_t n)
{
	const u8 *b = p;

	while (n > 0) {
		ssize_t w = send(fd, b, n, MSG_NOSIGNAL);

		if (w < 0 && errno == EINTR)
			continue;
		/* An early refusal closes the door while we still talk: read it. */
		if (w <= 0)
			return errno == EPIPE ? E_OK : E_EOF;
		b += w;
		n -= (size_t)w;
	}
	return E_OK;
}

static enum err send_request(int fd, const char *path, const char *body)
{
	char head[2048];
	int n = snprintf(head, sizeof(head),
			 "%s %s HTTP/1.1\r\nHost: picket\r\nConnection: close\r\n"
			 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			 body ? "POST" : "GET", path, body ? strlen(body) : 0);
	enum err e;

	if (n < 0 || (size_t)n >= sizeof(head))
		return E_RANGE;
	e = write_all(fd, head, (size_t)n);
	return e == E_OK && body != NULL ? write_all(fd, body, strlen(body)) : e;
}

/* Wait for bytes until stop_ms (0: for ever) or a signal that somebody catches. */
static enum err wait_readable(int fd, u64 stop_ms)
{
	for (;;) {
		u64 now = clock_mono_ms();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ms = stop_ms == 0 ? -1 : stop_ms <= now ? 0 : (int)MIN(stop_ms - now, 3600000);
		int n = poll(&p, 1, ms);

		if (n > 0)
			return E_OK;
		if (n < 0)
			return errno == EINTR ? E_TIMEOUT : E_IO;
		if (clock_mono_ms() >= stop_ms)
			return E_TIMEOUT;
	}
}

/* Read until the response is complete, the sink wants no more (*go false), or time is up. */
static enum err read_response(int fd, struct http *h, const u64 *stop_ms, const bool *go)
{
	u8 buf[16384];

	while (*go) {
		enum err e = wait_readable(fd, *stop_ms);
		ssize_t n;

		if (e != E_OK)
			return e;
		n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return http_end(h);
		e = http_feed(h, slice_of(buf, (size_t)n));
		mem_wipe(buf, (size_t)n);
		if (e != E_MORE)
			return e;
	}
	return E_OK;
}

/* ---- whole answers
 * ------------------------------------------------------------------------------- */

struct gather {
	struct answer *a;
	bool go;
	enum err err;
};

static void answer_add(void *arg, struct slice bytes)
{
	struct gather *g = arg;
	struct answer *a = g->a;

	if (a->n + bytes.n > ANSWER_MAX) {
		g->err = E_TOO_LARGE;
		g->go = false;
		return;
	}
	if (a->n + bytes.n + 1 > a->cap) {
		size_t cap = MAX(a->cap * 2, a->n + bytes.n + 1);
		u8 *p = xmalloc(cap);

		if (a->n > 0)
			memcpy(p, a->data, a->n);
		mem_wipe(a->data, a->n);
		free(a->data);
		a->data = p;
		a->cap = cap;
	}
	memcpy(a->data + a->n, bytes.p, bytes.n);
	a->n += bytes.n;
	a->data[a->n] = 0;
}

void answer_free(struct answer *a)
{
	if (a->data != NULL)
		mem_wipe(a->data, a->n);
	free(a->data);
	*a = (struct answer){0};
}

static enum err request_text(const char *run_dir, const char *path, const char *body, u64 wait_ms,
			     struct answer *out)
{
	struct gather g = {.a = out, .go = true};
	u64 stop_ms = clock_mono_ms() + wait_ms;
	struct http h;
	enum err e;
	int fd;

	*out = (struct answer){0};
	e = client_connect(run_dir, &fd);
	if (e != E_OK)
		return e;
	http_init(&h, answer_add, &g);
	e = send_request(fd, path, body);
	if (e == E_OK)
		e = read_response(fd, &h, &stop_ms, &g.go);
	close(fd);
	out->status = h.status;
	if (e == E_OK)
		e = g.err;
	if (e != E_OK)
		answer_free(out);
	return e;
}

static enum err request_json(const char *run_dir, const char *path, json_t *body, u64 wait_ms,
			     struct answer *out)
{
	char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	enum err e;

	ASSERT(body == NULL || text != NULL);
	json_decref(body);
	e = request_text(run_dir, path, text, wait_ms, out);
	if (text != NULL)
		mem_wipe(text, strlen(text));
	free(text);
	return e;
}

enum err client_request(const char *run_dir, const char *path, json_t *body, struct answer *out)
{
	return request_json(run_dir, path, body, ANSWER_WAIT_MS, out);
}

/* ---- whole files
 * --------------------------------------------------------------------------------- */

struct download {
	struct gather g;
	struct http *h;
	int fd;
};

static bool fd_write(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = slice_skip(s, (size_t)n);
	}
	return true;
}

static void download_add(void *arg, struct slice bytes)
{
	struct download *d = arg;

	if (d->h->status != 200) {
		answer_add(&d->g, bytes);
	} else if (!fd_write(d->fd, bytes)) {
		d->g.err = E_IO;
		d->g.go = false;
	}
}

/* What comes for a request that has been sent on fd, which is closed. */
static enum err finish(int fd, struct http *h, struct gather *g, enum err e)
{
	u64 stop_ms = clock_mono_ms() + STORE_WAIT_MS;

	if (e == E_OK)
		e = read_response(fd, h, &stop_ms, &g->go);
	close(fd);
	g->a->status = h->status;
	if (g->err != E_OK)
		e = g->err;
	if (e != E_OK)
		answer_free(g->a);
	return e;
}

enum err client_download(const char *run_dir, const char *path, int to, struct answer *out)
{
	struct http h;
	struct download d = {.g = {.a = out, .go = true}, .h = &h, .fd = to};
	enum err e;
	int fd;

	*out = (struct answer){0};
	e = client_connect(run_dir, &fd);
	if (e != E_OK)
		return e;
	http_init(&h, download_add, &d);
	e = send_request(fd, path, NULL);
	return finish(fd, &h, &d.g, e);
}

static enum err send_file(int fd, const char *path, int from, u64 size)
{
	char b[65536];
	int n = snprintf(b, sizeof(b),
			 "POST %s HTTP/1.1\r\nHost: picket\r\nConnection: close\r\n"
			 "Content-Type: application/octet-stream\r\nContent-Length: %llu\r\n\r\n",
			 path, (unsigned long long)size);
	enum err e = n > 0 && (size_t)n < sizeof(b) ? write_all(fd, b, (size_t)n) : E_RANGE;

	while (e == E_OK && size > 0) {
		ssize_t got = read(from, b, MIN(sizeof(b), size));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) /* it has become shorter meanwhile */
			return E_IO;
		size -= (u64)got;
		errno = 0;
		e = write_all(fd, b, (size_t)got);
		if (errno == EPIPE) /* refused: the answer says why */
			break;
	}
	return e;
}

enum err client_upload(const char *run_dir, const char *path, int from, u64 size,
		       struct answer *out)
{
	struct gather g = {.a = out, .go = true};
	struct http h;
	enum err e;
	int fd;

	*out = (struct answer){0};
	e = client_connect(run_dir, &fd);
	if (e != E_OK)
		return e;
	http_init(&h, answer_add, &g);
	e = send_file(fd, path, from, size);
	return finish(fd, &h, &g, e);
}

/* ---- streams
 * ------------------------------------------------------------------------------------- */

struct liner {
	const struct line_sink *sink;
	struct http *h;
	bool go;
	size_t n;
	char line[STREAM_LINE_MAX];
};

static void line_add(void *arg, struct slice bytes)
{
	struct liner *l = arg;

	if (l->h->status != 200) {
		l->sink->body(l->sink->arg, bytes);
		return;
	}
	for (size_t i = 0; i < bytes.n && l->go; i++) {
		if (bytes.p[i] == '\n') {
			l->go = l->sink->line(l->sink->arg, slice_of(l->line, l->n));
			l->n = 0;
		} else if (l->n < sizeof(l->line)) {
			l->line[l->n++] = (char)bytes.p[i]; /* what is longer is cut */
		}
	}
}

enum err client_stream(const char *run_dir, const char *path, const struct line_sink *sink,
		       const u64 *stop_ms, u32 *status)
{
	struct liner *l = xcalloc(1, sizeof(*l));
	struct http h;
	enum err e;
	int fd;

	*status = 0;
	e = client_connect(run_dir, &fd);
	if (e != E_OK) {
		free(l);
		return e;
	}
	l->sink = sink;
	l->h = &h;
	l->go = true;
	http_init(&h, line_add, l);
	e = send_request(fd, path, NULL);
	if (e == E_OK)
		e = read_response(fd, &h, stop_ms, &l->go);
	close(fd);
	*status = h.status;
	free(l);
	return e;
}

void client_quote(const char *s, char *out, size_t cap)
{
	static const char hex[] = "0123456789ABCDEF";
	struct wr w = wr_of(out, cap - 1);

	for (; *s != 0; s++) {
		u8 b = (u8)*s;
		u8 enc[3] = {'%', (u8)hex[b >> 4], (u8)hex[b & 15]};
		bool plain = (b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') ||
			     (b >= 'A' && b <= 'Z') || b == '-' || b == '_' || b == '.' || b == '~';

		if (plain)
			wr_u8(&w, b);
		else
			wr_bytes(&w, enc, 3);
	}
	out[w.n] = 0;
}

/* ---- for commands
 * -------------------------------------------------------------------------------- */

int ask_failed(struct cli *c, enum err e)
{
	char text[600];

	if (e == E_EOF && errno == EACCES)
		return out_refuse(c, CODE_FORBIDDEN, NULL);
	snprintf(text, sizeof(text), "%s/admin.sock", c->run_dir);
	if (e == E_EOF || e == E_IO)
		return out_refuse(c, CODE_NOT_RUNNING, text);
	return out_refuse(c, CODE_BAD_ANSWER, err_text(e));
}

/* The error of an answer that is not 200. */
int ask_refused(struct cli *c, const struct answer *a)
{
	json_t *j = json_loadb((const char *)a->data, a->n, 0, NULL);
	const json_t *e = json_object_get(j, "error");
	int rc;

	if (json_is_object(e)) {
		rc = out_error(c, e);
	} else {
		char text[64];

		snprintf(text, sizeof(text), "HTTP status %u", a->status);
		rc = out_refuse(c, CODE_BAD_ANSWER, text);
	}
	json_decref(j);
	return rc;
}

static int ask_for(struct cli *c, const char *path, json_t *body, u64 wait_ms, struct answer *out)
{
	enum err e = request_json(c->run_dir, path, body, wait_ms, out);
	int rc;

	if (e != E_OK)
		return ask_failed(c, e);
	if (out->status == 200)
		return 0;
	rc = ask_refused(c, out);
	answer_free(out);
	return rc;
}

int ask_text(struct cli *c, const char *path, json_t *body, struct answer *out)
{
	return ask_for(c, path, body, ANSWER_WAIT_MS, out);
}

/* Takes a. */
static int reply_take(struct cli *c, struct answer *a, json_t **reply)
{
	*reply = json_loadb((const char *)a->data, a->n, 0, NULL);
	answer_free(a);
	if (json_is_object(*reply))
		return 0;
	json_decref(*reply);
	*reply = NULL;
	return out_refuse(c, CODE_BAD_ANSWER, "not a JSON object");
}

int ask_json(struct cli *c, const char *path, json_t *body, json_t **reply)
{
	struct answer a;
	int rc = ask_for(c, path, body, ANSWER_WAIT_MS, &a);

	*reply = NULL;
	return rc == 0 ? reply_take(c, &a, reply) : rc;
}

int ask_json_long(struct cli *c, const char *path, json_t *body, json_t **reply)
{
	struct answer a;
	int rc = ask_for(c, path, body, STORE_WAIT_MS, &a);

	*reply = NULL;
	return rc == 0 ? reply_take(c, &a, reply) : rc;
}

int ask_auth(struct cli *c, json_t *call, json_t **reply)
{
	if (cli_has(c, OPT_DRY_RUN))
		json_object_set_new(call, "dry_run", json_true());
	return ask_json(c, "/v1/call", call, reply);
}

int ask_auth_four(struct cli *c, json_t *call)
{
	json_t *reply;
	int rc = ask_auth(c, call, &reply);

	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON)) {
		out_json(c->out, reply);
	} else {
		const char *diff = json_string_value(json_object_get(reply, "diff"));

		if (diff != NULL)
			out_text(c->out, diff);
		out_four(c->out, reply);
	}
	json_decref(reply);
	return CLI_DONE;
}

const char *action_word(const char *s)
{
	if (strcmp(s, "publish") == 0 || strcmp(s, "pub") == 0)
		return "publish";
	if (strcmp(s, "subscribe") == 0 || strcmp(s, "sub") == 0)
		return "subscribe";
	return NULL;
}
