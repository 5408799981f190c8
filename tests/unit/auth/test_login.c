/* Logins: every way in, every way to be refused, and that a refusal does not tell which. */
#include "fixture.h"

enum { THROTTLE_FAILURES = 5 }; /* the default of failed_logins */

static void token_lets_in(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];
	const struct sent *s;
	struct rd r;
	u64 id;

	fx_device(f, "esp01", token);
	id = fx_ask(f, "esp01", "esp01", token);
	s = fx_verdict_of(f, id);
	assert_non_null(s); /* at once: no hop, no hash */
	const struct m_verdict *m = (const void *)s->body;
	assert_int_equal(m->verdict, ALLOW);
	assert_int_equal(m->kind, KIND_DEVICE);
	assert_int_equal(m->credential, 1);
	assert_true(m->identity_id != 0);
	r = rd_of(slice_of(s->tail, s->n));
	assert_true(slice_eq(ipc_get_str(&r), SLICE_LIT("esp01")));
	assert_int_equal(ipc_get_str(&r).n, 0);
	assert_int_equal(ipc_get_str(&r).n, 0);
	assert_true(slice_eq(ipc_get_str(&r), SLICE_LIT("esp01")));
	assert_int_equal(ipc_get_str(&r).n, 0);
	assert_int_equal(ipc_get_str(&r).n, 0);
	assert_int_equal(rd_u16(&r), 1);
	assert_true(rd_u32(&r) != 0);
	assert_int_equal(r.err, E_OK);
	assert_int_equal(rd_left(&r), 0);
}

static void client_id_is_bound(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	assert_int_equal(fx_login(f, "esp01:x", "esp01", token).verdict, ALLOW);
	assert_int_equal(fx_login(f, "", "esp01", token).verdict, ALLOW);
	assert_int_equal(fx_login(f, "esp02", "esp01", token).reason, E_CLIENT_ID);
	assert_int_equal(fx_login(f, "esp01x", "esp01", token).reason, E_CLIENT_ID);
	assert_int_equal(fx_login(f, "esp01:", "esp01", token).reason, E_CLIENT_ID);
	assert_int_equal(fx_login(f, "esp0", "esp01", token).reason, E_CLIENT_ID);
	assert_int_equal(fx_login(f, "ESP01", "esp01", token).reason, E_CLIENT_ID);
}

static void pattern_of_a_service(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];

	fx_call(f, "{'op':'identity.add','kind':'service','name':'hub','client_id':'hub-*'}");
	fx_ok(f);
	snprintf(token, sizeof(token), "%s", fx_text(f, "identities", "token"));
	assert_int_equal(fx_login(f, "hub-7", "hub", token).verdict, ALLOW);
	assert_int_equal(fx_login(f, "hub-", "hub", token).verdict, ALLOW);
	assert_int_equal(fx_login(f, "hub", "hub", token).reason, E_CLIENT_ID);
	fx_call(f, "{'op':'identity.add','kind':'service','name':'any'}");
	snprintf(token, sizeof(token), "%s", fx_text(f, "identities", "token"));
	assert_int_equal(fx_login(f, "whatever", "any", token).verdict, ALLOW);
}

static void wrong_is_refused(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1], other[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	token_make(other);
	assert_int_equal(fx_login(f, "esp01", "esp01", other).reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "esp01", "esp02", token).reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "esp01", "Esp01", token).reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "esp01", "esp01 ", token).reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "esp01", "esp01", "").reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "esp01", "", token).reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "esp01", "esp01", NULL).reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "esp01", NULL, token).reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "esp01", NULL, NULL).reason, E_DENIED);
	token[TOKEN_CHARS - 1] = '\0';
	assert_int_equal(fx_login(f, "esp01", "esp01", token).verdict, DENY);
}

static void listener_decides(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	fx_authenticators(f, AUTHENTICATOR_PASSWORD, AUTHENTICATOR_N);
	assert_int_equal(fx_login(f, "esp01", "esp01", token).verdict, DENY);
	fx_authenticators(f, AUTHENTICATOR_TOKEN, AUTHENTICATOR_PASSWORD);
	assert_int_equal(fx_login(f, "esp01", "esp01", token).verdict, ALLOW);
}

static void anonymous_has_a_role_or_nothing(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];
	struct m_verdict m;

	snprintf(f->a->conf.listener[0].anonymous_role, 16, "sensor");
	assert_int_equal(fx_login(f, "x", NULL, NULL).reason, E_DENIED); /* no such role yet */
	fx_device(f, "esp01", token);
	m = fx_login(f, "x", NULL, NULL);
	assert_int_equal(m.verdict, ALLOW);
	assert_int_equal(m.kind, KIND_ANONYMOUS);
	assert_int_equal(m.identity_id, 0);
	/* Who says a name must prove it, here too. */
	assert_int_equal(fx_login(f, "x", "esp01", "nonsense").verdict, DENY);
}

static void password_lets_in(void **state)
{
	struct fx *f = *state;

	fx_call(f, "{'op':'identity.add','kind':'user','name':'anna','auth':'password','password':'"
		   "four "
		   "unrelated llama words'}");
	fx_ok(f);
	assert_string_equal(fx_text(f, "identities", "token"), "");
	assert_int_equal(fx_login(f, "phone", "anna", "four unrelated llama words").verdict, ALLOW);
	assert_int_equal(fx_login(f, "phone", "anna", "four unrelated llama word").reason,
			 E_CREDENTIAL);
	fx_authenticators(f, AUTHENTICATOR_TOKEN, AUTHENTICATOR_N);
	assert_int_equal(fx_login(f, "phone", "anna", "four unrelated llama words").verdict, DENY);
}

/* An unknown name, a known one with a wrong password and a revoked one: one hash each, the same
 * answer. */
static void unknown_costs_the_same(void **state)
{
	struct fx *f = *state;
	struct hasher_stats before, after;
	const char *names[] = {"anna", "nobody", "gone"};

	for (u32 i = 0; i < 3; i += 2) {
		fx_call(f,
			"{'op':'identity.add','kind':'user','name':'%s','password':'four unrelated "
			"llama "
			"words'}",
			names[i]);
		fx_ok(f);
	}
	fx_call(f, "{'op':'identity.revoke','name':'gone'}");
	fx_ok(f);
	for (u32 i = 0; i < 3; i++) {
		hasher_stats(f->a->hasher, &before);
		struct m_verdict m = fx_login(f, "c", names[i], "not the password");
		hasher_stats(f->a->hasher, &after);
		assert_int_equal(after.hashed, before.hashed + 1);
		assert_int_equal(m.verdict, DENY);
		assert_int_equal(m.identity_id, 0);
	}
	/* And where no chosen passwords are taken, nobody's name costs a hash. */
	fx_authenticators(f, AUTHENTICATOR_TOKEN, AUTHENTICATOR_N);
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(fx_login(f, "c", names[i], "not the password").verdict, DENY);
	hasher_stats(f->a->hasher, &after);
	assert_int_equal(after.hashed, before.hashed + 1);
}

static void revoked_while_hashing(void **state)
{
	struct fx *f = *state;
	const struct sent *s;
	u64 id;

	fx_call(f, "{'op':'identity.add','kind':'user','name':'anna','password':'four unrelated "
		   "llama words'}");
	id = fx_ask(f, "c", "anna", "four unrelated llama words");
	assert_null(fx_verdict_of(f, id));
	fx_call(f, "{'op':'identity.revoke','name':'anna'}");
	fx_ok(f);
	if (fx_verdict_of(f, id) == NULL)
		fx_hash(f);
	s = fx_verdict_of(f, id);
	assert_non_null(s);
	assert_int_equal(((const struct m_verdict *)(const void *)s->body)->reason, E_REVOKED);
}

static void guessing_is_slowed_and_no_weapon(void **state)
{
	struct fx *f = *state;
	struct hasher_stats before, after;

	fx_call(f, "{'op':'identity.add','kind':'user','name':'anna','password':'four unrelated "
		   "llama words'}");
	/* Unknown names run into the same wall. */
	for (u32 i = 0; i < THROTTLE_FAILURES; i++)
		assert_int_equal(fx_login(f, "c", "nobody", "wrong password").reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "c", "nobody", "wrong password").reason, E_RATE);
	for (u32 i = 0; i < THROTTLE_FAILURES; i++)
		assert_int_equal(fx_login(f, "c", "anna", "wrong password").reason, E_CREDENTIAL);
	hasher_stats(f->a->hasher, &before);
	assert_int_equal(fx_login(f, "c", "anna", "four unrelated llama words").reason, E_RATE);
	hasher_stats(f->a->hasher, &after);
	assert_int_equal(after.hashed, before.hashed);
	/* Later she comes in, and her source is known from then on. */
	fx_pass(f, THROTTLE_FIRST_MS + 1);
	assert_int_equal(fx_login(f, "c", "anna", "four unrelated llama words").verdict, ALLOW);
	login_seen_flush(f->a);
	for (u32 i = 0; i < THROTTLE_FAILURES; i++)
		assert_int_equal(fx_login(f, "c", "anna", "wrong password").reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "c", "anna", "four unrelated llama words").verdict, ALLOW);
}

/* A listener without limits has none here either. */
static void no_limit_no_throttle(void **state)
{
	struct fx *f = *state;

	f->a->conf.listener[0].limits.failed_logins = CONF_NO_LIMIT;
	for (u32 i = 0; i < 2 * THROTTLE_FAILURES; i++)
		assert_int_equal(fx_login(f, "c", "nobody", "wrong password").reason, E_CREDENTIAL);
	f->a->conf.listener[0].limits.failed_logins = THROTTLE_FAILURES;
	f->a->conf.listener[0].limits_none = true;
	for (u32 i = 0; i < 2 * THROTTLE_FAILURES; i++)
		assert_int_equal(fx_login(f, "c", "nobody", "wrong password").reason, E_CREDENTIAL);
}

/* Bad lengths, a listener that is not there: refused, and the process goes on (it may be a taken
 * broker). */
/* The kernel's word at a unix socket, and what it is worth. */
static void a_user_of_this_machine(void **state)
{
	struct fx *f = *state;
	struct m_verdict v;
	char token[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	fx_authenticators(f, AUTHENTICATOR_PEER, AUTHENTICATOR_TOKEN);
	fx_call(f, "{'op':'identity.add','kind':'user','name':'anna'}");
	fx_ok(f);
	assert_int_equal(fx_local(f, 1000, "x", NULL, NULL).reason, E_DENIED);
	fx_call(f, "{'op':'identity.local','name':'anna','uid':1000}");
	fx_ok(f);
	v = fx_local(f, 1000, "x", NULL, NULL);
	assert_int_equal(v.verdict, ALLOW);
	assert_int_equal(v.kind, KIND_USER);
	assert_true(v.credential > VERDICT_LOCAL);
	assert_int_equal(fx_local(f, 1000, "x", "anna", NULL).verdict, ALLOW);
	assert_int_equal(fx_local(f, 1000, "x", "esp01", NULL).reason, E_CREDENTIAL);
	assert_int_equal(fx_local(f, 1000, "x", "", NULL).reason, E_CREDENTIAL);
	assert_int_equal(fx_local(f, 1001, "x", NULL, NULL).reason, E_DENIED);
	assert_int_equal(fx_local(f, 1001, "x", "anna", NULL).reason, E_CREDENTIAL);
	assert_int_equal(fx_local(f, UID_UNKNOWN, "x", NULL, NULL).reason, E_DENIED);
	/* Who shows a secret is judged by it. */
	assert_int_equal(fx_local(f, 1000, "x", "anna", "wrong-secret").reason, E_CREDENTIAL);
	assert_int_equal(fx_local(f, 1000, "esp01", "esp01", token).verdict, ALLOW);
	/* Never by the network, whatever it says of itself. */
	assert_int_equal(fx_login(f, "x", "anna", NULL).reason, E_CREDENTIAL);
	assert_int_equal(fx_login(f, "x", NULL, NULL).reason, E_DENIED);
	fx_authenticators(f, AUTHENTICATOR_TOKEN, AUTHENTICATOR_N);
	assert_int_equal(fx_local(f, 1000, "x", NULL, NULL).reason, E_DENIED);
	assert_int_equal(fx_local(f, 1000, "x", "anna", NULL).reason, E_CREDENTIAL);
}

static void a_user_of_this_machine_ends(void **state)
{
	struct fx *f = *state;
	u32 first, second;

	fx_authenticators(f, AUTHENTICATOR_PEER, AUTHENTICATOR_N);
	fx_call(f, "{'op':'identity.add','kind':'user','name':'anna'}");
	fx_call(f, "{'op':'identity.add','kind':'user','name':'bert'}");
	fx_call(f, "{'op':'identity.local','name':'anna','uid':1000}");
	fx_ok(f);
	first = fx_local(f, 1000, "x", NULL, NULL).credential;
	fx_call(f, "{'op':'identity.local','name':'anna','uid':1000}");
	fx_refused(f, "E1108");
	fx_call(f, "{'op':'identity.local','name':'bert','uid':1000}");
	fx_refused(f, "E1111");
	fx_call(f, "{'op':'identity.local','name':'bert','uid':65534}");
	fx_refused(f, "E1002");
	fx_call(f, "{'op':'identity.local','name':'bert','uid':4294967295}");
	fx_refused(f, "E1002");
	fx_call(f, "{'op':'identity.local','name':'anna'}");
	fx_ok(f);
	assert_int_equal(fx_local(f, 1000, "x", NULL, NULL).reason, E_DENIED);
	fx_call(f, "{'op':'identity.local','name':'bert','uid':1000}");
	fx_ok(f);
	second = fx_local(f, 1000, "x", NULL, NULL).credential;
	assert_true(second > first); /* what came before is told apart */
	fx_call(f, "{'op':'identity.revoke','name':'bert'}");
	fx_ok(f);
	assert_int_equal(fx_local(f, 1000, "x", NULL, NULL).reason, E_DENIED);
	fx_call(f, "{'op':'identity.restore','name':'bert'}");
	fx_ok(f);
	assert_int_equal(fx_local(f, 1000, "x", NULL, NULL).reason,
			 E_DENIED); /* said anew, or not */
	fx_call(f, "{'op':'identity.local','name':'anna','uid':1000}");
	fx_ok(f);
	fx_call(f, "{'op':'identity.remove','name':'anna'}");
	fx_ok(f);
	fx_call(f, "{'op':'identity.local','name':'bert','uid':1000}");
	fx_ok(f); /* it is free */
}

/* As a line of the policy: exported, applied, swapped, refused where two want the same. */
static void a_user_of_this_machine_by_policy(void **state)
{
	struct fx *f = *state;

	fx_authenticators(f, AUTHENTICATOR_PEER, AUTHENTICATOR_N);
	fx_call(f, "{'op':'policy.apply','text':'role r { publish a }\\nuser anna { role r; "
		   "unix-user 1000 "
		   "}\\nuser bert { role r; unix-user 1001 }'}");
	fx_ok(f);
	assert_int_equal(fx_local(f, 1001, "x", "bert", NULL).verdict, ALLOW);
	fx_call(f, "{'op':'policy.export'}");
	fx_ok(f);
	assert_non_null(
		strstr(fx_text(f, NULL, "text"), "user bert {\n  role r\n  unix-user 1001\n}"));
	fx_call(f, "{'op':'policy.apply','text':'role r { publish a }\\nuser anna { role r; "
		   "unix-user 1001 "
		   "}\\nuser bert { role r; unix-user 1000 }'}");
	fx_ok(f);
	assert_int_equal(fx_local(f, 1001, "x", "anna", NULL).verdict, ALLOW);
	assert_int_equal(fx_local(f, 1001, "x", "bert", NULL).reason, E_CREDENTIAL);
	fx_call(f, "{'op':'policy.apply','text':'role r { publish a }\\nuser anna { role r; "
		   "unix-user 1000 "
		   "}\\nuser bert { role r; unix-user 1000 }'}");
	fx_refused(f, "E1111");
	assert_int_equal(fx_local(f, 1000, "x", "bert", NULL).verdict, ALLOW);
	fx_call(f, "{'op':'policy.apply','text':'role r { publish a }\\nuser anna { role r "
		   "}\\nuser bert { role "
		   "r; unix-user 1000 }'}");
	fx_ok(f);
	assert_int_equal(fx_local(f, 1001, "x", NULL, NULL).reason, E_DENIED);
	fx_call(f, "{'op':'policy.rollback'}");
	fx_ok(f);
	assert_int_equal(fx_local(f, 1001, "x", NULL, NULL).verdict, ALLOW);
}

static void malformed_is_refused(void **state)
{
	struct fx *f = *state;
	struct m_login m = {.has_username = 1, .has_password = 1, .username_len = 9};
	struct m_verdict v;

	login_request(f->a, 7001, &m, SLICE_LIT("abc"));
	memcpy(&v, fx_verdict_of(f, 7001)->body, sizeof(v));
	assert_int_equal(v.verdict, DENY);
	m.username_len = 1;
	login_request(f->a, 7002, &m, SLICE_LIT("abc"));
	memcpy(&v, fx_verdict_of(f, 7002)->body, sizeof(v));
	assert_int_equal(v.verdict, DENY);
	m.listener = 99;
	login_request(f->a, 7003, &m, SLICE_LIT("a"));
	memcpy(&v, fx_verdict_of(f, 7003)->body, sizeof(v));
	assert_int_equal(v.verdict, DENY);
	m = (struct m_login){0};
	login_request(f->a, 7004, &m, SLICE_NONE);
	assert_non_null(fx_verdict_of(f, 7004));
}

/* While a reload is under way broker counts its listeners in the old configuration: that one is
 * asked what the listener allows. */
static void judged_by_the_configuration_of_its_listener(void **state)
{
	static struct conf next;
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	next = f->a->conf;
	fx_authenticators(f, AUTHENTICATOR_PASSWORD, AUTHENTICATOR_N);
	login_conf_set(f->a, &next, 2); /* fx_login is of number 0 */
	assert_int_equal(fx_login(f, "esp01", "esp01", token).verdict, DENY);
	f->a->conf_generation = 0;
	assert_int_equal(fx_login(f, "esp01", "esp01", token).verdict, ALLOW);
	f->a->conf_generation = 7;
	f->a->before[0].generation = 8;
	f->a->before[1].generation = f->a->before[2].generation = 9;
	assert_int_equal(fx_login(f, "esp01", "esp01", token).reason, E_BUSY);
}

static void held_until_ready(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];
	u64 id, old;

	fx_device(f, "esp01", token);
	f->a->has_key = false;
	old = fx_ask(f, "esp01", "esp01", token);
	fx_pass(f, 9000);
	id = fx_ask(f, "esp01", "esp01", token);
	assert_null(fx_verdict_of(f, id));
	f->a->has_key = true;
	login_release(f->a);
	assert_int_equal(
		((const struct m_verdict *)(const void *)fx_verdict_of(f, id)->body)->verdict,
		ALLOW);
	assert_int_equal(
		((const struct m_verdict *)(const void *)fx_verdict_of(f, old)->body)->reason,
		E_BUSY);
}

static void seen_is_remembered(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];

	fx_device(f, "esp01", token);
	fx_call(f, "{'op':'identity.list','never':true}");
	assert_int_equal(json_array_size(json_object_get(f->reply, "identities")), 1);
	fx_login(f, "esp01", "esp01", token);
	fx_call(f, "{'op':'identity.list','never':true}");
	assert_int_equal(json_array_size(json_object_get(f->reply, "identities")), 0);
	fx_restart(f);
	fx_call(f, "{'op':'status'}");
	assert_int_equal(json_integer_value(json_object_get(f->reply, "never_connected")), 0);
	assert_int_equal(json_integer_value(json_object_get(f->reply, "devices")), 1);
}

/* I01: a store that cannot answer admits nobody. */
static void broken_store_refuses(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1];
	sqlite3 *h;

	fx_device(f, "esp01", token);
	assert_int_equal(sqlite3_open(f->db, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, "DROP TABLE holds", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
	assert_int_equal(fx_login(f, "esp01", "esp01", token).verdict, DENY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX(token_lets_in),
		FX(client_id_is_bound),
		FX(pattern_of_a_service),
		FX(wrong_is_refused),
		FX(listener_decides),
		FX(anonymous_has_a_role_or_nothing),
		FX(password_lets_in),
		FX(unknown_costs_the_same),
		FX(revoked_while_hashing),
		FX(guessing_is_slowed_and_no_weapon),
		FX(a_user_of_this_machine),
		FX(a_user_of_this_machine_ends),
		FX(a_user_of_this_machine_by_policy),
		FX(no_limit_no_throttle),
		FX(malformed_is_refused),
		FX(held_until_ready),
		FX(judged_by_the_configuration_of_its_listener),
		FX(seen_is_remembered),
		FX(broken_store_refuses),
	};

	return cmocka_run_group_tests_name("auth/login", tests, NULL, NULL);
}
