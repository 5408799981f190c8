/* check: the process that looks at the store after an end that was not in order.
 *
 * It has one descriptor, open for reading, and a sandbox in which it can do nothing else; what a
 * damaged file may do to whoever reads it, it does to this process alone. */
#ifndef PICKET_PROC_CHECK_H
#define PICKET_PROC_CHECK_H

enum { CHECK_SOUND = 0, CHECK_DAMAGED = 1, CHECK_FOREIGN = 2 };
/* The process: fd is the data file.  Returns one of the above; every other end is damage, too. */
int check_main(int fd);

#endif
