/* The first policy: applied once, whole or not at all. */
#include "fixture.h"

#include <sys/mman.h>

static const char policy[] = "# token-file /not/this # nor this\n"
			     "role sensor { publish home/${device}/tele/# }\n"
			     "role ops { publish #; subscribe # }\n"
			     "user anna { role ops; password-file /pw }\n"
			     "device probe { role sensor; token-file /tok }\n";

static int blank(void **state)
{
	struct fx *f;

	fx_setup(state);
	f = *state;
	fx_close(f);
	f->nsent = 0;
	fx_open(f, false);
	snprintf(f->a->conf.bootstrap, sizeof(f->a->conf.bootstrap), "/etc/picket/first.policy");
	return 0;
}

#define BLANK(name) cmocka_unit_test_setup_teardown(name, blank, fx_teardown)

static enum err give(struct fx *f, enum file_name file, u32 index, const char *text)
{
	struct m_file m = {file, index, FILE_READ, E_OK};
	int fd = memfd_create("t", 0);
	enum err e;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	e = bootstrap_file(f->a, &m, fd);
	close(fd);
	return e;
}

static void secrets(struct fx *f, const char *anna, const char *probe)
{
	struct policy_doc *doc;
	struct policy_error pe;
	struct policy_identity_view v;

	assert_int_equal(policy_parse(slice_str(policy), POLICY_FIRST, &doc, &pe), E_OK);
	for (u32 i = 0; i < policy_identity_count(doc); i++) {
		policy_identity_at(doc, i, &v);
		assert_int_equal(give(f, FILE_BOOTSTRAP_SECRET, i,
				      strcmp(v.name, "anna") == 0 ? anna : probe),
				 E_OK);
	}
	policy_doc_free(&doc);
}

static void in_force(struct fx *f, const char *token)
{
	assert_true(login_ready(f->a));
	assert_int_equal(fx_login(f, "probe", "probe", token).verdict, ALLOW);
	assert_int_equal(fx_login(f, "c", "anna", "four unrelated llama words").verdict, ALLOW);
	assert_int_equal(fx_login(f, "c", "anna", token).verdict, DENY);
	fx_call(f, "{'op':'role.list'}");
	assert_int_equal(json_array_size(json_object_get(f->reply, "roles")), 2);
}

static const char hex[] = "9f86d081884c7d659a2feaa0c55ad015";

static void handed_over_before_start(void **state)
{
	struct fx *f = *state;

	assert_int_equal(give(f, FILE_BOOTSTRAP, 0, policy), E_OK);
	secrets(f, "four unrelated llama words\n", "9f86d081884c7d659a2feaa0c55ad015\r\n");
	assert_int_equal(bootstrap_prepare(f->a), E_OK);
	assert_int_equal(bootstrap_run(f->a), E_OK);
	assert_false(login_ready(f->a)); /* no key yet */
	f->a->has_key = true;
	assert_int_equal(bootstrap_run(f->a), E_OK);
	assert_int_equal(f->nfiles, 0);
	in_force(f, hex);
}

static void asked_for(void **state)
{
	struct fx *f = *state;

	assert_int_equal(bootstrap_prepare(f->a), E_OK);
	f->a->has_key = true;
	assert_int_equal(bootstrap_run(f->a), E_OK);
	assert_int_equal(f->nfiles, 1);
	assert_int_equal(f->files[0].file, FILE_BOOTSTRAP);
	assert_int_equal(give(f, FILE_BOOTSTRAP, 0, policy), E_OK);
	assert_int_equal(bootstrap_run(f->a), E_OK);
	assert_int_equal(f->nfiles, 3);
	assert_int_equal(f->files[2].file, FILE_BOOTSTRAP_SECRET);
	assert_int_equal(f->files[2].index, 1);
	assert_false(login_ready(f->a));
	secrets(f, "four unrelated llama words", hex);
	assert_int_equal(bootstrap_run(f->a), E_OK);
	in_force(f, hex);
}

static void only_once(void **state)
{
	struct fx *f = *state;

	handed_over_before_start(state);
	fx_call(f, "{'op':'identity.remove','name':'probe'}");
	fx_call(f, "{'op':'identity.remove','name':'anna'}");
	fx_call(f, "{'op':'role.remove','name':'ops'}");
	fx_call(f, "{'op':'role.remove','name':'sensor'}");
	fx_ok(f);
	fx_close(f);
	f->nfiles = 0;
	fx_open(f, false);
	snprintf(f->a->conf.bootstrap, sizeof(f->a->conf.bootstrap), "/etc/picket/first.policy");
	/* A file that is broken by now does not matter either. */
	assert_int_equal(give(f, FILE_BOOTSTRAP, 0, "role {"), E_OK);
	assert_int_equal(bootstrap_prepare(f->a), E_OK);
	assert_true(f->a->has_boot);
	f->a->has_key = true;
	assert_int_equal(bootstrap_run(f->a), E_OK);
	fx_call(f, "{'op':'status'}");
	assert_int_equal(json_integer_value(json_object_get(f->reply, "identities")), 0);
}

static void absent_is_fine(void **state)
{
	struct fx *f = *state;
	struct m_file m = {FILE_BOOTSTRAP, 0, FILE_READ, E_NOT_FOUND};

	f->a->has_key = true;
	assert_int_equal(bootstrap_file(f->a, &m, -1), E_OK);
	assert_int_equal(bootstrap_prepare(f->a), E_OK);
	assert_int_equal(bootstrap_run(f->a), E_OK);
	assert_true(login_ready(f->a));
}

static void empty_store(struct fx *f)
{
	struct people_count n;

	assert_false(f->a->has_boot);
	assert_int_equal(people_count(f->a->db, &n), E_OK);
	assert_int_equal(n.roles + n.kind[0] + n.kind[1] + n.kind[2], 0);
}

static void wrong_text_stops_the_start(void **state)
{
	struct fx *f = *state;

	assert_int_equal(give(f, FILE_BOOTSTRAP, 0, "role a { publsh # }"), E_OK);
	assert_int_equal(bootstrap_prepare(f->a), E_CONFIG);
	empty_store(f);
}

static void unreadable_file_stops_the_start(void **state)
{
	struct fx *f = *state;
	struct m_file m = {FILE_BOOTSTRAP_SECRET, 0, FILE_READ, E_DENIED};

	assert_int_equal(give(f, FILE_BOOTSTRAP, 0, policy), E_OK);
	assert_int_equal(bootstrap_file(f->a, &m, -1), E_OK);
	assert_int_equal(bootstrap_prepare(f->a), E_CONFIG);
	empty_store(f);
}

static void weak_secret_stops_the_start(void **state)
{
	struct fx *f = *state;

	f->a->has_key = true;
	assert_int_equal(give(f, FILE_BOOTSTRAP, 0, policy), E_OK);
	secrets(f, "four unrelated llama words", "password");
	assert_int_equal(bootstrap_prepare(f->a), E_OK);
	assert_int_equal(bootstrap_run(f->a), E_CONFIG);
	empty_store(f);
	assert_false(login_ready(f->a));
}

/* A "token" that a person made up is kept as a password is: slow to guess. */
static void made_up_token_is_a_password(void **state)
{
	struct fx *f = *state;

	f->a->has_key = true;
	assert_int_equal(give(f, FILE_BOOTSTRAP, 0, policy), E_OK);
	secrets(f, "four unrelated llama words", "another llama phrase here");
	assert_int_equal(bootstrap_prepare(f->a), E_OK);
	assert_int_equal(bootstrap_run(f->a), E_OK);
	assert_int_equal(fx_login(f, "probe", "probe", "another llama phrase here").verdict, ALLOW);
	fx_authenticators(f, AUTHENTICATOR_TOKEN, AUTHENTICATOR_N);
	assert_int_equal(fx_login(f, "probe", "probe", "another llama phrase here").verdict, DENY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLANK(handed_over_before_start),
		BLANK(asked_for),
		BLANK(only_once),
		BLANK(absent_is_fine),
		BLANK(wrong_text_stops_the_start),
		BLANK(unreadable_file_stops_the_start),
		BLANK(weak_secret_stops_the_start),
		BLANK(made_up_token_is_a_password),
	};

	return cmocka_run_group_tests_name("auth/bootstrap", tests, NULL, NULL);
}
