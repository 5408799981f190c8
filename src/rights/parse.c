/* parse: policy text → document: errors, names, statements, and the checks that need the whole
 * text. */
#include "rights/parse.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "rights/nearest.h"

static const char *const statements[] = {"role", "deny", "device", "user", "service", NULL};

/* ---- errors ---------------------------------------------------------------------------- */

/* Lines count from 1; so do columns, in characters. */
static void place(const struct parser *p, const u8 *where, struct policy_error *err)
{
	err->line = err->column = 1;
	for (const u8 *c = p->lex.text.p; c < where; c++) {
		if (*c == '\n') {
			err->line++;
			err->column = 1;
		} else if ((*c & 0xc0) != 0x80) {
			err->column++;
		}
	}
}

enum err parse_fail(struct parser *p, struct slice near, const char *what, const char *hint)
{
	*p->err = (struct policy_error){0};
	place(p, near.p, p->err);
	snprintf(p->err->what, sizeof(p->err->what), "%s", what);
	snprintf(p->err->hint, sizeof(p->err->hint), "%s", hint);
	log_escape(slice_of(near.p, MIN(near.n, sizeof(p->err->near) / 2)), p->err->near,
		   sizeof(p->err->near));
	return E_SYNTAX;
}

enum err parse_unknown_at(struct parser *p, struct slice near, struct slice word, const char *what,
			  const char *const *known)
{
	const char *close = nearest_word(word, known);
	char hint[sizeof(p->err->hint)];
	struct buf list = {0};

	if (close != NULL) {
		snprintf(hint, sizeof(hint), "did you mean '%s'?", close);
		return parse_fail(p, near, what, hint);
	}
	buf_str(&list, "possible here:");
	for (; *known != NULL; known++) {
		buf_str(&list, " ");
		buf_str(&list, *known);
	}
	snprintf(hint, sizeof(hint), "%.*s", (int)list.n, (const char *)list.p);
	buf_free(&list);
	return parse_fail(p, near, what, hint);
}

enum err parse_unknown(struct parser *p, const struct token *t, const char *what,
		       const char *const *known)
{
	if (t->kind == TOK_OPEN)
		return parse_fail(p, t->s, "a quote is not closed on its line", "");
	return parse_unknown_at(p, t->s, t->s, what, known);
}

/* ---- tokens ---------------------------------------------------------------------------- */

const struct token *parse_peek(struct parser *p)
{
	if (!p->peeked)
		p->next = lex_word(&p->lex);
	p->peeked = true;
	return &p->next;
}

struct token parse_take(struct parser *p)
{
	struct token t = *parse_peek(p);

	p->peeked = false;
	return t;
}

bool parse_accept(struct parser *p, const char *word)
{
	if (!token_is(parse_peek(p), word))
		return false;
	p->peeked = false;
	return true;
}

enum err parse_expect(struct parser *p, const char *punct, const char *what)
{
	if (parse_accept(p, punct))
		return E_OK;
	return parse_fail(p, parse_peek(p)->s, what, "");
}

enum err parse_end(struct parser *p, const char *hint)
{
	const struct token *t = parse_peek(p);

	if (parse_accept(p, ";") || t->fresh || t->kind == TOK_END || token_is(t, "}"))
		return E_OK;
	if (t->kind == TOK_OPEN)
		return parse_fail(p, t->s, "a quote is not closed on its line", "");
	return parse_fail(p, t->s, "this does not belong here", hint);
}

enum err parse_name(struct parser *p, const char *what, char **name)
{
	struct token t = parse_take(p);
	char text[sizeof(p->err->what)];

	*name = NULL;
	if ((t.kind != TOK_WORD && t.kind != TOK_STRING) || !policy_name_ok(t.s)) {
		snprintf(text, sizeof(text), "%s is expected", what);
		return parse_fail(p, t.s, text,
				  "a name has 1 to 128 letters, digits and any of . _ - : @");
	}
	*name = xslicedup(t.s);
	return E_OK;
}

/* ---- statements ------------------------------------------------------------------------ */

static enum err role_line(struct parser *p, struct role *role)
{
	static const char *const known[] = {"publish", "subscribe", "allow", "deny",
					    "limit",   "source",    NULL};
	const struct token *t = parse_peek(p);

	if (parse_accept(p, ";"))
		return E_OK;
	if (parse_accept(p, "limit"))
		return parse_limits(p, &role->limits);
	if (parse_accept(p, "source"))
		return parse_role_nets(p, role);
	if (role->rules.n == POLICY_RULE_COUNT)
		return parse_fail(p, t->s, "a role has at most 4096 rules",
				  "split it into two roles");
	for (u32 i = 0; i < 4; i++) {
		if (token_is(t, known[i]))
			return parse_rule(p, REACH_ROLE, &role->rules);
	}
	if (t->kind == TOK_END)
		return parse_fail(p, t->s, "the text ends inside a role", "close it with '}'");
	return parse_unknown(p, t, "not a statement of a role", known);
}

static enum err role_body(struct parser *p, struct role *role)
{
	enum err e = parse_name(p, "the name of the role", &role->name);

	if (e == E_OK)
		e = parse_expect(p, "{", "'{' is expected after the name of a role");
	while (e == E_OK && !parse_accept(p, "}"))
		e = role_line(p, role);
	return e;
}

static enum err role_statement(struct parser *p)
{
	struct policy_doc *doc = p->doc;
	struct role role = {0};
	enum err e;

	parse_take(p);
	role.at = (size_t)(parse_peek(p)->s.p - p->lex.text.p);
	e = role_body(p, &role);
	if (e != E_OK) {
		role_clear(&role);
		return e;
	}
	doc->roles = array_grow(doc->roles, doc->nroles, sizeof(role));
	doc->roles[doc->nroles++] = role;
	return E_OK;
}

static enum err statement(struct parser *p)
{
	const struct token *t = parse_peek(p);

	if (parse_accept(p, ";"))
		return E_OK;
	if (token_is(t, "role"))
		return role_statement(p);
	if (token_is(t, "deny") && p->doc->denies.n == POLICY_RULE_COUNT)
		return parse_fail(p, t->s, "there are at most 4096 denies for everyone", "");
	if (token_is(t, "deny"))
		return parse_rule(p, REACH_EVERYONE, &p->doc->denies);
	if (token_is(t, "device") || token_is(t, "user") || token_is(t, "service"))
		return parse_identity(p);
	if (token_is(t, "publish") || token_is(t, "subscribe") || token_is(t, "allow"))
		return parse_fail(p, t->s, "only a role can allow",
				  "write role NAME { … } around it");
	return parse_unknown(p, t, "not a statement of a policy", statements);
}

/* ---- the whole text -------------------------------------------------------------------- */

static enum err check_bytes(struct parser *p)
{
	struct slice text = p->lex.text;
	size_t at = 0;

	if (text.n > POLICY_TEXT_MAX)
		return parse_fail(p, slice_of(text.p, 0), "the text is longer than 16 MiB", "");
	while (at < text.n) {
		u8 c = text.p[at];
		size_t n = c == '\t' || c == '\n' || c == '\r' ? 1
							       : utf8_one(text.p + at, text.n - at);

		if (n == 0)
			return parse_fail(p, slice_of(text.p + at, 1),
					  "a control character, or not UTF-8", "remove this byte");
		at += n;
	}
	return E_OK;
}

static struct slice name_at(const struct parser *p, size_t at, const char *name)
{
	return slice_of(p->lex.text.p + at, strlen(name));
}

static enum err check_twice(struct parser *p)
{
	const struct policy_doc *doc = p->doc;

	for (u32 i = 1; i < doc->nroles; i++) {
		const struct role *r = &doc->roles[i];

		if (strcmp(r[-1].name, r->name) == 0)
			return parse_fail(p, name_at(p, r->at, r->name), "this role is there twice",
					  "put all its rules into one pair of braces");
	}
	for (u32 i = 1; i < doc->nidentities; i++) {
		const struct identity *id = &doc->identities[i];

		if (id[-1].kind == id->kind && strcmp(id[-1].name, id->name) == 0)
			return parse_fail(p, name_at(p, id->at, id->name),
					  "this identity is there twice", "");
	}
	return E_OK;
}

static enum err unknown_role(struct parser *p, const struct identity *id, const char *role)
{
	const struct policy_doc *doc = p->doc;
	const char **known = xcalloc((size_t)doc->nroles + 1, sizeof(*known));
	char what[sizeof(p->err->what)], hint[sizeof(p->err->hint)] = "define it: role NAME { … }";
	const char *close;

	for (u32 i = 0; i < doc->nroles; i++)
		known[i] = doc->roles[i].name;
	close = nearest_word(slice_str(role), known);
	free(known);
	if (close != NULL)
		snprintf(hint, sizeof(hint), "did you mean '%s'?", close);
	snprintf(what, sizeof(what), "it has a role that no one defines: %.100s", role);
	return parse_fail(p, name_at(p, id->at, id->name), what, hint);
}

static enum err check_roles(struct parser *p)
{
	const struct policy_doc *doc = p->doc;

	for (u32 i = 0; i < doc->nidentities; i++) {
		const struct identity *id = &doc->identities[i];

		for (u32 k = 0; k < id->nroles; k++) {
			if (policy_doc_role(doc, id->roles[k]) == NULL)
				return unknown_role(p, id, id->roles[k]);
		}
	}
	return E_OK;
}

static enum err parse_all(struct parser *p)
{
	enum err e = check_bytes(p);

	if (p->lex.text.n >= 3 && memcmp(p->lex.text.p, "\xef\xbb\xbf", 3) == 0)
		p->lex.at = 3; /* the mark that some editors put before UTF-8 */
	while (e == E_OK && parse_peek(p)->kind != TOK_END)
		e = statement(p);
	if (e != E_OK)
		return e;
	policy_doc_sort(p->doc);
	e = check_twice(p);
	return e == E_OK ? check_roles(p) : e;
}

enum err policy_parse(struct slice text, enum policy_file_kind kind, struct policy_doc **out,
		      struct policy_error *err)
{
	struct parser p = {
		.lex = {text.p != NULL ? text : SLICE_LIT(""), 0}, .kind = kind, .err = err};
	enum err e;

	*out = NULL;
	*err = (struct policy_error){0};
	p.doc = policy_doc_new();
	e = parse_all(&p);
	if (e != E_OK) {
		policy_doc_free(&p.doc);
		return e;
	}
	*out = p.doc;
	return E_OK;
}
