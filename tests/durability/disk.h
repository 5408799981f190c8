/* disk: the memory that disk.c, inside a broker, shares with the tests outside. */
#ifndef DURABILITY_DISK_H
#define DURABILITY_DISK_H

#include <stdatomic.h>
#include <stdint.h>

enum { DISK_MAGIC = 0x6b736964, DISK_LOG_HEAD = 64 };

/* The control file, one page.  disks.py writes and reads it by offset. */
struct disk_control {
	uint32_t magic;
	_Atomic uint32_t write_errno;	/* 0: writes are done */
	_Atomic uint32_t sync_errno;	/* 0: syncs are done */
	_Atomic uint32_t one_in;	/* so many of them fail; 1: all */
	_Atomic uint32_t sync_delay_us; /* added to every sync */
	uint32_t unused;
	_Atomic int64_t wall_shift_ns; /* added to the wall clock of all processes */
	_Atomic uint64_t writes, syncs, failed;
};

/* The log: DISK_LOG_HEAD bytes with the number of bytes used, then entries in the order in which
 * things happened, each aligned to 8 bytes.  A write and an output are there before they are done,
 * a sync and an input after. */
enum disk_kind {
	DISK_NONE,
	DISK_WRITE,    /* bytes at off of the file with number who; more: 1: through O_DSYNC */
	DISK_WRITTEN,  /* that O_DSYNC write is over; more: low half of its place in the log */
	DISK_SYNC,     /* everything written to file who before is durable */
	DISK_TRUNCATE, /* file who has off bytes */
	DISK_ACCEPT,   /* connection who */
	DISK_IN,       /* bytes from connection who */
	DISK_OUT,      /* bytes to connection who */
	DISK_SENT,     /* more of the bytes at place off have gone */
	DISK_CLOSE,    /* connection who */
};
struct disk_entry {
	_Atomic uint32_t kind;
	uint32_t len, more, unused;
	uint64_t who, off;
	/* len bytes */
};

#endif
