/* plan: who takes part and what they want, from a seed.  The same seed makes the same plan. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { LIVE_A = 6, LIVE_B = 4, SHARED_N = 6, RETAINED_N = 40, GROUPS = 2, GROUP_MEMBERS = 3 };

struct world world;

u64 random_u64(void) /* splitmix64 */
{
	u64 z = world.random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

u32 random_below(u32 n)
{
	return (u32)(random_u64() % n);
}

u64 random_ns(u64 low_ms, u64 high_ms)
{
	return low_ms * NS_PER_MS + random_u64() % ((high_ms - low_ms) * NS_PER_MS + 1);
}

/* ---- topics -------------------------------------------------------------------------- */
/* In order of what they are for, so that a topic's number says it. */
int topic_find(const u8 *p, size_t n)
{
	char text[TOPIC_TEXT];
	u32 a, b;
	int len = 0;
	u32 at;

	if (n >= sizeof(text))
		return -1;
	memcpy(text, p, n);
	text[n] = '\0';
	if (sscanf(text, "h/l/%u/%u%n", &a, &b, &len) == 2)
		at = world.live0 + a * LIVE_B + b;
	else if (sscanf(text, "h/s/%u%n", &a, &len) == 1)
		at = world.shared0 + a;
	else if (sscanf(text, "h/r/%u%n", &a, &len) == 1)
		at = world.retained0 + a;
	else if (sscanf(text, "h/w/%u%n", &a, &len) == 1)
		at = world.will0 + a;
	else if (sscanf(text, "h/e/%u%n", &a, &len) == 1)
		at = world.end0 + a;
	else
		return -1;
	return at < world.ntopics && strcmp(world.topic[at].text, text) == 0 ? (int)at : -1;
}

static void topics_make(void)
{
	struct topic *t;

	world.nlive = LIVE_A * LIVE_B;
	world.nshared = SHARED_N;
	world.nretained = RETAINED_N;
	world.shared0 = world.nlive;
	world.retained0 = world.shared0 + world.nshared;
	world.will0 = world.retained0 + world.nretained;
	world.end0 = world.will0 + world.nsessions;
	world.ntopics = world.end0 + world.nsessions;
	t = world.topic = calloc(world.ntopics, sizeof(*world.topic));
	for (u32 i = 0; i < world.nlive; i++)
		snprintf((t++)->text, TOPIC_TEXT, "h/l/%u/%u", i / LIVE_B, i % LIVE_B);
	for (u32 i = 0; i < world.nshared; i++)
		snprintf((t++)->text, TOPIC_TEXT, "h/s/%u", i);
	for (u32 i = 0; i < world.nretained; i++)
		snprintf((t++)->text, TOPIC_TEXT, "h/r/%u", i);
	for (u32 i = 0; i < world.nsessions; i++)
		snprintf((t++)->text, TOPIC_TEXT, "h/w/%u", i);
	for (u32 i = 0; i < world.nsessions; i++)
		snprintf((t++)->text, TOPIC_TEXT, "h/e/%u", i);
}

/* ---- filters ------------------------------------------------------------------------- */
static u16 filter_of(const char *text)
{
	struct filter *f;

	for (u32 i = 0; i < world.nfilters; i++) {
		if (strcmp(world.filter[i].text, text) == 0)
			return (u16)i;
	}
	world.filter = realloc(world.filter, (world.nfilters + 1) * sizeof(*world.filter));
	f = &world.filter[world.nfilters];
	snprintf(f->text, sizeof(f->text), "%s", text);
	return (u16)world.nfilters++;
}

static void want(struct session *s, u8 qos, const char *text)
{
	if (s->nwant == WANT_MAX)
		return;
	for (u32 i = 0; i < s->nwant; i++) {
		if (s->want[i].filter == filter_of(text))
			return;
	}
	s->want[s->nwant++] = (struct want){.filter = filter_of(text), .qos = qos, .wanted = true};
}

/* Filters that share no topic. */
static void want_apart(struct session *s)
{
	char text[FILTER_TEXT];
	u32 kind = random_below(3), first = random_below(LIVE_A);

	for (u32 i = 0; i < 1 + random_below(3); i++) {
		if (kind == 0)
			snprintf(text, sizeof(text), "h/l/%u/#", (first + i) % LIVE_A);
		else if (kind == 1)
			snprintf(text, sizeof(text), "h/l/+/%u", (first + i) % LIVE_B);
		else
			snprintf(text, sizeof(text), "h/l/%u/%u", (first + i) % LIVE_A,
				 random_below(LIVE_B));
		want(s, random_below(8) == 0 ? 0 : (u8)(1 + random_below(2)), text);
	}
}

static void want_overlapping(struct session *s)
{
	char text[FILTER_TEXT];
	u32 a = random_below(LIVE_A);

	snprintf(text, sizeof(text), "h/l/%u/#", a);
	want(s, 2, text);
	snprintf(text, sizeof(text), "h/l/%u/%u", a, random_below(LIVE_B));
	want(s, 2, text);
}

static void want_many(struct session *s)
{
	char text[FILTER_TEXT];

	for (u32 i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "h/l/%u/%u", random_below(LIVE_A),
			 random_below(LIVE_B));
		want(s, (u8)(1 + random_below(2)), text);
	}
	for (u32 i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "h/r/%u", random_below(RETAINED_N));
		want(s, (u8)(1 + random_below(2)), text);
	}
}

static void want_shared(struct session *s, u32 n)
{
	char text[FILTER_TEXT];

	snprintf(text, sizeof(text), "$share/g%u/h/s/#", n % GROUPS);
	want(s, 2, text);
}

/* ---- sessions ------------------------------------------------------------------------ */
static void topics_choose(struct session *s)
{
	for (u32 i = 0; i < 6; i++)
		s->topics[s->ntopics++] = (u16)(world.live0 + random_below(world.nlive));
	s->topics[s->ntopics++] = (u16)(world.shared0 + random_below(world.nshared));
	for (u32 i = 0; i < 3; i++)
		s->topics[s->ntopics++] = (u16)(world.retained0 + random_below(world.nretained));
}

static void session_make(struct session *s, enum role role, u32 n)
{
	char text[FILTER_TEXT];

	s->role = role;
	s->version = random_below(2) == 0 ? 4 : 5;
	s->expiry_s = 3600;
	s->window = 1u << random_below(5);
	if (role == SHARED || role == WILL || role == SHORT)
		s->version = 5;
	if (role == SHORT)
		s->expiry_s = 4;
	if (role == CLEAN || role == READER)
		s->expiry_s = 0;
	if (role != CLEAN && role != READER && role != ENDER) {
		snprintf(text, sizeof(text), "h/e/%u", s->id);
		want(s, 1, text);
	}
	if (role == PUBLISHER)
		topics_choose(s);
	else if (role == OVERLAP)
		want_overlapping(s);
	else if (role == CHURN)
		want_many(s);
	else if (role == SHARED)
		want_shared(s, n);
	else if (role == WATCH)
		want(s, 2, "h/w/#");
	else if (role == READER)
		want(s, 2, "h/r/#");
	else if (role != ENDER && role != WILL)
		want_apart(s);
}

void plan_make(u64 seed, u32 scale)
{
	static const struct {
		enum role role;
		u32 n; /* at scale 1 */
	} table[] = {{PUBLISHER, 8}, {PLAIN, 10}, {OVERLAP, 2}, {CHURN, 3},
		     {CLEAN, 2},     {RESET, 3},  {SHORT, 3},	{WILL, 4}};
	u32 at = 0;

	world.random = seed;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		world.nsessions += table[i].n * scale;
	world.nsessions += GROUPS * GROUP_MEMBERS + 3;
	topics_make();
	world.session = calloc(world.nsessions, sizeof(*world.session));
	for (u32 i = 0; i < world.nsessions; i++)
		world.session[i].id = (u16)i;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (u32 k = 0; k < table[i].n * scale; k++)
			session_make(&world.session[at++], table[i].role, k);
	}
	for (u32 k = 0; k < GROUPS * GROUP_MEMBERS; k++)
		session_make(&world.session[at++], SHARED, k);
	session_make(&world.session[at++], WATCH, 0);
	session_make(&world.session[at++], ENDER, 0);
	session_make(&world.session[at++], READER, 0);
}
