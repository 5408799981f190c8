/* What a person reads before a policy changes. */
#include "help.h"

static void differs(const char *from, const char *to, const char *want)
{
	struct policy_doc *a = doc_of(from), *b = doc_of(to);
	char *text;

	assert_int_equal(policy_diff(a, b, &text), E_OK);
	assert_string_equal(text, want);
	free(text);
	policy_doc_free(&a);
	policy_doc_free(&b);
}

static void equal_is_empty(void **state)
{
	differs("", "", "");
	differs("role a { publish x; publish y }",
		"# other words\nrole a {\n publish \"y\"\n publish x }", "");
}

static void rules_come_and_go(void **state)
{
	differs("role a { publish x; subscribe y; limit packet 1k, inflight 3 }\nrole b { publish "
		"x }",
		"role a { publish x if tls yes; subscribe y; limit packet 2k, inflight 3 }\n"
		"role b { publish x }",
		"  role a\n"
		"-   limit packet 1k\n"
		"+   limit packet 2k\n"
		"-   publish x\n"
		"+   publish x if tls yes\n");
}

static void networks_come_and_go(void **state)
{
	differs("role a { source 10.0.0.0/8, not 10.9.0.0/16 }",
		"role a { source 10.0.0.0/8, 192.0.2.0/24 }",
		"  role a\n"
		"+   source 192.0.2.0/24\n"
		"-   source not 10.9.0.0/16\n");
}

static void users_of_the_machine_come_and_go(void **state)
{
	differs("user a { unix-user 1000 }\nuser b {}",
		"user a { unix-user 1001 }\nuser b { unix-user 1000 }",
		"  user a\n"
		"-   unix-user 1000\n"
		"+   unix-user 1001\n"
		"  user b\n"
		"+   unix-user 1000\n");
}

static void whole_things_come_and_go(void **state)
{
	differs("role a { publish x }\nrole same { publish z }\ndevice d { role a; group g }",
		"role b {}\nrole same { publish z }\ndeny * subscribe exact #\nservice s { role b, "
		"same }",
		"- role a\n"
		"-   publish x\n"
		"+ role b\n"
		"  everyone\n"
		"+   deny * subscribe exact #\n"
		"- device d\n"
		"-   group g\n"
		"-   role a\n"
		"+ service s\n"
		"+   role b\n"
		"+   role same\n");
}

static void attributes_change(void **state)
{
	differs("role a {}\nrole b {}\nuser u { role a; client-id x }",
		"role a {}\nrole b {}\nuser u { role b; client-id \"y z\" }",
		"  user u\n"
		"+   client-id \"y z\"\n"
		"-   client-id x\n"
		"-   role a\n"
		"+   role b\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_is_empty),
		cmocka_unit_test(rules_come_and_go),
		cmocka_unit_test(users_of_the_machine_come_and_go),
		cmocka_unit_test(networks_come_and_go),
		cmocka_unit_test(whole_things_come_and_go),
		cmocka_unit_test(attributes_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
