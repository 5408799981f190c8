/* supervisor_restore: a backup takes the place of the store, or nothing has happened.
 *
 * admin writes the backup into a new file that it is given; the same process as after an end out of
 * order looks at it; broker ends, the folders change names, broker begins anew.  When broker cannot
 * use it, the names change back.  What is replaced is kept. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/supervisor.h"

#define DATA   "data.mdb"
#define BEFORE "store.before"

enum { STOP_MS = 8 * 1000 };

static void answer(struct sup *s, enum err e, const char *text, int fd)
{
	struct m_sup_reply r = {.err = e};
	u8 tail[512];
	struct wr w = wr_of(tail, sizeof(tail));

	ipc_put_str(&w, slice_str(text));
	sup_send(s, ROLE_ADMIN, IPC_SUP_REPLY, s->store.restore.id, &r, wr_done(&w), fd);
}

/* ---- the folder of the new one --------------------------------------------------------------- */
static int fresh_file(struct sup *s)
{
	const struct sup_child *broker = &s->child[ROLE_BROKER];
	int dir = store_fresh(s), fd;

	if (dir < 0)
		return -1;
	fd = openat(dir, DATA, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 &&
	    ((s->root && fchown(fd, broker->uid, broker->gid) != 0) || fsync(dir) != 0)) {
		close(fd);
		fd = -1;
	}
	close(dir);
	return fd;
}

/* ---- its end --------------------------------------------------------------------------------- */
static void over(struct sup *s, enum err e, const char *text)
{
	struct sup_restore *r = &s->store.restore;

	if (r->fd >= 0)
		close(r->fd);
	answer(s, e, text, -1);
	*r = (struct sup_restore){.fd = -1};
	if (e != E_OK)
		store_fresh_remove(s);
}

void restore_drop(struct sup *s)
{
	struct sup_restore *r = &s->store.restore;

	/* From when broker is told to end on it goes its way, and the answer reaches nobody. */
	if (r->phase != RESTORE_WRITING && r->phase != RESTORE_CHECKING)
		return;
	if (r->phase == RESTORE_CHECKING && s->child[ROLE_CHECK].pid != 0)
		child_kill(s, ROLE_CHECK, "looks at a backup that nobody waits for");
	over(s, E_STATE, "the restore was given up");
}

/* ---- its steps ------------------------------------------------------------------------------- */
static void begin(struct sup *s, u64 id)
{
	struct sup_restore *r = &s->store.restore;
	bool able = s->conf.persistence && s->phase == PH_SERVING && s->store.serving;

	if (r->phase != RESTORE_NONE) {
		struct m_sup_reply busy = {.err = E_BUSY};
		sup_send(s, ROLE_ADMIN, IPC_SUP_REPLY, id, &busy, SLICE_NONE, -1);
		return;
	}
	r->id = id;
	r->fd = able ? fresh_file(s) : -1;
	if (r->fd < 0) {
		over(s, able ? E_IO : E_STATE,
		     able		   ? strerror(errno)
		     : s->conf.persistence ? "picketd is busy with a start or a reload; try again"
					   : "persistence is off");
		return;
	}
	r->phase = RESTORE_WRITING;
	answer(s, E_OK, "", r->fd);
}

static void look(struct sup *s, u64 id)
{
	struct sup_restore *r = &s->store.restore;

	r->id = id;
	if (fsync(r->fd) != 0) {
		over(s, E_IO, strerror(errno));
	} else if (s->child[ROLE_CHECK].pid != 0 || s->child[ROLE_BROKER].pid == 0 ||
		   !look_begin(s, r->fd, 0)) {
		over(s, E_BUSY, "broker is restarting; try again");
	} else {
		r->phase = RESTORE_CHECKING;
	}
}

void restore_call(struct sup *s, u64 id, u32 op)
{
	if (op == SUP_RESTORE_OPEN)
		begin(s, id);
	else if (op == SUP_RESTORE_DONE && s->store.restore.phase == RESTORE_WRITING)
		look(s, id);
	else if (op == SUP_RESTORE_DROP)
		restore_drop(s);
	else
		child_kill(s, ROLE_ADMIN, "ended a restore that it had not begun");
}

bool restore_checked(struct sup *s, int status)
{
	const struct m_none none = {0};
	const char *why = look_verdict(status);

	if (s->store.restore.phase != RESTORE_CHECKING)
		return false;
	if (s->child[ROLE_BROKER].pid == 0) {
		over(s, E_BUSY, "broker is restarting; try again");
		return false; /* broker waits for its own look */
	}
	if (why != NULL) {
		char text[128];
		snprintf(text, sizeof(text), "the backup %s", why);
		over(s, E_CORRUPT, text);
		return true;
	}
	s->store.restore.phase = RESTORE_STOPPING;
	s->store.restore.stop_by_ms = clock_mono_ms() + STOP_MS;
	sup_send(s, ROLE_BROKER, IPC_STOP, 0, &none, SLICE_NONE, -1);
	return true;
}

void restore_timer(struct sup *s, u64 now_ms)
{
	struct sup_restore *r = &s->store.restore;

	if (r->stop_by_ms == 0 || now_ms < r->stop_by_ms)
		return;
	r->stop_by_ms = 0;
	if (s->child[ROLE_BROKER].pid != 0)
		child_kill(s, ROLE_BROKER, "did not stop in time");
}

bool restore_broker_died(struct sup *s)
{
	struct sup_restore *r = &s->store.restore;

	if (r->phase == RESTORE_STOPPING) {
		if (store_swap(s, BEFORE, STORE_FRESH, r->before, sizeof(r->before)) != E_OK) {
			over(s, E_IO, strerror(errno));
			return true;
		}
		s->store.phase = STORE_SOUND;
		r->stop_by_ms = 0;
		s->store.epoch_min = s->store.epoch + 1;
		r->phase = RESTORE_STARTING;
		return true;
	}
	if (r->phase != RESTORE_STARTING)
		return false;
	if (store_put_back(s, r->before)) {
		over(s, E_CORRUPT,
		     "broker could not use it, picket logs says why; the store is as it was");
	} else {
		sup_alarm(s,
			  "the store from before the restore is in %s/%s and could not be put back",
			  s->conf.state_dir, r->before);
		over(s, E_IO, "broker could not use it, and the store could not be put back");
	}
	return true;
}

void restore_serving(struct sup *s)
{
	struct sup_restore *r = &s->store.restore;
	char text[CONF_PATH + 80];

	if (r->phase != RESTORE_STARTING)
		return;
	snprintf(text, sizeof(text), "%s/%s", s->conf.state_dir, r->before);
	sup_say(s, LOG_WARN, "restore",
		"a backup has taken the place of the store, which is kept as %s", text);
	over(s, E_OK, text);
}
