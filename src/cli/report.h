/* report: lines about the broker that status and init both print. */
#ifndef PICKET_CLI_REPORT_H
#define PICKET_CLI_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "base/base.h"

/* s: the answer of GET /v1/status. */
bool report_canary(FILE *f, const json_t *s);	 /* false: it did not pass */
bool report_listeners(FILE *f, const json_t *s); /* true: a risk was accepted */
void report_certificate(FILE *f, const json_t *s, const char *word);

#endif
