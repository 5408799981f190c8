/* The look at a file that may be damaged: all of it, or what a start reads and no more. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "help.h"
#include "store/check.h"

enum { WAITING = 5000 }; /* more records than are looked at before anybody is asked */

static int setup(void **state)
{
	struct house *h = malloc(sizeof(*h));

	house_make(h, ON_DISK);
	house_session(h, 1);
	batch_session(h->b, 2)->session->client_id = SLICE_LIT("client-2");
	for (u64 seq = 1; seq <= WAITING; seq++)
		(void)house_put(h, 2, seq, 0, seq == WAITING ? "the last one" : "x");
	house_commit(h);
	store_close(&h->s);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	house_free(*state);
	free(*state);
	return 0;
}

static void damage(struct house *h, const char *text)
{
	int fd = openat(h->dir_fd, "data.mdb", O_RDWR);
	struct stat st;
	u8 *b, *at;
	u32 n = 0;

	assert_int_equal(fstat(fd, &st), 0);
	b = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(b, MAP_FAILED);
	/* Older versions of its page may lie about. */
	for (at = b; (at = memmem(at, (size_t)(b + st.st_size - at), text, strlen(text))) != NULL;
	     n++)
		*at ^= 1;
	assert_true(n > 0);
	munmap(b, (size_t)st.st_size);
	close(fd);
}

static bool until_start(void *arg)
{
	return !((const struct check_report *)arg)->start;
}

static enum err look(struct house *h, bool part, struct check_report *r)
{
	int fd = openat(h->dir_fd, "data.mdb", O_RDONLY);
	char text[200];
	enum err e = check_file(fd, NULL, part ? until_start : NULL, r, r, text, sizeof(text));

	close(fd);
	return e;
}

static void a_part_is_all_that_a_start_reads(void **state)
{
	struct house *h = *state;
	struct check_report all, part;

	assert_int_equal(look(h, false, &all), E_OK);
	assert_true(all.records > WAITING);
	assert_int_equal(look(h, true, &part), E_STATE);
	assert_true(part.start);
	assert_true(part.records < WAITING);
	assert_int_equal(all.damaged + all.lost + part.damaged + part.lost, 0);
}

static void a_part_finds_a_damaged_session(void **state)
{
	struct house *h = *state;
	struct check_report r;

	damage(h, "client-2");
	assert_int_equal(look(h, true, &r), E_STATE);
	assert_int_equal(r.damaged, 1);
}

static void only_the_whole_finds_a_damaged_message(void **state)
{
	struct house *h = *state;
	struct check_report r;

	damage(h, "the last one");
	assert_int_equal(look(h, true, &r), E_STATE);
	assert_int_equal(r.damaged, 0);
	assert_int_equal(look(h, false, &r), E_OK);
	assert_int_equal(r.damaged, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_part_is_all_that_a_start_reads),
		T(a_part_finds_a_damaged_session),
		T(only_the_whole_finds_a_damaged_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
