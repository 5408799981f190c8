/* supervisor_look: the processes that read a store which may be damaged, and what follows from what
 * they find: broker starts with it, or with what could be saved of it, or with an empty one; what
 * was not good enough is set aside, never overwritten. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/supervisor.h"

#define DATA "data.mdb"
#define BAD  "store.bad"

enum {
	CHECK_MS = 600 * 1000, /* only a slow disk takes that long */
	SALVAGE_MS = 3600 * 1000,
	PART_MS = 500, /* what a start waits for the look at what it does not read */
};

/* ---- the two processes ----------------------------------------------------------------------- */
/* Where the next one writes what it has found; it finds there what it is asked. */
static int result_new(struct sup *s, u32 within_ms)
{
	if (s->store.result >= 0)
		close(s->store.result);
	s->store.look = (struct look){.within_ms = within_ms};
	s->store.result = memfd_create("picket-look", MFD_CLOEXEC);
	if (s->store.result >= 0)
		look_write(s->store.result, &s->store.look);
	return s->store.result;
}

static void result_take(struct sup *s)
{
	look_read(s->store.result, &s->store.look);
	close(s->store.result);
	s->store.result = -1;
}

static int data_open(struct sup *s)
{
	return openat(s->store.dir, DATA, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

bool look_begin(struct sup *s, int fd, u32 within_ms)
{
	struct handed h = {2, {fd, result_new(s, within_ms)}};
	bool ok = fd >= 0 && h.fd[1] >= 0 && child_fork(s, ROLE_CHECK, &h);

	if (!ok)
		sup_say(s, LOG_WARN, "store", "nobody looks at the store: %s", strerror(errno));
	return ok;
}

static bool salvage_fork(struct sup *s, int data, int fresh, int conf, int key)
{
	struct handed h = {5, {data, fresh, result_new(s, 0), conf, key}};

	h.n -= key < 0; /* the last, and not needed for a plain one */
	return data >= 0 && fresh >= 0 && h.fd[2] >= 0 && conf >= 0 &&
	       (key >= 0 || !s->conf.store_encryption) && child_fork(s, ROLE_SALVAGE, &h);
}

static bool salvage_begin(struct sup *s)
{
	int conf = ipc_memfd("picket-config", slice_of(&s->conf, sizeof(s->conf)));
	int fd[] = {data_open(s), store_fresh(s), conf, files_store_key(s)};
	bool ok = salvage_fork(s, fd[0], fd[1], fd[2], fd[3]);

	if (!ok)
		sup_say(s, LOG_WARN, "store", "nobody can save anything: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		if (fd[i] >= 0)
			close(fd[i]);
	}
	return ok;
}

/* ---- setting aside --------------------------------------------------------------------------- */
static enum store_phase move(struct sup *s, const char *why, enum store_next next)
{
	char name[64];

	if (store_swap(s, BAD, next, name, sizeof(name)) != E_OK) {
		sup_say(s, LOG_ERROR, "store", "%s/store %s, and cannot be moved: %s",
			s->conf.state_dir, why, strerror(errno));
		return STORE_LOST;
	}
	sup_alarm(s, "the store of sessions %s; %s; all of it is kept as %s/%s", why,
		  next == STORE_FRESH ? s->store.look.text : "a new one has been begun",
		  s->conf.state_dir, name);
	return STORE_SOUND;
}

enum store_phase store_aside(struct sup *s, const char *why, enum store_rescue rescue)
{
	if (rescue == RESCUE_NOTHING)
		return move(s, why, STORE_EMPTY);
	s->store.why = why;
	if (s->phase == PH_STARTING)
		sup_patience(s, SALVAGE_MS);
	if (!store_keyless(s) && !salvage_begin(s))
		return move(s, why, STORE_EMPTY);
	return STORE_SALVAGING;
}

void look_key_came(struct sup *s)
{
	if (s->phase == PH_STOPPING || s->store.phase != STORE_SALVAGING ||
	    s->child[ROLE_SALVAGE].pid != 0)
		return;
	if (!salvage_begin(s))
		store_go_on(s, move(s, s->store.why, STORE_EMPTY));
}

static void salvaged(struct sup *s, int status)
{
	bool done = WIFEXITED(status) && WEXITSTATUS(status) == SALVAGE_DONE;

	if (!done)
		store_fresh_remove(s);
	store_go_on(s, move(s, s->store.why, done ? STORE_FRESH : STORE_EMPTY));
}

/* ---- looking --------------------------------------------------------------------------------- */
enum store_phase store_look(struct sup *s)
{
	bool ok;
	int fd;

	if (s->child[ROLE_CHECK].pid != 0)
		return STORE_UNSEEN; /* when that one has ended */
	fd = data_open(s);
	ok = look_begin(s, fd, s->store.doubtful ? 0 : PART_MS);
	if (fd >= 0)
		close(fd);
	if (!ok)
		return STORE_SOUND; /* the reason is in the log */
	if (s->phase == PH_STARTING)
		sup_patience(s, CHECK_MS);
	return STORE_CHECKING;
}

const char *look_verdict(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHECK_SOUND)
		return NULL;
	return WIFEXITED(status) && WEXITSTATUS(status) == CHECK_FOREIGN
		       ? "is not one that this release can read"
		       : "is damaged";
}

static void checked(struct sup *s, int status)
{
	u64 ms = clock_mono_ms() - s->child[ROLE_CHECK].started_ms;
	bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	const char *why = killed ? NULL : look_verdict(status);
	bool foreign = WIFEXITED(status) && WEXITSTATUS(status) == CHECK_FOREIGN;

	if (s->store.phase != STORE_CHECKING) {
		/* It looked at something else: now it is our turn. */
		store_go_on(s, s->store.phase);
		return;
	}
	if (killed)
		sup_say(s, LOG_WARN, "store", "the look at the store did not come to its end");
	else if (why == NULL && s->store.look.part)
		sup_say(s, LOG_INFO, "store",
			"the store is sound as far as it was looked at: %s (%llu ms)",
			s->store.look.text, (unsigned long long)ms);
	else
		sup_say(s, why == NULL ? LOG_INFO : LOG_ERROR, "store",
			"the store %s: %s (%llu ms)", why == NULL ? "is sound" : why,
			s->store.look.text, (unsigned long long)ms);
	store_go_on(s, why == NULL
			       ? STORE_SOUND
			       : store_aside(s, why,
					     foreign ? RESCUE_NOTHING : RESCUE_WHAT_CAN_BE_READ));
}

void look_ended(struct sup *s, enum role role, int status)
{
	result_take(s);
	if (s->phase == PH_STOPPING)
		return;
	if (role == ROLE_SALVAGE)
		salvaged(s, status);
	else if (!restore_checked(s, status))
		checked(s, status);
}
