/* Policy text: what parses, what it becomes when printed, and what is said about a mistake. */
#include "help.h"

static void prints_as(const char *text, const char *want)
{
	struct policy_doc *doc = doc_of(text), *again;
	char *printed, *reprinted, *diff;

	assert_int_equal(policy_print(doc, &printed), E_OK);
	assert_string_equal(printed, want);
	again = doc_of(printed);
	assert_int_equal(policy_print(again, &reprinted), E_OK);
	assert_string_equal(reprinted, want);
	assert_int_equal(policy_diff(doc, again, &diff), E_OK);
	assert_string_equal(diff, "");
	free(diff);
	free(printed);
	free(reprinted);
	policy_doc_free(&doc);
	policy_doc_free(&again);
	assert_null(doc);
}

static void the_manual_round_trips(void **state)
{
	prints_as("# sensors.policy\n"
		  "role sensor {\n"
		  "  publish   home/${device}/tele/#      # ${device} = the authenticated name\n"
		  "  subscribe home/${device}/cmd/#\n"
		  "  deny publish home/${device}/tele/secret\n"
		  "  publish   plant/+/log if qos 0..1, retain no, tls yes, listener mqtts, source "
		  "10.0.0.0/8\n"
		  "  limit     publish 5/s burst 50, packet 16k, inflight 8, queue 100/256k, "
		  "retained 20\n"
		  "}\n"
		  "role dashboard { subscribe home/+/tele/# }\n"
		  "deny * subscribe exact #               # the literal filter\n",
		  "role dashboard {\n"
		  "  subscribe home/+/tele/#\n"
		  "}\n"
		  "role sensor {\n"
		  "  publish home/${device}/tele/#\n"
		  "  publish plant/+/log if qos 0..1, retain no, tls yes, listener mqtts, source "
		  "10.0.0.0/8\n"
		  "  subscribe home/${device}/cmd/#\n"
		  "  deny publish home/${device}/tele/secret\n"
		  "  limit publish 5/s burst 50, packet 16k, inflight 8, queue 100/256k, retained "
		  "20\n"
		  "}\n"
		  "deny * subscribe exact #\n");
}

static void the_bootstrap_file_round_trips(void **state)
{
	prints_as("role bench { publish #; subscribe #; limit all none }\n"
		  "role operators{}role hubs {}\n"
		  "device probe { role bench; token-file /path/token }\n"
		  "user anna { role operators; password-file \"/my path/pass\\\"word\" }\n"
		  "service hub { role hubs,\n bench; group home; client-id \"hub-*\" }\n",
		  "role bench {\n"
		  "  publish #\n"
		  "  subscribe #\n"
		  "  limit all none\n"
		  "}\n"
		  "role hubs {\n"
		  "}\n"
		  "role operators {\n"
		  "}\n"
		  "device probe {\n"
		  "  role bench\n"
		  "  token-file /path/token\n"
		  "}\n"
		  "user anna {\n"
		  "  role operators\n"
		  "  password-file \"/my path/pass\\\"word\"\n"
		  "}\n"
		  "service hub {\n"
		  "  role bench, hubs\n"
		  "  group home\n"
		  "  client-id hub-*\n"
		  "}\n");
}

static void filters_and_comments(void **state)
{
	/* A '#' where a filter is expected is a filter; after white space elsewhere it begins a
	 * comment. */
	prints_as("role r { # one\n# two\npublish # # three\npublish\t#\n"
		  "  subscribe \"living room/;{}\" # four\n"
		  "  subscribe \"exact\"; subscribe exact \"exact\"\r\n"
		  "  subscribe a,b\n"
		  "  subscribe \"a\\\\b\\\"c\"\n"
		  "  allow publish \"x/${device} y/${claim.site_id}\"\n"
		  "  subscribe if if tls no\n"
		  "  subscribe a\\b/\xc3\xa4\n"
		  "}\n#end",
		  "role r {\n"
		  "  publish \"x/${device} y/${claim.site_id}\"\n"
		  "  publish #\n"
		  "  subscribe \"a\\\\b\\\"c\"\n"
		  "  subscribe \"exact\"\n"
		  "  subscribe \"living room/;{}\"\n"
		  "  subscribe a,b\n"
		  "  subscribe a\\b/\xc3\xa4\n"
		  "  subscribe exact \"exact\"\n"
		  "  subscribe if if tls no\n"
		  "}\n");
	prints_as("", "");
	prints_as("user u { unix-user 0; group g }\nservice s { group h\n unix-user 4294967294\n }",
		  "user u {\n  group g\n  unix-user 0\n}\n"
		  "service s {\n  group h\n  unix-user 4294967294\n}\n");
	prints_as("role r { publish x; source 10.0.0.0/8, not 10.1.0.0/16, 192.0.2.7\n"
		  "source ::1/128, 10.0.0.0/8 }",
		  "role r {\n"
		  "  source ::1/128, 10.0.0.0/8, 192.0.2.7/32, not 10.1.0.0/16\n"
		  "  publish x\n"
		  "}\n");
	prints_as("\xef\xbb\xbf;;\n# only words", "");
	prints_as("deny * publish a; deny * publish a if qos 2; deny * subscribe ${group}/#",
		  "deny * publish a\n"
		  "deny * publish a if qos 2\n"
		  "deny * subscribe ${group}/#\n");
}

static void conditions_and_limits(void **state)
{
	prints_as("role r {\n"
		  "  publish a if source 192.168.1.7, qos 1\n"
		  "  publish a if source 2001:db8::/32\n"
		  "  publish a if source ::/0\n"
		  "  publish a if source ::ffff:10.0.0.0/104\n"
		  "  publish a if retain yes,\n    tls no\n"
		  "  limit publish 7/s, packet 268435456\n"
		  "  limit queue 10; limit subscriptions 3, inflight none, retained 1024\n"
		  "}\n"
		  "role s { limit publish none, queue none }\n"
		  "role t { limit queue none/1g, packet 1025 };role u {;limit queue 5/none;; }\n",
		  "role r {\n"
		  "  publish a if qos 1, source 192.168.1.7/32\n"
		  "  publish a if retain yes, tls no\n"
		  "  publish a if source 10.0.0.0/8\n"
		  "  publish a if source 2001:db8::/32\n"
		  "  publish a if source ::/0\n"
		  "  limit publish 7/s, packet 256m, inflight none, queue 10, retained 1024, "
		  "subscriptions 3\n"
		  "}\n"
		  "role s {\n"
		  "  limit publish none, queue none\n"
		  "}\n"
		  "role t {\n"
		  "  limit packet 1025, queue none/1g\n"
		  "}\n"
		  "role u {\n"
		  "  limit queue 5/none\n"
		  "}\n");
}

/* ---- mistakes -------------------------------------------------------------------------- */

struct mistake {
	const char *text;
	u32 line, column;
	const char *what, *near, *hint; /* what and hint: a part of it */
};

static const struct mistake mistakes[] = {
	{"rol x {}", 1, 1, "not a statement of a policy", "rol", "did you mean 'role'?"},
	{"\n\n  devcie x {}", 3, 3, "not a statement", "devcie", "'device'"},
	{"xyzzy", 1, 1, "not a statement", "xyzzy", "possible here: role deny device user service"},
	{"role {", 1, 6, "the name of the role is expected", "{", "letters"},
	{"role a b {}", 1, 8, "'{' is expected", "b", ""},
	{"role a {", 1, 9, "ends inside a role", "", "'}'"},
	{"role a { publsh x }", 1, 10, "not a statement of a role", "publsh", "'publish'"},
	{"role a { publish }", 1, 18, "a topic filter is expected", "", ""},
	{"role a {\n  publish\n  a }", 2, 10, "a topic filter is expected on this line", "", ""},
	{"role a { publish exact }", 1, 24, "a topic filter is expected", "", "in quotes"},
	{"role a { publish a b }", 1, 20, "does not belong", "b", "quoted"},
	{"role a { publish a/#/b }", 1, 18, "'#' is the last level", "a/#/b", ""},
	{"role a { publish #temp }", 1, 18, "whole levels", "#temp", ""},
	{"role a { publish x+ }", 1, 18, "whole levels", "x+", ""},
	{"role a { publish \"\" }", 1, 19, "never empty", "", ""},
	{"role a { publish \"abc }\n", 1, 18, "not closed", "\\x22abc }", ""},
	{"role a { publish x/${device }", 1, 18, "not closed", "x/${device", ""},
	{"role a { publish x/${devise} }", 1, 18, "not a placeholder", "x/${devise}", "'device'"},
	{"role a { publish x/${claim.} }", 1, 18, "not a placeholder", "", ""},
	{"role a { publish \"x/${claim.a b}\" }", 1, 19, "not a placeholder", "", ""},
	{"role a { publish \"x/${device\" }", 1, 19, "a ${ is not closed", "x/${device", ""},
	{"role a { \"publish }", 1, 10, "not closed", "\\x22publish }", ""},
	{"role a { publish x/${clientid}+ }", 1, 18, "whole levels", "", ""},
	{"role a { publish $x${device}/y }", 1, 18, "begins with '$'", "", "write the level out"},
	{"role a { subscribe $share/g/a }", 1, 20, "inside $share", "", "shared subscriptions too"},
	{"role a { publish exact a/+ }", 1, 24, "nobody publishes to a wildcard", "a/+", ""},
	{"role a { deny * publish x }", 1, 15, "inside a role", "*", "leave '*' out"},
	{"deny publish x", 1, 6, "'*' is expected", "publish", "deny * publish"},
	{"publish x", 1, 1, "only a role can allow", "publish", "role NAME"},
	{"deny * pub x", 1, 8, "publish or subscribe", "pub", "possible here"},
	{"role a { publish x if qso 1 }", 1, 23, "not a condition", "qso", "'qos'"},
	{"role a { publish x if qos 3 }", 1, 27, "a QoS is expected", "3", "0..1"},
	{"role a { publish x if qos 2..1 }", 1, 27, "a QoS is expected", "2..1", ""},
	{"role a { publish x if tls maybe }", 1, 27, "yes or no", "maybe", "no yes"},
	{"role a { publish x if qos 1, qos 2 }", 1, 30, "twice", "qos", "two rules"},
	{"role a { publish x if source 10.0.0.1/8 }", 1, 30, "bits behind its prefix", "10.0.0.1/8",
	 ""},
	{"role a { publish x if source 10.0.0.0/33 }", 1, 30, "a network is expected", "", ""},
	{"role a { publish x if source host }", 1, 30, "a network is expected", "host", "192.168"},
	{"role a { publish x if source 1::/ }", 1, 30, "a network is expected", "", ""},
	{"role a { publish x if source ::ffff:1.2.3.4/90 }", 1, 30, "bits behind", "", ""},
	{"role a { publish x\n if qos 1 }", 2, 2, "not a statement of a role", "if", ""},
	{"role a { limit infligth 3 }", 1, 16, "not a limit", "infligth", "'inflight'"},
	{"role a { limit inflight 0 }", 1, 25, "not a value", "0", "from 1 on, or none"},
	{"role a { limit inflight 4294967295 }", 1, 25, "not a value", "", ""},
	{"role a { limit publish 5 }", 1, 24, "not a value", "5", "5/s"},
	{"role a { limit publish none/s }", 1, 24, "not a value", "none/s", "5/s"},
	{"role a { limit publish 5/s burst x }", 1, 34, "not a value", "x", ""},
	{"role a { limit packet 257m }", 1, 23, "not a value", "257m", "256m"},
	{"role a { limit packet none }", 1, 23, "not a value", "none", "256m"},
	{"role a { limit queue 5/ }", 1, 22, "not a value", "5/", "100/256k"},
	{"role a { limit inflight 2, inflight 3 }", 1, 28, "otherwise", "inflight", "once"},
	{"role a { limit inflight 2; limit all none }", 1, 34, "otherwise", "all", "alone"},
	{"role a { limit all none, packet 1k }", 1, 26, "otherwise", "packet", "alone"},
	{"role a { limit all some }", 1, 20, "not a value", "some", "all none"},
	{"role a {}\nrole b {}\nrole a {}", 3, 6, "role is there twice", "a", "one pair of braces"},
	{"device a {}\ndevice a {}", 2, 8, "identity is there twice", "a", ""},
	{"device a { role sensr }\nrole sensor {}", 1, 8, "no one defines: sensr", "a", "'sensor'"},
	{"device a { role x, x }\nrole x {}", 1, 20, "role is there twice", "x", ""},
	{"device a { group g; group h }", 1, 21, "attribute is there twice", "group", ""},
	{"device a { colour red }", 1, 12, "not an attribute", "colour", "possible here"},
	{"device a { group \"x y\" }", 1, 19, "the name of a group", "x y", ""},
	{"device a { client-id \"\" }", 1, 23, "a client id pattern", "", ""},
	{"user a { unix-user anna }", 1, 20, "the number of a user", "anna", "id -u"},
	{"user a { unix-user 65534 }", 1, 20, "the number of a user", "65534", "not known"},
	{"user a { unix-user 4294967295 }", 1, 20, "the number of a user", "", "id -u"},
	{"user a { unix-user -1 }", 1, 20, "the number of a user", "", ""},
	{"user a { unix-user 1; unix-user 2 }", 1, 23, "there twice", "unix-user", ""},
	{"role a { source }", 1, 17, "a network is expected", "", ""},
	{"role a { source 10.0.0.1/8 }", 1, 17, "bits behind", "", ""},
	{"role a { source 10.0.0.0/8 not 10.1.0.0/16 }", 1, 28, "does not belong", "not", "','"},
	{"role a { source not }", 1, 21, "a network is expected", "", ""},
	{"device a {", 1, 11, "ends inside an identity", "", "'}'"},
	{"device a { group g group h }", 1, 20, "does not belong", "group", "';'"},
	{"role a { publish x \"y }", 1, 20, "not closed", "", ""},
	{"# \xc3\xa4\xc3\xb6 \x01", 1, 6, "a control character", "\\x01", "remove"},
	{"role a\xff", 1, 7, "not UTF-8", "\\xff", ""},
	{"\xc3\xa4\xc3\xa4 x", 1, 1, "not a statement", "", ""},
	{"role x { \"\xc3\xa4\" y }", 1, 11, "not a statement of a role", "", ""},
	{"role x { publish \xc3\xa4 y }", 1, 20, "does not belong", "y", ""},
	{"role a { publish a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/1/2/3/4/5/6/7 }", 1,
	 18, "too many levels", "", ""},
};

static void mistakes_are_told(void **state)
{
	u32 told = 0;

	for (u32 i = 0; i < ARRAY_LEN(mistakes); i++) {
		const struct mistake *m = &mistakes[i];
		struct policy_doc *doc;
		struct policy_error err;

		assert_int_equal(policy_parse(slice_str(m->text), POLICY_FIRST, &doc, &err),
				 E_SYNTAX);
		assert_null(doc);
		if (err.line != m->line || err.column != m->column || !strstr(err.what, m->what) ||
		    !strstr(err.hint, m->hint) ||
		    (*m->near != '\0' && strcmp(err.near, m->near) != 0))
			print_error("%s\n%u:%u: %s: '%s' (%s)\n", m->text, err.line, err.column,
				    err.what, err.near, err.hint);
		else
			told++;
	}
	assert_int_equal(told, ARRAY_LEN(mistakes));
}

static void secrets_come_only_first(void **state)
{
	struct policy_doc *doc;
	struct policy_error err;

	assert_int_equal(
		policy_parse(SLICE_LIT("device a { token-file /x }"), POLICY_RULES, &doc, &err),
		E_SYNTAX);
	assert_non_null(strstr(err.what, "bootstrap"));
	assert_int_equal(policy_parse(SLICE_LIT("device a { group x }"), POLICY_RULES, &doc, &err),
			 E_OK);
	policy_doc_free(&doc);
	assert_int_equal(policy_parse(SLICE_NONE, POLICY_RULES, &doc, &err), E_OK);
	policy_doc_free(&doc);
}

/* Each text that parses is cut at each byte: it parses or fails, and never reads past its end. */
static void every_cut_is_survived(void **state)
{
	const char *text =
		"role r { publish \"a\\\"${device}\" if qos 0..1, source 10.0.0.0/8\n"
		"limit publish 5/s burst 9, queue 1/1k }\n# x\ndeny * subscribe exact #\n"
		"user u { role r; group g; client-id \"c*\"; password-file /p }";

	for (size_t n = 0; n <= strlen(text); n++) {
		u8 *copy = malloc(n + 1);
		struct policy_doc *doc;
		struct policy_error err;

		assert_non_null(copy);
		memcpy(copy, text, n);
		copy = realloc(copy, n != 0 ? n : 1);
		if (policy_parse(slice_of(copy, n), POLICY_FIRST, &doc, &err) == E_OK)
			policy_doc_free(&doc);
		else
			assert_true(err.line >= 1 && err.column >= 1 && err.what[0] != '\0');
		free(copy);
	}
}

static void too_many(const char *before, const char *each, u32 n, const char *after,
		     const char *what)
{
	size_t cap = strlen(before) + n * strlen(each) * 2 + strlen(after) + 64, len = 0;
	char *text = malloc(cap);
	struct policy_doc *doc;
	struct policy_error err;

	assert_non_null(text);
	len += (size_t)snprintf(text + len, cap - len, "%s", before);
	for (u32 i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, cap - len, each, i);
	len += (size_t)snprintf(text + len, cap - len, "%s", after);
	assert_int_equal(policy_parse(slice_of(text, len), POLICY_RULES, &doc, &err), E_SYNTAX);
	if (strstr(err.what, what) == NULL)
		fail_msg("%s", err.what);
	free(text);
}

static void counts_end_somewhere(void **state)
{
	char *big = calloc(1, (16 << 20) + 1);
	struct policy_doc *doc;
	struct policy_error err;

	too_many("role r {", "publish x%u;", 4097, "}", "at most 4096 rules");
	too_many("", "deny * publish x%u\n", 4097, "", "at most 4096 denies");
	too_many("role r { publish \"", "%%", 1025, "\" }", "at most 1024 bytes");
	too_many("role r0 {}\nuser u { role ", "r%u, ", 64, "r64 }", "at most 64 roles");
	assert_non_null(big);
	memset(big, ' ', (16 << 20) + 1);
	assert_int_equal(policy_parse(slice_of(big, (16 << 20) + 1), POLICY_RULES, &doc, &err),
			 E_SYNTAX);
	assert_int_equal(policy_parse(slice_of(big, 16 << 20), POLICY_RULES, &doc, &err), E_OK);
	policy_doc_free(&doc);
	free(big);
}

static void walks(void **state)
{
	struct policy_doc *doc = doc_of("role b { publish x }\nrole a {}\ndeny * publish y\n"
					"service s { role b, a; group g }\ndevice d {}");
	struct policy_identity_view v;
	char *text;

	assert_int_equal(policy_role_count(doc), 2);
	assert_string_equal(policy_role_name(doc, 0), "a");
	text = policy_role_text(doc, 1);
	assert_string_equal(text, "role b {\n  publish x\n}\n");
	free(text);
	text = policy_denies_text(doc);
	assert_string_equal(text, "deny * publish y\n");
	free(text);
	assert_int_equal(policy_identity_count(doc), 2);
	policy_identity_at(doc, 0, &v);
	assert_string_equal(v.kind, "device");
	assert_string_equal(v.name, "d");
	assert_int_equal(v.nroles, 0);
	assert_null(v.group);
	policy_identity_at(doc, 1, &v);
	assert_string_equal(v.kind, "service");
	assert_string_equal(v.group, "g");
	assert_int_equal(v.nroles, 2);
	assert_string_equal(v.roles[0], "a");
	assert_string_equal(v.roles[1], "b");
	assert_null(v.token_file);
	policy_doc_free(&doc);
}

static void names(void **state)
{
	char longest[129];

	memset(longest, 'a', sizeof(longest));
	assert_true(policy_name_ok(SLICE_LIT("esp-01.x:y@Z_9")));
	assert_false(policy_name_ok(SLICE_LIT("")));
	assert_false(policy_name_ok(SLICE_LIT("a b")));
	assert_false(policy_name_ok(SLICE_LIT("a/b")));
	assert_false(policy_name_ok(SLICE_LIT("\xc3\xa4")));
	assert_false(policy_name_ok(SLICE_LIT("a\0")));
	assert_true(policy_name_ok(slice_of(longest, 128)));
	assert_false(policy_name_ok(slice_of(longest, 129)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_round_trips),
		cmocka_unit_test(the_bootstrap_file_round_trips),
		cmocka_unit_test(filters_and_comments),
		cmocka_unit_test(conditions_and_limits),
		cmocka_unit_test(mistakes_are_told),
		cmocka_unit_test(secrets_come_only_first),
		cmocka_unit_test(every_cut_is_survived),
		cmocka_unit_test(counts_end_somewhere),
		cmocka_unit_test(walks),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
