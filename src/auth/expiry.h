/* expiry: credentials end when their time is over, and so do the connections that they opened. */
#ifndef PICKET_AUTH_EXPIRY_H
#define PICKET_AUTH_EXPIRY_H

#include "auth/state.h"

/* Wake when the next credential ends; after every change of credentials. */
void expiry_schedule(struct auth *a);
void expiry_timer(struct timer *t); /* a->expiry_timer fires */

#endif
