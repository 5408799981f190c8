/* pages: see pages.h.  Holds one row at a time, a table the rows of one screen or two. */
#include "cli/pages.h"

#include "cli/client.h"
#include "ipc/codes.h"

enum { ROWS_AT_ONCE = 500 };

struct reading {
	struct cli *c;
	void (*row)(void *arg, const json_t *row);
	void *arg;
	u64 count;
	bool ended, bad, refused;
};

static bool on_line(void *arg, struct slice line)
{
	struct reading *r = arg;
	json_t *j = json_loadb((const char *)line.p, line.n, 0, NULL);

	r->bad = !json_is_object(j);
	r->ended = !r->bad && json_is_true(json_object_get(j, "end"));
	if (!r->bad && !r->ended) {
		r->row(r->arg, j);
		r->count++;
	}
	json_decref(j);
	return !r->bad && !r->ended && ferror(r->c->out) == 0;
}

static void on_refusal(void *arg, struct slice bytes)
{
	struct reading *r = arg;
	json_t *j = json_loadb((const char *)bytes.p, bytes.n, 0, NULL);

	r->refused = json_is_object(json_object_get(j, "error"));
	if (r->refused)
		(void)out_error(r->c, json_object_get(j, "error"));
	json_decref(j);
}

int pages_each(struct cli *c, const char *path, void (*row)(void *arg, const json_t *row),
	       void *arg, u64 *count)
{
	struct reading r = {.c = c, .row = row, .arg = arg};
	const struct line_sink sink = {on_line, on_refusal, &r};
	u64 never = 0;
	u32 status;
	enum err e = client_stream(c->run_dir, path, &sink, &never, &status);

	*count = r.count;
	if (r.ended)
		return 0;
	if (r.refused)
		return CLI_REFUSED;
	if (e != E_OK && e != E_SHORT)
		return ask_failed(c, e);
	return out_refuse(c, CODE_BAD_ANSWER, "the list broke off; try again");
}

/* ---- as JSON --------------------------------------------------------------------------------- */
struct as_json {
	FILE *f;
	bool any;
};

static void json_row(void *arg, const json_t *row)
{
	struct as_json *j = arg;

	fputs(j->any ? ",\n" : "\n", j->f);
	j->any = true;
	json_dumpf(row, j->f, JSON_COMPACT | JSON_ENSURE_ASCII);
}

int pages_json(struct cli *c, const char *path, const char *name)
{
	struct as_json j = {.f = c->out};
	u64 count;
	int rc;

	fprintf(c->out, "{\"%s\": [", name);
	rc = pages_each(c, path, json_row, &j, &count);
	if (rc == 0) /* else what stands there is no JSON, and is not to be taken for the whole */
		fputs(j.any ? "\n]}\n" : "]}\n", c->out);
	return rc;
}

/* ---- as a table ------------------------------------------------------------------------------ */
struct as_table {
	FILE *f;
	struct out_table t;
	const char *const *titles;
	u32 columns, rows;
	void (*cells)(struct out_table *t, const json_t *row);
};

static void table_row(void *arg, const json_t *row)
{
	struct as_table *a = arg;

	if (a->rows == ROWS_AT_ONCE) {
		out_table_end(&a->t, a->f);
		out_table_begin(&a->t, a->titles, a->columns);
		a->rows = 0;
	}
	a->rows++;
	a->cells(&a->t, row);
}

int pages_table(struct cli *c, const char *path, const char *const *titles, u32 columns,
		void (*cells)(struct out_table *t, const json_t *row), u64 *count)
{
	struct as_table a = {.f = c->out, .titles = titles, .columns = columns, .cells = cells};
	int rc;

	out_table_begin(&a.t, titles, columns);
	rc = pages_each(c, path, table_row, &a, count);
	out_table_end(&a.t, c->out);
	return rc;
}
