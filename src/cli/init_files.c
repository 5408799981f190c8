/* init_files: the places of a broker, and the two files that init writes. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/file_in.h"
#include "cli/init.h"
#include "cli/out.h"
#include "ipc/codes.h"

static const char first_policy[] =
	"# Applied once, when the store is empty: two roles to begin with.  Afterwards the store "
	"is what counts:\n"
	"# picket role show sensor, picket policy export.  No device and no account is made here.\n"
	"\n"
	"# ${device} is the name that logged in, never what the client claims.\n"
	"role sensor {\n"
	"\tpublish   home/${device}/tele/#\n"
	"\tsubscribe home/${device}/cmd/#\n"
	"}\n"
	"\n"
	"role dashboard {\n"
	"\tsubscribe home/+/tele/#\n"
	"\tpublish   home/+/cmd/#\n"
	"}\n";

/* ---- places
 * -------------------------------------------------------------------------------------- */

/* An absolute path, since picketd changes its folder. */
static bool path_set(char *out, const char *path)
{
	char here[CONF_PATH];
	int n;

	if (path[0] == '/')
		n = snprintf(out, CONF_PATH, "%s", path);
	else if (getcwd(here, sizeof(here)) != NULL)
		n = snprintf(out, CONF_PATH, "%s/%s", here, path);
	else
		return false;
	return n > 0 && n < CONF_PATH;
}

static bool defaults_user(struct init *in)
{
	const char *home = getenv("HOME"), *xdg = getenv("XDG_RUNTIME_DIR");
	bool ok;

	if (home == NULL || home[0] != '/')
		return false;
	ok = snprintf(in->config, CONF_PATH, "%s/.config/picket/picket.conf", home) < CONF_PATH &&
	     snprintf(in->state, CONF_PATH, "%s/.local/state/picket", home) < CONF_PATH;
	if (xdg != NULL && xdg[0] == '/' && access(xdg, W_OK) == 0)
		return ok && snprintf(in->run, CONF_PATH, "%s/picket", xdg) < CONF_PATH;
	return ok && snprintf(in->run, CONF_PATH, "%s/.local/state/picket/run", home) < CONF_PATH;
}

static bool defaults(struct init *in)
{
	if (geteuid() != 0)
		return defaults_user(in);
	snprintf(in->config, CONF_PATH, "/etc/picket/picket.conf");
	snprintf(in->state, CONF_PATH, "/var/lib/picket");
	snprintf(in->run, CONF_PATH, "/run/picket");
	return true;
}

static bool overridden(const struct cli *c, enum opt o, char *out)
{
	return !cli_has(c, o) || path_set(out, cli_value(c, o));
}

/* What an existing file says counts, unless the command line says otherwise. */
static int existing_load(struct cli *c, struct init *in)
{
	struct conf_error e = {0};
	char text[1024];

	if (access(in->config, F_OK) != 0)
		return 0;
	if (conf_load(in->config, true, &in->conf, &e) == E_OK) {
		snprintf(in->state, CONF_PATH, "%s", in->conf.state_dir);
		snprintf(in->run, CONF_PATH, "%s", in->conf.run_dir);
		return 0;
	}
	snprintf(text, sizeof(text), "%s:%u: %s; %s", e.file, e.line, e.what, e.hint);
	return out_refuse(c, CODE_CONFIG_INVALID, text);
}

int init_paths(struct cli *c, struct init *in)
{
	char *slash;
	int rc;

	if (!defaults(in) || !overridden(c, OPT_CONFIG, in->config))
		return out_refuse(c, CODE_FILE_WRITE, "no place for picket.conf (see --config)");
	rc = existing_load(c, in);
	if (rc != 0)
		return rc;
	if (!overridden(c, OPT_STATE, in->state) || !overridden(c, OPT_RUN, in->run))
		return out_refuse(c, CODE_FILE_WRITE, "the path is too long");
	snprintf(in->policy, CONF_PATH, "%s", in->config);
	slash = strrchr(in->policy, '/');
	ASSERT(slash != NULL);
	*slash = 0;
	if (strlen(in->policy) + sizeof("/first.policy") > CONF_PATH)
		return out_refuse(c, CODE_FILE_WRITE, "the path is too long");
	strncat(in->policy, "/first.policy", CONF_PATH - strlen(in->policy) - 1);
	return 0;
}

/* ---- files
 * --------------------------------------------------------------------------------------- */

static void list_put(FILE *f, const char *option, const struct opt_value *v)
{
	if (v->n == 0)
		return;
	fprintf(f, "%s = {", option);
	for (u32 i = 0; i < v->n; i++)
		fprintf(f, "%s\"%s\"", i > 0 ? ", " : "", v->v[i]);
	fputs("}\n", f);
}

static char *config_text(const struct cli *c, const struct init *in)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	ASSERT(f != NULL);
	fputs("# The configuration of picketd.  Everything has a default; an empty file is a "
	      "secure broker.\n"
	      "# All options: picket config explain.  Check: picket config check FILE.  Take it: "
	      "picket config reload\n"
	      "\n"
	      "# Names and addresses under which clients reach this broker (in its certificate).\n",
	      f);
	list_put(f, "names", &c->opt[OPT_NAME]);
	list_put(f, "addresses", &c->opt[OPT_IP]);
	fprintf(f,
		"\nstate_dir = \"%s\"\n"
		"run_dir   = \"%s\"\n\n"
		"# Applied once, when the store is empty.\n"
		"bootstrap = \"%s\"\n\n",
		in->state, in->run, in->policy);
	fputs("# TLS on every address.  This is what is there without these lines.\n"
	      "listener mqtts {\n"
	      "  bind = \"*:8883\"\n"
	      "  # Web pages that may connect, over WebSocket on the same port; no other may.\n"
	      "  # origins = {\"https://app.example.com\"}\n"
	      "}\n\n"
	      "# Plaintext shows every password and message to whoever listens on the wire.  When "
	      "a device can do\n"
	      "# nothing else, name its network and say why; `picket status` keeps naming it too.\n"
	      "# listener old { bind = \"192.168.1.10:1883\" tls = off networks = "
	      "{\"192.168.1.0/24\"}\n"
	      "#                accept_risk = \"two boards of 2012 cannot do TLS\" }\n",
	      f);
	fclose(f);
	return text;
}

/* mkdir -p of the folder of path. */
static int folder_make(struct cli *c, const char *path)
{
	char dir[CONF_PATH];

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *p = dir + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = 0;
		if (mkdir(dir, 0755) != 0 && errno != EEXIST)
			return out_refuse(c, CODE_FILE_WRITE, dir);
		*p = '/';
	}
	return 0;
}

/* Wrong names are found before anything is written. */
static int config_try(struct cli *c, struct init *in, const char *text)
{
	struct conf_error e = {0};
	char why[700];

	if (conf_parse(in->config, text, &in->conf, &e) == E_OK)
		return 0;
	snprintf(why, sizeof(why), "%s; %s", e.what, e.hint);
	return out_refuse(c, CODE_CONFIG_INVALID, why);
}

static bool named(const char *const *given, u32 n, const char *names, size_t stride, u32 count)
{
	for (u32 i = 0; i < n; i++) {
		bool found = false;

		for (u32 k = 0; k < count; k++)
			found = found || strcmp(given[i], names + k * stride) == 0;
		if (!found)
			return false;
	}
	return true;
}

/* Names that the file has none of are added at its end; what a person wrote is never changed. */
static int names_add(struct cli *c, struct init *in, bool names, bool addresses)
{
	FILE *f = fopen(in->config, "ae");
	bool ok;

	if (f == NULL)
		return out_refuse(c, CODE_FILE_WRITE, in->config);
	fputs("\n# Added by picket init.\n", f);
	if (names)
		list_put(f, "names", &c->opt[OPT_NAME]);
	if (addresses)
		list_put(f, "addresses", &c->opt[OPT_IP]);
	ok = fflush(f) == 0 && fsync(fileno(f)) == 0;
	if (fclose(f) != 0 || !ok)
		return out_refuse(c, CODE_FILE_WRITE, in->config);
	in->named = true;
	return 0;
}

static int names_compare(struct cli *c, struct init *in)
{
	const struct opt_value *n = &c->opt[OPT_NAME], *a = &c->opt[OPT_IP];
	bool have_n = named(n->v, n->n, in->conf.name[0], sizeof(in->conf.name[0]), in->conf.names);
	bool have_a = named(a->v, a->n, in->conf.ip[0], sizeof(in->conf.ip[0]), in->conf.addresses);
	bool add_n = !have_n && in->conf.names == 0, add_a = !have_a && in->conf.addresses == 0;

	in->names_ignored = (!have_n && !add_n) || (!have_a && !add_a);
	if ((add_n || add_a) && !cli_has(c, OPT_DRY_RUN))
		return names_add(c, in, add_n, add_a);
	return 0;
}

/* Anything in it? */
static bool folder_there(const char *path)
{
	DIR *d = opendir(path);
	u32 n = 0;

	while (d != NULL && n < 3 && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n >= 3;
}

int init_files(struct cli *c, struct init *in)
{
	char *text;
	int rc;

	in->had_state = folder_there(in->state);
	if (access(in->config, F_OK) == 0)
		return names_compare(c, in);
	text = config_text(c, in);
	rc = config_try(c, in, text);
	in->wrote_config = true;
	if (rc == 0 && !cli_has(c, OPT_DRY_RUN)) {
		rc = folder_make(c, in->config);
		if (rc == 0 && access(in->policy, F_OK) != 0) {
			rc = file_out(c, in->policy, 0644, first_policy, strlen(first_policy));
			in->wrote_policy = rc == 0;
		}
		if (rc == 0)
			rc = file_out(c, in->config, 0644, text, strlen(text));
	}
	free(text);
	return rc;
}
