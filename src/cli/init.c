/* init: from nothing to a secure broker that runs: writes picket.conf and a first policy when there
 * are none, starts picketd, waits until its canary has passed, and says what there is.
 *
 * A second run finds all of it and changes nothing.  What goes into files is init_files.c's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/cert.h"
#include "cli/client.h"
#include "cli/init.h"
#include "cli/out.h"
#include "cli/report.h"
#include "ipc/codes.h"

enum { START_WAIT_MS = 30000, START_POLL_MS = 100, WORDS_MAX = 12 };

static const char unit[] = "picketd.service";

/* ---- starting
 * ------------------------------------------------------------------------------------ */

/* Run a program, its output into fd (or to nowhere, -1); its exit status, 127 when it cannot be
 * run. */
static int run(char *const argv[], int fd)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return 127;
	if (pid == 0) {
		int in = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(in, STDIN_FILENO);
		dup2(fd >= 0 ? fd : in, STDOUT_FILENO);
		dup2(fd >= 0 ? fd : in, STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int run_words(const char *const words[], int fd)
{
	char *argv[WORDS_MAX + 1] = {0};

	for (size_t i = 0; i < WORDS_MAX && words[i] != NULL; i++)
		argv[i] = (char *)(uintptr_t)words[i];
	return run(argv, fd);
}

/* picketd beside this program, or in the sbin beside its bin (which a person's PATH often lacks),
 * else by PATH. */
static void picketd_path(char *out, size_t cap)
{
	static const char *const places[] = {"picketd", "../sbin/picketd"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *slash;

	self[MAX(n, 0)] = 0;
	slash = strrchr(self, '/');
	for (size_t i = 0; slash != NULL && i < ARRAY_LEN(places); i++) {
		int len = snprintf(out, cap, "%.*s%s", (int)(slash - self + 1), self, places[i]);
		if (len > 0 && (size_t)len < cap && access(out, X_OK) == 0)
			return;
	}
	snprintf(out, cap, "picketd");
}

/* The machine's own service, when there is one and nothing else was asked for. */
static bool service_fits(const struct cli *c)
{
	const char *const words[] = {"systemctl", "cat", unit, NULL};

	if (geteuid() != 0 || cli_has(c, OPT_STATE) || cli_has(c, OPT_RUN) ||
	    cli_has(c, OPT_CONFIG))
		return false;
	return access("/run/systemd/system", F_OK) == 0 && run_words(words, -1) == 0;
}

static void output_tell(struct cli *c, FILE *from)
{
	char buf[4096];
	size_t n;

	rewind(from);
	while ((n = fread(buf, 1, sizeof(buf) - 1, from)) > 0) {
		buf[n] = 0;
		out_text(c->err, buf);
	}
}

static int picketd_start(struct cli *c, const struct init *in)
{
	char path[PATH_MAX];
	const char *const words[] = {path,	"--config", in->config, "--state",
				     in->state, "--run",    in->run,	NULL};
	const char *const service[] = {"systemctl", "enable", "--now", unit, NULL};
	FILE *said = tmpfile();
	int rc;

	if (said == NULL)
		return out_refuse(c, CODE_START_FAILED, strerror(errno));
	picketd_path(path, sizeof(path));
	rc = run_words(service_fits(c) ? service : words, fileno(said));
	if (rc != 0) {
		output_tell(c, said);
		rc = out_refuse(c, CODE_START_FAILED,
				rc == 127 ? "the program picketd was not found" : NULL);
	}
	fclose(said);
	return rc;
}

/* ---- waiting until it is ready
 * -------------------------------------------------------------------- */

static json_t *status_get(const struct cli *c)
{
	struct answer a;
	json_t *s;

	if (client_request(c->run_dir, "/v1/status", NULL, &a) != E_OK)
		return NULL;
	s = a.status == 200 ? json_loadb((const char *)a.data, a.n, 0, NULL) : NULL;
	answer_free(&a);
	return s;
}

static bool status_complete(const json_t *s)
{
	return s != NULL && json_array_size(json_object_get(s, "unavailable")) == 0 &&
	       json_is_true(json_object_get(json_object_get(s, "canary"), "ok"));
}

static int status_await(struct cli *c, json_t **out)
{
	u64 stop = clock_mono_ms() + START_WAIT_MS;
	struct timespec pause = {.tv_nsec = START_POLL_MS * 1000000L};

	for (;;) {
		*out = status_get(c);
		if (status_complete(*out))
			return 0;
		if (clock_mono_ms() >= stop)
			break;
		json_decref(*out);
		nanosleep(&pause, NULL);
	}
	if (*out != NULL)
		return 0; /* it answers; the report says what is amiss */
	return out_refuse(c, CODE_START_FAILED, "it does not answer after 30 s");
}

/* ---- the report
 * ---------------------------------------------------------------------------------- */

static void ca_tell(struct cli *c, const char *word, const json_t *status)
{
	struct cert_info i;
	struct answer a;
	u64 now = clock_wall_ms();

	if (client_request(c->run_dir, "/v1/ca", NULL, &a) != E_OK)
		return;
	if (a.status == 200 && cert_read((const char *)a.data, &i) == E_OK) {
		out_word(c->out, word);
		fputs("CA \"", c->out);
		out_escaped(c->out, slice_str(i.subject));
		fprintf(c->out, "\" (%s, %llu y)  key in ", i.key,
			(unsigned long long)((i.not_after_ms - MIN(now, i.not_after_ms) +
					      43200000) /
					     31536000000ull));
		out_member(c->out, status, "state_dir");
		fputs(", read by one process  backup: picket ca backup\n", c->out);
	}
	answer_free(&a);
}

static bool listener_on(const json_t *status, json_int_t port)
{
	const json_t *l;
	size_t i;

	json_array_foreach(json_object_get(status, "listeners"), i,
			   l) if (json_integer_value(json_object_get(l, "port")) ==
				  port) return true;
	return false;
}

static int init_report(struct cli *c, const struct init *in, const json_t *status)
{
	const char *word = in->had_state ? "exists" : "created";
	bool well;

	if (cli_has(c, OPT_JSON)) {
		out_json(c->out, status);
		return status_complete(status) ? CLI_DONE : CLI_WARNED;
	}
	out_line(c->out, in->wrote_config ? "created" : "exists", in->config);
	if (in->named)
		out_line(c->out, "created", "names and addresses, at the end of it");
	if (in->wrote_policy)
		out_line(c->out, "created", in->policy);
	ca_tell(c, word, status);
	report_certificate(c->out, status, word);
	well = !report_listeners(c->out, status);
	out_word(c->out, "listen");
	fprintf(c->out,
		"unix:%s/admin.sock  administration: root, the user who runs picketd, group "
		"picket-admin\n",
		c->run_dir);
	if (!listener_on(status, 1883))
		fputs("closed   1883/plain (how to open it, and what it risks: picket config "
		      "explain "
		      "accept_risk)\n",
		      c->out);
	well = report_canary(c->out, status) && well;
	if (in->was_running)
		fputs(in->named ? "effect   picketd runs already; to take the names: picket config "
				  "reload\n"
				: "effect   picketd runs already; nothing was changed\n",
		      c->out);
	if (in->names_ignored)
		out_line(c->out, "warning",
			 "the names and addresses given are not those of picket.conf, which stays; "
			 "write them there, then: picket config reload");
	fputs("next     picket device add --count 30 --prefix esp --role sensor --out ./bundles\n",
	      c->out);
	return well && !in->names_ignored ? CLI_DONE : CLI_WARNED;
}

/* ---- the command
 * --------------------------------------------------------------------------------- */

static int init_run(struct cli *c, struct init *in)
{
	json_t *status = status_get(c);
	int rc = 0;

	in->was_running = status != NULL;
	json_decref(status);
	rc = init_files(c, in);
	if (rc == 0 && cli_has(c, OPT_DRY_RUN)) {
		fprintf(c->out, "would    %s and %s picketd\n",
			in->wrote_config ? "write picket.conf and a first policy" : "write nothing",
			in->was_running ? "leave" : "start");
		return CLI_DONE;
	}
	if (rc == 0 && !in->was_running)
		rc = picketd_start(c, in);
	if (rc == 0)
		rc = status_await(c, &status);
	if (rc != 0)
		return rc;
	rc = init_report(c, in, status);
	json_decref(status);
	return rc;
}

int cmd_init(struct cli *c)
{
	struct init *in = xcalloc(1, sizeof(*in));
	int rc = init_paths(c, in);

	if (rc == 0) {
		snprintf(c->run_dir, sizeof(c->run_dir), "%s", in->run);
		rc = init_run(c, in);
	}
	free(in);
	return rc;
}
