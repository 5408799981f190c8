/* shared: one member of a $share group gets each message (MQTT 5.0 section 4.8.2).
 *
 * pick.c decides who is next, shared.c gives the message to a member, strand.c hands on what waits
 * at members that do not get along with it. */
#ifndef PICKET_CORE_SHARED_H
#define PICKET_CORE_SHARED_H

#include "core/board.h"
#include "core/core.h"
#include "core/index.h"

struct durable;
struct queued;
struct session;
struct store_read;

/* What all shards share of it; part of the hub. */
struct shares {
	_Atomic u32 strategy; /* enum shared_strategy */
	u32 nshards;
	struct board *boards; /* one a shard */
	_Atomic u32 *asleep;  /* one a shard: 1 when it has stranded messages and waits for news */
};

void shares_init(struct shares *s, u32 nshards);
void shares_free(struct shares *s);

/* ---- pick.c ---- */

/* How far one message has come in its search for a member.  Those who stand at READY are asked
 * first, those who are AWAY last; then all once more, since the list and how they stand change
 * meanwhile. */
struct walk {
	u32 start, seen; /* in the group's list: where it began, how many were looked at */
	u16 asked;	 /* members who were asked to take it */
	u8 level;	 /* enum standing: of now */
	u8 floor;	 /* of the last one that is tried */
	bool swept;	 /* all were found wanting, and are looked at once more */
};
struct member {
	struct handle h;
	u32 sub;
};

/* Where the strategy begins for this topic.  Inside an epoch. */
struct walk walk_begin(struct shares *s, struct group *g, const struct hash_key *key,
		       const struct topic *t, enum standing floor);
/* The next one to ask; false: nobody is left.  qos: of the message.  Inside an epoch. */
bool walk_next(const struct shares *s, const struct group *g, u8 qos, struct walk *w,
	       struct member *out);
/* Does a member that stands so serve at the walk's level? */
bool walk_serves(const struct shares *s, const struct walk *w, u8 qos, enum standing now);
/* The member with that place in the index took it. */
void walk_took(const struct shares *s, struct group *g, u64 place);
/* Do messages of a topic stay with their member as long as it is here? */
bool shares_affine(const struct shares *s);

/* ---- shared.c ---- */

enum shared_fate { SHARED_NOBODY, SHARED_TAKEN, SHARED_POSTED /* another shard goes on */ };
/* Ask members from where the walk stands. */
enum shared_fate shared_send(struct core *c, struct msg **m, const struct topic *t, struct group *g,
			     struct walk *w) MUST;
/* A message that was published: to a member, or it is counted as dropped. */
void shared_route(struct core *c, struct msg **m, const struct topic *t, struct group *g);
/* The same for one that another shard sent here, to that member. */
void shared_arrived(struct core *c, struct msg **m, const struct topic *t, struct group *g,
		    const struct target *to, struct walk *w);
/* Tell the board where a session stands; for sessions with shared subscriptions. */
void shared_report(struct core *c, struct session *s);
void shared_gone(struct core *c, const struct session *s);

/* ---- strand.c ---- */

/* Sessions in which shared messages wait; part of the core. */
struct strand_at {
	u32 slot, gen;
};
struct strands {
	struct strand_at *v;
	u32 n, cap;
	u32 serial;   /* of the looks */
	u64 handed;   /* messages that found another member */
	u64 later_ms; /* of this look: when there is to be another in any case */
	struct timer timer;
};

/* A shared message waits in s: look after it until it is sent. */
void strand(struct core *c, struct session *s);
/* Somebody has become ready, here or on another shard. */
void strand_news(struct core *c);
void strand_wake(struct core *c);
/* The session ends: what it has not begun to send, and what of QoS 1 is not acknowledged, goes to
 * others.  SPEC MQTT-4.8.2-5: what was sent at QoS 2 does not. */
void strand_ends(struct core *c, struct session *s);
/* Subscription number sub is about to go; what waits for it goes to others who are here. */
void strand_unsubscribes(struct core *c, struct session *s, u32 sub);
/* A message that s may not have any more; true when somebody else got it. */
bool strand_denied(struct core *c, struct session *s, const struct queued *q);
/* To another member that stands at floor or better; s takes none meanwhile.  It has gone; nobody
 * who was asked takes it; there is nobody to be asked. */
enum handed { HANDED_ON, HANDED_REFUSED, HANDED_NOBODY };
enum handed strand_hand_on(struct core *c, struct session *s, const struct queued *q,
			   enum standing floor);
void strand_free(struct core *c);

/* ---- strand_disk.c ---- */

/* A shared message was put on disk. */
void strand_disk_put(struct durable *d, u64 seq);
/* Is there perhaps one that others may have? */
bool strand_disk_waits(const struct session *s);
/* Of a session that is away: read them, if somebody is here for them.  True: look again. */
bool strand_disk_look(struct core *c, struct session *s);
/* What was read for it. */
bool strand_disk_is(const struct durable *d, const struct store_read *r);
void strand_disk_read(struct core *c, struct session *s, const struct store_read *r);
/* A shared subscription goes; what it was in is known as long as something on disk may have come
 * for it, and its number is not another's.  i: the number, from 0. */
void strand_disk_unsubscribes(struct session *s, u32 i);
bool strand_number_taken(struct session *s, u32 i);
/* What is being read is not wanted any more. */
void strand_disk_stop(struct durable *d);
/* The session ends: before its subscriptions go, what they were; after that, true when it lingers
 * and ends later, by itself. */
void strand_disk_leaves(struct session *s);
bool strand_disk_ends(struct core *c, struct session *s);
bool strand_lingers(const struct session *s);
/* The filter of one that went; number: from 1.  False: there is none. */
bool strand_left_filter(const struct session *s, u16 number, struct filter *f);
void strand_disk_free(struct durable *d);

#endif
