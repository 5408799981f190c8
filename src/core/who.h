/* who: identities as the hot path sees them.
 *
 * A principal is one identity, shared by all its sessions on all shards; what auth said of it last
 * is its grant: one immutable block, published by pointer, read without a lock inside an epoch.  A
 * struct who is one login of a principal: client id, user name, where it came from; it outlives the
 * connection where a will, a queued or a retained message still has to answer for its author. */
#ifndef PICKET_CORE_WHO_H
#define PICKET_CORE_WHO_H

#include <sys/queue.h>

#include "base/quirk.h"
#include "core/core.h"
#include "core/epoch.h"

/* Values of ipc/messages.h, which core may not include; checked equal by the glue. */
enum who_kind { WHO_DEVICE, WHO_USER, WHO_SERVICE, WHO_ANONYMOUS };
enum who_status { WHO_REVOKED, WHO_ACTIVE, WHO_MUST_ROTATE, WHO_QUARANTINED, WHO_SUSPENDED };

struct grant {
	struct retired gc;
	u64 generation;
	u32 status, kind, nroles, credential_min, local_min;
	struct slice name, group, pattern;
	const u32 *roles;
	u8 data[];
};

#define PRINCIPAL_MAGIC 0x9a1c19a1u
struct principal {
	u32 magic;
	u32 refs;    /* under the hub's lock */
	u64 id;	     /* the map's key */
	bool pinned; /* auth told of a change: what it said outranks older answers */
	bool idle;   /* nobody has a reference, but it has published: see principal_unref */
	TAILQ_ENTRY(principal) idle_link;
	_Atomic bool watched;
	_Atomic(struct grant *) grant;
	_Atomic(_Atomic u16 *) quirks; /* how often each was seen; NULL: none ever */
	_Atomic u32 connections, sessions, subscriptions, retained;
	_Atomic u64 queued_bytes; /* waiting in all its sessions */
	_Atomic u64 rate_messages_us, rate_bytes_us,
		rate_replay_us; /* theoretical arrival times (rate.c) */
};

#define WHO_MAGIC 0x3c0ffee5u
struct who {
	u32 magic;
	_Atomic u32 refs;
	struct hub *hub;
	struct principal *pr;
	struct slice client_id, username, cert_cn, cert_san, listener;
	u8 addr[16];
	bool tls;
	u8 data[];
};

struct who_login { /* views */
	struct slice client_id, username, cert_cn, cert_san, listener;
	const u8 *addr;
	bool tls;
};

/* The principal of an answer, made or brought up to date; the caller owns a reference. */
struct principal *principal_of_answer(struct hub *h, const struct login_answer *a);
/* One of whom nobody has said anything yet may be made: it has no rights. */
struct principal *principal_claim(struct hub *h, u64 id);
/* A reference, or NULL when the hub does not know it. */
struct principal *principal_find(struct hub *h, u64 id);
void principal_unref(struct hub *h, struct principal **p);
/* Inside an epoch only. */
static inline const struct grant *principal_grant(const struct principal *p)
{
	return atomic_load_explicit(&p->grant, memory_order_acquire);
}
/* May somebody of this status act at all? */
static inline bool status_acts(u32 status)
{
	return status == WHO_ACTIVE || status == WHO_MUST_ROTATE;
}

/* Has the credential of that number been replaced, or has it expired? */
static inline bool credential_ended(const struct grant *g, u32 credential)
{
	return credential != 0 &&
	       credential < (credential & CREDENTIAL_LOCAL ? g->local_min : g->credential_min);
}

/* Takes the caller's reference to pr. */
struct who *who_new(struct hub *h, struct principal *pr, const struct who_login *l);
struct who *who_ref(struct who *w);
void who_unref(struct who **w);

/* ---- the choke point (I09): every question about rights, with the rights of this moment ---- */
/* All inside an epoch. */
enum verdict judge_publish(const struct who *w, const struct topic *t, u8 qos, bool retain);
enum verdict judge_subscribe(const struct who *w, const struct filter *f, u8 qos, bool *clear);
enum verdict judge_deliver(const struct who *w, const struct topic *t, u8 qos, bool retain);
/* Changes whenever a policy is set; a verdict that was kept is good for this serial only. */
u64 rights_serial(const struct hub *h);

#endif
