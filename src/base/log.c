/* log: builds a line in the caller's memory and hands it to fd 2 with one write, so that lines of
 * several threads do not mix.  Owns the process word and the level, set once at start.  A field
 * that no longer fits is left out whole: a line is never cut inside a value and never grows. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { LOG_PEER_MAX = 128, LOG_MSG_MAX = 768 };

static struct {
	char process[32];
	enum log_level max;
} log_conf = {"picket", LOG_INFO};

static const char *const level_words[] = {"error", "warn", "info", "debug"};

void log_setup(const char *process, enum log_level max)
{
	ASSERT(max <= LOG_DEBUG);
	/* The first use of gmtime_r opens files (tzset(3)), which a sandbox would not forgive. */
	tzset();
	log_escape(slice_str(process), log_conf.process, sizeof(log_conf.process));
	log_conf.max = max;
}

size_t log_escape(struct slice theirs, char *out, size_t cap)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	if (cap == 0)
		return 0;
	for (size_t i = 0; i < theirs.n; i++) {
		u8 c = theirs.p[i];
		bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
		if (cap - 1 - n < (plain ? 1u : 4u))
			break;
		if (plain) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = '\0';
	return n;
}

/* Appends " FIELD=" and the value, all or nothing; one byte stays free for the newline. */
static void log_field(struct logline *l, const char *field, const char *quote, const char *value)
{
	size_t room = sizeof(l->b) - 1 - l->n;
	int n;

	if (l->n == 0) /* below the level */
		return;
	n = snprintf(l->b + l->n, room, " %s=%s%s%s", field, quote, value, quote);
	if (n > 0 && (size_t)n < room)
		l->n += (size_t)n;
}

void log_begin(struct logline *l, enum log_level level, const char *event)
{
	u64 now = clock_wall_ms();
	char when[24];
	int n;

	l->n = 0;
	if (level > log_conf.max)
		return;
	clock_format(now, when, sizeof(when));
	n = snprintf(l->b, sizeof(l->b), "%.19s.%03uZ %s %s", when, (unsigned)(now % 1000),
		     level_words[level], log_conf.process);
	ASSERT(n > 0);
	l->n = (size_t)n;
	log_word(l, "event", event);
}

void log_word(struct logline *l, const char *field, const char *ours)
{
	char b[LOG_MSG_MAX];

	log_escape(slice_str(ours), b, sizeof(b));
	log_field(l, field, "", b);
}

void log_num(struct logline *l, const char *field, u64 v)
{
	char b[24];

	snprintf(b, sizeof(b), "%llu", (unsigned long long)v);
	log_field(l, field, "", b);
}

void log_peer(struct logline *l, const char *field, struct slice theirs)
{
	char b[LOG_PEER_MAX + 1];

	log_escape(theirs, b, sizeof(b));
	log_field(l, field, "\"", b);
}

void log_err(struct logline *l, enum err e)
{
	log_word(l, "reason", err_word(e));
}

void log_end(struct logline *l)
{
	if (l->n == 0)
		return;
	ASSERT(l->n < sizeof(l->b));
	l->b[l->n++] = '\n';
	/* A log that cannot be written is no reason to stop serving. */
	while (write(STDERR_FILENO, l->b, l->n) < 0 && errno == EINTR)
		continue;
	l->n = 0;
}

void log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
	char text[LOG_MSG_MAX], safe[LOG_MSG_MAX];
	struct logline l;
	va_list ap;

	if (level > log_conf.max)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_escape(slice_str(text), safe, sizeof(safe));
	log_begin(&l, level, event);
	log_field(&l, "msg", "\"", safe);
	log_end(&l);
}
