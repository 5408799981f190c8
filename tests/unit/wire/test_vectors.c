/* Every example of the conformance vectors (tests/conformance/vectors.tsv) that the codec alone can
 * judge. */
#include <stdio.h>

#include "../base/test.h"
#include "any.h"
#include "base/num.h"
#include "base/utf8.h"

enum { ROWS_MAX = 1000, PACKET_MAX = 512 };

struct row {
	char line[1024];
	char *kind, *id, *where, *version, *seen, *hex, *expected;
	u8 data[PACKET_MAX];
	size_t n;
};

static struct row rows[ROWS_MAX];
static size_t nrows;

static u8 hex_digit(char c)
{
	return (u8)(c <= '9' ? c - '0' : c - 'A' + 10);
}

static size_t from_hex(const char *hex, u8 *out)
{
	size_t n = 0;

	if (hex[0] == '-')
		return 0;
	for (; hex[0] != '\0'; hex += 2)
		out[n++] = (u8)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
	return n;
}

static int load(void **state)
{
	FILE *f = fopen(VECTORS_TSV, "r");

	if (f == NULL)
		return -1;
	while (nrows < ROWS_MAX && fgets(rows[nrows].line, sizeof(rows[0].line), f) != NULL) {
		struct row *r = &rows[nrows];
		char *rest = r->line, **field[] = {&r->kind, &r->id,  &r->where,   &r->version,
						   &r->seen, &r->hex, &r->expected};
		for (size_t i = 0; i < ARRAY_LEN(field); i++)
			*field[i] = strsep(&rest, "\t");
		if (strcmp(r->kind, "kind") == 0)
			continue;
		r->n = from_hex(r->hex, r->data);
		nrows++;
	}
	fclose(f);
	return 0;
}

static struct slice bytes(const struct row *r)
{
	return slice_of(r->data, r->n);
}

static enum mqtt_version version(const struct row *r)
{
	return r->version[0] == '5' ? MQTT_5 : MQTT_311;
}

/* The next row of a kind that the codec can judge. */
static const struct row *next(const char *kind, size_t *i)
{
	while (*i < nrows) {
		const struct row *r = &rows[(*i)++];
		if (strcmp(r->kind, kind) == 0 && strcmp(r->seen, "codec") == 0)
			return r;
	}
	return NULL;
}

/* Is word one of the comma-separated words of list? */
static bool listed(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p != NULL; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, word, n) == 0 && strchr(",( \n", p[n]) != NULL)
			return true;
	}
	return false;
}

static void check_prefixes(const struct row *r, enum mqtt_version v, enum peer_side side)
{
	struct any a;
	struct frame f;

	for (size_t n = 0; n < r->n; n++) {
		/* Memory of exactly n bytes, so that a sanitizer sees one read too many. */
		u8 *part = malloc(n + (n == 0));
		enum err e;
		assert_non_null(part);
		memcpy(part, r->data, n);
		e = frame_peek(slice_of(part, n), v, UINT32_MAX, &f);
		if (n < 2)
			assert_int_equal(e, E_MORE);
		else
			assert_true(e == E_OK && (size_t)f.header_len + f.body_len == r->n);
		assert_int_equal(any_decode(&a, v, side, slice_of(part, n)), E_MORE);
		free(part);
	}
}

/* A body cut short, with its length set right again, is refused or is another valid packet; either
 * way nothing past its end is read, which a sanitizer sees. */
static void check_cuts(const struct row *r, enum mqtt_version v, enum peer_side side)
{
	struct any a;

	for (size_t n = 2; n < r->n; n++) {
		u8 *part = malloc(n);
		assert_non_null(part);
		memcpy(part, r->data, n);
		part[1] = (u8)(n - 2);
		(void)!any_decode(&a, v, side, slice_of(part, n));
		free(part);
	}
}

static void check_round_trip(const struct any *a, enum peer_side side)
{
	u8 out[PACKET_MAX], small[PACKET_MAX];
	struct wr w = wr_of(out, sizeof(out)), n = wr_count();
	struct any b;

	any_encode(&w, a);
	any_encode(&n, a);
	assert_int_equal(w.err, E_OK);
	assert_int_equal(n.n, w.n);
	assert_int_equal(any_decode(&b, a->v, side, wr_done(&w)), E_OK);
	assert_true(any_equal(a, &b));
	for (size_t cap = 0; cap < w.n; cap++) {
		struct wr s = wr_of(small, cap);
		any_encode(&s, a);
		assert_int_equal(s.err, E_TOO_LARGE);
		assert_int_equal(s.n, 0);
	}
}

static void valid_packets_decode_and_encode(void **state)
{
	const struct row *r;
	size_t i = 0, n = 0;

	while ((r = next("packet", &i)) != NULL) {
		enum peer_side side = strcmp(r->where, "S>C") == 0 ? FROM_SERVER : FROM_CLIENT;
		enum mqtt_version v = version(r);
		struct any a;
		enum err e = any_decode(&a, v, side, bytes(r));
		if (e != E_OK)
			print_message("%s: %s\n", r->id, err_text(e));
		assert_int_equal(e, E_OK);
		assert_int_equal(a.v, v);
		check_prefixes(r, v, side);
		check_cuts(r, v, side);
		check_round_trip(&a, side);
		n++;
	}
	assert_int_equal(n, 75);
}

/* The first filter that an otherwise valid packet asks for cannot be had. */
static bool entry_refused(struct any *a)
{
	struct sub_entry e;

	assert_int_equal(a->f.type, PKT_SUBSCRIBE);
	assert_true(sub_next(&a->subscribe, &e));
	return e.err == E_FILTER;
}

static void errors_are_refused_for_the_right_reason(void **state)
{
	const struct row *r;
	size_t i = 0, n = 0;

	while ((r = next("error", &i)) != NULL) {
		bool fresh = strcmp(r->where, "new") == 0;
		struct any a;
		enum err e = any_decode(&a, fresh ? MQTT_NONE : version(r), FROM_CLIENT, bytes(r));
		char reason[3];
		snprintf(reason, sizeof(reason), "%02X", err_reason(e));
		n++;
		if (strcmp(r->expected, "entry") == 0) {
			assert_int_equal(e, E_OK);
			assert_true(entry_refused(&a));
			continue;
		}
		if (e == E_OK || e == E_MORE ||
		    (strcmp(r->expected, "any") != 0 && !listed(r->expected, reason)))
			fail_msg("%s: %s (%s), expected %s", r->id, err_text(e), reason,
				 r->expected);
	}
	assert_int_equal(n, 95);
}

static void refused_versions_say_how_to_answer(void **state)
{
	const struct row *r;
	size_t i = 0;

	while ((r = next("error", &i)) != NULL) {
		bool level = strcmp(r->id, "E3-02") == 0 || strcmp(r->id, "E5-02") == 0;
		bool name = strcmp(r->id, "E3-03") == 0 || strcmp(r->id, "E5-03") == 0;
		struct any a;
		if (!level && !name)
			continue;
		assert_int_equal(any_decode(&a, MQTT_NONE, FROM_CLIENT, bytes(r)), E_VERSION);
		assert_int_equal(a.connect.version, level ? MQTT_311 : MQTT_NONE);
	}
}

static void check_vbi_value(const struct row *r)
{
	u8 out[8];
	struct wr w = wr_of(out, sizeof(out));
	struct rd in = rd_of(bytes(r));
	u64 value;

	assert_int_equal(num_parse(slice_str(r->expected), VBI_MAX, &value), E_OK);
	assert_int_equal(rd_vbi(&in), value);
	assert_int_equal(in.err, E_OK);
	assert_int_equal(rd_left(&in), 0);
	wr_vbi(&w, (u32)value);
	assert_true(slice_eq(wr_done(&w), bytes(r)));
	assert_int_equal(vbi_size((u32)value), r->n);
}

static void check_vbi_refused(const struct row *r)
{
	bool more = strcmp(r->expected, "more") == 0;
	bool only5 = strcmp(r->expected, "malformed5") == 0;
	struct rd in = rd_of(bytes(r));
	u8 packet[8] = {PKT_PUBLISH << 4};
	struct slice s = slice_of(packet, r->n + 1);
	struct frame f;

	assert_int_equal(rd_vbi(&in), 0);
	assert_int_equal(in.err, more ? E_SHORT : E_MALFORM);
	memcpy(packet + 1, r->data, r->n);
	assert_int_equal(frame_peek(s, MQTT_5, UINT32_MAX, &f), more ? E_MORE : E_MALFORM);
	assert_int_equal(frame_peek(s, MQTT_NONE, UINT32_MAX, &f), more ? E_MORE : E_MALFORM);
	assert_int_equal(frame_peek(s, MQTT_311, UINT32_MAX, &f), more	  ? E_MORE
								  : only5 ? E_OK
									  : E_MALFORM);
}

static void variable_byte_integers(void **state)
{
	const struct row *r;
	size_t i = 0, n = 0;

	for (; (r = next("vbi", &i)) != NULL; n++) {
		if (r->expected[0] >= '0' && r->expected[0] <= '9')
			check_vbi_value(r);
		else
			check_vbi_refused(r);
	}
	assert_int_equal(n, 18);
}

static void frames_at_the_boundaries(void **state)
{
	const struct row *r;
	size_t i = 0, n = 0;

	for (; (r = next("frame", &i)) != NULL; n++) {
		unsigned long body, total;
		struct frame f;
		u8 out[5];
		char *end;
		body = strtoul(r->expected, &end, 10);
		total = strtoul(end + 1, NULL, 10);
		assert_int_equal(frame_peek(bytes(r), MQTT_5, (u32)total, &f), E_OK);
		assert_int_equal(f.body_len, body);
		assert_int_equal(f.header_len, r->n);
		assert_int_equal(frame_peek(bytes(r), MQTT_5, (u32)total - 1, &f), E_TOO_LARGE);
		assert_int_equal(frame_header(r->data[0], (u32)body, out), r->n);
		assert_memory_equal(out, r->data, r->n);
	}
	assert_int_equal(n, 8);
}

/* Each string where a string may stand: topic, client id, user name, filter, string and pair
 * properties. */
static void strings_everywhere(const struct row *r, bool good)
{
	static const struct {
		const char *before, *after;
		enum mqtt_version v;
	} places[] = {
		{"30", "", MQTT_311},
		{"30", "00", MQTT_5},
		{"10 00044D5154540402003C", "", MQTT_311},
		{"10 00044D5154540502003C00", "", MQTT_5},
		{"10 00044D5154540482003C000164", "", MQTT_311},
		{"10 00044D5154540506003C00000164 00", "000178", MQTT_5},
		{"82 0001", "00", MQTT_311},
		{"82 000100", "00", MQTT_5},
		{"A2 0001", "", MQTT_311},
		{"30 000161 %03", "", MQTT_5},	      /* Content Type */
		{"30 000161 %08", "", MQTT_5},	      /* Response Topic */
		{"30 000161 %26", "+000161", MQTT_5}, /* a pair's name */
		{"30 000161 %26000161", "", MQTT_5},  /* and value */
		{"F0 18 %15", "", MQTT_5},	      /* Authentication Method */
		{"40 000110 %1F", "", MQTT_5},	      /* Reason String */
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		u8 p[PACKET_MAX];
		size_t n = 2, block = 0;
		struct any a;
		enum err e;
		p[0] = (u8)(hex_digit(places[i].before[0]) << 4 | hex_digit(places[i].before[1]));
		for (const char *s = places[i].before + 2; *s != '\0'; s++) {
			if (*s == '%')
				block = n++;
			if (*s == '%' || *s == ' ')
				continue;
			p[n++] = (u8)(hex_digit(s[0]) << 4 | hex_digit(s[1]));
			s++;
		}
		memcpy(p + n, r->data, r->n);
		n += r->n;
		n += from_hex(places[i].after + (places[i].after[0] == '+'), p + n);
		if (block != 0)
			p[block] = (u8)(n - block - 1);
		p[1] = (u8)(n - 2);
		e = any_decode(&a, places[i].v, FROM_CLIENT, slice_of(p, n));
		if ((e == E_OK) != good)
			fail_msg("%s in %s: %s", r->id, places[i].before, err_text(e));
	}
}

static void strings(void **state)
{
	const struct row *r;
	size_t i = 0, n = 0;

	for (; (r = next("string", &i)) != NULL; n++) {
		bool good = strcmp(r->expected, "ok") == 0;
		struct slice text = slice_skip(bytes(r), 2);
		if (strcmp(r->expected, "pair") == 0)
			continue; /* the property examples have it */
		assert_int_equal(utf8_ok(text), good);
		/* The empty string is no topic, filter or response topic. */
		if (text.n != 0)
			strings_everywhere(r, good);
	}
	assert_int_equal(n, 29);
}

/* ---- the property matrix ------------------------------------------------------------------ */

struct place {
	const char *name, *before, *after; /* around a property block, from the first byte on */
};
static const struct place places5[] = {
	{"CONNECT", "1000044D5154540502003C", "0003646576"},
	{"Will", "1000044D5154540506003C000003646576", "000177000178"},
	{"CONNACK", "200000", ""},
	{"PUBLISH", "30000161", ""},
	{"PUBACK", "40123400", ""},
	{"PUBREC", "50123400", ""},
	{"PUBREL", "62123400", ""},
	{"PUBCOMP", "70123400", ""},
	{"SUBSCRIBE", "820001", "00016100"},
	{"SUBACK", "900001", "00"},
	{"UNSUBSCRIBE", "A20001", "000161"},
	{"UNSUBACK", "B00001", "00"},
	{"DISCONNECT", "E000", ""},
	{"AUTH", "F018", ""},
};

/* The packet with this block; what either side may send is good. */
static enum err decode_with(const struct place *at, struct slice block)
{
	enum peer_side side = FROM_CLIENT;
	u8 p[PACKET_MAX];
	size_t n = from_hex(at->before, p);
	enum err e;
	struct any a;

	memmove(p + 2, p + 1, n - 1);
	n++;
	p[n++] = (u8)block.n;
	if (block.n != 0)
		memcpy(p + n, block.p, block.n);
	n += block.n;
	n += from_hex(at->after[0] == '\0' ? "-" : at->after, p + n);
	p[1] = (u8)(n - 2);
	e = any_decode(&a, MQTT_5, side, slice_of(p, n));
	if (e == E_PROTO) {
		side = FROM_SERVER;
		e = any_decode(&a, MQTT_5, side, slice_of(p, n));
	}
	/* The encoders of the other packets write no properties. */
	if (e == E_OK && strstr("CONNECT Will CONNACK PUBLISH DISCONNECT AUTH", at->name))
		check_round_trip(&a, side);
	return e;
}

static const struct row *example_of(const char *prop)
{
	for (size_t i = 0; i < nrows; i++) {
		if (strcmp(rows[i].kind, "prop") == 0 && strcmp(rows[i].id, prop) == 0)
			return &rows[i];
	}
	fail_msg("no example of %s", prop);
	return NULL;
}

static void properties_stand_where_the_matrix_says(void **state)
{
	const struct row *method = example_of("PROP-15"), *r;
	size_t i = 0, n = 0;

	for (; (r = next("matrix", &i)) != NULL; n++) {
		const struct row *example = example_of(r->id);
		const struct place *at = places5;
		u8 block[128];
		size_t len = 0;
		enum err once, twice;
		while (strcmp(at->name, r->where) != 0)
			at++;
		/* AUTH needs a method, and so does authentication data. */
		if ((strcmp(at->name, "AUTH") == 0 && example != method) ||
		    (strcmp(r->id, "PROP-16") == 0 && r->expected[0] != '.')) {
			memcpy(block, method->data, method->n);
			len = method->n;
		}
		memcpy(block + len, example->data, example->n);
		len += example->n;
		once = decode_with(at, slice_of(block, len));
		memcpy(block + len, example->data, example->n);
		twice = decode_with(at, slice_of(block, len + example->n));
		if (once != (r->expected[0] == '.' ? E_MALFORM : E_OK) ||
		    twice != (r->expected[0] == '.'   ? E_MALFORM
			      : r->expected[0] == '1' ? E_PROTO
						      : E_OK))
			fail_msg("%s in %s (%s): once %s, twice %s", r->id, r->where, r->expected,
				 err_text(once), err_text(twice));
	}
	assert_int_equal(n, 27 * 14);
}

static void other_property_ids_are_malformed(void **state)
{
	for (u32 id = 0; id < 256; id++) {
		char name[16];
		const u8 block[] = {(u8)id, 0, 0, 0, 0};
		bool known = false;
		snprintf(name, sizeof(name), "PROP-%02X", id);
		for (size_t i = 0; i < nrows; i++)
			known |= strcmp(rows[i].kind, "prop") == 0 && strcmp(rows[i].id, name) == 0;
		for (size_t i = 0; i < ARRAY_LEN(places5) && !known; i++)
			assert_int_equal(decode_with(&places5[i], slice_of(block, 5)), E_MALFORM);
	}
}

/* ---- reason codes -------------------------------------------------------------------------- */

static enum err decode_reason(const struct place *at, u8 code)
{
	u8 p[32];
	size_t n = from_hex(at->before, p);
	struct any a;
	enum err e;

	memmove(p + 2, p + 1, n - 1);
	n++;
	p[n++] = code;
	n += from_hex(at->after[0] == '\0' ? "-" : at->after, p + n);
	p[1] = (u8)(n - 2);
	e = any_decode(&a, MQTT_5, FROM_CLIENT, slice_of(p, n));
	if (e == E_PROTO)
		e = any_decode(&a, MQTT_5, FROM_SERVER, slice_of(p, n));
	return e;
}

static void reasons_stand_where_the_table_says(void **state)
{
	static const struct place at[] = {
		{"CONNACK", "2000", "00"},    {"PUBACK", "401234", ""},
		{"PUBREC", "501234", ""},     {"PUBREL", "621234", ""},
		{"PUBCOMP", "701234", ""},    {"SUBACK", "90000100", ""},
		{"UNSUBACK", "B0000100", ""}, {"DISCONNECT", "E0", ""},
		{"AUTH", "F0", "0415000158"},
	};

	for (u32 code = 0; code < 256; code++) {
		const char *allowed = "";
		char id[16];
		snprintf(id, sizeof(id), "REASON-%02X", code);
		for (size_t i = 0; i < nrows; i++) {
			if (strcmp(rows[i].id, id) == 0)
				allowed = rows[i].expected;
		}
		for (size_t i = 0; i < ARRAY_LEN(at); i++) {
			enum err e = decode_reason(&at[i], (u8)code);
			enum err want = listed(allowed, at[i].name) ? E_OK : E_PROTO;
			if (e != want)
				fail_msg("%02x in %s: %s", code, at[i].name, err_text(e));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_packets_decode_and_encode),
		cmocka_unit_test(errors_are_refused_for_the_right_reason),
		cmocka_unit_test(refused_versions_say_how_to_answer),
		cmocka_unit_test(variable_byte_integers),
		cmocka_unit_test(frames_at_the_boundaries),
		cmocka_unit_test(strings),
		cmocka_unit_test(properties_stand_where_the_matrix_says),
		cmocka_unit_test(other_property_ids_are_malformed),
		cmocka_unit_test(reasons_stand_where_the_table_says),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
