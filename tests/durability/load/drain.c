/* drain: the end of a run, step by step: publishers finish, everybody comes back and receives what
 * waits, hears a last word, then silence; at last a newcomer asks what is retained. */
#include "load.h"

enum { STEP_MS = 20000, QUIET_MS = 800, READER_QUIET_MS = 500, SETTLE_MS = 300 };

static u64 step_ns, settle_ns;
static enum phase step;
static u32 spoken;

static u32 publishing(void)
{
	u32 n = 0;

	for (u32 i = 0; i < world.nsessions; i++)
		n += world.session[i].nflight != 0;
	return n;
}

static bool settled(const struct session *s)
{
	bool all = s->cur != NULL;

	for (u32 i = 0; i < s->nwant; i++)
		all = all && s->want[i].state == (s->want[i].wanted ? WANT_ON : WANT_OFF);
	return all;
}

static u32 away(void)
{
	u32 n = 0;

	for (u32 i = 0; i < world.nsessions; i++)
		n += world.session[i].role != READER && !settled(&world.session[i]);
	return n;
}

static bool hears(const struct session *s)
{
	return s->role != CLEAN && s->role != READER && s->role != ENDER;
}

/* The last word to each, one after the other; how many have not heard it. */
static u32 speak(void)
{
	struct session *ender = NULL;
	u32 deaf = 0;

	for (u32 i = 0; i < world.nsessions; i++) {
		deaf += hears(&world.session[i]) && !world.session[i].ended;
		if (world.session[i].role == ENDER)
			ender = &world.session[i];
	}
	while (spoken < world.nsessions) {
		if (hears(&world.session[spoken]) &&
		    !session_publish(ender, world.end0 + spoken, 1, false, PAYLOAD_MIN))
			break;
		spoken++;
	}
	return deaf;
}

static bool quiet(u64 now, u32 ms)
{
	return now > world.last_recv_ns + ms * NS_PER_MS && now > step_ns + ms * NS_PER_MS;
}

static struct session *reader(void)
{
	struct session *s = &world.session[world.nsessions - 1];

	if (s->cur == NULL && s->opening == 0)
		conn_open(s);
	return s;
}

/* How many are missing for this step to be over. */
static u32 missing(u64 now)
{
	switch (step) {
	case PHASE_DRAIN:
		return publishing();
	case PHASE_PUBLISHED:
		return away();
	case PHASE_BACK:
		return speak() + publishing();
	case PHASE_SENTINELS:
		return !quiet(now, QUIET_MS);
	case PHASE_QUIET:
		return !settled(reader()) || !quiet(now, READER_QUIET_MS);
	case PHASE_END:
		return 0;
	}
	return 0;
}

bool drain_step(u64 now)
{
	u32 left;

	if (step == 0) {
		world.drain = true;
		step = PHASE_DRAIN;
		step_ns = now;
		history_add(EV_PHASE, 0, 0, 0, PHASE_DRAIN, 0, 0, 0);
		for (u32 i = 0; i < world.nsessions; i++) {
			world.session[i].wake_ns = now;
			/* One that asked for a clean start and heard nothing asks again. */
			world.session[i].clean_next &= world.session[i].doubt;
		}
	}
	if (now > settle_ns) {
		settle_ns = now + SETTLE_MS * NS_PER_MS;
		for (u32 i = 0; i < world.nsessions; i++)
			session_settle(&world.session[i]);
	}
	left = missing(now);
	if (left != 0 && now < step_ns + STEP_MS * NS_PER_MS)
		return false;
	step++;
	step_ns = now;
	history_add(EV_PHASE, 0, 0, 0, step, left, 0, 0);
	return step == PHASE_END;
}
