/* test_table: the rows of messages.def hold what the design promises. */
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "ipc/ipc.h"

static bool fits(enum ipc_type t, enum role from, enum role to)
{
	return ipc_allowed(t, from, to, ipc_body_size(t), 0, false) ||
	       ipc_allowed(t, from, to, ipc_body_size(t), 0, true);
}

static void test_exact(void **state)
{
	size_t n = sizeof(struct m_login);

	assert_true(ipc_allowed(IPC_LOGIN, ROLE_BROKER, ROLE_AUTH, n, 4096, false));
	assert_false(ipc_allowed(IPC_LOGIN, ROLE_BROKER, ROLE_AUTH, n, 4097, false));
	assert_false(ipc_allowed(IPC_LOGIN, ROLE_BROKER, ROLE_AUTH, n - 1, 0, false));
	assert_false(ipc_allowed(IPC_LOGIN, ROLE_BROKER, ROLE_AUTH, n, 0, true));
	assert_false(ipc_allowed(IPC_LOGIN, ROLE_AUTH, ROLE_BROKER, n, 0, false));
	assert_false(ipc_allowed(IPC_LOGIN, ROLE_ADMIN, ROLE_AUTH, n, 0, false));
	assert_false(ipc_allowed(IPC_NONE, ROLE_BROKER, ROLE_AUTH, 0, 0, false));
	assert_false(ipc_allowed(IPC_N, ROLE_BROKER, ROLE_AUTH, 0, 0, false));
	assert_false(ipc_allowed((enum ipc_type)100000, ROLE_BROKER, ROLE_AUTH, 0, 0, false));
	assert_false(ipc_allowed(IPC_LOGIN, (enum role)99, ROLE_AUTH, n, 0, false));
}

/* The broker reaches a key or a credential through no row, and the canary through none at all. */
static void test_reach(void **state)
{
	for (u32 t = IPC_NONE + 1; t < IPC_N; t++) {
		assert_true(ipc_body_size((enum ipc_type)t) > 0);
		assert_string_not_equal(ipc_name((enum ipc_type)t), "?");
		assert_true(t == IPC_SIGN || !fits((enum ipc_type)t, ROLE_BROKER, ROLE_KEYS));
		assert_false(fits((enum ipc_type)t, ROLE_CANARY, ROLE_AUTH));
		for (u32 r = 0; r < ROLE_N; r++)
			assert_false(fits((enum ipc_type)t, (enum role)r, (enum role)r));
	}
	assert_false(fits(IPC_TOKEN_KEY, ROLE_KEYS, ROLE_BROKER));
	assert_false(fits(IPC_KEYS_CALL, ROLE_BROKER, ROLE_KEYS));
	assert_string_equal(ipc_name(IPC_N), "?");
	assert_int_equal(ipc_body_size(IPC_N), 0);
}

static void test_pairs(void **state)
{
	assert_true(ipc_pair_talks(ROLE_BROKER, ROLE_AUTH));
	assert_true(ipc_pair_talks(ROLE_KEYS, ROLE_AUTH));
	assert_true(ipc_pair_talks(ROLE_ADMIN, ROLE_KEYS));
	for (u32 r = ROLE_BROKER; r <= ROLE_ADMIN; r++) {
		assert_true(ipc_pair_talks(ROLE_SUP, (enum role)r));
		assert_false(ipc_pair_talks((enum role)r, (enum role)r));
		assert_false(ipc_pair_talks(ROLE_CANARY, (enum role)r));
	}
}

static void test_names(void **state)
{
	assert_string_equal(role_name(ROLE_SUP), "supervisor");
	assert_string_equal(role_name(ROLE_CANARY), "canary");
	assert_string_equal(role_name(ROLE_N), "?");
	assert_string_equal(ipc_name(IPC_LOGIN), "LOGIN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
