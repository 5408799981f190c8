/* admission: one lock around the sources' table and the totals.  See admission.h. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/mem.h"
#include "guard/sources.h"
#include "proc/admission.h"

struct admit_rule { /* of one listener */
	struct source_limits source;
	u64 waiting;
	u32 rate;
	bool all; /* no limit at all */
	struct conf_nets allow, deny, proxies;
	bool proxy; /* nobody but them */
};

struct admission {
	pthread_mutex_t lock;
	struct sources *sources;
	struct bucket connects, lines;
	u64 connections, waiting, most;
	u64 turned_away, turned_away_network; /* since the start */
	u32 line_rate, rules;
	struct admit_rule rule[CONF_LISTENERS];
};

struct admission *admission_new(void)
{
	struct admission *a = xcalloc(1, sizeof(*a));
	struct hash_key key;

	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		UNREACHABLE("the kernel gives 16 random bytes");
	if (pthread_mutex_init(&a->lock, NULL) != 0)
		UNREACHABLE("a plain mutex can be made");
	a->sources = sources_new(&key);
	a->line_rate = UINT32_MAX;
	return a;
}

void admission_free(struct admission **ap)
{
	struct admission *a = *ap;

	*ap = NULL;
	sources_free(&a->sources);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static u32 cut(u64 v)
{
	return (u32)MIN(v, (u64)UINT32_MAX);
}

static struct admit_rule rule_of(const struct conf_listener *l)
{
	const struct conf_limits *m = &l->limits;
	struct admit_rule r = {.waiting = m->connections_waiting, .rate = cut(m->connection_rate)};

	r.all = l->limits_none;
	r.source = (struct source_limits){.rate = cut(m->connection_rate_source),
					  .burst = cut(m->connection_burst_source),
					  .connections = cut(m->connections_source),
					  .waiting = cut(m->connections_waiting_source),
					  .failures = cut(m->failed_logins)};
	r.allow = l->allow;
	r.deny = l->deny;
	r.proxies = l->proxies;
	r.proxy = l->proxy;
	return r;
}

void admission_configure(struct admission *a, const struct conf *c, u64 most)
{
	ASSERT(c->listeners <= CONF_LISTENERS);
	pthread_mutex_lock(&a->lock);
	a->most = most;
	a->line_rate = cut(c->limits.log_rate);
	a->rules = c->listeners;
	for (u32 i = 0; i < a->rules; i++)
		a->rule[i] = rule_of(&c->listener[i]);
	pthread_mutex_unlock(&a->lock);
}

/* The source's own counts before the totals, so that one source does not use up what is there for
 * all. */
static enum err admit_counted(struct admission *a, const u8 addr[16], const struct admit_rule *r,
			      const struct source_limits *source, u64 now_ms)
{
	enum err e;

	if (a->connections >= a->most || (!r->all && a->waiting >= r->waiting))
		return E_QUOTA;
	e = sources_admit(a->sources, addr, source, now_ms);
	if (e != E_OK)
		return e;
	if (!r->all && !bucket_take(&a->connects, r->rate, r->rate, now_ms)) {
		sources_released(a->sources, addr, true);
		return E_RATE;
	}
	a->connections++;
	a->waiting++;
	return E_OK;
}

/* The cheapest test first.  Of a proxy nothing is counted against it: whoever it speaks for is. */
static enum err admit(struct admission *a, const u8 addr[16], const struct admit_rule *r,
		      u64 now_ms, bool *proxy)
{
	static const struct source_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
						  UINT32_MAX};

	*proxy = conf_in_nets(&r->proxies, addr);
	if (!*proxy && (r->proxy || !conf_may_connect(&r->allow, &r->deny, addr)))
		return E_DENIED;
	return admit_counted(a, addr, r, *proxy ? &none : &r->source, now_ms);
}

bool admission_trusts(struct admission *a, const u8 addr[16], u32 listener)
{
	bool yes;

	pthread_mutex_lock(&a->lock);
	yes = listener < a->rules && conf_in_nets(&a->rule[listener].proxies, addr);
	pthread_mutex_unlock(&a->lock);
	return yes;
}

static void turned_away(struct admission *a, enum err e)
{
	a->turned_away += e != E_OK;
	a->turned_away_network += e == E_DENIED;
}

enum err admission_admit(struct admission *a, const u8 addr[16], u32 listener, u64 now_ms,
			 bool *proxy)
{
	enum err e = E_DENIED;

	*proxy = false;
	pthread_mutex_lock(&a->lock);
	if (listener < a->rules)
		e = admit(a, addr, &a->rule[listener], now_ms, proxy);
	turned_away(a, e);
	pthread_mutex_unlock(&a->lock);
	return e;
}

static enum err sourced(struct admission *a, const u8 addr[16], const struct admit_rule *r,
			u64 now_ms)
{
	if (!conf_may_connect(&r->allow, &r->deny, addr))
		return E_DENIED;
	return sources_admit(a->sources, addr, &r->source, now_ms);
}

enum err admission_sourced(struct admission *a, const u8 proxy[16], const u8 addr[16], u32 listener,
			   u64 now_ms)
{
	enum err e = E_DENIED;

	pthread_mutex_lock(&a->lock);
	if (listener < a->rules)
		e = sourced(a, addr, &a->rule[listener], now_ms);
	if (e == E_OK)
		sources_released(a->sources, proxy, true);
	turned_away(a, e);
	pthread_mutex_unlock(&a->lock);
	return e;
}

void admission_counts(struct admission *a, u64 *turned_away, u64 *network)
{
	pthread_mutex_lock(&a->lock);
	*turned_away = a->turned_away;
	*network = a->turned_away_network;
	pthread_mutex_unlock(&a->lock);
}

void admission_login(struct admission *a, const u8 addr[16], u64 now_ms)
{
	pthread_mutex_lock(&a->lock);
	ASSERT(a->waiting > 0);
	a->waiting--;
	sources_login(a->sources, addr, now_ms);
	pthread_mutex_unlock(&a->lock);
}

bool admission_failed(struct admission *a, const u8 addr[16], u32 listener, u64 now_ms)
{
	bool refused = false;

	pthread_mutex_lock(&a->lock);
	if (listener < a->rules)
		refused = sources_failed(a->sources, addr, &a->rule[listener].source, now_ms);
	pthread_mutex_unlock(&a->lock);
	return refused;
}

void admission_released(struct admission *a, const u8 addr[16], bool was_waiting)
{
	pthread_mutex_lock(&a->lock);
	ASSERT(a->connections > 0);
	ASSERT(!was_waiting || a->waiting > 0);
	a->connections--;
	a->waiting -= was_waiting;
	sources_released(a->sources, addr, was_waiting);
	pthread_mutex_unlock(&a->lock);
}

bool admission_may_log(struct admission *a, const u8 addr[16], u64 now_ms, u32 *left_out)
{
	bool yes;

	pthread_mutex_lock(&a->lock);
	yes = sources_may_log(a->sources, addr, now_ms, left_out) &&
	      bucket_take(&a->lines, a->line_rate, a->line_rate, now_ms);
	pthread_mutex_unlock(&a->lock);
	return yes;
}
