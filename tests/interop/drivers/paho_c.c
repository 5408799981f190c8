/* A driver for paho C (see README.md): the synchronous client, MQTT 3.1.1 and 5. */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 20000 };

static MQTTClient client;
static int version;

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v != NULL ? v : "";
}

static void fail(const char *what, int rc)
{
	fprintf(stderr, "%s: %d\n", what, rc);
	exit(1);
}

static const char *secret(void)
{
	static char s[256];
	FILE *f = fopen(env("SECRET_FILE"), "r");

	if (f == NULL || fgets(s, sizeof(s), f) == NULL)
		fail("secret", 0);
	fclose(f);
	s[strcspn(s, "\n")] = '\0';
	return s;
}

/* paho says ssl:// where others say mqtts://. */
static const char *url(void)
{
	static char u[256];
	const char *from = env("URL");

	if (strncmp(from, "mqtts://", 8) == 0)
		snprintf(u, sizeof(u), "ssl://%s", from + 8);
	else if (strncmp(from, "mqtt://", 7) == 0)
		snprintf(u, sizeof(u), "tcp://%s", from + 7);
	else
		snprintf(u, sizeof(u), "%s", from);
	return u;
}

/* Returns whether the session was there; -1: no connection. */
static int dial(int stay, const char *will)
{
	MQTTClient_connectOptions o4 = MQTTClient_connectOptions_initializer;
	MQTTClient_connectOptions o5 = MQTTClient_connectOptions_initializer5;
	MQTTClient_connectOptions *o = version == 5 ? &o5 : &o4;
	MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;
	MQTTClient_willOptions w = MQTTClient_willOptions_initializer;
	MQTTProperties props = MQTTProperties_initializer;
	MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
			       .value.integer4 = 3600};
	int there, rc;

	tls.trustStore = env("CA");
	tls.verify = 1;
	o->MQTTVersion = version;
	o->username = env("NAME");
	o->password = secret();
	o->keepAliveInterval = 30;
	if (strncmp(env("URL"), "mqtts", 5) == 0 || strncmp(env("URL"), "wss", 3) == 0)
		o->ssl = &tls;
	if (will != NULL) {
		w.topicName = will;
		w.message = "gone";
		w.qos = 1;
		o->will = &w;
	}
	if (version == 5) {
		MQTTResponse r;
		o->cleanstart = !stay;
		MQTTProperties_add(&props, &expiry);
		r = MQTTClient_connect5(client, o, stay ? &props : NULL, NULL);
		rc = r.reasonCode;
		there = rc == 0 ? 1
				: -1; /* this version of the library does not tell with MQTT 5 */
		MQTTResponse_free(r);
		MQTTProperties_free(&props);
	} else {
		o->cleansession = !stay;
		rc = MQTTClient_connect(client, o);
		there = rc == 0 ? o->returned.sessionPresent : -1;
	}
	return there;
}

static void must_dial(int stay, const char *will)
{
	if (dial(stay, will) < 0)
		fail("connect", 0);
}

static void subscribe(const char *topic, int qos)
{
	int rc;

	if (version == 5) {
		MQTTResponse r = MQTTClient_subscribe5(client, topic, qos, NULL, NULL);
		rc = r.reasonCode;
		MQTTResponse_free(r);
	} else {
		rc = MQTTClient_subscribe(client, topic, qos);
	}
	if (rc != 0 && rc != qos)
		fail("subscribe", rc);
}

static void publish(const char *topic, const void *payload, int n, int qos, int retained)
{
	MQTTClient_deliveryToken token;
	int rc;

	if (version == 5) {
		MQTTResponse r =
			MQTTClient_publish5(client, topic, n, payload, qos, retained, NULL, &token);
		rc = r.reasonCode;
		MQTTResponse_free(r);
	} else {
		rc = MQTTClient_publish(client, topic, n, payload, qos, retained, &token);
	}
	if (rc != 0)
		fail("publish", rc);
	if (qos > 0 && MQTTClient_waitForCompletion(client, token, WAIT_MS) != 0)
		fail("acknowledgement", 0);
}

static MQTTClient_message *receive(void)
{
	MQTTClient_message *m = NULL;
	char *topic = NULL;
	int n, rc = MQTTClient_receive(client, &topic, &n, &m, WAIT_MS);

	if ((rc != 0 && rc != MQTTCLIENT_TOPICNAME_TRUNCATED) || m == NULL)
		fail("receive", rc);
	MQTTClient_free(topic);
	return m;
}

static void expect_number(int i, int size)
{
	MQTTClient_message *m = receive();

	if (atoi((const char *)m->payload) != i || (size != 0 && m->payloadlen != size))
		fail("another message", i);
	MQTTClient_freeMessage(&m);
}

static void roundtrip(const char *topic, int qos, int count, int size)
{
	char *payload = calloc(1, (size_t)size + 16);

	must_dial(0, NULL);
	subscribe(topic, qos);
	for (int i = 0; i < count; i++) {
		memset(payload, ' ', (size_t)size);
		payload[snprintf(payload, 16, "%d", i)] = ' ';
		publish(topic, payload, size, qos, 0);
		if (i % 10 == 9) /* the synchronous client holds what nobody fetches */
			for (int k = i - 9; k <= i; k++)
				expect_number(k, size);
	}
	for (int k = count - count % 10; k < count; k++)
		expect_number(k, size);
	free(payload);
}

static void retained(const char *topic)
{
	MQTTClient_message *m;

	must_dial(0, NULL);
	publish(topic, "kept", 4, 1, 1);
	subscribe(topic, 1);
	m = receive();
	if (!m->retained || m->payloadlen != 4)
		fail("no retained message", m->retained);
	MQTTClient_freeMessage(&m);
	publish(topic, "", 0, 1, 1);
}

static void stay(const char *topic)
{
	for (;;) {
		MQTTClient_message *m = NULL;
		char *name = NULL;
		int n;

		while (!MQTTClient_isConnected(client)) {
			if (dial(1, NULL) >= 0) {
				subscribe(topic, 1);
				puts("up");
			} else {
				usleep(200000);
			}
		}
		if (MQTTClient_receive(client, &name, &n, &m, 500) != 0 || m == NULL)
			continue;
		printf("%.*s\n", m->payloadlen, (const char *)m->payload);
		MQTTClient_freeMessage(&m);
		MQTTClient_free(name);
	}
}

int main(int argc, char **argv)
{
	MQTTClient_createOptions o = MQTTClient_createOptions_initializer;
	const char *what = argc > 1 ? argv[1] : "";
	int rc;

	setvbuf(stdout, NULL, _IOLBF, 0);
	version = atoi(env("VERSION"));
	o.MQTTVersion = version;
	rc = MQTTClient_createWithOptions(&client, url(), env("ID"), MQTTCLIENT_PERSISTENCE_NONE,
					  NULL, &o);
	if (rc != 0)
		fail("create", rc);
	if (strcmp(what, "roundtrip") == 0) {
		roundtrip(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
	} else if (strcmp(what, "retained") == 0) {
		retained(argv[2]);
	} else if (strcmp(what, "sleep") == 0) {
		must_dial(1, NULL);
		subscribe(argv[2], 1);
	} else if (strcmp(what, "wake") == 0) {
		if (dial(1, NULL) != 1)
			fail("no session", 0);
		for (int i = 0; i < atoi(argv[2]); i++)
			expect_number(i, 0);
	} else if (strcmp(what, "will") == 0) {
		must_dial(0, argv[2]);
		puts("up");
		pause();
	} else if (strcmp(what, "stay") == 0) {
		stay(argv[2]);
	} else {
		fail("what?", 0);
	}
	if (version == 5)
		MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_SUCCESS, NULL);
	else
		MQTTClient_disconnect(client, 1000);
	MQTTClient_destroy(&client);
	puts("ok");
	return 0;
}
