/* log: one event, one line, on fd 2 with one write; the supervisor collects it.
 *
 *   2026-11-24T14:02:11.123Z info broker event=refused identity="esp07" addr=203.0.113.9
 * reason=auth_failed
 *
 * Field names and words are ours; values that a peer can influence go through log_peer, which
 * escapes every byte outside printable ASCII as \xNN, quotes, and cuts at 128 bytes, so a line
 * stays one line (I27).  There is no verb for a secret. */
#ifndef PICKET_BASE_LOG_H
#define PICKET_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct logline {
	size_t n;
	char b[1024];
};

/* Once at start: the word for the process ("broker") and the least important level that is written.
 */
void log_setup(const char *process, enum log_level max);
void log_begin(struct logline *l, enum log_level level, const char *event);
void log_word(struct logline *l, const char *field, const char *ours);
void log_num(struct logline *l, const char *field, u64 v);
void log_peer(struct logline *l, const char *field, struct slice theirs);
void log_err(struct logline *l, enum err e); /* reason=WORD */
void log_end(struct logline *l);
/* The short form for what is ours alone: event and one formatted text of ours (msg="…", escaped
 * too). */
void log_msg(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);

/* Escape as log_peer does, without quotes, into out (always NUL-terminated); returns the length. */
size_t log_escape(struct slice theirs, char *out, size_t cap);

#endif
