/* check: is this store whole?  Reads its file with store/pages.h, which believes nothing of it, and
 * checks every record; changes nothing. */
#ifndef PICKET_STORE_CHECK_H
#define PICKET_STORE_CHECK_H

#include "base/err.h"

struct seal;

struct check_report {
	u64 records; /* that were looked at */
	u64 damaged; /* of those: do not fit their checksum or seal */
	u64 lost; /* are not there though something says that they are; pages, entries, databases */
	bool start;  /* all that a start reads has been looked at: what waits and its messages come
			after it */
	bool sealed; /* without the key a sealed record is looked at from outside only */
};

/* fd: the data file, borrowed; nobody writes to what can be reached in it as of now.  seal: NULL
 * when the key is not at hand.  on, called now and then, returns false to give up (NULL: never).
 * E_OK: see out.  E_CORRUPT: it is no store of this release (text says why, cap bytes).  E_IO,
 * E_NOMEM, E_STATE (given up). */
enum err check_file(int fd, const struct seal *seal, bool (*on)(void *arg), void *arg,
		    struct check_report *out, char *text, size_t cap) MUST;

#endif
