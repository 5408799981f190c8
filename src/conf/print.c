/* print: the projections of the option table: the configuration as text, and the manual. */
#include <stdio.h>
#include <stdlib.h>

#include "conf/internal.h"

static void print_place(FILE *f, const char *indent, enum place place, const void *base)
{
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];
		if (!(o->places & 1u << place) || o->print == NULL)
			continue;
		fprintf(f, "%s%s = ", indent, o->name);
		o->print(f, o, base);
		fputc('\n', f);
	}
}

/* Only where they differ from the global ones: the file's limits stay the rule. */
static void print_own_limits(FILE *f, const struct conf *c, const struct conf_listener *l)
{
	if (l->limits_none) {
		fputs("\tlimits {\n\t\tall = none\n\t}\n", f);
		return;
	}
	if (memcmp(&l->limits, &c->limits, sizeof(l->limits)) == 0)
		return;
	fputs("\tlimits {\n", f);
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];
		if (!(o->places & 1u << IN_LIMITS) ||
		    memcmp((const u8 *)&l->limits + o->at, (const u8 *)&c->limits + o->at,
			   o->size) == 0)
			continue;
		fprintf(f, "\t\t%s = ", o->name);
		o->print(f, o, &l->limits);
		fputc('\n', f);
	}
	fputs("\t}\n", f);
}

enum err conf_print(const struct conf *c, char **text)
{
	size_t n;
	FILE *f;

	*text = NULL;
	f = open_memstream(text, &n);
	if (f == NULL)
		return E_NOMEM;
	print_place(f, "", IN_FILE, c);
	fputs("limits {\n", f);
	print_place(f, "\t", IN_LIMITS, &c->limits);
	fputs("}\nservice_limits {\n", f);
	print_place(f, "\t", IN_SERVICE_LIMITS, &c->service_limits);
	fputs("}\n", f);
	for (u32 i = 0; i < c->certificates; i++) {
		fprintf(f, "certificate %s {\n", c->certificate[i].name);
		print_place(f, "\t", IN_CERTIFICATE, &c->certificate[i]);
		fputs("}\n", f);
	}
	for (u32 i = 0; i < c->listeners; i++) {
		fprintf(f, "listener %s {\n", c->listener[i].name);
		print_place(f, "\t", IN_LISTENER, &c->listener[i]);
		print_own_limits(f, c, &c->listener[i]);
		fputs("}\n", f);
	}
	return fclose(f) == 0 ? E_OK : E_NOMEM;
}

/* ---- the manual ---- */
static const char *section_of(const struct option *o)
{
	if (o->places & 1u << IN_FILE)
		return "";
	if (o->places & 1u << IN_LISTENER)
		return "listener NAME: ";
	if (o->places & 1u << IN_CERTIFICATE)
		return "certificate NAME: ";
	return o->places & 1u << IN_LIMITS ? "limits: " : "listener NAME, limits: ";
}

static void explain_default(FILE *f, const struct option *o, const struct conf *c)
{
	if (o->places & 1u << IN_FILE) {
		o->print(f, o, c);
	} else if (o->places & 1u << IN_LISTENER) {
		o->print(f, o, &c->listener[0]);
	} else if (o->places & 1u << IN_CERTIFICATE) {
		fputs("none: it has to be given", f);
	} else if (o->places & 1u << IN_LIMITS) {
		o->print(f, o, &c->limits);
		fputs("; for services ", f);
		o->print(f, o, &c->service_limits);
	} else {
		fputs("not set", f);
	}
}

static void explain_one(FILE *f, const struct option *o, const struct conf *c)
{
	fprintf(f, "%s%s\n\t%s.\n\tvalue    %s\n\tdefault  ", section_of(o), o->name, o->doc,
		o->type);
	explain_default(f, o, c);
	if (o->places & 1u << IN_LIMITS) {
		fputs("\n\trange    ", f);
		option_print_range(f, o);
	}
	fprintf(f, "\n\tchange   %s\n", o->restart ? "restart" : "reload (SIGHUP)");
}

/* "max_packet_size", or with the section before it: "limits.max_packet_size" */
static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot == NULL ? name : dot + 1;
}

static void explain_unknown(FILE *f, const char *name)
{
	const struct option *best = NULL;

	for (u32 place = IN_FILE; place <= IN_LISTENER_LIMITS && best == NULL; place++)
		best = option_nearest(name, (enum place)place);
	fputs("there is no such option", f);
	if (best != NULL)
		fprintf(f, "; did you mean %s?", best->name);
	fputc('\n', f);
}

enum err conf_explain(const char *name, char **text)
{
	struct conf *c = malloc(sizeof(*c));
	size_t n;
	u32 shown = 0;
	FILE *f;

	*text = NULL;
	f = open_memstream(text, &n);
	if (c == NULL || f == NULL) {
		free(c);
		return E_NOMEM;
	}
	conf_defaults(c);
	for (size_t i = 0; i < conf_options_n; i++) {
		if (name != NULL && strcmp(conf_options[i].name, last_part(name)) != 0)
			continue;
		fputs(shown++ != 0 ? "\n" : "", f);
		explain_one(f, &conf_options[i], c);
	}
	if (shown == 0)
		explain_unknown(f, last_part(name));
	free(c);
	if (fclose(f) != 0)
		return E_NOMEM;
	return shown == 0 ? E_NOT_FOUND : E_OK;
}
