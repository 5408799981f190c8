/* alias: topic aliases of one connection (MQTT 5.0 section 3.3.2.3.4), both ways.
 *
 * Those of the client are what it said they are.  Those towards it are ours: a small cache of the
 * topics that it is sent, which decides as a packet is written, so that the client knows what the
 * next one means.  A connection that uses none has no memory for any. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/impl.h"

enum { WAYS = 8 };	/* topics that are looked at for one */
enum { TOPIC_MIN = 5 }; /* below it an alias saves nothing */
enum {
	MISSES_MAX = 4
}; /* so many topics without an alias are let pass before one gets another's */

struct alias {
	size_t n;
	u8 topic[];
};

struct way { /* alias number i + 1 towards the client */
	struct alias *topic;
	u32 hash;
	u8 hits, misses, hand; /* misses and hand: of the first way of a set, for the set */
};

struct aliases {
	u32 nin, nout;
	struct alias **in; /* topics by alias, from 1; NULL: none was used yet */
	struct way *out;
};

void aliases_free(struct client *cl)
{
	struct aliases *a = cl->aliases;

	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (a == NULL)
		return;
	cl->aliases = NULL;
	for (u32 i = 0; i < a->nin; i++)
		free(a->in[i]);
	for (u32 i = 0; i < a->nout; i++)
		free(a->out[i].topic);
	free(a->in);
	free(a->out);
	free(a);
}

static struct alias *alias_new(struct slice topic)
{
	struct alias *t = malloc(sizeof(*t) + topic.n);

	ASSERT(topic.n != 0);
	if (t == NULL)
		return NULL;
	t->n = topic.n;
	memcpy(t->topic, topic.p, topic.n);
	return t;
}

static bool alias_is(const struct alias *t, struct slice topic)
{
	return t != NULL && slice_eq(slice_of(t->topic, t->n), topic);
}

static struct aliases *aliases_of(struct client *cl)
{
	OBJ_CHECK(cl, CLIENT_MAGIC);
	if (cl->aliases == NULL)
		cl->aliases = xcalloc(1, sizeof(*cl->aliases));
	return cl->aliases;
}

/* ---- from the client ------------------------------------------------------------------- */

static enum err alias_set(struct client *cl, u16 number, struct slice topic)
{
	struct aliases *a = aliases_of(cl);
	struct alias **at, *t;

	if (a->in == NULL) {
		a->nin = client_limits(cl)->topic_aliases;
		a->in = xcalloc(a->nin, sizeof(*a->in));
	}
	ASSERT(number != 0);
	ASSERT(number <= a->nin);
	at = &a->in[number - 1];
	if (alias_is(*at, topic))
		return E_OK;
	t = alias_new(topic);
	if (t == NULL)
		return E_NOMEM;
	free(*at);
	*at = t;
	return E_OK;
}

enum err alias_resolve(struct client *cl, struct pkt_publish *p)
{
	const struct aliases *a = cl->aliases;
	bool used = a != NULL && a->in != NULL;
	u32 most = used ? a->nin : client_limits(cl)->topic_aliases;
	const struct alias *t;
	u16 number = p->props.topic_alias;

	ASSERT(PROP_HAS(&p->props, PROP_topic_alias));
	if (number == 0 || number > most)
		return E_ALIAS;
	if (!p->topic_absent)
		return alias_set(cl, number, p->topic.s);
	t = used ? a->in[number - 1] : NULL;
	ASSERT(t == NULL || t->n != 0);
	return t != NULL ? topic_parse(slice_of(t->topic, t->n), &p->topic) : E_PROTO;
}

/* ---- towards the client ---------------------------------------------------------------- */

/* Who makes topics collide makes packets longer, and nothing slower: a set is small. */
static u32 topic_hash(struct slice topic)
{
	u64 h = topic.n, w;
	size_t i = 0;

	for (; i + sizeof(w) <= topic.n; i += sizeof(w)) {
		memcpy(&w, topic.p + i, sizeof(w));
		h = (h ^ w) * 0x9e3779b97f4a7c15;
		h ^= h >> 32;
	}
	w = 0;
	memcpy(&w, topic.p + i, topic.n - i);
	h = (h ^ w) * 0x9e3779b97f4a7c15;
	return (u32)(h >> 32);
}

static struct way *set_find(struct way *set, u32 n, struct slice topic, u32 hash)
{
	ASSERT(n > 0);
	for (u32 i = 0; i < n; i++) {
		if (set[i].hash == hash && alias_is(set[i].topic, topic))
			return &set[i];
	}
	return NULL;
}

/* The one that another topic may have: an unused one at once; else, now and then, one that has not
 * been of use since it was looked at last. */
static struct way *set_victim(struct way *set, u32 n)
{
	struct way *w;

	ASSERT(n <= WAYS);
	for (u32 i = 0; i < n; i++) {
		if (set[i].topic == NULL)
			return &set[i];
	}
	if (++set->misses < MISSES_MAX)
		return NULL;
	set->misses = 0;
	set->hand = (u8)((set->hand + 1u) % n);
	w = &set[set->hand];
	if (w->hits == 0)
		return w;
	w->hits /= 2;
	return NULL;
}

u16 alias_for(struct client *cl, struct slice topic, bool room, bool *known)
{
	struct aliases *a = aliases_of(cl);
	u32 hash = topic_hash(topic), first, n;
	struct alias *t;
	struct way *w;

	*known = false;
	if (topic.n < TOPIC_MIN)
		return 0;
	if (a->out == NULL) {
		a->nout = cl->alias_max_out;
		a->out = xcalloc(a->nout, sizeof(*a->out));
	}
	ASSERT(a->nout == cl->alias_max_out);
	first = hash % ((a->nout + WAYS - 1) / WAYS) * WAYS;
	n = MIN(a->nout - first, (u32)WAYS);
	w = set_find(&a->out[first], n, topic, hash);
	if (w != NULL) {
		*known = true;
		w->hits = (u8)MIN(w->hits + 1, UINT8_MAX);
		return (u16)(w - a->out + 1);
	}
	w = room ? set_victim(&a->out[first], n) : NULL;
	t = w != NULL ? alias_new(topic) : NULL;
	if (t == NULL)
		return 0;
	free(w->topic);
	w->topic = t;
	w->hash = hash;
	w->hits = 0;
	return (u16)(w - a->out + 1);
}
