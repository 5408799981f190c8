/* supervisor_store: what has to be right with the store of sessions before broker may open it.
 *
 * After an end that was not in order a process of its own, which can do nothing but read one file,
 * looks at the store first.  What is damaged, foreign or from a later release is set aside, never
 * overwritten, and broker starts all the same.  Knows names, owners and times of files, and nothing
 * of what is in them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/broker.h"
#include "proc/supervisor.h"

#define STORE "store"
#define DATA  "data.mdb"
#define FRESH "store.new"
#define MARK  "store.clean"

enum {
	NAMES_TRIED = 100,
	CRASHES_MAX = 3, /* of broker before it served, until the store is to blame */
};

void sup_alarm(struct sup *s, const char *fmt, ...)
{
	const struct m_event m = {clock_wall_ms()};
	u8 tail[1024];
	struct wr w = wr_of(tail, sizeof(tail));
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->store.trouble, sizeof(s->store.trouble), fmt, ap);
	va_end(ap);
	sup_say(s, LOG_ERROR, "alarm", "%s", s->store.trouble);
	ipc_put_str(&w, SLICE_NONE);
	ipc_put_str(&w, SLICE_LIT("alarm"));
	ipc_put_str(&w, slice_str(s->store.trouble));
	sup_send(s, ROLE_ADMIN, IPC_EVENT, 0, &m, wr_done(&w), -1);
}

/* ---- the folder ------------------------------------------------------------------------------ */
bool store_folder(struct sup *s)
{
	const struct sup_child *broker = &s->child[ROLE_BROKER];

	if (!s->conf.persistence)
		return true;
	if (s->store.dir >= 0)
		close(s->store.dir);
	s->store.dir = sup_folder(s, STORE, broker->uid, broker->gid);
	return s->store.dir >= 0;
}

/* Only what broker and we put into such a folder; what somebody else did keeps it. */
static void folder_remove(struct sup *s, const char *name)
{
	static const char *const files[] = {DATA, "lock.mdb", "ballast"};
	int dir = openat(s->state, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlinkat(dir, files[i], 0);
	close(dir);
	unlinkat(s->state, name, AT_REMOVEDIR);
}

int store_fresh(struct sup *s)
{
	const struct sup_child *broker = &s->child[ROLE_BROKER];

	folder_remove(s, FRESH);
	return sup_folder(s, FRESH, broker->uid, broker->gid);
}

void store_fresh_remove(struct sup *s)
{
	folder_remove(s, FRESH);
}

/* store.bad-20261124T101500Z, or the same and a number where that is taken. */
static bool rename_free(struct sup *s, const char *prefix, char *name, size_t cap)
{
	time_t now = (time_t)(clock_wall_ms() / 1000);
	char when[32];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	for (u32 i = 0; i < NAMES_TRIED; i++) {
		int n = snprintf(name, cap, i == 0 ? "%s-%s" : "%s-%s-%u", prefix, when, i);
		ASSERT(n > 0 && (size_t)n < cap);
		if (renameat2(s->state, STORE, s->state, name, RENAME_NOREPLACE) == 0)
			return true;
		if (errno != EEXIST)
			return false;
	}
	return false;
}

bool store_put_back(struct sup *s, const char *name)
{
	folder_remove(s, STORE);
	return renameat2(s->state, name, s->state, STORE, RENAME_NOREPLACE) == 0 &&
	       fsync(s->state) == 0 && store_folder(s);
}

enum err store_swap(struct sup *s, const char *prefix, enum store_next next, char *name, size_t cap)
{
	int why;

	unlinkat(s->state, MARK, 0);
	if (!rename_free(s, prefix, name, cap))
		return E_IO;
	if ((next == STORE_EMPTY || renameat(s->state, FRESH, s->state, STORE) == 0) &&
	    store_folder(s) && fsync(s->state) == 0)
		return E_OK;
	why = errno;
	(void)store_put_back(s, name);
	errno = why;
	return E_IO;
}

/* ---- the mark of an orderly end -------------------------------------------------------------- */
/* What the file looked like when broker had closed it. */
static bool mark_text(struct sup *s, char *text, size_t cap)
{
	struct stat st;

	if (fstatat(s->store.dir, DATA, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	snprintf(text, cap, "%llu %llu %lld.%09ld\n", (unsigned long long)st.st_ino,
		 (unsigned long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	return true;
}

static void mark_put(struct sup *s)
{
	char text[128];
	int fd;
	bool ok;

	if (!mark_text(s, text, sizeof(text)))
		return;
	fd = openat(s->state, MARK, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return; /* the next start looks closer, nothing more */
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
	close(fd);
	if (!ok)
		unlinkat(s->state, MARK, 0);
}

static bool mark_fits(struct sup *s)
{
	char now[128], then[128] = "";
	int fd = openat(s->state, MARK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? 0 : read(fd, then, sizeof(then) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 && mark_text(s, now, sizeof(now)) && strcmp(now, then) == 0;
}

/* ---- looking at it --------------------------------------------------------------------------- */
/* A file that broker made, and nobody else can have a hand in. */
static bool file_is_ours(const struct sup *s, const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_nlink == 1 &&
	       st->st_uid == s->child[ROLE_BROKER].uid && !(st->st_mode & 077);
}

static enum store_phase look(struct sup *s)
{
	struct stat st;

	if (fstatat(s->store.dir, DATA, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? STORE_SOUND
				       : store_aside(s, "cannot be read", RESCUE_NOTHING);
	if (!file_is_ours(s, &st))
		return store_aside(s, "is not a plain file of broker's alone", RESCUE_NOTHING);
	if (s->store.suspect)
		return store_aside(s, "is damaged", RESCUE_WHAT_CAN_BE_READ);
	return st.st_size == 0 || mark_fits(s) ? STORE_SOUND : store_look(s);
}

bool store_keyless(const struct sup *s)
{
	return s->conf.store_encryption && strcmp(s->conf.store_key, "keys") == 0 &&
	       s->store.key < 0;
}

bool store_ready(struct sup *s)
{
	if (!s->conf.persistence)
		return true;
	if (s->store.phase == STORE_UNSEEN)
		s->store.phase = look(s);
	if (s->store.phase == STORE_LOST)
		sup_fail(s);
	s->store.wanted = s->store.phase == STORE_SOUND && store_keyless(s);
	if (s->store.phase != STORE_SOUND || s->store.wanted)
		return false;
	unlinkat(s->state, MARK, 0); /* else the next end would look like an orderly one */
	return true;
}

void store_go_on(struct sup *s, enum store_phase phase)
{
	if (s->phase == PH_STARTING)
		sup_patience(s, 0);
	s->store.phase = phase;
	if (s->child[ROLE_BROKER].pid == 0)
		child_spawn(s, ROLE_BROKER);
}

/* ---- broker ---------------------------------------------------------------------------------- */
static bool crashed(int status)
{
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	return sig == SIGSEGV || sig == SIGBUS || sig == SIGABRT || sig == SIGILL || sig == SIGFPE;
}

bool store_broker_died(struct sup *s, int status)
{
	bool damaged = WIFEXITED(status) && WEXITSTATUS(status) == BROKER_STORE_DAMAGED;

	s->store.serving = false;
	if (s->phase != PH_STOPPING)
		restore_drop(s);
	if (!s->conf.persistence || s->store.phase != STORE_SOUND)
		return false;
	s->store.phase = STORE_UNSEEN;
	if (s->phase != PH_STOPPING && restore_broker_died(s))
		return true;
	if (s->phase == PH_STOPPING) {
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			mark_put(s);
		return false;
	}
	/* What was not looked at yet may have done it. */
	s->store.doubtful = crashed(status);
	s->store.crashes = crashed(status) && !s->store.served ? s->store.crashes + 1 : 0;
	s->store.served = false;
	s->store.suspect = damaged || s->store.crashes >= CRASHES_MAX;
	/* A new one cannot be to blame. */
	if (s->store.suspect && s->store.anew) {
		s->store.suspect = false;
		return false;
	}
	s->store.anew = s->store.suspect;
	return damaged || s->store.crashes != 0;
}

void store_serving(struct sup *s, const struct m_serving *m)
{
	s->store.serving = s->store.served = true;
	s->store.epoch = m->epoch;
	s->store.epoch_min = 0;
	s->store.crashes = 0;
	s->store.anew = false;
	if (m->persistent == 0)
		return;
	restore_serving(s);
	sup_say(s, LOG_INFO, "stored",
		"%llu sessions, %llu subscriptions, %llu retained messages in %u.%03u s; %llu "
		"whose "
		"owner or time had gone, %llu damaged records left out",
		(unsigned long long)m->sessions, (unsigned long long)m->subscriptions,
		(unsigned long long)m->retained, m->ms / 1000, m->ms % 1000,
		(unsigned long long)m->dropped, (unsigned long long)m->damaged);
	if (m->damaged != 0)
		sup_alarm(s, "%llu records of the store were damaged and are lost",
			  (unsigned long long)m->damaged);
}

/* ---- its key --------------------------------------------------------------------------------- */
void store_key_came(struct sup *s, struct ipc_msg *m)
{
	if (s->store.key >= 0)
		close(s->store.key);
	s->store.key = m->fd;
	m->fd = -1;
	look_key_came(s);
	if (s->store.wanted && s->phase != PH_STOPPING && s->child[ROLE_BROKER].pid == 0) {
		s->store.wanted = false;
		child_spawn(s, ROLE_BROKER);
	}
}
