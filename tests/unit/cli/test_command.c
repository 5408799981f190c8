/* test_command: whole commands against a real admin process (tests/unit/admin/house.c answers
 * behind it). */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "../admin/house.h"
#include "cli/cli.h"

static struct house house;
static char out[262144], err[16384], dir[64];

/* Words are separated by a bar, so that they may hold spaces. */
static int picket(const char *line)
{
	char words[2048], *argv[64];
	FILE *in = fopen("/dev/null", "r");
	FILE *o = fmemopen(memset(out, 0, sizeof(out)), sizeof(out), "w");
	FILE *e = fmemopen(memset(err, 0, sizeof(err)), sizeof(err), "w");
	int argc = 0, rc;

	snprintf(words, sizeof(words), "picket|--run|%s|%s", house.dir, line);
	for (char *w = strtok(words, "|"); w != NULL; w = strtok(NULL, "|"))
		argv[argc++] = w;
	rc = cli_main(argc, argv, in, o, e);
	fclose(in);
	fclose(o);
	fclose(e);
	return rc;
}

static void has(const char *text, const char *want)
{
	if (strstr(text, want) == NULL)
		fail_msg("no \"%s\" in:\n%s", want, text);
}

static void lacks(const char *text, const char *bad)
{
	if (strstr(text, bad) != NULL)
		fail_msg("\"%s\" in:\n%s", bad, text);
}

static void file_put(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_status(void **state)
{
	assert_int_equal(picket("status"), CLI_DONE);
	has(out, "up 00:18:03  1/30 identities seen");
	has(out, "29 never connected: picket device list --never");
	has(out, "canary   stranger refused, OK\n");
	has(out, "SAN mqtt.lan, localhost, 192.168.1.10");
	has(out, "*:8883  tls  mqtts");
	assert_int_equal(picket("status|--json"), CLI_DONE);
	has(out, "\"ready\": true");
}

static void test_add_many(void **state)
{
	char line[256], path[256];
	struct stat st;

	snprintf(line, sizeof(line), "device|add|--count|30|--prefix|esp|--role|sensor|--out|%s/b",
		 dir);
	assert_int_equal(picket(line), CLI_DONE);
	has(out, "30 devices esp01..esp30  role sensor");
	has(out, "next     flash one, then: picket wait esp01");
	lacks(out, "tok-");
	snprintf(path, sizeof(path), "%s/b/esp30/wifi_mqtt_secrets.h", dir);
	assert_int_equal(stat(path, &st), 0);
	/* A second time: nothing is overwritten, and what auth made is taken back. */
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "E3005");
	assert_int_equal(house_calls(&house, "identity.remove"), 30);
}

static void test_add_failures(void **state)
{
	char line[256];

	file_put("plain", "");
	snprintf(line, sizeof(line), "device|add|esp01|--role|sensor|--out|%s/plain", dir);
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "E3004");
	/* No terminal and no place: nothing is made. */
	assert_int_equal(picket("device|add|esp77|--role|sensor"), CLI_REFUSED);
	has(err, "E3006");
	assert_int_equal(picket("device|add"), CLI_USAGE);
	assert_int_equal(picket("device|add|x|--count|3|--prefix|p"), CLI_USAGE);
	assert_int_equal(picket("device|add|--count|0|--prefix|p"), CLI_USAGE);
	assert_int_equal(picket("user|add|a|--auth|magic"), CLI_USAGE);
	assert_int_equal(picket("device|add|x|--print|--json"), CLI_DONE);
	has(out, "\"token\": \"tok-");
	/* A name that cannot be a folder. */
	snprintf(line, sizeof(line), "device|add|a/b|--out|%s/c", dir);
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "E3004");
}

static void test_passwords(void **state)
{
	char line[256];

	assert_int_equal(picket("user|add|anna|--role|r"), CLI_REFUSED);
	has(err, "E3007");
	file_put("pw", "correct horse\nignored\n");
	snprintf(line, sizeof(line), "user|add|anna|--role|r|--password-file|%s/pw", dir);
	assert_int_equal(picket(line), CLI_DONE);
	assert_int_equal(house_calls(&house, "identity.add\",\"kind\":\"user"), 1);
	snprintf(line, sizeof(line), "user|add|anna|--token|--password-file|%s/pw", dir);
	assert_int_equal(picket(line), CLI_USAGE);
	file_put("empty", "\n");
	snprintf(line, sizeof(line), "user|password|anna|--password-file|%s/empty", dir);
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "E3007");
	assert_int_equal(picket("user|password|anna|--password-file|/none"), CLI_REFUSED);
	has(err, "E3003");
}

static void test_refusals(void **state)
{
	assert_int_equal(picket("role|allow|sensor|pub|x"), CLI_REFUSED);
	has(err, "refused  E1102 exists: taken \\x1b[31m\nnext     another name\n");
	assert_int_equal(picket("role|allow|sensor|pub|x|--json"), CLI_REFUSED);
	has(out, "\"E1102\"");
	assert_int_equal(picket("role|remove|x"), CLI_REFUSED);
	has(err, "E3010");
	assert_int_equal(picket("config|reload"), CLI_REFUSED);
	has(err, "E2006");
	has(err, "unknown option foo");
	assert_int_equal(picket("client|kick|nobody"), CLI_REFUSED);
	has(err, "E2007");
}

static void test_reading(void **state)
{
	assert_int_equal(picket("device|list"), CLI_DONE);
	has(out, "esp01  active  sensor");
	assert_int_equal(picket("client|list"), CLI_DONE);
	lacks(out, "\x1b");
	assert_int_equal(picket("client|kick|esp01"), CLI_DONE);
	has(out, "2 connections closed");
	assert_int_equal(picket("explain|esp01|publish|sensors/temp"), CLI_REFUSED);
	has(out, "deny     publish sensors/temp\\x1b  rule: none for role sensor; nearest allow "
		 "home/${device}/tele/#");
	assert_int_equal(picket("explain|esp01|fly|x"), CLI_USAGE);
	assert_int_equal(picket("logs|--lines|2"), CLI_DONE);
	has(out, "two \\x1b[31m\nthree\n");
	lacks(out, "one");
	assert_int_equal(picket("ca|show"), CLI_DONE);
	has(out, "mqtt.lan device CA");
	has(out, "-----BEGIN CERTIFICATE-----");
	assert_int_equal(picket("config|show"), CLI_DONE);
	has(out, "mqtts");
	assert_int_equal(picket("policy|export"), CLI_DONE);
	has(out, "xxxxx");
}

static void test_wait(void **state)
{
	assert_int_equal(picket("wait|esp01|--for|1s"), CLI_WARNED);
	has(out, "connect    192.168.1.77 TLS1.3 auth ok");
	has(out, "deny       publish sensors/temp\\x1b  rule: none for role sensor; nearest allow "
		 "home/${device}/tele/#");
	has(out,
	    "looks good except 1 denial. Allow it?  picket role allow sensor publish sensors/temp");
	lacks(out, "\x1b");
	assert_int_equal(picket("wait|esp01|--for|soon"), CLI_USAGE);
}

static void test_rotate(void **state)
{
	char line[256], path[256];
	struct stat st;

	snprintf(line, sizeof(line), "device|rotate|esp01|--out|%s/r", dir);
	assert_int_equal(picket(line), CLI_DONE);
	snprintf(path, sizeof(path), "%s/r/esp01/token", dir);
	assert_int_equal(stat(path, &st), 0);
	/* The place is taken: the old token must not end. */
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "E3005");
	assert_int_equal(house_calls(&house, "identity.rotate"), 1);
}

static void test_ca_files(void **state)
{
	char line[256], path[256];
	struct stat st;

	file_put("phrase", "a long passphrase\n");
	snprintf(line, sizeof(line), "ca|backup|--out|%s/ca.backup|--password-file|%s/phrase", dir,
		 dir);
	assert_int_equal(picket(line), CLI_DONE);
	snprintf(path, sizeof(path), "%s/ca.backup", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "E3005");
}

static void test_offline(void **state)
{
	char line[256];

	assert_int_equal(picket("help|E1102"), CLI_DONE);
	has(out, "E1102");
	assert_int_equal(picket("help|E9999"), CLI_REFUSED);
	assert_int_equal(picket("help|device|add"), CLI_DONE);
	has(out, "--count N");
	assert_int_equal(picket("help|nothing"), CLI_USAGE);
	assert_int_equal(picket("help|--markdown"), CLI_DONE);
	assert_int_equal(picket("config|explain|shards"), CLI_DONE);
	file_put("good.conf", "names = {\"a.lan\"}\n");
	snprintf(line, sizeof(line), "config|check|%s/good.conf", dir);
	assert_int_equal(picket(line), CLI_DONE);
	file_put("bad.conf", "\n\nshardz = 3\n");
	snprintf(line, sizeof(line), "config|check|%s/bad.conf", dir);
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "bad.conf:3: ");
	has(err, "shards");
	assert_int_equal(picket("config|check|/nowhere"), CLI_REFUSED);
}

static void flag(const char *name, bool on)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", house.dir, name);
	f = on ? fopen(path, "w") : NULL;
	if (f != NULL)
		fclose(f);
	else
		unlink(path);
}

static void test_store(void **state)
{
	char line[256], path[128];
	struct stat st;
	struct dirent *e;
	DIR *d;

	assert_int_equal(picket("store|status"), CLI_DONE);
	has(out, "store    5.0 MiB of 16.0 GiB  10000 sessions  123456 queued");
	has(out, "7/s)  sealed");
	assert_int_equal(picket("store|status|--json"), CLI_DONE);
	has(out, "\"persistent\": true");
	assert_int_equal(picket("store|check"), CLI_DONE);
	has(out, "99 records");

	snprintf(line, sizeof(line), "store|backup|%s/s.backup", dir);
	snprintf(path, sizeof(path), "%s/s.backup", dir);
	assert_int_equal(picket(line), CLI_DONE);
	has(out, "2.5 MiB");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 40 * 65536);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* never over something that is there, nor through a link */
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "E3005");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/nowhere/at/all", path), 0);
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "E3005");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(picket("store|backup|/nowhere/s.backup"), CLI_REFUSED);
	has(err, "E3004");

	flag("broken", true);
	assert_int_equal(picket("status"), CLI_WARNED);
	has(out, "ALARM    the store \\x1b was damaged");
	assert_int_equal(picket("store|status"), CLI_WARNED);
	assert_int_equal(picket("store|check"), CLI_WARNED);
	has(out, "DAMAGED  3 of 99");
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "E2009 store_failed");
	flag("broken", false);
	/* nothing of it is left */
	d = opendir(dir);
	while ((e = readdir(d)) != NULL)
		assert_null(strstr(e->d_name, "s.backup"));
	closedir(d);
}

static void test_restore(void **state)
{
	char line[256];

	file_put("good", "good and long enough");
	file_put("evil", "evil");
	file_put("empty", "");
	snprintf(line, sizeof(line), "store|restore|%s/good", dir);
	assert_int_equal(picket(line), CLI_REFUSED); /* nobody can be asked */
	has(err, "E3010");
	snprintf(line, sizeof(line), "store|restore|%s/good|--dry-run", dir);
	assert_int_equal(picket(line), CLI_DONE);
	snprintf(line, sizeof(line), "store|restore|%s/good|--yes", dir);
	assert_int_equal(picket(line), CLI_DONE);
	has(out, "kept as /state/store.before-1");
	snprintf(line, sizeof(line), "store|restore|%s/evil|--yes", dir);
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "the backup is damaged");
	snprintf(line, sizeof(line), "store|restore|%s/empty|--yes", dir);
	assert_int_equal(picket(line), CLI_REFUSED);
	has(err, "E3003");
	assert_int_equal(picket("store|restore|/dev/zero|--yes"), CLI_REFUSED);
	has(err, "E3003");
	snprintf(line, sizeof(line), "store|restore|%s/none|--yes", dir);
	assert_int_equal(picket(line), CLI_REFUSED);
}

static void test_not_running(void **state)
{
	char line[512];

	snprintf(line, sizeof(line), "status");
	snprintf(house.dir + strlen(house.dir), 2, "x");
	assert_int_equal(picket(line), CLI_REFUSED);
	house.dir[strlen(house.dir) - 1] = 0;
	has(err, "E3001");
	has(err, "picket init");
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/picket-cli-XXXXXX");
	house_start(&house);
	return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
	char cmd[128];

	house_stop(&house);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),	     cmocka_unit_test(test_add_many),
		cmocka_unit_test(test_add_failures), cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_refusals),     cmocka_unit_test(test_reading),
		cmocka_unit_test(test_wait),	     cmocka_unit_test(test_rotate),
		cmocka_unit_test(test_ca_files),     cmocka_unit_test(test_offline),
		cmocka_unit_test(test_store),	     cmocka_unit_test(test_restore),
		cmocka_unit_test(test_not_running),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
