/* The head of an HTTP request: whatever comes, what the parser accepts keeps to the grammar and can
 * be written down and parsed to the same again; how the bytes are cut changes nothing. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/wr.h"
#include "net/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t write_again(const struct http_head *h, u8 *out, size_t cap)
{
	struct wr w = wr_of(out, cap);

	wr_slice(&w, h->method);
	wr_u8(&w, ' ');
	wr_slice(&w, h->target);
	wr_slice(&w, h->minor == 1 ? SLICE_LIT(" HTTP/1.1\r\n") : SLICE_LIT(" HTTP/1.0\r\n"));
	for (u32 i = 0; i < h->n; i++) {
		wr_slice(&w, h->field[i].name);
		wr_u8(&w, ':');
		wr_slice(&w, h->field[i].value);
		wr_slice(&w, SLICE_LIT("\r\n"));
	}
	wr_slice(&w, SLICE_LIT("\r\n"));
	ASSERT(w.err == E_OK); /* white space only gets less */
	return w.n;
}

static void same(const struct http_head *a, const struct http_head *b)
{
	ASSERT(slice_eq(a->method, b->method) && slice_eq(a->target, b->target));
	ASSERT(a->minor == b->minor && a->n == b->n);
	for (u32 i = 0; i < a->n; i++) {
		ASSERT(slice_eq(a->field[i].name, b->field[i].name));
		ASSERT(slice_eq(a->field[i].value, b->field[i].value));
	}
}

static void ask(const struct http_head *h)
{
	static const char *const names[] = {"host", "connection", "sec-websocket-protocol",
					    "x-forwarded-for"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct slice list = http_value(h, names[i]), element;

		ASSERT(list.n == 0 || http_count(h, names[i]) > 0);
		for (size_t k = 0; http_list_next(&list, &element); k++)
			ASSERT(k < LIM_HTTP_HEAD);
		ASSERT(!http_list_has(h, names[i], "upgrade", HTTP_EXACT) ||
		       http_list_has(h, names[i], "upgrade", HTTP_ANY_CASE));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head one, two;
	static u8 again[LIM_HTTP_HEAD];
	struct slice s = slice_of(data, size);
	size_t end = http_head_end(s, 0), cut = size / 2;

	/* Searched in two steps it ends at the same place. */
	if (end > cut)
		ASSERT(http_head_end(slice_of(data, cut), 0) == 0 && http_head_end(s, cut) == end);
	if (end == 0 || http_head_parse(slice_of(data, end), &one) != E_OK)
		return 0;
	ask(&one);
	size = write_again(&one, again, sizeof(again));
	ASSERT(http_head_parse(slice_of(again, size), &two) == E_OK);
	same(&one, &two);
	return 0;
}
