/* act: what the clients do by themselves: publish at a rate, leave, come back, race each other for
 * one session, read slowly, subscribe and unsubscribe. */
#include "load.h"

enum act { ACT_RUDE, ACT_BYE, ACT_TAKE_OVER, ACT_RACE, ACT_STALL, ACT_HOLD, ACT_CHURN, ACT_N };

static const struct {
	u32 every_ms;
	u32 weight[ACT_N];
} habits[] = {
	[PUBLISHER] = {1500, {30, 15, 30, 15, 5, 5, 0}},
	[PLAIN] = {1200, {30, 15, 20, 10, 10, 15, 0}},
	[OVERLAP] = {1200, {40, 20, 20, 10, 5, 5, 0}},
	[CHURN] = {250, {5, 5, 5, 2, 0, 3, 80}},
	[CLEAN] = {1500, {50, 50, 0, 0, 0, 0, 0}},
	[SHARED] = {1200, {40, 20, 15, 5, 10, 10, 0}},
	[RESET] = {1200, {50, 40, 0, 0, 5, 5, 0}},
	[SHORT] = {2000, {50, 50, 0, 0, 0, 0, 0}},
	[WILL] = {900, {60, 40, 0, 0, 0, 0, 0}},
	[WATCH] = {3000, {50, 20, 20, 10, 0, 0, 0}},
	[ENDER] = {1u << 30, {1}},
	[READER] = {1u << 30, {1}},
};

void act_later(struct session *s, u64 now)
{
	s->act_ns = now + random_ns(habits[s->role].every_ms / 4, habits[s->role].every_ms * 2);
}

/* ---- coming and going ---------------------------------------------------------------- */
static u64 time_away(const struct session *s)
{
	u32 kind = random_below(10);

	if (s->role == SHORT)
		return kind < 6 ? random_ns(100, 1500) : random_ns(6500, 7500);
	if (s->role == WILL)
		return kind < 5 ? random_ns(50, 500)
				: random_ns(s->will_delay_s * 1000ull + 2000,
					    s->will_delay_s * 1000ull + 3000);
	if (kind < 3)
		return random_ns(0, 10);
	return kind < 8 ? random_ns(50, 1000) : random_ns(1000, 3000);
}

static void leave(struct session *s, u64 now, bool rudely)
{
	u64 away = time_away(s);

	s->clean_next = s->role == RESET && random_below(3) == 0;
	if (rudely)
		conn_close(s->cur, CLOSED_RUDELY);
	else
		session_bye(s->cur, s->role == WILL && random_below(3) == 0 ? 4 : 0);
	s->wake_ns = now + away;
}

static void churn(struct session *s)
{
	u32 i = 1 + random_below(s->nwant - 1); /* the first is for the last word */

	if (s->want[i].state == WANT_ON || s->want[i].state == WANT_OFF)
		s->want[i].wanted = !s->want[i].wanted;
	session_settle(s);
}

static void act(struct session *s, u64 now)
{
	const u32 *weight = habits[s->role].weight;
	u32 sum = 0, pick, what = 0;

	for (u32 i = 0; i < ACT_N; i++)
		sum += weight[i];
	pick = random_below(sum);
	while (pick >= weight[what])
		pick -= weight[what++];
	act_later(s, now);
	switch ((enum act)what) {
	case ACT_RUDE:
	case ACT_BYE:
		leave(s, now, what == ACT_RUDE);
		break;
	case ACT_RACE:
		for (u32 i = 0; i < 1 + random_below(3); i++)
			conn_open(s);
		/* fall through */
	case ACT_TAKE_OVER:
		conn_open(s);
		break;
	case ACT_STALL:
		s->cur->stall_ns = now + random_ns(50, 600);
		break;
	case ACT_HOLD:
		s->cur->hold_ns = now + random_ns(5, 200);
		break;
	case ACT_CHURN:
		churn(s);
		break;
	case ACT_N:
		break;
	}
}

/* All at once. */
void act_storm(void)
{
	u64 now = now_ns();

	for (u32 i = 0; i < world.nsessions; i++) {
		struct session *s = &world.session[i];
		if (s->cur == NULL)
			continue;
		conn_close(s->cur, CLOSED_RUDELY);
		s->wake_ns = now;
	}
}

/* ---- publishing ---------------------------------------------------------------------- */
static u32 size_choose(void)
{
	u32 kind = random_below(100), most = kind < 70 ? 200 : kind < 97 ? 4000 : PAYLOAD_MAX;

	if (most > world.bytes_max)
		most = world.bytes_max;
	return PAYLOAD_MIN + random_below(most - PAYLOAD_MIN + 1);
}

static bool publish_one(struct session *s)
{
	u32 topic = s->topics[random_below(s->ntopics)], kind = random_below(20);
	u8 qos = kind < 3 ? 0 : kind < 12 ? 1 : 2;
	bool retain = topic >= world.retained0;
	u32 bytes = size_choose();

	if (retain && random_below(8) == 0)
		bytes = 0; /* the retained message ends */
	return session_publish(s, topic, qos, retain, bytes);
}

static void publish_some(u64 now)
{
	static u64 last_ns;
	static double tokens;
	static u32 turn;
	u32 idle = 0;

	if (last_ns != 0)
		tokens += world.rate * (double)(now - last_ns) / 1e9;
	last_ns = now;
	if (tokens > world.rate / 20 + 1)
		tokens = world.rate / 20 + 1;
	while (tokens >= 1 && idle < world.nsessions) {
		struct session *s = &world.session[turn++ % world.nsessions];
		if (s->role == PUBLISHER && publish_one(s)) {
			tokens -= 1;
			idle = 0;
		} else {
			idle++;
		}
	}
}

void act_tick(u64 now)
{
	for (u32 i = 0; i < world.nsessions; i++) {
		struct session *s = &world.session[i];
		if (s->role == READER)
			continue;
		if (s->cur == NULL && s->opening == 0 && now >= s->wake_ns)
			conn_open(s);
		else if (s->cur != NULL && now >= s->act_ns && !world.drain)
			act(s, now);
	}
	if (!world.drain)
		publish_some(now);
}
