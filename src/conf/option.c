/* option: the option table, and for each kind of value how it is read and printed.
 *
 * Owns nothing that changes.  Knows no libconfuse: values arrive as text. */
#include <stdio.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/utf8.h"
#include "conf/internal.h"

static void *field(const struct option *o, void *base)
{
	return (u8 *)base + o->at;
}

static const void *field_const(const struct option *o, const void *base)
{
	return (const u8 *)base + o->at;
}

void conf_print_quoted(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

/* ---- text --------------------------------------------------------------------------------------
 */
static bool text_copy(struct parse *p, const struct option *o, const struct values *v, u32 i,
		      char *out, size_t cap)
{
	if (strlen(v->v[i]) >= cap) {
		conf_bad(p, v->line, "use a shorter value", "%s is longer than %zu bytes", o->name,
			 cap - 1);
		return false;
	}
	if (!utf8_ok(slice_str(v->v[i]))) {
		conf_bad(p, v->line, "save the file as UTF-8", "%s is not well-formed UTF-8",
			 o->name);
		return false;
	}
	snprintf(out, cap, "%s", v->v[i]);
	return true;
}

static bool set_text(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	return text_copy(p, o, v, 0, field(o, base), o->size);
}

static bool set_path(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	if (v->v[0][0] != '\0' && v->v[0][0] != '/') {
		conf_bad(p, v->line, "write the whole path, from / on",
			 "%s is not an absolute path", o->name);
		return false;
	}
	return set_text(p, o, base, v);
}

static void print_text(FILE *f, const struct option *o, const void *base)
{
	conf_print_quoted(f, field_const(o, base));
}

/* ---- words, flags, numbers ---------------------------------------------------------------------
 */
static bool bad_value(struct parse *p, const struct option *o, const struct values *v, u32 i)
{
	char text[128];

	log_escape(slice_str(v->v[i]), text, sizeof(text));
	conf_bad(p, v->line, o->type, "%s = %s is not possible", o->name, text);
	return false;
}

static bool set_flag(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	static const char *const words[] = {"off", "on", "false", "true", "no", "yes"};

	for (u32 i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(v->v[0], words[i]) != 0)
			continue;
		*(bool *)field(o, base) = i % 2 == 1;
		return true;
	}
	return bad_value(p, o, v, 0);
}

static void print_flag(FILE *f, const struct option *o, const void *base)
{
	fputs(*(const bool *)field_const(o, base) ? "on" : "off", f);
}

static bool set_shards(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	u64 n = 0;

	if (strcmp(v->v[0], "auto") != 0 &&
	    (num_parse(slice_str(v->v[0]), o->max, &n) != E_OK || n < o->min))
		return bad_value(p, o, v, 0);
	*(u32 *)field(o, base) = (u32)n;
	return true;
}

static void print_shards(FILE *f, const struct option *o, const void *base)
{
	u32 n = *(const u32 *)field_const(o, base);

	if (n == 0)
		fputs("auto", f);
	else
		fprintf(f, "%u", n);
}

/* One of some words, kept as its number. */
static bool set_word(struct parse *p, const struct option *o, void *base, const struct values *v,
		     const char *const *words, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		if (strcmp(v->v[0], words[i]) != 0)
			continue;
		*(u32 *)field(o, base) = i;
		return true;
	}
	return bad_value(p, o, v, 0);
}

static const char *const levels[] = {"error", "warn", "info", "debug"};
#define X(name, word) word,
static const char *const strategies[] = {SHARED_STRATEGY_TABLE(X)};
#undef X
static const char *const qos_words[] = {"0", "1", "2"};

static bool set_level(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	return set_word(p, o, base, v, levels, ARRAY_LEN(levels));
}

static void print_level(FILE *f, const struct option *o, const void *base)
{
	fputs(levels[*(const u32 *)field_const(o, base)], f);
}

static bool set_strategy(struct parse *p, const struct option *o, void *base,
			 const struct values *v)
{
	return set_word(p, o, base, v, strategies, ARRAY_LEN(strategies));
}

static void print_strategy(FILE *f, const struct option *o, const void *base)
{
	fputs(strategies[*(const u32 *)field_const(o, base)], f);
}

static bool set_qos(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	return set_word(p, o, base, v, qos_words, ARRAY_LEN(qos_words));
}

static void print_qos(FILE *f, const struct option *o, const void *base)
{
	fputs(qos_words[*(const u32 *)field_const(o, base)], f);
}

/* A topic name whose levels may be placeholders. */
static bool response_topic_ok(const char *text)
{
	for (const char *at = text; *at != '\0'; at++) {
		size_t n = strncmp(at, "{device}", 8) == 0	? 8
			   : strncmp(at, "{clientid}", 10) == 0 ? 10
								: 0;
		if (n != 0)
			at += n - 1;
		else if ((u8)*at < ' ' || *at == 0x7f || strchr("+#{}", *at) != NULL)
			return false;
	}
	return text[0] != '/' && text[0] != '$' && strstr(text, "//") == NULL &&
	       (text[0] == '\0' || text[strlen(text) - 1] != '/');
}

static bool set_response_topic(struct parse *p, const struct option *o, void *base,
			       const struct values *v)
{
	return response_topic_ok(v->v[0]) ? set_text(p, o, base, v) : bad_value(p, o, v, 0);
}

static bool set_tls_min(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	if (strcmp(v->v[0], "1.2") != 0 && strcmp(v->v[0], "1.3") != 0)
		return bad_value(p, o, v, 0);
	*(u32 *)field(o, base) = v->v[0][2] == '2' ? 12 : 13;
	return true;
}

static void print_tls_min(FILE *f, const struct option *o, const void *base)
{
	fputs(*(const u32 *)field_const(o, base) == 12 ? "1.2" : "1.3", f);
}

/* ---- the store --------------------------------------------------------------------------------
 */
#define CREDENTIAL "credential:"

/* One component of a path, and no hidden one. */
static bool credential_ok(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

static bool set_store_key(struct parse *p, const struct option *o, void *base,
			  const struct values *v)
{
	const char *s = v->v[0];

	if (strcmp(s, "keys") != 0 && s[0] != '/' &&
	    (strncmp(s, CREDENTIAL, strlen(CREDENTIAL)) != 0 ||
	     !credential_ok(s + strlen(CREDENTIAL))))
		return bad_value(p, o, v, 0);
	return set_text(p, o, base, v);
}

const char *conf_store_credential(const struct conf *c)
{
	size_t n = strlen(CREDENTIAL);

	return strncmp(c->store_key, CREDENTIAL, n) == 0 ? c->store_key + n : NULL;
}

/* ---- lists -------------------------------------------------------------------------------------
 */
static bool list_fits(struct parse *p, const struct option *o, const struct values *v)
{
	if (v->n <= o->max)
		return true;
	conf_bad(p, v->line, "use fewer", "%s has more than %llu entries", o->name,
		 (unsigned long long)o->max);
	return false;
}

static bool set_names(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	struct conf *c = base;

	if (!list_fits(p, o, v))
		return false;
	for (u32 i = 0; i < v->n; i++) {
		if (v->v[i][0] == '\0' ||
		    strspn(v->v[i], "abcdefghijklmnopqrstuvwxyz0123456789-.*") != strlen(v->v[i]))
			return bad_value(p, o, v, i);
		if (!text_copy(p, o, v, i, c->name[i], sizeof(c->name[i])))
			return false;
	}
	c->names = v->n;
	return true;
}

static void print_names(FILE *f, const struct option *o, const void *base)
{
	const struct conf *c = base;

	fputc('{', f);
	for (u32 i = 0; i < c->names; i++) {
		fputs(i ? ", " : "", f);
		conf_print_quoted(f, c->name[i]);
	}
	fputc('}', f);
}

static bool set_addresses(struct parse *p, const struct option *o, void *base,
			  const struct values *v)
{
	struct conf *c = base;

	if (!list_fits(p, o, v))
		return false;
	for (u32 i = 0; i < v->n; i++) {
		if (!conf_ip_ok(v->v[i]))
			return bad_value(p, o, v, i);
		if (!text_copy(p, o, v, i, c->ip[i], sizeof(c->ip[i])))
			return false;
	}
	c->addresses = v->n;
	return true;
}

static void print_addresses(FILE *f, const struct option *o, const void *base)
{
	const struct conf *c = base;

	fputc('{', f);
	for (u32 i = 0; i < c->addresses; i++) {
		fputs(i ? ", " : "", f);
		conf_print_quoted(f, c->ip[i]);
	}
	fputc('}', f);
}

/* ---- of a listener ------------------------------------------------------------------------------
 */
static bool set_bind(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	return conf_parse_bind(v->v[0], base) || bad_value(p, o, v, 0);
}

static bool set_interface(struct parse *p, const struct option *o, void *base,
			  const struct values *v)
{
	const char *s = v->v[0];

	if (strlen(s) >= o->size || strpbrk(s, "/: \t") != NULL || strcmp(s, ".") == 0 ||
	    strcmp(s, "..") == 0)
		return bad_value(p, o, v, 0);
	return set_text(p, o, base, v);
}

static bool set_mode(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	const char *s = v->v[0];
	size_t n = strlen(s);
	u32 mode = 0;

	if (n < 3 || n > 4 || strspn(s, "01234567") != n || (n == 4 && s[0] != '0'))
		return bad_value(p, o, v, 0);
	for (; *s != '\0'; s++)
		mode = mode * 8 + (u32)(*s - '0');
	*(u32 *)field(o, base) = mode;
	return true;
}

static void print_mode(FILE *f, const struct option *o, const void *base)
{
	fprintf(f, "\"%04o\"", *(const u32 *)field_const(o, base));
}

#define X(name, word) [AUTHENTICATOR_##name] = (word),
static const char *const authenticator_words[] = {AUTHENTICATORS(X)};
#undef X

const char *authenticator_word(enum authenticator a)
{
	ASSERT(a < AUTHENTICATOR_N);
	return authenticator_words[a];
}

static bool authenticator_parse(const char *word, u8 *out)
{
	for (u8 i = 0; i < AUTHENTICATOR_N; i++) {
		if (strcmp(word, authenticator_words[i]) != 0)
			continue;
		*out = i;
		return true;
	}
	return false;
}

static bool set_auths(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	struct conf_listener *l = base;
	u8 a = 0;

	l->authenticators = 0;
	for (u32 i = 0; i < v->n; i++) {
		if (!authenticator_parse(v->v[i], &a))
			return bad_value(p, o, v, i);
		if (!conf_authenticates(l, a))
			l->authenticator[l->authenticators++] = a;
	}
	return true;
}

static void print_auths(FILE *f, const struct option *o, const void *base)
{
	const struct conf_listener *l = base;

	fputc('{', f);
	for (u32 i = 0; i < l->authenticators; i++)
		fprintf(f, "%s%s", i != 0 ? ", " : "", authenticator_words[l->authenticator[i]]);
	fputc('}', f);
}

static bool set_networks(struct parse *p, const struct option *o, void *base,
			 const struct values *v)
{
	struct conf_nets *l = field(o, base);

	if (!list_fits(p, o, v))
		return false;
	for (u32 i = 0; i < v->n; i++) {
		if (!conf_parse_net(v->v[i], &l->net[i]))
			return bad_value(p, o, v, i);
	}
	l->n = v->n;
	return true;
}

static void print_networks(FILE *f, const struct option *o, const void *base)
{
	const struct conf_nets *l = field_const(o, base);
	char text[64];

	fputc('{', f);
	for (u32 i = 0; i < l->n; i++) {
		addr_format_net(l->net[i].addr, l->net[i].prefix, text, sizeof(text));
		fprintf(f, "%s\"%s\"", i ? ", " : "", text);
	}
	fputc('}', f);
}

/* ---- limits -------------------------------------------------------------------------------------
 */
static const struct {
	const char *suffix;
	u64 factor;
} size_units[] = {{"g", 1ull << 30}, {"m", 1ull << 20}, {"k", 1ull << 10}, {"", 1}},
  time_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

static bool set_limit(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	struct slice s = slice_str(v->v[0]);
	u64 n = 0;
	enum err e;

	if (o->type[0] == 't')
		e = num_parse_duration(s, &n);
	else if (o->type[0] == 's')
		e = num_parse_size(s, &n);
	else
		e = num_parse(s, UINT64_MAX - 1, &n);
	if (e == E_OK && n >= o->min && n <= o->max) {
		*(u64 *)field(o, base) = n;
		return true;
	}
	if (e == E_SYNTAX)
		return bad_value(p, o, v, 0);
	char text[64];
	log_escape(s, text, sizeof(text));
	conf_bad(p, v->line, "picket config explain shows the range of each limit",
		 "%s = %s is out of range", o->name, text);
	return false;
}

static void limit_format(FILE *f, const struct option *o, u64 n)
{
	u32 i = 0;

	if (n == CONF_NO_LIMIT) {
		fputs("none", f);
	} else if (o->type[0] == 't') {
		while (n % time_units[i].factor != 0 || (n == 0 && i + 1 < ARRAY_LEN(time_units)))
			i++;
		fprintf(f, "%llu%s", (unsigned long long)(n / time_units[i].factor),
			time_units[i].suffix);
	} else if (o->type[0] == 's') {
		while (n % size_units[i].factor != 0 || (n == 0 && i + 1 < ARRAY_LEN(size_units)))
			i++;
		fprintf(f, "%llu%s", (unsigned long long)(n / size_units[i].factor),
			size_units[i].suffix);
	} else {
		fprintf(f, "%llu", (unsigned long long)n);
	}
}

static void print_limit(FILE *f, const struct option *o, const void *base)
{
	limit_format(f, o, *(const u64 *)field_const(o, base));
}

void option_print_range(FILE *f, const struct option *o)
{
	limit_format(f, o, o->min);
	fputs(" to ", f);
	limit_format(f, o, o->max);
}

static bool set_all(struct parse *p, const struct option *o, void *base, const struct values *v)
{
	struct conf_limits *limits = base;
	struct conf_listener *l = CONTAINER_OF(limits, struct conf_listener, limits);

	if (strcmp(v->v[0], "none") != 0)
		return bad_value(p, o, v, 0);
	l->limits_none = true;
	return true;
}

static void print_all(FILE *f, const struct option *o, const void *base)
{
	fputs("none", f);
}

/* ---- the table ----------------------------------------------------------------------------------
 */
#define FILE_	       (1u << IN_FILE)
#define LISTENER       (1u << IN_LISTENER)
#define LIMITS	       (1u << IN_LIMITS | 1u << IN_SERVICE_LIMITS | 1u << IN_LISTENER_LIMITS)
#define GLOBAL(f)      offsetof(struct conf, f), sizeof(((struct conf *)0)->f)
#define OF_LISTENER(f) offsetof(struct conf_listener, f), sizeof(((struct conf_listener *)0)->f)
#define TYPE_MS	       "time: a number with ms, s, m, h or d"
#define TYPE_SIZE      "size: a number of bytes, or with k, m or g (powers of 1024)"
#define TYPE_COUNT     "number"
#define TYPE_NETS      "list of networks, as 192.168.1.0/24 or 2001:db8::/32"

const struct option conf_options[] = {
	{"state_dir", FILE_, false, set_path, print_text, GLOBAL(state_dir), 0, 0, "absolute path",
	 "/var/lib/picket", "where keys, certificates, identities and sessions live (0700)", true},
	{"run_dir", FILE_, false, set_path, print_text, GLOBAL(run_dir), 0, 0, "absolute path",
	 "/run/picket", "where admin.sock is, through which the picket command works", true},
	{"shards", FILE_, false, set_shards, print_shards, GLOBAL(shards), 1, 64,
	 "auto (one for each processor) or a number from 1 to 64", "auto",
	 "threads that serve clients", true},
	{"bootstrap", FILE_, false, set_path, print_text, GLOBAL(bootstrap), 0, 0, "absolute path",
	 "", "policy applied once, when the store is empty: roles, identities, secrets from files",
	 true},
	{"log_level", FILE_, false, set_level, print_level, GLOBAL(log_level), 0, 0,
	 "error, warn, info or debug", "info", "least important line that is written", false},
	{"names", FILE_, true, set_names, print_names, GLOBAL(name), 0, CONF_NAMES,
	 "list of DNS names in lower case", NULL,
	 "names of the server certificate, besides the machine's own", false},
	{"addresses", FILE_, true, set_addresses, print_addresses, GLOBAL(ip), 0, CONF_NAMES,
	 "list of IP addresses", NULL,
	 "addresses of the server certificate, besides the machine's own", false},
	{"tls_min_version", FILE_, false, set_tls_min, print_tls_min, GLOBAL(tls_min), 0, 0,
	 "1.2 or 1.3", "1.2", "oldest version of TLS that is spoken", false},
	{"persistence", FILE_, false, set_flag, print_flag, GLOBAL(persistence), 0, 0, "on or off",
	 "on",
	 "sessions that outlive their connection, their queues and retained messages are on disk "
	 "before they are acknowledged; off: they end with picketd",
	 true},
	{"store_max_size", FILE_, false, set_limit, print_limit, GLOBAL(store_max_size), MIB(16),
	 MIB(4096) * 1024, TYPE_SIZE, "16g",
	 "the most that the store of sessions may take on disk; at it, new durable work is refused",
	 true},
	{"store_encryption", FILE_, false, set_flag, print_flag, GLOBAL(store_encryption), 0, 0,
	 "on or off", "off", "seal every record of the store (AES-256-GCM)", true},
	{"store_key", FILE_, false, set_store_key, print_text, GLOBAL(store_key), 0, 0,
	 "keys, an absolute path, or credential:NAME", "keys",
	 "where the key of the store comes from: made of the pepper of the keys process, a file of "
	 "32 "
	 "bytes or 64 hexadecimal digits, or such a credential of systemd",
	 true},
	{"shared_strategy", FILE_, false, set_strategy, print_strategy, GLOBAL(shared_strategy), 0,
	 0, "round_robin, sticky, hash_topic or least_loaded", "round_robin",
	 "which member of a shared subscription gets a message: in turn; the same one while it is "
	 "here; one for each topic; the one with the least to do",
	 false},
	{"response_topic", FILE_, false, set_response_topic, print_text, GLOBAL(response_topic), 0,
	 0, "topic, in which {device} and {clientid} stand for the client's own",
	 "response/{device}",
	 "Response Information for clients of MQTT 5 that ask for it and may subscribe to all "
	 "below it; empty: none is given",
	 false},

	{"bind", LISTENER, false, set_bind, print_text, OF_LISTENER(bind), 0, 0,
	 "ADDRESS:PORT, as *:8883, 192.0.2.1:8883 or [2001:db8::1]:8883; or unix:/PATH", "*:8883",
	 "address and port; * is every address of the machine; or the path of a unix socket",
	 false},
	{"interface", LISTENER, false, set_interface, print_text, OF_LISTENER(interface), 0, 0,
	 "name of a network interface, as wg0", "",
	 "only what comes in by this interface is accepted; it may appear later", false},
	{"socket_mode", LISTENER, false, set_mode, print_mode, OF_LISTENER(socket_mode), 0, 0,
	 "file mode, as 0660", "0660", "of a unix socket: who may connect", false},
	{"socket_group", LISTENER, false, set_text, print_text, OF_LISTENER(socket_group), 0, 0,
	 "name of a group", "", "of a unix socket: the group of its file", false},
	{"protocols", LISTENER, true, set_protocols, print_protocols, 0, 0, 0, 0,
	 "list of mqtt and websocket", NULL,
	 "what is spoken on it: MQTT as it is, MQTT over WebSocket, or both on the one port",
	 false},
	{"origins", LISTENER, true, set_origins, print_origins, 0, 0, 0, CONF_ORIGINS,
	 "list of origins, as https://app.example.com or http://localhost:5173", NULL,
	 "web pages whose scripts may connect over WebSocket; compared exactly, and empty means "
	 "none. Clients that are no browsers are not concerned",
	 false},
	{"websocket_path", LISTENER, false, set_websocket_path, print_text,
	 OF_LISTENER(websocket_path), 0, 0, "path, at most 63 bytes", "/mqtt",
	 "path of the WebSocket URL; / is taken, too", false},
	{"tls", LISTENER, false, set_flag, print_flag, OF_LISTENER(tls), 0, 0, "on or off", "on",
	 "off is plaintext: anyone on the way reads secrets; needs accept_risk and, off loopback, "
	 "networks",
	 false},
	{"authenticators", LISTENER, true, set_auths, print_auths, 0, 0, 0, 0,
	 "list of peer, certificate, token and password", NULL,
	 "ways in which a client may prove who it is, in the order of asking", false},
	{"anonymous_role", LISTENER, false, set_text, print_text, OF_LISTENER(anonymous_role), 0, 0,
	 "name of a role", "",
	 "clients without credentials get this role; needs accept_risk and, off loopback, networks",
	 false},
	{"accept_risk", LISTENER, false, set_text, print_text, OF_LISTENER(accept_risk), 0, 0,
	 "text: the reason", "",
	 "why this listener may be less than safe; picket status keeps naming it", false},
	{"networks", LISTENER, true, set_networks, print_networks, OF_LISTENER(allow), 0, CONF_NETS,
	 TYPE_NETS, NULL, "who may connect at all; empty: everyone", false},
	{"deny_networks", LISTENER, true, set_networks, print_networks, OF_LISTENER(deny), 0,
	 CONF_NETS, TYPE_NETS, NULL, "who may not connect, also out of networks", false},
	{"proxy", LISTENER, false, set_flag, print_flag, OF_LISTENER(proxy), 0, 0, "on or off",
	 "off",
	 "every connection begins with a PROXY header (version 1 or 2), before TLS; only "
	 "trusted_proxies may connect",
	 false},
	{"trusted_proxies", LISTENER, true, set_networks, print_networks, OF_LISTENER(proxies), 0,
	 CONF_NETS, TYPE_NETS, NULL, "proxies whose word about a client's address counts", false},
	{"proxy_certificates", LISTENER, false, set_flag, print_flag,
	 OF_LISTENER(proxy_certificates), 0, 0, "on or off", "off",
	 "what a PROXY header (version 2) says of a client certificate counts: the proxy ends TLS "
	 "and has verified it",
	 false},
	{"maximum_qos", LISTENER, false, set_qos, print_qos, OF_LISTENER(maximum_qos), 0, 0,
	 "0, 1 or 2", "2",
	 "highest QoS that is taken and granted; what is above it closes the connection", false},
	{"wildcard_subscriptions", LISTENER, false, set_flag, print_flag,
	 OF_LISTENER(wildcard_subscriptions), 0, 0, "on or off", "on",
	 "whether filters may have + and #", false},
	{"shared_subscriptions", LISTENER, false, set_flag, print_flag,
	 OF_LISTENER(shared_subscriptions), 0, 0, "on or off", "on",
	 "whether $share/NAME/FILTER may be subscribed", false},
	{"subscription_identifiers", LISTENER, false, set_flag, print_flag,
	 OF_LISTENER(subscription_identifiers), 0, 0, "on or off", "on",
	 "whether a SUBSCRIBE may carry an identifier", false},
	{"forwarded_for", LISTENER, false, set_flag, print_flag, OF_LISTENER(forwarded_for), 0, 0,
	 "on or off", "off",
	 "the X-Forwarded-For of WebSocket requests that come from trusted_proxies says where the "
	 "client is",
	 false},
	{"certificate", LISTENER, false, set_path, print_text, OF_LISTENER(certificate), 0, 0,
	 "absolute path of a PEM file, leaf first", "",
	 "a certificate of your own in place of the one of picket's CA; reloaded when it changes",
	 false},
	{"key", LISTENER, false, set_path, print_text, OF_LISTENER(key), 0, 0,
	 "absolute path of a PEM file", "", "its private key, readable by its owner alone", false},

	{"certificates", LISTENER, true, set_certificates, print_certificates, 0, 0, 0,
	 CONF_CERTIFICATES, "list of names of certificate sections", NULL,
	 "more certificates: served to clients that ask (SNI) for a name that one of them has; all "
	 "others get the listener's own",
	 false},

	{"file", 1u << IN_CERTIFICATE, false, set_path, print_text,
	 offsetof(struct conf_certificate, file), CONF_PATH, 0, 0,
	 "absolute path of a PEM file, leaf first", "",
	 "a certificate; reloaded when it changes. The names that it is for stand in it", false},
	{"key", 1u << IN_CERTIFICATE, false, set_path, print_text,
	 offsetof(struct conf_certificate, key), CONF_PATH, 0, 0, "absolute path of a PEM file", "",
	 "its private key, readable by its owner alone", false},

	{"all", 1u << IN_LISTENER_LIMITS, false, set_all, print_all, 0, 0, 0, 0, "none", NULL,
	 "lifts every limit of this listener; loopback and accept_risk only, for benchmarks",
	 false},
#define X(name, type, dev, svc, min, max, doc)                                                     \
	{#name,	      LIMITS, false, set_limit,	  print_limit, offsetof(struct conf_limits, name), \
	 sizeof(u64), min,    max,   TYPE_##type, NULL,	       doc,                                \
	 false},
	LIMIT_TABLE(X)
#undef X
};
const size_t conf_options_n = ARRAY_LEN(conf_options);

const char *place_name(enum place place)
{
	static const char *const names[] = {"the file", "listener",	  "certificate",
					    "limits",	"service_limits", "limits of a listener"};

	return names[place];
}

const struct option *option_find(const char *name, enum place place)
{
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];
		if (o->places & 1u << place && strcmp(o->name, name) == 0)
			return o;
	}
	return NULL;
}
