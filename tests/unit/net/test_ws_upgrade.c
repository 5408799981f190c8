/* The request that asks for WebSocket: one that keeps to RFC 6455 and comes from nowhere or from a
 * listed page is granted; each way to be anything else is refused with its status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/ws.h"

#define UP                                                                                         \
	"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"               \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define MQTT "Sec-WebSocket-Protocol: mqtt\r\n"
#define HOST "Host: broker:8883\r\n"
#define GOOD "GET /mqtt HTTP/1.1\r\n" HOST UP MQTT

static struct net_greeting *greeting;
static struct upgrade_place at;

static int setup(void **state)
{
	static const char origins[2][NET_ORIGIN] = {"https://app.example.com",
						    "http://localhost:5173"};
	greeting = net_greeting_new(
		&(struct net_greeting_options){.protocols = NET_RAW | NET_WEBSOCKET,
					       .path = "/mqtt",
					       .origins = 2,
					       .origin = origins});
	return 0;
}

static int teardown(void **state)
{
	net_greeting_unref(&greeting);
	return 0;
}

static enum upgrade judge(const char *head)
{
	struct http_head h;
	char text[4096];

	assert_true((size_t)snprintf(text, sizeof(text), "%s\r\n", head) < sizeof(text));
	assert_int_equal(http_head_parse(slice_str(text), &h), E_OK);
	return upgrade_judge(&h, greeting, at);
}

static void test_good(void **state)
{
	assert_int_equal(judge(GOOD), UPGRADE_OK);
	assert_int_equal(judge("GET / HTTP/1.1\r\n" HOST UP MQTT), UPGRADE_OK);
	assert_int_equal(judge("GET /mqtt?who=me HTTP/1.1\r\n" HOST UP MQTT), UPGRADE_OK);
	assert_int_equal(judge(GOOD "Content-Length: 0\r\n"), UPGRADE_OK);
	assert_int_equal(judge(GOOD "Cookie: a=b\r\nAuthorization: Basic YTpi\r\n"
				    "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
			 UPGRADE_OK);
	assert_int_equal(judge("GET /mqtt HTTP/1.1\r\n" HOST "UPGRADE: WebSocket\r\nconnection: "
			       "keep-alive, upgrade\r\nSec-WebSocket-Version: 13\r\n"
			       "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
			       "sec-websocket-protocol: foo, mqttv3.1, mqtt\r\n"),
			 UPGRADE_OK);
	assert_int_equal(
		judge("GET /mqtt HTTP/1.1\r\n" HOST UP "Sec-WebSocket-Protocol: mqttv3.1\r\n"),
		UPGRADE_OK);
}

static void test_http(void **state)
{
	assert_int_equal(judge("POST /mqtt HTTP/1.1\r\n" HOST UP MQTT), UPGRADE_METHOD);
	assert_int_equal(judge("get /mqtt HTTP/1.1\r\n" HOST UP MQTT), UPGRADE_METHOD);
	assert_int_equal(judge("GET /mqtt HTTP/1.0\r\n" HOST UP MQTT), UPGRADE_HTTP_VERSION);
	assert_int_equal(judge("GET /mqtt HTTP/1.1\r\n" UP MQTT), UPGRADE_HOST);
	assert_int_equal(judge("GET /mqtt HTTP/1.1\r\nHost:\r\n" UP MQTT), UPGRADE_HOST);
	assert_int_equal(judge(GOOD HOST), UPGRADE_HOST);
	assert_int_equal(judge(GOOD "Content-Length: 5\r\n"), UPGRADE_BODY);
	assert_int_equal(judge(GOOD "Content-Length: 0\r\nContent-Length: 0\r\n"), UPGRADE_BODY);
	assert_int_equal(judge(GOOD "Transfer-Encoding: chunked\r\n"), UPGRADE_BODY);
}

static void test_paths(void **state)
{
	static const char *const paths[] = {
		"/mqtt/", "/mqt",   "//mqtt", "/MQTT", "/%6dqtt", "/../mqtt", "http://broker/mqtt",
		"*",	  "/mqtt#", "?/mqtt"};
	char text[512];

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n%s", paths[i], HOST UP MQTT);
		assert_int_equal(judge(text), UPGRADE_PATH);
	}
}

static void test_websocket(void **state)
{
#define START "GET /mqtt HTTP/1.1\r\n" HOST MQTT
#define KEY   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ASK   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define V13   "Sec-WebSocket-Version: 13\r\n"
	assert_int_equal(judge(START), UPGRADE_NO_UPGRADE);
	assert_int_equal(judge(START KEY V13 "Upgrade: websocket\r\n"), UPGRADE_NO_UPGRADE);
	assert_int_equal(judge(START KEY V13 "Connection: Upgrade\r\n"), UPGRADE_NO_UPGRADE);
	assert_int_equal(judge(START KEY V13 "Upgrade: h2c\r\nConnection: Upgrade\r\n"),
			 UPGRADE_NO_UPGRADE);
	assert_int_equal(judge(START KEY ASK), UPGRADE_WS_VERSION);
	assert_int_equal(judge(START KEY ASK "Sec-WebSocket-Version: 8\r\n"), UPGRADE_WS_VERSION);
	assert_int_equal(judge(START KEY ASK V13 V13), UPGRADE_WS_VERSION);
	assert_int_equal(judge(START V13 ASK), UPGRADE_KEY);
	assert_int_equal(judge(START V13 ASK KEY KEY), UPGRADE_KEY);
	assert_int_equal(judge(START V13 ASK "Sec-WebSocket-Key: short==\r\n"), UPGRADE_KEY);
	assert_int_equal(judge(START V13 ASK "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"),
			 UPGRADE_KEY);
	assert_int_equal(judge(START V13 ASK "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ1=\r\n"),
			 UPGRADE_KEY);
	assert_int_equal(judge(START V13 ASK "Sec-WebSocket-Key: dGhl!HNhbXBsZSBub25jZQ==\r\n"),
			 UPGRADE_KEY);
}

static void test_subprotocols(void **state)
{
	static const char *const offers[] = {"",	   "MQTT",  "xmqtt",	  "mqtt5",
					     "mqttv3.1.1", "mq tt", "m\xc3\xa9tt"};
	char text[1024];

	assert_int_equal(judge("GET /mqtt HTTP/1.1\r\n" HOST UP), UPGRADE_SUBPROTOCOL);
	for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
		snprintf(text, sizeof(text),
			 "GET /mqtt HTTP/1.1\r\n%sSec-WebSocket-Protocol: %s\r\n", HOST UP,
			 offers[i]);
		assert_int_equal(judge(text), UPGRADE_SUBPROTOCOL);
	}
}

static enum upgrade from(const char *origin)
{
	char text[1024];

	snprintf(text, sizeof(text), GOOD "Origin: %s\r\n", origin);
	return judge(text);
}

static void test_origins(void **state)
{
	static const char *const foreign[] = {
		"",
		"null",
		"*",
		"https://evil.example",
		"http://app.example.com",
		"https://app.example.com.evil.example",
		"https://evil.example/https://app.example.com",
		"https://app.example.com:443",
		"https://app.example.com:444",
		"https://app.example.com/",
		"https://app.example.com.",
		"https://APP.example.com",
		"HTTPS://app.example.com",
		"https://user@app.example.com",
		"https://xapp.example.com",
		"https://app.example.co",
		"https://\xd0\xb0pp.example.com",
		"https://app.example.com https://evil.example",
		"https://app.example.com, https://evil.example",
		"http://localhost",
		"http://localhost:51730",
	};

	assert_int_equal(from("https://app.example.com"), UPGRADE_OK);
	assert_int_equal(from("http://localhost:5173"), UPGRADE_OK);
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		assert_int_equal(from(foreign[i]), UPGRADE_ORIGIN);
	assert_int_equal(judge(GOOD "Origin: https://app.example.com\r\n"
				    "Origin: https://app.example.com\r\n"),
			 UPGRADE_ORIGINS);
	assert_int_equal(judge(GOOD "Origin: https://app.example.com\r\n"
				    "oRIGIN: https://evil.example\r\n"),
			 UPGRADE_ORIGINS);
}

/* Where it connects to as its own origin: an address, or over TLS a name of our certificate. */
static void test_origin_is_here(void **state)
{
	static const struct {
		const char *host, *origin;
		enum upgrade plain, tls, named;
	} rows[] = {
#define YES UPGRADE_OK
#define NO  UPGRADE_ORIGIN
		{"broker.test:8883", "https://broker.test:8883", NO, NO, YES},
		{"broker.test:8883", "http://broker.test:8883", NO, NO, NO},
		{"broker.test", "https://broker.test", NO, NO, YES},
		{"broker.test:8883", "https://broker.test", NO, NO, NO},
		{"broker.test:8883", "https://broker.test:8884", NO, NO, NO},
		{"broker.test:8883", "https://evil.test:8883", NO, NO, NO},
		{"127.0.0.1:8883", "https://127.0.0.1:8883", YES, YES, YES},
		{"127.0.0.1:8883", "http://127.0.0.1:8883", YES, NO, NO},
		{"127.0.0.1:8883", "https://127.0.0.1:8884", NO, NO, NO},
		{"[::1]:8883", "https://[::1]:8883", YES, YES, YES},
		{"localhost:1883", "https://localhost:1883", YES, YES, YES},
		{"localhost:1883", "http://localhost:1883", YES, NO, NO},
		{"localhost.evil.test:1883", "http://localhost.evil.test:1883", NO, NO, NO},
		{"127.0.0.1.evil.test:1883", "http://127.0.0.1.evil.test:1883", NO, NO, NO},
		{"2130706433:1883", "http://2130706433:1883", NO, NO, NO},
		{":1883", "http://:1883", NO, NO, NO},
		{"[:1883", "http://[:1883", NO, NO, NO},
		{"localhost:1883", "ws://localhost:1883", NO, NO, NO},
#undef YES
#undef NO
	};
	char text[1024];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(text, sizeof(text), "GET /mqtt HTTP/1.1\r\nHost: %s\r\n%sOrigin: %s\r\n",
			 rows[i].host, UP MQTT, rows[i].origin);
		at = (struct upgrade_place){0};
		assert_int_equal(judge(text), rows[i].plain);
		at.tls = true;
		assert_int_equal(judge(text), rows[i].tls);
		at.named = strncmp(rows[i].host, "broker.test", 11) == 0;
		assert_int_equal(judge(text), rows[i].named);
	}
	at = (struct upgrade_place){0};
}

/* What is not said is not allowed: no page may connect. */
static void test_no_origins(void **state)
{
	struct net_greeting *listed = greeting;

	greeting = net_greeting_new(
		&(struct net_greeting_options){.protocols = NET_WEBSOCKET, .path = "/mqtt"});
	assert_int_equal(judge(GOOD), UPGRADE_OK);
	assert_int_equal(from("https://app.example.com"), UPGRADE_ORIGIN);
	assert_int_equal(from(""), UPGRADE_ORIGIN);
	net_greeting_unref(&greeting);
	greeting = net_greeting_new(
		&(struct net_greeting_options){.protocols = NET_RAW, .path = "/mqtt"});
	assert_int_equal(judge(GOOD), UPGRADE_DISABLED);
	net_greeting_unref(&greeting);
	greeting = listed;
}

static void test_accept(void **state)
{
	/* The example of RFC 6455 section 1.3. */
	static const char want[] = "HTTP/1.1 101 Switching Protocols\r\n"
				   "Upgrade: websocket\r\n"
				   "Connection: Upgrade\r\n"
				   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
				   "Sec-WebSocket-Protocol: mqtt\r\n\r\n";
	struct http_head h;
	u8 b[LIM_UPGRADE_ANSWER];

	assert_int_equal(http_head_parse(SLICE_LIT(GOOD "\r\n"), &h), E_OK);
	assert_int_equal(upgrade_accept(&h, b, sizeof(b)), sizeof(want) - 1);
	assert_memory_equal(b, want, sizeof(want) - 1);
}

/* Every refusal is a whole answer of HTTP whose length is right. */
static void test_refusals(void **state)
{
	for (u32 i = UPGRADE_OK + 1; i < UPGRADE_N; i++) {
		u8 b[LIM_UPGRADE_ANSWER + 1];
		size_t n = upgrade_refuse((enum upgrade)i, b, LIM_UPGRADE_ANSWER);
		size_t end = http_head_end(slice_of(b, n), 0);
		const char *length;
		size_t body;
		b[n] = '\0';
		length = strstr((char *)b, "Content-Length: ");
		assert_int_equal(strncmp((char *)b, "HTTP/1.1 4", 10) &&
					 strncmp((char *)b, "HTTP/1.1 505", 12),
				 0);
		assert_true(end > 0 && length != NULL);
		assert_int_equal(sscanf(length, "Content-Length: %zu", &body), 1);
		assert_int_equal(n - end, body);
		assert_string_not_equal(upgrade_text((enum upgrade)i), "");
		assert_int_not_equal(upgrade_err((enum upgrade)i), E_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	       cmocka_unit_test(test_http),
		cmocka_unit_test(test_paths),	       cmocka_unit_test(test_websocket),
		cmocka_unit_test(test_subprotocols),   cmocka_unit_test(test_origins),
		cmocka_unit_test(test_origin_is_here), cmocka_unit_test(test_no_origins),
		cmocka_unit_test(test_accept),	       cmocka_unit_test(test_refusals),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
