/* Derived and rotating keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "keys/derive.h"

/* Computed apart, with Python's hmac after RFC 5869: extract with 32 zero bytes, expand one block.
 */
static void test_known_answer(void **state)
{
	static const u8 expect[32] = {0xcc, 0xae, 0x3d, 0x0b, 0xf7, 0xbb, 0xf6, 0xf0,
				      0x99, 0x2a, 0xce, 0x7c, 0xb6, 0x4c, 0x77, 0x86,
				      0x3a, 0x92, 0x9b, 0xc2, 0x6a, 0xb9, 0x7b, 0x90,
				      0x56, 0xcb, 0x54, 0x3b, 0x9b, 0x00, 0xef, 0x4a};
	u8 pepper[PEPPER_BYTES], out[32];

	(void)state;
	for (u32 i = 0; i < PEPPER_BYTES; i++)
		pepper[i] = (u8)i;
	assert_int_equal(derive_key(pepper, DERIVE_TOKEN, out), E_OK);
	assert_memory_equal(out, expect, sizeof(expect));
}

static void test_depends_on_all(void **state)
{
	u8 pepper[PEPPER_BYTES] = {1}, a[32], b[32], c[32];

	(void)state;
	assert_int_equal(derive_key(pepper, "one", a), E_OK);
	assert_int_equal(derive_key(pepper, "two", b), E_OK);
	pepper[PEPPER_BYTES - 1] = 1;
	assert_int_equal(derive_key(pepper, "one", c), E_OK);
	assert_memory_not_equal(a, b, 32);
	assert_memory_not_equal(a, c, 32);
}

static void test_tickets(void **state)
{
	struct m_ticket_keys t = {0}, before;
	static const u8 zero[32];

	(void)state;
	for (u32 i = 1; i <= 5; i++) {
		before = t;
		assert_int_equal(tickets_rotate(&t), E_OK);
		assert_int_equal(t.count, MIN(i, 3u));
		assert_memory_not_equal(t.aes[0], zero, 32);
		assert_memory_not_equal(t.aes[0], before.aes[0], 32);
		assert_memory_not_equal(t.hmac[0], before.hmac[0], 32);
		if (t.count > 1) {
			assert_memory_equal(t.name[1], before.name[0], 16);
			assert_memory_equal(t.aes[1], before.aes[0], 32);
			assert_memory_equal(t.hmac[1], before.hmac[0], 32);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answer),
		cmocka_unit_test(test_depends_on_all),
		cmocka_unit_test(test_tickets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
