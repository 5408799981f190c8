/* option_certificate: the certificates that a listener serves besides its own, by the name that a
 * client asks for. */
#include <stdio.h>

#include "base/log.h"
#include "conf/internal.h"

bool set_certificates(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	struct conf_listener *l = base;
	char text[128];

	if (v->n > CONF_CERTIFICATES) {
		conf_bad(p, v->line, "use fewer", "%s has more than %d entries", o->name,
			 CONF_CERTIFICATES);
		return false;
	}
	for (u32 i = 0; i < v->n; i++) {
		if (v->v[i][0] == '\0' || strlen(v->v[i]) >= sizeof(l->certificate_name[i])) {
			log_escape(slice_str(v->v[i]), text, sizeof(text));
			conf_bad(p, v->line, o->type, "%s = %s is not possible", o->name, text);
			return false;
		}
		snprintf(l->certificate_name[i], sizeof(l->certificate_name[i]), "%s", v->v[i]);
	}
	l->certificates = v->n;
	return true;
}

void print_certificates(FILE *f, const struct option *o, const void *base)
{
	const struct conf_listener *l = base;

	fputc('{', f);
	for (u32 i = 0; i < l->certificates; i++) {
		fputs(i ? ", " : "", f);
		conf_print_quoted(f, l->certificate_name[i]);
	}
	fputc('}', f);
}

static bool find(const struct conf *c, const char *name, u8 *at)
{
	for (u32 i = 0; i < c->certificates; i++) {
		if (strcmp(c->certificate[i].name, name) != 0)
			continue;
		*at = (u8)i;
		return true;
	}
	return false;
}

bool conf_certificates_find(struct parse *p, const struct conf *c, struct conf_listener *l,
			    u32 line)
{
	char text[128];

	for (u32 i = 0; i < l->certificates; i++) {
		if (find(c, l->certificate_name[i], &l->certificate_at[i]))
			continue;
		log_escape(slice_str(l->certificate_name[i]), text, sizeof(text));
		conf_bad(p, line, "define it: certificate NAME { file = \"…\" key = \"…\" }",
			 "listener %s names certificate %s, which no section defines", l->name,
			 text);
		return false;
	}
	return true;
}
