/* check: rules between options: what is unsafe needs a reason and a network list, what contradicts
 * itself stops the start. */
#include <stdio.h>

#include "conf/internal.h"

void conf_limits_lift(struct conf_limits *l)
{
	/* Where the protocol itself ends, its end; deadlines stay: they cost a well-behaved client
	 * nothing. */
	enum { KIND_MS, KIND_SIZE, KIND_COUNT };
#define X(name, type, dev, svc, min, max, doc)                                                     \
	if (KIND_##type != KIND_MS)                                                                \
		l->name = (max) >= 1000000 && (max) != MIB(256) ? CONF_NO_LIMIT : (u64)(max);
	LIMIT_TABLE(X)
#undef X
}

static bool listener_bad(struct parse *p, const struct conf_listener *l, u32 line, const char *what,
			 const char *hint)
{
	conf_bad(p, line, hint, "listener %s %s", l->name, what);
	return false;
}

static bool check_risk(struct parse *p, const struct conf_listener *l, u32 line)
{
	bool anonymous = l->anonymous_role[0] != '\0';
	bool open = l->allow.n == 0 && !l->proxy; /* proxies are named, too */
	bool plain = !l->tls && !l->local;
	bool risky = plain || anonymous || l->limits_none;

	if (risky && l->accept_risk[0] == '\0')
		return listener_bad(p, l, line,
				    plain	? "is plaintext without accept_risk"
				    : anonymous ? "lets anonymous clients in without accept_risk"
						: "lifts all limits without accept_risk",
				    "add accept_risk = \"the reason\", or take the option away");
	if (l->limits_none && !l->loopback)
		return listener_bad(p, l, line, "lifts all limits off loopback",
				    "bind it to 127.0.0.1 or [::1], or set single limits");
	if ((plain || anonymous) && !l->loopback && open)
		return listener_bad(
			p, l, line,
			plain ? "is plaintext off loopback without networks"
			      : "lets anonymous clients in off loopback without networks",
			"add networks = {\"192.168.1.0/24\"}: who may connect");
	return true;
}

/* Only TLS can present one. */
static void drop_certificate(struct conf_listener *l)
{
	u8 n = 0;

	for (u32 i = 0; i < l->authenticators; i++) {
		if (l->authenticator[i] != AUTHENTICATOR_CERTIFICATE)
			l->authenticator[n++] = l->authenticator[i];
	}
	l->authenticators = n;
}

static bool check_proxy(struct parse *p, const struct conf_listener *l, u32 line)
{
	if (l->forwarded_for && (l->proxy || !l->websocket))
		return listener_bad(p, l, line,
				    l->proxy ? "has proxy and forwarded_for: which of them counts?"
					     : "has forwarded_for, but does not speak WebSocket",
				    l->proxy ? "leave forwarded_for out: the PROXY header says it"
					     : "add websocket to protocols, or take it away");
	if (l->forwarded_for && l->proxies.n == 0)
		return listener_bad(
			p, l, line, "has forwarded_for and trusts no proxy",
			"add trusted_proxies = {\"192.0.2.10\"}: whose X-Forwarded-For counts");
	if (l->proxy && l->proxies.n == 0)
		return listener_bad(
			p, l, line, "has proxy = on and trusts no proxy",
			"add trusted_proxies = {\"192.0.2.10\"}: who may send its header");
	if (!l->proxy && !l->forwarded_for && l->proxies.n != 0)
		return listener_bad(p, l, line,
				    "names trusted_proxies, but reads no header of theirs",
				    "say proxy = on or forwarded_for = on, or take it away");
	if (l->proxy_certificates && (!l->proxy || l->tls))
		return listener_bad(p, l, line,
				    l->tls ? "has proxy_certificates, but ends TLS itself"
					   : "has proxy_certificates without proxy",
				    "they are for tls = off behind a proxy that ends TLS");
	return true;
}

static bool check_websocket(struct parse *p, const struct conf_listener *l, u32 line)
{
	if (!l->mqtt && !l->websocket)
		return listener_bad(p, l, line, "speaks nothing",
				    "name mqtt, websocket or both in protocols");
	if (l->origins != 0 && !l->websocket)
		return listener_bad(p, l, line, "has origins, but does not speak WebSocket",
				    "add websocket to protocols, or take origins away");
	return true;
}

/* A unix socket knows its peers by their user ids, and by nothing that belongs to a network. */
static bool check_local(struct parse *p, const struct conf_listener *l, u32 line)
{
	static const char hint[] = "take the option away, or bind to an address and port";

	if (!l->local && conf_authenticates(l, AUTHENTICATOR_PEER))
		return listener_bad(p, l, line, "takes peers, but is no unix socket",
				    "take peer out of authenticators, or bind = \"unix:/PATH\"");
	if (!l->local && l->socket_group[0] != '\0')
		return listener_bad(p, l, line, "has a socket_group, but is no unix socket",
				    "take it away, or bind = \"unix:/PATH\"");
	if (!l->local)
		return true;
	if (l->tls)
		return listener_bad(p, l, line, "is a unix socket, which has no TLS",
				    "leave tls out: what goes through it stays on this machine");
	if (l->interface[0] != '\0' || l->proxy || l->forwarded_for)
		return listener_bad(p, l, line, "is a unix socket, which has no interface or proxy",
				    hint);
	if (l->allow.n != 0 || l->deny.n != 0)
		return listener_bad(p, l, line, "is a unix socket, which is in no network", hint);
	return true;
}

static bool check_certificates(struct parse *p, const struct conf *c, struct conf_listener *l,
			       u32 line)
{
	if (l->certificates != 0 && !l->tls)
		return listener_bad(p, l, line, "has certificates, but tls is off", "say tls = on");
	return conf_certificates_find(p, c, l, line);
}

static bool check_listener(struct parse *p, struct conf_listener *l, u32 line)
{
	if ((l->certificate[0] == '\0') != (l->key[0] == '\0'))
		return listener_bad(p, l, line, "has a certificate or a key, but not both",
				    "give certificate and key, or neither to use picket's own CA");
	if (l->certificate[0] != '\0' && !l->tls)
		return listener_bad(p, l, line, "has a certificate, but tls is off",
				    "say tls = on");
	if (!l->tls && !l->proxy_certificates)
		drop_certificate(l);
	if (l->authenticators == 0 && l->anonymous_role[0] == '\0')
		return listener_bad(p, l, line, "lets nobody in",
				    "name token or password in authenticators");
	if (l->limits_none)
		conf_limits_lift(&l->limits);
	return check_local(p, l, line) && check_proxy(p, l, line) && check_websocket(p, l, line) &&
	       check_risk(p, l, line);
}

bool conf_check(struct parse *p, struct conf *c)
{
	for (u32 i = 0; i < c->listeners; i++) {
		struct conf_listener *l = &c->listener[i];
		if (!check_listener(p, l, p->name_lines[i]) ||
		    !check_certificates(p, c, l, p->name_lines[i]))
			return false;
		for (u32 j = 0; j < i; j++) {
			if (strcmp(c->listener[j].address, l->address) != 0 ||
			    c->listener[j].port != l->port)
				continue;
			/* Two interfaces have each its own ports. */
			if (c->listener[j].interface[0] != '\0' && l->interface[0] != '\0' &&
			    strcmp(c->listener[j].interface, l->interface) != 0)
				continue;
			conf_bad(p, p->name_lines[i], "give each listener a port of its own",
				 "listeners %s and %s share %s", c->listener[j].name, l->name,
				 l->bind);
			return false;
		}
	}
	return true;
}
