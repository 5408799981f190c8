/* test: what every unit test includes: cmocka in the order it wants, and a seeded random number so
 * that a failure repeats. */
#ifndef PICKET_TEST_H
#define PICKET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"

/* xorshift64*: same seed, same run. */
static inline u64 test_rand(u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1d;
}

#define RUN_TESTS(tests) cmocka_run_group_tests(tests, NULL, NULL)

#endif
