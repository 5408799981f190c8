/* crash: what must be true when everything dies but the store. */
#ifndef PICKET_SIM_CRASH_H
#define PICKET_SIM_CRASH_H

#include "device.h"

enum { WRITES = 8192, NOTHING = UINT32_MAX };

/* One retained message that somebody published: a write of its topic's register. */
struct write {
	char topic[O_TEXT];
	u32 rec; /* NOTHING: the topic has none */
	u32 dev;
	u16 pid;	 /* until it is acknowledged */
	u32 sent, acked; /* steps; acked UINT32_MAX: not */
	bool accepted;
};
struct writes {
	struct write v[WRITES];
	u32 n;
};

/* All die; what was on the way is lost, or was read before. */
void sim_crash(struct sim *s);
void sim_disk(struct sim *s, bool full);

void write_sent(struct device *d, const char *topic, u32 rec, u16 pid);
/* The device has an answer to the message with that identifier. */
void write_acked(struct device *d, u16 pid, bool accepted);
/* Its messages under way will not be acknowledged any more. */
void writes_forget(struct device *d);
/* An identity is revoked: what it wrote may go, too. */
void writes_purged(struct sim *s, u32 identity);
/* Each topic's value is one that no later write replaced for certain. */
void writes_check(struct sim *s);
/* Everything has arrived: the store holds the sessions and nothing that waits. */
void stored_check(struct sim *s);

#endif
