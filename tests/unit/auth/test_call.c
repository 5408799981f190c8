/* The calls about identities and roles: what they change, what they tell broker, what they refuse.
 */
#include "fixture.h"

#include "ipc/calls.h"
#include "ipc/codes.h"

static const struct m_identity *last_identity(struct fx *f)
{
	for (u32 i = f->nsent; i > 0; i--) {
		if (f->sent[i - 1].type == IPC_IDENTITY)
			return (const void *)f->sent[i - 1].body;
	}
	return NULL;
}

static u32 count_sent(const struct fx *f, enum ipc_type type)
{
	u32 n = 0;

	for (u32 i = 0; i < f->nsent; i++)
		n += f->sent[i].type == type;
	return n;
}

static size_t array_size(struct fx *f, const char *key)
{
	return json_array_size(json_object_get(f->reply, key));
}

static void every_call_has_a_handler(void **state)
{
	bool admin;

	(void)state;
#define X(op, needs, arguments, reply)                                                             \
	assert_non_null(call_handler(op, &admin));                                                 \
	assert_int_equal(admin, needs);
	AUTH_CALL_TABLE(X)
#undef X
	assert_null(call_handler("identity.destroy", &admin));
	assert_true(admin);
}

static void bad_calls_are_refused(void **state)
{
	struct fx *f = *state;
	static const char *const bad[] = {"",
					  "[]",
					  "1",
					  "{",
					  "{\"op\":1}",
					  "{}",
					  "{\"op\":\"nope\"}",
					  "{\"op\":\"status\",\"op\":\"status\"}",
					  "{\"op\":\"identity.list\\u0000\"}"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		fx_call_as(f, true, bad[i]);
		fx_refused(f, "E1001");
	}
	fx_call(f, "{'op':'identity.show'}");
	fx_refused(f, "E1002");
	fx_call(f, "{'op':'identity.show','name':7}");
	fx_refused(f, "E1002");
	fx_call(f, "{'op':'identity.list','never':1}");
	fx_refused(f, "E1002");
	fx_call(f, "{'op':'identity.revoke','name':'nobody','dry_run':'yes'}");
	fx_refused(f, "E1002");
}

static void reading_is_not_changing(void **state)
{
	struct fx *f = *state;

#define X(op, needs, arguments, reply)                                                             \
	fx_call_as(f, false, "{\"op\":\"" op "\"}");                                               \
	assert_true((strcmp(fx_text(f, "error", "code"), "E1003") == 0) == (needs == 1));
	AUTH_CALL_TABLE(X)
#undef X
}

static void add_many(void **state)
{
	struct fx *f = *state;
	json_t *list;

	fx_call(f,
		"{'op':'identity.add','kind':'device','prefix':'esp','count':30,'group':'line-3'}");
	fx_ok(f);
	list = json_object_get(f->reply, "identities");
	assert_int_equal(json_array_size(list), 30);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "name")),
			    "esp01");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 29), "name")),
			    "esp30");
	assert_string_not_equal(fx_text(f, NULL, "changed"), "");
	assert_string_not_equal(fx_text(f, NULL, "effect"), "");
	assert_string_not_equal(fx_text(f, NULL, "undo"), "");
	assert_string_equal(fx_text(f, NULL, "next"), "picket wait esp01");
	fx_call(f, "{'op':'identity.list','prefix':'esp1'}");
	assert_int_equal(array_size(f, "identities"), 10);
	fx_call(f, "{'op':'identity.list','kind':'user'}");
	assert_int_equal(array_size(f, "identities"), 0);
	/* All or nothing: esp25 is there. */
	fx_call(f, "{'op':'identity.remove','name':'esp30'}");
	fx_ok(f);
	fx_call(f, "{'op':'identity.add','kind':'device','prefix':'esp','count':40}");
	fx_refused(f, "E1102");
	fx_call(f, "{'op':'status'}");
	assert_int_equal(json_integer_value(json_object_get(f->reply, "devices")), 29);
}

static void add_refuses(void **state)
{
	struct fx *f = *state;
	static const struct {
		const char *code, *call;
	} cases[] = {
		{"E1104", "{'op':'identity.add','kind':'robot','name':'x'}"},
		{"E1103", "{'op':'identity.add','kind':'device','name':''}"},
		{"E1103", "{'op':'identity.add','kind':'device','name':'a/b'}"},
		{"E1103", "{'op':'identity.add','kind':'device','name':'a b'}"},
		{"E1103", "{'op':'identity.add','kind':'device','name':'a+'}"},
		{"E1103", "{'op':'identity.add','kind':'device','name':'x','group':'a/b'}"},
		{"E1105", "{'op':'identity.add','kind':'device','name':'x','client_id':'a*b'}"},
		{"E1201", "{'op':'identity.add','kind':'device','name':'x','roles':['nope']}"},
		{"E1002", "{'op':'identity.add','kind':'device','name':'x','roles':'nope'}"},
		{"E1002", "{'op':'identity.add','kind':'device','prefix':'x'}"},
		{"E1006", "{'op':'identity.add','kind':'device','prefix':'x','count':1000000}"},
		{"E1002",
		 "{'op':'identity.add','kind':'device','prefix':'x','count':2,'password':'four "
		 "unrelated llama words'}"},
		{"E1106",
		 "{'op':'identity.add','kind':'user','name':'anna','password':'password'}"},
		{"E1106", "{'op':'identity.add','kind':'user','name':'anna','password':null}"},
		{"E1002", "{'op':'identity.add','kind':'user','name':'anna','auth':'password'}"},
		{"E1002", "{'op':'identity.add','kind':'user','name':'anna','auth':'fingerprint'}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		fx_call(f, "%s", cases[i].call);
		fx_refused(f, cases[i].code);
	}
	fx_call(f, "{'op':'status'}");
	assert_int_equal(json_integer_value(json_object_get(f->reply, "identities")), 0);
}

static void dry_run_changes_nothing(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];
	u64 generation;

	fx_device(f, "esp01", token);
	generation = f->a->generation;
	fx_call(f, "{'op':'identity.add','kind':'device','name':'x','dry_run':true}");
	fx_ok(f);
	assert_string_equal(fx_text(f, "identities", "token"), "");
	assert_true(json_is_true(json_object_get(f->reply, "dry_run")));
	fx_call(f, "{'op':'identity.revoke','name':'esp01','dry_run':true}");
	fx_ok(f);
	fx_call(f, "{'op':'identity.rotate','name':'esp01','dry_run':true}");
	fx_ok(f);
	assert_string_equal(fx_text(f, NULL, "token"), "");
	fx_call(f, "{'op':'role.allow','name':'sensor','action':'publish','filter':'a/"
		   "b','dry_run':true}");
	fx_ok(f);
	assert_non_null(strstr(fx_text(f, NULL, "diff"), "+ "));
	assert_int_equal(f->a->generation, generation);
	fx_call(f, "{'op':'identity.list'}");
	assert_int_equal(array_size(f, "identities"), 1);
	assert_int_equal(fx_login(f, "esp01", "esp01", token).verdict, ALLOW);
}

static void revoke_and_restore(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1], again[TOKEN_CHARS + 1];
	const struct m_identity *m;

	fx_device(f, "esp01", token);
	fx_call(f, "{'op':'identity.revoke','name':'esp01','reason':'stolen'}");
	fx_ok(f);
	assert_string_equal(fx_text(f, "identity", "status"), "revoked");
	m = last_identity(f);
	assert_int_equal(m->status, STATUS_REVOKED);
	assert_int_equal(fx_login(f, "esp01", "esp01", token).reason, E_REVOKED);
	fx_call(f, "{'op':'identity.revoke','name':'esp01'}");
	fx_refused(f, "E1108");
	fx_call(f, "{'op':'identity.rotate','name':'esp01'}");
	fx_refused(f, "E1107");
	/* It outlives a restart. */
	fx_restart(f);
	change_linked(f->a);
	m = last_identity(f);
	assert_non_null(m);
	assert_int_equal(m->status, STATUS_REVOKED);
	assert_int_equal(fx_login(f, "esp01", "esp01", token).reason, E_REVOKED);
	fx_call(f, "{'op':'identity.restore','name':'esp01'}");
	fx_ok(f);
	snprintf(again, sizeof(again), "%s", fx_text(f, NULL, "token"));
	assert_int_equal(fx_login(f, "esp01", "esp01", token).reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "esp01", "esp01", again).verdict, ALLOW);
	assert_int_equal(last_identity(f)->status, STATUS_ACTIVE);
	fx_call(f, "{'op':'identity.restore','name':'esp01'}");
	fx_refused(f, "E1108");
	fx_call(f, "{'op':'identity.show','name':'esp01'}");
	assert_int_equal(json_array_size(json_object_get(json_object_get(f->reply, "identity"),
							 "credentials")),
			 2);
}

static void removed_is_gone(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	fx_call(f, "{'op':'identity.remove','name':'esp01'}");
	fx_ok(f);
	assert_int_equal(last_identity(f)->status, STATUS_REVOKED);
	assert_int_equal(fx_login(f, "esp01", "esp01", token).reason, E_CREDENTIAL);
	fx_call(f, "{'op':'identity.show','name':'esp01'}");
	fx_refused(f, "E1101");
	/* Somebody else of that name does not inherit the old token. */
	fx_call(f, "{'op':'identity.add','kind':'device','name':'esp01'}");
	fx_ok(f);
	assert_int_equal(fx_login(f, "esp01", "esp01", token).reason, E_CREDENTIAL);
}

static void rotation_at_once(void **state)
{
	struct fx *f = *state;
	char old[TOKEN_CHARS + 1], new[TOKEN_CHARS + 1];

	fx_device(f, "esp01", old);
	fx_call(f, "{'op':'identity.rotate','name':'esp01'}");
	fx_ok(f);
	snprintf(new, sizeof(new), "%s", fx_text(f, NULL, "token"));
	assert_int_equal(fx_login(f, "esp01", "esp01", old).reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "esp01", "esp01", new).verdict, ALLOW);
	assert_int_equal(last_identity(f)->status, STATUS_ACTIVE);
	assert_int_equal(last_identity(f)->credential_min, 2);
}

static void rotation_that_overlaps(void **state)
{
	struct fx *f = *state;
	char old[TOKEN_CHARS + 1], new[TOKEN_CHARS + 1];
	struct m_verdict m;

	fx_device(f, "esp01", old);
	fx_call(f, "{'op':'identity.rotate','name':'esp01','overlap_s':3600}");
	fx_ok(f);
	snprintf(new, sizeof(new), "%s", fx_text(f, NULL, "token"));
	m = fx_login(f, "esp01", "esp01", old);
	assert_int_equal(m.verdict, ALLOW);
	assert_int_equal(m.expires_ms, WALL0 + 3600000); /* broker is told when it ends */
	assert_int_equal(fx_login(f, "esp01", "esp01", new).expires_ms, 0);
	f->wall += 3600001; /* the timer has not run: the check looks itself */
	assert_int_equal(fx_login(f, "esp01", "esp01", old).verdict, DENY);
	fx_pass(f, 3700000);
	assert_int_equal(last_identity(f)->credential_min, 2); /* and its connections end */
	fx_call(f, "{'op':'identity.show','name':'esp01'}");
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(json_object_get(json_object_get(f->reply, "identity"),
						       "credentials"),
				       0),
			"state")),
		"expired");
	assert_int_equal(fx_login(f, "esp01", "esp01", new).verdict, ALLOW);
}

/* Never more in force than a login looks at. */
static void rotation_many_times(void **state)
{
	struct fx *f = *state;
	char token[LIM_TOKENS + 5][TOKEN_CHARS + 1];

	fx_device(f, "esp01", token[0]);
	for (u32 i = 1; i < LIM_TOKENS + 5; i++) {
		fx_call(f, "{'op':'identity.rotate','name':'esp01','overlap_s':3600}");
		fx_ok(f);
		snprintf(token[i], sizeof(token[i]), "%s", fx_text(f, NULL, "token"));
	}
	for (u32 i = 0; i < LIM_TOKENS + 5; i++)
		assert_int_equal(fx_login(f, "esp01", "esp01", token[i]).verdict,
				 i >= 5 ? ALLOW : DENY);
}

static void passwords_change_at_once(void **state)
{
	struct fx *f = *state;

	fx_call(f, "{'op':'identity.add','kind':'user','name':'anna','password':'four unrelated "
		   "llama words'}");
	fx_ok(f);
	fx_call(f, "{'op':'identity.rotate','name':'anna','password':'other words entirely "
		   "now','overlap_s':60}");
	fx_refused(f, "E1109");
	fx_call(f, "{'op':'identity.password','name':'anna','password':'anna-anna-anna'}");
	fx_refused(f, "E1106");
	fx_call(f, "{'op':'identity.password','name':'anna'}");
	fx_refused(f, "E1002");
	fx_call(f,
		"{'op':'identity.password','name':'anna','password':'other words entirely now'}");
	fx_ok(f);
	assert_int_equal(fx_login(f, "c", "anna", "four unrelated llama words").verdict, DENY);
	assert_int_equal(fx_login(f, "c", "anna", "other words entirely now").verdict, ALLOW);
	assert_int_equal(last_identity(f)->credential_min, 2);
}

static void roles_of_an_identity(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];
	const struct m_verdict *m;
	u64 id, before = f->a->generation;

	fx_device(f, "esp01", token);
	fx_call(f, "{'op':'identity.roles','name':'esp01','roles':[]}");
	fx_ok(f);
	assert_string_equal(fx_text(f, NULL, "undo"), "picket device roles esp01 --role sensor");
	assert_true(f->a->generation > before);
	id = fx_ask(f, "esp01", "esp01", token);
	m = (const void *)fx_verdict_of(f, id)->body;
	assert_int_equal(m->verdict, ALLOW);
	assert_int_equal(m->generation, last_identity(f)->generation);
	fx_call(f, "{'op':'role.remove','name':'sensor'}");
	fx_ok(f);
	fx_call(f, "{'op':'identity.roles','name':'esp01','roles':['sensor']}");
	fx_refused(f, "E1201");
	fx_call(f, "{'op':'identity.roles','name':'esp01'}");
	fx_refused(f, "E1002");
}

static void role_calls(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	fx_call(f, "{'op':'role.list'}");
	assert_int_equal(array_size(f, "roles"), 1);
	assert_int_equal(
		json_integer_value(json_object_get(
			json_array_get(json_object_get(f->reply, "roles"), 0), "identities")),
		1);
	assert_int_equal(json_integer_value(json_object_get(
				 json_array_get(json_object_get(f->reply, "roles"), 0), "rules")),
			 2);
	fx_call(f,
		"{'op':'role.allow','name':'sensor','action':'publish','filter':'sensors/temp'}");
	fx_ok(f);
	assert_non_null(strstr(fx_text(f, NULL, "diff"), "sensors/temp"));
	fx_call(f, "{'op':'role.show','name':'sensor'}");
	assert_non_null(strstr(fx_text(f, NULL, "text"), "publish sensors/temp"));
	assert_non_null(strstr(fx_text(f, NULL, "text"), "home/${device}/tele/#"));
	fx_call(f, "{'op':'role.deny','name':'sensor','action':'subscribe','filter':'a b/#'}");
	fx_ok(f);
	fx_call(f, "{'op':'role.show','name':'sensor'}");
	assert_non_null(strstr(fx_text(f, NULL, "text"), "deny subscribe \"a b/#\""));
	fx_call(f, "{'op':'role.allow','name':'sensor','action':'publish','filter':'a/#/b'}");
	fx_refused(f, "E1207");
	fx_call(f, "{'op':'role.allow','name':'sensor','action':'publish','filter':'a\\\" } role x "
		   "{ publish #'}");
	fx_refused(f, "E1207");
	fx_call(f, "{'op':'role.allow','name':'sensor','action':'eat','filter':'a'}");
	fx_refused(f, "E1002");
	fx_call(f, "{'op':'role.set','name':'sensor','text':'role other { }'}");
	fx_refused(f, "E1208");
	fx_call(f, "{'op':'role.set','name':'sensor','text':'role sensor { } role two { }'}");
	fx_refused(f, "E1208");
	fx_call(f, "{'op':'role.set','name':'sensor','text':'role sensor { publsh # }'}");
	fx_refused(f, "E1203");
	fx_call(f, "{'op':'role.remove','name':'sensor'}");
	fx_refused(f, "E1202");
	fx_call(f, "{'op':'role.show','name':'nope'}");
	fx_refused(f, "E1201");
}

static void explains(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	fx_call(f, "{'op':'explain','identity':'esp01','action':'publish','topic':'sensors/temp'}");
	fx_ok(f);
	assert_string_equal(fx_text(f, NULL, "verdict"), "deny");
	assert_string_equal(fx_text(f, NULL, "text"),
			    "deny publish sensors/temp  rule: none for role sensor; nearest allow "
			    "home/${device}/tele/#");
	assert_string_equal(fx_text(f, NULL, "fix"),
			    "picket role allow sensor publish sensors/temp");
	fx_call(f, "{'op':'explain','identity':'esp01','action':'publish','topic':'home/esp01/tele/"
		   "x'}");
	assert_string_equal(fx_text(f, NULL, "verdict"), "allow");
	assert_string_equal(fx_text(f, NULL, "role"), "sensor");
	assert_null(json_object_get(f->reply, "fix"));
	fx_call(f, "{'op':'explain','identity':'esp01','action':'publish','topic':'home/esp02/tele/"
		   "x'}");
	assert_string_equal(fx_text(f, NULL, "verdict"), "deny");
	fx_call(f, "{'op':'explain','identity':'esp01','action':'subscribe','topic':'home/esp01/"
		   "cmd/#'}");
	assert_string_equal(fx_text(f, NULL, "verdict"), "allow");
	fx_call(f, "{'op':'explain','identity':'esp01','action':'subscribe','topic':'#'}");
	assert_string_equal(fx_text(f, NULL, "verdict"), "deny");
	fx_call(f, "{'op':'explain','identity':'esp01','action':'publish','topic':'a/#'}");
	fx_refused(f, "E1207");
	/* What somebody else wrote stays one harmless line. */
	fx_call(f, "{'op':'explain','identity':'esp01','action':'publish','topic':'a;$(reboot)'}");
	fx_ok(f);
	assert_null(json_object_get(f->reply, "fix"));
}

/* I11: a call is answered when broker has confirmed, and not before. */
static void waits_for_broker(void **state)
{
	struct fx *f = *state;
	struct m_call m = {.admin = 1};
	char token[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	f->confirm = false;
	f->reply_id = 0;
	call_start(f->a, 9001, &m, SLICE_LIT("{\"op\":\"identity.revoke\",\"name\":\"esp01\"}"));
	assert_int_equal(f->reply_id, 0);
	change_confirmed(f->a, 12345678); /* another generation */
	assert_int_equal(f->reply_id, 0);
	change_confirmed(f->a, last_identity(f)->generation);
	assert_int_equal(f->reply_id, 9001);
	assert_null(json_object_get(f->reply, "warning"));
	/* Broker does not answer: after 5 s the caller learns that. */
	call_start(f->a, 9002, &m, SLICE_LIT("{\"op\":\"identity.restore\",\"name\":\"esp01\"}"));
	fx_pass(f, CONFIRM_WAIT_MS - 10);
	assert_int_equal(f->reply_id, 9001);
	fx_pass(f, 20);
	assert_int_equal(f->reply_id, 9002);
	assert_non_null(json_object_get(f->reply, "warning"));
	fx_ok(f);
	/* No broker at all: at once, and it hears of it when it comes. */
	f->broker = false;
	call_start(f->a, 9003, &m, SLICE_LIT("{\"op\":\"identity.revoke\",\"name\":\"esp01\"}"));
	assert_int_equal(f->reply_id, 9003);
	assert_non_null(json_object_get(f->reply, "warning"));
	f->broker = true;
	f->nsent = 0;
	change_linked(f->a);
	assert_int_equal(f->sent[0].type, IPC_POLICY);
	assert_int_equal(last_identity(f)->status, STATUS_REVOKED);
}

/* A link that comes while a call waits: told again, then answered. */
static void link_while_waiting(void **state)
{
	struct fx *f = *state;
	struct m_call m = {.admin = 1};
	char token[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	f->confirm = false;
	call_start(f->a, 9001, &m,
		   SLICE_LIT("{\"op\":\"role.allow\",\"name\":\"sensor\",\"action\":\"publish\","
			     "\"filter\":\"x\"}"));
	assert_int_not_equal(f->reply_id, 9001);
	f->nsent = 0;
	change_linked(f->a);
	assert_int_equal(count_sent(f, IPC_POLICY), 1);
	fx_confirm(f);
	assert_int_equal(f->reply_id, 9001);
	fx_ok(f);
}

/* A change of a thousand identities goes out in portions and is answered when the last is
 * confirmed. */
static void many_changes(void **state)
{
	struct fx *f = *state;
	struct m_call m = {.admin = 1};
	struct text t = {0};
	json_t *call;
	char *json;

	fx_call(f, "{'op':'identity.add','kind':'device','prefix':'esp','count':1000}");
	fx_ok(f);
	text_add(&t, "role new { publish # }\n");
	for (u32 i = 1; i <= 1000; i++)
		text_addf(&t, "device esp%04u { role new }\n", i);
	call = json_pack("{s:s,s:s}", "op", "policy.apply", "text", t.p);
	json = json_dumps(call, 0);
	f->nsent = 0;
	call_start(f->a, 9001, &m, slice_str(json));
	assert_int_equal(count_sent(f, IPC_POLICY), 1);
	assert_true(count_sent(f, IPC_IDENTITY) <= LIM_UNCONFIRMED);
	for (u32 i = 0; f->reply_id != 9001 && i < 20; i++)
		fx_confirm(f);
	assert_int_equal(f->reply_id, 9001);
	fx_ok(f);
	assert_int_equal(count_sent(f, IPC_IDENTITY), 1000);
	call_json_free(json);
	json_decref(call);
	free(t.p);
}

static void not_before_the_keys(void **state)
{
	struct fx *f = *state;

	f->a->has_key = false;
	fx_call(f, "{'op':'identity.add','kind':'device','name':'x'}");
	fx_refused(f, "E1005");
}

/* Every row of the table of codes can be found, and no number is there twice. */
static void codes_are_whole(void **state)
{
	(void)state;
#define X(number, name, says, text, next) assert_string_equal(code_find(number)->word, says);
	AUTH_CODE_TABLE(X)
#undef X
}

/* A list of a fleet is read in several turns: who logs in meanwhile does not wait for its end. */
static void long_list_lets_logins_through(void **state)
{
	struct fx *f = *state;
	const struct m_call m = {.uid = 1000, .admin = true};
	char token[TOKEN_CHARS + 1];
	u32 turns = 0;
	u64 login;

	fx_device(f, "zz", token);
	fx_call(f,
		"{'op':'identity.add','kind':'device','prefix':'d','count':1200,'auth':'token'}");
	fx_ok(f);
	call_start(f->a, 77777, &m, SLICE_LIT("{\"op\":\"identity.list\"}"));
	assert_int_not_equal(f->reply_id, 77777);
	login = fx_ask(f, "zz", "zz", token);
	assert_non_null(fx_verdict_of(f, login));
	for (; f->reply_id != 77777 && turns < 10; turns++)
		fx_pass(f, 1);
	assert_int_equal(turns, 2);
	assert_int_equal(json_array_size(json_object_get(f->reply, "identities")), 1201);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX(every_call_has_a_handler),
		FX(long_list_lets_logins_through),
		FX(bad_calls_are_refused),
		FX(reading_is_not_changing),
		FX(add_many),
		FX(add_refuses),
		FX(dry_run_changes_nothing),
		FX(revoke_and_restore),
		FX(removed_is_gone),
		FX(rotation_at_once),
		FX(rotation_that_overlaps),
		FX(rotation_many_times),
		FX(passwords_change_at_once),
		FX(roles_of_an_identity),
		FX(role_calls),
		FX(explains),
		FX(waits_for_broker),
		FX(link_while_waiting),
		FX(many_changes),
		FX(not_before_the_keys),
		FX(codes_are_whole),
	};

	return cmocka_run_group_tests_name("auth/call", tests, NULL, NULL);
}
