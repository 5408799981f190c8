/* ballast: disk space that is set aside, so that deletions can still be committed when the disk is
 * full: a file that holds nothing, given up and made again through one descriptor that stays open
 * (no name is looked up after the start). */
#ifndef PICKET_STORE_BALLAST_H
#define PICKET_STORE_BALLAST_H

#include "base/err.h"

enum { BALLAST_BYTES = 4 << 20 };

struct ballast {
	int fd;
	bool there;
};

/* Open or make the file in the folder, and fill it if there is room.  E_IO: there can be none. */
enum err ballast_open(struct ballast *b, int dir_fd) MUST;
void ballast_close(struct ballast *b);
/* Give the space back; true: there was some. */
bool ballast_drop(struct ballast *b);
/* Set it aside again where the disk has room for it twice. */
void ballast_make(struct ballast *b);
/* Has the disk room for as much again?  Nothing stays changed. */
bool ballast_probe(struct ballast *b);
/* Make the blocks of the first n bytes of a file, which is made where it is not there; its bytes
 * stay.  E_QUOTA, E_IO. */
enum err ballast_blocks(int dir_fd, const char *name, size_t n) MUST;

#endif
