/* site: gathers host, port, CA and topics from picketd. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/cert.h"
#include "cli/client.h"
#include "cli/out.h"
#include "cli/site.h"
#include "ipc/codes.h"

static bool speaks(const json_t *l, const char *protocol)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(l, "protocols"), i, v)
	{
		if (strcmp(json_string_value(v) ?: "", protocol) == 0)
			return true;
	}
	return false;
}

static bool is_true(const json_t *l, const char *key)
{
	return json_is_true(json_object_get(l, key));
}

/* The listener that devices use: the first with MQTT and TLS, else the first with MQTT that is no
 * unix socket. */
static const json_t *listener_pick(const json_t *status)
{
	const json_t *list = json_object_get(status, "listeners"), *l;
	size_t i;

	json_array_foreach(list, i, l) if (is_true(l, "tls") && speaks(l, "mqtt")) return l;
	json_array_foreach(list, i, l) if (!is_true(l, "local") && speaks(l, "mqtt")) return l;
	return NULL;
}

static bool is_address(const char *s)
{
	u8 b[16];

	return inet_pton(AF_INET, s, b) == 1 || inet_pton(AF_INET6, s, b) == 1;
}

static bool resolves(const char *name)
{
	struct addrinfo *a = NULL;

	if (getaddrinfo(name, NULL, NULL, &a) != 0)
		return false;
	freeaddrinfo(a);
	return true;
}

/* One name of a certificate that clients elsewhere can use too: a name that is known in the
 * network, or an address. */
static bool host_useful(const char *s, bool want_name)
{
	if (is_address(s))
		return !want_name && strncmp(s, "127.", 4) != 0 && strchr(s, ':') == NULL;
	return want_name && strcmp(s, "localhost") != 0 && strchr(s, '*') == NULL && resolves(s);
}

static bool host_of_certificate(const struct cert_info *cert, bool want_name, char *out, size_t cap)
{
	const char *p = cert->names;

	while (*p != 0) {
		size_t len = strcspn(p, ",");

		snprintf(out, cap, "%.*s", (int)len, p);
		if (host_useful(out, want_name))
			return true;
		p += len;
		p += strspn(p, ", ");
	}
	return false;
}

static const char *first_text(const json_t *object, const char *list)
{
	return json_string_value(json_array_get(json_object_get(object, list), 0));
}

/* What was asked for; this machine, when nobody else can come; what was configured; what the
 * certificate has. */
static void host_pick(struct cli *c, const json_t *status, const json_t *listener,
		      const struct cert_info *cert, char *out, size_t cap)
{
	const char *h = cli_value(c, OPT_HOST);

	if (h == NULL && json_is_true(json_object_get(listener, "loopback")))
		h = cert_has_name(cert, "localhost")
			    ? "localhost"
			    : json_string_value(json_object_get(listener, "address"));
	if (h == NULL)
		h = first_text(status, "names");
	if (h == NULL)
		h = first_text(status, "addresses");
	if (h != NULL)
		snprintf(out, cap, "%s", h);
	else if (!host_of_certificate(cert, true, out, cap) &&
		 !host_of_certificate(cert, false, out, cap))
		snprintf(out, cap, "localhost");
}

static int host_load(struct cli *c, struct site *s)
{
	struct cert_info cert = {0};
	json_t *status;
	const json_t *l;
	const char *pem;
	int rc = ask_json(c, "/v1/status", NULL, &status);

	if (rc != 0)
		return rc;
	l = listener_pick(status);
	s->view.port = (u16)json_integer_value(json_object_get(l, "port"));
	s->view.tls = is_true(l, "tls");
	s->view.websocket = speaks(l, "websocket");
	pem = json_string_value(json_object_get(json_object_get(status, "certificate"), "pem"));
	if (pem != NULL && cert_read(pem, &cert) != E_OK)
		cert.names[0] = 0;
	host_pick(c, status, l, &cert, s->host, sizeof(s->host));
	s->host_unsure = cert.names[0] != 0 && !cert_has_name(&cert, s->host);
	json_decref(status);
	if (l != NULL && bundle_host_ok(s->host))
		return 0;
	return out_refuse(c, CODE_BAD_ANSWER,
			  "no listener for MQTT, or a host name that cannot be used");
}

static int ca_load(struct cli *c, struct site *s)
{
	struct answer a;
	int rc = ask_text(c, "/v1/ca", NULL, &a);

	if (rc != 0)
		return rc;
	s->ca_pem = xstrdup((const char *)(a.data ? a.data : (u8 *)""));
	answer_free(&a);
	if (cert_der(s->ca_pem, &s->ca_der, &s->view.ca_der_n) != E_OK)
		return out_refuse(c, CODE_BAD_ANSWER, "the CA certificate");
	return 0;
}

/* ---- topics of a role
 * ---------------------------------------------------------------------------- */

/* A filter that ${device} alone fills. */
static bool filter_usable(const char *f)
{
	for (const char *p = strstr(f, "${"); p != NULL; p = strstr(p + 1, "${"))
		if (strncmp(p, "${device}", 9) != 0)
			return false;
	return f[0] != 0 && f[0] != '"' && f[0] != '$';
}

void site_topic(const char *filter, char *out, size_t cap)
{
	size_t n = 0;

	ASSERT(cap > 8);
	for (const char *p = filter; *p != 0 && n + 8 < cap; p++) {
		if (*p == '#' || *p == '+')
			n += (size_t)snprintf(out + n, cap - n, "test");
		else
			out[n++] = *p;
	}
	out[n] = 0;
}

/* The next word of a role's text; tells whether a statement begins with it. */
static struct slice word_next(const char **p, bool *begins)
{
	const char *s = *p;
	struct slice w;

	for (; *s != 0 && strchr(" \t\n;", *s) != NULL; s++)
		if (*s == '\n' || *s == ';')
			*begins = true;
	w = slice_of(s, strcspn(s, " \t\n;"));
	*p = s + w.n;
	return w;
}

void site_filter(const char *text, const char *action, char *out, size_t cap)
{
	bool begins = true, wanted = false;

	out[0] = 0;
	for (;;) {
		struct slice w = word_next(&text, &begins);

		if (w.n == 0)
			break;
		if (wanted) {
			snprintf(out, cap, "%.*s", (int)w.n, (const char *)w.p);
			if (filter_usable(out) && strcmp(out, "exact") != 0)
				break;
			out[0] = 0;
		}
		wanted = begins && slice_eq(w, slice_str(action));
		begins = slice_eq(w, SLICE_LIT("{")) || slice_eq(w, SLICE_LIT("allow"));
	}
}

/* Topics are for convenience: a role that cannot be read leaves them empty. */
static void topics_load(struct cli *c, const json_t *roles, struct site *s)
{
	const json_t *role;
	size_t i;

	json_array_foreach(roles, i, role)
	{
		struct answer a;
		json_t *reply;
		const char *text;
		json_t *call = json_pack("{s:s,s:O}", "op", "role.show", "name", role);

		if (client_request(c->run_dir, "/v1/call", call, &a) != E_OK)
			return;
		reply = json_loadb((const char *)a.data, a.n, 0, NULL);
		answer_free(&a);
		text = json_string_value(json_object_get(reply, "text"));
		if (text != NULL && s->subscribe[0] == 0)
			site_filter(text, "subscribe", s->subscribe, sizeof(s->subscribe));
		if (text != NULL && s->may_publish[0] == 0)
			site_filter(text, "publish", s->may_publish, sizeof(s->may_publish));
		json_decref(reply);
	}
}

int site_load(struct cli *c, const json_t *roles, struct site *s)
{
	int rc;

	*s = (struct site){0};
	rc = host_load(c, s);
	if (rc == 0)
		rc = ca_load(c, s);
	if (rc != 0)
		return rc;
	topics_load(c, roles, s);
	site_topic(s->may_publish, s->publish, sizeof(s->publish));
	s->view.host = s->host;
	s->view.ca_pem = s->ca_pem;
	s->view.ca_der = s->ca_der;
	s->view.subscribe = s->subscribe;
	s->view.publish = s->publish;
	return 0;
}

void site_free(struct site *s)
{
	free(s->ca_pem);
	free(s->ca_der);
	*s = (struct site){0};
}
