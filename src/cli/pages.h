/* pages: a list that picketd sends as JSON lines, of whatever length, one row after the other; its
 * last line says that it was the last. */
#ifndef PICKET_CLI_PAGES_H
#define PICKET_CLI_PAGES_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/out.h"

/* GET path.  row is called for each; *count of them.  Returns 0, or the exit code after saying why
 * not. */
int pages_each(struct cli *c, const char *path, void (*row)(void *arg, const json_t *row),
	       void *arg, u64 *count) MUST;
/* The same as {"NAME": [rows]}. */
int pages_json(struct cli *c, const char *path, const char *name) MUST;
/* The same as a table, which is laid out anew every now and then. */
int pages_table(struct cli *c, const char *path, const char *const *titles, u32 columns,
		void (*cells)(struct out_table *t, const json_t *row), u64 *count) MUST;

#endif
