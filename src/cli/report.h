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
/* The store, in a line or two: its object in that answer, or the answer of GET /v1/store.  False:
 * it is full, or something has happened to it. */
bool report_store(FILE *f, const json_t *store);

#endif
