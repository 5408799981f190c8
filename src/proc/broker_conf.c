/* broker_conf: the configuration as core, admission and the listeners understand it. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "proc/broker_i.h"

static u32 cut(u64 v)
{
	return (u32)MIN(v, (u64)UINT32_MAX);
}

static u32 seconds(u64 ms)
{
	return ms == CONF_NO_LIMIT ? UINT32_MAX : cut(ms / 1000);
}

static struct core_limits limits_of(const struct conf_limits *l)
{
	return (struct core_limits){
		.prelogin_bytes = cut(l->prelogin_bytes),
		.max_packet = cut(l->max_packet_size),
		.connect_ms = cut(l->connect_deadline),
		.login_ms = cut(l->login_deadline),
		.packet_ms = cut(l->packet_deadline),
		.keep_alive_max_s = seconds(l->keep_alive_max),
		.subscriptions = cut(l->subscriptions),
		.filters_per_subscribe = cut(l->filters_per_subscribe),
		.topic_aliases = cut(l->topic_aliases),
		.receive_maximum = cut(l->receive_maximum),
		.inflight = cut(l->inflight),
		.queue_messages = cut(l->queue_messages),
		.offline_messages = cut(l->offline_messages),
		.queue_bytes = l->queue_bytes,
		.offline_bytes = l->offline_bytes,
		.output_buffer = l->output_buffer,
		.output_stall_ms = cut(l->output_stall),
		.publish_rate = cut(l->publish_rate),
		.publish_burst = cut(l->publish_burst),
		.publish_bytes = l->publish_bytes,
		.retained_identity = cut(l->retained_identity),
		.connections_identity = cut(l->connections_identity),
		.session_expiry_max_s = seconds(l->session_expiry_max),
		.user_properties = cut(l->user_properties),
		.user_property_bytes = cut(l->user_property_bytes),
		.refusal_grid_ms = cut(l->refusal_grid),
	};
}

/* A service has its own column, unless the listener says something else than the configuration as a
 * whole. */
static struct core_limits service_limits_of(const struct conf *c, const struct conf_listener *l)
{
	struct conf_limits m = c->service_limits;

#define X(name, type, dev, svc, min, max, doc)                                                     \
	if (l->limits.name != c->limits.name)                                                      \
		m.name = l->limits.name;
	LIMIT_TABLE(X)
#undef X
	return limits_of(l->limits_none ? &l->limits : &m);
}

u32 protocols_of(const struct conf_listener *l)
{
	return (l->mqtt ? (u32)NET_RAW : 0) | (l->websocket ? (u32)NET_WEBSOCKET : 0);
}

struct net_greeting *greeting_of(const struct conf_listener *l)
{
	const u64 longest = 60000; /* nobody is waited for without end */

	_Static_assert(sizeof(l->origin[0]) == NET_ORIGIN, "origins are copied whole");
	_Static_assert(sizeof(l->websocket_path) == NET_PATH, "so are paths");
	return net_greeting_new(&(struct net_greeting_options){
		.protocols = protocols_of(l),
		.first_ms = MIN(l->limits.connect_deadline, longest),
		.upgrade_ms = MIN(l->limits.upgrade_deadline, longest),
		.path = l->websocket_path,
		.origins = l->origins,
		.origin = l->origin});
}

static struct core_features features_of(const struct conf *c, const struct conf_listener *l)
{
	struct core_features f = {.maximum_qos = (u8)l->maximum_qos,
				  .wildcards = l->wildcard_subscriptions,
				  .shared = l->shared_subscriptions,
				  .subscription_ids = l->subscription_identifiers};

	_Static_assert(sizeof(f.response_topic) == sizeof(c->response_topic), "copied whole");
	memcpy(f.response_topic, c->response_topic, sizeof(f.response_topic));
	return f;
}

#define X(name, word)                                                                              \
	_Static_assert((u32)CONF_SHARED_##name == (u32)SHARED_##name, "conf and core agree");
SHARED_STRATEGY_TABLE(X)
#undef X

void listeners_describe(const struct conf *c, struct core_listener *out)
{
	for (u32 i = 0; i < c->listeners; i++) {
		const struct conf_listener *l = &c->listener[i];
		out[i] = (struct core_listener){.tls = l->tls,
						.features = features_of(c, l),
						.anonymous = l->anonymous_role[0] != '\0',
						.device = limits_of(&l->limits),
						.service = service_limits_of(c, l)};
		_Static_assert(sizeof(out[i].name) == sizeof(l->name), "names are copied whole");
		memcpy(out[i].name, l->name, sizeof(out[i].name));
	}
}

enum { LIM_OWN_DESCRIPTORS = 48 };

/* Some descriptors are our own: links, listeners, twice while a reload hands over the new ones, the
 * store.  The rest is for clients (defaults.md: 80 %). */
static u64 connections_most(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return MIN((u64)r.rlim_cur / 5 * 4,
		   r.rlim_cur - MIN((u64)r.rlim_cur, (u64)LIM_OWN_DESCRIPTORS));
}

static bool same_place(const struct conf_listener *a, const struct conf_listener *b)
{
	return strcmp(a->bind, b->bind) == 0 && strcmp(a->interface, b->interface) == 0 &&
	       a->tls == b->tls && a->proxy == b->proxy &&
	       a->proxy_certificates == b->proxy_certificates;
}

static void conf_use(struct broker *b, const struct conf *c)
{
	struct core_listener l[CONF_LISTENERS];
	bool reload = b->have_conf;

	memcpy(&b->conf, c, sizeof(*c));
	b->have_conf = true;
	listeners_describe(c, l);
	if (b->hub != NULL) {
		hub_set_listeners(b->hub, l, c->listeners, reload);
		hub_set_shared(b->hub, (enum shared_strategy)c->shared_strategy);
	}
	admission_configure(b->admission, c, connections_most());
}

/* What stays keeps its socket, and its new copy goes; the rest is closed, and who has not logged in
 * through it is turned out, since numbers of listeners mean something else from now on. */
static void places_change(struct broker *b)
{
	for (u32 i = 0; i < b->conf.listeners; i++) {
		if (!b->open[i])
			continue;
		if (i < b->taking->listeners &&
		    same_place(&b->conf.listener[i], &b->taking->listener[i])) {
			listener_fds_close(b, i);
			continue;
		}
		shards_tell(b, SI_UNLISTEN, i, NULL);
		b->open[i] = false;
		if (b->tls[i] != NULL)
			net_tls_unref(&b->tls[i]);
	}
}

void conf_apply(struct broker *b)
{
	struct generation *g;

	if (b->offered == NULL || b->hub == NULL)
		return;
	if (b->taking != NULL) {
		b->apply_again = true;
		return;
	}
	b->taking = b->offered;
	b->taking_generation = b->offered_generation;
	b->offered = NULL;
	places_change(b);
	g = generation_new(b, 0, false);
	g->reload = true;
	shards_tell(b, SI_BARRIER, 0, g);
}

/* What a listener that stays asks of connections from now on. */
static void rules_tell(struct broker *b, u32 i)
{
	struct net_greeting *g = greeting_of(&b->conf.listener[i]);

	shards_tell(b, SI_DEADLINE, (u64)i << 32 | listener_deadline(b, i), NULL);
	for (u32 k = 0; k < b->nshards; k++)
		shard_tell(&b->shard[k], SI_GREETING, i, net_greeting_ref(g));
	net_greeting_unref(&g);
}

void conf_applied(struct broker *b)
{
	ASSERT(b->taking != NULL);
	conf_use(b, b->taking);
	b->conf_generation = b->taking_generation;
	free(b->taking);
	b->taking = NULL;
	if (b->apply_again) { /* the sockets that wait belong to the next one */
		b->apply_again = false;
		conf_apply(b);
		return;
	}
	tls_renew(b);
	for (u32 i = 0; i < b->conf.listeners; i++) {
		if (b->open[i])
			rules_tell(b, i);
	}
	listeners_open(b);
}

static void conf_answer(struct broker *b, u64 generation, enum err e, const char *what)
{
	struct m_config_done d = {.generation = generation, .err = (u32)e};

	if (child_send(b->child, ROLE_SUP, IPC_CONFIG_DONE, 0, &d, slice_str(what), -1) != E_OK)
		child_quit(b->child, 1);
}

static void conf_offer(struct broker *b, const struct conf *c, u64 generation)
{
	if (b->offered == NULL)
		b->offered = xmalloc(sizeof(*b->offered));
	memcpy(b->offered, c, sizeof(*c));
	b->offered_generation = generation;
	/* A reload that was refused ends with what is in force, under another number and without
	 * sockets. */
	if (b->taking == NULL && memcmp(c, &b->conf, sizeof(*c)) == 0)
		b->conf_generation = generation;
}

static void conf_first(struct broker *b, const struct conf *c, u64 generation)
{
	conf_use(b, c);
	b->conf_generation = generation;
}

static enum err conf_read(struct broker *b, const struct ipc_msg *m)
{
	const struct m_config *mc = m->body;
	struct slice s;
	enum err e;

	if (mc->size != sizeof(struct conf) || ipc_memfd_map(m->fd, mc->size, &s) != E_OK)
		return E_IPC;
	/* A mapping begins at a page. */
	const struct conf *c = (const struct conf *)(const void *)s.p;
	e = conf_valid(c) ? E_OK : E_IPC;
	if (e == E_OK && mc->reload)
		conf_offer(b, c, mc->generation);
	else if (e == E_OK)
		conf_first(b, c, mc->generation);
	munmap((void *)(uintptr_t)s.p, s.n);
	return e;
}

/* At a reload it is only checked and kept: sockets follow when every process has agreed
 * (conf_apply). */
enum err conf_take(struct broker *b, struct ipc_msg *m)
{
	const struct m_config *mc = m->body;
	enum err e = conf_read(b, m);

	if (!mc->reload)
		return e;
	conf_answer(b, mc->generation, e, e == E_OK ? "" : "the new configuration does not check");
	return E_OK;
}
