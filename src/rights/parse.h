/* parse: what the files of the parser share.  Internal to rights. */
#ifndef PICKET_RIGHTS_PARSE_H
#define PICKET_RIGHTS_PARSE_H

#include "rights/doc.h"
#include "rights/lex.h"

struct parser {
	struct lex lex;
	struct token next; /* looked at, not yet taken */
	bool peeked;
	enum policy_file_kind kind;
	struct policy_doc *doc;
	struct policy_error *err;
};

/* Fill p->err and return E_SYNTAX.  near: where, a view of the text.  hint may be "". */
enum err parse_fail(struct parser *p, struct slice near, const char *what, const char *hint) MUST;
/* The same for a word that is none of the known ones; the hint names the nearest. */
enum err parse_unknown(struct parser *p, const struct token *t, const char *what,
		       const char *const *known) MUST;
/* The same where the word is not a token of the text; near is. */
enum err parse_unknown_at(struct parser *p, struct slice near, struct slice word, const char *what,
			  const char *const *known) MUST;

const struct token *parse_peek(struct parser *p);
struct token parse_take(struct parser *p);
/* Take the next token if it is this word. */
bool parse_accept(struct parser *p, const char *word);
enum err parse_expect(struct parser *p, const char *punct, const char *what) MUST;
/* A statement inside braces, or a deny, ends here: ';' (taken), '}' or the end of the line. */
enum err parse_end(struct parser *p, const char *hint) MUST;
/* A name for a role, an identity, a group or a listener; the caller frees it. */
enum err parse_name(struct parser *p, const char *what, char **name) MUST;

/* At the verb: [allow|deny] publish|subscribe …  Adds to list. */
enum err parse_rule(struct parser *p, enum reach reach, struct rule_list *list) MUST;
/* Behind "if". */
enum err parse_conditions(struct parser *p, struct cond *out) MUST;
/* A network or one address, fills addr and prefix. */
enum err parse_network(struct parser *p, u8 addr[16], u8 *prefix) MUST;
/* Behind "source", in a role. */
enum err parse_role_nets(struct parser *p, struct role *role) MUST;
/* Behind "limit". */
enum err parse_limits(struct parser *p, struct role_limits *out) MUST;
/* At device, user or service. */
enum err parse_identity(struct parser *p) MUST;

#endif
