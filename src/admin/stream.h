/* stream: answers that go on: what one identity does (JSON lines), and the log.
 *
 * A stream holds at most 256 KiB that its reader has not taken; what does not fit is counted and
 * the count is told in its place. */
#ifndef PICKET_ADMIN_STREAM_H
#define PICKET_ADMIN_STREAM_H

#include "admin/request.h"

struct stream;

/* What name does ("" : everybody). */
struct stream *stream_watch(struct request *r, const char *name) MUST;
/* The last lines of the log in fd (takes it), then, with follow, what is added to it. */
struct stream *stream_logs(struct request *r, int fd, u32 lines, bool follow) MUST;
/* What comes through the pipe fd (takes it), up to its end; the answer to part, which is under way,
 * says whether that was all.  If not, the reader of the answer sees it break off. */
struct stream *stream_pipe(struct request *r, int fd, u32 part) MUST;
/* JSON lines a page at a time, each only when the one before has been read.  more asks for the next
 * one; page, when all parts have come, adds its lines with stream_line, and ends with
 * STREAM_PAGES_END at the last, STREAM_PAGES_FAILED when there are no more than these. */
enum stream_page { STREAM_PAGES_ON, STREAM_PAGES_END, STREAM_PAGES_FAILED };
struct stream *stream_pages(struct request *r, void (*more)(struct request *r),
			    enum stream_page (*page)(struct request *r)) MUST;
/* Takes line.  A page may have 256 KiB of them; false: it does not fit. */
bool stream_line(struct stream *s, json_t *line) MUST;
/* All that the request has asked for has come. */
void stream_told(struct stream *s);
void stream_free(struct stream **sp);
/* No more comes; the answer ends when what is held is read. */
void stream_end(struct stream *s);
const char *stream_type(const struct stream *s);
struct MHD_Response *stream_response(struct stream *s) MUST;

/* An EVENT of broker, for every stream that watches this identity.  E_IPC when it does not parse.
 */
enum err stream_event(struct api *a, struct ipc_msg *m) MUST;
/* A SUP_REPLY that nobody's request waits for: the log as it is named now, for the stream that
 * asked whether a new file has taken the place of its own.  Takes m->fd. */
void stream_log_named(struct api *a, struct ipc_msg *m);
/* broker is back: tell it again who is watched. */
void stream_rewatch(struct api *a);

#endif
