/* The policy as one text: check, apply, confirm, roll back; and the block that broker gets. */
#include "fixture.h"

static const char two_roles[] =
	"role a { publish x/# }\\nrole b { subscribe y }\\ndeny * subscribe exact #\\n";

static void apply(struct fx *f, const char *text)
{
	fx_call(f, "{'op':'policy.apply','text':'%s'}", text);
	fx_ok(f);
}

static char *export(struct fx *f)
{
	fx_call(f, "{'op':'policy.export'}");
	fx_ok(f);
	return xstrdup(fx_text(f, NULL, "text"));
}

/* May the identity publish there, by the very block that broker would get? */
static enum verdict may_publish(struct fx *f, const char *name, const char *topic)
{
	struct identity i;
	struct topic t;
	struct circumstance how = {.tls = true};

	assert_int_equal(identity_by_name(f->a->db, slice_str(name), &i), E_OK);
	assert_int_equal(topic_parse(slice_str(topic), &t), E_OK);
	struct subject who = {.device = slice_str(i.name), .roles = i.role, .nroles = i.nroles};
	return rights_publish(f->a->policy, &who, &t, &how);
}

static void export_parses_back(void **state)
{
	struct fx *f = *state;
	char *first, *second;
	json_t *call;

	apply(f, two_roles);
	fx_call(f, "{'op':'identity.add','kind':'service','name':'hub','roles':['a','b'],'group':'"
		   "home','client_id':'hub-*'}");
	fx_ok(f);
	fx_call(f, "{'op':'identity.add','kind':'device','name':'esp01','roles':['a']}");
	fx_ok(f);
	first = export(f);
	assert_non_null(strstr(first, "service hub"));
	assert_non_null(strstr(first, "exact #"));
	call = json_pack("{s:s,s:s}", "op", "policy.apply", "text", first);
	char *json = json_dumps(call, 0);
	fx_call_as(f, true, json);
	fx_ok(f);
	assert_string_equal(fx_text(f, NULL, "diff"), "");
	second = export(f);
	assert_string_equal(first, second);
	call_json_free(json);
	json_decref(call);
	free(first);
	free(second);
}

static void apply_is_in_force(void **state)
{
	struct fx *f = *state;
	struct m_policy m;
	char token[TOKEN_CHARS + 1];
	u64 before;

	fx_device(f, "esp01", token);
	before = f->a->policy_generation;
	assert_int_equal(may_publish(f, "esp01", "home/esp01/tele/x"), ALLOW);
	assert_int_equal(may_publish(f, "esp01", "other"), DENY);
	apply(f, "role sensor { publish other }");
	assert_non_null(strstr(fx_text(f, NULL, "diff"), "+ "));
	assert_non_null(strstr(fx_text(f, NULL, "diff"), "- "));
	assert_true(f->a->policy_generation > before);
	assert_int_equal(json_integer_value(json_object_get(f->reply, "generation")),
			 f->a->policy_generation);
	assert_int_equal(policy_generation(f->a->policy), f->a->policy_generation);
	memcpy(&m, f->sent[f->nsent - 1].body, sizeof(m));
	assert_int_equal(f->sent[f->nsent - 1].type, IPC_POLICY);
	assert_int_equal(m.generation, f->a->policy_generation);
	assert_int_equal(m.size, f->a->block_len);
	assert_int_equal(may_publish(f, "esp01", "home/esp01/tele/x"), DENY);
	assert_int_equal(may_publish(f, "esp01", "other"), ALLOW);
	fx_restart(f);
	assert_int_equal(may_publish(f, "esp01", "other"), ALLOW);
	assert_int_equal(may_publish(f, "esp01", "home/esp01/tele/x"), DENY);
}

static void all_or_nothing(void **state)
{
	struct fx *f = *state;
	char *before, *after;
	static const struct {
		const char *code, *text;
	} bad[] = {
		{"E1203", "role a { publsh x }"},
		{"E1203", "role a { publish x"},
		{"E1202", "role other { publish z }"}, /* esp01 holds a */
		{"E1104", "role a { } user esp01 { role a }"},
		{"E1203", "role a { } device esp02 { role a; token-file /etc/shadow }"},
	};

	apply(f, two_roles);
	fx_call(f, "{'op':'identity.add','kind':'device','name':'esp01','roles':['a']}");
	before = export(f);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		u64 generation = f->a->generation;
		fx_call(f, "{'op':'policy.check','text':'%s'}", bad[i].text);
		fx_refused(f, bad[i].code);
		fx_call(f, "{'op':'policy.apply','text':'%s'}", bad[i].text);
		fx_refused(f, bad[i].code);
		assert_int_equal(f->a->generation, generation);
		after = export(f);
		assert_string_equal(before, after);
		free(after);
	}
	free(before);
}

static void check_writes_nothing(void **state)
{
	struct fx *f = *state;
	u64 generation = f->a->generation;

	fx_call(f, "{'op':'policy.check','text':'%s'}", two_roles);
	fx_ok(f);
	assert_true(json_is_true(json_object_get(f->reply, "ok")));
	assert_non_null(strstr(fx_text(f, NULL, "diff"), "+ "));
	assert_int_equal(f->a->generation, generation);
	fx_call(f, "{'op':'role.list'}");
	assert_int_equal(json_array_size(json_object_get(f->reply, "roles")), 0);
	fx_call(f, "{'op':'policy.rollback'}");
	fx_refused(f, "E1206");
}

/* An identity that the text names but nobody made: there, without a credential. */
static void apply_makes_identities(void **state)
{
	struct fx *f = *state;

	apply(f, "role a { publish x }\\ndevice esp01 { role a }");
	fx_call(f, "{'op':'identity.show','name':'esp01'}");
	fx_ok(f);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(f->reply, "identity"),
							    "credentials")),
			 0);
	assert_int_equal(fx_login(f, "esp01", "esp01", "anything").verdict, DENY);
	fx_call(f, "{'op':'identity.rotate','name':'esp01'}");
	fx_ok(f);
	assert_int_equal(fx_login(f, "esp01", "esp01", fx_text(f, NULL, "token")).verdict, ALLOW);
	fx_call(f, "{'op':'policy.rollback'}");
	fx_ok(f);
	fx_call(f, "{'op':'identity.show','name':'esp01'}");
	fx_refused(f, "E1101");
}

static void rollback_goes_back_and_forth(void **state)
{
	struct fx *f = *state;
	char *first, *second, *now;

	apply(f, two_roles);
	fx_call(f, "{'op':'identity.add','kind':'device','name':'esp01','roles':['a']}");
	first = export(f);
	apply(f, "role c { publish z }\\ndevice esp01 { role c }");
	second = export(f);
	fx_call(f, "{'op':'policy.rollback'}");
	fx_ok(f);
	now = export(f);
	assert_string_equal(now, first);
	free(now);
	fx_call(f, "{'op':'policy.rollback'}");
	fx_ok(f);
	now = export(f);
	assert_string_equal(now, second);
	free(now);
	free(first);
	free(second);
}

static void confirmed_in_time(void **state)
{
	struct fx *f = *state;

	apply(f, "role a { publish x }");
	fx_call(f, "{'op':'policy.confirm'}");
	fx_refused(f, "E1205");
	fx_call(f, "{'op':'policy.apply','text':'role a { publish y }','confirm_s':300}");
	fx_ok(f);
	assert_int_equal(json_integer_value(json_object_get(f->reply, "confirm_until")),
			 WALL0 + 300000);
	fx_call(f, "{'op':'policy.apply','text':'role a { publish z }'}");
	fx_refused(f, "E1204");
	fx_call(f, "{'op':'policy.confirm'}");
	fx_ok(f);
	fx_pass(f, 400000);
	fx_call(f, "{'op':'role.show','name':'a'}");
	assert_non_null(strstr(fx_text(f, NULL, "text"), "publish y"));
}

static void not_confirmed_goes_back(void **state)
{
	struct fx *f = *state;
	u64 generation;

	apply(f, "role a { publish x }");
	fx_call(f, "{'op':'identity.add','kind':'device','name':'esp01','roles':['a']}");
	fx_call(f, "{'op':'policy.apply','text':'role b { publish y }\\ndevice esp01 { role b "
		   "}\\ndevice new { role "
		   "b }','confirm_s':300}");
	fx_ok(f);
	assert_int_equal(may_publish(f, "esp01", "y"), ALLOW);
	fx_pass(f, 299000);
	assert_int_equal(may_publish(f, "esp01", "y"), ALLOW);
	/* Meanwhile somebody gives the new role away: going back must not fail over it. */
	fx_call(f, "{'op':'identity.add','kind':'device','name':'late','roles':['b']}");
	fx_ok(f);
	generation = f->a->generation;
	fx_pass(f, 2000);
	assert_int_equal(may_publish(f, "esp01", "y"), DENY);
	assert_int_equal(may_publish(f, "esp01", "x"), ALLOW);
	assert_true(f->a->generation > generation);
	assert_int_equal(f->sent[f->nsent - 1].type, IPC_IDENTITY); /* broker was told */
	fx_call(f, "{'op':'identity.show','name':'new'}");
	fx_refused(f, "E1101");
}

static void not_confirmed_across_a_restart(void **state)
{
	struct fx *f = *state;

	apply(f, "role a { publish x }");
	fx_call(f, "{'op':'identity.add','kind':'device','name':'esp01','roles':['a']}");
	fx_call(f, "{'op':'policy.apply','text':'role a { publish y }','confirm_s':300}");
	fx_ok(f);
	fx_restart(f);
	fx_pass(f, 1000);
	assert_int_equal(may_publish(f, "esp01", "y"), ALLOW);
	/* Down when the time was over. */
	f->wall += 3600000;
	fx_restart(f);
	fx_pass(f, 1);
	assert_int_equal(may_publish(f, "esp01", "y"), DENY);
	assert_int_equal(may_publish(f, "esp01", "x"), ALLOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX(export_parses_back),
		FX(apply_is_in_force),
		FX(all_or_nothing),
		FX(check_writes_nothing),
		FX(apply_makes_identities),
		FX(rollback_goes_back_and_forth),
		FX(confirmed_in_time),
		FX(not_confirmed_goes_back),
		FX(not_confirmed_across_a_restart),
	};

	return cmocka_run_group_tests_name("auth/policy", tests, NULL, NULL);
}
