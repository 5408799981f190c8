/* test_request: a real admin process asked over its unix socket, by root and by a stranger. */
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "house.h"

static struct house house;

static int dial(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/admin.sock", house.dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Send, read until the end or until the text holds `until`; the caller frees. */
static char *talk(const char *request, const char *until)
{
	size_t cap = 1 << 20, n = 0;
	char *got = calloc(cap, 1);
	int fd = dial();

	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};
		ssize_t r;

		assert_int_equal(poll(&p, 1, 20000), 1);
		r = recv(fd, got + n, cap - 1 - n, 0);
		if (r <= 0)
			break;
		n += (size_t)r;
		if (until != NULL && strstr(got, until) != NULL)
			break;
	}
	close(fd);
	return got;
}

static char *get(const char *path)
{
	char text[512];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		 path);
	return talk(text, NULL);
}

static char *post(const char *path, const char *body)
{
	size_t cap = strlen(body) + 512;
	char *text = malloc(cap), *got;

	snprintf(
		text, cap,
		"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
		path, strlen(body), body);
	got = talk(text, NULL);
	free(text);
	return got;
}

static void expect(char *got, const char *status, const char *has)
{
	if (strncmp(got + 9, status, 3) != 0 || strstr(got, has) == NULL)
		print_message("wanted %s with %s, got:\n%s\n", status, has, got);
	assert_memory_equal(got + 9, status, 3);
	assert_non_null(strstr(got, has));
	free(got);
}

static void test_status(void **state)
{
	char *got = get("/v1/status");

	assert_non_null(strstr(got, "\"ready\":true"));
	assert_non_null(strstr(got, "refused, OK"));
	assert_non_null(strstr(got, "\"never_connected\":29"));
	assert_non_null(strstr(got, "\"clients\":7"));
	assert_non_null(strstr(got, "BEGIN CERTIFICATE"));
	expect(got, "200", "\"unavailable\":[]");
}

static void test_bad_requests(void **state)
{
	char *big = malloc(1100000);

	expect(get("/v1/nothing"), "404", "E2002");
	expect(get("/"), "404", "E2002");
	expect(post("/v1/status", "{}"), "405", "E2002");
	expect(post("/v1/call", "not json"), "400", "E2001");
	expect(post("/v1/call", "[1]"), "400", "E2001");
	expect(post("/v1/call", "{\"op\":\"no.such\"}"), "400", "E2001");
	expect(post("/v1/call", "{\"op\":5}"), "400", "E2001");
	expect(post("/v1/clients/kick", "{}"), "400", "E2001");
	expect(post("/v1/ca/backup", "{\"passphrase\":\"short\"}"), "400", "E2001");
	memset(big, 'a', 1099999);
	big[1099999] = 0;
	expect(post("/v1/call", big), "413", "E2003");
	free(big);
	expect(talk("GET /v1/status HTTP/1.1\r\nHost: x\r\nOrigin: https://evil\r\nConnection: "
		    "close\r\n\r\n",
		    NULL),
	       "403", "E2005");
}

static void test_calls(void **state)
{
	char *long_text = malloc(50000), *body = malloc(51000);

	expect(post("/v1/call", "{\"op\":\"identity.list\"}"), "200", "\"esp01\"");
	expect(post("/v1/call", "{\"op\":\"role.set\",\"name\":\"x\"}"), "409", "E1102");
	/* Both ways larger than a message's tail. */
	expect(post("/v1/call", "{\"op\":\"policy.export\"}"), "200", "xxxxxxxx");
	memset(long_text, 'y', 49999);
	long_text[49999] = 0;
	snprintf(body, 51000, "{\"op\":\"policy.check\",\"text\":\"%s\"}", long_text);
	expect(post("/v1/call", body), "409", "E1102");
	assert_int_equal(house_calls(&house, "policy.check"), 1);
	free(long_text);
	free(body);
}

static void test_clients(void **state)
{
	expect(get("/v1/clients?identity=esp01"), "200", "\\\\x1b[2J\\\\xff");
	expect(post("/v1/clients/kick", "{\"identity\":\"esp01\"}"), "200", "\"kicked\":2");
	expect(post("/v1/clients/kick", "{\"identity\":\"other\"}"), "409", "E2007");
}

static void test_streams(void **state)
{
	char *got;

	expect(talk("GET /v1/watch?name=esp01 HTTP/1.1\r\nHost: x\r\n\r\n", "\"deny\""), "200",
	       "\"connect\"");
	expect(get("/v1/logs?lines=2"), "200", "three");
	got = get("/v1/logs?lines=2");
	assert_null(strstr(got, "one"));
	free(got);
	expect(talk("GET /v1/logs?lines=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n", "three"), "200",
	       "three");
}

/* The log is renamed when it is full; who follows it goes on with the next file. */
static bool there(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", house.dir, name);
	return access(path, F_OK) == 0;
}

static void put(const char *name, bool on)
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
	expect(get("/v1/store"), "200", "\"queued\":123456");
	expect(post("/v1/store/check", "{}"), "200", "\"sound\":true");
	put("broken", true);
	expect(get("/v1/store"), "200", "the store \\u001B was damaged");
	expect(post("/v1/store/check", "{}"), "200", "\"damaged\":3");
	put("broken", false);
}

/* The end of an answer in chunks: whoever does not see it knows that something is missing. */
static bool ends_well(const char *head, size_t n)
{
	return n > 5 && memcmp(head + n - 5, "0\r\n\r\n", 5) == 0;
}

static size_t backup_read(char *b, size_t cap)
{
	const char ask[] = "GET /v1/store/backup HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	int fd = dial();
	size_t n = 0;
	ssize_t r;

	assert_int_equal(send(fd, ask, strlen(ask), MSG_NOSIGNAL), strlen(ask));
	while ((r = recv(fd, b + n, cap - n, 0)) > 0)
		n += (size_t)r;
	close(fd);
	return n;
}

static void test_backup(void **state)
{
	size_t cap = 8 << 20, n;
	char *b = malloc(cap);

	n = backup_read(b, cap);
	assert_memory_equal(b + 9, "200", 3);
	assert_true(n > 40 * 65536);
	assert_true(ends_well(b, n));
	put("broken", true);
	n = backup_read(b, cap);
	put("broken", false);
	assert_memory_equal(b + 9, "200", 3);
	assert_true(n > 20 * 65536);
	assert_false(ends_well(b, n));
	free(b);
	/* One that nobody reads to its end: the admin process goes on. */
	expect(get("/v1/store"), "200", "\"epoch\":7");
}

static void test_restore(void **state)
{
	char *big = malloc((3 << 20) + 1), path[128];
	struct stat st;

	memset(big, 'x', 3 << 20);
	big[3 << 20] = '\0';
	memcpy(big, "good", 4);
	expect(post("/v1/store/restore", big), "200", "store.before-1");
	snprintf(path, sizeof(path), "%s/done", house.dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 3 << 20);
	memcpy(big, "evil", 4);
	expect(post("/v1/store/restore", big), "409", "the backup is damaged");
	expect(post("/v1/store/restore", ""), "400", "E2001");
	free(big);

	/* One who goes away in the middle; a second one meanwhile. */
	const char half[] = "POST /v1/store/restore HTTP/1.1\r\nHost: x\r\n"
			    "Content-Length: 1000000\r\n\r\ngood";
	int fd = dial();

	assert_int_equal(send(fd, half, strlen(half), MSG_NOSIGNAL), strlen(half));
	for (u32 i = 0; i < 2000 && !there("restored"); i++)
		usleep(10000);
	expect(post("/v1/store/restore", "good"), "409", "E2009");
	close(fd);
	for (u32 i = 0; i < 2000 && !there("dropped"); i++)
		usleep(10000);
	assert_true(there("dropped"));
}

static void test_log_turns_over(void **state)
{
	char log[80], old[80];
	FILE *next;
	pid_t pid;

	snprintf(log, sizeof(log), "%s/log", house.dir);
	snprintf(old, sizeof(old), "%s/log.1", house.dir);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		usleep(700 * 1000);
		if (rename(log, old) != 0 || (next = fopen(log, "w")) == NULL)
			_exit(1);
		fputs("one\ntwo\nthree\nfour\n", next);
		_exit(fclose(next));
	}
	expect(talk("GET /v1/logs?lines=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n", "four"), "200",
	       "four");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(unlink(old), 0);
}

static void test_rest(void **state)
{
	expect(get("/v1/ca"), "200", "BEGIN CERTIFICATE");
	expect(get("/v1/config"), "200", "mqtts");
	expect(get("/v1/api"), "200", "/v1/ca/backup");
	expect(get("/v1/api"), "200", "identity.rotate");
	expect(post("/v1/reload", "{}"), "409", "unknown option foo");
	expect(post("/v1/ca/backup", "{\"passphrase\":\"long enough\"}"), "200", "BEGIN");
}

/* Many at once, each answered with its own. */
static void test_together(void **state)
{
	int fd[20];
	char buf[8192];

	for (u32 i = 0; i < ARRAY_LEN(fd); i++) {
		const char *r =
			i % 2 ? "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
			      : "GET /v1/ca HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

		fd[i] = dial();
		assert_int_equal(send(fd[i], r, strlen(r), 0), strlen(r));
	}
	for (u32 i = 0; i < ARRAY_LEN(fd); i++) {
		ssize_t r, n = 0;

		while ((r = recv(fd[i], buf + n, sizeof(buf) - 1 - (size_t)n, 0)) > 0)
			n += r;
		buf[n] = 0;
		assert_non_null(strstr(buf, i % 2 ? "\"processes\"" : "x-pem-file"));
		close(fd[i]);
	}
}

/* A stranger who only sits there does not keep others out. */
static void test_strangers_sit(void **state)
{
	pid_t pid;
	int status;

	if (getuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
			_exit(3);
		for (u32 i = 0; i < 100; i++)
			(void)dial();
		pause();
	}
	usleep(100000);
	expect(get("/v1/ca"), "200", "BEGIN CERTIFICATE");
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* A user who is neither root nor in a group is told so, whatever is asked. */
static void test_stranger(void **state)
{
	pid_t pid;
	int status;

	if (getuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		static const char *const paths[] = {"/v1/status", "/v1/ca", "/v1/logs", "/v1/none",
						    "/v1/api"};

		if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
			_exit(3);
		for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
			char *got = get(paths[i]);

			if (strncmp(got + 9, "403", 3) != 0 || strstr(got, "E2005") == NULL)
				_exit(4);
			free(got);
		}
		free(post("/v1/call", "{\"op\":\"identity.remove\",\"name\":\"esp01\"}"));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(house_calls(&house, "identity.remove"), 0);
}

static int setup(void **state)
{
	house_start(&house);
	return 0;
}

static int teardown(void **state)
{
	house_stop(&house);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),	       cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_calls),	       cmocka_unit_test(test_clients),
		cmocka_unit_test(test_streams),	       cmocka_unit_test(test_store),
		cmocka_unit_test(test_backup),	       cmocka_unit_test(test_restore),
		cmocka_unit_test(test_log_turns_over), cmocka_unit_test(test_rest),
		cmocka_unit_test(test_together),       cmocka_unit_test(test_stranger),
		cmocka_unit_test(test_strangers_sit),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
