/* parse: libconfuse reads the syntax into text values; the option table makes struct conf of them.
 *
 * Every option is text or a list of text to libconfuse, so that what a value means is decided in
 * one place. Lines are noted as it reads, for errors that show only later. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "conf/internal.h"

/* libconfuse's callbacks carry no argument of ours.  Parsing happens in one thread of one process.
 */
static struct parse *parsing;

void conf_bad(struct parse *p, u32 line, const char *hint, const char *fmt, ...)
{
	va_list ap;

	if (p->failed)
		return;
	p->failed = true;
	p->err->line = line;
	va_start(ap, fmt);
	vsnprintf(p->err->what, sizeof(p->err->what), fmt, ap);
	va_end(ap);
	snprintf(p->err->hint, sizeof(p->err->hint), "%s", hint);
}

u32 conf_line(const struct parse *p, const cfg_opt_t *opt)
{
	for (u32 i = 0; i < p->seen_n; i++) {
		if (p->seen[i].opt == opt)
			return p->seen[i].line;
	}
	return 0;
}

/* ---- while libconfuse reads ---- */
static u32 line_of(const cfg_t *cfg)
{
	return cfg->line > 0 ? (u32)cfg->line : 0;
}

static int seen_twice(struct parse *p, const cfg_t *cfg, const cfg_opt_t *opt)
{
	conf_bad(p, line_of(cfg), "keep one of them", "%s is set a second time, first in line %u",
		 opt->name, conf_line(p, opt));
	return -1;
}

/* Called for every value; for a list once more at its closing brace, with no new value. */
static int seen(cfg_t *cfg, cfg_opt_t *opt)
{
	struct parse *p = parsing;
	bool list = opt->flags & CFGF_LIST;
	u32 i = 0;

	while (i < p->seen_n && p->seen[i].opt != opt)
		i++;
	if (i < p->seen_n && (!list || p->seen[i].closed))
		return seen_twice(p, cfg, opt);
	if (i == ARRAY_LEN(p->seen)) {
		conf_bad(p, line_of(cfg), "use fewer", "too many options");
		return -1;
	}
	if (i == p->seen_n) {
		p->seen[p->seen_n].opt = opt;
		p->seen[p->seen_n].values = 0;
		p->seen[p->seen_n++].line = line_of(cfg);
	}
	p->seen[i].closed = list && p->seen[i].values == opt->nvalues;
	p->seen[i].values = opt->nvalues;
	return 0;
}

static int seen_listener(cfg_t *cfg, cfg_opt_t *opt)
{
	struct parse *p = parsing;
	u32 n = opt->nvalues;

	if (n > CONF_LISTENERS) {
		conf_bad(p, line_of(cfg), "use fewer", "more than %u listeners", CONF_LISTENERS);
		return -1;
	}
	p->name_lines[n - 1] = line_of(cfg);
	return 0;
}

static int seen_certificate(cfg_t *cfg, cfg_opt_t *opt)
{
	struct parse *p = parsing;
	u32 n = opt->nvalues;

	if (n > CONF_CERTIFICATES) {
		conf_bad(p, line_of(cfg), "use fewer", "more than %u certificates",
			 CONF_CERTIFICATES);
		return -1;
	}
	p->certificate_lines[n - 1] = line_of(cfg);
	return 0;
}

static enum place place_of(const cfg_t *cfg)
{
	if (strcmp(cfg->name, "listener") == 0)
		return IN_LISTENER;
	if (strcmp(cfg->name, "certificate") == 0)
		return IN_CERTIFICATE;
	if (strcmp(cfg->name, "limits") == 0)
		return IN_LIMITS;
	return strcmp(cfg->name, "service_limits") == 0 ? IN_SERVICE_LIMITS : IN_FILE;
}

static void unknown_option(struct parse *p, const cfg_t *cfg, const char *name)
{
	const struct option *near = option_nearest(name, place_of(cfg));
	char safe[100], hint[160];

	log_escape(slice_str(name), safe, sizeof(safe));
	if (near != NULL)
		snprintf(hint, sizeof(hint), "did you mean %s?", near->name);
	else
		snprintf(hint, sizeof(hint), "picket config explain lists the options");
	conf_bad(p, line_of(cfg), hint, "unknown option %s in %s", safe, place_name(place_of(cfg)));
}

static void syntax_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[200], safe[200], name[100] = "";
	const char *quote;

	vsnprintf(text, sizeof(text), fmt, ap);
	quote = strchr(text, '\'');
	if (strncmp(text, "no such option", 14) == 0 && quote != NULL) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(quote + 1, "'"), quote + 1);
		unknown_option(parsing, cfg, name);
		return;
	}
	log_escape(slice_str(text), safe, sizeof(safe));
	conf_bad(parsing, line_of(cfg), "the form is: option = value, or section { … }", "%s",
		 safe);
}

/* ---- what libconfuse is told to expect ---- */
enum { OPTS_MAX = 80 };
struct schema {
	cfg_opt_t file[OPTS_MAX], listener[OPTS_MAX], limits[OPTS_MAX], service[OPTS_MAX],
		own[OPTS_MAX], certificate[OPTS_MAX];
};

static u32 schema_fill(cfg_opt_t *out, enum place place)
{
	u32 n = 0;

	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];
		if (!(o->places & 1u << place))
			continue;
		ASSERT(n + 5 < OPTS_MAX);
		if (o->list)
			out[n] = (cfg_opt_t)CFG_STR_LIST(o->name, NULL, CFGF_NODEFAULT);
		else
			out[n] = (cfg_opt_t)CFG_STR(o->name, NULL, CFGF_NODEFAULT);
		out[n++].validcb = seen;
	}
	out[n] = (cfg_opt_t)CFG_END();
	return n;
}

static void schema_section(cfg_opt_t *out, u32 n, const char *name, cfg_opt_t *sub,
			   cfg_flag_t flags, cfg_validate_callback_t cb)
{
	out[n] = (cfg_opt_t)CFG_SEC(name, sub, flags | CFGF_NODEFAULT);
	out[n].validcb = cb;
	out[n + 1] = (cfg_opt_t)CFG_END();
}

static cfg_t *schema_new(struct schema *s)
{
	u32 n = schema_fill(s->listener, IN_LISTENER);
	cfg_t *cfg;

	schema_fill(s->limits, IN_LIMITS);
	schema_fill(s->service, IN_SERVICE_LIMITS);
	schema_fill(s->own, IN_LISTENER_LIMITS);
	schema_section(s->listener, n, "limits", s->own, CFGF_NONE, seen);
	n = schema_fill(s->file, IN_FILE);
	schema_section(s->file, n, "limits", s->limits, CFGF_NONE, seen);
	schema_section(s->file, n + 1, "service_limits", s->service, CFGF_NONE, seen);
	schema_section(s->file, n + 2, "listener", s->listener,
		       CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES, seen_listener);
	schema_fill(s->certificate, IN_CERTIFICATE);
	schema_section(s->file, n + 3, "certificate", s->certificate,
		       CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES, seen_certificate);
	cfg = cfg_init(s->file, CFGF_NONE);
	if (cfg != NULL)
		cfg_set_error_function(cfg, syntax_error);
	return cfg;
}

/* ---- from text values to struct conf ---- */
static bool values_take(struct parse *p, cfg_opt_t *opt, struct values *v)
{
	v->n = 0;
	v->line = conf_line(p, opt);
	if (opt->nvalues > VALUES_MAX) {
		conf_bad(p, v->line, "use fewer", "%s has too many entries", opt->name);
		return false;
	}
	for (; v->n < opt->nvalues; v->n++)
		v->v[v->n] = opt->values[v->n]->string == NULL ? "" : opt->values[v->n]->string;
	return true;
}

static bool place_take(struct parse *p, cfg_t *cfg, enum place place, void *base)
{
	for (cfg_opt_t *opt = cfg->opts; opt->name != NULL; opt++) {
		const struct option *o = option_find(opt->name, place);
		struct values v;
		/* An empty list leaves no trace but the flag. */
		if (o == NULL || (opt->nvalues == 0 && !(o->list && opt->flags & CFGF_MODIFIED)))
			continue;
		if (!values_take(p, opt, &v) || !o->set(p, o, base, &v))
			return false;
	}
	return true;
}

static bool section_take(struct parse *p, cfg_t *cfg, const char *name, enum place place,
			 void *base)
{
	cfg_opt_t *opt = cfg_getopt(cfg, name);

	return opt->nvalues == 0 || place_take(p, opt->values[0]->section, place, base);
}

static bool name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < sizeof(((struct conf_listener *)0)->name) &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

static bool said(cfg_t *sec, const char *option)
{
	return cfg_getopt(sec, option)->flags & CFGF_MODIFIED;
}

static bool listener_take(struct parse *p, cfg_t *sec, struct conf *c, u32 i)
{
	struct conf_listener *l = &c->listener[i];
	const char *title = cfg_title(sec);

	if (title == NULL || !name_ok(title)) {
		conf_bad(p, p->name_lines[i], "as in: listener mqtts { … }",
			 "a listener's name is 1 to 31 of a-z 0-9 _ -");
		return false;
	}
	conf_listener_defaults(l, title, &c->limits);
	l->line = p->name_lines[i];
	if (!place_take(p, sec, IN_LISTENER, l))
		return false;
	if (l->local && !said(sec, "tls"))
		l->tls = false;
	if (l->local && !said(sec, "authenticators"))
		conf_local_authenticators(l);
	return section_take(p, sec, "limits", IN_LISTENER_LIMITS, &l->limits);
}

static bool certificate_take(struct parse *p, cfg_t *sec, struct conf *c, u32 i)
{
	struct conf_certificate *x = &c->certificate[i];
	const char *title = cfg_title(sec);
	u32 line = p->certificate_lines[i];

	if (title == NULL || !name_ok(title)) {
		conf_bad(p, line, "as in: certificate shop { … }",
			 "a certificate's name is 1 to 31 of a-z 0-9 _ -");
		return false;
	}
	snprintf(x->name, sizeof(x->name), "%s", title);
	x->line = line;
	if (!place_take(p, sec, IN_CERTIFICATE, x))
		return false;
	if (x->file[0] != '\0' && x->key[0] != '\0')
		return true;
	conf_bad(p, line, "give file and key, both paths of PEM files", "certificate %s has no %s",
		 x->name, x->file[0] == '\0' ? "file" : "key");
	return false;
}

static bool certificates_take(struct parse *p, cfg_t *cfg, struct conf *c)
{
	cfg_opt_t *opt = cfg_getopt(cfg, "certificate");

	c->certificates = opt->nvalues;
	for (u32 i = 0; i < c->certificates; i++) {
		if (!certificate_take(p, opt->values[i]->section, c, i))
			return false;
	}
	return true;
}

static bool file_take(struct parse *p, cfg_t *cfg, struct conf *c)
{
	cfg_opt_t *listeners = cfg_getopt(cfg, "listener");

	if (!place_take(p, cfg, IN_FILE, c) ||
	    !section_take(p, cfg, "limits", IN_LIMITS, &c->limits) ||
	    !section_take(p, cfg, "service_limits", IN_SERVICE_LIMITS, &c->service_limits) ||
	    !certificates_take(p, cfg, c))
		return false;
	if (listeners->nvalues ==
	    0) { /* the limits of the file hold for the built-in listener, too */
		c->listener[0].limits = c->limits;
		return conf_check(p, c);
	}
	c->listeners = listeners->nvalues;
	for (u32 i = 0; i < c->listeners; i++) {
		if (!listener_take(p, listeners->values[i]->section, c, i))
			return false;
	}
	return conf_check(p, c);
}

static void text_take(struct parse *p, const char *text, struct conf *out)
{
	struct schema *s = calloc(1, sizeof(*s));
	cfg_t *cfg = s == NULL ? NULL : schema_new(s);

	if (cfg == NULL) {
		conf_bad(p, 0, "free some memory", "out of memory");
		free(s);
		return;
	}
	parsing = p;
	if (*text != '\0' && cfg_parse_buf(cfg, text) != CFG_SUCCESS)
		conf_bad(p, line_of(cfg), "the form is: option = value, or section { … }",
			 "syntax error");
	if (!p->failed && !file_take(p, cfg, out))
		ASSERT(p->failed);
	parsing = NULL;
	cfg_free(cfg);
	free(s);
}

enum err conf_parse(const char *path, const char *text, struct conf *out, struct conf_error *err)
{
	struct parse *p = calloc(1, sizeof(*p));
	bool failed;

	ASSERT(parsing == NULL);
	*err = (struct conf_error){0};
	snprintf(err->file, sizeof(err->file), "%s", path);
	if (p == NULL)
		return E_NOMEM;
	p->err = err;
	conf_defaults(out);
	snprintf(out->config_path, sizeof(out->config_path), "%s", path);
	if (conf_scan(p, text))
		text_take(p, text, out);
	failed = p->failed;
	free(p);
	return failed ? E_CONFIG : E_OK;
}
