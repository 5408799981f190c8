/* test_route: the table of routes, the calls of auth, and who has which authority. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "admin/route.h"

static void test_find(void **state)
{
	const struct route *r;

	assert_int_equal(route_find("GET", "/v1/status", &r), ROUTE_OK);
	assert_string_equal(r->path, "/v1/status");
	assert_int_equal(route_find("POST", "/v1/status", &r), ROUTE_NO_METHOD);
	assert_null(r);
	assert_int_equal(route_find("GET", "/v1/status/", &r), ROUTE_NO_PATH);
	assert_int_equal(route_find("GET", "/v1/../v1/status", &r), ROUTE_NO_PATH);
	assert_int_equal(route_find("GET", "/V1/STATUS", &r), ROUTE_NO_PATH);
	assert_int_equal(route_find("GET", "", &r), ROUTE_NO_PATH);
}

/* What changes something or shows a key is for administrators; only POST has a body. */
static void test_rows(void **state)
{
	const struct route *t;

	for (size_t i = 0; (t = route_at(i)) != NULL; i++) {
		bool post = strcmp(t->method, "POST") == 0;

		assert_int_equal(post, t->body_max > 0);
		assert_true(t->needs != AUTHORITY_NONE);
		if (strstr(t->path, "backup") || strstr(t->path, "reload"))
			assert_int_equal(t->needs, AUTHORITY_ADMIN);
	}
}

static void test_authority(void **state)
{
	const struct authority_rules rules = {.owner = 1000,
					      .has_admin_group = true,
					      .admin_group = 50,
					      .has_ops_group = true,
					      .ops_group = 60};
	const struct authority_rules bare = {.owner = 0};
	struct peer p = {.uid = 0, .gid = 0};

	assert_int_equal(authority_of(&rules, &p), AUTHORITY_ADMIN);
	p.uid = 1000;
	assert_int_equal(authority_of(&rules, &p), AUTHORITY_ADMIN);
	assert_int_equal(authority_of(&bare, &p), AUTHORITY_NONE);
	p = (struct peer){.uid = 1001, .gid = 1001};
	assert_int_equal(authority_of(&rules, &p), AUTHORITY_NONE);
	p = (struct peer){.uid = 1001, .gid = 1001, .ngroups = 2, .group = {7, 60}};
	assert_int_equal(authority_of(&rules, &p), AUTHORITY_OPS);
	p = (struct peer){.uid = 1001, .gid = 60, .ngroups = 1, .group = {50}};
	assert_int_equal(authority_of(&rules, &p), AUTHORITY_ADMIN);
	/* A group that does not exist is nobody's, whatever its number would be. */
	p = (struct peer){.uid = 1001, .gid = 0, .ngroups = 1, .group = {0}};
	assert_int_equal(authority_of(&bare, &p), AUTHORITY_NONE);
}

static void test_calls(void **state)
{
	assert_int_equal(call_allowed("identity.list", AUTHORITY_OPS), E_OK);
	assert_int_equal(call_allowed("identity.add", AUTHORITY_OPS), E_DENIED);
	assert_int_equal(call_allowed("identity.add", AUTHORITY_ADMIN), E_OK);
	assert_int_equal(call_allowed("status", AUTHORITY_NONE), E_DENIED);
	assert_int_equal(call_allowed("identity.destroy", AUTHORITY_ADMIN), E_NOT_FOUND);
	assert_int_equal(call_allowed("", AUTHORITY_ADMIN), E_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_authority),
		cmocka_unit_test(test_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
