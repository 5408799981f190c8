/* client: the command's end of the admin socket: one request, one answer, or a stream of lines. */
#ifndef PICKET_CLI_CLIENT_H
#define PICKET_CLI_CLIENT_H

#include <jansson.h>

#include "cli/cli.h"

/* The default place of admin.sock: PICKET_RUN, else this user's own broker when there is one, else
 * /run/picket.  Fills cap bytes. */
void client_run_dir(char *out, size_t cap);

struct answer {
	u32 status; /* HTTP's */
	u8 *data;   /* NUL after the last; wiped on free, it may hold a secret */
	size_t n, cap;
};
void answer_free(struct answer *a);

/* One request.  body NULL: GET; else POST (taken).  Any status is E_OK; E_EOF: nobody listens;
 * E_SYNTAX: the answer is not HTTP; E_TIMEOUT.  The caller frees. */
enum err client_request(const char *run_dir, const char *path, json_t *body,
			struct answer *out) MUST;
/* GET path as a stream: line() for every line without its end; it returns false to stop.  *stop_ms:
 * monotonic time at which to stop (E_TIMEOUT), 0: never; line() may change it.  A caught signal
 * stops too. */
struct line_sink {
	bool (*line)(void *arg, struct slice line);
	void (*body)(void *arg, struct slice bytes); /* the answer was not 200: its JSON */
	void *arg;
};
enum err client_stream(const char *run_dir, const char *path, const struct line_sink *sink,
		       const u64 *stop_ms, u32 *status) MUST;
/* GET path; the bytes of the answer to fd as they come (E_IO: it cannot be written).  Any status is
 * E_OK; one that is not 200 is in out, which the caller frees. */
enum err client_download(const char *run_dir, const char *path, int fd, struct answer *out) MUST;
/* POST the size bytes of fd. */
enum err client_upload(const char *run_dir, const char *path, int fd, u64 size,
		       struct answer *out) MUST;
/* Percent-encode for a query (RFC 3986 section 2.1). */
void client_quote(const char *s, char *out, size_t cap);

/* ---- for commands: these print their own refusals and return an exit code of the command, 0 when
 * well ---- */
int ask_json(struct cli *c, const char *path, json_t *body, json_t **reply) MUST;
/* The same for an answer that may take an hour. */
int ask_json_long(struct cli *c, const char *path, json_t *body, json_t **reply) MUST;
int ask_text(struct cli *c, const char *path, json_t *body, struct answer *out) MUST;
/* A call of auth (takes call; dry_run is added when asked for). */
int ask_auth(struct cli *c, json_t *call, json_t **reply) MUST;
/* A mutating call whose answer is its four parts. */
int ask_auth_four(struct cli *c, json_t *call) MUST;
/* "publish" for publish and pub, "subscribe" for subscribe and sub; NULL for anything else. */
const char *action_word(const char *s);
/* What client_request returned, printed: the code for each err. */
int ask_failed(struct cli *c, enum err e) MUST;
/* The refusal in an answer that is not 200. */
int ask_refused(struct cli *c, const struct answer *a) MUST;

#endif
