/* out: what a person reads.  Everything that did not come from this program itself is escaped, so
 * that no device can write to the operator's terminal (I27). */
#ifndef PICKET_CLI_OUT_H
#define PICKET_CLI_OUT_H

#include <jansson.h>

#include "cli/cli.h"

/* Write s: printable text stays as it is; control characters, broken UTF-8 and characters that turn
 * or hide text become \xNN. */
void out_escaped(FILE *f, struct slice s);
/* The same for a member of an object: a text, or a number, or nothing. */
void out_member(FILE *f, const json_t *object, const char *key);
/* "word     " in the first column, as in `changed  …`. */
void out_word(FILE *f, const char *word);
/* One escaped line: word, text. */
void out_line(FILE *f, const char *word, const char *text);
/* A text of several lines, each escaped; ends with a new line. */
void out_text(FILE *f, const char *text);
/* changed, effect, undo, next of a mutating reply; what is missing is left out. */
void out_four(FILE *f, const json_t *reply);
void out_json(FILE *f, const json_t *value);
/* With --json {"text": text}, else the text. */
void out_text_or_json(struct cli *c, const char *text);

/* A table: first gather, then print with columns as wide as they need. */
enum { OUT_COLUMNS = 12 };
struct out_table {
	u32 columns, rows;
	char **cell; /* owned */
	size_t cap;
};
void out_table_begin(struct out_table *t, const char *const *titles, u32 columns);
/* Copies and escapes; row by row from the left. */
void out_table_cell(struct out_table *t, const char *text);
void out_table_end(struct out_table *t, FILE *f); /* prints and frees */

/* "2 s ago", "3 min ago", "2026-11-24", "never" (0) into buf. */
void out_ago(u64 wall_ms, u64 now_ms, char *buf, size_t cap);
/* "00:18:03", "3 d 04:00". */
void out_duration(u64 ms, char *buf, size_t cap);
/* "812 B", "3.1 MiB". */
void out_size(u64 bytes, char *buf, size_t cap);

/* "refused  E1102 exists: text" and "next     …" on the error stream; CLI_REFUSED.  With --json the
 * error object on the output. */
int out_error(struct cli *c, const json_t *error);
/* The same for a code of ours; detail may be NULL, is escaped. */
int out_refuse(struct cli *c, u32 code, const char *detail);

/* --yes, or a y typed at a terminal. */
bool confirmed(struct cli *c, const char *question) MUST;

#endif
