/* scan: looks at the text before libconfuse does, which is not made for hostile text: it recurses
 * by nesting, keeps its state after an open string, and puts environment variables into values.
 *
 * Follows its words, strings and comments; knows no option. */
#include "conf/internal.h"

enum { SCAN_BYTES_MAX = 1024 * 1024, SCAN_DEPTH_MAX = 4 };

struct scan {
	struct parse *p;
	const char *at;
	u32 line, depth;
};

static bool scan_bad(struct scan *s, const char *what, const char *hint)
{
	conf_bad(s->p, s->line, hint, "%s", what);
	return false;
}

static bool scan_bytes(struct scan *s, const char *text)
{
	u32 line = 1;

	for (const char *c = text; *c != '\0'; c++) {
		u8 b = (u8)*c;
		line += b == '\n';
		if ((b >= 0x20 && b != 0x7f) || b == '\n' || b == '\t')
			continue;
		s->line = line;
		return scan_bad(s, b == '\r' ? "a carriage return" : "a control character",
				b == '\r' ? "save the file with Unix line ends"
					  : "remove it; the file is plain text");
	}
	return true;
}

static bool scan_string(struct scan *s, char quote)
{
	for (s->at++; *s->at != quote; s->at++) {
		if (*s->at == '\0' || *s->at == '\n')
			return scan_bad(s, "a string that does not end on its line",
					"close it with the quote it began with");
		if (*s->at != '\\')
			continue;
		s->at++;
		if (*s->at != '\\' && *s->at != quote)
			return scan_bad(
				s, "an unknown escape in a string",
				"in a string write \\\\ for a backslash and \\\" for a quote");
	}
	s->at++;
	return true;
}

static bool scan_block_comment(struct scan *s)
{
	u32 begin = s->line;
	const char *end = strstr(s->at + 2, "*/");

	if (end == NULL) {
		s->line = begin;
		return scan_bad(s, "a comment that does not end", "close it with */");
	}
	for (; s->at < end + 2; s->at++)
		s->line += *s->at == '\n';
	return true;
}

static bool comment_begins(const char *c)
{
	return c[0] == '#' || (c[0] == '/' && (c[1] == '/' || c[1] == '*'));
}

static bool scan_word(struct scan *s)
{
	s->at++;
	while (*s->at != '\0' && strchr(" \t\n\"'={}(),+", *s->at) == NULL) {
		if (comment_begins(s->at))
			return scan_bad(s, "a comment sign inside a word",
					"put the value in quotes, or a blank before the comment");
		s->at++;
	}
	return true;
}

static bool scan_brace(struct scan *s)
{
	if (*s->at == '{' && ++s->depth > SCAN_DEPTH_MAX)
		return scan_bad(s, "sections nested too deeply",
				"no option needs more than two levels");
	if (*s->at == '}' && s->depth-- == 0)
		return scan_bad(s, "a closing brace without its opening one", "remove it");
	s->at++;
	return true;
}

static bool scan_next(struct scan *s)
{
	char c = *s->at;

	if (c == '#' || (c == '/' && s->at[1] == '/')) {
		s->at += strcspn(s->at, "\n");
		return true;
	}
	if (c == '/' && s->at[1] == '*')
		return scan_block_comment(s);
	if (c == '"' || c == '\'')
		return scan_string(s, c);
	if (c == '{' || c == '}')
		return scan_brace(s);
	if (strchr(" \t\n=(),+", c) == NULL)
		return scan_word(s);
	s->line += c == '\n';
	s->at++;
	return true;
}

bool conf_scan(struct parse *p, const char *text)
{
	struct scan s = {p, text, 1, 0};

	if (strlen(text) > SCAN_BYTES_MAX)
		return scan_bad(&s, "the file is larger than 1 MiB",
				"a configuration is a few lines");
	if (!scan_bytes(&s, text))
		return false;
	s.line = 1;
	while (*s.at != '\0') {
		const char *before = s.at;
		if (!scan_next(&s))
			return false;
		ASSERT(s.at > before);
		/* Comments may say what they like. */
		if (comment_begins(before))
			continue;
		const char *dollar = strstr(before, "${");
		if (dollar != NULL && dollar < s.at)
			return scan_bad(&s, "environment variables are not used here",
					"write the value itself");
	}
	if (s.depth != 0)
		return scan_bad(&s, "a section that does not end", "close it with }");
	return true;
}
