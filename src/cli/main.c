/* main of picket: the command, and the load generator behind the noun bench. */
#include <locale.h>
#include <signal.h>

#include "cli/bench.h"
#include "cli/cli.h"

int main(int argc, char **argv)
{
	setlocale(LC_TIME, "");
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "bench") == 0)
		return bench_main(argc - 1, argv + 1);
	return cli_main(argc, argv, stdin, stdout, stderr);
}
