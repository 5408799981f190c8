/* http: see http.h. */
#include "net/http.h"

static const char crlf2[] = "\r\n\r\n";

size_t http_head_end(struct slice bytes, size_t from)
{
	const u8 *end;

	ASSERT(from <= bytes.n);
	from -= MIN(from, sizeof(crlf2) - 2); /* the mark may have begun in what came earlier */
	if (bytes.n == from)
		return 0;
	end = memmem(bytes.p + from, bytes.n - from, crlf2, sizeof(crlf2) - 1);
	return end != NULL ? (size_t)(end - bytes.p) + sizeof(crlf2) - 1 : 0;
}

/* ---- characters (RFC 9110 section 5.6) ---------------------------------------------------------
 */
static bool is_token(u8 b)
{
	return (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') ||
	       (b != 0 && strchr("!#$%&'*+-.^_`|~", b) != NULL);
}

static bool is_visible(u8 b)
{
	return b > ' ' && b < 0x7f;
}

static bool is_text(u8 b)
{
	return b == '\t' || (b >= ' ' && b != 0x7f);
}

static bool all(struct slice s, bool (*is)(u8))
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is(s.p[i]))
			return false;
	}
	return true;
}

static bool is_blank(u8 b)
{
	return b == ' ' || b == '\t';
}

static struct slice trim(struct slice s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = slice_skip(s, 1);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

static u8 lower(u8 b)
{
	return b >= 'A' && b <= 'Z' ? (u8)(b + 'a' - 'A') : b;
}

static bool same_word(struct slice s, const char *word, enum http_case how)
{
	if (s.n != strlen(word))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if ((how == HTTP_EXACT ? s.p[i] : lower(s.p[i])) != (u8)word[i])
			return false;
	}
	return true;
}

/* ---- lines -------------------------------------------------------------------------------------
 */
/* Up to byte b, and past it; false when it is not there. */
static bool cut_at(struct slice *s, u8 b, struct slice *out)
{
	const u8 *at = s->n != 0 ? memchr(s->p, b, s->n) : NULL;

	if (at == NULL)
		return false;
	*out = slice_of(s->p, (size_t)(at - s->p));
	*s = slice_skip(*s, out->n + 1);
	return true;
}

/* A CR that no LF follows is found in neither place: it is no text. */
static bool line_next(struct slice *s, struct slice *line)
{
	if (!cut_at(s, '\n', line) || line->n == 0 || line->p[line->n - 1] != '\r')
		return false;
	line->n--;
	return true;
}

static bool request_line(struct slice line, struct http_head *out)
{
	static const char version[] = "HTTP/1.";

	if (!cut_at(&line, ' ', &out->method) || !cut_at(&line, ' ', &out->target))
		return false;
	if (line.n != sizeof(version) || memcmp(line.p, version, sizeof(version) - 1) != 0)
		return false;
	out->minor = (u32)line.p[line.n - 1] - '0';
	return out->minor <= 1 && out->method.n != 0 && all(out->method, is_token) &&
	       out->target.n != 0 && all(out->target, is_visible);
}

static bool field_line(struct slice line, struct http_field *out)
{
	if (!cut_at(&line, ':', &out->name))
		return false;
	out->value = trim(line);
	return out->name.n != 0 && all(out->name, is_token) && all(out->value, is_text);
}

enum err http_head_parse(struct slice head, struct http_head *out)
{
	struct slice line;

	ASSERT(head.p != NULL || head.n == 0);
	out->n = 0;
	if (head.n > LIM_HTTP_HEAD)
		return E_TOO_LARGE;
	if (!line_next(&head, &line) || !request_line(line, out))
		return E_MALFORM;
	for (;;) {
		if (!line_next(&head, &line))
			return E_MALFORM;
		if (line.n == 0)
			return head.n == 0 ? E_OK : E_MALFORM;
		if (out->n == LIM_HTTP_FIELDS)
			return E_TOO_LARGE;
		if (!field_line(line, &out->field[out->n]))
			return E_MALFORM;
		out->n++;
	}
}

/* ---- what the fields say -----------------------------------------------------------------------
 */
bool http_is(struct slice name, const char *word)
{
	return same_word(name, word, HTTP_ANY_CASE);
}

u32 http_count(const struct http_head *h, const char *name)
{
	u32 n = 0;

	ASSERT(h->n <= LIM_HTTP_FIELDS);
	for (u32 i = 0; i < h->n; i++)
		n += same_word(h->field[i].name, name, HTTP_ANY_CASE);
	return n;
}

struct slice http_value(const struct http_head *h, const char *name)
{
	ASSERT(h->n <= LIM_HTTP_FIELDS);
	for (u32 i = 0; i < h->n; i++) {
		if (same_word(h->field[i].name, name, HTTP_ANY_CASE))
			return h->field[i].value;
	}
	return SLICE_NONE;
}

bool http_list_next(struct slice *list, struct slice *element)
{
	if (list->n == 0)
		return false;
	if (!cut_at(list, ',', element)) {
		*element = *list;
		*list = SLICE_NONE;
	}
	*element = trim(*element);
	return true;
}

static bool list_has(struct slice list, const char *token, enum http_case how)
{
	struct slice element;

	while (http_list_next(&list, &element)) {
		if (same_word(element, token, how))
			return true;
	}
	return false;
}

bool http_list_has(const struct http_head *h, const char *name, const char *token,
		   enum http_case how)
{
	ASSERT(h->n <= LIM_HTTP_FIELDS);
	for (u32 i = 0; i < h->n; i++) {
		if (same_word(h->field[i].name, name, HTTP_ANY_CASE) &&
		    list_has(h->field[i].value, token, how))
			return true;
	}
	return false;
}
