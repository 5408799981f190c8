/* main: picketd.  Without -R it is the supervisor; with it, one of the processes that the
 * supervisor starts: the same program, executed anew. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "admin/admin.h"
#include "auth/auth.h"
#include "base/log.h"
#include "base/num.h"
#include "keys/keys.h"
#include "proc/broker.h"
#include "proc/look.h"
#include "proc/sandbox.h"
#include "proc/supervisor.h"

static const char usage[] =
	"picketd [--config FILE] [--state DIR] [--run DIR] [--foreground] [--check]\n"
	"\n"
	"  --config FILE  configuration (default /etc/picket/picket.conf, which may be missing)\n"
	"  --state DIR    keys, certificates, identities (default /var/lib/picket; as a plain "
	"user\n"
	"                 ~/.local/state/picket)\n"
	"  --run DIR      admin.sock, for the picket command (default /run/picket; as a plain "
	"user\n"
	"                 $XDG_RUNTIME_DIR/picket)\n"
	"  --foreground   stay, and write the log to standard error\n"
	"  --check        say whether the configuration is valid, and write nothing\n";

static int role_main(const char *name)
{
	if (strcmp(name, "broker") == 0)
		return broker_main(SANDBOX_SUP_FD, sandbox_enter);
	if (strcmp(name, "auth") == 0)
		return auth_main(SANDBOX_SUP_FD, sandbox_enter);
	if (strcmp(name, "keys") == 0)
		return keys_main(SANDBOX_SUP_FD, sandbox_enter);
	if (strcmp(name, "admin") == 0)
		return admin_main(SANDBOX_SUP_FD, sandbox_enter);
	if (strcmp(name, "check") == 0)
		return check_main();
	if (strcmp(name, "salvage") == 0)
		return salvage_main();
	return strcmp(name, "canary") == 0 ? canary_main(SANDBOX_SUP_FD) : 2;
}

/* picketd -R ROLE -A ABI [-U]: only the supervisor calls it so. */
static int child_process(int argc, char **argv)
{
	char name[16];
	u64 abi;

	if (argc < 5 || strcmp(argv[3], "-A") != 0 ||
	    num_parse(slice_str(argv[4]), 1000, &abi) != E_OK) {
		fputs("-R is for picketd itself\n", stderr);
		return 2;
	}
	snprintf(name, sizeof(name), "picketd:%s", argv[2]);
	prctl(PR_SET_NAME, name, 0, 0, 0); /* what ps and top show */
	log_setup(argv[2], LOG_INFO);
	sandbox_begin();
	sandbox_hold_landlock((u32)abi);
	if (argc > 5)
		sandbox_own_user();
	return role_main(argv[2]);
}

static bool read_options(int argc, char **argv, struct sup_options *o)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"state", required_argument, NULL, 's'},
		{"run", required_argument, NULL, 'r'},
		{"foreground", no_argument, NULL, 'f'},
		{"check", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{"landlock-abi", required_argument, NULL, 'a'},
		{NULL, 0, NULL, 0},
	};
	u64 abi;
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'c')
			o->config = optarg;
		else if (c == 's')
			o->state = optarg;
		else if (c == 'r')
			o->run = optarg;
		else if (c == 'f')
			o->foreground = true;
		else if (c == 'k')
			o->check = true;
		else if (c == 'a' && num_parse(slice_str(optarg), 1000, &abi) == E_OK)
			o->landlock_abi = (u32)abi;
		else if (c == 'h') {
			fputs(usage, stdout);
			exit(0);
		} else
			return false;
	}
	return optind == argc;
}

/* Whoever starts us with 0, 1 or 2 closed must not have our log written into what is opened next.
 */
static bool std_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int main(int argc, char **argv)
{
	struct sup_options o = {0};

	if (!std_fds())
		return 1;
	if (argc >= 3 && strcmp(argv[1], "-R") == 0)
		return child_process(argc, argv);
	if (!read_options(argc, argv, &o)) {
		fputs(usage, stderr);
		return 2;
	}
	/* Nor is what else was open there any business of a daemon's. */
	if (close_range(STDERR_FILENO + 1, ~0u, 0) != 0)
		return 1;
	return supervisor_main(&o);
}
