/* store_salvage: from the file of a damaged store to a store that opens and hands out what is
 * left. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "help.h"
#include "store/salvage.h"

enum { SESSIONS = 3, MESSAGES = 40 };

static void fill(struct house *h)
{
	for (u64 sid = 1; sid <= SESSIONS; sid++) {
		house_session(h, sid);
		for (u64 seq = 1; seq <= MESSAGES; seq++)
			house_put(h, sid, seq, seq % 3 == 0 ? 1000 + seq : 0, "a message");
	}
	house_commit(h);
}

/* The old file as a copy in memory, and the folder empty. */
static int take_file(struct house *h)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "ballast"};
	int fd = openat(h->dir_fd, "data.mdb", O_RDONLY | O_CLOEXEC), copy;
	struct stat st;
	u8 *b;

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	b = malloc((size_t)st.st_size);
	assert_int_equal(pread(fd, b, (size_t)st.st_size, 0), st.st_size);
	close(fd);
	copy = memfd_create("old", MFD_CLOEXEC);
	assert_int_equal(write(copy, b, (size_t)st.st_size), st.st_size);
	free(b);
	for (u32 i = 0; i < ARRAY_LEN(names); i++)
		unlinkat(h->dir_fd, names[i], 0);
	return copy;
}

static struct store_options options_of(const struct house *h)
{
	return (struct store_options){.dir_fd = h->dir_fd,
				      .path = h->dir,
				      .map_bytes = 64u << 20,
				      .key = h->kind == SEALED ? house_key : NULL,
				      .wall_ms = h->wall,
				      .mono_ms = h->mono};
}

static u32 waiting(struct house *h, u64 sid)
{
	house_read(h, sid, 0, 1000);
	house_commit(h);
	return h->read[0].n;
}

static void rescue(enum house_kind kind, bool damage)
{
	struct salvage_report r;
	struct store_options o;
	char text[128] = "";
	struct house h;
	u64 epoch;
	u32 n = 0;
	int old;

	house_make(&h, kind);
	fill(&h);
	epoch = store_epoch(h.s);
	store_close(&h.s);
	old = take_file(&h);
	for (off_t at = 4096 * 2; damage && at < 4096 * 40; at += 4096 * 5)
		assert_int_equal(pwrite(old, "damaged, sadly", 14, at + 64), 14);
	o = options_of(&h);
	assert_int_equal(store_salvage(old, &o, &r, text, sizeof(text)), E_OK);
	assert_int_equal(store_salvage(old, &o, &r, text, sizeof(text)), E_EXISTS);
	close(old);
	assert_int_equal(house_open(&h, o.key), E_OK);
	assert_true(store_epoch(h.s) > epoch);
	assert_false(store_was_clean(h.s));
	for (u64 sid = 1; sid <= SESSIONS; sid++)
		n += waiting(&h, sid);
	if (damage)
		assert_true(n <= SESSIONS * MESSAGES);
	else
		assert_int_equal(n, SESSIONS * MESSAGES);
	/* It is a store like any other. */
	house_session(&h, store_number(store_epoch(h.s), 0, 1));
	house_put(&h, store_number(store_epoch(h.s), 0, 1), store_sequence(store_epoch(h.s)) + 1, 0,
		  "new");
	house_commit(&h);
	house_free(&h);
}

static void plain(void **state)
{
	(void)state;
	rescue(ON_DISK, false);
	rescue(ON_DISK, true);
}

static void sealed(void **state)
{
	(void)state;
	rescue(SEALED, false);
	rescue(SEALED, true);
}

static void nothing_to_rescue(void **state)
{
	struct salvage_report r;
	struct store_options o;
	char text[128] = "";
	struct house h;
	int old;

	(void)state;
	house_make(&h, ON_DISK);
	store_close(&h.s);
	close(take_file(&h));
	old = memfd_create("old", MFD_CLOEXEC);
	assert_int_equal(write(old, "SQLite format 3", 15), 15);
	o = options_of(&h);
	assert_int_equal(store_salvage(old, &o, &r, text, sizeof(text)), E_CORRUPT);
	assert_string_not_equal(text, "");
	close(old);
	take_file(&h);
	assert_int_equal(house_open(&h, NULL), E_OK);
	house_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(sealed),
		cmocka_unit_test(nothing_to_rescue),
	};

	return cmocka_run_group_tests_name("store/rescue", tests, NULL, NULL);
}
