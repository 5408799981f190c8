/* Lines are caught by putting a pipe in the place of fd 2. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "test.h"

static int saved = -1, pipe_in = -1;
static char got[4096];

static void catch_begin(void)
{
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	saved = dup(2);
	assert_true(saved >= 0);
	assert_int_equal(dup2(fd[1], 2), 2);
	close(fd[1]);
	pipe_in = fd[0];
}

/* What was written since, with the time stamp cut off. */
static const char *catch_end(void)
{
	ssize_t n;

	assert_int_equal(dup2(saved, 2), 2);
	close(saved);
	n = read(pipe_in, got, sizeof(got) - 1);
	close(pipe_in);
	assert_true(n >= 0);
	got[n] = '\0';
	return n > 25 ? got + 25 : got;
}

static void a_line_has_time_level_process_and_fields(void **state)
{
	struct logline l;
	const char *text;

	log_setup("broker", LOG_INFO);
	catch_begin();
	log_begin(&l, LOG_INFO, "refused");
	log_peer(&l, "identity", SLICE_LIT("esp07"));
	log_word(&l, "addr", "203.0.113.9");
	log_num(&l, "tries", UINT64_MAX);
	log_err(&l, E_CREDENTIAL);
	log_end(&l);
	text = catch_end();
	assert_string_equal(text, "info broker event=refused identity=\"esp07\" addr=203.0.113.9 "
				  "tries=18446744073709551615 reason=auth_failed\n");
	assert_int_equal(got[10], 'T');
	assert_int_equal(got[19], '.');
	assert_int_equal(got[23], 'Z');
}

static void below_the_level_is_silent(void **state)
{
	struct logline l;

	log_setup("broker", LOG_WARN);
	catch_begin();
	log_begin(&l, LOG_INFO, "quiet");
	log_peer(&l, "a", SLICE_LIT("b"));
	log_num(&l, "c", 1);
	log_end(&l);
	log_msg(LOG_DEBUG, "quiet", "%d", 1);
	assert_string_equal(catch_end(), "");
	log_setup("broker", LOG_INFO);
}

static void hostile_bytes_are_escaped(void **state)
{
	struct logline l;

	catch_begin();
	log_begin(&l, LOG_INFO, "e");
	log_peer(&l, "id", SLICE_LIT("a\nb\r\0\"\\\x1b[31m\xc3\xa9\x7f"));
	log_end(&l);
	assert_string_equal(catch_end(),
			    "info broker event=e "
			    "id=\"a\\x0ab\\x0d\\x00\\x22\\x5c\\x1b[31m\\xc3\\xa9\\x7f\"\n");
}

static void every_byte_stays_on_one_line(void **state)
{
	for (unsigned c = 0; c < 256; c++) {
		u8 b = (u8)c;
		char out[8];
		size_t n = log_escape(slice_of(&b, 1), out, sizeof(out));
		assert_int_equal(strlen(out), n);
		for (size_t i = 0; i < n; i++)
			assert_true(out[i] >= 0x20 && out[i] < 0x7f && out[i] != '"');
	}
}

static void escapes_are_not_cut(void **state)
{
	char out[8];

	assert_int_equal(log_escape(SLICE_LIT("ab\n\n"), out, sizeof(out)), 6);
	assert_string_equal(out, "ab\\x0a");
	assert_int_equal(log_escape(SLICE_LIT("abc"), out, 1), 0);
	assert_string_equal(out, "");
	assert_int_equal(log_escape(SLICE_LIT("abc"), NULL, 0), 0);
}

static void peer_values_are_cut_at_128(void **state)
{
	struct logline l;
	char big[500];

	memset(big, 'x', sizeof(big));
	catch_begin();
	log_begin(&l, LOG_INFO, "e");
	log_peer(&l, "id", slice_of(big, sizeof(big)));
	log_end(&l);
	assert_int_equal(strlen(catch_end()), strlen("info broker event=e id=\"\"\n") + 128);
}

static void a_full_line_drops_fields_whole(void **state)
{
	struct logline l;
	char big[128];
	const char *text;

	memset(big, 'x', sizeof(big));
	catch_begin();
	log_begin(&l, LOG_INFO, "e");
	for (int i = 0; i < 20; i++)
		log_peer(&l, "id", slice_of(big, sizeof(big)));
	log_word(&l, "last", "kept");
	log_end(&l);
	text = catch_end();
	assert_true(strlen(text) < 1024);
	assert_non_null(strstr(text, "x\" last=kept\n"));
}

static void a_message_of_ours_is_escaped_too(void **state)
{
	catch_begin();
	log_msg(LOG_ERROR, "start", "cannot open \"%s\"\n", "/etc/x");
	assert_string_equal(catch_end(), "error broker event=start msg=\"cannot open "
					 "\\x22/etc/x\\x22\\x0a\"\n");
}

static void a_broken_assertion_says_where_and_aborts(void **state)
{
	int status;
	pid_t pid;

	catch_begin();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		ASSERT(saved == -7);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	catch_end();
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(got, "test_log.c:"));
	assert_non_null(strstr(got, "assertion failed: saved == -7\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_time_level_process_and_fields),
		cmocka_unit_test(below_the_level_is_silent),
		cmocka_unit_test(hostile_bytes_are_escaped),
		cmocka_unit_test(every_byte_stays_on_one_line),
		cmocka_unit_test(escapes_are_not_cut),
		cmocka_unit_test(peer_values_are_cut_at_128),
		cmocka_unit_test(a_full_line_drops_fields_whole),
		cmocka_unit_test(a_message_of_ours_is_escaped_too),
		cmocka_unit_test(a_broken_assertion_says_where_and_aborts),
	};

	return RUN_TESTS(tests);
}
