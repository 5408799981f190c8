/* bundle_files: what stands in the files of a bundle; one row a file.
 *
 * Name, host and token are of a closed alphabet (checked before), so they need no quoting in any of
 * these languages; topics are quoted.  No file puts a secret into an argument list: the mosquitto
 * clients read it from the file `mosquitto_sub` or `mosquitto_pub` of XDG_CONFIG_HOME. */
#include "cli/bundle.h"

/* ${device} becomes the name; quote is what has to be written as \quote. */
static void put_topic(FILE *f, const char *topic, const char *name, char quote)
{
	static const char who[] = "${device}";

	while (*topic != 0) {
		if (strncmp(topic, who, sizeof(who) - 1) == 0) {
			fputs(name, f);
			topic += sizeof(who) - 1;
			continue;
		}
		if (*topic == quote || *topic == '\\')
			fputs(quote == '\'' ? "'\\" : "\\", f);
		fputc(*topic, f);
		if (quote == '\'' && (*topic == quote || *topic == '\\'))
			fputc('\'', f);
		topic++;
	}
}

static void put_ca_crt(FILE *f, const struct bundle_site *s, const char *name, const char *token)
{
	fputs(s->ca_pem, f);
}

static void put_ca_der(FILE *f, const struct bundle_site *s, const char *name, const char *token)
{
	fwrite(s->ca_der, 1, s->ca_der_n, f);
}

static void put_c_lines(FILE *f, const char *text)
{
	while (*text != 0) {
		size_t n = strcspn(text, "\n");

		fprintf(f, "\t\"%.*s\\n\"", (int)n, text);
		text += n + (text[n] == '\n');
		fputs(*text != 0 ? "\n" : ";\n", f);
	}
}

static void put_header(FILE *f, const struct bundle_site *s, const char *name, const char *token)
{
	fprintf(f,
		"/* %s at %s:%u.  Secret: keep this file out of version control.\n"
		" * Arduino: WiFiClientSecure::setCACert(MQTT_CA_PEM); "
		"PubSubClient::connect(MQTT_CLIENT_ID,\n"
		" * MQTT_USER, MQTT_PASSWORD).  ESP-IDF: esp_mqtt_client_config_t, the same words. "
		"*/\n"
		"#ifndef WIFI_MQTT_SECRETS_H\n"
		"#define WIFI_MQTT_SECRETS_H\n\n"
		"#ifndef WIFI_SSID\n"
		"#define WIFI_SSID     \"your network\"\n"
		"#define WIFI_PASSWORD \"its password\"\n"
		"#endif\n\n"
		"#define MQTT_HOST      \"%s\"\n"
		"#define MQTT_PORT      %u\n"
		"#define MQTT_CLIENT_ID \"%s\"\n"
		"#define MQTT_USER      \"%s\"\n"
		"#define MQTT_PASSWORD  \"%s\"\n",
		name, s->host, s->port, s->host, s->port, name, name, token);
	if (s->publish[0] != 0) {
		fputs("#define MQTT_PUBLISH   \"", f);
		put_topic(f, s->publish, name, '"');
		fputs("\"\n", f);
	}
	if (s->subscribe[0] != 0) {
		fputs("#define MQTT_SUBSCRIBE \"", f);
		put_topic(f, s->subscribe, name, '"');
		fputs("\"\n", f);
	}
	fputs("\nstatic const char MQTT_CA_PEM[] =\n", f);
	put_c_lines(f, s->ca_pem);
	fputs("\n#endif\n", f);
}

/* ESP-IDF, nvs_partition_gen.py. */
static void put_nvs(FILE *f, const struct bundle_site *s, const char *name, const char *token)
{
	fprintf(f,
		"key,type,encoding,value\n"
		"mqtt,namespace,,\n"
		"host,data,string,%s\n"
		"port,data,u16,%u\n"
		"client_id,data,string,%s\n"
		"user,data,string,%s\n"
		"token,data,string,%s\n"
		"ca,file,string,ca.crt\n",
		s->host, s->port, name, name, token);
}

static void put_login(FILE *f, const struct bundle_site *s, const char *name, const char *token)
{
	fprintf(f, "--pw %s\n", token);
}

static void put_token(FILE *f, const struct bundle_site *s, const char *name, const char *token)
{
	fprintf(f, "%s\n", token);
}

/* A line that works as it stands; more words are handed on, and a topic is put before them when
 * they have none. The client id is NAME:sub or NAME:pub, so that both may run at once. */
static void put_script(FILE *f, const struct bundle_site *s, const char *name, const char *program,
		       const char *role, const char *topic, const char *usual)
{
	fprintf(f,
		"#!/bin/sh\n"
		"# %s as %s.  The token is read from the file %s beside this one, never from an "
		"argument.\n"
		"here=$(cd \"$(dirname \"$0\")\" && pwd)\n",
		program, name, program);
	if (topic[0] != 0) {
		fprintf(f,
			"[ $# -gt 0 ] || set -- %s\n"
			"case \" $* \" in\n"
			"*\" -t \"* | *\" --topic \"*) ;;\n"
			"*) set -- -t '",
			usual);
		put_topic(f, topic, name, '\'');
		fputs("' \"$@\" ;;\nesac\n", f);
	}
	fprintf(f, "XDG_CONFIG_HOME=$here exec %s ", program);
	if (s->tls)
		fputs("--cafile \"$here/ca.crt\" ", f);
	fprintf(f, "-h %s -p %u -u %s -i %s:%s \"$@\"\n", s->host, s->port, name, name, role);
}

static void put_sub_sh(FILE *f, const struct bundle_site *s, const char *name, const char *token)
{
	put_script(f, s, name, "mosquitto_sub", "sub", s->subscribe, "-v");
}

static void put_pub_sh(FILE *f, const struct bundle_site *s, const char *name, const char *token)
{
	put_script(f, s, name, "mosquitto_pub", "pub", s->publish, "-q 1 -m hello");
}

static void put_paho(FILE *f, const struct bundle_site *s, const char *name, const char *token)
{
	fprintf(f,
		"#!/usr/bin/env python3\n"
		"\"\"\"%s with paho-mqtt: listens, says hello once.  pip install paho-mqtt (1.6 or "
		"2)\"\"\"\n"
		"import pathlib\n"
		"import paho.mqtt.client as mqtt\n\n"
		"here = pathlib.Path(__file__).parent\n"
		"arguments = {\"client_id\": \"%s\"}\n"
		"if hasattr(mqtt, \"CallbackAPIVersion\"):\n"
		"    arguments[\"callback_api_version\"] = mqtt.CallbackAPIVersion.VERSION1\n"
		"client = mqtt.Client(**arguments)\n"
		"client.username_pw_set(\"%s\", (here / \"token\").read_text().strip())\n",
		name, name, name);
	if (s->tls)
		fputs("client.tls_set(ca_certs=str(here / \"ca.crt\"))\n", f);
	fputs("\n\ndef on_connect(client, userdata, flags, rc):\n"
	      "    print(\"connected\" if rc == 0 else mqtt.connack_string(rc))\n"
	      "    if rc != 0:\n"
	      "        return\n",
	      f);
	if (s->subscribe[0] != 0) {
		fputs("    client.subscribe(\"", f);
		put_topic(f, s->subscribe, name, '"');
		fputs("\", qos=1)\n", f);
	}
	if (s->publish[0] != 0) {
		fputs("    client.publish(\"", f);
		put_topic(f, s->publish, name, '"');
		fputs("\", \"hello\", qos=1)\n", f);
	}
	fprintf(f,
		"\n\nclient.on_connect = on_connect\n"
		"client.on_message = lambda c, u, m: print(m.topic, m.payload)\n"
		"client.connect(\"%s\", %u)\n"
		"client.loop_forever()\n",
		s->host, s->port);
}

static void put_mqttjs(FILE *f, const struct bundle_site *s, const char *name, const char *token)
{
	fprintf(f, "// %s with MQTT.js: listens, says hello once.  npm install mqtt\n", name);
	if (s->websocket)
		fprintf(f,
			"// In a web page: %s://%s:%u/mqtt, once origins of picket.conf names "
			"the page.\n",
			s->tls ? "wss" : "ws", s->host, s->port);
	fprintf(f,
		"import { readFileSync } from 'node:fs';\n"
		"import mqtt from 'mqtt';\n\n"
		"const file = (name) => readFileSync(new URL(name, import.meta.url));\n"
		"const client = mqtt.connect('%s://%s:%u', {\n"
		"  clientId: '%s',\n"
		"  username: '%s',\n"
		"  password: file('token').toString().trim(),\n"
		"  ca: file('ca.crt'),\n"
		"});\n"
		"client.on('connect', () => {\n"
		"  console.log('connected');\n",
		s->tls ? "mqtts" : "mqtt", s->host, s->port, name, name);
	if (s->subscribe[0] != 0) {
		fputs("  client.subscribe(\"", f);
		put_topic(f, s->subscribe, name, '"');
		fputs("\", { qos: 1 });\n", f);
	}
	if (s->publish[0] != 0) {
		fputs("  client.publish(\"", f);
		put_topic(f, s->publish, name, '"');
		fputs("\", 'hello', { qos: 1 });\n", f);
	}
	fputs("});\n"
	      "client.on('message', (topic, payload) => console.log(topic, payload.toString()));\n"
	      "client.on('error', (error) => console.error(error.message));\n",
	      f);
}

static const struct bundle_file files[] = {
	{"wifi_mqtt_secrets.h", put_header},
	{"nvs.csv", put_nvs},
	{"ca.crt", put_ca_crt},
	{"ca.der", put_ca_der},
	{"token", put_token},
	{"mosquitto_sub", put_login},
	{"mosquitto_pub", put_login},
	{"mosquitto_sub.sh", put_sub_sh},
	{"mosquitto_pub.sh", put_pub_sh},
	{"paho_example.py", put_paho},
	{"mqttjs_example.mjs", put_mqttjs},
};

const struct bundle_file *bundle_file_at(size_t i)
{
	return i < ARRAY_LEN(files) ? &files[i] : NULL;
}
