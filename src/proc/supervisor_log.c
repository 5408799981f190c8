/* supervisor_log: every line of every process, in one file that turns over at 10 MiB and keeps
 * three. A child cannot write the file: it writes lines into a pipe, and they are cut and cleaned
 * here. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc/supervisor.h"

enum { LOG_BYTES_MAX = 10 * 1024 * 1024, LOG_READ_MAX = 64 * 1024 };

bool sup_log_open(struct sup *s)
{
	struct stat st;

	s->log.file =
		openat(s->log.dir, "picketd.log",
		       O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (s->log.file < 0 || fstat(s->log.file, &st) != 0)
		return false;
	s->log.size = (u64)st.st_size;
	return true;
}

static void log_turn_over(struct sup *s)
{
	int d = s->log.dir;

	close(s->log.file);
	/* A missing older file is no error. */
	renameat(d, "picketd.log.2", d, "picketd.log.3");
	renameat(d, "picketd.log.1", d, "picketd.log.2");
	renameat(d, "picketd.log", d, "picketd.log.1");
	if (!sup_log_open(s))
		s->log.file = -1;
}

/* line ends with a newline.  A log that cannot be written is no reason to stop serving. */
static void log_file_write(struct sup *s, const char *line, size_t n)
{
	ssize_t put;

	if (s->log.file < 0)
		return;
	if (s->log.size + n > LOG_BYTES_MAX)
		log_turn_over(s);
	do
		put = write(s->log.file, line, n);
	while (put < 0 && errno == EINTR);
	if (put > 0)
		s->log.size += (u64)put;
}

void sup_log_bytes(struct sup *s, const char *line, size_t n)
{
	log_file_write(s, line, n);
	while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR)
		continue;
}

void sup_say(struct sup *s, enum log_level level, const char *event, const char *fmt, ...)
{
	char text[700], safe[720];
	struct logline l;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_begin(&l, level, event);
	if (l.n == 0) /* below the level */
		return;
	log_escape(slice_str(text), safe, sizeof(safe));
	l.n += (size_t)snprintf(l.b + l.n, sizeof(l.b) - l.n, " msg=\"%s\"\n", safe);
	ASSERT(l.n < sizeof(l.b));
	sup_log_bytes(s, l.b, l.n);
}

static void linebuf_emit(struct sup *s, struct linebuf *l)
{
	if (l->n == 0)
		return;
	l->b[l->n++] = '\n';
	sup_log_bytes(s, l->b, l->n);
	l->n = 0;
}

static void linebuf_byte(struct sup *s, struct linebuf *l, char c)
{
	if (c == '\n') {
		linebuf_emit(s, l);
		l->cut = false;
		return;
	}
	if (l->cut)
		return;
	/* Our lines are escaped already; what a library writes may be anything. */
	l->b[l->n++] = (u8)c >= 0x20 && c != 0x7f ? c : '?';
	if (l->n < SUP_LINE_MAX - 1)
		return;
	linebuf_emit(s, l);
	l->cut = true;
}

bool linebuf_read(struct sup *s, struct linebuf *l)
{
	char b[4096];

	for (size_t total = 0; total < LOG_READ_MAX;) {
		ssize_t n = read(l->fd, b, sizeof(b));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0) {
			linebuf_emit(s, l);
			return false;
		}
		for (ssize_t i = 0; i < n; i++)
			linebuf_byte(s, l, b[i]);
		total += (size_t)n;
	}
	return true;
}
