/* conf/internal: what the files of conf share: the option table and the state of one parse.
 *
 * A row of the table says how an option is called, where it may stand, how its text becomes bytes
 * of struct conf and back, and what the manual says.  Nothing about an option is written anywhere
 * else. */
#ifndef PICKET_CONF_INTERNAL_H
#define PICKET_CONF_INTERNAL_H

#include <confuse.h>
#include <stdio.h>

#include "base/num.h"
#include "conf/conf.h"

enum place {
	IN_FILE,
	IN_LISTENER,
	IN_CERTIFICATE,
	IN_LIMITS,
	IN_SERVICE_LIMITS,
	IN_LISTENER_LIMITS
};

/* One parse.  The first error is kept. */
struct parse {
	struct conf_error *err;
	bool failed;
	u32 seen_n;
	struct {
		const cfg_opt_t *opt;
		u32 line, values;
		bool closed;		/* of a list: its closing brace was read */
	} seen[1024];			/* where each option of the file stands */
	u32 name_lines[CONF_LISTENERS]; /* where each listener begins, filled as it ends */
	u32 certificate_lines[CONF_CERTIFICATES];
};

struct option;
/* The values of one option as they stand in the file; v views libconfuse's memory. */
enum { VALUES_MAX = 64 };
struct values {
	u32 n, line;
	const char *v[VALUES_MAX];
};
/* Text to bytes at base (the struct of the place); false after conf_bad. */
typedef bool option_set_fn(struct parse *p, const struct option *o, void *base,
			   const struct values *v);
/* Bytes to text: the right-hand side of the option. */
typedef void option_print_fn(FILE *f, const struct option *o, const void *base);

struct option {
	const char *name;
	u32 places; /* set of enum place */
	bool list;
	option_set_fn *set;
	option_print_fn *print;
	size_t at, size; /* the field in the struct of the place */
	u64 min, max;
	const char *type, *initial, *doc; /* initial: NULL for limits, whose defaults are numbers */
	bool restart;			  /* a reload cannot change it */
};

extern const struct option conf_options[];
extern const size_t conf_options_n;

const struct option *option_find(const char *name, enum place place);
const char *place_name(enum place place);
/* The option of place that is spelled most alike, NULL when none is close. */
const struct option *option_nearest(const char *name, enum place place);

/* Keep the first error.  what: what is wrong (formatted); hint: what to do next. */
void conf_bad(struct parse *p, u32 line, const char *hint, const char *fmt, ...) PRINTF(4, 5);
/* Where opt stands in the file, 0 when it does not. */
u32 conf_line(const struct parse *p, const cfg_opt_t *opt);

/* What libconfuse must not see: too large, control bytes, open strings and comments, deep nesting,
 * environment variables.  false after conf_bad. */
bool conf_scan(struct parse *p, const char *text);

/* option_certificate.c */
option_set_fn set_certificates;
option_print_fn print_certificates;
/* The sections that a listener names, found; false after conf_bad. */
bool conf_certificates_find(struct parse *p, const struct conf *c, struct conf_listener *l,
			    u32 line);

/* The address forms. */
bool conf_parse_bind(const char *text, struct conf_listener *l);
bool conf_parse_net(const char *text, struct conf_net *out);
bool conf_ip_ok(const char *text);

/* option_websocket.c */
option_set_fn set_protocols, set_origins, set_websocket_path;
option_print_fn print_protocols, print_origins;
/* An origin as browsers write it? */
bool conf_origin_ok(const char *s);

/* Rules between the options of a listener, and between listeners. */
bool conf_check(struct parse *p, struct conf *c);
/* limits { all = none }: no limit, or the most that the protocol has. */
void conf_limits_lift(struct conf_limits *l);

void conf_print_quoted(FILE *f, const char *s);
/* "1k to 256m": the range of a limit. */
void option_print_range(FILE *f, const struct option *o);
/* A listener as it is before its section is read; its limits are the global ones. */
void conf_listener_defaults(struct conf_listener *l, const char *name,
			    const struct conf_limits *limits);
/* Those of a unix socket where its section does not name any. */
void conf_local_authenticators(struct conf_listener *l);

#endif
