/* out: escaping, the four parts, tables, errors. */
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "cli/out.h"
#include "ipc/codes.h"

/* U+200B..200F, 2028..202E, 2060..206F, FEFF: they hide text or turn its direction. */
static bool deceives(const u8 *p, size_t n)
{
	u32 cp;

	if (n != 3)
		return false;
	cp = (u32)(p[0] & 0x0f) << 12 | (u32)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
	return (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff;
}

void out_escaped(FILE *f, struct slice s)
{
	while (s.n > 0) {
		size_t n = utf8_one(s.p, s.n);

		if (n > 0 && !deceives(s.p, n)) {
			fwrite(s.p, 1, n, f);
		} else {
			n = n > 0 ? n : 1;
			for (size_t i = 0; i < n; i++)
				fprintf(f, "\\x%02x", s.p[i]);
		}
		s = slice_skip(s, n);
	}
}

void out_member(FILE *f, const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	if (json_is_string(v))
		out_escaped(f, slice_of(json_string_value(v), json_string_length(v)));
	else if (json_is_integer(v))
		fprintf(f, "%lld", (long long)json_integer_value(v));
	else if (json_is_boolean(v))
		fputs(json_is_true(v) ? "yes" : "no", f);
}

void out_word(FILE *f, const char *word)
{
	fprintf(f, "%-8s ", word);
}

void out_line(FILE *f, const char *word, const char *text)
{
	out_word(f, word);
	out_escaped(f, slice_str(text));
	fputc('\n', f);
}

void out_text(FILE *f, const char *text)
{
	while (*text != 0) {
		size_t n = strcspn(text, "\n");

		for (size_t i = 0; i < n; i++) { /* tabs are layout here */
			size_t run = strcspn(text + i, "\t\n");

			out_escaped(f, slice_of(text + i, run));
			i += run;
			if (text[i] == '\t')
				fputs("\t", f);
		}
		fputc('\n', f);
		text += n + (text[n] == '\n');
	}
}

void out_four(FILE *f, const json_t *reply)
{
	static const char *const parts[] = {"changed", "effect", "undo", "next"};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const char *s = json_string_value(json_object_get(reply, parts[i]));

		if (s != NULL && s[0] != 0)
			out_line(f, parts[i], s);
	}
}

void out_json(FILE *f, const json_t *value)
{
	json_dumpf(value, f, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	fputc('\n', f);
}

void out_text_or_json(struct cli *c, const char *text)
{
	json_t *j;

	if (!cli_has(c, OPT_JSON)) {
		out_text(c->out, text);
		return;
	}
	j = json_object();
	json_object_set_new(j, "text", json_string(text));
	out_json(c->out, j);
	json_decref(j);
}

/* ---- tables
 * -------------------------------------------------------------------------------------- */

static char *escaped_copy(const char *text)
{
	char *s = NULL;
	size_t n;
	FILE *f = open_memstream(&s, &n);

	ASSERT(f != NULL);
	out_escaped(f, slice_str(text));
	fclose(f);
	return s;
}

void out_table_cell(struct out_table *t, const char *text)
{
	if (t->rows == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->cell = xrealloc(t->cell, t->cap * sizeof(t->cell[0]));
	}
	t->cell[t->rows++] = escaped_copy(text);
}

void out_table_begin(struct out_table *t, const char *const *titles, u32 columns)
{
	ASSERT(columns > 0 && columns <= OUT_COLUMNS);
	*t = (struct out_table){.columns = columns};
	for (u32 i = 0; i < columns; i++)
		out_table_cell(t, titles[i]);
}

static size_t width_of(const char *s)
{
	size_t n = 0;

	for (; *s != 0; s++)
		n += ((u8)*s & 0xc0) != 0x80; /* characters, not bytes */
	return n;
}

void out_table_end(struct out_table *t, FILE *f)
{
	size_t width[OUT_COLUMNS] = {0};

	for (u32 i = 0; i < t->rows; i++)
		width[i % t->columns] = MAX(width[i % t->columns], width_of(t->cell[i]));
	for (u32 i = 0; i < t->rows; i++) {
		bool last = i % t->columns == t->columns - 1;
		size_t pad = width[i % t->columns] - width_of(t->cell[i]) + 2;

		fputs(t->cell[i], f);
		fprintf(f, "%*s", last ? 0 : (int)pad, "");
		if (last)
			fputc('\n', f);
		free(t->cell[i]);
	}
	free(t->cell);
	*t = (struct out_table){0};
}

/* ---- time
 * ---------------------------------------------------------------------------------------- */

void out_ago(u64 wall_ms, u64 now_ms, char *buf, size_t cap)
{
	u64 s = now_ms > wall_ms ? (now_ms - wall_ms) / 1000 : 0;

	if (wall_ms == 0)
		snprintf(buf, cap, "never");
	else if (s < 120)
		snprintf(buf, cap, "%llu s ago", (unsigned long long)s);
	else if (s < 7200)
		snprintf(buf, cap, "%llu min ago", (unsigned long long)(s / 60));
	else if (s < 172800)
		snprintf(buf, cap, "%llu h ago", (unsigned long long)(s / 3600));
	else
		snprintf(buf, cap, "%llu d ago", (unsigned long long)(s / 86400));
}

void out_duration(u64 ms, char *buf, size_t cap)
{
	unsigned long long s = ms / 1000, d = s / 86400;

	if (d > 0)
		snprintf(buf, cap, "%llu d %02llu:%02llu", d, s / 3600 % 24, s / 60 % 60);
	else
		snprintf(buf, cap, "%02llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
}

void out_size(u64 bytes, char *buf, size_t cap)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	u32 u = 0;
	u64 tenths = MIN(bytes, UINT64_MAX / 10) * 10;

	while (tenths >= 10240 && u + 1 < ARRAY_LEN(units)) {
		tenths /= 1024;
		u++;
	}
	if (u == 0)
		snprintf(buf, cap, "%llu B", (unsigned long long)bytes);
	else
		snprintf(buf, cap, "%llu.%llu %s", (unsigned long long)tenths / 10,
			 (unsigned long long)tenths % 10, units[u]);
}

/* ---- errors
 * -------------------------------------------------------------------------------------- */

int out_error(struct cli *c, const json_t *error)
{
	if (cli_has(c, OPT_JSON)) {
		json_t *j = json_pack("{s:O}", "error", error);

		out_json(c->out, j);
		json_decref(j);
		return CLI_REFUSED;
	}
	out_word(c->err, "refused");
	out_member(c->err, error, "code");
	fputc(' ', c->err);
	out_member(c->err, error, "word");
	fputs(": ", c->err);
	out_member(c->err, error, "text");
	fputc('\n', c->err);
	out_word(c->err, "next");
	out_member(c->err, error, "next");
	fputc('\n', c->err);
	return CLI_REFUSED;
}

int out_refuse(struct cli *c, u32 code, const char *detail)
{
	const struct code_row *row = code_find(code);
	char name[16], *text = NULL;
	json_t *j;
	int rc;

	ASSERT(row != NULL);
	snprintf(name, sizeof(name), "E%04u", row->number);
	if (asprintf(&text, "%s%s%s", row->text, detail ? ": " : "", detail ? detail : "") < 0)
		text = NULL;
	ASSERT(text != NULL);
	j = json_object();
	json_object_set_new(j, "code", json_string(name));
	json_object_set_new(j, "word", json_string(row->word));
	json_object_set_new(j, "text", json_string(text) ?: json_string(row->text));
	json_object_set_new(j, "next", json_string(row->next));
	rc = out_error(c, j);
	json_decref(j);
	free(text);
	return rc;
}

bool confirmed(struct cli *c, const char *question)
{
	char line[16];

	if (cli_has(c, OPT_YES) || cli_has(c, OPT_DRY_RUN))
		return true;
	if (!isatty(fileno(c->in)))
		return false;
	fprintf(c->err, "%s [y/N] ", question);
	fflush(c->err);
	return fgets(line, sizeof(line), c->in) != NULL && (line[0] == 'y' || line[0] == 'Y');
}
