/* stream_i: what the files of stream share. */
#ifndef PICKET_ADMIN_STREAM_I_H
#define PICKET_ADMIN_STREAM_I_H

#include "admin/stream.h"

#define STREAM_MAGIC 0x57e4a301u
enum { STREAM_HELD_MAX = 256 * 1024 };
enum stream_kind { STREAM_WATCH, STREAM_LOG, STREAM_PIPE, STREAM_PAGES };

struct stream {
	u32 magic;
	enum stream_kind kind;
	struct request *r;
	char name[132];
	int fd;	   /* the log, the pipe; -1: none */
	u64 at;	   /* read up to here */
	u64 asked; /* id of the question what the log is now; 0: none under way */
	bool follow, ended, failed, resting;
	u64 lost;
	u8 *held;
	size_t n, cap;
	struct timer timer;
	u32 part; /* of a pipe: which answer ends it */
	bool told, watched;
	void (*more)(struct request *r); /* of pages */
	enum stream_page (*page)(struct request *r);
	LIST_ENTRY(stream) next;
};

struct stream *stream_new(struct request *r, enum stream_kind kind, int fd,
			  void (*fire)(struct timer *t));
void stream_wake(struct stream *s);
/* Room for n bytes, when no more than max are held with them. */
bool stream_room(struct stream *s, size_t n, size_t max);
bool stream_put(struct stream *s, struct slice bytes);
/* For MHD's reader: nothing now, stream_wake goes on. */
ssize_t stream_rest(struct stream *s);

ssize_t pipe_read(struct stream *s, char *buf, size_t max);
void pipe_end(struct stream *s);
/* Ask for the next page if it is time; how many bytes are held now. */
size_t pages_more(struct stream *s);

#endif
