#include <stdio.h>

#include "base/map.h"
#include "test.h"

enum { KEYS = 200 };

struct item {
	char key[16];
	size_t n;
	bool in;
};

static struct slice item_key(const struct item *it)
{
	return slice_of(it->key, it->n);
}

/* Key 00..0f, input 00..n-1; the values are those of OpenSSL (openssl mac … -macopt c-rounds:1
 * -macopt d-rounds:3 SIPHASH). */
static void hash_is_siphash_1_3(void **state)
{
	const struct hash_key k = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	u8 in[64];

	for (u8 i = 0; i < sizeof(in); i++)
		in[i] = i;
	assert_true(hash_bytes(&k, in, 0) == 0xabac0158050fc4dc);
	assert_true(hash_bytes(&k, in, 1) == 0xc9f49bf37d57ca93);
	assert_true(hash_bytes(&k, in, 7) == 0xd3927d989bb11140);
	assert_true(hash_bytes(&k, in, 8) == 0x369095118d299a8e);
	assert_true(hash_bytes(&k, in, 15) == 0xd320d86d2a519956);
	assert_true(hash_bytes(&k, in, 63) == 0x9d199062b7bbb3a8);
}

static void hash_depends_on_key_and_length(void **state)
{
	const struct hash_key a = {1, 2}, b = {1, 3};
	const u8 zero[16] = {0};

	assert_true(hash_bytes(&a, zero, 16) != hash_bytes(&b, zero, 16));
	for (size_t n = 0; n < 16; n++)
		assert_true(hash_bytes(&a, zero, n) != hash_bytes(&a, zero, n + 1));
}

static void empty_map_answers(void **state)
{
	const struct hash_key k = {1, 2};
	size_t pos = 0;
	struct map m;

	map_init(&m, &k);
	assert_null(map_get(&m, SLICE_LIT("x")));
	assert_null(map_del(&m, SLICE_LIT("x")));
	assert_null(map_next(&m, &pos));
	map_free(&m);
}

static void put_replaces(void **state)
{
	const struct hash_key k = {1, 2};
	int one, two;
	struct map m;

	map_init(&m, &k);
	assert_null(map_put(&m, SLICE_LIT("a"), &one));
	assert_ptr_equal(map_put(&m, SLICE_LIT("a"), &two), &one);
	assert_int_equal(m.n, 1);
	assert_ptr_equal(map_get(&m, SLICE_LIT("a")), &two);
	assert_null(map_get(&m, SLICE_LIT("")));
	assert_null(map_put(&m, SLICE_LIT(""), &one));
	assert_ptr_equal(map_del(&m, SLICE_NONE), &one);
	map_free(&m);
}

static void check_all(const struct map *m, const struct item *items)
{
	size_t n = 0, walked = 0, pos = 0;

	for (size_t i = 0; i < KEYS; i++) {
		const void *got = map_get(m, item_key(&items[i]));
		assert_ptr_equal(got, items[i].in ? &items[i] : NULL);
		n += items[i].in;
	}
	assert_int_equal(m->n, n);
	for (const struct item *it; (it = map_next(m, &pos)) != NULL; walked++)
		assert_true(it->in);
	assert_int_equal(walked, n);
}

/* Random puts and deletes against an array that is always right; phases that fill and phases that
 * empty, so that long runs of full slots are cut in every place. */
static void agrees_with_an_array(void **state)
{
	static struct item items[KEYS];
	u64 rnd = 1;

	for (u32 seed = 0; seed < 20; seed++) {
		const struct hash_key k = {seed, 99};
		struct map m;

		map_init(&m, &k);
		for (size_t i = 0; i < KEYS; i++) {
			items[i].n =
				(size_t)snprintf(items[i].key, sizeof(items[i].key), "k%zu", i);
			items[i].in = false;
		}
		for (u32 step = 0; step < 6000; step++) {
			struct item *it = &items[test_rand(&rnd) % KEYS];
			u32 fill = step / 1000 % 2 ? 2 : 8; /* puts in ten */
			const void *was = it->in ? it : NULL;
			if (test_rand(&rnd) % 10 < fill) {
				assert_ptr_equal(map_put(&m, item_key(it), it), was);
				it->in = true;
			} else {
				assert_ptr_equal(map_del(&m, item_key(it)), was);
				it->in = false;
			}
			if (step % 100 == 0)
				check_all(&m, items);
		}
		check_all(&m, items);
		map_free(&m);
	}
}

/* Keys chosen (with the key known) to share their home slot near the table's end: one run that
 * wraps around, from which every element is deleted first. */
static void deletes_in_a_run_that_wraps(void **state)
{
	const struct hash_key k = {7, 7};
	static struct item items[KEYS];
	const u32 run = 10;

	for (u32 victim = 0; victim < run; victim++) {
		struct map m;
		u32 n = 0;

		map_init(&m, &k);
		for (u32 i = 0; n < run; i++) {
			struct item *it = &items[n];
			it->n = (size_t)snprintf(it->key, sizeof(it->key), "w%u", i);
			/* Homes 13, 14, 15 and 0 of 16. */
			u64 home = hash_bytes(&k, it->key, it->n) & 15;
			if (home < 13 && home != 0)
				continue;
			it->in = true;
			assert_null(map_put(&m, item_key(it), it));
			n++;
		}
		assert_int_equal(m.cap, 16);
		for (u32 i = 0; i < run; i++) {
			struct item *it = &items[(victim + i) % run];
			assert_ptr_equal(map_del(&m, item_key(it)), it);
			it->in = false;
			for (u32 j = 0; j < run; j++)
				assert_ptr_equal(map_get(&m, item_key(&items[j])),
						 items[j].in ? &items[j] : NULL);
		}
		map_free(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_is_siphash_1_3),
		cmocka_unit_test(hash_depends_on_key_and_length),
		cmocka_unit_test(empty_map_answers),
		cmocka_unit_test(put_replaces),
		cmocka_unit_test(agrees_with_an_array),
		cmocka_unit_test(deletes_in_a_run_that_wraps),
	};

	return RUN_TESTS(tests);
}
