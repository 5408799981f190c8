/* post: what one shard tells another. */
#ifndef PICKET_CORE_POST_H
#define PICKET_CORE_POST_H

#include "core/shared.h"

enum post_kind { POST_DELIVER, POST_SHARED, POST_NEWS /* somebody is ready for shared messages */ };
struct core_msg {
	u32 magic;
	enum post_kind kind;
	struct msg *m; /* NULL: of news */
	u64 number;    /* of the message, for the store; 0: it has none yet */
	u64 part;      /* the group of which this carries a part; 0: none */
	bool durable;  /* some of the targets are */
	struct group *group;
	struct walk walk;
	u32 n;
	struct target to[];
};
void post_deliver(struct core *c, u32 shard, struct msg **m, const struct targets *v, u64 number);
void post_shared(struct core *c, u32 shard, struct msg **m, struct group *g,
		 const struct target *to, const struct walk *w);
void post_news(struct core *c, u32 shard);

#endif
