/* lex: policy text as words.  Internal to rights.
 *
 * What a '#' or a brace means depends on what the grammar expects next, so the parser asks for a
 * word or for a filter; there is no token stream beside it. */
#ifndef PICKET_RIGHTS_LEX_H
#define PICKET_RIGHTS_LEX_H

#include "base/base.h"

enum token_kind {
	TOK_END,    /* of the text; of the line where a filter was asked for */
	TOK_WORD,   /* s views it */
	TOK_STRING, /* s views what is between the quotes, with its backslashes */
	TOK_PUNCT,  /* one of { } ; , */
	TOK_OPEN,   /* a string or a placeholder that is not closed on its line */
};

struct token {
	enum token_kind kind;
	struct slice s;
	bool fresh; /* the first on its line */
};

struct lex {
	struct slice text;
	size_t at;
};

struct token lex_word(struct lex *l);
/* The rest of this line up to white space, ';', '{', '}' or a quote; ${…} is one piece. */
struct token lex_filter(struct lex *l);

static inline bool token_is(const struct token *t, const char *word)
{
	return (t->kind == TOK_WORD || t->kind == TOK_PUNCT) && slice_eq(t->s, slice_str(word));
}

/* The string that a word or a quoted string stands for; the caller frees it. */
char *token_dup(const struct token *t) MUST;

#endif
