/* device: a client of the simulator: it does random things, keeps a model of what must be true, and
 * dies loudly when the broker says something else. */
#ifndef PICKET_SIM_DEVICE_H
#define PICKET_SIM_DEVICE_H

#include "oracle.h"

enum {
	D_SUBS = 6,
	D_FLIGHTS = 8,
	D_RELEASES = 128,
	D_ORDERS = 512,
	D_FILTERS = 64,
	D_ALIASES = 4,
	INTERVAL = 4096
};

struct record { /* one message that somebody published (or announced as a will) */
	char topic[O_TEXT];
	u32 dev, version, step; /* who, when it was said */
	u8 qos;
	bool will, accepted, retained, clears, resent;
};

struct order { /* the last message of one publisher, topic and QoS */
	char topic[O_TEXT];
	u32 dev, rec;
	u8 qos;
};

struct dsub {
	char filter[O_TEXT];
	u8 qos, granted;
	u16 pid;	   /* of the SUBSCRIBE that waits; 0: none */
	bool live;	   /* acknowledged and not taken back */
	u32 version, step; /* when it was acknowledged */
};

struct dflight { /* ours towards the broker */
	u16 pid;
	u8 qos;
	bool used, released;
	u32 rec;
};

enum dstate { D_OFF, D_CONNECTING, D_ON };

struct device {
	struct sim *sim;
	u32 n, identity;
	char id[32];
	u8 version, receive_max, alias_max;
	bool persistent;
	bool shares;	/* all its subscriptions are shared */
	bool ephemeral; /* the session of now ends with its connection */
	enum dstate state;
	bool clean, wrong; /* of the CONNECT under way */
	bool forgot;	   /* it has asked for a new session and not been told of it */
	bool has_will;
	u32 will; /* its record */
	struct wconn *c;
	u8 tx[8192]; /* what the link has not carried yet */
	size_t tx_n;
	bool session;	   /* the broker has one, as far as we know */
	bool unsure;	   /* it may or may not */
	u32 since;	   /* the step at which the session began */
	u32 clear_version; /* rights when all output had been read last */
	struct dsub sub[D_SUBS];
	struct dflight flight[D_FLIGHTS];
	u16 next_pid;
	u16 releases[D_RELEASES]; /* QoS 2 received, PUBREL awaited */
	bool older[D_RELEASES];	  /* and that on an older connection */
	u32 nreleases;
	u16 owed[D_RELEASES]; /* QoS 1 received, PUBACK not sent yet */
	u32 nowed;
	u8 got[INTERVAL];		/* how often each message of the interval came */
	u8 once[INTERVAL];		/* of QoS 2, in this session */
	char filter[D_FILTERS][O_TEXT]; /* the last ones that it asked for */
	u32 nfilters;
	char alias[D_ALIASES + 1][O_TEXT]; /* what the broker said on this connection */
	struct order order[D_ORDERS];
	u32 norders;
};

struct sim {
	struct world *w;
	struct oracle o;
	struct device *dev;
	u32 ndev, step;
	u64 seed;
	struct record *rec; /* of this interval, from base */
	u32 base, nrec;
	struct writes *writes;
	u32 shards_max, crash_every, full_every;
	bool full; /* the disk is */
	u64 crashes, fulls, refused_full;
	u32 crashed;  /* the step */
	u32 unshared; /* the step at which somebody left a group and kept what it had of it */
	u64 delivered, checks, retained_seen, wills_seen, must, shared_must, aliases_seen,
		intervals;
};

void device_act(struct device *d);
/* Carry some of its bytes. */
void device_link(struct device *d, bool all);
/* Look at all that came. */
void device_read(struct device *d);
/* Make it whole: connected, nothing owed, nothing blocked. */
void device_settle(struct device *d);
void device_session_gone(struct device *d);
void device_break(struct device *d);
void device_will_from_now(struct device *d);
void sim_fail(const struct sim *s, const char *what, const struct device *d) NORETURN;
#define CHECK(d, e)                                                                                \
	do {                                                                                       \
		(d)->sim->checks++;                                                                \
		if (!(e))                                                                          \
			sim_fail((d)->sim, #e, d);                                                 \
	} while (0)

#endif
