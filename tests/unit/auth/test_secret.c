/* Tokens and passwords as bytes. */
#include "fixture.h"

static void tokens_are_random_and_shaped(void **state)
{
	char a[TOKEN_CHARS + 1], b[TOKEN_CHARS + 1];

	(void)state;
	token_make(a);
	token_make(b);
	assert_string_not_equal(a, b);
	assert_int_equal(strlen(a), TOKEN_CHARS);
	assert_true(token_shaped(slice_str(a)));
	assert_true(token_strong(slice_str(a)));
	a[5] = '1';
	assert_false(token_shaped(slice_str(a)));
	assert_false(token_shaped(SLICE_LIT("pk_")));
	assert_false(token_shaped(SLICE_NONE));
}

static void hash_depends_on_key_and_all_bytes(void **state)
{
	u8 k1[32] = {0}, k2[32] = {1}, x[TOKEN_HASH], y[TOKEN_HASH];

	(void)state;
	token_hash(k1, SLICE_LIT("abc"), x);
	token_hash(k1, SLICE_LIT("abc"), y);
	assert_memory_equal(x, y, TOKEN_HASH);
	token_hash(k2, SLICE_LIT("abc"), y);
	assert_memory_not_equal(x, y, TOKEN_HASH);
	token_hash(k1, SLICE_LIT("abd"), y);
	assert_memory_not_equal(x, y, TOKEN_HASH);
	token_hash(k1, slice_of("abc\0", 4), y);
	assert_memory_not_equal(x, y, TOKEN_HASH);
}

static void secrets_from_elsewhere(void **state)
{
	(void)state;
	assert_true(token_strong(
		SLICE_LIT("9f86d081884c7d659a2feaa0c55ad015"))); /* openssl rand -hex 16 */
	assert_true(token_strong(SLICE_LIT("n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is")));
	assert_false(token_strong(SLICE_LIT("short")));
	assert_false(token_strong(SLICE_LIT("passwordpasswordpassword")));
	assert_false(token_strong(SLICE_LIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
	assert_false(token_strong(slice_of("9f86d081884c7d659a2feaa0c55ad0\0x", 32)));
}

static void passwords_that_are_refused(void **state)
{
	static const char *const bad[] = {"",
					  "short1!",
					  "password",
					  "Password123!",
					  "aaaaaaaaaaaaaaaaaaaa",
					  "qwertyuiop12345",
					  "anna-loves-cats-9x!",
					  "ANNA7#kp2!vQzz",
					  "pk_whatever-else-9!x",
					  "tab\tinside#7kQ2!",
					  "picket-picket1"};
	char longer[PASSWORD_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_non_null(password_refuse(slice_str(bad[i]), "anna"));
	assert_non_null(password_refuse(slice_of("hX7#kp2!\xff\xfe", 10), "anna"));
	memset(longer, 'x', sizeof(longer));
	assert_non_null(password_refuse(slice_of(longer, PASSWORD_MAX + 1), "anna"));
	assert_null(password_refuse(SLICE_LIT("correct horse battery staple"), "anna"));
	assert_null(password_refuse(SLICE_LIT("hX7#kp2!vQ"), "anna"));
	assert_null(password_refuse(SLICE_LIT("hübsche Gießkanne am Dach"), "anna"));
	/* 8 characters are counted, not bytes: seven umlauts are too few. */
	assert_non_null(password_refuse(SLICE_LIT("üäößüäö"), "anna"));
}

static void password_round_trip(void **state)
{
	char h1[HASH_TEXT], h2[HASH_TEXT];
	struct slice p = SLICE_LIT("correct horse battery staple");

	(void)state;
	assert_int_equal(password_hash(p, h1), E_OK);
	assert_int_equal(password_hash(p, h2), E_OK);
	assert_string_not_equal(h1, h2); /* a salt of its own */
	assert_int_equal(strncmp(h1, "$argon2id$v=19$m=32768,t=2,p=1$", 31), 0);
	assert_int_equal(password_verify(h1, p), E_OK);
	assert_int_equal(password_verify(h1, slice_of(p.p, p.n - 1)), E_CREDENTIAL);
	assert_int_equal(password_verify("garbage", p), E_CREDENTIAL);
	assert_int_equal(password_verify("", p), E_CREDENTIAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_are_random_and_shaped),
		cmocka_unit_test(hash_depends_on_key_and_all_bytes),
		cmocka_unit_test(secrets_from_elsewhere),
		cmocka_unit_test(passwords_that_are_refused),
		cmocka_unit_test(password_round_trip),
	};

	return cmocka_run_group_tests_name("auth/secret", tests, NULL, NULL);
}
