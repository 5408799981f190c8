/* status: one JSON object of what every process says about itself. */
#ifndef PICKET_ADMIN_STATUS_H
#define PICKET_ADMIN_STATUS_H

#include <jansson.h>

#include "admin/request.h"

/* The parts of a status request, in this order; a missing one is named in "unavailable". */
enum status_part { STATUS_SUP, STATUS_AUTH, STATUS_BROKER, STATUS_CERT, STATUS_STORE };

/* The caller owns the object. */
json_t *status_json(const struct conf *c, const struct part part[REQUEST_PARTS]) MUST;
/* The store, as broker tells; sup: what the supervisor knows of it, too, or NULL. */
json_t *status_store(const struct m_store_told *t, const struct part *sup,
		     const struct conf *c) MUST;
/* One listener; "risks" names what was accepted: plaintext, anonymous. */
json_t *status_listener(const struct conf_listener *l) MUST;
/* The rows of CLIENT_ROWS as an array. */
json_t *clients_json(struct slice rows, u32 count) MUST;

#endif
