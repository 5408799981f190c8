/* The envelope of records: bound to their place, whole or nothing. */
#include <stdlib.h>

#include "help.h"
#include "store/crc.h"
#include "store/record.h"

static void crc_is_castagnoli(void **state)
{
	u8 b[300] = {0};

	/* RFC 3720 B.4, and the check value of the CRC catalogues. */
	assert_int_equal(crc32c(0, b, 32), 0x8a9136aa);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(b, 0xff, 32);
	assert_int_equal(crc32c(0, b, 32), 0x62a8ab43);
	for (u32 i = 0; i < sizeof(b); i++)
		b[i] = (u8)(i * 7);
	for (u32 n = 0; n < sizeof(b); n++) {
		assert_int_equal(crc32c(5, b, n), crc32c_table(5, b, n));
		assert_int_equal(crc32c(crc32c(0, b, n / 3), b + n / 3, n - n / 3),
				 crc32c(0, b, n));
	}
	assert_int_equal(crc32c_table(0, "123456789", 9), 0xe3069283);
}

struct sample {
	struct place at;
	u8 b[512];
	size_t n;
};

static void sample_make(struct sample *s, struct seal *seal)
{
	const struct store_queued q = {
		.qos = 1,
		.m = {.number = 7, .topic = SLICE_LIT("topic"), .payload = SLICE_LIT("payload")}};
	struct wr w = wr_count();

	s->at = (struct place){KV_QUEUE, 11, 22};
	fields_queued(&w, &q);
	s->n = record_size(seal, w.n);
	assert_true(s->n <= sizeof(s->b));
	w = wr_of(s->b + record_fields_at(seal), w.n);
	fields_queued(&w, &q);
	assert_int_equal(w.err, E_OK);
	record_finish(seal, &s->at, REC_QUEUED, s->b, w.n);
}

static enum err sample_read(const struct sample *s, const struct seal *seal, const struct place *at,
			    size_t n)
{
	struct store_chunk *scratch = NULL;
	struct record_queued q = {.weight = 0};
	struct slice fields;
	u8 kind, *exact = malloc(MAX(n, 1u)); /* so that reading past it shows */
	enum err e;

	memcpy(exact, s->b, n);
	e = record_open(seal, at, slice_of(exact, n), &scratch, &kind, &fields);
	if (e == E_OK)
		e = read_queued(fields, kind, &scratch, &q);
	if (e == E_OK) {
		assert_int_equal(q.q.m.number, 7);
		assert_int_equal(q.weight, 12);
		assert_true(slice_eq(q.q.m.payload, SLICE_LIT("payload")));
	}
	chunk_free(&scratch);
	free(exact);
	return e;
}

static void every_flipped_bit_shows(struct seal *seal)
{
	struct sample s;

	sample_make(&s, seal);
	assert_int_equal(sample_read(&s, seal, &s.at, s.n), E_OK);
	for (size_t i = 0; i < s.n * 8; i++) {
		s.b[i / 8] ^= (u8)(1u << i % 8);
		assert_int_equal(sample_read(&s, seal, &s.at, s.n), E_CORRUPT);
		s.b[i / 8] ^= (u8)(1u << i % 8);
	}
	for (size_t n = 0; n < s.n; n++)
		assert_int_equal(sample_read(&s, seal, &s.at, n), E_CORRUPT);
	assert_int_equal(sample_read(&s, seal, &s.at, s.n + 1), E_CORRUPT);
}

static void a_record_is_bound_to_its_place(struct seal *seal)
{
	struct sample s;

	sample_make(&s, seal);
	assert_int_equal(sample_read(&s, seal, &(struct place){KV_QUEUE, 12, 22}, s.n), E_CORRUPT);
	assert_int_equal(sample_read(&s, seal, &(struct place){KV_QUEUE, 11, 23}, s.n), E_CORRUPT);
	assert_int_equal(sample_read(&s, seal, &(struct place){KV_SUBS, 11, 22}, s.n), E_CORRUPT);
}

static struct seal *sealed(void)
{
	struct seal *seal = seal_new(house_key);

	assert_non_null(seal);
	seal_begin(seal, 1);
	return seal;
}

static void plain_records(void **state)
{
	every_flipped_bit_shows(NULL);
	a_record_is_bound_to_its_place(NULL);
}

static void sealed_records(void **state)
{
	struct seal *seal = sealed();

	every_flipped_bit_shows(seal);
	a_record_is_bound_to_its_place(seal);
	seal_free(&seal);
}

static void a_seal_shows_nothing_and_takes_no_plain_record(void **state)
{
	struct seal *seal = sealed(), *other;
	u8 key[32], check[FORMAT_CHECK], same[FORMAT_CHECK];
	struct sample s;

	sample_make(&s, seal);
	assert_null(memmem(s.b, s.n, "payload", 7));
	assert_null(memmem(s.b, s.n, "topic", 5));
	assert_int_equal(sample_read(&s, NULL, &s.at, s.n), E_CORRUPT);
	memcpy(key, house_key, sizeof(key));
	key[31] ^= 1;
	other = seal_new(key);
	assert_int_equal(sample_read(&s, other, &s.at, s.n), E_CORRUPT);
	sample_make(&s, NULL);
	assert_int_equal(sample_read(&s, seal, &s.at, s.n), E_CORRUPT);
	seal_check(seal, check);
	seal_check(other, same);
	assert_memory_not_equal(check, same, sizeof(check));
	seal_free(&other);
	other = seal_new(house_key);
	seal_check(other, same);
	assert_memory_equal(check, same, sizeof(check));
	seal_free(&other);
	seal_free(&seal);
}

/* Nonces go on within an epoch, begin with it, and differ between two openings of one. */
static void no_nonce_comes_twice(void **state)
{
	enum { MANY = 1000 };
	struct seal *seal = sealed();
	u8 nonce[MANY][FORMAT_NONCE];
	struct sample s;

	for (u32 i = 0; i < MANY; i++) {
		if (i == MANY / 2) {
			seal_free(&seal);
			seal = sealed();
		}
		if (i == MANY * 3 / 4)
			seal_begin(seal, 2);
		sample_make(&s, seal);
		memcpy(nonce[i], s.b + FORMAT_HEAD, FORMAT_NONCE);
		for (u32 k = 0; k < i; k++)
			assert_memory_not_equal(nonce[k], nonce[i], FORMAT_NONCE);
	}
	seal_free(&seal);
}

static struct store_chunk *scratch;

/* Whatever the fields are: an answer, and nothing outside of them is read. */
static void readers_are_total(void **state)
{
	u64 seed = 99;

	for (u32 i = 0; i < 100000; i++) {
		size_t n = test_rand(&seed) % 80;
		u8 *b = malloc(MAX(n, 1u));
		struct slice f = slice_of(b, n);
		struct record_queued q;
		struct store_session x;
		struct store_retained r;
		struct store_msg m;
		struct store_sub sub;
		struct record_drops d;
		u32 count;

		for (size_t k = 0; k < n; k++)
			b[k] = test_rand(&seed) % 4 ? (u8)(test_rand(&seed) % 3)
						    : (u8)test_rand(&seed);
		(void)!read_queued(f, REC_QUEUED, &scratch, &q);
		(void)!read_queued(f, REC_QUEUED_REF, &scratch, &q);
		(void)!read_session(f, &x);
		(void)!read_retained(f, &r);
		(void)!read_body(f, &m);
		(void)!read_sub(f, &sub);
		(void)!read_drops(f, &d);
		(void)!read_count(f, &count);
		chunk_reset(&scratch);
		free(b);
	}
	chunk_free(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_is_castagnoli),
		cmocka_unit_test(plain_records),
		cmocka_unit_test(sealed_records),
		cmocka_unit_test(a_seal_shows_nothing_and_takes_no_plain_record),
		cmocka_unit_test(no_nonce_comes_twice),
		cmocka_unit_test(readers_are_total),
	};
	return RUN_TESTS(tests);
}
