/* option_websocket: what is spoken on a listener, and which web pages may speak it. */
#include <stdio.h>

#include "base/log.h"
#include "conf/internal.h"

_Static_assert(sizeof(((struct conf_listener *)0)->origin[0]) == CONF_ORIGIN, "copied whole");

static bool value_bad(struct parse *p, const struct option *o, const struct values *v, u32 i,
		      const char *hint)
{
	char text[128];

	log_escape(slice_str(v->v[i]), text, sizeof(text));
	conf_bad(p, v->line, hint, "%s = %s is not possible", o->name, text);
	return false;
}

/* ---- protocols ---- */
bool set_protocols(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	struct conf_listener *l = base;

	l->mqtt = l->websocket = false;
	for (u32 i = 0; i < v->n; i++) {
		if (strcmp(v->v[i], "mqtt") == 0)
			l->mqtt = true;
		else if (strcmp(v->v[i], "websocket") == 0)
			l->websocket = true;
		else
			return value_bad(p, o, v, i, o->type);
	}
	return true;
}

void print_protocols(FILE *f, const struct option *o, const void *base)
{
	const struct conf_listener *l = base;

	fprintf(f, "{%s%s%s}", l->mqtt ? "mqtt" : "", l->mqtt && l->websocket ? ", " : "",
		l->websocket ? "websocket" : "");
}

/* ---- the path ---- */
bool set_websocket_path(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	struct conf_listener *l = base;
	const char *s = v->v[0];

	if (s[0] != '/' || strlen(s) >= sizeof(l->websocket_path) ||
	    strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/%:@") !=
		    strlen(s))
		return value_bad(p, o, v, 0, o->type);
	snprintf(l->websocket_path, sizeof(l->websocket_path), "%s", s);
	return true;
}

/* ---- origins (RFC 6454 section 6.1) ---- */
static bool host_ok(const char *s, size_t n)
{
	size_t name = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_");

	if (n > 2 && s[0] == '[')
		return strspn(s + 1, "0123456789abcdef:.") == n - 2 && s[n - 1] == ']';
	return n > 0 && name >= n && s[0] != '.' && s[n - 1] != '.';
}

/* What follows the host: nothing, or a port that is not the scheme's usual one. */
static bool port_ok(struct slice scheme, const char *s)
{
	u64 port, usual = slice_eq(scheme, SLICE_LIT("https")) ? 443 : 0;

	usual = slice_eq(scheme, SLICE_LIT("http")) ? 80 : usual;
	if (*s == '\0')
		return true;
	return s[0] == ':' && s[1] != '0' && num_parse(slice_str(s + 1), 65535, &port) == E_OK &&
	       port != usual;
}

bool conf_origin_ok(const char *s)
{
	size_t scheme = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+-."), host;

	if (scheme == 0 || strncmp(s + scheme, "://", 3) != 0)
		return false;
	host = strcspn(s + scheme + 3, s[scheme + 3] == '[' ? "]" : ":");
	host += s[scheme + 3] == '[' && s[scheme + 3 + host] == ']';
	return host_ok(s + scheme + 3, host) && port_ok(slice_of(s, scheme), s + scheme + 3 + host);
}

bool set_origins(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	static const char hint[] = "as browsers write it: scheme://host or scheme://host:port, in "
				   "lower case, without the scheme's usual port, without a path";
	struct conf_listener *l = base;

	if (v->n > CONF_ORIGINS) {
		conf_bad(p, v->line, "use fewer", "origins has more than %u entries", CONF_ORIGINS);
		return false;
	}
	memset(l->origin, 0, sizeof(l->origin));
	for (u32 i = 0; i < v->n; i++) {
		if (strlen(v->v[i]) >= CONF_ORIGIN || !conf_origin_ok(v->v[i]))
			return value_bad(p, o, v, i, hint);
		snprintf(l->origin[i], CONF_ORIGIN, "%s", v->v[i]);
	}
	l->origins = v->n;
	return true;
}

void print_origins(FILE *f, const struct option *o, const void *base)
{
	const struct conf_listener *l = base;

	fputc('{', f);
	for (u32 i = 0; i < l->origins; i++) {
		fputs(i ? ", " : "", f);
		conf_print_quoted(f, l->origin[i]);
	}
	fputc('}', f);
}
