/* http_client: the command's response parser never reads past its input, and an answer does not
 * depend on how its bytes are split. */
#include "cli/http.h"

struct sum {
	u64 h;
	size_t n;
};

static void body(void *arg, struct slice s)
{
	struct sum *d = arg;

	for (size_t i = 0; i < s.n; i++)
		d->h = (d->h ^ s.p[i]) * 1099511628211u;
	d->n += s.n;
}

static enum err feed(struct slice s, size_t step, struct http *h, struct sum *d)
{
	enum err e = E_MORE;

	*d = (struct sum){0};
	http_init(h, body, d);
	while (s.n > 0 && e == E_MORE) {
		e = http_feed(h, slice_of(s.p, MIN(step, s.n)));
		s = slice_skip(s, MIN(step, s.n));
	}
	return e == E_MORE ? http_end(h) : e;
}

int LLVMFuzzerTestOneInput(const u8 *p, size_t n);
int LLVMFuzzerTestOneInput(const u8 *p, size_t n)
{
	static struct http a, b;
	struct sum da, db;
	size_t step = n > 0 ? 1 + p[0] % 7 : 1;
	struct slice s = slice_skip(slice_of(p, n), 1);
	enum err ea = feed(s, MAX(s.n, 1), &a, &da), eb = feed(s, step, &b, &db);

	ASSERT(ea == eb);
	ASSERT(ea == E_OK || ea == E_SYNTAX || ea == E_SHORT);
	if (ea == E_OK) {
		ASSERT(a.status == b.status && a.status <= 599);
		ASSERT(da.n == db.n && da.h == db.h);
	}
	return 0;
}
