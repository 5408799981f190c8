/* test_bundle: folders of files, whole or not at all. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "cli/bundle.h"
#include "cli/site.h"

static char dir[64], out[128];

static const struct bundle_site site = {
	.host = "mqtt.lan",
	.port = 8883,
	.tls = true,
	.websocket = true,
	.ca_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	.ca_der = (const u8 *)"der",
	.ca_der_n = 3,
	.subscribe = "home/${device}/cmd/#",
	.publish = "home/${device}/tele/it's",
};

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/picket-bundle-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(out, sizeof(out), "%s/out", dir);
	return 0;
}

static int teardown(void **state)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static char *slurp(const char *rel)
{
	static char text[16384];
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", out, rel);
	f = fopen(path, "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	return text;
}

static u32 entries(const char *path)
{
	DIR *d = opendir(path);
	u32 n = 0;

	if (d == NULL)
		return 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static void test_whole(void **state)
{
	char what[256], path[256];
	struct bundles *b;
	struct stat st;

	assert_int_equal(bundles_begin(out, &b, what, sizeof(what)), E_OK);
	assert_int_equal(bundles_add(b, &site, "esp01", "secrettoken1", what, sizeof(what)), E_OK);
	assert_int_equal(bundles_add(b, &site, "esp02", "secrettoken2", what, sizeof(what)), E_OK);
	assert_int_equal(bundles_commit(b, what, sizeof(what)), E_OK);
	bundles_end(&b);
	assert_null(b);
	assert_int_equal(entries(out), 2);
	for (size_t i = 0; bundle_file_at(i) != NULL; i++) {
		snprintf(path, sizeof(path), "%s/esp02/%s", out, bundle_file_at(i)->name);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	snprintf(path, sizeof(path), "%s/esp02", out);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_non_null(strstr(slurp("esp01/wifi_mqtt_secrets.h"),
			       "#define MQTT_PASSWORD  \"secrettoken1\""));
	assert_non_null(
		strstr(slurp("esp01/wifi_mqtt_secrets.h"), "\"-----BEGIN CERTIFICATE-----\\n\""));
	assert_non_null(strstr(slurp("esp01/nvs.csv"), "token,data,string,secrettoken1"));
	assert_string_equal(slurp("esp01/mosquitto_sub"), "--pw secrettoken1\n");
	assert_non_null(strstr(slurp("esp01/mosquitto_sub.sh"), "-t 'home/esp01/cmd/#'"));
	assert_non_null(strstr(slurp("esp01/mosquitto_sub.sh"),
			       "-h mqtt.lan -p 8883 -u esp01 -i esp01:sub"));
	assert_non_null(strstr(slurp("esp01/mosquitto_pub.sh"), "-t 'home/esp01/tele/it'\\''s'"));
	assert_null(strstr(slurp("esp01/mosquitto_pub.sh"), "secrettoken1"));
	assert_non_null(
		strstr(slurp("esp01/paho_example.py"), "client.connect(\"mqtt.lan\", 8883)"));
	assert_non_null(strstr(slurp("esp01/mqttjs_example.mjs"), "mqtts://mqtt.lan:8883"));
	assert_non_null(strstr(slurp("esp01/mqttjs_example.mjs"), "wss://mqtt.lan:8883/mqtt"));
}

static void test_never_over_another(void **state)
{
	char what[256], path[256];
	struct bundles *b;

	assert_int_equal(mkdir(out, 0700), 0);
	snprintf(path, sizeof(path), "%s/esp02", out);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(bundles_begin(out, &b, what, sizeof(what)), E_OK);
	assert_int_equal(bundles_vacant(b, "esp02", what, sizeof(what)), E_EXISTS);
	assert_int_equal(bundles_add(b, &site, "esp01", "t", what, sizeof(what)), E_OK);
	assert_int_equal(bundles_add(b, &site, "esp02", "t", what, sizeof(what)), E_EXISTS);
	bundles_end(&b);
	assert_int_equal(entries(out), 1);
	assert_int_equal(entries(path), 0);
}

/* The third cannot be moved into place: the first two are taken back. */
static void test_late_failure(void **state)
{
	char what[256], path[256];
	struct bundles *b;

	assert_int_equal(bundles_begin(out, &b, what, sizeof(what)), E_OK);
	assert_int_equal(bundles_add(b, &site, "esp01", "t1", what, sizeof(what)), E_OK);
	assert_int_equal(bundles_add(b, &site, "esp02", "t2", what, sizeof(what)), E_OK);
	assert_int_equal(bundles_add(b, &site, "esp03", "t3", what, sizeof(what)), E_OK);
	snprintf(path, sizeof(path), "%s/esp03", out);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(bundles_commit(b, what, sizeof(what)), E_EXISTS);
	assert_non_null(strstr(what, "esp03"));
	bundles_end(&b);
	assert_int_equal(entries(out), 1);
	assert_int_equal(entries(path), 0);
}

/* The disk is full in the middle of a file. */
static void test_full_disk(void **state)
{
	char what[256], cmd[256];
	struct bundle_site big = site;
	u8 *der = calloc(1, 400000);
	struct bundles *b;

	if (getuid() != 0) {
		free(der);
		skip();
	}
	assert_int_equal(mkdir(out, 0700), 0);
	snprintf(cmd, sizeof(cmd), "mount -t tmpfs -o size=256k none %s 2>/dev/null", out);
	if (system(cmd) != 0) {
		free(der);
		skip();
	}
	big.ca_der = der;
	big.ca_der_n = 400000;
	assert_int_equal(bundles_begin(out, &b, what, sizeof(what)), E_OK);
	assert_int_equal(bundles_add(b, &big, "esp01", "t", what, sizeof(what)), E_IO);
	bundles_end(&b);
	assert_int_equal(entries(out), 0);
	snprintf(cmd, sizeof(cmd), "umount %s", out);
	assert_int_equal(system(cmd), 0);
	free(der);
}

/* Under sudo the files are the person's. */
static void test_sudo(void **state)
{
	char what[256], path[256];
	struct bundles *b;
	struct stat st;

	if (getuid() != 0)
		skip();
	setenv("SUDO_UID", "1234", 1);
	setenv("SUDO_GID", "1235", 1);
	assert_int_equal(bundles_begin(out, &b, what, sizeof(what)), E_OK);
	unsetenv("SUDO_UID");
	unsetenv("SUDO_GID");
	assert_int_equal(bundles_add(b, &site, "esp01", "t", what, sizeof(what)), E_OK);
	assert_int_equal(bundles_commit(b, what, sizeof(what)), E_OK);
	bundles_end(&b);
	snprintf(path, sizeof(path), "%s/esp01/token", out);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 1235);
	assert_int_equal(stat(out, &st), 0);
	assert_int_equal(st.st_uid, 1234);
}

static void test_no_place(void **state)
{
	char what[256], path[256];
	struct bundles *b;

	snprintf(path, sizeof(path), "%s/file", dir);
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(bundles_begin(path, &b, what, sizeof(what)), E_IO);
	bundles_end(&b);
	snprintf(path, sizeof(path), "%s/not/there", dir);
	assert_int_equal(bundles_begin(path, &b, what, sizeof(what)), E_IO);
	assert_non_null(strstr(what, "not/there"));
	bundles_end(&b);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"",	 ".",	 "..",	".hidden", "-rf",  "a/b",     "a b",
					  "a'b", "a\"b", "a$b", "a`b",	   "a\nb", "\xc3\xbc"};
	struct bundle_site evil = site;
	char what[256];
	struct bundles *b;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(bundle_name_ok(bad[i]));
	assert_true(bundle_name_ok("esp-01.a_b:c@d"));
	assert_int_equal(bundles_begin(out, &b, what, sizeof(what)), E_OK);
	assert_int_equal(bundles_add(b, &site, "../x", "t", what, sizeof(what)), E_RANGE);
	evil.host = "h$(id)";
	assert_int_equal(bundles_add(b, &evil, "x", "t", what, sizeof(what)), E_RANGE);
	assert_int_equal(bundles_add(b, &site, "x", "t\"; evil", what, sizeof(what)), E_RANGE);
	bundles_end(&b);
	assert_int_equal(entries(dir), 0); /* the folder it made is gone too */
}

static void topic(const char *role, const char *action, const char *want)
{
	char got[512];

	site_filter(role, action, got, sizeof(got));
	assert_string_equal(got, want);
}

static void test_topics(void **state)
{
	char got[64];
	static const char sensor[] =
		"role sensor {\n  publish home/${device}/tele/#\n"
		"  subscribe home/${device}/cmd/#\n  limit publish 5/s burst 50\n}\n";

	topic(sensor, "publish", "home/${device}/tele/#");
	topic(sensor, "subscribe", "home/${device}/cmd/#");
	topic("role x { limit publish 5/s; publish a/+/b }", "publish", "a/+/b");
	topic("role x {\n  deny publish #\n  publish b\n}", "publish", "b");
	topic("role x {\n  publish ${group}/x\n  publish c if qos 0\n}", "publish", "c");
	topic("role x {\n  subscribe exact #\n}", "subscribe", "");
	topic("role x {\n}", "subscribe", "");
	topic("", "publish", "");
	site_topic("a/+/b/#", got, sizeof(got));
	assert_string_equal(got, "a/test/b/test");
	site_topic("", got, sizeof(got));
	assert_string_equal(got, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_over_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sudo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test(test_topics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
