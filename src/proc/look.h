/* look: the two processes that read a store which may be damaged.  What such a file may do to
 * whoever reads it, it does to them alone.
 *
 * check says whether a store is whole; it has one descriptor, open for reading, and a sandbox in
 * which it can do nothing else.  salvage takes what can be read of a damaged one over into a new
 * one. */
#ifndef PICKET_PROC_LOOK_H
#define PICKET_PROC_LOOK_H

#include "base/base.h"

/* What they are handed, from SANDBOX_SUP_FD on. */
enum { CHECK_FD_DATA = 3, CHECK_FD_RESULT };
enum {
	SALVAGE_FD_DATA = 3,
	SALVAGE_FD_FOLDER, /* of the new one (SANDBOX_FOLDER_FD) */
	SALVAGE_FD_RESULT,
	SALVAGE_FD_CONF, /* sealed memory of struct conf */
	SALVAGE_FD_KEY	 /* when records are sealed */
};

/* What they have found, written as it is; text is ours.  What check is asked stands there first. */
enum { LOOK_BYTES = 4096 };
struct look {
	u32 within_ms; /* asked: what no start reads is looked at for so long; 0: all of it */
	bool part;     /* found: that was not enough for the whole */
	u64 records;   /* that were looked at; of salvage: that were taken over */
	u64 damaged, lost;
	char text[200];
};
_Static_assert(sizeof(struct look) <= LOOK_BYTES, "they may write no more");

/* The exit codes; every other end is damage (of salvage: nothing was saved). */
enum { CHECK_SOUND = 0, CHECK_DAMAGED = 1, CHECK_FOREIGN = 2 };
int check_main(void);
enum { SALVAGE_DONE = 0, SALVAGE_NOTHING = 1 };
int salvage_main(void);

/* Into fd, from its beginning; and from there.  What cannot be read is zeros. */
void look_write(int fd, const struct look *l);
void look_read(int fd, struct look *l);

#endif
