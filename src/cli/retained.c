/* retained: the noun retained: the last retained message of each topic. */
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "cli/client.h"
#include "cli/out.h"
#include "cli/pages.h"
#include "ipc/codes.h"
#include "wire/topic.h"

enum { PATH_BYTES = 6000, YEARS_MS_MAX = 100 };

static u64 number(const json_t *row, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(row, key));

	return v > 0 ? (u64)v : 0;
}

/* What the command line chooses; false after saying what is wrong with it. */
struct chosen {
	const char *filter, *identity;
	u64 older_s;
};

static bool choose(struct cli *c, struct chosen *ch)
{
	const char *older = cli_value(c, OPT_OLDER);
	struct filter f;
	u64 ms = 0;

	*ch = (struct chosen){.filter = c->nargs > 0 ? c->arg[0] : "#",
			      .identity = cli_value(c, OPT_IDENTITY)};
	if (filter_parse(slice_str(ch->filter), &f) != E_OK || f.share.n != 0) {
		fputs("usage    a filter is a topic, in which + and # stand for whole levels, # "
		      "only "
		      "at the end\n",
		      c->err);
		return false;
	}
	if (older != NULL && num_parse_duration(slice_str(older), &ms) != E_OK) {
		fputs("usage    --older wants a time, such as 12h or 30d\n", c->err);
		return false;
	}
	ch->older_s = MIN(ms / 1000, (u64)YEARS_MS_MAX * 366 * 86400);
	return true;
}

static void path_of(char *path, size_t cap, const char *what, const struct chosen *ch)
{
	char filter[3400], name[600];

	client_quote(ch->filter, filter, sizeof(filter));
	client_quote(ch->identity != NULL ? ch->identity : "", name, sizeof(name));
	snprintf(path, cap, "/v1/retained%s?filter=%s&identity=%s&older_s=%llu", what, filter, name,
		 (unsigned long long)ch->older_s);
}

/* ---- list ------------------------------------------------------------------------------------ */
static void cell(struct out_table *t, const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	out_table_cell(t, s != NULL && s[0] != 0 ? s : "-");
}

static void cells(struct out_table *t, const json_t *row)
{
	char text[64];

	cell(t, row, "topic");
	out_size(number(row, "bytes"), text, sizeof(text));
	out_table_cell(t, text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)number(row, "qos"));
	out_table_cell(t, text);
	out_duration(number(row, "age_s") * 1000, text, sizeof(text));
	out_table_cell(t, text);
	if (json_is_null(json_object_get(row, "expires_in_s")))
		snprintf(text, sizeof(text), "never");
	else
		out_duration(number(row, "expires_in_s") * 1000, text, sizeof(text));
	out_table_cell(t, text);
	cell(t, row, "identity");
}

int cmd_retained_list(struct cli *c)
{
	static const char *const titles[] = {"TOPIC", "BYTES", "QOS", "AGE", "EXPIRES IN", "FROM"};
	char path[PATH_BYTES];
	struct chosen ch;
	u64 n;

	if (!choose(c, &ch))
		return CLI_USAGE;
	path_of(path, sizeof(path), "", &ch);
	if (cli_has(c, OPT_JSON))
		return pages_json(c, path, "retained");
	return pages_table(c, path, titles, ARRAY_LEN(titles), cells, &n);
}

/* ---- show ------------------------------------------------------------------------------------ */
static int digit_of(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* RFC 4648 section 4; what is no digit ends it.  The caller frees. */
static struct slice base64_open(const char *s)
{
	u8 *out = xmalloc(strlen(s) + 1);
	size_t n = 0;
	u32 v = 0, bits = 0;

	for (; digit_of(*s) >= 0; s++) {
		v = v << 6 | (u32)digit_of(*s);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[n++] = (u8)(v >> bits);
		}
	}
	return slice_of(out, n);
}

static void payload_show(FILE *f, const json_t *row)
{
	const char *s = json_string_value(json_object_get(row, "payload_base64"));
	struct slice p = base64_open(s != NULL ? s : "");
	u64 all = number(row, "bytes");

	fprintf(f, "%-17s ", "payload");
	out_escaped(f, p);
	if (all > p.n)
		fprintf(f, " … and %llu bytes more: --raw", (unsigned long long)(all - p.n));
	fputc('\n', f);
	free((void *)(uintptr_t)p.p);
}

static void show_row(void *arg, const json_t *row)
{
	struct cli *c = arg;
	const char *key;
	const json_t *v;

	json_object_foreach((json_t *)(uintptr_t)row, key, v)
	{
		if (strcmp(key, "payload_base64") == 0)
			continue;
		fprintf(c->out, "%-17s ", key);
		if (json_is_null(v))
			fputs("never", c->out);
		else
			out_member(c->out, row, key);
		fputc('\n', c->out);
	}
	payload_show(c->out, row);
}

static int show_raw(struct cli *c, const struct chosen *ch)
{
	char path[PATH_BYTES];
	struct answer a;
	enum err e;
	int rc;

	path_of(path, sizeof(path), "/payload", ch);
	fflush(c->out);
	e = client_download(c->run_dir, path, fileno(c->out), &a);
	if (e != E_OK)
		return ask_failed(c, e);
	rc = a.status == 200 ? 0 : ask_refused(c, &a);
	answer_free(&a);
	return rc;
}

int cmd_retained_show(struct cli *c)
{
	char path[PATH_BYTES];
	struct chosen ch;
	struct topic t;
	u64 n;
	int rc;

	if (topic_parse(slice_str(c->arg[0]), &t) != E_OK) {
		fputs("usage    one topic, without wildcards: picket retained list FILTER lists "
		      "them\n",
		      c->err);
		return CLI_USAGE;
	}
	if (!choose(c, &ch))
		return CLI_USAGE;
	if (cli_has(c, OPT_RAW))
		return show_raw(c, &ch);
	path_of(path, sizeof(path), "/show", &ch);
	if (cli_has(c, OPT_JSON))
		return pages_json(c, path, "retained");
	rc = pages_each(c, path, show_row, c, &n);
	return rc == 0 && n == 0 ? out_refuse(c, CODE_NOT_RETAINED, NULL) : rc;
}

/* ---- delete ---------------------------------------------------------------------------------- */
static void delete_tell(struct cli *c, const json_t *r)
{
	bool dry = cli_has(c, OPT_DRY_RUN);
	char size[32];

	out_size(number(r, "bytes"), size, sizeof(size));
	out_word(c->out, dry ? "would" : "changed");
	fprintf(c->out, "%s %llu retained messages, %s of payload\n", dry ? "delete" : "deleted",
		(unsigned long long)number(r, "retained"), size);
	if (dry)
		return;
	fputs("effect   who subscribes from now on does not get them; nobody is told\n"
	      "undo     cannot be undone, but by a backup: picket store restore FILE\n"
	      "next     see what is left: picket retained list\n",
	      c->out);
}

int cmd_retained_delete(struct cli *c)
{
	struct chosen ch;
	json_t *body, *r;
	int rc;

	if (!choose(c, &ch))
		return CLI_USAGE;
	if (!confirmed(c, "The messages are lost. Go on? (--dry-run says how many)"))
		return out_refuse(c, CODE_NOT_CONFIRMED, NULL);
	body = json_pack("{s:s,s:I,s:b}", "filter", ch.filter, "older_s", (json_int_t)ch.older_s,
			 "dry_run", cli_has(c, OPT_DRY_RUN));
	if (body == NULL)
		return out_refuse(c, CODE_BAD_REQUEST, "the filter is not UTF-8");
	if (ch.identity != NULL)
		json_object_set_new(body, "identity", json_string(ch.identity) ?: json_null());
	rc = ask_json(c, "/v1/retained/delete", body, &r);
	if (rc != 0)
		return rc;
	if (cli_has(c, OPT_JSON))
		out_json(c->out, r);
	else
		delete_tell(c, r);
	json_decref(r);
	return CLI_DONE;
}
