/* conf: defaults, loading from a file, what a reload may change, and the check that children make
 * of the bytes they receive. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/internal.h"

enum { FILE_BYTES_MAX = 1024 * 1024 };

static void limits_defaults(struct conf_limits *device, struct conf_limits *service)
{
#define X(name, type, dev, svc, min, max, doc)                                                     \
	_Static_assert((dev) >= (min) && (dev) <= (max),                                           \
		       #name ": the device default is in range");                                  \
	_Static_assert((svc) >= (min) && (svc) <= (max),                                           \
		       #name ": the service default is in range");                                 \
	device->name = dev;                                                                        \
	service->name = svc;
	LIMIT_TABLE(X)
#undef X
}

static void place_defaults(enum place place, void *base)
{
	struct conf_error err;
	struct parse p = {.err = &err};

	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];
		struct values v = {.n = 1, .v = {o->initial}};
		if (o->places & 1u << place && o->initial != NULL)
			ASSERT(o->set(&p, o, base, &v));
	}
}

bool conf_authenticates(const struct conf_listener *l, enum authenticator a)
{
	ASSERT(l->authenticators <= AUTHENTICATOR_N);
	return memchr(l->authenticator, (int)a, l->authenticators) != NULL;
}

void conf_listener_defaults(struct conf_listener *l, const char *name,
			    const struct conf_limits *limits)
{
	static const u8 usual[] = {AUTHENTICATOR_CERTIFICATE, AUTHENTICATOR_TOKEN,
				   AUTHENTICATOR_PASSWORD};

	memset(l, 0, sizeof(*l));
	snprintf(l->name, sizeof(l->name), "%s", name);
	place_defaults(IN_LISTENER, l);
	memcpy(l->authenticator, usual, sizeof(usual));
	l->authenticators = sizeof(usual);
	l->mqtt = l->websocket = true;
	l->limits = *limits;
}

void conf_local_authenticators(struct conf_listener *l)
{
	static const u8 usual[] = {AUTHENTICATOR_PEER, AUTHENTICATOR_TOKEN, AUTHENTICATOR_PASSWORD};

	ASSERT(l->local);
	memcpy(l->authenticator, usual, sizeof(usual));
	l->authenticators = sizeof(usual);
}

void conf_defaults(struct conf *c)
{
	memset(c, 0, sizeof(*c)); /* padding, too: the bytes travel to other processes */
	limits_defaults(&c->limits, &c->service_limits);
	snprintf(c->config_path, sizeof(c->config_path), "/etc/picket/picket.conf");
	place_defaults(IN_FILE, c);
	c->listeners = 1;
	conf_listener_defaults(&c->listener[0], "mqtts", &c->limits);
}

/* The whole of fd as a string; NULL with errno set.  EFBIG, EINVAL (a NUL byte), EISDIR. */
static char *read_text(int fd)
{
	char *text = malloc(FILE_BYTES_MAX + 2);
	size_t n = 0;
	ssize_t got = 1;

	if (text == NULL)
		return NULL;
	while (got > 0 && n <= FILE_BYTES_MAX) {
		got = read(fd, text + n, FILE_BYTES_MAX + 1 - n);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			n += (size_t)got;
	}
	if (got >= 0 && n > FILE_BYTES_MAX)
		errno = EFBIG;
	else if (got >= 0 && memchr(text, '\0', n) != NULL)
		errno = EINVAL;
	else if (got >= 0) {
		text[n] = '\0';
		return text;
	}
	free(text);
	return NULL;
}

static enum err load_failed(const char *path, struct conf_error *err, int why)
{
	const char *what = why == EFBIG	   ? "the file is larger than 1 MiB"
			   : why == EINVAL ? "the file contains a NUL byte"
					   : strerror(why);

	*err = (struct conf_error){0};
	snprintf(err->file, sizeof(err->file), "%s", path);
	snprintf(err->what, sizeof(err->what), "cannot be read: %s", what);
	snprintf(err->hint, sizeof(err->hint), "%s",
		 why == ENOENT	 ? "check the path after --config"
		 : why == EACCES ? "run picketd as a user who may read it"
				 : "a configuration is a small text file");
	return E_CONFIG;
}

enum err conf_load(const char *path, bool must_exist, struct conf *out, struct conf_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text;
	enum err e;
	int why;

	if (fd < 0 && errno == ENOENT && !must_exist)
		return conf_parse(path, "", out, err);
	if (fd < 0)
		return load_failed(path, err, errno);
	text = read_text(fd);
	why = errno;
	close(fd);
	if (text == NULL)
		return load_failed(path, err, why);
	e = conf_parse(path, text, out, err);
	free(text);
	return e;
}

enum err conf_reload_ok(const struct conf *from, const struct conf *to, struct conf_error *err)
{
	*err = (struct conf_error){0};
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];
		if (!o->restart ||
		    memcmp((const u8 *)from + o->at, (const u8 *)to + o->at, o->size) == 0)
			continue;
		snprintf(err->file, sizeof(err->file), "%s", to->config_path);
		snprintf(err->what, sizeof(err->what), "%s cannot change while picketd runs",
			 o->name);
		snprintf(err->hint, sizeof(err->hint), "restart picketd to use it");
		return E_CONFIG;
	}
	return E_OK;
}

#define ENDS(a) (memchr(a, '\0', sizeof(a)) != NULL)

static bool certificates_valid(const struct conf *c)
{
	for (u32 i = 0; i < c->certificates; i++) {
		if (!ENDS(c->certificate[i].name) || !ENDS(c->certificate[i].file) ||
		    !ENDS(c->certificate[i].key))
			return false;
	}
	for (u32 i = 0; i < c->listeners; i++) {
		const struct conf_listener *l = &c->listener[i];
		if (l->certificates > CONF_CERTIFICATES)
			return false;
		for (u32 k = 0; k < l->certificates; k++) {
			if (l->certificate_at[k] >= c->certificates ||
			    !ENDS(l->certificate_name[k]))
				return false;
		}
	}
	return true;
}

static bool listener_valid(const struct conf_listener *l)
{
	if (l->origins > CONF_ORIGINS || !(l->mqtt || l->websocket) || l->maximum_qos > 2)
		return false;
	for (u32 i = 0; i < l->origins; i++) {
		if (!ENDS(l->origin[i]))
			return false;
	}
	return ENDS(l->websocket_path) && ENDS(l->name) && ENDS(l->interface) &&
	       ENDS(l->socket_group) && ENDS(l->bind) && ENDS(l->address) &&
	       ENDS(l->anonymous_role) && ENDS(l->accept_risk) && ENDS(l->certificate) &&
	       ENDS(l->key) && l->allow.n <= CONF_NETS && l->deny.n <= CONF_NETS &&
	       l->proxies.n <= CONF_NETS;
}

bool conf_valid(const struct conf *c)
{
	if (!ENDS(c->config_path) || !ENDS(c->state_dir) || !ENDS(c->run_dir) ||
	    !ENDS(c->bootstrap) || !ENDS(c->store_key) || !ENDS(c->response_topic))
		return false;
	if (c->names > CONF_NAMES || c->addresses > CONF_NAMES || c->listeners > CONF_LISTENERS ||
	    c->certificates > CONF_CERTIFICATES || c->shards > 64)
		return false;
	for (u32 i = 0; i < c->names; i++) {
		if (!ENDS(c->name[i]))
			return false;
	}
	for (u32 i = 0; i < c->addresses; i++) {
		if (!ENDS(c->ip[i]))
			return false;
	}
	for (u32 i = 0; i < c->listeners; i++) {
		if (!listener_valid(&c->listener[i]))
			return false;
	}
	if (!certificates_valid(c))
		return false;
	return c->log_level <= 3 && c->shared_strategy < CONF_SHARED_N &&
	       (c->tls_min == 12 || c->tls_min == 13);
}
