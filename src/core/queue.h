/* queue: what waits for a client, and what is under way to it. */
#ifndef PICKET_CORE_QUEUE_H
#define PICKET_CORE_QUEUE_H

#include <sys/queue.h>

#include "core/board.h"
#include "core/msg.h"

struct client;
struct core;
struct outgoing;
struct session;

enum { AT_NONE = UINT16_MAX };

/* A message that waits for a window, for room or for its client. */
struct queued {
	STAILQ_ENTRY(queued) link;
	struct msg *m;
	u32 *ids;	    /* Subscription Identifiers: count, ids; NULL: none */
	struct who *author; /* of a retained message, who is judged again too; else NULL */
	u64 seq, ticket;    /* of a durable session: its sequence, when that is on disk */
	u16 at;		    /* where the batch says so; AT_NONE: not known */
	u16 sub;	    /* the shared subscription that it came for, plus 1; 0: none */
	bool dup;	    /* it may have been sent on an older connection */
	u8 qos;
	bool retain, replay; /* replay: a retained message for a new subscription; not charged */
};

STAILQ_HEAD(queue_list, queued);

struct flight {	       /* QoS 1 and 2 towards the client, in the order they were sent */
	struct msg *m; /* NULL: released, PUBCOMP is awaited */
	u32 *ids;
	u64 seq; /* seq, at, sub: as in struct queued */
	u16 pid, at, sub;
	u8 qos;
	bool retain;
};
_Static_assert(sizeof(struct flight) <= 32, "a window is made of these");
struct flights {
	struct flight *v;
	u32 start, n, cap;
	u32 sent; /* so many from the front were sent on this connection */
};

/* ---- qos.c ---- */
struct flight *flights_add(struct flights *f);
struct flight *flights_find(struct flights *f, u16 pid);
void flights_remove(struct flights *f, struct flight *x);
void flights_clear(struct flights *f);
struct flight *flights_at(const struct flights *f, u32 i);

/* ---- queue.c ---- */
struct delivery {
	struct msg **m;
	u8 qos;
	bool retain, replay;
	u16 sub;	    /* as in struct queued */
	u64 number;	    /* of the message, for the store; 0: it has none */
	const u32 *ids;	    /* count, ids; NULL: none */
	struct who *author; /* of a replayed message */
};
/* One message to one session: straight out, into the window or into the queue. */
void session_deliver(struct core *c, struct session *s, const struct delivery *d);
/* Would it be sent or queued?  What has expired makes room. */
bool session_takes(struct core *c, struct session *s, const struct delivery *d);
enum standing session_standing(const struct session *s);
/* q was taken out of the queue. */
void queued_free(struct core *c, struct session *s, struct queued *q);
/* Send from the queue what the window and the output allow. */
void session_pump(struct core *c, struct session *s);
void queue_clear(struct core *c, struct session *s);
/* The client has gone: what was for this connection alone goes too. */
void queue_away(struct core *c, struct session *s);
void queue_rejudge(struct core *c, struct session *s);
/* The queue, and what was under way when the connection broke and has not been sent again. */
void session_rejudge_waiting(struct core *c, struct session *s);
void session_resend(struct core *c, struct session *s);

/* ---- for backlog.c, which does the same with the disk behind it ---- */
void session_dropped(struct core *c, struct session *s, const struct msg *m, enum err why);
bool output_has_room(const struct session *s);
bool identity_has_room(const struct session *s, u64 bytes);
u32 session_window(const struct session *s);
u8 publish_first(u8 qos, bool retain, bool dup);
bool fits_client(const struct core *c, const struct session *s, const struct msg *m,
		 const struct outgoing *o);
void send_plain(struct core *c, struct session *s, const struct delivery *d);
void queue_charge(struct session *s, const struct queued *q, bool in);
/* A retained message for a new subscription. */
void queue_replay(struct core *c, struct session *s, const struct delivery *d);
u32 *ids_copy(const u32 *ids);

#endif
