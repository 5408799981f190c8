/* init: what the parts of `picket init` share. */
#ifndef PICKET_CLI_INIT_H
#define PICKET_CLI_INIT_H

#include "cli/cli.h"
#include "conf/conf.h"

struct init {
	char config[CONF_PATH], policy[CONF_PATH], state[CONF_PATH], run[CONF_PATH];
	bool was_running, wrote_config, wrote_policy;
	bool had_state;	    /* picketd has been here before */
	bool named;	    /* the names given were added to the picket.conf that was there */
	bool names_ignored; /* --name or --ip differ from those of the file that is there */
	struct conf conf;   /* what picket.conf says, once it is there */
};

/* Where things are: what was asked for, what an existing picket.conf says, else the places of root
 * (/etc/picket, /var/lib/picket, /run/picket) or of this user.  Prints its refusal; 0 when well. */
int init_paths(struct cli *c, struct init *in) MUST;
/* Write picket.conf and the first policy when there is no picket.conf.  With --dry-run only says
 * that it would. */
int init_files(struct cli *c, struct init *in) MUST;

#endif
