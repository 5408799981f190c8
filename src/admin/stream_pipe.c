/* stream_pipe: streams whose reader sets the pace: bytes of a pipe that another process fills, and
 * pages that another process is asked for one by one.  Neither is held here beyond what one read,
 * or one page, has. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "admin/stream_i.h"

/* ---- a pipe ---------------------------------------------------------------------------------- */
static void pipe_watch(struct stream *s, bool on);

static void pipe_ready(void *arg, u32 events)
{
	struct stream *s = arg;

	OBJ_CHECK(s, STREAM_MAGIC);
	pipe_watch(s, false);
	stream_wake(s);
}

static void pipe_watch(struct stream *s, bool on)
{
	if (on == s->watched || s->r->api->child == NULL)
		return;
	s->watched = on;
	if (on)
		child_watch(s->r->api->child, s->fd, EPOLLIN, pipe_ready, s);
	else
		child_unwatch(s->r->api->child, s->fd);
}

void pipe_end(struct stream *s)
{
	pipe_watch(s, false);
}

/* No more comes: whoever fills it is not kept waiting. */
static void pipe_break(struct stream *s)
{
	pipe_watch(s, false);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->ended = true;
}

struct stream *stream_pipe(struct request *r, int fd, u32 part)
{
	struct stream *s = stream_new(r, STREAM_PIPE, fd, NULL);

	ASSERT(fd >= 0 && part < REQUEST_PARTS);
	s->part = part;
	s->told = r->waiting == 0; /* nobody could be asked */
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return s;
}

ssize_t pipe_read(struct stream *s, char *buf, size_t max)
{
	ssize_t n;

	if (s->ended)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	do
		n = read(s->fd, buf, max);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n < 0 && errno == EAGAIN) {
		pipe_watch(s, true);
		return stream_rest(s);
	}
	if (n < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (!s->told)
		return stream_rest(s); /* its end; was that all? */
	return s->r->part[s->part].err == E_OK ? MHD_CONTENT_READER_END_OF_STREAM
					       : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* ---- pages ----------------------------------------------------------------------------------- */
struct stream *stream_pages(struct request *r, void (*more)(struct request *r),
			    enum stream_page (*page)(struct request *r))
{
	struct stream *s = stream_new(r, STREAM_PAGES, -1, NULL);

	s->more = more;
	s->page = page;
	return s;
}

bool stream_line(struct stream *s, json_t *line)
{
	char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
	bool fits;

	json_decref(line);
	ASSERT(text != NULL);
	fits = stream_room(s, strlen(text) + 1, STREAM_HELD_MAX) &&
	       stream_put(s, slice_str(text)) && stream_put(s, SLICE_LIT("\n"));
	free(text);
	return fits;
}

static void pages_take(struct stream *s)
{
	enum stream_page p = s->page(s->r);

	s->failed = p == STREAM_PAGES_FAILED;
	s->ended = p == STREAM_PAGES_END;
}

size_t pages_more(struct stream *s)
{
	if (s->ended || s->failed || s->r->waiting != 0)
		return 0;
	s->more(s->r);
	if (s->r->waiting == 0) /* nobody could be asked */
		pages_take(s);
	return s->n;
}

void stream_told(struct stream *s)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	s->told = true;
	if (s->kind == STREAM_PIPE && s->r->part[s->part].err != E_OK)
		pipe_break(s);
	if (s->kind == STREAM_PAGES)
		pages_take(s);
	stream_wake(s);
}
