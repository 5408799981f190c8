/* test_conf: what the configuration accepts, what it refuses and with which words, and that every
 * projection of the option table says the same. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "conf/conf.h"

static struct conf conf;
static struct conf_error error;

static void good(const char *text)
{
	if (conf_parse("t.conf", text, &conf, &error) != E_OK)
		fail_msg("%s:%u: %s (%s)", error.file, error.line, error.what, error.hint);
	assert_true(conf_valid(&conf));
}

static void bad(const char *text, u32 line, const char *what, const char *hint)
{
	assert_int_equal(conf_parse("t.conf", text, &conf, &error), E_CONFIG);
	assert_string_equal(error.file, "t.conf");
	assert_string_equal(error.what, what);
	assert_string_equal(error.hint, hint);
	assert_int_equal(error.line, line);
}

static void test_empty_is_safe(void **state)
{
	good("");
	assert_int_equal(conf.listeners, 1);
	assert_string_equal(conf.listener[0].name, "mqtts");
	assert_string_equal(conf.listener[0].bind, "*:8883");
	assert_string_equal(conf.listener[0].address, "");
	assert_int_equal(conf.listener[0].port, 8883);
	assert_true(conf.listener[0].tls);
	assert_false(conf.listener[0].loopback);
	assert_int_equal(conf.listener[0].authenticators, 3);
	assert_true(conf_authenticates(&conf.listener[0], AUTHENTICATOR_TOKEN));
	assert_string_equal(conf.listener[0].anonymous_role, "");
	assert_string_equal(conf.state_dir, "/var/lib/picket");
	assert_string_equal(conf.run_dir, "/run/picket");
	assert_int_equal(conf.limits.max_packet_size, 1024 * 1024);
	assert_int_equal(conf.service_limits.max_packet_size, 16 * 1024 * 1024);
	assert_int_equal(conf.tls_min, 12);
	good("# only a comment with ${HOME} and \" in it\n\n");
	good("/* two\nlines */ // more\n");
}

static void test_design_example(void **state)
{
	good("state_dir = \"/var/lib/picket\"\n"
	     "run_dir   = \"/run/picket\"            # admin.sock\n"
	     "shards    = auto\n"
	     "bootstrap = \"/etc/picket/first.policy\"\n"
	     "listener mqtts { bind = \"*:8883\" protocols = {mqtt, websocket} tls = on "
	     "authenticators = "
	     "{certificate, token, password} }\n"
	     "listener bench { bind = \"127.0.0.1:1883\" tls = off anonymous_role = bench "
	     "accept_risk = "
	     "\"benchmark on loopback\"\n"
	     "limits { all = none } }\n"
	     "limits   { max_packet_size = 2m }\n");
	assert_int_equal(conf.listeners, 2);
	assert_int_equal(conf.limits.max_packet_size, 2 * 1024 * 1024);
	assert_int_equal(conf.listener[0].limits.max_packet_size, 2 * 1024 * 1024);
	assert_string_equal(conf.bootstrap, "/etc/picket/first.policy");
	assert_string_equal(conf.listener[1].anonymous_role, "bench");
	assert_true(conf.listener[1].loopback);
	assert_true(conf.listener[1].limits_none);
	assert_false(conf.listener[1].tls);
	assert_false(conf_authenticates(&conf.listener[1], AUTHENTICATOR_CERTIFICATE));
	assert_true(conf.listener[1].limits.publish_rate == CONF_NO_LIMIT);
	assert_true(conf.listener[1].limits.connections_source == CONF_NO_LIMIT);
	assert_int_equal(conf.listener[1].limits.inflight, 65535);
	assert_int_equal(conf.listener[1].limits.topic_bytes, 1024);
	assert_int_equal(conf.listener[1].limits.connect_deadline, 10000);
	assert_int_equal(conf.listener[1].limits.max_packet_size, 256 * 1024 * 1024);
}

static void test_values(void **state)
{
	good("shards = 4 log_level = debug tls_min_version = 1.3\n"
	     "shared_strategy = least_loaded response_topic = \"r/{device}/x{clientid}\"\n"
	     "names = {mqtt.lan, \"*.example.org\"} addresses = {192.168.1.10, 'fd00::1'}\n"
	     "limits { publish_rate = 7 connect_deadline = 3s session_expiry_max = 2d queue_bytes "
	     "= 64k }\n"
	     "service_limits { publish_rate = 9 }\n"
	     "listener a { bind = \"[::1]:1\" tls = no accept_risk = x maximum_qos = 1\n"
	     "  wildcard_subscriptions = off shared_subscriptions = off "
	     "subscription_identifiers = off }\n"
	     "listener b { bind = \"192.0.2.1:2\" networks = {10.1.2.3/8, 2001:db8::1/32, "
	     "192.0.2.7}\n"
	     "  deny_networks = {10.9.0.0/16}\n"
	     "  tls = off accept_risk = \"a \\\"b\\\" \\\\\" limits { publish_rate = 8 } }\n"
	     "listener c { bind = 127.1.2.3:3 certificate = /a.pem key = /k.pem authenticators = "
	     "{} "
	     "anonymous_role = r accept_risk = y}\n");
	assert_int_equal(conf.shards, 4);
	assert_int_equal(conf.log_level, 3);
	assert_int_equal(conf.shared_strategy, CONF_SHARED_LEAST_LOADED);
	assert_string_equal(conf.response_topic, "r/{device}/x{clientid}");
	assert_int_equal(conf.listener[0].maximum_qos, 1);
	assert_false(conf.listener[0].wildcard_subscriptions);
	assert_false(conf.listener[0].shared_subscriptions);
	assert_false(conf.listener[0].subscription_identifiers);
	assert_int_equal(conf.listener[1].maximum_qos, 2);
	assert_true(conf.listener[1].wildcard_subscriptions);
	assert_true(conf.listener[1].shared_subscriptions);
	assert_true(conf.listener[1].subscription_identifiers);
	assert_int_equal(conf.tls_min, 13);
	assert_string_equal(conf.name[1], "*.example.org");
	assert_string_equal(conf.ip[1], "fd00::1");
	assert_int_equal(conf.limits.connect_deadline, 3000);
	assert_int_equal(conf.limits.session_expiry_max, 2 * 86400000ull);
	assert_int_equal(conf.limits.queue_bytes, 65536);
	assert_int_equal(conf.service_limits.publish_rate, 9);
	assert_true(conf.listener[0].loopback);
	assert_string_equal(conf.listener[0].address, "::1");
	assert_int_equal(conf.listener[0].limits.publish_rate, 7);
	assert_int_equal(conf.listener[1].limits.publish_rate, 8);
	assert_int_equal(conf.listener[1].allow.n, 3);
	assert_int_equal(conf.listener[1].allow.net[0].prefix, 104);
	assert_int_equal(conf.listener[1].allow.net[0].addr[12], 10);
	assert_int_equal(conf.listener[1].allow.net[0].addr[13], 0); /* host bits are cut */
	assert_int_equal(conf.listener[1].allow.net[1].prefix, 32);
	assert_int_equal(conf.listener[1].allow.net[2].prefix, 128);
	assert_int_equal(conf.listener[1].deny.n, 1);
	assert_int_equal(conf.listener[1].deny.net[0].prefix, 112);
	assert_string_equal(conf.listener[1].accept_risk, "a \"b\" \\");
	assert_true(conf.listener[2].loopback);
	assert_string_equal(conf.listener[2].certificate, "/a.pem");
}

static void test_unknown_names_the_nearest(void **state)
{
	bad("\nshard = 4\n", 2, "unknown option shard in the file", "did you mean shards?");
	bad("listener x {\n bind = \"*:1\"\n tsl = on\n}", 3, "unknown option tsl in listener",
	    "did you mean tls?");
	bad("limits { max_paket_size = 1m }", 1, "unknown option max_paket_size in limits",
	    "did you mean max_packet_size?");
	bad("allow_anonymous = true", 1, "unknown option allow_anonymous in the file",
	    "picket config explain lists the options");
	bad("limits { all = none }", 1, "unknown option all in limits",
	    "picket config explain lists the options");
	bad("\xff = 1", 1, "unknown option \\xff in the file",
	    "picket config explain lists the options");
}

#define BIND_FORMS "ADDRESS:PORT, as *:8883, 192.0.2.1:8883 or [2001:db8::1]:8883; or unix:/PATH"

static void test_bad_values(void **state)
{
	bad("shards = 0", 1, "shards = 0 is not possible",
	    "auto (one for each processor) or a number from 1 to 64");
	bad("shards = 65", 1, "shards = 65 is not possible",
	    "auto (one for each processor) or a number from 1 to 64");
	bad("log_level = loud", 1, "log_level = loud is not possible",
	    "error, warn, info or debug");
	bad("shared_strategy = random", 1, "shared_strategy = random is not possible",
	    "round_robin, sticky, hash_topic or least_loaded");
	bad("listener a { maximum_qos = 3 }", 1, "maximum_qos = 3 is not possible", "0, 1 or 2");
	for (u32 i = 0; i < 8; i++) {
		static const char *const not_topics[] = {"a/+",	 "a/#",	    "/a", "a/",
							 "a//b", "{device", "$a", "{user}"};
		char text[64], what[64];
		snprintf(text, sizeof(text), "response_topic = \"%s\"", not_topics[i]);
		snprintf(what, sizeof(what), "response_topic = %s is not possible", not_topics[i]);
		bad(text, 1, what,
		    "topic, in which {device} and {clientid} stand for the client's own");
	}
	bad("tls_min_version = 1.1", 1, "tls_min_version = 1.1 is not possible", "1.2 or 1.3");
	bad("state_dir = here", 1, "state_dir is not an absolute path",
	    "write the whole path, from / on");
	bad("\nlimits {\n max_packet_size = 1\n}", 3, "max_packet_size = 1 is out of range",
	    "picket config explain shows the range of each limit");
	bad("limits { max_packet_size = 1x }", 1, "max_packet_size = 1x is not possible",
	    "size: a number of bytes, or with k, m or g (powers of 1024)");
	bad("limits { connect_deadline = 5 }", 1, "connect_deadline = 5 is not possible",
	    "time: a number with ms, s, m, h or d");
	bad("limits { publish_rate = none }", 1, "publish_rate = none is not possible", "number");
	bad("limits { publish_rate = -1 }", 1, "publish_rate = -1 is not possible", "number");
	bad("addresses = {mqtt.lan}", 1, "addresses = mqtt.lan is not possible",
	    "list of IP addresses");
	bad("names = {\"a b\"}", 1, "names = a b is not possible",
	    "list of DNS names in lower case");
	bad("listener x { bind = \"8883\" }", 1, "bind = 8883 is not possible", BIND_FORMS);
	bad("listener x { bind = \"mqtt.lan:1\" }", 1, "bind = mqtt.lan:1 is not possible",
	    BIND_FORMS);
	bad("listener x { bind = \"*:0\" }", 1, "bind = *:0 is not possible", BIND_FORMS);
	bad("listener x { bind = \"::1:5\" }", 1, "bind = ::1:5 is not possible", BIND_FORMS);
	bad("listener x { tls = maybe }", 1, "tls = maybe is not possible", "on or off");
	bad("listener x { protocols = {coap} }", 1, "protocols = coap is not possible",
	    "list of mqtt and websocket");
	bad("listener x { protocols = {} }", 1, "listener x speaks nothing",
	    "name mqtt, websocket or both in protocols");
	bad("listener x { websocket_path = mqtt }", 1, "websocket_path = mqtt is not possible",
	    "path, at most 63 bytes");
	bad("listener x { websocket_path = \"/m?q\" }", 1, "websocket_path = /m?q is not possible",
	    "path, at most 63 bytes");
	bad("listener x { authenticators = {ldap} }", 1, "authenticators = ldap is not possible",
	    "list of peer, certificate, token and password");
	bad("listener x { networks = {10.0.0.0/33} }", 1, "networks = 10.0.0.0/33 is not possible",
	    "list of networks, as 192.168.1.0/24 or 2001:db8::/32");
	bad("listener x { limits { all = some } }", 1, "all = some is not possible", "none");
}

static void test_unsafe_needs_words(void **state)
{
	bad("listener p { bind = \"*:1883\" tls = off }", 1,
	    "listener p is plaintext without accept_risk",
	    "add accept_risk = \"the reason\", or take the option away");
	bad("\nlistener p {\nbind = \"*:1883\" tls = off accept_risk = x }", 3,
	    "listener p is plaintext off loopback without networks",
	    "add networks = {\"192.168.1.0/24\"}: who may connect");
	bad("listener p { anonymous_role = guest }", 1,
	    "listener p lets anonymous clients in without accept_risk",
	    "add accept_risk = \"the reason\", or take the option away");
	bad("listener p { anonymous_role = guest accept_risk = x }", 1,
	    "listener p lets anonymous clients in off loopback without networks",
	    "add networks = {\"192.168.1.0/24\"}: who may connect");
	bad("listener p { limits { all = none } }", 1,
	    "listener p lifts all limits without accept_risk",
	    "add accept_risk = \"the reason\", or take the option away");
	bad("listener p { accept_risk = x limits { all = none } }", 1,
	    "listener p lifts all limits off loopback",
	    "bind it to 127.0.0.1 or [::1], or set single limits");
	bad("listener p { bind = \"0.0.0.0:1883\" tls = off accept_risk = x }", 1,
	    "listener p is plaintext off loopback without networks",
	    "add networks = {\"192.168.1.0/24\"}: who may connect");
	good("listener p { bind = \"127.0.0.1:1883\" tls = off accept_risk = x }");
	good("listener p { bind = \"*:1883\" tls = off accept_risk = x networks = {10.0.0.0/8} }");
}

static void test_contradictions(void **state)
{
	char many[2000] = "";

	bad("listener x { authenticators = {} }", 1, "listener x lets nobody in",
	    "name token or password in authenticators");
	bad("listener x { bind = \"127.0.0.1:1\" tls = off accept_risk = r authenticators = "
	    "{certificate} }",
	    1, "listener x lets nobody in", "name token or password in authenticators");
	bad("listener x { key = /k }", 1, "listener x has a certificate or a key, but not both",
	    "give certificate and key, or neither to use picket's own CA");
	bad("listener x { bind = \"127.0.0.1:1\" accept_risk = r tls = off key = /k certificate = "
	    "/c }",
	    1, "listener x has a certificate, but tls is off", "say tls = on");
	bad("listener a { bind = \"*:1\" }\nlistener b { bind = \"*:1\" }", 2,
	    "listeners a and b share *:1", "give each listener a port of its own");
	bad("listener a { bind = \"*:1\" }\nlistener a { bind = \"*:2\" }", 2,
	    "found duplicate title 'a'", "the form is: option = value, or section { … }");
	bad("listener Big { }", 1, "a listener's name is 1 to 31 of a-z 0-9 _ -",
	    "as in: listener mqtts { … }");
	bad("shards = 1\nshards = 2", 2, "shards is set a second time, first in line 1",
	    "keep one of them");
	bad("limits { }\nlimits { }", 2, "limits is set a second time, first in line 1",
	    "keep one of them");
	bad("names = {a}\nnames = {b}", 2, "names is set a second time, first in line 1",
	    "keep one of them");
	for (u32 i = 0; i < CONF_LISTENERS + 1; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many),
			 "listener l%u { bind = \"*:%u\" }\n", i, i + 1);
	bad(many, 17, "more than 16 listeners", "use fewer");
}

static void test_unix_sockets(void **state)
{
	const struct conf_listener *l = &conf.listener[0];

	good("listener x { bind = \"unix:/run/picket/mqtt.sock\" }");
	assert_true(l->local && l->loopback && !l->tls);
	assert_string_equal(l->address, "/run/picket/mqtt.sock");
	assert_int_equal(l->port, 0);
	assert_int_equal(l->socket_mode, 0660);
	assert_true(conf_authenticates(l, AUTHENTICATOR_PEER));
	assert_true(conf_authenticates(l, AUTHENTICATOR_TOKEN));
	assert_false(conf_authenticates(l, AUTHENTICATOR_CERTIFICATE));
	good("listener x { authenticators = {token} socket_mode = 0666 socket_group = users tls = "
	     "off\n"
	     "bind = \"unix:/x\" }");
	assert_false(conf_authenticates(l, AUTHENTICATOR_PEER));
	assert_int_equal(l->socket_mode, 0666);
	good("listener x { }");
	assert_false(conf_authenticates(l, AUTHENTICATOR_PEER));
	bad("listener x { bind = \"unix:x\" }", 1, "bind = unix:x is not possible", BIND_FORMS);
	bad("listener x { bind = \"unix:/x/\" }", 1, "bind = unix:/x/ is not possible", BIND_FORMS);
	bad("listener x { bind = \"unix:/x\" tls = on }", 1,
	    "listener x is a unix socket, which has no TLS",
	    "leave tls out: what goes through it stays on this machine");
	bad("listener x { bind = \"unix:/x\" networks = {10.0.0.0/8} }", 1,
	    "listener x is a unix socket, which is in no network",
	    "take the option away, or bind to an address and port");
	bad("listener x { bind = \"unix:/x\" interface = wg0 }", 1,
	    "listener x is a unix socket, which has no interface or proxy",
	    "take the option away, or bind to an address and port");
	bad("listener x { authenticators = {peer} }", 1,
	    "listener x takes peers, but is no unix socket",
	    "take peer out of authenticators, or bind = \"unix:/PATH\"");
	bad("listener x { socket_group = users }", 1,
	    "listener x has a socket_group, but is no unix socket",
	    "take it away, or bind = \"unix:/PATH\"");
	bad("listener x { socket_mode = 0999 }", 1, "socket_mode = 0999 is not possible",
	    "file mode, as 0660");
	bad("listener x { socket_mode = 4755 }", 1, "socket_mode = 4755 is not possible",
	    "file mode, as 0660");
}

static void test_interfaces(void **state)
{
	good("listener x { interface = wg0 }");
	assert_string_equal(conf.listener[0].interface, "wg0");
	good("listener a { bind = \"*:1\" interface = wg0 } listener b { bind = \"*:1\" interface "
	     "= "
	     "wg1 }");
	bad("listener a { bind = \"*:1\" interface = wg0 }\nlistener b { bind = \"*:1\" interface "
	    "= wg0 "
	    "}",
	    2, "listeners a and b share *:1", "give each listener a port of its own");
	bad("listener a { bind = \"*:1\" interface = wg0 }\nlistener b { bind = \"*:1\" }", 2,
	    "listeners a and b share *:1", "give each listener a port of its own");
	bad("listener x { interface = longer-than-fifteen }", 1,
	    "interface = longer-than-fifteen is not possible",
	    "name of a network interface, as wg0");
	bad("listener x { interface = \"../x\" }", 1, "interface = ../x is not possible",
	    "name of a network interface, as wg0");
}

static void print_round(const char *text);

static void test_certificates(void **state)
{
	good("certificate shop { file = /shop.crt key = /shop.key }\n"
	     "listener a { certificates = {farm, shop} }\n"
	     "certificate farm { file = /farm.crt key = /farm.key }\n"
	     "listener b { bind = \"*:2\" certificates = {shop} }");
	assert_int_equal(conf.certificates, 2);
	assert_string_equal(conf.certificate[1].name, "farm");
	assert_string_equal(conf.certificate[1].key, "/farm.key");
	assert_int_equal(conf.listener[0].certificates, 2);
	assert_int_equal(conf.listener[0].certificate_at[0], 1);
	assert_int_equal(conf.listener[0].certificate_at[1], 0);
	assert_int_equal(conf.listener[1].certificate_at[0], 0);
	assert_true(conf_valid(&conf));
	conf.listener[1].certificate_at[0] = 2;
	assert_false(conf_valid(&conf));
	print_round("certificate shop { file = \"/a b\" key = /k }\n"
		    "listener a { certificates = {shop} }");
	bad("certificate shop { file = /shop.crt }", 1, "certificate shop has no key",
	    "give file and key, both paths of PEM files");
	bad("certificate shop { file = shop.crt key = /k }", 1, "file is not an absolute path",
	    "write the whole path, from / on");
	bad("certificate Shop { file = /c key = /k }", 1,
	    "a certificate's name is 1 to 31 of a-z 0-9 _ -", "as in: certificate shop { … }");
	bad("\nlistener a { certificates = {shop} }", 2,
	    "listener a names certificate shop, which no section defines",
	    "define it: certificate NAME { file = \"…\" key = \"…\" }");
	bad("certificate shop { file = /c key = /k }\n"
	    "listener a { bind = \"127.0.0.1:1\" tls = off accept_risk = r certificates = {shop} }",
	    2, "listener a has certificates, but tls is off", "say tls = on");
	bad("certificate shop { fil = /c key = /k }", 1, "unknown option fil in certificate",
	    "did you mean file?");
}

static void test_proxies(void **state)
{
	bad("listener x { proxy = on }", 1, "listener x has proxy = on and trusts no proxy",
	    "add trusted_proxies = {\"192.0.2.10\"}: who may send its header");
	bad("listener x { trusted_proxies = {192.0.2.10} }", 1,
	    "listener x names trusted_proxies, but reads no header of theirs",
	    "say proxy = on or forwarded_for = on, or take it away");
	bad("listener x { proxy = on trusted_proxies = {192.0.2.10} proxy_certificates = on }", 1,
	    "listener x has proxy_certificates, but ends TLS itself",
	    "they are for tls = off behind a proxy that ends TLS");
	bad("listener x { tls = off accept_risk = r bind = \"*:1\" networks = {::/0} "
	    "proxy_certificates = on }",
	    1, "listener x has proxy_certificates without proxy",
	    "they are for tls = off behind a proxy that ends TLS");
	/* Proxies are named: only they connect, which is what networks are asked for. */
	good("listener x { tls = off accept_risk = r bind = \"*:1\" proxy = on trusted_proxies =\n"
	     "{192.0.2.10, 2001:db8::/64} proxy_certificates = on }");
	assert_true(conf.listener[0].proxy && conf.listener[0].proxy_certificates);
	assert_true(conf_authenticates(&conf.listener[0], AUTHENTICATOR_CERTIFICATE));
	assert_int_equal(conf.listener[0].proxies.n, 2);
	bad("listener x { protocols = {mqtt} forwarded_for = on trusted_proxies = {192.0.2.10} }",
	    1, "listener x has forwarded_for, but does not speak WebSocket",
	    "add websocket to protocols, or take it away");
	bad("listener x { protocols = {mqtt, websocket} forwarded_for = on }", 1,
	    "listener x has forwarded_for and trusts no proxy",
	    "add trusted_proxies = {\"192.0.2.10\"}: whose X-Forwarded-For counts");
	bad("listener x { protocols = {websocket} forwarded_for = on proxy = on trusted_proxies = "
	    "{192.0.2.10} }",
	    1, "listener x has proxy and forwarded_for: which of them counts?",
	    "leave forwarded_for out: the PROXY header says it");
	good("listener x { protocols = {websocket} forwarded_for = on trusted_proxies = "
	     "{192.0.2.10} "
	     "}");
	assert_true(conf.listener[0].forwarded_for);
	good("listener x { tls = on proxy = on trusted_proxies = {192.0.2.10} }");
	assert_false(conf.listener[0].proxy_certificates);
}

static void test_syntax(void **state)
{
	bad("shards", 1, "premature end of file", "the form is: option = value, or section { … }");
	bad("shards 4", 1, "missing equal sign after option 'shards'",
	    "the form is: option = value, or section { … }");
	bad("x\n\"abc\n", 2, "a string that does not end on its line",
	    "close it with the quote it began with");
	bad("bootstrap = \"/a\\n\"", 1, "an unknown escape in a string",
	    "in a string write \\\\ for a backslash and \\\" for a quote");
	bad("\n/* a\n", 2, "a comment that does not end", "close it with */");
	bad("tls = on#x", 1, "a comment sign inside a word",
	    "put the value in quotes, or a blank before the comment");
	bad("}", 1, "a closing brace without its opening one", "remove it");
	bad("listener a {\n", 2, "a section that does not end", "close it with }");
	bad("a { b { c { d { e {", 1, "sections nested too deeply",
	    "no option needs more than two levels");
	bad("bootstrap = \"${HOME}/x\"", 1, "environment variables are not used here",
	    "write the value itself");
	bad("bootstrap = ${HOME}", 1, "environment variables are not used here",
	    "write the value itself");
	bad("shards = 4\r\n", 1, "a carriage return", "save the file with Unix line ends");
	bad("shards = 4\n\x1b", 2, "a control character", "remove it; the file is plain text");
	/* an error leaves nothing behind that would spoil the next parse */
	good("shards = 2");
	assert_int_equal(conf.shards, 2);
}

static void write_file(const char *path, const void *b, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, b, n), (ssize_t)n);
	close(fd);
}

static void test_load(void **state)
{
	char path[] = "/tmp/picket-conf-XXXXXX";
	char *big = calloc(1, 2 * 1024 * 1024);

	close(mkstemp(path));
	write_file(path, "shards = 3\n", 11);
	assert_int_equal(conf_load(path, true, &conf, &error), E_OK);
	assert_int_equal(conf.shards, 3);
	assert_string_equal(conf.config_path, path);
	write_file(path, "shards = 3\0\n", 12);
	assert_int_equal(conf_load(path, true, &conf, &error), E_CONFIG);
	assert_string_equal(error.what, "cannot be read: the file contains a NUL byte");
	memset(big, '#', 2 * 1024 * 1024);
	write_file(path, big, 2 * 1024 * 1024);
	free(big);
	assert_int_equal(conf_load(path, true, &conf, &error), E_CONFIG);
	assert_string_equal(error.what, "cannot be read: the file is larger than 1 MiB");
	unlink(path);
	assert_int_equal(conf_load(path, true, &conf, &error), E_CONFIG);
	assert_string_equal(error.what, "cannot be read: No such file or directory");
	assert_string_equal(error.hint, "check the path after --config");
	assert_int_equal(conf_load(path, false, &conf, &error), E_OK);
	assert_int_equal(conf.listeners, 1);
	assert_int_equal(conf_load("/tmp", true, &conf, &error), E_CONFIG);
	assert_string_equal(error.what, "cannot be read: Is a directory");
}

static void print_round(const char *text)
{
	static struct conf again;
	char *printed, *twice;

	good(text);
	assert_int_equal(conf_print(&conf, &printed), E_OK);
	if (conf_parse("t.conf", printed, &again, &error) != E_OK)
		fail_msg("line %u: %s\n%s", error.line, error.what, printed);
	for (u32 i = 0; i < conf.listeners; i++)
		again.listener[i].line = conf.listener[i].line;
	for (u32 i = 0; i < conf.certificates; i++)
		again.certificate[i].line = conf.certificate[i].line;
	assert_memory_equal(&conf, &again, sizeof(conf));
	assert_int_equal(conf_print(&again, &twice), E_OK);
	assert_string_equal(printed, twice);
	free(printed);
	free(twice);
}

static void test_print_parses_back(void **state)
{
	print_round("listener a { protocols = {websocket} origins = {\"https://a.example\", "
		    "\"http://[::1]:8080\"} websocket_path = \"/x/y\" } "
		    "listener b { bind = \"*:1\" protocols = {mqtt} }");
	print_round("");
	print_round("limits { offline_messages = 0 retained_bytes = 0 session_expiry_max = 0ms "
		    "queue_bytes = 1025 "
		    "connect_deadline = 1500ms }");
	print_round("shared_strategy = hash_topic response_topic = \"\"\n"
		    "listener a { maximum_qos = 0 wildcard_subscriptions = off }");
	print_round("names = {a.b} addresses = {::1} shards = 2 log_level = warn\n"
		    "listener a { bind = \"[::1]:1\" tls = off anonymous_role = bench accept_risk "
		    "= \"q \\\"\\\\ #\" "
		    "limits { all = none } }\n"
		    "listener b { bind = \"*:5\" networks = {10.0.0.0/8, fd00::/8, 1.2.3.4} "
		    "authenticators = {token} "
		    "limits { publish_rate = 5 } }\n"
		    "listener c { bind = \"unix:/run/x\" socket_mode = 0600 socket_group = g }\n"
		    "listener d { bind = \"*:6\" interface = wg0 proxy = on trusted_proxies = "
		    "{10.0.0.1} }");
}

static void test_explain(void **state)
{
	char *text;

	assert_int_equal(conf_explain("max_packet_size", &text), E_OK);
	assert_string_equal(
		text, "limits: max_packet_size\n"
		      "\tlargest packet accepted.\n"
		      "\tvalue    size: a number of bytes, or with k, m or g (powers of 1024)\n"
		      "\tdefault  1m; for services 16m\n"
		      "\trange    1k to 256m\n"
		      "\tchange   reload (SIGHUP)\n");
	free(text);
	assert_int_equal(conf_explain("listener.bind", &text), E_OK);
	assert_non_null(strstr(text, "\"*:8883\""));
	free(text);
	assert_int_equal(conf_explain("shads", &text), E_NOT_FOUND);
	assert_string_equal(text, "there is no such option; did you mean shards?\n");
	free(text);
	assert_int_equal(conf_explain(NULL, &text), E_OK);
	assert_non_null(strstr(text, "accept_risk"));
	assert_non_null(strstr(text, "log_rate"));
	free(text);
}

static void test_store(void **state)
{
	good("");
	assert_true(conf.persistence);
	assert_false(conf.store_encryption);
	assert_true(conf.store_max_size == 16ull << 30);
	assert_string_equal(conf.store_key, "keys");
	assert_null(conf_store_credential(&conf));
	good("persistence = off store_max_size = 16m store_encryption = on store_key = /etc/p.key");
	assert_false(conf.persistence);
	assert_true(conf.store_encryption);
	assert_true(conf.store_max_size == 16ull << 20);
	assert_null(conf_store_credential(&conf));
	good("store_key = \"credential:picket-store\"");
	assert_string_equal(conf_store_credential(&conf), "picket-store");
	bad("store_key = \"credential:../ca.key\"", 1,
	    "store_key = credential:../ca.key is not possible",
	    "keys, an absolute path, or credential:NAME");
	bad("store_key = \"credential:\"", 1, "store_key = credential: is not possible",
	    "keys, an absolute path, or credential:NAME");
	bad("store_key = secret", 1, "store_key = secret is not possible",
	    "keys, an absolute path, or credential:NAME");
	bad("\nstore_max_size = 1m", 2, "store_max_size = 1m is out of range",
	    "picket config explain shows the range of each limit");
}

static void test_reload(void **state)
{
	static struct conf to;

	good("shards = 2 state_dir = /s run_dir = /r");
	assert_int_equal(
		conf_parse("t.conf",
			   "shards = 2 state_dir = /s run_dir = /r limits { publish_rate = 1 }",
			   &to, &error),
		E_OK);
	assert_int_equal(conf_reload_ok(&conf, &to, &error), E_OK);
	to.shards = 3;
	assert_int_equal(conf_reload_ok(&conf, &to, &error), E_CONFIG);
	assert_string_equal(error.what, "shards cannot change while picketd runs");
	to.shards = 2;
	to.run_dir[1] = 'x';
	assert_int_equal(conf_reload_ok(&conf, &to, &error), E_CONFIG);
	assert_string_equal(error.what, "run_dir cannot change while picketd runs");
	assert_string_equal(error.hint, "restart picketd to use it");
}

static void test_valid(void **state)
{
	conf_defaults(&conf);
	assert_true(conf_valid(&conf));
	conf.listeners = CONF_LISTENERS + 1;
	assert_false(conf_valid(&conf));
	conf_defaults(&conf);
	memset(conf.listener[0].name, 'x', sizeof(conf.listener[0].name));
	assert_false(conf_valid(&conf));
	conf_defaults(&conf);
	conf.listener[0].allow.n = CONF_NETS + 1;
	assert_false(conf_valid(&conf));
	conf_defaults(&conf);
	memset(conf.state_dir, 'x', sizeof(conf.state_dir));
	assert_false(conf_valid(&conf));
	conf_defaults(&conf);
	memset(conf.store_key, 'x', sizeof(conf.store_key));
	assert_false(conf_valid(&conf));
}

static void test_websocket(void **state)
{
	static const char *const origins[] = {
		"https://app.example.com", "http://localhost:5173", "https://[2001:db8::1]:8443",
		"https://192.0.2.1",	   "capacitor://localhost", "https://a-b.example:1",
	};
	static const char *const none[] = {
		"*",
		"",
		"null",
		"app.example.com",
		"https://",
		"https://App.example.com",
		"HTTPS://app.example.com",
		"https://app.example.com/",
		"https://app.example.com:443",
		"http://app.example.com:80",
		"https://app.example.com:0443",
		"https://app.example.com:",
		"https://app.example.com:65536",
		"https://*.example.com",
		"https://me@app.example.com",
		"https://app.example.com.",
		"https://[::1",
		"https://[]",
		"https://[::1]x",
		"https://a b",
	};
	char text[256], what[256];

	good("");
	assert_true(conf.listener[0].mqtt && conf.listener[0].websocket);
	assert_int_equal(conf.listener[0].origins, 0); /* no page may connect */
	assert_string_equal(conf.listener[0].websocket_path, "/mqtt");
	good("listener x { protocols = {websocket} }");
	assert_true(!conf.listener[0].mqtt && conf.listener[0].websocket);
	good("listener x { protocols = {mqtt} }");
	assert_true(conf.listener[0].mqtt && !conf.listener[0].websocket);
	for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
		snprintf(text, sizeof(text), "listener x { origins = {\"%s\"} }", origins[i]);
		good(text);
		assert_int_equal(conf.listener[0].origins, 1);
		assert_string_equal(conf.listener[0].origin[0], origins[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		snprintf(text, sizeof(text), "listener x { origins = {\"%s\"} }", none[i]);
		snprintf(what, sizeof(what), "origins = %s is not possible", none[i]);
		bad(text, 1, what,
		    "as browsers write it: scheme://host or scheme://host:port, in lower case, "
		    "without the scheme's usual port, without a path");
	}
	bad("listener x {\nprotocols = {mqtt}\norigins = {\"https://a\"} }", 3,
	    "listener x has origins, but does not speak WebSocket",
	    "add websocket to protocols, or take origins away");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_websocket),
		cmocka_unit_test(test_empty_is_safe),
		cmocka_unit_test(test_design_example),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_unknown_names_the_nearest),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_unsafe_needs_words),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_unix_sockets),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_proxies),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_print_parses_back),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
