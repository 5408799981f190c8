/* The file: private, checked, upgraded, and whole after every failure. */
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

static void is_private(void **state)
{
	struct fx *f = *state;
	struct stat st;
	char path[160];
	const char *ends[] = {"", "-wal", "-shm"};

	fx_call(f, "{'op':'identity.add','kind':'device','name':'x'}");
	for (u32 i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", f->db, ends[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
}

/* No secret stands in the file: not the token, and not its plain hash. */
static void holds_no_secret(void **state)
{
	struct fx *f = *state;
	char token[TOKEN_CHARS + 1], cmd[256];

	fx_device(f, "esp01", token);
	fx_call(f, "{'op':'identity.add','kind':'user','name':'anna','password':'four unrelated "
		   "llama words'}");
	fx_ok(f);
	snprintf(cmd, sizeof(cmd), "grep -aq -e '%s' -e '%s' -e 'llama words' %s/*", token,
		 token + 3, f->dir);
	assert_int_not_equal(system(cmd), 0);
	snprintf(cmd, sizeof(cmd), "grep -aq argon2id %s/*",
		 f->dir); /* the check can find things */
	assert_int_equal(system(cmd), 0);
}

static void ids_are_never_used_again(void **state)
{
	struct fx *f = *state;
	json_int_t first;

	fx_call(f, "{'op':'identity.add','kind':'device','name':'x'}");
	first = json_integer_value(
		json_object_get(json_array_get(json_object_get(f->reply, "identities"), 0), "id"));
	fx_call(f, "{'op':'identity.remove','name':'x'}");
	fx_ok(f);
	fx_restart(f);
	change_linked(f->a);
	fx_call(f, "{'op':'identity.add','kind':'device','name':'x'}");
	assert_true(json_integer_value(json_object_get(
			    json_array_get(json_object_get(f->reply, "identities"), 0), "id")) >
		    first);
}

static enum err open_again(struct fx *f, char why[200])
{
	struct db *d;
	enum err e = db_open(f->db, &d, why, 200);

	assert_true((e == E_OK) == (d != NULL));
	db_close(&d);
	return e;
}

static void damage_is_found(void **state)
{
	struct fx *f = *state;
	char why[200];
	struct stat st;
	u32 refused = 0;
	int fd;

	fx_call(f, "{'op':'identity.add','kind':'device','prefix':'esp','count':300}");
	fx_ok(f);
	fx_close(f); /* writes all back into the one file */
	assert_int_equal(stat(f->db, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 4096) {
		u8 was[64], bad[64];
		fd = open(f->db, O_RDWR);
		assert_int_equal(pread(fd, was, sizeof(was), at), sizeof(was));
		memset(bad, 0xa5, sizeof(bad));
		assert_int_equal(pwrite(fd, bad, sizeof(bad), at), sizeof(bad));
		refused += open_again(f, why) != E_OK;
		assert_int_equal(pwrite(fd, was, sizeof(was), at), sizeof(was));
		close(fd);
	}
	/* Every page has a head that the check reads. */
	assert_int_equal(refused, st.st_size / 4096);
	assert_int_equal(open_again(f, why), E_OK);
	assert_int_equal(truncate(f->db, st.st_size / 2), 0);
	assert_int_equal(open_again(f, why), E_CORRUPT);
	assert_string_not_equal(why, "");
}

static void sql(struct fx *f, const char *text)
{
	sqlite3 *h;

	assert_int_equal(sqlite3_open(f->db, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
}

static void what_is_not_ours_is_left_alone(void **state)
{
	struct fx *f = *state;
	char why[200];
	int fd;

	fx_close(f);
	sql(f, "PRAGMA user_version = 999");
	assert_int_equal(open_again(f, why), E_VERSION);
	assert_string_equal(why, "the file was written by a later picket");
	assert_int_equal(unlink(f->db), 0);
	sql(f, "CREATE TABLE precious(x); INSERT INTO precious VALUES(1)");
	assert_int_equal(open_again(f, why), E_CORRUPT);
	sql(f, "SELECT x FROM precious");
	fd = open(f->db, O_RDWR | O_TRUNC);
	assert_int_equal(write(fd, "this is not a database at all, is it?", 37), 37);
	close(fd);
	assert_int_equal(open_again(f, why), E_CORRUPT);
	assert_int_equal(unlink(f->db), 0);
	assert_int_equal(mkdir(f->db, 0700), 0);
	assert_int_equal(open_again(f, why), E_IO);
	assert_int_equal(rmdir(f->db), 0);
	assert_int_equal(symlink("/tmp/elsewhere", f->db), 0);
	assert_int_equal(open_again(f, why), E_IO);
}

static void full_disk_changes_nothing(void **state)
{
	struct fx *f = *state;
	struct rlimit old, tight;
	u64 generation;

	signal(SIGXFSZ, SIG_IGN);
	fx_call(f, "{'op':'identity.add','kind':'device','name':'before'}");
	fx_ok(f);
	generation = f->a->generation;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = 100 * 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	fx_call(f, "{'op':'identity.add','kind':'device','prefix':'esp','count':3000}");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	fx_refused(f, "E1004");
	assert_int_equal(f->a->generation, generation);
	fx_call(f, "{'op':'identity.list','kind':'device'}");
	fx_ok(f);
	assert_int_equal(json_array_size(json_object_get(f->reply, "identities")), 1);
	/* And when there is room again, it goes on. */
	fx_call(f, "{'op':'identity.add','kind':'device','prefix':'esp','count':30}");
	fx_ok(f);
	fx_restart(f);
	fx_call(f, "{'op':'status'}");
	assert_int_equal(json_integer_value(json_object_get(f->reply, "devices")), 31);
}

/* A revocation under a full disk: not done, and said so; never "done" and forgotten. */
static void full_disk_and_revoke(void **state)
{
	struct fx *f = *state;
	struct rlimit old, none;
	char token[TOKEN_CHARS + 1];
	u32 sent;

	signal(SIGXFSZ, SIG_IGN);
	fx_device(f, "esp01", token);
	sent = f->nsent;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = old;
	none.rlim_cur = 1;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	fx_call(f, "{'op':'identity.revoke','name':'esp01'}");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	fx_refused(f, "E1004");
	assert_int_equal(f->nsent, sent); /* broker heard nothing */
	assert_int_equal(fx_login(f, "esp01", "esp01", token).verdict, ALLOW);
	fx_call(f, "{'op':'identity.revoke','name':'esp01'}");
	fx_ok(f);
	assert_int_equal(fx_login(f, "esp01", "esp01", token).reason, E_REVOKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX(is_private),
		FX(holds_no_secret),
		FX(ids_are_never_used_again),
		FX(damage_is_found),
		FX(what_is_not_ours_is_left_alone),
		FX(full_disk_changes_nothing),
		FX(full_disk_and_revoke),
	};

	return cmocka_run_group_tests_name("auth/store", tests, NULL, NULL);
}
