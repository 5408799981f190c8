/* sim: thousands of devices, several shards, links that split and break, rights that change under
 * way; one seed decides everything, so what failed once fails again.
 *
 *   sim [--seed N] [--steps M] [--devices D] [--shards S]
 *
 * Checked after every step: nobody is told what the oracle forbids; QoS 2 comes once; order holds;
 * the stream that a device reads is valid.  Checked whenever everything has come to rest: no
 * acknowledged message of QoS 1 or 2 is missing where it had to arrive (one of QoS 1 for a shared
 * subscription: at some member), and the broker's counts are
 * the simulator's.  At the end nothing is left. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "core/hub.h"
#include "crash.h"

enum { REST_ROUNDS = 5000 };

void sim_fail(const struct sim *s, const char *what, const struct device *d)
{
	fprintf(stderr, "sim: FAILED at step %u: %s", s->step, what);
	if (d != NULL)
		fprintf(stderr, " (device %u, identity %u, version %u, state %d)", d->n,
			d->identity, d->version, (int)d->state);
	fprintf(stderr,
		"\nreplay: sim --seed %llu --steps %u --devices %u --shards %u --store %d "
		"--crash-every %u --full-every %u\n",
		(unsigned long long)s->seed, s->step + 1, s->ndev, s->shards_max,
		s->w->store != NULL, s->crash_every, s->full_every);
	abort();
}

#define SIM_CHECK(s, e)                                                                            \
	do {                                                                                       \
		(s)->checks++;                                                                     \
		if (!(e))                                                                          \
			sim_fail(s, #e, NULL);                                                     \
	} while (0)

static struct device *any_device(struct sim *s)
{
	return &s->dev[world_random(s->w, s->ndev)];
}

static void device_init(struct sim *s, u32 n)
{
	static const u8 versions[] = {MQTT_31, MQTT_311, MQTT_311, MQTT_5, MQTT_5, MQTT_5};
	struct device *d = &s->dev[n];

	d->sim = s;
	d->n = n;
	d->identity = n % O_IDENTITIES;
	snprintf(d->id, sizeof(d->id), "d%u:%u", d->identity, n);
	d->version = versions[world_random(s->w, sizeof(versions))];
	d->receive_max = (u8)(1 + world_random(s->w, 20));
	d->alias_max = (u8)(d->version == MQTT_5 ? world_random(s->w, D_ALIASES + 1) : 0);
	d->shares = world_random(s->w, 6) == 0;
	/* MQTT 3.1 is not told whether its session was there. */
	d->persistent = d->version != MQTT_31 && world_random(s->w, 3) != 0;
}

static struct sim *sim_new(u64 seed, u32 shards, u32 devices, bool stored)
{
	struct sim *s = xcalloc(1, sizeof(*s));
	struct core_limits l = world_limits();

	l.queue_messages = l.offline_messages = 1000000;
	l.queue_bytes = l.offline_bytes = UINT64_MAX;
	l.connections_identity = UINT32_MAX;
	l.output_buffer = 2000; /* small, so that everything has to wait now and then */
	l.output_stall_ms = UINT32_MAX;
	s->seed = seed;
	s->w = stored ? world_new_stored(shards, &l) : world_new(shards, &l);
	s->writes = xcalloc(1, sizeof(*s->writes));
	s->shards_max = shards;
	s->w->rng = seed;
	hub_set_shared(s->w->hub, (enum shared_strategy)(seed % SHARED_STRATEGIES));
	s->ndev = devices;
	s->dev = xcalloc(devices, sizeof(*s->dev));
	s->rec = xcalloc(INTERVAL, sizeof(*s->rec));
	oracle_start(&s->o, s->w);
	for (u32 i = 0; i < devices; i++)
		device_init(s, i);
	return s;
}

/* ---- connections that their device has left ------------------------------------------ */

static void orphans(struct sim *s, bool drop)
{
	struct wconn *c, *next;

	for (c = s->w->conns; c != NULL; c = next) {
		next = c->next;
		if (c->user != NULL)
			continue;
		wconn_step(c);
		if (drop && c->cl != NULL)
			wconn_drop(c, E_EOF);
		if (c->cl == NULL)
			wconn_free(c);
	}
}

/* ---- rights change ------------------------------------------------------------------- */

static void identity_off(struct sim *s, u32 identity)
{
	for (u32 i = 0; i < s->ndev; i++) {
		struct device *d = &s->dev[i];
		if (d->identity != identity)
			continue;
		if (d->state == D_CONNECTING)
			device_break(d);
		device_session_gone(d);
		d->unsure = false;
	}
	writes_purged(s, identity);
	oracle_set_active(&s->o, identity, false);
	/* Else a crash might bring its sessions back, when it is active again. */
	for (u32 i = 0; s->w->store != NULL && i < s->w->n; i++)
		world_turn_end(s->w, i);
	while (!s->full && world_commit(s->w))
		;
}

static void rights_change(struct sim *s)
{
	u32 identity = (u32)world_random(s->w, O_IDENTITIES);

	switch (world_random(s->w, 5)) {
	case 0:
		oracle_new_policy(&s->o);
		break;
	case 1:
		oracle_new_roles(&s->o, identity);
		break;
	case 2:
		if (oracle_active(&s->o, identity))
			identity_off(s, identity);
		break;
	case 3:
		if (!oracle_active(&s->o, identity))
			oracle_set_active(&s->o, identity, true);
		break;
	default:
		for (u32 i = 0; i < s->ndev; i++) {
			/* One that has not read its CONNACK yet may be in all the same. */
			if (s->dev[i].identity == identity && s->dev[i].state != D_OFF)
				device_will_from_now(&s->dev[i]);
		}
		for (u32 i = 0; i < s->w->n; i++)
			core_kick(s->w->core[i], slice_str(s->w->identity[identity].name),
				  SLICE_NONE, E_ADMIN);
	}
}

/* ---- time ---------------------------------------------------------------------------- */

static void time_passes(struct sim *s, u64 ms)
{
	struct world *w = s->w;

	w->now_ms += ms;
	w->wall_ms += ms;
	for (u32 i = 0; i < w->n; i++)
		core_turn(w->core[i], w->now_ms);
}

/* ---- rest: everything that is under way arrives -------------------------------------- */

static bool device_rests(const struct device *d)
{
	if (d->state != D_ON)
		return d->state == D_OFF &&
		       !((d->session || d->unsure) && oracle_active(&d->sim->o, d->identity));
	if (d->tx_n != 0 || d->nowed != 0 || d->nreleases != 0 || d->c->in_n != 0 || d->c->dirty ||
	    d->c->out_at != d->c->out_n)
		return false;
	for (u32 i = 0; i < D_FLIGHTS; i++) {
		if (d->flight[i].used)
			return false;
	}
	for (u32 i = 0; i < D_SUBS; i++) {
		if (d->sub[i].pid != 0)
			return false;
	}
	return true;
}

static void come_to_rest(struct sim *s)
{
	bool rest = false;

	for (u32 round = 0; !rest; round++) {
		for (u32 i = 0; round == REST_ROUNDS && i < s->ndev; i++) {
			if (!device_rests(&s->dev[i]))
				sim_fail(s, "it does not come to rest", &s->dev[i]);
		}
		orphans(s, true);
		for (u32 i = 0; i < s->ndev; i++)
			device_settle(&s->dev[i]);
		world_run(s->w);
		time_passes(s, 100);
		rest = round > 15; /* delayed wills have been said */
		for (u32 i = 0; rest && i < s->ndev; i++)
			rest = device_rests(&s->dev[i]);
	}
}

/* A subscription under which this device had to get that message, if nobody shares it; or NULL. */
static const struct dsub *must_sub(const struct sim *s, const struct device *d,
				   const struct record *r)
{
	if (!d->session || r->version != s->o.version || d->since > r->step)
		return NULL;
	for (u32 i = 0; i < D_SUBS; i++) {
		const struct dsub *b = &d->sub[i];
		const char *filter = b->filter + (d->shares ? strlen("$share/g/") : 0);
		if (b->live && b->granted >= 1 && b->step < r->step && b->version == r->version &&
		    naive_matches(filter, r->topic) &&
		    oracle_any(&s->o, r->version, d->identity, O_SUBSCRIBE, r->topic))
			return b;
	}
	return NULL;
}

/* Of a group that had one such member all the time, somebody got it: whoever had it first and died
 * has handed it on.  (One group of each message is looked at.) */
static void check_shared(struct sim *s, u32 k, const struct record *r)
{
	const struct device *d = NULL;
	u32 got = 0;

	for (u32 i = 0; i < s->ndev; i++) {
		if (!s->dev[i].shares)
			continue;
		got += s->dev[i].got[k];
		if (d == NULL && must_sub(s, &s->dev[i], r) != NULL)
			d = &s->dev[i];
	}
	if (d == NULL)
		return;
	s->shared_must++;
	if (got == 0)
		fprintf(stderr, "sim: record %u, %s, by %u at %u\n", k + s->base, r->topic, r->dev,
			r->step);
	CHECK(d, got >= 1);
}

static void check_delivered(struct sim *s)
{
	for (u32 k = s->base; k < s->nrec; k++) {
		const struct record *r = &s->rec[k - s->base];
		if (r->will || r->qos == 0 || !r->accepted || r->clears)
			continue;
		/* One of QoS 2 that was sent dies with its member; and a member whose session ends
		 * with its connection takes what it has along in a crash. */
		if (r->qos == 1 && (s->crashes == 0 || r->step > s->crashed) &&
		    (s->unshared == 0 || r->step > s->unshared))
			check_shared(s, k - s->base, r);
		for (u32 i = 0; i < s->ndev; i++) {
			if (s->dev[i].shares || must_sub(s, &s->dev[i], r) == NULL)
				continue;
			s->must++;
			if (s->dev[i].got[k - s->base] == 0)
				fprintf(stderr, "sim: record %u, %s, QoS %u, by %u at %u\n", k,
					r->topic, r->qos, r->dev, r->step);
			CHECK(&s->dev[i], s->dev[i].got[k - s->base] >= 1);
		}
	}
}

/* Which session has nobody expected? */
static bool session_expected(void *arg, const struct client_info *i)
{
	const struct sim *s = arg;

	for (u32 k = 0; k < s->ndev; k++) {
		if (slice_eq(i->client_id, slice_str(s->dev[k].id)) && !s->dev[k].session)
			sim_fail(s, "a session that should be gone", &s->dev[k]);
	}
	return true;
}

static void check_counts(struct sim *s)
{
	struct core_stats t = world_stats(s->w);
	u64 sessions = 0, online = 0;

	for (u32 i = 0; i < s->ndev; i++) {
		sessions += s->dev[i].session;
		online += s->dev[i].state == D_ON;
	}
	for (u32 i = 0; i < s->w->n; i++)
		core_each(s->w->core[i], session_expected, s);
	SIM_CHECK(s, t.sessions == sessions);
	SIM_CHECK(s, t.clients == online);
	SIM_CHECK(s, t.malformed == 0);
}

static void check_always(struct sim *s)
{
	struct core_stats t = world_stats(s->w);

	SIM_CHECK(s, t.subscriptions == atomic_load(&s->w->hub->index.subscriptions));
	SIM_CHECK(s, t.sessions <= s->ndev);
}

static void interval_end(struct sim *s)
{
	if (s->full)
		sim_disk(s, false);
	come_to_rest(s);
	check_delivered(s);
	check_counts(s);
	writes_check(s);
	if (s->w->store != NULL)
		stored_check(s);
	for (u32 i = 0; i < s->ndev; i++) {
		memset(s->dev[i].got, 0, sizeof(s->dev[i].got));
		memset(s->dev[i].once, 0, sizeof(s->dev[i].once));
		s->dev[i].norders = 0;
	}
	s->base = s->nrec;
	s->intervals++;
}

/* ---- steps --------------------------------------------------------------------------- */

static void device_turn(struct device *d)
{
	device_link(d, false);
	if (d->c != NULL)
		wconn_step(d->c);
	device_read(d);
}

static void sim_step(struct sim *s)
{
	struct device *d = any_device(s);

	device_act(d);
	device_turn(d);
	for (u32 i = 0; i < 3; i++)
		device_turn(any_device(s));
	for (u64 i = world_random(s->w, 4); i > 0; i--)
		world_some(s->w);
	for (u64 i = world_random(s->w, 4); i > 0; i--)
		world_store_some(s->w);
	if (s->step % 16 == 0)
		time_passes(s, world_random(s->w, 40));
	if (s->step % 64 == 0)
		orphans(s, false);
	/* With a store it is what survives that matters: fewer messages are judged away. */
	if (world_random(s->w, s->w->store != NULL ? 3000 : 500) == 0)
		rights_change(s);
	if (s->full_every != 0 && world_random(s->w, s->full_every) == 0)
		sim_disk(s, !s->full);
	if (s->crash_every != 0 && world_random(s->w, s->crash_every) == 0)
		sim_crash(s);
	check_always(s);
	if (s->writes->n > WRITES / 2 || s->nrec - s->base > INTERVAL - 64 ||
	    s->step % 4000 == 3999)
		interval_end(s);
}

static void sim_end(struct sim *s)
{
	interval_end(s);
	printf("sim: seed %llu, %u steps, %u devices, %u shards: %llu deliveries, %llu retained, "
	       "%llu wills, %llu by an alias alone, "
	       "%llu that had to arrive, %llu at some member, %u versions of rights, %llu checks\n",
	       (unsigned long long)s->seed, s->step, s->ndev, s->w->n,
	       (unsigned long long)s->delivered, (unsigned long long)s->retained_seen,
	       (unsigned long long)s->wills_seen, (unsigned long long)s->aliases_seen,
	       (unsigned long long)s->must, (unsigned long long)s->shared_must, s->o.version + 1,
	       (unsigned long long)s->checks);
	if (s->w->store != NULL)
		printf("sim: %llu crashes, %llu times full, %llu refused for it\n",
		       (unsigned long long)s->crashes, (unsigned long long)s->fulls,
		       (unsigned long long)s->refused_full);
	world_free(&s->w);
	free(s->writes);
	oracle_end(&s->o);
	free(s->dev);
	free(s->rec);
	free(s);
}

static u64 option_number(const char *text)
{
	u64 v = 0;

	if (num_parse(slice_str(text), UINT64_MAX, &v) != E_OK) {
		fprintf(stderr, "sim: not a number: %s\n", text);
		exit(2);
	}
	return v;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", 1, NULL, 's'},	      {"steps", 1, NULL, 'n'},
		{"devices", 1, NULL, 'd'},    {"shards", 1, NULL, 'k'},
		{"store", 1, NULL, 't'},      {"crash-every", 1, NULL, 'c'},
		{"full-every", 1, NULL, 'f'}, {0}};
	u64 seed = 1, steps = 100000, devices = 200, shards = 3, store = 0, crash = 0, full = 0;
	struct sim *s;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		u64 *to = o == 's'   ? &seed
			  : o == 'n' ? &steps
			  : o == 'd' ? &devices
			  : o == 'k' ? &shards
			  : o == 't' ? &store
			  : o == 'c' ? &crash
			  : o == 'f' ? &full
				     : NULL;
		if (to == NULL)
			return 2;
		*to = option_number(optarg);
	}
	if (devices == 0 || devices > 100000 || shards == 0 || shards > W_SHARDS ||
	    steps > UINT32_MAX)
		return 2;
	s = sim_new(seed, (u32)shards, (u32)devices, store != 0);
	s->crash_every = (u32)crash;
	s->full_every = (u32)full;
	for (s->step = 0; s->step < steps; s->step++)
		sim_step(s);
	sim_end(s);
	return 0;
}
