/* lex: see lex.h.  Total on any bytes; the parser has refused control characters before. */
#include "rights/lex.h"

#include "base/mem.h"

static bool blank(u8 c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static u8 peek(const struct lex *l)
{
	return l->at < l->text.n ? l->text.p[l->at] : '\n';
}

static bool comment_here(const struct lex *l)
{
	return peek(l) == '#' && (l->at == 0 || blank(l->text.p[l->at - 1]));
}

static void skip_line(struct lex *l)
{
	while (l->at < l->text.n && l->text.p[l->at] != '\n')
		l->at++;
}

/* White space and comments; true when the next token is the first on its line. */
static bool skip(struct lex *l)
{
	bool fresh = l->at == 0;

	while (l->at < l->text.n) {
		if (comment_here(l))
			skip_line(l);
		else if (!blank(peek(l)))
			break;
		else
			fresh |= l->text.p[l->at++] == '\n';
	}
	return fresh;
}

static struct token token_from(const struct lex *l, enum token_kind kind, size_t start, bool fresh)
{
	return (struct token){kind, slice_of(l->text.p + start, l->at - start), fresh};
}

/* At the opening quote. */
static struct token lex_string(struct lex *l, bool fresh)
{
	size_t open = l->at++, start = l->at;
	struct token t;

	while (peek(l) != '"' && peek(l) != '\n')
		l->at += peek(l) == '\\' && l->at + 1 < l->text.n && l->text.p[l->at + 1] != '\n'
				 ? 2
				 : 1;
	if (peek(l) != '"')
		return token_from(l, TOK_OPEN, open, fresh);
	t = token_from(l, TOK_STRING, start, fresh);
	l->at++;
	return t;
}

static bool ends_word(u8 c)
{
	return blank(c) || c == ';' || c == ',' || c == '{' || c == '}' || c == '"';
}

struct token lex_word(struct lex *l)
{
	bool fresh = skip(l);
	size_t start = l->at;

	if (l->at == l->text.n)
		return token_from(l, TOK_END, start, fresh);
	if (peek(l) == '"')
		return lex_string(l, fresh);
	if (ends_word(peek(l))) {
		l->at++;
		return token_from(l, TOK_PUNCT, start, fresh);
	}
	while (l->at < l->text.n && !ends_word(peek(l)))
		l->at++;
	return token_from(l, TOK_WORD, start, fresh);
}

static bool ends_filter(u8 c)
{
	return blank(c) || c == ';' || c == '{' || c == '}' || c == '"';
}

/* At "${": to behind the closing brace; false when this filter ends before it. */
static bool skip_placeholder(struct lex *l)
{
	l->at += 2;
	while (!ends_filter(peek(l)))
		l->at++;
	if (peek(l) != '}')
		return false;
	l->at++;
	return true;
}

struct token lex_filter(struct lex *l)
{
	size_t start;

	while (peek(l) != '\n' && blank(peek(l)))
		l->at++;
	start = l->at;
	if (peek(l) == '"')
		return lex_string(l, false);
	while (!ends_filter(peek(l))) {
		bool holder =
			peek(l) == '$' && l->at + 1 < l->text.n && l->text.p[l->at + 1] == '{';

		if (!holder)
			l->at++;
		else if (!skip_placeholder(l))
			return token_from(l, TOK_OPEN, start, false);
	}
	return token_from(l, l->at > start ? TOK_WORD : TOK_END, start, false);
}

char *token_dup(const struct token *t)
{
	char *out = xmalloc(t->s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < t->s.n; i++) {
		if (t->kind == TOK_STRING && t->s.p[i] == '\\' && i + 1 < t->s.n)
			i++;
		out[n++] = (char)t->s.p[i];
	}
	out[n] = '\0';
	return out;
}
