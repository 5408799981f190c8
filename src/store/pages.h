/* pages: read an LMDB data file that may be damaged, without believing a byte of it.
 *
 * liblmdb follows whatever number stands in a page, and a flipped bit can end the process that does
 * so.  This reader checks every number against the file first, uses plain pread, visits no page
 * twice and bounds its memory by the depth of a tree.  A page that makes no sense is counted and
 * left out with what hangs below it; everything else is found.  It knows the layout of LMDB's
 * format 1 (mdb.c of 0.9: MDB_page, MDB_node, MDB_db, MDB_meta) on a little-endian machine of 64
 * bits, and nothing of what the values mean. */
#ifndef PICKET_STORE_PAGES_H
#define PICKET_STORE_PAGES_H

#include "base/err.h"

struct pages;

/* What could not be read, added up over all walks. */
struct pages_damage {
	u64 pages; /* that make no sense, or are not there */
	u64 nodes; /* entries of pages that otherwise do */
	u64 lost;  /* entries that a database counts and that were not found */
};

/* Borrows fd, open for reading.  E_CORRUPT: neither meta page can be used, this is no LMDB file;
 * E_IO; E_NOMEM. */
enum err pages_open(struct pages **out, int fd) MUST;
void pages_close(struct pages **p);

/* Every entry of the named database, in the order of the tree; the views live during the call.
 * E_NOT_FOUND: there is no such database, or the way to it is damaged.  cb returns false to stop.
 */
enum err pages_walk(struct pages *p, struct slice name,
		    bool (*cb)(void *arg, struct slice key, struct slice value), void *arg) MUST;
struct pages_damage pages_damage(const struct pages *p);
/* The transaction that the file is read as of. */
u64 pages_txn(const struct pages *p);

#endif
