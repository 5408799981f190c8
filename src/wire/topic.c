/* topic: one pass over a name or filter checks its UTF-8 and finds its levels; eight bytes at a
 * time while they are printable ASCII. */
#include <endian.h>

#include "base/utf8.h"
#include "wire/codec.h"

struct scan {
	u16 *off; /* level_off of what is being made */
	u32 nlevel;
	bool wild; /* a '+' or '#' somewhere */
};

enum { EACH = 8 };
#define ONES 0x0101010101010101u
#define HIGH (0x80 * ONES)

/* The high bit of each byte of v that equals c; all bytes are below 0x80. */
static u64 find8(u64 v, u8 c)
{
	return ~((v ^ c * ONES) + 0x7f * ONES) & HIGH;
}

/* A level begins at i; false when it would be one too many. */
static bool scan_level(struct scan *s, size_t i)
{
	if (s->nlevel == LIM_TOPIC_LEVELS)
		return false;
	s->off[s->nlevel++] = (u16)i;
	return true;
}

/* Eight bytes of printable ASCII at i. */
static bool scan_word(struct scan *s, u64 v, size_t i)
{
	s->wild |= (find8(v, '+') | find8(v, '#')) != 0;
	for (u64 slashes = find8(v, '/'); slashes != 0; slashes &= slashes - 1) {
		if (!scan_level(s, i + (size_t)__builtin_ctzll(slashes) / 8 + 1))
			return false;
	}
	return true;
}

/* Fills off[0..nlevel], the last with the end.  E_UTF8, or E_RANGE over a limit. */
static enum err scan_levels(struct slice raw, struct scan *s)
{
	size_t i = 0, len;
	u64 v;

	if (raw.n == 0 || raw.n > LIM_TOPIC_BYTES || !scan_level(s, 0))
		return E_RANGE;
	while (i < raw.n) {
		if (raw.n - i >= EACH) {
			memcpy(&v, raw.p + i, EACH);
			v = le64toh(v);
			if (utf8_plain8(v)) {
				if (!scan_word(s, v, i))
					return E_RANGE;
				i += EACH;
				continue;
			}
		}
		len = utf8_one(raw.p + i, raw.n - i);
		if (len == 0)
			return E_UTF8;
		s->wild |= raw.p[i] == '+' || raw.p[i] == '#';
		if (raw.p[i] == '/' && !scan_level(s, i + 1))
			return E_RANGE;
		i += len;
	}
	s->off[s->nlevel] = (u16)(raw.n + 1);
	return E_OK;
}

/* A text over the limits may be ill-formed further on: then that is what is wrong with it. */
static enum err scan_error(enum err e, struct slice raw, enum err over)
{
	return e == E_UTF8 || !utf8_ok(raw) ? E_UTF8 : over;
}

enum err topic_parse(struct slice raw, struct topic *out)
{
	struct scan s = {.off = out->level_off};
	enum err e = scan_levels(raw, &s);

	SPEC("MQTT-4.7.3-1");
	SPEC("MQTT-4.7.3-2");
	if (e != E_OK)
		return scan_error(e, raw, E_TOPIC);
	SPEC("MQTT-4.7.1-1");
	if (s.wild)
		return E_TOPIC;
	out->s = raw;
	out->nlevel = (u8)s.nlevel;
	out->dollar = raw.p[0] == '$';
	return E_OK;
}

/* The wildcards of a filter whose levels are known. */
static enum err filter_wildcards(struct filter *f)
{
	for (u32 i = 0; i < f->nlevel; i++) {
		struct slice l = filter_level(f, i);
		bool plus = l.n != 0 && memchr(l.p, '+', l.n) != NULL;
		bool hash = l.n != 0 && memchr(l.p, '#', l.n) != NULL;
		SPEC("MQTT-4.7.1-1");
		SPEC("MQTT-4.7.1-2");
		if ((plus || hash) && l.n != 1)
			return E_FILTER;
		if (hash && i + 1u != f->nlevel)
			return E_FILTER;
		f->hash = hash;
		f->plus_mask |= (u32)plus << i;
	}
	return E_OK;
}

/* "$share/NAME/FILTER": what is NAME and where FILTER begins.  No prefix: all of raw, no name. */
static enum err share_split(struct slice raw, struct slice *name, struct slice *rest)
{
	const struct slice prefix = SLICE_LIT("$share/");
	const u8 *end;

	*name = SLICE_NONE;
	*rest = raw;
	if (raw.n < prefix.n || memcmp(raw.p, prefix.p, prefix.n) != 0)
		return E_OK;
	*rest = slice_skip(raw, prefix.n);
	end = memchr(rest->p, '/', rest->n);
	SPEC("MQTT-4.8.2-1");
	if (end == NULL || end == rest->p)
		return E_FILTER;
	*name = slice_of(rest->p, (size_t)(end - rest->p));
	*rest = slice_skip(*rest, name->n + 1);
	SPEC("MQTT-4.8.2-2");
	if (memchr(name->p, '+', name->n) != NULL || memchr(name->p, '#', name->n) != NULL)
		return E_FILTER;
	return E_OK;
}

enum err filter_parse(struct slice raw, struct filter *out)
{
	struct scan s = {.off = out->level_off};
	enum err e;

	if (raw.n > LIM_TOPIC_BYTES)
		return scan_error(E_RANGE, raw, E_FILTER);
	if (share_split(raw, &out->share, &out->s) != E_OK || !utf8_ok(out->share))
		return scan_error(E_FILTER, raw, E_FILTER);
	e = scan_levels(out->s, &s);
	if (e != E_OK)
		return scan_error(e, raw, E_FILTER);
	out->nlevel = (u8)s.nlevel;
	out->dollar = out->s.p[0] == '$';
	out->hash = false;
	out->plus_mask = 0;
	return s.wild ? filter_wildcards(out) : E_OK;
}

bool filter_matches(const struct filter *f, const struct topic *t)
{
	u32 n = f->nlevel - (u32)f->hash; /* levels before the '#' */

	SPEC("MQTT-4.7.2-1");
	if (t->dollar && ((f->plus_mask & 1) || n == 0))
		return false;
	/* A '#' stands for its parent too: "a/#" matches "a". */
	if (f->hash ? t->nlevel < n : t->nlevel != n)
		return false;
	for (u32 i = 0; i < n; i++) {
		if (f->plus_mask >> i & 1)
			continue;
		if (!slice_eq(filter_level(f, i), topic_level(t, i)))
			return false;
	}
	return true;
}
