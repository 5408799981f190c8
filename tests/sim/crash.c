/* crash: see crash.h. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "core/hub.h"
#include "crash.h"

/* ---- the crash ----------------------------------------------------------------------- */

static void device_dies(struct device *d)
{
	if (d->c == NULL)
		return;
	/* What has left the broker may have arrived, or not. */
	d->c->blocked = world_random(d->sim->w, 2) == 0;
	device_read(d);
}

void sim_crash(struct sim *s)
{
	struct world *w = s->w;
	u32 shards = 1 + (u32)world_random(w, s->shards_max);

	for (u32 i = 0; i < s->ndev; i++)
		device_dies(&s->dev[i]);
	world_crash(w, shards);
	hub_set_shared(w->hub, (enum shared_strategy)(s->seed % SHARED_STRATEGIES));
	world_full(w, s->full);
	for (u32 i = 0; i < s->ndev; i++)
		device_break(&s->dev[i]);
	s->crashes++;
	s->crashed = s->step;
}

void sim_disk(struct sim *s, bool full)
{
	s->full = full;
	s->fulls += full;
	world_full(s->w, full);
}

/* ---- retained messages --------------------------------------------------------------- */

void write_sent(struct device *d, const char *topic, u32 rec, u16 pid)
{
	struct writes *all = d->sim->writes;
	struct write *w = &all->v[all->n];

	ASSERT(all->n < WRITES);
	all->n++;
	*w = (struct write){
		.rec = rec, .dev = d->n, .pid = pid, .sent = d->sim->step, .acked = UINT32_MAX};
	snprintf(w->topic, sizeof(w->topic), "%s", topic);
}

void write_acked(struct device *d, u16 pid, bool accepted)
{
	struct writes *all = d->sim->writes;

	for (u32 i = 0; i < all->n; i++) {
		struct write *w = &all->v[i];
		if (w->dev != d->n || w->pid != pid || pid == 0)
			continue;
		w->pid = 0;
		w->acked = d->sim->step;
		w->accepted = accepted;
	}
}

void writes_forget(struct device *d)
{
	struct writes *all = d->sim->writes;

	for (u32 i = 0; i < all->n; i++) {
		if (all->v[i].dev == d->n)
			all->v[i].pid = 0;
	}
}

void writes_purged(struct sim *s, u32 identity)
{
	struct writes *all = s->writes;
	u32 n = all->n;

	for (u32 i = 0; i < n && all->n < WRITES; i++) {
		struct write w = all->v[i];
		if (s->dev[w.dev].identity != identity || w.rec == NOTHING)
			continue;
		w.rec = NOTHING;
		w.pid = 0;
		w.acked = s->step;
		w.accepted = false;
		all->v[all->n++] = w;
	}
}

/* Was w certainly replaced: by one that was sent after it had been acknowledged, and was
 * acknowledged itself? */
static const struct write *replaced(const struct writes *all, const struct write *w)
{
	for (u32 i = 0; i < all->n; i++) {
		const struct write *x = &all->v[i];
		if (x->accepted && x->sent > w->acked && strcmp(x->topic, w->topic) == 0)
			return x;
	}
	return NULL;
}

struct gaze {
	struct sim *s;
	struct writes now; /* what is there */
};

static u32 author_of(const struct writes *all, u32 rec)
{
	for (u32 i = 0; i < all->n; i++) {
		if (all->v[i].rec == rec)
			return all->v[i].dev;
	}
	return 0;
}

static bool look_at(void *arg, const struct retained *e)
{
	struct gaze *l = arg;
	struct write *w = &l->now.v[l->now.n++];
	u64 v = 0;

	ASSERT(l->now.n <= WRITES);
	ASSERT(num_parse(e->m->payload, UINT32_MAX, &v) == E_OK);
	*w = (struct write){.rec = (u32)(v / 2),
			    .dev = author_of(l->s->writes, (u32)(v / 2)),
			    .sent = l->s->step,
			    .acked = l->s->step,
			    .accepted = true};
	snprintf(w->topic, sizeof(w->topic), "%.*s", (int)e->m->topic.n,
		 (const char *)e->m->topic.p);
	return true;
}

static void value_check(struct sim *s, const char *topic, u32 rec)
{
	const struct writes *all = s->writes;
	struct write none = {.rec = NOTHING};
	bool explained = false;

	snprintf(none.topic, sizeof(none.topic), "%s", topic);

	s->checks++;
	for (u32 i = 0; i < all->n && !explained; i++) {
		const struct write *w = &all->v[i];
		explained =
			strcmp(w->topic, topic) == 0 && w->rec == rec && replaced(all, w) == NULL;
	}
	if (rec == NOTHING && !explained) /* as it was at the beginning */
		explained = replaced(all, &none) == NULL;
	if (explained)
		return;
	fprintf(stderr, "sim: retained %s is %d; written:\n", topic, (int)rec);
	for (u32 i = 0; i < all->n; i++) {
		const struct write *w = &all->v[i];
		if (strcmp(w->topic, topic) == 0)
			fprintf(stderr, "  %d sent %u acked %d%s by %u\n", (int)w->rec, w->sent,
				(int)w->acked, w->accepted ? " accepted" : "", w->dev);
	}
	sim_fail(s, "a retained message is not the last one", NULL);
}

static const struct write *value_of(const struct writes *now, const char *topic)
{
	for (u32 i = 0; i < now->n; i++) {
		if (strcmp(now->v[i].topic, topic) == 0)
			return &now->v[i];
	}
	return NULL;
}

void writes_check(struct sim *s)
{
	struct gaze *l = xcalloc(1, sizeof(*l));
	struct writes *all = s->writes;
	struct filter f;
	u32 keep = 0;

	l->s = s;
	ASSERT(filter_parse(SLICE_LIT("#"), &f) == E_OK);
	epoch_enter(&s->w->hub->epoch, 0);
	retained_each(&s->w->hub->retained, &f, look_at, l);
	epoch_leave(&s->w->hub->epoch, 0);
	for (u32 i = 0; i < l->now.n; i++)
		value_check(s, l->now.v[i].topic, l->now.v[i].rec);
	for (u32 i = 0; i < all->n; i++) {
		struct write none = {
			.rec = NOTHING, .sent = s->step, .acked = s->step, .accepted = true};
		memcpy(none.topic, all->v[i].topic, O_TEXT);
		if (value_of(&l->now, all->v[i].topic) != NULL)
			continue;
		value_check(s, all->v[i].topic, NOTHING);
		l->now.v[l->now.n++] = none;
	}
	/* From here on the values of now are what was written; who still waits for an answer may
	 * write yet. */
	for (u32 i = 0; i < all->n; i++) {
		if (all->v[i].pid != 0)
			all->v[keep++] = all->v[i];
	}
	ASSERT(keep + l->now.n <= WRITES);
	memcpy(all->v + keep, l->now.v, l->now.n * sizeof(all->v[0]));
	all->n = keep + l->now.n;
	free(l);
}

/* ---- the store ----------------------------------------------------------------------- */

static void count_away(void *arg, const char *what, u64 is, u64 should)
{
	struct sim *s = arg;

	s->checks++;
	if (is == should)
		return;
	fprintf(stderr, "sim: the store has %llu %s, not %llu\n", (unsigned long long)is, what,
		(unsigned long long)should);
	sim_fail(s, "the store is not what it should be", NULL);
}

void stored_check(struct sim *s)
{
	struct store_stats st;
	struct core_stats t = world_stats(s->w);
	u64 sessions = 0;

	for (u32 i = 0; i < s->ndev; i++)
		sessions += s->dev[i].session && !s->dev[i].ephemeral;
	store_stats(s->w->store, &st);
	count_away(s, "sessions", st.sessions, sessions);
	count_away(s, "messages that wait", st.queued, 0);
	count_away(s, "bodies", st.messages, 0);
	count_away(s, "retained messages", st.retained, t.retained);
	if (sessions == 0)
		count_away(s, "subscriptions", st.subs, 0);
}
